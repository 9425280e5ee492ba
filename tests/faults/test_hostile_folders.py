"""Run folders with every file damaged in every way that came to mind: no reader raises, waits or takes for ever.

Some hundred folders are made once, and one child process reads them all; a reader that hangs ends it, and the folder
that it said it was reading is the one to look at.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dashboard_fixtures import make_run

from simclr import runs
from simclr.embeddings import stored
from simclr.files import safe_read
from simclr.films import film
from simclr.runs import film_frames

CPU_SECONDS = 3.0  # of one folder, on a slow machine; a reader that is not bounded takes many times more
FOLDER = Path(runs.EMBEDDINGS) / "test"
FILM = Path(runs.EMBEDDINGS) / "film"
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    [],
    {},
    "x\x1b[31m\n",
    "",
    -1,
    2**70,
    10**400,
    1e308,
    -0.0,
    [[[]]],
    {"a": {}},
    float("nan"),
    float("inf"),
    "\ud800",
    ["x"] * 50,
)

CHILD = """
import json, os, resource, signal, sys, time
from pathlib import Path
from simclr.results import index
from simclr import runs
from simclr.cli import main as cli
from simclr.cli.runs import version_of
from simclr.embeddings import stored
from simclr.films import film
from simclr.launch import queue, slurm_runs, spawn
from simclr.curves import other_logs
from simclr.runs import health_log, metrics_csv
from simclr.config import ConfigError
from simclr.files import safe_read

resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
runs_dir, folder, places = Path(sys.argv[1]), sys.argv[2], None
out = sys.stdout

def say(name, **found):
    print(json.dumps({"name": name, **found}), file=out, flush=True)

def glance(path):
    run = index._Glance(path)
    index._read(run)
    run.name, run.kind, run.tags, run.notes, run.created, run.experiment, run.evaluation, run.config, run.brief
    run.metrics(), run.log_tail(), health_log.read(run.health_path)
    metrics_csv.newest_figures(run.metrics_path), film.load(run)
    stored.load_embedding(path / folder)
    other_logs.flat(safe_read.yaml_dict(path / runs.CONFIG))
    metrics_csv.read_columns(path / runs.METRICS, metrics_csv.metric_names(path / runs.METRICS))
    runs.is_own(path), runs.stalled(run.status), index.elapsed(run.status), version_of(run)
    for action in (lambda: runs.load_config(run), lambda: spawn.check_resumable(run), lambda: spawn.check_own(run)):
        try:
            action()
        except ConfigError as error:
            assert 0 < len(str(error)) < 5000, str(error)[:200]
    for action in (lambda: run.edit(notes="x"), lambda: runs.update_status(path, phase="x")):
        try:
            action()
        except OSError:
            pass

def timed(name, action):
    say(name, begun=True)
    signal.alarm(30)
    before, error = time.process_time(), ""
    try:
        action()
    except BaseException as found:
        error = f"{type(found).__name__}: {found}"[:300]
    signal.alarm(0)
    say(name, error=error, seconds=time.process_time() - before)

for path in sorted(runs_dir.iterdir()):
    timed(path.name, lambda: glance(path))
