"""Two maps of the same images side by side: zoom, pan, hover, and a click that shows an image and its neighbours.

All drawing happens in the browser, on two canvases: pointing at an image marks it in both maps within the same frame.
The server is asked for one thing only, the nearest neighbours of a clicked image in the features themselves.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dashboard.components import registered


def packed(values: ArrayLike, dtype: str) -> str:
    """Numbers as text for the browser, little-endian; a tenth of the size of JSON and read without parsing."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<")).tobytes()).decode()


def embedding_map(data: dict[str, Any], key: str) -> None:
    """Draws the maps, or updates those drawn before under `key` without losing zoom.

    The number of the clicked image in its data set is kept as `image` in the session's state of `key`; -1 is none.

    Args:
        data: `panels` (title, subtitle, points packed as float32 x y x y ..., stats, note), `ids` (packed int32),
            `labels` (packed int32, -1 without), `classes` (name, color), `color` (label, kind, values, names, colors,
            low, high), `sheets` (addresses), `tile` (side, columns, per_sheet), `split`, `details` of the clicked
            image, and `revision`, which changes with everything but `details`.
        key: names the component.
    """
    registered("embedding_map")(key=key, data=data, default={"image": -1}, on_image_change=lambda: None)
