"""Features and maps as a job in the background: what is asked for, how it is started and found again (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simclr.embeddings import projections
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import resolve_encoders
from simclr.embeddings.selection import ImageSelection, check_same_data, for_models
from simclr.embeddings.stored import embedding_folder
from simclr.hardware import devices
from simclr.launch import jobs

JOB_NAME = "embed"


def request_of(
    names: Sequence[str], choice: ImageSelection, methods: Sequence[str | Projection], runs_dir: Path
) -> dict[str, Any]:
    """What a job is asked for, so that a second window or click finds the job instead of starting another."""
    models = resolve_encoders(names, runs_dir)
    choice = for_models(models, choice)
    check_same_data(models, choice)
    return {
        "models": list(names),
        "methods": [projections.projection(asked).text for asked in methods],
        "folders": [str(embedding_folder(model, choice)) for model in models],
    }


def start_job(
    names: Sequence[str], choice: ImageSelection, methods: Sequence[str | Projection], runs_dir: Path
) -> Path:
    """Starts computing in the background, or returns the folder of the job that does so already.

    Raises:
        ConfigError: if the runs cannot be compared, or the folder cannot be written.
    """
    request = request_of(names, choice, methods, runs_dir)
    number = "all" if choice.num_images is None else str(choice.num_images)
    arguments = ["embed", *names, "--split", choice.split, "--num_images", number, "--seed", str(choice.seed)]
    arguments += ["--method", ",".join(request["methods"]) or "none", "--runs_dir", str(runs_dir.resolve())]
    return jobs.start(JOB_NAME, request, arguments, runs_dir, devices.ANY)


def find_job(request: dict[str, Any], runs_dir: Path) -> Path | None:
    """The newest job with this request, whatever became of it."""
    return jobs.find(JOB_NAME, request, runs_dir)
