"""The trash of a runs folder."""

import pytest
from dashboard_fixtures import make_run

from simclr import runs
from simclr.config import ConfigError
from simclr.runs import trash


def test_a_run_is_deleted_for_good_and_nothing_else(tmp_path):
    run, other = make_run(tmp_path), make_run(tmp_path)
    for each in (run, other):
        runs.delete(each, tmp_path)
    folder = tmp_path / runs.TRASH / run.id
    expected = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert trash.num_bytes(folder) == expected > 1000
    assert trash.deleted_at(folder) is not None
    trash.purge(run.id, tmp_path)
    assert [path.name for path in (tmp_path / runs.TRASH).iterdir()] == [other.id]


def test_what_a_link_leads_to_stays(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x" * 5000)
    run = make_run(tmp_path / "runs")
    (run.path / "link").symlink_to(kept)
    runs.delete(run, tmp_path / "runs")
    assert trash.num_bytes(tmp_path / "runs" / runs.TRASH / run.id) < 5000 * 4
    trash.purge(run.id, tmp_path / "runs")
    (tmp_path / "runs" / runs.TRASH / "whole").symlink_to(kept)
    trash.purge("whole", tmp_path / "runs")
    assert (kept / "file").is_file()


@pytest.mark.parametrize("run_id", ["", ".", "..", "nope", "../kept", "/"])
def test_what_is_not_there_is_said(tmp_path, run_id):
    (tmp_path / "kept").mkdir()
    (tmp_path / runs.TRASH).mkdir()
    with pytest.raises(ConfigError, match="a run in the trash"):
        trash.purge(run_id, tmp_path)
    assert (tmp_path / "kept").is_dir()
