"""The table of all runs: its filter, columns, groups and kept views, and the part that refreshes by itself."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.components.run_table import run_table
from dashboard.runs import best_runs, several_runs, table_data
from dashboard.runs.table_state import KINDS, READ_SECONDS, STATES, VIEW, parts, query, show
from dashboard.shared import run_labels, store, ui, url_state
from simclr.run_table import columns, run_filter, saved_views
from simclr.run_table.run_filter import Filter

EXAMPLES = (
    ("two words", "Runs that have both words in name, data, tags, notes or experiment."),
    ("dataset:cifar10", "Any option or figure by its name; a part of a text is enough."),
    ("kind:pretrain knn>85", "Accuracies in per cent, or as 0.85. Parts are joined by and."),
    ("temperature<=0.2", "Numbers: = != > >= < <="),
    ("state:failed,stopped", "One of several."),
    ("tag:paper -tag:old", "A minus sign: runs for which it does not hold."),
    ('name:"two words"', "Quotation marks around spaces and commas."),
    ("duration>1h started>=2026-11-01", "Durations with s, min, h or d; dates."),
    ("test_top1:*", "Runs that have such a figure."),
)
USUAL_GROUPS = ("", "group", "dataset", "kind", "backbone", "state", "tags", "seed", "label_fraction", "temperature")


def column_label(name: str) -> str:
    column = columns.FIGURES.get(name)
    if column is None:
        return name
    return f"{column.label} ({name})" if column.label.lower() != name else column.label


def changes_page() -> None:
    """Lets the whole page be drawn again, by a widget whose own part alone would be."""
    st.session_state["table-changed"] = True


def use_example(text: str) -> None:
    """Adds an example to the filter."""
    changes_page()
    before = (VIEW["text"] or "").strip()
    VIEW["text"] = text if not before else before if text in before else f"{before} {text}"


def filter_help() -> None:
    st.markdown("**Words and conditions, separated by spaces.** A click adds one.")
    for number, (text, what) in enumerate(EXAMPLES):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                escape.markdown(text),
                key=f"filter-example-{number}",
                on_click=use_example,
                args=(text,),
                width="content",
            )
            st.caption(what, width="stretch")
    st.caption("Short names: knn (best kNN on validation images), test, linear, data, tag. The column names work too.")


def columns_choice() -> None:
    chosen = list(VIEW["columns"])
    more = sorted(store.late_values().more)
    names = [name for name in (*columns.names(), *more) if name not in ("name", *chosen)]
    st.multiselect(
        "Columns",
        [*chosen, *names],
        format_func=column_label,
        placeholder="Any figure or option of a run",
        help="In this order. Type to find one, such as temperature or augmentation.hue.",
        on_change=changes_page,
        **VIEW.widget("columns"),
    )
    st.button("The usual columns", key="usual-columns", type="tertiary", on_click=usual_columns)


def usual_columns() -> None:
    changes_page()
    VIEW["columns"] = list(columns.DEFAULT)


def apply_view(name: str) -> None:
    changes_page()
    st.session_state["table-view"] = name  # for the page: what it says wrongly is noted while that is drawn


def keep_view() -> None:
    changes_page()
    with ui.report_errors():
        name = saved_views.keep(store.runs_dir(), st.session_state.get("view-name", ""), parts())
        st.session_state["table-done"] = f"The view {name} is kept."
        st.session_state["view-name"] = ""


def delete_view(name: str) -> None:
    with ui.report_errors():
        saved_views.delete(store.runs_dir(), name)


def views() -> None:
    """Views that were kept, to be shown, replaced and deleted."""
    kept = saved_views.read(store.runs_dir())
    st.caption("A view is the filter, columns, order, groups and baseline. The address of this page says it too.")
    for number, (name, view) in enumerate(kept.items()):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            is_shown = view == parts()
            st.button(
                escape.markdown(name),
                key=f"view-show-{number}",
                on_click=apply_view,
                args=(name,),
                icon=":material/check:" if is_shown else None,
            )
            st.button("Delete", key=f"view-delete-{number}", type="tertiary", on_click=delete_view, args=(name,))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "Keep this view as",
            key="view-name",
            max_chars=saved_views.MAX_NAME,
            placeholder="Name",
            width="stretch",
            persist_state="session",
        )
        is_there = saved_views.clean_name(name or "") in kept
        st.button("Replace" if is_there else "Keep", key="view-keep", on_click=keep_view)


@st.fragment
def popovers() -> None:
    """What opens above the table. Its contents are made and sent while it is open alone: lists of all options are long,
    and the page is drawn with every click."""
    if st.session_state.pop("table-changed", False):
        st.rerun()  # the table and what stands above it show something else
    row = st.container(horizontal=True, gap="small", width="content")  # a fragment puts its parts below each other
    for label, icon, contents in (
        ("How to filter", "help", filter_help),
        ("Columns", "view_column", columns_choice),
        ("Views", "bookmark", views),
    ):
        popover = row.popover(
            label, icon=f":material/{icon}:", width="content", key=f"open-{contents.__name__}", on_change="rerun"
        )
        if popover.open:
            with popover:
                contents()


def controls() -> Filter:
    """Everything above the table; returns the filter."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.header("All runs", anchor=False, width="content")
        st.pills(
            "Kind",
            KINDS,
            selection_mode="multi",
            format_func=run_labels.KIND_LABELS.__getitem__,
            label_visibility="collapsed",
            **VIEW.widget("kind"),
        )
        st.pills(
            "State",
            STATES,
            selection_mode="multi",
            format_func=str.capitalize,
            label_visibility="collapsed",
            **VIEW.widget("state"),
        )
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="table-controls"):
        text = st.text_input(
            "Filter",
            placeholder="Filter: words, or dataset:cifar10 knn>85 -tag:old",
            label_visibility="collapsed",
            icon=":material/filter_list:",
            max_chars=run_filter.MAX_LENGTH,
            **VIEW.widget("text"),
        )
        groups = [
            *USUAL_GROUPS,
            *(name for name in (*columns.names(), *store.late_values().more) if name not in USUAL_GROUPS),
        ]
        st.selectbox(
            "Group",
            groups,
            format_func=lambda name: f"By {name}" if name else "No groups",
            label_visibility="collapsed",
            width=190,
            **VIEW.widget("group", groups),
        )
        popovers()
    found = run_filter.parse(text or "", store.late_values().more)
    if found.problems:  # it may name an option that only a folder from elsewhere knows
        store.late_values().read(store.get().summaries(), columns.options(), READ_SECONDS)
        found = run_filter.parse(text or "", store.late_values().more)
    if found.problems:
        instead = "the runs that pass the rest of the filter" if found.terms else "all runs"
        sentences = " ".join(found.problems[:3])
        st.caption(f":red[{escape.markdown(sentences)}] Shown: {instead}.")
    return found


