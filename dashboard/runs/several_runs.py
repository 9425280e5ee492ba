"""What can be done with several runs of the table at once; each is looked up again by its id at that moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard.shared import run_actions, store
from simclr import runs
from simclr.config import ConfigError
from simclr.launch import control
from simclr.runs import Run

MAX_NAME, MAX_TAG, MAX_TAGS = 120, 60, 50


def act(what: str, run_ids: Sequence[str], text: str) -> None:
    """Does what the table asked for, and leaves a sentence for the page that is drawn next.

    Args:
        what: `tag`, `untag`, `rename`, `stop` or `delete`; anything else is nothing.
        text: tags separated by commas, or a name.
    """
    own, gone, examples = [], 0, 0
    for run_id in dict.fromkeys(run_ids):
        run = store.find(run_id)
        if run is None:
            gone += 1
        elif run.is_example:
            examples += 1
        else:
            own.append(run)
    done: str
    problems: list[str] = []
    match what:
        case "tag" | "untag":
            tags = tags_of(text)
            if not tags:
                st.session_state["message"] = "The tags are empty; allowed: words, separated by commas."
                return
            count = _each(own, lambda run: _tag(run, tags, what == "tag"), problems)
            done = (
                f"{_runs(count)} tagged {', '.join(tags)}." if what == "tag" else f"Tags removed from {_runs(count)}."
            )
        case "rename":
            count = _each(own[:1], lambda run: run.edit(name=" ".join(text.split())[:MAX_NAME] or None), problems)
            done = "Renamed." if count else ""
        case "stop":
            active = [run for run in own if run.status.is_active]
            count = _each(active, lambda run: control.request_stop(run.path), problems)
            done = f"{_runs(count)} asked to stop." if count else "None of them is active any more."
        case "delete":
            done = _delete(own, problems)
        case _:
            return
    if gone:
        done = f"{done} {_runs(gone)} of them {_is(gone)} not there any more.".strip()
    if examples:
        stay = "stays as it is" if examples == 1 else "stay as they are"
        done = f"{done} {examples} of the examples {stay}.".strip()
    if done:
        st.session_state["table-done"] = done
    run_actions.say_problems(problems)


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _each(found: Sequence[Run], change: Callable[[Run], object], problems: list[str]) -> int:
    """Changes one run after the other; returns how many took it. One that cannot be changed costs only itself."""
    count = 0
    for run in found:
        try:
            change(run)
            count += 1
        except ConfigError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{run.id} does not take it: {error.strerror or error}.")
    return count


def _delete(found: Sequence[Run], problems: list[str]) -> str:
    deleted: list[Run] = []
    titles = {run.id: store.get().summary(run).title for run in found}

    def delete(run: Run) -> None:
        runs.delete(run, store.runs_dir())
        deleted.append(run)

    _each([run for run in found if not run.status.is_active], delete, problems)
    if deleted:
        name = titles[deleted[0].id] if len(deleted) == 1 else _runs(len(deleted))
        run_actions.remember_deleted([run.id for run in deleted], name)
    rest = len(found) - len(deleted) - len(problems)
    return f"{_runs(rest)} {_is(rest)} active and {'stays' if rest == 1 else 'stay'}." if rest else ""


def tags_of(text: str) -> list[str]:
    """Tags that are separated by commas, each once."""
    found = (" ".join(tag.split())[:MAX_TAG] for tag in text.split(","))
    return list(dict.fromkeys(tag for tag in found if tag))[:MAX_TAGS]


def _tag(run: Run, tags: Sequence[str], is_added: bool) -> None:
    before = run.tags
    after = [*before, *(tag for tag in tags if tag not in before)] if is_added else [t for t in before if t not in tags]
    if after != before:
        run.edit(tags=after)
