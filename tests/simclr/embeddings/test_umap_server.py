"""The process that keeps UMAP compiled: what it draws, what becomes of it when things go wrong, and that it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from simclr.embeddings import neighbors, projections, umap_server
from simclr.embeddings.neighbors import Nearest
from simclr.embeddings.projections import Projection
from simclr.hardware import processes
from simclr.launch import spawn

ROOT = Path(__file__).resolve().parents[3]
# The same worker with maps that take no time. What is asked for as the seed happens; `pids` names who draws.
STAND_IN = """
import os, signal, sys, time
from pathlib import Path
from simclr.embeddings import projections, umap_server

def umap(features, near, dims, progress, **chosen):
    happens = chosen["random_state"]
    with open(Path(sys.argv[1]).parent / "pids", "a") as stream:
        print(os.getpid(), file=stream)
    if happens == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if happens == 2:
        raise ValueError("nothing to draw")
    if happens == 3:
        time.sleep(60)
    if happens == 4:
        time.sleep(1.5)
    return features[:, :dims] + near.similarities[:, :1]

projections.umap = umap
umap_server._compile = lambda: None
sys.exit(umap_server.main(sys.argv[1:]))
"""
FEATURES = np.arange(24, dtype=np.float32).reshape(6, 4)
NEAR = Nearest(np.zeros((6, 5), dtype=np.int32), np.ones((6, 5), dtype=np.float32))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all jobs, with one in it; the worker listens there."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    (tmp_path / "job").mkdir()
    return tmp_path


@pytest.fixture
def start(jobs: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    started: list[subprocess.Popen] = []

    def begin(idle_seconds: float = 60, wait: bool = True) -> subprocess.Popen:
        place = umap_server.address(jobs)
        command = [sys.executable, "-c", STAND_IN, str(place), str(idle_seconds)]
        started.append(subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL))
        if wait:
            wait_until(lambda: listens(place))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        return line.connect_ex(str(place)) == 0


def draw(jobs: Path, seed: int = 0, said: list[str] | None = None, dims: int = 2) -> np.ndarray | None:
    words = said if said is not None else []
    return umap_server.draw(
        Projection("umap", dims), FEATURES, NEAR, seed, jobs / "job", lambda phase, share: words.append(phase)
    )


def drawers(jobs: Path) -> list[int]:
    path = jobs / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_it_draws_what_is_asked_for_its_owner_alone(jobs: Path, start: Callable[..., subprocess.Popen]) -> None:
    start()
    place = umap_server.address(jobs)
    assert place.parent == jobs
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    said: list[str] = []
    for dims in (2, 3):
        np.testing.assert_array_equal(draw(jobs, said=said, dims=dims), FEATURES[:, :dims] + 1)
    assert "drawing" in said
    assert len(set(drawers(jobs))) == 2  # each map in a process of its own
    assert not list((jobs / "job").iterdir())  # arrays on their way are cleared away


def test_whoever_stops_ends_what_is_drawn_and_the_next_is_served(
    jobs: Path, start: Callable[..., subprocess.Popen]
) -> None:
    worker = start()

    class StoppedError(Exception):
        pass

    def stop_when_drawn(phase: str, share: float) -> None:
        if drawers(jobs):
            raise StoppedError

    with pytest.raises(StoppedError):
        umap_server.draw(Projection("umap"), FEATURES, NEAR, 3, jobs / "job", stop_when_drawn)
    (drawer,) = drawers(jobs)
    wait_until(lambda: processes.process_start(drawer) is None)
    assert draw(jobs) is not None
    assert worker.poll() is None


def test_a_second_one_waits_for_its_turn(jobs: Path, start: Callable[..., subprocess.Popen]) -> None:
    start()
    found: list[np.ndarray | None] = []
    first = threading.Thread(target=lambda: found.append(draw(jobs, seed=4)))
    first.start()
    wait_until(lambda: bool(drawers(jobs)))
    said: list[str] = []
    assert draw(jobs, said=said) is not None
    assert said[0] == "waiting"
    first.join()
    assert found[0] is not None


@pytest.mark.parametrize("what_happens", [1, 2])
def test_a_map_that_fails_is_given_back_and_the_next_is_served(
    what_happens: int, jobs: Path, start: Callable[..., subprocess.Popen], capfd: pytest.CaptureFixture[str]
) -> None:
    start()
    assert draw(jobs, seed=what_happens) is None
    if what_happens == 2:
        assert "nothing to draw" in capfd.readouterr().err
    assert draw(jobs) is not None


def test_a_worker_that_is_killed_in_the_middle_costs_the_map_only(
    jobs: Path, start: Callable[..., subprocess.Popen]
) -> None:
    worker = start()
    found: list[np.ndarray | None] = [FEATURES]
    asking = threading.Thread(target=lambda: found.append(draw(jobs, seed=3)))
    asking.start()
    wait_until(lambda: bool(drawers(jobs)))
    worker.kill()
    worker.wait()
    os.kill(drawers(jobs)[0], signal.SIGKILL)
    asking.join(timeout=10)
    assert found[1:] == [None]
    start()  # what the dead one has left, its socket, is in nobody's way
    assert draw(jobs) is not None


def test_nonsense_is_hung_up_on(jobs: Path, start: Callable[..., subprocess.Popen]) -> None:
    start()
    for nonsense in (b"[1, 2]\n", b"what?\n", b"x" * 2 * umap_server.MAX_REQUEST, b'{"folder": "/nowhere"}\n'):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(str(umap_server.address(jobs)))
            line.sendall(nonsense)
            answers = b""
            try:
                while part := line.recv(4096):
                    answers += part
            except ConnectionResetError:
                pass
            assert all("error" in json.loads(word) or "phase" in json.loads(word) for word in answers.splitlines())
    assert draw(jobs) is not None


def test_one_is_enough(jobs: Path, start: Callable[..., subprocess.Popen]) -> None:
    worker = start()
    assert start(wait=False).wait(timeout=60) == 0
    assert worker.poll() is None
    assert draw(jobs) is not None


def test_it_ends_when_nobody_asks_for_a_while(jobs: Path, start: Callable[..., subprocess.Popen]) -> None:
    worker = start(idle_seconds=2)
    assert worker.wait(timeout=20) == 0
    assert not umap_server.address(jobs).exists()


def test_it_ends_when_the_folder_that_it_listens_in_is_gone(jobs: Path, start: Callable[..., subprocess.Popen]) -> None:
    worker = start()
    shutil.rmtree(jobs)
    assert worker.wait(timeout=20) == 0


def test_without_a_worker_there_is_no_map_and_no_waiting(
    jobs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spawn, "detach", lambda command, log: None)
    monkeypatch.setattr(umap_server, "START_SECONDS", 0.3)
    start = time.monotonic()
    assert draw(jobs) is None
    assert time.monotonic() - start < 15  # less than it would wait without the change above
    assert "cannot be used" in capfd.readouterr().err


def test_a_silent_worker_is_given_up(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umap_server, "SILENCE_SECONDS", 0.3)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(umap_server.address(jobs)))
        listener.listen()
        assert draw(jobs) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a socket away")
def test_the_socket_of_another_user_is_not_used(jobs: Path, start: Callable[..., subprocess.Popen]) -> None:
    start()
    os.chown(umap_server.address(jobs), 12345, -1)
    assert draw(jobs) is None
    assert not drawers(jobs)


def test_where_it_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert umap_server.address(tmp_path / "nowhere").parent == tmp_path
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    long = tmp_path / ("a" * 90)
    long.mkdir()
    assert umap_server.address(long).parent.name == f"simclr-{os.getuid()}"


@pytest.mark.slow
def test_the_real_one_is_started_on_demand_draws_the_same_map_and_is_warm_then(jobs: Path) -> None:
    generator = np.random.default_rng(0)
    centres = 4 * np.eye(16)[np.arange(500) % 5]
    features = (centres + generator.normal(size=(500, 16))).astype(np.float32)
    projection = Projection("umap", n_neighbors=10)
    near = neighbors.nearest(neighbors.unit_rows(features), projection.num_neighbors(500))

    def ask() -> tuple[set[str], np.ndarray | None]:
        said: set[str] = set()
        points = umap_server.draw(
            projection, features, near, 7, jobs / "job", lambda phase, share: said.add(phase), idle_seconds=15
        )
        return said, points

    first, second = ask(), ask()
    assert [first[0], second[0]] == [{"loading", "drawing"}, {"drawing"}]
    expected = projections.reduce(projection, features, 7, near=near)
    np.testing.assert_array_equal(first[1], expected)
    np.testing.assert_array_equal(second[1], expected)
    wait_until(lambda: not umap_server.address(jobs).exists(), seconds=60)
