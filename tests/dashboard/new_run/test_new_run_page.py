"""The New run page: recipe, kinds, command, validation, device, estimate, start, clone, edit, and its address."""

import json
import math
import os
import socket
import time
from dataclasses import asdict

import numpy as np
import pytest
import yaml
from conftest import make_folder
from dashboard_fixtures import address, make_experiment, make_run, open_page, press, query, shown, texts
from PIL import Image
from quiet_forms import folder  # noqa: F401  (a fixture)

from dashboard.new_run import compute_target, folder_reading, preflight
from dashboard.shared import queue as shared_queue
from dashboard.shared import store
from simclr import runs
from simclr.experiments import partners
from simclr.hardware import devices, processes
from simclr.launch import queue, slurm_client, slurm_options, slurm_submit, spawn
from simclr.lifecycle import estimate
from simclr.lifecycle.estimate import Estimate

GIB = 2**30


@pytest.fixture
def gpus(folder, monkeypatch):
    """A machine with three GPUs."""
    found = [devices.Device(f"gpu:{i}", "NVIDIA H100", (60 + i) * GIB, 80 * GIB, f"GPU-{i}") for i in range(3)]
    monkeypatch.setattr(devices, "_gpus", lambda: found)
    return folder


def hold(folder, device, name):
    """A run that is going on there."""
    run = make_run(folder, "running", done=2, name=name)
    runs.update_status(run.path, device=device)
    return run


def wait(folder, device, **options):
    """A run that waits there."""
    run = make_run(folder, "queued", done=0, **options)
    runs.update_status(run.path, device=device, started=None, pid=None, process_start=None)
    return run


def group(app, name):
    return next(item for item in app.button_group if item.key.partition("~")[0] == f"form-{name}")


def option(app, kind, name):
    """The widget of an option, by its name."""
    for widget in getattr(app, kind):
        if widget.key.partition("~")[0].endswith(f"-{name}"):
            return widget
    raise AssertionError(f"no {kind} for {name}")


def test_quick_is_chosen_and_its_command_shown(folder):
    app = open_page("new_run")
    assert not app.exception
    assert app.code[0].value.startswith("python -m simclr pretrain --config quick")
    assert not app.button("start").disabled


def test_the_command_follows_a_changed_option_and_the_address_too(folder):
    app = open_page("new_run")
    option(app, "number_input", "epochs").set_value(3).run()
    assert "--epochs 3" in app.code[0].value
    assert query(app, "epochs") == "3"


def test_a_wrong_value_is_named_beside_its_field_and_cannot_be_started(folder):
    app = open_page("new_run")
    option(app, "number_input", "temperature").set_value(0.0).run()
    assert app.button("start").disabled
    assert not app.code
    assert "temperature is" in texts(app)
    assert any("temperature is 0" in text.value for text in app.markdown)


def test_start_makes_one_run_and_opens_it(folder):
    app = open_page("new_run")
    option(app, "number_input", "epochs").set_value(3).run()
    press(app, "start")
    made = runs.list_runs(folder)
    assert len(made) == 1
    assert made[0].config["epochs"] == 3
    assert made[0].meta["recipe"] == "quick"
    assert query(app, "id") == made[0].id
    app.switch_page("new_run/page.py").run()
    assert option(app, "number_input", "epochs").value == 3  # kept while other pages were shown
    press(app, "start")  # the second half of a double click
    assert len(runs.list_runs(folder)) == 1


def test_another_recipe_fills_the_form_anew(folder):
    app = open_page("new_run")
    option(app, "number_input", "epochs").set_value(3).run()
    next(box for box in app.selectbox if box.label == "Recipe").set_value("notebook").run()
    assert not app.exception
    assert option(app, "number_input", "epochs").value == 50
    assert "--config notebook" in app.code[0].value


def test_finetune_needs_a_pretraining_that_has_ended(folder):
    make_run(folder, "running", done=2)
    app = open_page("new_run", kind="finetune")
    assert not app.exception
    assert app.button("start").disabled
    assert "Choose the pre-training" in texts(app)
    picker = next(box for box in app.selectbox if box.label == "Pre-training")
    assert len(picker.options) == 1


def test_an_address_reproduces_a_finetuning(folder):
    pretraining, _ = make_experiment(folder)
    app = open_page("new_run", kind="finetune", experiment=pretraining.id, label_fraction="0.05", freeze_encoder="true")
    assert not app.exception
    assert f"--experiment_version {pretraining.id}" in app.code[0].value
    assert "--label_fraction 0.05" in app.code[0].value
    press(app, "start")
    newest = max(store.partners(pretraining.id), key=lambda item: item.created)
    assert (newest.arm, newest.label_fraction) == ("frozen", 0.05)


