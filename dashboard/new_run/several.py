"""Several runs in place of one: the form's options with other seeds, or with several values of one or two of them."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.new_run import compute_target, several_labels
from dashboard.shared import formats, forms, store, ui
from simclr import config as cfg
from simclr.config import ConfigError, PretrainConfig, RunConfig
from simclr.sweeps import on_slurm, repeat, start, sweep_file
from simclr.sweeps.settings import NOT_AN_AXIS, Sweep

ONE, SEEDS, SWEEP = "One run", "Seeds", "Sweep"
OPENED = "new_run_group"  # the id of a group that was started, until its page is opened
NO_OPTION, FIRST = "", "temperature"


def options() -> list[str]:
    """Options that may be an axis, the common ones first."""
    known = cfg.option_names(PretrainConfig)
    found = [name for name in known if name not in NOT_AN_AXIS]
    return sorted(found, key=lambda name: not cfg.extra(known[name], "common"))


def choose(target: str) -> str:
    """Whether one run is started or several; several only of pre-trainings, whose options are axes."""
    if forms.state()["kind"] != "pretrain" or forms.state()["edit"]:
        return ONE
    chosen = st.segmented_control(
        "Runs",
        (ONE, SEEDS, SWEEP),
        default=ONE,
        required=True,
        key="several",
        label_visibility="collapsed",
        persist_state="session",
        width="stretch",
    )
    if chosen == SWEEP:
        for number in (1, 2):
            _axis(number)
    if chosen in (SEEDS, SWEEP):
        st.number_input(
            "Seeds",
            1,
            20,
            3,
            key="several-seeds",
            persist_state="session",
            help="Runs of each setting, counted from 0. Three are the fewest that allow an interval.",
        )
        several_labels.choose()
    if chosen in (SEEDS, SWEEP) and target == compute_target.SLURM:
        st.number_input(
            "At once",
            1,
            on_slurm.MOST_AT_ONCE,
            None,
            key="several-at-once",
            persist_state="session",
            placeholder="No limit",
            help="How many of these jobs run at the same time at most; each of the others begins when one has ended.",
        )
    return chosen or ONE


def _axis(number: int) -> None:
    """An option and its values."""
    left, right = st.columns([1, 1.2], gap="small")
    offered = options() if number == 1 else [NO_OPTION, *options()]
    known = cfg.option_names(PretrainConfig)
    option = left.selectbox(
        "Option" if number == 1 else "And",
        offered,
        index=offered.index(FIRST) if number == 1 else 0,
        format_func=lambda name: cfg.label(name, known[name]) if name else "No second",
        key=f"several-option-{number}",
        persist_state="session",
    )
    right.text_input(
        "Values",
        key=f"several-values-{number}",
        persist_state="session",
        placeholder="0.1, 0.2, 0.5",
        disabled=not option,
        help="" if not option else escape.markdown(f"Separated by commas. Each: {cfg.allowed(known[option])}."),
    )


class Incomplete(ConfigError):
    """Something has not been filled in yet, which is no mistake."""


def sweep_of(config: RunConfig, how: str) -> Sweep:
    """The sweep that the form describes.

    Raises:
        Incomplete: if values are still to be typed.
        ConfigError: with one sentence for what is wrong.
    """
    if not isinstance(config, PretrainConfig):
        raise ConfigError(f"kind is {config.kind}; allowed for several runs: pretrain.")
    recipe = forms.state()["recipe"] or cfg.recipe_names()[0]
    axes: dict[str, list[str]] = {}
    for number in (1, 2) if how == SWEEP else ():
        option = str(st.session_state.get(f"several-option-{number}") or (FIRST if number == 1 else NO_OPTION))
        if option == NO_OPTION:
            continue
        values = forms.words(f"several-values-{number}")
        if not values:
            label = cfg.label(option, cfg.option_names(PretrainConfig)[option])
            raise Incomplete(f"{label} has no values yet: type some, separated by commas.")
        if option in axes:
            raise ConfigError(f"{option} is chosen twice; allowed: two options.")
        axes[option] = values
    base = repeat.base_of(config, recipe)
    for option in axes:
        base.pop(option, None)
    names = " and ".join(name.rpartition(".")[2].replace("_", " ") for name in axes)
    return sweep_file.parse(
        {
            "title": f"Which {names}?" if axes else f"Seeds of {config.name or recipe}",
            "base": {"recipe": recipe} | base,
            "axes": axes,
            "seeds": int(st.session_state.get("several-seeds", 3)),
            **several_labels.parts(),
        }
    )


def describe(sweep: Sweep, target: str) -> str:
    """How many runs, of what."""
    text = f"{formats.thousands(sum(1 for _ in sweep.members()))} runs: {sweep_file.described(sweep)}."
    if target == compute_target.SLURM:
        text += " Each is a Slurm job of its own."
    if sweep.chooses:
        text += " They are compared on validation images; no test image is looked at."
    return text


def begin(config: RunConfig, how: str, target: str) -> None:
    """Queues or submits all runs, and lets the page of their group be opened."""
    with ui.report_errors():
        sweep, place = sweep_of(config, how), start_target(target)
        st.session_state[OPENED] = start.start(sweep, store.runs_dir(), place)


def start_target(target: str) -> start.Target:
    """A compute target as sweeps know it; what is asked of Slurm is kept for the next time.

    Raises:
        ConfigError: if what is asked of Slurm is not allowed.
    """
    if target != compute_target.SLURM:
        return target
    from simclr.launch import slurm_options

    options = compute_target.slurm_options()
    slurm_options.save_options(options)
    number = st.session_state.get("several-at-once")
    return on_slurm.OnSlurm(options, None if number is None else int(number))
