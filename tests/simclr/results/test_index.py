"""The index of runs: one line each, read again only where something was written."""

import io
import math
import os
import shutil
import time

import pytest
from dashboard_fixtures import make_run, write_evaluation

from dashboard.shared import run_labels
from simclr import runs
from simclr.results import index
from simclr.runs import metrics_csv
from simclr.runs.status import Status


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def known(folder):
    return index.RunIndex(folder)


def test_summary_tells_the_best_knn_and_the_newest_loss(folder, known):
    run = make_run(folder)
    summary = known.summary(run)
    columns = run.metrics()
    assert summary.best_knn == pytest.approx(max(v for v in columns["val/knn_top1"] if math.isfinite(v)))
    assert summary.loss == pytest.approx([v for v in columns["val/loss"] if math.isfinite(v)][-1])
    assert summary.accuracy == summary.best_knn
    assert (summary.test_knn, summary.test_linear) == (None, None)
    (run.path / runs.EVALUATION).write_text('{"test/knn_top1": 0.5, "test/linear_top1": 0.6}')
    assert (known.summary(run).test_knn, known.summary(run).test_linear) == (0.5, 0.6)
    assert (summary.kind, summary.state, summary.dataset) == ("pretrain", "finished", "shapes")


def test_summary_follows_what_is_written_later(folder, known):
    run = make_run(folder, kind="scratch")
    assert known.summary(run).test_accuracy == pytest.approx(0.7)
    write_evaluation(run, 0.25)
    assert known.summary(run).test_accuracy == pytest.approx(0.25)
    run.edit(name="renamed")
    assert known.summary(run).title == "renamed"


def test_an_active_run_whose_process_is_gone_is_failed_without_a_new_file(folder, known):
    run = make_run(folder, "running", done=3)
    assert known.summary(run).state == "running"
    before = (run.path / runs.STATUS).stat()
    values = (
        (run.path / runs.STATUS)
        .read_text()
        .replace(f'"process_start": {runs.read_status(run.path).process_start}', '"process_start": 12.0')
    )
    (run.path / runs.STATUS).write_text(values)
    assert before.st_ino == (run.path / runs.STATUS).stat().st_ino
    assert known.summary(run).state == "failed"


def test_a_torn_last_line_and_broken_files_cost_only_themselves(folder, known):
    torn = make_run(folder, torn=True, done=5)
    assert len(set(map(len, metrics_csv.live_columns(torn.metrics_path).values()))) == 1
    assert 99 not in metrics_csv.live_columns(torn.metrics_path)["epoch"]
    (torn.path / runs.META).write_text("{")
    (torn.path / runs.CONFIG).write_bytes(b"\xff\xfe\x00")
    broken = known.summary(runs.Run(torn.path))
    assert broken.kind == "unknown"
    (folder / "20990101-000000-x").mkdir()
    (folder / "20990101-000000-x" / runs.STATUS).write_text("[]")
    assert len(known.summaries()) == 2


def test_columns_grow_by_new_lines(folder):
    run = make_run(folder, "running", done=2)
    before = len(metrics_csv.live_columns(run.metrics_path)["epoch"])
    with open(run.metrics_path, "a") as stream:
        stream.write(",".join(["3", "40", *[""] * (len(runs.PRETRAIN_METRICS) - 2)]) + "\n")
    assert len(metrics_csv.live_columns(run.metrics_path)["epoch"]) == before + 1


def test_five_hundred_runs_are_listed_again_in_a_blink(folder, known):
    text = "random_weight_init: true\ndataset: shapes\n"
    for number in range(500):
        path = folder / f"20260101-{number:06d}-scratch-shapes-resnet_tiny-aaaa"
        path.mkdir()
        (path / runs.CONFIG).write_text(text)
        (path / runs.STATUS).write_text('{"state": "finished"}')
    assert len(known.summaries()) == 500
    start = time.process_time()
    known.summaries(max_age=0)
    assert time.process_time() - start < 0.05


def test_a_folder_that_is_no_run_any_more_is_not_shown(folder, known):
    run = make_run(folder)
    assert [item.id for item in known.summaries(max_age=0)] == [run.id]
    for name in index.SUMMARY_FILES:
        (run.path / name).unlink(missing_ok=True)
    assert known.summaries(max_age=0) == []


