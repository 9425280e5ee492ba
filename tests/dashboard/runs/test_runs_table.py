"""The table of runs: what is sent, what its address and kept views say, and several runs at once."""

import json
from dataclasses import replace

import pytest
from dashboard_fixtures import address, component_with, make_experiment, make_run, named, open_page, query, texts

from dashboard.runs import several_runs, table_data
from dashboard.shared import store
from simclr import runs
from simclr.results.index import RunIndex
from simclr.run_table import run_filter, saved_views
from simclr.run_table.late_values import LateValues
from simclr.runs import update_status


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def sent(app):
    """What the table was sent, its rows unpacked."""
    found = component_with(app, "isUsual")
    return found | {"rows": json.loads(found["rows"])}


def titles(app):
    return sent(app)["rows"]["titles"]


def opened(app, contents):
    """With a popover above the table open."""
    app.session_state[f"open-{contents}"] = True
    return app.run()


def asked_of(text="", **more):
    return table_data.Asked(run_filter.parse(text), **more)


def test_the_table_sends_figures_as_numbers_and_each_text_once(folder):
    _, found = make_experiment(folder)
    everything = RunIndex(folder).summaries()
    num_passing, data = table_data.data(asked_of(), everything, LateValues(folder))
    rows = json.loads(data["rows"])
    assert num_passing == len(rows["ids"]) == len(everything) == data["total"]
    place = rows["ids"].index(found["frozen-0.01"].id)
    accuracy = rows["cells"]["accuracy"]
    assert accuracy["values"][place] == 0.42
    assert accuracy["noteWords"][accuracy["notes"][place]] == "test"
    assert sorted(accuracy["noteWords"]) == ["test", "val kNN"]  # no figure stands without what it was measured on
    assert sorted(rows["cells"]["kind"]["words"]) == ["Fine-tuning", "From scratch", "Pre-training"]
    assert data["pages"]["run"] == "run"


def test_nothing_is_computed_again_as_long_as_nothing_changed(folder):
    make_experiment(folder)
    index, late = RunIndex(folder), LateValues(folder)
    first = table_data.data(asked_of(), index.summaries(0), late)[1]
    assert table_data.data(asked_of(), index.summaries(0), late)[1] is first
    make_run(folder)
    assert table_data.data(asked_of(), index.summaries(0), late)[1] is not first


def test_differences_are_of_one_measure(folder):
    make_experiment(folder)
    everything = RunIndex(folder).summaries()
    scratch = next(item for item in everything if item.kind == "scratch")
    _, data = table_data.data(
        asked_of(columns=("accuracy", "test_top1", "best_knn"), baseline=scratch.id), everything, LateValues(folder)
    )
    notes = json.loads(data["rows"])["cells"]["accuracy"]["noteWords"]
    accuracy, test, knn = data["columns"][1:]
    assert accuracy["baseline"] == [scratch.test_accuracy, notes.index("test")]
    assert test["baseline"] == [scratch.test_accuracy, -1]
    assert "baseline" not in knn


def test_rows_are_sorted_before_they_are_cut(folder, monkeypatch):
    for number in range(5):
        make_run(folder, name=f"run {number}")
    everything = [
        replace(item, best_knn=None if number == 4 else number / 10)
        for number, item in enumerate(RunIndex(folder).summaries())
    ]
    monkeypatch.setattr(table_data, "MAX_ROWS", 2)
    late = LateValues(folder)
    assert table_data.cut(everything, "-best_knn", late) == everything[2:4]
    assert table_data.cut(everything, "best_knn", late) == everything[:2]
    assert table_data.cut(everything, "", late) == everything[:2]
    assert (
        table_data.cut(everything, "-name", late) == sorted(everything, key=lambda item: item.name)[:2:-1]
        or len(table_data.cut(everything, "-name", late)) == 2
    )
    num_passing, data = table_data.data(asked_of(sort="-best_knn"), everything, late)
    assert num_passing == 5 and json.loads(data["rows"])["ids"] == [item.id for item in everything[2:4]]


# --- the page ---------------------------------------------------------------------------------------------------------

VIEW = {
    "filter-text": 'tag:paper temperature>0.05 -"old one"',
    "columns": "state,temperature,augmentation.hue,accuracy",
    "sort": "-accuracy",
    "group": "temperature",
}


