"""Run: one run from its first step to what comes after it."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.run import diagram_panel, use_panel, verdict_panel
from dashboard.run.details_panel import show_traceback
from dashboard.run.partners_panel import next_steps, partner_states, run_link, watch_partners
from dashboard.run.progress_panel import draw_progress, live, tab_title
from dashboard.run.sections import sections
from dashboard.run.view_state import VIEW, write_address
from dashboard.shared import asked, formats, jobs, queue, run_actions, run_labels, store, ui, url_state
from dashboard.shared.copies import line as copies_line
from simclr import runs
from simclr.experiments import race
from simclr.experiments.race import Race
from simclr.lifecycle import extend
from simclr.results import index
from simclr.runs import Run, extensions
from simclr.runs.status import Status
from simclr.sweeps import repeat

FOREIGN = (
    "Its folder was copied, renamed, or made by another user: look at its options first. It reads the images that "
    "they name, and uses your own Slurm options."
)


@st.fragment(run_every=2)
def queued(run_id: str) -> None:
    """A run that waits: for what, behind whom. Drawn again as a whole when it begins."""
    run = store.find(run_id)
    if run is None or run.status.state != "queued":
        st.rerun()
        return
    status = run.status
    with st.container(border=True, gap="small"):
        if status.backend == "slurm":
            text = f"Slurm job {status.job_id}: {status.reason or 'pending'}."
            if run.waits_for is not None:
                text += f" {queue.sentence(run)}"
            st.markdown(escape.markdown(text))
            return
        st.markdown(escape.markdown(queue.sentence(run)))
    if runs.is_begun(run.path):
        st.caption(f"It goes on from epoch {status.epoch} of {status.epochs}.")


def queue_actions(run: Run) -> None:
    if not runs.is_own(run.path):
        st.button(
            "Start it, though not queued here",
            key="queue-allow",
            icon=":material/play_arrow:",
            help=FOREIGN,
            on_click=queue.allow,
            args=(run.id,),
        )
        return
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Start next", key="queue-first", icon=":material/vertical_align_top:", on_click=queue.move, args=(run.id, 0)
        )
        if not runs.is_begun(run.path) and st.button("Change its options", key="queue-edit", icon=":material/tune:"):
            url_state.go("new-run", edit=run.id)


def unknown(run_id: str) -> None:
    ui.head("Run")
    sentence = "The address names no run; all of them are one click away."
    if run_id:
        why = asked.why_not(run_id)
        more = f", since it {why}" if "trash" in why else ""
        sentence = f"There is no run {run_id} in {store.runs_dir()}{more}; all that are there are one click away."
    st.write(escape.markdown(sentence))
    st.page_link(ui.PAGE_RUNS, label="All runs", icon=":material/arrow_back:")


def since(run: Run, summary: index.Summary) -> str:
    """When it was started, or queued; of one that was resumed both."""
    if summary.state != "queued":
        return f"started {formats.ago(summary.created)}"
    queued = f"queued {formats.ago(summary.status.queued or summary.created)}"
    return f"started {formats.ago(summary.created)}, {queued} to go on" if runs.is_begun(run.path) else queued


def header(run: Run, summary: index.Summary) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch"):
            st.title(escape.markdown(summary.title), anchor=False, width="content")
            ui.state_badge(summary.status)
        with st.container(horizontal=True, width="content", gap="small"):
            own = not run.is_example  # the shipped ones are there to be looked at
            if own and st.button("Name and notes", key="edit", icon=":material/edit:", help="Name, notes and tags"):
                run_actions.edit_details(run.id)
            if st.button("Clone", key="clone", icon=":material/content_copy:", help="A new run with these options"):
                url_state.go("new-run", clone=run.id)
            if (source := repeat.source_of(run, store.find)) is not None and not source.status.is_active:
                repeat_with_seeds(run, source)
            if summary.state == "finished" and extend.can_be_extended(run):
                train_longer(run, summary.status)
            if summary.state == "queued" and summary.status.backend == "local":
                st.button(
                    "Take out of the queue", key="drop", icon=":material/close:", on_click=queue.drop, args=(run.id,)
                )
            elif summary.is_active:
                stopping = summary.state == "stopping"
                if st.button("Stopping" if stopping else "Stop", key="stop", icon=":material/stop:", disabled=stopping):
                    run_actions.confirm_stop(run.id)
            else:
                if run_actions.resumable(run):
                    label = run_actions.resume_label(run)
                    about = "Goes on from the last checkpoint." if label == "Resume" else "It came to no checkpoint."
                    foreign = not runs.is_own(run.path)
                    if foreign:
                        label, about = f"{label}, though not started here", f"{about} {FOREIGN}"
                    st.button(
                        label,
                        key="resume",
                        icon=":material/resume:",
                        help=about,
                        on_click=queue.resume,
                        args=(run.id, foreign),
                    )
                if own and st.button("Delete", key="delete", icon=":material/delete:"):
                    run_actions.confirm_delete(run.id)
            if use_panel.can_be_used(run):
                use_panel.use_menu(run)
            jobs.report_menu([run.id])
    parts = [run_labels.KIND_LABELS[summary.kind], summary.dataset, summary.backbone]
    if summary.arm:
        parts[0] = run_labels.ARM_LABELS[summary.arm]
        parts += [summary.labels.phrase] if summary.labels is not None else []
    parts += [since(run, summary)]
    parts.append(run.id)
    if summary.status.device:
        parts.insert(3, queue.device_text(summary.status.device))
    if summary.status.backend == "slurm":
        parts.insert(3, f"Slurm job {summary.status.job_id}")
    line = " · ".join(escape.markdown(part) for part in parts if part)
    if summary.tags:
        line += " · " + " ".join(f":gray-badge[{escape.markdown(tag)}]" for tag in summary.tags)
    st.caption(line)
    if longer := extensions.text_of(extensions.extensions_of(run)):
        st.caption(f":material/update: Trained longer than planned: {longer}.")
    if isinstance(reading := run.meta.get("data_reading"), str):
        st.caption(f":material/folder_open: {escape.markdown(reading)}")
    with st.container(horizontal=True, gap="medium", key="run-links"):
        links(run, summary)
    if run.notes:
        st.text(run.notes)


def links(run: Run, summary: index.Summary) -> None:
    """To what belongs to a run: where it comes from, its race and group, its pairs of views."""
    if summary.kind in ("finetune", "scratch") and (source := store.find(str(summary.experiment or ""))):
        relation = "Compared with" if summary.kind == "scratch" else "From"
        label = f"{relation} {escape.markdown(store.get().summary(source).title)}"
        run_link(label, source.id, ":material/arrow_back:")
    if (original := store.find(str(run.meta.get("clone_of") or ""))) is not None:
        label = f"Clone of {escape.markdown(store.get().summary(original).title)}"
        run_link(label, original.id, ":material/content_copy:")
    if summary.kind == "pretrain":
        pairs = "augmentations/page.py"
        st.page_link(pairs, label="Its augmented pairs", icon=":material/auto_fix_high:", query_params={"run": run.id})
    if (found := race_of(run)) is not None:
        label = "The race: both networks side by side"
        st.page_link("race/page.py", label=label, icon=":material/flag:", query_params={"id": found.scratch.id})
    group_link(run)


def repeat_with_seeds(run: Run, source: Run) -> None:
    """The same run, and what was trained on it, with other seeds: together they become a group.

    Args:
        source: the run, or of a supervised one the pre-training that it belongs to.
    """
    what = "This run" if run == source else "The pre-training of this run"
    with st.popover("Seeds", icon=":material/repeat:", help="Repeat it with other seeds"):
        st.caption(f"{what} and what was trained on it, again with other seeds. An interval takes at least three.")
        number = st.number_input("Further seeds", 1, 20, 2, key=f"further-seeds-{run.id}")
        # in a group by then, it has another key, so that the second half of a double click does nothing
        key = f"repeat-{source.group.id if source.group else ''}"
        if st.button("Queue them", key=key, type="primary", icon=":material/playlist_add:"):
            with ui.report_errors():
                group = repeat.repeat(source, int(number), store.runs_dir(), store.get().summaries())
                url_state.go("experiments", group=group)
            if "message" in st.session_state:
                st.rerun()


def train_longer(run: Run, status: Status) -> None:
    """More epochs for a run that has come to its end, or more steps where those ended it."""
    by_steps = run.config.get("max_steps") == status.steps
    name, unit, done = ("max_steps", "steps", status.steps) if by_steps else ("epochs", "epochs", status.epoch)
    with st.popover("Train longer", icon=":material/update:", help=f"Go on from where it ended, to more {unit}"):
        st.caption(
            f"From here on the learning rate is that of a training of so many {unit}, so it rises again first. The "
            "test figures and weights that it has now are kept in its folder, in `earlier`."
        )
        most = 100_000 if name == "epochs" else 2**53 - 1
        number = st.number_input(
            f"{unit.capitalize()} in all", done + 1, most, min(2 * done, most), key=f"longer-{run.id}-{done}"
        )
        st.button(
            "Train on",
            key=f"longer-start-{done}",  # of another end: the second half of a double click does nothing
            type="primary",
            icon=":material/play_arrow:",
            on_click=queue.train_longer,
            args=(run.id,),
            kwargs={name: int(number)},
        )


def group_link(run: Run) -> None:
    """Leads to the group that a run belongs to."""
    if (place := run.group) is not None:
        st.page_link(
            "experiments/page.py",
            label=f"Part of: {escape.markdown(place.title)}",
            icon=":material/science:",
            query_params={"group": place.id},
        )


def race_of(run: Run) -> Race | None:
    """The race that a run is one half of, if any; the newest where it has several partners."""
    if run.beside:
        return race.find(run)
    halves = (store.find(item.id) for item in store.partners(run.id) if item.beside == run.id)
    return next((race.find(half) for half in halves if half is not None), None)


def after_training(run: Run, summary: index.Summary) -> None:
    """What a pre-training that has ended is for."""
    ended_well = summary.state == "finished" or (summary.state == "stopped" and run.model_path.exists())
    if summary.kind != "pretrain" or not ended_well:
        return
    if run.meta.get("num_classes") != 0:
        next_steps(run, summary)
        watch_partners(run.id, partner_states(run.id))
        return
    with st.container(border=True, key="next-steps"):
        st.markdown("These images have no classes, so there is nothing to fine-tune on. What was learned:")
        embeddings = {"left": run.id}
        st.page_link(
            "embeddings/page.py", label="See the embeddings", icon=":material/scatter_plot:", query_params=embeddings
        )


def page() -> None:
    VIEW.open()
    run_id = VIEW["id"]
    run = store.find(run_id)
    if run is None:
        if run_id in st.session_state.get("deleted", {}).get("ids", ()):  # taken out of the queue: the undo is there
            url_state.go_instead("")
        unknown(run_id)
        return
    summary = store.get().summary(run)
    if VIEW["epoch"] and summary.kind != "pretrain":
        url_state.say_instead("epoch", VIEW["epoch"], "names the health of a pre-training", "the whole run")
        VIEW["epoch"] = ""
    write_address()
    ui.page_title(tab_title(summary))
    ui.show_message()
    header(run, summary)
    if not summary.is_active:
        verdict_panel.headline(run, summary)
    if summary.state == "failed":
        show_traceback(run)
    if summary.state == "queued":
        queued(run.id)
        if summary.status.backend == "local":
            queue_actions(run)
    elif summary.is_active:
        live(run.id, summary.state)
    else:
        draw_progress(run, summary)
        copies_line.show(run, "check-copies")
        after_training(run, summary)
    # its pictures need a network that was trained, so it stands above the curves only when there is one
    is_trained = summary.state in ("finished", "stopped")
    if is_trained:
        diagram_panel.section(run, summary)
    sections(run.id)
    if not is_trained and summary.state != "queued":
        diagram_panel.section(run, summary)


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
