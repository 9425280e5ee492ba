"""Creates, finds, lists, deletes and restores run folders, and writes their options and metadata (no torch).

Files that users or crashes have damaged cost that file, never the page: readers give empty values.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import zlib
from collections import Counter
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from simclr import PACKAGE
from simclr import config as cfg
from simclr.config import ConfigError, not_written
from simclr.files import safe_read, writing
from simclr.files.names import readable
from simclr.files.user_paths import with_dead_link
from simclr.hardware import processes
from simclr.runs import extensions, seals
from simclr.runs.file_names import (
    CHECKPOINTS,
    CONFIG,
    EVALUATION,
    EXAMPLES,
    META,
    METRICS,
    RESUMABLE_CHECKPOINTS,
    SHARED_WEIGHTS,
    STATUS,
    TRASH,
)
from simclr.runs.run import Run
from simclr.runs.status import read_status
from simclr.runs.status_writer import change_status, update_status

# The options that lists of runs show.
BRIEF_OPTIONS = (
    "name",
    "version",
    "dataset",
    "backbone",
    "seed",
    "temperature",
    "experiment_version",
    "random_weight_init",
    "freeze_encoder",
    "label_fraction",
    "labels_per_class",
    "subset_seed",
)

STAMP_LENGTH = len("20261122-142233")  # what a name begins with: the second in which the run was created


def default_runs_dir() -> Path:
    """`$SIMCLR_RUNS_DIR`, else `runs` in the current folder."""
    return Path(os.environ.get("SIMCLR_RUNS_DIR") or "runs")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", Path(text).name.lower()).strip("_")[:32] or "data"


def new_id(config: cfg.RunConfig) -> str:
    """A name that sorts by time and tells what the run is: 20261122-142233-pretrain-cifar10-resnet18-x7k2."""
    moment = time.strftime("%Y%m%d-%H%M%S")
    backbone = _slug((config.backbone or "model").rpartition(".")[2])  # of one's own: its class
    return f"{moment}-{config.kind}-{_slug(config.dataset or 'data')}-{backbone}-{random_suffix()}"


def random_suffix() -> str:
    """`x7k2`: what makes a name unique."""
    # the system's random numbers, not the seeded ones: two runs with the same seed need two names
    return "".join(random.SystemRandom().choices("abcdefghijkmnpqrstuvwxyz23456789", k=4))


def next_version(runs_dir: Path) -> int:
    """The number after the highest `version` of any pre-training in the folder, starting at 0."""
    taken = [run.brief.get("version") for run in list_runs(runs_dir) if run.kind == "pretrain"]
    return max((number for number in taken if isinstance(number, int)), default=-1) + 1


def create(
    config: cfg.RunConfig,
    runs_dir: Path,
    command: list[str] | None = None,
    status: dict[str, Any] | None = None,
    **meta: Any,
) -> Run:
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
        with writing.locked(runs_dir):
            if isinstance(config, cfg.PretrainConfig) and config.version is None:
                config = config.model_copy(update={"version": next_version(runs_dir)})
            while True:
                path = runs_dir / new_id(config)
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    break
            first = {
                "state": "starting",
                "created": time.time(),
                "host": socket.gethostname(),
                "boot": processes.boot_id(),
                "epochs": config.epochs,
            }
            try:
                (path / CHECKPOINTS).mkdir()
                write_meta(path, config, command or [], **meta)
                write_config(path, config)
                update_status(path, **first | (status or {}))
                with contextlib.suppress(OSError, RuntimeError):  # no place for the key: checked where it matters
                    seal(path)
            except OSError:  # such as a full disk: no half-made run stays
                shutil.rmtree(path, ignore_errors=True)
                raise
    except OSError as error:
        raise not_written(f"runs_dir is {runs_dir}, which cannot be written", error, "SIMCLR_RUNS_DIR") from None
    return Run(path)


def write_config(path: Path, config: cfg.RunConfig) -> None:
    """Writes `config.yaml`; what follows from the options stands above them as a comment.

    The few options that lists of runs show are repeated in `meta.json`, which is read many times quicker.
    """
    head = (
        f"# {config.kind}; peak learning rate {config.peak_learning_rate:.6g}; repeat with:\n"
        f"# python -m simclr {command_name(config.kind)} --config {CONFIG}\n"
    )
    if found := extensions.recorded(safe_read.json_dict(path / META)):
        head += f"# trained longer than planned, {extensions.text_of(found)}: at once, these options have other rates\n"
    text = head + cfg.to_yaml(config)
    writing.write_atomically(path / CONFIG, text)
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
    writing.write_atomically(path / META, json.dumps(meta, indent=1))


def add_meta(path: Path, **more: Any) -> None:
    """Adds entries to `meta.json`, such as the device."""
    with writing.locked(path):
        writing.write_atomically(path / META, json.dumps(safe_read.json_dict(path / META) | more, indent=1))


def seal(path: Path) -> None:
    """Marks the folder of a run or job as created here, with the Slurm options in its `meta.json`."""
    seals.put(path, safe_read.json_dict(path / META).get("slurm"))


def is_own(path: Path) -> bool:
    """Whether this user created the folder of a run or job, and its Slurm options are unchanged."""
    return seals.holds(path, safe_read.json_dict(path / META).get("slurm"))


def write_evaluation(path: Path, values: dict[str, Any]) -> None:
    writing.write_atomically(path / EVALUATION, json.dumps(values, indent=1))


def command_name(kind: str) -> str:
    """The subcommand that trains a run of this kind."""
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
        return any(os.path.isfile(f"{path}/{name}") for name in (CONFIG, STATUS))
    return False


def is_startable(path: Path) -> bool:
    """True for a run folder whose run has not begun; training into any other would overwrite its files."""
    status = read_status(path)  # a folder without one counts as failed
    return is_run_folder(path) and status.state in ("queued", "starting") and status.pid in (None, os.getpid())


def begin_here(path: Path) -> None:
    """Makes this process the main process of a run that has not begun, before it imports torch, which takes seconds.

    Raises:
        ConfigError: if the run has begun, or another process was faster.
    """

    def check() -> None:
        if not is_startable(path):
            raise ConfigError(
                f"run_dir is {path}; allowed: a run folder whose run is queued or starting. Repeat others without it."
            )

    check()
    mine = {"pid": os.getpid(), "process_start": processes.process_start(os.getpid())}
    with contextlib.suppress(OSError):  # such as a full disk: the training reports it
        change_status(path, mine | {"host": socket.gethostname(), "boot": processes.boot_id()}, check)


def has_checkpoint(path: Path) -> bool:
    """Whether there is a checkpoint to resume from."""
    return any((path / CHECKPOINTS / name).is_file() for name in RESUMABLE_CHECKPOINTS)


def is_begun(path: Path) -> bool:
    """Whether a run has been trained for at least one step: it can only be resumed then, and its options are fixed."""
    return (path / METRICS).is_file() or has_checkpoint(path)


def run_folders(runs_dir: Path) -> list[Run]:
    """All run folders, in no order: those of the folder itself and the shipped ones under `examples`."""
    found = []
    for folder in (runs_dir, runs_dir / EXAMPLES):
        with contextlib.suppress(OSError):
            found += [Run(path) for path in folder.iterdir() if not path.name.startswith(".") and is_run_folder(path)]
    return found


def list_runs(runs_dir: Path) -> list[Run]:
    """All run folders, newest first. Of those of one second, whose names end at random, `meta.json` is read."""
    found = run_folders(runs_dir)
    seconds = Counter(run.id[:STAMP_LENGTH] for run in found)

    def age(run: Run) -> tuple[str, float, str]:
        second = run.id[:STAMP_LENGTH]
        return second, run.created if seconds[second] > 1 else 0.0, run.id

    return sorted(found, key=age, reverse=True)


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
    raise ConfigError(
        f"RUN is {text}{with_dead_link(Path(text))}; allowed: a run's folder, id or unique prefix in {runs_dir}"
        f"{hint or '.'}"
    )


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
        for path in (Path(reference), *(Path(reference) / name for name in SHARED_WEIGHTS)):
            if path.is_file():
                return path
    hint = cfg.nearest_name(reference, [run.id for run in list_runs(runs_dir)])
    raise ConfigError(
        f"experiment_version is {reference}{_dead_links_at(Path(reference))}; allowed: a version number, a run's id, "
        f"prefix or folder, or a weights file or a folder with one{hint or '.'}"
    )


def _dead_links_at(path: Path) -> str:
    """The link that leads nowhere on the way to weights, or to those in a folder, in words; empty if there is none."""
    found = (with_dead_link(part) for part in (path, *(path / name for name in SHARED_WEIGHTS)))
    return next(filter(None, found), "")


def dead_links_said(runs_dir: Path) -> str:
    """One sentence on links in a runs folder that lead nowhere, such as to a missing disk; empty if none do."""
    try:
        with os.scandir(runs_dir) as entries:
            links = [entry for entry in entries if entry.is_symlink() and not entry.name.startswith(".")]
            names = sorted(readable(entry.name) for entry in links if not os.path.exists(entry.path))
    except OSError:
        return ""
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    what = "1 link that leads nowhere is" if len(names) == 1 else f"{len(names):,} links that lead nowhere are"
    return f"{what} left out: {shown}."


def delete(run: Run, runs_dir: Path, *, even_queued: bool = False) -> Path:
    """Moves a run to the trash folder and returns where it lies now.

    Args:
        even_queued: also one that waits; for the queue, which holds the lock that a start needs.

    Raises:
        ConfigError: if it is active, not a run of this folder, or cannot be moved.
    """
    if run.path.resolve().parent != runs_dir.resolve():
        raise ConfigError(f"{run.id} does not lie in {runs_dir}; only its own runs can be deleted.")
    target = runs_dir / TRASH / run.id
    try:
        with writing.locked(run.path):  # so that another tab does not resume it meanwhile
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
