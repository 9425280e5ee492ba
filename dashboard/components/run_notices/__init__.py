"""Notices of the system when a run ends, for whoever has asked for them in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from dashboard.components import registered


@dataclass(frozen=True)
class Ended:
    """A run that has ended: what its notice says and where it leads.

    Args:
        at: second of its end, which tells two ends of one run apart. href: relative to a page.
    """

    id: str
    at: float
    title: str
    text: str
    href: str


def run_notices(is_active: bool, ended: Sequence[Ended]) -> None:
    """Offers notices while a run is going on; they come while the browser's window is not in front.

    Args:
        ended: runs that have ended by now; each is told once.
    """
    registered("run_notices")(
        key="run-notices", data={"is_active": is_active, "ended": [asdict(each) for each in ended]}
    )
