"""A table of runs to sort, group and select; drawn only where one looks, so that thousands of rows are quick.

The browser knows all rows and sorts them; what passes a filter, and what groups say, comes from the server. Rows are
known by their ids, and what is selected stays selected while the table is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dashboard.components import registered


def run_table(data: dict[str, Any], key: str, on_action: Callable[[], None]) -> str:
    """Draws the table, or updates the one drawn before under `key`; returns what it is sorted by.

    Args:
        data: as `GridData` in `types.d.ts` says.
        key: names the component; the session's state of `key` keeps `sort`, and `action` while one is handled: `what`
            (`tag`, `untag`, `rename`, `stop`, `delete`, `baseline`, `no-baseline`; in the trash `restore`, `purge`),
            `ids` and `text`.
        on_action: called when something is to be done with runs, before the page is drawn.
    """
    # as tuples, which Streamlit knows to be no data frames without loading pandas
    sent = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    found = registered("run_table")(
        key=key,
        data=sent,
        default={"sort": data["sort"]},
        on_sort_change=lambda: None,
        on_action_change=on_action,
    )
    return str(found.sort or "")
