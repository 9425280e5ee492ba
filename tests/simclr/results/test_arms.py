"""Partners of a pre-training: what they share with it, which belong to it, and what a second click starts."""

import pytest
from conftest import supervise_nothing
from dashboard_fixtures import make_experiment, make_run

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.experiments import partners
from simclr.launch import spawn
from simclr.results import arms, index


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    return tmp_path


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
    first = partners.start_partner(run, "frozen", 0.1, folder)
    again = partners.start_partner(run, "frozen", 0.1, folder)
    other = partners.start_partner(run, "full", 0.1, folder)
    assert first.id == again.id != other.id
    assert first.meta["experiment"] == run.id
    assert runs.load_config(first).freeze_encoder


def test_partners_are_those_of_this_pretraining(folder):
    own, found = make_experiment(folder)
    other, _ = make_experiment(folder)

    def partners_of(run_id):
        return arms.partners_of(run_id, index.RunIndex(folder).summaries())

    assert {item.id for item in partners_of(own.id)} == {run.id for run in found.values()}
    assert partners_of(other.id)[0].id not in {run.id for run in found.values()}
    best = arms.newest_partner(partners_of(own.id), "frozen", 0.01)
    assert best.id == found["frozen-0.01"].id
    assert arms.newest_partner(partners_of(own.id), "frozen", 0.5) is None
