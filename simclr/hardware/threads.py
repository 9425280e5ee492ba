"""How the threads of a computation wait for each other; loads no library that starts any."""

from __future__ import annotations

import os

# Of GNU OpenMP, which PyTorch's wheels for Linux bring: how often a thread looks whether the others are there before it
# sleeps. By itself it looks for some 16 ms, and that keeps the processor from the very thread that is waited for when
# other processes want the same cores. Measured with ResNet-18, 32 images of 32 px, 2 threads on 2 cores of an Intel
# Xeon (AMX), steps a second, two windows of 3 to 4 s each:
#
#                                      by itself       10,000          3,000
#     nothing else runs               14.3, 15.3    14.7, 14.2     13.5, 12.8
#     one busy process at nice 5       3.8,  2.6     6.0,  5.6      7.2,  7.5
#     several processes at nice 0      0.4,  0.6    10.0,  3.8            --
SPINS, SPIN_COUNT = "GOMP_SPINCOUNT", 10_000
CHOSEN = (SPINS, "OMP_WAIT_POLICY", "KMP_BLOCKTIME")


def wait_briefly() -> None:
    """Lets threads that wait go to sleep soon, in this process and those it starts; a user's own setting stays.

    To be called before the first library that starts threads is loaded, since they read the setting then.
    """
    if not any(name in os.environ for name in CHOSEN):
        os.environ[SPINS] = str(SPIN_COUNT)
