"""The command `evaluate`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simclr import runs
from simclr.added import sets
from simclr.cli.parser import add_runs_dir, command_parser, folder_of_runs, parse
from simclr.config import ConfigError
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef
from simclr.evaluation import kept
from simclr.evaluation.leaks import record
from simclr.hardware import devices
from simclr.runs.status import no_report

if TYPE_CHECKING:
    from simclr.data.identity import DataPlace


def evaluate(arguments: list[str]) -> int:
    """Measures a run on the test images; returns 0, or 1 if a stored figure differs."""
    parser = command_parser("evaluate")
    parser.add_argument(
        "RUN",
        help="A run's id, a unique beginning of it, or its folder; untrained:RUN: its network before training.",
    )
    parser.add_argument(
        "--protocol",
        type=str,
        metavar="VALUE",
        help="knn, linear, fewshot, words, classifier, or several separated by commas. Default: those that the run's "
        "training measures, knn,linear for a pre-training (words too with a text encoder), classifier for others.",
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
    runs_dir = folder_of_runs(options.runs_dir)
    if sets.find(options.RUN, runs_dir) is not None:
        raise ConfigError(
            f"RUN is {options.RUN}, which are embeddings of another encoder; allowed: a run. For these there is: "
            f"python -m simclr transfer {shlex.quote(options.RUN)}."
        )
    encoder = references.run_or_untrained(options.RUN, runs_dir)
    names = None if options.protocol is None else [name.strip() for name in options.protocol.split(",")]
    devices.hide_unused_gpus(encoder.run.config.get("accelerator"))
    place = None
    if options.dataset is not None:
        from simclr.data import identity  # loads torch

        place = identity.find_place([encoder.run], options.dataset)
    return _compare_with_stored(encoder, names, place, as_json=options.json)


def _compare_with_stored(
    encoder: EncoderRef, names: Sequence[str] | None, place: DataPlace | None = None, *, as_json: bool
) -> int:
    """Measures a run, compares with what its `evaluation.json` holds, and adds to it what it lacks.

    On another data set, `place`, and of an untrained network, it is a file of their own that figures are compared with
    and added to.

    Returns:
        The exit status: 0, or 1 if a stored figure differs.

    Raises:
        ConfigError: see `evaluate_run`.
    """
    from simclr.evaluation import protocols  # loads torch

    run, untrained = encoder.run, encoder.what == references.UNTRAINED
    report = _on_terminal if sys.stderr.isatty() else no_report
    found = protocols.evaluate_run(run, names, report, place, untrained=untrained)
    command = shlex.join(["python", "-m", "simclr", "evaluate", run.id])
    stored, new, path = kept.keep(run, found, command)
    is_kept = path is not None or not run.is_example
    name = str(path or runs.EVALUATION)
    figures = {name: value for name, value in found.items() if name.startswith("test/")}
    gaps = {name: value - stored[name] for name, value in figures.items() if name not in new}
    differs = any(gaps.values())
    copies = record.read(run) if path is None else None
    if as_json:
        values = {
            "run": run.id,
            "figures": figures,
            "stored": {name: stored[name] for name in gaps},
            "same": not differs,
            **({"dataset": found["dataset"], "file": name} if path is not None else {"copies": record.summary(copies)}),
            **({kept.ENCODER: kept.UNTRAINED} if untrained else {}),
        }
        print(json.dumps(values | {"added": sorted(new) if is_kept else [], "protocols": found["protocols"]}, indent=1))
        return int(differs)
    if untrained:
        print(f"on {found['dataset']}, by the network of {run.id} before its training")
    elif path is not None:
        print(f"on {found['dataset']}, which {run.id} was not trained on")
    width = max(len(figure) for figure in figures) - len("test/")
    print(f"{'figure':<{max(18, width)}} {'now':>9} {'stored':>9}")
    for figure, value in figures.items():
        before = _shown(figure, stored[figure]) if figure in gaps else "-"
        if figure not in gaps:
            where = f"{runs.EVALUATIONS}/{Path(name).name}" if path is not None else name
            verdict = f"added to {where}" if is_kept else "not kept: an example"
        else:
            verdict = f"differs by {gaps[figure]:+.3g}" if gaps[figure] else "same"
        label = figure.removeprefix("test/")
        print(f"{label:<{max(18, width)}} {_shown(figure, value):>9} {before:>9}  {verdict}")
    if path is None:
        print(record.sentence(copies) if copies is not None else record.unchecked(run.id))
    for protocol, about in found["protocols"].items():
        print(f"{protocol}: {about['text']}")
        for figure, numbers in about.get("figures", {}).items():
            print(f"  {figure.removeprefix('test/')}: {_interval_text(numbers)}")
        for figure, chance in about.get("chance", {}).items():
            print(f"  {figure}: {figures[f'test/{figure}']:.2%}, by guessing {chance:.2%}")
        before = _device_of(stored, protocol)
        if differs and before not in (None, about["device"]):
            print(f"The stored figures of {protocol} are from {before}; these are from {about['device']}.")
    return int(differs)


def _interval_text(numbers: Mapping[str, Any]) -> str:
    """`41.2 %, 95 % interval 40.1 to 42.3 %, n = 100 draws`."""
    if numbers["low"] is None:
        return f"{numbers['mean']:.1%}, n = {numbers['num_tasks']}: every draw takes the same images".replace("%", " %")
    low, high = 100 * numbers["low"], 100 * numbers["high"]
    return f"{100 * numbers['mean']:.1f} %, 95 % interval {low:.1f} to {high:.1f} %, n = {numbers['num_tasks']} draws"


def _device_of(stored: Mapping[str, Any], name: str) -> Any:
    about = stored["protocols"].get(name) if isinstance(stored.get("protocols"), dict) else None
    return about.get("device") if isinstance(about, dict) else None


def _shown(name: str, value: float) -> str:
    return f"{value:.4f}" if name.endswith("loss") else f"{value:.2%}"


def _on_terminal(what: str, share: float) -> None:
    print(f"\r{what} {share:4.0%}", end="\n" if share >= 1 else "", file=sys.stderr, flush=True)
