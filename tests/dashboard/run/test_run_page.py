"""The Run page in its states: unknown, starting, running, stopping, stopped, failed, finished."""

import math
import re
import time

import pytest
from conftest import supervise_nothing
from dashboard_fixtures import CLASSES, component_with, make_experiment, make_run, open_page, press, query, shown, texts
from races import make_race

from dashboard.components import escape
from dashboard.run import details_panel, progress_panel, sections
from dashboard.shared import run_actions, run_labels, store
from simclr import config as cfg
from simclr import runs
from simclr.curves import metric_info
from simclr.experiments import partners
from simclr.launch import queue, spawn
from simclr.models.weights import file_hash
from simclr.results import arms
from simclr.runs import extensions
from simclr.runs.status import Status


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_processes(monkeypatch):
    """Folders are made as always; nothing is started in them, and nothing keeps the queue."""
    monkeypatch.setattr(spawn, "_supervise", supervise_nothing)
    monkeypatch.setattr(spawn, "detach", lambda *_, **__: None)


def metrics(app):
    return {item.label: item.value for item in app.metric}


@pytest.mark.parametrize("run_id", ["20260101-000000-nope", "../../etc", "", "<b>x</b>"])
def test_an_unknown_run_is_one_sentence_with_a_way_home(folder, run_id):
    app = open_page("run", id=run_id)
    assert not app.exception
    assert not app.error
    assert "no run" in texts(app).lower()


def test_running(folder):
    run = make_run(folder, "running", done=8, name="jitter")
    app = open_page("run", id=run.id)
    assert not app.exception
    assert app.title[0].value == "jitter"
    shown = metrics(app)
    assert shown["Epoch"] == "8 of 20"
    assert shown["Images per second"] == "1,612"  # the average, not the newest
    (speed,) = [item.help for item in app.metric if item.label == "Images per second"]
    assert "Now: 1,834." in speed
    assert shown["Time left"] == "34 s"
    assert [button.key for button in app.button] == ["edit", "clone", "stop", "report-make"]  # no delete while active


def test_how_the_folder_was_read_is_shown(folder):
    run = make_run(folder, "running", done=2)
    sentence = "Read as 2 classes (a_b 8, [c](d) 12): 18 images from Training/ train."
    for found in (sentence, ["no", "text"]):
        runs.add_meta(run.path, data_reading=found)
        app = open_page("run", id=run.id)
        assert not app.exception
        captions = [item.value for item in app.caption if "Read" in item.value]
        assert [shown(text) for text in captions] == (
            [f":material/folder_open: {sentence}"] if found is sentence else []
        )
        assert not any("[c](d)" in text for text in captions)  # no link


def test_starting_has_no_metrics_yet(folder):
    run = make_run(folder, "starting", done=0)
    app = open_page("run", id=run.id)
    assert not app.exception
    assert "Curves appear with the first steps" in texts(app)


