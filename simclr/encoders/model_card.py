"""What an exported encoder says of itself: `config.json` for programs, and a model card for people.

A model card tells what a model was trained on, how it was measured, and where it is not to be trusted (Mitchell et al.
2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torchvision.models.resnet import ResNet

from simclr import config as cfg
from simclr.config import DATASETS, Augmentation, FinetuneConfig, PretrainConfig, RunConfig
from simclr.data.folders.reading import kept_side
from simclr.encoders.encoder import Encoder
from simclr.encoders.exported import MARK, ONNX, WEIGHTS
from simclr.evaluation.leaks import record
from simclr.models import state_dicts
from simclr.models.small_networks import SMALL_NETWORKS
from simclr.models.weights import file_hash
from simclr.runs import Run, extensions
from simclr.views.policies.wording import POLICIES

# What says nothing of what was learned, or names places and people of the machine that it was trained on.
LEFT_OUT = (
    "data_dir",
    "experiment_version",
    "init_weights",
    "memory_share",
    "name",
    "notes",
    "num_threads",
    "num_workers",
    "tags",
    "version",
)
ANY_SIDE = 1 << 30  # pixels, larger than any image
MEAN, STD = 0.5, 0.25  # (x - 0.5) * 4, as `augment.normalize`
FIGURES = {  # in `evaluation.json`
    "test/knn_top1": ("kNN on frozen features", "20 nearest training images vote"),
    "test/linear_top1": ("linear probe on frozen features", "logistic regression on the training images"),
    "test/top1": ("its own classifier", "trained with labels"),
}


def config_of(encoder: Encoder, run: Run, checkpoint: str | None) -> dict[str, Any]:
    """`config.json`: the fields that timm reads, and in `simclr` what it was made from."""
    size = encoder.image_size
    config = encoder.config
    return {
        "architecture": config.backbone,
        "num_classes": len(encoder.classes),
        "num_features": encoder.num_features,
        "label_names": list(encoder.classes),
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "num_classes": len(encoder.classes),
            "classifier": encoder.classifier_name,
        },
        MARK: {
            "run": run.id,
            "checkpoint": checkpoint,
            "image_size": size,
            "small_stem": _has_small_stem(encoder),
            "head": config.head if isinstance(config, FinetuneConfig) else None,
            "hidden_dim": config.hidden_dim,
            "weights_sha256": file_hash(run.model_path) if checkpoint is None and run.model_path.is_file() else None,
            "dataset": data_name(config),
            "versions": run.meta.get("versions"),
        },
    }


def _has_small_stem(encoder: Encoder) -> bool:
    """Whether it is a ResNet that begins with a 3 x 3 convolution and no pooling (Chen et al. 2020, section B.9)."""
    return isinstance(encoder.network, ResNet) and bool(state_dicts.has_small_stem(encoder.network.state_dict()))


def data_name(config: RunConfig) -> str:
    """The data set; of a folder its name alone, not where it lies on this machine."""
    name = str(config.dataset or "unknown")
    return name if name in DATASETS else Path(name).name


def text_of(encoder: Encoder, run: Run, checkpoint: str | None, written: Mapping[str, str]) -> str:
    """`README.md`. written: the files beside it, and how each was checked."""
    title = f"{run.name} ({checkpoint})" if checkpoint else run.name
    parts = [
        "---\ntags:\n- simclr\n- self-supervised-learning\n- image-feature-extraction\n---",
        f"# {_plain(title)}",
        _what_it_is(encoder, run),
        "## Figures",
        _figures(run, checkpoint),
        "## Limits",
        "\n".join(f"- {text}" for text in _limits(encoder, run)),
        "## Use",
        _use(encoder, written),
        "## Files",
        "\n".join(f"- `{name}`: {said}." for name, said in written.items()),
        "## Options",
        f"```yaml\n{_options(encoder.config)}```",
    ]
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Text of a run's own, in one line."""
    return " ".join(text.split())


def _what_it_is(encoder: Encoder, run: Run) -> str:
    config, number = encoder.config, run.meta.get("num_train_images")
    images = f"{number:,} images" if isinstance(number, int) else "the images"
    data = f"{images} of `{data_name(config)}`"
    status = run.status
    length = f"{status.epoch:,} epochs ({status.step:,} steps) in batches of {config.batch_size:,}"
    if isinstance(config, PretrainConfig):
        how = f"Pre-trained without labels by SimCLR (Chen et al. 2020) on {data}, {length}, temperature "
        how += f"{config.temperature:g}."
        if config.text_encoder is not None:
            how = f"Pre-trained on {data} and captions made of how they were drawn, as CLIP (Radford et al. 2021), "
            how += f"{length}. Its text encoder is not among these files."
    elif config.random_weight_init:
        how = f"Trained with labels from random weights on {data}, {length}."
    else:
        part = "Its head was trained with labels on a frozen encoder" if config.freeze_encoder else "Fine-tuned"
        how = f"{part} on {data}, {length}, from a network that SimCLR had pre-trained (Chen et al. 2020)."
    parts = [
        f"`{config.backbone}` for images of {encoder.image_size} x {encoder.image_size} pixels, with "
        f"{encoder.num_features:,} features h.",
        how,
    ]
    if encoder.classes:
        parts.append(f"It knows {len(encoder.classes)} classes: {', '.join(encoder.classes[:20])}.")
    if longer := extensions.text_of(extensions.extensions_of(run)):
        parts.append(f"Trained longer than planned: {longer}.")
    return " ".join(parts)


