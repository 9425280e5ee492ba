"""A plotly chart that is updated in place: zoom, hover and hidden lines survive every refresh.

Streamlit's own chart is made again whenever its data change, and forgets the zoom. This component keeps one plotly
figure alive and hands it new data. plotly.js is the file that the plotly package carries; it is put beside the fonts
under a name with its version, so that the browser fetches it once, from this server, and keeps it.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import escape, registered
from simclr.files import writing

CACHE = Path(__file__).resolve().parents[2] / "static" / "cache"


@lru_cache(maxsize=1)
def plotly_url() -> str:
    """Puts plotly.js where the server can serve it and returns its address on this server."""
    name = f"plotly-{metadata.version('plotly')}.min.js"
    target = CACHE / name
    source = resources.files("plotly") / "package_data" / "plotly.min.js"
    with resources.as_file(source) as path:
        if not target.exists() or target.stat().st_size != path.stat().st_size:
            CACHE.mkdir(parents=True, exist_ok=True)
            with writing.replacing(target, sync=False) as stream:
                stream.write(path.read_bytes())
    prefix = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return "/".join(["", *filter(None, [prefix]), "app/static/cache", name])


def live_chart(figure: dict[str, Any], key: str, height: int = 260) -> None:
    """Draws `figure` (plotly's `data` and `layout` as plain values), or updates the one drawn before under `key`.

    No text in it is read as HTML, so that names of classes and runs can be anything.
    """
    text = json.dumps(escape.plotly(figure), separators=(",", ":"), allow_nan=False)
    registered("live_chart")(
        key=key,
        data={
            "figure": text,
            "revision": hashlib.blake2b(text.encode(), digest_size=8).hexdigest(),
            "plotly": plotly_url(),
            "height": height,
        },
        height=height,
    )
