"""A walk through the folders of this machine, each with how it would be read."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.new_run.own import look
from dashboard.shared import forms, store
from simclr import config as cfg
from simclr.config import DATASETS
from simclr.data.own_images import browsing
from simclr.files.names import readable

SHOWN = "own-images-folder"  # the folder that is looked at
TYPED = "own-images-path"  # the field with its path
FIND = "own-images-find"
WRONG = "own-images-wrong"
MOST_BUTTONS = 60
STYLE = """
<style>
.st-key-own-inner button, .st-key-own-inner button > * { justify-content: flex-start; max-width: 100%; }
.st-key-own-inner button p { text-align: left; overflow-wrap: anywhere; }
</style>
"""
MOST_RUNS = 50  # whose folders are offered


def begin() -> None:
    """The first folder: that of the form, else the one that was looked at last, else the first of the places."""
    dataset = str(forms.state()["values"].get("dataset") or "")
    named = None if dataset in DATASETS else browsing.typed(dataset)
    if named is None and SHOWN in st.session_state:
        named = browsing.nearest(st.session_state[SHOWN])
    go(named or next(iter(_places().values()), Path("/")))


def go(folder: Path) -> None:
    """Looks at another folder."""
    st.session_state[SHOWN] = folder
    st.session_state[TYPED] = readable(str(folder))
    st.session_state[FIND] = ""
    st.session_state.pop(WRONG, None)


def _places() -> dict[str, Path]:
    folders = []
    for item in store.get().summaries()[:MOST_RUNS]:
        if item.dataset not in DATASETS and (run := store.find(item.id)) is not None:
            folders.append(str(run.config.get("dataset") or ""))
    return browsing.places(cfg.data_root(), folders)


def _go_typed() -> None:
    text = str(st.session_state.get(TYPED) or "")
    shown = st.session_state[SHOWN]
    found = shown if text == readable(str(shown)) else browsing.typed(text)
    if found is None:
        st.session_state[WRONG] = f"{text.strip() or 'An empty name'} is no folder that exists."
        return
    go(found)


def panel(use: Callable[[Path], None]) -> None:
    """Places, the path, the folders in it, how it is read, and what takes it."""
    folder = st.session_state.get(SHOWN)
    if folder is None or browsing.nearest(folder) != folder:
        go(browsing.nearest(folder or Path("/")))
        folder = st.session_state[SHOWN]
    with st.container(horizontal=True, gap="small", key="own-images-places"):
        for number, (name, place) in enumerate(_places().items()):
            st.button(
                escape.markdown(name),
                key=f"own-place-{number}",
                icon=":material/home:" if name == "Home" else ":material/folder_special:",
                help=escape.markdown(str(place)),
                on_click=go,
                args=(place,),
            )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        above = browsing.up(folder)
        st.text_input("Folder", key=TYPED, on_change=_go_typed)
        st.button(
            "Up", key="own-up", icon=":material/arrow_upward:", disabled=above is None, on_click=go, args=(above,)
        )
    if wrong := st.session_state.get(WRONG):
        st.error(escape.markdown(wrong), icon=":material/folder_off:")
    inside = browsing.look(folder)
    _inner(folder, inside)
    found = look.Look(problem=inside.problem) if inside.problem else look.look_at(folder)
    look.show(found)
    st.button(
        "Use this folder",
        key="own-use",
        type="primary",
        icon=":material/check:",
        disabled=bool(found.problem),
        on_click=use,
        args=(folder,),
    )


def _inner(folder: Path, inside: browsing.Inside) -> None:
    """The folders in a folder; of many the first, and a field that finds others by a part of their name."""
    if inside.problem or not inside.folders:
        return
    names, number = inside.folders, len(inside.folders)
    if number > MOST_BUTTONS:
        part = st.text_input("Find a folder here", key=FIND, placeholder="A part of its name")
        wanted = part.strip().casefold()
        names = [name for name in names if wanted in readable(name).casefold()]
    shown = names[:MOST_BUTTONS]
    st.html(STYLE)
    with st.container(height=190 if len(shown) > 4 else "content", border=True, gap=None, key="own-inner"):
        for name in shown:
            st.button(
                escape.markdown(name),
                key=f"own-in-{zlib.crc32(str(folder / name).encode(errors='surrogateescape'))}-{len(name)}",
                icon=":material/folder:",
                type="tertiary",
                on_click=_go_in,
                args=(folder, name),
            )
    more = "" if inside.is_whole else " or more"
    if len(shown) < number or more:
        st.caption(f"{len(shown)} of {number:,}{more} folders.")


def _go_in(folder: Path, name: str) -> None:
    inner = browsing.enter(folder, name)
    if browsing.nearest(inner) == inner:
        go(inner)
    else:
        st.session_state[WRONG] = f"{inner} is not there any more."
