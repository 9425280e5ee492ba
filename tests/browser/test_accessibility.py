"""Pages for every hand and eye: what axe-core finds, the keyboard alone, and forced colours."""

import re

import pytest
from axe import findings
from dashboard_fixtures import make_run
from server import PAGE_MS, PHONE, ROOT, Server, Tab, expect, server  # noqa: F401  (a fixture)

from simclr import runs

expect.set_options(timeout=PAGE_MS)
pytestmark = pytest.mark.browser
EXAMPLES = ROOT / "runs/examples"


def example(kind: str) -> str:
    """The oldest of its kind, which ships with maps."""
    return min(run.id for run in runs.list_runs(EXAMPLES) if run.kind == kind and "shapes" in run.id)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A dashboard with no runs but the shipped examples."""
    server = Server(tmp_path_factory.mktemp("shipped"))
    server.runs_dir.mkdir()
    (server.runs_dir / runs.EXAMPLES).symlink_to(EXAMPLES)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A dashboard with a run in each state."""
    server = Server(tmp_path_factory.mktemp("filled"))
    server.made = {state: make_run(server.runs_dir, state, epochs=6, name=f"The {state} one") for state in STATES}
    server.start()
    yield server
    server.kill()


STATES = ("running", "queued", "failed", "stopped")
GROUP = next((run.group.id for run in runs.list_runs(EXAMPLES) if run.group is not None), None)
PAGES = {
    "Runs": "/",
    "Experiments": "/experiments",
    "Race": "/race",
    "New run": "/new-run",
    "Curves": "/curves",
    "Results": "/results",
    "Transfer": "/transfer",
    "Run": f"/run?id={example('pretrain')}",
    "Fine-tuned run": f"/run?id={example('finetune')}",
    **{f"Run, {tab}": f"/run?id={example('pretrain')}&tab={tab}" for tab in ("health", "test", "options", "reproduce")},
    "Unknown run": "/run?id=no-such-run",
    "Copies": f"/copies?id={example('pretrain')}",
    "Trash": "/trash",
    "Embeddings": "/embeddings",
    "Film": f"/embeddings?left={example('pretrain')}&mode=film",
    "Augmentations": "/augmentations",
    **{f"Augmentations, {part}": f"/augmentations?part={part}" for part in ("steps", "mixed", "encoder")},
} | ({"Group": f"/experiments?group={GROUP}"} if GROUP else {})


IS_DARK = """() => {
  const { backgroundColor } = getComputedStyle(document.querySelector("[data-testid=stApp]"));
  return backgroundColor.match(/\\d+/g).slice(0, 3).reduce((sum, each) => sum + Number(each), 0) < 380;
}"""


