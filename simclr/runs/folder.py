"""The run folder: the one module that knows its file names. Create, read, list, find, rename, delete (no torch).

Every reader here survives what users and crashes do to folders: a torn line, a half-written or foreign file costs
that file, never the page. What a folder says is corrected by what the machine says: a run whose process is gone
without having said so is shown as failed.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import json
import math
import os
import platform
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from simclr import PACKAGE
from simclr import config as cfg
from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.hardware import processes
from simclr.hardware.usage import UsageMeter
from simclr.runs import seals, slurm_state
from simclr.runs.status import State, Status

CONFIG, STATUS, METRICS, META = "config.yaml", "status.json", "metrics.csv", "meta.json"
LOG, MODEL, EVALUATION, HEALTH = "log.txt", "model.pt", "evaluation.json", "health.jsonl"
CHECKPOINTS, EMBEDDINGS = "checkpoints", "embeddings"
LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, BEST_CHECKPOINT = "last.ckpt", "previous.ckpt", "best.ckpt"
FRESH_CHECKPOINT = ".fresh.ckpt"  # whole, and about to become the last
RESUMABLE_CHECKPOINTS = (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT)  # the second where the first is damaged or gone
EXAMPLES, TRASH, JOBS = "examples", ".trash", ".jobs"

# The options that lists of runs show.
BRIEF_OPTIONS = (
    "name", "version", "dataset", "backbone", "seed", "temperature", "experiment_version", "random_weight_init",
    "freeze_encoder", "label_fraction",
)  # fmt: skip

PRETRAIN_METRICS = (
    "epoch", "step", "lr", "train/loss", "train/top1", "train/top5", "train/mean_rank",
    "val/loss", "val/top1", "val/top5", "val/mean_rank", "val/knn_top1", "val/alignment", "val/uniformity",
    "val/positive_similarity", "val/negative_similarity", "val/effective_rank", "val/effective_rank_z",
    "perf/images_per_second", "perf/seconds",
)  # fmt: skip
FINETUNE_METRICS = (
    "epoch", "step", "lr", "train/loss", "train/top1", "train/top5", "val/loss", "val/top1", "val/top5",
    "perf/images_per_second", "perf/seconds",
)  # fmt: skip

STOPPED_EXIT_CODE = 75
BAD_INPUT_EXIT_CODE = 2
STOP_GRACE_SECONDS = 60.0
# A lock is held for milliseconds, the queue's while runs are started.
LOCK_SECONDS, LOCK_POLL_SECONDS = 30.0, 0.005
# A supervisor that was asked for and never showed itself: longer than its start takes on a loaded machine.
START_LIMIT_SECONDS = 30.0
# A living process that is silent, or comes no step further, for so long is worth a warning.
QUIET_SECONDS = 30.0
STALL_SECONDS, STALL_STEPS = 300.0, 20
# A run of another machine that writes no heartbeat, one a second, for so long is given up.
SILENCE_LIMIT_SECONDS = 300.0
CRASHED = "The process ended without saying why; the end of the log may tell."


def default_runs_dir() -> Path:
    """`$SIMCLR_RUNS_DIR`, else `runs` in the current folder."""
    return Path(os.environ.get("SIMCLR_RUNS_DIR") or "runs")


# --- status.json ----------------------------------------------------------------------------------------------------


DAMAGED = Status(state="failed", reason="unreadable status", error="status.json is damaged and cannot be read.")


def _types(annotation: str) -> tuple[type, ...]:
    """Those that a value may have where a field is declared with, say, `float | None`."""
    kind, _, other = annotation.partition(" | ")
    found: tuple[type, ...] = {"int": (int,), "float": (int, float)}.get(kind, (str,))
    return (*found, type(None)) if other == "None" else found


STATUS_TYPES = {item.name: _types(str(item.type)) for item in fields(Status)}


def read_status(folder: Path) -> Status:
    """The status as its writers left it; a missing or damaged file gives a failed status that says so."""
    try:
        return _read_status(folder)
    except FileNotFoundError:
        return Status(state="failed", reason="no status", error="The run folder has no status.json.")
    except OSError as error:
        return replace(DAMAGED, error=f"status.json cannot be read: {error.strerror}.")
    except ValueError:
        return DAMAGED


def _read_status(folder: Path) -> Status:
    """The status; raises OSError where it cannot be read, ValueError where it is damaged."""
    try:
        values = safe_read.read_json(folder / STATUS)
        known = {key: value for key, value in values.items() if key in STATUS_TYPES}
        for name, value in known.items():
            if not isinstance(value, STATUS_TYPES[name]) or isinstance(value, bool):
                raise ValueError(value)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(value)
        status = Status(**known)
        if status.state not in get_args(State) or not re.fullmatch("[0-9]{0,18}", status.job_id):
            raise ValueError(status.state, status.job_id)
        return status
    except (TypeError, AttributeError) as error:
        raise ValueError(error) from None


def current_status(folder: Path) -> Status:
    """The status corrected by the machine: a vanished process is failed (crashed), a stop on its way is stopping."""
    status = read_status(folder)
    if status.is_active and status.backend == "slurm":
        return slurm_state.corrected(status, slurm_state.last_asked(folder.parent))
    if not status.is_active or status.state == "queued":
        return status
    if status.host and status.host != socket.gethostname():
        # Another machine's processes cannot be seen from here, only that they say something now and then.
        silent = time.time() - max(status.heartbeat or 0.0, status.created or 0.0)
        if silent < SILENCE_LIMIT_SECONDS:
            return status
        sentence = f"It ran on {status.host}, and nothing was heard of it for {silent / 60:,.0f} minutes."
        return replace(status, state="failed", reason="lost", error=sentence, eta_seconds=None)
    rebooted = bool(status.boot) and status.boot != processes.boot_id()
    trainer, supervisor = living(status)
    # on either side, lest a clock that was set back keeps it starting for as long
    is_new = abs(time.time() - (status.created or 0)) < START_LIMIT_SECONDS
    starting = status.pid is None and not rebooted and (supervisor or (status.supervisor_pid is None and is_new))
    if not trainer and not starting:
        # Its last word may have come, or it has been resumed meanwhile; reading again costs nothing.
        again = read_status(folder)
        if not again.is_active:
            return again
        if (again.pid, again.supervisor_pid, again.state) != (status.pid, status.supervisor_pid, status.state):
            return current_status(folder)
        reason = "the machine was restarted" if rebooted else "crashed"
        sentence = "The machine was restarted while the run was going on." if rebooted else CRASHED
        return replace(again, state="failed", reason=reason, error=again.error or sentence, eta_seconds=None)
    if status.stop_requested is not None:
        return replace(status, state="stopping")
    return status


def living(status: Status) -> tuple[bool, bool]:
    """Whether the main process of a local run and its supervisor live, on this machine and since it was started."""
    if status.host not in ("", socket.gethostname()) or status.boot not in ("", processes.boot_id()):
        return False, False
    trainer = processes.is_alive(status.pid, status.process_start)
    return trainer, processes.is_alive(status.supervisor_pid, status.supervisor_start)


def stalled(status: Status, now: float | None = None) -> str:
    """One sentence if a run's process lives and does not get on, else an empty string.

    Args:
        status: as `current_status` gives it.
        now: seconds since the epoch.
    """
    if status.state not in ("running", "stopping") or status.heartbeat is None:
        return ""
    now = time.time() if now is None else now
    if now - status.heartbeat > QUIET_SECONDS:
        return (
            f"Its process lives, but was last heard of {_minutes(now - status.heartbeat)} ago: it may be suspended, or "
            "wait for a disk."
        )
    if not status.phase.startswith("training") or status.progressed is None or status.started is None:
        return ""
    usual = (status.seconds_before + status.progressed - status.started) / status.step if status.step else 0.0
    silence = now - status.progressed
    if silence <= max(STALL_SECONDS, STALL_STEPS * usual):
        return ""
    often = f", where one usually takes {usual:.2g} s" if usual > 0 else ""
    return f"No step was finished for {_minutes(silence)}{often}; the end of the log may tell what it waits for."


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:,.0f} minutes"


def has_supervisor(folder: Path) -> bool:
    """True if the process that started this one is the run's supervisor, and so writes the log."""
    status = read_status(folder)
    return status.supervisor_pid is not None and status.supervisor_pid == os.getppid()


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file in one step, so that a reader sees the old text or the new one, never half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(beside, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; released by the system when the holder dies.

    Raises:
        OSError: if it cannot be had within `LOCK_SECONDS`: its holder may have been suspended, and keeps it then.
    """
    with safe_read.open_to_append(folder / ".lock") as stream:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    why = "another process holds its lock and does not go on"
                    raise TimeoutError(errno.ETIMEDOUT, why, str(folder)) from None
                time.sleep(LOCK_POLL_SECONDS)
        try:
            yield
        finally:  # by name: closing it gives nothing free that a process forked meanwhile holds as well
            fcntl.flock(stream, fcntl.LOCK_UN)


def update_status(folder: Path, **changes: Any) -> Status:
    """Merges `changes` into `status.json` under the folder's lock; each field has one writer."""
    return change_status(folder, changes)


def change_status(
    folder: Path, changes: dict[str, Any], check: Callable[[], None] | None = None, lost: Status | None = None
) -> Status:
    """The same; `check` is called first, nobody else writing, and raises where the changes may not be made.

    Args:
        lost: what stood there, should the file be gone or damaged.
    """
    with locked(folder):
        try:
            status = _read_status(folder)
        except FileNotFoundError:
            status = lost or Status()
        except ValueError:
            status = lost or DAMAGED
        if check is not None:
            check()
        status = replace(status, **changes)
        text = json.dumps(asdict(status), indent=1)
        try:
            write_atomically(folder / STATUS, text)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            # A full disk has no room for a second file, but this one's block is there already. That a reader may see
            # it half written is the lesser evil: without it nobody would learn that the disk is full.
            with open(folder / STATUS, "r+", encoding="utf-8") as stream:
                stream.write(text)
                stream.truncate()
    return status


class StatusWriter:
    """Writes a process's own progress to `status.json` from a thread of its own, so that work never waits for a disk.

    It notes when step or phase last changed, counts the time left down while nothing new is said of it, and measures
    what the process and its descendants use of the machine.

    Args:
        folder: where `status.json` is.
        interval: seconds between two writes; a heartbeat goes out even when nothing changed.
    """

    def __init__(self, folder: Path, interval: float = 1.0) -> None:
        self.folder = folder
        self._changes: dict[str, Any] = {}
        self._guard = threading.Lock()
        self._end = threading.Event()
        self._interval = interval
        self._seen: dict[str, Any] = {}  # step and phase as they were set last
        self._done_at: float | None = None  # when the work should be done
        self._last: Status | None = None  # as written last
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._loop, name="status", daemon=True)

    def start(self, **changes: Any) -> StatusWriter:
        """Says which process this is, then keeps the heartbeat going."""
        pid = os.getpid()
        before = current_status(self.folder)
        # a stop that was asked for while this process was starting still counts; one from before a resume does not
        stop_requested = before.stop_requested if before.is_active else None
        now, self._began = time.time(), time.monotonic()
        self._last = update_status(
            self.folder, state="running", pid=pid, process_start=processes.process_start(pid),
            host=socket.gethostname(), boot=processes.boot_id(), started=now, heartbeat=now, progressed=now,
            seconds_before=before.elapsed_seconds or 0.0, ended=None, exit_code=None, signal=None, error="", reason="",
            stop_requested=stop_requested, **changes,
        )  # fmt: skip
        self._thread.start()
        return self

    def set(self, **changes: Any) -> None:
        progress: dict[str, Any] = {name: changes[name] for name in ("step", "phase") if name in changes}
        with self._guard:
            if progress and progress != {name: self._seen.get(name) for name in progress}:
                self._seen |= progress
                self._changes["progressed"] = time.time()
            if "eta_seconds" in changes:
                left = changes["eta_seconds"]
                self._done_at = None if left is None else time.monotonic() + left
            self._changes |= changes

    def close(self, **changes: Any) -> None:
        """Stops the heartbeat and writes the last word."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        unused = dict.fromkeys(("eta_seconds", "cpu_percent", "memory", "gpu_percent", "gpu_memory", "gpu_scope"))
        self.set(ended=time.time(), heartbeat=time.time(), **unused, **changes)
        self._write()

    def _write(self) -> None:
        with self._guard:
            changes, self._changes = self._changes, {}
            if self._done_at is not None:
                left = self._done_at - time.monotonic()
                changes["eta_seconds"] = left if left > 0 else None  # it takes longer than anyone can tell
        if (last := self._last) is not None and last.started is not None:
            jump = time.time() - (time.monotonic() - self._began) - last.started
            if abs(jump) > 1:  # the clock was set; durations stay what they are
                changes["started"] = last.started + jump
                if last.progressed is not None:
                    changes.setdefault("progressed", last.progressed + jump)
        try:
            self._last = change_status(self.folder, changes, lost=self._last)
        except OSError:
            with self._guard:
                self._changes = changes | self._changes  # for the next beat
            raise

    def _loop(self) -> None:
        usage = UsageMeter()
        while not self._end.wait(self._interval):
            with contextlib.suppress(Exception):  # whatever a driver answers, the heartbeat goes on
                self.set(**usage.sample_if_due(self._last.device if self._last is not None else ""))
            # A full disk or a deleted folder must not end the training: the next beat tries again.
            with contextlib.suppress(OSError):
                self.set(heartbeat=time.time())
                self._write()


# --- metrics.csv ----------------------------------------------------------------------------------------------------


class MetricsTail:
    """Reads a growing `metrics.csv` by its new lines only; a torn last line waits until it is whole.

    `columns` maps each name to a list of floats, NaN where a row has no value; all lists are equally long.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: dict[str, list[float]] = {}
        self._offset = 0
        self._identity: tuple[int, int] | None = None
        self._size = -1
        self._mtime = -1
        self._lock = threading.Lock()

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def refresh(self) -> bool:
        """Takes in what was written since; returns True if there was anything new."""
        with self._lock:
            return self._refresh()

    def _refresh(self) -> bool:
        try:
            stat = self.path.stat()
        except OSError:
            return self._forget()
        identity = (stat.st_dev, stat.st_ino)
        if identity == self._identity and stat.st_size == self._size and stat.st_mtime_ns == self._mtime:
            return False
        if identity != self._identity or stat.st_size < self._offset:
            self.columns, self._offset = {}, 0  # another file, or one that was cut for a resume
        try:
            with safe_read.open_file(self.path, safe_read.MAX_TABLE_BYTES) as stream:
                stream.seek(self._offset)
                block = stream.read()
        except OSError:
            return self._forget()
        whole = block.rfind(b"\n") + 1
        self._identity, self._size, self._mtime = identity, stat.st_size, stat.st_mtime_ns
        if not whole:
            return False
        self._offset += whole
        rows = []
        for line in block[:whole].decode("utf-8", errors="replace").split("\n"):
            if not line:
                continue
            row = _cells(line)  # line by line, so that garbage costs the line it stands in
            if not self.columns and len(line) <= safe_read.MAX_HEADER_BYTES:
                self.columns = {name: [] for name in dict.fromkeys(row) if name}
            elif self.columns and len(row) == len(self.columns):
                rows.append([_number(text) if text else math.nan for text in row])
        for values, more in zip(self.columns.values(), zip(*rows, strict=True), strict=False):
            values.extend(more)
        return True

    def _forget(self) -> bool:
        had = bool(self.columns)
        self.columns, self._offset, self._identity, self._size = {}, 0, None, -1
        return had


