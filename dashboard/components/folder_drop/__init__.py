"""Folders that are dropped on a file uploader, or chosen in it, sent as one archive with the path of each file.

Streamlit's own uploader takes the names of dropped files alone, so that those of all classes lie in one heap, and sends
a thousand files one by one, which takes a minute.
"""

from __future__ import annotations

from dashboard.components import registered


def folder_drop(folders: str, archives: str, key: str, max_mib: int, max_files: int) -> None:
    """Hands folders to a file uploader that takes .zip archives; says why where they are too large.

    Args:
        folders: the key of the `st.file_uploader` in which folders are chosen.
        archives: of the one that takes archives; folders may be dropped on both.
        key: names the component.
        max_mib, max_files: more is not sent; at most 65,534 files.
    """
    data = {
        "places": [f"st-key-{folders}", f"st-key-{archives}"],
        "maxBytes": max_mib * 2**20,
        "maxFiles": max_files,
    }
    registered("folder_drop")(key=key, data=data)