def _figures(run: Run, checkpoint: str | None) -> str:
    evaluation = run.evaluation
    found = [(name, evaluation[name]) for name in FIGURES if isinstance(evaluation.get(name), int | float)]
    if checkpoint is not None:
        return f"None: those of the run are of its final weights, and this is its checkpoint `{checkpoint}`."
    if not found:
        return "None: it was not tested."
    number = evaluation.get("num_test_images")
    count = f"{number:,}" if isinstance(number, int) else "unknown"
    rows = ["| accuracy of | how | top-1 | test images |", "|---|---|---|---|"]
    rows += [f"| {FIGURES[name][0]} | {FIGURES[name][1]} | {100 * value:.1f} % | {count} |" for name, value in found]
    seed = run.config.get("seed")
    text = [*rows, "", f"One run (n = 1, seed {seed}): another seed gives other figures."]
    if (copies := record.read(run)) is not None:
        text += ["", f"Copies among the test images, by the features of this network: {record.sentence(copies)}"]
    return "\n".join(text)


def _limits(encoder: Encoder, run: Run) -> list[str]:
    config = encoder.config
    found = [
        f"It was trained and measured on `{data_name(config)}` at {encoder.image_size} pixels; what it is worth on "
        "other images is not known.",
        "Images are squares: the middle of others is cut out.",
    ]
    augmentation = getattr(config, "augmentation", None)
    by_views = isinstance(config, PretrainConfig) and config.text_encoder is None
    if by_views and isinstance(augmentation, Augmentation):
        told = []
        if augmentation.jitter_probability > 0 or augmentation.grayscale_probability > 0 or augmentation.policy:
            told.append("colour")
        if augmentation.crop_probability > 0 and augmentation.crop_scale_min < 1:
            told.append("size and place in the image")
        if augmentation.flip_probability > 0:
            told.append("left and right")
        if augmentation.policy:
            told.append(f"slant, turn, contrast and sharpness ({POLICIES[augmentation.policy]})")
        if told:
            found.append(
                f"Its views differed in {', '.join(told)}, so h tells these apart less than other things. Where they "
                "matter, look for another encoder."
            )
    if isinstance(run.meta.get("data_reading"), str):
        found.append(f"How its images were read: {_plain(run.meta['data_reading'])}")
    return found


def _use(encoder: Encoder, written: Mapping[str, str]) -> str:
    parts = []
    whose = "this package's own" if encoder.config.backbone in SMALL_NETWORKS else "torchvision's"
    if WEIGHTS in written:
        parts.append(
            "```python\nimport simclr\n\n"
            'encoder = simclr.load_encoder("FOLDER")  # this folder\n'
            'h = encoder.embed(["photo.jpg"])  # (1, '
            f"{encoder.num_features}) float32\n```"
        )
        size, kept = encoder.image_size, _kept(encoder)
        parts.append(
            f"The weights have {whose} names. Without this package: build the network of `config.json` and load them. "
            f"Of each image take the middle square, make it {kept} x {kept} where it is larger (bicubic), then "
            f"{size} x {size} (bilinear, both antialiased), and give the network (x - {MEAN}) / {STD} for x in 0..1."
        )
        if _has_small_stem(encoder):
            parts[-1] += (
                " Its first layer is a 3 x 3 convolution of stride 1 without pooling after it (Chen et al. 2020, B.9)."
            )
    if ONNX in written:
        size = encoder.image_size
        parts.append(
            "```python\nimport numpy as np\nimport onnxruntime\nfrom PIL import Image, ImageOps\n\n"
            'image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")\n'
            f"side = min(*image.size, {_kept(encoder)})\n"
            "image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)  # its middle square\n"
            f"image = np.asarray(image.resize(({size}, {size}), Image.Resampling.BILINEAR))  # uint8, 0 to 255\n"
            'session = onnxruntime.InferenceSession("model.onnx")\n'
            'h = session.run(["h"], {"images": image.transpose(2, 0, 1)[None]})[0]  # normalized inside\n```'
        )
    return "\n\n".join(parts)


def _kept(encoder: Encoder) -> int:
    """The side, in pixels, that larger images have before they are made `image_size`."""
    return kept_side(ANY_SIDE, encoder.image_size)


def _options(config: RunConfig) -> str:
    values = {name: value for name, value in cfg.to_dict(config).items() if name not in LEFT_OUT and value is not None}
    values["dataset"] = data_name(config)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
