"""What a run uses of the machine: against real processes, and against a stand-in for NVIDIA's library."""

import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from fake_nvml import GIB, Gpu, Nvml

from simclr import runs
from simclr.hardware import nvidia, usage
from simclr.hardware.usage import COST_LIMIT, EVERY_SECONDS, UsageMeter

MIB = 1024**2
ROOT = Path(__file__).resolve().parents[3]


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
    assert set(meter.sample().values()) == {None}


def test_looking_costs_little(monkeypatch):
    meter, clock, looked = UsageMeter(), [1000.0], []

    def sample(device: str) -> dict:
        looked.append(clock[0])
        clock[0] += 0.1  # many processes, much memory
        return {"memory": 1}

    monkeypatch.setattr("simclr.hardware.usage.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(meter, "sample", sample)
    assert meter.sample_if_due() == {"memory": 1}
    for _ in range(600):
        clock[0] += 0.1
        meter.sample_if_due()
    gaps = [later - earlier for earlier, later in itertools.pairwise(looked)]
    assert gaps and all(COST_LIMIT * 0.1 <= gap <= COST_LIMIT * 0.1 + 0.5 for gap in gaps)
    # in a process of its own: looking takes longer in one as large as this
    code = (
        "import time; from simclr.hardware.usage import UsageMeter; meter = UsageMeter(); start = time.process_time(); "
        "[meter.sample() for _ in range(20)]; print((time.process_time() - start) / 20)"
    )
    spent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert float(spent) < 0.02 * EVERY_SECONDS


@pytest.fixture
def nvml(monkeypatch):
    def install(*gpus):
        library = Nvml(*gpus)
        monkeypatch.setattr(nvidia, "nvml", lambda: library)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return library

    return install


def test_gpu_use_is_that_of_the_own_processes(nvml, monkeypatch):
    monkeypatch.setattr(usage, "FIRST_NAMESPACE", namespace())
    own = {1: 7 * MIB, os.getpid(): 300 * MIB}
    mine = Gpu("GPU-1", processes=own, percent={1: 90, os.getpid(): 40})
    broken = Gpu("GPU-3", breaks=("processes",))
    library = nvml(Gpu("GPU-0", breaks=("handle",)), mine, Gpu("GPU-2", processes={1: 7 * MIB}), broken)
    meter = UsageMeter()
    found = meter.sample("gpu:0")
    assert (found["gpu_percent"], found["gpu_memory"], found["gpu_scope"]) == (40.0, 300 * MIB, "run")
    meter.sample()
    assert library.since == [("GPU-1", 0), ("GPU-1", 66)]  # only where it runs, and only what is new
    mine.breaks = ("utilization",)  # no sample since
    found = meter.sample()
    assert (found["gpu_percent"], found["gpu_memory"]) == (None, 300 * MIB)
    library.gpus = ()
    assert (meter.sample()["gpu_memory"], meter.sample()["gpu_scope"]) == (None, None)


def namespace():
    return os.readlink("/proc/self/ns/pid") if sys.platform == "linux" else ""


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces of process ids are Linux's")
def test_in_a_container_the_figures_are_the_whole_gpus_and_say_so(nvml, monkeypatch):
    monkeypatch.setattr(usage, "FIRST_NAMESPACE", "pid:[0]")
    stranger = {os.getpid(): 300 * MIB}  # the machine's process of that number is another one
    gpus = [Gpu(f"GPU-{i}", processes=stranger, percent={7: 10 * i}, free=(80 - i) * GIB) for i in range(4)]
    nvml(*gpus)

    def gpu(device):
        return [UsageMeter().sample(device)[name] for name in ("gpu_percent", "gpu_memory", "gpu_scope")]

    assert gpu("gpu:2") == [20.0, 2 * GIB, "gpu"]
    assert gpu("gpu:1,3") == [20.0, 4 * GIB, "gpu"]
    assert gpu("cpu") == gpu("") == gpu("gpu:9") == [None, None, None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-3")  # as the queue starts it, whose own number for it is 7
    assert gpu("gpu:7") == [30.0, 3 * GIB, "gpu"]
    gpus[3].breaks = ("utilization",)  # as a slice
    assert gpu("gpu:7") == [None, 3 * GIB, "gpu"]


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


# --- processor seconds


def burn(seconds, done=None):
    """Uses a processor for so long, then waits to be ended."""
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass
    if done is not None:
        done.set()
        time.sleep(60)


def test_processor_seconds_are_those_of_all_threads_and_not_those_of_waiting():
    start, slept = usage.cpu_seconds(), time.monotonic()
    time.sleep(0.3)
    assert usage.cpu_seconds() - start < 0.1
    threads = [threading.Thread(target=burn, args=(0.3,)) for _ in range(2)]  # of the process, so both count both
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.25 < usage.cpu_seconds() - start < time.monotonic() - slept + 0.2


def test_processor_seconds_of_a_child_that_reads_images_count_while_it_lives_and_once_it_has_ended():
    context = multiprocessing.get_context("fork")
    start, done = usage.cpu_seconds(), context.Event()
    child = context.Process(target=burn, args=(0.4, done), daemon=True)
    child.start()
    assert done.wait(30)
    assert (alive := usage.cpu_seconds() - start) > 0.35
    child.terminate()
    child.join()
    assert alive - 0.05 < usage.cpu_seconds() - start < alive + 0.3
