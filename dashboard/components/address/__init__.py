"""The address in the browser's bar: what a page shows is written there in place, and other pages are opened from it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from dashboard.components import registered


def show_address(
    query: str, *, asked: str, page: str, pages: Sequence[str], visit: str, is_first: bool, order: int, key: str
) -> None:
    """Puts a query string into the address without an entry in the browser's history.

    Args:
        query: without the question mark. asked: the one that was read when the page was opened.
        page: last part of its path, "" for the first page. pages: those of all pages.
        visit: another one each time that a page is opened. is_first: none was before in this session.
        order: rises with each call of a session.
        key: names the component.
    """
    about = {"asked": asked, "page": page, "pages": tuple(pages), "visit": visit, "is_first": is_first, "order": order}
    registered("address")(key=key, data={"query": query, **about})


def open_address(href: str, instead: bool = False) -> None:
    """Opens another page as a link does: one entry in the browser's history, or none with `instead`."""
    token = uuid.uuid4().hex
    registered("address")(key=f"address-open-{token}", data={"href": href, "instead": instead, "token": token})
