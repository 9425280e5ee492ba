"""Which run the page shows, and after which epoch its health."""

from __future__ import annotations

from dashboard.shared import url_state

VIEW = url_state.View(
    "run",
    {"id": "", "epoch": ""},
    lambda query: {name: query[name][-1] for name in ("id", "epoch") if query.get(name)},
)


def write_address(part: str = "page") -> None:
    url_state.write({"id": VIEW["id"], "epoch": VIEW["epoch"]}, part)
