"""The readers behind the pages: summaries, colours, words, and the partners of a pre-training."""

import io
import math
import os
import time

import pytest
from conftest import supervise_nothing
from dashboard_fixtures import make_experiment, make_run, write_evaluation

from dashboard.shared import formats, store
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.launch import spawn
from simclr.results import arms, index
from simclr.runs import metrics_csv
from simclr.runs.status import Status


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def test_a_relative_runs_folder_lies_in_the_repository(monkeypatch):
    monkeypatch.delenv("SIMCLR_RUNS_DIR", raising=False)
    assert store.runs_dir() == store.ROOT / "runs"


def test_summary_tells_the_best_knn_and_the_newest_loss(folder):
    run = make_run(folder)
    summary = store.get().summary(run)
    columns = run.metrics()
    assert summary.best_knn == pytest.approx(max(v for v in columns["val/knn_top1"] if math.isfinite(v)))
    assert summary.loss == pytest.approx([v for v in columns["val/loss"] if math.isfinite(v)][-1])
    assert summary.accuracy == summary.best_knn
    assert (summary.test_knn, summary.test_linear) == (None, None)
    (run.path / runs.EVALUATION).write_text('{"test/knn_top1": 0.5, "test/linear_top1": 0.6}')
    assert (store.get().summary(run).test_knn, store.get().summary(run).test_linear) == (0.5, 0.6)
    assert (summary.kind, summary.state, summary.dataset) == ("pretrain", "finished", "shapes")


def test_summary_follows_what_is_written_later(folder):
    run = make_run(folder, kind="scratch")
    assert store.get().summary(run).test_accuracy == pytest.approx(0.7)
    write_evaluation(run, 0.25)
    assert store.get().summary(run).test_accuracy == pytest.approx(0.25)
    run.edit(name="renamed")
    assert store.get().summary(run).title == "renamed"


def test_an_active_run_whose_process_is_gone_is_failed_without_a_new_file(folder):
    run = make_run(folder, "running", done=3)
    assert store.get().summary(run).state == "running"
    before = (run.path / runs.STATUS).stat()
    values = (
        (run.path / runs.STATUS)
        .read_text()
        .replace(f'"process_start": {runs.read_status(run.path).process_start}', '"process_start": 12.0')
    )
    (run.path / runs.STATUS).write_text(values)
    assert before.st_ino == (run.path / runs.STATUS).stat().st_ino
    assert store.get().summary(run).state == "failed"


def test_a_torn_last_line_and_broken_files_cost_only_themselves(folder):
    torn = make_run(folder, torn=True, done=5)
    assert len(set(map(len, metrics_csv.live_columns(torn.metrics_path).values()))) == 1
    assert 99 not in metrics_csv.live_columns(torn.metrics_path)["epoch"]
    (torn.path / runs.META).write_text("{")
    (torn.path / runs.CONFIG).write_bytes(b"\xff\xfe\x00")
    broken = store.get().summary(runs.Run(torn.path))
    assert broken.kind == "unknown"
    (folder / "20990101-000000-x").mkdir()
    (folder / "20990101-000000-x" / runs.STATUS).write_text("[]")
    assert len(store.get().summaries()) == 2


def test_columns_grow_by_new_lines(folder):
    run = make_run(folder, "running", done=2)
    before = len(metrics_csv.live_columns(run.metrics_path)["epoch"])
    with open(run.metrics_path, "a") as stream:
        stream.write(",".join(["3", "40", *[""] * (len(runs.PRETRAIN_METRICS) - 2)]) + "\n")
    assert len(metrics_csv.live_columns(run.metrics_path)["epoch"]) == before + 1


def test_runs_are_found_by_exact_id_only(folder):
    run = make_run(folder)
    assert store.find(run.id).id == run.id
    for text in ("", run.id[:-1], "..", f"../{folder.name}/{run.id}", str(run.path), ".trash"):
        assert store.find(text) is None


def test_colours_stay_when_another_run_is_deleted(folder):
    ids = [make_run(folder).id for _ in range(4)]
    before = store.colors(ids)
    assert len(set(before.values())) == 4
    runs.delete(store.find(sorted(ids)[0]), folder)
    assert store.colors(ids) == before


