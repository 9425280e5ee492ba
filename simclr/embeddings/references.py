"""Which encoders can be asked for: a run's weights, a checkpoint, its untrained network, or raw pixels (no torch)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.models.weights import Weights
from simclr.runs import Run

CHECKPOINTS = ("best", "last", "epoch-N")
LAYERS = ("h", "z")
# Not runs, but worth comparing one with: its network before training, and no network at all.
UNTRAINED, PIXELS = "untrained", "pixels"

Representation = Literal["h", "z"]


@dataclass(frozen=True)
class EncoderRef:
    """One side of a comparison: a run's weights, or its network untrained, or its images' pixels.

    checkpoint: `best`, `last` or `epoch-N`; None: the final weights, and the last checkpoint of a run without them.
    layer: the representation h, or the projector's z, which only pre-trainings have.
    """

    run: Run
    what: Literal["weights", "untrained", "pixels"] = "weights"
    checkpoint: str | None = None
    layer: Representation = "h"

    @property
    def name(self) -> str:
        """For people."""
        parts = [{"weights": self.run.name, UNTRAINED: "the untrained network", PIXELS: "raw pixels"}[self.what]]
        if self.checkpoint and self.what == "weights":
            epoch = self.checkpoint.removeprefix("epoch-")
            parts.append(f"epoch {epoch}" if epoch != self.checkpoint else f"{self.checkpoint} checkpoint")
        if self.layer != "h":
            parts.append(f"layer {self.layer}")
        return ", ".join(parts)

    @property
    def reference(self) -> str:
        """The text by which `resolve_encoders` finds it again."""
        parts = [self.run.id if self.what == "weights" else self.what]
        parts += [self.checkpoint] if self.checkpoint and self.what == "weights" else []
        return "@".join([*parts, *([self.layer] if self.layer != "h" else [])])


def is_checkpoint(word: str) -> bool:
    """True for `best`, `last` and `epoch-` with a number."""
    return word in CHECKPOINTS[:2] or re.fullmatch(r"epoch-[1-9]\d{0,8}", word) is not None


def resolve_encoders(
    names: Sequence[str], runs_dir: Path, checkpoint: str | None = None, layer: Representation = "h"
) -> list[EncoderRef]:
    """The encoders that RUN arguments name: runs, `untrained` and `pixels`; the first run lends those its data.

    A name may end in a checkpoint and a layer of its own, `RUN@epoch-8@z`; else `checkpoint` and `layer` hold.

    Raises:
        ConfigError: if one names nothing, or none is a run.
    """
    taken_apart = [_split_reference(name, checkpoint, layer) for name in names]
    found = [None if name in (UNTRAINED, PIXELS) else runs.find(name, runs_dir) for name, *_ in taken_apart]
    host = next((run for run in found if run is not None), None)
    if host is None:
        raise ConfigError(
            f"RUN is {', '.join(names)}; allowed: at least one run, whose data and network are then used."
        )
    return [
        EncoderRef(run, "weights", *rest) if run is not None else EncoderRef(host, name, None, rest[1])  # type: ignore[arg-type]
        for run, (name, *rest) in zip(found, taken_apart, strict=True)
    ]


def resolve_with_untrained(names: Sequence[str], runs_dir: Path) -> list[EncoderRef]:
    """Encoders by RUN, RUN@best, RUN@epoch-8, or `untrained:RUN`, a run's network before its training.

    Raises:
        ConfigError: if there is none of a name.
    """
    found = []
    for name in names:
        is_untrained = name.startswith(f"{UNTRAINED}:") and name != f"{UNTRAINED}:"
        found += [run_or_untrained(name, runs_dir)] if is_untrained else resolve_encoders([name], runs_dir)
    return found


def run_or_untrained(name: str, runs_dir: Path) -> EncoderRef:
    """A run by its id, a unique beginning or its folder, or by `untrained:RUN` its network before its training.

    Raises:
        ConfigError: if there is none of that name.
    """
    word, _, host = name.partition(":")
    is_untrained = word == UNTRAINED and bool(host)
    return EncoderRef(runs.find(host if is_untrained else name, runs_dir), "untrained" if is_untrained else "weights")


def _split_reference(
    text: str, checkpoint: str | None, layer: Representation
) -> tuple[str, str | None, Representation]:
    while "@" in text:
        rest, _, word = text.rpartition("@")
        if word in LAYERS:
            layer = word  # type: ignore[assignment]
        elif is_checkpoint(word):
            checkpoint = word
        else:
            break
        text = rest
    return text, checkpoint, layer


def checkpoints_of(run: Run) -> list[str]:
    """The checkpoints of a run that an EncoderRef may name: `best` and `last` first, then epochs in order."""
    if _has_head_alone(run):
        return []
    folder = run.path / runs.CHECKPOINTS
    epochs = [path.stem for path in folder.glob("epoch-*.ckpt") if is_checkpoint(path.stem)]
    found = [name for name in CHECKPOINTS[:2] if (folder / f"{name}.ckpt").is_file()]
    return found + sorted(epochs, key=lambda name: int(name.removeprefix("epoch-")))


def layers_of(model: EncoderRef) -> tuple[Representation, ...]:
    """`h`, and `z` where there is a projector."""
    return LAYERS if model.what != PIXELS and model.run.kind == "pretrain" else ("h",)  # type: ignore[return-value]


def _has_head_alone(run: Run) -> bool:
    """True if a run's checkpoints hold nothing but the head, since its encoder never changed."""
    return run.kind == "finetune" and bool(run.config.get("freeze_encoder")) and run.config.get("augmentation") is None


def weights_path(run: Run, checkpoint: str | None = None) -> Path:
    """The file with an encoder's weights that a run has.

    Raises:
        ConfigError: if it has none yet.
    """
    folder = run.path / runs.CHECKPOINTS
    last, best = folder / runs.LAST_CHECKPOINT, folder / runs.BEST_CHECKPOINT
    if _has_head_alone(run):
        last = best = run.model_path
    named = {None: (run.model_path, last), "best": (best,), "last": (last,)}
    for path in named.get(checkpoint) or (folder / f"{checkpoint}.ckpt",):
        if path.is_file():
            return path
    if checkpoint is None:
        raise ConfigError(
            f"{run.id} is {run.status.state} and has no weights yet; allowed: a run that has trained an epoch."
        )
    there = ", ".join(checkpoints_of(run)) or "none is kept"
    raise ConfigError(
        f"checkpoint is {checkpoint}, which {run.id} does not have; allowed: one that was saved ({there}), or unset."
    )


def has_weights(run: Run) -> bool:
    """True if features can be computed from this run."""
    if run.kind not in cfg.MODELS:
        return False
    with contextlib.suppress(ConfigError):
        weights_path(run)
        return True
    return False


@contextlib.contextmanager
def open_weights(model: EncoderRef) -> Iterator[Weights | None]:
    """The weights of a model; those of its run for an untrained network, whose stem they tell. None where none are.

    Raises:
        ConfigError: if a model that is to have weights has none.
    """
    path = None
    if model.what == "weights":
        path = weights_path(model.run, model.checkpoint)
    elif model.what == UNTRAINED and has_weights(model.run):
        path = weights_path(model.run)
    try:
        weights = Weights(path) if path is not None else None
    except OSError as error:
        raise ConfigError(f"RUN has the weights {path}, which cannot be read: {error.strerror}.") from None
    try:
        yield weights
    finally:
        if weights is not None:
            weights.close()