def test_a_view_is_in_the_address(folder):
    first = make_run(folder, name="first", tags=["paper"], temperature=0.1)
    make_run(folder, name="second", tags=["paper"], temperature=0.05)
    make_run(folder, name="third", temperature=0.1)
    app = open_page("runs", **VIEW, baseline=first.id)
    assert not app.exception
    data = sent(app)
    assert data["rows"]["titles"] == ["first"] and data["total"] == 3
    assert [column["name"] for column in data["columns"]] == ["name", *VIEW["columns"].split(",")]
    assert [group["label"] for group in data["groups"]] == ["temperature 0.1"]
    assert (data["sort"], data["baseline"]["id"]) == ("-accuracy", first.id)
    assert data["rows"]["cells"]["augmentation.hue"]["values"] != [None]
    assert {name: query(app, name) for name in VIEW} == VIEW
    opened(app, "columns_choice").button("usual-columns").click().run()
    assert "columns" not in address(app) and query(app, "group") == "temperature"


def test_a_wrong_filter_is_said_and_the_rest_is_shown(folder):
    make_run(folder, name="first", tags=["paper"])
    make_run(folder, name="second")
    app = open_page("runs", **{"filter-text": "tag:paper temprature>1"})
    assert "did you mean temperature?" in texts(app) and "the runs that pass the rest of the filter" in texts(app)
    assert titles(app) == ["first"]
    named(app.text_input, "filter-text").set_value("knn>high").run()
    assert "knn is high; allowed: a number" in texts(app) and "Shown: all runs" in texts(app)
    assert len(titles(app)) == 2
    named(app.text_input, "filter-text").set_value("nothing-has-this").run()
    assert titles(app) == [] and "No run passes these filters" in texts(app)


def test_options_that_only_a_folder_from_elsewhere_has_are_known(folder):
    run = make_run(folder, name="from elsewhere")
    make_run(folder, name="own")
    with open(run.path / runs.CONFIG, "a", encoding="utf-8") as stream:
        stream.write("patch_size: 4\n")
    app = open_page("runs", **{"filter-text": "patch_size>2", "columns": "patch_size,state"})
    assert titles(app) == ["from elsewhere"]
    assert sent(app)["rows"]["cells"]["patch_size"]["values"] == [4]
    assert query(app, "columns") == "patch_size,state"


def test_examples_of_the_help_are_understood_and_added_by_a_click(folder):
    from dashboard.runs.table_view import EXAMPLES

    assert [run_filter.parse(text).problems for text, _ in EXAMPLES] == [()] * len(EXAMPLES)
    make_run(folder)
    app = opened(open_page(), "filter_help")
    app.button("filter-example-1").click().run()
    app.button("filter-example-4").click().run()
    assert query(app, "filter-text") == "dataset:cifar10 state:failed,stopped"


def test_views_are_kept_shown_and_deleted(folder):
    make_run(folder, tags=["paper"])
    app = opened(open_page("runs", **VIEW), "views")
    app.text_input("view-name").set_value("for the paper").run()
    app.button("view-keep").click().run()
    assert saved_views.read(folder)["for the paper"] == {
        name.removeprefix("filter-"): value for name, value in VIEW.items()
    }
    app = opened(open_page(), "views")
    assert "group" not in address(app)
    app.button("view-show-0").click().run()
    assert not app.exception
    assert {name: query(app, name) for name in VIEW} == VIEW
    app.button("view-delete-0").click().run()
    assert saved_views.read(folder) == {}


def test_a_view_from_elsewhere_says_what_it_cannot_show(folder):
    make_run(folder)
    view = {
        "text": "<b>",
        "columns": "nope,loss",
        "sort": "-nope",
        "group": "__class__",
        "baseline": "../x",
        "kind": "x",
    }
    (folder / saved_views.FILE).write_text(json.dumps({"views": {"<b>evil</b>": view}}))
    app = opened(open_page(), "views")
    app.button("view-show-0").click().run()
    assert not app.exception
    said = texts(app)
    assert "columns in the address is nope" in said and "sort in the address is -nope" in said
    assert "group in the address is" in said and "baseline in the address is ../x" in said
    assert [column["name"] for column in sent(app)["columns"]] == ["name", "loss"]