def settled(tab: Tab) -> None:
    """The page is drawn as far as it goes without a click."""
    tab.page.locator("[data-testid=stMain] h1").first.wait_for()
    expect(tab.page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    expect(tab.page.locator("[data-testid=stSkeleton]")).to_have_count(0)
    tab.page.wait_for_timeout(600)


LOOKS = {"light": ((1440, 900), "light"), "dark": ((1440, 900), "dark"), "phone": (PHONE, "light")}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("where", ["shipped", "filled"])
def test_axe_finds_nothing_on_any_page(browser, request, where):
    """Each page once, in the three looks one after another: a window changes its size, a system its theme."""
    place = request.getfixturevalue(where)
    pages = PAGES
    if where == "filled":
        pages = {"Own runs": "/"} | {f"{state} run": f"/run?id={run.id}" for state, run in place.made.items()}
    told = []
    tab = Tab(browser, place.url, f"axe-{where}")
    for name, path in pages.items():
        for look, (size, scheme) in LOOKS.items():
            tab.page.set_viewport_size({"width": size[0], "height": size[1]})
            tab.page.emulate_media(color_scheme=scheme)
            if look == "light":
                tab.open(path)
            settled(tab)
            assert tab.page.evaluate(IS_DARK) == (scheme == "dark"), (name, look)
            told += [f"{name}, {look}: {line}" for line in findings(tab.page)]
    tab.context.close()
    assert not told, "\n".join(told)


def test_the_tab_of_the_browser_names_the_page_the_run_and_how_far_it_is(browser, filled):
    tab = Tab(browser, filled.url, "titles")
    for path, title in (
        ("/", r"Runs · SimCLR explorer"),
        (f"/run?id={filled.made['running'].id}", r"\d+ % · The running one · SimCLR explorer"),
        (f"/run?id={filled.made['failed'].id}", r"Failed · The failed one · SimCLR explorer"),
        (f"/run?id={filled.made['queued'].id}", r"Queued · The queued one · SimCLR explorer"),
        ("/new-run", r"New run · SimCLR explorer"),
    ):
        tab.open(path)
        expect(tab.page).to_have_title(re.compile(f"^{title}$"))
    tab.context.close()


def tab_to(page, what, presses=150):
    """Presses Tab until the focus is on an element that `what`, a script, says yes to; returns how often."""
    for number in range(1, presses + 1):
        page.keyboard.press("Tab")
        if page.evaluate(f"(e => {what})(document.activeElement)"):
            return number
    raise AssertionError(f"{presses} presses did not come to {what}")


def has_visible_focus(page):
    """Something is drawn around the element with the focus, or around what stands for it."""
    return page.evaluate(
        """() => { let e = document.activeElement;
          for (let k = 0; k < 3 && e; k++, e = e.parentElement) {
            const s = getComputedStyle(e);
            if ((s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== 'none') return true;
          }
          return false; }"""
    )


def test_a_journey_by_keyboard_alone(browser, shipped):
    """From the first page to a run, its images on the map, and a search there."""
    tab = Tab(browser, shipped.url, "keyboard")
    page = tab.page
    tab.open("/")
    settled(tab)
    page.evaluate("document.activeElement.blur()")
    assert tab_to(page, "e.textContent === 'Skip to main content'") == 1
    page.keyboard.press("Enter")
    assert tab_to(page, "e.textContent.includes('Start the race')") <= 3
    assert has_visible_focus(page)
    tab_to(page, f"e.matches('a[href*=\"run?id={example('pretrain')}\"]')")
    assert has_visible_focus(page)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/run\?id="))
    settled(tab)
    tab_to(page, "e.matches('[data-testid=stSidebarNavLink]')")
    assert has_visible_focus(page)
    tab_to(page, "e.closest('[data-testid=stMain]') && e.matches('a[href*=\"embeddings\"]')")
    assert has_visible_focus(page)
    page.keyboard.press("Enter")
    expect(page.locator(".emap canvas.points").first).to_be_visible()
    settled(tab)
    tab_to(page, "e.closest('.emap') && e.matches('input')")
    page.keyboard.type("star")
    page.keyboard.press("Escape")
    tab_to(page, "e.matches('.emap .help-word')")
    assert has_visible_focus(page)
    page.keyboard.press("Enter")
    expect(page.locator(".help-bubble:popover-open")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".help-bubble:popover-open")).to_have_count(0)
    page.locator(".emap input").first.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("star")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    tab.sees(re.compile(r"\d+ found|\d+ images"))
    tab.has_no_errors()
    tab.context.close()


