"""How far a run is: its state, its figures and its curves, which move while it goes on."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.run import verdict_panel
from dashboard.shared import figures, formats, run_actions, run_labels, store, ui
from simclr import runs
from simclr.curves import metric_info
from simclr.curves.curve_lines import mean_images_per_second
from simclr.curves.metric_info import chance_level
from simclr.results import index
from simclr.runs import Run, metrics_csv
from simclr.runs.status import Status

FIGURES = {
    "pretrain": (
        "loss",
        "knn_top1",
        "top1",
        "top5",
        "mean_rank",
        "lr",
        "images_per_second",
    ),
    "supervised": ("loss", "top1", "top5", "lr"),
}
NUM_LARGE = 2


def figure_help(metric: str, chance: float | None, with_captions: bool = False) -> str:
    text = metric_info.METRICS[metric].help
    if chance is not None and metric == "loss":
        formula = "ln(N)" if with_captions else "ln(2N - 1)"
        text += (
            f" The dashed line, {formula} = {chance:.3f}, is the loss when all similarities are equal. At a low "
            "temperature a network that knows nothing lies above it, so judge chance by the rank, not by the loss. A "
            "validation split smaller than a batch is compared within itself, which makes its loss lower."
        )
    elif chance is not None:
        text += " The dashed line is guessing."
    return text


def facts(run: Run, summary: index.Summary) -> list[tuple[str, str] | tuple[str, str, str]]:
    """Label, value and, where there is one, help of what stands above the curves."""
    status = summary.status
    found: list[tuple[str, str] | tuple[str, str, str]] = [
        ("Epoch", f"{status.epoch} of {status.epochs}" if status.epochs else "–"),
        ("Step", f"{formats.thousands(status.step)} of {formats.thousands(status.steps)}" if status.steps else "–"),
        speed(run, status),
    ]
    if status.is_active:
        found.append(("Time left", formats.duration(status.eta_seconds)))
        found += device_facts(status)
    elif summary.test_linear is not None or summary.test_knn is not None:
        found.append(("Linear probe, test", formats.percent(summary.test_linear), protocol_help(run, "linear")))
        found.append(("kNN, test", formats.percent(summary.test_knn), protocol_help(run, "knn")))
    elif summary.kind == "pretrain":
        found.append(("Best kNN, validation", formats.percent(summary.best_knn)))
    else:
        found.append(("Test accuracy", formats.percent(summary.test_accuracy)))
    found.append(("Elapsed" if status.is_active else "Duration", formats.duration(index.elapsed(status))))
    return found


def speed(run: Run, status: Status) -> tuple[str, str, str]:
    """How many images per second it trained on, on average, and lately."""
    mean = mean_images_per_second(status, metrics_csv.live_columns(run.metrics_path))
    is_head = run.config.get("freeze_encoder") and not run.config.get("augmentation")
    what = "features, computed once from the images, that the head trained on" if is_head else "images trained on"
    about = f"Average: all {what}, by the seconds of their steps; without validation and pauses."
    if status.mean_images_per_second is None:
        about += " This run kept no sum of them, so it is estimated from the speeds in its metrics.csv."
    if status.epoch_images_per_second is not None:
        about += f" In the last whole epoch: {formats.thousands(status.epoch_images_per_second)}."
    if status.is_active and status.images_per_second is not None:
        about += f" Now: {formats.thousands(status.images_per_second)}."
    return "Features per second" if is_head else "Images per second", formats.thousands(mean), about


def device_facts(status: Status) -> list[tuple[str, str, str]]:
    """What the run takes of the machine, where it says so."""
    found = []
    gpu = "Share of the time in which its GPUs worked, and their memory. All processes of the run together."
    is_whole = status.gpu_scope == "gpu"
    if is_whole:
        gpu = "Share of the time in which the GPU worked, and its memory, other programs included: in this container "
        gpu += "the driver does not tell which processes are the run's."
    for name, percent, memory, about in (
        ("Whole GPU" if is_whole else "GPU", status.gpu_percent, status.gpu_memory, gpu),
        (
            "CPU",
            status.cpu_percent,
            status.memory,
            "Of one core, so that two busy cores are 200 %; and main memory. All processes of the run together.",
        ),
    ):
        parts = [f"{percent:.0f} %"] if percent is not None else []
        parts += [f"{memory / 2**30:.1f} GiB"] if memory is not None else []
        if parts:
            found.append((name, ", ".join(parts), about))
    return found


def protocol_help(run: Run, name: str) -> str:
    """How a figure was measured, in the words of its own record."""
    protocols = run.evaluation.get("protocols")
    about = protocols.get(name) if isinstance(protocols, dict) else None
    text = about.get("text") if isinstance(about, dict) else None
    return escape.markdown(text) if isinstance(text, str) else run_labels.PROBE_HELP[name]


def tab_title(summary: index.Summary) -> str:
    """What the browser's tab says of a run: how far it is, or how it ended where that is not well."""
    if summary.state in ("running", "stopping"):
        return f"{100 * summary.status.progress:.0f} % · {summary.title}"
    if summary.state == "finished":
        return summary.title
    return f"{run_labels.STATE_LABELS.get(summary.state, summary.state)} · {summary.title}"


