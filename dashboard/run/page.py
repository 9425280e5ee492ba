"""Run: one run from its first step to what comes after it."""

from __future__ import annotations

import shlex
import time

import streamlit as st

from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.run import figures as run_figures
from dashboard.run import health_panel
from dashboard.shared import figures, formats, queue, run_labels, store, ui
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.results import arms, index, metric_info
from simclr.runs import Run, metrics_csv
from simclr.runs.status import Status

LOG_LINES = 400
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


def chance_level(metric: str, config: dict) -> float | None:
    """Where a model that knows nothing stands, for the metrics of a pre-training that have such a level."""
    batch = index.finite_number(config.get("batch_size"))
    if not batch or batch < 2 or "temperature" not in config:
        return None
    candidates = 2 * batch - 1
    if metric == "loss":
        return metric_info.chance_loss(int(batch))
    if metric == "mean_rank":
        return (candidates + 1) / 2
    if metric in ("top1", "top5"):
        return 100 * min(5, candidates) / candidates if metric == "top5" else 100 / candidates
    return None


def figure_help(metric: str, chance: float | None) -> str:
    text = metric_info.METRICS[metric].help
    if chance is not None and metric == "loss":
        text += (
            f" The dashed line, ln(2N - 1) = {chance:.3f}, is the loss when all similarities are equal. At a low "
            "temperature a network that knows nothing lies above it, so judge chance by the rank, not by the loss. A "
            "validation split smaller than a batch is compared within itself, which makes its loss lower."
        )
    elif chance is not None:
        text += " The dashed line is guessing."
    return text


FOREIGN = (
    "Its folder was copied, renamed, or made by another user: look at its options first. It reads the images that "
    "they name, and uses your own Slurm options."
)


def facts(run: Run, summary: index.Summary) -> list[tuple[str, str] | tuple[str, str, str]]:
    """Label, value and, where there is one, help of what stands above the curves."""
    status = summary.status
    found: list[tuple[str, str] | tuple[str, str, str]] = [
        ("Epoch", f"{status.epoch} of {status.epochs}" if status.epochs else "–"),
        ("Step", f"{status.step:,} of {status.steps:,}".replace(",", " ") if status.steps else "–"),
        ("Images per second", formats.thousands(status.images_per_second)),
    ]
    if status.is_active:
        found.append(("Time left", formats.duration(status.eta_seconds)))
        found += use(status)
    elif summary.test_linear is not None or summary.test_knn is not None:
        found.append(("Linear probe, test", formats.percent(summary.test_linear), protocol_help(run, "linear")))
        found.append(("kNN, test", formats.percent(summary.test_knn), protocol_help(run, "knn")))
    elif summary.kind == "pretrain":
        found.append(("Best kNN accuracy", formats.percent(summary.best_knn)))
    else:
        found.append(("Test accuracy", formats.percent(summary.test_accuracy)))
    found.append(("Elapsed" if status.is_active else "Duration", formats.duration(index.elapsed(status))))
    return found


def use(status: Status) -> list[tuple[str, str, str]]:
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


@st.fragment(run_every=2)
def live(run_id: str, state: str) -> None:
    """What moves while a run is going on. It holds no widget; when the state changes, the page is drawn anew."""
    run = store.find(run_id)
    if run is None:
        st.rerun()
        return
    summary = store.get().summary(run)
    if summary.state != state:
        st.rerun()
    if stalled := runs.stalled(summary.status):
        st.warning(escape.markdown(stalled), icon=":material/hourglass_disabled:")
    elif summary.status.reason:
        st.info(escape.markdown(summary.status.reason), icon=":material/info:")
    if summary.kind == "pretrain":
        health_panel.headline(run, summary)
    progress(run, summary)
    curves(run, summary)


def progress(run: Run, summary: index.Summary) -> None:
    status = summary.status
    if status.is_active:
        text = status.phase.capitalize()
        if status.state == "stopping":
            text = f"Stopping: {ui.stopping_text(status)}."
        elif status.state == "starting":
            text = "Starting: the process is loading its libraries and the data."
        st.progress(status.progress, text=escape.markdown(text) or None)
    elif status.state != "finished":
        st.progress(status.progress)
    with st.container(border=True, key="facts", horizontal=True, horizontal_alignment="distribute", gap="small"):
        for label, value, *help_text in facts(run, summary):
            st.metric(label, value, width="content", help=help_text[0] if help_text else None)


