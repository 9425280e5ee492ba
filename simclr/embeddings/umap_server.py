"""A process that keeps UMAP compiled, so that only the first map after a pause waits for that (no torch).

One for each user of a machine, started by the first who asks (`draw`), ended by itself after a quarter of an hour
without work. It listens on a Unix socket of its owner's alone; what goes over it is lines of JSON, and arrays lie in
.npy files that are read without running any code.

    asked     {"folder": ..., "method": "umap", "dims": 2, "parameters": {...}}     reads features, neighbours there
    answered  {"phase": "waiting" | "loading" | "drawing", "share": 0..1}, at least one a second
              {"done": true}                                                         the map lies there as map.npy
              {"error": "..."}

Each map is drawn in a child of its own, which has everything compiled from the start: whoever hangs up has it killed,
and the next finds the worker as warm as before. Wherever something is amiss with the worker, `draw` says so by
returning None, and the map is drawn without it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import selectors
import signal
import socket
import stat
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from simclr.embeddings import projections
from simclr.embeddings.neighbors import Floats, Nearest
from simclr.embeddings.projections import Projection
from simclr.files import safe_read
from simclr.launch import spawn

IDLE_SECONDS = 15 * 60.0
BEAT_SECONDS = 1.0
# From being asked to the first word, and from one word to the next: a worker that is silent for longer has failed.
START_SECONDS, SILENCE_SECONDS = 20.0, 60.0
MAX_REQUEST = 64 * 1024  # bytes
MAX_ADDRESS = 100  # bytes that the name of a Unix socket may have, a few less than Linux and macOS take
FEATURES, INDICES, SIMILARITIES, MAP = "features.npy", "indices.npy", "similarities.npy", "map.npy"


# --- where it listens -----------------------------------------------------------------------------------------------


def address(jobs: Path) -> Path:
    """The socket of this user's worker on this machine, for this very code and these versions.

    It lies in `$XDG_RUNTIME_DIR`, else in `jobs`, else, where that name is too long for a socket, in a folder of the
    user's own for temporary files.
    """
    found = hashlib.sha256()
    for path in (Path(__file__), Path(projections.__file__)):
        found.update(path.read_bytes())
    versions = [metadata.version(name) for name in ("umap-learn", "numba", "numpy")]
    found.update(repr([sys.executable, sys.version, *versions]).encode())
    name = f"simclr-maps-{os.getuid()}-{socket.gethostname()[:16]}-{found.hexdigest()[:8]}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for folder in ([Path(runtime)] if runtime else []) + [jobs.resolve()]:
        if folder.is_dir() and os.access(folder, os.W_OK) and len(os.fsencode(folder / name)) <= MAX_ADDRESS:
            return folder / name
    return Path(tempfile.gettempdir()) / f"simclr-{os.getuid()}" / name


def _is_ours(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.lstat().st_uid == os.getuid()
    return False


def _peer_is_ours(connection: socket.socket) -> bool:
    """True if the process at the other end belongs to this user, as far as the system can tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the socket's mode has to do
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(user == os.getuid())


# --- asking ---------------------------------------------------------------------------------------------------------


