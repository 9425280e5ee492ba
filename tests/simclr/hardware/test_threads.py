"""Threads that wait: what processes of a command get, and what a user has chosen."""

import os
import re
import subprocess
import sys

import pytest

from simclr.hardware import threads

TOLD = re.compile(r"GOMP_SPINCOUNT = '(\w+)'")


@pytest.fixture
def environment(monkeypatch):
    for name in threads.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_threads_wait_briefly_where_nobody_has_chosen(environment):
    threads.wait_briefly()
    assert os.environ[threads.SPINS] == str(threads.SPIN_COUNT)


@pytest.mark.parametrize("name", threads.CHOSEN)
def test_what_a_user_has_chosen_stays(environment, name):
    environment.setenv(name, "5")
    threads.wait_briefly()
    assert {each: os.environ.get(each) for each in threads.CHOSEN} == {
        each: "5" if each == name else None for each in threads.CHOSEN
    }


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP comes with the wheels for Linux")
@pytest.mark.parametrize("chosen", [None, "77"])
def test_the_libraries_of_a_command_have_read_it(environment, chosen):
    """OpenMP itself tells, when it is loaded, what it goes by."""
    given = os.environ | {"OMP_DISPLAY_ENV": "verbose"} | ({threads.SPINS: chosen} if chosen else {})
    code = "from simclr.cli.main import main; main(['--help']); import torch; torch.ones(4).sum()"
    told = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    assert set(TOLD.findall(told.stderr)) == {chosen or str(threads.SPIN_COUNT)}
