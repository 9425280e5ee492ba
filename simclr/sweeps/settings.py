"""What differs among the runs of a sweep: axes and their values, seeds, arms and shares of the labels (no torch)."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from simclr import config as cfg
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig
from simclr.results import arms
from simclr.results.group_wording import setting_name
from simclr.results.index import LabelShare

AND = " + "  # joins the names of two values of a pairs axis
MAX_MEMBERS = 2000
NOT_AN_AXIS = ("seed", "name", "notes", "tags", "version", "evaluate")
OF_MACHINE = ("num_threads", "accelerator")  # options that a supervised run has as its pre-training does
Texts = Mapping[str, str]


class Value(NamedTuple):
    """A value of an axis: what it is called, and the options that it sets, by dotted name."""

    label: str
    options: Texts


@dataclass(frozen=True)
class Axis:
    """An option with its values, or a name of its own whose values each set several options.

    Attributes:
        name: of the option, or its own.
        values: in the order in which they are shown.
        pairs: each value alone, and each two of them together.
    """

    name: str
    values: tuple[Value, ...]
    pairs: bool = False

    @property
    def num_points(self) -> int:
        number = len(self.values)
        return number * (number + 1) // 2 if self.pairs else number

    def points(self) -> list[Value]:
        """What a run may have on this axis."""
        if not self.pairs:
            return list(self.values)
        return [
            one if one is other else Value(one.label + AND + other.label, {**one.options, **other.options})
            for one, other in itertools.combinations_with_replacement(self.values, 2)
        ]


@dataclass(frozen=True)
class Setting:
    """One combination of the axes' values.

    Attributes:
        labels: axis to the label of its value; empty where there is no axis.
        options: what they set, by dotted name.
    """

    labels: Texts
    options: Texts

    @property
    def title(self) -> str:
        """`temperature 0.2, epochs 10`; empty where there is no axis."""
        return setting_name(self.labels)


class Member(NamedTuple):
    """One run of a sweep; a pre-training has neither arm nor share of the labels, nor a draw of them.

    Attributes:
        setting: of its pre-training.
        variant: what a supervised run has on the axes of supervised runs.
    """

    setting: Setting
    seed: int
    arm: str | None = None
    share: LabelShare | None = None
    subset_seed: int | None = None
    variant: Setting = Setting({}, {})

    @property
    def labels(self) -> Texts:
        """Where it stands on all axes that it has."""
        return {**self.setting.labels, **self.variant.labels}

    @property
    def pretraining(self) -> Member:
        """The member that a supervised run starts from or is compared with."""
        return Member(self.setting, self.seed)


@dataclass(frozen=True)
class Limit:
    """How much a sweep may take: `runs`, or `hours` as estimated before it starts."""

    amount: float
    unit: Literal["runs", "hours"]


@dataclass(frozen=True)
class Sweep:
    """Runs that differ in stated axes, each with every seed, and each pre-training with its supervised runs.

    Attributes:
        title: the question.
        recipe: the shipped recipe that the options start from.
        base: options that all share, by dotted name.
        axes: what differs; none: seeds alone.
        seeds: of everything that is drawn.
        arms: supervised runs after each pre-training: `frozen`, `full`, `scratch`.
        label_fractions: shares of the labels that each arm is trained with.
        labels_per_class: numbers of labels of each class that it is trained with, too.
        subset_seeds: draws of the labelled images, each of which is trained with; none: the seed's own.
        method: all combinations, or some by chance.
        limit: of a random choice.
        supervised_base: options that all supervised runs share, in place of their recipe's, by dotted name.
        supervised_axes: what differs among the supervised runs of one pre-training; the first value of each is the one
            that the others are compared with.
    """

    title: str
    recipe: str
    base: Texts = field(default_factory=dict)
    axes: tuple[Axis, ...] = ()
    seeds: tuple[int, ...] = (42,)
    arms: tuple[str, ...] = ()
    label_fractions: tuple[float, ...] = ()
    labels_per_class: tuple[int, ...] = ()
    subset_seeds: tuple[int, ...] = ()
    method: Literal["grid", "random"] = "grid"
    limit: Limit | None = None
    supervised_base: Texts = field(default_factory=dict)
    supervised_axes: tuple[Axis, ...] = ()

    @property
    def chooses(self) -> bool:
        """Whether it compares settings: it chooses by validation images then, and looks at no test image."""
        return self.num_settings > 1 or self.num_variants > 1

    @cached_property
    def _shared(self) -> dict[str, Any]:
        """The recipe's options and those of the base, by dotted name."""
        return {**cfg.flatten(cfg.recipe(self.recipe)), **self.base}

    @property
    def num_settings(self) -> int:
        """Combinations that there are, before any limit."""
        return math.prod(axis.num_points for axis in self.axes)

    @property
    def num_variants(self) -> int:
        """Supervised runs of each arm on the same labels that follow one pre-training."""
        return math.prod(axis.num_points for axis in self.supervised_axes)

    @property
    def members_per_setting(self) -> int:
        supervised = len(self.arms) * len(self.shares) * max(1, len(self.subset_seeds)) * self.num_variants
        return len(self.seeds) * (1 + supervised)

    @property
    def shares(self) -> tuple[LabelShare, ...]:
        """How many labels each arm is trained with: numbers of each class, then shares of all."""
        by_class = (LabelShare(number, 0.0) for number in self.labels_per_class)
        return (*by_class, *(LabelShare(0, fraction) for fraction in self.label_fractions))

    @property
    def limit_hours(self) -> float | None:
        """The limit where it is one of hours."""
        return self.limit.amount if self.limit is not None and self.limit.unit == "hours" else None

    def settings(self, number: int | None = None) -> list[Setting]:
        """The combinations, in the order of the axes' values; of a random choice `number` of them, always the same.

        Args:
            number: how many of a random choice; None: as many as its limit of runs allows.
        """
        combinations = itertools.product(*(axis.points() for axis in self.axes))
        if self.method == "random":
            if number is None:
                runs = self.limit.amount if self.limit is not None and self.limit.unit == "runs" else MAX_MEMBERS
                number = max(1, int(runs) // self.members_per_setting)
            # one order for all numbers, so that a higher limit adds to what is there
            order = random.Random(0).sample(range(self.num_settings), self.num_settings)
            chosen = set(order[:number])
            combinations = (item for place, item in enumerate(combinations) if place in chosen)  # type: ignore[assignment]
        return [_setting(self.axes, points) for points in combinations]

    def variants(self) -> list[Setting]:
        """The combinations of what differs among supervised runs, that which the others are compared with first."""
        combinations = itertools.product(*(axis.points() for axis in self.supervised_axes))
        return [_setting(self.supervised_axes, points) for points in combinations]

    def members(self, number: int | None = None) -> Iterator[Member]:
        """The runs in the order in which they start: the first seed of every setting, each with what follows it."""
        settings, variants = self.settings(number), self.variants()
        for seed, setting in itertools.product(self.seeds, settings):
            yield Member(setting, seed)
            draws = self.subset_seeds or (None,)
            for share, variant, arm, draw in itertools.product(self.shares, variants, self.arms, draws):
                yield Member(setting, seed, arm, share, draw, variant)

    def pretraining(self, setting: Setting, seed: int) -> PretrainConfig:
        """The options of a pre-training.

        Raises:
            ConfigError: if the values do not make a valid run.
        """
        values = cfg.nest({**self._shared, **setting.options})
        values |= {"seed": seed, "version": None}
        if self.chooses:
            values["evaluate"] = False
        config = cfg.build(PretrainConfig, values)
        assert isinstance(config, PretrainConfig)
        return config

    def supervised(self, pretraining: Mapping[str, Any], run_id: str, member: Member) -> FinetuneConfig:
        """The options of a supervised run, its name apart.

        Args:
            pretraining: the options of its pre-training.
            run_id: the id of that.

        Raises:
            ConfigError: if the values do not make a valid run.
        """
        assert member.arm is not None and member.share is not None
        options = {**self.supervised_base, **member.variant.options}
        known = dict(pretraining)
        config = arms.partner_config(known, run_id, member.arm, member.share, self.recipe, member.subset_seed, options)
        same = {name: known[name] for name in OF_MACHINE if known.get(name) is not None}
        return config.model_copy(update={**same, "evaluate": not self.chooses})

    def check(self) -> None:
        """Raises ConfigError, with one sentence, if a setting does not make a valid run, or two make the same."""
        self._check_settings()
        if self.supervised_base or self.supervised_axes:
            self._check_variants()

    def _check_variants(self) -> None:
        """The same for what differs among supervised runs."""
        pretraining = cfg.to_dict(self.pretraining(self.settings()[0], self.seeds[0]))
        for arm in self.arms:
            seen: dict[str, Setting] = {}
            for variant in self.variants():
                member = Member(Setting({}, {}), self.seeds[0], arm, self.shares[0], variant=variant)
                try:
                    text = cfg.to_yaml(self.supervised(pretraining, "0", member))
                except ConfigError as error:
                    raise ConfigError(f"{error} (with {', '.join(filter(None, [variant.title, arm]))})") from None
                _note_once(seen, text, variant, "supervised.axes")

    def _check_settings(self) -> None:
        seen: dict[str, Setting] = {}
        for setting in self.settings():
            try:
                text = cfg.to_yaml(self.pretraining(setting, self.seeds[0]))
            except ConfigError as error:
                is_named = all(f"{axis} is {label};" in str(error) for axis, label in setting.labels.items())
                where = "" if is_named else f" (with {setting.title})"
                raise ConfigError(f"{error}{where}") from None
            _note_once(seen, text, setting, "axes")


def _note_once(seen: dict[str, Setting], text: str, setting: Setting, axes: str) -> None:
    """Keeps a setting under the text of its options; refuses two that come to the same."""
    if text in seen:
        raise ConfigError(
            f"{axes} give the same options twice, as {seen[text].title} and as {setting.title}; allowed: settings that "
            "differ."
        )
    seen[text] = setting


def _setting(axes: Sequence[Axis], points: Sequence[Value]) -> Setting:
    options: dict[str, str] = {}
    for point in points:
        options |= point.options
    labels = {axis.name: point.label for axis, point in zip(axes, points, strict=True)}
    return Setting(labels, options)


# --- as kept in meta.json ---------------------------------------------------------------------------------------------


def to_plain(sweep: Sweep) -> dict[str, Any]:
    """What a sweep is, as plain values for `meta.json` and as its YAML file says it."""
    plain: dict[str, Any] = {"title": sweep.title, "base": {"recipe": sweep.recipe} | dict(sweep.base)}
    if sweep.axes:
        plain["axes"] = {axis.name: _plain_axis(axis) for axis in sweep.axes}
    plain["seeds"] = list(sweep.seeds)
    if sweep.arms:
        plain["arms"] = list(sweep.arms)
        for name in ("label_fractions", "labels_per_class", "subset_seeds"):
            if values := getattr(sweep, name):
                plain[name] = list(values)
        supervised: dict[str, Any] = {"base": dict(sweep.supervised_base)} if sweep.supervised_base else {}
        if sweep.supervised_axes:
            supervised["axes"] = {axis.name: _plain_axis(axis) for axis in sweep.supervised_axes}
        if supervised:
            plain["supervised"] = supervised
    if sweep.method != "grid":
        plain["method"] = sweep.method
    if sweep.limit is not None:
        plain["limit"] = f"{sweep.limit.amount:g} {sweep.limit.unit}"
    return plain


def _plain_axis(axis: Axis) -> Any:
    if axis.pairs:
        return {"pairs": {value.label: dict(value.options) for value in axis.values}}
    if all(value.options == {axis.name: value.label} for value in axis.values):
        return [value.label for value in axis.values]
    return {value.label: dict(value.options) for value in axis.values}


def extended(before: Sweep, more: Sweep) -> Sweep:
    """A sweep with the seeds and values of both, in the order in which they came.

    Raises:
        ConfigError: if they differ in anything else, or what was one setting, whose test images were looked at, would
            become several, among which is chosen.
    """
    for name in ("recipe", "base", "method", "supervised_base"):
        old, new = getattr(before, name), getattr(more, name)
        if old != new:
            name = name.replace("_", ".")
            raise ConfigError(f"{name} is {_said(new)} and was {_said(old)}; allowed: new seeds, values and arms only.")
    both = replace(
        more,
        axes=_joined("axes", before.axes, more.axes),
        supervised_axes=_joined("supervised.axes", before.supervised_axes, more.supervised_axes),
        seeds=tuple(dict.fromkeys((*before.seeds, *more.seeds))),
        arms=tuple(arm for arm in arms.ARMS if arm in (*before.arms, *more.arms)),
        label_fractions=tuple(sorted({*before.label_fractions, *more.label_fractions})),
        labels_per_class=tuple(sorted({*before.labels_per_class, *more.labels_per_class})),
        subset_seeds=_draws(before, more),
    )
    if both.chooses and not before.chooses:
        raise ConfigError(
            "The runs that are there have been tested, and among several values is chosen on validation images, before "
            "any test; allowed: more seeds, or a new sweep."
        )
    return both


def _joined(where: str, before: Sequence[Axis], more: Sequence[Axis]) -> tuple[Axis, ...]:
    """Axes with the values of both, those of `before` first."""
    old_axes, new_axes = [axis.name for axis in before], [axis.name for axis in more]
    if old_axes != new_axes:
        raise ConfigError(
            f"{where} are {', '.join(new_axes) or 'none'} and were {', '.join(old_axes) or 'none'}; allowed: the same."
        )
    axes = []
    for old_axis, new_axis in zip(before, more, strict=True):
        known = {value.label: value for value in old_axis.values}
        for value in new_axis.values:
            if value.label in known and known[value.label].options != value.options:
                raise ConfigError(
                    f"{where}.{new_axis.name}: {value.label} is other options than before; allowed: a new name."
                )
        values = {value.label: value for value in (*old_axis.values, *new_axis.values)}
        axes.append(replace(new_axis, values=tuple(values.values())))
    return tuple(axes)


def _draws(before: Sweep, more: Sweep) -> tuple[int, ...]:
    """Those of both; one that draws by the seed and one that draws by other numbers cannot be joined."""
    if before.arms and more.arms and bool(before.subset_seeds) != bool(more.subset_seeds):
        raise ConfigError(
            f"subset_seeds is {list(more.subset_seeds) or 'not set'} and was {list(before.subset_seeds) or 'not set'}; "
            "allowed: more draws where there were some, else none."
        )
    return tuple(dict.fromkeys((*before.subset_seeds, *more.subset_seeds)))


def _said(value: Any) -> str:
    return str(dict(value)) if isinstance(value, Mapping) else str(value)
