"""A job that is asked to stop in its very first lines says so too."""

import pytest

from simclr import runs
from simclr.cli import estimate as command
from simclr.launch import jobs
from simclr.runs import StatusWriter


@pytest.fixture
def stopped_at_once(monkeypatch):
    """A stop that arrives when the status has just been written, before anything else is done."""
    original = StatusWriter.start

    def start(self, **changes):
        original(self, **changes)
        raise jobs.Stopped

    monkeypatch.setattr(StatusWriter, "start", start)


def test_a_job(tmp_path, stopped_at_once):
    with pytest.raises(SystemExit) as end, jobs.running(tmp_path):
        raise AssertionError("its work was begun")
    assert end.value.code == runs.STOPPED_EXIT_CODE
    assert runs.read_status(tmp_path).state == "stopped"


def test_an_estimate(tmp_path, stopped_at_once):
    arguments = ["pretrain", "--dataset", "shapes", "--job_dir", str(tmp_path)]
    assert command.estimate_run(arguments) == runs.STOPPED_EXIT_CODE
    assert runs.read_status(tmp_path).state == "stopped"
