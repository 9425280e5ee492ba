"""The commands `embed` and `pictures`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.cli.encoders import own_images
from simclr.cli.parser import add_job_options, command_parser, folder_of_runs, parse
from simclr.config import ConfigError, nearest_name
from simclr.embeddings import projections, shipped, stored
from simclr.embeddings.embed import compute
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import (
    CHECKPOINTS,
    LAYERS,
    EncoderRef,
    Representation,
    is_checkpoint,
    resolve_encoders,
)
from simclr.embeddings.selection import DEFAULT_IMAGES, SPLITS, ImageSelection, OtherData
from simclr.embeddings.stored import Embedding
from simclr.files.user_paths import user_path
from simclr.launch import jobs
from simclr.runs.status import Report

READING = "Reading the photographs"
LOOKING = "Looking whether these are the run's own images"
DATASET_TEXT = (
    "A data set or a folder of images: the run's own where they lie now, or any others, whose results are kept apart. "
    "Default: the run's own."
)
SELECTION_TEXTS = {
    "split": "auto, test, val or train. Default: auto, the test images where there are any, else val, else train; "
    "val for a run of a sweep that still chooses on those.",
    "num_images": f"How many images, in class proportion, or all. Default: {DEFAULT_IMAGES}.",
    "seed": "Chooses the images, and starts the maps. Default: 0.",
}


def embed(arguments: list[str]) -> int:
    """Computes features and maps; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
        SystemExit: with status 75 when it was stopped.
    """
    parser = command_parser("embed")
    parser.add_argument(
        "RUN",
        nargs="+",
        type=str,
        help="Runs by id, unique beginning or folder; also: untrained (before training), pixels, added embeddings by "
        "name. A run may end in a checkpoint and a layer, as in RUN@epoch-8@z.",
    )
    numbers = {name: option for options in projections.OPTIONS.values() for name, option in options.items()}
    texts = {
        "checkpoint": "best, last or epoch-N. Default: the final weights, else the last checkpoint.",
        "layer": "h, the representation, or z, the projector's output, of pre-trainings. Default: h.",
        "split": SELECTION_TEXTS["split"],
        "num_images": SELECTION_TEXTS["num_images"],
        "method": "pca, umap, tsne, several separated by commas, or none. Default: pca.",
        "dims": "2 or 3: maps on a plane or in space. Default: 2.",
        **{name: f"{option.help} Default: {option.default:g}." for name, option in numbers.items()},
        "seed": SELECTION_TEXTS["seed"],
        "dataset": DATASET_TEXT,
        "out": "FILE.csv or FILE.parquet: a row of features for every image of the folder --dataset, and no maps.",
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        if options.out is not None:
            _write_table(options, report)
            return 0
        choice, asked, checkpoint, layer = _parse_options(options)
        models = resolve_encoders(options.RUN, folder_of_runs(options.runs_dir), checkpoint, layer)
        choice = with_dataset(choice, models, options.dataset, report)
        choice = while_choosing(choice, models) if options.split is None else choice
        job = Path(options.job_dir) if options.job_dir else None
        embeddings = compute(models, choice, asked, report=report, job=job)
        for model, embedding in zip(models, embeddings, strict=True):
            accuracy = (
                f"kNN accuracy {embedding.knn_accuracy:.1%}, each image left out"
                if embedding.knn_accuracy is not None
                else "no classes"
            )
            of = f" of {choice.other.dataset}" if choice.other is not None else ""
            if embedding.shared_images is not None:
                having, number = embedding.shared_images
                of += f" (of {having:,} that all have, of {number:,})"
            dims = embedding.features.shape[1]
            print(f"{model.name}: {embedding.num_images:,} images{of}, {dims} features, {accuracy}")
            print(embedding.folder, flush=True)
    return 0


def _write_table(options: Any, report: Report) -> None:
    """Features of a folder's images as a table, which is written while they are computed."""
    if len(options.RUN) > 1 or options.dataset is None:
        raise ConfigError(f"out is {options.out}; allowed with one RUN and the folder of images as dataset.")
    given = [name for name in ("split", "num_images", "method", "dims", "seed") if getattr(options, name) is not None]
    if given:
        raise ConfigError(f"out is {options.out} and {given[0]} is set; allowed: out with checkpoint, layer, dataset.")
    checkpoint = f"@{options.checkpoint}" if options.checkpoint is not None else ""
    own_images.features(f"{options.RUN[0]}{checkpoint}", options.dataset, options, report)


def with_dataset(
    choice: ImageSelection, models: Sequence[EncoderRef], dataset: str | None, report: Report
) -> ImageSelection:
    """The images that `--dataset` names: the runs' own at another place, or those of another set.

    Raises:
        ConfigError: if there is nothing of that name.
    """
    if dataset is None:
        return choice
    from simclr.data import identity  # loads torch
    from simclr.data.folders.stamps import stamp_of

    report(LOOKING, 0.0)
    found = identity.find_place((model.run for model in models), dataset)
    if found.is_own:
        return replace(choice, place=found.dataset)
    return replace(choice, other=OtherData(found.dataset, stamp_of(found.dataset)))