def curves(run: Run, summary: index.Summary) -> None:
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
                    st.markdown(f"**{metric_info.METRICS[metric].label}**", help=figure_help(metric, chance))
                    live_chart(figure, key=f"chart-{run.id}-{metric}", height=height)


@st.fragment(run_every=2)
def log_live(run_id: str) -> None:
    log(run_id)


def log(run_id: str) -> None:
    run = store.find(run_id)
    text = run.log_tail(LOG_LINES) if run else ""
    tall = text.count("\n") > 12
    with st.container(height=320 if tall else "content", autoscroll=tall, key=f"log-box-{tall}", border=False):
        st.code(text or "Nothing was written yet.", language=None, wrap_lines=True)


def traceback(run: Run) -> None:
    """Where in the program it went wrong, for those who can read that."""
    _, found, trace = run.log_tail(LOG_LINES).rpartition("Traceback (most recent call last)")
    if found:
        with st.expander("Traceback", key=f"trace-{run.id}", icon=":material/bug_report:"):
            st.code(
                found + trace, language="python", wrap_lines=True, height=320 if trace.count("\n") > 14 else "content"
            )


@st.fragment(run_every=2)
def queued(run_id: str) -> None:
    """A run that waits: for what, behind whom. Drawn anew as a whole when it begins."""
    run = store.find(run_id)
    if run is None or run.status.state != "queued":
        st.rerun()
        return
    status = run.status
    with st.container(border=True, gap="small"):
        if status.backend == "slurm":
            st.markdown(escape.markdown(f"Slurm job {status.job_id}: {status.reason or 'pending'}."))
            return
        st.markdown(escape.markdown(queue.sentence(run)))
    if runs.is_begun(run.path):
        st.caption(f"It goes on from epoch {status.epoch} of {status.epochs}.")


def waiting_actions(run: Run) -> None:
    if not runs.is_own(run.path):
        st.button(
            "Start it, though not queued here", key="queue-allow", icon=":material/play_arrow:", help=FOREIGN,
            on_click=queue.allow, args=(run.id,),
        )  # fmt: skip
        return
    with st.container(horizontal=True, gap="small"):
        st.button("Start next", key="queue-first", icon=":material/vertical_align_top:", on_click=queue.move,
                  args=(run.id, 0))  # fmt: skip
        if not runs.is_begun(run.path) and st.button("Change its options", key="queue-edit", icon=":material/tune:"):
            st.switch_page(ui.PAGE_NEW, query_params={"edit": run.id})


def log_section(run: Run, summary: index.Summary) -> None:
    """The end of the log, folded unless it is what a reader of a failed run needs first."""
    failed = summary.state == "failed"
    opened = st.expander(
        "Log", expanded=failed, key=f"log-{run.id}-{failed}", icon=":material/article:", on_change="rerun"
    )
    if opened.open:
        with opened:
            if summary.is_active:
                log_live(run.id)
            else:
                log(run.id)