def test_from_scratch_needs_no_pretraining(folder):
    app = open_page("new_run", kind="scratch")
    assert not app.exception
    assert not app.button("start").disabled
    assert "--config quick-scratch" in app.code[0].value


def test_the_kind_can_be_changed_in_the_page(folder):
    app = open_page("new_run")
    next(group for group in app.button_group if group.key.startswith("form-kind")).set_value("scratch").run()
    assert not app.exception
    assert "finetune --config quick-scratch" in app.code[0].value
    assert query(app, "kind") == "scratch"


def test_a_folder_that_cannot_be_written_is_a_sentence(folder, monkeypatch):
    file = folder / "file"
    file.write_text("")
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(file / "runs"))
    app = open_page("new_run")
    press(app, "start")
    assert not app.exception
    assert "cannot be written" in texts(app)


def test_a_chosen_experiment_brings_its_data_and_split(folder):
    """From scratch is compared with a pre-training: on other images the comparison would say nothing."""
    experiment = make_run(folder, dataset="digits", limit_images=300, seed=7, val_fraction=0.2)
    app = open_page("new_run", kind="scratch")
    next(box for box in app.selectbox if box.label == "Compared with").set_value(experiment.id).run()
    assert not app.exception
    for flag in ("--dataset digits", "--limit_images 300", "--seed 7", "--val_fraction 0.2", experiment.id):
        assert flag in app.code[0].value


# --- where ----------------------------------------------------------------------------------------------------------


def test_a_free_device_starts_and_a_busy_one_queues(folder):
    app = open_page("new_run")
    assert app.button("start").label == "Start"
    assert "CPU, " in texts(app) and "GiB free" in texts(app)
    holder = hold(folder, "cpu", "Long night")
    app.run()
    assert app.button("start").label == "Add to queue"
    said = texts(app)
    assert "CPU is held by Long night (34 s left). It starts by itself when its turn comes." in said
    assert app.button(f"link-cpu-{holder.id}").label == "Long night"
    press(app, "start")
    waiting = queue.entries(folder)
    assert [run.id for run in waiting] == [query(app, "id")]
    app.switch_page("new_run/page.py").run()
    assert "1 run waits before this one" in texts(app)


def test_more_slots_let_it_start(folder):
    hold(folder, "cpu", "Long night")
    app = open_page("new_run")
    next(item for item in app.number_input if item.key.startswith("slots-cpu")).set_value(2).run()
    assert queue.slots(folder) == {"cpu": 2}
    assert app.button("start").label == "Start"


def test_gpus_are_named_and_the_number_of_devices_follows(gpus):
    hold(gpus, "gpu:1", "Sweep")
    app = open_page("new_run")
    assert app.button("start").label == "Start"  # two others are free
    assert "GPU 1, NVIDIA H100 · 61.0 GiB free, held by" in texts(app)
    group(app, "gpus").set_value(["gpu:2", "gpu:0"]).run()
    assert query(app, "place") == "gpu:0,2"
    assert "--devices 2" in app.code[0].value
    assert not [item for item in app.number_input if item.key.endswith("-devices")]
    press(app, "start")
    run = store.find(query(app, "id"))
    assert (run.status.state, run.status.device, run.config["devices"]) == ("starting", "gpu:0,2", 2)


def test_any_gpus_are_enough_where_their_number_is_free(gpus):
    hold(gpus, "gpu:0", "Sweep")
    app = open_page("new_run", batch_size="240")  # three have to divide it
    wait(gpus, "gpu:0")  # what waits for one takes nothing from the rest
    for number, label in ((2, "Start"), (3, "Add to queue"), (1, "Start")):
        next(item for item in app.number_input if item.key.startswith("form-num-gpus")).set_value(number).run()
        assert app.button("start").label == label
        assert ("The GPUs are held by Sweep" in texts(app)) == (number == 3)


def test_a_job_that_uses_a_gpu_is_waited_for_too(gpus):
    job = gpus / runs.JOBS / "20261122-101010-embed-test"
    job.mkdir(parents=True)
    here = {"pid": os.getpid(), "process_start": processes.process_start(os.getpid()), "host": socket.gethostname()}
    runs.update_status(job, state="running", device="gpu:1", started=time.time(), **here)
    app = open_page("new_run", place="gpu:1")
    assert app.button("start").label == "Add to queue"
    assert "GPU 1 is held by a job of the dashboard." in texts(app)
    run = wait(gpus, "gpu:1")
    assert "A job of the dashboard uses it until it ends." in shared_queue.sentence(run)
    runs.update_status(job, state="finished", pid=None)
    assert "A job" not in shared_queue.sentence(run)


