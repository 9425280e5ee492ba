"""The page of groups: the list, an answer with its picture and tables, what can be done, and what is refused."""

import base64
import io
import json
import shutil
import time

import numpy as np
import pytest
from dashboard_fixtures import (
    component_with,
    components_with,
    make_group,
    make_run,
    make_variants,
    open_page,
    press,
    query,
    texts,
    write_evaluation,
)
from PIL import Image
from pretended_slurm import pretended_slurm  # noqa: F401  (a fixture)

from dashboard.experiments import operation_pictures
from simclr import runs
from simclr.hardware import devices
from simclr.launch import jobs, queue, slurm_options, slurm_runs, spawn
from simclr.results import groups
from simclr.results.index import RunIndex
from simclr.sweeps import choice, start, sweep_file
from simclr.sweeps.on_slurm import OnSlurm

THREE = {"0.1": [0.80, 0.82, 0.84], "0.5": [0.85, 0.88, 0.88], "1": [0.60, 0.65, 0.61]}
TINY = {"recipe": "quick", "epochs": 1, "limit_images": 40, "batch_size": 20, "accelerator": "cpu"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(devices, "_gpus", list)
    monkeypatch.setattr(
        spawn, "begin", lambda run, device: runs.update_status(run.path, state="running", device=device)
    )
    monkeypatch.setattr(queue, "ensure_scheduler", lambda runs_dir: None)
    return tmp_path


def states(folder):
    return sorted(run.status.state for run in runs.run_folders(folder))


def group_ids(folder):
    return [group.id for group in groups.groups(RunIndex(folder).summaries(max_age=0))]


def test_without_groups_it_offers_the_shipped_ones_and_one_click_starts_one(folder):
    app = open_page("experiments")
    assert not app.exception
    for name in sweep_file.shipped_names():
        assert sweep_file.load(name).title.rstrip("?") in texts(app)
    app = press(app, "start-temperature")
    assert not app.exception
    (group,) = group_ids(folder)
    assert query(app, "group") == group
    assert len(runs.run_folders(folder)) == 15
    assert "0 of 15 runs are finished" in texts(app)


def test_the_list_has_the_answers_and_leads_to_each_group(folder):
    make_group(folder, THREE)
    make_group(folder, {"crop": [0.5]}, axis="operation", group_id="ops-1", title="Which *operation*?")
    app = open_page("experiments")
    assert "87.0 ± 1.7" in texts(app).replace("\u00a0", " ")
    assert app.button("open-ops-1").label.startswith("Which ")
    app = press(app, "open-which-x7k2")
    assert query(app, "group") == "which-x7k2"


def test_an_axis_of_numbers_is_a_line_with_its_seeds(folder):
    make_group(folder, THREE)
    app = open_page("experiments", group="which-x7k2")
    assert not app.exception
    assert "Temperature 0.5" in texts(app)
    figure = json.loads(component_with(app, '"figure":')["figure"])
    line = next(trace for trace in figure["data"] if "error_y" in trace)
    assert (line["x"], line["y"]) == ([0.1, 0.5, 1], [82, 87, 62])
    assert line["error_y"]["array"] == [2, 1.7321, 2.6458]
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert sum(len(trace["x"]) for trace in figure["data"] if trace.get("opacity") == 0.4) == 9
    cells = component_with(app, '"axis-temperature":')
    assert [row["axis-temperature"]["text"] for row in cells["rows"]] == ["0.1", "0.5", "1"]
    assert [row["best"] for row in cells["rows"]] == [False, True, False]
    assert cells["rows"][0]["href"].startswith("curves?runs=")
    assert cells["rows"][0]["href"].count("pretrain") == 3
    members = component_with(app, '"key":"seed"')
    assert len(members["rows"]) == 9


def test_pairs_and_two_axes_are_a_grid(folder):
    pairs = {"crop": [0.4], "crop + grey": [0.6], "grey": [0.5]}
    make_group(folder, pairs, axis="operation", group_id="ops-1")
    grid = component_with(open_page("experiments", group="ops-1"), '"cells":')
    assert grid["rows"] == ["crop", "grey"]
    texts_of = [[cell and cell["text"] for cell in row] for row in grid["cells"]]
    assert texts_of == [["40.0", "60.0"], [None, "50.0"]]
    assert grid["cells"][0][1]["best"] and not grid["cells"][0][0]["best"]
    assert grid["cells"][0][0]["href"].startswith("run?id=")  # of one run: its page
    assert grid["cells"][0][0]["value"] < grid["cells"][1][1]["value"] < grid["cells"][0][1]["value"] == 1
    made = make_group(folder, {"0.1": [0.3], "0.5": [0.2]}, group_id="two-1")
    for run, epochs in zip(made, ("5", "10"), strict=True):
        place = run.meta["group"]
        runs.add_meta(run.path, group=place | {"setting": place["setting"] | {"epochs": epochs}})
    grid = component_with(open_page("experiments", group="two-1"), '"cells":')
    assert grid["columns"] == ["epochs 5", "epochs 10"]
    assert [[cell and cell["text"] for cell in row] for row in grid["cells"]] == [["30.0", None], [None, "20.0"]]


def test_words_are_bars(folder):
    make_group(folder, {"crop": [0.4, 0.5], "grey": [0.6, 0.62]}, axis="operation")
    figure = json.loads(component_with(open_page("experiments", group="which-x7k2"), '"figure":')["figure"])
    assert figure["data"][0]["y"] == ["grey", "crop"]
    assert figure["data"][0]["x"] == [61, 45]


def test_arms_of_one_setting_are_lines_by_labels_and_say_what_pretraining_is_worth(folder):
    made = make_group(folder, {"": [0.8, 0.8, 0.8]}, axis="")
    for seed, run in enumerate(made):
        for share, pair in {0.01: (0.3, 0.1), 0.1: (0.6, 0.3), 1.0: (0.9, 0.9)}.items():
            for arm, top1 in zip(("full", "scratch"), pair, strict=True):
                kind = "scratch" if arm == "scratch" else "finetune"
                more = {"experiment_version": run.id, "label_fraction": share, "seed": seed, "epochs": 2}
                other = make_run(folder, kind=kind, **more)
                write_evaluation(other, top1 + 0.01 * seed)
                runs.add_meta(other.path, group=run.meta["group"])
    app = open_page("experiments", group="which-x7k2")
    text = texts(app).replace("\u00a0", " ")
    assert "With 1" in text and "31.0 ± 1.0" in text and "20.0 points above from scratch" in text
    figure = json.loads(component_with(app, '"figure":')["figure"])
    assert [trace["name"] for trace in figure["data"]] == ["Fine-tuned", "From scratch"]
    assert figure["data"][1]["y"] == [11, 31, 91]
    heads = [column["label"] for column in component_with(app, '"key":"interval"')["columns"]]
    assert "Against scratch" in heads
    assert "no test image read" not in text
    app = open_page("experiments", group="which-x7k2", measure="val_knn")
    assert "kNN accuracy on validation images" in texts(app)


def test_a_sweep_is_stopped_resumed_and_given_more_seeds(folder):
    sweep = sweep_file.parse({"title": "Which?", "base": TINY, "axes": {"temperature": [0.1, 0.5]}})
    group = start.start(sweep, folder)
    app = open_page("experiments", group=group)
    assert states(folder) == ["queued", "running"]
    app.button("group-stop").click().run()
    assert "stopped" in states(folder)
    for run in runs.run_folders(folder):
        runs.update_status(run.path, state="stopped", pid=None)
    app = open_page("experiments", group=group)
    assert app.button("group-resume").label == "Resume 2"
    app.button("group-resume").click().run()
    assert states(folder) == ["queued", "running"]
    app.number_input(f"more-seeds-{group}").set_value(2).run()
    app.button("group-more").click().run()
    assert len(runs.run_folders(folder)) == 6
    assert {run.config["seed"] for run in runs.run_folders(folder)} == {42, 0, 1}


def as_old(folder, seconds=60):
    """Lets the runs have been created a while ago, so that no more of them are still being created."""
    for run in runs.run_folders(folder):
        runs.add_meta(run.path, created=run.meta["created"] - seconds)


def test_runs_that_were_never_created_are_counted_and_added(folder):
    sweep = sweep_file.parse({"title": "Which?", "base": TINY, "axes": {"temperature": [0.1, 0.5]}, "seeds": 3})
    group = start.start(sweep, folder)
    for run in start.runs_of(group, folder)[:4]:
        shutil.rmtree(run.path)
    app = open_page("experiments", group=group)
    assert "missing" not in texts(app)  # others may still follow: it has just begun
    as_old(folder)
    app = open_page("experiments", group=group)
    assert "4 of the 6 runs of this sweep are missing: never created, or deleted. Resume adds them." in texts(app)
    assert app.button("group-resume").label == "Resume 4"
    app.button("group-resume").click().run()
    assert not app.exception and not app.error
    assert len(start.runs_of(group, folder)) == 6
    as_old(folder)
    app = open_page("experiments", group=group)
    assert "missing" not in texts(app)
    assert "group-resume" not in [button.key for button in app.button]


def test_a_failed_run_is_resumed_while_others_go_on(folder):
    group = start.start(sweep_file.parse({"title": "Which?", "base": TINY, "seeds": 3}), folder)
    failed = start.runs_of(group, folder)[0]
    runs.update_status(failed.path, state="failed", pid=None, error="disk full")
    app = open_page("experiments", group=group)
    assert app.button("group-stop")
    app.button("group-resume").click().run()
    assert failed.status.state == "queued"


def test_values_and_supervised_runs_are_added(folder):
    sweep = sweep_file.parse({"title": "Which?", "base": TINY, "axes": {"temperature": [0.1, 0.5]}})
    group = start.start(sweep, folder)
    app = open_page("experiments", group=group)
    assert app.button("group-more").label == "Queue 2 runs"  # a further seed
    app.number_input(f"more-seeds-{group}").set_value(0).run()
    assert app.button("group-more").disabled
    app.text_input(f"more-temperature-{group}").set_value("warm").run()
    assert "temperature is warm; allowed" in texts(app)
    assert app.button("group-more").disabled
    app.text_input(f"more-temperature-{group}").set_value("1").run()
    assert app.button("group-more").label == "Queue 1 run"
    app.button_group(f"more-arms-{group}").set_value(["scratch"]).run()
    app.text_input(f"more-per-class-{group}").set_value("5").run()
    assert app.button("group-more").label == "Queue 4 runs"
    app = press(app, "group-more")
    assert not app.exception and not app.error
    made = start.runs_of(group, folder)
    assert len(made) == 6
    assert {run.config["labels_per_class"] for run in made if run.kind == "scratch"} == {5}
    assert {run.config["temperature"] for run in made if run.kind == "pretrain"} == {0.1, 0.5, 1}


def test_nothing_can_be_added_where_no_sweep_is_kept(folder):
    make_group(folder, THREE)
    app = open_page("experiments", group="which-x7k2")
    assert "keep no sweep, so nothing can be added" in texts(app)
    assert "group-more" not in [button.key for button in app.button]


def test_a_group_of_another_program_s_id_is_opened_by_its_link_and_its_address(folder):
    group_id = 'l\'été\u00a0"&?#1/2" <b>'
    make_group(folder, THREE, group_id=group_id, title="What's\u00a0best?")
    app = press(open_page("experiments"), f"open-{group_id}")
    assert query(app, "group") == group_id
    again = open_page("experiments", group=group_id)
    assert not again.exception
    assert "What's" in texts(again) and "is no group" not in texts(again)


def test_a_group_that_is_not_there_is_said(folder):
    make_group(folder, THREE)
    app = open_page("experiments", group="nope")
    assert "group in the address is nope, which is no group of runs here; shown instead: all experiments." in texts(app)
    assert components_with(app, '"figure":') == []


def test_arm_and_labels_are_chosen_where_settings_are_compared(folder):
    made = make_group(folder, {"0.1": [0.4], "0.5": [0.5]})
    for run in made:
        for arm in ("frozen", "scratch"):
            for share in (0.01, 1.0):
                kind = "scratch" if arm == "scratch" else "finetune"
                more = {
                    "experiment_version": run.id,
                    "label_fraction": share,
                    "seed": 0,
                    "epochs": 2,
                    "evaluate": False,
                }
                other = make_run(folder, kind=kind, freeze_encoder=arm == "frozen", **more)
                (other.path / runs.EVALUATION).unlink()
                runs.add_meta(other.path, group=run.meta["group"])
    app = open_page("experiments", group="which-x7k2", measure="val_top1", arm="scratch", labels="1")
    assert not app.exception
    rows = component_with(app, '"key":"interval"')["rows"]
    assert [(row["axis-temperature"]["text"], row["arm"]["text"], row["labels"]["text"]) for row in rows] == [
        ("0.1", "From scratch", "100 %"),
        ("0.5", "From scratch", "100 %"),
    ]
    assert (query(app, "arm"), query(app, "labels"), query(app, "measure")) == ("scratch", "1", "val_top1")


def test_ways_to_train_with_labels_stand_beside_the_plain_one(folder):
    ways = {"plain": [0.60, 0.62, 0.61], "mixup": [0.70, 0.72, 0.73], "cutmix": [0.66, 0.60, 0.61]}
    make_variants(folder, ways, arms=("full", "scratch"), shares=(0.1, 1.0))
    app = open_page("experiments")
    assert "Four of eight settings can be told apart from plain" in texts(app)
    app = open_page("experiments", group="ways-x7k2", arm="scratch", labels="1")
    assert not app.exception
    assert "Four of eight settings can be told apart from plain" in texts(app)
    table = component_with(app, '"key":"interval"')
    assert "Against plain" in [column["label"] for column in table["columns"]]
    rows = [(row["labels"]["text"], row["arm"]["text"], row["axis-way"]["text"]) for row in table["rows"]]
    arms = ("Fine-tuned", "From scratch")
    assert rows == [(share, arm, way) for share in ("10 %", "100 %") for arm in arms for way in ways]
    assert [row["difference"]["text"] for row in table["rows"][9:]] == ["–", "+5.3 ± 0.6", "+0.7 ± 2.1"]
    assert [row["best"] for row in table["rows"]] == [way == "mixup" for _, _, way in rows]  # of each arm and share
    figure = json.loads(component_with(app, '"figure":')["figure"])
    assert figure["data"][0]["y"] == ["cutmix", "mixup", "plain"]
    assert figure["data"][0]["x"] == [31.167, 35.833, 30.5]  # of the arm and share that were chosen
    assert app.button(key="test-choice")


def test_the_choice_is_tested_by_one_click_and_then_answers(folder, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda *arguments, **more: started.append(arguments))
    make_group(folder, THREE)
    app = open_page("experiments", group="which-x7k2")
    assert not app.exception
    assert "The best of three settings by kNN accuracy on validation images. No run of this sweep" in texts(app)
    app.selectbox(key="baseline-which-x7k2").select("temperature 1").run()
    app = press(app, "test-choice")
    assert not app.exception
    ((name, request, arguments, *_),) = started
    assert name == choice.JOB_NAME
    assert arguments[:2] == ["sweep", "which-x7k2"]
    assert arguments[arguments.index("--baseline") + 1] == "temperature 1"
    assert len(request["runs"].split()) == 6
    for run in runs.run_folders(folder):
        if (label := run.group.setting["temperature"]) != "0.1":
            figures = {"test/linear_top1": {"0.5": 0.9, "1": 0.7}[label], "num_test_images": 2000}
            (run.path / runs.EVALUATION).write_text(json.dumps(figures))
            role = "chosen" if label == "0.5" else "baseline"
            note = {"role": role, "measure": "val_knn", "num_settings": 3, "time": 5.0}
            runs.add_meta(run.path, tested=note)
    app = open_page("experiments", group="which-x7k2")
    assert not app.exception
    said = texts(app)
    assert "chosen before from three settings" in said
    assert "no test image read" not in said
    (table,) = components_with(app, "columns")[:1]
    assert len(table["rows"]) == 2
    with pytest.raises(KeyError):
        app.button(key="test-choice")  # it was done


def test_operations_are_shown_by_what_they_do_to_an_image():
    sweep = sweep_file.shipped("augmentation-grid")
    wanted = operation_pictures.augmentations_of(sweep, "operations")
    assert list(wanted) == ["crop", "flip", "colour", "grey", "blur"]
    drawing = operation_pictures.Drawing("shapes", wanted)
    deadline = time.monotonic() + 60
    while not drawing.pictures and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(drawing.pictures) == set(wanted)
    assert len(set(drawing.pictures.values())) == len(wanted)
    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(drawing.pictures["grey"].partition(",")[2]))))
    assert (grey.max(axis=2) - grey.min(axis=2)).max() <= 1  # it is seen at work, though it has a probability
    assert operation_pictures.augmentations_of(sweep_file.shipped("head"), "hidden_dim") == {}


