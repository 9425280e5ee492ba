"""Long work beside training, as a job: started once, with progress in a status file, stopped on request (no torch).

A job is a folder in `.jobs` of the runs folder: `request.json` holds what was requested, `status.json` its progress,
`log.txt` its output. Results are kept with the runs, so old jobs can be deleted.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.config import ConfigError
from simclr.files import safe_read, writing
from simclr.hardware import devices
from simclr.launch import queue, spawn
from simclr.runs import StatusWriter
from simclr.runs.status import Report

REQUEST = "request.json"
NUM_KEPT = 20
STEPS = 1000  # of a job's progress bar


class Stopped(BaseException):
    """A stop was requested. It is no Exception, so that no library catches it as an error of its own."""


def start(name: str, request: dict[str, Any], arguments: list[str], runs_dir: Path, device: str = devices.CPU) -> Path:
    """Starts `python -m simclr ARGUMENTS --job_dir JOB` in the background, or returns the job that already does so.

    Args:
        name: of the kind of job, part of its folder's name.
        request: as plain values; an active job with the same request is the same job.
        device: that it may use: `cpu`; `auto`, a GPU if the queue has a free one, else the CPU; or empty, if its
            own processes are given theirs.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    with spawn.locked(runs_dir / runs.JOBS):
        job = find(name, request, runs_dir)
        if job is not None and runs.current_status(job).is_active:
            return job
        for old in all_of(name, runs_dir)[NUM_KEPT:]:
            if not runs.current_status(old).is_active:
                shutil.rmtree(old, ignore_errors=True)
        if device == devices.ANY and devices.gpus_for(1):
            with spawn.locked(runs_dir / queue.QUEUE):  # until its status shows the device
                job = spawn.start_job(name, arguments, runs_dir, queue.device_for_job(runs_dir))
        else:
            job = spawn.start_job(name, arguments, runs_dir, devices.CPU if device == devices.ANY else device)
        writing.write_atomically(job / REQUEST, json.dumps(request))
    return job


def find(name: str, request: dict[str, Any], runs_dir: Path) -> Path | None:
    """The newest job with this request, whatever became of it."""
    asked = json.loads(json.dumps(request))
    for job in all_of(name, runs_dir):
        with contextlib.suppress(OSError, ValueError):
            if safe_read.read_json(job / REQUEST) == asked:
                return job
    return None


def all_of(name: str, runs_dir: Path) -> list[Path]:
    """The jobs of one kind, the newest first, whatever became of them."""
    with contextlib.suppress(OSError):
        return sorted((runs_dir / runs.JOBS).glob(f"*-{name}-*"), key=_asked, reverse=True)
    return []


def _asked(job: Path) -> tuple[str, int]:
    """When a job was asked for: the second that its name begins with, and within it when its request was written."""
    moment = job.name[: len("20260101-000000")]
    try:
        return moment, (job / REQUEST).stat().st_mtime_ns
    except OSError:
        return moment, 0


@contextlib.contextmanager
def running(job_dir: str | Path | None) -> Iterator[Report]:
    """Runs the body as the job: gives a function that reports phase and share done, 0..1, and writes how the job ends.

    Without a folder it only prints the phases. A stop (SIGTERM, Ctrl-C) ends the body at its next line of Python, and
    the program with exit status 75.

    Raises:
        ConfigError: if there is no such folder; and what the body raises.
    """
    job = Path(job_dir) if job_dir else None
    if job is not None and not job.is_dir():
        raise ConfigError(f"job_dir is {job}; allowed: an existing folder.")
    # there before a stop can be asked for, so that one within its first lines is written down too
    writer = StatusWriter(job, interval=0.5) if job is not None else None
    said = ""

    def report(phase: str, share: float) -> None:
        nonlocal said
        if writer is not None:
            writer.set(phase=phase, step=round(STEPS * share), steps=STEPS)
        if phase and phase != said:
            said = phase
            print(phase, flush=True)

    final_status: dict[str, Any] = {"state": "failed"}
    try:
        with stop_on_signals():  # before the status says that there is something to stop
            if writer is not None:
                writer.start(phase="Starting", steps=STEPS)
            yield report
        final_status = {"state": "finished", "step": STEPS, "steps": STEPS, "phase": "", "exit_code": 0}
    except Stopped:
        final_status = {"state": "stopped", "reason": "stopped on request", "exit_code": runs.STOPPED_EXIT_CODE}
        raise SystemExit(runs.STOPPED_EXIT_CODE) from None
    except ConfigError as error:
        final_status |= {"reason": "bad input", "error": str(error), "exit_code": runs.BAD_INPUT_EXIT_CODE}
        raise
    except Exception as error:
        if devices.is_out_of_memory(error):
            final_status |= {"reason": "out of memory", "error": "There was not enough memory; try fewer images."}
            raise
        sentence = (str(error).strip().splitlines() or [""])[0]
        final_status |= {"reason": type(error).__name__, "error": f"{type(error).__name__}: {sentence[:300]}"}
        raise
    finally:
        if writer is not None:
            writer.close(**final_status)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C raise `Stopped` at the next line of Python: nothing is ever half written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the cleaning up
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
