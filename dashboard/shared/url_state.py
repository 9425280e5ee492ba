"""The one way between the address, the session and the widgets of a page.

The address is read once, when a page is opened: by a link, the browser's Back, or a copied address. From then on the
session knows what is shown, and the address is written after it, in place. Whatever a browser sends as its address
meanwhile is older than the last click and is not looked at, so a slow network loses no click, and as no entry is added
to the browser's history, Back leads from each page in one step.

Streamlit's own ways add entries: `st.query_params` one at each change, `st.switch_page` one for the query and one for
the page, and a widget with `bind="query-params"` one where its value comes back from the session (1.67).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.components.address import open_address, show_address

Query = dict[str, list[str]]
ASKED_PAGE = "asked-page"  # in the address of the first page: the one that was asked for
_VISITS = "url-visits"
_ROUND, _ASKED = " round", " asked"  # no names of values
_MAX_WRITTEN = 100  # addresses of one visit that a browser may still send


# --- pages -----------------------------------------------------------------------------------------------------------


@dataclass
class _Visit:
    """Of one page in this session: when it was opened last, what the address said then, and what was written since."""

    token: str = ""
    asked: str = ""
    is_first: bool = False  # in this session
    news: Query | None = None
    written: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what the address says that is not shown
    settled: str | None = None  # what was written when it had been opened: with another choice the notes go


@dataclass
class _Visits:
    page: str | None = None  # the one that is shown
    pages: tuple[str, ...] = ()
    order: int = 0
    is_leaving: bool = False  # the browser has been sent to another page
    of: dict[str, _Visit] = field(default_factory=dict)


def _visits() -> _Visits:
    if _VISITS not in st.session_state:
        st.session_state[_VISITS] = _Visits()
    return st.session_state[_VISITS]


def _visit(page: str) -> _Visit:
    return _visits().of.setdefault(page, _Visit())


def _text(query: Mapping[str, str | Sequence[str]]) -> str:
    """A query string; what is empty is left out."""
    return urlencode({name: value for name, value in query.items() if value}, doseq=True)


def _is_navigation() -> bool:
    """Whether this run is for an entry of the browser's history that was just opened: by Back, or by a link."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def enter(page: str, pages: Sequence[str]) -> None:
    """Takes notice of the address; to be called whenever the app runs as a whole, before the page is drawn.

    Args:
        page: last part of the page's path, "" for the first page. pages: those of all pages.
    """
    visits, query = _visits(), {name: st.query_params.get_all(name) for name in st.query_params}
    asked, visit = _text(query), _visit(page)
    visits.is_leaving = False
    came, visits.page, visits.pages = visits.page != page, page, tuple(name for name in pages if name)
    if visit.notes and visit.settled is None and visit.written:
        visit.settled = visit.written[-1]
    if came:
        visit.notes = []
    if not (came or _is_navigation()) and asked in (visit.asked, *visit.written):
        return
    visit.is_first = not any(each.token for each in visits.of.values())
    visit.token, visit.asked = uuid.uuid4().hex, asked
    if asked in visit.written[-1:]:
        return
    visit.news, visit.notes, visit.settled = query, [], None
    if asked:  # else it goes on with what it showed, and the browser may still say what that was
        visit.written = []


def news(page: str) -> Query | None:
    """What a new address says, once; empty where the page was opened without saying what it is to show.

    None as long as the session knows better.
    """
    visit = _visit(page)
    found, visit.news = visit.news, None
    return found


# --- what an address says wrongly ------------------------------------------------------------------------------------


def note(sentence: str) -> None:
    """Lets the page say what its address says that is not shown, and what is shown instead."""
    visits = _visits()
    if visits.page is not None and sentence not in (notes := _visit(visits.page).notes):
        notes.append(sentence)


def say_instead(name: str, value: str | Sequence[str], why: str, instead: str) -> None:
    """Notes a value of the address: why it is not shown (`is no run here`), and what is (`the newest runs`).

    Args:
        value: or several that are not shown for one reason.
    """
    values = [" ".join(each.split()) for each in ([value] if isinstance(value, str) else value)]
    shown = [f"{each[:117]}..." if len(each) > 120 else each for each in values[:3]]
    if len(values) > 3:
        shown = [*shown[:2], f"{len(values) - 2} more"]
    text = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    each = "which" if len(values) == 1 else "each of which"
    note(f"{name} in the address is {text}, {each} {why}; shown instead: {instead}.")


def say_no_such_page(title: str) -> None:
    """Notes that another page was asked for, which is not there.

    Args:
        title: of the page that is shown.
    """
    if asked := st.query_params.get(ASKED_PAGE):
        say_instead("page", asked, "is no page here", title)


def none_of(words: Sequence[str]) -> str:
    """`is not a, b or c`; of many words none is named."""
    if len(words) > 12 or not words:
        return "is not known here"
    return f"is not {', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else f"is not {words[0]}"


def notes() -> list[str]:
    """What the page that is shown has to say of its address; until something else is chosen."""
    visits = _visits()
    visit = _Visit() if visits.page is None else _visit(visits.page)
    return [] if visit.settled is not None and visit.written[-1:] != [visit.settled] else visit.notes


# --- addresses -------------------------------------------------------------------------------------------------------


def last_values(query: Query) -> dict[str, str]:
    """Of each parameter the value that stands last, where it is to have only one."""
    return {name: values[-1] for name, values in query.items() if values}


