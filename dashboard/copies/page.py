"""Copies: test images of a run that are training images, or nearly, side by side with these."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from dashboard.components import escape
from dashboard.shared import asked, formats, jobs, run_labels, store, ui, url_state
from dashboard.shared.copies import line as copies_line
from simclr import runs
from simclr.analysis.leaks import copies
from simclr.embeddings import selection
from simclr.evaluation.leaks import record
from simclr.evaluation.leaks.record import Leaks, Pair
from simclr.results import index
from simclr.runs import Run

PER_PAGE = 24
SHOWN_SIDE = 128  # pixels of an image, at least
GAP = 6  # pixels between the two
PICKS = {
    "all": ("All", lambda pair: True),
    "exact": ("Same pixels", lambda pair: pair.is_exact),
    "class": ("Other class", lambda pair: pair.differs_in_class),
    "color": ("Other colours", lambda pair: pair.differs_in_color),
}
ABOUT = (
    "A test image is counted where the distance to its nearest training image, one minus the cosine of their features "
    "h, is below {share:g} of the median such distance, as cleanlab finds near duplicates; or where both have the same "
    "pixels. What the network has seen in training it may know by heart, so an accuracy on such images says little "
    "about others."
)
MEANING = {
    "pretrain": (
        "SimCLR is trained to give an image the same features in other colours. So two images that differ in colour "
        "alone look like copies to it, also where they are two things: a red car and a blue one. Look at the pair "
        "before you count it, and take a network trained from scratch as a second opinion."
    ),
    "finetune": (
        "The encoder was pre-trained by SimCLR to give an image the same features in other colours. So two images that "
        "differ in colour alone may look like copies to it. Look at the pair before you count it."
    ),
    "scratch": (
        "This network was trained on classes alone. Images that it is sure of may lie close together, though they are "
        "two photographs. Look at the pair before you count it."
    ),
}
FOLDER = "copies-folder"

VIEW = url_state.View(
    "copies",
    {"id": "", "show": "all", "second": ""},
    lambda query: {
        name: text for name, text in url_state.last_values(query).items() if name in ("id", "show", "second")
    },
)


def choose(pairs: Sequence[Pair], second: Leaks | None) -> list[int]:
    """The rows of the pairs that are shown."""
    names = {
        name: f"{label} · {sum(map(test, pairs)):,}"
        for name, (label, test) in PICKS.items()
        if name == "all" or any(map(test, pairs))
    }
    shown = "all"
    if len(names) > 1:
        shown = (
            st.segmented_control(
                "Pairs",
                list(names),
                format_func=names.__getitem__,
                required=True,
                label_visibility="collapsed",
                **VIEW.widget("show", list(names)),
            )
            or "all"
        )
    rows = [row for row, pair in enumerate(pairs) if PICKS[shown][1](pair)]
    if second is not None:
        agreed = {pair.test for pair in second.pairs}
        both = [row for row in rows if pairs[row].test in agreed]
        st.caption(
            f"{len(both):,} of these {len(rows):,} test images are copies by the second opinion too: they stand first."
        )
        rows = [*both, *(row for row in rows if pairs[row].test not in agreed)]
    return rows


def others_of(run: Run) -> dict[str, str]:
    """Other runs with the same test images for which copies were looked for, by id, with their titles."""
    mine = selection.comparable_data(run, "test")
    found = {}
    for item in store.get().summaries():
        other = store.find(item.id) if item.id != run.id else None
        if other is None or not copies_line.has_record(other):
            continue
        if not selection.difference(mine, selection.comparable_data(other, "test")):
            found[item.id] = run_labels.label(item)
    return found


def second_opinion(run: Run) -> Leaks | None:
    """What another run found of the same test images, if it is asked for."""
    others = others_of(run)
    if not others:
        return None
    options = ["", *others]
    chosen = st.selectbox(
        "Second opinion",
        options,
        format_func=lambda name: others.get(name, "No second opinion"),
        width=380,
        help="Another run for which copies were looked for in the same test images.",
        **VIEW.widget("second", options),
    )
    other = store.find(chosen or "")
    return None if other is None else copies_line.read(other)


def picture(both: NDArray[np.uint8]) -> str:
    """The two images (2, 3, S, S) side by side, each pixel repeated to `SHOWN_SIDE` at least, as an address of data.

    Streamlit forgets the files of images that a later run of the page does not show, also while a slow browser is
    still asking for them.
    """
    times = max(1, -(-SHOWN_SIDE // both.shape[-1]))
    tiles = both.transpose(0, 2, 3, 1).repeat(times, axis=1).repeat(times, axis=2)
    side = tiles.shape[1]
    found = np.zeros((side, 2 * side + GAP, 4), dtype=np.uint8)  # what lies between them is transparent
    for place, tile in zip((0, side + GAP), tiles, strict=True):
        found[:, place : place + side, :3] = tile
        found[:, place : place + side, 3] = 255
    stream = io.BytesIO()
    Image.fromarray(found).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def card(pair: Pair, both: NDArray[np.uint8] | None, agreed: bool, key: str) -> None:
    with st.container(border=True, width=248, gap=None, key=key):
        if both is not None:
            st.image(picture(both), width=214)
        badges = [":red-badge[same pixels]"] if pair.is_exact else [f":gray-badge[{pair.distance:.2f} of the median]"]
        badges += [":orange-badge[other class]"] if pair.differs_in_class else []
        badges += [":blue-badge[other colours]"] if pair.differs_in_color else []
        badges += [":green-badge[both agree]"] if agreed else []
        st.markdown(" ".join(badges))
        split = "validation" if pair.split == "val" else "training"
        for what, name, label in (
            ("test", pair.test_name, pair.test_class),
            (split, pair.train_name, pair.train_class),
        ):
            text = f"{what}: " + (f"**{escape.markdown(label)}** · " if label and label not in name else "")
            st.caption(f"{text}{escape.markdown(name)}")


def grid(run: Run, found: Leaks, rows: Sequence[int], second: Leaks | None) -> None:
    """The pairs, a page at a time, and above them why they have no images."""
    note = st.container()
    num_pages = max(1, -(-len(rows) // PER_PAGE))
    number = 1
    if num_pages > 1:
        key = f"copies-page-{run.id}-{VIEW['show']}-{VIEW['second']}"
        number = st.number_input(f"Page, of {num_pages:,}", 1, num_pages, 1, key=key, width=140)
    shown = rows[(number - 1) * PER_PAGE : number * PER_PAGE]
    agreed = {pair.test for pair in second.pairs} if second is not None else set()
    with_images = [row for row in shown if row < found.num_shown]
    images = record.pictures(run, found, with_images)
    if not found.num_shown or (with_images and images is None):
        note.caption(
            ":material/hide_image: The images do not come with this run. Check again where its data set is, and they "
            "are kept."
        )
    by_row = dict(zip(with_images, images, strict=True)) if images is not None else {}
    with st.container(horizontal=True, gap="small"):
        for row in shown:
            card(found.pairs[row], by_row.get(row), found.pairs[row].test in agreed, f"pair-{row}")
    if found.num_copies > len(found.pairs):
        st.caption(f"The nearest {len(found.pairs):,} pairs are kept, of {found.num_copies:,}.")


def results(run: Run, found: Leaks) -> None:
    with st.container(border=True, key="verdict", gap="small"):
        with st.container(horizontal=True, gap="large", key="verdict-numbers"):
            share = record.percent(found.num_copies / found.num_test)
            of = f"{share} of {formats.thousands(found.num_test)} test images"
            shown = [("Copies, or nearly", formats.thousands(found.num_copies), of)]
            if found.num_copies:
                shown.append(("Same pixels", formats.thousands(found.num_exact), "needs no encoder"))
            for name, (whole, rest) in found.accuracy.items():
                if found.num_copies:
                    label = {"knn": "kNN", "linear": "Linear probe", "classifier": "Accuracy"}[name]
                    shown.append(
                        (f"{label} without them", formats.percent(rest, 2), f"{formats.percent(whole, 2)} with them")
                    )
            for label, value, instead in shown:
                st.metric(label, value, instead, delta_color="off", delta_arrow="off", width="content")
        st.markdown(escape.markdown(record.sentence(found)))
        st.caption(ABOUT.format(share=found.share))
        if run.kind in MEANING:  # none of a folder whose options cannot be read
            st.caption(f":material/palette: {MEANING[run.kind]}")
    if not found.pairs:
        return
    second = second_opinion(run)
    rows = choose(found.pairs, second)
    grid(run, found, rows, second)


def offer(run: Run, found: Leaks | None) -> None:
    """The job that looks: its progress, why it failed, and the button that starts it."""
    job = copies.find_job(run, store.runs_dir())
    status = runs.current_status(job) if job is not None else None
    if job is not None and status is not None and status.is_active:
        jobs.progress(str(job), {run.id: run.name})
        return
    if found is not None:
        return
    if not copies_line.can_be_checked(run):
        st.write("This run has no weights or no test figures, so there is nothing to check.")
        return
    if status is not None and status.state == "failed":
        st.error(escape.markdown(status.error or "It failed."), icon=":material/error:")
    if status is not None and status.state == "finished":
        st.warning(
            "The images there are not the run's own, or cannot be shown to be, so nothing was kept. The command "
            "`python -m simclr leaks RUN --dataset FOLDER --out pairs.csv` compares them all the same.",
            icon=":material/info:",
        )
    with st.container(border=True, key="copies-offer"):
        st.markdown("**Are test images among the training images?**")
        st.caption(
            "Every test image is compared with all training and validation images, in the features of this run and by "
            "its pixels. It takes about as long as a test of the run."
        )
        fields(run, "Check for copies")


def fields(run: Run, label: str) -> None:
    """Where the images lie, and the button."""
    dataset = str(run.config.get("dataset") or "")
    st.text_input("Where its images lie now", key=FOLDER, placeholder=dataset, width=420)

    def begin() -> None:
        copies_line.start(run.id, str(st.session_state.get(FOLDER) or "").strip())

    st.button(label, key="copies-start", type="primary", icon=":material/play_arrow:", on_click=begin)


def table_rows(run_id: str) -> list[list[str]]:
    """The pairs as texts, as they are when the file is asked for."""
    run = store.find(run_id)
    found = record.read(run) if run is not None else None
    return [["The run is not there any more."]] if found is None else record.table(found.pairs)


def page() -> None:
    VIEW.open()
    right = ui.head("Copies")
    run = store.find(VIEW["id"])
    if run is None:
        sentence = "The address names no run; all of them are one click away."
        if VIEW["id"]:
            why = asked.why_not(VIEW["id"])
            sentence = f"{VIEW['id']} {why}; all runs are one click away."
        st.write(escape.markdown(sentence))
        st.page_link(ui.PAGE_RUNS, label="All runs", icon=":material/arrow_back:")
        return
    ui.show_message()
    both = copies_line.record_for(run)
    run, found = both if both is not None else (run, None)  # the record of its pre-training holds for it too
    st.page_link(
        ui.PAGE_RUN,
        label=escape.markdown(store.get().summary(run).title),
        icon=":material/arrow_back:",
        query_params={"id": run.id},
    )
    if found is not None:
        with right:
            if found.pairs:
                jobs.table_menu(lambda: table_rows(run.id), f"copies-{index.short_id(run.id)}")
            with st.popover("Check again", icon=":material/refresh:"):
                st.caption(f"Checked {formats.ago(found.created)}.")
                fields(run, "Check again")
    offer(run, found)
    if found is not None:
        results(run, found)
    url_state.write({"id": run.id} | VIEW.changed("show", "second"))


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
