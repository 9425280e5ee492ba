"""Which browser the tests use."""

import shutil

import chromium
import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty path of programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    return tmp_path


def program(path):
    path.write_text("")
    path.chmod(0o755)
    return str(path)


def test_an_installed_browser_comes_first_then_playwrights(folder, monkeypatch):
    own = program(folder / "own")
    assert chromium.find_browser(own) == own
    installed = program(folder / "google-chrome-stable")
    assert chromium.find_browser(own) == installed
    monkeypatch.setenv("CHROMIUM", named := program(folder / "named"))
    assert chromium.find_browser(own) == named


def test_without_one_the_command_that_brings_it_is_said(folder):
    with pytest.raises(FileNotFoundError, match=r"^There is no Chromium .* -m playwright install chromium, or let"):
        chromium.find_browser(str(folder / "not downloaded"))
    assert shutil.which("sh") is None
