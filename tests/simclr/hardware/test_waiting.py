"""Threads that wait for a core: real processes on one core."""

import os
import sys
import time

import psutil
import pytest

from simclr.hardware import waiting
from simclr.hardware.usage import UsageMeter
from simclr.hardware.waiting import WaitMeter
from simclr.runs.status_writer import _TrainingUsage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def busy():
    """Starts processes that compute on the first core without end, by their number."""
    started = []

    def begin(count: int) -> list[int]:
        core = min(os.sched_getaffinity(0))
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                os.sched_setaffinity(0, {core})
                while True:
                    pass
            started.append(pid)
        return started[-count:]

    yield begin
    for pid in started:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_two_on_one_core_wait_half_of_their_time(busy):
    pids = busy(2)
    meter = WaitMeter()
    assert meter.sample(pids) is None  # nothing to compare with yet
    used = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)
    start = time.monotonic()
    while sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids) < used + 0.6:  # other tests may have the core
        time.sleep(0.05)
    share = meter.sample(pids)
    wall = time.monotonic() - start
    # both wanted the core all the time: together two seconds a second, of which they got what was used
    assert share == pytest.approx(1 - 0.6 / (2 * wall), abs=0.08)
    assert share >= 0.45


def test_a_process_that_is_gone_or_new_is_left_out(busy):
    (pid,) = busy(1)
    meter = WaitMeter()
    assert meter.sample([2**22 + 7]) is None
    assert meter.sample([pid]) is None  # of it nothing is known from before
    time.sleep(0.1)
    assert 0 <= meter.sample([pid, 2**22 + 7]) <= 1


def test_a_run_that_fills_the_cores_waits_for_itself(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert [waiting.fills_the_cores(value) for value in (None, 179.0, 180.0)] == [False, False, True]
    meter = UsageMeter()
    meter.sample()
    monkeypatch.setattr(meter, "_waiting", type("Waits", (), {"sample": lambda self, pids: 0.5})())
    monkeypatch.setattr(meter, "_cpu", lambda family: 199.0)
    assert meter.sample()["held_up"] == 0.0
    monkeypatch.setattr(meter, "_cpu", lambda family: 90.0)
    assert meter.sample()["held_up"] == 0.5


def test_a_status_keeps_the_mean_over_the_training():
    usage = _TrainingUsage()
    usage.add({"held_up": None, "memory": 5})
    usage.add({"held_up": 0.2, "memory": 9})
    found = usage.add({"held_up": 0.6, "memory": 7})
    assert found["mean_held_up"] == pytest.approx(0.4)
    assert (found["usage_samples"], found["peak_memory"], found["mean_gpu_percent"]) == (3, 9, None)
