"""Trainings in processes that end themselves, or are asked to stop, at a named moment.

They are forked from a process that has everything imported, so that each costs its training and little more.
"""

import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
from pathlib import Path

# moment: what is called then, and whether it is before the call; the first of them that a run reaches counts
MOMENTS = {
    "reading": [("simclr.lifecycle.train:prepare", "after")],
    "a first checkpoint half written": [("simclr.training.checkpoints:os.fsync", "before")],
    "a step": [
        ("simclr.training.callbacks:Recorder.on_train_batch_end", "after"),
        ("simclr.objectives.optim:warmup_cosine", "after"),
    ],
    "validating": [
        ("simclr.training.callbacks:Recorder.on_validation_batch_end", "after"),
        ("simclr.training.frozen_head:classify", "after"),
    ],
    "a row without its checkpoint": [("simclr.training.checkpoints:Checkpoints.judge", "before")],
    "the best without the last": [("simclr.training.checkpoints:_link_or_copy", "after")],
    "between epochs": [("simclr.training.checkpoints:publish", "after")],
    "testing": [
        ("simclr.evaluation.protocols:pretrain_figures", "before"),
        ("simclr.evaluation.protocols:classifier_figures", "before"),
    ],
    "after the test": [("simclr.runs:write_evaluation", "before")],
    "the weights half written": [
        ("simclr.training.pretrain:save_atomically", "before"),
        ("simclr.training.finetune:save_atomically", "before"),
    ],
    "the evaluation written": [("simclr.runs:write_evaluation", "after")],
    "the last word": [("simclr.runs.status_writer:StatusWriter.close", "before")],
}
PRELOAD = [
    "simclr.cli.main",
    "simclr.cli.training",
    "simclr.lifecycle.train",
    "simclr.evaluation.protocols",
    "simclr.lifecycle.estimate",
    "torchvision.models",
    "sklearn.metrics",
]


def _end_at(place: str, when: str, count: int, number: int) -> None:
    """Sends this process a signal at the `count`-th call of what stands at `place`."""
    module, _, path = place.partition(":")
    owner = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original, calls = getattr(owner, name), 0

    def called(*arguments, **more):
        nonlocal calls
        calls += 1
        if when == "before" and calls == count:
            os.kill(os.getpid(), number)
        result = original(*arguments, **more)
        if when == "after" and calls == count:
            os.kill(os.getpid(), number)
        return result

    setattr(owner, name, called)


def _child(arguments: list[str], moment: str | None, count: int, number: int, log: str) -> None:
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(stream, descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for place, when in MOMENTS[moment] if moment is not None else ():
        _end_at(place, when, count, number)
    # Lightning starts the other processes of a run with the command line of this one.
    sys.modules["__main__"].__spec__, sys.argv = importlib.util.find_spec("simclr.__main__"), ["simclr", *arguments]
    from simclr.cli.main import main

    sys.exit(main(arguments))


def run(
    arguments: list[str], log: Path, moment: str | None = None, count: int = 1, number: int = signal.SIGKILL
) -> int:
    """Exit status of `python -m simclr ARGUMENTS` that gets signal `number` at a moment; negative: ended by it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=_child, args=(arguments, moment, count, number, str(log)))
    process.start()
    process.join(240)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(log.read_text())
    assert process.exitcode is not None
    return process.exitcode