def next_steps(run: Run, summary: index.Summary) -> None:
    """What a finished pre-training is for: three runs on the same labels, one click each."""
    with st.container(border=True, key="next-steps"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
            st.subheader("Next steps", anchor=False, width="content")
            fraction = st.segmented_control(
                "Labels used",
                arms.LABEL_FRACTIONS,
                format_func=formats.fraction_text,
                default=0.01,
                required=True,
                key=f"next-fraction-{run.id}",
                persist_state="session",
            )
        st.caption(
            "What is the encoder worth? Train a classifier on few labels, and the same network from scratch on "
            "the same images for comparison."
        )
        fraction = fraction or 0.01
        found = store.partners(run.id)
        titles = {
            "frozen": ("Frozen encoder + head", "The encoder stays as it is; a linear layer on its features."),
            "full": ("Fine-tune everything", "Encoder and classifier are trained together."),
            "scratch": ("From scratch, same labels", "The same network from random weights: what it is compared with."),
        }
        for column, arm in zip(st.columns(3, gap="medium"), arms.ARMS, strict=True):
            with column.container(height="stretch"):
                title, text = titles[arm]
                partner = arms.newest_partner(found, arm, fraction)
                done = partner is not None and partner.state not in ("failed", "stopped")
                if st.button(
                    title,
                    key=f"partner-{arm}",
                    type="secondary" if done else "primary",
                    width="stretch",
                    icon=":material/refresh:" if done else ":material/play_arrow:",
                    help="It was run already; this runs it again." if done else None,
                ):
                    try:
                        ui.open_run(arms.start_partner(run, arm, fraction, store.runs_dir()))
                    except ConfigError as error:
                        st.error(escape.markdown(str(error)))
                if partner is None:
                    st.caption(text)
                else:
                    partner_line(partner)
        with st.container(horizontal=True, gap="medium"):
            if found:
                st.page_link(
                    "results/page.py",
                    label="See the results",
                    icon=":material/table_chart:",
                    query_params={"experiment": run.id},
                )
            if (store.ROOT / "dashboard/embeddings/page.py").exists():
                st.page_link(
                    "embeddings/page.py",
                    label="Compare embeddings",
                    icon=":material/scatter_plot:",
                    query_params={"left": run.id},
                )


def run_link(label: str, run_id: str, icon: str) -> None:
    """Leads to another run. A page link would show it too, but leave this run's id in the address."""
    if st.button(label, key=f"to-{run_id}", type="tertiary", icon=icon):
        st.switch_page(ui.PAGE_RUN, query_params={"id": run_id})


def partner_line(partner: index.Summary) -> None:
    if partner.test_accuracy is not None:
        text = f"{formats.percent(partner.test_accuracy)} test accuracy"
    elif partner.is_active:
        text = f"{run_labels.STATE_LABELS[partner.state]}, {100 * partner.status.progress:.0f} %"
    else:
        text = run_labels.STATE_LABELS[partner.state]
    run_link(text, partner.id, ":material/arrow_forward:")


@st.fragment(run_every=3)
def watch_partners(run_id: str, known: tuple) -> None:
    """Draws the page anew when a partner began, ended or moved on."""
    if partner_states(run_id) != known:
        st.rerun()


def partner_states(run_id: str) -> tuple:
    return tuple((item.id, item.state, round(item.status.progress, 1)) for item in store.partners(run_id))


def details(run: Run) -> None:
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


def evaluation(run: Run) -> None:
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
    left, right = st.columns(2, gap="small")
    with left.container(border=True, height="stretch"):
        is_probe = run.kind == "pretrain"
        st.markdown("**Linear probe: test accuracy by class**" if is_probe else "**Test accuracy by class**")
        st.caption(escape.markdown(budget_sentence(found)))
        live_chart(
            run_figures.per_class([str(name) for name in classes], per_class, "primary"),
            key=f"classes-{run.id}",
            height=340,
        )
    confusion = found.get("confusion")
    if isinstance(confusion, list) and len(confusion) == len(classes):
        with right.container(border=True, height="stretch"):
            st.markdown("**What was taken for what**")
            st.caption("Rows: the true class; columns: the answer; shares of each row.")
            live_chart(
                run_figures.confusion([str(name) for name in classes], confusion), key=f"confusion-{run.id}", height=340
            )


def budget_sentence(found: dict) -> str:
    parts = []
    if index.finite_number(found.get("num_labels")) is not None:
        parts.append(f"{found['num_labels']:,} labels".replace(",", " "))
    if index.finite_number(found.get("num_test_images")) is not None:
        parts.append(f"{found['num_test_images']:,} test images".replace(",", " "))
    if isinstance(found.get("budget"), str):
        parts.append(found["budget"])
    return " · ".join(parts)


def unknown(run_id: str) -> None:
    ui.head("Run")
    sentence = f"There is no run {run_id} in {store.runs_dir()}." if run_id else "No run was named."
    st.write(escape.markdown(sentence))
    st.page_link(ui.PAGE_RUNS, label="All runs", icon=":material/arrow_back:")


def header(run: Run, summary: index.Summary) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch"):
            st.title(escape.markdown(summary.title), anchor=False, width="content")
            ui.state_badge(summary.status)
        with st.container(horizontal=True, width="content", gap="small"):
            own = not run.is_example  # the shipped ones are there to be looked at
            if own and st.button("Edit", key="edit", icon=":material/edit:", help="Name, notes and tags"):
                ui.edit_details(run.id)
            if st.button("Clone", key="clone", icon=":material/content_copy:", help="A new run with these options"):
                st.switch_page(ui.PAGE_NEW, query_params={"clone": run.id})
            if summary.state == "queued" and summary.status.backend == "local":
                st.button(
                    "Take out of the queue", key="drop", icon=":material/close:", on_click=queue.drop, args=(run.id,)
                )
            elif summary.is_active:
                stopping = summary.state == "stopping"
                if st.button("Stopping" if stopping else "Stop", key="stop", icon=":material/stop:", disabled=stopping):
                    ui.confirm_stop(run.id)
            else:
                if ui.resumable(run):
                    label = ui.resume_label(run)
                    about = "Goes on from the last checkpoint." if label == "Resume" else "It came to no checkpoint."
                    foreign = not runs.is_own(run.path)
                    if foreign:
                        label, about = f"{label}, though not started here", f"{about} {FOREIGN}"
                    st.button(
                        label, key="resume", icon=":material/resume:", help=about, on_click=queue.resume,
                        args=(run.id, foreign),
                    )  # fmt: skip
                if own and st.button("Delete", key="delete", icon=":material/delete:"):
                    ui.confirm_delete(run.id)
    parts = [run_labels.KIND_LABELS[summary.kind], summary.dataset, summary.backbone]
    if summary.arm:
        parts[0] = run_labels.ARM_LABELS[summary.arm]
        parts.append(f"{formats.fraction_text(summary.label_fraction)} of labels")
    parts += [f"{'queued' if summary.state == 'queued' else 'started'} {formats.ago(summary.created)}"]
    parts.append(run.id)
    if summary.status.device:
        parts.insert(3, queue.device_text(summary.status.device))
    if summary.status.backend == "slurm":
        parts.insert(3, f"Slurm job {summary.status.job_id}")
    line = " · ".join(escape.markdown(part) for part in parts if part)
    if summary.tags:
        line += " · " + " ".join(f":gray-badge[{escape.markdown(tag)}]" for tag in summary.tags)
    st.caption(line)
    if isinstance(reading := run.meta.get("data_reading"), str):
        st.caption(f":material/folder_open: {escape.markdown(reading)}")
    if summary.kind in ("finetune", "scratch") and (source := store.find(str(summary.experiment or ""))):
        relation = "Compared with" if summary.kind == "scratch" else "From"
        label = f"{relation} {escape.markdown(store.get().summary(source).title)}"
        run_link(label, source.id, ":material/arrow_back:")
    if summary.kind == "pretrain":
        pairs = "augmentations/page.py"
        st.page_link(pairs, label="Its augmented pairs", icon=":material/auto_fix_high:", query_params={"run": run.id})
    if run.notes:
        st.text(run.notes)


def page() -> None:
    run_id = st.query_params.get("id", "")
    run = store.find(run_id)
    if run is None:
        if st.session_state.get("deleted", {}).get("id") == run_id:  # taken out of the queue: the undo is there
            st.switch_page(ui.PAGE_RUNS)
        unknown(run_id)
        return
    summary = store.get().summary(run)
    ui.show_message()
    header(run, summary)
    if summary.kind == "pretrain" and not summary.is_active:
        health_panel.headline(run, summary)
    if summary.state == "failed":
        st.error(escape.markdown(summary.status.error or "It failed."), icon=":material/error:")
        traceback(run)
        log_section(run, summary)
    elif summary.state == "stopped" and summary.status.error:
        st.warning(escape.markdown(summary.status.error))
    if summary.state == "queued":
        queued(run.id)
        if summary.status.backend == "local":
            waiting_actions(run)
        details(run)
        return
    ended_well = summary.state == "finished" or (summary.state == "stopped" and run.model_path.exists())
    if summary.kind == "pretrain" and ended_well:
        if run.meta.get("num_classes") == 0:
            with st.container(border=True, key="next-steps"):
                st.markdown("These images have no classes, so there is nothing to fine-tune on. What was learned:")
                st.page_link(
                    "embeddings/page.py", label="See the embeddings", icon=":material/scatter_plot:",
                    query_params={"left": run.id},
                )  # fmt: skip
        else:
            next_steps(run, summary)
            watch_partners(run.id, partner_states(run.id))
    if summary.is_active:
        live(run.id, summary.state)
    else:
        progress(run, summary)
        curves(run, summary)
    if summary.kind == "pretrain" and summary.state not in ("queued", "starting"):
        health_panel.section(run.id, summary.is_active)
    if not summary.is_active:
        evaluation(run)
    if summary.state != "failed":
        log_section(run, summary)
    details(run)


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