def test_slices_are_chosen_one_at_a_time_and_free_memory_may_be_unknown(folder, monkeypatch):
    found = [devices.Device(f"gpu:{i}", "NVIDIA H100 MIG 1g.10gb", None, 10 * GIB, f"MIG-{i}") for i in range(2)]
    monkeypatch.setattr(devices, "_gpus", lambda: found)
    app = open_page("new_run")
    assert not app.exception and not app.button("start").disabled
    assert "free memory unknown" in texts(app)
    assert next(item for item in app.number_input if item.key.startswith("form-num-gpus")).max == 1


def test_the_cpu_can_be_chosen_beside_gpus(gpus):
    app = open_page("new_run", place="gpu:0,1", devices="2")
    assert "--devices 2" in app.code[0].value
    group(app, "where").set_value("cpu").run()
    assert not app.exception
    assert "--accelerator cpu" in app.code[0].value and "--devices" not in app.code[0].value
    press(app, "start")
    run = store.find(query(app, "id"))
    assert (run.status.device, run.config["accelerator"]) == ("cpu", "cpu")


def test_a_device_that_is_not_there_any_more_is_left_out_of_the_address(folder):
    app = open_page("new_run", place="gpu:7")
    assert not app.exception
    assert not app.button("start").disabled
    assert query(app, "place") == ""


def test_two_tabs_start_one_run(folder):
    first, second = open_page("new_run"), open_page("new_run")
    press(first, "start")
    press(second, "start")
    assert len(runs.list_runs(folder)) == 1
    assert query(first, "id") == query(second, "id") != ""


def test_a_partner_goes_through_the_queue_and_only_once(folder):
    pretraining = make_run(folder)
    hold(folder, "cpu", "Long night")
    first, second = (partners.start_partner(pretraining, "scratch", 0.01, store.runs_dir()) for _ in range(2))
    assert first.id == second.id
    assert first.status.state == "queued"
    assert first.meta["experiment"] == pretraining.id


# --- Slurm ----------------------------------------------------------------------------------------------------------


def test_slurm_is_offered_only_where_it_answers(folder, monkeypatch):
    assert not [item for item in open_page("new_run").button_group if item.key.startswith("form-where")]
    monkeypatch.setattr(
        slurm_client, "available_partitions", lambda: [slurm_client.Partition("short", True, "1:00:00", 2, "gpu:2")]
    )
    compute_target.cluster.clear()
    submitted = []

    def submit(config, runs_dir, options, **meta):
        submitted.append((config, options, meta))
        return make_run(folder, "queued", done=0)

    monkeypatch.setattr(slurm_submit, "submit", submit)
    app = open_page("new_run")
    group(app, "where").set_value("slurm").run()
    assert query(app, "place") == "slurm"
    assert "1:00:00" in texts(app)
    option(app, "number_input", "time_minutes").set_value(0).run()
    assert app.button("start").disabled
    assert "slurm.time_minutes is 0" in texts(app)
    option(app, "number_input", "time_minutes").set_value(30).run()
    option(app, "selectbox", "partition").set_value("short").run()
    assert "--backend slurm --slurm.partition short --slurm.time_minutes 30" in app.code[0].value
    press(app, "start")
    assert not app.exception
    (config, options, meta), kept = submitted[0], slurm_options.load_options()[0]
    assert (options.partition, options.time_minutes, meta) == ("short", 30, {"recipe": "quick"})
    assert kept == options
    assert config.epochs == 20
    assert option(open_page("new_run", place="slurm"), "number_input", "time_minutes").value == 30


# --- clone and edit -------------------------------------------------------------------------------------------------


def test_a_clone_has_all_options_and_a_name_of_its_own(folder):
    original = make_run(
        folder, dataset="digits", temperature=0.11, seed=9, name="Night one", tags=("a", "b"), version=4
    )
    original.edit(notes="as found")
    app = open_page("new_run", clone=original.id)
    assert not app.exception
    press(app, "start")
    made = store.find(query(app, "id"))
    assert made.id != original.id
    assert made.meta["clone_of"] == original.id
    page = open_page("run", id=made.id)
    assert [button.label for button in page.button if button.key == f"to-{original.id}"] == ["Clone of Night one"]
    assert made.name == "Night one copy" and made.notes == "as found" and made.tags == ["a", "b"]
    assert made.meta["recipe"] == "quick"
    same = {name for name in original.config if name not in ("name", "version", "notes")}
    assert {name: made.config[name] for name in same} == {name: original.config[name] for name in same}
    assert made.config["version"] == 5


