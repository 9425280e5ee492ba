"""What every page stands in: page settings, navigation and the shared sidebar.

Streamlit runs this file for every click, whatever the page; app.py starts the server that does so.
"""

import streamlit as st

from dashboard.shared import queue, store, ui, url_state

st.set_page_config(page_icon=ui.ICON, layout="wide")
ui.style()

FOLDER = store.ROOT / "dashboard"


def to_runs() -> None:
    url_state.go_instead("")


# One list without sections: under a section's head Streamlit's links are no list, which a screen reader would tell.
# Space between the groups is in ui.STYLE.
PAGES = [
    st.Page(FOLDER / "runs/page.py", title="Runs", icon=":material/list_alt:", url_path="home", default=True),
    # the home page answers at the root only; whoever writes its name gets there too
    st.Page(to_runs, title="All runs", url_path="runs", visibility="hidden"),
    st.Page(FOLDER / "experiments/page.py", title="Experiments", icon=":material/science:", url_path="experiments"),
    st.Page(FOLDER / "race/page.py", title="Race", icon=":material/flag:", url_path="race"),
    st.Page(FOLDER / "new_run/page.py", title="New run", icon=":material/add_circle:", url_path="new-run"),
    st.Page(FOLDER / "curves/page.py", title="Curves", icon=":material/show_chart:", url_path="curves"),
    st.Page(FOLDER / "results/page.py", title="Results", icon=":material/table_chart:", url_path="results"),
    st.Page(FOLDER / "transfer/page.py", title="Transfer", icon=":material/grid_on:", url_path="transfer"),
    st.Page(FOLDER / "run/page.py", title="Run", url_path="run", visibility="hidden"),
    st.Page(FOLDER / "copies/page.py", title="Copies", url_path="copies", visibility="hidden"),
    st.Page(FOLDER / "trash/page.py", title="Trash", url_path="trash", visibility="hidden"),
    st.Page(FOLDER / "gallery/page.py", title="Gallery", url_path="gallery", visibility="hidden"),
    *(
        st.Page(path, title=title, icon=icon, url_path=name)
        for name, title, icon in (
            ("embeddings", "Embeddings", ":material/scatter_plot:"),
            ("augmentations", "Augmentations", ":material/auto_fix_high:"),
        )
        if (path := FOLDER / f"{name}/page.py").exists()
    ),
    st.Page(FOLDER / "lessons/page.py", title="Lessons", icon=":material/school:", url_path="lessons"),
]
page = st.navigation(PAGES)
ui.page_title(page.title)


@st.fragment(run_every=5)
def active_runs() -> None:
    queue.look_after_runs()
    states = [item.state for item in store.get().summaries() if item.is_active]
    num_queued = states.count("queued")
    num_active = len(states) - num_queued
    if num_active:
        st.badge(f"{num_active} active run{'s' if num_active > 1 else ''}", icon=":material/bolt:", color="green")
    if num_queued:
        st.badge(f"{num_queued} in the queue", icon=":material/schedule:", color="gray")
    if not states:
        st.caption("No active run")
    queue.tell_of_ends()


store.get().summaries(max_age=0)  # whatever a click has changed is seen; parts that refresh themselves begin below
with st.sidebar:
    active_runs()

url_state.enter(page.url_path, [each.url_path for each in PAGES])
url_state.say_no_such_page(page.title)
notes = st.container(key="said-of-the-address")
try:
    page.run()
finally:  # also where a page stops early
    with notes:
        ui.show_notes()
