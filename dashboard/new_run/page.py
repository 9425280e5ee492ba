"""New run: recipe, options, where it is to train, what that will take, and Start; also the options of a waiting run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import streamlit as st

from dashboard.components import escape
from dashboard.new_run import address_notes, checks, compute_target, folder_reading, preflight, several, several_cost
from dashboard.new_run.own import dialog
from dashboard.shared import asked, form_fields, formats, forms, run_labels, store, ui, url_state
from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.launch import queue
from simclr.lifecycle import experiment
from simclr.results import arms
from simclr.runs import Run

CUSTOM = "No recipe"
RECIPE_NOTES = {
    "quick": "Built-in shapes and a tiny network: about a minute on two CPU cores.",
    "notebook": "ResNet-18, 50 epochs, crops to 128 px with blur: a common teaching set-up.",
    "lightning": "ResNet-50, 200 epochs, batch 512, square-root learning rate scaling.",
    "cifar10": "ResNet-18 with the small-image stem, 200 epochs, batch 512, SGD.",
}
COLUMNS = 3
MOST_NAMED = 3  # options of a folded group


NAME_LENGTH = 100
Marks = Mapping[str, Callable[[], None]]  # by option, what draws them below its field


def take_address() -> None:
    """Fills the form from a new address."""
    kept, news = forms.state(), url_state.news("new-run")
    if news is None:
        return
    dialog.close()
    query = forms.own_parameters(url_state.last_values(news))
    kept["edit"] = query.get("edit", "")
    if not query:
        return
    place = query.get("place", "")
    kept["place"] = compute_target.known(place)
    if place and not kept["place"]:
        asked.say_instead("place", place, "is no device here", "the usual one")
    run = store.find(query.get("clone") or kept["edit"])
    for name in ("clone", "edit"):
        if run is None and query.get(name):
            asked.say_instead(name, query[name], asked.why_not(query[name]), "a recipe's options for a new run")
            kept["edit"] = ""
    if run is not None and not query.keys() - {"clone", "edit"}:
        take_run(run)
    else:
        address_notes.say(query)
        forms.refill(*forms.from_address(query))
    original = store.find(query.get("clone") or query.get("clone_of", ""))
    kept["clone"] = original.id if original is not None else ""
    if kept["edit"] and (reason := fixed(run)):
        kept["edit"] = ""
        st.session_state["message"] = f"{reason} The form holds its options for a new run."


def take_run(run: Run) -> None:
    """Fills the form with a run's complete options: to change them while it waits, else to start one like it."""
    kept = forms.state()
    try:
        kind, recipe, values = forms.of_run(run)
    except ConfigError as error:
        st.session_state["message"] = str(error)
        return
    if not kept["edit"]:
        name = store.get().summary(run).title.removesuffix(" copy")[:NAME_LENGTH]
        values |= {"name": f"{name} copy", "version": None}
    status = run.status
    kept["place"] = compute_target.SLURM if status.backend == "slurm" else compute_target.known(status.device)
    forms.refill(kind, recipe, values)


def fixed(run: Run | None) -> str:
    """Why the options of a run cannot be changed any more; empty where they can."""
    if run is None:
        return "The run that was to be changed is not there any more."
    status, title = run.status, store.get().summary(run).title
    if status.state != "queued" or status.backend != "local":
        return f"{title} does not wait in the queue any more, so its options are fixed."
    return f"{title} has been trained before, so its options are fixed." if runs.is_begun(run.path) else ""


def choose_kind() -> None:
    kept = forms.state()
    kind = st.segmented_control(
        "Kind",
        list(forms.KINDS),
        format_func=forms.KINDS.__getitem__,
        required=True,
        label_visibility="collapsed",
        **url_state.start(f"{forms.WIDGETS}kind", kept["kind"]),
    )
    if kind and kind != kept["kind"]:
        carried = {name: kept["values"].get(name) for name in ("experiment_version", "label_fraction")}
        kept["clone"] = ""
        forms.refill(kind, kept["recipe"], {name: value for name, value in carried.items() if value is not None})
        st.rerun()


def choose_recipe() -> None:
    kept = forms.state()
    names = [*cfg.recipe_names(), forms.NO_RECIPE]
    recipe = st.selectbox(
        "Recipe",
        names,
        format_func=lambda name: name or CUSTOM,
        help="Values to start from; choosing another fills the form again.",
        **url_state.start(f"{forms.WIDGETS}recipe", kept["recipe"] if kept["recipe"] in names else names[-1]),
    )
    if recipe != kept["recipe"]:
        own = {name: kept["values"].get(name) for name in ("experiment_version", "label_fraction")}
        own = {name: value for name, value in own.items() if value is not None and kept["kind"] != "pretrain"}
        kept["clone"] = ""
        forms.refill(kept["kind"], recipe, own)
        st.rerun()
    if note := RECIPE_NOTES.get(recipe):
        st.caption(note)