def test_stop_asks_first_and_then_says_it_is_stopping(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(spawn, "detach", lambda command, **_: asked.append(command))  # one who sees it through
    run = make_run(folder, "running", done=8)
    app = open_page("run", id=run.id)
    app.button("stop").click().run()
    assert not asked
    app.button("stop-yes").click().run()
    assert len(asked) == 1
    assert store.find(run.id).status.state == "stopping"
    app = open_page("run", id=run.id)
    assert app.button("stop").disabled


def test_a_stopped_run_goes_on_from_its_checkpoint_or_begins_again(folder, no_processes):
    run = make_run(folder, "stopped", done=5)
    app = open_page("run", id=run.id)
    assert app.button("resume").label == "Start again"
    (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).write_bytes(b"state")
    app = open_page("run", id=run.id)
    assert app.button("resume").label == "Resume"
    other_tab = open_page("run", id=run.id)
    app.button("resume").click().run()
    assert not app.exception
    assert store.find(run.id).status.state == "starting"
    assert "stop" in [button.key for button in app.button]
    other_tab.button("resume").click().run()  # finds it on its way
    assert not other_tab.exception and not other_tab.error


def test_a_resume_on_a_busy_device_waits_for_its_turn(folder, no_processes):
    holder = make_run(folder, "running", done=8, name="the holder")
    runs.update_status(holder.path, device="cpu")
    run = make_run(folder, "stopped", done=5)
    (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).write_bytes(b"state")
    runs.update_status(run.path, device="cpu")
    app = open_page("run", id=run.id)
    app.button("resume").click().run()
    assert not app.exception
    assert store.find(run.id).status.state == "queued"
    words = texts(app)
    assert "Waiting for CPU: next of 1 in the queue" in words
    assert "the holder holds it, 34 s left" in words
    assert "goes on from epoch 5 of 20" in words
    press(app, "drop")
    assert (store.find(run.id).status.state, store.find(run.id).status.reason) == ("stopped", "taken out of the queue")


def test_a_waiting_run_can_be_put_first_edited_or_taken_out(folder, no_processes):
    config = runs.load_config(make_run(folder, "running", done=8))
    first, second = (queue.submit(config.model_copy(update={"seed": seed}), folder, "cpu") for seed in (1, 2))
    app = open_page("run", id=second.id)
    assert "2nd of 2" in texts(app)
    app.button("queue-first").click().run()
    assert [run.id for run in queue.entries(folder)] == [second.id, first.id]
    press(app, "queue-edit")
    assert app.title[0].value in ("New run", "Edit run")
    app = open_page("run", id=second.id)
    press(app, "drop")
    assert not app.exception
    assert store.find(second.id) is None
    assert app.title[0].value == "Runs"
    app.switch_page("runs/page.py").run()  # as the browser has been led to
    app.button("undo-delete").click().run()
    assert store.find(second.id).status.state == "queued"


def test_a_stop_counts_down_to_the_kill(folder):
    run = make_run(folder, "stopping", done=8)
    runs.update_status(run.path, stop_requested=time.time() - 20)
    app = open_page("run", id=run.id)
    (text,) = [shown(bar.proto.text) for bar in app.get("progress")]
    assert re.fullmatch(r"Stopping: saving, (3[5-9]|40) s until it is killed\.", text)
    assert run_actions.stopping_text(Status(stop_requested=time.time() - 100)) == "being killed"
    assert run_actions.stopping_text(Status(stop_requested=time.time() + 1000)).startswith(
        "saving, 60 s"
    )  # clock set back


def test_what_it_takes_of_the_machine_is_shown(folder):
    run = make_run(folder, "running", done=8)
    runs.update_status(
        run.path, cpu_percent=187.0, memory=3 * 2**29, gpu_percent=91.0, gpu_memory=2**33, device="gpu:1"
    )
    app = open_page("run", id=run.id)
    shown = metrics(app)
    assert (shown["CPU"], shown["GPU"]) == ("187 %, 1.5 GiB", "91 %, 8.0 GiB")
    assert "GPU 1" in texts(app)
    runs.update_status(run.path, gpu_scope="gpu")  # in a container: figures of all that use it
    assert metrics(open_page("run", id=run.id))["Whole GPU"] == "91 %, 8.0 GiB"


def test_a_traceback_is_one_click_away(folder):
    run = make_run(folder, "failed")
    run.log_path.write_text("epoch 1\nTraceback (most recent call last):\n  File x\nValueError: no\n")
    app = open_page("run", id=run.id)
    assert "Traceback" in [expander.label for expander in app.expander]
    assert any(block.value.startswith("Traceback (most recent") for block in app.code)


def test_failed_says_why_on_top_with_the_log_open(folder):
    run = make_run(folder, "failed")
    app = open_page("run", id=run.id)
    assert not app.exception
    assert "not a number after step 80" in app.error[0].value
    assert any("epoch 1/20" in block.value for block in app.code)
    assert not [button for button in app.button if button.key.startswith("partner")]
    assert "**Diverged.**" in app.error[0].value and texts(app).count("is infinite or not a number") == 1


def test_finished_pretraining_offers_three_next_steps_at_one_click(folder):
    run = make_run(folder)
    runs.add_meta(run.path, num_train_images=3686)
    app = open_page("run", id=run.id)
    assert not app.exception
    assert app.button("partners-start").label == "Start all three"
    words = texts(app)
    for title in ("Frozen encoder", "Fine-tuned", "From scratch, same labels"):
        assert f"**{title}**" in words
    assert "1 % of the labels (about 37 images) and seed 42: 100 epochs in batches of up to 64" in words
    links = [link.proto for link in app.get("page_link") if link.proto.label == "With other settings"]
    assert len(links) == 3
    assert all(f"experiment={run.id}" in link.query_string for link in links)
    assert metrics(app)["Best kNN, validation"].endswith("%")


def test_one_click_queues_all_three_and_a_second_none(folder, no_processes):
    run = make_run(folder)
    app = open_page("run", id=run.id)
    app.button_group(f"next-fraction-{run.id}").set_value(0.1).run()
    other_tab = open_page("run", id=run.id)
    other_tab.button_group(f"next-fraction-{run.id}").set_value(0.1).run()
    app.button("partners-start").click().run()
    assert not app.exception and not app.error
    made = store.partners(run.id)
    assert {item.arm for item in made} == set(arms.ARMS)
    assert {item.label_fraction for item in made} == {0.1}
    assert all(item.is_active for item in made)
    configs = [runs.load_config(store.find(item.id)) for item in made]
    assert {(config.experiment_version, config.seed) for config in configs} == {(run.id, run.config["seed"])}
    assert len({(config.epochs, config.max_steps, config.batch_size) for config in configs}) == 1
    assert "partners-start" not in [button.key for button in app.button]  # they are there now, and shown
    assert len(app.get("progress")) == 3
    assert query(app, "id") == run.id
    other_tab.button("partners-start").click().run()  # drawn before they were there
    assert not other_tab.exception
    assert len(store.partners(run.id)) == 3


def test_what_is_there_is_not_started_again(folder, no_processes):
    run = make_run(folder)
    partner = partners.start_partner(run, "full", 0.01, folder)
    app = open_page("run", id=run.id)
    assert app.button("partners-start").label == "Start the other two"
    runs.update_status(partner.path, state="failed", error="Out of memory.", ended=time.time())
    app = open_page("run", id=run.id)
    assert app.button("partners-start").label == "Start all three"
    assert "Out of memory" in texts(app)
    app.button("partners-start").click().run()
    assert sorted(item.arm for item in store.partners(run.id)) == ["frozen", "full", "full", "scratch"]
    assert "partners-start" not in [button.key for button in app.button]


def test_a_partner_with_other_steps_or_data_is_another_comparison(folder):
    run = make_run(folder)
    options = cfg.to_dict(partners.config_of(run, "scratch", 0.01))
    for name, value in (("epochs", 7), ("seed", 3), ("match_experiment", True), ("label_fraction", 0.05)):
        assert not arms.same_comparison(options, options | {name: value})
    for name, value in (("learning_rate", 0.5), ("name", "mine"), ("num_threads", 1), ("image_size", 32)):
        assert arms.same_comparison(options, options | {name: value})


def test_results_of_partners_stand_side_by_side_and_lead_to_their_pages(folder):
    run, found = make_experiment(folder)
    for partner in found.values():  # with the steps that this page would start them with
        budget = {"epochs": 100, "max_steps": 2000}
        runs.write_config(partner.path, runs.load_config(partner).model_copy(update=budget))
    app = open_page("run", id=run.id)
    assert not app.exception
    shown = {item.label: (item.value, item.delta) for item in app.metric}
    assert shown["Frozen encoder"] == ("42.0 %", "+24.0 pp against from scratch")
    assert shown["From scratch, same labels"] == ("18.0 %", "")
    assert "partners-start" not in [button.key for button in app.button]
    assert "All results" in [item.proto.label for item in app.get("page_link")]
    partner = found["frozen-0.01"].id
    press(app, f"to-{partner}")
    assert query(app, "id") == partner
    assert app.button(f"to-{run.id}").label.startswith("From ")


def test_the_next_steps_open_on_the_labels_of_the_newest_partner(folder):
    run, _ = make_experiment(folder, (0.01, 0.1))
    app = open_page("run", id=run.id)
    assert app.button_group(f"next-fraction-{run.id}").value == 0.1
    alone = make_run(folder)
    app = open_page("run", id=alone.id)
    assert app.button_group(f"next-fraction-{alone.id}").value == 0.01  # without one, the fewest


def test_partners_with_other_settings_are_a_click_away(folder):
    """They do not stand beside those of the recipe, whose budget they do not share, but their results are linked."""
    run = make_run(folder)
    links = [item.proto.label for item in open_page("run", id=run.id).get("page_link")]
    assert "All results" not in links
    make_run(folder, kind="finetune", experiment_version=run.id, label_fraction=0.1, epochs=7)
    app = open_page("run", id=run.id)
    assert "All results" in [item.proto.label for item in app.get("page_link")]
    assert app.button("partners-start").label == "Start all three"


def test_finished_supervised_run_shows_its_test(folder):
    _, found = make_experiment(folder)
    app = open_page("run", id=found["full-0.01"].id, tab="test")
    assert not app.exception
    assert metrics(app)["Test accuracy"] == "48.0 %"
    assert "37 labels" in texts(app)
    matrix = component_with(app, '"shares":')
    assert matrix["rows"] == matrix["columns"] == CLASSES
    assert matrix["shares"][0] == [48.0, 52.0, 0.0]


@pytest.mark.parametrize("name", [runs.STATUS, runs.META, runs.METRICS, runs.CONFIG, runs.EVALUATION, runs.LOG])
def test_a_damaged_file_costs_only_itself(folder, name):
    run = make_run(folder, kind="scratch", torn=True)
    (run.path / name).write_bytes(b"\x00\xff\n{,")
    for tab in sections.TABS:
        assert not open_page("run", id=run.id, tab=tab).exception
    (run.path / name).unlink()
    for tab in sections.TABS:
        assert not open_page("run", id=run.id, tab=tab).exception


@pytest.mark.parametrize(
    ("state", "kind", "asked", "shown", "note"),
    [
        ("finished", "pretrain", "", "Curves", ""),
        ("finished", "pretrain", "log", "Log", ""),
        ("finished", "pretrain", "nope", "Curves", "is not curves, health, options, log or reproduce"),
        ("finished", "scratch", "health", "Curves", "has nothing to show for this run"),
        ("failed", "pretrain", "", "Log", ""),
        ("queued", "pretrain", "curves", "Options", "has nothing to show for this run"),
    ],
)
def test_the_address_opens_a_tab(folder, state, kind, asked, shown, note):
    run = make_run(folder, state, kind=kind)
    app = open_page("run", id=run.id, tab=asked)
    assert not app.exception
    assert [tab.label for tab in app.tabs if tab.children] == [shown]
    assert note in texts(app)
    assert query(app, "tab") == ("" if note else asked)


def test_where_a_run_comes_from_is_told_in_words(folder):
    run = make_run(folder)
    odd = {"deep": [1, {"a": None}]}
    runs.add_meta(
        run.path, num_train_images=18000, in_memory=True, versions={"torch": "2.14.1"}, odd=odd, note="x" * 9999
    )
    app = open_page("run", id=run.id, tab="reproduce")
    assert not app.exception
    rows = {row["name"]["text"]: row["value"]["text"] for row in component_with(app, '"What"')["rows"]}
    assert rows["Training images"] == "18,000" and rows["Images kept in memory"] == "yes"
    assert rows["Versions"] == "torch 2.14.1" and rows["Odd"] == "deep 1, a None"
    assert len(rows["Note"]) == details_panel.LONGEST_FACT
    assert str(run.path) in [block.value for block in app.code]


def test_text_of_users_is_shown_as_it_is(folder):
    text = "**bold** <img src=x> $x$ :red[a] [link](http://x)"
    run = make_run(folder, name=text, tags="<b>,:red[t]", notes=text)
    app = open_page("run", id=run.id)
    assert not app.exception
    assert "*" not in app.title[0].value
    assert shown(app.title[0].value) == text


def test_name_notes_and_tags_can_be_changed(folder):
    run = make_run(folder)
    app = open_page("run", id=run.id)
    app.button("edit").click().run()
    app.text_input(f"edit-name-{run.id}").set_value("new name")
    app.text_input(f"edit-tags-{run.id}").set_value("a, b, a")
    app.button("edit-save").click().run()
    again = store.find(run.id)
    assert (again.name, again.tags) == ("new name", ["a", "b"])


def test_chance_is_that_of_the_runs_batch(folder):
    config = {"batch_size": 256, "temperature": 0.5}
    assert metric_info.chance_level("loss", config) == pytest.approx(math.log(511))
    assert metric_info.chance_level("top1", config) == pytest.approx(100 / 511)
    assert metric_info.chance_level("top5", {"batch_size": 2, "temperature": 1}) == 100.0
    assert metric_info.chance_level("mean_rank", config) == 256
    assert metric_info.chance_level("loss", {"batch_size": 64}) is None  # a supervised run
    assert "ln(2N - 1) = 6.236" in progress_panel.figure_help("loss", math.log(511))
    assert "ln(N) = 4.852" in progress_panel.figure_help("loss", math.log(128), with_captions=True)


def test_a_finished_pre_training_shows_its_test_figures_and_how_they_were_measured(folder):
    run = make_run(folder)
    figures = {
        "test/knn_top1": 0.612,
        "test/linear_top1": 0.683,
        "num_labels": 3686,
        "num_test_images": 300,
        "classes": CLASSES,
        "per_class": [0.7, 0.6, 0.75],
        "confusion": [[70, 30, 0], [0, 60, 40], [25, 0, 75]],
        "protocols": {"linear": {"text": "The linear sentence."}},
    }
    runs.write_evaluation(run.path, figures)
    app = open_page("run", id=run.id, tab="test")
    assert not app.exception
    found = metrics(app)
    assert (found["Linear probe, test"], found["kNN, test"]) == ("68.3 %", "61.2 %")
    assert "Best kNN, validation" not in found
    helps = {item.label: item.help for item in app.metric}
    assert helps["Linear probe, test"] == escape.markdown("The linear sentence.")
    assert helps["kNN, test"] == run_labels.PROBE_HELP["knn"]  # nothing recorded
    assert "Linear probe: test accuracy by class" in texts(app)
    assert "3,686 labels · 300 test images" in texts(app)


def test_a_pre_training_that_was_not_tested_shows_its_best_knn(folder):
    app = open_page("run", id=make_run(folder).id)
    assert "Best kNN, validation" in metrics(app)
    assert "kNN, test" not in metrics(app)


def test_both_halves_of_a_race_lead_to_it_and_other_runs_to_none(folder):
    found = make_race(folder)
    alone, _ = make_experiment(folder)

    def links(run):
        app = open_page("run", id=run.id)
        assert not app.exception
        return {link.proto.query_string for link in app.get("page_link") if "side by side" in link.proto.label}

    assert links(found.simclr) == links(found.scratch) == {f"id={found.scratch.id}"}
    assert links(alone) == set()


def test_a_run_that_has_come_to_its_end_is_trained_longer_from_its_page(folder, no_processes):
    """Its figures go with its weights, and what was trained on those is no partner of the new ones."""
    run = make_run(folder, batch_size=256)
    assert not any(str(item.key).startswith("longer-start") for item in open_page("run", id=run.id).button)
    (run.path / runs.CHECKPOINTS / runs.LAST_CHECKPOINT).write_bytes(b"checkpoint")
    runs.add_meta(run.path, num_train_images=4096)
    partner = make_run(folder, kind="finetune", experiment_version=run.id, freeze_encoder=True)
    runs.add_meta(partner.path, weights_sha256=file_hash(run.model_path))
    assert [item.id for item in store.get().summaries(max_age=0) if item.id != run.id] == [partner.id]
    assert [item.id for item in store.partners(run.id)] == [partner.id]
    app = open_page("run", id=run.id)
    app.number_input(f"longer-{run.id}-20").set_value(50).run()
    app = press(app, "longer-start-20")
    assert not app.exception and not app.error
    (entry,) = extensions.extensions_of(runs.Run(run.path))
    assert (entry.step, entry.epoch, entry.epochs) == (320, 20, 50)
    assert runs.read_status(run.path).is_active and not run.model_path.exists()
    assert "Trained longer than planned: 20 epochs, then to 50." in texts(open_page("run", id=run.id))
    store.get().summaries(max_age=0)
    assert store.partners(run.id) == []
    assert "trained longer than planned, 20 epochs, then to 50" in (run.path / runs.CONFIG).read_text()
