"""The command `export`."""

from __future__ import annotations

from pathlib import Path

from simclr.cli.parser import FINISHED, add_job_options, comma_words, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.embeddings.references import resolve_encoders
from simclr.encoders import exported
from simclr.launch import jobs


def export(arguments: list[str]) -> int:
    """Writes an encoder for use elsewhere, and prints how each file was checked; returns the exit status 0.

    Raises:
        ConfigError: for bad input; with `--job_dir` its `status.json` says so too.
    """
    parser = command_parser("export")
    parser.add_argument("RUN", help="A run by id, unique beginning or folder; may end in a checkpoint, as in RUN@best.")
    texts = {
        "format": "safetensors, onnx, or both separated by a comma. Default: safetensors.",
        "out": "The folder. Default: export-RUN in this folder.",
        "dataset": "Where images are that the files are checked on. Default: the run's own, else drawn shapes.",
    }
    parser.add_argument("--force", action="store_true", help="Also into a folder that holds other files.")
    add_job_options(parser, texts)
    options = parse(parser, arguments)
    with jobs.running(options.job_dir) as report:
        formats = comma_words("format", options.format or exported.FORMATS[0], exported.FORMATS)
        (model,) = resolve_encoders([options.RUN], folder_of_runs(options.runs_dir))
        if model.what != "weights" or model.layer != "h":
            raise ConfigError(f"RUN is {options.RUN}; allowed: a run, or a run and its checkpoint, as in RUN@best.")
        folder = Path(options.out or exported.folder_name(model.run.id))
        if options.out is None and options.job_dir is not None:
            folder = Path(options.job_dir) / exported.FOLDER
        from simclr.encoders.export import export as write  # loads torch

        done = write(
            model.run,
            formats,
            folder,
            checkpoint=model.checkpoint,
            dataset=options.dataset,
            force=options.force,
            report=report,
        )
        for path, said in done:
            print(f"{path}: {said}")
        print(folder, flush=True)
    return FINISHED
