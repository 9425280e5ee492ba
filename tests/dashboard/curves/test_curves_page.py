"""The Curves page: what is laid over each other, and its address."""

import json
import math

import dashboard_fixtures
import pytest
from dashboard_fixtures import make_experiment, make_group, make_run, open_page, query, texts
from lightning_log import write_log

from simclr import runs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def chosen(app):
    """The runs that the page shows, by the address that it writes."""
    return [run_id for run_id in query(app, "runs").split(",") if run_id]


def address(app, *names):
    found = dashboard_fixtures.address(app)
    return {name: found[name] for name in names}


def sent(app, name):
    """What a component was given: the first of its name on the page."""
    proto = next(item.proto for item in app.get("bidi_component") if item.proto.component_name == f"simclr_{name}")
    return json.loads(proto.json or proto.mixed.json)


def picker(app):
    """The key of the list of runs."""
    return f"curves-runs-{app.session_state['view-curves'][' round']}"


def metrics(app):
    return app.multiselect[0].value


def test_empty_says_what_to_do(folder):
    app = open_page("curves")
    assert not app.exception
    assert "no run yet" in texts(app)


def test_an_address_brings_the_whole_view_back(folder):
    pretraining, found = make_experiment(folder)
    other = found["full-0.01"]
    view = {
        "runs": f"{pretraining.id},{other.id}",
        "metric": ["top1", "lr"],
        "smoothing": "0.65",
        "log": "true",
        "log_x": "true",
        "x": "step",
        "splits": "val",
        "seeds": "range",
        "large": "lr",
    }
    app = open_page("curves", **view)
    assert not app.exception
    assert metrics(app) == ["top1", "lr"]
    assert app.slider[0].value == pytest.approx(0.65)
    toggles = {toggle.label: toggle.value for toggle in app.toggle}
    assert toggles["Log x"] and toggles["Log y"]
    assert [group.value for group in app.button_group] == ["val", "step", "range"]
    assert address(app, *view) == {name: value if isinstance(value, list) else [value] for name, value in view.items()}


@pytest.mark.parametrize(
    "nonsense",
    [
        {"runs": "nope"},
        {"metric": "../x"},
        {"smoothing": "nan"},
        {"smoothing": "1e999"},
        {"x": "moon"},
        {"seeds": "<b>"},
        {"large": "nope"},
        {"folder": "/no/such/folder"},
        {"folder": "\0"},
        {"runs": "%%2,%2C"},
    ],
)
def test_nonsense_in_an_address_is_left_out(folder, nonsense):
    make_run(folder)
    app = open_page("curves", **nonsense)
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize(
    ("kind", "first"),
    [("pretrain", ["loss", "knn_top1", "top1", "effective_rank"]), ("scratch", ["loss", "top1"])],
)
def test_without_an_address_the_newest_runs_of_one_kind_are_shown(folder, kind, first):
    found = [make_run(folder, kind=kind, epochs=2) for _ in range(5)]
    other = make_run(folder, kind=kind, epochs=2, dataset="digits")
    older, newer = folder / f"1999{other.id[4:]}", folder / f"2999{other.id[4:]}"
    other.path.rename(older)
    app = open_page("curves")
    assert metrics(app) == first
    assert chosen(app) == [run.id for run in reversed(found)][:4]
    older.rename(newer)
    assert chosen(open_page("curves")) == [newer.name]  # never two data sets at once


def test_a_newest_run_without_data_is_not_what_it_opens_with(folder):
    older = make_run(folder, epochs=2)
    newest = make_run(folder, "running", kind="scratch", done=0)
    newest.metrics_path.write_text(",".join(runs.FINETUNE_METRICS) + "\n1,1,0.")  # named its columns, and a torn row
    app = open_page("curves")
    assert chosen(app) == [older.id]
    assert chosen(open_page("curves", runs=newest.id)) == [newest.id]  # who asks for it gets it


def test_runs_that_have_recorded_nothing_are_said_and_followed(folder):
    run = make_run(folder, "running", done=0, name="Just begun")
    app = open_page("curves")
    assert not app.exception
    assert "No run has recorded anything yet" in texts(app)
    assert [link.proto.label for link in app.get("page_link")] == ["Just begun: running"]
    dashboard_fixtures.write_metrics(run, 1)
    assert chosen(app.run()) == [run.id]


def test_where_all_ended_without_data_a_run_is_offered(folder):
    make_run(folder, "stopped", done=0)
    app = open_page("curves")
    assert [link.proto.label for link in app.get("page_link")] == ["Start a run"]


