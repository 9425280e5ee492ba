"""Entry point: tries a few steps for an estimate, `lifecycle.measure`. Found by this name after an update."""

import sys

from simclr.lifecycle.measure import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
