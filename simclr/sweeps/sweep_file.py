"""A sweep as a YAML file says it, checked: whatever is wrong is one sentence (no torch).

    title: Which temperature?
    base: {recipe: quick, epochs: 10}
    axes:
      temperature: [0.1, 0.2, 0.5]
    seeds: [0, 1, 2]
    arms: [frozen, scratch]
    label_fractions: [0.01]  # or labels_per_class: [1, 5], and subset_seeds: 3 for three draws of them

An axis is an option with a list of values; or any name with named values that each set several options; or that below
`pairs`, for each of them alone and each two together.

Supervised runs take their options from the recipe's partners. `supervised` sets others: `base` for all of them, and
`axes` for what differs among those that follow one pre-training, where the first value is what the others are compared
with:

    supervised:
      base: {max_steps: 300}
      axes:
        augmentation:
          plain: {}
          mixup: {mixup_alpha: 0.2}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from simclr import config as cfg
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig
from simclr.results import arms, wording
from simclr.sweeps.settings import AND, MAX_MEMBERS, NOT_AN_AXIS, OF_MACHINE, Axis, Limit, Sweep, Value

SHIPPED = cfg.RECIPES_DIR / "sweeps"
LABELS = ("label_fractions", "labels_per_class", "subset_seeds")
MAX_TITLE = 120  # signs
SUPERVISED = "supervised"
KEYS = ("title", "base", "axes", "seeds", "arms", *LABELS, SUPERVISED, "method", "limit")
Model = type[PretrainConfig] | type[FinetuneConfig]
MAX_SEED = 2**31 - 1


def shipped_names() -> list[str]:
    """Names of the sweeps that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


@lru_cache
def shipped(name: str) -> Sweep:
    """A sweep that comes with the package; read and checked once, since a page lists them all whenever it is drawn."""
    return parse(cfg.load_yaml(SHIPPED / f"{name}.yaml"), name)


def load(name: str | Path) -> Sweep:
    """A sweep from a YAML file, or a shipped one by its name.

    Raises:
        ConfigError: with one sentence for what is wrong.
    """
    if str(name) in shipped_names():
        return shipped(str(name))
    path = Path(name)
    if not path.suffix and not path.exists():
        names = shipped_names()
        hint = cfg.nearest_name(str(name), names)
        raise ConfigError(f"FILE is {name}; allowed: a YAML file, or one of {', '.join(names)}{hint or '.'}")
    return parse(cfg.load_yaml(path), path.stem)


def _title(value: Any, name: str) -> str:
    if isinstance(value, list | dict):
        raise ConfigError(f"title is {str(value)[:60]}; allowed: text.")
    text = str(value or name.replace("-", " ").replace("_", " "))
    return text.strip()[:MAX_TITLE].strip()  # what is cut within may end in a space


def parse(plain: Mapping[str, Any], name: str = "sweep") -> Sweep:
    """A sweep from plain values: those of its file, or those kept in `meta.json`.

    Args:
        plain: names with values; numbers may be text.
        name: its title where it has none.

    Raises:
        ConfigError: with one sentence for what is wrong.
    """
    for key in plain:
        if key not in KEYS:
            hint = cfg.nearest_name(str(key), KEYS)
            raise ConfigError(f"{key} is not a part of a sweep; allowed: {', '.join(KEYS)}{hint or '.'}")
    supervised = _section(plain, SUPERVISED)
    for key in supervised:
        if key not in ("base", "axes"):
            raise ConfigError(f"{SUPERVISED}.{key} is not a part of a sweep; allowed: base, axes.")
    own_base = cfg.flatten(_section(supervised, "base", f"{SUPERVISED}.base"))
    own_axes = _section(supervised, "axes", f"{SUPERVISED}.axes")
    base = cfg.flatten(_section(plain, "base"))
    recipe = str(base.pop("recipe", "quick"))
    names = cfg.recipe_names()
    if recipe not in names:
        raise ConfigError(
            f"base.recipe is {recipe}; allowed: {', '.join(names)}{cfg.nearest_name(recipe, names) or '.'}"
        )
    found = Sweep(
        title=_title(plain.get("title"), name),
        recipe=recipe,
        base={option: _text(option, value) for option, value in base.items()},
        axes=tuple(_axis(axis, values) for axis, values in _section(plain, "axes").items()),
        seeds=_seeds(plain.get("seeds", [42])),
        arms=_arms(plain.get("arms", [])),
        label_fractions=_fractions(plain),
        labels_per_class=_counts(plain),
        subset_seeds=_seeds(plain["subset_seeds"], "subset_seeds") if plain.get("subset_seeds") else (),
        method=_method(plain.get("method", "grid")),
        limit=_limit(plain.get("limit")),
        supervised_base={option: _text(option, value, FinetuneConfig) for option, value in own_base.items()},
        supervised_axes=tuple(_axis(axis, values, FinetuneConfig) for axis, values in own_axes.items()),
    )
    for option in found.base:
        _check_option("base", option, PretrainConfig)
    for option in found.supervised_base:
        _check_option(f"{SUPERVISED}.base", option, FinetuneConfig)
    _check_whole(found, [name for name in (*LABELS, SUPERVISED) if plain.get(name)])
    found.check()
    return found


