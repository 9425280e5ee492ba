"""What the encoder part of the Augmentations page shows, kept in the session and in the address."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

STATE = "encoder-lab"
NAMES = ("encoder", "weights", "layer", "compared_layer", "show", "batch_of", "temperature", "against", "scale")


# --- the address ----------------------------------------------------------------------------------------------------


def remembered() -> dict[str, str]:
    """What this part shows, as words; taken from the address at the first visit."""
    if STATE not in st.session_state:
        query = st.query_params.to_dict()
        st.session_state[STATE] = {name: str(query[name]) for name in NAMES if name in query}
    return st.session_state[STATE]


def address() -> dict[str, str]:
    """Query parameters that bring this part back as it is."""
    return {name: value for name, value in remembered().items() if value}


def remember(**values: str) -> None:
    """Remembers values, and writes them into the address."""
    remembered().update(values)
    for name, value in values.items():
        if st.query_params.get(name, "") == value:
            continue
        if value:
            st.query_params[name] = value
        else:
            st.query_params.pop(name, None)


def widget_key(name: str, options: Sequence[str], default: str) -> str:
    """The key of a widget, which starts with what was remembered where that is still one of the options."""
    key = f"lab-{name}"
    if st.session_state.get(key) not in options:
        asked = remembered().get(name, "")
        st.session_state[key] = asked if asked in options else default
    return key
