"""Custom components: each folder holds its script and style beside the Python that mounts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st


@st.cache_resource(max_entries=16, show_spinner=False)
def registered(name: str) -> Any:
    """The component in the folder `name`; registered once per server, or its script would be sent again."""
    folder = Path(__file__).parent / name
    return st.components.v2.component(
        f"simclr_{name}",
        css=(folder / f"{name}.css").read_text(encoding="utf-8"),
        js=(folder / f"{name}.js").read_text(encoding="utf-8"),
        isolate_styles=False,
    )
