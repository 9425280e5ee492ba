"""Which run the page shows, which part of it, and after which epoch its health."""

from __future__ import annotations

from dashboard.shared import url_state

VIEW = url_state.View(
    "run",
    {"id": "", "tab": "", "epoch": ""},
    lambda query: {name: text for name, text in url_state.last_values(query).items() if name in ("id", "tab", "epoch")},
)


def write_address(part: str = "page") -> None:
    url_state.write({name: VIEW[name] for name in ("id", "tab", "epoch")}, part)
