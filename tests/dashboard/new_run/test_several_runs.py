"""Several runs from one form: seeds, and values of one option or two, as a group in the queue."""

import pytest
from dashboard_fixtures import open_page, press, query, texts
from pretended_slurm import pretended_slurm  # noqa: F401  (a fixture)
from quiet_forms import folder  # noqa: F401  (a fixture)

from simclr import runs
from simclr.cli.main import main
from simclr.sweeps import cost, start


def option(app, name):
    return next(item for item in app.number_input if item.key.partition("~")[0].endswith(f"-{name}"))


def chosen(app, how):
    return app.button_group("several").set_value(how).run()


def test_seeds_of_the_options_in_the_form(folder):
    app = open_page("new_run")
    option(app, "epochs").set_value(3).run()
    chosen(app, "Seeds")
    app.number_input("several-seeds").set_value(4).run()
    assert "4 runs: 4 seeds." in texts(app)
    assert app.button("start").label == "Queue all"
    app = press(app, "start")
    made = runs.run_folders(folder)
    assert {run.config["seed"] for run in made} == {0, 1, 2, 3}
    assert {run.config["epochs"] for run in made} == {3}
    assert all(run.config["evaluate"] for run in made)
    assert query(app, "group") == made[0].group.id


def test_values_of_two_options(folder):
    app = chosen(open_page("new_run"), "Sweep")
    assert app.button("start").disabled
    assert "has no values yet" in texts(app)
    app.selectbox("several-option-1").set_value("temperature").run()
    app.text_input("several-values-1").set_value("0.1, 0.5").run()
    assert not app.button("start").disabled
    app.selectbox("several-option-2").set_value("augmentation.hue").run()
    app.text_input("several-values-2").set_value("0,0.1").run()
    app.number_input("several-seeds").set_value(1).run()
    assert "4 runs: temperature 0.1 and 0.5; augmentation.hue 0 and 0.1; 1 seed." in texts(app)
    assert "no test image is looked at" in texts(app)
    app = press(app, "start")
    made = runs.run_folders(folder)
    assert {(run.config["temperature"], run.config["augmentation"]["hue"]) for run in made} == {
        (0.1, 0.0),
        (0.1, 0.1),
        (0.5, 0.0),
        (0.5, 0.1),
    }
    assert made[0].group.title == "Which temperature and hue?"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("0.1, warm", "temperature is warm; allowed"),
        ("0.1, 0.10", "axes.temperature has 0.1 twice"),
        (" , ", "no values"),
    ],
)
def test_what_is_wrong_is_said_and_cannot_be_started(folder, values, sentence):
    app = chosen(open_page("new_run"), "Sweep")
    app.selectbox("several-option-1").set_value("temperature").run()
    app.text_input("several-values-1").set_value(values).run()
    assert sentence in texts(app)
    assert app.button("start").disabled


@pytest.fixture
def cost_job(folder, monkeypatch):
    """The cost of a sweep of this form, measured as its job does; without the real steps, which take half a minute."""
    asked = []

    def measured(sweep, runs_dir, device, num_settings=None, report=None):
        asked.append((sweep, device))
        return cost.Cost(12, 3600.0, 3000.0, 4200.0, 10**6, 1, 2, 2)

    monkeypatch.setattr(cost, "estimate_cost", measured)

    def start(name, arguments, runs_dir, device):
        job = runs_dir / runs.JOBS / f"20260101-000000-{name}-0000"
        job.mkdir(parents=True)
        assert main([*arguments, "--job_dir", str(job)]) == 0
        return job

    monkeypatch.setattr("simclr.launch.spawn.start_job", start)
    return asked


def test_the_cost_of_all_runs_is_measured_before_they_start(folder, cost_job):
    app = chosen(open_page("new_run"), "Seeds")
    app.button_group("several-arms").set_value(["full"]).run()
    app.button("check-all").click().run()
    (asked,) = cost_job
    assert (asked[0].arms, len(asked[0].seeds), asked[1]) == (("full",), 3, "cpu")
    assert "12 runs: about 1 h" in texts(app)
    assert app.button("check-all").label == "Measure again"
    app.number_input("several-seeds").set_value(4).run()
    assert "12 runs: about" not in texts(app)  # of another sweep


def test_a_double_click_starts_one_group(folder):
    app = chosen(open_page("new_run"), "Seeds")
    press(app, "start")
    app.switch_page("new_run/page.py").run()
    press(app, "start")
    assert len(runs.run_folders(folder)) == 3
    assert len({run.group.id for run in runs.run_folders(folder)}) == 1


def test_supervised_runs_are_started_one_by_one(folder):
    app = open_page("new_run", kind="scratch")
    assert "several" not in [item.key for item in app.button_group]


def test_more_seeds_twice_in_one_click_are_added_once(folder):
    app = chosen(open_page("new_run"), "Seeds")
    group = query(press(app, "start"), "group")
    assert len(start.add_seeds(group, 2, folder, num_before=3)) == 2
    assert start.add_seeds(group, 2, folder, num_before=3) == []
    assert len(start.add_seeds(group, 1, folder, num_before=5)) == 1


