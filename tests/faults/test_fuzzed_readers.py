"""Generated input for every reader of what others wrote: a value that can be used, or one of the errors it promises.

Examples are derived from the checks themselves, in fixed numbers: each run tries the same ones, and the long test tries
those and more. What is drawn lies near good input, where readers go furthest before they notice.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import struct
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from dashboard_fixtures import make_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, features
from safetensors.torch import save as save_safetensors

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.curves import log_tables
from simclr.data.folders import folder_layout
from simclr.data.folders.decoding import BrokenImageError, decode_image, image_size_of, stored_values
from simclr.evaluation.leaks import record as leaks
from simclr.models import weight_reading
from simclr.results import index
from simclr.runs import health_log, metrics_csv
from simclr.sweeps import settings as sweep_settings
from simclr.sweeps import sweep_file

LONGER = 60  # times as many examples in the long test
MOST_CHARACTERS = 5000  # of a sentence

Check = Callable[[Any], None]
CHECKS: dict[str, tuple[Check, st.SearchStrategy[Any], int]] = {}


def check(strategy: st.SearchStrategy[Any], number: int) -> Callable[[Check], Check]:
    """A check of one generated input, tried `number` times."""

    def register(function: Check) -> Check:
        CHECKS[function.__name__] = function, strategy, number
        return function

    return register


def run_check(name: str, times: int) -> None:
    function, strategy, number = CHECKS[name]
    how = settings(
        max_examples=number * times,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    how(given(strategy)(function))()


def is_sentence(error: ConfigError) -> None:
    text = str(error)
    assert 0 < len(text) < MOST_CHARACTERS
    assert "Traceback" not in text
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text.replace("\n", ""))


@functools.cache
def folder() -> Path:
    """One for all examples: fixtures are not made anew for each."""
    return Path(tempfile.mkdtemp(prefix="fuzzed-"))


# --- values and bytes -------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([2**63, -(2**70), 10**400, 1e308, 5e-324, -0.0]),
)
TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(["", "null", "nan", "1e999", "~x/y", "/", "\ud800", "é", "a\0b"])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def changed(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    """A good file's values with up to three others."""
    names = draw(st.lists(st.sampled_from(sorted(good)), min_size=1, max_size=3, unique=True))
    return good | {name: draw(VALUES) for name in names}


@st.composite
def bitten(draw: st.DrawFn, goods: dict[str, bytes]) -> tuple[str, bytes]:
    """The name and content of a good file, with some bytes replaced, put in or taken out, or its end cut off."""
    name = draw(st.sampled_from(sorted(goods)))
    content = bytearray(goods[name])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 2, 4, 40]))
        content[place : place + length] = draw(st.binary(max_size=8))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return name, bytes(content)


# --- run folders ------------------------------------------------------------------------------------------------------


@functools.cache
def good_run() -> tuple[Path, dict[str, Any], dict[str, bytes]]:
    run = make_run(folder() / "runs", epochs=2, name="a run")
    row = {"epoch": 1, "step": 16, "bins": [1, 2, 3], "spectrum": [0.5, 0.1]}
    (run.path / runs.EVALUATION).write_text(json.dumps({"test/knn_top1": 0.5, "classes": ["a"], "per_class": [1.0]}))
    (run.path / runs.HEALTH).write_text(json.dumps(row) + "\n")
    files = [runs.CONFIG, runs.STATUS, runs.META, runs.METRICS, runs.EVALUATION, runs.HEALTH, runs.LOG]
    contents = {name: (run.path / name).read_bytes() for name in files}
    values = {name: json.loads(contents[name]) for name in (runs.STATUS, runs.META, runs.EVALUATION, runs.HEALTH)}
    return run.path, values | {runs.CONFIG: yaml.safe_load(contents[runs.CONFIG])}, contents


def read_run(name: str, content: bytes) -> None:
    path, _, contents = good_run()
    (path / name).write_bytes(content)
    try:
        run = index._Glance(path)
        index._read(run)
        assert run.name is None or isinstance(run.name, str)
        _ = run.kind, run.tags, run.notes, run.created, run.experiment, run.evaluation, run.config, run.status
        _ = run.metrics(), health_log.read(run.health_path), index.elapsed(run.status), runs.stalled(run.status)
        found = metrics_csv.read_columns(run.metrics_path, metrics_csv.metric_names(run.metrics_path))
        assert all(column.dtype == np.float64 for column in found.values())
        assert all(value is None or math.isfinite(value) for value in metrics_csv.newest_figures(run.metrics_path))
        with contextlib.suppress(ConfigError):
            runs.load_config(runs.Run(path))
    finally:
        (path / name).write_bytes(contents[name])


@check(st.deferred(lambda: st.one_of(*(st.tuples(st.just(n), changed(v)) for n, v in good_run()[1].items()))), 400)
def values_of_run_files(example: tuple[str, dict[str, Any]]) -> None:
    name, values = example
    text = json.dumps(values)  # which is YAML too
    read_run(name, text.encode())


@check(st.deferred(lambda: bitten(good_run()[2])), 400)
def bytes_of_run_files(example: tuple[str, bytes]) -> None:
    read_run(*example)


