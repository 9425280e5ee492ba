"""Two processes of one run, of which one fails at a named moment, forked from a process that has all imported."""

import importlib
import multiprocessing
import os
import signal
import socket
import sys
import time

from killable import PRELOAD

# moment: what is called then, and at which call
MOMENTS = {
    "reading": ("simclr.lifecycle.train:prepare", 1),
    "training": ("simclr.training.callbacks:Recorder.on_train_batch_end", 3),
    "validating": ("simclr.training.callbacks:Recorder.on_validation_batch_end", 1),
}
LAUNCHERS = {
    "torchrun": {
        "TORCHELASTIC_RUN_ID": "none",
        "WORLD_SIZE": "2",
        "RANK": "{rank}",
        "LOCAL_RANK": "{rank}",
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
    },
    "srun": {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": "{rank}",
        "SLURM_LOCALID": "{rank}",
        "SLURM_NODEID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODELIST": "localhost",
        "SLURM_JOB_NAME": "training",
    },
}


def _fail(moment: str, error: object, told: str) -> None:
    """Raises `error`, or sends this process that signal, when the moment has come."""
    where, count = MOMENTS[moment]
    module, _, path = where.partition(":")
    owner = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original, calls = getattr(owner, name), 0

    def called(*arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == count:
            with open(told, "w") as stream:
                stream.write(str(time.time()))
            if isinstance(error, int):
                os.kill(os.getpid(), error)
            else:
                raise error  # type: ignore[misc]
        return original(*arguments, **more)

    setattr(owner, name, called)


def _child(arguments: list[str], environment: dict[str, str], fault: tuple[str, object] | None, folder: str) -> None:
    stream = os.open(f"{folder}/said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(stream, descriptor)
    os.environ |= environment
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if fault is not None:
        _fail(*fault, f"{folder}/failed_at")
    from simclr.cli.main import main

    sys.exit(main(arguments))


def run(arguments, folder, launcher, rank, moment, error, seconds=120):
    """Exit statuses of the two processes of `python -m simclr ARGUMENTS`, of which `rank` fails, and when it did."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "SIMCLR_RUNS_DIR": str(folder),
    }
    processes = []
    for number in (0, 1):
        environment = common | {name: text.format(rank=number) for name, text in LAUNCHERS[launcher].items()}
        fault = (moment, error) if number == rank else None
        processes.append(context.Process(target=_child, args=(arguments, environment, fault, str(folder))))
        processes[-1].start()
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    ended = [process.exitcode for process in processes]
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()
    return ended, float((folder / "failed_at").read_text()), time.time()


if __name__ == "__main__":  # for Lightning's launcher, which starts the second process by the same command
    if os.environ.get("LOCAL_RANK") == "1":
        _fail("training", RuntimeError("a bolt is loose"), os.environ["FAILED_AT"])
    from simclr.cli.main import main as command_line

    sys.exit(command_line())