os.environ["PATH"] = ""  # no Slurm
sys.stdout = open(os.devnull, "w")
timed("all: runs", lambda: cli.main(["runs", "--runs_dir", str(runs_dir)]))
timed("all: runs --json", lambda: cli.main(["runs", "--json", "--runs_dir", str(runs_dir)]))
timed("all: summaries", lambda: index.RunIndex(runs_dir).summaries())
timed("all: queue", lambda: (queue.entries(runs_dir), queue.device_usage(runs_dir), queue.ensure_scheduler(runs_dir)))
timed("all: Slurm", lambda: slurm_runs.refresh(runs_dir))
"""


def template(folder: Path) -> Path:
    """A finished run with every kind of file that pages read."""
    run = make_run(folder, epochs=3, name="a run")
    (run.path / runs.EVALUATION).write_text(json.dumps({"test/knn_top1": 0.5, "classes": ["a"], "per_class": [1.0]}))
    (run.path / runs.HEALTH).write_text('{"epoch": 1, "step": 3}\n')
    tiles = {"side": 8, "columns": 2, "per_sheet": 4, "sheets": ["thumbnails-0.png"]}
    arrays = {
        "features": np.ones((4, 3), np.float32),
        "ids": np.arange(4),
        "neighbors": np.zeros((4, 2), np.int32),
        "similarities": np.ones((4, 2), np.float32),
    }
    for place, about in ((FOLDER, stored.PROVENANCE), (FILM, film_frames.ABOUT)):
        (run.path / place).mkdir(parents=True)
        (run.path / place / about).write_text(json.dumps({"seed": 0, "thumbnails": tiles, "classes": ["a"]}))
        (run.path / place / "thumbnails-0.png").write_bytes(b"picture")
    for name, array in arrays.items():
        np.save(run.path / FOLDER / f"{name}.npy", array)
    np.savez(run.path / FOLDER / "factors.npz", shape=np.arange(4))
    np.savez(run.path / FOLDER / "predictions.npz", knn=np.arange(4))
    np.save(run.path / FILM / film_frames.IDS, arrays["ids"])
    for epoch in (1, 2, 3):
        np.save(film_frames.frame_path(run.path / FILM, epoch), np.ones((4, 3), np.float16))
    assert stored.load_embedding(run.path / FOLDER) is not None
    assert film.load(run) is not None
    return run.path


FILES = [
    runs.CONFIG,
    runs.STATUS,
    runs.META,
    runs.METRICS,
    runs.EVALUATION,
    runs.HEALTH,
    runs.LOG,
    ".seal",
    ".lock",
    *(str(FOLDER / name) for name in (stored.PROVENANCE, "features.npy", "ids.npy", "factors.npz")),
    *(str(FILM / name) for name in (film_frames.ABOUT, "ids.npy", "epoch-000002.npy")),
]


def nested(depth: int, value: str = "1") -> str:
    return "[" * depth + value + "]" * depth


ALIAS_BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 30)
)
YAMLS = {
    "date": "name: 2026-13-45\n",
    "bool": "name: !!bool x\n",
    "int": "name: !!int x\n",
    "empty int": 'name: !!int ""\n',
    "float": "name: !!float x\n",
    "time": "name: !!timestamp x\n",
    "digits": f"name: {'9' * 5000}\n",
    "sixties": f"name: {'1:' * 100_000}1\n",
    "hex": f"name: 0x{'f' * 50_000}\n",
    "binary": "name: !!binary x\n",
    "set": "version: !!set {a, b}\n",
    "object": "name: !!python/object/apply:os.system [echo]\n",
    "tag": "name: !x y\n",
    "bomb": ALIAS_BOMB,
    "merge": MERGE_BOMB,
    "self": "a: &a [*a]\n",
    "deep": nested(100_000),
    "deep map": "{a: " * 999,
    "large": "".join(f"k{n}: {n}\n" for n in range(700_000)),
    "list": "- a\n" * 30_000,
    "number": "12",
    "dates": "2026-11-22: 1",
    "keys": "? [a]\n: b\n? {c: d}\n: e\n",
    "surrogate": 'name: "\\ud800"\n',
    "two": "a: 1\n---\nb: 2\n",
    "null": "\x00",
    "infinite": "temperature: .inf\nversion: .nan\nseed: -.inf\ndevices: x\n",
}
JSONS = {
    "deep": nested(100_000),
    "deep object": '{"a":' * 5000 + "1" + "}" * 5000,
    "digits": '{"created": ' + "9" * 5000 + "}",
    "NaN": '{"created": NaN, "name": Infinity, "test/top1": -Infinity}',
    "list": "[1]",
    "number": "3",
    "null": "null",
    "floats": '{"created": 1e999, "test/top1": 1e999}',
    "halves": '{"name": "\\ud800", "error": "\\udfff"}',
    "slurm": '{"state": "queued", "backend": "slurm", "job_id": "1,x; touch y"}',
    "queued": '{"state": "queued", "device": "gpu:x,99999999999999999999"}',
    "running": '{"state": "running", "pid": -1, "process_start": 0.0, "heartbeat": -1e300, "created": 1e300}',
    "many": json.dumps({f"k{n}": n for n in range(50_000)}),
    "large": " " * (17 * 2**20),
}
TABLES = {
    "columns": ",".join(f"c{n}" for n in range(300_000)) + "\n1\n",
    "no end": "a," * 3_000_000,
    "lines": "\n" * 2_000_000,
    "digits": f"epoch,step\n{'9' * 5000},{'1' * 5000}\n",
    "quotes": 'epoch,step\n"1,2\n"\n',
    "same": "a,a,a\n1,2,3\n",
    "words": "epoch,step\nx,y\nnan,inf\n",
    "zeros": "\0" * 100_000 + "\n",
}
HEADER = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"


def npy(descr: str, shape: str, content: bytes = b"") -> bytes:
    header = (HEADER % (descr, shape)).encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


ARRAYS = {
    "huge": npy("<f4", f"({10**12}, {10**12})"),
    "long": npy("<f4", f"({10**9},)", b"1" * 64),
    "object": npy("|O", "(4,)", b"cos\nsystem\n."),
    "negative": npy("<f4", "(-4, -3)", b"1" * 48),
    "words": npy("<U3", "(4,)", b"\0" * 48),
    "scalar": npy("<f4", "()", b"\0" * 4),
    "brackets": npy("<f4", "(" * 3000),
    "code": npy("<f4", "__import__('os').abort()"),
    "void": npy("|V0", "(4,)"),
}


def odd_bytes(name: str, good: bytes, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """What a file may hold instead of what it should."""
    yield "empty", b""
    for number in range(3):
        yield f"cut {number}", good[: draw.randrange(len(good) + 1)]
        yield f"garbage {number}", draw.randbytes(draw.choice((7, 1000, 65_536)))
        spot = draw.randrange(len(good) + 1)
        yield f"flipped {number}", good[:spot] + draw.randbytes(3) + good[spot + 3 :]
    suffix = Path(name).suffix
    texts = {".yaml": YAMLS, ".json": JSONS, ".jsonl": JSONS, ".csv": TABLES}.get(suffix, {})
    yield from ((kind, text.encode()) for kind, text in texts.items())
    yield from ARRAYS.items() if suffix == ".npy" else ()
    if suffix == ".json":
        values = json.loads(good)
        for key in values:
            for number, value in enumerate(draw.sample(ODD_VALUES, 2)):
                yield f"{key} {number}", json.dumps(values | {key: value}).encode()


def odd_files(path: Path) -> dict[str, Any]:
    """What may stand in a file's place; each makes it."""
    return {
        "directory": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "secret": lambda: path.symlink_to("/etc/passwd"),
        "zeros": lambda: path.symlink_to("/dev/zero"),
        "loop": lambda: path.symlink_to(path.name),
        "nowhere": lambda: path.symlink_to("gone"),
        "forbidden": lambda: path.touch(0),
        "sparse": lambda: (path.touch(), os.truncate(path, 2**40)),
    }


