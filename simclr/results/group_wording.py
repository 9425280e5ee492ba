"""What a group of runs says, in sentences with their uncertainty, and its table as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simclr.results import groups, wording
from simclr.results.convergence import Convergence
from simclr.results.groups import Cell, Compared, Find, Group, LabelKind, Measure
from simclr.results.statistics import MIN_FOR_INTERVAL, Difference, Spread, image_interval

MOST_NAMED = 3  # settings of which an answer says by how much; the table has all


def setting_name(setting: Mapping[str, str]) -> str:
    """`temperature 0.2, epochs 10`; empty where there is no axis."""
    return ", ".join(f"{axis} {label}" for axis, label in setting.items())


def cell_name(cell: Cell) -> str:
    """What a cell is called in a sentence: `temperature 0.2`, `fine-tuned on 1 % of the labels`."""
    parts = [setting_name(cell.setting)]
    if cell.arm is not None and cell.share is not None:
        parts.append(f"{wording.ARM_NAMES[cell.arm].lower()}, {cell.share.phrase}")
    return ", ".join(filter(None, parts)) or "one setting"


def short_name(cell: Cell, other: Cell) -> str:
    """The same without what it shares with another cell."""
    parts = [
        label if len(cell.setting) == 1 else f"{axis} {label}"
        for axis, label in cell.setting.items()
        if other.setting.get(axis) != label
    ]
    if cell.arm is not None and (cell.arm != other.arm or not parts):
        parts.append(wording.ARM_NAMES[cell.arm].lower())
    if cell.share is not None and cell.share != other.share:
        parts.append(cell.share.phrase)
    return ", ".join(parts)


def difference_text(found: Difference | None) -> str:
    """`+2.1 points`, with their spread where there are several seeds."""
    if found is None:
        return wording.NOTHING
    text = f"{100 * found.mean:+.1f}"
    return text if found.deviation is None else f"{text} ± {100 * found.deviation:.1f}"


def answer(group: Group, found: Sequence[Cell], measure: Measure, num_images: int | None = None) -> str:
    """The answer of a group in a sentence with its uncertainty, or that there is none yet.

    Args:
        found: cells of the measure, of one arm and label fraction where there are several.
        num_images: that the figure was measured on, where known.
    """
    if groups.asks_for_arms(group) and any(cell.arm == "scratch" for cell in found):
        return _label_answer(group, found, measure, num_images)
    if group.is_choice and measure.is_test:
        return _tested_answer(group, found, measure, num_images)
    if group.has_variants and len(groups.trained_alike(found)) > 1:
        return _variants_answer(group, found, measure)
    first = groups.best(found)
    if first is None or first.spread is None:
        return _nothing_yet(group)
    name = cell_name(first)
    text = f"**{name[0].upper()}{name[1:]}: {wording.share_text(first.spread)}** (n {first.spread.num})"
    second = groups.rival(group, found)
    if second is None:
        text += f". {_repeats_sentence(first.spread.num, group)}"
    else:
        compared = next(item for item in groups.compare(found, second) if item.cell is first)
        text += f", {_beside(compared, second, first, group)}"
    text += f" {_what(measure, found)}{_images_sentence(first.spread, num_images)}"
    return f"{text}{_still(found)}".strip()


def _variants_answer(group: Group, found: Sequence[Cell], measure: Measure) -> str:
    """How many of the differences from the baseline, over arms and labels, can be told from chance, and which."""
    known = [
        (item.cell, item.difference, item.p)
        for item in groups.compared_in(group, found, measure)
        if item.difference is not None
    ]
    if not known:
        return _nothing_yet(group)
    largest = sorted(known, key=lambda item: -abs(item[1].mean))
    told = [item for item in largest if item[2] is not None and item[2] < wording.MOST_BY_CHANCE]
    name, num = reference_name(group, measure), max(gap.num for _, gap, _ in known)
    others = f"{wording.number_word(len(known))} setting{'s' if len(known) > 1 else ''}"
    tests = f"{wording.number_word(num)} {plural(group) if num > 1 else group.unit}"
    if told:
        head = f"**{wording.number_word(len(told)).capitalize()} of {others} can be told apart from {name}** by {tests}"
        more = f"; and {wording.number_word(len(told) - MOST_NAMED)} more" if len(told) > MOST_NAMED else ""
        text = f"{head}: {'; '.join(_variant(*item) for item in told[:MOST_NAMED])}{more}."
    elif all(p is None for _, _, p in known):
        text = f"**The largest difference from {name}: {_variant(*largest[0])}** (n {num}). {_too_few(num, group)}"
    else:
        head = f"**None of {others} can be told apart from {name}** by {tests}"
        text = f"{head}; the largest difference: {_variant(*largest[0])}."
    corrected = "" if all(p is None for _, _, p in known) else ", corrected for their number (Holm)"
    return f"{text} {measure.title}, paired by {group.unit}{corrected}.{_still(found)}"


def _variant(cell: Cell, gap: Difference, p: float | None) -> str:
    """`mixup, fine-tuned, 1 % of the labels: +2.1 points (0.6 to 3.4)`."""
    names = [_value_name(cell.setting)]
    if cell.arm is not None and cell.share is not None:
        names += [wording.ARM_NAMES[cell.arm].lower(), cell.share.phrase]
    interval = "" if gap.low is None else f" ({wording.interval_text(gap)})"
    return f"{', '.join(names)}: {100 * gap.mean:+.1f} points{interval}"


def _tested_answer(group: Group, found: Sequence[Cell], measure: Measure, num_images: int | None) -> str:
    """What the setting that validation images chose is worth on test images, which had no part in the choice."""
    choice = groups.tested_choice(found)
    first = choice.chosen if choice is not None else None
    if choice is None or first is None or first.spread is None:
        number = sum(cell.spread is not None for cell in found)
        settings = "One setting has" if number == 1 else f"{wording.number_word(number).capitalize()} settings have"
        return f"{settings} test figures, and the choice was not tested. {measure.title}."
    second, name = choice.baseline, cell_name(first)
    text = f"**{name[0].upper()}{name[1:]}: {wording.share_text(first.spread)}** (n {first.spread.num})"
    if second is not None and second.spread is not None:
        (compared,) = groups.compare([first], second)
        text += f", {_beside(compared, second, first, group)}"
    else:
        text += f". {_repeats_sentence(first.spread.num, group)}"
    by = next((item.label for item in groups.MEASURES if item.key == choice.tested.measure), "validation images")
    chosen = f"{measure.title}; chosen before from {wording.number_word(choice.tested.num_settings)} settings by {by}."
    return f"{text} {chosen}{_images_sentence(first.spread, num_images)}"


def _still(found: Sequence[Cell]) -> str:
    number = sum(item.is_active for cell in found for item in cell.runs)
    return f" So far: {number:,} of {sum(len(cell.runs) for cell in found):,} runs are still to come." if number else ""


def _label_answer(group: Group, found: Sequence[Cell], measure: Measure, num_images: int | None) -> str:
    """What pre-training is worth beside from scratch: in points with the fewest labels, and in labels."""
    for share in group.shares:
        same = [cell for cell in found if cell.share == share]
        scratch = next((cell for cell in same if cell.arm == "scratch"), None)
        first = groups.best([cell for cell in same if cell.arm != "scratch"])
        if first is None or scratch is None or first.spread is None or scratch.spread is None or first.arm is None:
            continue
        (compared,) = groups.compare([first], scratch)
        name = wording.ARM_NAMES[first.arm].lower()
        reached = f"With {share.phrase}, {name}: {wording.share_text(first.spread)}"
        text = f"**{reached}** (n {first.spread.num})"
        text += f", {_beside(compared, scratch, first, group)}"
        worth, kind = groups.worth_in_labels(found, first.arm), groups.label_kind(found)
        if worth is not None and _is_ahead(compared):
            text += (
                f" At {100 * worth.accuracy:.0f} % pre-training is worth {worth.ratio:.1f} times the labels: from "
                f"scratch takes {amount_text(worth.scratch_amount, kind)} where {name} takes "
                f"{amount_text(worth.amount, kind)}."
            )
        return f"{text} {_what(measure, [first])}{_images_sentence(first.spread, num_images)}{_still(found)}"
    return _nothing_yet(group)


def _is_ahead(compared: Compared) -> bool:
    """Whether it is above what it is set against, as far as its repeats can tell: else it is worth no labels."""
    gap = compared.difference
    return gap is None or (gap.mean > 0 and (compared.p is None or compared.p < wording.MOST_BY_CHANCE))


def amount_text(amount: float, kind: LabelKind) -> str:
    """`4.2 %`, `21 per class`, `210 labels`."""
    if kind == "share":
        return f"{100 * amount:.2g} %"
    digits = f"{amount:,.0f}" if amount >= 10 or amount == round(amount) else f"{amount:.1f}"
    return f"{digits} per class" if kind == "per class" else f"{digits} labels"


def _beside(compared: Compared, second: Cell, first: Cell, group: Group) -> str:
    gap, name = compared.difference, short_name(second, first) or cell_name(second)
    if gap is None:
        return (
            f"{_gap_text(first.spread.mean - second.spread.mean)} {name}, on other {plural(group)}: not paired."
            if first.spread and second.spread
            else f"beside {name}."
        )
    text = f"{_gap_text(gap.mean)} {name}"
    if gap.low is None or gap.high is None:
        return f"{text}. {_too_few(gap.num, group)}"
    text += f" (95 % interval {wording.interval_text(gap)}, paired by {group.unit})"
    if compared.p is not None and compared.p >= wording.MOST_BY_CHANCE:
        return f"{text}: {wording.number_word(gap.num)} {plural(group)} do not tell them apart."
    return f"{text}."


def _gap_text(gap: float) -> str:
    """`2.1 points above`."""
    return f"{100 * abs(gap):.1f} points {'below' if gap < 0 else 'above'}"


def plural(group: Group) -> str:
    """`seeds`, or `draws of the labels`."""
    return group.unit.replace("seed", "seeds").replace("draw", "draws")


def _too_few(num: int, group: Group) -> str:
    repeats = (
        f"One {group.unit} allows" if num == 1 else f"{wording.number_word(num).capitalize()} {plural(group)} allow"
    )
    return f"{repeats} no interval; {wording.number_word(MIN_FOR_INTERVAL)} do."


def _repeats_sentence(num: int, group: Group) -> str:
    if num == 1:
        return f"One {group.unit} says nothing of its spread."
    return f"Mean and standard deviation over the {plural(group)}."


def _what(measure: Measure, found: Sequence[Cell]) -> str:
    number = sum(cell.spread is not None for cell in found)
    return f"{measure.title}, the best of {number:,} settings." if number > 1 else f"{measure.title}."


def _images_sentence(found: Spread, num_images: int | None) -> str:
    """How far the number of images alone may move a figure."""
    if not num_images:
        return ""
    low, high = image_interval(min(1.0, max(0.0, found.mean)), num_images)
    return f" The {num_images:,} images alone leave ± {50 * (high - low):.1f} points."


def _nothing_yet(group: Group) -> str:
    if group.is_active:
        return f"{group.count('finished'):,} of {len(group.members):,} runs are finished; none has a figure yet."
    failed = group.count("failed")
    if failed:
        return f"No run has a figure: {failed:,} of {len(group.members):,} failed."
    return "No run has a figure yet: the runs were stopped."


def _value_name(setting: Mapping[str, str]) -> str:
    """`mixup`; with the axis of a number, and of several axes: `mixup_alpha 0.2`."""
    label, *more = setting.values()
    return setting_name(setting) if more or label.replace(".", "").isdecimal() else label


def reference_name(group: Group, measure: Measure) -> str:
    """What the cells of a group are set against."""
    if group.is_choice and measure.is_test:
        return "the baseline"
    if group.has_variants and measure.of == groups.SUPERVISED:
        return _value_name(group.baseline)
    return "scratch" if groups.asks_for_arms(group) else "the best"


def table(group: Group, found: Sequence[Cell], measure: Measure, find: Find) -> list[list[str]]:
    """Head and rows of a group's table as texts: settings, n, mean and deviation, difference from the reference, and
    how soon each is nearly as good as it."""
    compared = groups.compared_in(group, found, measure)
    axes = list(found[0].setting) if found else []
    with_arms = any(cell.arm is not None for cell in found)
    soon, clock = groups.convergence_in(compared, find)
    with_steps = any(each is not None and each.num_pairs for each in soon)
    name = reference_name(group, measure)
    head = [*axes, *(["trained", "labels"] if with_arms else []), "n", "accuracy"]
    head += [f"against {name}", "95 % interval", "p (Holm)"]
    if with_steps:
        head += [f"steps to {wording.LEVEL}", f"of {name}", wording.CLOCK_NAMES[clock], f"of {name}"]
    rows = [head]
    for item, reached in zip(compared, soon, strict=True):
        cell = item.cell
        names = [cell.setting.get(axis, wording.NOTHING) for axis in axes]
        if with_arms:
            names += [
                wording.ARM_NAMES.get(cell.arm or "", wording.NOTHING),
                cell.share.text if cell.share is not None else wording.NOTHING,
            ]
        state = wording.share_text(cell.spread) if cell.spread is not None else cell.runs[0].state
        num = str(cell.spread.num if cell.spread is not None else 0)
        rows.append(
            [
                *names,
                num,
                state,
                difference_text(item.difference),
                wording.interval_text(item.difference),
                wording.probability_text(item.p),
                *(_soon(reached, item.reference is None) if with_steps else []),
            ]
        )
    return rows


def _soon(reached: Convergence | None, is_reference: bool) -> list[str]:
    """Steps and seconds, each with its share of the reference's."""
    ratios = (None, None) if reached is None or is_reference else (reached.step_ratio, reached.second_ratio)
    return [
        wording.steps_text(reached),
        wording.ratio_text(ratios[0]),
        wording.second_text(reached),
        wording.ratio_text(ratios[1]),
    ]
