"""Start, watch and stop processes on this machine (no torch).

A run is started as an argument list in a session of its own, under a small supervisor that outlives whoever asked
for it: closing the browser, the dashboard or the terminal changes nothing. The supervisor is the trainer's parent,
so it alone learns how the trainer ended, and writes that down.

    python -m simclr.launch FOLDER -- COMMAND ...     the supervisor; `start` and `start_job` call it
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.config import ConfigError, RunConfig
from simclr.runs import Run, Status

POLL_SECONDS = 0.2
END_SECONDS = 15.0  # from a process's last word to its end: freeing memory and unloading libraries takes its time


def start(config: RunConfig, runs_dir: Path, **meta: Any) -> Run:
    """Makes the run's folder and starts it in the background; returns at once.

    Raises:
        ConfigError: if the folder cannot be made.
    """
    run = runs.create(config, runs_dir.resolve(), None, **meta)
    arguments = [runs.command_name(config.kind), "--config", str(run.path / runs.CONFIG), "--run_dir", str(run.path)]
    command = runs.python_command(*arguments)
    runs.add_meta(run.path, command=["python", *command[1:]])
    _supervise(run.path, command)
    return run


def resume(run: Run) -> None:
    """Goes on with a run from its last checkpoint, in the same folder and in the background; returns at once.

    Raises:
        ConfigError: if it is active or finished, or there is no checkpoint to go on from.
    """
    check_resumable(run)
    if not _wait_until_gone(run.status):
        raise ConfigError(f"{run.id} has not ended yet, although it is {run.status.state}; try again in a moment.")
    runs.update_status(
        run.path, state="starting", reason="", error="", phase="", pid=None, process_start=None, supervisor_pid=None,
        supervisor_start=None, stop_requested=None, started=None, created=time.time(), host=socket.gethostname(),
        boot=runs.boot_id(), exit_code=None, signal=None,
    )  # fmt: skip
    _supervise(run.path, runs.python_command("resume", str(run.path)))


def check_resumable(run: Run) -> None:
    """Raises ConfigError, with the reason, unless `run` has stopped or failed with a checkpoint to go on from."""
    status = run.status
    if status.is_active or status.state == "finished":
        raise ConfigError(f"{run.id} is {status.state}; allowed: a run that was stopped or failed.")
    if not any((run.path / runs.CHECKPOINTS / name).is_file() for name in runs.RESUMABLE_CHECKPOINTS):
        raise ConfigError(f"{run.id} has no checkpoint to go on from; start it anew.")


def start_job(name: str, arguments: list[str], runs_dir: Path) -> Path:
    """Starts other long work, such as embeddings, and returns its folder with `status.json` and `log.txt`."""
    suffix = "".join(random.SystemRandom().choices("abcdefghijkmnpqrstuvwxyz23456789", k=4))
    folder = runs_dir.resolve() / runs.JOBS / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{suffix}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"runs_dir is {runs_dir}, which cannot be written: {error.strerror}.") from None
    runs.update_status(folder, state="starting", created=time.time(), host=socket.gethostname(), boot=runs.boot_id())
    _supervise(folder, runs.python_command(*arguments, "--job_dir", str(folder)))
    return folder


def _supervise(folder: Path, command: list[str]) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    # The package is found by the supervisor wherever the dashboard was started from.
    root = str(Path(__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with open(folder / runs.LOG, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "simclr.launch", str(folder), "--", *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment,
        )  # fmt: skip
    runs.update_status(folder, supervisor_pid=process.pid, supervisor_start=runs.process_start(process.pid))
    # Someone must collect it when it ends, or it stays a zombie for as long as the dashboard lives.
    threading.Thread(target=process.wait, name=f"wait-{process.pid}", daemon=True).start()


def request_stop(folder: Path) -> Status:
    """Asks a run or job to stop: checkpoint, then exit. Returns at once; the supervisor ends it after the grace time.

    Raises:
        ConfigError: if it is not active, or runs on another machine.
    """
    status = runs.current_status(folder)
    if not status.is_active:
        raise ConfigError(f"{folder.name} is {status.state}; allowed: a run that is active.")
    if status.host and status.host != socket.gethostname():
        raise ConfigError(f"{folder.name} runs on {status.host}; it can be stopped there.")
    runs.update_status(folder, stop_requested=time.time())
    # The supervisor passes the request on, once: a second SIGTERM would hit a process that is saving, or gone.
    if not runs.is_alive(status.supervisor_pid, status.supervisor_start) and status.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            if runs.is_alive(status.pid, status.process_start):
                os.kill(status.pid, signal.SIGTERM)
    return runs.current_status(folder)


def _wait_until_gone(status: Status, seconds: float = END_SECONDS) -> bool:
    """Waits for the end of the processes of a run that has said its last word; False if one is still there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pairs = ((status.pid, status.process_start), (status.supervisor_pid, status.supervisor_start))
        if not any(runs.is_alive(pid, start) for pid, start in pairs):
            return True
        time.sleep(POLL_SECONDS / 4)
    return False


