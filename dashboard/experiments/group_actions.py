"""What can be done with all runs of a group together: stop, resume, add what is missing, and add more."""

from __future__ import annotations

import time

import streamlit as st

from dashboard.components import escape
from dashboard.experiments import choice_panel
from dashboard.shared import formats, forms, store, ui
from simclr import config as cfg
from simclr.config import ConfigError, PretrainConfig
from simclr.results import arms, wording
from simclr.results.groups import Group
from simclr.sweeps import growth, start
from simclr.sweeps.choice import Choice
from simclr.sweeps.growth import More
from simclr.sweeps.settings import Sweep

# Runs of a group are created one after the other; while one is that new, others may still follow.
CREATING_SECONDS = 20.0
Offered = tuple[bool, int, int]


def stop(group_id: str) -> None:
    with ui.report_errors():
        start.stop(group_id, store.runs_dir())


def resume(group_id: str) -> None:
    with ui.report_errors():
        start.resume(group_id, store.runs_dir())


def offered(group: Group) -> Offered:
    """What a group offers now: whether there is something to stop, how many to resume, and how many are missing."""
    sweep = None
    if not group.members[0].is_example and time.time() - group.members[0].created > CREATING_SECONDS:
        sweep = growth.sweep_of_group(group, store.find)
    num_missing = 0 if sweep is None else growth.missing(group, sweep)
    return group.is_active, group.count("stopped", "failed"), num_missing


def draw(group: Group, chosen: Choice | None, now: Offered) -> None:
    """The buttons. One that a fragment draws anew may lose a click, so none does."""
    if group.members[0].is_example:
        return
    if chosen is not None:
        choice_panel.offer(group, chosen)
    is_active, num_ended, num_missing = now
    if is_active:
        st.button("Stop", icon=":material/stop:", key="group-stop", on_click=stop, args=(group.id,))
    if num_ended or num_missing:
        st.button(
            f"Resume {formats.thousands(num_ended + num_missing)}",
            icon=":material/play_arrow:",
            key="group-resume",
            on_click=resume,
            args=(group.id,),
            help="Those that were stopped or failed go on from their last checkpoints; those that are missing are "
            "added.",
        )
    with st.popover("Add runs", icon=":material/add:"):
        _add(group)


def missing_sentence(group: Group, num_missing: int) -> str:
    """How many runs of the sweep are not there; empty where all are."""
    if not num_missing:
        return ""
    total = len(group.members) + num_missing
    verb, them = ("is", "it") if num_missing == 1 else ("are", "them")
    return (
        f"{formats.thousands(num_missing)} of the {formats.thousands(total)} runs of this sweep {verb} missing: never "
        f"created, or deleted. Resume adds {them}."
    )


# --- more of it ------------------------------------------------------------------------------------------------------


def _key(group_id: str, name: str) -> str:
    return f"more-{name}-{group_id}"


def _wanted(group_id: str, sweep: Sweep) -> More:
    """What the popover asks for."""
    state = st.session_state
    return More(
        int(state.get(_key(group_id, "seeds"), 1)),
        {axis: words for axis in growth.option_axes(sweep) if (words := forms.words(_key(group_id, axis)))},
        tuple(state.get(_key(group_id, "arms")) or ()),
        tuple(state.get(_key(group_id, "shares")) or ()),
        forms.words(_key(group_id, "per-class")),
    )


def add(group_id: str, num_before: int) -> None:
    """Queues or submits what was asked for: further seeds, values and labels.

    Args:
        num_before: seeds that there were when this was shown; a second click finds more, and adds nothing.
    """
    with ui.report_errors():
        sweep = start.sweep_of(start.runs_of(group_id, store.runs_dir()))
        if len(sweep.seeds) > num_before:
            return
        more = growth.grown(sweep, _wanted(group_id, sweep))
        start.complete(group_id, store.runs_dir(), more=more)


def _add(group: Group) -> None:
    """The fields, and the button that says how many runs they make."""
    sweep = growth.sweep_of_group(group, store.find)
    if sweep is None:
        st.caption("These runs keep no sweep, so nothing can be added to them.")
        return
    st.caption("Further seeds and values: each setting is trained with each seed. An interval takes at least three.")
    st.number_input("Seeds", 0, 20, 1, key=_key(group.id, "seeds"), help="Further ones, the lowest that are not there.")
    known = cfg.option_names(PretrainConfig)
    for axis in growth.option_axes(sweep):
        st.text_input(
            escape.markdown(f"Values of {axis}"),
            key=_key(group.id, axis),
            placeholder="None",
            help=escape.markdown(f"Further ones, separated by commas. Each: {cfg.allowed(known[axis])}."),
        )
    _add_supervised(group.id, sweep)
    number = 0
    try:
        number = growth.missing(group, growth.grown(sweep, _wanted(group.id, sweep)))
    except ConfigError as error:
        st.error(escape.markdown(str(error)))
    st.button(
        f"Queue {formats.thousands(number)} runs" if number != 1 else "Queue 1 run",
        key="group-more",
        type="primary",
        disabled=not number,
        on_click=add,
        args=(group.id, len(sweep.seeds)),
    )


def _add_supervised(group_id: str, sweep: Sweep) -> None:
    """Further arms, and further numbers of labels where there is an arm."""
    if further := [arm for arm in arms.ARMS if arm not in sweep.arms]:
        st.pills(
            "Supervised runs after each",
            further,
            selection_mode="multi",
            format_func=wording.ARM_NAMES.__getitem__,
            key=_key(group_id, "arms"),
        )
    if not sweep.arms and not st.session_state.get(_key(group_id, "arms")):
        return
    if further_shares := [share for share in arms.LABEL_FRACTIONS if share not in sweep.label_fractions]:
        st.pills(
            "Shares of the labels",
            further_shares,
            selection_mode="multi",
            format_func=formats.fraction_text,
            key=_key(group_id, "shares"),
        )
    st.text_input(
        "Labels per class",
        key=_key(group_id, "per-class"),
        placeholder="None",
        help="Further numbers of labelled images of each class for the supervised runs, such as 1, 5.",
    )
