"""Experiments: groups of runs that answer one question together, the answer first, with its uncertainty."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.components.setting_grid import setting_grid
from dashboard.components.table import table
from dashboard.experiments import choice_panel, figures, group_actions, operation_pictures, rows, scatter
from dashboard.shared import asked, formats, jobs, palette, store, ui, url_state
from simclr.results import group_progress, group_wording, groups, wording
from simclr.results.groups import Cell, Group, Measure
from simclr.sweeps import start, sweep_file

MOST_SEGMENTS = 120  # runs that each have a segment of the bar
STATE_ORDER = ("finished", "stopping", "running", "starting", "failed", "stopped", "queued")
STATE_COLORS = {
    "finished": "var(--st-green-color, #159a74)",
    "running": "var(--st-primary-color, #4c6ef5)",
    "starting": "var(--st-primary-color, #4c6ef5)",
    "stopping": "var(--st-orange-color, #e07b28)",
    "failed": "var(--st-red-color, #d64f48)",
    "stopped": "color-mix(in srgb, currentColor 38%, transparent)",
    "queued": "color-mix(in srgb, currentColor 12%, transparent)",
}
PICTURES = {"settings": "Settings", "runs": "Any two values"}
STYLE = """
<style>
.group-bar { display: flex; gap: 2px; height: 7px; margin: 0.1rem 0 0.2rem; }
.group-bar span { flex: 1 1 0; border-radius: 3px; min-width: 1px; }
[class*="st-key-open-"] button p { font-size: 1.05rem; font-weight: 650; }
.st-key-group-answer [data-testid="stMarkdown"] p { font-size: 1.18rem; line-height: 1.5; }
</style>
"""


def read_address(query: url_state.Query) -> dict[str, Any]:
    one = url_state.last_values(query)
    found = {name: one[name] for name in ("group", "arm", "labels", "x", "y") if name in one}
    measure = asked.one_of(query, "measure", {item.key: item.key for item in groups.MEASURES}, "the first measure")
    shows = asked.one_of(query, "picture", {name: name for name in PICTURES}, "the settings")
    return found | ({"measure": measure} if measure else {}) | ({"picture": shows} if shows else {})


FIRST = {"group": "", "measure": "", "arm": "", "labels": "", "picture": "settings", "x": "", "y": ""}
VIEW = url_state.View("experiments", FIRST, read_address)


def open_group(group_id: str) -> None:
    VIEW.update(**(FIRST | {"group": group_id}))


def begin(name: str) -> None:
    """Starts a sweep that is shipped, and shows its group."""
    with ui.report_errors():
        open_group(start.start(sweep_file.load(name), store.runs_dir()))


# --- one group --------------------------------------------------------------------------------------------------------


def bar(group: Group) -> None:
    """A segment for each run, in the colour of its state."""
    states = sorted((item.state for item in group.members), key=STATE_ORDER.index)
    step = max(1, -(-len(states) // MOST_SEGMENTS))
    parts = "".join(f'<span style="background:{STATE_COLORS[state]}"></span>' for state in states[::step])
    text = html.escape(group_progress.counts(group))
    st.html(f'<div class="group-bar" role="img" aria-label="{text}">{parts}</div>')


def shown_measure(measures: Sequence[Measure]) -> Measure:
    """The measure that was chosen, else the first."""
    return next((item for item in measures if item.key == VIEW["measure"]), measures[0])


def side_by_side(group: Group, measure: Measure, found: list[Cell], arm: str, labels: str) -> list[Cell]:
    """What stands in one table: of supervised runs that differ beside a baseline all, since all are corrected for
    together; else as `of_one_arm` says."""
    return found if group.has_variants and not measure.is_test else of_one_arm(group, measure, found, arm, labels)


def of_one_arm(group: Group, measure: Measure, found: list[Cell], arm: str, labels: str) -> list[Cell]:
    """Where settings are compared by supervised runs, those of an arm and share of the labels; else all.

    Args:
        arm, labels: as an address says them; the group's first where it has no such ones.
    """
    if not groups.asks_which_arm(group, measure):
        return found
    chosen = arm if arm in group.arms else group.arms[0]
    share = next((each for each in group.shares if each.key == labels), group.shares[0])
    return [cell for cell in found if (cell.arm, cell.share) == (chosen, share)]


def controls(group: Group, measures: list[Measure]) -> None:
    """Which figure is compared, and of which supervised runs."""
    with st.container(horizontal=True, gap="medium"):
        if len(measures) > 1:
            labels = {item.key: item.title for item in measures}
            st.selectbox(
                "Measure",
                list(labels),
                format_func=labels.__getitem__,
                width=300,
                **VIEW.widget("measure", list(labels), measures[0].key),
            )
        st.segmented_control(
            "Picture",
            list(PICTURES),
            format_func=PICTURES.__getitem__,
            required=True,
            **VIEW.widget("picture", list(PICTURES), "settings"),
        )
        if VIEW["picture"] == "runs":
            choose_values(group, measures)
        if not groups.asks_which_arm(group, shown_measure(measures)):
            return
        if len(group.arms) > 1:
            st.segmented_control(
                "Trained",
                group.arms,
                format_func=wording.ARM_NAMES.__getitem__,
                required=True,
                **VIEW.widget("arm", group.arms, group.arms[0]),
            )
        if len(group.shares) > 1:
            texts = {share.key: share.text for share in group.shares}
            st.segmented_control(
                "Labels used",
                list(texts),
                format_func=texts.__getitem__,
                required=True,
                **VIEW.widget("labels", list(texts), group.shares[0].key),
            )


def choose_values(group: Group, measures: list[Measure]) -> None:
    """Which two values of the runs are set against each other."""
    known = scatter.offered(group)
    if not known:
        return
    first = scatter.start_names(list(known), list(group.axes), shown_measure(measures).key)
    for name, title, value in zip(("x", "y"), ("Across", "Up"), first, strict=True):
        st.selectbox(
            title,
            list(known),
            format_func=lambda name: scatter.label(known[name]),
            width=240,
            **VIEW.widget(name, list(known), value),
        )


def compared_cells(group: Group) -> tuple[Measure, list[Cell]]:
    """What the page compares, and by which measure."""
    measure = shown_measure(groups.measures_of(group, store.find))
    found = groups.cells(group, measure, store.find)
    compared = side_by_side(group, measure, found, VIEW["arm"], VIEW["labels"])
    return measure, groups.shown_cells(group, compared, measure)


@st.fragment(run_every=3)
def answer(group_id: str, drawn: group_actions.Offered) -> None:
    """Progress and answer, which follow runs that are going on.

    Args:
        drawn: the actions that the page offers; with others it is drawn anew as a whole.
    """
    group = store.find_group(group_id)
    if group is None or group_actions.offered(group) != drawn:
        st.rerun()
        return
    measure, compared = compared_cells(group)
    bar(group)
    left = group_progress.seconds_left(group)
    time_left = f" · about {formats.duration(left)} left" if left is not None else ""
    st.caption(escape.markdown(f"{group_progress.counts(group)}{time_left} · {facts(group)}"))
    if sentence := group_actions.missing_sentence(group, drawn[2]):
        st.warning(sentence, icon=":material/playlist_remove:")
    with st.container(key="group-answer"):
        st.markdown(_answer(group, compared, measure))


def table_rows(group_id: str, key: str, arm: str, labels: str) -> list[list[str]]:
    """The table of settings as texts, as it is when the file is asked for, which is outside of the page's session."""
    group = store.find_group(group_id)
    if group is None:
        return [["The experiment is not there any more."]]
    measure = next(item for item in groups.MEASURES if item.key == key)
    found = groups.cells(group, measure, store.find)
    compared = groups.shown_cells(group, side_by_side(group, measure, found, arm, labels), measure)
    return group_wording.table(group, compared, measure, store.find)


