"""Reports as files: their names, what they may replace, and the jobs that make them for pages (no torch)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.config import ConfigError
from simclr.files import writing
from simclr.launch import jobs

FILE = "report.html"  # in the folder of a job
JOB_NAME = "report"
MARK = b'<meta name="generator" content="simclr report">'  # by which a file is known again as a report
MARKED_WITHIN = 2000  # bytes from its beginning


def file_name(names: Sequence[str]) -> str:
    """`report-which-x7k2.html`, for several `report-which-x7k2-and-2-more.html`."""
    first = re.sub(r"[^\w.-]+", "-", Path(names[0]).name).strip("-.")[:100] or "runs"
    return f"report-{first}{f'-and-{len(names) - 1}-more' if len(names) > 1 else ''}.html"


def check_writable(path: Path, *, force: bool = False) -> None:
    """Refuses to replace what is no report, before a report is made in vain.

    Raises:
        ConfigError: if there is a file that is no report, and `force` is not given, or there is no such folder.
    """
    if path.is_dir():
        raise ConfigError(f"out is {path}, which is a folder; allowed: the name of a file.")
    if not path.parent.is_dir():
        raise ConfigError(f"out is {path}, whose folder does not exist; allowed: a file in a folder that does.")
    if force or not path.exists():
        return
    try:
        with open(path, "rb") as stream:  # named by the user: a link is fine
            is_report = MARK in stream.read(MARKED_WITHIN)
    except OSError as error:
        raise ConfigError(f"out is {path}, which cannot be read: {error.strerror}.") from None
    if not is_report:
        raise ConfigError(f"out is {path}, which is there and is no report; allowed: another name, or --force.")


def write(path: Path, text: str) -> None:
    """Writes a report in one step.

    Raises:
        ConfigError: if the file cannot be written.
    """
    try:
        writing.write_atomically(path, text)
    except OSError as error:
        raise ConfigError(f"out is {path}, which cannot be written: {error.strerror}.") from None


# --- jobs -------------------------------------------------------------------------------------------------------------


def request_of(names: Sequence[str]) -> dict[str, Any]:
    """What a job is asked for."""
    return {"report": list(names)}


def start_job(names: Sequence[str], runs_dir: Path) -> Path:
    """Starts a report in the background, or gives the folder of the job that makes it already.

    Raises:
        ConfigError: if the folder of jobs cannot be written.
    """
    arguments = ["report", *names, "--runs_dir", str(runs_dir.resolve())]
    return jobs.start(JOB_NAME, request_of(names), arguments, runs_dir)


def find_job(names: Sequence[str], runs_dir: Path) -> Path | None:
    """The newest job for this report, whatever became of it."""
    return jobs.find(JOB_NAME, request_of(names), runs_dir)


def file_of(job: Path) -> Path | None:
    """The report that a job has made; None where there is none."""
    path = job / FILE
    return path if runs.current_status(job).state == "finished" and path.is_file() else None
