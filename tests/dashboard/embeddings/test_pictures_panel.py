"""Maps of an example that came without photographs: dots, where the photographs come from, and how they appear."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from dashboard_fixtures import component_with, named, open_page, query, texts
from photos import NUM, pack_example
from streamlit.testing.v1 import AppTest

from simclr import runs
from simclr.cli.main import main
from simclr.embeddings import shipped
from simclr.launch import spawn


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_example(tmp_path_factory.mktemp("packed"))


@pytest.fixture
def home(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with the example, and no photographs where they are looked for."""
    folder = Path(shutil.copytree(packed / "runs", tmp_path / "home" / "runs"))
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(folder))
    monkeypatch.setenv("SIMCLR_DATA_DIR", str(tmp_path / "data"))
    return folder.parent


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of jobs; none runs by itself."""
    found: list[list[str]] = []

    def supervise(folder: Path, command: list[str], more: Any, changes: dict[str, Any], check: Any = None) -> None:
        found.append(command)
        runs.update_status(folder, **changes)

    monkeypatch.setattr(spawn, "_supervise", supervise)
    return found


def maps_page() -> AppTest:
    app = open_page("embeddings", images=str(NUM), method="pca")
    assert not app.exception, [item.value for item in app.exception]
    return app


def work(command: list[str]) -> int:
    """Does what a job was started for."""
    return main(command[command.index("pictures") :])


def test_without_the_data_set_the_maps_are_dots_and_the_page_says_where_photographs_come_from(
    home: Path, started: list[list[str]]
) -> None:
    app = maps_page()
    data = component_with(app, '"panels":')
    assert data["sheets"] == [] and [panel["title"] for panel in data["panels"]]
    assert "The photographs of photos did not come with this example." in texts(app)
    assert "read from the folder of the data set" in texts(app)
    assert "Where they disagree" in texts(app) and "Between the two" in texts(app)
    assert "Looking for groups" not in texts(app) and not started  # the cards came along
    named(app.selectbox, "embeddings-color").set_value("lightness").run()
    assert not app.exception and query(app, "color") == "lightness"


def test_a_folder_that_is_given_is_read_and_the_photographs_appear(
    home: Path, packed: Path, started: list[list[str]]
) -> None:
    app = maps_page()
    app.button("pictures-read").click().run()
    assert "folder is empty; allowed: the folder of photos." in texts(app)
    app.text_input("pictures-folder").set_value(str(packed / "maker")).run()
    app.button("pictures-read").click().run()
    (command,) = started
    assert work(command) == 2  # not that folder
    job = next((home / "runs" / runs.JOBS).glob("*-pictures-*"))
    app.run()
    assert "The photographs could not be read. folder is" in texts(app) and "lacks 500 of 500 images" in texts(app)
    assert runs.current_status(job).state == "failed"
    time.sleep(1.1)  # folders of jobs are named by the second
    app.text_input("pictures-folder").set_value(str(packed / "photos")).run()
    app.button("pictures-read").click().run()
    assert not app.exception and len(started) == 2
    assert work(started[1]) == 0
    app.run()
    assert not app.exception and "did not come with this example" not in texts(app)
    assert len(component_with(app, '"panels":')["sheets"]) == 1


def test_a_data_set_that_lies_where_it_is_looked_for_is_read_without_being_asked(
    home: Path, packed: Path, started: list[list[str]]
) -> None:
    shutil.copytree(packed / "photos", home / "photos")
    app = maps_page()
    (command,) = started
    assert command[command.index("pictures") + 2] == str(home / "photos")
    assert "did not come with this example" not in texts(app)
    maps_page()
    assert len(started) == 1
    assert work(command) == 0
    app.run()
    assert component_with(app, '"panels":')["sheets"]


def test_a_job_that_failed_is_not_started_by_itself_again(home: Path, packed: Path, started: list[list[str]]) -> None:
    folder = Path(shutil.copytree(packed / "photos", home / "photos"))
    maps_page()
    (folder / "test" / "a" / "001.png").unlink()
    assert work(started[0]) == 2
    app = maps_page()
    assert len(started) == 1 and "could not be read" in texts(app)
    assert app.text_input("pictures-folder").value == str(folder)


def test_a_damaged_list_of_files_costs_only_the_photographs(home: Path, started: list[list[str]]) -> None:
    for path in (home / "runs").rglob(shipped.PATHS):
        path.write_text("/etc/passwd\n")
    app = maps_page()
    assert "did not come with this example" in texts(app) and not started
    assert json.dumps(component_with(app, '"panels":'))
