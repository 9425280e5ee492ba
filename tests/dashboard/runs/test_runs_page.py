"""The Runs page in its states."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import supervise_nothing
from dashboard_fixtures import make_experiment, make_run, named, open_page, press, query, texts

from dashboard.runs import first_page, table_data
from dashboard.shared import store
from simclr import runs
from simclr.launch import queue, spawn

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


def test_empty_says_what_this_is_and_leads_to_the_first_run(folder):
    app = open_page()
    assert not app.exception
    assert "recognize two distorted views" in texts(app)
    primary = [button for button in app.button if button.proto.type == "primary"]
    assert [button.label for button in primary] == ["Start the race"]
    press(app, "first-run")
    assert app.title[0].value == "New run"
    assert "--config quick" in app.code[0].value


def test_shipped_examples_leave_the_first_steps_in_place_and_cannot_be_changed(folder):
    example = make_run(folder / runs.EXAMPLES, "finished", name="SimCLR on shapes")
    app = open_page()
    assert not app.exception
    assert [button.label for button in app.button if button.proto.type == "primary"] == ["Start the race"]
    assert "Or look at finished ones first" in texts(app)
    (line,) = [first_page.row(item) for item in store.get().summaries()]
    assert line["name"]["sub"].startswith("Example")
    app = open_page("run", id=example.id)
    assert not app.exception
    assert not {"edit", "delete"} & {button.key for button in app.button}
    make_run(folder, "finished", name="my own")
    app = open_page()
    assert app.title[0].value == "Runs"
    assert len(store.get().summaries()) == 2


def test_active_runs_are_cards_with_progress_and_a_stop_that_asks(folder):
    run = make_run(folder, "running", done=8, name="my run")
    app = open_page()
    assert not app.exception
    assert "Epoch 8 of 20" in texts(app)
    assert "34 s left" in texts(app)
    assert app.metric[0].label == "kNN, validation"
    app.button(f"stop-{run.id}").click().run()
    assert run.status.stop_requested is None  # asked first
    assert app.button("stop-no")
    assert app.button("stop-yes")


def test_open_leads_to_the_run_by_its_id(folder):
    run = make_run(folder, "running", done=8)
    make_run(folder, "running", done=3)
    app = open_page()
    press(app, f"open-{run.id}")
    assert query(app, "id") == run.id
    assert run.id in texts(app)


def test_the_queue_shows_who_waits_and_changes_the_order(folder, monkeypatch):
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    monkeypatch.setattr(spawn, "detach", lambda *_, **__: None)
    config = runs.load_config(make_run(folder, "running", done=8, name="holder"))
    made = [
        queue.submit(config.model_copy(update={"seed": seed, "name": f"number {seed}"}), folder, "cpu")
        for seed in range(12)
    ]
    app = open_page()
    assert not app.exception
    assert "12 runs waiting" in texts(app)
    assert f"queue-up-{made[8].id}" not in [button.key for button in app.button]  # folded
    app.toggle("queue-all").set_value(True).run()
    assert app.button(f"queue-up-{made[0].id}").disabled and app.button(f"queue-down-{made[11].id}").disabled
    app.button(f"queue-up-{made[11].id}").click().run()
    app.button(f"queue-down-{made[0].id}").click().run()
    order = [run.id for run in queue.entries(folder)]
    assert order == [run.id for run in (made[1], made[0], *made[2:10], made[11], made[10])]
    app.button(f"queue-drop-{made[5].id}").click().run()
    assert store.find(made[5].id) is None
    assert "number 5 is in the trash" in texts(app)
    app.button("undo-delete").click().run()
    assert made[5].id in [run.id for run in queue.entries(folder)]


def test_a_failure_is_told_on_top_until_it_is_dismissed(folder, monkeypatch):
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    run = make_run(folder, "failed", name="<b>hot</b>")
    make_run(folder / runs.EXAMPLES, "failed")
    app = open_page()
    assert "The loss is not a number after step 80" in texts(app)
    app.button(f"trouble-dismiss-{run.id}").click().run()
    assert "after step 80" not in texts(app)
    assert "after step 80" not in texts(open_page())
    other = make_run(folder, "failed")
    app = open_page()
    app.button(f"trouble-resume-{other.id}").click().run()
    assert not app.exception
    assert store.find(other.id).status.state == "starting"


@pytest.mark.parametrize("state", ["finished", "failed", "stopped", "stopping", "queued"])
def test_every_state_is_shown(folder, monkeypatch, state):
    monkeypatch.setattr(queue, "ensure_scheduler", lambda _: None)
    make_run(folder, state, torn=True, done=4)
    app = open_page()
    assert not app.exception
    assert app.title[0].value == "Runs"


def test_damaged_folders_cost_only_themselves(folder):
    make_run(folder)
    broken = make_run(folder)
    for name in (runs.STATUS, runs.META, runs.METRICS, runs.CONFIG):
        (broken.path / name).write_bytes(b"\x00\xff{")
    app = open_page()
    assert not app.exception
    assert app.title[0].value == "Runs"


def test_two_hundred_runs(folder):
    for index in range(200):
        path = folder / f"20260101-{index:06d}-scratch-shapes-resnet_tiny-aaaa"
        path.mkdir()
        (path / runs.CONFIG).write_text("random_weight_init: true\n")
        (path / runs.STATUS).write_text('{"state": "finished"}')
    app = open_page()
    assert not app.exception


def test_filters_choose_by_kind_state_and_words(folder):
    make_experiment(folder)
    make_run(folder, "failed", tags="colour")
    found = store.get().summaries()
    assert len(table_data.of_kinds(found, ["scratch"], [])) == 1
    assert len(table_data.of_kinds(found, [], ["failed"])) == 1
    assert table_data.of_kinds(found, ["scratch"], ["failed"]) == []
    assert table_data.of_kinds(found, [], []) == found
    app = open_page("runs", **{"filter-text": "colour pretrain"})
    assert named(app.text_input, "filter-text").value == "colour pretrain"


def test_a_row_leads_to_its_run_by_id_and_shows_per_cent(folder):
    _, found = make_experiment(folder)
    summary = store.get().summary(found["frozen-0.01"])
    row = first_page.row(summary)
    assert row["href"] == f"run?id={summary.id}"
    assert row["accuracy"]["text"] == "42.0 %"
    assert row["accuracy"]["sub"] == "test"


def test_deleting_can_be_undone(folder):
    run = make_run(folder, name="gone")
    make_run(folder)
    app = open_page("run", id=run.id)
    app.button("delete").click().run()
    assert store.find(run.id) is not None  # asked first
    press(app, "delete-yes")
    assert store.find(run.id) is None
    app.switch_page("runs/page.py").run()
    assert "gone is in the trash" in texts(app)
    app.button("undo-delete").click().run()
    assert store.find(run.id) is not None


def test_the_server_imports_nothing_heavy(folder):
    """In a process of its own, as other tests import torch."""
    run = make_run(folder)
    code = f"""
import sys

sys.path[:0] = ["tests/helpers", "."]
from dashboard_fixtures import open_page

for page in (None, "new_run", "curves", "results"):
    assert not open_page(page).exception
assert not open_page("run", id={run.id!r}).exception
heavy = {{"torch", "torchvision", "lightning", "umap", "sklearn", "numba"}} & set(sys.modules)
sys.exit(f"imported: {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
