"""A table of what was taken for what: every class has its name, every cell its number."""

from __future__ import annotations

from dashboard.components import registered
from simclr.results.confusion import Confusion


def confusion_matrix(found: Confusion, key: str) -> None:
    """Draws the shares of each true class (row) that were given each answer (column), in per cent.

    A table that is wider than the page is scrolled within itself, and keeps its row names in sight.
    """
    shares = [tuple(round(100 * float(share), 2) for share in row) for row in found.shares]
    data = {
        "rows": tuple(found.rows),
        "columns": tuple(found.columns),
        "shares": tuple(shares),
        "counts": tuple(tuple(int(count) for count in row) for row in found.counts),
    }
    registered("confusion_matrix")(key=key, data=data)
