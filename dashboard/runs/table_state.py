"""What the table of runs shows, and how an address and a kept view say it."""

from __future__ import annotations

from typing import Any

from dashboard.shared import asked, run_labels, store, url_state
from simclr.run_table import columns, saved_views
from simclr.run_table.columns import Column

KINDS = ("pretrain", "finetune", "scratch")
STATES = ("active", "finished", "stopped", "failed")
MAX_COLUMNS = 40
FIRST: dict[str, Any] = {
    "kind": [],
    "state": [],
    "text": "",
    "columns": list(columns.DEFAULT),
    "sort": "",
    "group": "",
    "baseline": "",
}
WHY_NO_COLUMN = "is no figure or option of a run"


# So long a click waits for options that were not read yet; the rest comes with the next refresh.
READ_SECONDS = 0.4


def find_column(name: str) -> Column | None:
    """The column of a name; for an unknown one the runs are asked, of which some may come from elsewhere."""
    if (found := columns.find(name, store.late_values().more)) is None:
        store.late_values().read(store.get().summaries(), columns.options(), READ_SECONDS)
        found = columns.find(name, store.late_values().more)
    return found


def read_address(query: url_state.Query) -> dict[str, Any]:
    """The view of an address; what makes no sense is left out, which is noted."""
    one = url_state.last_values(query)
    kinds = {word: kind for kind in KINDS for word in (kind, run_labels.KIND_LABELS[kind].lower())}
    found: dict[str, Any] = {
        "kind": known_words(query, "filter-kind", kinds, KINDS),
        "state": known_words(query, "filter-state", {word: word for word in STATES}, STATES),
        "text": one.get("filter-text", "")[:2000],
    }
    if words := list(dict.fromkeys(word for word in one.get("columns", "").split(",") if word))[:MAX_COLUMNS]:
        known = [word for word in words if word != "name" and find_column(word) is not None]
        unknown = [word for word in words if word not in known and word != "name"]
        if unknown:
            instead = "the other columns" if known else "the usual columns"
            url_state.say_instead("columns", unknown, WHY_NO_COLUMN, instead)
        found["columns"] = known or list(columns.DEFAULT)
    for name, instead in (("sort", "the newest first"), ("group", "no groups")):
        word = one.get(name, "")
        if word and find_column(word.removeprefix("-") if name == "sort" else word) is None:
            url_state.say_instead(name, word, WHY_NO_COLUMN, instead)
        else:
            found[name] = word
    if run_id := one.get("baseline", ""):
        if why := asked.why_not(run_id):
            url_state.say_instead("baseline", run_id, why, "no differences")
        else:
            found["baseline"] = run_id
    return found


def known_words(query: url_state.Query, name: str, words: dict[str, str], said: tuple[str, ...]) -> list[str]:
    """The words of a filter that are known; the others are noted."""
    wanted = query.get(name, ())
    found = [words[word.lower()] for word in wanted if word.lower() in words]
    unknown = [word for word in wanted if word and word.lower() not in words]
    if unknown:
        instead = "runs that pass the rest of the filter" if found else "all runs"
        url_state.say_instead(name, unknown, url_state.none_of(said), instead)
    return found


VIEW = url_state.View("", FIRST, read_address, name="filter")


def query() -> dict[str, str | list[str]]:
    """The view as parameters of an address; what is as at first is left out."""
    found: dict[str, str | list[str]] = {
        "filter-kind": list(VIEW["kind"]),
        "filter-state": list(VIEW["state"]),
        "filter-text": VIEW["text"] or "",
    }
    if list(VIEW["columns"]) != FIRST["columns"]:
        found["columns"] = ",".join(VIEW["columns"])
    for name in ("sort", "group", "baseline"):
        found[name] = VIEW[name] or ""
    return found


def parts() -> saved_views.View:
    """The view as it is kept under a name."""
    texts = {name.removeprefix("filter-"): value for name, value in query().items() if value}
    return {name: value if isinstance(value, str) else ",".join(value) for name, value in texts.items()}


def show(view: saved_views.View) -> None:
    """Shows a kept view; what it asks for that is not there is noted, as of an address."""
    VIEW.take(
        {
            "filter-kind": view.get("kind", "").split(","),
            "filter-state": view.get("state", "").split(","),
            "filter-text": [view.get("text", "")],
            **{name: [view.get(name, "")] for name in ("columns", "sort", "group", "baseline")},
        }
    )
