"""Options in YAML files, and the recipes that ship with the package."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from simclr import PACKAGE
from simclr.config.errors import ConfigError
from simclr.config.fields import none_if_unset
from simclr.config.options import RunConfig
from simclr.files import safe_read

RECIPES_DIR = PACKAGE / "recipes"


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"augmentation.hue": 1}` becomes `{"augmentation": {"hue": 1}}`.

    Raises:
        ConfigError: if a name has a value of its own beside options below it; unset is none.
    """
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        section, _, rest = name.partition(".")
        before = none_if_unset(nested.get(section))
        value_of_its_own = before if rest else none_if_unset(value)
        if (rest or isinstance(before, dict)) and not isinstance(value_of_its_own, Mapping | None):
            raise beside_its_section(section, value_of_its_own)
        if rest and before is None:
            nested[section] = {}
        if rest:
            nested.setdefault(section, {})[rest] = value
        elif isinstance(value, Mapping) and isinstance(nested.get(name), dict):
            nested[name] |= value
        else:
            nested[name] = dict(value) if isinstance(value, Mapping) else value
    return nested


def beside_its_section(name: str, value: object) -> ConfigError:
    """For a section, such as augmentation, that has a value of its own and options below it."""
    return ConfigError(f"{name} is {str(value)[:50]}, beside options below it; allowed: {name}.NAME alone.")


def overlaid(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options of `base`, and those of `top` in their place.

    Raises:
        ConfigError: if options of `top` lie below a name that has a value of its own in `base`; unset is none.
    """
    found = dict(base)
    for name, value in top.items():
        before = none_if_unset(found.get(name))
        if isinstance(value, Mapping) and not isinstance(before, Mapping | None):
            raise beside_its_section(name, before)
        found[name] = overlaid(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return found


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"augmentation": {"hue": 1}}` becomes `{"augmentation.hue": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The values of a YAML file of options, each as the text that was written, so that 0012 and no stay as they are.

    Raises:
        ConfigError: if the file is missing, unreadable, not YAML, or not names with values.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:  # named by the user: a link or a pipe is fine
            text = stream.read(safe_read.MAX_YAML_BYTES + 1)
        if len(text) > safe_read.MAX_YAML_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {safe_read.MAX_YAML_BYTES / 1e6:g} MB")
        values = safe_read.parse_yaml(text.decode("utf-8"), as_text=True)
    except FileNotFoundError:
        is_name = not path.parent.name or (RECIPES_DIR / path.name).is_file()
        hint = f", or a recipe by its name: {', '.join(recipe_names())}" if is_name else ""
        raise ConfigError(f"config is {path}; allowed: a YAML file that exists{hint}.") from None
    except OSError as error:
        raise ConfigError(f"config is {path}, which cannot be read: {error.strerror}.") from None
    except ValueError as error:
        why = f" ({error})" if isinstance(error, safe_read.NotYaml) and str(error) else ""
        raise ConfigError(
            f"config is {path}, which is not a YAML file{why}; allowed: lines such as epochs: 100."
        ) from None
    if values is None or values == "":
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"config is {path}, which holds no names with values; allowed: lines such as epochs: 100.")
    return nest(values)


def config_path(named: str | Path) -> Path:
    """The file that `--config` names: a path, or a shipped recipe or its partner by name (`quick`, `quick-finetune`).

    A file of that name in the current folder comes first.
    """
    path = Path(named)
    shipped = RECIPES_DIR / f"{path.name.removesuffix('.yaml')}.yaml"
    is_other = bool(path.parent.name) or (path.exists() and not path.is_dir())
    return shipped if not is_other and shipped.is_file() else path


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Plain values in declaration order, as in `config.yaml`."""
    return config.model_dump(mode="json")


def to_yaml(config: RunConfig) -> str:
    """The text of `config.yaml`: complete, and readable by `--config`."""
    return str(yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True))


def recipe_names() -> list[str]:
    """Names of the shipped recipes, without their partners, `quick` first."""
    names = {path.stem for path in RECIPES_DIR.glob("*.yaml") if "-" not in path.stem}
    return sorted(names, key=lambda name: (name != "quick", name))


def recipe(name: str, kind: str = "pretrain") -> dict[str, Any]:
    """Values of a shipped recipe; `kind` `finetune` or `scratch` gives its partner."""
    return load_yaml(RECIPES_DIR / (f"{name}.yaml" if kind == "pretrain" else f"{name}-{kind}.yaml"))


def arm_recipe(name: str, arm: str) -> tuple[str, dict[str, Any]]:
    """The partner recipe (`finetune` or `scratch`) that an arm of the comparison starts from, and its values.

    Args:
        name: a shipped recipe.
        arm: `frozen`, `full` or `scratch`.

    If the fine-tuning partner is made for a frozen encoder, full fine-tuning takes the from-scratch partner's values:
    all weights are trained, so learning rate and epochs have to be those of training all weights.
    """
    if arm == "scratch":
        return "scratch", recipe(name, "scratch")
    values = recipe(name, "finetune")
    if arm == "full" and values.get("freeze_encoder") == "true":
        others = ("random_weight_init", "dataset", "backbone", "image_size")  # the experiment's
        values = {key: value for key, value in recipe(name, "scratch").items() if key not in others}
        return "scratch", values | {"random_weight_init": "false", "freeze_encoder": "false"}
    return "finetune", values | {"freeze_encoder": "true" if arm == "frozen" else "false"}


def differences(config: RunConfig, base: RunConfig) -> dict[str, Any]:
    """Options of `config`, by dotted name, whose value differs from that of `base`: the flags a command needs."""

    before = flatten(to_dict(base))
    return {name: value for name, value in flatten(to_dict(config)).items() if before.get(name, ...) != value}
