"""Small parts that pages share: page heads, badges, dialogs that ask first."""

from __future__ import annotations

import base64
import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import streamlit as st
from streamlit import runtime

from dashboard.components import escape
from dashboard.shared import palette, run_labels, store, url_state
from simclr.config import ConfigError
from simclr.runs import Run
from simclr.runs.status import Status

MOST_KEPT, LARGEST_KEPT = 8, 32 * 2**20  # files that were made for downloads, and bytes of one
_NEWEST = itertools.count()
STYLE = """
<style>
[data-testid="stMainBlockContainer"] { max-width: 78rem; padding-left: 2.5rem; padding-right: 2.5rem; }
@media (min-width: 1750px) { [data-testid="stMainBlockContainer"] { max-width: 100rem; } }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; }
}
@media (prefers-reduced-motion: reduce) {  /* Streamlit's and our own: skeletons, spinners, pulses */
  *, ::before, ::after {
    animation-duration: 1ms !important; animation-iteration-count: 1 !important; transition-duration: 1ms !important;
  }
}
[data-testid="stMain"] [data-testid="stPageLink-NavLink"],
[data-testid="stMain"] [data-testid="stPageLink-NavLink"] * { font-weight: 450; }
[data-testid="stMain"] [data-testid="stPageLink-NavLink"]:not(:hover) { background: transparent; }
:is([data-testid="stSidebarNavLink"], [data-testid="stPageLink-NavLink"]):focus-visible {
  outline: 2px solid currentColor; outline-offset: -2px;
}
[data-testid="stCaptionContainer"] { opacity: 1; color: color-mix(in srgb, currentColor 72%, transparent); }
/* text at 4.5:1 in the dark theme too: white on a darker primary colour, and the page's own colour on its tint */
[data-testid="stBaseButton-primary"]:enabled, [data-testid="stMultiSelect"] [data-tag] {
  background-image: linear-gradient(rgb(0 0 0 / 10%), rgb(0 0 0 / 10%));
}
[data-testid="stButtonGroup"] [data-variant="segmented_control"][aria-checked="true"] {
  color: inherit; font-weight: 550;
}
[data-testid="stCode"] .token.parameter { color: inherit; }
[data-testid="stSidebarNavItems"] > li:is(:nth-of-type(5), :nth-of-type(8), :nth-of-type(10)) { margin-top: 0.9rem; }
[data-testid="stMetricValue"] { font-variant-numeric: tabular-nums; }
@media (min-width: 900px) {
  [data-testid="stColumn"]:has(.st-key-start-card) {
    position: sticky; top: 1rem; align-self: flex-start;
  }
}
[class*="st-key-address-"] { display: none; }
.st-key-run-verdict-text [data-testid="stMarkdown"] p { font-size: 1.12rem; line-height: 1.5; }
.st-key-run-verdict-text [data-testid="stCaptionContainer"] p { font-size: 0.9rem !important; }
:is([class*="-verdict"], [class*="st-key-advice-"])[class*="-text"] { min-width: min(20rem, 100%); }
.st-key-verdict [data-testid="stMetric"] { padding-right: 2.2rem; }
.st-key-verdict [data-testid="stMetricValue"],
.st-key-verdict [data-testid="stMetricValue"] p { font-size: 2.5rem; line-height: 1.15; font-weight: 650; }
.st-key-verdict-numbers { row-gap: 0.8rem; }
.st-key-verdict-text p { font-size: 1.05rem; line-height: 1.5; }
@media (max-width: 640px) {
  .st-key-verdict [data-testid="stMetricValue"],
  .st-key-verdict [data-testid="stMetricValue"] p { font-size: 2rem; }
}
.st-key-facts [data-testid="stMetric"] { padding-right: 1rem; }
[class*="st-key-queue-actions-"] { gap: 0 !important; }
[class*="st-key-queue-actions-"] button { min-width: 2.1rem; min-height: 2.1rem; justify-content: center; }
[class*="st-key-queue-actions-"] button:hover { background: color-mix(in srgb, currentColor 8%, transparent); }
[class*="st-key-queued-"] { padding: 0.15rem 0; }
[class*="st-key-queued-"] [class*="st-key-link-"] button { justify-content: flex-start; }
[class*="st-key-queued-"] [class*="st-key-link-"] button p { font-weight: 600; text-align: left; }
[class*="st-key-queued-"] + [class*="st-key-queued-"] {
  border-top: 1px solid color-mix(in srgb, currentColor 12%, transparent);
}
[class*="st-key-card-"] { transition: border-color 120ms; }
[class*="st-key-card-"]:hover { border-color: color-mix(in srgb, currentColor 35%, transparent); }
@media (forced-colors: active) {  /* what says something by its colour alone keeps it */
  .dot, .legend .bar i, .group-bar span, [data-testid="stProgress"] [role="progressbar"] *,
  [data-testid="stCheckbox"] label > :is(span, div):first-of-type * { forced-color-adjust: none; }
  :is(button, a)[aria-pressed="true"], [aria-selected="true"], [aria-checked="true"] { outline: 2px solid Highlight; }
}
</style>
"""


