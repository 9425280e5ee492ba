"""Locks, also on a file system that has none: several processes at once, dead holders, other machines."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import time

import pytest

from simclr.files import locks, writing
from simclr.files.locks import Lock

FORK = multiprocessing.get_context("fork")


@pytest.fixture(params=["with flock", "without flock"])
def path(request, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    if request.param == "without flock":  # processes that are forked from this one have none either
        monkeypatch.setattr(fcntl, "flock", refuse)
    return tmp_path / ".lock"


def add(folder, times):
    for _ in range(times):
        with writing.locked(folder):
            number = int((folder / "number").read_text())
            time.sleep(0.0005)
            (folder / "number").write_text(str(number + 1))


def test_several_processes_lose_no_count(path):
    (path.parent / "number").write_text("0")
    processes = [FORK.Process(target=add, args=(path.parent, 25)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (path.parent / "number").read_text() == "100"
    assert not list(path.parent.glob("*.held*"))


def hold(path, pipe):
    lock = Lock(path)
    assert lock.acquire()
    pipe.send("held")
    time.sleep(60)


def test_the_lock_of_a_killed_process_is_free_and_that_of_a_living_one_is_not(path):
    here, there = FORK.Pipe()
    process = FORK.Process(target=hold, args=(path, there))
    process.start()
    assert here.recv() == "held"
    lock = Lock(path)
    assert not lock.acquire()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert lock.acquire()
    assert not Lock(path).acquire()  # also for this process itself
    lock.release()
    lock.release()
    assert Lock(path).acquire()


def owner(**changes):
    """What a lock's file says of this process, with changes."""
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "start": locks._start_of(os.getpid())}
    return json.dumps(mine | changes)


@pytest.mark.parametrize(
    ("content", "age", "is_free"),
    [
        ({}, 1e6, False),
        ({"start": 1.0}, 0, True),  # the pid is another process's now
        ({"pid": 2**22 + 1}, 0, True),
        ({"host": "elsewhere"}, 60, False),
        ({"host": "elsewhere"}, 200, True),
        ("", 1, False),  # it is being written
        ("", 20, True),
        ("[1, 2", 20, True),
        ('{"pid": "x"}', 20, True),
    ],
)
def test_whose_lock_is_given_up(tmp_path, monkeypatch, content, age, is_free):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = Lock(tmp_path / ".lock")
    (tmp_path / ".lock.held").write_text(owner(**content) if isinstance(content, dict) else content)
    os.utime(tmp_path / ".lock.held", (time.time() - age,) * 2)
    assert lock.acquire() == is_free
    lock.renew()
    assert (time.time() - (tmp_path / ".lock.held").stat().st_mtime < 5) == (is_free or age < 5)


def test_other_errors_are_not_taken_for_a_missing_lock(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"):
        Lock(tmp_path / ".lock").acquire()