def stop(folder: Path, grace_seconds: float = runs.STOP_GRACE_SECONDS) -> Status:
    """Stops a run and waits until it is proven: after the grace time its whole process group is killed."""
    status = request_stop(folder)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline:
        status = runs.current_status(folder)
        if not status.is_active:
            _wait_until_gone(status)
            return runs.current_status(folder)
        time.sleep(POLL_SECONDS)
    if runs.is_alive(status.pid, status.process_start) and status.pid is not None:
        _kill(status.pid)
    _wait_until_gone(status)
    return runs.current_status(folder)


def _kill(pid: int) -> None:
    """Ends a process and, where it leads its own group, everything it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def supervise(folder: Path, command: list[str]) -> int:
    """Runs `command` in a group of its own, waits, and writes how it ended into `status.json`."""
    # A stop is asked of the trainer, which has a checkpoint to write; the supervisor sees it through to the end.
    # An empty handler and not SIG_IGN, which the trainer would inherit.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    runs.update_status(folder, supervisor_pid=os.getpid(), supervisor_start=runs.process_start(os.getpid()))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    pid_start = runs.process_start(process.pid)
    if not (status := runs.read_status(folder)).pid:
        runs.update_status(folder, pid=process.pid, process_start=pid_start)
    asked = False
    while True:
        try:
            code = process.wait(timeout=POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            status = runs.read_status(folder)
            if status.stop_requested is None:
                continue
            if not asked and status.started is not None:  # not before it can save: until then SIGTERM just ends it
                asked = True
                process.send_signal(signal.SIGTERM)
            if time.time() - status.stop_requested > runs.STOP_GRACE_SECONDS:
                _kill(process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # readers of images that the trainer left behind
    status = runs.read_status(folder)
    if status.supervisor_pid != os.getpid():
        return code  # resumed meanwhile: what happens now is another supervisor's to say
    ended = {"exit_code": code if code >= 0 else None, "signal": -code if code < 0 else None}
    if status.is_active:
        runs.update_status(folder, ended=time.time(), eta_seconds=None, **ended, **_last_word(status, code))
    else:
        runs.update_status(folder, **ended)
    return code


def _last_word(status: Status, code: int) -> dict[str, str]:
    """State, reason and sentence for a process that ended without saying its own."""
    if code < 0:
        if status.stop_requested is not None:
            return {
                "state": "stopped",
                "reason": "killed after the grace time",
                "error": "It did not stop in time and was killed; what came after the last checkpoint is lost.",
            }
        name = signal.Signals(-code).name if -code in signal.valid_signals() else "unknown"
        more = " The machine may have run out of memory." if -code == signal.SIGKILL else ""
        return {"state": "failed", "reason": f"killed by signal {-code}",
                "error": f"The process was killed by signal {-code} ({name}).{more}"}  # fmt: skip
    if code == 0:
        return {"state": "finished", "reason": ""}
    return {"state": "failed", "reason": f"exit status {code}",
            "error": f"The process ended with exit status {code}; the end of the log tells more."}  # fmt: skip


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[3:]) and 1)