def test_a_run_is_repeated_with_seeds_from_its_page(folder):
    from dashboard_fixtures import make_run

    run = make_run(folder)
    app = open_page("run", id=run.id)
    app.number_input(f"further-seeds-{run.id}").set_value(2).run()
    app = press(app, "repeat-")
    assert len(runs.run_folders(folder)) == 3
    assert query(app, "group") == runs.Run(run.path).group.id
    labels = [item.proto.label for item in open_page("run", id=run.id).get("page_link")]
    assert any(label.startswith("Part of: Seeds of") for label in labels)


def test_a_supervised_run_is_repeated_with_its_pre_training(folder):
    from dashboard_fixtures import make_experiment, make_run

    run, found = make_experiment(folder)
    tuned = found["full-0.01"]
    app = open_page("run", id=tuned.id)
    assert "The pre-training of this run and what was trained on it, again" in texts(app)
    app.number_input(f"further-seeds-{tuned.id}").set_value(1).run()
    app = press(app, "repeat-")
    group = runs.Run(run.path).group.id
    assert query(app, "group") == group
    members = start.runs_of(group, folder)
    assert {tuned.id, run.id} < {item.id for item in members}
    assert sorted(item.kind for item in members if item.config["seed"] == 0) == [
        *("finetune", "finetune", "pretrain", "scratch")
    ]
    alone = make_run(folder, kind="scratch", label_fraction=0.01)  # has none
    assert not [item for item in open_page("run", id=alone.id).number_input if item.key.startswith("further-seeds")]


def test_seeds_go_to_slurm_where_that_is_chosen(folder, pretended_slurm):
    app = chosen(open_page("new_run", place="slurm"), "Seeds")
    assert app.button("start").label == "Submit all to Slurm"
    assert "Each is a Slurm job of its own." in texts(app)
    option(app, "time_minutes").set_value(7).run()
    app.number_input("several-at-once").set_value(2).run()
    app = press(app, "start")
    assert not app.exception and not app.error
    made = sorted(runs.run_folders(folder), key=lambda run: int(run.status.job_id))
    assert [run.status.backend for run in made] == ["slurm"] * 3
    assert query(app, "group") == made[0].group.id
    scripts = pretended_slurm.scripts
    assert {pretended_slurm.option(job_id, "time") for job_id in scripts} == {"7"}
    assert [pretended_slurm.option(job_id, "dependency") for job_id in scripts] == ["", "", "afterany:1"]


def labelled(app, arms, **values):
    """Chooses supervised runs after each, and how many labels they have."""
    app.button_group("several-arms").set_value(arms).run()
    if "fractions" in values:
        app.button_group("several-fractions").set_value(values["fractions"]).run()
    if "per_class" in values:
        app.text_input("several-per-class").set_value(values["per_class"]).run()
    if "draws" in values:
        app.number_input("several-draws").set_value(values["draws"]).run()
    return app


def test_supervised_runs_with_shares_numbers_of_each_class_and_draws(folder):
    app = chosen(open_page("new_run"), "Seeds")
    assert "several-fractions" not in [item.key for item in app.button_group]
    app.number_input("several-seeds").set_value(1).run()
    labelled(app, ["full", "scratch"], fractions=[0.01, 1.0], per_class="5, 1", draws=2)
    said = texts(app)
    assert "17 runs: 1 seed; fine-tuned and from scratch with 1 per class, 5 per class, 1 %, 100 %" in said.replace(
        "&#37;", "%"
    )
    assert "2 draws of the labels" in said
    app = press(app, "start")
    assert not app.exception and not app.error
    made = [run for run in runs.run_folders(folder) if run.kind != "pretrain"]
    labels = {(run.config.get("labels_per_class"), run.config["label_fraction"]) for run in made}
    assert labels == {(None, 0.01), (None, 1.0), (1, 1.0), (5, 1.0)}
    assert {run.config["subset_seed"] for run in made} == {0, 1}
    assert {run.kind for run in made} == {"finetune", "scratch"}
    assert len(made) == 16


def test_labels_of_each_class_alone_and_by_the_seed(folder):
    app = chosen(open_page("new_run"), "Seeds")
    labelled(app, ["frozen"], fractions=[], per_class="10")
    assert "6 runs: 3 seeds; frozen encoder with 10 per class" in texts(app)
    press(app, "start")
    made = [run for run in runs.run_folders(folder) if run.kind != "pretrain"]
    assert {run.config.get("labels_per_class") for run in made} == {10}
    assert {run.config.get("subset_seed") for run in made} == {None}


@pytest.mark.parametrize(
    ("per_class", "sentence"),
    [
        ("5, ten", "labels_per_class is ten; allowed: whole numbers from 1 to 1,000,000."),
        ("0", "labels_per_class is 0; allowed"),
        ("2.5", "labels_per_class is 2.5; allowed"),
        ("", "No number of labels is chosen; allowed"),
    ],
)
def test_labels_that_make_no_sense_are_said_and_cannot_be_started(folder, per_class, sentence):
    app = labelled(chosen(open_page("new_run"), "Sweep"), ["scratch"], fractions=[], per_class=per_class)
    app.text_input("several-values-1").set_value("0.1, 0.5").run()
    assert sentence in texts(app)
    assert app.button("start").disabled
