"""The package as `pip install` brings it: a wheel, installed beside this environment's libraries, used elsewhere."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from chromium import wait_until_served
from conftest import TINY_PRETRAIN, flags

from simclr import config as cfg
from simclr import runs

ROOT = Path(__file__).parent.parent
SOURCES = ("simclr", "dashboard", "pyproject.toml", "requirements.txt", "README.md", "LICENSE")
DOCUMENTS = ("README.md", "screenshots")  # of the repository alone
ON_A_PAGE = "simclr/lessons/texts/README.md"  # a page shows it


def run(*command, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=240, **more)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of a copy, since a build writes beside its sources."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "cache"))
        else:
            shutil.copy(ROOT / name, copy / name)
    build = run(
        *(sys.executable, "-m", "pip", "wheel", copy, "--no-deps", "--no-build-isolation", "--no-index"),
        *("--disable-pip-version-check", "--wheel-dir", out),
    )
    assert build.returncode == 0, build.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The `simclr` command of an environment that has the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    here = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    Path(here, "libraries.pth").write_text(sysconfig.get_path("purelib"))
    done = run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"),
        *("--disable-pip-version-check", wheel),
    )
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "simclr"


@pytest.fixture
def elsewhere(tmp_path):
    """A folder that is not the repository, with a package of the user's own that has the name of one of ours."""
    (tmp_path / "dashboard").mkdir()
    (tmp_path / "dashboard" / "__init__.py").write_text("raise ImportError('the wrong one')")
    hidden = ("SIMCLR_RUNS_DIR", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return tmp_path, environment | {"HOME": str(tmp_path), "SIMCLR_DATA_DIR": str(tmp_path / "data")}


def test_the_wheel_holds_every_file_that_the_code_reads(wheel):
    here = {
        path.relative_to(ROOT).as_posix()
        for package in ("simclr", "dashboard")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not {"__pycache__", "cache", *DOCUMENTS} & set(path.relative_to(ROOT).parts)
    }
    there = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert here | {ON_A_PAGE} == there
    for name in ("simclr/py.typed", "simclr/recipes/quick.yaml", "dashboard/.streamlit/config.toml"):
        assert name in there


def test_the_command_names_its_commands_and_says_what_is_wrong(installed, elsewhere):
    folder, environment = elsewhere
    shown = run(installed, "--help", cwd=folder, env=environment)
    assert shown.returncode == 0
    assert "\n  dashboard " in shown.stdout
    wrong = run(installed, "pretrain", "--config", "qick", cwd=folder, env=environment)
    assert wrong.returncode == 2
    assert wrong.stderr == (
        f"config is qick; allowed: a YAML file that exists, or a recipe by its name: {', '.join(cfg.recipe_names())}.\n"
    )
    empty = run(installed, "runs", cwd=folder, env=environment)
    assert "simclr pretrain --config quick" in empty.stdout
    printed = run(installed, "pretrain", "--config", "quick", "--print_config", cwd=folder, env=environment)
    assert "backbone: resnet_tiny" in printed.stdout


def test_a_recipe_trains_from_any_folder_into_runs_there(installed, elsewhere):
    folder, environment = elsewhere
    options = {name: value for name, value in TINY_PRETRAIN.items() if name not in ("epochs", "dataset")}
    done = run(
        *(installed, "pretrain", "--config", "quick", "--epochs", 1, *flags(options)), cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    path = folder / done.stdout.splitlines()[-1]
    assert path.parent == folder / "runs"
    found = runs.Run(path)
    assert found.status.state == "finished"
    assert found.meta["recipe"] == "quick"
    assert found.model_path.is_file()
    listed = run(installed, "runs", cwd=folder, env=environment)
    assert found.id in listed.stdout


def test_the_dashboard_answers_from_any_folder(installed, elsewhere):
    folder, environment = elsewhere
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log.txt"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [installed, "dashboard", "--server.port", str(port)],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_served(f"http://127.0.0.1:{port}", log)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert "Error" not in log.read_text()
