"""Put on the PYTHONPATH of processes under test: a clock that can be set, and a training that takes no torch.

SIMCLR_TEST_CLOCK   a file that says by how many seconds `time.time` is wrong
SIMCLR_TEST_STUB    `simclr.lifecycle.train` is `stub_train.py` beside this file
"""

import importlib.abc
import importlib.util
import os
import sys
import time
from pathlib import Path

if clock := os.environ.get("SIMCLR_TEST_CLOCK"):
    right = time.time

    def wrong() -> float:
        return right() + float(Path(clock).read_text())

    time.time = wrong

if os.environ.get("SIMCLR_TEST_STUB"):

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "simclr.lifecycle.train":
                return importlib.util.spec_from_file_location(name, Path(__file__).with_name("stub_train.py"))
            return None

    sys.meta_path.insert(0, Finder())
