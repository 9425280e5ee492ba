"""What made a training fail, in a short reason and one sentence with the remedy."""

from __future__ import annotations

import errno

import lightning as L

from simclr.config import ConfigError
from simclr.hardware import devices, rank_messages
from simclr.runs import StatusWriter
from simclr.training.checkpoints import DivergedError, StopRequested


class TellOthers(L.Callback):
    """Tells the run's other processes of an exception before anything is taken down, which may wait for them."""

    def __init__(self, peers: rank_messages.RankMessages, batch_size: int) -> None:
        self.peers, self.batch_size = peers, batch_size

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, Exception) and not isinstance(exception, (StopRequested, DivergedError)):
            self.peers.say(*explain(exception, self.batch_size))


def close_as_failed(
    status: StatusWriter, error: BaseException, batch_size: int, peers: rank_messages.RankMessages
) -> str:
    word = peers.verdict(*explain(error, batch_size))
    status.close(state="failed", reason=word.reason, phase="", error=word.sentence, exit_code=1)
    peers.say(word.reason, word.sentence)
    return word.sentence


def explain(error: BaseException, batch_size: int) -> tuple[str, str]:
    """A short reason and one sentence with the remedy for an exception that ended a training."""
    text = str(error)
    cause: BaseException | None = error
    while cause is not None:  # what writes a checkpoint makes something else of it
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return "disk full", "The disk is full; free some space, then resume the run."
        cause = cause.__cause__ or cause.__context__
    if devices.is_out_of_memory(error):
        smaller = max(2, batch_size // 2)
        return "out of memory", (
            f"It ran out of memory with batch_size {batch_size}; try batch_size {smaller}, or for a pre-training "
            f"micro_batch_size {smaller}, which keeps the batch."
        )
    if isinstance(error, ConfigError):
        return "bad input", text
    if isinstance(error, RuntimeError) and (found := rank_messages.explain(text)) is not None:
        return found
    if "does not have a deterministic implementation" in text:
        return "bad input", (
            f"deterministic is true, and {text.split()[0]} is computed in another order each time on this GPU; allowed "
            "here: auto or false."
        )
    if "Expected more than 1 value per channel" in text:
        return "bad input", (
            f"A batch had a single image for each process (batch_size {batch_size}), which this network's BatchNorm "
            "cannot train on; allowed: at least 2 images for each process, in batch_size and in the training images."
        )
    if "shared memory" in text:
        return (
            "out of memory",
            "Reading processes ran out of shared memory (/dev/shm); enlarge it, or set num_workers 0.",
        )
    if "DataLoader worker" in text:
        return "worker lost", (
            "A process that reads images was ended, often for want of memory; try a smaller num_workers, and resume."
        )
    first = text.strip().splitlines()[0] if text.strip() else "no message"
    return "error", f"{type(error).__name__}: {first[:300]}"
