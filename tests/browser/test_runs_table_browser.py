"""A researcher's way through the table of runs: filter, choose, select, tag, delete, undo, the trash and back."""

from typing import Any

import pytest
from dashboard_fixtures import make_run
from server import Server, Tab, expect, server  # noqa: F401  (a fixture)

from simclr import runs

pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
PAGE_MS = 60_000


def row(page: Any, name: str) -> Any:
    return page.locator(".run-grid tr.run", has=page.get_by_text(name, exact=True))


def bar(page: Any) -> Any:
    return page.locator(".run-grid .grid-bar")


def titles(page: Any) -> list[str]:
    return page.locator(".run-grid tr.run .title").all_inner_texts()


def test_a_researchers_way_through_the_table(server: Server, browser: Any) -> None:
    made = [
        make_run(server.runs_dir, name=f"run {number}", temperature=temperature, tags=["first"])
        for number, temperature in enumerate((0.1, 0.1, 0.1, 0.2, 0.5))
    ]
    tab = Tab(browser, server.url, "table")
    page = tab.page
    tab.open("/?filter-text=temperature<=0.2&columns=state,temperature,accuracy,tags&sort=name")
    expect(row(page, "run 3")).to_be_visible(timeout=PAGE_MS)
    assert titles(page) == ["run 0", "run 1", "run 2", "run 3"]
    page.get_by_role("button", name="What each column means").click()
    expect(page.get_by_role("note").filter(has_text="Accuracy: On test images")).to_be_visible()
    page.keyboard.press("Escape")
    head = page.locator(".run-grid thead th")
    assert [text.strip(" ↑↓") for text in head.all_inner_texts()] == [
        "",
        "Run",
        "State",
        "temperature",
        "Accuracy",
        "Tags",
    ]
    expect(head.nth(1)).to_have_attribute("aria-sort", "ascending")
    # three by a click and one with shift
    row(page, "run 0").locator("input").click()
    row(page, "run 2").locator("input").click(modifiers=["Shift"])
    expect(bar(page)).to_contain_text("3 selected")
    for name, is_picked in (("run 0", "true"), ("run 1", "true"), ("run 2", "true"), ("run 3", "false")):
        expect(row(page, name)).to_have_attribute("aria-selected", is_picked)
    bar(page).get_by_role("button", name="Tag", exact=True).click()
    bar(page).locator("input").fill("paper")
    bar(page).locator("input").press("Enter")
    expect(row(page, "run 1")).to_contain_text("first, paper", timeout=PAGE_MS)
    assert made[2].tags == ["first", "paper"] and made[3].tags == ["first"]
    # what has the focus keeps it when the table is drawn anew, as it is for another width
    page.get_by_role("button", name="Sort by State").focus()
    size = page.viewport_size
    page.set_viewport_size({"width": size["width"] - 60, "height": size["height"]})
    page.wait_for_timeout(500)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Sort by State"
    page.set_viewport_size(size)
    # what is selected stays so while the table refreshes by itself
    page.wait_for_timeout(6000)
    expect(bar(page)).to_contain_text("3 selected")
    bar(page).get_by_role("button", name="Delete", exact=True).click()
    expect(bar(page)).to_contain_text("Delete 3 runs? They go to the trash.")
    bar(page).get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("3 runs are in the trash.")).to_be_visible(timeout=PAGE_MS)
    expect(row(page, "run 0")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "run 0")).to_be_visible(timeout=PAGE_MS)
    # with the keyboard alone: two are selected and deleted
    page.get_by_role("grid").focus()
    for key in ("Home", "Space", "Shift+ArrowDown"):
        page.keyboard.press(key)
    expect(bar(page)).to_contain_text("2 selected")
    bar(page).get_by_role("button", name="Delete", exact=True).click()
    bar(page).get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("2 runs are in the trash.")).to_be_visible(timeout=PAGE_MS)
    page.get_by_role("button", name="Open the trash").click()
    expect(page.get_by_role("heading", name="Trash")).to_be_visible(timeout=PAGE_MS)
    expect(row(page, "run 1")).to_be_visible(timeout=PAGE_MS)
    row(page, "run 1").locator("input").click()
    bar(page).get_by_role("button", name="Restore").click()
    expect(row(page, "run 1")).to_have_count(0, timeout=PAGE_MS)
    assert made[1].path.is_dir() and not made[0].path.exists()
    row(page, "run 0").locator("input").click()
    bar(page).get_by_role("button", name="Delete for good").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It frees", timeout=PAGE_MS)
    dialog.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("The trash is empty")).to_be_visible(timeout=PAGE_MS)
    assert not list((server.runs_dir / runs.TRASH).iterdir())
    # Back leads to the view as it was left, and a reload keeps it
    page.go_back()
    expect(row(page, "run 1")).to_be_visible(timeout=PAGE_MS)
    page.reload()
    expect(row(page, "run 3")).to_be_visible(timeout=PAGE_MS)
    assert titles(page) == ["run 1", "run 2", "run 3"]
    expect(page.locator(".run-grid thead")).to_contain_text("temperature")
    tab.has_no_errors()
    tab.context.close()
