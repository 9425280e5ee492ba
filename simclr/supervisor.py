"""Entry point: the process above a run, `launch.supervisor`. Found by this name after an update."""

import sys

from simclr.launch.supervisor import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
