"""Tables of a group: its settings side by side, and its runs one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.experiments import figures
from dashboard.shared import formats, palette, run_labels, url_state
from simclr.results import group_wording, groups, index, wording
from simclr.results.convergence import Clock, Convergence
from simclr.results.groups import Cell, Compared, Find, Group, Measure

INTERVAL_HELP = (
    "Student's t interval of the mean difference, from the differences of runs with the same seed. In 95 of 100 "
    "experiments such an interval holds the true difference. With fewer than three seeds there is none."
)
P_HELP = (
    "How probable a difference at least as large is where there is none, corrected for the number of comparisons in "
    "this table (Holm 1979)."
)


def cell_columns(
    group: Group, found: Sequence[Cell], measure: Measure, clock: Clock | None = None
) -> list[dict[str, Any]]:
    """Heads of the table of settings.

    Args:
        clock: by which it says how soon each is nearly as good as the reference; None: it does not.
    """
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
            "label": f"Against {group_wording.reference_name(group, measure)}",
            "align": "right",
            "help": "In points, from runs with the same seed.",
        },
        {"key": "interval", "label": "95 % interval", "align": "right", "rank": 2, "help": INTERVAL_HELP},
        {"key": "p", "label": "p (Holm)", "align": "right", "rank": 3, "help": P_HELP},
        *(_soon_columns(group, measure, clock) if clock is not None else []),
    ]


def _soon_columns(group: Group, measure: Measure, clock: Clock) -> list[dict[str, Any]]:
    what = "kNN accuracy" if measure.of == ("pretrain",) else "accuracy"
    name = group_wording.reference_name(group, measure)
    text = (
        f"Until the {what} on validation images first is at {wording.LEVEL} of that with which {name} ends, seed by "
        "seed; below it, as a share of what that itself took."
    )
    shared = {"align": "right", "help": text}
    return [
        {"key": "steps", "label": f"Steps to {wording.LEVEL}", "rank": 2} | shared,
        {"key": "seconds", "label": wording.capital(wording.CLOCK_NAMES[clock]), "rank": 3} | shared,
    ]


def cell_table(group: Group, found: Sequence[Cell], measure: Measure, find: Find) -> tuple[list[Any], list[Any]]:
    """Heads and rows of the table of settings."""
    compared = groups.compared_in(group, found, measure)
    soon, clock = groups.convergence_in(compared, find)
    is_known = any(each is not None and each.num_pairs for each in soon)
    heads = cell_columns(group, found, measure, clock if is_known else None)
    return heads, cell_rows(group, found, measure, compared, soon)


def cell_rows(
    group: Group,
    found: Sequence[Cell],
    measure: Measure,
    compared: Sequence[Compared],
    soon: Sequence[Convergence | None],
) -> list[dict[str, Any]]:
    """A row for each setting; it leads to the curves of its seeds."""
    name = group_wording.reference_name(group, measure)
    best = [] if groups.asks_for_arms(group) else [groups.first_of(group, found, measure)]
    if group.has_variants and not measure.is_test:
        best = [groups.best(alike) for alike in groups.trained_alike(found) if len(alike) > 1]
    rows = []
    for item, reached in zip(compared, soon, strict=True):
        cell = item.cell
        is_reference = item.reference is None
        shares = (None, None) if reached is None else (reached.step_ratio, reached.second_ratio)
        waiting = cell.count("queued", *groups.ACTIVE)
        state = run_labels.STATE_LABELS[cell.runs[0].state]
        shown: dict[str, Any] = {
            "href": figures.address_of(cell),
            "best": any(cell is each for each in best) and len(found) > 1,
            "name": {"text": "All seeds"},
            "num": {"text": str(cell.spread.num if cell.spread else 0), "sub": f"{waiting} to come" if waiting else ""},
            "accuracy": {
                "text": wording.share_text(cell.spread) if cell.spread is not None else state,
                "sort": cell.spread.mean if cell.spread is not None else None,
                "strong": any(cell is each for each in best),
            },
            "difference": {
                "text": group_wording.difference_text(item.difference),
                "sort": item.difference.mean if item.difference is not None else None,
            },
            "interval": {"text": wording.interval_text(item.difference)},
            "p": {"text": wording.probability_text(item.p), "sort": item.p},
            "steps": {
                "text": wording.steps_text(reached),
                "sub": "" if is_reference else wording.beside(reached, shares[0], name),
                "sort": reached.steps.mean if reached is not None and reached.steps is not None else None,
            },
            "seconds": {
                "text": wording.second_text(reached),
                "sub": "" if is_reference or shares[1] is None else f"{wording.ratio_text(shares[1])} of {name}",
                "sort": reached.seconds.mean if reached is not None and reached.seconds is not None else None,
            },
        }
        for axis, label in cell.setting.items():
            shown[f"axis-{axis}"] = {"text": label, "sort": float(label) if figures.is_numeric([label]) else label}
        if cell.arm is not None and cell.share is not None:
            shown["arm"] = {"text": wording.ARM_NAMES[cell.arm], "color": palette.ARM_COLORS[cell.arm]}
            number = f"{cell.num_labels:,.0f} labels" if cell.num_labels else ""
            shown["labels"] = {"text": cell.share.text, "sort": cell.num_labels or cell.share.amount, "sub": number}
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
