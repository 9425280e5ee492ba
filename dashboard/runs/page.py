"""Runs: what is going on, and everything that was trained so far."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.embedding_map import MapState, embedding_map, read_state
from dashboard.components.table import table
from dashboard.maps import race_films
from dashboard.shared import formats, forms, palette, queue, run_actions, run_labels, store, ui, url_state
from simclr import config as cfg
from simclr import runs
from simclr.curves import smoothing
from simclr.experiments import race
from simclr.launch import queue as run_queue
from simclr.results import index
from simclr.runs import metrics_csv

MAX_LIVE_CARDS = 9
MAX_ROWS = 200
# Failures older than this are in the table only.
TROUBLE_SECONDS = 86_400
MAX_TROUBLES = 4
PICTURE, PICTURE_METHOD, PICTURE_SPEED = "race-picture", "tsne", 4  # of the shipped race; frames a second

COLUMNS: list[dict[str, Any]] = [
    {"key": "name", "label": "Run"},
    {"key": "state", "label": "State"},
    {"key": "kind", "label": "Kind", "rank": 2},
    {"key": "data", "label": "Data", "rank": 2},
    {"key": "backbone", "label": "Backbone", "rank": 3},
    {"key": "epochs", "label": "Epochs", "align": "right", "rank": 2},
    {
        "key": "accuracy",
        "label": "Accuracy",
        "align": "right",
        "help": "Test accuracy; for a pre-training the best kNN accuracy on validation images.",
    },
    {
        "key": "loss",
        "label": "Loss",
        "align": "right",
        "rank": 3,
        "help": "The newest validation loss, else training loss.",
    },
    {"key": "duration", "label": "Duration", "align": "right", "rank": 3},
    {"key": "created", "label": "Started", "align": "right", "rank": 2},
]

KINDS = ("pretrain", "finetune", "scratch")
STATES = ("active", "finished", "stopped", "failed")


def read_address(query: url_state.Query) -> dict[str, Any]:
    """The filters of an address, by their own words or those on the page."""
    kinds = {word: kind for kind in KINDS for word in (kind, run_labels.KIND_LABELS[kind].lower())}
    return {
        "kind": known_words(query, "filter-kind", kinds, KINDS),
        "state": known_words(query, "filter-state", {word: word for word in STATES}, STATES),
        "text": " ".join(query.get("filter-text", ())[-1:])[:1000],
    }


def known_words(query: url_state.Query, name: str, words: dict[str, str], said: tuple[str, ...]) -> list[str]:
    """The words of a filter that are known; the others are noted."""
    asked = query.get(name, ())
    found = [words[word.lower()] for word in asked if word.lower() in words]
    unknown = [word for word in asked if word and word.lower() not in words]
    if unknown:
        instead = "runs that pass the rest of the filter" if found else "all runs"
        url_state.say_instead(name, unknown, url_state.none_of(said), instead)
    return found


VIEW = url_state.View("", {"kind": [], "state": [], "text": ""}, read_address, name="filter")


def row(summary: index.Summary) -> dict[str, Any]:
    """One run as a row of the table; it leads to the run's own page by id."""
    status = summary.status
    seconds = index.elapsed(status)
    sub = ""
    if summary.arm:
        sub = f"{run_labels.ARM_LABELS[summary.arm]}, {formats.fraction_text(summary.label_fraction)} of labels"
    elif summary.name != summary.id:
        sub = index.short_id(summary.id)
    if summary.is_example:
        sub = f"Example · {sub}" if sub else "Example"
    return {
        "href": url_state.address("run", id=summary.id),
        "name": {"text": summary.title, "title": summary.id, "sub": sub},
        "state": {
            "text": run_labels.STATE_LABELS[summary.state],
            "state": palette.STATE_COLORS[summary.state],
            "sub": status.reason if status.state in ("failed", "queued") else "",
        },
        "kind": {"text": run_labels.KIND_LABELS[summary.kind]},
        "data": {"text": summary.dataset or "–"},
        "backbone": {"text": summary.backbone or "–"},
        "epochs": {"text": f"{status.epoch} / {status.epochs}" if status.epochs else "–", "sort": status.epoch},
        "accuracy": {
            "text": formats.percent(summary.accuracy),
            "sort": summary.accuracy,
            "strong": True,
            "sub": "" if summary.accuracy is None else "kNN" if summary.kind == "pretrain" else "test",
        },
        "loss": {"text": formats.decimal(summary.loss), "sort": summary.loss},
        "duration": {"text": formats.duration(seconds), "sort": seconds},
        "created": {"text": formats.ago(summary.created), "sort": summary.created},
    }


