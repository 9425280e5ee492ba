"""The command `evaluate`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simclr import runs
from simclr.cli.parser import add_run, add_runs_dir, command_parser, folder_of_runs, parse
from simclr.evaluation.leaks import record
from simclr.files import safe_read
from simclr.hardware import devices
from simclr.runs import Run
from simclr.runs.status import no_report

if TYPE_CHECKING:
    from simclr.data.identity import DataPlace


def evaluate(arguments: list[str]) -> int:
    """Measures a run on the test images; returns 0, or 1 if a stored figure differs."""
    parser = command_parser("evaluate")
    add_run(parser)
    parser.add_argument(
        "--protocol",
        type=str,
        metavar="VALUE",
        help="knn, linear, classifier, or several separated by commas. Default: those that the run's training "
        "measures, knn,linear for a pre-training and classifier for others.",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME|FOLDER",
        help="The run's own images where they lie now, or another data set, whose figures are kept apart under "
        "RUN/evaluations. Default: the run's own.",
    )
    parser.add_argument("--json", action="store_true", help="As JSON, for scripts.")
    add_runs_dir(parser)
    options = parse(parser, arguments)
    run = runs.find(options.RUN, folder_of_runs(options.runs_dir))
    names = None if options.protocol is None else [name.strip() for name in options.protocol.split(",")]
    devices.hide_unused_gpus(run.config.get("accelerator"))
    place = None
    if options.dataset is not None:
        from simclr.data import identity  # loads torch

        place = identity.find_place([run], options.dataset)
    return _compare_with_stored(run, names, place, as_json=options.json)


def _compare_with_stored(
    run: Run, names: Sequence[str] | None, place: DataPlace | None = None, *, as_json: bool
) -> int:
    """Measures a run, compares with what its `evaluation.json` holds, and adds to it what it lacks.

    On another data set, `place`, it is a file of that set that figures are compared with and added to.

    Returns:
        The exit status: 0, or 1 if a stored figure differs.

    Raises:
        ConfigError: see `evaluate_run`.
    """
    from simclr.evaluation import protocols  # loads torch

    found = protocols.evaluate_run(run, names, _on_terminal if sys.stderr.isatty() else no_report, place)
    is_other = "fingerprint" in found
    if is_other:
        path = protocols.other_path(run, found)
        stored, new, name = safe_read.json_dict(path), protocols.add_other_figures(path, found), str(path)
    else:
        stored, name = run.evaluation, runs.EVALUATION
        new = protocols.add_figures(run, found, shlex.join(["python", "-m", "simclr", "evaluate", run.id]))
    is_kept = is_other or not run.is_example
    figures = {name: value for name, value in found.items() if name.startswith("test/")}
    gaps = {name: value - stored[name] for name, value in figures.items() if name not in new}
    differs = any(gaps.values())
    copies = None if is_other else record.read(run)
    if as_json:
        values = {
            "run": run.id,
            "figures": figures,
            "stored": {name: stored[name] for name in gaps},
            "same": not differs,
            **({"dataset": found["dataset"], "file": name} if is_other else {"copies": record.summary(copies)}),
        }
        print(json.dumps(values | {"added": sorted(new) if is_kept else [], "protocols": found["protocols"]}, indent=1))
        return int(differs)
    if is_other:
        print(f"on {found['dataset']}, which {run.id} was not trained on")
    print(f"{'figure':<18} {'now':>9} {'stored':>9}")
    for figure, value in figures.items():
        before = _shown(figure, stored[figure]) if figure in gaps else "-"
        if figure not in gaps:
            where = f"{runs.EVALUATIONS}/{Path(name).name}" if is_other else name
            verdict = f"added to {where}" if is_kept else "not kept: an example"
        else:
            verdict = f"differs by {gaps[figure]:+.3g}" if gaps[figure] else "same"
        print(f"{figure.removeprefix('test/'):<18} {_shown(figure, value):>9} {before:>9}  {verdict}")
    if not is_other:
        print(record.sentence(copies) if copies is not None else record.unchecked(run.id))
    for protocol, about in found["protocols"].items():
        print(f"{protocol}: {about['text']}")
        before = _device_of(stored, protocol)
        if differs and before not in (None, about["device"]):
            print(f"The stored figures of {protocol} are from {before}; these are from {about['device']}.")
    return int(differs)


def _device_of(stored: Mapping[str, Any], name: str) -> Any:
    about = stored["protocols"].get(name) if isinstance(stored.get("protocols"), dict) else None
    return about.get("device") if isinstance(about, dict) else None


def _shown(name: str, value: float) -> str:
    return f"{value:.4f}" if name.endswith("loss") else f"{value:.2%}"


def _on_terminal(what: str, share: float) -> None:
    print(f"\r{what} {share:4.0%}", end="\n" if share >= 1 else "", file=sys.stderr, flush=True)
