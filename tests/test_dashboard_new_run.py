"""The New run page: recipe, kinds, the shown command, validation, start, and its address."""

import pytest
from dashboard_fixtures import make_experiment, make_run, open_page, query, texts

from dashboard import store
from simclr import launch, runs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(launch, "_supervise", lambda *_: None)
    return tmp_path


def option(app, kind, name):
    """The widget of an option, by its name."""
    for widget in getattr(app, kind):
        if widget.key.endswith(f"-{name}"):
            return widget
    raise AssertionError(f"no {kind} for {name}")


def test_quick_is_chosen_and_its_command_shown(folder):
    app = open_page("new_run")
    assert not app.exception
    assert app.code[0].value.startswith("python -m simclr pretrain --config simclr/recipes/quick.yaml")
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
    assert "temperature is" in app.error[0].value.replace("\\", "")
    assert any("temperature is 0" in text.value for text in app.markdown)


def test_start_makes_one_run_and_opens_it(folder):
    app = open_page("new_run")
    option(app, "number_input", "epochs").set_value(3).run()
    app.button("start").click().run()
    made = runs.list_runs(folder)
    assert len(made) == 1
    assert made[0].config["epochs"] == 3
    assert made[0].meta["recipe"] == "quick"
    assert query(app, "id") == made[0].id
    app.switch_page("app_pages/new_run.py").run()
    assert option(app, "number_input", "epochs").value == 3  # kept while other pages were shown
    app.button("start").click().run()  # the second half of a double click
    assert len(runs.list_runs(folder)) == 1


def test_another_recipe_fills_the_form_anew(folder):
    app = open_page("new_run")
    option(app, "number_input", "epochs").set_value(3).run()
    next(box for box in app.selectbox if box.label == "Recipe").set_value("notebook").run()
    assert not app.exception
    assert option(app, "number_input", "epochs").value == 50
    assert "recipes/notebook.yaml" in app.code[0].value


def test_finetune_needs_a_pretraining_that_has_ended(folder):
    make_run(folder, "running", done=2)
    app = open_page("new_run", kind="finetune")
    assert not app.exception
    assert app.button("start").disabled
    assert "Choose the pre-training" in texts(app).replace("\\", "")
    picker = next(box for box in app.selectbox if box.label == "Pre-training")
    assert len(picker.options) == 1


def test_an_address_reproduces_a_finetuning(folder):
    pretraining, _ = make_experiment(folder)
    app = open_page("new_run", kind="finetune", experiment=pretraining.id, label_fraction="0.05", freeze_encoder="true")
    assert not app.exception
    assert f"--experiment_version {pretraining.id}" in app.code[0].value
    assert "--label_fraction 0.05" in app.code[0].value
    app.button("start").click().run()
    newest = max(store.partners(pretraining.id), key=lambda item: item.created)
    assert (newest.arm, newest.label_fraction) == ("frozen", 0.05)


def test_from_scratch_needs_no_pretraining(folder):
    app = open_page("new_run", kind="scratch")
    assert not app.exception
    assert not app.button("start").disabled
    assert "quick-scratch.yaml" in app.code[0].value


def test_the_kind_can_be_changed_in_the_page(folder):
    app = open_page("new_run")
    next(group for group in app.button_group if group.key.startswith("kind-")).set_value("scratch").run()
    assert not app.exception
    assert "finetune --config simclr/recipes/quick-scratch.yaml" in app.code[0].value
    assert query(app, "kind") == "scratch"


def test_a_folder_that_cannot_be_written_is_a_sentence(folder, monkeypatch):
    file = folder / "file"
    file.write_text("")
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(file / "runs"))
    app = open_page("new_run")
    app.button("start").click().run()
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