def write(query: Mapping[str, str | Sequence[str]], part: str = "page") -> None:
    """Puts into the address what the shown page shows now.

    Args:
        part: a fragment that writes by itself has a name of its own.
    """
    visits = _visits()
    if visits.page is None or visits.is_leaving:
        return
    visit, text = _visit(visits.page), _text(query)
    if visit.written[-1:] != [text]:
        visit.written = [*visit.written[1 - _MAX_WRITTEN :], text]
    visits.order += 1
    show_address(
        text,
        asked=visit.asked,
        page=visits.page,
        pages=visits.pages,
        visit=visit.token,
        is_first=visit.is_first,
        order=visits.order,
        key=f"address-{part}",
    )


def address(page: str, **query: str) -> str:
    """The address of a page that shows what `query` says, relative to that of any page.

    The browser knows the whole of it: a proxy may put a prefix before it that the server never sees.
    """
    text = urlencode({name: value for name, value in query.items() if value}, quote_via=quote, safe="")
    path = page or "./"
    return f"{path}?{text}" if text else path


def go(page: str, **query: str) -> None:
    """Opens a page as a link does; what comes after it in the script is still drawn."""
    _visits().is_leaving = True
    open_address(address(page, **query))


def go_instead(page: str, **query: str) -> None:
    """Opens a page in place of this one: Back does not lead here again."""
    _visits().is_leaving = True
    open_address(address(page, **query), instead=True)


# --- widgets ---------------------------------------------------------------------------------------------------------
#
# A widget keeps its value in the session while it is not drawn. Where the page itself gives it another value, it is
# drawn as a new widget: with each click a browser sends the values of all widgets as it knows them, and those of the
# old one, sent before the new one arrived, would undo it.


def _rounds() -> dict[str, int]:
    return st.session_state.setdefault("url-rounds", {})


def key(name: str) -> str:
    """The key under which the widget of this name is drawn now."""
    number = _rounds().get(name, 0)
    return f"{name}~{number}" if number else name


def start(name: str, value: Any) -> dict[str, Any]:
    """Gives a widget its first value; returns the arguments by which it is drawn."""
    _rounds().setdefault(name, 0)
    if key(name) not in st.session_state:
        st.session_state[key(name)] = value
    return {"key": key(name), "persist_state": "session"}


def value_of(name: str, default: Any = None) -> Any:
    """What is chosen in a widget; `default` before it is drawn for the first time."""
    return st.session_state.get(key(name), default)


def is_started(name: str) -> bool:
    return key(name) in st.session_state


def forget(*names: str) -> None:
    """Lets widgets begin with another first value."""
    for name in names:
        if is_started(name):
            del st.session_state[key(name)]
            _rounds()[name] += 1


def forget_all(beginning: str) -> None:
    """Lets all widgets begin anew whose names begin so."""
    forget(*[name for name in _rounds() if name.startswith(beginning)])


def text_of(value: Any) -> str:
    """A value as it stands in an address."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


class View:
    """What a page shows, by name: in the session, and as far as there are widgets for it in their state.

    Args:
        page: last part of its path.
        first: what is shown where nothing else is said.
        read: what an address says, by name; what it says wrongly is left out.
        name: begins the keys of its widgets; unset: `page`.
    """

    def __init__(
        self, page: str, first: Mapping[str, Any], read: Callable[[Query], dict[str, Any]], name: str = ""
    ) -> None:
        self.page, self.first, self.read = page, dict(first), read
        self.name = name or page

    @property
    def _kept(self) -> dict[str, Any]:
        return st.session_state.setdefault(f"view-{self.name}", dict(self.first))

    def component_key(self, name: str) -> str:
        """Of a component that chooses this: it keeps a state of its own, and is another one after `redraw`."""
        return f"{self.name}-{name}-{self._kept.get(_ROUND, 0)}"

    def redraw(self) -> None:
        """Lets components begin with the values there are now."""
        self._kept[_ROUND] = self._kept.get(_ROUND, 0) + 1

    def open(self) -> bool:
        """Takes over what a new address says; True if there is one."""
        if not (query := news(self.page)):
            return False
        self.take(query)
        return True

    def take(self, query: Query) -> None:
        """Shows what an address says; what it does not say is as at first."""
        said = self.read(query)
        self.update(**(self.first | said))
        self._kept[_ASKED] = set(said)
        self.redraw()

    def was_asked(self, name: str) -> bool:
        """Whether the address that was opened last named this; True once."""
        asked: set[str] = self._kept.get(_ASKED, set())
        found = name in asked
        asked.discard(name)
        return found

    def update(self, **values: Any) -> None:
        for name, value in values.items():
            self[name] = value

    def __getitem__(self, name: str) -> Any:
        return value_of(f"{self.name}-{name}", self._kept[name])

    def __setitem__(self, name: str, value: Any) -> None:
        if self[name] != value:
            forget(f"{self.name}-{name}")
        self._kept[name] = value

    def widget(self, name: str, options: Sequence[Any] | None = None, default: Any = None) -> dict[str, Any]:
        """The arguments of a widget that shows the value of this name.

        Args:
            options: that it offers; a value that is none of them, nor the text of one, gives way to `default`, which is
                noted where the address named it.
        """
        value, asked = self[name], self.was_asked(name)
        if options is not None and value not in options:
            texts = {text_of(option): option for option in options}
            found = texts.get(text_of(value), self.first[name] if default is None else default)
            if asked and text_of(value) not in ("", *texts):
                # a name such as `left-layer` is a part of what the address calls `left`
                say_instead(name.partition("-")[0], text_of(value), none_of([*filter(None, texts)]), text_of(found))
            self[name] = value = found
        return start(f"{self.name}-{name}", value)

    def changed(self, *names: str) -> dict[str, str]:
        """Those of these values that are not as at first, as texts for the address."""
        found = {name: self[name] for name in names or self.first}
        return {name: text_of(value) for name, value in found.items() if value != self.first[name]}