def test_an_evaluation_that_comes_later_is_seen(folder, known):
    run = make_run(folder, kind="scratch")
    (run.path / runs.EVALUATION).unlink()
    assert [item.test_accuracy for item in known.summaries(max_age=0)] == [None]
    runs.write_evaluation(run.path, {"test/top1": 0.5})
    assert [item.test_accuracy for item in known.summaries(max_age=0)] == [0.5]


@pytest.fixture
def opened(monkeypatch):
    """Every file that is opened, by name: what is read, and how often."""
    names = []

    def watch(original):
        def watched(file, *arguments, **more):
            if isinstance(file, (str, os.PathLike)):
                names.append(os.path.basename(file))
            return original(file, *arguments, **more)

        return watched

    for place in ("io.open", "builtins.open", "os.open"):
        monkeypatch.setattr(place, watch(io.open if "os" not in place else os.open))
    return names


def test_a_run_that_did_not_change_is_not_read_again(folder, opened, known):
    own = make_run(folder, kind="scratch")
    queued = make_run(folder, "queued", done=0)
    found = known.summaries(max_age=0)
    assert [item.id for item in found] == [queued.id, own.id]
    assert runs.STATUS in opened
    assert runs.CONFIG in opened  # its check sum: what its options are stands in meta.json
    opened.clear()
    assert known.summaries(max_age=0) == found
    assert opened == []
    os.utime(own.path / runs.META, ns=(1, 1))
    assert known.summaries(max_age=0) == found
    assert runs.META in opened


def test_the_figures_of_a_status_spare_the_metrics_file(folder, opened, known):
    run = make_run(folder)
    opened.clear()
    summary = known.summary(run)
    assert runs.METRICS not in opened
    assert (summary.loss, summary.best_knn) == (run.status.loss, run.status.accuracy)
    assert summary.best_knn == pytest.approx(metrics_csv.newest_figures(run.metrics_path)[1], rel=1e-6)
    assert make_run(folder, kind="scratch").status.accuracy is not None
    assert known.summary(make_run(folder, kind="scratch")).best_knn is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step,train/loss,val/loss,val/knn_top1\n1,3,,\n1,,2.5,0.4\n2,2,,\n2,,2.25,0.3\n", (2.25, 0.4)),
        ("step,train/loss\r\n1,3\r\n2,2.5\r\n", (2.5, None)),
        ("step,train/loss,val/loss\n1,3,nan\n2,x,inf\n3,4\n4,2.5,9,9\n5,0.25,1", (3.0, None)),  # the last is torn
        ("", (None, None)),
        ("step\n1\n", (None, None)),
        ("\x00\xff,\n,\n", (None, None)),
    ],
)
def test_figures_of_a_metrics_file(tmp_path, text, expected):
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode("latin-1"))
    assert metrics_csv.newest_figures(path) == expected
    missing = metrics_csv.newest_figures(tmp_path / "missing")
    assert metrics_csv.newest_figures(tmp_path) == missing == (None, None)


def test_runs_without_figures_are_filled_in_later(folder, monkeypatch, known):
    monkeypatch.setattr(index, "FILL_DELAY_SECONDS", 0.05)
    made = [make_run(folder) for _ in range(3)]
    for run in made:
        runs.update_status(run.path, loss=None, accuracy=None)
    expected = metrics_csv.newest_figures(made[0].metrics_path)
    assert expected[0] is not None and expected[1] is not None
    assert [(item.loss, item.best_knn) for item in known.summaries(max_age=0)] == [(None, None)] * 3
    deadline = time.monotonic() + 10
    while known._unread and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [(item.loss, item.best_knn) for item in known.summaries(max_age=0)] == [expected] * 3
    # it grows: the old figures stand until the new ones are known
    with open(made[0].metrics_path, "a") as stream:
        names = runs.PRETRAIN_METRICS
        stream.write(",".join("0.99" if name == "val/knn_top1" else "" for name in names) + "\n")
    by_id = {item.id: item for item in known.summaries(max_age=0)}
    assert by_id[made[0].id].best_knn == expected[1]
    assert known.summary(made[0]).best_knn == 0.99  # its own page wants to know now