def _cells(line: str) -> list[str]:
    if '"' not in line:  # as in every row of ours, and many times quicker
        return line.rstrip("\r").split(",")
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


# --- one run --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A run folder. Everything is read when asked for, and missing or damaged files give empty values."""

    path: Path
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def is_example(self) -> bool:
        """Whether it ships with the package, to be looked at."""
        return self.path.parent.name == EXAMPLES

    @cached_property
    def config(self) -> dict[str, Any]:
        """The options as plain values; empty if `config.yaml` is missing or damaged."""
        try:
            values = safe_read.read_yaml(self.path / CONFIG)
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    @cached_property
    def brief(self) -> dict[str, Any]:
        """Those of the options that lists of runs show: as repeated in `meta.json`, if they are of this very
        `config.yaml`, else all that this one holds."""
        found = self.meta.get("brief")
        if isinstance(found, dict) and isinstance(found.get("options"), dict):
            with contextlib.suppress(OSError):
                text = safe_read.read_bytes(self.path / CONFIG, safe_read.MAX_YAML_BYTES)
                if found.get("config_crc32") == zlib.crc32(text):
                    return dict(found["options"])
        return self.config

    @property
    def meta(self) -> dict[str, Any]:
        return safe_read.json_dict(self.path / META)

    @property
    def kind(self) -> str:
        """`pretrain`, `finetune` or `scratch`; `unknown` if the folder does not tell."""
        if "temperature" in self.brief:
            return "pretrain"
        if "random_weight_init" in self.brief:
            return "scratch" if self.brief["random_weight_init"] else "finetune"
        return "unknown"

    @property
    def name(self) -> str:
        """What to call the run on screen: the name its user gave, else its id."""
        name = self.meta.get("name") or self.brief.get("name")
        return str(name) if name else self.id

    @property
    def tags(self) -> list[str]:
        meta = self.meta
        tags = meta["tags"] if "tags" in meta else self.config.get("tags")
        return [str(tag) for tag in tags] if isinstance(tags, list) else []

    @property
    def notes(self) -> str:
        meta = self.meta
        return str((meta["notes"] if "notes" in meta else self.config.get("notes")) or "")

    @property
    def created(self) -> float:
        created = self.meta.get("created")
        if isinstance(created, (int, float)) and 0 < created < 1e11:  # any later, and calendars give up
            return float(created)
        with contextlib.suppress(OSError):
            return self.path.stat().st_mtime
        return 0.0

    @property
    def experiment(self) -> str | None:
        """Id of the pre-training that this run starts from, or is compared with."""
        value = self.meta.get("experiment") or self.brief.get("experiment_version")
        return str(value) if value is not None else None

    @property
    def status(self) -> Status:
        return current_status(self.path)

    @property
    def evaluation(self) -> dict[str, Any]:
        return safe_read.json_dict(self.path / EVALUATION)

    @property
    def metrics_path(self) -> Path:
        return self.path / METRICS

    @property
    def health_path(self) -> Path:
        return self.path / HEALTH

    @property
    def model_path(self) -> Path:
        return self.path / MODEL

    @property
    def log_path(self) -> Path:
        return self.path / LOG

    def metrics(self) -> dict[str, list[float]]:
        """All whole rows of `metrics.csv` by column; for a file that grows, keep a `MetricsTail`."""
        tail = MetricsTail(self.metrics_path)
        tail.refresh()
        return tail.columns

    def log_tail(self, num_lines: int = 200) -> str:
        """The last lines of the log, with a progress bar's overwritten lines left out."""
        try:
            with safe_read.open_file(self.log_path) as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - 256 * num_lines))
                text = stream.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
        return "\n".join(lines[-num_lines:]).strip("\n")

    def edit(self, **changes: Any) -> None:
        """Changes name, notes or tags in `meta.json`."""
        unknown = set(changes) - {"name", "notes", "tags"}
        if unknown:
            raise ValueError(f"cannot edit {', '.join(sorted(unknown))}; allowed: name, notes, tags")
        with locked(self.path):
            write_atomically(self.path / META, json.dumps(self.meta | changes, indent=1))


