"""A plotly chart that is updated in place: zoom, hover and hidden lines survive every refresh.

Streamlit's own chart is made again whenever its data change, and forgets the zoom. This component keeps one plotly
figure alive and hands it new data. plotly.js is the file that the plotly package carries, under a name with its
version, so that the browser fetches it once, from this server, and keeps it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dashboard.components import escape, registered, served
from dashboard.components.live_chart.spoken import spoken


def plotly_url() -> str:
    """The address of plotly.js on this server."""
    return served.address(served.plotly_name())


def live_chart(figure: dict[str, Any], key: str, title: str, height: int = 260) -> None:
    """Draws `figure` (plotly's `data` and `layout` as plain values), or updates the one drawn before under `key`.

    No text in it is read as HTML, so that names of classes and runs can be anything.

    Args:
        title: what the chart shows, read out before its values.
    """
    text = json.dumps(escape.plotly(figure), separators=(",", ":"), allow_nan=False)
    registered("live_chart")(
        key=key,
        data={
            "figure": text,
            "revision": hashlib.blake2b(text.encode(), digest_size=8).hexdigest(),
            "plotly": plotly_url(),
            "label": spoken(figure, title),
            "height": height,
        },
        height=height,
    )