def while_choosing(choice: ImageSelection, models: Sequence[EncoderRef]) -> ImageSelection:
    """Validation images in place of `auto`, if a sweep that one of the runs belongs to still chooses on those."""
    found = next((model.run for model in models if model.run.awaits_choice), None)
    if found is None or choice.other is not None:
        return choice
    print(
        f"{found.id} is in a sweep that still chooses on validation images, so these are shown; --split test shows "
        "its test images.",
        file=sys.stderr,
    )
    return replace(choice, split="val")


def _whole_number(name: str, text: Any, low: int, high: int) -> int:
    try:
        number = int(str(text))
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        more = " or all" if name == "num_images" else ""
        raise ConfigError(f"{name} is {text}; allowed: a whole number from {low:,} to {high:,}{more}.")
    return number


def _word(name: str, text: Any, words: Sequence[str]) -> str:
    word = str(text).strip().lower()
    if word not in words:
        raise ConfigError(f"{name} is {text}; allowed: {', '.join(words)}{nearest_name(word, words) or '.'}")
    return word


def _parse_options(options: Any) -> tuple[ImageSelection, tuple[Projection, ...], str | None, Representation]:
    """The images and maps asked for, and the checkpoint and layer of encoders that name none.

    Raises:
        ConfigError: with one sentence for the first wrong option.
    """
    choice = parse_selection(options)
    checkpoint = None if options.checkpoint is None else str(options.checkpoint).strip().lower()
    if checkpoint is not None and not is_checkpoint(checkpoint):
        raise ConfigError(f"checkpoint is {options.checkpoint}; allowed: {', '.join(CHECKPOINTS)}.")
    layer: Any = "h" if options.layer is None else _word("layer", options.layer, LAYERS)
    return choice, _projections(options), checkpoint, layer


def parse_selection(options: Any) -> ImageSelection:
    """The images that the options of `SELECTION_TEXTS` ask for.

    Raises:
        ConfigError: with one sentence for the first wrong option.
    """
    number: int | None = DEFAULT_IMAGES
    if options.num_images is not None:
        everything = str(options.num_images).strip().lower() == "all"
        number = None if everything else _whole_number("num_images", options.num_images, 2, 10**7)
    return ImageSelection(
        split=_word("split", "auto" if options.split is None else options.split, SPLITS),
        num_images=number,
        seed=0 if options.seed is None else _whole_number("seed", options.seed, 0, 2**31 - 1),
    )


def _projections(options: Any) -> tuple[Projection, ...]:
    """The maps that `--method` names; other options set the numbers that a map leaves open."""
    text = str(options.method or "pca").lower().replace("t-sne", "tsne")
    words = [word for part in text.split(",") if (word := part.strip())]
    names = [_word("method", word.partition(":")[0], (*projections.METHODS, "none")) for word in words]
    values: dict[str, float] = {}
    for name in ("dims", *(name for numbers in projections.OPTIONS.values() for name in numbers)):
        given = getattr(options, name)
        if given is None:
            continue
        try:
            values[name] = float(given)
        except ValueError:
            raise ConfigError(f"{name} is {given}; allowed: a number.") from None
        takers = [method for method in projections.METHODS if name == "dims" or name in projections.OPTIONS[method]]
        if not set(takers) & set(names):
            raise ConfigError(
                f"{name} is {given} and method is {', '.join(names)}; allowed: with method {', '.join(takers)}."
            )
    try:
        found = [projections.parse_projection(word, **values) for word in words if word != "none"]
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    return tuple(dict.fromkeys(found))


# --- pictures of what came without them ------------------------------------------------------------------------------


def pictures(arguments: list[str]) -> int:
    """Reads the photographs of an example's maps from the folder of their data set; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("pictures")
    parser.add_argument("RUN", help="An example by id or unique beginning, or the folder of its maps.")
    parser.add_argument("FOLDER", help="The folder of the data set that it was trained on.")
    add_job_options(parser, {})
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        for embedding in _shipped(options.RUN, folder_of_runs(options.runs_dir)):
            report(READING, 0.0)
            shipped.make_pictures(embedding, user_path(options.FOLDER), lambda share: report(READING, share))
            print(embedding.pictures, flush=True)
    return 0


def _shipped(name: str, runs_dir: Path) -> list[Embedding]:
    """The maps that came with an example.

    Raises:
        ConfigError: if there are none.
    """
    folder = Path(name)
    if (folder / stored.PROVENANCE).is_file():
        folders = [folder]
    else:
        folders = sorted((runs.find(name, runs_dir).path / runs.EMBEDDINGS).glob("*"))
    found = [item for each in folders if (item := stored.load_embedding(each)) is not None and item.is_shipped]
    if not found:
        raise ConfigError(f"RUN is {name}; allowed: an example whose maps came without pictures.")
    return found