def begin_with_experiment() -> None:
    """Fine-tuning begins with the newest encoder there is; what an address or a clone names that is none is said."""
    kept = forms.state()
    kind, values = kept["kind"], kept["values"]
    if kind == "pretrain":
        return
    named = values.get(checks.EXPERIMENT)
    if named not in (None, ""):
        text = str(named)
        try:
            reference = int(text) if text.isdecimal() else text
            experiment.find(reference, store.runs_dir(), needs_weights=kind == "finetune")
        except ConfigError as error:
            why = (
                str(error).partition(", which ")[2].partition("; allowed")[0] or asked.why_not(text) or "is no run here"
            )
        else:
            return
    elif kind == "scratch":
        return
    first = checks.newest(kind, kept["recipe"], values) if kind == "finetune" else None
    if named not in (None, ""):
        instead = run_labels.label(first) if first is not None else "none"
        asked.say_instead("experiment", str(named), why, instead)
    if first is not None or named not in (None, ""):
        own = forms.start_values(kind, kept["recipe"])
        chosen = {name: value for name, value in values.items() if name != checks.EXPERIMENT and value != own.get(name)}
        with_shared = forms.with_experiment(values, first.id if first is not None else None)
        forms.refill(kind, kept["recipe"], with_shared | chosen)


def choose_experiment(obstacles: list[forms.Obstacle]) -> None:
    """Which pre-training, which arm and how many labels: what makes a supervised run the one it is."""
    kept = forms.state()
    values, scratch = kept["values"], kept["kind"] == "scratch"
    # from scratch needs no weights, but the comparison is only worth something with a pre-training that has some
    names = {item.id: item for item in checks.usable()}
    current = values.get("experiment_version")
    options: list[str | None] = [*([None] if scratch or not names else []), *names]
    if current is not None and str(current) not in names:
        options.append(str(current))  # a version number or a weights file

    def title(run_id: str | None) -> str:
        if run_id is None:
            return "None" if scratch else "Choose a pre-training"
        if run_id not in names:
            return run_id
        item = names[run_id]
        knn = f", kNN {formats.percent(item.best_knn)}" if item.best_knn is not None else ""
        return f"{item.title} ({item.dataset}, {item.backbone}{knn})"

    left, right = st.columns(2, gap="medium")
    with left:
        chosen = st.selectbox(
            "Compared with" if scratch else "Pre-training",
            options,
            format_func=title,
            help="The pre-training this run is set against on the Results page; nothing is loaded from it."
            if scratch
            else "Its encoder is loaded. Only pre-trainings with final weights are listed.",
            **url_state.start(f"{forms.WIDGETS}experiment", None if current is None else str(current)),
        )
        if chosen != (None if current is None else str(current)):
            forms.use("experiment_version", chosen)
            st.rerun()
        if not names and not scratch:
            st.caption("No pre-training has finished yet; start one first.")
        for found in obstacles:
            if found.option == checks.EXPERIMENT and names:
                mark(found)
    with right:
        fractions = sorted({*arms.LABEL_FRACTIONS, values.get("label_fraction") or 1.0})
        fraction = st.segmented_control(
            "Labels used",
            fractions,
            format_func=formats.fraction_text,
            required=True,
            help="Share of the training labels: the same images for every run with the same seed.",
            **url_state.start(f"{forms.WIDGETS}fraction", values.get("label_fraction") or 1.0),
        )
        values["label_fraction"] = fraction or 1.0
    if not scratch:
        frozen = st.segmented_control(
            "What is trained",
            [True, False],
            format_func=forms.ARMS.__getitem__,
            required=True,
            **url_state.start(f"{forms.WIDGETS}arm", bool(values.get("freeze_encoder"))),
        )
        if bool(frozen) != bool(values.get("freeze_encoder")):
            # rates and budget that suit a head on frozen features do not suit a whole network, and the reverse
            arm = cfg.arm_recipe(kept["recipe"], "frozen" if frozen else "full")[1] if kept["recipe"] else {}
            carried = {name: values.get(name) for name in ("experiment_version", "label_fraction")}
            refilled = {name: value for name, value in (arm | carried).items() if name != "random_weight_init"}
            forms.refill(kept["kind"], kept["recipe"], refilled | {"freeze_encoder": bool(frozen)})
            st.rerun()


def mark(found: forms.Obstacle) -> None:
    form_fields.mark(found, "" if found.remedy is None else checks.remedy_label(found.remedy))


