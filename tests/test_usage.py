"""What a run uses of the machine: against real processes, and against a stand-in for NVIDIA's library."""

import itertools
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from simclr import devices, runs
from simclr.usage import COST_LIMIT, EVERY_SECONDS, UsageMeter

MIB = 1024**2


@pytest.fixture
def start():
    """Starts Python processes in a group of their own, awaits their first line, and ends them."""
    started = []

    def begin(code: str) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline()
        return process

    yield begin
    for process in started:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()
        process.stdout.close()


def test_processor_time_of_children_counts(start):
    busy = start("import os\nos.fork()\nprint('on', flush=True)\nwhile True: pass")
    meter = UsageMeter(busy.pid)
    assert meter.sample()["cpu_percent"] is None  # nothing to compare with yet
    family = [psutil.Process(busy.pid), *psutil.Process(busy.pid).children()]
    assert len(family) == 2

    def now() -> tuple[float, float]:
        return sum(sum(process.cpu_times()[:2]) for process in family), time.monotonic()

    def sample() -> tuple[float, tuple[float, float], tuple[float, float]]:
        before = now()
        return meter.sample()["cpu_percent"], before, now()

    _, earliest, first = sample()
    while now()[0] < first[0] + 0.5:  # other tests may have the processor
        time.sleep(0.05)
    found, last, latest = sample()
    # the samples were taken somewhere between the two looks at the clocks, which count hundredths
    assert found <= 100 * (latest[0] - earliest[0] + 0.04) / (last[1] - first[1])
    assert found >= 100 * (last[0] - first[0] - 0.04) / (latest[1] - earliest[1])
    family[1].kill()  # its time is gone with it, and must not be subtracted
    time.sleep(0.1)
    assert meter.sample()["cpu_percent"] >= 0


def test_an_idle_process_uses_nothing(start):
    idle = start("import time\nprint('on', flush=True)\ntime.sleep(60)")
    meter = UsageMeter(idle.pid)
    meter.sample()
    time.sleep(0.2)
    assert meter.sample()["cpu_percent"] <= 5


@pytest.mark.skipif(sys.platform != "linux", reason="shared pages are told apart on Linux only")
def test_memory_shared_by_forked_processes_counts_once(start):
    code = f"import os, time\nheld = os.urandom({100 * MIB})"
    alone = start(f"{code}\nprint('on', flush=True)\ntime.sleep(60)")
    assert 100 * MIB < UsageMeter(alone.pid).sample()["memory"] < 160 * MIB
    shared = start(f"{code}\nif os.fork(): print('on', flush=True)\ntime.sleep(60)")
    family = [psutil.Process(shared.pid), *psutil.Process(shared.pid).children(recursive=True)]
    assert sum(process.memory_info().rss for process in family) > 190 * MIB
    assert 100 * MIB < UsageMeter(shared.pid).sample()["memory"] < 160 * MIB


def test_a_process_that_is_gone_gives_no_numbers():
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter = UsageMeter(ended.pid)
    ended.kill()
    ended.wait()
    assert meter.sample() == {"cpu_percent": None, "memory": None, "gpu_percent": None, "gpu_memory": None}


def test_looking_costs_little(monkeypatch):
    meter, clock, looked = UsageMeter(), [1000.0], []

    def sample() -> dict:
        looked.append(clock[0])
        clock[0] += 0.1  # many processes, much memory
        return {"memory": 1}

    monkeypatch.setattr("simclr.usage.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(meter, "sample", sample)
    assert meter.sample_if_due() == {"memory": 1}
    for _ in range(600):
        clock[0] += 0.1
        meter.sample_if_due()
    gaps = [later - earlier for earlier, later in itertools.pairwise(looked)]
    assert gaps and all(COST_LIMIT * 0.1 <= gap <= COST_LIMIT * 0.1 + 0.5 for gap in gaps)
    real = UsageMeter()
    start = time.process_time()
    for _ in range(20):
        real.sample()
    assert (time.process_time() - start) / 20 < 0.02 * EVERY_SECONDS


class Library:
    """Two GPUs as NVIDIA's library tells of them; only the first is used by `pid`."""

    class NVMLError(Exception):
        pass

    def __init__(self, pid: int) -> None:
        self.pid, self.asked = pid, []

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        other = SimpleNamespace(pid=1, usedGpuMemory=7 * MIB)
        return [other, SimpleNamespace(pid=self.pid, usedGpuMemory=300 * MIB)] if handle == 0 else [other]

    def nvmlDeviceGetProcessUtilization(self, handle, since):
        self.asked.append((handle, since))
        return [SimpleNamespace(pid=1, smUtil=90, timeStamp=55), SimpleNamespace(pid=self.pid, smUtil=40, timeStamp=66)]


def test_gpu_use_is_that_of_the_own_processes(monkeypatch):
    library = Library(os.getpid())
    monkeypatch.setattr(devices, "nvml", lambda: library)
    meter = UsageMeter()
    found = meter.sample()
    assert (found["gpu_percent"], found["gpu_memory"]) == (40.0, 300 * MIB)
    meter.sample()
    assert library.asked == [(0, 0), (0, 66)]  # only where it runs, and only what is new

    def fail(*_):
        raise Library.NVMLError

    library.nvmlDeviceGetProcessUtilization = fail  # no sample since
    assert meter.sample()["gpu_percent"] is None
    assert meter.sample()["gpu_memory"] == 300 * MIB
    library.nvmlDeviceGetCount = fail
    assert meter.sample()["gpu_memory"] is None


def test_the_status_of_a_process_says_what_it_uses(tmp_path):
    runs.update_status(tmp_path, state="starting")
    writer = runs.StatusWriter(tmp_path, interval=0.02).start()
    deadline = time.monotonic() + 10
    while runs.read_status(tmp_path).memory is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert runs.read_status(tmp_path).memory > 10 * MIB
    writer.close(state="finished")
    ended = runs.read_status(tmp_path)
    assert (ended.state, ended.memory, ended.cpu_percent) == ("finished", None, None)
