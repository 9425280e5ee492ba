"""Messages between the processes of one run: that they are alive, and why one failed (no torch).

A process that waits for another in a collective operation does not learn that the other ended, or only half an hour
later that a connection was closed. So each keeps a small file in a folder that the processes of one start share. A
thread of the main process reads the files of all; a thread of each other process reads that of the main process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from simclr.files import safe_read, writing
from simclr.hardware import processes
from simclr.hardware.ranks import Place

FOLDER = "SIMCLR_RANKS"  # in the environment: the folder of this start
ROOT = ".ranks"  # in the runs folder
KEEP_SECONDS = 7 * 24 * 3600.0  # after which the files of a start that was killed are removed
POLL_SECONDS = 0.5
GRACE_SECONDS = 2.0  # for a process to end by itself after another failed
OWN_GRACE_SECONDS = 8.0  # and after it failed itself: its work on a GPU may wait for the others for ever
LINGER_SECONDS = 8.0  # for the main process to write how the run ended, before a launcher may kill it

LOST = "process lost"  # reason of a process that knows only that another ended
STOPPED = "stopped"  # of a process that was stopped before it could stop together with the others


# What gloo, NCCL and the store that brings the processes together say; the first that fits counts.
_ERROR_PATTERNS = (
    (
        "/dev/shm/nccl|shared memory segment",
        "shared memory",
        "NCCL found too little shared memory (/dev/shm) for its GPUs to meet in; enlarge it (in a container by "
        "--shm-size 1g), or set NCCL_SHM_DISABLE=1, which is slower.",
    ),
    (
        "collective operation timeout|Timed out waiting|waiting for clients|[Ss]ocket.* timed out|timeout after|"
        "caused pair closure|timed out in blocking wait|have failed or timed out",
        "no answer",
        "The processes of this run waited for one of themselves for too long: it hangs, never started, or cannot be "
        "reached through the network. See what each did last, then resume the run.",
    ),
    (
        "Connection closed by peer|Connection reset by peer|: Broken pipe|Socket closed|Connection was likely closed|"
        "ncclRemoteError|remote process exited|communicator was aborted",
        LOST,
        "Another process of this run ended, or the network between them failed; its own words may stand above in the "
        "log.",
    ),
)


def explain(text: str) -> tuple[str, str] | None:
    """A short reason and one sentence for the message of an error between processes; None for any other message."""
    for pattern, reason, sentence in _ERROR_PATTERNS:
        if re.search(pattern, text):
            return reason, sentence
    if "NCCL error" not in text:
        return None
    last = text.partition("Last error:")[2].strip().splitlines() or text.strip().splitlines()
    return "error", f"NCCL failed: {last[0][:300]} (NCCL_DEBUG=INFO in the environment makes it tell more)."


@dataclass(frozen=True)
class Message:
    """Why a process ended.

    time: when, in seconds since the epoch. reason, sentence: as in a run's status.
    """

    rank: int
    time: float
    reason: str
    sentence: str


def supervised_folder(run: Path) -> Path:
    """The folder for a run whose processes a supervisor starts by `fresh_environment`, and which it removes after."""
    return run.parent / ROOT / run.name


def fresh_environment(run: Path) -> dict[str, str]:
    """This process's environment with an empty folder for those of a run that it starts."""
    folder = supervised_folder(run)
    remove(folder)  # of a start before
    return os.environ | {FOLDER: str(folder.absolute())}


def first_failure(folder: Path, since: float = 0.0) -> Message | None:
    """The message of the process that failed first; None if none gives more than that another ended."""
    said = [word for word, _ in _read(folder, since) if word.reason not in ("", LOST, STOPPED)]
    return min(said, key=lambda word: word.time, default=None)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # where it is empty