def test_pictures_of_data_that_are_not_here_are_left_out(tmp_path):
    wanted = operation_pictures.augmentations_of(sweep_file.shipped("augmentation-grid"), "operations")
    drawing = operation_pictures.Drawing(str(tmp_path / "nowhere"), wanted)
    time.sleep(0.2)
    assert drawing.pictures == {}


def test_a_group_in_slurm_says_why_it_waits_and_is_stopped_resumed_and_added_to_there(folder, pretended_slurm):
    sweep = sweep_file.parse({"title": "Seeds", "base": TINY, "seeds": 2})
    group = start.start(sweep, folder, OnSlurm(slurm_options.SlurmOptions(time_minutes=9), 1))
    pretended_slurm.becomes("1", "PENDING", "Priority")
    slurm_runs.refresh(folder)
    app = open_page("experiments", group=group)
    assert components_with(app, "pending: waits behind jobs of higher priority")
    app = press(app, "group-stop")
    assert states(folder) == ["stopped"] * 2
    assert pretended_slurm.calls("scancel") == ["2 1"]
    app = press(open_page("experiments", group=group), "group-resume")
    assert states(folder) == ["queued"] * 2
    app = press(open_page("experiments", group=group), "group-more")
    assert not app.exception and not app.error
    assert {run.status.backend for run in start.runs_of(group, folder)} == {"slurm"}
    assert {pretended_slurm.option(job_id, "time") for job_id in pretended_slurm.scripts} == {"9"}
    assert list(pretended_slurm.scripts) == ["1", "2", "3", "4", "5"]


def test_any_two_values_of_the_runs_stand_against_each_other(folder):
    for run, seconds in zip(make_group(folder, THREE), range(10, 19), strict=True):
        runs.update_status(run.path, started=100.0, ended=100.0 + seconds)
    app = open_page("experiments", group="which-x7k2", picture="runs", x="duration")
    assert not app.exception
    assert query(app, "y") in ("", "val_knn")
    chart = json.loads(component_with(app, '"figure":')["figure"])
    (trace,) = chart["data"]
    assert len(trace["x"]) == 9
    assert sorted(trace["y"])[-1] == 88
    assert all(href.startswith("run?id=") for href in trace["customdata"])
    assert "9 runs; a click opens one." in texts(app)
    app = open_page("experiments", group="which-x7k2", picture="runs", x="nothing")
    assert not app.exception