def drawn_marks(app):
    return {chart["id"]: chart["marks"] for chart in sent(app, "curve_grid")["charts"]}


def test_runs_beside_from_scratch_are_marked_where_they_come_near_its_end(folder):
    _, found = make_experiment(folder)
    scratch, full = found["scratch-0.01"], found["full-0.01"]
    marks = drawn_marks(open_page("curves", runs=f"{full.id},{scratch.id}", metric=["top1", "loss"]))
    assert marks["loss"] is None
    assert marks["top1"]["level"] == pytest.approx(0.9 * 65 * (1 - math.exp(-4)), rel=1e-4)
    assert [point["x"] for point in marks["top1"]["points"]] == pytest.approx([6, 11])  # epochs
    assert all(point["y"] >= marks["top1"]["level"] for point in marks["top1"]["points"])
    by_step = drawn_marks(open_page("curves", runs=f"{full.id},{scratch.id}", metric="top1", x="step"))["top1"]
    assert [point["x"] for point in by_step["points"]] == [96, 176]
    by_time = drawn_marks(open_page("curves", runs=f"{full.id},{scratch.id}", metric="top1", x="time"))["top1"]
    assert [point["x"] for point in by_time["points"]] == pytest.approx([0.2 * 96 / 60, 0.2 * 176 / 60])


def test_seeds_are_marked_at_their_mean(folder):
    made = [make_experiment(folder, seed=seed)[1] for seed in (1, 2)]
    ids = [runs_of[f"{arm}-0.01"].id for runs_of in made for arm in ("full", "scratch")]
    marks = drawn_marks(open_page("curves", runs=",".join(ids), metric="top1", x="step", seeds="std"))["top1"]
    assert [point["x"] for point in marks["points"]] == [96, 176]


def test_where_a_mark_would_say_nothing_there_is_none(folder):
    pretraining, found = make_experiment(folder, (0.01, 1.0))
    scratch, full, other = (found[name].id for name in ("scratch-0.01", "full-0.01", "scratch-1"))
    for shown, more in (
        ([full], {}),  # nothing to come near to
        ([scratch], {}),  # nothing beside it
        ([full, scratch, other], {}),  # two levels
        ([found["full-1"].id, scratch], {}),  # other labels
        ([full, scratch], {"splits": "train"}),
        ([pretraining.id, scratch], {}),
    ):
        assert drawn_marks(open_page("curves", runs=",".join(shown), metric="top1", **more))["top1"] is None, shown


def test_ticking_runs_changes_what_is_shown(folder):
    first, second = make_run(folder), make_run(folder)
    app = open_page("curves", runs=first.id)
    app.session_state[picker(app)] = {"picked": [second.id, first.id, "gone"]}
    app.run()
    assert not app.exception
    assert chosen(app) == [second.id, first.id]


def test_metrics_follow_the_runs_until_the_user_chooses(folder):
    pretraining, supervised = make_run(folder), make_run(folder, kind="scratch")
    write_log(folder / "version_0")
    app = open_page("curves", runs=pretraining.id)
    key = picker(app)

    def tick(*run_ids):
        app.session_state[key] = {"picked": list(run_ids)}
        app.run()
        assert not app.exception
        return metrics(app)

    assert tick(supervised.id) == ["loss", "top1"]
    assert tick("version_0") == ["train_loss"]
    tick(supervised.id)
    app.multiselect[0].set_value(["top5"]).run()
    assert tick(pretraining.id) == ["top5"]
    assert tick("version_0") == ["train_loss"]  # which has none of what was chosen


def test_a_choice_is_kept_while_other_pages_are_shown(folder):
    make_run(folder)
    app = open_page("curves")
    app.multiselect[0].set_value(["knn_top1"]).run()
    app.switch_page("runs/page.py").run()
    app.switch_page("curves/page.py").run()
    assert metrics(app) == ["knn_top1"]


def test_no_run_and_no_metric_chosen_give_a_sentence(folder):
    run = make_run(folder)
    app = open_page("curves", runs=run.id)
    app.session_state[picker(app)] = {"picked": []}
    assert "Choose runs and metrics to see curves." in texts(app.run())
    app = open_page("curves", runs=run.id)
    app.multiselect[0].set_value([]).run()
    assert not app.exception
    assert "Choose runs and metrics" in texts(app)