# --- the runs folder ------------------------------------------------------------------------------------------------


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", Path(text).name.lower()).strip("_")[:32] or "data"


def new_id(config: cfg.RunConfig) -> str:
    """A name that sorts by time and tells what the run is: 20261122-142233-pretrain-cifar10-resnet18-x7k2."""
    moment = time.strftime("%Y%m%d-%H%M%S")
    # the system's randomness, not the seeded one: two runs with the same seed need two names
    suffix = "".join(random.SystemRandom().choices("abcdefghijkmnpqrstuvwxyz23456789", k=4))
    return f"{moment}-{config.kind}-{_slug(config.dataset or 'data')}-{config.backbone or 'model'}-{suffix}"


def next_version(runs_dir: Path) -> int:
    """The number after the highest `version` of any pre-training in the folder, starting at 0."""
    taken = [run.brief.get("version") for run in list_runs(runs_dir) if run.kind == "pretrain"]
    return max((number for number in taken if isinstance(number, int)), default=-1) + 1


def create(
    config: cfg.RunConfig, runs_dir: Path, command: list[str] | None = None, status: dict[str, Any] | None = None,
    **meta: Any,
) -> Run:  # fmt: skip
    """Makes a run folder in state `starting` with its `config.yaml` and `meta.json`.

    Args:
        config: complete options; a pre-training without a version is given the next free one.
        runs_dir: where run folders lie; made if missing.
        command: the command line that started the run.
        status: further or other fields of `status.json`, such as the state.
        meta: further entries of `meta.json`, such as `experiment`, the id of the pre-training it belongs to.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with locked(runs_dir):
            if isinstance(config, cfg.PretrainConfig) and config.version is None:
                config = config.model_copy(update={"version": next_version(runs_dir)})
            while True:
                path = runs_dir / new_id(config)
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    break
            first = {"state": "starting", "created": time.time(), "host": socket.gethostname(),
                     "boot": processes.boot_id(), "epochs": config.epochs}  # fmt: skip
            try:
                (path / CHECKPOINTS).mkdir()
                write_meta(path, config, command or [], **meta)
                write_config(path, config)
                update_status(path, **first | (status or {}))
                with contextlib.suppress(OSError, RuntimeError):  # no place for the key: whoever needs the seal says so
                    seal(path)
            except OSError:  # a full disk, say: half a folder would be half a run
                shutil.rmtree(path, ignore_errors=True)
                raise
    except OSError as error:
        raise ConfigError(f"runs_dir is {runs_dir}, which cannot be written: {error.strerror}.") from None
    return Run(path)


def write_config(path: Path, config: cfg.RunConfig) -> None:
    """Writes `config.yaml`; what follows from the options stands above them as a comment.

    The few options that lists of runs show are repeated in `meta.json`, which is read many times quicker.
    """
    head = (
        f"# {config.kind}; peak learning rate {config.peak_learning_rate:.6g}; repeat with:\n"
        f"# python -m simclr {command_name(config.kind)} --config {CONFIG}\n"
    )
    text = head + cfg.to_yaml(config)
    write_atomically(path / CONFIG, text)
    values = cfg.to_dict(config)
    options = {name: values[name] for name in BRIEF_OPTIONS if name in values}
    add_meta(path, brief={"config_crc32": zlib.crc32(text.encode()), "options": options})


def write_meta(path: Path, config: cfg.RunConfig, command: list[str], **more: Any) -> None:
    meta = {
        "created": time.time(),
        "name": config.name,
        "notes": config.notes,
        "tags": list(config.tags),
        "command": command,
        "versions": versions(),
        "git_commit": git_commit(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        **more,
    }
    write_atomically(path / META, json.dumps(meta, indent=1))


def add_meta(path: Path, **more: Any) -> None:
    """Records what became known after the folder was made, such as the device."""
    with locked(path):
        write_atomically(path / META, json.dumps(safe_read.json_dict(path / META) | more, indent=1))


def seal(path: Path) -> None:
    """Marks a folder of a run or job as made here, with the Slurm options that its `meta.json` holds."""
    seals.put(path, safe_read.json_dict(path / META).get("slurm"))


def is_own(path: Path) -> bool:
    """Whether this user made the folder of a run or job, and nobody has put other Slurm options into it."""
    return seals.holds(path, safe_read.json_dict(path / META).get("slurm"))


def write_evaluation(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path / EVALUATION, json.dumps(values, indent=1))


def command_name(kind: str) -> str:
    """The subcommand that makes a run of this kind."""
    return "pretrain" if kind == "pretrain" else "finetune"


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("torch", "torchvision", "lightning", "numpy", "scikit-learn", "streamlit"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit of this source, with `+changes` if the files differ from it; None outside a checkout."""
    here = PACKAGE
    try:
        commit = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
        if commit.returncode:
            return None
        status: list[str | Path] = ["git", "-C", here, "status", "--porcelain", "--", "."]
        changes = subprocess.run(status, capture_output=True, text=True, timeout=5)
        return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None