# --- copies among test images ----------------------------------------------------------------------------------------


@functools.cache
def good_leaks() -> dict[str, Any]:
    pair = {"test": 3, "train": 7, "split": "train", "distance": 0.1, "is_exact": False, "luma": 0.1, "color": 0.2}
    pair |= dict.fromkeys(("test_class", "train_class", "test_name", "train_name"), "a")
    values = {"format": leaks.FORMAT, "model": "weights", "weights": "ab", "share": 0.2, "key": "0a", "side": 8}
    values |= {"median_test": 0.1, "median_train": 0.2, "num_test": 10, "num_train": 90, "num_used": None}
    values |= {"num_copies": 2, "num_exact": 1, "num_shown": 1, "created": 1e9, "accuracy": {"knn": [0.9, 0.8]}}
    return values | {"pairs": [pair, pair | {"is_exact": True, "distance": 0.0}]}


def read_leaks(content: bytes) -> None:
    path = folder() / leaks.FILE
    path.write_bytes(content)
    found = leaks.read_file(path)
    if found is None:
        return
    assert 0 <= found.num_exact <= found.num_copies <= found.num_test and len(found.pairs) <= found.num_copies
    assert leaks.sentence(found).endswith(".") and len(leaks.sentence(found)) < MOST_CHARACTERS
    assert {len(row) for row in leaks.table(found.pairs)} == {len(leaks.HEAD)}
    assert all(math.isfinite(value) for both in found.accuracy.values() for value in both)
    _ = found.is_collapsed, [(pair.differs_in_color, pair.differs_in_class) for pair in found.pairs]
    folder_of_it = runs.Run(good_run()[0])
    pictures = leaks.pictures(folder_of_it, found, range(found.num_shown))
    assert pictures is None or pictures.shape[:3] == (found.num_shown, 2, 3)


@check(
    st.one_of(
        changed(good_leaks()),
        changed(good_leaks()["pairs"][0]).map(lambda pair: good_leaks() | {"pairs": [pair]}),
    ),
    300,
)
def values_of_leaks(values: dict[str, Any]) -> None:
    read_leaks(json.dumps(values).encode())


@check(st.deferred(lambda: bitten({leaks.FILE: json.dumps(good_leaks()).encode()})), 300)
def bytes_of_leaks(example: tuple[str, bytes]) -> None:
    read_leaks(example[1])


def test_what_the_fuzz_of_leaks_begins_with_is_read() -> None:
    path = folder() / leaks.FILE
    path.write_text(json.dumps(good_leaks()))
    assert leaks.read_file(path) is not None


# --- options ----------------------------------------------------------------------------------------------------------


@st.composite
def options(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    model = draw(st.sampled_from([cfg.PretrainConfig, cfg.FinetuneConfig]))
    known = sorted(cfg.option_names(model))
    names = draw(st.lists(st.one_of(st.sampled_from(known), TEXTS), max_size=4, unique=True))
    return model, {name: draw(VALUES) for name in names}


@check(options(), 700)
def every_option(example: tuple[Any, dict[str, Any]]) -> None:
    model, values = example
    try:
        found = cfg.build(model, cfg.nest(values))
    except ConfigError as error:
        is_sentence(error)
        return
    again = cfg.build(model, yaml.safe_load(cfg.to_yaml(found)))
    assert cfg.to_dict(again) == cfg.to_dict(found)


@check(st.one_of(st.dictionaries(st.sampled_from([*sweep_file.KEYS, "x"]), VALUES, max_size=4), VALUES), 200)
def sweeps(plain: Any) -> None:
    try:
        found = sweep_file.parse(plain if isinstance(plain, dict) else {"base": plain})
    except ConfigError as error:
        is_sentence(error)
        return
    assert sweep_file.parse(sweep_settings.to_plain(found)) == found


# --- images -----------------------------------------------------------------------------------------------------------


FORMATS = {".jpg": "JPEG", ".tif": "TIFF", ".jp2": "JPEG2000"}  # others have the name of their ending


@functools.cache
def good_images() -> dict[str, bytes]:
    draw = np.random.default_rng(0)
    colours = Image.fromarray(draw.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    deep = Image.fromarray(draw.integers(0, 4096, (20, 24)).astype(np.uint16))
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "a.png": (colours, {}),
        "deep.png": (deep, {}),
        "palette.png": (colours.quantize(8), {}),
        "clear.png": (colours.convert("RGBA"), {}),
        "a.jpg": (colours, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}),
        "steps.jpg": (colours, {"progressive": True}),
        "print.jpg": (colours.convert("CMYK"), {}),
        "a.gif": (colours, {}),
        "a.bmp": (colours, {}),
        "a.tif": (deep, {}),
        "packed.tif": (colours, {"compression": "tiff_lzw"}),
        "float.tif": (Image.fromarray(draw.random((20, 24), np.float32)), {}),
        "a.ppm": (colours, {}),
        "a.webp": (colours, {}),
    }
    if features.check("jpg_2000"):
        kinds["a.jp2"] = (colours, {})
    found = {}
    for name, (image, how) in kinds.items():
        stream = io.BytesIO()
        image.save(stream, FORMATS.get(Path(name).suffix, Path(name).suffix[1:].upper()), **how)
        found[name] = stream.getvalue()
    return found


