"""python -m simclr"""

from simclr import processes
from simclr.cli import main

if __name__ == "__main__":
    processes.leave(main())
