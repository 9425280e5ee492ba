"""Starts runs and jobs as processes on this machine (no torch).

A run is started as an argument list in its own session, under a small supervisor: closing the browser, the dashboard or
the terminal changes nothing. Runs that wait for a device are in `queue`; `control` stops and resumes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from simclr import PACKAGE, runs
from simclr import config as cfg
from simclr.config import ConfigError, RunConfig, not_written
from simclr.files import safe_read, writing
from simclr.files.names import is_text, readable
from simclr.files.user_paths import existing_folder, user_path, with_dead_link
from simclr.hardware import devices, processes
from simclr.runs import Run, seals
from simclr.runs.status import Status

END_SECONDS = 15.0  # from a process's final status to its end: freeing memory and unloading libraries takes time
CLEARED_FIELDS: dict[str, Any] = {
    "reason": "",
    "error": "",
    "phase": "",
    "pid": None,
    "process_start": None,
    "supervisor_pid": None,
    "supervisor_start": None,
    "stop_requested": None,
    "started": None,
    "ended": None,
    "exit_code": None,
    "signal": None,
    "job_id": "",
    "job_state": "",
    "job_reason": "",
}


def restart_fields(status: Status) -> dict[str, Any]:
    """Changes of a run's status for another start; the time it has trained is kept."""
    return CLEARED_FIELDS | {"seconds_before": status.elapsed_seconds or 0.0}


def _starting(run: Run) -> dict[str, Any]:
    here = {"host": socket.gethostname(), "boot": processes.boot_id()}
    return {**restart_fields(run.status), "state": "starting", "created": time.time(), **here}


def create(config: RunConfig, runs_dir: Path, status: dict[str, Any] | None = None, **meta: Any) -> Run:
    """Creates the folder of a run that will be started by `begin`.

    Raises:
        ConfigError: if the folder cannot be made.
    """
    run = runs.create(with_absolute_paths(config), runs_dir.resolve(), None, status, **meta)
    with as_config_error(f"runs_dir is {runs_dir}, which cannot be written", "SIMCLR_RUNS_DIR"):
        try:
            runs.add_meta(run.path, command=["python", *_first_command(run)[1:]])
        except OSError:
            shutil.rmtree(run.path, ignore_errors=True)
            raise
    _check_sealed(run.path)
    return run


def _check_sealed(folder: Path) -> None:
    """Removes a new folder and raises ConfigError if it has no seal: it could never be started."""
    if not runs.is_own(folder):
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigError(
            f"{seals.key_path()} cannot be made or used, so nobody could tell later that this was started here; "
            "allowed: XDG_STATE_HOME set to a folder of your own."
        )


@contextlib.contextmanager
def as_config_error(what: str, setting: str = "") -> Iterator[None]:
    """Turns an error of the system, such as a full disk, into a ConfigError. setting: as in `not_written`."""
    try:
        yield
    except OSError as error:
        raise not_written(what, error, setting) from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Creates a folder beside the runs if it is missing, and holds its lock.

    Raises:
        ConfigError: if the runs folder cannot be written, also inside the block.
    """
    with as_config_error(f"runs_dir is {folder.parent}, which cannot be written", "SIMCLR_RUNS_DIR"):
        folder.mkdir(parents=True, exist_ok=True)
        with writing.locked(folder):
            yield folder


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The options with absolute paths: the run may be started from another working directory."""
    found: dict[str, Any] = {}
    if config.dataset is not None and config.dataset not in cfg.DATASETS:
        folder = existing_folder(config.dataset)
        found["dataset"] = str(folder.absolute()) if folder else config.dataset  # else as typed, for the error message
    if config.data_dir is not None:
        found["data_dir"] = type(config.data_dir)(user_path(config.data_dir).absolute())
    for name in ("experiment_version", "init_weights"):
        reference = getattr(config, name, None)
        if isinstance(reference, str) and os.sep in reference:
            found[name] = str(user_path(reference).absolute())
    for name, value in found.items():  # where the working directory has such a name
        if not is_text(str(value)):
            raise ConfigError(f"{name} is {readable(str(value))}; allowed: a path in UTF-8.")
    return config.model_copy(update=found) if found else config


def _first_command(run: Run) -> list[str]:
    arguments = ["--config", str(run.path / runs.CONFIG), "--run_dir", str(run.path)]
    return runs.python_command(runs.command_name(run.kind), *arguments)


def start(config: RunConfig, runs_dir: Path, **meta: Any) -> Run:
    """Makes the run's folder and starts it in the background, busy device or not; returns at once.

    Raises:
        ConfigError: if the folder cannot be made, or no process started.
    """
    run = create(config, runs_dir, **meta)
    begin(run, devices.CPU if config.accelerator == "cpu" else "")
    return run


def begin(run: Run, device: str, check: Callable[[], None] | None = None) -> None:
    """Starts the processes of a run that waits, from its last checkpoint if there is one; returns at once.

    Args:
        check: is called under the lock of its status, and raises if it must not begin.

    Raises:
        ConfigError: if no process can be started; its status then says so.
    """
    again = runs.is_begun(run.path)
    command = runs.python_command("resume", str(run.path)) if again else _first_command(run)
    with as_config_error(f"{run.id} could not be started"):
        try:
            _supervise(run.path, command, devices.environment(device), _starting(run) | {"device": device}, check)
        except OSError as error:
            sentence = f"It could not be started: {error.strerror or error}."
            runs.change_status(run.path, {"state": "failed", "reason": "not started", "error": sentence}, check)
            raise