def draw_folded(group: str, names: list[str], errors: Marks, differing: Collection[str]) -> None:
    """The less common options of a group, folded unless one of them is wrong."""
    kept = forms.state()
    model = cfg.MODELS[kept["kind"]]
    options = cfg.option_names(model)
    wrong = any(name in errors for name in names)
    opened = st.expander(
        folded_label(group, names, differing),
        expanded=wrong,
        key=f"group-{group}-{kept['kind']}-{wrong}",
        on_change="rerun",
    )
    if not opened.open:  # forty widgets that nobody looks at are half of the time the page takes
        return
    with opened:
        sections = {name.partition(".")[0] for name in names if "." in name}
        for section in sections:
            if not form_fields.section_toggle(section):
                names = [name for name in names if not name.startswith(f"{section}.")]
        grid([name for name in names if name not in compute_target.hidden(compute_target.current())], options, errors)


def differing_options() -> Collection[str]:
    """What differs from the recipe; nothing while the options make no run."""
    kept = forms.state()
    try:
        return forms.changed(kept["kind"], kept["recipe"], kept["values"])
    except ConfigError:
        return ()


def folded_label(group: str, names: list[str], differing: Collection[str]) -> str:
    """The group, the first of its options, and how many differ from the recipe.

    Args:
        differing: all that do, of any group; an unset section is named as a whole.
    """
    options = cfg.option_names(cfg.MODELS[forms.state()["kind"]])
    number = sum(each in names or any(name.startswith(f"{each}.") for name in names) for each in differing)
    labels = [cfg.label(name.rpartition(".")[2], options[name]) for name in names[:MOST_NAMED]]
    shown = [label.partition(" (")[0].lower() for label in labels]  # without units
    more = " …" if len(names) > MOST_NAMED else ""
    changed = f" :blue-badge[{number} changed]" if number else ""
    return f"{group} :small[:gray[{escape.markdown(', '.join(shown))}{more}]]{changed}"


def grid(names: list[str], options: dict, errors: Marks) -> None:
    for start in range(0, len(names), COLUMNS):
        for column, name in zip(st.columns(COLUMNS, gap="medium"), names[start : start + COLUMNS], strict=False):
            with column:
                if name == "dataset":
                    with st.container(gap=None):
                        form_fields.draw(name, options[name], errors)
                        dialog.button()
                else:
                    form_fields.draw(name, options[name], errors)


def start(target: str, how: str) -> None:
    """Starts, queues or submits the run that the form describes, or saves it as the waiting run's new options.

    Several runs are queued or submitted as a group.

    A second click, or another tab's, within seconds gives the run of the first.
    """
    form_fields.collect()  # a field that was left by the click on Start itself
    kept = forms.state()
    kind, values = kept["kind"], dict(kept["values"])
    with ui.report_errors():
        if found := checks.find(target):  # also of a field that was left by the click itself
            raise ConfigError("\n".join(item.sentence for item in found))
        config = forms.to_config(kind, values)
        st.session_state.pop(forms.IMAGES_ASKED, None)
        preflight.drop()
        if how != several.ONE:
            several.begin(config, how, target)
            return
        if kept["edit"]:
            run = store.find(kept["edit"])
            if run is None or (reason := fixed(run)):
                kept["edit"] = ""
                reason = fixed(None) if run is None else reason
                raise ConfigError(f"{reason} Nothing of what you typed is lost: start it as a new run.")
            queue.edit(run, config, target)
        else:
            meta = {"recipe": kept["recipe"]} if kept["recipe"] else {}
            if kind != "pretrain" and store.find(str(values.get("experiment_version"))):
                meta["experiment"] = str(values["experiment_version"])
            meta |= {"clone_of": kept["clone"]} if kept["clone"] else {}
            run = submit(config, target, meta)
        st.session_state["new_run_open"] = run.id


def submit(config: cfg.RunConfig, target: str, meta: dict[str, str]) -> Run:
    if target != compute_target.SLURM:
        return queue.submit(config, store.runs_dir(), target, **meta)
    from simclr.launch import slurm_options, slurm_submit  # only for those who have it

    options = compute_target.slurm_options()
    slurm_options.save_options(options)
    return slurm_submit.submit(config, store.runs_dir(), options, **meta)


def show_reading() -> None:
    """How the folder will be read: what is said of it here is all that tells a wrong reading from a right one."""
    kept = forms.state()
    if forms.problems(kept["kind"], kept["values"]):
        return
    if reading := folder_reading.sentence(forms.to_config(kept["kind"], kept["values"])):
        st.info(escape.markdown(reading), icon=":material/folder_open:")


