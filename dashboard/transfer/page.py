"""Transfer: what encoders are worth on data sets that they were not trained on, and with few labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.table import table
from dashboard.shared import asked, jobs, palette, run_labels, store, ui, url_state
from dashboard.transfer import rows
from simclr.added import sets
from simclr.added.sets import AddedSet
from simclr.config import DATASETS
from simclr.embeddings import references
from simclr.embeddings.references import EncoderRef
from simclr.evaluation import few_shot
from simclr.files.user_paths import existing_folder, user_path
from simclr.launch import jobs as launch_jobs
from simclr.results import index, tables
from simclr.transfer import matrix
from simclr.transfer.matrix import Encoder

MOST_ENCODERS, MOST_DATASETS = 16, 8
WITHOUT_DOWNLOAD = ("shapes", "digits")
UNTRAINED, ANOTHER = f"{references.UNTRAINED}:", "Another encoder"
ABOUT = (
    "Each encoder stays frozen, and its h is judged with all labels of the data set, also that of a run which was "
    "trained with some of them.\n\n"
    f"**Linear probe**: {run_labels.PROBE_HELP['linear']}\n\n**kNN**: {run_labels.PROBE_HELP['knn']}\n\n"
    f"**Few labels**: 1, 5 or 10 labelled images of each class, drawn {few_shot.NUM_TASKS} times, the same for every "
    "encoder; all test images are judged from them. A class that has fewer images gives all of them."
)


def read_address(query: url_state.Query) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if encoders := [name for text in query.get("encoders", ()) for name in text.split(",") if name]:
        found["encoders"] = encoders
    if datasets := [name for name in query.get("data", ()) if name]:
        found["datasets"] = datasets
    keys = {key: key for key in matrix.FIGURES}
    figure = asked.one_of(query, "figure", keys, matrix.FIGURES["linear"].label)
    return found | ({"figure": figure} if figure else {})


VIEW = url_state.View("transfer", {"encoders": None, "datasets": None, "figure": "linear"}, read_address)


# --- choices --------------------------------------------------------------------------------------------------------


def encoder_names(items: Sequence[index.Summary]) -> dict[str, str]:
    """The encoders that can be chosen, by reference: runs, embeddings that were added, then untrained networks."""
    found = {item.id: run_labels.label(item) for item in items}
    found |= {item.name: f"{ANOTHER} · {item.name}" for item in sets.find_all(store.runs_dir())}
    before = {f"{UNTRAINED}{item.id}": f"Untrained · {run_labels.label(item)}" for item in items}
    return found | before


def first_encoders(items: Sequence[index.Summary]) -> list[str]:
    """A pre-training with an answer, its untrained network, and the same network from scratch."""
    known = {item.id for item in items}
    first = tables.to_begin_with(store.get().summaries())
    run_id = first.id if first is not None and first.id in known else items[0].id
    scratch = [item.id for item in store.partners(run_id) if item.arm == "scratch" and item.id in known]
    return [run_id, *scratch[:1], f"{UNTRAINED}{run_id}"]


def choose_encoders(names: dict[str, str], items: Sequence[index.Summary]) -> list[Encoder]:
    wanted = VIEW["encoders"]
    known = [name for name in wanted or () if name in names]
    if VIEW.was_asked("encoders"):
        for name in [name for name in wanted if name not in names]:
            why = asked.why_not(name.removeprefix(UNTRAINED)) or "has no final weights"
            url_state.say_instead("encoders", name, why, "the others" if known else "the usual ones")
    if wanted is None or known != wanted:
        VIEW["encoders"] = (known or first_encoders(items))[:MOST_ENCODERS]
    chosen = st.multiselect(
        "Encoders",
        list(names),
        format_func=lambda name: names.get(name, name),
        max_selections=MOST_ENCODERS,
        placeholder="Choose encoders",
        help="Runs with final weights, and embeddings of other encoders, which the page Embeddings adds. Untrained: "
        "the network with the random weights that a training began with.",
        **VIEW.widget("encoders"),
    )
    found: list[Encoder] = []
    for name in chosen:
        if (added := sets.find(name, store.runs_dir())) is not None:
            found.append(added)
        elif (run := store.find(name.removeprefix(UNTRAINED))) is not None:
            found.append(EncoderRef(run, "untrained" if name.startswith(UNTRAINED) else "weights"))
    return found


def choose_datasets(encoders: Sequence[Encoder]) -> list[str]:
    """The data sets, each by its name or full path; what is typed and is neither is said."""
    offered = list(dict.fromkeys([*matrix.known_datasets(encoders), *WITHOUT_DOWNLOAD]))
    if VIEW["datasets"] is None:
        VIEW["datasets"] = offered[:MOST_DATASETS]
    options = list(dict.fromkeys([*offered, *VIEW["datasets"], *DATASETS]))
    labels = matrix.dataset_labels(options)
    chosen = st.multiselect(
        "Data sets",
        options,
        format_func=lambda name: labels.get(name, name),
        max_selections=MOST_DATASETS,
        accept_new_options=True,
        placeholder="Choose, or type a folder",
        help="Those of the runs, named ones, which are downloaded where they are not there yet, and any folder of "
        "images in classes, by its path.",
        **VIEW.widget("datasets"),
    )
    found, wrong = [], []
    for name in chosen:
        if name in labels and (name in offered or name in DATASETS):
            found.append(name)
        elif existing_folder(name) is not None:
            found.append(str(user_path(name).resolve()))
        else:
            wrong.append(name)
    if wrong:
        text = f"{', '.join(wrong)}: no data set of this name and no folder on this machine."
        st.warning(escape.markdown(text), icon=":material/search_off:")
    return list(dict.fromkeys(found))


# --- the matrix -----------------------------------------------------------------------------------------------------


def texts(encoders: Sequence[Encoder], datasets: Sequence[str], key: str) -> list[list[str]]:
    """The matrix as it is when its file is asked for."""
    figure = matrix.FIGURES[key]
    return matrix.table(encoders, datasets, figure, matrix.cells(encoders, datasets, figure))


def titles(encoders: Sequence[Encoder]) -> dict[str, str]:
    """What the rows are called; that a network is untrained stands below its name."""
    known = {item.id: run_labels.label(item) for item in store.get().summaries()}
    found = {}
    for item in encoders:
        name = matrix.reference(item)
        found[name] = known.get(name.removeprefix(UNTRAINED), matrix.name_of(item))
    return found


def colors_of(encoders: Sequence[Encoder]) -> dict[str, str]:
    networks = [item for item in encoders if not isinstance(item, AddedSet)]
    own = store.colors([item.run.id for item in networks])
    found = {matrix.reference(item): run_labels.ADDED_COLOR for item in encoders if isinstance(item, AddedSet)}
    return found | {
        matrix.reference(item): palette.GREY if item.what == references.UNTRAINED else own[item.run.id]
        for item in networks
    }


@st.fragment(run_every=3)
def drawn(encoders: Sequence[Encoder], datasets: Sequence[str], key: str, names: dict[str, str]) -> None:
    """Matrix, what failed, and the job; drawn again by itself, as cells fill."""
    figure, runs_dir = matrix.FIGURES[key], store.runs_dir()
    cells = matrix.cells(encoders, datasets, figure, runs_dir)
    with st.container(border=True):
        table(
            rows.columns(datasets, cells),
            rows.rows(encoders, datasets, cells, titles(encoders), colors_of(encoders)),
            key=f"transfer-{key}",
        )
    st.caption(interval_text(figure), help=ABOUT)
    labels = matrix.dataset_labels(datasets)
    for pair, cell in cells.items():
        if cell.state == "failed":
            st.error(
                escape.markdown(f"{names[pair.encoder]} on {labels[pair.dataset]}: {cell.sentence}"),
                icon=":material/error:",
            )
    for sentence in dict.fromkeys(cell.sentence for cell in cells.values() if cell.state == "none"):
        st.caption(f":material/info: {escape.markdown(sentence)}")
    for dataset in datasets:
        if not matrix.is_here(dataset):
            st.caption(
                f":material/info: {escape.markdown(labels[dataset])} is not on this machine: what is kept is shown, "
                "and nothing more can be measured on it here."
            )
    active = matrix.active_job(runs_dir)
    if active is not None:
        jobs.progress(str(active), {})
    lacking = [pair for pair, cell in cells.items() if cell.state in ("empty", "failed") and matrix.is_here(pair[1])]
    if lacking:
        offer(encoders, datasets, len(lacking), is_waiting=active is not None)


def interval_text(figure: matrix.Figure) -> str:
    if figure.protocol == "fewshot":
        return (
            f"Mean test accuracy over {few_shot.NUM_TASKS} draws of the labelled images; below it the 95 % interval of "
            "that mean. It says nothing about other test images."
        )
    return "Test accuracy; below it the 95 % interval for other test images. It says nothing about other seeds."


def offer(encoders: Sequence[Encoder], datasets: Sequence[str], number: int, *, is_waiting: bool) -> None:
    """One click that queues what is lacking."""
    here = [dataset for dataset in datasets if matrix.is_here(dataset)]
    request = {"encoders": [matrix.reference(item) for item in encoders], "datasets": here}
    job = launch_jobs.find(matrix.JOB_NAME, request, store.runs_dir())
    jobs.offer(
        f"{number} cell{' is' if number == 1 else 's are'} not measured",
        "kNN, linear probe and few labels of each, one cell after the other, in the background"
        f"{', when the measurement above has ended' if is_waiting else ''}. The page can be closed meanwhile.",
        job,
        partial(matrix.start_job, encoders, here, store.runs_dir()),
        "transfer-measure",
    )


def page() -> None:
    items = run_labels.usable(store.get().summaries())
    items = [item for item in items if (run := store.find(item.id)) is not None and run.model_path.is_file()]
    right = ui.head("Transfer", about=ABOUT)
    VIEW.open()
    ui.show_message()
    if not items:
        st.write("Here trained encoders are judged on data sets that they have never seen. Train one first.")
        st.page_link(ui.PAGE_NEW, label="Start a pre-training", icon=":material/play_arrow:")
        return
    names = encoder_names(items)
    encoders = choose_encoders(names, items)
    left, beside = st.columns([2, 1], gap="medium")
    with left:
        datasets = choose_datasets(encoders)
    with beside:
        key = st.selectbox(
            "Figure",
            list(matrix.FIGURES),
            format_func=lambda name: matrix.FIGURES[name].label,
            **VIEW.widget("figure", list(matrix.FIGURES)),
        )
    url_state.write({"encoders": ",".join(map(matrix.reference, encoders)), "data": datasets} | VIEW.changed("figure"))
    if not encoders or not datasets:
        st.caption("Choose at least one encoder and one data set.")
        return
    with right:
        jobs.table_menu(partial(texts, encoders, datasets, key), "transfer")
    drawn(encoders, datasets, key, names)


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
