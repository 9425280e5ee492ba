"""How many processes read a run's images: chosen by what reading and the rest of a step cost in its first steps.

Nothing is tried beside the training. It begins with the images read in its own process, and the clock runs; then as
many processes read on as the figures call for, from the batch that follows. Which process reads a batch changes nothing
in it, so that the choice changes no result.

In a run of several processes each chooses for itself, by its share of the cores of its machine: machines may differ,
nothing depends on the others' choice, and none waits for a decision of another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from simclr.data.splits import Split
from simclr.hardware.cores import usable_cores

NUM_STEPS, STEPS_SECONDS = 3, 5.0  # measured after a first one; fewer, once they took so many seconds
SAMPLE_IMAGES, SAMPLE_SECONDS = 32, 1.0  # read one after the other, at most, to see what one thread does
WORTH = 0.1  # of a step's time: less is not worth processes, which take memory
ALMOST = 0.05  # so much slower than with the best number, fewer processes are better
MOST_READERS = 16  # each holds batches in advance


@dataclass(frozen=True)
class StepCost:
    """What a batch costs, in seconds.

    reading: on the clock, in the process that trains, with all its threads. reader: in one reading process, which has
        one thread; reader_cpu: of these on a core, the rest is waiting for a disk.
    step: all else of a step, on the clock; step_cpu: on cores, all threads together.
    """

    reading: float
    reader: float
    reader_cpu: float
    step: float
    step_cpu: float

    def seconds(self, num_readers: int, cores: float) -> float:
        """Of a whole step where so many processes read: the slowest of training, readers, and the cores they share."""
        if num_readers == 0:
            return self.reading + self.step
        return max(self.step, self.reader / num_readers, (self.step_cpu + self.reader_cpu) / cores)

    def best(self, cores: float) -> int:
        """The number of processes to read with; 0 where the training keeps up by itself, at most one for each core."""
        seconds = [self.seconds(number, cores) for number in range(1 + max(1, min(MOST_READERS, int(cores))))]
        quickest = min(seconds)
        if quickest > (1 - WORTH) * seconds[0]:
            return 0
        return next(number for number, took in enumerate(seconds) if number and took <= (1 + ALMOST) * quickest)


class ReaderChoice:
    """Reads the first batches of a training, measures, and chooses.

    number: of processes; None until it is chosen. cost: what it was chosen by.
    num_sharing: processes of the run on this machine, which divide its cores.
    on_choice: told once.
    """

    def __init__(self, *, num_sharing: int = 1, on_choice: Callable[[ReaderChoice], None] | None = None) -> None:
        self.num_sharing, self.on_choice = num_sharing, on_choice
        self.number: int | None = None
        self.cost: StepCost | None = None
        self._sample: tuple[float, float] | None = None  # seconds for an image in one thread, and on a core
        self._batches: list[tuple[int, float, float, float]] = []  # images, reading, step, step on cores
        self._mark = (0.0, 0.0)
        self._reading = (0, 0.0)

    @property
    def cores(self) -> float:
        return usable_cores() / self.num_sharing

    def sentence(self) -> str:
        """The choice in words, with what it was chosen by."""
        assert self.cost is not None
        cores = f"{self.cores:.3g} core{'' if self.cores == 1 else 's'}"
        return (
            f"num_workers {self.number} was chosen by measuring: a batch is read in {self.cost.reading:.2g} s here and "
            f"in {self.cost.reader:.2g} s by one reading process, the rest of a step takes {self.cost.step:.2g} s, on "
            f"{cores}"
        )

    def read(self, dataset: Any, positions: Any) -> Any:
        """The batch at `positions` of a `SplitDataset`, read in this process; `step_ended` is to follow."""
        if self._sample is None:
            self._sample = _sample(dataset.split, torch.as_tensor(positions))
        self._lap()
        batch = dataset.__getitems__(positions)
        self._reading = len(positions), self._lap()[0]
        return batch

    def step_ended(self) -> bool:
        """Notes the step that was made of the batch; returns whether a number is chosen by now."""
        self._batches.append((*self._reading, *self._lap()))
        counted = self._batches[1:]  # the first step compiles, finds memory and chooses kernels
        spent = sum(reading + step for _, reading, step, _ in counted)
        if len(counted) < NUM_STEPS and spent < STEPS_SECONDS:
            return False
        images, reading, step, step_cpu = (median(column) for column in zip(*counted, strict=True))
        assert self._sample is not None
        wall, cpu = self._sample
        self.cost = StepCost(reading, images * wall, images * cpu, step, step_cpu)
        self.number = self.cost.best(self.cores)
        if self.on_choice is not None:
            self.on_choice(self)
        return True

    def _lap(self) -> tuple[float, float]:
        """Seconds since the last call, on the clock and on cores; a GPU has done by then what it was given."""
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        before, self._mark = self._mark, (time.perf_counter(), time.process_time())
        return self._mark[0] - before[0], self._mark[1] - before[1]


def _sample(split: Split, positions: Tensor) -> tuple[float, float]:
    """Seconds for an image of `split` that is read in one thread: on the clock, and on a core."""
    begin, begin_cpu = time.perf_counter(), time.thread_time()
    number = 0
    for position in (positions[:SAMPLE_IMAGES] % split.num_images).tolist():
        split.images_at([position])
        number += 1
        if time.perf_counter() - begin > SAMPLE_SECONDS:
            break
    return (time.perf_counter() - begin) / number, (time.thread_time() - begin_cpu) / number
