"""The command `lab`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.analysis import diagram
from simclr.analysis.stored import KINDS, MAX_PROFILE_IMAGES, compute
from simclr.cli.encoders.embed import with_dataset
from simclr.cli.parser import add_job_options, comma_words, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.embeddings import references
from simclr.embeddings.selection import ImageSelection, load_selection
from simclr.launch import jobs


def lab(arguments: list[str]) -> int:
    """Computes profiles and factors, and prints one line of JSON for each model.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("lab")
    parser.add_argument(
        "RUN", nargs="+", type=str, help="Runs by id, beginning or folder; @epoch-N for a checkpoint; untrained:RUN."
    )
    texts = {
        "what": "profile, factors, or both separated by a comma; or diagram, what the Run page draws of a run. "
        "Default: profile,factors.",
        "images": "NumPy file (N, 3, S, S) uint8 for the profile. Default: 64 test images of the first run.",
        "dataset": "A data set or a folder of images for the profile: the first run's own where they lie now, or any "
        "others. Default: the run's own.",
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as tell:
        usual = ",".join(KINDS) if options.dataset is None else "profile"
        kinds = comma_words("what", options.what or usual, (*KINDS, diagram.JOB_NAME))
        _check_dataset(options.dataset, options.images, kinds)
        models = references.resolve_with_untrained(options.RUN, folder_of_runs(options.runs_dir))
        if diagram.JOB_NAME in kinds:
            kinds.remove(diagram.JOB_NAME)
            for model in models:
                tell(f"Encoding images of {model.run.name}", 0.0)
                choice = with_dataset(ImageSelection(), [model], options.dataset, tell)
                if choice.other is not None:
                    raise ConfigError(
                        f"dataset is {options.dataset} and what is diagram, which shows images that the run trained "
                        "on; allowed: its own images where they lie now."
                    )
                found = diagram.compute(model.run, choice.place)
                print(json.dumps({"model": model.name, "what": diagram.JOB_NAME, "dims": found["dims"]}), flush=True)
        images = None
        if "profile" in kinds:
            tell("Reading the images", 0.0)
            if options.images:
                images = _read_images(options.images)
            else:
                choice = with_dataset(ImageSelection(num_images=MAX_PROFILE_IMAGES), models[:1], options.dataset, tell)
                few = load_selection(models[0].run, choice).chosen
                images = few.images_at(range(few.num_images)).numpy()
        work = [(kind, model) for kind in kinds for model in models]
        for place, (kind, model) in enumerate(work):
            phase = f"{'Changing images for' if kind == 'profile' else 'Reading factors from'} {model.name}"

            def report(share: float, place: int = place, phase: str = phase) -> None:
                tell(phase, (place + share) / len(work))

            report(0.0)
            result = compute(model, kind, images if kind == "profile" else None, report)
            of = {"dataset": options.dataset} if options.dataset is not None else {}
            print(json.dumps({"model": model.name, "what": kind, **of, **result["layers"]}), flush=True)
    return 0


def _check_dataset(dataset: str | None, images: str | None, kinds: Sequence[str]) -> None:
    """Raises ConfigError if `--dataset` says nothing about what is asked for."""
    if dataset is None:
        return
    if images:
        raise ConfigError(f"dataset is {dataset} and images is {images}; allowed: one of them.")
    if "factors" in kinds:
        raise ConfigError(
            f"dataset is {dataset} and what is factors, which are read from shapes that are drawn for it; allowed: "
            "what profile."
        )


def _read_images(path: str) -> NDArray[np.uint8]:
    """(N, 3, S, S) from a NumPy file."""
    try:
        images: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise ConfigError(f"images is {path}; allowed: a NumPy file (N, 3, S, S) of uint8.") from None
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8 or len(images) < 2:
        raise ConfigError(f"images has {images.dtype} {images.shape}; allowed: uint8 (N, 3, S, S), at least 2 images.")
    return images
