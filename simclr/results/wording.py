"""What the table of results says, in words and numbers: on its page, and on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from simclr.results.convergence import LEVEL_SHARE, REASONS, Clock, Convergence
from simclr.results.statistics import MIN_FOR_INTERVAL, Difference, Spread, image_interval
from simclr.results.tables import ResultRow, Results, Verdict

ARM_NAMES = {  # in the order of the rows: the more is trained, the lower
    "knn": "kNN",
    "linear": "Linear probe",
    "frozen": "Frozen encoder",
    "full": "Fine-tuned",
    "scratch": "From scratch",
}
CLOCK_NAMES: dict[Clock, str] = {"cpu": "CPU-seconds", "wall": "training seconds"}
LEVEL = f"{100 * LEVEL_SHARE:.0f} %"
NOTHING = "–"
MOST_BY_CHANCE = 0.05  # a corrected probability below it tells two apart
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


# --- numbers --------------------------------------------------------------------------------------------------------


def spread_text(found: Spread | None, digits: Callable[[float], int], factor: float = 1, unit: str = "") -> str:
    """`44.3 %`, or `44.3 ± 1.2 %` over several, the deviation as fine as the mean; a dash where there is nothing.

    Args:
        digits: after the point, for a mean of this size.
    """
    if found is None:
        return NOTHING
    num = digits(factor * found.mean)
    values = [found.mean] if found.deviation is None else [found.mean, found.deviation]
    return " ± ".join(f"{factor * value:,.{num}f}" for value in values) + unit


def share_text(found: Spread | None) -> str:
    return spread_text(found, one_digit, 100, " %")


def number_word(number: int) -> str:
    """`two`, `11`."""
    return NUMBERS[number] if number < len(NUMBERS) else f"{number:,}"


def interval_text(found: Difference | None) -> str:
    """`0.6 to 3.4`, in points; a dash where there is none."""
    if found is None or found.low is None or found.high is None:
        return NOTHING
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def probability_text(p: float | None) -> str:
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def points_text(found: Spread | Difference | None) -> str:
    """A difference of shares in percentage points: `+12.0 pp`; nothing is neither plus nor minus."""
    if found is None:
        return NOTHING
    sign = "" if abs(found.mean) < 5e-4 else "+" if found.mean > 0 else "-"
    return sign + spread_text(Spread(abs(found.mean), found.deviation, found.num), one_digit, 100, " pp")


def one_digit(mean: float) -> int:
    return 1


def step_digits(mean: float) -> int:
    """`1 128`, `45`, `6`, `7.5`."""
    return 0 if mean >= 10 or mean == round(mean) else 1


def second_digits(mean: float) -> int:
    """`203`, `8.6`, `0.03`."""
    return 0 if mean >= 100 else 1 if mean >= 1 else 2


def ratio_digits(mean: float) -> int:
    """`12.0`, `1.50`, `0.40`, `0.022`, `0.0031`."""
    return 1 if mean >= 9.95 else 2 if mean >= 0.0995 or not mean else 3 if mean >= 0.00995 else 4


def steps_of(found: Spread | None) -> str:
    return spread_text(found, step_digits)


def count_text(value: float) -> str:
    """A number of steps."""
    return spread_text(Spread(value), step_digits)


def seconds_of(found: Spread | None) -> str:
    return spread_text(found, second_digits)


def ratio_text(found: Spread | None) -> str:
    return spread_text(found, ratio_digits)


# --- one row --------------------------------------------------------------------------------------------------------


def steps_text(found: Convergence | None) -> str:
    """Steps until the level, or that it was never reached."""
    if found is None or not found.num_pairs:
        return NOTHING
    if not found.num_reached:
        return "not yet" if found.num_going_on else "never"
    return steps_of(found.steps)


def second_text(found: Convergence | None) -> str:
    return NOTHING if found is None else seconds_of(found.seconds)


def beside(found: Convergence | None, ratio: Spread | None, reference: str = "scratch") -> str:
    """The small line below steps or seconds: as a share of the reference's, and how many seeds it speaks for."""
    if found is None or not found.num_pairs:
        return ""
    if not found.num_reached:
        return f"in {count_text(found.num_steps)} steps" if found.num_steps else ""
    parts = [f"{ratio_text(ratio)} of {reference}"] if ratio is not None else []
    if found.num_reached < found.num_pairs:
        parts.append(f"{found.num_reached} of {found.num_pairs} seeds")
    return " · ".join(parts)


