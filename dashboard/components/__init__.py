"""Custom components: each folder holds its scripts and style beside the Python that mounts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st


def source(name: str, kind: str) -> str:
    """All files of a `kind` (`js` or `css`) in the folder `name`, one after the other; scripts share one scope."""
    files = sorted((Path(__file__).parent / name).glob(f"*.{kind}"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@st.cache_resource(max_entries=16, show_spinner=False)
def registered(name: str, *shared: str) -> Any:
    """The component in the folder `name`; registered once per server, or its script would be sent again.

    `shared` are scripts of other folders, by their paths below this one, that it needs as well.
    """
    scripts = [(Path(__file__).parent / path).read_text(encoding="utf-8") for path in shared]
    return st.components.v2.component(
        f"simclr_{name}",
        css=source(name, "css") or None,
        js="\n".join([*scripts, source(name, "js")]),
        isolate_styles=False,
    )
