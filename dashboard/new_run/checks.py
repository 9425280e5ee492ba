"""What keeps the run in the form from being started, each with the field that it is about and a value that would do."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from dashboard.new_run import compute_target, folder_reading, preflight
from dashboard.shared import forms, run_labels, store
from dashboard.shared.forms import Obstacle
from simclr import config as cfg
from simclr.config import ConfigError, FinetuneConfig, remedies
from simclr.config.remedies import Remedy
from simclr.files.user_paths import existing_folder, user_path
from simclr.hardware import devices
from simclr.lifecycle import counts, experiment
from simclr.results import index
from simclr.views import sample_images

EXPERIMENT = "experiment_version"


# --- pre-trainings to start from ------------------------------------------------------------------------------------


def usable() -> list[index.Summary]:
    """Pre-trainings with an encoder, newest first."""
    return [
        item
        for item in store.get().summaries()
        if item.kind == "pretrain" and (found := store.find(item.id)) and found.model_path.is_file()
    ]


def newest(kind: str, recipe: str, values: Mapping[str, Any]) -> index.Summary | None:
    """The newest usable pre-training; on the data that is asked for, where that is not the recipe's.

    Examples whose images are not on this machine come last: nothing can be trained on them.
    """
    found, dataset = usable(), values.get("dataset")
    found = [item for item in found if not item.is_example or _has_images(item)] or found
    if dataset and dataset != forms.start_values(kind, recipe).get("dataset"):
        found = [item for item in found if item.dataset == index.short_dataset(dataset)] or found
    return next(iter(found), None)


def _has_images(item: index.Summary) -> bool:
    run = store.find(item.id)
    named = str(run.config.get("dataset") or "") if run is not None else ""
    return named in sample_images.present() or (named not in cfg.DATASETS and existing_folder(named) is not None)


# --- what is wrong --------------------------------------------------------------------------------------------------


def sentences(kind: str, target: str, values: Mapping[str, Any]) -> list[str]:
    """All that is wrong with these options where they are to run, as far as it can be told before anything is read."""
    if found := forms.problems(kind, values):
        return found
    config = forms.to_config(kind, values)
    try:
        if isinstance(config, FinetuneConfig):
            needs_weights = not config.random_weight_init
            run, _ = experiment.find(config.experiment_version, store.runs_dir(), needs_weights=needs_weights)
            config = experiment.inherit_options(config, run)
        if problem := cfg.own_backbone_problem(config.backbone or ""):
            return [problem]
        if target != compute_target.SLURM:  # what is wrong here may be right on the machines of Slurm
            layout = folder_reading.layout_of(config)
            counts.check(config, layout)
            devices.resolve_device(target, config)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def find(target: str) -> list[Obstacle]:
    """What keeps the run from being started there, each with a value that would do, if one is known."""
    kept = forms.state()
    kind, values = kept["kind"], kept["values"]
    problems = partial(sentences, kind, target)
    found = [obstacle(kind, values, text, problems) for text in problems(values)]
    if target == compute_target.SLURM:
        return found + [Obstacle(text) for text in compute_target.slurm_problems()]
    if not found and (measured := preflight.obstacle(forms.to_config(kind, values), target)) is not None:
        if measured.remedy is None and measured.sentence:
            measured = Obstacle(
                measured.sentence, measured.option, remedy_for(kind, values, measured.sentence, problems), is_said=True
            )
        found.append(measured)
    return found


def obstacle(kind: str, values: Mapping[str, Any], sentence: str, problems: remedies.Problems) -> Obstacle:
    about = remedies.subject(sentence, cfg.option_names(cfg.MODELS[kind]))
    if not about and sentence == forms.NO_EXPERIMENT:
        about = EXPERIMENT
    return Obstacle(sentence, about, remedy_for(kind, values, sentence, problems))


def remedy_for(kind: str, values: Mapping[str, Any], sentence: str, problems: remedies.Problems) -> Remedy | None:
    """What would do in place of what a sentence is about."""
    model = cfg.MODELS[kind]
    about = remedies.subject(sentence, cfg.option_names(model))
    if about == EXPERIMENT or sentence == forms.NO_EXPERIMENT:
        return next((Remedy(EXPERIMENT, item.id) for item in usable()), None)
    if about == "dataset":
        name = near_folder(str(values.get("dataset") or ""))
        tried = {**values, "dataset": name}
        return Remedy("dataset", name) if name and not problems(tried) else None
    return remedies.find(model, values, sentence, problems)


def near_folder(text: str) -> str:
    """A data set, or a folder beside one that is not there, with nearly its name; empty if there is none."""
    path = user_path(text)
    beside: list[str] = []
    if "/" in text and path.parent.is_dir():
        try:
            beside = [entry.name for entry in os.scandir(path.parent) if entry.is_dir()]
        except OSError:
            return ""
    names = beside or list(cfg.DATASETS)
    near = difflib.get_close_matches(path.name if beside else text, names, n=1, cutoff=0.6)
    return "" if not near else str(path.with_name(near[0])) if beside else near[0]


# --- in words -------------------------------------------------------------------------------------------------------


def remedy_label(remedy: Remedy) -> str:
    """What a click on it does: `Use 256`, `Use image size 32`."""
    if remedy.option == EXPERIMENT:
        run = store.find(str(remedy.value))
        return f"Use {run_labels.label(store.get().summary(run)) if run is not None else remedy.value}"
    return f"Use {cfg.option_text(remedy.value)}" if remedy.value is not None else "Leave it unset"