def acted() -> None:
    """Does what the table asked for."""
    action = (st.session_state.get(VIEW.component_key("table")) or {}).get("action")
    if not isinstance(action, dict):
        return
    what, ids, text = str(action.get("what")), [str(each) for each in action.get("ids") or ()], str(action.get("text"))
    if what == "baseline":
        VIEW["baseline"] = ids[0] if len(ids) == 1 else ""
    elif what == "no-baseline":
        VIEW["baseline"] = ""
    else:
        several_runs.act(what, ids, text)
    st.session_state["table-answer"] = st.session_state.get("table-answer", 0) + 1
    st.session_state["table-acted"] = True


def names_needed(found: Filter) -> set[str]:
    """Of what the table needs the names."""
    return {*VIEW["columns"], *found.names, VIEW["sort"].removeprefix("-"), VIEW["group"]} - {""}


@st.fragment(run_every=5)
def rows(text: str) -> None:
    """The table itself.

    Args:
        text: of the filter.
    """
    if st.session_state.pop("table-acted", False):
        st.rerun()  # what stands above it may have changed: the undo, and what is active
    key = VIEW.component_key("table")
    state = st.session_state.get(key)
    if state and state.get("sort") is not None:
        VIEW["sort"] = str(state["sort"])
    everything, values = store.get().summaries(), store.late_values()
    found = run_filter.parse(text, values.more)
    num_unread = values.read(everything, names_needed(found), READ_SECONDS)
    run_id = VIEW["baseline"]
    if run_id and all(item.id != run_id for item in everything):
        VIEW["baseline"] = run_id = ""  # it was deleted
    asked = table_data.Asked(
        found, tuple(VIEW["kind"]), tuple(VIEW["state"]), tuple(VIEW["columns"]), VIEW["group"], VIEW["sort"], run_id
    )
    num_passing, data = table_data.data(asked, everything, values)
    sort = run_table(data | {"answer": st.session_state.get("table-answer", 0)}, key, acted)
    if sort:
        VIEW["sort"] = sort
    notes = []
    if not num_passing:
        notes.append("No run passes these filters.")
    if num_passing > table_data.MAX_ROWS:
        notes.append(f"{table_data.MAX_ROWS:,} of {num_passing:,} runs, the first in this order; filter to see others.")
    if num_unread:
        notes.append(f"Options or figures of {num_unread:,} runs are still being read.")
    if notes:
        st.caption(" ".join(notes))
    url_state.write(query())


def section() -> None:
    """All runs, with what chooses among them."""
    st.session_state.pop("table-changed", None)  # the page is being drawn
    if done := st.session_state.pop("table-done", ""):
        st.toast(escape.markdown(done), icon=":material/check:")
    if (view := saved_views.read(store.runs_dir()).get(st.session_state.pop("table-view", ""))) is not None:
        show(view)
    with st.container(border=True, key="all-runs", gap="small"):
        controls()
        best_runs.section(store.get().summaries())
        rows(VIEW["text"] or "")