def test_options_that_differ_are_shown_and_all_on_request(folder):
    runs = [make_run(folder, temperature=round(0.1 + 0.1 * number, 1)) for number in range(8)]
    app = open_page("curves", runs=",".join(run.id for run in runs))
    assert not app.exception
    assert "Options that differ" in texts(app)
    assert "not comparable: temperature is 0.1, 0.2, 0.3, 0.4, 0.5 or 3 others" in texts(app)
    app.toggle(key="curves-all-options").set_value(True).run()
    assert not app.exception


def test_seeds_are_drawn_as_one(folder):
    runs = [make_run(folder, seed=seed) for seed in range(3)]
    app = open_page("curves", runs=",".join(run.id for run in runs), smoothing="0.5")
    app.button_group[2].set_value("std").run()
    assert not app.exception
    assert query(app, "seeds") == "std"
    (drawn,) = sent(app, "curve_grid")["runs"]  # at once, not only at the next click
    assert drawn["title"].endswith("n = 3")
    assert sent(app, "table")["rows"][0]["loss last"]["sub"] == "n = 3"


def test_logs_of_other_programs_are_in_the_list_and_open_with_their_columns(folder, tmp_path):
    make_run(folder)
    write_log(folder / "lightning_logs" / "version_0")
    app = open_page("curves", runs="lightning_logs/version_0", metric="train_loss")
    assert not app.exception
    assert chosen(app) == ["lightning_logs/version_0"]
    assert metrics(app) == ["train_loss"]
    assert "train_loss" in app.multiselect[0].options


def test_a_folder_with_logs_is_named_on_the_page_and_in_the_address(folder, tmp_path_factory):
    run = make_run(folder)
    other = tmp_path_factory.mktemp("elsewhere")
    write_log(other / "version_0")
    write_log(other / "with, comma")
    app = open_page("curves", runs=run.id)
    app.text_input[0].set_value(str(other)).run()
    assert not app.exception
    assert query(app, "folder") == str(other)
    assert len(chosen(app)) == 3  # what was opened is shown at once
    again = open_page("curves", **address(app, "runs", "folder", "metric"))
    assert not again.exception
    assert chosen(again) == chosen(app)
    assert "with%2C%20comma" in query(again, "runs")


def test_a_folder_that_is_not_there_gives_one_sentence_and_the_rest_stays(folder):
    run = make_run(folder)
    app = open_page("curves", runs=run.id, folder="/no/such/folder")
    assert "folder is /no/such/folder, which is not there" in texts(app)
    assert chosen(app) == [run.id]


def test_logs_alone_fill_the_page_too(folder):
    for number, hparams in enumerate(["lr: 0.1\n", None, "lr: [1"]):
        write_log(folder / f"version_{number}", hparams=hparams)
    write_log(folder / "torn", "epoch,step,train_lo")
    write_log(folder / "wide", ",".join(f"m{n}" for n in range(3000)) + "\n" + ",".join("1" * 3000) + "\n")
    app = open_page("curves")
    assert not app.exception
    everything = ",".join(["torn", "wide", *(f"version_{number}" for number in range(3))])
    for seeds in ("each", "std"):
        assert not open_page("curves", runs=everything, seeds=seeds, x="time").exception


def test_a_torn_file_is_drawn_up_to_the_tear(folder):
    make_run(folder, "failed", torn=True)
    assert not open_page("curves").exception


@pytest.mark.parametrize("state", ["queued", "starting", "running", "stopping", "stopped", "failed"])
def test_runs_of_every_state_can_be_shown(folder, state):
    run = make_run(folder, state, done=0 if state in ("queued", "starting") else 3)
    app = open_page("curves", runs=run.id)
    assert not app.exception
    assert chosen(app) == [run.id]


def test_many_runs_can_be_chosen(folder):
    runs = [make_run(folder, epochs=3, seed=number % 5) for number in range(30)]
    app = open_page("curves", runs=",".join(run.id for run in runs))
    assert not app.exception
    assert len(chosen(app)) == 30


def test_a_group_is_laid_over_each_other_with_a_line_for_each_setting(folder):
    make_run(folder)
    made = make_group(folder, {"0.1": [0.8, 0.7], "0.5": [0.5, 0.6]})
    app = open_page("curves", runs="which-x7k2")
    assert not app.exception
    assert chosen(app) == [run.id for run in made]
    assert query(app, "seeds") == "std"
    app = open_page("curves", runs=made[0].id)
    assert chosen(app) == [made[0].id]
    app.selectbox(key="curves-group").select("which-x7k2").run()
    assert not app.exception
    assert sorted(chosen(app)) == sorted(run.id for run in made)
    assert app.selectbox(key="curves-group").value is None  # it can be taken again