@st.fragment(run_every=3)
def details(group_id: str) -> None:
    """Picture and tables, which follow them too."""
    group = store.find_group(group_id)
    if group is None:
        return
    measure, compared = compared_cells(group)
    if VIEW["picture"] == "runs":
        values(group)
    else:
        picture(group, of_one_arm(group, measure, compared, VIEW["arm"], VIEW["labels"]), measure)
    with st.container(border=True, gap=None):
        table(*rows.cell_table(group, compared, measure, store.find), key=f"cells-{group_id}-{measure.key}")
    with st.expander(f"All {formats.thousands(len(group.members))} runs", key=f"runs-{group_id}"):
        table(rows.RUN_COLUMNS, rows.run_rows(group), key=f"members-{group_id}")


def values(group: Group) -> None:
    """Two values of each run against each other."""
    known = scatter.offered(group)
    x, y = known.get(VIEW["x"]), known.get(VIEW["y"])
    if x is None or y is None:
        st.caption("These runs do not differ in any number yet.")
        return
    figure = scatter.of_runs(group, x, y)
    with st.container(border=True, gap=None):
        live_chart(
            figure, f"values-{group.id}-{x.name}-{y.name}", f"{scatter.title(y)} against {scatter.title(x)}", height=420
        )
        st.caption(scatter.caption(group, figure))


