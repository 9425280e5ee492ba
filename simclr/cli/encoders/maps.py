"""The commands `film` and `disagree`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.analysis import cards, disagreement
from simclr.analysis.cards import Sides
from simclr.cli.encoders.embed import LOOKING as LOOKING_AT_DATA
from simclr.cli.encoders.embed import SELECTION_TEXTS, parse_selection, while_choosing
from simclr.cli.parser import add_job_options, comma_words, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.embeddings import embed, stored
from simclr.embeddings.references import resolve_encoders
from simclr.films.film import LABEL, METHODS, load, make_maps
from simclr.launch import jobs
from simclr.runs import film_frames
from simclr.runs.status import Report

LOOKING = "Looking for groups that one holds together and the other scatters"


def film(arguments: list[str]) -> int:
    """Draws the maps of films, except those that are there already; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("film")
    parser.add_argument("RUN", nargs="+", type=str, help="Runs by id, unique beginning or folder.")
    texts = {
        "method": "pca, umap, or both separated by a comma. Default: pca,umap.",
        "dataset": "Where the run's own images lie now. Not needed: a film keeps its images, and shows no others.",
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        runs_dir = folder_of_runs(options.runs_dir)
        methods = comma_words("method", options.method, METHODS)
        if options.dataset is not None:
            _check_own([runs.find(name, runs_dir) for name in options.RUN], options.dataset, report)
        films = []
        for name in options.RUN:
            run = runs.find(name, runs_dir)
            found = load(run)
            if found is None:
                raise ConfigError(f"{run.id} has kept no film; allowed: a run trained with film_frames above 0.")
            if found.num_images < film_frames.MIN_IMAGES:
                raise ConfigError(
                    f"{run.id} has kept {found.num_images} images; at least {film_frames.MIN_IMAGES} are needed."
                )
            films.append((run, found))
        work = [(run, found, method) for method in methods for run, found in films]
        for place, (run, found, method) in enumerate(work):
            phase = f"Drawing {len(found.epochs)} epochs of {run.name} by {LABEL[method]}"
            report(phase, place / len(work))
            if found.maps(method) is None:
                make_maps(found, method, progress=lambda share: report(phase, (place + share) / len(work)))  # noqa: B023
            print(found.map_path(method), flush=True)
    return 0


def _check_own(found: Sequence[runs.Run], dataset: str, report: Report) -> None:
    """Raises ConfigError unless a data set holds the images that the runs kept films of."""
    from simclr.data import identity  # loads torch

    report(LOOKING_AT_DATA, 0.0)
    if not identity.find_place(found, dataset).is_own:
        raise ConfigError(
            f"dataset is {dataset}, and a film shows the images that were kept while the run trained; allowed: unset, "
            f"or for maps of other images: embed RUN@epoch-N --dataset {dataset}."
        )


def disagree(arguments: list[str]) -> int:
    """Finds where two encoders disagree, and prints a sentence for each group; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("disagree")
    parser.add_argument(
        "RUN",
        nargs=2,
        type=str,
        help="Two runs, as `embed` takes them, whose features are computed if they are not there; or two folders of "
        "features, RUN/embeddings/NAME, or of films, RUN/embeddings/film, of which the last frames are compared.",
    )
    add_job_options(parser, SELECTION_TEXTS)
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        sides, titles = _sides(options, report)
        report(LOOKING, 0.9)
        found = cards.compute(sides)
        for card in found:
            print(f"{disagreement.shared(card)}. {disagreement.who(card, titles)}")
        if not found:
            print("No group of images is held together by one of them and scattered by the other.")
        print(sides.path, flush=True)
    return 0


def _sides(options: Any, report: Report) -> tuple[Sides, list[str]]:
    """The features that the arguments name, and what to call their encoders."""
    paths = [Path(name) for name in options.RUN]
    if all(any((path / name).is_file() for name in (stored.PROVENANCE, film_frames.ABOUT)) for path in paths):
        return cards.of_folders(*paths), [runs.Run(path.resolve().parent.parent).name for path in paths]
    models = resolve_encoders(options.RUN, folder_of_runs(options.runs_dir))
    choice = parse_selection(options)
    choice = while_choosing(choice, models) if options.split is None else choice
    first, second = embed.compute(models, choice, (), report=lambda phase, share: report(phase, 0.9 * share))
    return cards.of_embeddings(first, second), [model.name for model in models]