def load_config(run: Run) -> cfg.RunConfig:
    """The checked options of a run.

    Raises:
        ConfigError: if the folder holds none, or they are not valid any more.
    """
    if run.kind not in cfg.MODELS:
        raise ConfigError(f"{run.path} is not a run folder; allowed: a folder with a complete {CONFIG}.")
    config = cfg.build(cfg.MODELS[run.kind], run.config)
    assert isinstance(config, cfg.PretrainConfig | cfg.FinetuneConfig)
    return config


def is_run_folder(path: Path) -> bool:
    with contextlib.suppress(OSError, UnicodeEncodeError):  # one that may not be looked into, or cannot be named
        path.name.encode()
        return path.is_dir() and any((path / name).is_file() for name in (CONFIG, STATUS))
    return False


def is_startable(path: Path) -> bool:
    """True for a run folder whose run has not begun: training into any other would overwrite what it holds."""
    status = read_status(path)  # a folder without one counts as failed
    return is_run_folder(path) and status.state in ("queued", "starting") and status.pid in (None, os.getpid())


def begin_here(path: Path) -> None:
    """Makes this process the main one of a run that is to begin: at once, since to import torch takes seconds.

    Raises:
        ConfigError: if the run has begun, or another process was quicker.
    """

    def check() -> None:
        if not is_startable(path):
            raise ConfigError(
                f"run_dir is {path}; allowed: a run folder whose run is queued or starting. Repeat others without it."
            )

    check()
    mine = {"pid": os.getpid(), "process_start": processes.process_start(os.getpid())}
    with contextlib.suppress(OSError):  # a full disk, say: the training will tell
        change_status(path, mine | {"host": socket.gethostname(), "boot": processes.boot_id()}, check)