def test_a_journey_by_touch_on_a_phone(browser, shipped):
    """From the first page to a run and its health, its images on the map, the menu, and the form of a run."""
    tab = Tab(browser, shipped.url, "touch", size=PHONE, has_touch=True, is_mobile=True)
    page = tab.page
    tab.open("/")
    settled(tab)
    tab.fits("home")
    page.locator(f"a[href*='run?id={example('pretrain')}']").first.tap()
    expect(page).to_have_url(re.compile(r"/run\?id="))
    settled(tab)
    page.get_by_role("tab", name="Health").tap()
    tab.sees("Alignment and uniformity")
    tab.fits("health")
    page.get_by_role("link", name="Compare embeddings").tap()
    points = page.locator(".emap canvas.points").first
    expect(points).to_be_visible()
    settled(tab)
    tab.fits("embeddings")
    page.locator(".emap .help-word").first.tap()
    expect(page.locator(".help-bubble:popover-open")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_test_id("stExpandSidebarButton").tap()
    page.get_by_role("link", name="New run").tap()
    expect(page.get_by_role("heading", level=1, name="New run")).to_be_visible()
    settled(tab)
    tab.fits("new run")
    start = page.locator(".st-key-start button")
    start.scroll_into_view_if_needed()
    box = start.bounding_box()
    assert box["height"] >= 36 and box["x"] >= 0 and box["x"] + box["width"] <= PHONE[0]
    tab.has_no_errors()
    tab.context.close()


def test_forced_colours_keep_what_colours_mean(browser, shipped, filled):
    """High contrast of the system replaces colours; dots of a legend and the bar of progress keep theirs."""
    tab = Tab(browser, shipped.url, "forced", forced_colors="active")
    page = tab.page
    tab.open(f"/embeddings?left={example('pretrain')}&method=pca")
    expect(page.locator(".emap canvas.points").first).to_be_visible()
    dots = page.locator(".emap .legend .dot")
    expect(dots).to_have_count(10)
    colors = dots.evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    assert len(set(colors)) >= 5
    tab.context.close()
    tab = Tab(browser, filled.url, "forced-run", forced_colors="active")
    tab.open(f"/run?id={filled.made['running'].id}")
    bar = tab.page.locator("[role=progressbar]").first
    expect(bar).to_be_visible()
    colors = bar.evaluate("e => [...e.querySelectorAll('*')].map(x => getComputedStyle(x).backgroundColor)")
    assert len({color for color in colors if color != "rgba(0, 0, 0, 0)"}) >= 2, colors  # its track and how far it is
    tab.has_no_errors()
    tab.context.close()


# Those that an eye could follow; what is over within a frame is none.
LONG_ANIMATIONS = """() => document.getAnimations().filter(
  (each) => each.playState === "running" && each.effect.getComputedTiming().activeDuration > 50).length"""


def test_nothing_moves_for_who_asks_for_reduced_motion(browser, filled):
    tab = Tab(browser, filled.url, "still", reduced_motion="reduce")
    for path in ("/", f"/run?id={filled.made['running'].id}", "/curves"):
        tab.open(path)
        settled(tab)
        moving = tab.page.evaluate(LONG_ANIMATIONS)
        assert moving == 0, path
    tab.has_no_errors()
    tab.context.close()


def test_the_browser_tells_of_a_run_that_ends(browser, server):
    """Asked for by its switch, told once, while the window is not in front."""
    run = make_run(server.runs_dir, "running", epochs=6, done=3, name="A long one")
    tab = Tab(browser, server.url, "notices", permissions=["notifications"])
    page = tab.page
    page.add_init_script(
        """window.notices = [];
        window.Notification = class { static permission = 'granted';
          static async requestPermission() { return 'granted'; }
          constructor(title, options) { window.notices.push([title, options.body]); } close() {} };
        document.hasFocus = () => false;"""
    )
    tab.open("/")
    switch = page.get_by_role("button", name="Notify me when a run ends")
    expect(switch).to_have_attribute("aria-pressed", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    tab.open("/curves")  # kept for later visits
    expect(switch).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(6000)  # it has been seen running
    runs.change_status(run.path, {"state": "finished", "ended": run.status.heartbeat, "accuracy": 0.612, "epoch": 6})
    expect(switch).to_be_hidden()  # nothing else is going on
    page.wait_for_timeout(6000)  # another refresh
    ((title, body),) = page.evaluate("window.notices")
    assert title == "A long one" and body.startswith("Finished after ") and body.endswith("kNN accuracy 61.2 %")
    tab.has_no_errors()
    tab.context.close()
