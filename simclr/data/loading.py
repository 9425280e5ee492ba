"""Data sets and their splits: built-in, downloaded or a folder of images.

Every data set becomes an `ImageData` of training, validation and test `Split`s whose images share one size. Up to
a stated number of bytes they are uint8 tensors; larger ones are read where they lie, batch by batch. Either way the
same images stand at the same positions, to the byte.

Order of the cuts: broken files and combinations to hold out are left out, `limit_images` shortens the training list,
then `val_fraction` of what is left becomes the validation split, then `label_subset` picks the labelled images among
the rest. Each is stratified by class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from simclr.config import DATASETS, CommonOptions, ConfigError, FinetuneConfig, PretrainConfig, RunConfig, data_root
from simclr.data import downloads, memory, shapes
from simclr.data.folders import reading as folder_reading
from simclr.data.folders.image_files import FileSource
from simclr.data.folders.pixel_values import PixelValues
from simclr.data.sampling import TEST_STREAM, stratified_order
from simclr.data.shape_facts import facts_of, is_held_out
from simclr.data.sources import Indices, Progress, Source
from simclr.data.splits import ImageData, RawSplit, RawSplits, Split, limited, val_indices

TEST_FRACTION = 0.2  # of digits, which have no test list of their own
MOST_MEMORY = 0.5  # of the machine's, for shapes, which are drawn at once
DIGITS_SIDE = 32  # pixels
DIGITS_SEED = 0  # of the fixed split of digits


OWN_SIDES = {"digits": DIGITS_SIDE, "cifar10": 32, "cifar100": 32, "stl10": 96, "svhn": 32, "fashion_mnist": 28}


def load_run_data(config: RunConfig, *, progress: Progress | None = None, max_bytes: int | None = None) -> ImageData:
    """The images of a run, cut as its training cuts them; everything that shows a run's images again loads them here.

    Args:
        config: complete options, or checked ones of a run that is to come.
        progress: as of `load_data`.
        max_bytes: `memory_limit` of `load_data`. Unset: the run's own share of this machine's memory.

    Raises:
        ConfigError: see `load_data`.
    """
    assert config.dataset is not None
    return load_data(
        config.dataset,
        data_dir=config.data_dir,
        image_size=config.image_size,
        seed=config.seed,
        limit_images=config.limit_images,
        val_fraction=config.val_fraction,
        labelled_only=isinstance(config, FinetuneConfig),
        progress=progress,
        memory_limit=memory.memory_limit(config.memory_share) if max_bytes is None else max_bytes,
        broken_images=config.broken_images,
        values=PixelValues(config.value_min, config.value_max, config.extra_channels),
        test_fraction=config.test_fraction,
        held_out=config.held_out if isinstance(config, PretrainConfig) else (),
    )


def load_other_data(
    config: RunConfig, dataset: str, *, cut: bool, progress: Progress | None = None, max_bytes: int | None = None
) -> ImageData:
    """The images of another data set than a run's own, at the sizes that the run's are kept at.

    Nothing of the run was trained on them. So its `limit_images` and its range of pixel values say nothing here, and
    images without a class are loaded too.

    Args:
        config: of the run.
        dataset: a name or a folder.
        cut: validation and test images are cut off as the run cuts its own; else only lists of the set's own count.
        progress, max_bytes: as of `load_run_data`.

    Raises:
        ConfigError: see `load_data`.
    """
    return load_data(
        dataset,
        data_dir=config.data_dir,
        image_size=config.image_size,
        seed=config.seed,
        val_fraction=config.val_fraction if cut else 0,
        progress=progress,
        memory_limit=memory.memory_limit(config.memory_share) if max_bytes is None else max_bytes,
        broken_images=config.broken_images,
        values=PixelValues(None, None, config.extra_channels),
        test_fraction=config.test_fraction if cut else 0,
    )


def load_data(
    dataset: str,
    *,
    data_dir: str | None = None,
    image_size: int | None = None,
    seed: int = 0,
    limit_images: int | None = None,
    val_fraction: float = 0.1,
    labelled_only: bool = False,
    progress: Progress | None = None,
    memory_limit: int | None = None,
    broken_images: str = "skip",
    values: PixelValues | None = None,
    test_fraction: float = 0.2,
    held_out: Sequence[str] = (),
) -> ImageData:
    """Loads a data set and cuts it.

    Args:
        dataset: a name in `simclr.config.DATASETS`, or a folder: `train/<class>/*` with optional `val/` and `test/`
            (a `val/` replaces the cut, `val_fraction` is then ignored; without `test/`, a part of train becomes it),
            or `<class>/*` alone, or images without classes. Everything below `<class>/` counts. The splits may have
            other usual names (`folder_layout.SPLIT_FOLDERS`).
        image_size: side in pixels. Shapes are drawn at it; folder images are stored at 1.5 times it where they are
            large enough, so that random crops keep detail; other sets keep their own side.
        seed: of the cuts.
        limit_images: at most this many training images, before the validation images are cut off.
        val_fraction: of the training images; 0 means no validation split.
        test_fraction: of a folder's images, cut off to test with where there is no `test/`; 0: none are.
        labelled_only: leave out images without a class; raises where there are no classes.
        progress: called with a text and the share done (0..1).
        memory_limit: bytes of decoded images, all splits together, up to which they are kept in memory; above it they
            stream. Unset: the share of the memory that is the default of the option `memory_share`.
        broken_images: of a folder. `skip` leaves out what cannot be read; `refuse` raises.
        values: what the pixel values of a folder's files mean. Unset, or without a range: the one that they use.
        held_out: combinations of colour and shape, such as `red star`, that training and validation images of shapes
            do not show. Test images are all there.

    Raises:
        ConfigError: one sentence, where the data is missing, damaged, or too small for what is asked; where more than
            half of a folder's images are broken, or all of a class.
    """
    root = data_root(data_dir)
    if dataset == "shapes":
        found = _shapes(image_size, limit_images)
    elif dataset == "digits":
        found = _digits()
    elif dataset in DATASETS:
        found = downloads.load(dataset, root, labelled_only, progress)
    else:
        found = folder_reading.load(
            dataset, root, image_size, seed, labelled_only, broken_images, values, test_fraction, progress
        )

    if held_out:
        found.train = found.train.take(np.flatnonzero(~is_held_out(facts_of(found.train.factors), held_out)))
    train, val = limited(dataset, found.train, limit_images, seed), found.val
    if val is None and val_fraction > 0:
        chosen = val_indices(train.labels, len(train), val_fraction, seed)
        if len(chosen):
            train, val = train.cut(chosen)
    raw = {name: part for name, part in (("train", train), ("val", val), ("test", found.test)) if part is not None}
    sizes = {name: len(part) for name, part in raw.items()}

    for part in raw.values():
        if isinstance(part.source, FileSource):
            part.source.next_row[part.rows] = _next_rows(part)
    if memory_limit is None:
        memory_limit = memory.memory_limit(CommonOptions.model_fields["memory_share"].default)
    fits = sum(len(part) * 3 * part.source.side**2 for part in raw.values()) <= memory_limit
    images = _read_all(raw, progress) if fits else {}
    splits = {
        name: _split(name, part, images.get(name, {"source": part.source, "rows": part.rows}))
        for name, part in raw.items()
    }

    probe = splits["train"] if splits["train"].labels is not None else None
    if probe is None and train.labels is not None and (train.labels >= 0).any():
        labelled = torch.from_numpy(np.flatnonzero(train.labels >= 0))
        probe = replace(splits["train"].take(labelled), labels=torch.from_numpy(train.labels)[labelled])
    file_sources = tuple(source for source in _sources(raw) if isinstance(source, FileSource))
    return ImageData(
        name=dataset,
        image_size=found.image_size or train.source.side,
        classes=found.classes,
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        probe=probe,
        folders=file_sources,
        reading=_reading(found, sizes, file_sources),
        values=found.values,
    )


def _sources(raw: Mapping[str, RawSplit]) -> list[Source]:
    """Each source once: several splits may share one."""
    return list({id(part.source): part.source for part in raw.values()}.values())


def _read_all(raw: Mapping[str, RawSplit], progress: Progress | None) -> dict[str, dict[str, Any]]:
    """Reads the images of all splits, in one tensor for each source: the fields of `Split` that say where they are."""
    images: dict[str, dict[str, Any]] = {}
    for source in _sources(raw):
        here = {name: part for name, part in raw.items() if part.source is source}
        lengths = [len(part) for part in here.values()]
        if (whole := source.whole) is not None and sum(lengths) == len(source):
            images |= {name: {"images": whole, "rows": part.rows} for name, part in here.items()}
        else:
            loaded = source.load(np.concatenate([part.rows for part in here.values()]), progress)
            images |= {name: {"images": view} for name, view in zip(here, loaded.split(lengths), strict=True)}
    return images


def _split(name: str, part: RawSplit, images: Mapping[str, Any]) -> Split:
    """The split of a list that is cut; it has labels where each of its images has."""
    labels = None if part.labels is None or (part.labels < 0).any() else torch.from_numpy(part.labels.copy())
    return Split(name, torch.from_numpy(part.ids.copy()), labels, factors=part.factors, **images)


def _reading(found: RawSplits, sizes: Mapping[str, int], sources: Sequence[FileSource]) -> str:
    if found.layout is None:
        return ""
    text = found.layout.sentence(sizes, _broken_text(sources))
    if num_flat := sum(source.num_flat for source in sources):
        first = next(source.first_flat for source in sources if source.num_flat)
        text += f" {num_flat:,} image{' is' if num_flat == 1 else 's are'} nearly of one colour (such as {first})."
    return text


def _broken_text(sources: Sequence[FileSource]) -> str:
    """The images that cannot be read, counted and the first named; empty where there are none."""
    broken = [(source, source.left_out) for source in sources if source.left_out]
    count = sum(len(rows) for _, rows in broken)
    if not count:
        return ""
    source, rows = broken[0]
    return f"{count:,} broken image{'' if count == 1 else 's'}: {source.naming(rows)}"


def _next_rows(part: RawSplit) -> Indices:
    """For each image of a split the row of the next of its class, in rings: that one replaces it if it is broken."""
    labels = part.labels if part.labels is not None else np.zeros(len(part), dtype=np.int64)
    order = np.lexsort((part.rows, labels))
    first = np.searchsorted(labels[order], labels[order])  # of each image's class
    is_last = np.diff(labels[order], append=labels.max() + 1) != 0
    found = np.empty(len(part), dtype=np.int64)
    found[order] = part.rows[order[np.where(is_last, first, np.arange(1, len(part) + 1))]]
    return found


# --- built-in sets ------------------------------------------------------------------------------------------------


def _shapes(image_size: int | None, limit: int | None) -> RawSplits:
    side = image_size or shapes.DEFAULT_SIDE
    most = int(MOST_MEMORY * memory.memory_limit(1.0)) // (3 * side**2)
    if limit is not None and limit > max(most, shapes.NUM_TRAIN):
        raise ConfigError(
            f"limit_images is {limit:,}; allowed: up to {most:,}, as many shapes of {side} px as this machine's memory "
            "has room for."
        )
    train = shapes.generate("train", max(shapes.NUM_TRAIN, limit or 0), side)
    test = shapes.generate("test", shapes.NUM_TEST, side)
    return RawSplits.of_arrays(
        shapes.CLASSES, (train.images, train.labels, train.factors), (test.images, test.labels, test.factors)
    )


def _digits() -> RawSplits:
    from sklearn.datasets import load_digits

    found = load_digits()
    small = torch.from_numpy(found.images).float()[:, None] * (255 / 16)  # (1797, 1, 8, 8)
    large = torch.nn.functional.interpolate(small, size=DIGITS_SIDE, mode="bicubic", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous().numpy()
    labels = found.target.astype(np.int64)
    order = stratified_order(labels, DIGITS_SEED, TEST_STREAM)
    num_test = round(TEST_FRACTION * len(labels))
    test, train = np.sort(order[:num_test]), np.sort(order[num_test:])
    return RawSplits.of_arrays(map(str, range(10)), (images[train], labels[train]), (images[test], labels[test]))
