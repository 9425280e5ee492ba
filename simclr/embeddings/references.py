"""Which encoders can be asked for: a run's weights, a checkpoint, its untrained network, raw pixels, or embeddings that
were added (no torch)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simclr import config as cfg
from simclr import runs
from simclr.added import sets
from simclr.added.sets import AddedSet
from simclr.config import ConfigError
from simclr.files.user_paths import user_path
from simclr.models.weights import Weights
from simclr.runs import Run

CHECKPOINTS = ("best", "last", "epoch-N")
LAYERS = ("h", "z")
# Not runs, but worth comparing one with: its network before training, and no network at all.
UNTRAINED, PIXELS = "untrained", "pixels"
ADDED = "added"  # embeddings that another encoder made, under their own name

Representation = Literal["h", "z"]


@dataclass(frozen=True)
class EncoderRef:
    """One side of a comparison: a run's weights, or its network untrained, or its images' pixels, or what was added.

    checkpoint: `best`, `last` or `epoch-N`; None: the final weights, and the last checkpoint of a run without them.
    layer: the representation h, or the projector's z, which only pre-trainings have.
    added: embeddings of another encoder, of the model `added`, which is only compared with `run`.
    """

    run: Run
    what: Literal["weights", "untrained", "pixels", "added"] = "weights"
    checkpoint: str | None = None
    layer: Representation = "h"
    added: AddedSet | None = None

    @property
    def name(self) -> str:
        """For people."""
        names = {"weights": self.run.name, UNTRAINED: "the untrained network", PIXELS: "raw pixels"}
        parts = [names[self.what] if self.added is None else self.added.name]
        if self.checkpoint and self.what == "weights":
            epoch = self.checkpoint.removeprefix("epoch-")
            parts.append(f"epoch {epoch}" if epoch != self.checkpoint else f"{self.checkpoint} checkpoint")
        if self.layer != "h":
            parts.append(f"layer {self.layer}")
        return ", ".join(parts)

    @property
    def reference(self) -> str:
        """The text by which `resolve_encoders` finds it again."""
        parts = [self.run.id if self.what == "weights" else self.what if self.added is None else self.added.name]
        parts += [self.checkpoint] if self.checkpoint and self.what == "weights" else []
        return "@".join([*parts, *([self.layer] if self.layer != "h" else [])])


def is_checkpoint(word: str) -> bool:
    """True for `best`, `last` and `epoch-` with a number."""
    return word in CHECKPOINTS[:2] or re.fullmatch(r"epoch-[1-9]\d{0,8}", word) is not None


def resolve_encoders(
    names: Sequence[str], runs_dir: Path, checkpoint: str | None = None, layer: Representation = "h"
) -> list[EncoderRef]:
    """The encoders that RUN arguments name: runs, `untrained` and `pixels`, and embeddings that were added; the first
    run lends those its data. Two added ones need no run among them, if one was trained on their images.

    A name may end in a checkpoint and a layer of its own, `RUN@epoch-8@z`; else `checkpoint` and `layer` hold.

    Raises:
        ConfigError: if one names nothing, or none is a run.
    """
    taken_apart = [_split_reference(name, checkpoint, layer) for name in names]
    added = [sets.find(name, runs_dir) for name, *_ in taken_apart]
    found = [
        None if name in (UNTRAINED, PIXELS) or item is not None else runs.find(name, runs_dir)
        for (name, *_), item in zip(taken_apart, added, strict=True)
    ]
    host = next((run for run in found if run is not None), None)
    sets_alone = [item for item in added if item is not None]
    if host is None and len(sets_alone) > 1 and UNTRAINED not in {name for name, *_ in taken_apart}:
        host = _run_on(sets_alone[0], runs_dir)
    if host is None:
        raise ConfigError(
            f"RUN is {', '.join(names)}; allowed: at least one run, whose data and network are then used."
        )
    models: list[EncoderRef] = []
    for text, run, item, (name, own_checkpoint, own_layer) in zip(names, found, added, taken_apart, strict=True):
        if item is not None:
            if text != name:
                raise ConfigError(f"RUN is {text}; allowed: {name}, which have neither checkpoints nor layers.")
            models.append(EncoderRef(host, "added", added=item))
        elif run is not None:
            models.append(EncoderRef(run, "weights", own_checkpoint, own_layer))
        else:
            models.append(EncoderRef(host, "untrained" if name == UNTRAINED else "pixels", None, own_layer))
    return models


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


def dataset_of(run: Run) -> str:
    """Where the images of a run lie: the name of a data set, or the full path of a folder."""
    dataset = str(run.config.get("dataset"))
    return dataset if dataset in cfg.DATASETS else str(user_path(dataset).resolve())


def _run_on(added: AddedSet, runs_dir: Path) -> Run:
    """The oldest run on the images of a set, so that a new one changes nothing. Raises ConfigError if there is none."""
    found = [run for run in reversed(runs.list_runs(runs_dir)) if dataset_of(run) == added.dataset]
    if not found:
        raise ConfigError(
            f"{added.name} are embeddings of images of {added.dataset}, on which no run was trained; allowed: a run on "
            "one side, or at least one that was trained on these images."
        )
    return found[0]


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
    return LAYERS if model.what not in (PIXELS, ADDED) and model.run.kind == "pretrain" else ("h",)  # type: ignore[return-value]


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
