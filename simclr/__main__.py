"""python -m simclr"""

from simclr.cli.main import main
from simclr.hardware import ranks

if __name__ == "__main__":
    ranks.leave(main())
