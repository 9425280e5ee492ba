"""One run folder: its options, metadata, status, metrics and log (no torch)."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from array import array
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from simclr.files import safe_read, writing
from simclr.runs.current_status import current_status
from simclr.runs.file_names import CONFIG, EVALUATION, EXAMPLES, HEALTH, LOG, META, METRICS, MODEL, OF_EXAMPLES
from simclr.runs.metrics_csv import MetricsTail
from simclr.runs.status import Status


class Tested(NamedTuple):
    """That a run was tested when the choice among the settings of its group was.

    Attributes:
        role: `chosen`, or `baseline` of what the chosen setting is set against.
        measure: by which was chosen, as a key of `simclr.results.groups.MEASURES`.
        num_settings: among how many was chosen.
        time: of the test, in seconds since the epoch; the same of all runs of one test.
    """

    role: str
    measure: str
    num_settings: int
    time: float


class GroupPlace(NamedTuple):
    """A run's place in a group: runs that answer one question together.

    Attributes:
        id: of the group.
        title: the question.
        setting: what this run has on each axis in which the group's runs differ, by the axis's name; empty for a group
            of seeds.
        tested: where it was, as the choice or beside it.
        baseline: of the axes in which supervised runs of one pre-training differ, each with the label of those that the
            others are compared with.
    """

    id: str
    title: str
    setting: dict[str, str]
    tested: Tested | None = None
    baseline: tuple[tuple[str, str], ...] = ()

    @property
    def is_variant(self) -> bool:
        """Whether it is a supervised run with other options than those that it is compared with."""
        return any(self.setting.get(axis, label) != label for axis, label in self.baseline)


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
        """Whether it ships with the package."""
        return self.path.parent.name == EXAMPLES

    @property
    def computed(self) -> Path:
        """Where what is computed about it later is written: in its folder; of an example beside the user's own runs."""
        return self.path.parent.parent / OF_EXAMPLES / self.id if self.is_example else self.path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The options as plain values; empty if `config.yaml` is missing or damaged."""
        return safe_read.yaml_dict(self.path / CONFIG)

    @cached_property
    def brief(self) -> dict[str, Any]:
        """The options that lists of runs show: the copy in `meta.json` if it was made from this `config.yaml`, else all
        options of `config.yaml`."""
        found = self.meta.get("brief")
        if isinstance(found, dict) and isinstance(found.get("options"), dict):
            with contextlib.suppress(OSError):
                text = safe_read.read_bytes(f"{self.path}/{CONFIG}", safe_read.MAX_YAML_BYTES)
                if found.get("config_crc32") == zlib.crc32(text):
                    return dict(found["options"])
        return self.config

    @property
    def meta(self) -> dict[str, Any]:
        return safe_read.json_dict(f"{self.path}/{META}")

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
        if isinstance(created, (int, float)) and 0 < created < 1e11:  # later dates raise in `datetime`
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
    def group(self) -> GroupPlace | None:
        """Its group, if it is in one."""
        found = self.meta.get("group")
        if not isinstance(found, dict) or not isinstance(found.get("id"), str) or not found["id"]:
            return None
        title, tested = str(found.get("title") or found["id"])[:200], _tested(self.meta.get("tested"))
        setting, baseline = _labels(found.get("setting")), _labels(found.get("baseline"))
        return GroupPlace(found["id"][:200], title, setting, tested, tuple(baseline.items()))

    @property
    def awaits_choice(self) -> bool:
        """Whether its test images are to be left alone: it is in a group that chooses among settings on validation
        images, and has no test figures yet."""
        is_held_back = self.group is not None and self.config.get("evaluate") is False
        return is_held_back and not any(str(name).startswith("test/") for name in self.evaluation)

    @property
    def after(self) -> str | None:
        """Id of the run, in the same folder, that has to be finished before this one is started."""
        value = self.meta.get("after")
        return value if isinstance(value, str) and value and "/" not in value else None

    @property
    def waits_for(self) -> Run | None:
        """The run that has to be finished before, as long as it is not, whatever became of it; None: no such run."""
        before = None if self.after is None else Run(self.path.parent / self.after)
        return None if before is None or before.status.state == "finished" else before

    @property
    def beside(self) -> str | None:
        """Id of the pre-training that this run trains beside, in one place of a device, as in a race."""
        value = self.meta.get("beside")
        return value if isinstance(value, str) and value else None

    @property
    def moved_from(self) -> tuple[str, ...]:
        """Where its images lay before they lay where its options say: the first place first."""
        found = self.meta.get("moved_from")
        return tuple(str(place) for place in found) if isinstance(found, list) else ()

    @property
    def status(self) -> Status:
        return current_status(self.path)

    @property
    def evaluation(self) -> dict[str, Any]:
        return safe_read.json_dict(f"{self.path}/{EVALUATION}")

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

    def metrics(self) -> dict[str, array[float]]:
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
        with writing.locked(self.path):
            writing.write_atomically(self.path / META, json.dumps(self.meta | changes, indent=1))


def _labels(found: object) -> dict[str, str]:
    """Axes with labels, as `meta.json` holds them; none where they are no sense."""
    return {str(axis): str(label) for axis, label in found.items()} if isinstance(found, dict) else {}


def _tested(found: object) -> Tested | None:
    """As `meta.json` holds it; None where a part is missing or no sense."""
    if not isinstance(found, dict) or found.get("role") not in ("chosen", "baseline"):
        return None
    number, when = found.get("num_settings"), safe_read.finite_number(found.get("time"))
    if type(number) is not int or number < 2 or when is None:
        return None
    return Tested(found["role"], str(found.get("measure"))[:40], number, when)


def computed_beside(folder: Path) -> Path:
    """Where more about a folder of a run's embeddings is written: there; of an example as `Run.computed` says."""
    run = Run(folder.parent.parent)
    return run.computed / folder.relative_to(run.path)