def _answer(group: Group, compared: list[Cell], measure: Measure) -> str:
    """The answer, with the names that came from a sweep file as plain text."""
    number = groups.num_images_of(groups.first_of(group, compared, measure), measure, store.find)
    text = group_wording.answer(group, compared, measure, number)
    return _marked(text)


def _marked(text: str) -> str:
    """A sentence whose bold part stays bold, and whose names from a sweep file are no markup."""
    parts = formats.true_minus(text).split("**")
    found = "**".join(
        part[: len(part) - len(part.lstrip())] + escape.markdown(part.strip()) + part[len(part.rstrip()) :]
        for part in parts
    )
    for sign in (" &#37;", "± ", "&#40;n "):  # no line ends within a figure
        found = found.replace(sign, sign.replace(" ", "\u00a0"))
    return found


def facts(group: Group) -> str:
    """What the runs share, and how the choice is made."""
    first = group.members[-1]
    seeds = f"{len(group.seeds)} seed{'s' if len(group.seeds) != 1 else ''}"
    draws = {item.subset_seed for item in group.members if item.arm is not None}
    drawn = f"{len(draws)} draws of the labels" if len(draws) > 1 else ""
    parts = [first.dataset, first.backbone, seeds, drawn]
    if group.is_choice:
        parts.append("chosen on validation images" + ("" if group.tests else ", no test image read"))
    return " · ".join(part for part in parts if part)


def picture(group: Group, compared: list[Cell], measure: Measure) -> None:
    """A grid for two axes, a line for one of numbers, bars for one of words, lines by labels for arms alone."""
    if not any(cell.spread is not None for cell in compared):
        return
    title = measure.title
    axes = [axis for axis, labels in group.axes.items() if len(labels) > 1]
    key = f"group-{group.id}-{measure.key}-{VIEW['arm']}-{VIEW['labels']}"
    grid = None if measure.is_test and group.is_choice else figures.grid_of(group, compared)
    if grid is not None:
        with st.container(border=True, gap="small"):
            st.markdown(f"**{title}**, per cent")
            setting_grid(**grid, key=key, pictures=operation_pictures.of_axis(group, axes[0]))
            st.caption("A cell opens its runs. Framed: the best. Below the mean: the standard deviation.")
    elif len(axes) == 1 and len(compared) > 2 and figures.is_numeric(group.axes[axes[0]]):
        with st.container(border=True, gap=None):
            st.markdown(f"**{title}**")
            live_chart(figures.by_axis(group, axes[0], compared, title, palette.PALETTE[0]), key, title, height=330)
            st.caption("Mean and standard deviation; pale: each seed.")
    elif not axes and group.arms and measure.of == groups.SUPERVISED:
        with st.container(border=True, gap=None):
            st.markdown(f"**{title} and labels**")
            live_chart(figures.by_labels(compared), key, f"{title} and labels", height=330)
    elif axes:
        with st.container(border=True, gap=None):
            st.markdown(f"**{title}**")
            live_chart(figures.bars(compared, palette.PALETTE[0]), key, title, height=90 + 34 * len(compared))


