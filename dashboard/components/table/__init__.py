"""A table of links: each row is opened by its own id, never by where it stands.

Streamlit's table remembers a selection by row position, which in a table that changes while one looks at it can act
on another run. Here every row is a link that carries its id, sorting happens in the browser, and the columns that
matter least make room on a narrow screen.
"""

from __future__ import annotations

from typing import Any

from dashboard.components import registered


def table(columns: list[dict[str, Any]], rows: list[dict[str, Any]], key: str, sort: str | None = None) -> None:
    """Draws a table whose rows lead to the pages their `href` names.

    Args:
        columns: each with `key`, `label` and, where wanted, `align` (`right`), `rank` (1 stays on every screen, 3
            goes first), `help`, `wrap`, `sortable` (false).
        rows: each with `href`, or none, `tight` where no line is wanted below it, `best` where it is marked, and per
            column a dict: `text`, and where wanted `sort` (the value to sort by), `state` (a coloured dot), `sub` (a
            second, small line), `strong`, `color`.
        key: names the table.
        sort: the column sorted by at first, descending when it begins with a minus sign.
    """
    # as tuples, which Streamlit knows to be no data frames without loading pandas
    registered("table")(key=key, data={"columns": tuple(columns), "rows": tuple(rows), "sort": sort or ""})