def test_of_which_run_a_clone_is_outlives_a_reload_and_ends_with_another_recipe(folder):
    original = make_run(folder, temperature=0.11)
    app = open_page("new_run", clone=original.id)
    option(app, "number_input", "temperature").set_value(0.3).run()
    again = open_page("new_run", **{name: query(app, name) for name in address(app)})
    press(again, "start")
    made = store.find(query(again, "id"))
    assert (made.meta["clone_of"], made.config["temperature"]) == (original.id, 0.3)
    app = open_page("new_run", clone=original.id)
    option(app, "selectbox", "recipe").select("cifar10").run()
    assert "clone_of" not in address(app)


def test_a_clone_of_a_run_with_a_module_of_ones_own_says_what_it_takes(folder):
    original = make_run(folder, backbone="own:mine.Net")
    app = open_page("new_run", clone=original.id)
    assert not app.exception
    assert not app.code  # no command could start it
    assert "backbone is mine.Net, a module whose weights a run keeps" in texts(app)
    assert app.button(key="start").disabled


def test_a_clone_of_a_finetuning_keeps_its_experiment(folder):
    pretraining, partners = make_experiment(folder)
    app = open_page("new_run", clone=partners["frozen-0.01"].id)
    assert not app.exception
    press(app, "start")
    made = store.find(query(app, "id"))
    assert (made.kind, made.experiment, made.config["freeze_encoder"]) == ("finetune", pretraining.id, True)


def test_a_clone_without_a_recipe_stays_without_one_when_the_address_is_opened_again(folder):
    original = make_run(folder, recipe=None, epochs=3)
    app = open_page("new_run", clone=original.id)
    left = {name: query(app, name) for name in address(app)}
    assert left["recipe"] == "none" and "clone" not in left
    again = open_page("new_run", **left)
    assert again.code[0].value == app.code[0].value


def test_a_waiting_run_is_changed_in_place(folder):
    hold(folder, "cpu", "Long night")
    waiting = wait(folder, "cpu", name="Second", epochs=30)
    app = open_page("new_run", edit=waiting.id)
    assert app.title[0].value == "Edit run"
    assert query(app, "edit") == waiting.id
    assert "wait before this one" not in texts(app) and "waits before this one" not in texts(app)
    option(app, "number_input", "epochs").set_value(12).run()
    option(app, "text_input", "name").set_value("Second, shorter").run()
    assert app.button("start").label == "Save changes"
    press(app, "start")
    assert not app.exception
    assert query(app, "id") == waiting.id
    changed = store.find(waiting.id)
    assert (changed.config["epochs"], changed.name, changed.status.state) == (12, "Second, shorter", "queued")
    assert len(runs.list_runs(folder)) == 2


def test_a_run_that_began_meanwhile_is_not_changed_and_nothing_typed_is_lost(folder):
    hold(folder, "cpu", "Long night")
    waiting = wait(folder, "cpu", name="Second", epochs=30)
    app = open_page("new_run", edit=waiting.id)
    option(app, "number_input", "epochs").set_value(12).run()
    spawn.begin(waiting, "cpu")
    press(app, "start")
    assert not app.exception
    assert "Second does not wait in the queue any more" in texts(app)
    assert store.find(waiting.id).config["epochs"] == 30
    assert option(app, "number_input", "epochs").value == 12
    assert app.title[0].value == "New run"
    assert app.button("start").label == "Add to queue"
    press(app, "start")
    assert store.find(query(app, "id")).config["epochs"] == 12


@pytest.mark.parametrize("name", ["edit", "clone"])
def test_an_address_of_a_run_that_is_gone_is_a_form_all_the_same(folder, name):
    app = open_page("new_run", **{name: "20990101-000000-nothing"})
    assert not app.exception
    assert not app.button("start").disabled
    said = f"{name} in the address is 20990101-000000-nothing, which is no run here; shown instead: a recipe's options"
    assert said in texts(app)
    assert app.title[0].value == "New run"


