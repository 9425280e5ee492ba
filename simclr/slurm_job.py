"""Entry point: what a Slurm job runs on its nodes, `lifecycle.slurm_task`. Found by this name after an update."""

import sys

from simclr.files import names
from simclr.hardware import ranks
from simclr.lifecycle.slurm_task import main

if __name__ == "__main__":
    names.use_for_output()
    ranks.leave(main(sys.argv[1:]))
