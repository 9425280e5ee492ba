"""Pictures of views: two views of each image, or one image operation by operation, with what was drawn in words."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import Augmentation
from simclr.views.policies import wording
from simclr.views.sample_images import TILE, SampleImages

NUM_TRIED = 16  # views among which the strongest is chosen

# --- views ---------------------------------------------------------------------------------------------------------


def sprite_sheet(tiles: Any) -> NDArray[np.uint8]:
    """Tiles (rows, columns, 3, size, size), a float tensor in 0..1, as one picture (rows * size, columns * size, 3)."""
    import torch

    rows, columns, _, size, _ = tiles.shape
    pixels = (tiles * 255).round_().clamp_(0, 255).to(torch.uint8)
    return pixels.permute(0, 3, 1, 4, 2).reshape(rows * size, columns * size, 3).numpy()


def originals(samples: SampleImages, places: list[int], size: int) -> str:
    """The images as they are, one below the other, at the size of their views."""
    import torch

    from simclr.views import augment, resampling

    with torch.inference_mode():
        plain = resampling.resize(augment.to_float(torch.from_numpy(samples.images[places])), size)
        return png_address(sprite_sheet(plain[:, None]))


def draw_views(
    samples: SampleImages, places: list[int], augmentation: Augmentation, *, seed: int, epoch: int, size: int
) -> dict[str, Any]:
    """Two views of each image as one sprite, with what was drawn in words.

    Args:
        places: which the sample images.
        seed, epoch: what a training that draws these views has; its first epoch is 0.
        size: side of a view in pixels.
    """
    import torch

    from simclr.views import augment
    from simclr.views.factors import draw_factors

    with torch.inference_mode():
        images, ids = torch.from_numpy(samples.images[places]), torch.from_numpy(samples.ids[places])
        views = augment.two_views(images, ids, augmentation, seed=seed, epoch=epoch, size=size)
        height, width = images.shape[2:]
        factors = [
            draw_factors(augmentation, ids, seed=seed, epoch=epoch, view=view, height=height, width=width)
            for view in (0, 1)
        ]
        drawn_views = sprite_sheet(torch.stack(views, dim=1))
    rows = []
    for place, number in enumerate(places):
        drawn = [_drawn(view, place) for view in factors]
        rows.append(
            {
                "title": samples.title(number),
                "boxes": [_box(one, height, width) for one in drawn],
                "words": [in_words(one, height, width) for one in drawn],
            }
        )
    return {"sprite": png_address(drawn_views), "rows": rows, "revision": f"{zlib.crc32(drawn_views.data)}-{rows}"}


def draw_effects(image: NDArray[np.uint8], augmentations: Mapping[str, Augmentation], size: int) -> dict[str, str]:
    """One view of an image under each of some augmentations: of `NUM_TRIED` views that which differs most from the
    image, so that an operation with a probability is seen at work.

    Args:
        image: (3, H, W).
        augmentations: by name.
        size: side of a view in pixels.

    Returns:
        The view of each name, as an address that holds the picture itself.
    """
    import torch

    from simclr.views import augment, resampling

    found = {}
    with torch.inference_mode():
        images = torch.from_numpy(image)[None].expand(NUM_TRIED, -1, -1, -1).contiguous()
        plain = resampling.resize(augment.to_float(images[:1]), size)
        for name, augmentation in augmentations.items():
            views = augment.random_view(
                images, torch.arange(NUM_TRIED), augmentation, seed=0, epoch=0, view=0, size=size
            )
            strongest = views[int((views - plain).square().mean(dim=(1, 2, 3)).argmax())]
            found[name] = png_address(sprite_sheet(strongest[None, None]))
    return found


def draw_steps(
    samples: SampleImages, place: int, augmentation: Augmentation, *, seed: int, epoch: int, size: int
) -> dict[str, Any]:
    """Both views of one image operation by operation, as one sprite: a row for each view, a tile after each operation.

    The last tile of a row is the view that `draw_views` shows, to the bit.
    """
    import torch

    from simclr.views import augment
    from simclr.views.factors import draw_factors, step_by_step

    image, ids = torch.from_numpy(samples.images[[place]]), torch.from_numpy(samples.ids[[place]])
    height, width = image.shape[2:]
    views, tiles = [], []
    with torch.inference_mode():
        for view in (0, 1):
            factors = draw_factors(augmentation, ids, seed=seed, epoch=epoch, view=view, height=height, width=width)
            names, stages = step_by_step(factors)
            repeated = image.expand(len(names), -1, -1, -1).contiguous()
            tiles.append(augment.apply_factors(repeated, stages, size, augmentation.blur_kernel_size))
            drawn = _drawn(factors, 0)
            steps = [[_title(name, drawn), *_step(name, drawn, height, width)] for name in names]
            views.append({"box": _box(drawn, height, width), "steps": steps})
        pictures = sprite_sheet(torch.stack(tiles))
    return {
        "sprite": png_address(pictures),
        "title": samples.title(place),
        "views": views,
        "revision": f"{zlib.crc32(pictures.data)}-{views}",
    }


STEP_NAMES = {"flip": "Mirror", "grayscale": "Grey"}


def _title(name: str, drawn: dict[str, Any]) -> str:
    kind, _, slot = name.partition(" ")
    if kind == "policy":
        return f"Policy: {wording.title(drawn['policy'][int(slot)][0]).lower()}"
    return STEP_NAMES.get(name, name.capitalize())


def _step(name: str, drawn: dict[str, Any], height: int, width: int) -> tuple[str, bool]:
    """What was drawn for one operation, in words, and whether it was applied."""
    if name == "crop":
        top, left, tall, wide = drawn["box"]
        if (tall, wide) == (height, width):
            return "whole image", False
        return f"{100 * tall * wide / (height * width):.0f} %: {wide} × {tall} at {left}, {top}", True
    kind, _, slot = name.partition(" ")
    if kind == "policy":
        operation, is_applied, strength = drawn["policy"][int(slot)]
        return (wording.strength_text(operation, strength) if is_applied else "not drawn"), is_applied
    applied = bool(drawn["jitter" if name in drawn and isinstance(drawn[name], float) else name])
    if not applied:
        return "not drawn", False
    if name == "hue":
        return f"{drawn['hue']:+.2f} turn, {360 * drawn['hue']:+.0f}°", True
    if name in ("brightness", "contrast", "saturation"):
        return f"× {drawn[name]:.2f}", True
    return {"flip": "left to right", "grayscale": "colour removed", "blur": f"σ {drawn['sigma']:.2f} px"}[name], True


def _drawn(factors: Any, place: int) -> dict[str, Any]:
    """The factors of one image as plain values; of a policy, name, whether applied and strength of each operation."""
    from simclr.views.policies.drawing import OPERATIONS

    found = {name: value[place].tolist() for name, value in vars(factors).items() if name != "policy"}
    draw = factors.policy
    parts = [] if draw is None else [part[place].tolist() for part in (draw.operations, draw.applied, draw.strengths)]
    return found | {"policy": [(OPERATIONS[code], *rest) for code, *rest in zip(*parts, strict=True)]}


def _box(drawn: dict[str, Any], height: int, width: int) -> list[float] | None:
    """The crop as shares left, top, width, height; None where it is the whole image."""
    top, left, tall, wide = drawn["box"]
    if (tall, wide) == (height, width):
        return None
    return [left / width, top / height, wide / width, tall / height]


def in_words(drawn: dict[str, Any], height: int, width: int) -> list[list[str]]:
    """What was done to one view, as names and values: crop 42 %, mirrored, hue +0.21, grey."""
    _, _, tall, wide = drawn["box"]
    words = []
    if (tall, wide) != (height, width):
        words.append(["crop", f"{100 * tall * wide / (height * width):.0f} %"])
    if drawn["flip"]:
        words.append(["mirrored", ""])
    for operation, is_applied, strength in drawn.get("policy", ()):
        if is_applied and operation != "identity":
            words.append([wording.title(operation).lower(), wording.short_strength(operation, strength)])
    if drawn["jitter"]:
        parts = ("brightness", "contrast", "saturation")
        words += [[name, f"× {drawn[name]:.2f}"] for name in parts if abs(drawn[name] - 1) > 5e-3]
        words += [["hue", f"{drawn['hue']:+.2f}"]] if abs(drawn["hue"]) > 5e-3 else []
    words += [["grey", ""]] if drawn["grayscale"] else []
    words += [["blur σ", f"{drawn['sigma']:.1f}"]] if drawn["blur"] else []
    return words or [["unchanged", ""]]


def thumbnail_row(samples: SampleImages, places: list[int]) -> str:
    """The images side by side as one small picture."""
    from PIL import Image

    tiles = []
    for place in places:
        image = Image.fromarray(samples.images[place].transpose(1, 2, 0))
        tiles.append(np.asarray(image if samples.side <= TILE else image.resize((TILE, TILE), Image.Resampling.BOX)))
    return png_address(np.concatenate(tiles, axis=1))


def png_address(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) as an address that holds the picture itself."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