# In the page itself: as a file it would be Streamlit's to serve, which has none for a moment while a script begins.
ICON = f"data:image/png;base64,{base64.b64encode((store.ROOT / 'dashboard/static/icon.png').read_bytes()).decode()}"


def style() -> None:
    """The few rules that the theme has no option for."""
    st.html(STYLE)
    st.logo(
        str(store.ROOT / "dashboard/static/logo.svg"),
        size="large",
        icon_image=ICON,
    )


def page_title(text: str) -> None:
    """What the browser's tab says, most telling part first."""
    st.set_page_config(page_title=f"{text} · SimCLR explorer")


def head(title: str, caption: str = "", about: str | None = None) -> Any:
    """Title left, room for one action right; returns the container on the right.

    Args:
        caption: below the title. about: shown on demand beside it.
    """
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        st.title(title, anchor=False, width="content", help=about)
        right = st.container(horizontal=True, width="content", gap="small")
    if caption:
        st.caption(caption)
    return right


def state_badge(status: Status) -> None:
    st.badge(
        run_labels.STATE_LABELS.get(status.state, status.state), color=palette.STATE_COLORS.get(status.state, "gray")
    )


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turns what an action cannot do into the sentence that the next page run shows."""
    try:
        yield
    except ConfigError as error:
        st.session_state["message"] = str(error)
    except OSError as error:
        st.session_state["message"] = f"The runs folder does not take it: {error.strerror or error}."


def download(label: str, make: Callable[[], str | bytes], *, file_name: str, mime: str, key: str, **more: Any) -> None:
    """A button for a file that is made when it is clicked.

    Streamlit (1.67) forgets such a file two script runs of any visitor after it was made. Parts that refresh themselves
    are script runs, so on a busy server the browser could come too late: the newest files are kept here.

    Args:
        more: of `st.download_button`.
    """

    def kept() -> bytes:
        made = make()
        content = made.encode() if isinstance(made, str) else made
        if runtime.exists() and len(content) <= LARGEST_KEPT:
            place = f"kept-download-{next(_NEWEST) % MOST_KEPT}"
            files = runtime.get_instance().media_file_mgr
            files.add(content, mime, place, file_name=file_name, is_for_static_download=True)
        return content

    st.download_button(label, kept, file_name=file_name, mime=mime, key=key, on_click="ignore", **more)


def show_notes() -> None:
    """What the address asks for that is not there, or makes no sense, and what is shown instead."""
    if notes := url_state.notes():
        st.warning("\n\n".join(map(escape.markdown, notes)), icon=":material/search_off:")


def show_message() -> None:
    """A sentence left by a dialog or an action of the run before."""
    if message := st.session_state.pop("message", None):
        st.error(escape.markdown(message), icon=":material/error:")


PAGE_RUNS, PAGE_RUN, PAGE_NEW = "runs/page.py", "run/page.py", "new_run/page.py"


def text_link(title: str, run_id: str, key: str = "") -> None:
    """A run's name that leads to its page."""
    if st.button(escape.markdown(title), key=f"link-{key}{run_id}", type="tertiary"):
        url_state.go("run", id=run_id)


def open_run(run: Run) -> None:
    """Goes to the page of a run, named by its id."""
    url_state.go("run", id=run.id)
