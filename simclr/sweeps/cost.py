"""What a sweep will take, from a few real steps of its runs, before any is started (no torch)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simclr import config as cfg
from simclr.config import RunConfig
from simclr.files import safe_read, writing
from simclr.hardware import devices
from simclr.launch import jobs, queue
from simclr.lifecycle import estimate
from simclr.runs.status import Report, no_report
from simclr.sweeps import settings
from simclr.sweeps.settings import Member, Sweep
from simclr.training.time_left import duration_text

JOB_NAME, COST = "sweep-cost", "cost.json"
MOST_MEASURED = 6  # kinds of runs; each takes half a minute
# Options that change what a run costs. Others, such as the temperature, are the runs' own affair.
COSTLY = (
    "dataset",
    "data_dir",
    "limit_images",
    "val_fraction",
    "images_per_epoch",
    "label_fraction",
    "labels_per_class",
    "freeze_encoder",
    "epochs",
    "max_steps",
    "image_size",
    "initial_image_size",
    "initial_size_share",
    "batch_size",
    "micro_batch_size",
    "backbone",
    "head",
    "hidden_dim",
    "projection_dim",
    "optimizer",
    "knn_every_epochs",
    "evaluate",
    "film_frames",
    "precision",
    "accelerator",
    "devices",
    "num_threads",
    "compile",
)


@dataclass(frozen=True)
class Cost:
    """What the runs of a sweep will take together.

    Attributes:
        num_runs: all of them.
        seconds, low, high: one after the other, with the range.
        disk: bytes.
        num_places: runs that the device takes at once.
        num_kinds, num_measured: kinds of runs that differ in cost, and how many of them were measured.
    """

    num_runs: int
    seconds: float
    low: float
    high: float
    disk: int
    num_places: int
    num_kinds: int
    num_measured: int

    def sentence(self) -> str:
        """`15 runs: about 17 min (14 min to 20 min), 62 MiB of disk.`"""
        span = f"{duration_text(self.low / self.num_places)} to {duration_text(self.high / self.num_places)}"
        text = f"{self.num_runs:,} runs: about {duration_text(self.seconds / self.num_places)} ({span})"
        text += f", {self.num_places} at once" if self.num_places > 1 else ""
        text += f", {estimate.size_text(self.disk)} of disk."
        if self.num_measured < self.num_kinds:
            text += f" Of {self.num_kinds} kinds of runs {self.num_measured} were measured, which stand for the others."
        return text


def estimate_cost(
    sweep: Sweep,
    runs_dir: Path,
    device: str = devices.ANY,
    num_settings: int | None = None,
    report: Report = no_report,
    members: Sequence[Member] | None = None,
) -> Cost:
    """Measures each kind of run once, and adds up.

    Args:
        sweep: checked.
        device: that the runs will wait for.
        num_settings: of a random choice; None: as its limit says.
        report: told what is measured, and the share done, 0 to 1.
        members: the runs that are meant, at least one; None: all.

    Raises:
        ConfigError: for bad input, as training would.
        estimate.CannotMeasure: if a measuring process failed.
    """
    kinds: dict[str, tuple[RunConfig, int]] = {}
    for member in sweep.members(num_settings) if members is None else members:
        config = _config_of(sweep, member)
        key = _cost_key(config)
        kinds[key] = (config, kinds[key][1] + 1 if key in kinds else 1)
    measured: dict[str, estimate.Estimate] = {}
    for place, (key, (config, _)) in enumerate(list(kinds.items())[:MOST_MEASURED]):
        share = place / min(len(kinds), MOST_MEASURED)
        report(f"measuring {config.kind}, {place + 1} of {min(len(kinds), MOST_MEASURED)}", share)
        measured[key] = estimate.estimate_run(config, runs_dir, device=device)
    number = sum(count for _, count in kinds.values())
    known = sum(kinds[key][1] for key in measured)
    totals = [
        sum(kinds[key][1] * float(getattr(found, name)) for key, found in measured.items()) * number / known
        for name in ("seconds", "seconds_low", "seconds_high", "disk")
    ]
    places = _num_places(device, next(iter(kinds.values()))[0], runs_dir)
    return Cost(number, totals[0], totals[1], totals[2], round(totals[3]), places, len(kinds), len(measured))


def settings_within(hours: float, sweep: Sweep, cost_of_one: Cost) -> int:
    """How many settings of a random choice are done in so many hours, at least one.

    Args:
        cost_of_one: the cost of the same sweep with one setting.
    """
    seconds = cost_of_one.seconds / cost_of_one.num_places
    return max(1, min(int(3600 * hours / seconds), sweep.num_settings))


def _config_of(sweep: Sweep, member: Member) -> RunConfig:
    """A member's options in a form that can be measured: a supervised run has no pre-training yet."""
    pretraining = sweep.pretraining(member.setting, member.seed)
    if member.arm is None or member.share is None:
        return pretraining
    partner = sweep.supervised(cfg.to_dict(pretraining), "0", member)
    values: dict[str, Any] = cfg.to_dict(partner) | {
        "experiment_version": None,
        "random_weight_init": True,  # with weights of its own it takes as long
        "match_experiment": False,
    }
    config = cfg.build(cfg.FinetuneConfig, values)
    assert isinstance(config, cfg.FinetuneConfig)
    return config


def _cost_key(config: RunConfig) -> str:
    values = cfg.to_dict(config)
    augmentation = values.get("augmentation") or {}
    return str([config.kind, augmentation.get("policy"), *(values.get(name) for name in COSTLY)])


def _num_places(device: str, config: RunConfig, runs_dir: Path) -> int:
    """How many runs go on at once on the devices that they may take."""
    name = devices.resolve_device(device, config)
    wanted = devices.names_in(name) or devices.gpus_for(1)
    limits = queue.slots(runs_dir)
    if not wanted:
        return limits.get(devices.CPU, 1)
    if devices.names_in(name):  # each run takes all of them
        return min(limits.get(found, 1) for found in wanted)
    return max(1, sum(limits.get(found, 1) for found in wanted) // config.devices)


# --- as a job -------------------------------------------------------------------------------------------------------


def _request(sweep: Sweep, device: str) -> dict[str, Any]:
    plain = settings.to_plain(sweep)
    return {"device": device, "sweep": {name: value for name, value in plain.items() if name != "title"}}


def start_job(sweep: Sweep, device: str, runs_dir: Path) -> Path:
    """Starts measuring in the background, or returns the folder of the job that does so already.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    request = _request(sweep, device)
    arguments = ["sweep", json.dumps(request["sweep"]), "--dry_run", "--device", device]
    return jobs.start(JOB_NAME, request, [*arguments, "--runs_dir", str(runs_dir.resolve())], runs_dir, device="")


def find_job(sweep: Sweep, device: str, runs_dir: Path) -> Path | None:
    """The newest job that was asked the same, whatever became of it."""
    return jobs.find(JOB_NAME, _request(sweep, device), runs_dir)


def save(job: Path, found: Cost) -> None:
    writing.write_atomically(job / COST, json.dumps(asdict(found), indent=1))


def load(job: Path) -> Cost | None:
    """What a job found; None while there is nothing."""
    try:
        return Cost(**safe_read.json_dict(job / COST))
    except TypeError:
        return None
