"""Addresses in a real browser: Back leads back in one press, and a slow network loses no click."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from dashboard_fixtures import make_experiment, make_run
from server import Server, Tab
from slow_network import slow_network

from simclr import runs

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, runs.Run]]]:
    """A server with two pre-trainings, what was trained on the first, and three seeds of another."""
    server = Server(tmp_path_factory.mktemp("addresses"))
    server.runs_dir.mkdir()
    first, partners = make_experiment(server.runs_dir, (0.01, 0.1))
    first.edit(name="First")
    made = {"first": first, "frozen": partners["frozen-0.01"], "second": make_run(server.runs_dir, name="Second")}
    made |= {f"seed {seed}": make_run(server.runs_dir, seed=seed, name=f"Seed {seed}") for seed in range(3)}
    server.start()
    yield server, made
    server.kill()


def place(page: Any) -> tuple[str, dict[str, list[str]]]:
    """Path and query of the address."""
    address = urlsplit(page.url)
    return address.path, parse_qs(address.query)


def rests(page: Any, seconds: float = 1.0) -> None:
    """Waits until no script has run and the address has stayed as it is for some time."""
    running = page.locator("[data-testid=stApp][data-test-script-state=running]")
    before, since = page.url, time.monotonic()
    while time.monotonic() - since < seconds:
        page.wait_for_timeout(50)
        if page.url != before or running.count():
            before, since = page.url, time.monotonic()


def choice(page: Any, name: str) -> Any:
    """One of a row of choices."""
    return page.get_by_role("radio", name=name, exact=True).or_(page.get_by_role("button", name=name, exact=True)).first


def heading(page: Any) -> str:
    return str(page.get_by_role("heading", level=1).first.inner_text())


# --- Back ------------------------------------------------------------------------------------------------------------

# how each page is opened from the sidebar, and what is chosen on it then
VIEWS: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("Curves", "splits=val", lambda page: choice(page, "Validation").click()),
    ("Results", "experiment=", lambda page: None),
    ("Embeddings", "method=tsne", lambda page: choice(page, "t-SNE").click()),
    ("Augmentations", "part=steps", lambda page: choice(page, "One image step by step").click()),
    ("New run", "kind=scratch", lambda page: choice(page, "From scratch").click()),
    ("Runs", "filter-kind=pretrain", lambda page: choice(page, "Pre-training").click()),
]


def test_back_leads_back_in_one_press_from_every_page(found: Any, browser: Any) -> None:
    """Through all pages with a choice on each, then back through all of them: page and choice are as they were."""
    server, made = found
    tab = Tab(browser, server.url, "back")
    page = tab.page
    tab.open("/")
    tab.sees("All runs")
    rests(page)
    seen = [(place(page), heading(page))]
    for title, part, choose in VIEWS:
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
        expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
        rests(page)
        choose(page)
        page.wait_for_url(lambda url, part=part: part in url)
        rests(page)
        seen.append((place(page), heading(page)))
    # from here by links of all kinds: a row of a table, buttons, links
    page.get_by_text("First", exact=True).filter(visible=True).first.click()
    expect(page.get_by_role("heading", level=1, name="First")).to_be_visible()
    rests(page)
    seen.append((place(page), heading(page)))
    steps = [
        (lambda: page.goto(f"{server.url}/run?id={made['frozen'].id}"), "/run", re.compile("^finetune-")),
        (lambda: page.get_by_role("button", name=re.compile("^From ")).click(), "/run", "First"),
        (lambda: page.get_by_text("All results", exact=True).click(), "/results", "Results"),
        (lambda: page.get_by_role("link", name="Open the pre-training").click(), "/run", "First"),
        (lambda: page.get_by_role("link", name="Its augmented pairs").click(), "/augmentations", "Augmentations"),
        (lambda: page.get_by_role("link", name="To the run").click(), "/run", "First"),
        (lambda: page.get_by_role("link", name="Compare embeddings").click(), "/embeddings", "Embeddings"),
    ]
    for step, path, title in steps:
        before = page.url
        step()
        page.wait_for_url(lambda url, before=before: url != before)
        # the address changes before the page does
        expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()
        rests(page)
        assert place(page)[0] == path
        seen.append((place(page), heading(page)))
    for wanted, title in reversed(seen[:-1]):
        page.go_back()
        expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
        rests(page)
        if place(page) != wanted:  # a busy computer writes the address late
            page.wait_for_timeout(3000)
        assert place(page) == wanted
    page.go_forward()
    expect(page.get_by_role("heading", level=1, name="Curves")).to_be_visible()
    expect(choice(page, "Validation")).to_have_attribute("aria-checked", "true")
    tab.has_no_errors()
    tab.context.close()


def test_a_start_that_leaves_the_form_comes_back_to_it(found: Any, browser: Any) -> None:
    """What was typed last, and told by the click on the very button that leaves, is there after Back."""
    server, made = found
    tab = Tab(browser, server.url, "form")
    page = tab.page
    tab.open(f"/run?id={made['second'].id}")
    tab.button("Clone").click()
    expect(page.get_by_label("Name", exact=True).first).to_have_value("Second copy")
    rests(page)
    tab.fill("Name", "to be kept")
    page.evaluate("document.activeElement.blur()")  # the Tab that told it opened the next field's help, over the link
    rests(page)
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Curves", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Curves")).to_be_visible()
    rests(page)
    page.go_back()
    expect(page.get_by_label("Name", exact=True).first).to_have_value("to be kept")
    rests(page)
    page.go_back()
    expect(page.get_by_role("heading", level=1, name="Second")).to_be_visible()
    tab.has_no_errors()
    tab.context.close()


def test_the_view_outlives_the_server(found: Any, browser: Any) -> None:
    """A page that was opened by a link and changed since is the same when the server is back."""
    server, made = found
    tab = Tab(browser, server.url, "restart")
    page = tab.page
    tab.open(f"/run?id={made['first'].id}")
    page.get_by_role("link", name="Compare embeddings").click()
    expect(page.get_by_role("heading", level=1, name="Embeddings")).to_be_visible()
    rests(page)
    choice(page, "PCA").click()
    rests(page)
    before = place(page)
    assert before[1]["method"] == ["pca"]
    server.kill()
    server.start()
    expect(page.locator("[data-testid=stApp][data-test-connection-state=CONNECTED]")).to_be_visible(timeout=60_000)
    rests(page, 2)  # the page that the new server drew, not the one that is left of the old
    expect(choice(page, "PCA")).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Options").click()
    choice(page, "3-D").click()
    expect(choice(page, "3-D")).to_have_attribute("aria-checked", "true")
    rests(page, 2)
    expect(choice(page, "PCA")).to_have_attribute("aria-checked", "true")
    assert place(page) == (before[0], before[1] | {"dims": ["3"]})
    tab.context.close()


# --- a slow network --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clicker:
    """What is clicked on one page, and how its address says it.

    rows: parameter to the choices of a row, as label and value; that which an address leaves out has "".
    toggles: what each click on them adds or takes away: label to parameter and value, where a run stands for its id.
    """

    path: str
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    toggles: dict[str, tuple[str, str]] = field(default_factory=dict)

    def toggle(self, page: Any, label: str) -> Any:
        """A switch, a box to tick, or one of a row of which any number can be chosen."""
        switch = page.get_by_test_id("stCheckbox").filter(has_text=label).locator("label")
        box = page.locator(".rp-row").filter(has_text=label)
        return switch.or_(box).or_(page.get_by_role("button", name=label, exact=True)).first

    def run(self, page: Any, made: dict[str, runs.Run], count: int, dice: random.Random) -> dict[str, set[str]]:
        """Clicks `count` times at a human pace; returns what is chosen then, by parameter."""
        ids = {name: run.id for name, run in made.items()}
        values = {label: (name, ids.get(value, value)) for label, (name, value) in self.toggles.items()}
        names = {name for name, _ in values.values()}
        wanted = {name: chosen for name, chosen in said(page).items() if name in names}
        for _ in range(count):
            name = dice.choice([*self.rows, *self.toggles])
            if name in self.rows:
                label, value = dice.choice(list(self.rows[name].items()))
                wanted[name] = {value} - {""}
                choice(page, label).click()
            else:
                parameter, value = values[name]
                wanted[parameter] = wanted.get(parameter, set()) ^ {value}
                self.toggle(page, name).click()
            page.wait_for_timeout(dice.uniform(30, 350))
        rests(page, 1.5)
        return wanted


def said(page: Any) -> dict[str, set[str]]:
    """What the address says, by parameter; runs are separated by commas, the rest stands once for each value."""
    return {name: {each for value in values for each in value.split(",")} for name, values in place(page)[1].items()}


CLICKERS = {
    "curves": Clicker(
        "/curves",
        {
            "splits": {"Both": "", "Training": "train", "Validation": "val"},
            "x": {"Epoch": "", "Step": "step", "Time": "time"},
            "seeds": {"Each run": "", "Mean ± std": "std", "Mean, min–max": "range"},
        },
        {"Log y": ("log", "true"), "Log x": ("log_x", "true")},
    ),
    "runs of curves": Clicker(
        "/curves?runs={seed 0}",
        {"x": {"Epoch": "", "Step": "step"}},
        {"Seed 1": ("runs", "seed 1"), "Seed 2": ("runs", "seed 2"), "Second": ("runs", "second")},
    ),
    "results": Clicker("/results?experiment={first}", {"labels": {"1 %": "", "10 %": "0.1"}}),
    "runs": Clicker(
        "/",
        toggles={
            "Pre-training": ("filter-kind", "pretrain"),
            "Fine-tuning": ("filter-kind", "finetune"),
            "Finished": ("filter-state", "finished"),
            "Failed": ("filter-state", "failed"),
        },
    ),
    "embeddings": Clicker("/embeddings", {"method": {"UMAP": "umap", "t-SNE": "tsne", "PCA": "pca"}}),
    "augmentations": Clicker(
        "/augmentations?dataset=shapes",
        {"part": {"Pairs": "pairs", "One image step by step": "steps"}},
    ),
    "new run": Clicker("/new-run", {"kind": {"Pre-train": "pretrain", "From scratch": "scratch"}}),
}


@pytest.mark.parametrize("delay", [0.1])
@pytest.mark.parametrize("name", ["curves", "runs"])
def test_no_click_is_lost_on_a_slow_network(found: Any, browser: Any, name: str, delay: float) -> None:
    none_is_lost(found, browser, name, delay, 30)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("name", CLICKERS)
def test_none_of_two_hundred_clicks_is_lost(found: Any, browser: Any, name: str, delay: float) -> None:
    none_is_lost(found, browser, name, delay, 200)


def none_is_lost(found: Any, browser: Any, name: str, delay: float, count: int) -> None:
    server, made = found
    clicker = CLICKERS[name]
    with slow_network(server.port, delay) as port:
        tab = Tab(browser, f"http://127.0.0.1:{port}", f"slow-{name}")
        page = tab.page
        tab.open(clicker.path.format(**{key: run.id for key, run in made.items()}))
        expect(page.get_by_role("heading", level=1).first).to_be_visible(timeout=60_000)
        rests(page, 2)
        wanted = clicker.run(page, made, count, random.Random(17))
        assert {name: said(page).get(name, set()) for name in wanted} == wanted
        for key, options in clicker.rows.items():
            label = next(label for label, value in options.items() if {value} - {""} == wanted[key])
            expect(choice(page, label)).to_have_attribute("aria-checked", "true")
        tab.has_no_errors()
        tab.context.close()