def test_a_duration_counts_the_parts_before_a_resume():
    now = time.time()
    going_on = Status(state="running", started=now - 10, heartbeat=now, seconds_before=100.0)
    assert index.elapsed(going_on) == pytest.approx(110, abs=1)
    assert index.elapsed(Status(state="stopped", started=now - 90, ended=now - 60, seconds_before=100.0)) == 130
    assert index.elapsed(Status(state="queued", seconds_before=100.0)) == 100
    assert index.elapsed(Status(state="queued")) is None
    # a Slurm job that waits again does not go on meanwhile
    assert index.elapsed(Status(state="queued", backend="slurm", started=now - 900, heartbeat=now - 600)) == 300


def test_of_many_runs_a_changed_folder_is_read_at_once_and_any_file_soon(folder, known, monkeypatch):
    monkeypatch.setattr(index, "MANY", 3)
    monkeypatch.setattr(index, "NEW_SECONDS", -60.0)  # what was written just now counts as old
    made = [make_run(folder, name=f"run {number}") for number in range(6)]

    def names():
        return sorted(item.name for item in known.summaries(max_age=0))

    assert names() == [f"run {number}" for number in range(6)]
    made[0].edit(name="edited")  # replaced, which changes the folder
    assert "edited" in names()
    path = made[1].path / runs.META
    path.write_text(path.read_text().replace("run 1", "by hand"))  # written in place, which does not
    found = [names() for _ in range(index.SHARES + 1)]
    assert "by hand" in found[-1]
    runs.delete(made[2], folder)
    assert "run 2" not in names()
    runs.restore(made[2].id, folder)
    assert "run 2" in names()
    (made[3].path / runs.STATUS).unlink()
    (made[3].path / runs.CONFIG).unlink()
    assert "run 3" not in names()


def test_of_many_runs_one_that_goes_on_is_looked_into_each_time(folder, known, monkeypatch):
    monkeypatch.setattr(index, "MANY", 1)
    monkeypatch.setattr(index, "NEW_SECONDS", -60.0)
    run = make_run(folder, "running", done=2)
    for _ in range(3):
        make_run(folder)
    known.summaries(max_age=0)
    text = (run.path / runs.STATUS).read_text()
    (run.path / runs.STATUS).write_text(text.replace('"epoch": 2', '"epoch": 7'))  # in place
    (found,) = [item for item in known.summaries(max_age=0) if item.id == run.id]
    assert found.status.epoch == 7


def test_runs_with_one_name_are_called_differently_until_one_is_renamed(folder, known):
    first, second, other = (make_run(folder, name=name) for name in ("baseline", "baseline", "another"))
    titles = {item.id: item.title for item in known.summaries(0)}
    assert titles[other.id] == "another"
    for run in (first, second):
        assert titles[run.id] == f"baseline · {run.id.rsplit('-', 1)[-1]}" == known.summary(run).title
    second.edit(name="baseline 2")
    assert {item.title for item in known.summaries(0)} == {"another", "baseline", "baseline 2"}
    assert known.summary(first).title == "baseline"


def test_copies_whose_ids_end_the_same_are_called_differently_too(folder, known):
    first = make_run(folder, name="baseline")
    for name in ("20250101-000000-copy", "20250101-000001-copy", "copy", "a copy"):
        shutil.copytree(first.path, folder / name)
    unnamed = make_run(folder)
    for name in ("20250101-000000-plain", "20250101-000001-plain", "plain"):
        shutil.copytree(unnamed.path, folder / name)
    found = known.summaries(0)
    titles = {item.id: item.title for item in found}
    assert len(set(titles.values())) == len(titles) == 9
    assert titles[first.id] == f"baseline · {index.last_part(first.id)}"
    assert titles["20250101-000001-copy"] == "baseline · 20250101-000001-copy"
    assert titles["a copy"] == "baseline · a copy"
    assert titles["20250101-000000-plain"] == "20250101-000000-plain"
    assert len({run_labels.label(item) for item in found}) == 9