def notes(found: Results) -> list[str]:
    """What the numbers of steps do not say themselves, one sentence each."""
    sentences: dict[str, None] = {}
    for row in found.rows:
        reached = row.reached
        if reached is None:
            continue
        where = f"with {100 * row.fraction:g} % of the labels"
        name = ARM_NAMES[row.protocol].lower()
        num_left = reached.num_pairs - reached.num_reached
        if num_left and row.protocol != "scratch":
            who = f"{num_left} of {reached.num_pairs} seeds of {name} {'has' if num_left == 1 else 'have'}"
            if num_left == reached.num_pairs:
                who = f"{name} has" if num_left == 1 else f"no seed of {name} has"
            yet = "come to it yet" if reached.num_going_on == num_left else "come to it"
            verb = "" if who.startswith("no ") else " not" if yet.endswith("yet") else " never"
            held = "; the means are those of the others" if reached.num_reached else ""
            steps = count_text(reached.num_steps)
            sentences[f"{capital(where)}, {who}{verb} {yet} in {steps} steps{held}."] = None
        for reason in reached.missing:
            some = f", for some of {len(found.trials)} seeds" if reached.num_pairs else ""
            if reason == "not measured":
                sentences[f"{capital(name)} {where} has no steps to {LEVEL}: {REASONS[reason]}{some}."] = None
            else:
                sentences[f"{capital(where)} there is no level to reach: {REASONS[reason]}{some}."] = None
        if reached.batch_sizes is not None:
            ours, scratch = reached.batch_sizes
            sentences[
                f"{capital(where)}, a step of {name} is {ours:,} images and one of from scratch {scratch:,}: compare "
                "their seconds, not their steps."
            ] = None
    return list(sentences)


def capital(text: str) -> str:
    """A text as it begins a sentence; what is written in its own way, as kNN, stays so."""
    return text if text.startswith("kNN") else text[:1].upper() + text[1:]


# --- the answer -----------------------------------------------------------------------------------------------------


def seeds_text(found: Verdict) -> str:
    return f" (mean ± standard deviation of {found.gain.num} seeds)" if found.gain.num > 1 else ""


def accuracy_sentence(found: Verdict) -> str:
    """What it was worth in accuracy, and how sure that is; the accuracy itself stands between asterisks."""
    gap = found.gain
    sign = "more" if gap.mean >= 0 else "less"
    gain = spread_text(Spread(abs(gap.mean), gap.deviation, gap.num), one_digit, 100)
    interval, apart = "", ""
    if gap.low is not None and gap.high is not None:
        ends = gap if gap.mean >= 0 else replace(gap, low=-gap.high, high=-gap.low)
        interval = f"; 95 % interval of the difference {interval_text(ends)} points, paired by seed"
    if found.p is not None and found.p >= MOST_BY_CHANCE:
        apart = f" {capital(number_word(gap.num))} seeds do not tell them apart."
    return (
        f"With {100 * found.fraction:g} % of the labels, the pre-trained encoder reaches "
        f"**{share_text(found.pretrained)}**{seeds_text(found)}: {gain} points {sign} than the same network from "
        f"scratch ({share_text(found.scratch)}{interval}).{apart}"
    )


def certainty(row: ResultRow) -> str:
    """How sure the difference of a row is; empty of fewer than three seeds."""
    if row.p is None:
        return ""
    return (
        f"95 % interval {interval_text(row.gain)} points, paired by seed; p {probability_text(row.p)}, corrected for "
        "the number of rows (Holm)"
    )


