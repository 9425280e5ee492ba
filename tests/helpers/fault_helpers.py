"""What other processes do in `test_faults.py`; no torch, so that they are there at once."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError, PretrainConfig
from simclr.files import writing
from simclr.hardware import processes
from simclr.launch import control, queue, spawn, supervisor

TINY = {"dataset": "shapes", "limit_images": 64, "image_size": 16, "batch_size": 16, "accelerator": "cpu"}


def options(**more):
    """Of a run that a stand-in trains."""
    return cfg.build(PretrainConfig, TINY | {"epochs": 2, "seed": 0} | more)


def holds(folder, ready):
    with writing.locked(folder):
        Path(ready).write_text("")
        time.sleep(600)


def resume_at(barrier, told, way, folder):
    """Waits for the others, and says 0, or why it was refused."""
    barrier.wait()
    told.put(resume(way, folder))


def resume(way, folder):
    run = runs.Run(Path(folder))
    if way == "shell":
        command = [sys.executable, "-m", "simclr", "resume", str(run.path)]
        found = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        return found.returncode and found.stderr
    try:
        (control.resume if way == "launch" else queue.resubmit)(run)
    except ConfigError as error:
        return str(error)
    return 0


def serve(folder, seed, seconds):
    """What a dashboard with impatient users does, for so long; returns what it was told."""
    folder, generator, told = Path(folder), random.Random(seed), []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(generator.uniform(0, 0.15))
        found = runs.list_runs(folder)
        chosen = generator.choice(found) if found else None
        action = generator.choice(["submit", "submit", "stop", "move", "drop", "resume", "advance", "delete", "wake"])
        try:
            if action == "submit" or chosen is None:
                config = options(epochs=generator.randint(1, 20), seed=generator.randrange(10**6))
                queue.submit(config, folder, "cpu")
            elif action == "stop":
                control.request_stop(chosen.path)
            elif action == "move":
                queue.move(chosen.id, generator.randint(0, 3), folder)
            elif action == "drop":
                queue.drop(chosen, folder)
            elif action == "resume":
                queue.resubmit(chosen)
            elif action == "delete" and chosen.status.state != "finished":
                runs.delete(chosen, folder)
            elif action == "advance":
                queue.advance(folder)
            else:
                queue.ensure_scheduler(folder)
        except ConfigError as error:
            told.append(str(error))
    return told


def take(pid, code):
    """The next process of this pid namespace has this pid."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def scene_of_a_taken_pid(folder):
    """Both processes of a run die, and its pid, for once, is another's; runs in a pid namespace of its own."""
    folder = Path(folder)
    sleeper = "import time; time.sleep(600)"
    run = runs.create(options(), folder)
    trainer = take(500, sleeper)
    assert trainer.pid == 500
    start = processes.process_start(500)
    runs.update_status(
        run.path, state="running", pid=500, process_start=start, supervisor_pid=499, supervisor_start=start
    )
    assert run.status.state == "running"
    trainer.kill()
    trainer.wait()
    time.sleep(0.1)
    foreigner = take(500, sleeper)
    assert foreigner.pid == 500
    status = run.status
    assert (status.state, status.reason) == ("failed", "crashed")
    with pytest.raises(ConfigError, match="is failed; allowed: a run that is active"):
        control.stop(run.path)
    assert processes.end_group(500, start) == []
    supervisor.adopt(run.path)  # as if it had been asked to stop while its trainer died
    spawn.check_resumable(run)
    assert spawn.wait_for_exit(runs.read_status(run.path))
    assert foreigner.poll() is None and processes.process_start(500) is not None
    foreigner.kill()
    print("spared")
