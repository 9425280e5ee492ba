"""Runs: what is going on, and everything that was trained so far."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.runs import first_page, live, table_view
from dashboard.shared import queue, run_actions, store, ui, url_state
from simclr import runs


def undo_delete() -> None:
    """Offers to bring back what was deleted last."""
    deleted = st.session_state.get("deleted")
    if not deleted:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        verb = "is" if len(deleted["ids"]) == 1 else "are"
        st.markdown(f"{escape.markdown(deleted['name'])} {verb} in the trash.", width="stretch")
        with st.container(horizontal=True, width="content", gap="small"):
            if st.button("Undo", key="undo-delete", icon=":material/undo:"):
                del st.session_state["deleted"]
                run_actions.restore_runs(deleted["ids"])
                st.rerun()
            if st.button("Open the trash", key="open-trash", type="tertiary"):
                url_state.go("trash")
            if st.button("Dismiss", key="dismiss-delete", type="tertiary"):
                del st.session_state["deleted"]
                st.rerun()


def page() -> None:
    if (query := url_state.news("")) is not None:
        table_view.VIEW.take(query)  # opened without an address, it shows all
    ui.show_message()
    undo_delete()
    found = store.get().summaries()
    if all(item.is_example for item in found):
        first_page.empty(found)
        if found:
            first_page.examples(found)
        live.watch(live.moving(found))
        return
    # what waits for a device of this machine has its place in the queue below
    active = [item for item in found if item.is_active and (item.state, item.status.backend) != ("queued", "local")]
    right = ui.head("Runs")
    if right.button("Trash", icon=":material/delete:", key="trash", type="tertiary"):
        url_state.go("trash")
    if right.button("Race", icon=":material/flag:", key="race"):
        url_state.go("race")
    if right.button("New run", type="primary", icon=":material/add:", key="new-run"):
        url_state.go("new-run")
    live.watch(live.moving(found))
    live.troubles(found)
    if active:
        live.cards(active)
    if is_waiting := any(item.state == "queued" for item in found):
        queue.section()
    if active or is_waiting:
        st.space("small")
    table_view.section()
    if sentence := runs.dead_links_said(store.runs_dir()):
        st.caption(escape.markdown(sentence))


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