def test_who_comes_back_finds_the_form_as_it_was(folder):
    app = open_page("new_run", kind="pretrain", recipe="quick", epochs="4")
    option(app, "number_input", "epochs").set_value(7).run()
    left = {name: query(app, name) for name in address(app)}
    option(app, "text_input", "name").set_value("typed at the last moment")  # and left by the click on Start
    press(app, "start")
    assert store.find(query(app, "id")).name == "typed at the last moment"
    app.switch_page("new_run/page.py")  # as the browser's Back does, to the address that was left
    app.query_params.clear()
    for name, value in left.items():
        app.query_params[name] = value
    app.run()
    assert option(app, "number_input", "epochs").value == 7
    assert option(app, "text_input", "name").value == "typed at the last moment"


# --- memory and time ------------------------------------------------------------------------------------------------


def finish_check(folder, **changes):
    """What the job writes when it is done."""
    (job,) = (path for path in (folder / runs.JOBS).glob("*-estimate-*") if not (path / estimate.ESTIMATE).exists())
    values = {
        "device": "CPU",
        "memory": 3 * GIB,
        "free": 20 * GIB,
        "fits": True,
        "batch_size": None,
        "micro_batch_size": None,
        "images_per_second": 1234.0,
        "seconds": 125.0,
        "seconds_low": 110.0,
        "seconds_high": 150.0,
        "parts": {"training": 125.0},
        "notes": ["A note."],
        "measured": 0.0,
    }
    (job / estimate.ESTIMATE).write_text(json.dumps(asdict(Estimate(**values | changes))))
    runs.update_status(job, state="finished")


def test_the_check_shows_its_progress_then_its_answer_and_when_it_is_out_of_date(folder):
    app = open_page("new_run")
    app.button("check").click().run()
    assert app.button("check-cancel")
    assert not app.button("start").disabled
    finish_check(folder)
    app.run()
    metrics = {item.label: item.value for item in app.metric}
    assert metrics == {"Time": "2 min 05 s", "Memory": "3.0 GiB"}
    said = texts(app)
    assert "1 min 50 s to 2 min 30 s" in said and "1,234 images/s" in said and "A note." in said
    other = open_page("new_run")  # another tab with the same options need not ask again
    assert [item.value for item in other.metric] == ["2 min 05 s", "3.0 GiB"]
    option(app, "number_input", "epochs").set_value(40).run()
    assert not app.metric
    assert "The options are different now" in texts(app)
    assert app.button("check").label == "Check memory and time"
    option(app, "number_input", "epochs").set_value(20).run()
    assert app.metric


def checks_of(folder):
    return sorted((folder / runs.JOBS).glob("*-estimate-*"))


def test_it_is_measured_by_itself_once_the_options_stand_still(folder, monkeypatch):
    app = open_page("new_run")
    app.run()
    assert not checks_of(folder) and app.button("check")  # not yet
    monkeypatch.setattr(preflight, "SETTLED_SECONDS", 0.0)
    app.run()
    (first,) = checks_of(folder)
    assert app.button("check-cancel")
    option(app, "number_input", "epochs").set_value(30).run()  # left before it was over
    assert len(checks_of(folder)) == 2
    assert runs.read_status(first).stop_requested
    runs.update_status(first, state="stopped")
    option(app, "number_input", "epochs").set_value(20).run()  # and back
    assert len(checks_of(folder)) == 3
    app.button("check-cancel").click().run()
    for job in checks_of(folder):
        runs.update_status(job, state="stopped")
    app.run()
    assert len(checks_of(folder)) == 3 and app.button("check")  # who ended it does not want it


def test_nothing_is_measured_by_itself_beside_a_run_or_for_what_is_wrong(folder, monkeypatch):
    monkeypatch.setattr(preflight, "SETTLED_SECONDS", 0.0)
    open_page("new_run", temperature="0")
    run = make_run(folder, "running", done=2)
    open_page("new_run")
    assert not checks_of(folder)
    runs.update_status(run.path, state="finished")
    monkeypatch.setattr(spawn, "_supervise", refuse)
    app = open_page("new_run")
    assert not app.exception
    assert texts(app).count("No process can be started.") <= 1
    app.run()
    assert not app.exception and app.button("check")