@st.fragment(run_every=2)
def live(run_id: str, state: str) -> None:
    """What moves while a run is going on. It holds no widget; when the state changes, the page is drawn again."""
    run = store.find(run_id)
    if run is None:
        st.rerun()
        return
    summary = store.get().summary(run)
    if summary.state != state:
        st.rerun()
    ui.page_title(tab_title(summary))
    # What comes and goes has a container of its own: charts that change their place are made anew, and lose their zoom.
    with st.container():
        if stalled := runs.stalled(summary.status):
            st.warning(escape.markdown(stalled), icon=":material/hourglass_disabled:")
        elif summary.status.reason:
            st.info(escape.markdown(summary.status.reason), icon=":material/info:")
    with st.container():
        verdict_panel.headline(run, summary)
    draw_progress(run, summary)


def draw_progress(run: Run, summary: index.Summary) -> None:
    status = summary.status
    if status.is_active:
        text = status.phase.capitalize()
        if status.state == "stopping":
            text = f"Stopping: {run_actions.stopping_text(status)}."
        elif status.state == "starting":
            text = "Starting: the process is loading its libraries and the data."
        st.progress(status.progress, text=escape.markdown(text) or None)
    elif status.state != "finished":
        st.progress(status.progress)
    with st.container(border=True, key="facts", horizontal=True, horizontal_alignment="distribute", gap="small"):
        for label, value, *help_text in facts(run, summary):
            st.metric(label, value, width="content", help=help_text[0] if help_text else None)
    with st.container():
        verdict_panel.advice(run, summary)


def curves(run_id: str, active: bool) -> None:
    """The curves; those of a run that is going on grow by themselves."""
    st.fragment(run_every=2 if active else None)(_curves)(run_id)


def _curves(run_id: str) -> None:
    if (run := store.find(run_id)) is not None:
        draw_curves(run, store.get().summary(run))


def draw_curves(run: Run, summary: index.Summary) -> None:
    columns = metrics_csv.live_columns(run.metrics_path)
    color = store.colors([run.id])[run.id]
    kind = "pretrain" if summary.kind == "pretrain" else "supervised"
    drawn = [
        (metric, figures.run_figure(columns, metric, color, chance=chance_level(metric, run.config)))
        for metric in FIGURES[kind]
    ]
    drawn = [(metric, figure) for metric, figure in drawn if figure["data"]]
    if not drawn:
        with st.container(border=True):
            st.caption("Curves appear with the first steps." if summary.is_active else "This run has no metrics.")
        return
    large, small = drawn[:NUM_LARGE], drawn[NUM_LARGE:]
    for group, per_row, height in ((large, 2, 300), (small, 3 if len(small) > 2 else 2, 210)):
        for start in range(0, len(group), per_row):
            for column, (metric, figure) in zip(
                st.columns(per_row, gap="small"), group[start : start + per_row], strict=False
            ):
                with column.container(border=True, gap=None):
                    chance = chance_level(metric, run.config)
                    label = metric_info.METRICS[metric].label
                    about = figure_help(metric, chance, bool(run.config.get("text_encoder")))
                    st.markdown(f"**{label}**", help=about)
                    live_chart(figure, f"chart-{run.id}-{metric}", label, height=height)
