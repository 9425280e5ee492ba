"""Installed where the user cannot write, run by a user without name and home; by real processes of another user."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from chromium import wait_until_served
from dashboard_fixtures import make_run
from other_user import UID, OtherUser, can_be_another

from dashboard.components import served

pytestmark = pytest.mark.skipif(not can_be_another(), reason="becoming another user takes root and setpriv")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> OtherUser:
    return OtherUser(tmp_path_factory.mktemp("other"))


PLACES = """
import os, sys
from pathlib import Path
from simclr import config, runs
from simclr.data import downloads
from simclr.files import user_paths
for home in sys.argv[1:]:
    os.environ["HOME"] = home
    print(user_paths.home())
def tell(function, *arguments):
    try:
        function(*arguments)
    except config.ConfigError as error:
        print(error)
tell(runs.create, config.build(config.PretrainConfig, {"dataset": "shapes"}), Path("runs"))
tell(downloads._download, "svhn", Path("sets"), [], Path("sets/x"), "", "", None)
"""


def test_where_nothing_can_be_written_the_setting_is_named_and_no_home_of_others_is_used(
    other: OtherUser, tmp_path: Path
) -> None:
    """Homes: `/` as containers give it, root's, one that all may write to; then one that the user may make."""
    shared, own = tmp_path / "shared", other.own / "me"
    shared.mkdir()
    shared.chmod(0o1777)
    done = other.python("-c", PLACES, "/", "/root", str(shared), str(own))
    assert done.returncode == 0, done.stderr
    temporary = str(other.own / f"simclr-home-{UID}")
    assert done.stdout.splitlines() == [
        *[temporary, temporary, temporary, str(own)],
        "runs_dir is runs, which cannot be written: Permission denied; "
        "allowed: SIMCLR_RUNS_DIR set to a folder of your own.",
        "data_dir is sets, which cannot be written: Permission denied; "
        "allowed: SIMCLR_DATA_DIR set to a folder of your own.",
    ]


PAGES = """
import os, sys
from streamlit.testing.v1 import AppTest
for page, query in (("curves", "runs"), ("run", "id")):
    app = AppTest.from_file(os.path.abspath("dashboard/shell.py"), default_timeout=100)
    app.switch_page(f"{page}/page.py")
    app.query_params[query] = sys.argv[1]
    app.run()
    print(page, [item.value for item in [*app.exception, *app.error]], bool(app.title))
"""


def test_curves_and_run_are_drawn_without_a_place_beside_the_code(other: OtherUser) -> None:
    run = make_run(other.own / "runs", name="First")
    done = other.python("-c", PAGES, run.id, HOME="/", SIMCLR_RUNS_DIR=str(other.own / "runs"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["curves [] True", "run [] True"]


def test_the_server_sends_plotly_to_whoever_may_not_write(other: OtherUser) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = other.command(sys.executable, "-m", "uvicorn", "dashboard.app:app", "--port", str(port))
    log = other.own / "server.log"
    with log.open("wb") as stream:
        options = other.options(SIMCLR_RUNS_DIR=str(other.own / "runs"))
        server = subprocess.Popen(command, stdout=stream, stderr=stream, **options)
    try:
        wait_until_served(f"http://127.0.0.1:{port}", log)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{served.address(served.plotly_name())}") as answer:
            assert answer.status == 200 and len(answer.read()) > 1e6
    finally:
        server.kill()
        server.wait()


COMPILED = """
import os, sys
from simclr.files import compiled
if sys.argv[1] == "ours":
    compiled.find_folder()
import compiled_there
print(compiled_there.one_more(1), os.environ.get("NUMBA_CACHE_DIR"))
"""


def test_numba_finds_a_folder_where_umap_is_another_users(other: OtherUser, tmp_path: Path) -> None:
    """A function that is kept when it is compiled, as UMAP's are; UMAP itself takes half a minute."""
    source = "from numba import njit\n@njit(cache=True)\ndef one_more(value):\n    return value + 1\n"
    (tmp_path / "compiled_there.py").write_text(source)
    path = f"{other.code}{os.pathsep}{tmp_path}"
    alone = other.python("-c", COMPILED, "alone", HOME="/", PYTHONPATH=path)
    assert "no locator available" in alone.stderr
    ours = other.python("-c", COMPILED, "ours", HOME="/", PYTHONPATH=path)
    folder = other.own / f"simclr-home-{UID}" / ".cache" / "simclr" / "numba"
    assert ours.stdout == f"2 {folder}\n", ours.stderr
    assert list(folder.rglob("*.nbi"))


MAP = """
import numpy as np
from simclr.embeddings import projections
features = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
print(projections.reduce(projections.Projection("umap", n_neighbors=5), features).shape)
"""


@pytest.mark.slow
def test_umap_draws_a_map_for_a_user_without_a_home(other: OtherUser) -> None:
    done = other.python("-c", MAP)
    assert done.stdout == "(64, 2)\n", done.stderr


def test_the_copy_really_is_read_only(other: OtherUser) -> None:
    done = other.python("-c", "open('simclr/x', 'w')")
    assert "PermissionError" in done.stderr
