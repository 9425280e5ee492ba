"""What will stand on the Augmentations page, drawn at once where it takes seconds until it is there."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

STYLE = """
<style>
.coming { border-radius: .5rem; background: color-mix(in srgb, currentColor 4%, transparent);
  animation: coming 1.6s ease-in-out infinite alternate; }
@keyframes coming { to { background: color-mix(in srgb, currentColor 8%, transparent); } }
</style>
"""


def draw(text: str, figures: Sequence[str] = (), height: int = 340) -> None:
    """Names of figures without their values, and the room of a picture with a line that says what is waited for.

    Args:
        text: for those who hear the page, too.
        height: of the picture, in pixels.
    """
    if figures:
        with st.container(horizontal=True, gap="medium"):
            for name in figures:
                st.metric(name, "…", width="content")
    st.caption(text)
    st.html(f'{STYLE}<div class="coming" style="height:{height}px" aria-hidden="true"></div>')
