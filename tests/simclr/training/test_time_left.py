"""The time left: its arithmetic, and whole trainings on a clock of the tests' own."""

import json
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY

from simclr import runs
from simclr.runs import status_writer
from simclr.training import callbacks
from simclr.training.callbacks import NullWriter, Recorder
from simclr.training.knn_probe import KNNProbe
from simclr.training.time_left import BACKWARD, MEMORY_SECONDS, Stage, TimeLeft


def test_each_part_has_its_own_rate():
    left = TimeLeft(step=Stage(100, 64), validation=Stage(10, 20), test=Stage(1))
    assert left.seconds() is None
    left["step"].add(5.0, 10)
    left["validation"].add(3.0)
    assert left.seconds() == pytest.approx(90 * 0.5 + 9 * 3.0)


def test_what_was_not_measured_is_guessed_by_its_images():
    left = TimeLeft(
        knn=Stage(2, 1000), validation=Stage(10, 200), step=Stage(100, 2 * BACKWARD * 10), test=Stage(1, 5000)
    )
    left["step"].add(6.0, 10)  # 0.01 s an image
    assert left.seconds() == pytest.approx(90 * 0.6 + 10 * 2 + 2 * 10 + 50)
    left["validation"].add(4.0)  # 0.02 s: the same pass, nothing backward
    assert left.seconds() == pytest.approx(90 * 0.6 + 9 * 4 + 2 * 20 + 100)
    left["knn"].add(5.0)  # 0.005 s: the very passes of the test
    assert left.seconds() == pytest.approx(90 * 0.6 + 9 * 4 + 5 + 25)


def test_what_is_done_more_often_than_planned_takes_no_negative_time():
    left = TimeLeft(step=Stage(10), between=Stage(1))
    left["step"].add(10.0, 12)
    assert left.seconds() == 0.0


def test_a_machine_that_became_slower_is_believed_within_minutes():
    left = TimeLeft(step=Stage(10**6))
    left["step"].add(6000.0, 60_000)
    assert left["step"].cost == pytest.approx(0.1)
    for _ in range(int(3 * MEMORY_SECONDS)):
        left["step"].add(1.0, 5)
    assert left["step"].cost == pytest.approx(0.2, rel=0.05)


def test_a_trial_is_no_part_of_the_training():
    left = TimeLeft(step=Stage(1000))
    left["step"].measure(0.2, 20)
    assert left.seconds() == pytest.approx(10.0)


def test_costs_go_with_a_checkpoint():
    left = TimeLeft(step=Stage(100), validation=Stage(10))
    left["step"].add(5.0, 10)
    again = TimeLeft(step=Stage(100), knn=Stage(3))
    again.load_state_dict(json.loads(json.dumps(left.state_dict())))
    assert (again["step"].cost, again["step"].done) == (0.5, 0)
    assert again["knn"].cost is None