def test_five_hundred_runs_are_listed_again_in_a_blink(folder):
    text = "random_weight_init: true\ndataset: shapes\n"
    for number in range(500):
        path = folder / f"20260101-{number:06d}-scratch-shapes-resnet_tiny-aaaa"
        path.mkdir()
        (path / runs.CONFIG).write_text(text)
        (path / runs.STATUS).write_text('{"state": "finished"}')
    assert len(store.get().summaries()) == 500
    start = time.process_time()
    store.get().summaries(max_age=0)
    assert time.process_time() - start < 0.05


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


def test_a_run_that_did_not_change_is_not_read_again(folder, opened):
    own = make_run(folder, kind="scratch")
    queued = make_run(folder, "queued", done=0)
    found = store.get().summaries(max_age=0)
    assert [item.id for item in found] == sorted([own.id, queued.id], reverse=True)
    assert runs.STATUS in opened
    assert runs.CONFIG in opened  # its check sum: what its options are stands in meta.json
    opened.clear()
    assert store.get().summaries(max_age=0) == found
    assert opened == []
    os.utime(own.path / runs.META, ns=(1, 1))
    assert store.get().summaries(max_age=0) == found
    assert runs.META in opened


def test_the_figures_of_a_status_spare_the_metrics_file(folder, opened):
    run = make_run(folder)
    opened.clear()
    summary = store.get().summary(run)
    assert runs.METRICS not in opened
    assert (summary.loss, summary.best_knn) == (run.status.loss, run.status.accuracy)
    assert summary.best_knn == pytest.approx(metrics_csv.newest_figures(run.metrics_path)[1], rel=1e-6)
    assert make_run(folder, kind="scratch").status.accuracy is not None
    assert store.get().summary(make_run(folder, kind="scratch")).best_knn is None


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


def test_runs_without_figures_are_filled_in_later(folder, monkeypatch):
    monkeypatch.setattr(index, "FILL_DELAY_SECONDS", 0.05)
    made = [make_run(folder) for _ in range(3)]
    for run in made:
        runs.update_status(run.path, loss=None, accuracy=None)
    expected = metrics_csv.newest_figures(made[0].metrics_path)
    assert expected[0] is not None and expected[1] is not None
    assert [(item.loss, item.best_knn) for item in store.get().summaries(max_age=0)] == [(None, None)] * 3
    deadline = time.monotonic() + 10
    while store.get()._unread and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [(item.loss, item.best_knn) for item in store.get().summaries(max_age=0)] == [expected] * 3
    # it grows: the old figures stand until the new ones are known
    with open(made[0].metrics_path, "a") as stream:
        names = runs.PRETRAIN_METRICS
        stream.write(",".join("0.99" if name == "val/knn_top1" else "" for name in names) + "\n")
    by_id = {item.id: item for item in store.get().summaries(max_age=0)}
    assert by_id[made[0].id].best_knn == expected[1]
    assert store.get().summary(made[0]).best_knn == 0.99  # its own page wants to know now


def test_one_look_serves_all_who_ask_within_a_second(folder, monkeypatch):
    make_run(folder)
    looks = []
    original = runs.list_runs
    monkeypatch.setattr(runs, "list_runs", lambda place: looks.append(place) or original(place))
    clock = [50.0]
    monkeypatch.setattr(index.time, "monotonic", lambda: clock[0])
    first = store.get().summaries()
    clock[0] += 0.9
    make_run(folder, version=7)  # asked for the next one, it would look at the folder too
    assert store.get().summaries() == first
    assert store.num_active() == 0
    assert len(looks) == 1
    assert len(store.get().summaries(max_age=0)) == 2
    clock[0] += 1.1
    store.get().summaries()
    assert len(looks) == 3


def test_a_duration_counts_the_parts_before_a_resume():
    now = time.time()
    going_on = Status(state="running", started=now - 10, heartbeat=now, seconds_before=100.0)
    assert index.elapsed(going_on) == pytest.approx(110, abs=1)
    assert index.elapsed(Status(state="stopped", started=now - 90, ended=now - 60, seconds_before=100.0)) == 130
    assert index.elapsed(Status(state="queued", seconds_before=100.0)) == 100
    assert index.elapsed(Status(state="queued")) is None
    # a Slurm job that waits again does not go on meanwhile
    assert index.elapsed(Status(state="queued", backend="slurm", started=now - 900, heartbeat=now - 600)) == 300


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (42.4, "42 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"), (273_600, "3 d 4 h")],
)
def test_durations(seconds, text):
    assert formats.duration(seconds) == text


