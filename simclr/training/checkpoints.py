"""Checkpoints that survive a crash at any moment: written beside, synced, renamed, with the one before kept.

last.ckpt       after every epoch, and within one every few minutes
previous.ckpt   the one before it: a run resumes from it if the last is damaged
best.ckpt       best by validation; epoch-N.ckpt where asked
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.plugins import TorchCheckpointIO
from torch import Tensor

from simclr import runs
from simclr.config import ConfigError
from simclr.files import safe_read, writing
from simclr.files.user_paths import with_dead_link

# Seconds that a stop leaves a batch that does not come, where going without it costs work or other processes theirs.
STOP_WAIT_SECONDS = 30.0


class StopRequested(Exception):
    """Someone asked the run to stop; the state is saved."""


class DivergedError(Exception):
    """The loss is not a number any more."""


# --- files ----------------------------------------------------------------------------------------------------------


def save_atomically(content: Any, path: Path) -> None:
    """`torch.save` that is never seen half done: written beside its place, synced to disk, renamed."""
    path.parent.mkdir(exist_ok=True)  # but not the run's folder: that may have been deleted under it
    with writing.replacing(path) as stream:
        torch.save(content, stream)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written by `save_atomically`: its own go through the system's temporary folder.

    is_extended: the training had ended with the checkpoint that is loaded, and goes on now.
    """

    def __init__(self, is_extended: bool = False) -> None:
        self.is_extended = is_extended

    def load_checkpoint(self, *arguments: Any, **more: Any) -> dict[str, Any]:
        content: dict[str, Any] = super().load_checkpoint(*arguments, **more)
        if self.is_extended:
            _reopen_epoch(content["loops"]["fit_loop"])
        return content

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_atomically(checkpoint, Path(path))


def _reopen_epoch(loop: dict[str, Any]) -> None:
    """Makes of an epoch that `max_steps` has cut short one that is going on, as a checkpoint within an epoch has it."""
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    if batches["is_last_batch"] or epochs["current"]["processed"] != epochs["current"]["started"]:
        return
    for part in ("total", "current"):
        epochs[part]["processed"] -= 1
        batches[part]["completed"] -= 1


def _link_or_copy(source: Path, target: Path) -> None:
    """Gives a file a second name, replacing what had it; a copy where the file system knows no hard links."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        try:
            os.link(source, beside)
        except OSError:
            shutil.copyfile(source, beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def publish(fresh: Path, more_names: Iterable[str] = ()) -> None:
    """Makes `fresh`, a whole checkpoint, the last one of its folder, and gives it `more_names` too.

    The last name comes last: a crash in between leaves the checkpoint before it in force, whose run repeats the same
    steps and writes the same files again.
    """
    last = fresh.with_name(runs.LAST_CHECKPOINT)
    for name in more_names:
        _link_or_copy(fresh, fresh.with_name(name))
    if last.exists():
        _link_or_copy(last, fresh.with_name(runs.PREVIOUS_CHECKPOINT))
    os.replace(fresh, last)


def remove_partial_files(folder: Path) -> None:
    """Removes what a killed process has left half written, each as large as a checkpoint."""
    for path in folder.glob(".*.ckpt.*"):
        path.unlink(missing_ok=True)


def load_last(folder: Path, device: torch.device | str = "cpu") -> tuple[Path, dict[str, Any]] | None:
    """The newest readable checkpoint of a folder and its path; None where none was written.

    Raises:
        ConfigError: if there are some and all are damaged.
    """
    damaged = []
    for name in runs.RESUMABLE_CHECKPOINTS:
        path = folder / name
        try:
            with safe_read.open_file(path) as stream:
                with zipfile.ZipFile(stream) as archive:  # torch.load looks at no checksum: a flipped bit would be used
                    if (part := archive.testzip()) is not None:
                        raise zipfile.BadZipFile(part)
                stream.seek(0)
                content = torch.load(stream, map_location=device, weights_only=True)
        except FileNotFoundError:
            continue
        except Exception:  # whatever a torn file makes of the unpickler
            damaged.append(name)
            continue
        if damaged:
            print(f"{damaged[0]} is damaged; going on from {name}, the one before it", flush=True)
        return path, content
    if damaged:
        links = "".join(with_dead_link(folder / name) for name in damaged[:1])
        are = "is" if len(damaged) == 1 else "are"
        raise ConfigError(
            f"{' and '.join(damaged)} {are} damaged{links} and cannot be gone on from; start the run anew."
        )
    return None


# --- callbacks ------------------------------------------------------------------------------------------------------

Score = Callable[[Mapping[str, float]], tuple[float, ...] | None]


class Checkpoints(L.Callback):
    """Writes a run's checkpoints, and knows which epoch was best.

    Args:
        folder: the run's checkpoint folder.
        score: of an epoch's validation metrics, higher is better; None where the epoch was not judged.
        every_epochs: how often an epoch's own file is kept; 0: never.
        patience: the training ends after this many judged epochs in a row without a better one; None: never.
    """

    def __init__(self, folder: Path, score: Score, every_epochs: int = 0, patience: int | None = None) -> None:
        self.folder, self.score, self.every_epochs, self.patience = folder, score, every_epochs, patience
        self.best: tuple[float, ...] | None = None
        self.best_epoch: int | None = None
        self.epochs_since_best = 0
        self.has_ended = False  # the training: a resume from this checkpoint trains no further
        self.is_extended = False  # it had ended with the checkpoint that is loaded, and goes on now
        self.saved_at = time.monotonic()

    @property
    def is_patience_over(self) -> bool:
        return self.patience is not None and self.epochs_since_best >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "epochs_since_best": self.epochs_since_best,
            "has_ended": self.has_ended,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self.best = None if best is None else tuple(best)
        self.best_epoch = state_dict["best_epoch"]
        self.epochs_since_best = state_dict["epochs_since_best"]
        # checkpoints of earlier versions do not say it
        self.has_ended = not self.is_extended and (state_dict.get("has_ended", False) or self.is_patience_over)

    def judge(self, epoch: int, measured: Mapping[str, float]) -> bool:
        """Takes in an epoch's metrics; True if it is the best so far."""
        score = self.score(measured)
        if score is None:
            return False
        is_best = self.best is None or score > self.best
        self.epochs_since_best = 0 if is_best else self.epochs_since_best + 1
        if is_best:
            self.best, self.best_epoch = score, epoch
        return is_best

    def save(self, trainer: L.Trainer, more_names: Iterable[str] = ()) -> None:
        """Writes the last checkpoint; all processes of a run call it.

        Raises:
            DivergedError: if the weights are not finite; the last good checkpoint stays.
        """
        check_finite(trainer.lightning_module, trainer.global_step)
        fresh = self.folder / runs.FRESH_CHECKPOINT
        trainer.save_checkpoint(fresh)
        if trainer.is_global_zero:
            publish(fresh, more_names)
        self.saved_at = time.monotonic()

    def save_content(self, content: dict[str, Any]) -> None:
        """The same for training outside Lightning."""
        fresh = self.folder / runs.FRESH_CHECKPOINT
        save_atomically(content, fresh)
        publish(fresh)
        self.saved_at = time.monotonic()

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        # Lightning knows of `max_epochs` only; whatever else ended the training is in the checkpoint.
        trainer.should_stop = trainer.should_stop or self.has_ended

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        epoch = trainer.current_epoch + 1
        names = [runs.BEST_CHECKPOINT] if self.judge(epoch, pl_module.val_metrics) else []
        if self.every_epochs and epoch % self.every_epochs == 0:
            names.append(f"epoch-{epoch}.ckpt")
        self.has_ended = trainer.should_stop = trainer.should_stop or self.is_patience_over
        self.save(trainer, names)


