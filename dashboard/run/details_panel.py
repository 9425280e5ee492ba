"""What a run leaves behind: its log, its options, and where it comes from."""

from __future__ import annotations

import shlex
import time

import streamlit as st

from dashboard.components.table import table
from dashboard.shared import formats, store
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.results import index
from simclr.runs import Run

LOG_LINES = 400
LONGEST_FACT = 600  # letters of a value of meta.json
SHOWN_ELSEWHERE = ("created", "name", "notes", "tags", "brief", "data_reading")
META_LABELS = {
    "git_commit": "Commit",
    "num_train_images": "Training images",
    "num_classes": "Classes",
    "num_skipped_images": "Images that cannot be read",
    "num_replaced_images": "Images replaced",
    "in_memory": "Images kept in memory",
    "weights_sha256": "SHA-256 of its first weights",
    "data_fingerprint": "Fingerprint of the images",
}
ORIGIN_COLUMNS = [
    {"key": "name", "label": "What", "sortable": False},
    {"key": "value", "label": "Value", "sortable": False, "wrap": True},
]


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


def log(run: Run, summary: index.Summary) -> None:
    """The end of its log, followed while it is written."""
    if summary.is_active:
        follow_log(run.id)
    else:
        show_log(run.id)


def options(run: Run) -> None:
    """Where the run differs from the defaults, and all of its options."""
    try:
        checked = runs.load_config(run)
        base = cfg.build(cfg.MODELS[run.kind], {"random_weight_init": True} if run.kind != "pretrain" else {})
        differing = cfg.differences(checked, base)
    except ConfigError:
        differing = {}
    if differing:
        st.caption("Where this run differs from the defaults:")
        yaml("\n".join(f"{name}: {cfg.option_text(value)}" for name, value in differing.items()))
        st.caption("All options:")
    yaml(text_of(run, runs.CONFIG) or "This run folder has no config.yaml.")


def yaml(text: str) -> None:
    """A file as it stands: colours of its parts would be too pale to be read, and long lines would need scrolling."""
    st.code(text, language=None, wrap_lines=True)


def origin(run: Run) -> None:
    """The command that repeats it, where it lies, and by which versions it was made."""
    shown = run.path.relative_to(store.ROOT) if run.path.is_relative_to(store.ROOT) else run.path
    command = ["python", "-m", "simclr", runs.command_name(run.kind), "--config", str(shown / runs.CONFIG)]
    st.caption("The same options again:")
    st.code(shlex.join(command), language="bash", wrap_lines=True)
    st.caption("Its folder:")
    st.code(str(run.path), language=None, wrap_lines=True)
    rows = [{"name": {"text": name}, "value": {"text": text}} for name, text in facts(run)]
    table(ORIGIN_COLUMNS, rows, key=f"origin-{run.id}")


def facts(run: Run) -> list[tuple[str, str]]:
    """What its meta.json tells, in words; what the page shows elsewhere is left out."""
    found = [("Created", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.created)))]
    for key, value in run.meta.items():
        if key in SHOWN_ELSEWHERE or value in (None, "", [], {}):
            continue
        label, text = META_LABELS.get(key, key.replace("_", " ").capitalize()), meta_text(key, value)
        found.append((label, text if len(text) <= LONGEST_FACT else f"{text[: LONGEST_FACT - 1]}…"))
    return found


def meta_text(key: str, value: object) -> str:
    """A value of meta.json as one reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key.startswith("num_"):
        return formats.thousands(value)
    if isinstance(value, list):
        parts = [meta_text("", item) for item in value]
        return shlex.join(parts) if key == "command" else ", ".join(parts)
    if isinstance(value, dict):
        return ", ".join(f"{name} {meta_text('', item)}" for name, item in value.items())
    return str(value)


def text_of(run: Run, name: str) -> str:
    try:
        return safe_read.read_bytes(run.path / name, safe_read.MAX_YAML_BYTES).decode(errors="replace")
    except OSError:
        return ""
