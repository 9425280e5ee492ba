"""The first thing on the Results page: what pre-training was worth, in up to three numbers and two sentences."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.shared import formats
from simclr.results import index, wording
from simclr.results.convergence import Convergence
from simclr.results.statistics import Spread
from simclr.results.tables import Results, Verdict


def show(found: Results, own: index.Summary) -> None:
    """The answer at the smallest share of labels, large, and below it the other shares and the price."""
    first, *others = found.verdicts
    scratch = scratch_reach(found, first)
    with st.container(border=True, key="verdict", gap="small"):
        st.markdown(
            f"**What pre-training was worth** with {formats.fraction_text(first.fraction)} of the labels",
            width="content",
        )
        with st.container(horizontal=True, gap="large", key="verdict-numbers"):
            for label, value, instead in tiles(first, scratch, found):
                st.metric(label, value, instead, delta_color="off", delta_arrow="off", width="content")
        sentences = wording.accuracy_sentence(first), wording.speed_sentence(first, scratch, found.clock)
        with st.container(key="verdict-text"):
            st.markdown(" ".join(filter(None, sentences)))
        more = [other_sentence(verdict) for verdict in others]
        st.caption(escape.markdown(" ".join([*more, price_sentence(own, len(found.trials))])))


def scratch_reach(found: Results, verdict: Verdict) -> Convergence | None:
    row = wording.row_of(found.rows, verdict.fraction, "scratch")
    return None if row is None else row.reached


def tiles(verdict: Verdict, scratch: Convergence | None, found: Results) -> list[tuple[str, str, str]]:
    """Label, value, and what it is instead of what: accuracy, and steps and seconds where they were measured."""
    gain, reached = 100 * verdict.gain.mean, verdict.reached
    ours, theirs = wording.share_text(verdict.pretrained), wording.share_text(verdict.scratch)
    sign = "+" if gain > 0.05 else "−" if gain < -0.05 else ""
    shown = [("Test accuracy", f"{sign}{abs(gain):.1f} points", f"{ours} instead of {theirs}")]
    if reached is None or not reached.num_pairs:
        return shown
    goal = f"{wording.LEVEL} of from scratch"
    if not reached.num_reached:
        return [*shown, (f"Steps to {goal}", wording.steps_text(reached), wording.beside(reached, None))]
    for label, ratio, own, other, text in (
        (f"Steps to {goal}", reached.step_ratio, reached.steps, scratch and scratch.steps, wording.steps_of),
        (
            f"{wording.CLOCK_NAMES[found.clock].capitalize().replace('Cpu', 'CPU')} to it",
            reached.second_ratio,
            reached.seconds,
            scratch and scratch.seconds,
            wording.seconds_of,
        ),
    ):
        if ratio is not None:
            instead = f"{text(own)} instead of {text(other or None)}"
            shown.append((label, f"{wording.ratio_text(Spread(ratio.mean))} ×", instead))
    return shown


def other_sentence(verdict: Verdict) -> str:
    """`With 10 % of the labels +4.9 points and 0.59 of the steps.`"""
    gain = wording.points_text(verdict.gain).replace(" pp", " points")
    text = f"With {formats.fraction_text(verdict.fraction)} of the labels {gain}"
    reached = verdict.reached
    if reached is not None and reached.step_ratio is not None:
        text += f" and {wording.ratio_text(reached.step_ratio)} of the steps"
    return formats.true_minus(f"{text}.")


def price_sentence(own: index.Summary, num_seeds: int) -> str:
    """What is not counted."""
    seconds = index.elapsed(own.status)
    took = f"took {formats.duration(seconds)}" if seconds else "is not counted here"
    if not seconds:
        return f"What the pre-training itself took {took}."
    each = " for this seed" if num_seeds > 1 else ""
    return f"The pre-training itself {took}{each}, without labels; it is not counted here."
