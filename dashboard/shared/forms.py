"""Config model -> widgets -> config model. No option is named here that its model does not declare.

What a user has typed is kept in the session under keys of our own: Streamlit forgets a widget's value as soon as
another page is shown. Widgets are drawn from that copy and written back to it.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.shared import store, url_state
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.config.remedies import Remedy
from simclr.results import arms
from simclr.runs import Run

STATE = "new_run_form"
IMAGES_ASKED = "new-run-images-asked"
WIDGETS = "form-"  # so all widgets of the form are called
KINDS = {"pretrain": "Pre-train", "finetune": "Fine-tune", "scratch": "From scratch"}
ARMS = {True: "The head (frozen encoder)", False: "All weights (fine-tuned)"}
# Drawn by the page itself, above the form: choices that decide what kind of run it is.
OWN_CONTROLS = ("experiment_version", "random_weight_init", "freeze_encoder", "label_fraction")
# Of an address, what is no option: the run it is about, and where to train.
OTHER_PARAMETERS = ("kind", "recipe", "experiment", "arm", "place", "edit", "clone", "clone_of")
ARM_WORDS = ("frozen", "full")
UNSET_WORDS = ("", "null", "none", "~")
NO_RECIPE = ""
NO_EXPERIMENT = "Choose the pre-training whose encoder is to be fine-tuned."


@dataclass(frozen=True)
class Obstacle:
    """Why a run cannot be started. option: whose field is marked; remedy: what would do; is_said: elsewhere already."""

    sentence: str
    option: str = ""
    remedy: Remedy | None = None
    is_said: bool = False


# --- the kept copy -------------------------------------------------------------------------------------------------


def state() -> dict[str, Any]:
    """The session's copy of the form.

    `kind`, `recipe`, and `values` by dotted option name; `place` where it is to run, "" for the usual one; `edit` the
    waiting run that is changed, "" for a new one; `clone` the run that a new one is like, "" for none; `slurm`, a job's
    options once they are shown.
    """
    if STATE not in st.session_state:
        st.session_state[STATE] = {
            "kind": "pretrain",
            "recipe": NO_RECIPE,
            "values": {},
            "place": "",
            "edit": "",
            "clone": "",
            "slurm": {},
        }
        refill("pretrain", default_recipe())
    return st.session_state[STATE]


def default_recipe() -> str:
    names = cfg.recipe_names()
    return names[0] if names else NO_RECIPE


def refill(kind: str, recipe: str, values: Mapping[str, Any] | None = None) -> None:
    """Puts a recipe's values into the form, then `values` (by dotted name) over them."""
    kept = st.session_state[STATE]
    kept["kind"], kept["recipe"] = kind, recipe
    kept["values"] = start_values(kind, recipe) | _known(kind, values or {})
    url_state.forget_all(WIDGETS)


def prefill(kind: str, values: Mapping[str, Any], recipe: str | None = None) -> None:
    """Lets another page fill the form; follow it with `url_state.go("new-run")`.

    Args:
        kind: `pretrain`, `finetune` or `scratch`.
        values: options by name; nested sections as mappings, or by dotted name.
        recipe: what the rest is taken from; unset: the first recipe.
    """
    state()
    refill(kind, default_recipe() if recipe is None else recipe, flatten(values))


def ask_for_images() -> None:
    """Lets the form say, when it is shown next, that images which another page only looked at are not its data set."""
    st.session_state[IMAGES_ASKED] = state()["values"].get("dataset")


def images_are_asked() -> bool:
    """Whether that is still to be said: until another data set is chosen, or a run is started."""
    return IMAGES_ASKED in st.session_state and st.session_state[IMAGES_ASKED] == state()["values"].get("dataset")


def with_experiment(values: Mapping[str, Any], run_id: str | None) -> dict[str, Any]:
    """The values of a supervised run on this pre-training: the same images, split and network."""
    run = store.find(run_id or "")
    return {**values, **(arms.shared_options(run.config) if run is not None else {}), "experiment_version": run_id}


def use(option: str, value: Any) -> None:
    """Puts a value that would do into its field; a pre-training brings what is to be shared with it."""
    values = {**state()["values"], option: value}
    if option == "experiment_version":
        values = with_experiment(values, value)
    refill(state()["kind"], state()["recipe"], values)