def described(sweep: Sweep) -> str:
    """What differs among the runs of a sweep: `temperature 0.1, 0.2 and 0.5; 3 seeds`."""
    parts = [_axis_words(axis) for axis in sweep.axes]
    parts.append(f"{len(sweep.seeds)} seed{'s' if len(sweep.seeds) > 1 else ''}")
    if sweep.arms:
        shares = ", ".join(share.text for share in sweep.shares)
        names = " and ".join(wording.ARM_NAMES[arm].lower() for arm in sweep.arms)
        parts.append(f"{names} with {shares}{' of the labels' if sweep.label_fractions else ''}")
        if (number := len(sweep.subset_seeds)) > 1:
            parts.append(f"{number} draws of the labels")
        parts += [f"each with {_axis_words(axis)}" for axis in sweep.supervised_axes]
    return "; ".join(parts)


def _axis_words(axis: Axis) -> str:
    """`temperature 0.1, 0.2 and 0.5`."""
    labels = [value.label for value in axis.values]
    words = f"{', '.join(labels[:-1])} and {labels[-1]}" if len(labels) > 1 else labels[0]
    return f"{axis.name} {words}" + (", alone and in pairs" if axis.pairs else "")


def _check_whole(sweep: Sweep, of_labels: list[str]) -> None:
    for axes in (sweep.axes, sweep.supervised_axes):
        taken: dict[str, str] = {}
        for axis in axes:
            for option in {option for value in axis.values for option in value.options}:
                if option in taken:
                    raise ConfigError(
                        f"{option} is set by the axes {taken[option]} and {axis.name}; allowed: by one of them."
                    )
                taken[option] = axis.name
    if both := {axis.name for axis in sweep.axes} & {axis.name for axis in sweep.supervised_axes}:
        name = min(both)
        raise ConfigError(
            f"{name} is an axis of pre-trainings and of supervised runs; allowed: another name for one of them, with "
            "named values."
        )
    if of_labels and not sweep.arms:
        raise ConfigError(f"{of_labels[0]} is set and arms is not; allowed: arms, any of {', '.join(arms.ARMS)}.")
    if sweep.method == "random" and sweep.limit is None:
        raise ConfigError("method is random and limit is not set; allowed: a limit such as 20 runs, or 2 hours.")
    if sweep.method == "grid" and sweep.limit is not None:
        raise ConfigError("limit is set and method is grid, which takes all; allowed: method random.")
    number = sweep.num_settings * sweep.members_per_setting
    if sweep.method == "grid" and number > MAX_MEMBERS:
        raise ConfigError(
            f"The sweep has {number:,} runs; allowed: up to {MAX_MEMBERS:,}, or method random with a limit."
        )
    if sweep.num_settings > 100 * MAX_MEMBERS:
        raise ConfigError(f"The axes have {sweep.num_settings:,} combinations; allowed: up to {100 * MAX_MEMBERS:,}.")


def _section(plain: Mapping[str, Any], key: str, called: str = "") -> dict[str, Any]:
    value = plain.get(key)
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{called or key} is {_short(value)}; allowed: names with values.")
    return {str(name): item for name, item in value.items()}


def _axis(name: str, values: Any, model: Model = PretrainConfig) -> Axis:
    where = "axes" if model is PretrainConfig else f"{SUPERVISED}.axes"
    if isinstance(values, Mapping) and set(values) == {"pairs"} and isinstance(values["pairs"], Mapping):
        named = _named_values(f"{where}.{name}", values["pairs"], model)
        if len(named) < 2:
            raise ConfigError(f"{where}.{name}.pairs has {len(named)} values; allowed: at least 2.")
        return Axis(name, named, pairs=True)
    if isinstance(values, Mapping) and values:
        return Axis(name, _named_values(f"{where}.{name}", values, model))
    if not isinstance(values, list | tuple) or not values:
        raise ConfigError(f"{where}.{name} is {_short(values)}; allowed: a list of values such as [0.1, 0.2].")
    _check_option(where, name, model)
    texts = [_text(name, value, model) for value in values]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise ConfigError(f"{where}.{name} has {twice} twice; allowed: each value once.")
    return Axis(name, tuple(Value(text, {name: text}) for text in texts))


def _named_values(where: str, values: Mapping[Any, Any], model: Model) -> tuple[Value, ...]:
    found = []
    for label, options in values.items():
        if not isinstance(options, Mapping) or AND in str(label) or not str(label).strip():
            raise ConfigError(
                f"{where}.{label} is {_short(options)}; allowed: a name without{AND}and the options that it sets, "
                "such as {temperature: 0.1}."
            )
        flat = {option: _text(option, value, model) for option, value in cfg.flatten(options).items()}
        for option in flat:
            _check_option(f"{where}.{label}", option, model)
        found.append(Value(str(label), flat))
    return tuple(found)


