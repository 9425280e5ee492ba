"""The table of the Results page: its columns, and a row as the component takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dashboard.shared import formats, palette, run_labels, url_state
from simclr.files import safe_read
from simclr.results import index, wording
from simclr.results.convergence import Clock
from simclr.results.statistics import Difference, Spread
from simclr.results.tables import ResultRow

STEPS_HELP = (
    f"Optimizer steps until the validation accuracy is first at {wording.LEVEL} of that with which from scratch ends, "
    "with the same seed and labels; below it the share of the steps that from scratch takes. Read at each validation "
    "as measured, not smoothed. What the pre-training took is not in it."
)
BUDGET_HELP = "How long each trained. Point at one to read all of it; the page of its run has it too."
CLOCK_HELP: dict[Clock, str] = {
    "cpu": "Processor seconds until then, of all processes that train and read images; with a frozen encoder also "
    "those for computing its features.",
    "wall": "Seconds of training until then: some of these runs recorded no processor seconds, or trained on a GPU. "
    "They depend on what else the machine did.",
}


def columns(clock: Clock) -> list[dict[str, Any]]:
    seconds = wording.CLOCK_NAMES[clock]
    return [
        {"key": "arm", "label": "Trained", "sortable": False, "help": "What of the network was trained, and how."},
        {"key": "labels", "label": "Labels", "align": "right", "sortable": False},
        {
            "key": "accuracy",
            "label": "Accuracy",
            "help": "On the test images, which were looked at once.",
            "align": "right",
            "sortable": False,
        },
        {
            "key": "difference",
            "label": "Against scratch",
            "align": "right",
            "sortable": False,
            "rank": 2,
            "help": "Test accuracy minus that of the from-scratch run on the same labels, in percentage points. Below: "
            "standard deviation, and from three seeds on the 95 % interval, paired by seed.",
        },
        {
            "key": "steps",
            "label": f"Steps to {wording.LEVEL}".replace(" %", "\u00a0%"),
            "align": "right",
            "sortable": False,
            "help": STEPS_HELP,
        },
        {
            "key": "seconds",
            "label": f"{seconds[:1].upper()}{seconds[1:]}",
            "align": "right",
            "sortable": False,
            "rank": 2,
            "help": CLOCK_HELP[clock],
        },
        {"key": "loss", "label": "Test loss", "align": "right", "sortable": False, "rank": 3},
        {"key": "budget", "label": "Budget", "sortable": False, "rank": 3, "help": BUDGET_HELP},
        {"key": "seed", "label": "Seed", "align": "right", "sortable": False, "rank": 3},
    ]


def cells(row: ResultRow, evaluation: Mapping[str, Any], scratch: ResultRow | None = None) -> dict[str, Any]:
    """A row of the table, as the component takes it.

    Args:
        evaluation: the test figures of its first run.
        scratch: the row of from scratch with the same share of labels.
    """
    item = row.runs[0]
    is_probe = row.protocol in run_labels.PROBE_HELP
    reached = row.reached
    steps, seconds = (None, None) if reached is None else (reached.step_ratio, reached.second_ratio)
    if row.protocol == "scratch":
        steps = seconds = None  # all of its own
    return {
        "href": address(row, scratch),
        "best": row.is_best,
        "tight": not row.is_last,
        "arm": {"text": wording.ARM_NAMES[row.protocol], "color": palette.ARM_COLORS[row.protocol], "title": item.id},
        "labels": {
            "text": formats.fraction_text(row.fraction),
            "sub": formats.thousands(row.num_labels) if row.num_labels else "",
        },
        "accuracy": {
            "text": formats.percent(row.accuracy.mean) if row.accuracy else run_labels.STATE_LABELS[item.state],
            "strong": row.is_best,
            "sub": spread_text(row, row.accuracy),
        },
        "difference": {
            "text": formats.points(row.gain.mean if row.gain else None),
            "sub": " · ".join(filter(None, [spread_text(row, row.gain), *interval(row)])),
            "title": wording.certainty(row),
        },
        "steps": {"text": wording.steps_text(reached), "sub": wording.beside(reached, steps)},
        "seconds": {
            "text": wording.second_text(reached),
            "sub": f"{wording.ratio_text(seconds)} of scratch" if seconds is not None else "",
        },
        "loss": {
            "text": formats.decimal(row.loss.mean if row.loss else None),
            "sub": f"± {row.loss.deviation:.3f}" if row.loss is not None and row.loss.deviation is not None else "",
        },
        "budget": probe_budget(row.protocol, evaluation) if is_probe else budget(item, evaluation),
        "seed": {"text": ", ".join(seeds(row))},
    }


def seeds(row: ResultRow) -> list[str]:
    """Each seed once, rising."""
    texts = {"–" if run.seed is None else str(run.seed) for run in row.runs}
    return sorted(texts, key=lambda text: (not text.isdecimal(), text.zfill(20)))


def address(row: ResultRow, scratch: ResultRow | None) -> str:
    """Where a row leads: to its run, or to the curves of several beside those from scratch."""
    ids = list(dict.fromkeys(run.id for run in row.runs))
    if len(ids) == 1:
        return url_state.address("run", id=ids[0])
    beside = scratch.runs if scratch is not None and row.reached is not None else ()
    ids = list(dict.fromkeys([*ids, *(run.id for run in beside)]))
    return url_state.address("curves", runs=",".join(ids), seeds="std")


def interval(row: ResultRow) -> list[str]:
    """The 95 % interval of the difference; none of fewer than three seeds."""
    return [wording.interval_text(row.gain)] if row.p is not None else []


def spread_text(row: ResultRow, found: Spread | Difference | None) -> str:
    """The deviation of a share, and how many seeds it speaks for where those are not all of the row's."""
    if found is None:
        return ""
    parts = [] if found.deviation is None else [f"± {100 * found.deviation:.1f}"]
    return ", ".join([*parts, *[f"n = {found.num}"] * (found.num < len(row.runs))])


def budget(item: index.Summary, evaluation: Mapping[str, Any]) -> dict[str, str]:
    """How long it trained; the whole sentence, which is nearly the same in all rows, where it is pointed at."""
    if isinstance(text := evaluation.get("budget"), str):
        return {"text": re.split(r" of batch|;|, [\d,]+ images in", text)[0].strip(" ."), "title": text}
    return {"text": f"{item.status.epochs} epochs" if item.status.epochs else "–"}


def probe_budget(name: str, evaluation: Mapping[str, Any]) -> dict[str, str]:
    """What went into a linear probe or kNN, as far as the record tells."""
    protocols = evaluation.get("protocols")
    about = protocols.get(name) if isinstance(protocols, dict) else None
    about = about if isinstance(about, dict) else {}
    if name == "knn":
        neighbors, temperature = (
            safe_read.finite_number(about.get("num_neighbors")),
            safe_read.finite_number(about.get("temperature")),
        )
        if neighbors is None or temperature is None:
            return {"text": "–"}
        text = f"{neighbors:g} neighbours"
        return {"text": text, "title": f"{text}, temperature {temperature:g}; nothing trained."}
    strength, num_val = safe_read.finite_number(about.get("l2")), safe_read.finite_number(about.get("num_val"))
    if strength is None:
        return {"text": "–"}
    images = formats.thousands(num_val) if num_val else ""
    text = f"L2 strength {strength:.2g}"
    return {"text": text, "title": f"{text}, chosen on {images} validation images." if images else ""}
