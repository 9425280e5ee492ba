"""A process that keeps UMAP compiled, so that only the first map after a pause waits for that (no torch).

One for each user of a machine, started by the first who asks (`draw`), ended by itself after a quarter of an hour
without work. It listens on a Unix socket of its owner's alone; what goes over it is lines of JSON, and arrays lie in
.npy files that are read without running any code.

    asked     {"folder": ..., "method": "umap", "dims": 2, "parameters": {...}}     reads features, neighbours there
    answered  {"phase": "waiting" | "drawing", "share": 0..1}, about one a second
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
import select
import socket
import socketserver
import stat
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
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
LOADING_SECONDS = 20.0  # about what a start takes
# Until the worker listens, and from one word to the next: one that needs longer has failed.
START_SECONDS, SILENCE_SECONDS = 120.0, 120.0
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
        with (
            tempfile.TemporaryDirectory(prefix="map-", dir=job) as name,
            _connected(job.parent, idle_seconds, progress) as line,
        ):
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
def _connected(jobs: Path, idle_seconds: float, progress: Callable[[str, float], None]) -> Iterator[socket.socket]:
    """A connection to the worker, which is started where none answers.

    Raises:
        OSError: if none can be had.
    """
    place = address(jobs)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SILENCE_SECONDS)
        begin, started, worker = time.monotonic(), False, None
        while True:
            try:
                if place.exists() and not _is_ours(place):
                    raise PermissionError(f"{place} belongs to another user")
                connection.connect(str(place))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                seconds = time.monotonic() - begin
                if seconds > START_SECONDS or (worker is not None and worker.poll()):
                    raise
                if not started:
                    started = True
                    command = [sys.executable, "-m", "simclr.map_worker", str(place), str(idle_seconds)]
                    (jobs / "map-worker.log").unlink(missing_ok=True)
                    with safe_read.open_to_append(jobs / "map-worker.log") as log:
                        worker = spawn.detach(command, log=log)
                progress("loading", min(0.9, seconds / LOADING_SECONDS))
                time.sleep(0.1)
        if not _peer_is_ours(connection):
            raise PermissionError(f"{place} is served by another user")
        yield connection


# --- the worker -----------------------------------------------------------------------------------------------------


class _Drawing(socketserver.StreamRequestHandler):
    """Draws one map, in a child of the worker, which has everything compiled."""

    server: _Worker
    timeout = SILENCE_SECONDS  # for who connects and asks nothing
    phase, share = "drawing", 0.0

    def handle(self) -> None:
        # Whoever asks after the worker's death must not wait for this process.
        self.server.socket.close()
        os.close(self.server.lock)
        try:
            request = dict(json.loads(self.rfile.readline(MAX_REQUEST)))
        except (ValueError, TypeError):
            return
        self.connection.settimeout(None)
        threading.Thread(target=self._beat, daemon=True).start()
        try:
            with self._turn():
                self._say(phase=self.phase)
                self._draw(request)
        except BaseException as error:
            traceback.print_exc()
            sentence = (str(error).strip().splitlines() or [""])[0]
            self._say(error=f"{type(error).__name__}: {sentence}"[:300])
        else:
            self._say(done=True)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Lets one draw after the other."""
        turn = os.open(self.server.place.with_name(self.server.place.name + ".turn"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.phase = "waiting"
            self._say(phase=self.phase)
            fcntl.flock(turn, fcntl.LOCK_EX)
            self.phase = "drawing"
        yield
        os.close(turn)  # what is not closed here ends with the process

    def _draw(self, request: dict[str, Any]) -> None:
        folder = Path(request["folder"])
        features, indices, similarities = (
            np.load(folder / name, allow_pickle=False) for name in (FEATURES, INDICES, SIMILARITIES)
        )
        points = projections.umap(
            features, Nearest(indices, similarities), int(request["dims"]), self._progress, **request["parameters"]
        )
        np.save(folder / MAP, points)

    def _progress(self, share: float) -> None:
        self.share = share

    def _beat(self) -> None:
        """Says how far it is, and ends the process when the other end has hung up."""
        while True:
            if select.select([self.connection], [], [], BEAT_SECONDS)[0] and not self.connection.recv(MAX_REQUEST):
                os._exit(0)
            self._say(phase=self.phase, share=self.share)

    def _say(self, **words: Any) -> None:
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(words).encode() + b"\n")


class _Worker(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Draws one map after the other, each in a child of its own.

    Compiled code and its threads are not copied but for this one, which is why numba uses the layer it does.
    """

    timeout = BEAT_SECONDS / 10
    request_queue_size = 16

    def __init__(self, place: Path, lock: int) -> None:
        super().__init__(str(place), _Drawing)
        self.place, self.lock = place, lock
        place.chmod(0o600)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return _peer_is_ours(request)

    def serve(self, idle_seconds: float) -> None:
        """Until nobody has asked for anything for `idle_seconds`, or nobody can: the folder of the socket is gone."""
        last_used = time.monotonic()
        while time.monotonic() - last_used < idle_seconds and (self.active_children or self.place.exists()):
            self.handle_request()
            self.service_actions()
            if self.active_children:
                last_used = time.monotonic()


def _compile() -> None:
    """Draws a small map, by which everything that a large one needs is loaded and compiled."""
    features = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    projections.reduce(Projection("umap", n_neighbors=5), features)


def main(arguments: list[str]) -> int:
    """`python -m simclr.map_worker SOCKET IDLE_SECONDS`; returns at once where another is there already."""
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
    _compile()  # who has started it waits for the socket
    place.unlink(missing_ok=True)
    with _Worker(place, lock) as worker:
        try:
            worker.serve(idle_seconds)
        finally:
            place.unlink(missing_ok=True)
    return 0
