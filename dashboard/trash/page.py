"""Trash: runs that were deleted, to be restored or deleted for good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.run_table import packing, run_table
from dashboard.shared import palette, run_actions, run_labels, store, ui, url_state
from simclr import runs
from simclr.results.index import RunIndex, Summary
from simclr.runs import trash

KEY = "trash-table"
COLUMNS = (
    {"name": "name", "label": "Run", "kind": "name", "help": "", "rank": 1},
    {"name": "kind", "label": "Kind", "kind": "words", "help": "", "rank": 2},
    {"name": "dataset", "label": "Data", "kind": "words", "help": "", "rank": 2},
    {"name": "size", "label": "Size (MB)", "kind": "number", "help": "What deleting it for good frees.", "rank": 1},
    {"name": "deleted", "label": "Deleted", "kind": "moment", "help": "When it was moved here.", "rank": 2},
    {"name": "started", "label": "Started", "kind": "moment", "help": "When it was created.", "rank": 3},
)


def folder() -> Path:
    return store.runs_dir() / runs.TRASH


@st.cache_resource(max_entries=4, show_spinner=False)
def _open(path: str) -> RunIndex:
    return RunIndex(Path(path))


def size_text(num_bytes: int) -> str:
    """`12 KB`, `3.4 MB`, `1.25 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.3g} {unit}"
    return f"{num_bytes} bytes"


def data(found: list[Summary], sizes: dict[str, int]) -> dict[str, Any]:
    """The table as its component draws it."""
    deleted = [trash.deleted_at(folder() / item.id) for item in found]
    cells = {
        "kind": packing.packed([run_labels.KIND_LABELS[item.kind] for item in found]),
        "dataset": packing.packed([item.dataset for item in found]),
        "size": packing.packed([round(sizes[item.id] / 1e6, 3) for item in found]),
        "deleted": packing.packed(deleted),
        "started": packing.packed([item.created for item in found]),
    }
    rows = {
        "ids": [item.id for item in found],
        "titles": [item.title for item in found],
        "subs": ["" for _ in found],
        "flags": [0 for _ in found],
        "cells": cells,
        "groups": [],
    }
    return {
        "name": "trash",
        "mode": "trash",
        "columns": COLUMNS,
        "isUsual": True,
        "rows": json.dumps(rows),
        "groups": None,
        "total": len(found),
        "sort": "-deleted",
        "tags": [],
        "baseline": None,
        "colors": palette.STATE_COLORS,
        "pages": {"run": "", "curves": "", "embeddings": ""},
        "answer": st.session_state.get("trash-answer", 0),
    }


def acted() -> None:
    """Does what the table asked for."""
    action = (st.session_state.get(KEY) or {}).get("action")
    if not isinstance(action, dict):
        return
    ids = [str(each) for each in action.get("ids") or ()]
    st.session_state["trash-answer"] = st.session_state.get("trash-answer", 0) + 1
    if action.get("what") == "restore":
        restore(ids)
    elif action.get("what") == "purge":
        st.session_state["purge"] = ids


def restore(run_ids: list[str]) -> None:
    count = run_actions.restore_runs(run_ids)
    if count:
        st.session_state["trash-done"] = f"{count:,} run{' is' if count == 1 else 's are'} back."


def purge(run_ids: list[str]) -> None:
    """Deletes runs for good; one that cannot be deleted costs only itself."""
    count = run_actions.each_by_id(run_ids, trash.purge)
    if count:
        st.session_state["trash-done"] = f"{count:,} run{' is' if count == 1 else 's are'} deleted for good."


@st.dialog("Delete for good?")
def confirm_purge(run_ids: list[str], freed: int) -> None:
    """Asks, then deletes."""
    what = "This run" if len(run_ids) == 1 else f"These {len(run_ids):,} runs"
    st.markdown(f"{what} cannot be brought back then. It frees **{size_text(freed)}**.")
    for run_id in run_ids[:5]:
        st.caption(escape.markdown(run_id))
    if len(run_ids) > 5:
        st.caption(f"and {len(run_ids) - 5:,} more")
    with st.container(horizontal=True, horizontal_alignment="right"):
        no = st.button("Keep", key="purge-no")
        yes = st.button(
            "Delete for good",
            type="primary",
            key="purge-yes",
            icon=":material/delete_forever:",
            on_click=purge,
            args=(run_ids,),
        )
    if yes or no:
        st.rerun()


def page() -> None:
    url_state.news("trash")
    url_state.write({})
    ui.show_message()
    if done := st.session_state.pop("trash-done", ""):
        st.toast(done, icon=":material/check:")
    right = ui.head("Trash")
    if right.button("All runs", icon=":material/list_alt:", key="all-runs-again"):
        url_state.go("")
    found = _open(str(folder())).summaries(max_age=0) if folder().is_dir() else []
    if not found:
        st.caption("The trash is empty. A run that is deleted comes here first, and can be restored from here.")
        return
    sizes = {item.id: trash.num_bytes(folder() / item.id) for item in found}
    st.caption(
        f"{len(found):,} deleted run{'' if len(found) == 1 else 's'}, {size_text(sum(sizes.values()))} in all. "
        "Select some to restore them, or to delete them for good. Nothing is deleted from here by itself."
    )
    asked = [run_id for run_id in st.session_state.pop("purge", []) if run_id in sizes]
    with st.container(border=True):
        run_table(data(found, sizes), KEY, acted)
    if asked:
        confirm_purge(asked, sum(sizes[run_id] for run_id in asked))


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
