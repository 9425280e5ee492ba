"""How the runs of a report are configured: differences among them and from their recipes, and how to repeat them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from simclr import config as cfg
from simclr import runs
from simclr.config import CROP_AND_FLIP, ConfigError, FinetuneConfig, PretrainConfig
from simclr.curves.curve_sources import NAMING, option_text
from simclr.files import safe_read
from simclr.report.subjects import Line, Member, Subject
from simclr.results import arms, comparisons, index
from simclr.runs import extensions
from simclr.training import time_left

MOST_COLUMNS = 9  # options that differ, of which a table shows
OWN_WORDS = ("data_dir", "num_workers", "num_threads", *NAMING)  # say nothing of what was learned
NOT_COMPARED = ("experiment_version",)  # an id
OF_AN_ARM = (  # which arm it is
    "random_weight_init",
    "freeze_encoder",
    "label_fraction",
    "labels_per_class",
    "subset_seed",
)
# A run fills in what its recipe leaves to the data, the network and the machine.
FILLED_IN = {"image_size": None, "num_classes": None, "backbone": None, "dataset": None, "precision": "auto"}


# --- differences ------------------------------------------------------------------------------------------------------


def tables_of(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """For pre-trainings and for supervised runs: in which options the runs differ, and what all share with a recipe."""
    found = []
    for kind, title in (("pretrain", "Pre-training"), ("supervised", "Training with labels")):
        own = [line for line in lines if line.kind == kind]
        if own:
            members = [member for line in own for member in line.members]
            found.append({"title": title, **_differences(own), "recipes": _recipes(members)})
    return found


def _differences(lines: Sequence[Line]) -> dict[str, Any]:
    """The options that differ: `head`, and a row for the runs of a line; with a sentence on what it does not tell."""
    seeds = [",\u00a0".join(str(member.summary.seed) for member in line.members) for line in lines]
    number = sum(len(line.members) for line in lines)
    if number == 1:
        return {"head": [], "rows": [], "sentence": ""}
    differ, _ = comparisons.differences([line.members[0].source() for line in lines])
    differ = [(name, texts) for name, texts in differ if name not in (*NOT_COMPARED, "seed")]
    shown = [*differ[:MOST_COLUMNS], *([("seed", seeds)] if len(set(seeds)) > 1 else [])]
    shared = "" if len(set(seeds)) > 1 else f" Seed{'s' if ',' in seeds[0] else ''}: {seeds[0]}."
    if not shown:
        return {"head": [], "rows": [], "sentence": f"All {number} have the same options but for the seed.{shared}"}
    left = [name for name, _ in differ[MOST_COLUMNS:]]
    rows = [[line.label, *(texts[place] for _, texts in shown)] for place, line in enumerate(lines)]
    more = f" They differ in {len(left)} more options: {', '.join(left)}." if left else ""
    return {"head": ["runs", *(name for name, _ in shown)], "rows": rows, "sentence": f"{more}{shared}".strip()}


def _recipes(members: Sequence[Member]) -> list[dict[str, Any]]:
    """The recipes that the runs come from, each with the options that all of its runs have otherwise."""
    together: dict[str, list[dict[str, tuple[str, str]]]] = {}
    unreadable = []
    for member in members:
        found = _beside_recipe(member)
        if found is None:
            unreadable.append(member.label)
        else:
            together.setdefault(found[0], []).append(found[1])
    told: list[dict[str, Any]] = []
    for name, differing in together.items():
        shared = {
            option: values
            for option, values in differing[0].items()
            if all(other.get(option) == values for other in differing) and option not in (*OWN_WORDS, *NOT_COMPARED)
        }
        rows = [[option, own, usual] for option, (own, usual) in sorted(shared.items())]
        told.append({"recipe": name, "rows": rows, "num": len(differing), "error": ""})
    if unreadable:
        told.append({"recipe": "", "rows": [], "num": len(unreadable), "error": ", ".join(unreadable)})
    return told


def _beside_recipe(member: Member) -> tuple[str, dict[str, tuple[str, str]]] | None:
    """The name of a run's recipe, and option to its value and the recipe's; None where options cannot be read."""
    try:
        config = runs.load_config(member.run)
        name, base = _recipe_of(member, config)
        differing = cfg.differences(config, base)
    except ConfigError:
        return None
    usual = cfg.flatten(cfg.to_dict(base))
    return name, {option: (option_text(value), option_text(usual.get(option))) for option, value in differing.items()}


def _recipe_of(member: Member, config: cfg.RunConfig) -> tuple[str, cfg.RunConfig]:
    """The recipe that a run came from, `quick` or `quick-scratch`, and its options.

    Raises:
        ConfigError: if it is not valid any more.
    """
    name = arms.guess_recipe(member.run.config, member.run.meta.get("recipe"))
    if isinstance(config, PretrainConfig):
        return name, _filled_in(cfg.build(PretrainConfig, cfg.recipe(name)), config)
    partner, values = cfg.arm_recipe(name, member.summary.arm or "scratch")
    same = ("experiment_version", *OF_AN_ARM)
    values = values | {option: getattr(config, option) for option in same if getattr(config, option) is not None}
    return f"{name}-{partner}", _filled_in(cfg.build(FinetuneConfig, values), config)


def _filled_in(recipe: cfg.RunConfig, config: cfg.RunConfig) -> cfg.RunConfig:
    """The options of a recipe, those that it leaves open as a run has filled them in."""
    open_options = {
        name: getattr(config, name)
        for name, unset in FILLED_IN.items()
        if name in type(recipe).model_fields and getattr(recipe, name) == unset
    }
    if recipe.augmentation is None and config.augmentation == CROP_AND_FLIP:
        open_options["augmentation"] = CROP_AND_FLIP
    return recipe.model_copy(update=open_options)


# --- commands ---------------------------------------------------------------------------------------------------------


def command_of(member: Member) -> str:
    """The shell command that repeats a run from its recipe; where its options are not valid, the one it kept."""
    try:
        config = runs.load_config(member.run)
        name, base = _recipe_of(member, config)
    except ConfigError:
        kept = member.run.meta.get("command")
        return shlex.join(map(str, kept)) if isinstance(kept, list) and kept else ""
    longer = extensions.recorded(member.run.meta)
    if longer:  # first to its first end
        by_steps = longer[0].max_steps is not None
        config = config.model_copy(update={"max_steps": longer[0].step} if by_steps else {"epochs": longer[0].epoch})
    differing = cfg.differences(config, base)
    if isinstance(config, FinetuneConfig):
        file = cfg.flatten(cfg.recipe(*name.rsplit("-", 1)))
        for option in (*OF_AN_ARM, "experiment_version"):
            value = getattr(config, option)
            usual = file.get(option, FinetuneConfig.model_fields[option].default)
            if value is not None and cfg.option_text(value) != cfg.option_text(usual):
                differing[option] = value
    command = runs.command_name(member.summary.kind)
    parts = ["python", "-m", "simclr", command, "--config", name]
    for option, value in differing.items():
        if option in NAMING:
            continue
        text = cfg.option_text(value)
        parts += [f"--{option}={text}"] if text.startswith("-") else [f"--{option}", text]
    return " && ".join([shlex.join(parts), *(f"python -m simclr resume RUN {entry.flags}" for entry in longer)])


def commands_of(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """For the runs of each line the first's command, id and whole options, and the same of its other seeds."""
    found = []
    for line in lines:
        told = [
            {
                "label": member.label,
                "id": member.summary.id,
                "command": command_of(member),
                "config": _text(member.run.path / runs.CONFIG),
            }
            for member in line.members
        ]
        found.append({**told[0], "others": told[1:], "seeds": [member.summary.seed for member in line.members[1:]]})
    return found


