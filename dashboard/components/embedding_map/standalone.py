"""The maps as one HTML file that needs neither server nor network: data, script, style and images are inside."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dashboard.components import script, style
from dashboard.components.arrays import little_endian
from dashboard.components.embedding_map import MapState, described, described_start
from simclr.files import safe_read

WEBP_QUALITY = 85
# Nothing may be fetched: a reader can see that the file keeps what is in it to itself.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
COLORS = """
:root { color-scheme: light dark; --st-font: Inter, system-ui, sans-serif; --st-base-radius: 0.5rem;
  --st-background-color: #ffffff; --st-secondary-background-color: #f3f5fa; --st-text-color: #1a2130;
  --st-border-color: #e0e5ee; --st-primary-color: #3f5be0; --st-red-text-color: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --st-background-color: #10151c; --st-secondary-background-color: #1a212b;
  --st-text-color: #e6eaf2; --st-border-color: #2b3442; --st-primary-color: #5f78ee; --st-red-text-color: #ff8a80; } }
body { margin: 0 auto; max-width: 90rem; padding: 1.5rem; background: var(--st-background-color);
  color: var(--st-text-color); font-family: var(--st-font); line-height: 1.5; }
h1 { font-size: 1.5rem; margin: 0 0 0.25rem; overflow-wrap: anywhere; }
.description { opacity: 0.7; margin: 0 0 1rem; white-space: pre-line; overflow-wrap: anywhere; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p class="description">{description}</p>
<div id="maps"></div>
<script type="application/json" id="data">{data}</script>
<script type="module">
{script}
const data = JSON.parse(document.getElementById("data").textContent);
embeddingMap({{ data, parentElement: document.getElementById("maps"), setStateValue: () => {{}} }});
</script>
</body>
</html>
"""


def sheet_address(sheet: Path | bytes) -> str:
    """A sheet of thumbnails as a `data:` address, as WebP where that is smaller than what is there."""
    content = sheet if isinstance(sheet, bytes) else safe_read.read_bytes(sheet, safe_read.MAX_SHEET_BYTES)
    stream = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        kind = str(image.format).lower()
        if max(image.size) <= 16383:  # WebP holds no more pixels a side
            image.convert("RGB").save(stream, "webp", quality=WEBP_QUALITY)
    if 0 < stream.tell() < len(content):
        kind, content = "webp", stream.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _json(value: Any) -> str:
    """JSON that no HTML reader takes for the end of its script."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def standalone_html(
    data: Mapping[str, Any],
    title: str,
    sheets: Sequence[Path | bytes],
    description: str = "",
    start: MapState | None = None,
) -> str:
    """The text of an HTML file with the same maps as `embedding_map` draws, images included.

    Args:
        data: as for `embedding_map`. Panels with `neighbors` and `similarities` (N, K) show them for any image.
        sheets: the thumbnails in place of `data["sheets"]`: files, or what is in them.
        start: what is chosen when it is opened.
    """
    main, parts = described({**data, "key": "maps", "sheets": [sheet_address(sheet) for sheet in sheets]})
    main["arrays"] = {
        name: base64.b64encode(little_endian(array).tobytes()).decode()
        for arrays in parts.values()
        for name, array in arrays.items()
    }
    main["start"] = {"token": "", **described_start(start or MapState(), len(np.asarray(data["ids"])))}
    return PAGE.format(
        policy=POLICY,
        title=html.escape(title),
        description=html.escape(description),
        style=COLORS + style("embedding_map"),
        data=_json(main),
        script=script("embedding_map"),
    )
