"""What an address of the New run page says that the form does not understand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.shared import asked, forms
from simclr import config as cfg


def say(query: Mapping[str, str]) -> None:
    """Notes the parameters whose values the form leaves out; what an option allows is said by the form itself."""
    lists = {name: [text] for name, text in query.items()}
    asked.one_of(lists, "kind", dict.fromkeys(forms.KINDS), "pretrain")
    recipes = dict.fromkeys([*cfg.recipe_names(), "none"])
    asked.one_of(lists, "recipe", recipes, forms.default_recipe() or "none")
    asked.one_of(lists, "arm", dict.fromkeys(forms.ARM_WORDS), "that of the recipe")
    options = cfg.option_names(cfg.MODELS[forms.from_address(query)[0]])
    every = {name: info for model in cfg.MODELS.values() for name, info in cfg.option_names(model).items()}
    for name, text in query.items():
        if not text or name in forms.OTHER_PARAMETERS or name == "experiment_version":
            continue
        if name not in options:
            asked.say_instead(name, text, "this kind of run does not have", "its other options")
        elif not is_understood(every[name], text):
            asked.say_instead(name, text, f"is not {cfg.allowed(options[name])}", "the recipe's value")


def is_understood(info: Any, text: str) -> bool:
    word = text.strip().lower()
    if cfg.field_type(info) is bool:
        return word in ("true", "false", "yes", "no", "on", "off", "1", "0")
    return word in forms.UNSET_WORDS or forms.typed(info, text) is not None
