"""The command `pictures`."""

from __future__ import annotations

from pathlib import Path

from simclr import runs
from simclr.cli.parser import add_job_options, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.embeddings import shipped, stored
from simclr.embeddings.stored import Embedding
from simclr.launch import jobs

READING = "Reading the photographs"


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
            shipped.make_pictures(embedding, Path(options.FOLDER).expanduser(), lambda share: report(READING, share))
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