def of_run(run: Run) -> tuple[str, str, dict[str, Any]]:
    """Kind, recipe and complete values of a run's options, with the name, notes and tags it has now.

    Raises:
        ConfigError: if the folder holds no valid options.
    """
    config = runs.load_config(run)
    values = flatten(cfg.to_dict(config)) | {"name": run.meta.get("name"), "notes": run.notes, "tags": run.tags}
    recipe = run.meta.get("recipe")
    return run.kind, recipe if recipe in cfg.recipe_names() else NO_RECIPE, values


def start_values(kind: str, recipe: str) -> dict[str, Any]:
    """Typed values by dotted name: the model's defaults with the recipe over them."""
    model = cfg.MODELS[kind]
    values = {name: default_value(model, name) for name in cfg.option_names(model)}
    values |= _known(kind, flatten(recipe_values(kind, recipe)))
    if kind != "pretrain":
        values["random_weight_init"] = kind == "scratch"
        if kind == "scratch":
            values["freeze_encoder"] = False
    return values


def recipe_values(kind: str, recipe: str) -> dict[str, Any]:
    if recipe not in cfg.recipe_names():
        return {}
    try:
        return cfg.recipe(recipe, kind)
    except ConfigError:
        return {}  # a recipe without this partner


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"augmentation": {"hue": 1}}` becomes `{"augmentation.hue": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + str(name): value}
    return flat


def default_value(model: type[cfg.Options], name: str) -> Any:
    """The default of an option by dotted name; None in a section that is unset."""
    section, _, rest = name.partition(".")
    value = model.model_fields[section].default
    if not rest:
        return value
    return None if value is None else getattr(value, rest)


def section_names(model: type[cfg.Options]) -> list[str]:
    """Options that are nested sections and may be unset as a whole."""
    return [
        name
        for name, info in model.model_fields.items()
        if isinstance(cfg.field_type(info), type) and issubclass(cfg.field_type(info), cfg.Options)
    ]


def _known(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of `values`, those that are options of this kind, in the type their option has; others are left out."""
    names = cfg.option_names(cfg.MODELS[kind])
    found = {}
    for name, value in values.items():
        if name in names:
            with_type = typed(names[name], value)
            if with_type is not None or cfg.is_optional(names[name]):
                found[name] = with_type
    return found


def words(key: str) -> list[str]:
    """What is typed into a field whose values are separated by commas."""
    text = str(st.session_state.get(key) or "")
    return [word.strip() for word in text.split(",") if word.strip()]


def typed(info: Any, value: Any) -> Any:
    """Text from a YAML file or an address as a value of the option's type; None where it is none."""
    kind = cfg.field_type(info)
    if value is None or (isinstance(value, str) and value.strip().lower() in UNSET_WORDS):
        return "" if kind is str and not cfg.is_optional(info) else None
    if kind is bool:
        return str(value).strip().lower() in ("true", "yes", "on", "1")
    if kind in (int, float):
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        # beyond 2**53 a browser cannot count
        if not math.isfinite(number) or abs(number) >= 2**53:
            return None
        return int(number) if kind is int and number == int(number) else None if kind is int else number
    if words := cfg.choices(info):
        if words == cfg.BACKBONES and str(value).startswith(cfg.OWN_BACKBONE):
            return str(value)  # of a run that was started in Python; what starts another says what it takes
        text = str(value).strip().lower()
        for word in words:
            if text in (word, word.replace("-", "_"), word.replace("-", "")):
                return word
        aliases = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}
        return aliases.get(text) if aliases.get(text) in words else None
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


# --- to a config ---------------------------------------------------------------------------------------------------


