"""Where test figures are kept: a run's own in its `evaluation.json`, others apart from it (no torch).

RUN/evaluations/NAME-KEY.json    figures on another data set, one file for each set of images and weights
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simclr import runs
from simclr.config import not_written
from simclr.files import safe_read, writing
from simclr.models.weights import Weights
from simclr.runs import Run

ENCODER, UNTRAINED = "encoder", "untrained"  # in a file: whose figures they are, where not the trained network's
LABELS, ALL = "labels", "all"  # in a file: the labels of a supervised run's own images that it was judged with


def with_viewing_note(found: dict[str, Any], command: str) -> dict[str, Any]:
    """The figures with a note of when, and by which command, the test images were looked at."""
    note = {"seen_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "seen_by": command}
    return found | {"protocols": {name: about | note for name, about in found["protocols"].items()}}


def other_path(run: Run, found: Mapping[str, Any]) -> Path:
    """Where figures apart from the run's own are kept: one file for these images and the network as it is now."""
    if found.get(ENCODER) == UNTRAINED:
        options = [run.config.get(name) for name in ("backbone", "image_size", "seed")]
        network = f"{UNTRAINED} {json.dumps(options, default=str)}"
    else:
        with contextlib.closing(Weights(run.model_path)) as weights:
            network = weights.sha256
    return path_for(run.computed, found, network)


def path_for(folder: Path, found: Mapping[str, Any], network: str) -> Path:
    """Where figures on a data set are kept in a folder, which is a run's or that of embeddings that were added.

    Args:
        found: with `dataset` and `fingerprint`.
        network: what changes with the features.
    """
    key = hashlib.sha256(f"{json.dumps(found['fingerprint'], sort_keys=True)} {network}".encode())
    name = re.sub(r"[^\w.-]+", "_", Path(str(found["dataset"])).name)[:60] or "data"
    return folder / runs.EVALUATIONS / f"{name}-{key.hexdigest()[:8]}.json"


def others(run: Run) -> list[dict[str, Any]]:
    """What is kept in `evaluations` of a run with the weights that it has now, that written last first."""
    return in_folder(run.computed, lambda values: other_path(run, values))


def in_folder(folder: Path, path_of: Callable[[dict[str, Any]], Path]) -> list[dict[str, Any]]:
    """What is kept in `evaluations` of a folder, that written last first.

    Args:
        path_of: where figures lie as the network is now; those that lie elsewhere are of another one, and left out.
    """
    found = []
    with contextlib.suppress(OSError):
        for path in (folder / runs.EVALUATIONS).glob("*.json"):
            values = safe_read.json_dict(path)
            if not isinstance(values.get("dataset"), str) or not isinstance(values.get("fingerprint"), dict):
                continue
            with contextlib.suppress(OSError):
                if path_of(values).name == path.name:
                    found.append((path.stat().st_mtime, path.name, values))
    return [values for *_, values in sorted(found, key=lambda item: item[:2], reverse=True)]


def keep(run: Run, found: Mapping[str, Any], command: str) -> tuple[dict[str, Any], set[str], Path | None]:
    """Keeps figures where they belong; those that are there already stay as they are.

    Args:
        found: as `evaluate_run` gives them; with a `fingerprint` they are kept apart from the run's own.
        command: by which the test images were looked at.

    Returns:
        What was kept before, the names of the figures that it lacked, and the file of figures that are kept apart.

    Raises:
        ConfigError: if it cannot be written.
    """
    if "fingerprint" not in found:
        return run.evaluation, add_figures(run, found, command), None
    path = other_path(run, found)
    return safe_read.json_dict(path), add_other_figures(path, found), path


def add_other_figures(path: Path, found: Mapping[str, Any]) -> set[str]:
    """Adds figures on another data set to the file of `other_path`; returns the names of those that it lacked.

    Raises:
        ConfigError: if it cannot be written.
    """
    stored = safe_read.json_dict(path)
    if stored.get(LABELS) != found.get(LABELS):  # judged with fewer, by an older version
        stored = {}
    new = {name for name in found if name.startswith("test/") and not isinstance(stored.get(name), int | float)}
    if new:
        about = dict(found["protocols"]) | (stored["protocols"] if isinstance(stored.get("protocols"), dict) else {})
        kept = {name: value for name, value in stored.items() if name not in new}
        values = dict(found) | kept | {"protocols": about, "versions": runs.versions()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writing.write_atomically(path, json.dumps(values, indent=1))
        except OSError as error:
            raise not_written(f"{path} cannot be written", error) from None
    return new


def add_figures(run: Run, found: Mapping[str, Any], command: str) -> set[str]:
    """Adds to a run's `evaluation.json` the figures that it lacks; those that it has stay as they are.

    Args:
        found: as `evaluate_run` gives it, on the run's own images.
        command: by which the test images were looked at.

    Returns:
        The names of the figures that it lacked; of a shipped example nothing is written.
    """
    stored = run.evaluation
    new = {name for name in found if name.startswith("test/") and not isinstance(stored.get(name), int | float)}
    if new and not run.is_example:
        about = with_viewing_note(dict(found), command)["protocols"]
        if isinstance(stored.get("protocols"), dict):
            about |= stored["protocols"]
        kept = {name: value for name, value in stored.items() if name not in new}
        runs.write_evaluation(run.path, dict(found) | kept | {"protocols": about})
    return new