def links(group: Group) -> None:
    """From here to the curves of the group's runs, to two of their maps, and to the other groups."""
    both = groups.two_encoders(group, store.find)
    # an address that says nothing would show this group again
    pages = [
        ("experiments/page.py", "All experiments", ":material/arrow_back:", {"all": "1"}),
        ("curves/page.py", "Their curves", ":material/show_chart:", {"runs": group.id}),
    ]
    if both is not None:
        sides = {"left": both[0].id, "right": both[1].id}
        pages.append(("embeddings/page.py", "Two of them as maps", ":material/scatter_plot:", sides))
    with st.container(horizontal=True, gap="medium"):
        for page_file, label, icon, query in pages:
            st.page_link(page_file, label=label, icon=icon, query_params=query)


# --- all groups -------------------------------------------------------------------------------------------------------


def card(group: Group) -> None:
    """A group in the list: its question, its answer, its progress."""
    measure = groups.measures_of(group, store.find)[0]
    found = side_by_side(group, measure, groups.cells(group, measure, store.find), "", "")
    with st.container(border=True, key=f"card-{group.id}", gap="small"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            if st.button(escape.markdown(group.title), key=f"open-{group.id}", type="tertiary"):
                url_state.go("experiments", group=group.id)
            st.caption(formats.ago(group.members[0].created), width="content")
        if group.count("finished") < len(group.members):
            bar(group)
        st.markdown(_marked(group_wording.answer(group, found, measure)))
        st.caption(escape.markdown(f"{group_progress.counts(group)} · {facts(group)}"))


@st.fragment(run_every=5)
def cards() -> None:
    for group in groups.groups(store.get().summaries()):
        card(group)


def shipped(is_first: bool) -> None:
    """The sweeps that come with the package, each one click."""
    st.header("Start an experiment" if is_first else "Start another", anchor=False)
    for name in sweep_file.shipped_names():
        sweep = sweep_file.shipped(name)
        with st.container(
            border=True,
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
            key=f"sweep-{name}",
        ):
            with st.container(gap=None, width="stretch"):
                st.markdown(f"**{escape.markdown(sweep.title)}**")
                number = sum(1 for _ in sweep.members())
                st.caption(escape.markdown(f"{number} runs of {sweep.recipe}: {sweep_file.described(sweep)}"))
            st.button("Start", key=f"start-{name}", icon=":material/play_arrow:", on_click=begin, args=(name,))
    st.caption("A sweep of your own is a YAML file: `python -m simclr sweep FILE.yaml`, and it appears here.")


def page() -> None:
    VIEW.open()
    known = groups.groups(store.get().summaries(max_age=0))
    group = next((item for item in known if item.id == VIEW["group"]), None)
    if VIEW["group"] and group is None:
        url_state.say_instead("group", VIEW["group"], "is no group of runs here", "all experiments")
        VIEW["group"] = ""
    st.html(STYLE)
    if group is None:
        ui.head(
            "Experiments", "Runs that answer one question together: seeds, values of an option, shares of the labels."
        )
        ui.show_message()
        cards()
        shipped(not known)
        url_state.write({})
        return
    now = group_actions.offered(group)
    ui.page_title(group.title)
    right = ui.head(escape.markdown(group.title))
    chosen = choice_panel.chosen_now(group, VIEW["measure"], VIEW["arm"], VIEW["labels"])
    with right:
        group_actions.draw(group, chosen, now)
        measure = shown_measure(groups.measures_of(group, store.find))
        jobs.table_menu(partial(table_rows, group.id, measure.key, VIEW["arm"], VIEW["labels"]), group.id)
        jobs.report_menu([group.id])
    ui.show_message()
    if chosen is not None:
        choice_panel.progress(group, chosen)
    answer(group.id, now)
    controls(group, groups.measures_of(group, store.find))
    details(group.id)
    links(group)
    url_state.write({"group": group.id} | VIEW.changed("measure", "arm", "labels", "picture", "x", "y"))


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
