"""How far a group of runs is, and how long the rest will take."""

from __future__ import annotations

from simclr.results import groups, index
from simclr.results.groups import Group
from simclr.results.index import LabelShare, Summary

Like = tuple[str, str | None, LabelShare | None]


def counts(group: Group) -> str:
    """`26 of 30 runs finished, 2 running, 2 waiting, 1 failed`."""
    found = [
        ("running", group.count(*groups.ACTIVE)),
        ("waiting", group.count("queued")),
        ("stopped", group.count("stopped")),
        ("failed", group.count("failed")),
    ]
    parts = [f"{group.count('finished'):,} of {len(group.members):,} runs finished"]
    return ", ".join(parts + [f"{number:,} {word}" for word, number in found if number])


def seconds_left(group: Group) -> float | None:
    """How long the runs that go on and wait will take, as long as those like them took, as many at once as now.

    Like a run are those of its kind that were trained in the same way on as many labels; where none of them is done,
    those of its kind.

    Returns:
        None while nothing goes on, and where no run says how long one takes.
    """
    left = [item for item in group.members if item.state in ("queued", *groups.ACTIVE)]
    running = sum(item.state in groups.ACTIVE for item in left)
    if not left:
        return None
    took: dict[Like, list[float]] = {}
    for item in group.members:
        seconds = index.elapsed(item.status)
        if item.state == "finished" and seconds:
            for key in (_like(item), (item.kind, None, None)):
                took.setdefault(key, []).append(seconds)
    total = 0.0
    for item in left:
        known = took.get(_like(item)) or took.get((item.kind, None, None))
        if item.status.eta_seconds is not None and item.state != "queued":
            total += item.status.eta_seconds
        elif known is None:
            return None
        else:
            done = index.elapsed(item.status) or 0.0 if item.state != "queued" else item.status.seconds_before
            total += max(0.0, sum(known) / len(known) - done)
    return total / max(1, running)


def _like(item: Summary) -> Like:
    return item.kind, item.arm or "", item.labels
