"""How many processes read images: what follows from the costs of a step, and how those are measured."""

import time
from types import SimpleNamespace

import pytest
import torch

from simclr.data import readers
from simclr.data.readers import ReaderChoice, StepCost


def cost(reading, step, *, reader=None, reader_cpu=None, step_cpu=None):
    """Of one thread that reads and one that trains, unless told otherwise."""
    reader = reading if reader is None else reader
    return StepCost(
        reading, reader, reader if reader_cpu is None else reader_cpu, step, step if step_cpu is None else step_cpu
    )


@pytest.mark.parametrize(
    ("what", "cores", "expected"),
    [
        (cost(0.05, 1.0), 8, 0),  # reading takes 5 % of a step: it keeps up
        (cost(0.5, 1.0), 8, 1),  # one process reads as fast as the network is trained
        (cost(3.5, 1.0), 8, 4),
        (cost(3.5, 1.0), 2, 2),  # as many as there are cores
        (cost(0.5, 1.0), 1, 0),  # nobody could read meanwhile
        (cost(0.5, 1.0), 0.5, 0),
        (cost(4.0, 1.0, reader_cpu=0.1), 1, 1),  # a slow disk, though, is waited for without a core
        (cost(0.5, 1.0, step_cpu=2.0), 2, 1),  # both cores train: half of the reading is saved
        (cost(0.1, 1.0, step_cpu=2.0), 2, 0),
        (cost(0.5, 1.0, reader=4.0), 8, 4),  # it reads with threads here, which a reading process does not
        (cost(100.0, 1.0), 64, readers.MOST_READERS),
    ],
)
def test_the_number_of_processes_follows_from_the_costs(what, cores, expected):
    assert what.best(cores) == expected
    assert 0 <= what.best(cores) <= max(1, cores)
    assert what.seconds(expected, cores) <= what.seconds(0, cores)


class SlowSet:
    """Images that take so many seconds each, as a `SplitDataset` gives them."""

    def __init__(self, seconds):
        self.seconds, self.num_read = seconds, 0
        self.split = SimpleNamespace(num_images=1000, images_at=self.images_at)

    def images_at(self, positions):
        self.num_read += len(positions)
        time.sleep(self.seconds * len(positions))
        return torch.zeros(len(positions), 3, 4, 4, dtype=torch.uint8)

    def __getitems__(self, positions):
        return self.images_at(positions), positions, {}


def measured(monkeypatch, image_seconds, step_seconds, cores=4.0, batch=8, **options):
    """A choice, the steps it took, and the seconds."""
    monkeypatch.setattr(readers, "usable_cores", lambda: cores)
    told = []
    choice, data = ReaderChoice(on_choice=told.append, **options), SlowSet(image_seconds)
    begin, steps = time.perf_counter(), 0
    while choice.number is None:
        images, positions, _ = choice.read(data, torch.arange(batch))
        assert len(images) == len(positions) == batch
        time.sleep(step_seconds)
        steps += 1
        assert choice.step_ended() == (choice.number is not None)
    assert told == [choice]
    return choice, steps, time.perf_counter() - begin


def test_a_slow_reader_is_helped_and_a_quick_one_is_not(monkeypatch):
    slow, steps, _ = measured(monkeypatch, 0.01, 0.03)
    assert steps == 1 + readers.NUM_STEPS
    assert slow.number >= 2  # 80 ms of reading beside 30 ms of training
    assert slow.cost.reader == pytest.approx(0.08, rel=0.5) and slow.cost.step == pytest.approx(0.03, rel=0.5)
    assert slow.cost.reader_cpu < 0.02  # it sleeps
    assert f"num_workers {slow.number} was chosen by measuring" in slow.sentence()
    quick, _, _ = measured(monkeypatch, 0.0, 0.03)
    assert quick.number == 0


def test_processes_of_one_run_divide_the_cores(monkeypatch):
    choice, _, _ = measured(monkeypatch, 0.005, 0.001, num_sharing=4)
    assert choice.cores == 1 and choice.number <= 1
    assert "on 1 core" in choice.sentence() and "1 cores" not in choice.sentence()


def test_measuring_ends_in_time(monkeypatch):
    monkeypatch.setattr(readers, "STEPS_SECONDS", 0.2)
    monkeypatch.setattr(readers, "SAMPLE_SECONDS", 0.1)
    choice, steps, seconds = measured(monkeypatch, 0.03, 0.05, batch=8)  # steps of 0.29 s, 32 images would take 1 s
    assert steps == 2 and seconds < 0.1 + 0.06 + 2 * 0.29 + 0.5
    assert choice.number >= 1
