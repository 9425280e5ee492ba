"""How to use a run's encoder elsewhere: Python lines, and an export as a file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
    folder = exported.folder_of(job) if job is not None else None
    file = None
    if folder is not None:
        name = exported.folder_name(run.id)
        size = sum(path.stat().st_size for path in folder.iterdir())
        when = formats.ago((folder / exported.CONFIG).stat().st_mtime)
        content = partial(exported.archive, folder, name)
        file = jobs.MadeFile(size, content, f"{name}.zip", "application/zip", f"Written {when}. {_checked(job)}")
    jobs.offer_file("export", job, file, ("Export", "Export again"), partial(_start, run.id, tuple(asked)))


def _checked(job: Path | None) -> str:
    """What the export printed of its files, without their folder."""
    lines = runs.Run(job).log_tail(10).splitlines() if job is not None else []
    said = {Path(name).name: text for name, _, text in (line.partition(": ") for line in lines)}
    return escape.markdown(" ".join(f"{name}: {said[name]}." for name in exported.FILES.values() if name in said))


def _start(run_id: str, asked: Sequence[str]) -> None:
    with ui.report_errors():
        exported.start_job(run_id, asked, store.runs_dir())
