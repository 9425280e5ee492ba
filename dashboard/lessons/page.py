"""Lessons: a question, your prediction, the experiment, and what happened beside the prediction."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components import escape
from dashboard.lessons import experiment_panel, prediction_panel
from dashboard.shared import store, ui, url_state
from simclr.config import ConfigError
from simclr.lessons import answers, experiment, outcome, shelf, text
from simclr.lessons.answers import Answers
from simclr.lessons.lesson import EXPERIMENT, HAPPENED, PAPER, PREDICTION, QUESTION, Lesson
from simclr.lessons.outcome import Outcome
from simclr.runs import Run

ABOUT = "A question, what you expect, an experiment that you start, and what came out beside what you expected."
HOW = shelf.SHIPPED / "README.md"
TABS = "Links in the text open in a tab of their own, so that the lesson stays open."
STYLE = """
<style>
[class*="st-key-open-lesson-"] button p { font-size: 1.05rem; font-weight: 650; text-align: left; }
[class*="st-key-outcome-"] [data-testid="stMetricValue"], [class*="st-key-outcome-"] [data-testid="stMetricValue"] p {
  font-size: 1.35rem; line-height: 1.3; white-space: normal;
}
[class*="st-key-lesson-text-"] [data-testid="stMarkdown"] { max-width: 46rem; }
</style>
"""
VIEW = url_state.View(
    "lessons",
    {"lesson": ""},
    lambda query: {name: word for name, word in url_state.last_values(query).items() if name == "lesson"},
)


# --- the list ---------------------------------------------------------------------------------------------------------


def state_of(lesson: Lesson, given: Answers) -> tuple[str, str]:
    """How far a learner is with a lesson, in a word, with its colour."""
    if not given.is_complete(lesson):
        return "Not begun", "gray"
    there = experiment.started(lesson, given, store.runs_dir()).values()
    if any(run is not None and run.status.is_active for run in there):
        return "Training", "blue"
    if all(each.happened for each in found_outcomes(lesson, given)):
        return "Done", "green"
    return "Predicted", "orange"


def card(lesson: Lesson) -> None:
    given = answers.read(lesson, store.runs_dir())
    word, color = state_of(lesson, given)
    with st.container(border=True, key=f"card-lesson-{lesson.name}", gap="small"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            if st.button(escape.markdown(lesson.title), key=f"open-lesson-{lesson.name}", type="tertiary"):
                url_state.go("lessons", lesson=lesson.name)
            st.badge(word, color=color)  # type: ignore[arg-type]
        st.markdown(escape.markdown(lesson.question))
        number = len(lesson.runs)
        st.caption(f"Some {lesson.minutes} minutes · {number} short training{'s' if number != 1 else ''}")


def shelf_page(found: Sequence[Lesson], faults: Sequence[str]) -> None:
    ui.head("Lessons", ABOUT)
    ui.show_message()
    for lesson in found:
        card(lesson)
    for fault in faults:
        st.warning(escape.markdown(fault), icon=":material/error:")
    with st.expander("Write a lesson of your own", icon=":material/edit:", key="lessons-how"):
        st.markdown(HOW.read_text(encoding="utf-8").partition("\n")[2])  # without its title
    url_state.write({})


# --- one lesson -------------------------------------------------------------------------------------------------------


def found_outcomes(lesson: Lesson, given: Answers) -> list[Outcome]:
    known = experiment.known_runs(lesson, given, store.runs_dir())
    return outcome.outcomes(lesson, given.predictions, known)


def section(lesson: Lesson, number: int, name: str, ids: dict[str, str]) -> None:
    """The heading of a part with its text."""
    st.subheader(f"{number}. {name}", anchor=False)
    with st.container(key=f"lesson-text-{number}"):
        st.markdown(text.linked(lesson.sections[name], ids))


def beside(number: int, each: Outcome) -> None:
    """A prediction beside what happened."""
    with st.container(border=True, key=f"outcome-{number}", gap="small"):
        st.markdown(escape.markdown(each.ask))
        with st.container(horizontal=True, gap="large"):
            st.metric("You predicted", each.predicted, width="content")
            st.metric("It was", each.happened or "–", width="content")
        if each.happened:
            sign = {True: ":green[:material/check:] ", False: ":orange[:material/close:] ", None: ""}[each.is_right]
            st.caption(f"{sign}{escape.markdown(each.note)}")


def happened(lesson: Lesson, given: Answers, known: dict[str, Run], ids: dict[str, str]) -> None:
    """What came out beside what was predicted; the explanation when all of it is there."""
    found = outcome.outcomes(lesson, given.predictions, known)
    if not all(each.happened for each in found):
        st.subheader(f"4. {HAPPENED}", anchor=False)
        if any(each.happened for each in found):
            for number, each in enumerate(found):
                beside(number, each)
        st.caption("What came out appears here as soon as all runs have finished, beside what you predicted.")
        return
    st.subheader(f"4. {HAPPENED}", anchor=False)
    for number, each in enumerate(found):
        beside(number, each)
    if lesson.shown:
        shown = [f"{escape.markdown(name)} **{spec.shown(spec.value(known))}**" for name, spec in lesson.shown.items()]
        st.caption(" · ".join(shown))
    with st.container(key="lesson-text-4"):
        st.markdown(text.linked(lesson.sections[HAPPENED], ids))
    section(lesson, 5, PAPER, ids)


def begin_again(name: str) -> None:
    with ui.report_errors():
        if (lesson := shelf.find(name, store.runs_dir())) is not None:
            answers.begin_again(lesson, store.runs_dir())
            prediction_panel.forget(lesson)


def lesson_page(lesson: Lesson) -> None:
    right = ui.head(escape.markdown(lesson.title))
    given = answers.read(lesson, store.runs_dir())
    there = experiment.started(lesson, given, store.runs_dir())
    known = experiment.known_runs(lesson, given, store.runs_dir())
    ids = {name: run.id for name, run in known.items()}
    is_going_on = any(run is not None and run.status.is_active for run in there.values())
    with right, st.container(horizontal=True, width="content", gap="small", vertical_alignment="center"):
        st.page_link("lessons/page.py", label="All lessons", icon=":material/arrow_back:", query_params={"all": "1"})
        if given.is_complete(lesson) and not is_going_on:
            with st.popover("Begin again", icon=":material/restart_alt:", key="lesson-again"):
                st.caption("Your predictions are forgotten, and new runs are started. Those of now stay under Runs.")
                st.button("Forget them", key="lesson-forget", on_click=begin_again, args=(lesson.name,))
    st.caption(f"Some {lesson.minutes} minutes on two processor cores. {TABS}")
    ui.show_message()
    section(lesson, 1, QUESTION, ids)
    section(lesson, 2, PREDICTION, ids)
    if given.is_complete(lesson):
        prediction_panel.kept(lesson, given)
    else:
        prediction_panel.ask(lesson)
    section(lesson, 3, EXPERIMENT, ids)
    experiment_panel.draw(lesson, given, there, known)
    if given.is_complete(lesson):
        happened(lesson, given, known, ids)
    else:
        st.caption(
            "What came out, and what the paper says of it, appears below your predictions when the runs are done."
        )
    url_state.write({"lesson": lesson.name})


def page() -> None:
    VIEW.open()
    st.html(STYLE)
    name, lesson = VIEW["lesson"], None
    if name:
        try:
            lesson = shelf.find(name, store.runs_dir())
            why = "is no lesson here"
        except ConfigError:
            why = "cannot be read"  # the sentence stands in the list
        if lesson is None:
            url_state.say_instead("lesson", name, why, "all lessons")
            VIEW["lesson"] = ""
    if lesson is None:
        shelf_page(*shelf.lessons(store.runs_dir()))
    else:
        lesson_page(lesson)


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