def test_nothing_is_downloaded_and_no_disk_searched_unasked(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "SETTLED_SECONDS", 0.0)
    monkeypatch.setenv("SIMCLR_DATA_DIR", str(tmp_path / "data"))
    pretraining, _ = make_experiment(folder)
    config = yaml.safe_load((pretraining.path / runs.CONFIG).read_text())
    (pretraining.path / runs.CONFIG).write_text(yaml.safe_dump(config | {"dataset": "cifar10"}))
    finetuning = {"kind": "finetune", "experiment": pretraining.id}
    for asked in ({"dataset": "cifar10"}, {"recipe": "photos"}, finetuning):
        assert not open_page("new_run", **asked).button("start").disabled
    large = str(make_folder(tmp_path / "large", {"a": 40, "b": 40}))
    with monkeypatch.context() as slow:
        slow.setattr(folder_reading, "SECONDS", -1)
        assert "too many files" in said(open_page("new_run", dataset=large, batch_size="8").info)
    assert not checks_of(folder)
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)  # now it is here
    for number, asked in enumerate(({"dataset": "cifar10"}, finetuning), start=1):
        open_page("new_run", **asked)
        assert len(checks_of(folder)) == number
        for job in checks_of(folder):
            runs.update_status(job, state="stopped")


def refuse(*_, **__):
    raise OSError("No process can be started.")


def test_a_start_ends_the_measurement(folder, monkeypatch):
    monkeypatch.setattr(preflight, "SETTLED_SECONDS", 0.0)
    app = open_page("new_run")
    (job,) = checks_of(folder)
    monkeypatch.setattr(preflight, "SETTLED_SECONDS", math.inf)
    press(app, "start")
    assert runs.read_status(job).stop_requested


def test_what_would_fit_is_one_click_away(folder):
    app = open_page("new_run", batch_size="2048")
    app.button("check").click().run()
    finish_check(folder, fits=False, memory=3000 * GIB, batch_size=640, micro_batch_size=512)
    app.run()
    assert "It does not fit: it would take 3,000.0 GiB, and 20.0 GiB are free." in texts(app)
    assert app.button("use-batch_size").label == "Use batch size 640"
    app.button("use-micro_batch_size").click().run()
    assert "--batch_size 2048 --micro_batch_size 512" in app.code[0].value
    app = open_page("new_run", batch_size="2048")
    app.button("use-batch_size").click().run()
    assert option(app, "number_input", "batch_size").value == 640
    assert "--batch_size 640" in app.code[0].value


def test_a_check_that_failed_says_why_and_can_be_tried_again(folder):
    app = open_page("new_run")
    app.button("check").click().run()
    (job,) = (folder / runs.JOBS).glob("*-estimate-*")
    runs.update_status(job, state="failed", error="batch_size is 9999; allowed: at most the 8 training images.")
    app.run()
    assert "allowed: at most the 8" in texts(app)
    assert not app.button("check").disabled


# --- what keeps a run from being started ------------------------------------------------------------------------------


def would_do(app):
    """The clicks that put in what would do, by the field they stand below."""
    return {
        item.key.removeprefix("would-do-"): shown(item.label) for item in app.button if item.key.startswith("would-do-")
    }


@pytest.mark.parametrize(
    ("asked", "option_name", "value", "label"),
    [
        ({"batch_size": "100000"}, "batch_size", 3686, "Use 3686"),  # as many as train; the most allowed is too many
        ({"batch_size": "4000"}, "batch_size", 3686, "Use 3686"),
        ({"batch_size": "1"}, "batch_size", 2, "Use 2"),
        ({"temperature": "0"}, "temperature", 0.005, "Use 0.005"),
        ({"limit_images": "5"}, "limit_images", None, "Leave it unset"),  # with ten the batch would be too large
        ({"seed": "-3"}, "seed", 0, "Use 0"),
    ],
)
def test_a_value_that_would_do_is_one_click_away(folder, asked, option_name, value, label):
    app = open_page("new_run", **asked)
    assert not app.exception
    assert app.button("start").disabled and not app.code
    assert would_do(app)[option_name] == label
    app.button(f"would-do-{option_name}").click().run()
    assert option(app, "number_input", option_name).value == value
    assert not app.button("start").disabled and not app.error


def test_memory_that_is_too_small_blocks_the_start_and_marks_the_batch(folder):
    app = open_page("new_run", batch_size="2048")
    app.button("check").click().run()
    assert not app.button("start").disabled  # nothing is known against it yet
    finish_check(folder, fits=False, memory=3000 * GIB, batch_size=640)
    app.run()
    assert app.button("start").disabled and app.button("check").label == "Check again"
    assert ":small[:red[It does not fit into memory; 640 would fit.]]" in shown(texts(app))
    assert app.code  # a shell may have more memory
    app.button("would-do-batch_size").click().run()
    assert option(app, "number_input", "batch_size").value == 640
    assert not app.button("start").disabled