def _folder(place: Place, runs_dir: Path) -> Path | None:
    """The folder that all processes of this start agree on; None in one that cannot know it."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    names: tuple[str, ...]
    if place.launcher == "torchrun":
        names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
    elif place.launcher == "srun":
        names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    elif place.is_main:
        return runs_dir / ROOT / uuid.uuid4().hex
    else:
        return None  # the same command by hand on another machine
    key = "-".join(os.environ.get(name) or "0" for name in names)
    return runs_dir / ROOT / f"{place.launcher}-{re.sub(r'[^A-Za-z0-9.-]', '_', key)}"


def _read(folder: Path, since: float, rank: int | str = "*") -> list[tuple[Message, dict[str, object]]]:
    found = []
    with contextlib.suppress(OSError):
        for path in folder.glob(f"rank-{rank}.json"):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                entry = safe_read.json_dict(path)
                word = Message(int(entry["rank"]), float(entry["time"]), str(entry["reason"]), str(entry["sentence"]))
                if word.time >= since:
                    found.append((word, entry))
    return found


def _where() -> str:
    """Where a pid means the same process: this boot of this machine, and this container."""
    with contextlib.suppress(OSError):
        return f"{processes.boot_id()} {os.readlink('/proc/self/ns/pid')}"
    return processes.boot_id()


class RankMessages:
    """Messages of this process to the others of its run, and theirs to it; nothing if there are no others.

    Args:
        place: of this process.
        runs_dir: where the folder is created, unless the process that started this one has created it.
    """

    def __init__(self, place: Place, runs_dir: Path) -> None:
        self.rank = place.rank
        self.folder = _folder(place, runs_dir) if place.world_size > 1 else None
        self._said: Message | None = None
        self._over = threading.Event()
        self._poll_seconds = POLL_SECONDS + 0.01 * (0 if self.rank else place.world_size)  # one file each
        self._thread: threading.Thread | None = None
        # A start of torchrun may have the name of an earlier one, whose messages do not count.
        is_torchrun = place.launcher == "torchrun" and self.folder is not None
        self._since = psutil.Process(os.getppid()).create_time() if is_torchrun else 0.0
        self._in_environment = False
        if self.folder is None:
            return
        if place.is_main:
            self._tidy(self.folder.parent)
            if place.launcher == "lightning" and FOLDER not in os.environ:  # which starts the others from here
                os.environ[FOLDER] = str(self.folder.absolute())
                self._in_environment = True
        self._write(Message(self.rank, time.time(), "", ""))

    @staticmethod
    def _tidy(root: Path) -> None:
        with contextlib.suppress(OSError):
            for old in root.iterdir():
                if time.time() - old.stat().st_mtime > KEEP_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)

    def _path(self, rank: int) -> Path:
        assert self.folder is not None
        return self.folder / f"rank-{rank}.json"

    def _write(self, word: Message) -> None:
        pid = os.getpid()
        entry = vars(word) | {"pid": pid, "start": processes.process_start(pid), "where": _where()}
        with contextlib.suppress(OSError):  # a full disk: no message then
            assert self.folder is not None
            self.folder.mkdir(parents=True, exist_ok=True)
            writing.write_atomically(self._path(self.rank), json.dumps(entry))

    def say(self, reason: str, sentence: str) -> None:
        """Tells the others why this process ends; only the first message counts."""
        if self._said is None and self.folder is not None:
            self._said = Message(self.rank, time.time(), reason, sentence)
            self._write(self._said)

    def look(self) -> Message | None:
        """What ended another process: the first message that says so, else that one is gone without a message."""
        if self.folder is None:
            return None
        heard = _read(self.folder, self._since, 0 if self.rank else "*")
        others = [(word, entry) for word, entry in heard if word.rank != self.rank]
        said = sorted((word for word, _ in others if word.reason), key=lambda word: (word.reason == LOST, word.time))
        if said and said[0].reason != LOST:
            return said[0]
        for word, entry in others:
            if not word.reason and self._is_gone(word.rank, entry):
                sentence = (
                    f"Process {word.rank} of this run ended without a word, as one does that the system kills for want "
                    "of memory; the end of the log may tell more. Resume the run, perhaps with a smaller batch_size."
                )
                return Message(word.rank, time.time(), LOST, sentence)
        return said[0] if said else None

    def _is_gone(self, rank: int, entry: dict[str, object]) -> bool:
        """Whether a process is not alive and has not removed its file."""
        pid, start = entry.get("pid"), entry.get("start")
        if entry.get("where") != _where() or not isinstance(pid, int) or not isinstance(start, float):
            return False
        return not processes.is_alive(pid, start) and safe_read.json_dict(self._path(rank)) == entry

    def verdict(self, reason: str, sentence: str) -> Message:
        """What ended the run: this process's own `reason` and `sentence`, or what another reported before."""
        own = self._said or Message(self.rank, time.time(), reason, sentence)
        deadline = time.monotonic() + GRACE_SECONDS
        while True:
            found = self.look()
            if found is not None and (own.reason == LOST or (found.reason != LOST and found.time < own.time)):
                return found
            if self.folder is None or own.reason != LOST or time.monotonic() > deadline:
                return own
            time.sleep(0.1)

    def watch(self, end: Callable[[Message], int]) -> None:
        """Ends this process soon after another failed, unless it ends by itself.

        Args:
            end: reports why and returns the exit status of this process; called from a thread.
        """
        if self.folder is None:
            return
        self._thread = threading.Thread(target=self._watch, args=(end,), name="ranks", daemon=True)
        self._thread.start()

    def _watch(self, end: Callable[[Message], int]) -> None:
        while not self._over.wait(self._poll_seconds):
            word, own = self.look(), self._said
            if (word or own) is None or self._over.wait(GRACE_SECONDS if own is None else OWN_GRACE_SECONDS):
                continue
            word = self.look() if own is None else self.verdict(own.reason, own.sentence)
            if word is not None:  # else the other has removed its file meanwhile
                code = end(word)
                self.say(word.reason, word.sentence)  # for those that read the file of this process only
                os._exit(code)

    def rest(self) -> None:
        """Stops watching; does not return if the thread is already ending this process."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def linger(self) -> None:
        """Waits a few seconds until the main process has written how the run ended."""
        deadline = time.monotonic() + LINGER_SECONDS
        while self.folder is not None and self.rank and time.monotonic() < deadline:
            entry = safe_read.json_dict(self._path(0))
            if not entry or entry.get("reason") or self._is_gone(0, entry):
                return
            time.sleep(0.1)

    def leave(self) -> None:
        """Stops watching and removes this process's file, unless it holds a message for the others."""
        self.rest()
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            if self._said is None:
                self._path(self.rank).unlink(missing_ok=True)
            for folder in (self.folder, self.folder.parent):
                folder.rmdir()  # where it is empty
        if self._in_environment:
            os.environ.pop(FOLDER, None)
