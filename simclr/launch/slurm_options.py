"""What a job asks of Slurm: options, and the user's last ones (no torch)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, field_validator
from pydantic_core import PydanticCustomError

from simclr import config as cfg
from simclr.config import ConfigError, not_written, option
from simclr.files import safe_read, writing
from simclr.files.user_paths import home

OPTIONS_FILE = "slurm.yaml"


def _lines(value: Any) -> Any:
    if value is None:
        return ()
    return tuple(line.strip() for line in value.splitlines() if line.strip()) if isinstance(value, str) else value


class SlurmOptions(cfg.Options):
    """What a job asks of Slurm. Nodes, tasks and GPUs follow from the run's own options."""

    partition: str | None = option(
        None, "Which group of nodes; unset: the cluster's default.", group="Hardware", common=True, max_length=200
    )
    time_minutes: int = option(
        60,
        "Time limit. Shortly before it the run saves, and Slurm queues it again.",
        group="Hardware",
        common=True,
        unit="minutes",
        label="Time limit",
        ge=1,
        le=525_600,
    )
    memory_gib: float | None = option(
        None,
        "Memory on each node; unset: the cluster's default.",
        group="Hardware",
        common=True,
        unit="GiB",
        label="Memory",
        gt=0,
        le=65_536,
    )
    cpus_per_task: int | None = option(
        None,
        "CPU cores of each process; unset: the cluster's default.",
        group="Hardware",
        label="CPUs of each process",
        ge=1,
        le=1024,
    )
    account: str | None = option(None, "Account that pays; unset: your default.", group="Hardware", max_length=200)
    qos: str | None = option(
        None, "Quality of service; unset: your default.", group="Hardware", label="Quality of service", max_length=200
    )
    extra_lines: Annotated[tuple[str, ...], BeforeValidator(_lines)] = option(
        (),
        "Further #SBATCH lines, and shell lines run before the training, such as module load cuda.",
        group="Hardware",
    )

    @field_validator("partition", "account", "qos")
    @classmethod
    def _one_word(cls, value: str | None) -> str | None:
        if value is not None and not (re.fullmatch(r"[^\s'\"\\]+", value) and value.isprintable()):
            raise PydanticCustomError("odd", "a name without spaces and quotes")
        return value

    @field_validator("extra_lines")
    @classmethod
    def _whole_lines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(line.replace("\t", " ").isprintable() for line in value):
            raise PydanticCustomError("odd", "lines without control signs")
        return value


def build_options(values: Mapping[str, Any]) -> SlurmOptions:
    """The checked options for `values`, text or typed.

    Raises:
        ConfigError: with one sentence per problem, each naming option, value and what is allowed.
    """
    try:
        built: SlurmOptions = cfg.build(SlurmOptions, values)
    except ConfigError as error:
        raise ConfigError("\n".join(f"slurm.{sentence}" for sentence in str(error).splitlines())) from None
    return built


def options_path() -> Path:
    """Where a user's last options are kept."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else home() / ".config") / "simclr" / OPTIONS_FILE


def load_options() -> tuple[SlurmOptions, str]:
    """The user's last options, and a sentence if their file cannot be used and these are the defaults."""
    path = options_path()
    try:
        values = safe_read.parse_yaml(path.read_text(encoding="utf-8"))
        return SlurmOptions(**(values or {})), ""
    except FileNotFoundError:
        return SlurmOptions(), ""
    except (OSError, ValueError, TypeError):
        return SlurmOptions(), f"{path} cannot be used; these are the defaults."


def save_options(options: SlurmOptions) -> None:
    """Keeps the options for the user's next run.

    Raises:
        ConfigError: if the file cannot be written.
    """
    path = options_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writing.write_atomically(path, yaml.safe_dump(options.model_dump(mode="json"), sort_keys=False))
    except OSError as error:
        raise not_written(f"{path} cannot be written", error, "XDG_CONFIG_HOME") from None
