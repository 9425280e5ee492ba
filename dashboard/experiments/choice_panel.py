"""The explicit look at test images: of the setting that validation images chose, and of a baseline."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.components import escape
from dashboard.shared import jobs, store, ui
from simclr import runs
from simclr.config import ConfigError
from simclr.results import group_wording, wording
from simclr.results.group_wording import setting_name
from simclr.results.groups import Group
from simclr.sweeps import choice
from simclr.sweeps.choice import Choice


def chosen_now(group: Group, measure: str, arm: str, labels: str) -> Choice | None:
    """What the page's measure chooses, with the baseline that the user set; None while there is nothing to choose.

    Args:
        measure: a key; one of test images chooses nothing, so the first of validation images is taken.
        arm, labels: of supervised runs, as the page shows them.
    """
    by = measure if measure.startswith("val_") else None
    try:
        found = choice.choose(group, store.find, by, arm or None, labels or None)
    except ConfigError:
        return None
    wanted = st.session_state.get(_key(group))
    named = next((cell for cell in found.others if setting_name(cell.setting) == wanted), None)
    return found if named is None else found._replace(baseline=named)


def _key(group: Group) -> str:
    return f"baseline-{group.id}"


def offer(group: Group, found: Choice) -> None:
    """What would be looked at, beside what, and the button that does it."""
    if choice.is_tested(group, found):
        return
    with st.popover("Test the choice", icon=":material/task_alt:"):
        number = wording.number_word(found.num_settings)
        st.markdown(f"**{escape.markdown(wording.capital(group_wording.cell_name(found.chosen)))}**")
        st.caption(escape.markdown(f"The best of {number} settings by {found.measure.label}. {_caution(group)}"))
        names = [setting_name(cell.setting) for cell in found.others]
        start_at = names.index(setting_name(found.baseline.setting))
        st.selectbox("Beside", names, index=start_at, key=_key(group), help="The setting that it is set against.")
        st.button(
            f"Test {len(found.members)} runs", type="primary", key="test-choice", on_click=begin, args=(group, found)
        )


def _caution(group: Group) -> str:
    if group.tests:
        return (
            "Another choice of this sweep was tested before: what is chosen after that is not as free from luck as it "
            "looks."
        )
    return (
        "No run of this sweep has looked at a test image yet. Look once, when the choice is made: choosing again "
        "after it would make the figures too good."
    )


def begin(group: Group, found: Choice) -> None:
    with ui.report_errors():
        choice.start_job(group.id, found, store.runs_dir())


def progress(group: Group, found: Choice) -> None:
    """The test while it goes on, or why it failed."""
    job = choice.find_job(group.id, found, store.runs_dir())
    if job is None:
        return
    status = runs.current_status(Path(job))
    if status.is_active:
        jobs.progress(str(job), {})
    elif status.state == "failed" and not choice.is_tested(group, found):
        st.error(escape.markdown(status.error or "The test failed."), icon=":material/error:")
