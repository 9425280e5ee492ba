"""Folders that are dropped on a file uploader, with the path of each file: Streamlit's own takes their names alone."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.components import registered


def folder_drop(uploader: str, others: Sequence[str], key: str) -> None:
    """Hands folders that are dropped on one of some file uploaders to that which takes folders.

    Args:
        uploader: the key of the `st.file_uploader` of folders.
        others: keys of those on which folders may be dropped too.
        key: names the component.
    """
    places = [f"st-key-{name}" for name in (uploader, *others)]
    registered("folder_drop")(key=key, data={"places": places})
