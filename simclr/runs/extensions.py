"""A run that was trained longer than it was planned: what its `meta.json` says about it (no torch).

    RUN/meta.json                  extended: a list, one entry for each time
    RUN/earlier/step-000200/       model.pt and evaluation.json of the training as it had ended at that step

`config.yaml` holds the options from then on. What was measured on the weights of an earlier end lies in `earlier`,
where no page and no command takes it for the run's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from simclr.runs.run import Run

EXTENDED, EARLIER = "extended", "earlier"  # in `meta.json`; in the run folder


class Extension(NamedTuple):
    """Once that a run was trained longer.

    Attributes:
        step, epoch: at which it had ended; epochs count from 1, one that `max_steps` cut short too.
        epochs, max_steps: the options from then on.
        time: of the decision, in seconds since the epoch.
        weights_sha256: of the `model.pt` that it had until then; empty where it had none.
    """

    step: int
    epoch: int
    epochs: int
    max_steps: int | None
    time: float
    weights_sha256: str = ""

    @property
    def text(self) -> str:
        """`2 epochs, then to 5`, or with steps where those end it."""
        if self.max_steps is not None:
            return f"{self.step:,} steps, then to {self.max_steps:,}"
        return f"{self.epoch:,} epoch{'' if self.epoch == 1 else 's'}, then to {self.epochs:,}"

    @property
    def flags(self) -> str:
        """Those of `resume` that give a run this end."""
        return f"--epochs {self.epochs}" + ("" if self.max_steps is None else f" --max_steps {self.max_steps}")


def recorded(meta: dict[str, Any]) -> list[Extension]:
    """The entries of a `meta.json`, in order; damaged ones are left out."""
    found = meta.get(EXTENDED)
    entries = [_entry(values) for values in found] if isinstance(found, list) else []
    return [entry for entry in entries if entry is not None]


def extensions_of(run: Run) -> list[Extension]:
    """How a run was extended, in order. An entry counts once `config.yaml` holds its options, which is written last."""
    found = recorded(run.meta)
    if found and (found[-1].epochs, found[-1].max_steps) != (run.config.get("epochs"), run.config.get("max_steps")):
        found.pop()
    return found


def as_meta(entries: list[Extension]) -> list[dict[str, Any]]:
    """Entries as `meta.json` holds them."""
    return [entry._asdict() for entry in entries]


def text_of(entries: list[Extension]) -> str:
    """All of them in a few words, for tables of options: `2 epochs, then to 5; 5 epochs, then to 9`."""
    return "; ".join(entry.text for entry in entries)


def earlier_folder(run: Run, step: int) -> Path:
    """Where `model.pt` and `evaluation.json` of the end at a step lie."""
    return run.path / EARLIER / f"step-{step:06d}"


def _entry(values: object) -> Extension | None:
    if not isinstance(values, dict):
        return None
    numbers = [values.get(name) for name in ("step", "epoch", "epochs")]
    max_steps, when = values.get("max_steps"), values.get("time")
    if not all(type(number) is int and 0 < number < 2**53 for number in numbers):
        return None
    if not (max_steps is None or type(max_steps) is int) or not isinstance(when, int | float):
        return None
    step, epoch, epochs = (int(number) for number in numbers if number is not None)
    return Extension(step, epoch, epochs, max_steps, float(when), str(values.get("weights_sha256") or ""))