@check(st.deferred(lambda: bitten(good_images())), 1000)
def images(example: tuple[str, bytes]) -> None:
    name, content = example
    (folder() / name).write_bytes(content)
    try:
        assert min(image_size_of(folder(), name)) >= 0
        found = decode_image(folder(), name, 16)
    except BrokenImageError as error:
        is_sentence(error)
        return
    assert found.shape == (3, 16, 16) and found.dtype == np.uint8
    assert stored_values(folder() / name).ndim in (2, 3)


# --- weights ----------------------------------------------------------------------------------------------------------


@functools.cache
def good_weights() -> dict[str, bytes]:
    state = {
        "conv1.weight": torch.ones(4, 3, 3, 3),
        "fc.bias": torch.zeros(2),
        "bn.num_batches_tracked": torch.tensor(1),
    }
    found = {"a.safetensors": save_safetensors(state)}
    for name, content, how in (
        ("plain.pt", state, {}),
        ("lightning.ckpt", {"state_dict": state, "epoch": 3, "best": np.float64(0.5)}, {}),
        ("old.pth", {"model": state}, {"_use_new_zipfile_serialization": False}),
    ):
        stream = io.BytesIO()
        torch.save(content, stream, **how)
        found[name] = stream.getvalue()
    return found


@check(st.deferred(lambda: bitten(good_weights())), 500)
def weights(example: tuple[str, bytes]) -> None:
    name, content = example
    (folder() / name).write_bytes(content)
    try:
        found = weight_reading.read_state(folder() / name)
    except ConfigError as error:
        is_sentence(error)
        return
    assert found and all(isinstance(value, torch.Tensor) for value in found.values())


@check(st.tuples(VALUES, st.integers(0, 2**64 - 1)), 200)
def heads_of_safetensors(example: tuple[Any, int]) -> None:
    header, length = example
    text = json.dumps({"a": header}).encode()
    for size in (len(text), length):
        (folder() / "head.safetensors").write_bytes(struct.pack("<Q", size) + text + bytes(64))
        with contextlib.suppress(ConfigError):
            assert weight_reading.read_state(folder() / "head.safetensors")


# --- logs of other programs, and folders of images --------------------------------------------------------------------


@functools.cache
def good_logs() -> dict[str, bytes]:
    history = {"log_history": [{"step": 1, "epoch": 0.5, "loss": 4.0}, {"step": 2, "eval_loss": 3.0}]}
    return {
        "metrics.csv": b"epoch,step,loss\n0,1,4.5\n0,2,4.0\n",
        "log.csv": b"epoch;time;loss\n1;0,5;4,5\n2;1,5;4,0\nepoch;time;loss;top1\n3;2;3;0,5\n",
        "trainer_state.json": json.dumps(history).encode(),
        "log.txt": b'{"epoch": 1, "train": {"loss": 4.5}}\n{"mode": "val", "epoch": 1, "loss": [4.0], "lr": "1e-3"}\n',
        "history.json": json.dumps({"epoch": [1, 2], "loss": [4.5, 4.0]}, indent=1).encode(),
    }


@check(st.deferred(lambda: bitten(good_logs())), 400)
def logs(example: tuple[str, bytes]) -> None:
    name, content = example
    path = folder() / name
    path.write_bytes(content)
    found = log_tables.read_columns(path, log_tables.metric_names(path))
    assert len({len(column) for column in found.values()}) <= 1
    assert all(column.dtype == np.float64 for column in found.values())


PARTS = st.sampled_from(
    ["train", "test", "val", "Training", "images", "cat", "dog", "__MACOSX", ".git", "a", "B", "1", "x y", "caf\udce9"]
)
FILE_NAMES = st.sampled_from(
    ["a.png", "b.JPG", "c.tif", "._a.png", ".DS_Store", "Thumbs.db", "labels.csv", "d", "e.png"]
)


@check(st.sets(st.tuples(st.lists(PARTS, max_size=3).map(tuple), FILE_NAMES), min_size=1, max_size=12), 250)
def folders_of_images(files: set[tuple[tuple[str, ...], str]]) -> None:
    with tempfile.TemporaryDirectory(dir=folder()) as top:
        for parents, name in sorted(files):
            path = Path(top, *parents)
            with contextlib.suppress(OSError):  # a file has the name of a folder
                path.mkdir(parents=True, exist_ok=True)
                (path / name).touch()
        try:
            found = folder_layout.read(top)
        except ConfigError as error:
            is_sentence(error)
            return
        sentence = found.sentence(found.split_sizes(0.1, None))
        sentence.encode()  # it stands on a page
        assert found.splits["train"].paths


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHECKS)
def test_generated_input_is_read_or_refused_in_a_sentence(name: str) -> None:
    run_check(name, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CHECKS)
def test_the_same_for_an_hour(name: str) -> None:
    run_check(name, LONGER)
