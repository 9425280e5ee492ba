"""Made values for the gallery, the same each time. Imports no streamlit."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote

from dashboard.shared import palette, run_labels


def curve(number: int) -> tuple[list[float], list[float]]:
    """Epochs and shares of a line that rises and levels off."""
    epochs = list(range(1, 21))
    return [float(epoch) for epoch in epochs], [
        (0.9 - 0.12 * number) * (1 - math.exp(-epoch / (3 + number))) for epoch in epochs
    ]


def picture(num_tiles: int, side: int = 32) -> str:
    """The address of a picture that holds itself: tiles side by side, each with a shape."""
    colors = palette.PALETTE
    tiles = "".join(
        f'<rect x="{place * side}" width="{side}" height="{side}" fill="{colors[place // 2 % len(colors)]}" '
        f'fill-opacity="0.25"/><circle cx="{(place + 0.5) * side}" cy="{side / 2}" r="{side / (3 + place % 2)}" '
        f'fill="{colors[place // 2 % len(colors)]}"/>'
        for place in range(num_tiles)
    )
    size = f'width="{num_tiles * side}" height="{side}"'
    return "data:image/svg+xml," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{tiles}</svg>')


def rows_of_runs() -> list[dict[str, Any]]:
    """A run in each state."""
    return [
        {
            "href": "gallery",
            "run": {"text": f"Run {number}", "sub": "SimCLR, shapes"},
            "state": {"text": run_labels.STATE_LABELS[state], "state": color},
            "accuracy": {"text": f"{80 - number} %", "sort": 80 - number, "strong": number == 0},
            "gain": {"text": f"{2 - number:+.1f} pp", "sub": "± 0.7"},
            "best": number == 0,
        }
        for number, (state, color) in enumerate(palette.STATE_COLORS.items())
    ]


def stages(is_done: bool) -> list[dict[str, Any]]:
    """The stages of a run's diagram, computed or not."""
    waves = [[round(math.sin(k * 0.9 + shift), 3) for k in range(16)] for shift in (0.0, 0.4)]
    shares = [[1.0 if a == b else 0.7 if a // 2 == b // 2 else 0.1 for b in range(8)] for a in range(8)]
    found: list[tuple[str, str, str, dict[str, Any]]] = [
        ("Image", "32 × 32 pixels", "image", {"images": [picture(1)]}),
        ("Two views", "crop, mirror", "images", {"images": [picture(1), picture(1)]}),
        ("Encoder", "resnet_tiny", "", {"network": "f"}),
        ("h", "128 numbers", "vectors", {"vectors": waves}),
        ("Projection head", "two layers", "", {"network": "g"}),
        ("z", "128 numbers", "vectors", {"vectors": waves}),
        ("Similarities", "8 views", "matrix", {"matrix": shares}),
        ("Loss", "NT-Xent", "", {"value": "1.05"}),
    ]
    return [
        {"title": title, "note": note, "href": "gallery", "about": f"{title}: {note}"}
        | (content if is_done or not empty else {"empty": empty})
        for title, note, empty, content in found
    ]
