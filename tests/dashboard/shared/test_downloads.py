"""Files that are made when their button is clicked stay until the browser has come for them."""

from types import SimpleNamespace

import pytest
from streamlit.runtime.media_file_manager import MediaFileManager, MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.testing.v1 import AppTest

from dashboard.shared import ui

SCRIPT = """
from dashboard.shared import ui
ui.download("CSV", lambda: "a,b", file_name="a.csv", mime="text/csv", key="csv")
"""


@pytest.fixture
def files(monkeypatch):
    """Streamlit's own keeper of files, which forgets what no session shows."""
    found = MediaFileManager(MemoryMediaFileStorage("/media"))
    monkeypatch.setattr(ui.runtime, "exists", lambda: True)
    monkeypatch.setattr(ui.runtime, "get_instance", lambda: SimpleNamespace(media_file_mgr=found))
    return found


def asked_for(files, monkeypatch, content, name="a.csv"):
    """The address of a file that is made by a click."""
    given = {}
    monkeypatch.setattr(ui.st, "download_button", lambda label, data, **more: given.update(data=data, **more))
    ui.download("CSV", lambda: content, file_name=name, mime="text/csv", key="csv")
    assert given["on_click"] == "ignore"
    file_id = files.add_deferred(given["data"], given["mime"], "1.2", given["file_name"])
    return files.execute_deferred(file_id).rpartition("/")[2]


def script_runs(files, number):
    for _ in range(number):
        files.remove_orphaned_files()


def test_it_outlives_script_runs_of_others(files, monkeypatch):
    address = asked_for(files, monkeypatch, "a,b\n1,ü")
    script_runs(files, 5)
    assert files._storage.get_file(address).content.decode() == "a,b\n1,ü"


def test_only_the_newest_are_kept_and_none_that_is_large(files, monkeypatch):
    monkeypatch.setattr(ui, "LARGEST_KEPT", 100)
    first = asked_for(files, monkeypatch, "first", "first.csv")
    rest = [asked_for(files, monkeypatch, f"{number}", f"{number}.csv") for number in range(ui.MOST_KEPT)]
    large = asked_for(files, monkeypatch, "x" * 101, "large.csv")
    script_runs(files, 2)
    for address in (first, large):
        with pytest.raises(MediaFileStorageError):
            files._storage.get_file(address)
    assert all(files._storage.get_file(address).content for address in rest)


def test_the_button_is_drawn():
    app = AppTest.from_string(SCRIPT).run()
    assert not app.exception
    assert [item.proto.label for item in app.get("download_button")] == ["CSV"]