def test_lists_are_sent_while_a_popover_is_open_alone_and_keep_what_was_chosen(folder):
    make_run(folder)
    app = open_page()
    assert not app.multiselect
    assert "A click adds one" not in texts(app) and "Keep this view as" not in [item.label for item in app.text_input]
    choice = named(opened(app, "columns_choice").multiselect, "filter-columns")
    assert "Loss" in choice.options and "augmentation.hue" in choice.options
    choice.set_value(["loss", "temperature"]).run()
    assert [column["name"] for column in sent(app)["columns"]] == ["name", "loss", "temperature"]
    app.session_state["open-columns_choice"] = False
    app.run()
    assert not app.multiselect and query(app, "columns") == "loss,temperature"
    assert named(opened(app, "columns_choice").multiselect, "filter-columns").value == ["loss", "temperature"]


def test_a_popover_shows_what_there_is_when_it_opens(folder):
    make_run(folder)
    app = open_page()
    saved_views.keep(folder, "of another window", {"text": "tag:paper"})
    assert opened(app, "views").button("view-show-0").label == "of another window"


# --- several at once --------------------------------------------------------------------------------------------------


@pytest.fixture
def state(monkeypatch):
    """The session of a page that is not drawn."""
    import streamlit as st

    found = {}
    monkeypatch.setattr(st, "session_state", found)
    return found


def test_tags_are_added_and_removed(folder, state):
    made = [make_run(folder, tags=tags) for tags in (["old"], [], ["paper"])]
    several_runs.act("tag", [run.id for run in made], " paper , good  one,,paper")
    assert [run.tags for run in made] == [["old", "paper", "good one"], ["paper", "good one"], ["paper", "good one"]]
    assert state["table-done"] == "3 runs tagged paper, good one."
    several_runs.act("untag", [made[0].id, made[1].id], "paper")
    assert [run.tags for run in made[:2]] == [["old", "good one"], ["good one"]]
    several_runs.act("tag", [made[0].id], " , ")
    assert state["message"].startswith("The tags are empty")


def test_a_run_that_vanished_meanwhile_costs_only_itself(folder, state):
    made = [make_run(folder, name=f"run {number}") for number in range(3)]
    running = make_run(folder, "running", done=3)
    example = make_run(folder / runs.EXAMPLES)
    runs.delete(made[0], folder)
    ids = [run.id for run in (*made, running, example)]
    several_runs.act("delete", [*ids, "nope", "../x", made[1].id], "")
    assert [store.find(run_id) is None for run_id in ids] == [True, True, True, False, False]
    assert state["deleted"] == {"ids": ids[1:3], "name": "2 runs"}
    assert state["table-done"] == (
        "1 run is active and stays. 3 runs of them are not there any more. 1 of the examples stays as it is."
    )
    assert "message" not in state


def test_stopping_asks_only_those_that_are_active(folder, state, monkeypatch):
    ended, running = make_run(folder), make_run(folder, "running", done=3)
    asked = []
    monkeypatch.setattr(several_runs.control, "request_stop", asked.append)  # it would end this very process
    several_runs.act("stop", [ended.id, running.id], "")
    assert asked == [running.path]
    assert state["table-done"] == "1 run asked to stop."


def test_one_run_is_renamed(folder, state):
    run = make_run(folder, name="before")
    several_runs.act("rename", [run.id], "  after \n all ")
    assert run.name == "after all"
    several_runs.act("rename", [run.id], "")
    assert run.meta["name"] is None
    several_runs.act("unknown", [run.id], "x")
    assert store.find(run.id) is not None


def test_what_cannot_be_changed_is_said(folder, state, monkeypatch):
    made = [make_run(folder) for _ in range(2)]

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.Run, "edit", refuse)
    several_runs.act("tag", [run.id for run in made], "paper")
    assert state["message"] == f"{made[0].id} does not take it: No space left on device. 1 others likewise."


def test_several_are_brought_back_by_undo(folder):
    made = [make_run(folder, name=f"run {number}") for number in range(3)]
    app = open_page()
    for run in made[:2]:
        runs.delete(run, folder)
    app.session_state["deleted"] = {"ids": [run.id for run in made[:2]], "name": "2 runs"}
    app.run()
    assert "2 runs are in the trash" in texts(app)
    app.button("undo-delete").click().run()
    assert sorted(titles(app)) == ["run 0", "run 1", "run 2"]


def test_an_active_run_is_told_again_and_again(folder):
    run = make_run(folder, "running", done=3, name="moving")
    app = open_page()
    epochs = sent(app)["rows"]["cells"]["epoch"]
    update_status(run.path, epoch=4)
    app.run()
    assert (epochs["values"], sent(app)["rows"]["cells"]["epoch"]["values"]) == ([3], [4])
