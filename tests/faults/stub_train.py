"""Stands in for `lifecycle.train` where a test is about processes and files: same signals, files and order of writes.

Its state is a chain of hashes, so that a step left out or done twice shows in the last file.
"""

import hashlib
import os
import signal
import sys
import threading
import time

from simclr import runs
from simclr.files import writing
from simclr.runs import Run, StatusWriter

STEPS_PER_EPOCH = 4
STEPS_PER_CHECKPOINT = 3
HEADER = "epoch,step,train/loss,state"


def _load(folder):
    for name in runs.RESUMABLE_CHECKPOINTS:
        try:
            step, state = (folder / name).read_text().split()
            return int(step), state
        except (OSError, ValueError):
            continue
    return 0, ""


def _save(folder, step, state):
    last = folder / runs.LAST_CHECKPOINT
    if last.exists():
        writing.write_atomically(folder / runs.PREVIOUS_CHECKPOINT, last.read_text())
    writing.write_atomically(last, f"{step} {state}")


def train(config, *, runs_dir, run_dir=None, resume=False, command=None, recipe=None, callbacks=()):
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    run = Run(run_dir) if run_dir is not None else runs.create(config, runs_dir, command)
    folder = run.path / runs.CHECKPOINTS
    step, state = _load(folder) if resume else (0, "")
    lines = run.metrics_path.read_text().split("\n")[1:-1] if step and run.metrics_path.exists() else []
    kept = [line for line in lines if line.count(",") == 3 and int(line.split(",")[1]) <= step]
    writing.write_atomically(run.metrics_path, "".join(f"{line}\n" for line in [HEADER, *kept]))
    num_steps = config.epochs * STEPS_PER_EPOCH
    status = StatusWriter(run.path, interval=0.2).start(phase="training", steps=num_steps, epochs=config.epochs)
    print(f"goes on from step {step}", flush=True)
    try:
        while step < num_steps and not asked.is_set():
            step += 1
            state = hashlib.sha256(f"{state} {config.seed} {step}".encode()).hexdigest()[:16]
            epoch = (step - 1) // STEPS_PER_EPOCH + 1
            with open(run.metrics_path, "ab") as stream:
                stream.write(f"{epoch},{step},{1 / step:.7g},{state}\n".encode())
            if step % STEPS_PER_CHECKPOINT == 0:
                _save(folder, step, state)
            status.set(step=step, epoch=epoch)
            time.sleep(float(os.environ.get("SIMCLR_TEST_STEP_SECONDS", 0.02)))
        _save(folder, step, state)
        if step == num_steps:
            writing.write_atomically(run.model_path, state)
            status.close(state="finished", reason="", phase="", exit_code=0)
        else:
            status.close(state="stopped", reason="on request", phase="", exit_code=runs.STOPPED_EXIT_CODE)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
        status.close(state="failed", reason="disk full", phase="", error=f"{error.strerror}.", exit_code=1)
    return run


def train_worker(*_, **__):
    raise AssertionError("one process only")
