"""The pre-training that a supervised run starts from or is compared with, and what it hands on (no torch)."""

from __future__ import annotations

from pathlib import Path

from simclr import runs
from simclr.config import ConfigError, FinetuneConfig
from simclr.files.user_paths import with_dead_link
from simclr.runs import Run


def find(reference: int | str | None, runs_dir: Path, *, needs_weights: bool) -> tuple[Run | None, Path | None]:
    """The pre-training that `experiment_version` names, if it is one, and the file of its weights; neither for None.

    Args:
        needs_weights: refuse one that has none yet.

    Raises:
        ConfigError: if it names nothing, or another kind of run.
    """
    if reference is None:
        return None, None
    found = runs.find_experiment(reference, runs_dir)
    if not isinstance(found, Run):
        return None, found
    if found.kind != "pretrain":
        raise ConfigError(f"experiment_version is {reference}, which is a {found.kind} run; allowed: a pre-training.")
    if needs_weights and not found.model_path.is_file():
        raise ConfigError(
            f"experiment_version is {found.id}, which is {found.status.state} and has no final weights yet"
            f"{with_dead_link(found.model_path)}; allowed: a finished pre-training."
        )
    return found, found.model_path


def inherit_options(config: FinetuneConfig, experiment: Run | None) -> FinetuneConfig:
    """Fills unset options from the experiment.

    Raises:
        ConfigError: if an option contradicts it, or is set nowhere.
    """
    if experiment is not None:
        theirs = experiment.config
        for name in ("backbone", "image_size"):
            mine = getattr(config, name)
            if mine is not None and theirs.get(name) is not None and mine != theirs[name]:
                raise ConfigError(f"{name} is {mine}; allowed: {theirs[name]}, as in the pre-training {experiment.id}.")
        names = ["backbone", "image_size"] + (["dataset", "data_dir"] if config.dataset is None else [])
        if config.dataset in (None, theirs.get("dataset")) and config.value_max is None:
            names += ["value_min", "value_max"]
        # an explicit data_dir stays
        config = config.model_copy(update={name: theirs.get(name) for name in names if getattr(config, name) is None})
    if config.backbone is None:
        raise ConfigError(
            "backbone is not set, and there is no pre-training to take it from; allowed: a backbone's name."
        )
    if config.dataset is None:
        raise ConfigError(
            "dataset is not set, and there is no pre-training to take it from; allowed: a data set's name or a folder."
        )
    return config