def has_checkpoint(path: Path) -> bool:
    """Whether there is one to go on from."""
    return any((path / CHECKPOINTS / name).is_file() for name in RESUMABLE_CHECKPOINTS)


def is_begun(path: Path) -> bool:
    """Whether a run has been trained, be it for a step: it goes on then, and its options are fixed."""
    return (path / METRICS).is_file() or has_checkpoint(path)


def list_runs(runs_dir: Path) -> list[Run]:
    """All run folders, newest first: those of the folder itself and the shipped ones under `examples`."""
    found = []
    for folder in (runs_dir, runs_dir / EXAMPLES):
        with contextlib.suppress(OSError):
            found += [Run(path) for path in folder.iterdir() if not path.name.startswith(".") and is_run_folder(path)]
    return sorted(found, key=lambda run: run.id, reverse=True)


def find(text: str | Path, runs_dir: Path) -> Run:
    """The run that `text` names: its folder, its id, or the only id that begins so.

    Raises:
        ConfigError: if there is none, or more than one.
    """
    text = str(text)
    with contextlib.suppress(OSError, ValueError):  # a name that is too long, or holds a null byte
        if is_run_folder(Path(text)):
            return Run(Path(text).resolve())
    known = list_runs(runs_dir)
    matches = [run for run in known if run.id == text] or [run for run in known if text and run.id.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(run.id for run in matches[:3])
        raise ConfigError(
            f"RUN is {text}, which {len(matches)} runs begin with ({names} ...); allowed: enough to be unique."
        )
    hint = cfg.nearest_name(text, [run.id for run in known])
    raise ConfigError(f"RUN is {text}; allowed: a run's folder, id or unique prefix in {runs_dir}{hint or '.'}")


def find_experiment(reference: int | str, runs_dir: Path) -> Run | Path:
    """What `experiment_version` names: a pre-training by version (newest wins) or RUN, else a weights file.

    Raises:
        ConfigError: if it names nothing of these.
    """
    if isinstance(reference, int):
        numbered = [run for run in list_runs(runs_dir) if run.kind == "pretrain"]
        for run in numbered:
            if run.brief.get("version") == reference:
                return run
        known = sorted({run.brief["version"] for run in numbered if isinstance(run.brief.get("version"), int)})
        with contextlib.suppress(ConfigError):
            return find(str(reference), runs_dir)  # the date that a run's id begins with
        shown = ", ".join(str(number) for number in known[-8:]) or "none yet"
        raise ConfigError(
            f"experiment_version is {reference}; allowed: the version of a pre-training in {runs_dir} ({shown})."
        )
    with contextlib.suppress(ConfigError):
        return find(reference, runs_dir)
    with contextlib.suppress(OSError, ValueError):
        if Path(reference).is_file():
            return Path(reference)
    hint = cfg.nearest_name(reference, [run.id for run in list_runs(runs_dir)])
    raise ConfigError(
        f"experiment_version is {reference}; allowed: a version number, a run's id, prefix or folder, or a weights file"
        f"{hint or '.'}"
    )


def delete(run: Run, runs_dir: Path, *, even_queued: bool = False) -> Path:
    """Moves a run to the trash folder and returns where it lies now.

    Args:
        even_queued: for the queue, which knows that nobody is about to start it.

    Raises:
        ConfigError: if it is active, not a run of this folder, or cannot be moved.
    """
    if run.path.resolve().parent != runs_dir.resolve():
        raise ConfigError(f"{run.id} does not lie in {runs_dir}; only its own runs can be deleted.")
    target = runs_dir / TRASH / run.id
    try:
        with locked(run.path):  # lest another tab resumes it between a look and the move
            status = run.status
            if status.is_active and not (even_queued and status.state == "queued"):
                raise ConfigError(f"{run.id} is {status.state}; allowed: a run that has ended. Stop it first.")
            target.parent.mkdir(exist_ok=True)
            if target.exists():
                shutil.rmtree(target)
            os.replace(run.path, target)
    except OSError as error:
        raise ConfigError(f"{run.id} cannot be deleted: {error.strerror}.") from None
    return target


def restore(run_id: str, runs_dir: Path) -> Run:
    """Brings a deleted run back from the trash folder.

    Raises:
        ConfigError: if it is not there, or cannot be moved.
    """
    trash = runs_dir / TRASH
    if run_id not in (os.listdir(trash) if trash.is_dir() else ()):
        raise ConfigError(f"RUN is {run_id}; allowed: a run in the trash of {runs_dir}.")
    if (runs_dir / run_id).exists():
        raise ConfigError(f"RUN is {run_id}, which is also in {runs_dir}; allowed: a run that is only in its trash.")
    try:
        os.replace(trash / run_id, runs_dir / run_id)
    except OSError as error:
        raise ConfigError(f"{run_id} cannot be brought back: {error.strerror}.") from None
    return Run(runs_dir / run_id)


def python_command(*arguments: str) -> list[str]:
    """The argument list that runs this package with the interpreter that runs now."""
    return [sys.executable, "-m", "simclr", *arguments]
