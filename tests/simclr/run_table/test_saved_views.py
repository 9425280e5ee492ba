"""Views that are kept under a name."""

import os

import pytest

from simclr.config import ConfigError
from simclr.run_table import saved_views

VIEW = {"text": 'tag:paper "two words"', "sort": "-accuracy", "columns": "state,temperature"}


def test_a_view_is_kept_replaced_and_deleted(tmp_path):
    assert saved_views.read(tmp_path) == {}
    assert saved_views.keep(tmp_path, "  for \n the paper ", VIEW) == "for the paper"
    saved_views.keep(tmp_path, "second", {"group": "dataset"})
    assert saved_views.read(tmp_path) == {"for the paper": VIEW, "second": {"group": "dataset"}}
    saved_views.keep(tmp_path, "for the paper", {"sort": "name", "unknown": "x"})
    assert saved_views.read(tmp_path)["for the paper"] == {"sort": "name"}
    saved_views.delete(tmp_path, "for the paper")
    saved_views.delete(tmp_path, "for the paper")
    assert list(saved_views.read(tmp_path)) == ["second"]


def test_a_view_needs_a_name_and_there_are_not_too_many(tmp_path):
    with pytest.raises(ConfigError, match="no name"):
        saved_views.keep(tmp_path, " \n", VIEW)
    for number in range(saved_views.MAX_VIEWS):
        saved_views.keep(tmp_path, f"{number}", {})
    with pytest.raises(ConfigError, match="delete one first"):
        saved_views.keep(tmp_path, "one more", {})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b'{"views": []}',
        b'{"views": {"a": 3, "": {}, "b\\n": {"text": 5, "sort": ["x"], "columns": "\\u0000"}}}',
        b"[" * 100_000,
        b'{"views": {"c": {"text": "' + b"x" * 5000 + b'"}}}',
        b" " * (saved_views.MAX_BYTES + 1),
    ],
)
def test_a_damaged_file_costs_only_itself(tmp_path, content):
    (tmp_path / saved_views.FILE).write_bytes(content)
    assert all(view == {} and name in ("b", "c") for name, view in saved_views.read(tmp_path).items())
    saved_views.keep(tmp_path, "mine", VIEW)
    assert saved_views.read(tmp_path)["mine"] == VIEW


def test_a_file_that_is_none_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / saved_views.FILE)
    assert saved_views.read(tmp_path) == {}
