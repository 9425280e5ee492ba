"""The answer of each subject in sentences with their uncertainty, and its tables with statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simclr.curves import colors
from simclr.files import safe_read
from simclr.report.subjects import KIND_NAMES, Subject
from simclr.results import group_wording, groups, table_formats, wording
from simclr.results.groups import MEASURES, Group, Measure
from simclr.results.index import Summary
from simclr.results.statistics import Spread, image_interval

WIDTH, HEIGHT = 160, 16  # of the small picture in a row, in its own units


def of_subject(subject: Subject) -> dict[str, Any]:
    """What a subject says: `lead`, sentences whose parts may be bold; `facts`; and `tables`."""
    if subject.group is not None:
        return _of_group(subject, subject.group)
    if subject.results is not None:
        sentences = [*wording.answers(subject.results), *filter(None, [wording.how_sure(subject.results)])] or _of_run(
            subject
        )
        return {
            "lead": [bold_parts(text) for text in sentences],
            "facts": facts(subject),
            "tables": [_of_results(subject)],
        }
    return {"lead": [bold_parts(text) for text in _of_run(subject)], "facts": facts(subject), "tables": []}


def bold_parts(text: str) -> list[dict[str, Any]]:
    """A sentence cut where it has `**`: each part with whether it is bold."""
    return [{"text": part, "bold": place % 2 == 1} for place, part in enumerate(text.split("**")) if part]


def facts(subject: Subject) -> list[str]:
    """What the runs share, in a few words each."""
    first, found = subject.own, subject.summaries
    seeds = {repr(item.seed) for item in found if item.seed is not None}
    finished = sum(item.state == "finished" for item in found)
    words = [
        f"{finished} of {len(found)} runs finished"
        if len(found) > 1
        else f"{wording.capital(_kind(first))}, {first.state}",
        f"data set {first.dataset}" if first.dataset else "",
        first.backbone,
        f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}" if len(found) > 1 else f"seed {first.seed}",
    ]
    if subject.group is not None and subject.group.is_choice:
        words.append("chosen on validation images" + ("" if subject.group.tests else ", no test image read"))
    return [word for word in words if word]


def _kind(item: Summary) -> str:
    return KIND_NAMES.get(item.kind, "run")


# --- groups -----------------------------------------------------------------------------------------------------------


def _of_group(subject: Subject, group: Group) -> dict[str, Any]:
    offered = groups.measures_of(group, subject.find)
    lead: list[str] = []
    shown = []
    for measure in offered:
        found = groups.shown_cells(group, groups.cells(group, measure, subject.find), measure)
        if not found:
            continue
        best = groups.first_of(group, found, measure)
        text = group_wording.answer(group, found, measure, groups.num_images_of(best, measure, subject.find))
        spreads = [cell.spread for cell in found]
        table: dict[str, Any] = {
            "title": measure.title,
            "answer": bold_parts(text) if lead else [],
            "rows": table_formats.without_empty(group_wording.table(group, found, measure, subject.find)),
            "pictures": pictures(spreads, [list(cell.values.values()) for cell in found], [cell.arm for cell in found]),
            "best": [cell is best for cell in found] if len(found) > 1 else [],
            "ends": [],
            "notes": [_how(group, measure)],
        }
        lead = lead or [text]
        if any(spreads):
            shown.append(table)
    return {"lead": [bold_parts(text) for text in lead], "facts": facts(subject), "tables": shown}


def _how(group: Group, measure: Measure) -> str:
    """How to read a table of a group."""
    reference = "from scratch on the same labels" if groups.asks_for_arms(group) else "the best setting"
    if group.has_variants and measure.of == groups.SUPERVISED:
        reference = f"{group_wording.reference_name(group, measure)} with the same labels, trained in the same way"
    if group.is_choice and measure.is_test:
        reference = "the baseline that was tested beside the choice"
    counted = "best" if measure.key == "val_top1" else "last"
    when = "" if measure.is_test else f" of the {counted} epoch"
    repeats = group_wording.plural(group)
    return (
        f"{measure.title}{when}, mean ± standard deviation over n {repeats}. Differences, in points, are those from "
        f"{reference}, paired by {group.unit}, with their 95 % interval (Student's t) where there are three or more; "
        "p is corrected for the number of comparisons (Holm). In the picture, the dot is the mean, the bar the "
        f"standard deviation, and pale dots are the {repeats}."
    )


# --- a pre-training with its partners ---------------------------------------------------------------------------------


def _of_results(subject: Subject) -> dict[str, Any]:
    found = subject.results
    assert found is not None
    spreads = [row.accuracy for row in found.rows]
    seeds = [[value for run in row.runs if (value := _tested(run, row.protocol)) is not None] for row in found.rows]
    num = len(found.trials)
    over = f"Mean ± standard deviation over {num} seeds, each set against its own from scratch. " if num > 1 else ""
    labels = (
        "Every way of training with the same seed uses the same labelled images; from scratch is the same network with "
        "random first weights. "
        if found.verdicts
        else ""
    )
    level = f"{wording.LEVEL} of from scratch's final accuracy on validation images"
    reached = f"Steps to {wording.LEVEL}: until {level}. " if found.verdicts else ""
    return {
        "title": "Accuracy on test images",
        "answer": [],
        "rows": table_formats.without_empty(wording.table(found)),
        "pictures": pictures(spreads, seeds, [row.protocol for row in found.rows]),
        "best": [row.is_best for row in found.rows],
        "ends": [row.is_last for row in found.rows],
        "notes": [f"{over}{labels}{reached}Test images are looked at once, at the end.", *wording.notes(found)],
    }


def _tested(item: Summary, protocol: str) -> float | None:
    return {"knn": item.test_knn, "linear": item.test_linear}.get(protocol, item.test_accuracy)


# --- one run ----------------------------------------------------------------------------------------------------------


def _of_run(subject: Subject) -> list[str]:
    """What one run says so far."""
    item, run = subject.own, subject.find(subject.own.id)
    status, what = item.status, wording.capital(_kind(item))
    if item.state == "queued":
        return ["**It waits for its turn.** Nothing was trained yet, so there is no answer."]
    if item.state == "failed":
        return [f"**It failed.** {status.error or 'It left no reason.'}", *_validation(item)]
    done = f"epoch {status.epoch} of {status.epochs}" if status.epochs else "its first epoch"
    if item.is_active:
        return [f"**It is still training**, in {done}.", *_validation(item)]
    if item.state == "stopped":
        return [f"**It was stopped** after {done}.", *_validation(item)]
    sentences = []
    for measure in MEASURES:
        value = safe_read.finite_number(getattr(item, measure.source, None)) if measure.is_test else None
        if value is None or not 0 <= value <= 1 or item.kind not in measure.of:
            continue
        number = run.evaluation.get("num_test_images") if run is not None else None
        text = f"{measure.title}: **{wording.share_text(Spread(value))}**"
        if type(number) is int and number > 0:
            low, high = image_interval(value, number)
            text += f" (95 % interval of {number:,} images: {100 * low:.1f} to {100 * high:.1f} %)"
        sentences.append(f"{text}.")
    if sentences:
        return [*sentences, "One seed says nothing of what another would reach."]
    return _validation(item) or [f"{what} has ended, and has no figures."]


def _validation(item: Summary) -> list[str]:
    """The best figure on validation images so far."""
    value = item.best_knn if item.kind == "pretrain" else item.status.accuracy
    if value is None or not 0 <= value <= 1:
        return []
    name = "kNN accuracy" if item.kind == "pretrain" else "Accuracy"
    return [f"{name} on validation images, the best so far: **{wording.share_text(Spread(value))}**."]


# --- the small pictures in tables -------------------------------------------------------------------------------------


def pictures(
    spreads: Sequence[Spread | None], seeds: Sequence[Sequence[float]], arms: Sequence[str | None]
) -> dict[str, Any] | None:
    """A dot with its deviation for each row, on one scale: `rows` of places 0 to `WIDTH`, and the scale's two ends.

    Args:
        seeds: figures behind each spread. arms: ways of training, which have a colour.

    Returns:
        None where fewer than two rows have a figure: there is nothing to set beside each other.
    """
    known = [each for each in spreads if each is not None]
    if len(known) < 2:
        return None
    values = [value for row in seeds for value in row]
    lows = [each.mean - (each.deviation or 0) for each in known]
    highs = [each.mean + (each.deviation or 0) for each in known]
    low, high = min(values + lows), max(values + highs)
    margin = max(0.005, 0.08 * (high - low))
    low, high = max(0.0, low - margin), min(1.0, high + margin)

    def place(value: float) -> float:
        return round(WIDTH * (min(max(value, low), high) - low) / (high - low), 1)

    rows: list[dict[str, Any] | None] = []
    for each, own, arm in zip(spreads, seeds, arms, strict=True):
        if each is None:
            rows.append(None)
            continue
        bar = (place(each.mean - each.deviation), place(each.mean + each.deviation)) if each.deviation else None
        dots = [place(value) for value in own if each.num > 1]
        rows.append({"mean": place(each.mean), "bar": bar, "seeds": dots, "color": colors.ARM_COLORS.get(arm or "")})
    return {"rows": rows, "low": f"{100 * low:.0f} %", "high": f"{100 * high:.0f} %"}