def _check_option(where: str, name: str, model: Model) -> None:
    names, kind = cfg.option_names(model), "pre-training" if model is PretrainConfig else "supervised run"
    if name not in names:
        raise ConfigError(f"{where}: {name} is not an option of a {kind}{cfg.nearest_name(name, names) or '.'}")
    if (instead := _set_by(name, model)) is not None:
        raise ConfigError(f"{where}: {name} is set; allowed: {instead}.")


def _set_by(name: str, model: Model) -> str | None:
    """What sets an option that no axis may set; None of one that an axis may."""
    if name == "seed":
        return "seeds"
    if name in NOT_AN_AXIS:
        return "no such option here: a sweep sets it itself"
    if model is PretrainConfig:
        return None
    if name in arms.OF_ARM:
        return "arms"
    if name in arms.OF_LABELS:
        return "label_fractions, labels_per_class and subset_seeds"
    return f"base, whose {name} its supervised runs have too" if name in (*arms.SHARED, *OF_MACHINE) else None


def _seeds(value: Any, name: str = "seeds") -> tuple[int, ...]:
    """A list of seeds, or a number of them, counted from 0."""
    items = value if isinstance(value, list | tuple) else None
    if items is None:
        number = _whole(value)
        if number is None or not 1 <= number <= MAX_MEMBERS:
            raise ConfigError(f"{name} is {_short(value)}; allowed: a list of whole numbers, or how many.")
        return tuple(range(number))
    numbers = [_whole(item) for item in items]
    found = tuple(number for number in numbers if number is not None and 0 <= number <= MAX_SEED)
    if not found or len(found) < len(items) or len(set(found)) < len(found):
        raise ConfigError(f"{name} is {_short(value)}; allowed: whole numbers from 0 to {MAX_SEED:,}, each once.")
    return found


def _arms(value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    items = [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
    if (wrong := next((item for item in items if item not in arms.ARMS), None)) is not None:
        raise ConfigError(
            f"arms is {_short(wrong)}; allowed: {', '.join(arms.ARMS)}{cfg.nearest_name(wrong, arms.ARMS) or '.'}"
        )
    return tuple(arm for arm in arms.ARMS if arm in items)


def _fractions(plain: Mapping[str, Any]) -> tuple[float, ...]:
    """Shares of the labels, rising; of arms without any number of labels 1 %."""
    value = plain.get("label_fractions")
    if value is None or value == "":
        return (0.01,) if plain.get("arms") and not plain.get("labels_per_class") else ()
    items = value if isinstance(value, list | tuple) else [value]
    numbers = [_number(item) for item in items]
    found = [number for number in numbers if number is not None and 0 < number <= 1]
    if not found or len(found) < len(items):
        raise ConfigError(f"label_fractions is {_short(value)}; allowed: numbers above 0, up to 1.")
    return tuple(sorted(set(found)))


def _counts(plain: Mapping[str, Any]) -> tuple[int, ...]:
    """Numbers of labels of each class, rising."""
    value = plain.get("labels_per_class")
    if value is None or value == "":
        return ()
    items = value if isinstance(value, list | tuple) else [value]
    found = [number for item in items if (number := _whole(item)) is not None and 1 <= number <= 1_000_000]
    if not found or len(found) < len(items):
        wrong = next((item for item in items if _whole(item) not in found), value)
        raise ConfigError(f"labels_per_class is {_short(wrong)}; allowed: whole numbers from 1 to 1,000,000.")
    return tuple(sorted(set(found)))


def _method(value: Any) -> Literal["grid", "random"]:
    if value not in ("grid", "random"):
        raise ConfigError(f"method is {_short(value)}; allowed: grid or random.")
    return "random" if value == "random" else "grid"


def _limit(value: Any) -> Limit | None:
    """`20`, `20 runs` or `2.5 hours`."""
    if value is None or value == "":
        return None
    number, _, unit = str(value).strip().partition(" ")
    amount, unit = _number(number), unit.strip() or "runs"
    if unit in ("runs", "run") and amount is not None and amount >= 1 and amount == int(amount):
        return Limit(amount, "runs")
    if unit in ("hours", "hour", "h") and amount is not None and amount > 0:
        return Limit(amount, "hours")
    raise ConfigError(
        f"limit is {_short(value)}; allowed: a number of runs such as 20 runs, or of hours such as 2 hours."
    )


def _text(option: str, value: Any, model: Model = PretrainConfig) -> str:
    """A value as text; numbers in one spelling, so that 1.0 and 1 are the same value."""
    info = cfg.option_names(model).get(option)
    number = _number(value) if info is not None and cfg.field_type(info) in (int, float) else None
    return cfg.option_text(value if number is None else number)


def _number(value: Any) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) and not isinstance(value, bool) else None


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return f"{text[:77]}..." if len(text) > 80 else text or "empty"
