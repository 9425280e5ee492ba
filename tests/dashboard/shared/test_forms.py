"""Config model -> form -> config model, the command and the address it shows."""

import shlex

import pytest
import streamlit as st
from dashboard_fixtures import shown

from dashboard.shared import form_fields, forms, url_state
from simclr import config as cfg
from simclr.config import ConfigError, remedies


@pytest.fixture(autouse=True)
def session(monkeypatch, tmp_path):
    kept = {}
    monkeypatch.setattr(st, "session_state", kept)
    monkeypatch.delenv("SIMCLR_RUNS_DIR", raising=False)
    return kept


SCRATCH = {"label_fraction": 0.05, "dataset": "shapes"}


@pytest.mark.parametrize("kind", ["pretrain", "scratch"])
def test_untouched_form_gives_the_defaults(kind):
    config = forms.to_config(kind, forms.start_values(kind, forms.NO_RECIPE))
    base = cfg.MODELS[kind](**({"random_weight_init": True} if kind == "scratch" else {}))
    assert config == base


@pytest.mark.parametrize("recipe", cfg.recipe_names())
def test_recipes_fill_the_form_exactly(recipe):
    assert forms.to_config("pretrain", forms.start_values("pretrain", recipe)) == cfg.build(
        cfg.PretrainConfig, cfg.recipe(recipe)
    )
    values = forms.start_values("finetune", recipe) | {"experiment_version": "abc"}
    expected = cfg.build(cfg.FinetuneConfig, cfg.recipe(recipe, "finetune") | {"experiment_version": "abc"})
    assert forms.to_config("finetune", values) == expected


def test_every_option_has_a_place_in_the_form():
    for kind, model in cfg.MODELS.items():
        common, folded = forms.layout(kind)
        drawn = [*common, *(name for names in folded.values() for name in names), *forms.OWN_CONTROLS]
        options = set(cfg.option_names(model))
        assert options <= set(drawn)
        assert len(drawn) == len(set(drawn))


def test_help_says_what_is_allowed():
    info = cfg.option_names(cfg.PretrainConfig)["temperature"]
    assert "Allowed: a number from 0.005 to 100" in shown(form_fields.help_text(info))


def test_command_says_only_what_differs_and_repeats_the_run():
    values = forms.start_values("pretrain", "quick")
    base = "python -m simclr pretrain --config quick"
    assert forms.command("pretrain", "quick", values) == base
    values |= {"epochs": 5, "augmentation.hue": 0.25, "name": "two words; $HOME", "tags": "a, b"}
    parts = shlex.split(forms.command("pretrain", "quick", values))
    flags = dict(zip(parts[6::2], parts[7::2], strict=True))
    assert flags == {"--epochs": "5", "--augmentation.hue": "0.25", "--name": "two words; $HOME", "--tags": "a,b"}
    repeated = cfg.nest(cfg.recipe("quick") | {})
    repeated = forms.flatten(repeated) | {name[2:]: value for name, value in flags.items()}
    assert cfg.build(cfg.PretrainConfig, cfg.nest(repeated)) == forms.to_config("pretrain", values)


def test_command_names_a_runs_folder_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setenv("SIMCLR_RUNS_DIR", str(tmp_path))
    command = forms.command("pretrain", "quick", forms.start_values("pretrain", "quick"))
    assert command.endswith(f"--runs_dir {tmp_path}")


def test_finetune_command_names_the_pretraining():
    values = forms.start_values("finetune", "quick") | {"experiment_version": "run-1", "label_fraction": 0.01}
    command = forms.command("finetune", "quick", values)
    assert "simclr finetune --config quick-finetune" in command
    assert "--experiment_version run-1" in command
    assert "--label_fraction 0.01" in command


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("pretrain", {"temperature": 0.1, "augmentation.blur_probability": 0.5, "limit_images": 512}),
        ("finetune", {"experiment_version": "run-1", "freeze_encoder": True, "label_fraction": 0.1, "head": "mlp"}),
        ("scratch", SCRATCH | {"early_stopping_patience": 3, "experiment_version": "run-1"}),
    ],
)
def test_address_reproduces_the_form(kind, changes):
    values = forms.start_values(kind, "quick") | changes
    query = forms.address(kind, "quick", values)
    again_kind, recipe, changed = forms.from_address(query)
    forms.state()
    forms.refill(again_kind, recipe, changed)
    kept = forms.state()
    assert forms.to_config(kept["kind"], kept["values"]) == forms.to_config(kind, values)


def test_nonsense_in_an_address_is_left_out():
    kind, recipe, values = forms.from_address({"kind": "robot", "recipe": "../x", "epochs": "1e999", "nothing": "1"})
    assert (kind, recipe) == ("pretrain", forms.default_recipe())
    forms.state()
    forms.refill(kind, recipe, values)
    assert forms.problems(kind, forms.state()["values"]) == []


def test_prefill_takes_nested_sections():
    forms.prefill("pretrain", {"augmentation": {"hue": 0.33, "blur_kernel_size": 5}, "epochs": 4})
    kept = forms.state()
    config = forms.to_config(kept["kind"], kept["values"])
    assert (config.augmentation.hue, config.augmentation.blur_kernel_size, config.epochs) == (0.33, 5, 4)
    assert kept["recipe"] == forms.default_recipe()
    name = f"{forms.WIDGETS}pretrain-epochs"
    before = url_state.start(name, 4)
    forms.prefill("pretrain", {"epochs": 5})
    after = url_state.start(name, 5)
    assert before["key"] != after["key"]  # another widget: what a browser says of the old one is not heard
    assert url_state.value_of(name) == 5


def test_an_unset_section_stays_unset_and_one_set_is_complete():
    values = forms.start_values("scratch", forms.NO_RECIPE)
    assert forms.to_values("scratch", values)["augmentation"] is None
    values |= {
        name: getattr(cfg.CROP_AND_FLIP, name.partition(".")[2])
        for name in cfg.option_names(cfg.FinetuneConfig)
        if name.startswith("augmentation.")
    }
    assert forms.to_config("scratch", values).augmentation == cfg.CROP_AND_FLIP


def test_problems_are_sentences_beside_their_option():
    values = forms.start_values("pretrain", "quick") | {"temperature": 0.0, "epochs": None}
    sentences = forms.problems("pretrain", values)
    names = cfg.option_names(cfg.PretrainConfig)
    beside = {remedies.subject(sentence, names): sentence for sentence in sentences}
    assert beside["temperature"] == "temperature is 0.0; allowed: a number from 0.005 to 100."
    assert set(beside) == {"temperature", "epochs"}
    with pytest.raises(ConfigError):
        forms.command("pretrain", "quick", values)
    assert forms.address("pretrain", "quick", values) == {"kind": "pretrain", "recipe": "quick"}


def test_finetuning_without_a_pretraining_says_what_to_do():
    sentences = forms.problems("finetune", forms.start_values("finetune", "quick"))
    assert sentences == ["Choose the pre-training whose encoder is to be fine-tuned."]
