"""Images from the clipboard, given to a file uploader of the page as if they had been dropped on it."""

from __future__ import annotations

from dashboard.components import registered


def paste_images(uploader: str, key: str) -> None:
    """Hands images that are pasted anywhere on the page, but not into a text field, to a file uploader.

    Args:
        uploader: the key of the `st.file_uploader`.
        key: names the component.
    """
    registered("paste_images")(key=key, data={"uploader": f"st-key-{uploader}"})
