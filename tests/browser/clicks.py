"""How soon a click shows, and how soon the page is whole again: `make clicks`, some five minutes on a machine at rest.

    python tests/browser/clicks.py [--times 20]

Each click of the table is done so often, on the shipped runs, in Chromium on the server's own machine. Printed as
Markdown: the median and the 95th percentile of the milliseconds until the clicked control shows its new state, and
until nothing changes any more: no script runs, and the page has stood still for 150 ms, which are not counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/helpers")]

import numpy as np  # noqa: E402
from chromium import opened  # noqa: E402
from server import Server, Tab  # noqa: E402

from simclr import runs  # noqa: E402

EXAMPLES = ROOT / "runs" / "examples"
QUIET_MS, MOST_MS = 150, 30_000

# From the press of the button on: when a control that is chosen, ticked or pressed has changed, and when the page is
# whole. A page that is left counts as changed with its new heading.
MEASURE = """([quiet, most]) => {
  const looks = () => [...document.querySelectorAll("[aria-checked=true], [aria-selected=true], [aria-pressed=true], " +
    "[aria-expanded=true], input:checked, [aria-current=page], h1")].map((e) => e.textContent + e.ariaLabel).join("|");
  const app = document.querySelector("[data-testid=stApp]");
  window.measured = new Promise((resolve) => {
    document.addEventListener("pointerdown", () => {
      const begun = performance.now(), before = looks();
      let shown = null, changed = begun, ran = false;
      const observer = new MutationObserver(() => { changed = performance.now(); });
      observer.observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true });
      const look = () => {
        const now = performance.now();
        if (shown === null && looks() !== before) shown = now - begun;
        const runs = app.dataset.testScriptState !== "notRunning";
        if (runs) { ran = true; changed = now; }
        if ((shown !== null && !runs && now - changed > quiet) || now - begun > most) {
          observer.disconnect();
          resolve([shown, changed - begun]);
        } else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, { capture: true, once: true });
  });
}"""


@dataclass(frozen=True)
class Click:
    """Two controls that undo each other, on a page."""

    page: str
    what: str
    path: str
    roles: tuple[tuple[str, str], tuple[str, str]]


def example(kind: str) -> str:
    return next(path.name for path in sorted(EXAMPLES.iterdir()) if f"-{kind}-" in path.name)


def clicks() -> list[Click]:
    run = f"/run?id={example('pretrain-shapes')}"
    shown = ",".join(path.name for path in sorted(EXAMPLES.iterdir()) if "-shapes-" in path.name)
    return [
        Click(
            "Menu", "from Experiments to Curves and back", "/experiments", (("link", "Curves"), ("link", "Experiments"))
        ),
        Click("Menu", "from Results to Embeddings and back", "/results", (("link", "Embeddings"), ("link", "Results"))),
        Click("Menu", "from New run to Transfer and back", "/new-run", (("link", "Transfer"), ("link", "New run"))),
        Click("Run", "tab Health, tab Curves", run, (("tab", "Health"), ("tab", "Curves"))),
        Click("Run", "tab Options, tab Test", run, (("tab", "Options"), ("tab", "Test"))),
        Click("Run", "labels of the next steps", run, (("radio", "10 %"), ("radio", "1 %"))),
        Click("Curves", "against steps, epochs", f"/curves?runs={shown}", (("radio", "Step"), ("radio", "Epoch"))),
        Click("Curves", "training alone, both", f"/curves?runs={shown}", (("radio", "Training"), ("radio", "Both"))),
        Click("Results", "labels of the curves", "/results", (("radio", "10 %"), ("radio", "1 %"))),
        Click("New run", "kind", "/new-run", (("radio", "From scratch"), ("radio", "Pre-train"))),
        Click(
            "Embeddings",
            "PCA, UMAP",
            f"/embeddings?left={example('pretrain-shapes')}",
            (("radio", "PCA"), ("radio", "UMAP")),
        ),
        Click(
            "Augmentations",
            "one image, pairs",
            "/augmentations?dataset=shapes",
            (("radio", "One image step by step"), ("radio", "Pairs")),
        ),
    ]


def settled(tab: Tab) -> None:
    tab.page.locator("[data-testid=stMain] h1").first.wait_for()
    tab.page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"
    )
    tab.page.wait_for_timeout(1500)


def measure(tab: Tab, click: Click, times: int) -> np.ndarray:
    """Milliseconds (times, 2) until the control and until the page; the first two, which load scripts, are left out."""
    page: Any = tab.page
    tab.open(click.path)
    settled(tab)
    found = []
    for number in range(times + 2):
        role, name = click.roles[number % 2]
        page.evaluate(MEASURE, [QUIET_MS, MOST_MS])
        page.get_by_role(role, name=name, exact=True).first.click()
        found.append(page.evaluate("() => window.measured"))
        page.wait_for_timeout(300)
    return np.array(found[2:], dtype=float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder, opened() as browser:
        server = Server(Path(folder))
        server.runs_dir.mkdir()
        (server.runs_dir / runs.EXAMPLES).symlink_to(EXAMPLES)
        server.start()
        try:
            print(
                "| page | click | control, median | 95 % | whole page, median | 95 % |\n|---|---|---:|---:|---:|---:|"
            )
            for click in clicks():
                tab = Tab(browser, server.url, "clicks")
                control, whole = measure(tab, click, times).T
                figures = [f"{value:.0f} ms" for each in (control, whole) for value in np.percentile(each, (50, 95))]
                print(f"| {click.page} | {click.what} | {' | '.join(figures)} |", flush=True)
                tab.context.close()
        finally:
            server.kill()


if __name__ == "__main__":
    main()
