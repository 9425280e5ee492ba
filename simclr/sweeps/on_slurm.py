"""The runs of a group as Slurm jobs, each behind its pre-training, and not too many at once (no torch).

Each run has a job of its own, as a single run has, since it is stopped, queued again and resumed by the number of its
job. A job array would start, cancel and queue again its tasks under one number, and its tasks cannot wait for each
other. What an array's limit does is done by lanes: with at most N at once there are N of them, and a job begins when
the one before it in its lane has ended, in whatever way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclr.config import ConfigError, RunConfig
from simclr.launch import slurm_script, slurm_submit
from simclr.launch.slurm_options import SlurmOptions, load_options
from simclr.runs import Run
from simclr.sweeps.settings import Member, Sweep

MOST_AT_ONCE = 10_000
LIMIT, LANE = "max_running", "lane"  # in `meta.json`: of the group, and of the run


@dataclass(frozen=True)
class OnSlurm:
    """Slurm as the place where the runs of a group train.

    Attributes:
        options: what each job requests.
        max_running: how many run at once at most; None: as many as Slurm lets.
    """

    options: SlurmOptions
    max_running: int | None = None


def check_limit(value: Any) -> int:
    """A limit of runs at once.

    Raises:
        ConfigError: if it is none.
    """
    text = str(value).replace("_", "").replace(",", "")
    if not text.isdecimal() or not 1 <= int(text) <= MOST_AT_ONCE:
        raise ConfigError(f"max_running is {value}; allowed: a whole number from 1 to {MOST_AT_ONCE:,}.")
    return int(text)


def limit_of(found: Iterable[Run]) -> int | None:
    """The limit of a group's runs at once, as the newest of them says it."""
    for run in found:
        group = run.meta.get("group")
        number = group.get(LIMIT) if isinstance(group, dict) else None
        if type(number) is int and 1 <= number <= MOST_AT_ONCE:
            return number
    return None


def target_of(found: Sequence[Run]) -> OnSlurm | None:
    """Slurm with what it was last asked for, if the newest run of a group was submitted to it.

    Args:
        found: the runs of the group, newest first.
    """
    if not found or found[0].status.backend != "slurm":
        return None
    options = next((kept for run in found if (kept := slurm_submit.kept_options(run)) is not None), None)
    return OnSlurm(options or load_options()[0], limit_of(found))


def lanes_of(sweep: Sweep, number: int, key: Callable[[Member], Any]) -> dict[Any, int]:
    """The lane of each member of a sweep, by its key.

    A pre-training and what follows it share a lane. With more lanes than pre-trainings those that follow one are
    divided among the lanes that are left.

    Args:
        number: of lanes.
    """
    members = list(sweep.members())
    num_families = sum(1 for member in members if member.arm is None)
    lanes: dict[Any, int] = {}
    family, place = -1, 0
    for member in members:
        family, place = (family + 1, 0) if member.arm is None else (family, place + 1)
        own = range(family, number, num_families) if family < number else range(family % number, family % number + 1)
        lanes[key(member)] = own[(place - 1) % len(own)] if member.arm is not None else own[0]
    return lanes


class Submission:
    """Submits runs of one group one after the other.

    Args:
        target: what to request.
        lanes: of members, by key.
        found: the runs that the group has; those that are active hold their lanes.
    """

    def __init__(self, target: OnSlurm, lanes: Mapping[Any, int], found: Iterable[Run]) -> None:
        self.target = target
        self._lanes = lanes
        self._has_gpus: bool | None = None
        self._last: dict[int, list[str]] = {}  # jobs that a lane's next one has to wait for
        if target.max_running is None:
            return
        for place, run in enumerate(found):
            status = run.status
            if status.backend == "slurm" and status.is_active and status.job_id:
                lane = run.meta.get(LANE)
                lane = lane if type(lane) is int else place
                self._last.setdefault(lane % target.max_running, []).append(status.job_id)

    def add(self, key: Any, config: RunConfig, runs_dir: Path, **meta: Any) -> Run:
        """Creates and submits a run.

        Args:
            key: of the member that it is.

        Raises:
            ConfigError: as `slurm_submit.submit_behind`.
        """
        lane = self._lanes.get(key)
        more = {} if lane is None else {LANE: lane}
        run = slurm_submit.submit_behind(
            config, runs_dir, self.target.options, self._behind(lane), self._gpus(config), **meta, **more
        )
        self._take(lane, run)
        return run

    def resubmit(self, key: Any, run: Run) -> None:
        """Submits a run again that was stopped or failed, or whose submission was killed half-way.

        Raises:
            ConfigError: as `slurm_submit.resubmit`.
        """
        lane = self._lanes.get(key)
        slurm_submit.resubmit(run, self.target.options, self._behind(lane), self._gpus(None))
        self._take(lane, run)

    def _behind(self, lane: int | None) -> list[str]:
        return [] if lane is None else self._last.get(lane, [])

    def _take(self, lane: int | None, run: Run) -> None:
        if lane is not None and (job_id := run.status.job_id):
            self._last[lane] = [job_id]

    def _gpus(self, config: RunConfig | None) -> bool:
        """Whether the partition has GPUs, asked once and only where it matters."""
        if config is not None and config.accelerator != "auto":
            return False
        if self._has_gpus is None:
            self._has_gpus = slurm_script.partition_has_gpus(self.target.options.partition)
        return self._has_gpus
