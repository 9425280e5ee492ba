"""Address, session and widgets: when an address is read, what is kept, and that no order of events loses a click."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from dashboard.shared import url_state

ROOT = Path(__file__).resolve().parents[3]
PAGES = ("", "curves", "run")
OPTIONS = ("a", "b", "c")


class Query(dict[str, list[str]]):
    """`st.query_params`, as far as it is read."""

    def get_all(self, name: str) -> list[str]:
        return self[name]


class Server:
    """One session of the dashboard with three pages, each of which shows two choices and the name it was opened for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.st = SimpleNamespace(session_state={}, query_params=Query(), get_option=lambda name: "")
        self.written: list[dict[str, Any]] = []
        monkeypatch.setattr(url_state, "st", self.st)
        monkeypatch.setattr(
            url_state, "show_address", lambda query, **data: self.written.append({"query": query} | data)
        )
        first = {"id": "", "x": "a", "y": "a"}
        self.views = {
            page: url_state.View(page, first, lambda query: {name: query[name][-1] for name in query}, name=f"{page}v")
            for page in PAGES
        }

    def run(self, page: str, query: str, clicked: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """What a browser is sent after it asked for a page, with the values of widgets that were clicked."""
        view = self.views[page]
        for name, value in (clicked or {}).items():
            self.st.session_state[url_state.key(f"{view.name}-{name}")] = value
        self.st.query_params = Query(parse_qs(query, keep_blank_values=True))
        self.written = []
        url_state.enter(page, PAGES)
        view.open()
        for name in ("x", "y"):
            view.widget(name, OPTIONS)
        url_state.write({name: view[name] for name in ("id", "x", "y")})
        return self.written


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def shown(server: Server, page: str) -> tuple[str, str, str]:
    view = server.views[page]
    return view["id"], view["x"], view["y"]


def test_an_address_is_read_once_and_says_everything(server: Server) -> None:
    server.run("curves", "x=b")
    assert shown(server, "curves") == ("", "b", "a")
    server.run("curves", "x=b", {"y": "c"})
    server.run("curves", "x=b")  # an answer was slow: the browser has not heard of y yet
    assert shown(server, "curves") == ("", "b", "c")
    server.run("curves", "x=c")  # a link to the same page
    assert shown(server, "curves") == ("", "c", "a")


def test_back_to_what_the_same_visit_wrote_before_is_no_old_address(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a browser says along with a click is old; what it opens by Back or by a link is meant."""
    server.run("curves", "x=b")
    server.run("curves", "x=b", {"x": "c"})
    server.run("curves", "x=b")
    assert shown(server, "curves")[1] == "c"
    monkeypatch.setattr(url_state, "get_script_run_ctx", lambda: SimpleNamespace(is_history_navigation=True))
    server.run("curves", "x=b")
    assert shown(server, "curves")[1] == "b"


def test_without_an_address_a_page_is_as_it_was_left(server: Server) -> None:
    server.run("curves", "id=1&x=b&y=c")
    server.run("run", "")
    server.run("curves", "")
    assert shown(server, "curves") == ("1", "b", "c")


def test_who_comes_back_to_what_was_written_last_finds_what_was_chosen_since(server: Server) -> None:
    """The last click of a visit may never reach the address."""
    written = server.run("curves", "id=1")[-1]["query"]
    server.st.session_state[url_state.key("curvesv-y")] = "c"
    server.run("run", "")
    server.run("curves", written)
    assert shown(server, "curves") == ("1", "a", "c")


def test_nonsense_gives_way_to_what_is_offered(server: Server) -> None:
    server.run("curves", "x=../b&y=&id=%2F")
    assert shown(server, "curves") == ("/", "a", "a")


def test_a_value_given_by_the_page_is_not_undone_by_what_a_browser_still_says_of_the_old_widget(server: Server) -> None:
    server.run("curves", "")
    old = url_state.key("curvesv-x")
    server.views["curves"]["x"] = "b"
    server.st.session_state[old] = "c"  # sent with another click, before the new widget arrived
    server.run("curves", "")
    assert shown(server, "curves")[1] == "b"
    assert url_state.key("curvesv-x") != old


def test_nothing_is_written_once_the_browser_was_sent_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(url_state, "open_address", lambda href, **how: opened.append((href, how)))
    server.run("curves", "")
    server.written.clear()
    url_state.go("run", id="a b&c", epoch="")
    url_state.write({"x": "b"})
    assert (opened, server.written) == ([("run?id=a%20b%26c", {})], [])
    url_state.go_instead("")
    assert opened[-1] == ("./", {"instead": True})


def test_addresses_are_relative_as_a_prefix_may_be_known_to_the_browser_alone() -> None:
    assert url_state.address("run", id="1") == "run?id=1"
    assert url_state.address("", id="1") == "./?id=1"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (None, ""), (1.0, "1"), (0.01, "0.01"), (20, "20"), ("é", "é")],
)
def test_values_as_text(value: Any, text: str) -> None:
    assert url_state.text_of(value) == text


@pytest.mark.parametrize("own", ["st.query_params", "switch_page", "query-params", "bind="])
def test_no_page_has_a_way_of_its_own(own: str) -> None:
    files = [file for file in (ROOT / "dashboard").rglob("*.py") if own in file.read_text(encoding="utf-8")]
    assert [file for file in files if file.name != "url_state.py"] == []


# --- any order of events ---------------------------------------------------------------------------------------------


class Browser:
    """A browser with its history, whose server answers late; it writes addresses as `address.js` does."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        self.server, self.dice = server, dice
        self.entries: list[dict[str, str]] = [{"page": "", "query": "", "visit": ""}]
        self.at = 0
        self.sent = ""  # the query that Streamlit remembers, sent in place of the address once there is one
        self.late: list[list[dict[str, Any]]] = []
        self.visit, self.order = "", 0

    @property
    def here(self) -> dict[str, str]:
        return self.entries[self.at]

    def ask(self, clicked: dict[str, str] | None = None) -> None:
        answer = self.server.run(self.here["page"], self.sent or self.here["query"], clicked)
        self.late.append([{**each, "page": self.here["page"]} for each in answer])

    def hear(self, how_many: int) -> None:
        for _ in range(min(how_many, len(self.late))):
            for data in self.late.pop(0):
                if data["page"] != self.here["page"]:
                    continue
                if data["visit"] != self.visit:
                    if data["asked"] not in (self.here["query"], self.here.get("asked")):
                        continue
                elif self.here["visit"] != self.visit:
                    continue
                if data["order"] <= self.order:
                    continue
                self.visit, self.order = data["visit"], data["order"]
                self.here.setdefault("asked", self.here["query"])
                self.here.update(query=data["query"], visit=data["visit"])

    def see(self) -> None:
        """A page is seen before one leaves it; answers to the last clicks may still be on their way."""
        while not self.here["visit"]:
            self.hear(1)

    def link(self, page: str, query: str) -> None:
        self.see()
        del self.entries[self.at + 1 :]
        self.entries.append({"page": page, "query": query, "visit": ""})
        self.at += 1
        self.sent = query
        self.ask()

    def travel(self, steps: int) -> bool:
        if not 0 <= self.at + steps < len(self.entries):
            return False
        self.at += steps
        self.sent = self.here["query"]
        self.ask()
        return True


@pytest.mark.parametrize("seed", range(200))
def test_any_order_of_clicks_links_and_travels_ends_with_what_was_chosen(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every event the page shows what was chosen last, however late answers are; in the end, so does the address.

    What is chosen: what a link says, else what the page showed before; then the clicks. Back and Forward lead to what
    an entry said when it was left. As in the dashboard, only a run leads to its like, and only by a link.
    """
    dice = random.Random(seed)
    server = Server(monkeypatch)
    browser = Browser(server, dice)
    browser.ask()
    wanted = {page: {"id": "", "x": "a", "y": "a"} for page in PAGES}

    def click() -> None:
        name, value = dice.choice(("x", "y")), dice.choice(OPTIONS)
        wanted[browser.here["page"]][name] = value
        browser.ask({name: value})

    def sidebar() -> None:
        browser.link(dice.choice([page for page in PAGES[:2] if page != browser.here["page"]]), "")

    def link() -> None:
        page = dice.choice([page for page in PAGES if page == "run" or page != browser.here["page"]])
        query = {"id": f"{dice.randrange(10**6)}"}
        if dice.random() < 0.5:
            query["x"] = dice.choice(OPTIONS)
        wanted[page] = {"id": "", "x": "a", "y": "a"} | query
        browser.link(page, urlencode(query))

    def travel() -> None:
        browser.hear(len(browser.late))  # one looks at a page before one goes back from it
        if browser.travel(dice.choice((-1, 1))):
            said = parse_qs(browser.here["query"])
            if said:
                first = {"id": "", "x": "a", "y": "a"}
                wanted[browser.here["page"]] = {name: said.get(name, [first[name]])[-1] for name in first}

    events: list[Callable[[], None]] = [click] * 6 + [sidebar, link, travel, travel]
    for _ in range(60):
        dice.choice(events)()
        browser.hear(dice.choice((0, 0, 1, 2)))
        page = browser.here["page"]
        assert dict(zip(("id", "x", "y"), shown(server, page), strict=True)) == wanted[page]
    browser.hear(len(browser.late))
    said = parse_qs(browser.here["query"])
    assert {name: said[name][-1] for name in said} == {
        name: value for name, value in wanted[browser.here["page"]].items() if value
    }