def draw(
    projection: Projection,
    features: Floats,
    near: Nearest,
    seed: int,
    job: Path,
    progress: Callable[[str, float], None],
    idle_seconds: float = IDLE_SECONDS,
) -> Floats | None:
    """The map (N, dims) that the worker draws, which is started if there is none; None if it cannot.

    Args:
        near: the neighbours of `features`, as many as the method wants.
        job: a folder for the arrays on their way; the worker may listen in the one above.
        progress: called once a second at least with `waiting`, `loading` or `drawing`, and the share done. What it
            raises goes through, and the worker gives the map up.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="map-", dir=job) as name, _connected(job.parent, idle_seconds) as line:
            folder = Path(name)
            np.save(folder / FEATURES, features)
            np.save(folder / INDICES, near.indices)
            np.save(folder / SIMILARITIES, near.similarities)
            request = {
                "folder": str(folder.resolve()),
                "method": projection.method,
                "dims": projection.dims,
                "parameters": projection.parameters(len(features), seed),
            }
            line.sendall(json.dumps(request).encode() + b"\n")
            share = 0.0
            for answer in _lines(line):
                if answer.get("done"):
                    points: Floats = np.load(folder / MAP, allow_pickle=False)
                    return points if points.shape == (len(features), projection.dims) else None
                if "error" in answer:
                    print(f"The process for maps failed: {answer['error']}", file=sys.stderr)
                    return None
                share = float(answer.get("share", share))
                progress(str(answer.get("phase")), share)
    except (OSError, ValueError, EOFError) as error:
        print(f"The process for maps cannot be used: {error}", file=sys.stderr)
    return None


def _lines(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """What the other end says, line by line, until it hangs up; OSError if it is silent for too long."""
    with connection.makefile("rb") as stream:
        for line in stream:
            answer = json.loads(line)
            if isinstance(answer, dict):
                yield answer


@contextlib.contextmanager
def _connected(jobs: Path, idle_seconds: float) -> Iterator[socket.socket]:
    """A connection to the worker, which is started where none answers.

    Raises:
        OSError: if none can be had.
    """
    place = address(jobs)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SILENCE_SECONDS)
        deadline, started = time.monotonic() + START_SECONDS, False
        while True:
            try:
                if place.exists() and not _is_ours(place):
                    raise PermissionError(f"{place} belongs to another user")
                connection.connect(str(place))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                if not started:
                    started = True
                    command = [sys.executable, "-m", "simclr.map_worker", str(place), str(idle_seconds)]
                    (jobs / "map-worker.log").unlink(missing_ok=True)
                    with safe_read.open_to_append(jobs / "map-worker.log") as log:
                        spawn.detach(command, log=log)
                time.sleep(0.1)
        if not _peer_is_ours(connection):
            raise PermissionError(f"{place} is served by another user")
        yield connection


# --- the worker -----------------------------------------------------------------------------------------------------


@dataclass
class _Client:
    """Someone who has asked, or is about to."""

    line: socket.socket
    received: bytes = b""
    request: dict[str, Any] | None = None


@dataclass
class _Worker:
    """Serves one map after the other. `child` draws for `served`; all others wait in the order in which they asked."""

    place: Path
    listener: socket.socket
    lock: int
    idle_seconds: float
    warm_up: Callable[[], None]
    clients: list[_Client] = field(default_factory=list)
    served: _Client | None = None
    child: int = 0
    warm: bool = False

    def serve(self) -> None:
        """Until nobody has asked for anything for `idle_seconds`, or nobody can: the folder of the socket is gone."""
        watch = selectors.DefaultSelector()
        watch.register(self.listener, selectors.EVENT_READ)
        last_used = last_beat = time.monotonic()
        while time.monotonic() - last_used < self.idle_seconds and (self.clients or self.place.exists()):
            for key, _ in watch.select(timeout=min(BEAT_SECONDS, self.idle_seconds) / 10):
                if key.fileobj is self.listener:
                    line, _ = self.listener.accept()
                    if not _peer_is_ours(line):
                        line.close()
                        continue
                    line.settimeout(BEAT_SECONDS)
                    self.clients.append(_Client(line))
                    watch.register(line, selectors.EVENT_READ, self.clients[-1])
                elif not self._read(key.data):
                    watch.unregister(key.fileobj)
                    self._forget(key.data)
            self._collect(watch)
            if self.served is None:
                self._begin_next()
            if self.clients:
                last_used = time.monotonic()
            if time.monotonic() - last_beat > BEAT_SECONDS:
                last_beat = time.monotonic()
                for client in self.clients:
                    _say(client.line, phase="drawing" if client is self.served else "waiting")

    def _read(self, client: _Client) -> bool:
        """Takes in what a client has sent; False if it has hung up, or sends what nobody should."""
        try:
            part = client.line.recv(MAX_REQUEST)
        except OSError:
            return False
        client.received += part
        if b"\n" in client.received and client.request is None:
            try:
                client.request = dict(json.loads(client.received.partition(b"\n")[0]))
            except (ValueError, TypeError):
                return False
        return bool(part) and len(client.received) < MAX_REQUEST

    def _forget(self, client: _Client) -> None:
        """Someone has hung up: what is being drawn for it is not wanted any more."""
        self.clients.remove(client)
        client.line.close()
        if client is self.served:
            if self.child:
                os.kill(self.child, signal.SIGKILL)
                os.waitpid(self.child, 0)
            self.served, self.child = None, 0

    def _begin_next(self) -> None:
        """Begins with the first who has asked; the first of all waits for UMAP to be loaded and compiled."""
        self.served = next((client for client in self.clients if client.request is not None), None)
        if self.served is None:
            return
        if not self.warm:
            self._warm_up()
            self.warm = True
        # Compiled code and its threads are not copied but for this one, which is why numba uses the layer it does.
        self.child = os.fork()
        if self.child == 0:
            assert self.served.request is not None
            self.listener.close()  # whoever asks after the parent's death must not wait for this process
            os.close(self.lock)
            _draw_in_child(self.served.line, self.served.request)

    def _warm_up(self) -> None:
        """Loads and compiles while a child tells everyone that this takes a while."""
        beating = os.fork()
        if beating == 0:
            parent, start = os.getppid(), time.monotonic()
            while os.getppid() == parent:
                for client in self.clients:
                    share = min(0.9, (time.monotonic() - start) / 20)
                    _say(client.line, phase="loading" if client is self.served else "waiting", share=share)
                time.sleep(BEAT_SECONDS)
            os._exit(0)
        try:
            self.warm_up()
        finally:
            os.kill(beating, signal.SIGKILL)
            os.waitpid(beating, 0)

    def _collect(self, watch: selectors.BaseSelector) -> None:
        """Hangs up on whoever was served, when its child has ended."""
        if not self.child or os.waitpid(self.child, os.WNOHANG) == (0, 0):
            return
        client, self.child = self.served, 0
        assert client is not None
        watch.unregister(client.line)  # a child that was killed has not said so: the end of the line does
        self._forget(client)


def _say(line: socket.socket, **words: Any) -> None:
    with contextlib.suppress(OSError):
        line.sendall(json.dumps(words).encode() + b"\n")


def _draw_in_child(line: socket.socket, request: dict[str, Any]) -> None:
    """Draws one map and ends the process."""
    try:
        _say(line, phase="drawing", share=0.0)
        last = time.monotonic()

        def progress(share: float) -> None:
            nonlocal last
            if time.monotonic() - last > BEAT_SECONDS / 4:
                last = time.monotonic()
                _say(line, phase="drawing", share=share)

        folder = Path(request["folder"])
        features, indices, similarities = (
            np.load(folder / name, allow_pickle=False) for name in (FEATURES, INDICES, SIMILARITIES)
        )
        points = projections.umap(
            features, Nearest(indices, similarities), int(request["dims"]), progress, **request["parameters"]
        )
        np.save(folder / MAP, points)
        _say(line, done=True)
    except BaseException as error:
        traceback.print_exc()
        sentence = (str(error).strip().splitlines() or [""])[0]
        _say(line, error=f"{type(error).__name__}: {sentence}"[:300])
    os._exit(0)


def _compile() -> None:
    """Draws a small map, by which everything that a large one needs is loaded and compiled."""
    features = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    projections.reduce(Projection("umap", n_neighbors=5), features)


def main(arguments: list[str]) -> int:
    """`python -m simclr.map_worker SOCKET IDLE_SECONDS`; returns at once where another listens there already."""
    # The layer of numba that a forked child can go on with; it has to be chosen before numba is loaded.
    os.environ["NUMBA_THREADING_LAYER"] = "workqueue"
    place, idle_seconds = Path(arguments[0]).absolute(), float(arguments[1])
    os.chdir("/")
    os.umask(0o077)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not _is_ours(place.parent) and stat.S_IMODE(place.parent.stat().st_mode) & stat.S_IWOTH:
        print(f"{place.parent} can be written by others.", file=sys.stderr)
        return 2
    # The lock goes with the process, however that ends: whoever holds it may clear away what a dead one left.
    lock = os.open(place.with_name(place.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(place))
        place.chmod(0o600)
        listener.listen(16)
        try:
            _Worker(place, listener, lock, idle_seconds, _compile).serve()
        finally:
            place.unlink(missing_ok=True)
    return 0
