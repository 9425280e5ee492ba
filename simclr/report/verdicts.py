"""What each run's own figures say of it: the verdict by rule, with what a failed run left as its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simclr.evaluation import health
from simclr.evaluation.health import Verdict
from simclr.report.subjects import Line, Member
from simclr.runs import health_log


def verdicts_of(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """A row for each run, in the order of the lines."""
    return [_row(member) for line in lines for member in line.members]


def verdict_of(member: Member) -> Verdict:
    """How a run does by its own figures."""
    item, run = member.summary, member.run
    columns, reason, ended = run.metrics(), item.status.reason, not item.is_active
    if item.kind == "pretrain":
        return health.verdict(health_log.read(run.health_path), columns, run.config, reason, ended=ended)
    return health.supervised_verdict(columns, run.config, run.meta, reason, ended=ended)


def _row(member: Member) -> dict[str, Any]:
    item = member.summary
    name = item.name if item.name != item.id else ""
    row: dict[str, Any] = {"label": member.label, "name": name, "id": item.id, "state": item.state}
    if item.state == "queued":
        return row | {
            "severity": "wait",
            "title": "Waiting",
            "sentence": "It has not started.",
            "rule": "",
            "advice": "",
        }
    found = verdict_of(member)
    sentence = found.sentence
    if item.state in ("failed", "stopped") and item.status.error:
        sentence = f"{item.status.error} {sentence}" if found.severity != "wait" else item.status.error
    title = "Failed" if item.state == "failed" and found.severity in ("wait", "ok") else found.title
    severity = "alarm" if item.state == "failed" else found.severity
    return row | {
        "severity": severity,
        "title": title,
        "sentence": sentence,
        "rule": found.rule,
        "advice": found.advice,
    }
