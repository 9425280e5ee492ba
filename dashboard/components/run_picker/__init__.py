"""A list of runs to tick: searched in the browser, with quick picks; fit for hundreds of runs."""

from __future__ import annotations

from typing import Any

from dashboard.components import registered


def run_picker(items: list[dict[str, Any]], picked: list[str], key: str, most: int) -> list[str]:
    """Draws the list, or updates the one drawn before under `key`; returns the ids that are ticked.

    Args:
        items: `id`, `title`, `sub`, `words` (lower case, what a search looks through), `color`, `dash`, `active`,
            `experiment` (what belongs together) and `section`, newest first.
        picked: ids ticked at first.
        key: names the component; the session's state of `key` keeps `picked`.
        most: how many can be ticked.
    """
    found = registered("run_picker")(
        key=key,
        data={"items": items, "picked": picked, "most": most},
        default={"picked": picked},
        on_picked_change=lambda: None,
    )
    return [str(run_id) for run_id in found.picked or []]