def _text(path: Path) -> str:
    try:
        return safe_read.read_bytes(path, safe_read.MAX_YAML_BYTES).decode(errors="replace")
    except OSError:
        return ""


def sweep_of(subject: Subject) -> str:
    """The sweep file of a group, as its newest run keeps it; empty where none does."""
    for item in subject.group.members if subject.group is not None else ():
        run = subject.find(item.id)
        group = run.meta.get("group") if run is not None else None
        plain = group.get("sweep") if isinstance(group, dict) else None
        if isinstance(plain, dict):
            return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None))
    return ""


# --- environment ------------------------------------------------------------------------------------------------------


def environment_of(lines: Sequence[Line]) -> dict[str, Any]:
    """What the runs were trained with: what all share, and for each run what differs, and how long it took."""
    members = [member for line in lines for member in line.members]
    told = [_environment(member) for member in members]
    names = list(dict.fromkeys(name for each in told for name in each))
    shared = [[name, told[0].get(name, "")] for name in names if len({each.get(name, "") for each in told}) == 1]
    differ = [name for name in names if len({each.get(name, "") for each in told}) > 1]
    rows = [
        [member.label, *(each.get(name) or "–" for name in differ)] for member, each in zip(members, told, strict=True)
    ]
    return {"shared": [row for row in shared if row[1]], "head": ["run", *differ], "rows": rows if differ else []}


def _environment(member: Member) -> dict[str, str]:
    meta = member.run.meta
    versions = meta.get("versions")
    found = {"device": str(meta.get("device") or member.summary.status.device or "")}
    found["commit"] = str(meta.get("git_commit") or "")[:12]
    if str(meta.get("git_commit") or "").endswith("+changes"):
        found["commit"] += " with changes"
    found["trained longer"] = extensions.text_of(extensions.recorded(meta))
    found["platform"] = str(meta.get("platform") or "")
    if isinstance(versions, dict):
        found |= {str(name): str(version) for name, version in versions.items()}
    seconds = index.elapsed(member.summary.status)
    found["took"] = time_left.duration_text(seconds) if seconds is not None else ""
    return {name: text[:60] for name, text in found.items()}