def test_memory_blocks_nothing_that_waits_or_fits_by_now(folder, monkeypatch):
    app = open_page("new_run", batch_size="2048")
    app.button("check").click().run()
    finish_check(folder, fits=False, memory=3000 * GIB, batch_size=640)
    hold(folder, "cpu", "Long night")
    app.run()
    assert app.button("start").label == "Add to queue" and not app.button("start").disabled
    (job,) = (folder / runs.JOBS).glob("*-estimate-*")
    found = json.loads((job / estimate.ESTIMATE).read_text())
    (job / estimate.ESTIMATE).write_text(json.dumps(found | {"memory": 2**20}))  # others have ended since
    assert "It does not fit" not in texts(open_page("new_run", batch_size="2048"))


def test_what_the_check_was_told_when_it_read_the_images_blocks_too(folder):
    app = open_page("new_run", backbone="vgg11")
    app.button("check").click().run()
    (job,) = (folder / runs.JOBS).glob("*-estimate-*")
    sentence = (
        "backbone is vgg11, which cannot take images of 32 x 32 pixels: too small; allowed: image_size 64 or another "
        "backbone."
    )
    runs.update_status(job, state="failed", reason="bad input", error=sentence)
    app.run()
    assert app.button("start").disabled
    app.button("would-do-backbone").click().run()
    assert query(app, "image_size") == "64" and not app.button("start").disabled
    runs.update_status(job, reason="error", error="The measuring process ended without an answer.")
    assert not open_page("new_run", backbone="vgg11").button("start").disabled  # that says nothing of the run


def test_a_folder_with_a_slip_in_its_name_is_found(folder, tmp_path):
    images = make_folder(tmp_path / "brains", {"a": 30, "b": 30})
    app = open_page("new_run", dataset=str(tmp_path / "brians"), batch_size="8")
    assert app.button("start").disabled
    app.button("would-do-dataset").click().run()
    assert option(app, "selectbox", "dataset").value == str(images)
    assert not app.button("start").disabled
    assert not would_do(open_page("new_run", dataset="/nowhere/at/all"))


def test_the_click_on_start_itself_is_held_to_what_was_typed_last(folder):
    app = open_page("new_run")
    option(app, "number_input", "batch_size").set_value(60_000)
    press(app, "start")
    assert runs.list_runs(folder) == []
    assert "batch_size is 60000; allowed: at most the 3,686 training images." in texts(app)


def test_warnings_block_nothing(folder):
    app = open_page("new_run", limit_images="1000000", dataset="digits")  # more than there are: all are used
    assert not app.button("start").disabled


# --- the pre-training to start from -----------------------------------------------------------------------------------


def picked(app):
    return next(box for box in app.selectbox if box.label in ("Pre-training", "Compared with")).value


def test_fine_tuning_opens_on_the_newest_encoder(folder):
    older = make_run(folder, dataset="digits", limit_images=300)
    make_run(folder, "stopped", done=3)
    make_run(folder, "running", done=2)
    app = open_page("new_run", kind="finetune")
    assert picked(app) == older.id
    for flag in ("--dataset digits", "--limit_images 300", older.id):  # its images, as if it had been chosen
        assert flag in app.code[0].value
    assert not app.button("start").disabled
    app = open_page("new_run")
    group(app, "kind").set_value("finetune").run()
    assert picked(app) == older.id
    group(app, "kind").set_value("scratch").run()
    assert picked(app) == older.id  # carried along
    assert picked(open_page("new_run", kind="scratch")) is None  # compared with nothing unless that is asked for


def test_an_example_whose_images_are_not_here_is_not_what_it_opens_on(folder):
    (folder / runs.EXAMPLES).mkdir()
    shipped, elsewhere = make_run(folder / runs.EXAMPLES), make_run(folder / runs.EXAMPLES, dataset="photographs")
    for run in (shipped, elsewhere):
        run.model_path.write_bytes(b"weights")
    os.utime(elsewhere.path)
    app = open_page("new_run", kind="finetune")
    assert picked(app) == shipped.id and not app.button("start").disabled
    assert picked(open_page("new_run", kind="finetune", experiment=elsewhere.id)) == elsewhere.id


def test_a_stopped_pre_training_with_an_encoder_will_do(folder):
    stopped = make_run(folder, "stopped", done=3)
    stopped.model_path.write_bytes(b"weights")
    assert picked(open_page("new_run", kind="finetune")) == stopped.id


