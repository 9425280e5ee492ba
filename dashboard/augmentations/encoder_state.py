"""What the encoder part of the Augmentations page shows."""

from __future__ import annotations

from typing import Any

from dashboard.shared import url_state

NAMES = ("encoder", "weights", "layer", "compared_layer", "show", "batch_of", "temperature", "against", "scale")


def read_address(query: url_state.Query) -> dict[str, Any]:
    found: dict[str, Any] = {name: text for name, text in url_state.last_values(query).items() if name in NAMES}
    if "against" in found:
        found["against"] = found["against"].split(",")
    return found


VIEW = url_state.View("augmentations", dict.fromkeys(NAMES), read_address, name="lab")


def address() -> dict[str, str]:
    """Query parameters that bring this part back as it is."""
    return VIEW.changed() | {"against": ",".join(VIEW["against"] or ())}