class Training:
    """Calls the callbacks in the order in which Lightning does, and lets the clock run meanwhile."""

    EPOCHS, BATCHES, EVERY = 30, 20, 7
    FIRST, INITIAL_STEP, STEP, VALIDATION, KNN, BETWEEN, TEST = 4.0, 0.12, 0.3, 2.5, 9.0, 0.6, 20.0

    def __init__(self, monkeypatch, with_knn=True, noise=0.0, num_initial=0):
        self.now = 1000.0
        self.num_initial = num_initial
        monkeypatch.setattr(callbacks.time, "monotonic", lambda: self.now)
        self.noise = torch.Generator().manual_seed(0), noise
        self.said: list[tuple[float, int, float | None]] = []  # when, at which step, the time left
        self.knn = KNNProbe(lambda: self.passes(self.KNN) or 0.5, self.EVERY) if with_knn else None
        num_knn = -(-self.EPOCHS // self.EVERY) if with_knn else 0
        self.left = TimeLeft(
            initial_step=Stage(num_initial, 12),
            knn=Stage(num_knn, 900),
            validation=Stage(self.EPOCHS, 250),
            step=Stage(self.EPOCHS * self.BATCHES - num_initial, 30),
            between=Stage(self.EPOCHS),
            test=Stage(1, 2000),
        )
        status = SimpleNamespace(set=self.note)
        self.status: dict = {}
        self.recorder = Recorder(
            NullWriter(),
            status,
            num_steps=self.EPOCHS * self.BATCHES,
            num_epochs=self.EPOCHS,
            num_initial_steps=num_initial,
            time_left=self.left,
            knn=self.knn,
        )
        self.module = SimpleNamespace(
            train_means=SimpleNamespace(
                take=lambda: {"loss": torch.tensor(2.0)}, state_dict=dict, load_state_dict=lambda _: None
            ),
            val_metrics={},
        )

    def passes(self, seconds):
        generator, noise = self.noise
        self.now += seconds * (1 + noise * (2 * torch.rand((), generator=generator).item() - 1))

    def note(self, **changes):
        self.status |= changes
        if "eta_seconds" in changes:
            self.said.append((self.now, self.status.get("step", 0), changes["eta_seconds"]))

    def go(self, first_epoch=0, last_epoch=None):
        trainer = SimpleNamespace(
            num_training_batches=self.BATCHES,
            global_step=first_epoch * self.BATCHES,
            current_epoch=first_epoch,
            world_size=1,
            global_rank=0,
            is_last_batch=False,
            max_epochs=self.EPOCHS,
            is_global_zero=True,
            num_val_batches=[1],
            should_stop=False,
            strategy=SimpleNamespace(broadcast=lambda value: value),
            optimizers=[SimpleNamespace(param_groups=[{"lr": 0.1}])],
        )
        self.recorder.on_train_start(trainer, self.module)
        for epoch in range(first_epoch, last_epoch or self.EPOCHS):
            trainer.current_epoch = epoch
            self.recorder.on_train_epoch_start(trainer, self.module)
            for batch in range(self.BATCHES):
                step = self.INITIAL_STEP if trainer.global_step < self.num_initial else self.STEP
                self.passes(self.FIRST if (epoch, batch) == (first_epoch, 0) else step)
                trainer.global_step += 1
                trainer.is_last_batch = batch == self.BATCHES - 1
                self.recorder.on_train_batch_end(trainer, self.module, None, [[0] * 10], batch)
            self.passes(self.VALIDATION)
            self.recorder.on_validation_batch_end(trainer, self.module, None, None, 0)
            self.module.val_metrics = {"val/loss": 3.0 - 0.01 * epoch, "val/mean_rank": 2.0}
            if self.knn is not None:
                self.knn.on_validation_end(trainer, self.module)
            self.recorder.on_validation_end(trainer, self.module)
            self.passes(self.BETWEEN)
        if last_epoch is None:
            self.passes(self.TEST)

    def errors(self, start=1000.0):
        """Relative errors of the time left, of all that was said after a tenth of the time since `start`."""
        total = self.now - start
        return [
            (left - (self.now - moment)) / total
            for moment, _, left in self.said
            if left is not None and moment - start >= total / 10
        ]


@pytest.mark.parametrize(("with_knn", "noise"), [(True, 0.0), (False, 0.0), (True, 0.3)])
def test_a_tenth_of_a_training_tells_how_long_the_rest_takes(monkeypatch, with_knn, noise):
    training = Training(monkeypatch, with_knn, noise)
    training.go()
    errors = training.errors()
    assert len(errors) > 200
    assert max(map(abs, errors)) < 0.1
    # near the end only the test is guessed
    assert training.said[-1][2] == pytest.approx(training.TEST + training.BETWEEN, rel=0.2 if with_knn else 0.3)


def test_small_first_views_are_quicker_and_counted_so(monkeypatch):
    training = Training(monkeypatch, num_initial=420)
    training.go()
    assert max(map(abs, training.errors())) < 0.12
    assert training.left["initial_step"].done == 420 and training.left["step"].done == 180


def test_a_resumed_training_knows_from_its_first_steps(monkeypatch):
    first = Training(monkeypatch)
    first.go(last_epoch=12)
    state = first.recorder.state_dict()
    second = Training(monkeypatch)
    second.recorder.load_state_dict(json.loads(json.dumps(state | {"means": []})))
    assert (second.recorder.val_loss, second.recorder.accuracy) == (first.recorder.val_loss, first.recorder.accuracy)
    second.go(first_epoch=12)
    assert second.said[0][2] is not None  # before the first step
    total = second.now - 1000.0
    for moment, _, left in second.said:
        assert abs(left - (second.now - moment)) / total < 0.1


def test_loss_and_accuracy_are_the_newest_and_the_best(monkeypatch):
    training = Training(monkeypatch)
    values = iter([0.2, 0.6, 0.4])
    training.knn.measure = lambda: next(values, 0.1)
    training.knn.every_epochs = 1
    training.go(last_epoch=3)
    assert training.status["loss"] == pytest.approx(2.98)
    assert training.status["accuracy"] == 0.6


def test_the_time_left_is_counted_down_while_nothing_is_said(tmp_path, monkeypatch):
    runs.update_status(tmp_path, state="starting")
    writer = runs.StatusWriter(tmp_path, interval=1000).start()
    clock = [time.monotonic()]
    monkeypatch.setattr(status_writer.time, "monotonic", lambda: clock[0])
    writer.set(eta_seconds=40.0)
    writer._write()
    assert runs.read_status(tmp_path).eta_seconds == pytest.approx(40)
    clock[0] += 10
    writer._write()
    assert runs.read_status(tmp_path).eta_seconds == pytest.approx(30)
    clock[0] += 31
    writer._write()
    assert runs.read_status(tmp_path).eta_seconds is None  # it takes longer, and nobody can tell how long
    writer.set(eta_seconds=None)
    writer.close(state="finished")
    assert runs.read_status(tmp_path).eta_seconds is None


def best_and_newest(run, accuracy):
    columns = run.metrics()
    finite = {name: [value for value in columns[name] if value == value] for name in ("val/loss", accuracy)}
    return finite["val/loss"][-1], max(finite[accuracy])


def test_real_runs_leave_loss_and_accuracy_in_their_status(finished_run, tiny_runs):
    from simclr import config as cfg
    from simclr.lifecycle.train import train

    assert (finished_run.status.loss, finished_run.status.accuracy) == pytest.approx(
        best_and_newest(finished_run, "val/knn_top1"), rel=1e-6
    )
    options = TINY | {"experiment_version": str(finished_run.path), "freeze_encoder": True, "epochs": 4}
    head = train(cfg.build(cfg.FinetuneConfig, options), runs_dir=tiny_runs)
    assert head.status.state == "finished", head.status.error
    assert (head.status.loss, head.status.accuracy) == pytest.approx(best_and_newest(head, "val/top1"), rel=1e-6)
    assert head.status.progressed <= head.status.ended