def to_values(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the form holds as the nested values `cfg.build` takes; an unset section is None."""
    model = cfg.MODELS[kind]
    flat = {name: values.get(name) for name in cfg.option_names(model)}
    for section in section_names(model):
        parts = [name for name in flat if name.startswith(f"{section}.")]
        if all(flat[name] is None for name in parts):
            for name in parts:
                del flat[name]
            flat[section] = None
    return cfg.nest(flat)


def to_config(kind: str, values: Mapping[str, Any]) -> cfg.RunConfig:
    """The checked options of what the form holds.

    Raises:
        ConfigError: with one sentence per problem.
    """
    config = cfg.build(cfg.MODELS[kind], to_values(kind, values))
    assert isinstance(config, cfg.PretrainConfig | cfg.FinetuneConfig)
    return config


def problems(kind: str, values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the form, one sentence each; empty where a run can be started."""
    found: list[str] = []
    if kind == "finetune" and values.get("experiment_version") in (None, ""):
        found.append(NO_EXPERIMENT)
    try:
        to_config(kind, values)
    except ConfigError as error:
        if not found or "random_weight_init" not in str(error):
            found += str(error).split("\n")
    return found


def changed(kind: str, recipe: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options, by dotted name, that differ from the recipe: what a command or an address has to say."""
    config = to_config(kind, values)
    base_values = start_values(kind, recipe)
    needed = {}
    if kind == "finetune" and base_values.get("experiment_version") is None:
        # The recipe cannot name a pre-training; without one its values do not make a run to compare with.
        base_values["experiment_version"] = values["experiment_version"]
        needed = {"experiment_version": config.experiment_version}  # type: ignore[union-attr]
    base = to_config(kind, base_values)
    differing = cfg.differences(config, base)
    if not recipe_values(kind, recipe) and kind == "scratch":
        needed["random_weight_init"] = True
    return needed | differing


def command(kind: str, recipe: str, values: Mapping[str, Any]) -> str:
    """The shell command that starts the same run, from the repository's folder where this is not installed.

    Raises:
        ConfigError: if the values are not valid.
    """
    parts = ["python", "-m", "simclr", "pretrain" if kind == "pretrain" else "finetune"]
    if recipe_values(kind, recipe):
        parts += ["--config", recipe if kind == "pretrain" else f"{recipe}-{kind}"]
    for name, value in changed(kind, recipe, values).items():
        parts += flag(name, cfg.option_text(value))
    folder = store.runs_dir()
    if folder != store.ROOT / "runs":
        shown = folder.relative_to(store.ROOT) if folder.is_relative_to(store.ROOT) else folder
        parts += ["--runs_dir", str(shown)]
    return shlex.join(parts)


def flag(name: str, text: str) -> list[str]:
    """An option of a command as its words; a value that looks like an option itself stands behind `=`."""
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


def address(kind: str, recipe: str, values: Mapping[str, Any], **more: str) -> dict[str, str]:
    """Query parameters that reproduce the form, `more` among them; only what is needed while it is not valid."""
    query = {"kind": kind, "recipe": recipe or "none"} | {name: value for name, value in more.items() if value}
    try:
        differing = changed(kind, recipe, values)
    except ConfigError:
        differing = {}
    for name, value in differing.items():
        if name != "random_weight_init":
            query["experiment" if name == "experiment_version" else name] = cfg.option_text(value)
    return query


def own_parameters(query: Mapping[str, str]) -> dict[str, str]:
    """Of an address, what this form understands: parameters of another page say nothing about it."""
    names = {*OTHER_PARAMETERS, *(name for model in cfg.MODELS.values() for name in cfg.option_names(model))}
    return {name: query[name] for name in query if name in names}


def from_address(query: Mapping[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Kind, recipe and values of an address; what it does not say is as in the recipe."""
    kind = query.get("kind", "pretrain")
    kind = kind if kind in KINDS else "pretrain"
    recipe = query.get("recipe", default_recipe())
    recipe = recipe if recipe in cfg.recipe_names() else NO_RECIPE if recipe == "none" else default_recipe()
    values: dict[str, Any] = {
        ("experiment_version" if name == "experiment" else name): value
        for name, value in query.items()
        if name == "experiment" or name == "arm" or name not in OTHER_PARAMETERS
    }
    if kind == "finetune" and str(values.get("arm", "")) in ARM_WORDS:
        values["freeze_encoder"] = values["arm"] == "frozen"
    return kind, recipe, values


def layout(kind: str) -> tuple[list[str], dict[str, list[str]]]:
    """The options shown at once, and per group those that are folded away; the page's own controls left out.

    Sections, such as the augmentation, are folded as a whole.
    """
    common: list[str] = []
    folded: dict[str, list[str]] = {}
    options = cfg.option_names(cfg.MODELS[kind])
    for group in cfg.GROUPS:
        names = [
            name for name, info in options.items() if cfg.extra(info, "group") == group and name not in OWN_CONTROLS
        ]
        first = [name for name in names if cfg.extra(options[name], "common") and "." not in name]
        # the data set decides what the others of its group mean
        common += sorted(first, key=lambda name: name != "dataset")
        rest = [name for name in names if name not in first]
        if rest:
            folded[group] = rest
    return common, folded
