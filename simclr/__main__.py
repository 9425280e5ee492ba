"""python -m simclr, and the command `simclr` of an installation."""

from typing import NoReturn

from simclr.cli.main import main
from simclr.hardware import ranks


def run() -> NoReturn:
    """Runs the command line, and ends this process with its exit status."""
    ranks.leave(main())


if __name__ == "__main__":
    run()