def test_words():
    assert formats.ago(100, now=110) == "just now"
    assert formats.ago(0, now=7300) == "2 h ago"
    assert formats.percent(0.4567) == "45.7 %"
    assert formats.percent(None) == "–"
    assert formats.fraction_text(0.01) == "1 %"
    assert index.short_id("20261122-142233-pretrain-cifar10-resnet18-x7k2") == "pretrain-cifar10-resnet18-x7k2"
    assert index.short_id("version_3") == "version_3"
    assert index.finite_number(True) is None
    assert index.finite_number(float("nan")) is None


# --- partners


@pytest.fixture
def pretraining():
    return cfg.to_dict(
        cfg.PretrainConfig(dataset="shapes", seed=7, limit_images=300, val_fraction=0.2, data_dir="/data/images")
    )


@pytest.mark.parametrize(
    ("arm", "kind", "freeze"),
    [("frozen", "finetune", True), ("full", "finetune", False), ("scratch", "scratch", False)],
)
def test_a_partner_has_the_data_network_and_seed_of_its_pretraining(pretraining, arm, kind, freeze):
    config = arms.partner_config(pretraining, "some-run", arm, 0.05, "quick")
    assert config.kind == kind
    assert config.freeze_encoder is freeze
    assert config.experiment_version == "some-run"
    assert config.label_fraction == 0.05
    same = ("seed", "dataset", "data_dir", "limit_images", "val_fraction", "backbone")
    assert {name: getattr(config, name) for name in same} == {name: pretraining[name] for name in same}
    partner = cfg.recipe("quick", "finetune" if arm == "frozen" else "scratch")
    assert config.epochs == int(partner["epochs"])
    assert config.learning_rate == float(partner["learning_rate"])


@pytest.mark.parametrize("recipe", cfg.recipe_names())
def test_scratch_and_full_have_the_same_budget(pretraining, recipe):
    full = arms.partner_config(pretraining, "r", "full", 0.01, recipe)
    scratch = arms.partner_config(pretraining, "r", "scratch", 0.01, recipe)
    for name in ("epochs", "batch_size", "max_steps", "early_stopping_patience"):
        assert getattr(full, name) == getattr(scratch, name)


def test_an_unknown_arm_is_refused(pretraining):
    with pytest.raises(ConfigError, match="arm is half; allowed: frozen, full, scratch"):
        arms.partner_config(pretraining, "r", "half", 0.01)


def test_recipe_is_the_recorded_one_else_the_one_with_its_data_and_network():
    assert arms.guess_recipe({}, "quick") == "quick"
    quick = cfg.recipe("quick")
    assert arms.guess_recipe({"dataset": quick["dataset"], "backbone": quick["backbone"]}) == "quick"
    assert arms.guess_recipe({"dataset": "other"}, "gone") == cfg.recipe_names()[0]


def test_a_second_click_gives_the_run_of_the_first(folder, monkeypatch):
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    run = make_run(folder)
    first = arms.start_partner(run, "frozen", 0.1, folder)
    again = arms.start_partner(run, "frozen", 0.1, folder)
    other = arms.start_partner(run, "full", 0.1, folder)
    assert first.id == again.id != other.id
    assert first.meta["experiment"] == run.id
    assert runs.load_config(first).freeze_encoder


def test_partners_are_those_of_this_pretraining(folder):
    own, found = make_experiment(folder)
    other, _ = make_experiment(folder)
    assert {item.id for item in store.partners(own.id)} == {run.id for run in found.values()}
    assert store.partners(other.id)[0].id not in {run.id for run in found.values()}
    best = arms.newest_partner(store.partners(own.id), "frozen", 0.01)
    assert best.id == found["frozen-0.01"].id
    assert arms.newest_partner(store.partners(own.id), "frozen", 0.5) is None