def check_finite(module: torch.nn.Module, step: int) -> None:
    """Raises DivergedError unless all weights are numbers: what is not must never become a checkpoint."""
    finite = [torch.isfinite(parameter).all() for parameter in module.parameters()]
    if finite and not torch.stack(finite).all():  # a GPU is waited for once, not for each parameter
        raise DivergedError(
            f"The weights are not finite after step {step}. Likely causes: a learning rate that is too high, no "
            "warm-up, or a very low temperature. The checkpoint before it is kept."
        )


class StopAndTimedCheckpoints(L.Callback):
    """Checkpoints within an epoch, and the clean end that a signal asked for: save after the batch, then stop.

    The last batch of an epoch, or of the training, belongs to its validation: the epoch is then finished first.
    Several processes have to do either after the same step. They tell each other through small messages beside the
    training's own, each read one step after it was sent, so that no step waits for one.

    Args:
        requested: set by the signal handler.
        checkpoints: writes them.
        every_minutes: how often within an epoch; 0: never.
    """

    def __init__(self, requested: threading.Event, checkpoints: Checkpoints, every_minutes: float) -> None:
        self.requested, self.checkpoints = requested, checkpoints
        self.every_seconds = 60 * every_minutes
        self._group: Any = None
        self._sent: tuple[Any, Tensor] | None = None
        self._impatient_from: float | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.checkpoints.saved_at = time.monotonic()
        if trainer.world_size > 1:
            self._group = dist.new_group(backend="gloo")

    def _wishes(self, trainer: L.Trainer) -> list[bool]:
        # one clock only: the main process's
        due = trainer.is_global_zero and 0 < self.every_seconds <= time.monotonic() - self.checkpoints.saved_at
        return [self.requested.is_set(), due]

    def _received(self) -> list[bool]:
        """What any process asked for at the step before."""
        if self._sent is None:
            return [False, False]
        work, flags = self._sent
        work.wait()
        self._sent = None
        return [bool(flag) for flag in flags.tolist()]

    def _send(self, trainer: L.Trainer) -> None:
        flags = torch.tensor(self._wishes(trainer), dtype=torch.int32)
        self._sent = dist.all_reduce(flags, op=dist.ReduceOp.MAX, group=self._group, async_op=True), flags

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if self._group is None:
            wishes = self._wishes(trainer)
        else:
            wishes = self._received()
            self._send(trainer)
        stop, save = wishes[0], wishes[1]
        if trainer.is_last_batch or trainer.should_stop:
            return
        if stop or save:
            self.checkpoints.save(trainer)
        if stop:
            raise StopRequested

    def while_waiting(self, trainer: L.Trainer, seconds: float) -> None:
        """Obeys a stop while the next batch does not come. seconds: waited for it so far.

        In training the state is the one after the batch before, which is saved. That of a validation cannot be, nor
        can that of several processes, some of which wait for this one: after `STOP_WAIT_SECONDS` the last checkpoint
        counts.
        """
        if not self.requested.is_set():
            return
        if trainer.training and self._group is None:
            self.checkpoints.save(trainer)
            raise StopRequested
        if self._impatient_from is None:
            self._impatient_from = time.monotonic() + STOP_WAIT_SECONDS
        if seconds > STOP_WAIT_SECONDS and time.monotonic() > self._impatient_from:
            raise StopRequested

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        stop = self.requested.is_set()
        if self._group is not None:
            self._received()
            self._send(trainer)
            stop = self._received()[0]
        if stop and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            raise StopRequested

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._sent = None
        if not trainer.is_global_zero:  # the main process may be about to publish it
            return
        with contextlib.suppress(OSError):
            (self.checkpoints.folder / runs.FRESH_CHECKPOINT).unlink(missing_ok=True)