def test_what_the_address_says_is_kept_beside_the_chosen_encoder(folder):
    on_digits, _ = make_run(folder, dataset="digits"), make_run(folder)
    app = open_page("new_run", kind="finetune", dataset="digits", seed="9")
    assert picked(app) == on_digits.id
    assert "--seed 9" in app.code[0].value


@pytest.mark.parametrize("kind", ["finetune", "scratch"])
def test_a_pre_training_that_is_none_is_said_and_another_taken(folder, kind):
    pretraining, partners = make_experiment(folder)
    active = make_run(folder, "running", done=2)
    instead = "none" if kind == "scratch" else "SimCLR · shapes"
    for named, why in (
        ("nope", "is no run here"),
        (partners["full-0.01"].id, "is a finetune run"),
        *([(active.id, "is running and has no final weights yet")] if kind == "finetune" else []),
    ):
        app = open_page("new_run", kind=kind, experiment=named)
        assert f"experiment in the address is {named}, which {why}; shown instead: {instead}" in texts(app)
        assert picked(app) == (None if kind == "scratch" else pretraining.id)
        assert not app.button("start").disabled


def test_an_option_that_contradicts_the_pre_training_is_marked_with_its_own(folder):
    pretraining = make_run(folder)
    app = open_page("new_run", kind="finetune", experiment=pretraining.id, backbone="resnet18")
    assert app.button("start").disabled
    assert "backbone is resnet18; allowed: resnet_tiny, as in the pre-training" in texts(app)
    app.button("would-do-backbone").click().run()
    assert not app.button("start").disabled


# --- a folder of one's own ----------------------------------------------------------------------------------------


def said(items):
    return " ".join(shown(item.value) for item in items)


def test_how_a_folder_is_read_is_said_before_the_start(folder, tmp_path):
    layout = {"Training/[a](b)": 8, "Training/c": 12, "Testing/[a](b)": 2, "Testing/c": 1}
    images = make_folder(tmp_path / "brain", layout)
    app = open_page("new_run", dataset=str(images), batch_size="8")
    assert said(app.info) == (
        "Read as 2 classes ([a](b) 8, c 12): 18 images from Training/ train, 2 from Training/ validate and 3 from "
        "Testing/ test."
    )
    assert "[a](b)" not in app.info[0].value  # no link
    assert not app.button("start").disabled
    option(app, "number_input", "limit_images").set_value(10).run()
    assert "8 images from Training/ train, 2 from Training/ validate" in said(app.info)
    option(app, "selectbox", "dataset").set_value("digits").run()
    assert not app.info and not app.exception


def test_a_folder_that_cannot_be_read_in_one_way_cannot_be_started(folder, tmp_path):
    images = make_folder(tmp_path / "images", {"Testing/a": 2, "Testing/b": 2})
    app = open_page("new_run", dataset=str(images))
    assert not app.info
    assert app.button("start").disabled
    assert "which has Testing/ and no train folder" in said(app.error)
    assert ":small[:red[dataset is" in shown(texts(app))  # beside the field too
    assert not option(app, "selectbox", "dataset").set_value("digits").run().error


def test_images_of_more_than_8_bits_are_said_to_be_rescaled(folder, tmp_path):
    images = make_folder(tmp_path / "images", {"a": 4, "b": 4})
    assert "8 bits" not in said(open_page("new_run", dataset=str(images)).info)
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 60
    for name in ("a", "b"):
        for number in range(4):
            path = tmp_path / "deep" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(deep).save(path)
    app = open_page("new_run", dataset=str(tmp_path / "deep"))
    assert "Its images hold more than 8 bits a value" in said(app.info)
    assert "8 bits" not in said(open_page("new_run", dataset=str(tmp_path / "deep"), value_max="4095").info)


def test_a_supervised_run_wants_classes_and_a_slow_disk_holds_no_page(folder, tmp_path, monkeypatch):
    images = make_folder(tmp_path / "images", {"only": 9})
    assert "has only one class (only)" in said(open_page("new_run", kind="scratch", dataset=str(images)).error)
    assert "no train folder" not in said(open_page("new_run", dataset=str(images)).error)
    monkeypatch.setattr(folder_reading, "SECONDS", -1)
    app = open_page("new_run", dataset=str(make_folder(tmp_path / "more", {"a": 2, "b": 2})))
    assert not app.error
    assert "too many files to be looked through here" in said(app.info)


def test_a_run_to_clone_that_is_not_there_is_named(folder):
    said = "clone in the address is nothing, which is no run here; shown instead: a recipe's options for a new run."
    assert said in texts(open_page("new_run", clone="nothing"))
