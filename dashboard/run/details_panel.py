"""What a run leaves behind: its log, its final test, its options, and the command that repeats it."""

from __future__ import annotations

import shlex
import time

import streamlit as st

from dashboard.components import escape
from dashboard.components.confusion_matrix import confusion_matrix
from dashboard.components.live_chart import live_chart
from dashboard.run import figures as run_figures
from dashboard.shared import formats, store
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.results import confusion, index
from simclr.runs import Run

LOG_LINES = 400
MOST_BESIDE = 13  # columns of a matrix that has half of the page
MOST_HEIGHT = 620  # pixels; more classes are scrolled


@st.fragment(run_every=2)
def follow_log(run_id: str) -> None:
    show_log(run_id)


def show_log(run_id: str) -> None:
    run = store.find(run_id)
    text = run.log_tail(LOG_LINES) if run else ""
    tall = text.count("\n") > 12
    with st.container(height=320 if tall else "content", autoscroll=tall, key=f"log-box-{tall}", border=False):
        st.code(text or "Nothing was written yet.", language=None, wrap_lines=True)


def show_traceback(run: Run) -> None:
    """Where in the program it went wrong, for those who can read that."""
    _, found, trace = run.log_tail(LOG_LINES).rpartition("Traceback (most recent call last)")
    if found:
        with st.expander("Traceback", key=f"trace-{run.id}", icon=":material/bug_report:"):
            st.code(
                found + trace, language="python", wrap_lines=True, height=320 if trace.count("\n") > 14 else "content"
            )


def log_section(run: Run, summary: index.Summary) -> None:
    """The end of the log, folded unless it is what a reader of a failed run needs first."""
    failed = summary.state == "failed"
    opened = st.expander(
        "Log", expanded=failed, key=f"log-{run.id}-{failed}", icon=":material/article:", on_change="rerun"
    )
    if opened.open:
        with opened:
            if summary.is_active:
                follow_log(run.id)
            else:
                show_log(run.id)


def options_and_origin(run: Run) -> None:
    try:
        checked = runs.load_config(run)
        base = cfg.build(cfg.MODELS[run.kind], {"random_weight_init": True} if run.kind != "pretrain" else {})
        differing = cfg.differences(checked, base)
    except ConfigError:
        differing = {}
    with st.expander("Options", key=f"options-{run.id}", icon=":material/tune:"):
        if differing:
            st.caption("Where this run differs from the defaults:")
            st.code(
                "\n".join(f"{name}: {cfg.option_text(value)}" for name, value in differing.items()), language="yaml"
            )
            st.caption("All options:")
        st.code(text_of(run, runs.CONFIG) or "This run folder has no config.yaml.", language="yaml", height=320)
    with st.expander("Command, versions and folder", key=f"meta-{run.id}", icon=":material/terminal:"):
        st.caption("Repeat this run:")
        shown = run.path.relative_to(store.ROOT) if run.path.is_relative_to(store.ROOT) else run.path
        command = ["python", "-m", "simclr", runs.command_name(run.kind), "--config", str(shown / runs.CONFIG)]
        st.code(shlex.join(command), language="bash", wrap_lines=True)
        meta = {
            key: value
            for key, value in run.meta.items()
            if key not in ("name", "notes", "tags", "brief", "data_reading")
        }
        if isinstance(meta.get("created"), (int, float)):
            meta["created"] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.created))
        meta["folder"] = str(run.path)
        st.json(meta, expanded=1)


def text_of(run: Run, name: str) -> str:
    try:
        return safe_read.read_bytes(run.path / name, safe_read.MAX_YAML_BYTES).decode(errors="replace")
    except OSError:
        return ""


def final_test(run: Run) -> None:
    """The final test: per class and what was taken for what."""
    found = run.evaluation
    classes, per_class = found.get("classes"), found.get("per_class")
    if (
        not isinstance(classes, list)
        or not isinstance(per_class, list)
        or len(classes) != len(per_class)
        or not classes
    ):
        return
    names = [str(name) for name in classes]
    numbers = map(safe_read.finite_number, per_class)
    measured = [(name, number) for name, number in zip(names, numbers, strict=True) if number is not None]
    if not measured:
        return
    matrix = confusion.readable(names, found.get("confusion") or [])
    beside = matrix is not None and len(matrix.columns) <= MOST_BESIDE
    left, right = st.columns([0.42, 0.58], gap="small") if beside else (st.container(), st.container())
    with left.container(border=True, height="stretch"):
        is_probe = run.kind == "pretrain"
        st.markdown("**Linear probe: test accuracy by class**" if is_probe else "**Test accuracy by class**")
        st.caption(escape.markdown(budget_sentence(found)))
        height = run_figures.per_class_height(len(measured))
        with st.container(height=MOST_HEIGHT if height > MOST_HEIGHT else "content", border=False):
            figure = run_figures.per_class([name for name, _ in measured], [value for _, value in measured], "primary")
            live_chart(figure, f"classes-{run.id}", "Test accuracy by class", height=height)
    if matrix is not None:
        with right.container(border=True, height="stretch"):
            st.markdown("**What was taken for what**")
            st.caption(matrix_caption(matrix))
            confusion_matrix(matrix, key=f"confusion-{run.id}")


def matrix_caption(matrix: confusion.Confusion) -> str:
    text = "Rows: the true class; columns: the answer; per cent of each row, blue where it is right."
    if matrix.num_classes > len(matrix.rows):
        text += (
            f" Of {matrix.num_classes} classes these {len(matrix.rows)} are in the most frequent confusions; the last "
            "column holds all other answers."
        )
    return text


def budget_sentence(found: dict) -> str:
    parts = []
    if safe_read.finite_number(found.get("num_labels")) is not None:
        parts.append(f"{formats.thousands(found['num_labels'])} labels")
    if safe_read.finite_number(found.get("num_test_images")) is not None:
        parts.append(f"{formats.thousands(found['num_test_images'])} test images")
    if isinstance(found.get("budget"), str):
        parts.append(found["budget"])
    return " · ".join(parts)