def start_card(obstacles: list[forms.Obstacle]) -> None:
    """Where, what it will take, and the button."""
    kept = forms.state()
    edited = store.find(kept["edit"]) if kept["edit"] else None
    head = st.empty()
    target = compute_target.choose()
    is_valid = all(item.is_said for item in obstacles)
    config = forms.to_config(kept["kind"], kept["values"]) if is_valid else None
    found = compute_target.Line(False)
    if target != compute_target.SLURM:
        number = int(kept["values"].get("devices") or 1)
        found = compute_target.line(target, number, kept["edit"])
        with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute", gap="small"):
            with st.container(width="stretch", gap="small"):
                compute_target.show_devices(target, found.waits, number, kept["edit"])
            compute_target.choose_slots(target)
        preflight.section(config, target)
    for item in obstacles:
        if not item.is_said:
            st.error(escape.markdown(item.sentence))
    if sentence := compute_target.line_sentence(target, found):
        st.caption(escape.markdown(sentence))
    how = several.choose(target)
    problem = ""
    if how != several.ONE and config is not None:
        try:
            sweep = several.sweep_of(config, how)
            st.caption(escape.markdown(several.describe(sweep, target)))
            if target != compute_target.SLURM:
                several_cost.section(config, sweep, target)
        except several.Incomplete as error:
            problem = str(error)
            st.caption(escape.markdown(problem))
        except ConfigError as error:
            problem = str(error)
            st.error(escape.markdown(problem))
    with head:
        ready = "Ready to start" if edited is None else "Ready to save"
        st.header("Not ready yet" if obstacles or problem else ready, anchor=False)
    label, icon = "Start", ":material/play_arrow:"
    if how != several.ONE:
        label, icon = "Queue all", ":material/playlist_add:"
        if target == compute_target.SLURM:
            label, icon = "Submit all to Slurm", ":material/send:"
    elif edited is not None:
        label, icon = "Save changes", ":material/save:"
    elif target == compute_target.SLURM:
        label, icon = "Submit to Slurm", ":material/send:"
    elif found.waits:
        label, icon = "Add to queue", ":material/playlist_add:"
    st.button(
        label,
        type="primary",
        icon=icon,
        disabled=bool(obstacles or problem),
        width="stretch",
        key="start",
        on_click=start,
        args=(target, how),
    )
    if edited is not None:
        if st.button("Leave it as it is", width="stretch", key="keep"):
            ui.open_run(edited)
        return
    st.caption("It runs in a process of its own: closing this page changes nothing.")
    if is_valid and how == several.ONE:
        where = ", in the repository's folder" if (store.ROOT / "pyproject.toml").is_file() else ""
        st.caption(f"The same run from a shell{where}:")
        st.code(command(target), language="bash", wrap_lines=True)


def command(target: str) -> str:
    kept = forms.state()
    text = forms.command(kept["kind"], kept["recipe"], kept["values"])
    return text if target != compute_target.SLURM else f"{text} {compute_target.slurm_flags()}"


def page() -> None:
    take_address()
    kept = forms.state()
    if run_id := st.session_state.pop("new_run_open", None):
        url_state.go("run", id=run_id)
    if group_id := st.session_state.pop(several.OPENED, None):
        url_state.go("experiments", group=group_id)
    edited = store.find(kept["edit"]) if kept["edit"] else None
    if edited is None:
        ui.head("New run")
    else:
        ui.head("Edit run", escape.markdown(store.get().summary(edited).title))
    ui.show_message()
    above = st.empty()
    if edited is None:
        choose_kind()
    begin_with_experiment()
    main, side = st.columns([2.1, 1], gap="large")
    obstacles = checks.find(compute_target.current())
    marks = {item.option: partial(mark, item) for item in reversed(obstacles) if item.option}
    with main:
        with st.container(border=True):
            choose_recipe()
            if kept["kind"] != "pretrain":
                choose_experiment(obstacles)
        if compute_target.current() == compute_target.SLURM:
            with st.container(border=True, key="slurm-options"):
                compute_target.draw_slurm(compute_target.slurm_problems())
        common, folded = forms.layout(kept["kind"])
        with st.container(border=True):
            grid(common, cfg.option_names(cfg.MODELS[kept["kind"]]), marks)
            show_reading()
        st.caption("More options")
        with st.container(gap="small"):
            differing = differing_options()
            for group, names in folded.items():
                draw_folded(group, names, marks, differing)
    dialog.ask(above)
    # The widgets above may have brought new values: what is shown and started is what they hold now.
    if checks.find(compute_target.current()) != obstacles:
        st.rerun()
    with side, st.container(border=True, key="start-card"):
        start_card(obstacles)
    target = "" if compute_target.current() == compute_target.usual() else compute_target.current()
    query = forms.address(
        kept["kind"], kept["recipe"], kept["values"], place=target, edit=kept["edit"], clone_of=kept["clone"]
    )
    url_state.write(query)


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
