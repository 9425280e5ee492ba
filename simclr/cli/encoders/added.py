"""The commands `add-embeddings` and `embeddings`: those of other encoders, as models beside the runs."""

from __future__ import annotations

import shlex
import time
from typing import Any

from simclr.added import sets
from simclr.added.sets import AddedSet
from simclr.cli.parser import FINISHED, add_job_options, add_runs_dir, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.launch import jobs


def add_embeddings(arguments: list[str]) -> int:
    """Adds embeddings from a file, and says how it was read; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("add-embeddings")
    parser.add_argument("FILE", help=".npy, .npz, .parquet or .csv: a row for each image.")
    texts = {
        "images": "The folder of the images, or a data set by name.",
        "name": "What to call them: a letter, then letters, digits, points, - and _.",
        "split": "The rows are of these images alone: train, val or test. Default: of all.",
        "paths": "Text file with the image of each row, where FILE names none. Default: rows are sorted by path.",
    }
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        for name, what in (("images", "the folder of the images"), ("name", "what to call the embeddings")):
            if getattr(options, name) is None:
                raise ConfigError(f"{name} is unset; allowed: {what}.")
        from simclr.added.adding import add

        report("Reading the embeddings", 0.0)
        added, how = add(
            options.FILE,
            options.images,
            options.name,
            folder_of_runs(options.runs_dir),
            split=options.split,
            paths=options.paths,
        )
        print(describe(added))
        for sentence in how:
            print(sentence)
        name = shlex.quote(added.name)
        print(f"Maps beside a run: python -m simclr embed RUN {name}, and on the page Embeddings.")
        print(f"Accuracies: python -m simclr transfer RUN {name}, and on the page Transfer.", flush=True)
    return FINISHED


def describe(added: AddedSet) -> str:
    """Name, size and images of a set, in one line."""
    each = [f"{having:,} of {number:,} {name}" for name, (number, having) in added.num_images.items() if having]
    return f"{added.name}: {' and '.join(each)} images of {added.dataset}, {added.num_features:,} features"


def embeddings(arguments: list[str]) -> int:
    """Lists embeddings that were added, or deletes some; returns the exit status 0.

    Raises:
        ConfigError: if there are none of that name.
    """
    parser = command_parser("embeddings")
    parser.add_argument("--delete", metavar="NAME", help="Takes these away; the file they came from stays.")
    add_runs_dir(parser)
    options: Any = parse(parser, arguments)
    runs_dir = folder_of_runs(options.runs_dir)
    if options.delete is not None:
        sets.delete(options.delete, runs_dir)
        print(f"{options.delete} is deleted.")
        return FINISHED
    found = sets.find_all(runs_dir)
    for item in found:
        print(f"{describe(item)}, added {time.strftime('%Y-%m-%d %H:%M', time.localtime(item.created))}")
    if not found:
        print(f"No embeddings were added to {runs_dir}. Add some: python -m simclr add-embeddings --help")
    return FINISHED
