"""Fixtures: tiny options, folders of images and really trained tiny runs, all on the CPU with one thread."""

import atexit
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Set before torch is imported anywhere: tests share their cores with each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("SIMCLR_RUNS_DIR", None)

from chromium import browser  # noqa: F401  (a fixture of all tests in a browser)
from slurm import cluster

from simclr import config as cfg
from simclr import runs

# Holds the key of the seals, also for the processes that tests start and that load this file; never the user's own.
STATE_PREFIX = "simclr-test-state-"
is_first = STATE_PREFIX not in os.environ.get("XDG_STATE_HOME", "")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix=STATE_PREFIX) if is_first else os.environ["XDG_STATE_HOME"]
if is_first:
    atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# A training of a second or two: 64 shapes of 16 px, of which 7 validate, three batches of 16 in an epoch.
TINY = {
    "dataset": "shapes",
    "limit_images": 64,
    "image_size": 16,
    "epochs": 2,
    "batch_size": 16,
    "num_threads": 1,
    "accelerator": "cpu",
    "precision": "32-true",
}
TINY_PRETRAIN = TINY | {"hidden_dim": 16, "projection_dim": 8, "learning_rate": 0.002}


# Whole files go to one process each; those that take longest begin first, so that none is left over at the end.
LONGEST = (
    "test_exact_resume.py",
    "test_ddp.py",
    "test_pretended.py",
    "test_spawn.py",
    "test_journey.py",
    "test_embedding_map.py",
    "test_queue.py",
    "test_streaming.py",
    "test_faults.py",
    "test_embeddings_page.py",
)


@pytest.fixture(autouse=True)
def own_main_module() -> Iterator[None]:
    """Streamlit leaves the page it ran as the main module, which a process started later would run as its own."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))  # stable: within a file nothing moves


def flags(options: dict) -> list[str]:
    """Options as command-line flags."""
    return [part for name, value in options.items() for part in (f"--{name}", cfg.option_text(value))]


def make_folder(root: Path, layout: dict[str, int], side: int = 16) -> Path:
    """`layout`: folder -> number of images; each class has a colour of its own, each image a shade."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for number, (name, count) in enumerate(layout.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = generator.integers(0, 60, (side, side, 3)) + np.eye(3, dtype=int)[number % 3] * 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i:03d}.png")
    return root


def supervise_nothing(folder: Path, command: list[str], environment: dict, changes: dict, check=None) -> None:
    """Stands in for `launch._supervise` where no process is wanted: the run says that it starts, and that is all."""
    runs.update_status(folder, **changes)


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """A test draws the same whatever ran before it; those that load no torch do not wait for it here."""
    random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)


@pytest.fixture
def tiny_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty runs folder, also the default one."""
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(folder))
    monkeypatch.setenv("SIMCLR_DATA_DIR", str(tmp_path / "data"))
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_training_outlives_its_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ends what tests of a file have started and left: a training would take the time of all that follow."""
    yield
    folder = str(tmp_path_factory.getbasetemp()).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if any(word.startswith(b"simclr") for word in words) and any(folder + b"/" in word for word in words):
                os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.fixture(scope="session")
def tiny_pretrain() -> cfg.PretrainConfig:
    return cfg.build(cfg.PretrainConfig, TINY_PRETRAIN)


@pytest.fixture(scope="session")
def finished_runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs folder of `finished_run`; treat as read-only, or copy from it."""
    return tmp_path_factory.mktemp("finished") / "runs"


@pytest.fixture(scope="session")
def finished_run(tiny_pretrain: cfg.PretrainConfig, finished_runs_dir: Path) -> runs.Run:
    """A tiny pre-training that ran to its end, version 0; treat as read-only."""
    from simclr.lifecycle.train import train

    run = train(tiny_pretrain, runs_dir=finished_runs_dir)
    assert run.status.state == "finished", run.status.error
    return run


@pytest.fixture(scope="session")
def slurm_environment():
    """Two pretended nodes; for `srun` and the like."""
    try:
        with cluster.running(nodes=2) as environment:
            yield environment | {"OMP_NUM_THREADS": "1"}
    except (cluster.ClusterError, OSError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture
def slurm(slurm_environment):
    """The same, and no job is left for the next test."""
    yield slurm_environment
    subprocess.run(["scancel", "--user=root"], env=slurm_environment, check=True)
