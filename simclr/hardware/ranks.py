"""Which of a run's processes this one is: alone, or started by Lightning, torchrun or srun (no torch).

Only the first process of a run writes to its folder. The others must know that from the start, so the rank is read from
the environment variables that the launchers set.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from typing import Literal, NoReturn

from simclr.config import ConfigError, RunConfig

Launcher = Literal["lightning", "torchrun", "srun"]


@dataclass(frozen=True)
class Place:
    """This process among the `world_size` processes of its run.

    rank: 0 is the main process. launcher: what starts the others; `lightning` starts them from the main one.
    """

    rank: int
    world_size: int
    launcher: Launcher

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def place(config: RunConfig) -> Place:
    """The rank of this process, the number of processes, and their launcher.

    Raises:
        ConfigError: if torchrun or srun started another number of processes than `devices` x `num_nodes`.
    """
    world_size = config.devices * config.num_nodes
    for launcher, rank, started in (
        ("torchrun", "RANK", "WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else ""),
        # the step's size and not the job's: a batch script that calls no srun is one process, however many it asked for
        ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ):
        count = int(os.environ.get(started) or 1)
        if count == 1:
            continue
        if count != world_size:
            raise ConfigError(
                f"devices is {config.devices} and num_nodes is {config.num_nodes}, and {launcher} started {count} "
                f"processes; allowed: devices x num_nodes = {count}."
            )
        return Place(int(os.environ[rank]), world_size, launcher)  # type: ignore[arg-type]
    if world_size == 1:
        return Place(0, 1, "lightning")
    # Lightning's launcher sets LOCAL_RANK in the processes it starts; on other machines the user says NODE_RANK
    node, local = int(os.environ.get("NODE_RANK") or 0), int(os.environ.get("LOCAL_RANK") or 0)
    return Place(node * config.devices + local, world_size, "lightning")


def end_with_parent() -> None:
    """If Lightning started this process: has the system end it when its parent dies.

    So no process waits for ever for a main process that was killed.
    """
    if sys.platform == "linux" and os.environ.get("LOCAL_RANK", "0") != "0":
        parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


def leave(code: int) -> NoReturn:
    """Ends this process with this exit status, whatever signals arrive meanwhile.

    With torch loaded the interpreter takes a while to shut down. A second signal, as Slurm may send, would end the
    process in that time, and a run that has saved and stopped would seem killed.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)
