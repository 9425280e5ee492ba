"""How to use a run's encoder elsewhere: Python lines, and an export as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.shared import formats, jobs, store, ui
from simclr import runs
from simclr.encoders import exported
from simclr.runs import Run

LABELS = {
    "safetensors": "safetensors",
    "onnx": "ONNX",
    "safetensors,onnx": "Both",
}
ABOUT = {
    "safetensors": "Weights for PyTorch, with what timm and the Hugging Face Hub read beside them.",
    "onnx": "Network and preprocessing in one file: uint8 images in, features out, without PyTorch.",
    "safetensors,onnx": "Both in one archive.",
}


def can_be_used(run: Run) -> bool:
    """Whether there are final weights."""
    return run.status.state == "finished" and run.model_path.is_file()


def use_menu(run: Run) -> None:
    """The menu with the lines that load the encoder and the button that exports it."""
    with st.popover("Use", icon=":material/deployed_code:", help="Load this encoder in Python, or export it"):
        st.markdown("**In Python**")
        st.code(_lines(run), language="python", wrap_lines=True)
        st.markdown("**As a file**")
        format_asked = st.segmented_control(
            "Format",
            list(LABELS),
            default="safetensors",
            required=True,
            format_func=LABELS.__getitem__,
            key="export-format",
            label_visibility="collapsed",
        )
        st.caption(
            f"{ABOUT[str(format_asked)]} A model card tells data, recipe, figures and limits. Each file is compared "
            "with the run's own weights on 64 images, and refused where it differs."
        )
        _export(run, str(format_asked).split(","))


def _lines(run: Run) -> str:
    lines = ["import simclr", "", f'encoder = simclr.load_encoder("{run.path.resolve()}")']
    lines.append('h = encoder.embed(["photo.jpg"])  # one row of float32 for each image')
    if run.kind != "pretrain":
        lines.append('print(encoder.predict(["photo.jpg"]).labels)')
    return "\n".join(lines)


def _export(run: Run, asked: Sequence[str]) -> None:
    job = exported.find_job(run.id, asked, store.runs_dir())
    status = runs.current_status(job) if job is not None else None
    if job is not None and status is not None and status.is_active:
        jobs.progress(str(job), {})
        return
    if status is not None and status.state == "failed":
        st.error(escape.markdown(status.error or "The export failed."), icon=":material/error:")
    folder = exported.folder_of(job) if job is not None else None
    if folder is not None:
        name = exported.folder_name(run.id)
        size = sum(path.stat().st_size for path in folder.iterdir())
        st.download_button(
            f"Download, {size / 1e6:.1f} MB",
            lambda: exported.archive(folder, name),
            file_name=f"{name}.zip",
            mime="application/zip",
            key="export-download",
            on_click="ignore",
            type="primary",
            icon=":material/download:",
            width="stretch",
        )
        st.caption(f"Written {formats.ago((folder / exported.CONFIG).stat().st_mtime)}. {_checked(job)}")
    st.button(
        "Export again" if folder is not None else "Export",
        key="export-make",
        icon=":material/refresh:" if folder is not None else ":material/play_arrow:",
        type="secondary" if folder is not None else "primary",
        on_click=_start,
        args=(run.id, tuple(asked)),
        width="stretch",
    )


def _checked(job: Path | None) -> str:
    """What the export printed of its files, without their folder."""
    lines = runs.Run(job).log_tail(10).splitlines() if job is not None else []
    said = {Path(name).name: text for name, _, text in (line.partition(": ") for line in lines)}
    return escape.markdown(" ".join(f"{name}: {said[name]}." for name in exported.FILES.values() if name in said))


def _start(run_id: str, asked: Sequence[str]) -> None:
    with ui.report_errors():
        exported.start_job(run_id, asked, store.runs_dir())
