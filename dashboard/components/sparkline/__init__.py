"""A line as small as a word. Streamlit's own, in its metrics, brings a library of several megabytes."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.components import registered


def sparkline(values: Sequence[float], label: str, key: str) -> None:
    """Draws finite values in their order, as wide as the page allows.

    Args:
        values: at least two.
        label: says what they are to who cannot see the line.
        key: names the line.
    """
    registered("sparkline")(key=key, data={"values": tuple(values), "label": label})