def matches(summary: index.Summary, kinds: list[str], states: list[str], text: str) -> bool:
    """True if a run passes the filters; none chosen lets everything pass."""
    group = "active" if summary.is_active else summary.state
    if (kinds and summary.kind not in kinds) or (states and group not in states):
        return False
    haystack = " ".join((summary.name, summary.id, summary.dataset, summary.backbone, *summary.tags)).lower()
    return all(word in haystack for word in text.lower().split())


def examples(found: list[index.Summary]) -> None:
    """The shipped runs, on the first page of someone who has none yet."""
    st.space("small")
    st.subheader("Or look at finished ones first", anchor=False)
    st.caption("These ship with it. Open one for its curves, or compare them under Curves, Results and Embeddings.")
    table(COLUMNS, [row(item) for item in found[:MAX_ROWS]], key="examples")


def empty(found: list[index.Summary]) -> None:
    """Before the first run: what this is, in a sentence, a button and a picture that moves."""
    st.title("Train a network without labels, and see what it learned", anchor=False)
    st.markdown(
        "SimCLR teaches a network to recognize two distorted views of one image, without being told what is in it. "
        "Watch it beside the same network trained from scratch on a few labels."
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button("Start the race", type="primary", icon=":material/flag:", key="first-race"):
            first_race()
        if st.button("Start a run of your own", icon=":material/add_circle:", key="first-run"):
            if "quick" in cfg.recipe_names():
                forms.prefill("pretrain", {}, "quick")
            url_state.go("new-run")
        st.caption("Some three minutes on two processor cores, on images that ship with it.", width="content")
    picture(found)


def first_race() -> None:
    """Starts SimCLR and from scratch side by side, and shows them."""
    with ui.report_errors():
        started = race.start("quick", store.runs_dir())
        url_state.go("race", id=started.scratch.id)


@st.fragment
def picture(found: list[index.Summary]) -> None:
    """The shipped race, playing."""
    shipped = race.list_races(found, store.runs_dir(), shipped=True)
    frames = race_films.frames_of(shipped[0], PICTURE_METHOD) if shipped else None
    if frames is None:
        return
    last = len(frames.seen) - 1
    state = read_state(PICTURE, frames.films[0].ids, MapState(frame=last), PICTURE)
    data = race_films.payload(shipped[0], frames, last) | {"plays": PICTURE_SPEED}
    details = race_films.details(frames, min(max(0, state.frame), last), state.image)
    embedding_map(data, PICTURE, start=MapState(frame=last), token=PICTURE, details=details)
    st.caption(
        f"A finished race: each point is one of {frames.films[0].num_images:,} validation images, its colour the shape "
        f"that it shows. Neighbours are right for {100 * (frames.right(0, last) or 0):.0f} % of them under SimCLR, for "
        f"{100 * (frames.right(1, last) or 0):.0f} % from scratch on {frames.films[1].about.get('num_labels')} labels."
    )


def headline(summary: index.Summary, columns: dict[str, list[float]]) -> tuple[str, str, list[float]]:
    """Label, value and line of the number that tells most about a run that is going on."""
    for name, label in (("val/knn_top1", "kNN accuracy"), ("val/top1", "Validation accuracy")):
        if (name == "val/top1") == (summary.kind == "pretrain"):
            continue
        values = smoothing.sparkline(columns.get(name, ()))
        if values:
            return label, formats.percent(values[-1]), [100 * value for value in values]
    values = smoothing.sparkline(columns.get("train/loss", ()))
    return "Loss", formats.decimal(values[-1] if values else None), values


@st.fragment(run_every=2)
def live_card(run_id: str) -> None:
    """The part of a card that moves. It holds no widget: a refresh could otherwise lose a click."""
    run = store.find(run_id)
    if run is None:
        st.caption("This run is not there any more.")
        return
    summary = store.get().summary(run)
    status = summary.status
    label, value, line = headline(summary, metrics_csv.live_columns(run.metrics_path))
    st.progress(status.progress)
    facts = []
    if status.steps:
        facts.append(f"Epoch {status.epoch} of {status.epochs}")
    else:
        facts.append(status.phase.capitalize() or run_labels.STATE_LABELS[status.state])
    if status.images_per_second:
        facts.append(f"{formats.thousands(status.images_per_second)} images/s")
    if status.state == "stopping":
        facts.append(run_actions.stopping_text(status))
    elif status.eta_seconds is not None:
        facts.append(f"{formats.duration(status.eta_seconds)} left")
    if status.device:
        facts.append(queue.device_text(status.device))
    st.caption(escape.markdown(" · ".join(facts)))
    if stalled := runs.stalled(status):
        st.warning(escape.markdown(stalled), icon=":material/hourglass_disabled:")
    elif status.reason:
        st.caption(f":material/info: {escape.markdown(status.reason)}")
    st.metric(label, value, chart_data=line if len(line) > 1 else None, chart_type="line")


def card(summary: index.Summary) -> None:
    with st.container(border=True, key=f"card-{summary.id}", gap="small"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{escape.markdown(summary.title)}**", width="stretch")
            st.badge(run_labels.KIND_LABELS[summary.kind], color="blue")
        live_card(summary.id)
        with st.container(horizontal=True, gap="small"):
            if st.button("Open", key=f"open-{summary.id}", icon=":material/open_in_full:"):
                url_state.go("run", id=summary.id)
            stopping = summary.state == "stopping"
            if st.button(
                "Stopping" if stopping else "Stop",
                key=f"stop-{summary.id}",
                icon=":material/stop:",
                type="tertiary",
                disabled=stopping,
            ):
                run_actions.confirm_stop(summary.id)


def troubles(found: list[index.Summary]) -> None:
    """Runs that failed of late: what went wrong, and the way on."""
    now = time.time()
    recent = [
        item
        for item in found
        if item.state == "failed"
        and not item.is_example
        and now - (item.status.ended or item.status.heartbeat or item.created) < TROUBLE_SECONDS
    ]
    pairs = [(item, run) for item in recent if (run := store.find(item.id)) and not run.meta.get("seen")]
    for item, run in pairs[:MAX_TROUBLES]:
        with st.container(border=True, key=f"trouble-{item.id}", gap="small"):
            with st.container(
                horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"
            ):
                with st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch"):
                    st.markdown(f":red[:material/error:] **{escape.markdown(item.title)}**", width="content")
                    progress = f"epoch {item.status.epoch} of {item.status.epochs}"
                    st.caption(escape.markdown(f"{item.status.reason or 'failed'} · {progress}"), width="content")
                with st.container(horizontal=True, width="content", gap="small"):
                    if st.button("Open", key=f"trouble-open-{item.id}", icon=":material/open_in_full:"):
                        url_state.go("run", id=item.id)
                    if run_actions.resumable(run) and runs.is_own(
                        run.path
                    ):  # others on their own page, which says more
                        st.button(
                            run_actions.resume_label(run),
                            key=f"trouble-resume-{item.id}",
                            icon=":material/resume:",
                            on_click=queue.resume,
                            args=(item.id,),
                        )
                    st.button(
                        "Dismiss",
                        key=f"trouble-dismiss-{item.id}",
                        type="tertiary",
                        on_click=run_actions.dismiss_run,
                        args=(item.id,),
                    )
            st.markdown(escape.markdown(item.status.error or "It failed; its log tells more."))


def moving(found: list[index.Summary]) -> tuple[str, ...]:
    """What the page is drawn for: which runs are active, stopping, waiting in which order, or failed."""
    waits = [item for item in found if item.state == "queued"]
    order = [run.id for run in run_queue.entries(store.runs_dir())] if waits else []
    return (*sorted(f"{item.id} {item.state}" for item in found if item.is_active or item.state == "failed"), *order)


@st.fragment(run_every=2)
def watch(drawn: tuple[str, ...]) -> None:
    """Draws the page again when a run began, ended or got another place, here or in another window."""
    if moving(store.get().summaries()) != drawn:
        st.rerun()


@st.fragment(run_every=5)
def all_runs(kinds: list[str], states: list[str], text: str) -> None:
    found = [item for item in store.get().summaries() if matches(item, kinds, states, text)]
    if not found:
        st.caption("No run passes these filters.")
        return
    table(COLUMNS, [row(item) for item in found[:MAX_ROWS]], key="all-runs")
    if len(found) > MAX_ROWS:
        st.caption(f"The newest {MAX_ROWS} of {len(found)} runs; filter to see others.")


def undo_delete() -> None:
    deleted = st.session_state.get("deleted")
    if not deleted:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"{escape.markdown(deleted['name'])} is in the trash.", width="stretch")
        with st.container(horizontal=True, width="content", gap="small"):
            if st.button("Undo", key="undo-delete", icon=":material/undo:"):
                del st.session_state["deleted"]
                with ui.report_errors():
                    runs.restore(deleted["id"], store.runs_dir())
                st.rerun()
            if st.button("Dismiss", key="dismiss-delete", type="tertiary"):
                del st.session_state["deleted"]
                st.rerun()


def page() -> None:
    if (query := url_state.news("")) is not None:
        VIEW.take(query)  # opened without an address, it shows all
    ui.show_message()
    undo_delete()
    found = store.get().summaries()
    if all(item.is_example for item in found):
        empty(found)
        if found:
            examples(found)
        watch(moving(found))
        return
    # what waits for a device of this machine has its place in the queue below
    active = [item for item in found if item.is_active and (item.state, item.status.backend) != ("queued", "local")]
    right = ui.head("Runs")
    if right.button("Race", icon=":material/flag:", key="race"):
        url_state.go("race")
    if right.button("New run", type="primary", icon=":material/add:", key="new-run"):
        url_state.go("new-run")
    watch(moving(found))
    troubles(found)
    if active:
        with st.container(key="active"):
            for start in range(0, min(len(active), MAX_LIVE_CARDS), 3):
                shown = active[start : start + 3]
                # one card alone would be a very wide one
                for column, item in zip(st.columns(max(2, len(shown)), gap="medium"), shown, strict=False):
                    with column:
                        card(item)
        if len(active) > MAX_LIVE_CARDS:
            st.caption(f"{len(active) - MAX_LIVE_CARDS} more active runs are in the table.")
    if is_waiting := any(item.state == "queued" for item in found):
        queue.section()
    if active or is_waiting:
        st.space("small")
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            st.subheader("All runs", anchor=False, width="content")
            kinds = st.pills(
                "Kind",
                KINDS,
                selection_mode="multi",
                format_func=run_labels.KIND_LABELS.__getitem__,
                label_visibility="collapsed",
                **VIEW.widget("kind"),
            )
            states = st.pills(
                "State",
                STATES,
                selection_mode="multi",
                format_func=str.capitalize,
                label_visibility="collapsed",
                **VIEW.widget("state"),
            )
            text = st.text_input(
                "Search",
                placeholder="Search name, data, tag",
                label_visibility="collapsed",
                width=220,
                icon=":material/search:",
                **VIEW.widget("text"),
            )
        all_runs(list(kinds), list(states), text or "")
    url_state.write({"filter-kind": kinds, "filter-state": states, "filter-text": text or ""})


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
