"""Tables of a group: its settings side by side, and its runs one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.experiments import figures
from dashboard.shared import formats, palette, run_labels, url_state
from simclr.results import group_wording, groups, index, wording
from simclr.results.groups import Cell, Group, Measure

INTERVAL_HELP = (
    "Student's t interval of the mean difference, from the differences of runs with the same seed. In 95 of 100 "
    "experiments such an interval holds the true difference. With fewer than three seeds there is none."
)
P_HELP = (
    "How probable a difference at least as large is where there is none, corrected for the number of comparisons in "
    "this table (Holm 1979)."
)


def cell_columns(group: Group, found: Sequence[Cell], measure: Measure) -> list[dict[str, Any]]:
    axes = list(found[0].setting) if found else []
    arms = any(cell.arm is not None for cell in found)
    return [
        *({"key": f"axis-{axis}", "label": axis} for axis in axes),
        *([{"key": "arm", "label": "Trained"}, {"key": "labels", "label": "Labels", "align": "right"}] if arms else []),
        *([] if axes or arms else [{"key": "name", "label": "Setting"}]),
        {"key": "num", "label": "n", "align": "right", "rank": 2, "help": "Finished runs, one for each seed."},
        {"key": "accuracy", "label": "Accuracy", "align": "right", "help": f"The {measure.label}, over the seeds."},
        {
            "key": "difference",
            "label": group_wording.reference_text(group).capitalize(),
            "align": "right",
            "help": "In points, from runs with the same seed.",
        },
        {"key": "interval", "label": "95 % interval", "align": "right", "rank": 2, "help": INTERVAL_HELP},
        {"key": "p", "label": "p (Holm)", "align": "right", "rank": 3, "help": P_HELP},
    ]


def cell_rows(group: Group, found: Sequence[Cell]) -> list[dict[str, Any]]:
    """A row for each setting; it leads to the curves of its seeds."""
    best = None if groups.asks_for_arms(group) else groups.best(found)
    rows = []
    for item in groups.compared_in(group, found):
        cell = item.cell
        waiting = cell.count("queued", *groups.ACTIVE)
        state = run_labels.STATE_LABELS[cell.runs[0].state]
        shown: dict[str, Any] = {
            "href": figures.address_of(cell),
            "best": cell is best and len(found) > 1,
            "name": {"text": "All seeds"},
            "num": {"text": str(cell.spread.num if cell.spread else 0), "sub": f"{waiting} to come" if waiting else ""},
            "accuracy": {
                "text": wording.share_text(cell.spread) if cell.spread is not None else state,
                "sort": cell.spread.mean if cell.spread is not None else None,
                "strong": cell is best,
            },
            "difference": {
                "text": group_wording.difference_text(item.difference),
                "sort": item.difference.mean if item.difference is not None else None,
            },
            "interval": {"text": group_wording.interval_text(item.difference)},
            "p": {"text": group_wording.probability_text(item.p), "sort": item.p},
        }
        for axis, label in cell.setting.items():
            shown[f"axis-{axis}"] = {"text": label, "sort": float(label) if figures.is_numeric([label]) else label}
        if cell.arm is not None and cell.fraction is not None:
            shown["arm"] = {"text": wording.ARM_NAMES[cell.arm], "color": palette.ARM_COLORS[cell.arm]}
            shown["labels"] = {"text": formats.fraction_text(cell.fraction), "sort": cell.fraction}
        rows.append(shown)
    return rows


RUN_COLUMNS: list[dict[str, Any]] = [
    {"key": "name", "label": "Run"},
    {"key": "state", "label": "State"},
    {"key": "kind", "label": "Kind", "rank": 2},
    {"key": "seed", "label": "Seed", "align": "right", "rank": 2},
    {"key": "epochs", "label": "Epochs", "align": "right", "rank": 2},
    {"key": "accuracy", "label": "On validation", "align": "right", "help": "The best so far on validation images."},
    {"key": "duration", "label": "Duration", "align": "right", "rank": 3},
]


def run_rows(group: Group) -> list[dict[str, Any]]:
    """The runs in the order in which they start; each leads to its own page."""
    rows = []
    for item in reversed(group.members):
        status, seconds = item.status, index.elapsed(item.status)
        is_job = status.backend == "slurm" and item.is_active  # why it waits, as Slurm says
        rows.append(
            {
                "href": url_state.address("run", id=item.id),
                "name": {"text": item.title, "title": item.id},
                "state": {
                    "text": run_labels.STATE_LABELS[item.state],
                    "state": palette.STATE_COLORS[item.state],
                    "sub": status.error or status.reason if item.state in ("failed", "stopped") or is_job else "",
                },
                "kind": {"text": run_labels.KIND_LABELS[item.kind]},
                "seed": {"text": str(item.seed), "sort": item.seed if isinstance(item.seed, int) else None},
                "epochs": {"text": f"{status.epoch} / {status.epochs}" if status.epochs else "–", "sort": status.epoch},
                "accuracy": {"text": formats.percent(status.accuracy), "sort": status.accuracy},
                "duration": {"text": formats.duration(seconds), "sort": seconds},
            }
        )
    return rows
