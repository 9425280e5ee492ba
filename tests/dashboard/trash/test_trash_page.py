"""The page of deleted runs."""

import json

import pytest
from dashboard_fixtures import component_with, make_run, open_page, press, texts

from dashboard.shared import store
from dashboard.trash import page
from simclr import runs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def test_an_empty_trash_says_what_it_is_for(folder):
    app = open_page("trash")
    assert not app.exception
    assert "The trash is empty" in texts(app)
    press(app, "all-runs-again")
    assert app.title[0].value != "Trash"


def test_runs_lie_there_with_their_size_and_come_back(folder):
    made = [make_run(folder, name=f"run {number}") for number in range(3)]
    for run in made[:2]:
        runs.delete(run, folder)
    app = open_page("trash")
    rows = json.loads(component_with(app, "isUsual")["rows"])
    assert sorted(rows["titles"]) == ["run 0", "run 1"]
    assert all(size > 0.001 for size in rows["cells"]["size"]["values"])
    assert "2 deleted runs" in texts(app)


def test_deleting_for_good_asks_first_and_says_what_it_frees(folder):
    run, other = make_run(folder, name="gone"), make_run(folder, name="kept")
    for each in (run, other):
        runs.delete(each, folder)
    app = open_page("trash")
    app.session_state["purge"] = [run.id, "../x", "nope"]
    app.run()
    assert "It frees" in texts(app) and "KB" in texts(app)
    assert (folder / runs.TRASH / run.id).is_dir()  # asked first
    app.button("purge-yes").click().run()
    assert not app.exception
    assert [path.name for path in (folder / runs.TRASH).iterdir()] == [other.id]
    runs.restore(other.id, folder)
    assert store.find(other.id) is not None


def test_a_damaged_folder_is_listed_and_costs_only_itself(folder):
    run = make_run(folder)
    for name in (runs.STATUS, runs.META, runs.CONFIG):
        (run.path / name).write_bytes(b"\x00\xff{")
    runs.delete(run, folder)
    app = open_page("trash")
    assert not app.exception
    assert "1 deleted run," in texts(app)


@pytest.mark.parametrize(("size", "text"), [(12, "12 bytes"), (1234, "1.23 KB"), (5e6, "5 MB"), (2.5e9, "2.5 GB")])
def test_sizes(size, text):
    assert page.size_text(int(size)) == text
