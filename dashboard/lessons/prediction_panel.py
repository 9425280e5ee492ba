"""What a learner predicts: asked for before anything runs, and shown when it is kept."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.shared import formats, store, ui
from simclr.lessons import answers, shelf
from simclr.lessons.answers import Answers
from simclr.lessons.lesson import Lesson, Prediction


def _key(lesson_name: str, prediction_name: str) -> str:
    return f"predict-{lesson_name}-{prediction_name}"


def forget(lesson: Lesson) -> None:
    """Empties the fields."""
    for name in lesson.predictions:
        st.session_state.pop(_key(lesson.name, name), None)


def keep(lesson_name: str) -> None:
    with ui.report_errors():
        lesson = shelf.find(lesson_name, store.runs_dir())
        if lesson is not None:
            values: dict[str, Any] = {
                name: st.session_state.get(_key(lesson_name, name)) for name in lesson.predictions
            }
            answers.keep(lesson, values, store.runs_dir())


def _field(lesson: Lesson, each: Prediction) -> None:
    """One question with the field for its answer."""
    st.markdown(escape.markdown(each.ask))
    key = _key(lesson.name, each.name)
    if each.options is not None:
        options = each.options
        st.radio(
            each.ask,
            list(options),
            index=None,
            format_func=lambda name: escape.markdown(options[name]),
            key=key,
            label_visibility="collapsed",
        )
        return
    unit = each.figure.unit if each.figure is not None else ""
    between = f"{each.low:g} to {each.high:g}" + (f" {unit}" if unit else "")
    st.number_input(
        each.ask,
        each.low,
        each.high,
        None,
        step=None,
        format="%.6g",
        placeholder=between,
        key=key,
        width=200,
        label_visibility="collapsed",
    )


def ask(lesson: Lesson) -> None:
    """The form; what it says is kept by its button."""
    with st.form(f"lesson-form-{lesson.name}", enter_to_submit=False):
        for each in lesson.predictions.values():
            _field(lesson, each)
        st.form_submit_button(
            "Keep my prediction",
            type="primary",
            icon=":material/lock:",
            key="lesson-keep",
            on_click=keep,
            args=(lesson.name,),
        )
    st.caption("It is kept beside your runs and not changed afterwards. A wrong one is worth more than none.")


def kept(lesson: Lesson, given: Answers) -> None:
    """What was predicted."""
    with st.container(border=True, key="lesson-kept", gap="small"):
        for name, each in lesson.predictions.items():
            value = given.predictions[name]
            if each.options is not None:
                said = each.options[str(value)]
            else:
                assert each.figure is not None and isinstance(value, float)
                said = each.figure.shown(value)
            st.markdown(f"{escape.markdown(each.ask)}  \n**{escape.markdown(said)}**")
        st.caption(f":material/lock: Kept {formats.ago(given.kept)}.")