def make_folders(runs_dir: Path, mould: Path) -> int:
    draw, number = random.Random(0), 0

    def place(name: str, kind: str) -> Path:
        nonlocal number
        number += 1
        folder = runs_dir / f"{number:04d} {name.replace('/', '_')} {kind}".replace("/", "_")
        # hard links: only the file that is replaced is another one
        shutil.copytree(mould, folder, copy_function=functools.partial(os.link, follow_symlinks=False))
        path = folder / name
        path.unlink(missing_ok=True)
        return path

    for name in FILES:
        good = (mould / name).read_bytes() if (mould / name).exists() else b""
        for kind, content in odd_bytes(name, good, draw):
            place(name, kind).write_bytes(content)
        for kind in odd_files(Path()):
            odd_files(path := place(name, kind))[kind]()
            assert path.name
    return number


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By folder: how reading it ended."""
    top = tmp_path_factory.mktemp("hostile")
    mould = template(top / "mould")
    (top / "runs").mkdir()
    number = make_folders(top / "runs", mould)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(top / "runs"), str(FOLDER)],
        capture_output=True,
        text=True,
        timeout=400,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    found: dict[str, dict[str, Any]] = {}
    for line in done.stdout.splitlines():
        item = json.loads(line)
        found[item.pop("name")] = item
    assert len(found) == number + 5, f"the last was {list(found)[-1:]}: {done.stderr[-2000:]}"
    shutil.rmtree(top, ignore_errors=True)
    return found


@pytest.mark.parametrize("name", [*FILES, "all:"])
def test_no_reader_raises_or_hangs(read: dict[str, dict[str, Any]], name: str) -> None:
    mine = {key: item for key, item in read.items() if key.partition(" ")[2].startswith(name.replace("/", "_"))}
    mine = {key: item for key, item in read.items() if key.startswith(name)} if name == "all:" else mine
    assert len(mine) >= 5
    limit = 20 * CPU_SECONDS if name == "all:" else CPU_SECONDS
    assert {key: item for key, item in mine.items() if item.get("error") or item.get("seconds", 99) > limit} == {}


# --- the reader itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", YAMLS.values(), ids=YAMLS)
@pytest.mark.parametrize("as_text", [False, True])
def test_yaml_gives_plain_values_or_one_error(text: str, as_text: bool) -> None:
    with contextlib.suppress(safe_read.NotYaml):  # and nothing else
        values = safe_read.parse_yaml(text, as_text)
        json.dumps(values)
        str(values).encode()


def test_a_value_that_yaml_cannot_make_stays_text() -> None:
    text = "a: 2026-13-45\nb: 2026-11-22\nc: !!bool x\nd: yes\ne: 12\nf: 1e-3\ng: 0.5\nh: null\ni: !!int 0x10\n"
    assert safe_read.parse_yaml(text) == {
        "a": "2026-13-45",
        "b": "2026-11-22",
        "c": "x",
        "d": True,
        "e": 12,
        "f": "1e-3",
        "g": 0.5,
        "h": None,
        "i": 16,
    }


def test_aliases_that_are_few_are_values() -> None:
    assert safe_read.parse_yaml("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n") == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1, "e": 2},
    }


def test_links_within_the_folder_and_of_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.txt").write_text("content")
    (tmp_path / "there" / "b.txt").symlink_to("a.txt")
    (tmp_path / "linked").symlink_to(tmp_path / "there")
    assert safe_read.read_text(tmp_path / "linked" / "b.txt") == "content"
    (tmp_path / "there" / "c.txt").symlink_to("../outside")
    (tmp_path / "outside").write_text("secret")
    for write in (safe_read.open_to_append, safe_read.open_file):
        with pytest.raises(OSError, match="leaves its folder"):
            write(tmp_path / "there" / "c.txt")
    assert (tmp_path / "outside").read_text() == "secret"


@pytest.mark.parametrize("dtype", ["<f4", ">i8", "|u1", "<f2", "|b1", "<U5"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (4,), (2, 3, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_numpy_does(tmp_path: Path, dtype: str, shape: tuple[int, ...], order: str) -> None:
    path = tmp_path / "a.npy"
    array = np.asarray(np.random.default_rng(0).integers(0, 2, shape).astype(dtype), order=order)  # type: ignore[call-overload]
    np.save(path, array)
    found = safe_read.read_array(path)
    np.testing.assert_array_equal(found, np.load(path))
    assert found.dtype == array.dtype
    if array.size:
        np.testing.assert_array_equal(safe_read.read_array(path, mmap=True), array)
    np.savez_compressed(tmp_path / "a.npz", one=array)
    np.testing.assert_array_equal(safe_read.read_arrays(tmp_path / "a.npz")["one"], array)


@pytest.mark.parametrize("sheet", ["/etc/passwd", "../../../secret.png", "a/b.png", 3, None])
def test_thumbnails_come_from_their_folder_alone(tmp_path: Path, sheet: Any) -> None:
    tiles = {"side": 8, "columns": 2, "per_sheet": 4, "sheets": [sheet]}
    with pytest.raises(ValueError, match="names of pictures"):
        stored.sheet_paths(tmp_path, {"thumbnails": tiles})


@pytest.mark.parametrize("kind", ["bomb", "merge", "large", "deep", "self"])
def test_a_hostile_file_behind_config_is_one_sentence(tmp_path: Path, kind: str, capsys: Any) -> None:
    from simclr.cli import main

    (tmp_path / "odd.yaml").write_text(YAMLS[kind])
    assert main.main(["pretrain", "--config", str(tmp_path / "odd.yaml")]) == runs.BAD_INPUT_EXIT_CODE
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
