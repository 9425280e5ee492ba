"""One or two maps of the same images: zoom, lasso, hover, film, and a click that shows an image and its neighbours.

All drawing happens in the browser: what is chosen in one map lights up in the other within the same frame. The server
hears of it afterwards, in one message. Zoomed in, points become their images; coloured by class, the densest place of
each class bears its name. Points and colours travel as bytes beside the component (`components.arrays`),
so that a click sends none of them again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike, NDArray

from dashboard.components import registered
from dashboard.components.arrays import groups, reference, send_arrays
from dashboard.components.embedding_map.extras import described_guests, described_tug

TUG = r"[a-z]{1,20}~\d{1,2}"  # a changed image in an address
SCALES = ("number", "cycle", "share")  # kinds of colouring with values; the others have groups
DRAWINGS = ("points", "outlines", "density")
MAX_SEARCH = 200  # signs


def _no_rows() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class MapState:
    """What the user has chosen.

    image: the number in its data set of the image that is open; -1 for none.
    selection: rows of the selected images, rising.
    frame: place of the film.
    follows: it is the last one, also when more come.
    hidden: groups that are switched off in the legend.
    zoom: per panel the enlargement (1: all) and the middle x, y in the map's own units; empty: all.
    search: what is looked for, as it was typed.
    drawing: of `DRAWINGS`.
    tug: how the open image is changed: an operation and the number of its strength (`hue~16`); empty: not at all.
    """

    image: int = -1
    selection: NDArray[np.int64] = field(default_factory=_no_rows)
    frame: int = 0
    follows: bool = True
    hidden: tuple[int, ...] = ()
    zoom: tuple[tuple[float, float, float], ...] = ()
    search: str = ""
    drawing: str = DRAWINGS[0]
    tug: str = ""


# --- a selection as text, for the browser and for an address -------------------------------------------------------


def selection_text(rows: ArrayLike, num_images: int) -> str:
    """Rows as text that fits an address: a bit per image, or the gaps between rows, whichever is shorter."""
    chosen = np.unique(np.asarray(rows, dtype=np.int64))
    chosen = chosen[(chosen >= 0) & (chosen < num_images)]
    if not len(chosen):
        return ""
    mask = np.zeros(num_images, dtype=bool)
    mask[chosen] = True
    bits = np.packbits(mask, bitorder="little").tobytes()
    gaps = bytearray()
    for gap in np.diff(chosen, prepend=-1) - 1:
        while gap > 127:
            gaps.append(int(gap) & 127 | 128)
            gap >>= 7
        gaps.append(int(gap))
        if len(gaps) >= len(bits):
            break
    kind, content = ("d", bytes(gaps)) if len(gaps) < len(bits) else ("b", bits)
    return kind + base64.urlsafe_b64encode(content).decode().rstrip("=")


def selected_rows(text: str, num_images: int) -> NDArray[np.int64]:
    """The rows that `selection_text` made a text of; none if the text is damaged."""
    kind, content = text[:1], text[1:]
    try:
        found = base64.b64decode(content + "=" * (-len(content) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return _no_rows()
    if kind == "b":
        bits = np.unpackbits(np.frombuffer(found, np.uint8), bitorder="little")[:num_images]
        return np.flatnonzero(bits).astype(np.int64)
    rows, row, gap, shift = [], -1, 0, 0
    for byte in found if kind == "d" else b"":
        gap += (byte & 127) << shift
        shift += 7
        if byte & 128:
            continue
        row += gap + 1
        if row >= num_images:
            break
        rows.append(row)
        gap = shift = 0
    return np.array(rows, dtype=np.int64)


def state_texts(state: MapState, num_images: int) -> dict[str, str]:
    """What is chosen, but for the frame, as texts for an address: all parts of a `MapState` but `follows`."""
    is_zoomed = any(size > 1.001 for size, *_ in state.zoom)
    return {
        "image": str(state.image) if state.image >= 0 else "",
        "selection": selection_text(state.selection, num_images),
        "hidden": ".".join(map(str, state.hidden)),
        "zoom": "_".join("~".join(f"{value:.5g}" for value in each) for each in state.zoom) if is_zoomed else "",
        "search": state.search,
        "drawing": state.drawing if state.drawing != DRAWINGS[0] else "",
        "tug": state.tug if state.image >= 0 else "",  # an image that a user gave is in no address
    }


def state_from_texts(texts: Mapping[str, str], num_images: int) -> MapState:
    """What such texts say; what is missing or makes no sense is as at first."""
    image, hidden = texts.get("image", ""), texts.get("hidden", "").split(".")
    try:
        zoom = tuple(
            (float(size), float(x), float(y))
            for size, x, y in (part.split("~") for part in texts.get("zoom", "").split("_"))
        )
    except ValueError:
        zoom = ()
    return MapState(
        image=int(image) if image.isdecimal() and len(image) < 12 else -1,
        selection=selected_rows(texts.get("selection", ""), num_images),
        hidden=tuple(int(word) for word in hidden if word.isdecimal() and len(word) < 6),
        zoom=zoom,
        search=texts.get("search", "")[:MAX_SEARCH],
        drawing=known_drawing(texts.get("drawing", "")),
        tug=tug_text(texts.get("tug", "")),
    )


def known_drawing(text: str) -> str:
    """A name of `DRAWINGS`, the first for any other text."""
    return text if text in DRAWINGS else DRAWINGS[0]


def tug_text(text: str) -> str:
    """The text if it is that of a changed image, else nothing."""
    return text if re.fullmatch(TUG, text) else ""


# --- what goes to the browser --------------------------------------------------------------------------------------


def image_set(ids: ArrayLike) -> str:
    """A short name of a list of images: rows of one list mean nothing in another."""
    return hashlib.blake2b(np.ascontiguousarray(ids, dtype="<i8").tobytes(), digest_size=8).hexdigest()


def color_values(color: Mapping[str, Any]) -> list[NDArray[np.generic]]:
    """The values of a colouring, one array for all panels or one for each, as the browser takes them."""
    values = color["values"]
    each = values if isinstance(values, list | tuple) else [values]
    if color["kind"] in SCALES:
        return [np.asarray(array, dtype=np.float32) for array in each]
    return [groups(array) for array in each] if color["label"] else []


def field_values(values: ArrayLike) -> tuple[dict[str, Any], NDArray[np.generic]]:
    """What images can be searched by: its kind, words and range, and its values as the browser takes them."""
    array = np.asarray(values)
    if array.dtype.kind in "USO":
        words, places = np.unique(array.astype(str), return_inverse=True)
        places = np.where(words[places] == "", -1, places - int("" in words))  # an empty word is none
        return {"kind": "word", "words": [word for word in words.tolist() if word], "low": 0, "high": 0}, groups(places)
    numbers = array.astype(np.float32)
    known = numbers[np.isfinite(numbers)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    return {"kind": "number", "words": [], "low": low, "high": high}, numbers


def described(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, NDArray[np.generic]]]]:
    """`data` with each array replaced by its name, and the arrays by name in parts that change together."""
    parts: dict[str, dict[str, NDArray[np.generic]]] = {"images": {}, "maps": {}, "colors": {}}

    def name(part: str, values: ArrayLike | None, dtype: str | None = None) -> str | None:
        if values is None:
            return None
        array = np.asarray(values, dtype=dtype)
        found = reference(array)
        parts[part][found] = array
        return found

    types = {"points": "f4", "frames": "f4", "neighbors": "i4", "similarities": "f4"}
    panels = [
        {key: name("maps", value, types[key]) if key in types else value for key, value in panel.items()}
        for panel in data["panels"]
    ]
    labels = data.get("labels")
    searched = data.get("search") or {}
    fields = []
    for entry in searched.get("fields", ()):
        about, values = field_values(entry["values"])
        fields.append({"name": entry["name"], "label": entry["label"], **about, "values": name("images", values)})
    files = "\n".join(file.replace("\n", " ") for file in searched.get("files") or ()).encode(errors="replace")
    main = {
        **data,
        "images": image_set(data["ids"]),
        "panels": panels,
        "ids": name("images", data["ids"], "i4"),
        "labels": None if labels is None else name("images", groups(labels)),
        "color": {**data["color"], "values": [name("colors", array) for array in color_values(data["color"])]},
        "search": {
            "fields": fields,
            "files": name("images", np.frombuffer(files, np.uint8)) if files else None,
            "tags": [
                {"name": tag, "rows": selection_text(rows, len(np.asarray(data["ids"])))}
                for tag, rows in (searched.get("tags") or {}).items()
            ],
        },
    }
    main["revision"] = hashlib.blake2b(json.dumps(main).encode(), digest_size=8).hexdigest()
    return main, parts


def described_start(start: MapState, num_images: int) -> dict[str, Any]:
    return {
        "image": start.image,
        "selection": selection_text(start.selection, num_images),
        "frame": start.frame,
        "hidden": list(start.hidden),
        "zoom": [list(each) for each in start.zoom],
        "search": start.search,
        "drawing": start.drawing,
        "tug": start.tug,
    }


def read_state(key: str, ids: ArrayLike, start: MapState | None = None, token: str = "") -> MapState:
    """What the user has chosen in the maps under `key`, as far as it belongs to these images; before that, `start`.

    Args:
        ids: of the images that are shown now.
        start, token: as `embedding_map` is given them.
    """
    begun = start or MapState()
    state = st.session_state.get(key)
    found = state.get("view") if isinstance(state, Mapping) else None
    if not isinstance(found, Mapping) or found.get("token") != token or found.get("images") != image_set(ids):
        return begun
    try:
        return MapState(
            image=int(found["image"]),
            selection=selected_rows(str(found["selection"]), len(np.asarray(ids))),
            frame=int(found["frame"]),
            follows=bool(found.get("follows")),
            hidden=tuple(int(group) for group in found["hidden"]),
            zoom=tuple((float(size), float(x), float(y)) for size, x, y in found["zoom"]),
            search=str(found.get("search", ""))[:MAX_SEARCH],
            drawing=known_drawing(str(found.get("drawing", ""))),
            tug=tug_text(str(found.get("tug", ""))),
        )
    except (KeyError, TypeError, ValueError):
        return begun  # the browser may send anything


def embedding_map(
    data: Mapping[str, Any],
    key: str,
    *,
    start: MapState | None = None,
    token: str = "",
    details: Mapping[str, Any] | None = None,
    guests: Mapping[str, Any] | None = None,
    tug: Mapping[str, Any] | None = None,
) -> None:
    """Draws the maps, or updates those drawn before under `key` without losing zoom and selection.

    What the user does then arrives in `read_state`: at once what is opened or selected, a second later a zoom.

    Args:
        data: for N images
            `panels`: one or two of title, subtitle, stats (value, label, help), note, and points (N, 2) or, for a
            film, frames (F, N, 2); optional extent, the radius around (0, 0) that is shown; optional neighbors and
            similarities (N, K), used where `details` are missing;
            `ids` (N,) numbers in the data set; `labels` (N,), -1 without, or None; `classes` (name, color);
            `color`: label, kind, names, colors, low, high and values, one array (N,) or a list of one per panel.
            kind `class` or `category`: places in `names`, -1 for none; `number`, `cycle` (low and high are the same)
            or `share` (shown as per cent): numbers, NaN for unknown; `none`;
            `search`, what images can be found by beside classes and numbers: `fields` (name, label, values (N,), NaN or
            an empty word for unknown), `files` (N names, or None) and `tags` (name to rows);
            `sheets` (addresses), `tile` (side, columns, per_sheet), `split`; for a film `frame_names`, `frame_label`
            and, while more frames come, `grows`: who looks at the last one is then led to the next. `plays`: a
            picture without tools that begins to play, so many frames a second.
        key: names the component.
        start: what is chosen when the maps are first drawn, and again whenever `token` changes.
        details: of the open image: its row as `index`, `facts` (label, text), `neighbors` per panel (row, similarity).
        guests: images that a user gave, as `extras.described_guests` takes them.
        tug: the open image changed step by step, as `extras.described_tug` takes it; None where it cannot be.
    """
    main, parts = described({**data, "key": key})
    own, parts["guests"] = described_guests(guests)
    changed, parts["tug"] = described_tug(tug)
    begun = described_start(start or MapState(), len(np.asarray(data["ids"])))
    # as tuples, which Streamlit knows to be no data frames without loading pandas
    main = {name: tuple(value) if isinstance(value, list) else value for name, value in main.items()}
    with st.container(gap=None):
        for part, arrays in parts.items():
            if arrays or part in ("images", "maps", "colors"):
                send_arrays(arrays, f"{key}-{part}")
        registered("embedding_map")(
            key=key,
            data={
                **main,
                "start": {"token": token, **begun},
                "details": details,
                "guests": own,
                "tug": changed,
            },
            default={"view": None},
            on_view_change=lambda: None,
        )
