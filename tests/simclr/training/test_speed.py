"""How many images per second: the run's average over its steps alone, also over a stop and a resume."""

import math

import pytest
from conftest import TINY_PRETRAIN
from trainings import interrupted, run_and_find, stop_at  # noqa: F401  (a fixture)

from simclr.cli.main import main
from simclr.curves.curve_lines import mean_images_per_second
from simclr.runs import metrics_csv
from simclr.runs.status import Status
from simclr.training import callbacks
from simclr.training.callbacks import Meter


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(callbacks.time, "monotonic", lambda: self.now)

    def pass_by(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def steps(meter, clock, count, seconds=2.0, images=100):
    for _ in range(count):
        clock.pass_by(seconds)
        meter.add(images)


def test_the_average_is_all_images_by_the_seconds_of_their_steps(clock):
    meter = Meter()
    assert meter.all.images_per_second is None
    meter.restart()
    steps(meter, clock, 5)  # 50 a second
    meter.rate()
    clock.pass_by(500)  # a validation
    meter.restart()
    steps(meter, clock, 5, seconds=0.4)  # 250 a second
    assert meter.rate() == pytest.approx(90)  # how fast it goes now
    assert meter.all.images_per_second == pytest.approx(1000 / 12)


def test_it_goes_on_after_a_resume_with_what_the_checkpoint_held(clock):
    before = Meter()
    before.restart()
    steps(before, clock, 3)
    before.rate()
    steps(before, clock, 2)  # between two rows
    state = before.state_dict()
    assert state == before.state_dict()  # asking changes nothing
    clock.pass_by(10_000)  # stopped
    after = Meter()
    after.load_state_dict(state)
    clock.pass_by(60)  # loading
    after.restart()
    steps(after, clock, 5, seconds=1)
    after.rate()
    assert after.all.images_per_second == pytest.approx(1000 / 15)
    Meter().load_state_dict({})  # of a checkpoint from before this was kept


def test_waiting_is_a_share_of_the_same_seconds(clock):
    meter = Meter()
    meter.restart()
    for _ in range(4):
        clock.pass_by(0.5)
        meter.add_wait(0.5)
        steps(meter, clock, 1, seconds=1.5)
    meter.rate()
    clock.pass_by(100)
    meter.add_wait(100)
    meter.restart()
    assert meter.all.waited / meter.all.seconds == pytest.approx(0.25)


def test_a_run_from_before_is_estimated_from_its_rows():
    """100 steps at 50 and 100 steps at 200 images a second: the mean is 80, not 125."""
    columns = {"step": [100, 100, 200], "perf/images_per_second": [50, math.nan, 200]}
    assert mean_images_per_second(Status(), columns) == pytest.approx(80)
    assert mean_images_per_second(Status(mean_images_per_second=70.0), columns) == 70.0
    for nothing in ({}, {"step": [1]}, {"step": [math.nan], "perf/images_per_second": [3.0]}):
        assert mean_images_per_second(Status(), nothing) is None


OPTIONS = TINY_PRETRAIN | {"limit_images": 160, "epochs": 3, "checkpoint_every_minutes": 0.0005, "version": 3}


def test_a_real_run_counts_each_image_once_also_after_a_stop(tmp_path, monkeypatch, stop_at):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    found = []
    original = callbacks.Recorder.on_train_end

    def note(self, trainer, module):
        found.append((self.meter.all, trainer.global_step))
        original(self, trainer, module)

    monkeypatch.setattr(callbacks.Recorder, "on_train_end", note)
    whole = run_and_find(tmp_path, "pretrain", OPTIONS)
    ((tally, num_steps),) = found
    assert tally.images == num_steps * OPTIONS["batch_size"]
    status = whole.status
    assert status.mean_images_per_second == pytest.approx(tally.images_per_second)
    assert status.epoch_images_per_second > 0 and 0 < status.wait_share < 1
    assert 0 < tally.seconds < status.elapsed_seconds
    rows = metrics_csv.live_columns(whole.metrics_path)
    assert tally.seconds < max(rows["perf/seconds"])

    found.clear()
    run = interrupted(tmp_path, "pretrain", OPTIONS | {"version": 4}, stop_at, monkeypatch, num_steps // 2)
    monkeypatch.setattr(callbacks.Recorder, "on_train_end", note)
    found.clear()
    assert main(["resume", str(run.path)]) == 0
    ((tally, _),) = found
    assert tally.images == num_steps * OPTIONS["batch_size"]
