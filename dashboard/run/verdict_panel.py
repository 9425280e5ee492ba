"""The verdict on top of the Run page: one sentence on what a run's own figures say, with its rule behind a click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components import escape
from simclr.evaluation import health
from simclr.evaluation.health import Rule, Verdict
from simclr.results import index
from simclr.runs import Run, health_log, metrics_csv
from simclr.runs.health_log import Row

BADGES = {
    "wait": ("gray", "hourglass_top"),
    "ok": ("green", "check_circle"),
    "note": ("orange", "info"),
    "alarm": ("red", "warning"),
}
DIVERGED = "diverged"


def rows_of(run: Run) -> list[Row]:
    """The lines of its `health.jsonl`, read again only when the file changed."""
    kept = _kept(str(run.health_path))
    if kept["signature"] != (signature := metrics_csv.signature(run.health_path)):
        kept |= {"signature": signature, "rows": health_log.read(run.health_path)}
    return kept["rows"]


@st.cache_resource(max_entries=16, ttl=600, show_spinner=False)
def _kept(path: str) -> dict[str, Any]:
    """Of a file only what it holds now: that of a run which is watched changes all the time."""
    return {"signature": None, "rows": []}


def verdict_of(run: Run, summary: index.Summary, epoch: int | None = None) -> Verdict:
    """How the run does now, or did after an epoch."""
    columns: Mapping[str, Sequence[float]] = metrics_csv.live_columns(run.metrics_path)
    reason, ended = summary.status.reason, not summary.is_active
    rows = rows_of(run) if summary.kind == "pretrain" else []
    if epoch is not None:
        rows, columns = health.up_to(rows, columns, epoch)
        reason, ended = "", False
    if summary.kind == "pretrain":
        return health.verdict(rows, columns, run.config, reason, ended=ended)
    return health.supervised_verdict(columns, run.config, run.meta, reason, ended=ended)


def badge(found: Verdict) -> str:
    color, icon = BADGES[found.severity]
    return f":{color}-badge[:material/{icon}: {escape.markdown(found.title)}]"


def line(found: Verdict, rules: Sequence[Rule], key: str, *, before: str = "") -> None:
    """A verdict as a badge with its sentence and what to do; the rules are one click away."""
    with st.container(horizontal=True, vertical_alignment="top", gap="small", key=key):
        with st.container(width="stretch", gap=None, key=f"{key}-text"):
            st.markdown(f"{before}{badge(found)} {escape.markdown(found.sentence)}")
            if found.advice:
                st.caption(escape.markdown(found.advice))
        why(found, rules)


def why(found: Verdict, rules: Sequence[Rule]) -> None:
    """When this is said, and what else is looked for."""
    with st.popover("Why", type="tertiary", icon=":material/help:", width="content"):
        st.markdown(f"**{escape.markdown(found.title)}**  \n{escape.markdown(found.rule)}")
        if found.since is not None:
            st.caption(f"True from epoch {found.since} on.")
        others = [rule for rule in rules if rule.text != found.rule]
        with st.container(height=280, border=True, gap="small"):
            st.caption("What else is looked for; the first that holds, in this order, is said:")
            for rule in others:
                color = BADGES[rule.severity][0]
                st.markdown(f":{color}-badge[{escape.markdown(rule.title)}] {escape.markdown(rule.text)}")


def rules_of(summary: index.Summary) -> Sequence[Rule]:
    return health.PRETRAIN_RULES if summary.kind == "pretrain" else health.SUPERVISED_RULES


def headline(run: Run, summary: index.Summary) -> None:
    """The one answer of the page: why it failed, else how it does."""
    found = verdict_of(run, summary)
    if summary.state == "failed":
        sentence = escape.markdown(summary.status.error or "It failed.")
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="failure"):
            diverged = found.state == DIVERGED
            st.error(f"**{found.title}.** {sentence}" if diverged else sentence, icon=":material/error:")
            if diverged:
                why(found, rules_of(summary))
        if diverged or found.severity == "wait":
            return
    elif summary.state == "stopped" and summary.status.error:
        st.warning(escape.markdown(summary.status.error))
    line(found, rules_of(summary), "run-verdict")


def advice(run: Run, summary: index.Summary) -> None:
    """What could be faster or larger, below the figures that tell it."""
    for found in health.advice(summary.status, run.config, run.meta):
        line(found, health.SPEED_RULES, f"advice-{found.state.replace(' ', '-')}")