def claim_resume(run: Run) -> None:
    """Makes this process the main process of a run that has ended, to resume it here.

    Raises:
        ConfigError: if another process resumes it, or it cannot be resumed.
    """
    check_resumable(run)
    check_own(run)
    mine = {"pid": os.getpid(), "process_start": processes.process_start(os.getpid())}
    with as_config_error(f"{run.id} cannot be gone on with"):
        runs.change_status(run.path, _starting(run) | mine, lambda: check_ended(run))


def check_ended(run: Run) -> None:
    """Raises ConfigError, with the reason, if `run` is active or finished."""
    status = run.status
    if status.is_active or status.state == "finished":
        raise ConfigError(f"{run.id} is {status.state}; allowed: a run that was stopped or failed.")


def check_resumable(run: Run) -> None:
    """Raises ConfigError, with the reason, unless `run` has stopped or failed and is one of this folder."""
    check_ended(run)
    if run.is_example:
        raise ConfigError(f"{run.id} is an example, to be looked at; clone it to train one like it.")
    runs.load_config(run)


def check_data_is_here(run: Run) -> None:
    """Raises ConfigError, with the way out, if the folder of a run's images is gone; the run stays as it is."""
    dataset = str(run.config.get("dataset") or "")
    if dataset and dataset not in cfg.DATASETS and existing_folder(dataset) is None:
        with cfg.images_may_have_moved(cfg.resume_command(run.id)):
            raise cfg.MissingImagesError(
                f"dataset is {dataset}, which is no folder that exists{with_dead_link(user_path(dataset))}; allowed: "
                f"the images that {run.id} was started with."
            )


def check_own(run: Run) -> None:
    """Raises ConfigError unless this user made the run's folder, or has allowed it by `allow`."""
    if not runs.is_own(run.path):
        raise ConfigError(
            f"{run.id} was not started here: its folder was copied, renamed, made by another user, or its Slurm "
            f"options were changed. Look at its options; to train it all the same: python -m simclr resume "
            f"{shlex.quote(run.id)} --foreign."
        )


def allow(run: Run) -> None:
    """Makes a folder from elsewhere one of this user's, who has said so; its Slurm options are dropped.

    Raises:
        ConfigError: if it cannot be written.
    """
    if runs.is_own(run.path):
        return
    with as_config_error(f"{run.id} cannot be made your own"):
        runs.add_meta(run.path, slurm=None)
        runs.seal(run.path)


def check_exited(run: Run) -> None:
    """Waits for the processes of a run that has written its final status.

    Raises:
        ConfigError: if one is still alive after a while.
    """
    if not wait_for_exit(run.status):
        raise ConfigError(f"{run.id} has not ended yet, although it is {run.status.state}; try again in a moment.")


def start_job(name: str, arguments: list[str], runs_dir: Path, device: str = devices.CPU) -> Path:
    """Starts other long work, such as embeddings, and returns its folder with `status.json` and `log.txt`.

    Args:
        device: that it may use and its status shows: `cpu`, `gpu:0`, or empty if it chooses for its own processes.
    """
    environment = devices.environment(device)
    folder = runs_dir.resolve() / runs.JOBS / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{runs.random_suffix()}"
    with as_config_error(f"runs_dir is {runs_dir}, which cannot be written", "SIMCLR_RUNS_DIR"):
        folder.mkdir(parents=True)
        with contextlib.suppress(OSError, RuntimeError):
            runs.seal(folder)
    _check_sealed(folder)
    first = {"state": "starting", "created": time.time(), "host": socket.gethostname(), "boot": processes.boot_id()}
    first |= {"device": device}
    with as_config_error(f"{folder.name} could not be started"):
        _supervise(folder, runs.python_command(*arguments, "--job_dir", str(folder)), environment, first)
    return folder


def _supervise(
    folder: Path,
    command: list[str],
    more_environment: dict[str, str],
    changes: dict[str, Any],
    check: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a supervisor, and makes `changes` to the status together with its name.

    The supervisor waits for this and goes on only if the status names it. So this process may be killed at any moment:
    either nothing has happened, or the run has been started.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | more_environment
    with safe_read.open_to_append(folder / runs.LOG) as log:
        process = detach(
            [sys.executable, "-m", "simclr.supervisor", str(folder), "--", *command], log, environment, subprocess.PIPE
        )
    assert process.stdin is not None
    with process.stdin:
        named = {"supervisor_pid": process.pid, "supervisor_start": processes.process_start(process.pid)}
        runs.change_status(folder, changes | named, check)
    return process


def detach(
    command: list[str], log: Any, environment: dict[str, str] | None = None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Starts a process that outlives this one and its terminal."""
    environment = dict(os.environ if environment is None else environment)
    # The package is found wherever the dashboard was started from.
    root = str(PACKAGE.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    process = subprocess.Popen(command, stdin=stdin, stdout=log, stderr=log, start_new_session=True, env=environment)
    # It must be waited for when it ends, or it stays a zombie for as long as the dashboard lives.
    threading.Thread(target=process.wait, name=f"wait-{process.pid}", daemon=True).start()
    return process


def wait_for_exit(status: Status, seconds: float = END_SECONDS) -> bool:
    """Waits for the end of a run's processes after its final status; False if one is still alive."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(runs.processes_alive(status)):
            return True
        time.sleep(processes.POLL_SECONDS / 4)
    return False
