"""The command `film`."""

from __future__ import annotations

from simclr import runs
from simclr.cli.parser import add_job_options, comma_words, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.films.film import LABEL, METHODS, load, make_maps
from simclr.launch import jobs
from simclr.runs import film_frames


def film(arguments: list[str]) -> int:
    """Draws the maps of films, except those that are there already; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("film")
    parser.add_argument("RUN", nargs="+", type=str, help="Runs by id, unique beginning or folder.")
    add_job_options(parser, {"method": "pca, umap, or both separated by a comma. Default: pca,umap."})
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        runs_dir = folder_of_runs(options.runs_dir)
        methods = comma_words("method", options.method, METHODS)
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
