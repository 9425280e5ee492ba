"""How a folder that somebody looks at would be read: the form's own sentence, and a few of its images."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.new_run import folder_reading
from dashboard.shared import forms
from simclr import config as cfg
from simclr.config import ConfigError
from simclr.data.folders.folder_layout import Layout, printable
from simclr.data.folders.pixel_values import PixelValues
from simclr.data.own_images import glance
from simclr.views import pictures

SECONDS = 1.0  # of looking for files, while somebody walks through folders
KEPT_SECONDS = 60
STYLE = """
<style>
.own-thumbs { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.6rem, 1fr)); gap: .5rem;
  margin: 0 !important; padding: 0 !important; list-style: none; }
.own-thumbs li { margin: 0 !important; }
.own-thumbs figure { margin: 0; }
.own-thumbs img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: .35rem; }
.own-thumbs figcaption { font-size: .8rem; line-height: 1.4; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; color: color-mix(in srgb, currentColor 72%, transparent); }
</style>
"""


@dataclass(frozen=True)
class Look:
    """sentence: how the folder would be read; problem: why it cannot be; one of both is empty. how: its values."""

    sentence: str = ""
    problem: str = ""
    layout: Layout | None = None
    how: PixelValues | None = None


def look_at(folder: Path, seconds: float = SECONDS) -> Look:
    """How the run in the form would read a folder, as far as its other options are valid."""
    try:
        config = _config(str(folder))
        layout = folder_reading.layout_of(config, seconds)
        sentence = folder_reading.sentence(config, seconds)
    except ConfigError as error:
        return Look(problem=printable(str(error)))
    how = PixelValues(config.value_min, config.value_max, config.extra_channels)
    return Look(sentence, "" if sentence else "The folder cannot be read.", layout, how)


def _config(dataset: str) -> cfg.RunConfig:
    kept = forms.state()
    try:
        return forms.to_config(kept["kind"], {**kept["values"], "dataset": dataset})
    except ConfigError:
        return forms.to_config("pretrain", forms.start_values("pretrain", forms.NO_RECIPE) | {"dataset": dataset})


def show(found: Look) -> None:
    """The sentence and the images."""
    if found.problem:
        st.warning(escape.markdown(found.problem), icon=":material/folder_off:")
        return
    st.info(escape.markdown(found.sentence), icon=":material/folder_open:")
    if found.layout is None:
        return
    folder = found.layout.folder
    try:
        changed = os.stat(folder).st_mtime_ns
    except OSError:
        changed = 0
    images = _glimpses(os.fsencode(folder), changed, len(found.layout.splits["train"].paths), found.layout, found.how)
    if images:
        st.html(f'{STYLE}<ul class="own-thumbs" aria-label="Some of the images">{"".join(map(_item, images))}</ul>')


@st.cache_resource(ttl=KEPT_SECONDS, max_entries=8, show_spinner="Opening a few of the images")
def _glimpses(
    folder: bytes, changed: int, number: int, _layout: Layout, _how: PixelValues | None
) -> list[glance.Glimpse]:
    return glance.glance(_layout, _how)


def _item(image: glance.Glimpse) -> str:
    name = html.escape(printable(Path(image.path).name))
    label = html.escape(printable(image.label))
    said = f"{label}, {name}" if label else name
    return (
        f'<li><figure><img src="{pictures.png_address(image.pixels)}" alt="{said}" title="{said}">'
        f"<figcaption>{label or name}</figcaption></figure></li>"
    )
