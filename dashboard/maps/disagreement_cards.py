"""Where two encoders disagree, as cards: found groups of images, each with a contact sheet and a sentence.

They are found by a job of their own, so that no click waits for them, and are kept with the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import escape
from dashboard.maps import map_images
from dashboard.shared import formats, store
from simclr import runs
from simclr.analysis import cards, disagreement
from simclr.analysis.cards import Sides
from simclr.analysis.disagreement import Card
from simclr.config import ConfigError
from simclr.results import index
from simclr.views.sheets import read_tiles

PER_ROW, TILES, TILE_SIDE = 2, 9, 52
METHOD = (
    "Half of the images are grouped in one encoder (k-means on directions); the other half alone decides how near the "
    "images of a group are to each other there and in the other encoder, and what they share. Claims are corrected for "
    "all groups and factors that were looked at (Holm): chance finds a scattered group in one of 20 comparisons at "
    "most, and something shared in one of 100. Dark and light are the lower and upper third of these images by their "
    "mean, low and high contrast those by its spread; the border is the outer eighth."
)
Select = Callable[[Card], None]


def panel(
    sides: Sides, titles: Sequence[str], sheets: Sequence[Path], thumbnails: Mapping[str, Any], select: Select
) -> None:
    """The cards of these two, or how far they are.

    Args:
        sheets, thumbnails: the images, and how they lie there.
        select: selects the images of a card on both maps.
    """
    st.header("Where they disagree", anchor=False, help=METHOD)
    if sides.num_images < disagreement.MIN_IMAGES:
        st.caption(f"Groups are looked for among at least {disagreement.MIN_IMAGES} images.")
        return
    found = cards.load(sides)
    if found is None:
        wait(sides)
        return
    if not found:
        st.caption("No group of images is held together by one of them and scattered by the other.")
        return
    pictures = contact_sheets(found, sheets, thumbnails)
    for start in range(0, len(found), PER_ROW):
        for column, number in zip(st.columns(PER_ROW, gap="small"), range(start, start + PER_ROW), strict=True):
            if number < len(found):
                with column:
                    draw(found[number], number, titles, pictures[number], select)


def contact_sheets(
    found: Sequence[Card], sheets: Sequence[Path], thumbnails: Mapping[str, Any]
) -> list[NDArray[np.uint8] | None]:
    """Some images of each card in a square; None where there are no pictures, or they cannot be read."""
    try:
        stamps = tuple((str(path), path.stat().st_mtime_ns) for path in sheets)
        rows = [tuple(card.rows[:TILES].tolist()) for card in found]
        numbers = tuple(int(thumbnails[name]) for name in ("side", "columns", "per_sheet"))
        return list(_contact_sheets(stamps, numbers, tuple(rows)))
    except (OSError, ValueError):
        return [None] * len(found)


@st.cache_data(max_entries=20, ttl=3600, show_spinner=False)
def _contact_sheets(
    stamps: tuple[tuple[str, int], ...], numbers: tuple[int, ...], rows: tuple[tuple[int, ...], ...]
) -> list[NDArray[np.uint8]]:
    """All at once, since reading a few images decodes the whole sheets that they lie on."""
    thumbnails = dict(zip(("side", "columns", "per_sheet"), numbers, strict=True))
    tiles = read_tiles([Path(path) for path, _ in stamps], thumbnails, [row for each in rows for row in each])
    ends = np.cumsum([len(each) for each in rows])
    return [map_images.contact_sheet(part, TILE_SIDE) for part in np.split(tiles, ends[:-1])]


def draw(card: Card, number: int, titles: Sequence[str], picture: NDArray[np.uint8] | None, select: Select) -> None:
    """One card: its images, what they share, and the way to both maps."""
    with st.container(border=True, horizontal=True, gap="small", height="stretch", key=f"disagree-card-{number}"):
        if picture is not None:
            st.image(picture, width=3 * TILE_SIDE)
        with st.container(gap="small", width="stretch"):
            st.markdown(f"**{escape.markdown(disagreement.shared(card))}**")
            st.caption(escape.markdown(disagreement.who(card, titles)))
            st.button(
                "Select on both maps",
                key=f"disagree-{number}",
                icon=":material/lasso_select:",
                on_click=selected,
                args=(card, select),
            )


def selected(card: Card, select: Select) -> None:
    """Selects the images of a card, and says so: the maps may be out of sight."""
    select(card)
    st.toast(f"{len(card.rows)} images are selected on both maps above.", icon=":material/lasso_select:")


# --- the job --------------------------------------------------------------------------------------------------------


def wait(sides: Sides) -> None:
    """Starts the job where there was none, and says how far it is or why it failed."""
    job = cards.find_job(sides, store.runs_dir())
    error = ""
    if job is None:
        try:
            job = cards.start_job(sides, store.runs_dir())
        except ConfigError as problem:
            error = str(problem)
    if job is not None:
        status = runs.current_status(job)
        if status.is_active:
            looking(str(job))
            return
        error = status.error or {
            "failed": "It failed.",
            "stopped": "It was stopped.",
        }.get(status.state, "What was found is not there any more.")
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="disagree-failed"):
        st.markdown(f":red[:material/error:] Groups could not be looked for. {escape.markdown(error)}", width="content")
        st.button("Try again", key="disagree-again", icon=":material/refresh:", on_click=start_again, args=(sides,))


def start_again(sides: Sides) -> None:
    try:
        cards.start_job(sides, store.runs_dir())
    except ConfigError as error:
        st.session_state["message"] = str(error)


@st.fragment(run_every=1)
def looking(job: str) -> None:
    """How long it has been going on; the page is drawn again when it ends. No widget here: a click could be lost."""
    status = runs.current_status(Path(job))
    if not status.is_active:
        st.rerun()
    seconds = formats.duration(index.elapsed(status) or 0)
    with st.container(border=True, key="disagree-looking"):
        st.markdown(
            ":material/hourglass_top: **Looking for groups that one holds together and the other scatters** "
            f":small[{seconds} so far. The cards appear here; everything else on this page works meanwhile.]"
        )