def how_sure(found: Results) -> str:
    """What fewer seeds than an interval takes leave open, and what the number of test images does; empty without an
    answer."""
    first = next(iter(found.verdicts), None)
    if first is None:
        return ""
    parts = []
    if first.gain.num == 1:
        parts.append("One seed says nothing of what another would reach")
    elif first.gain.num < MIN_FOR_INTERVAL:
        parts.append(
            f"{capital(number_word(first.gain.num))} seeds allow no interval; {number_word(MIN_FOR_INTERVAL)} do"
        )
    row = row_of(found.rows, first.fraction, first.arm)
    number = found.evaluations.get(row.runs[0].id, {}).get("num_test_images") if row is not None else None
    if type(number) is int and number > 0 and 0 <= first.pretrained.mean <= 1:
        low, high = image_interval(first.pretrained.mean, number)
        the = "the" if parts else "The"
        reach = f"{50 * (high - low):.1f}"
        parts.append(f"{the} {number:,} test images alone leave ± {reach} points of an accuracy (95 % interval)")
    return f"{'; '.join(parts)}." if parts else ""


def speed_sentence(found: Verdict, scratch: Convergence | None, clock: Clock) -> str:
    """What it was worth in steps; empty where that was not measured.

    Args:
        scratch: how soon from scratch itself was there.
    """
    reached = found.reached
    if reached is None or not reached.num_pairs:
        return ""
    goal = f"{LEVEL} of from scratch's final accuracy on the validation images"
    if not reached.num_reached:
        yet = "has not come to" if reached.num_going_on else "never comes to"
        return f"It {yet} {goal}, in {count_text(reached.num_steps)} steps."
    if reached.step_ratio is None:
        return ""
    steps = steps_of(reached.steps)
    instead = f" instead of {steps_of(scratch.steps)}" if scratch is not None and scratch.steps else ""
    text = f"It comes to {goal} in **{ratio_text(reached.step_ratio)} of the steps** ({steps}{instead})"
    if reached.second_ratio is not None:
        text += f" and {ratio_text(reached.second_ratio)} of the {CLOCK_NAMES[clock]}"
    left = reached.num_pairs - reached.num_reached
    return f"{text}; {left} of {reached.num_pairs} seeds never did." if left else f"{text}."


def row_of(rows: Sequence[ResultRow], fraction: float, protocol: str) -> ResultRow | None:
    return next((row for row in rows if (row.fraction, row.protocol) == (fraction, protocol)), None)


def answers(found: Results) -> list[str]:
    """What it was worth with each share of the labels, in accuracy and in steps; figures stand between asterisks."""
    sentences = []
    for verdict in found.verdicts:
        scratch = row_of(found.rows, verdict.fraction, "scratch")
        speed = speed_sentence(verdict, scratch.reached if scratch is not None else None, found.clock)
        sentences.append(f"{accuracy_sentence(verdict)} {speed}".strip())
    return sentences


# --- the table ------------------------------------------------------------------------------------------------------


def table(found: Results) -> list[list[str]]:
    """Head and rows, as texts."""
    head = ["trained", "labels", "accuracy", "against scratch", "95 % interval", "p (Holm)", f"steps to {LEVEL}"]
    head.append("of scratch")
    return [[*head, CLOCK_NAMES[found.clock], "of scratch", "seeds"], *map(_cells, found.rows)]


def _cells(row: ResultRow) -> list[str]:
    reached = row.reached
    steps, seconds = (None, None) if reached is None else (reached.step_ratio, reached.second_ratio)
    is_scratch = row.protocol == "scratch"
    return [
        ARM_NAMES[row.protocol],
        f"{100 * row.fraction:g} %",
        share_text(row.accuracy) if row.accuracy is not None else row.runs[0].state,
        points_text(row.gain),
        interval_text(row.gain),
        probability_text(row.p),
        steps_text(reached),
        NOTHING if is_scratch else ratio_text(steps),
        second_text(reached),
        NOTHING if is_scratch else ratio_text(seconds),
        ", ".join(sorted({str(run.seed) for run in row.runs}, key=lambda text: text.zfill(20))),
    ]
