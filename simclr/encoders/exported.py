"""Exports as folders and as jobs that pages start: names of their files, and the archive of a folder (no torch)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.files import safe_read
from simclr.launch import jobs

FORMATS = ("safetensors", "onnx")
WEIGHTS, ONNX, CONFIG, CARD = "model.safetensors", "model.onnx", "config.json", "README.md"
FILES = {"safetensors": WEIGHTS, "onnx": ONNX}
MARK = "simclr"  # the section of `config.json` by which a folder is known again as an export
FOLDER = "export"  # in the folder of a job
JOB_NAME = "export"


def folder_name(run_id: str) -> str:
    """Of an export whose folder is not named: `export-x7k2`."""
    return f"export-{run_id.rsplit('-', 1)[-1]}"


def about(folder: Path) -> dict[str, Any]:
    """What the `config.json` of an export says; empty where a folder is none."""
    found = safe_read.json_dict(folder / CONFIG)
    return found if isinstance(found.get(MARK), dict) else {}


def _request(run_id: str, formats: Sequence[str]) -> dict[str, Any]:
    return {"export": run_id, "formats": list(formats)}


def start_job(run_id: str, formats: Sequence[str], runs_dir: Path) -> Path:
    """Starts an export in the background, or gives the folder of the job that writes it already.

    Raises:
        ConfigError: if the folder of jobs cannot be written.
    """
    arguments = ["export", run_id, "--format", ",".join(formats), "--runs_dir", str(runs_dir.resolve())]
    return jobs.start(JOB_NAME, _request(run_id, formats), arguments, runs_dir)


def find_job(run_id: str, formats: Sequence[str], runs_dir: Path) -> Path | None:
    """The newest job for this export, whatever became of it."""
    return jobs.find(JOB_NAME, _request(run_id, formats), runs_dir)


def folder_of(job: Path) -> Path | None:
    """The export that a job has written; None where there is none."""
    folder = job / FOLDER
    return folder if runs.current_status(job).state == "finished" and about(folder) else None


def archive(folder: Path, name: str) -> bytes:
    """The files of an export as a ZIP archive, in a folder called `name`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as packed:  # weights do not get smaller
        for file in (CARD, CONFIG, WEIGHTS, ONNX):
            if (folder / file).is_file():
                packed.write(folder / file, f"{name}/{file}")
    return stream.getvalue()
