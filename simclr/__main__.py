"""python -m simclr"""

import sys

from simclr.cli import main

if __name__ == "__main__":
    sys.exit(main())
