"""The similarities of a batch as a heat map; loss and weights follow the temperature in the browser."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import registered

LOWEST, HIGHEST = 0.01, 2.0  # ends of the temperature's slider


def similarity_matrix(
    similarities: NDArray[np.floating[Any]],
    *,
    titles: Sequence[str],
    sprite: str,
    columns: int,
    marks: Sequence[Mapping[str, Any]],
    temperature: float,
    revision: str,
    key: str,
) -> None:
    """Draws the matrix of a batch with pairs adjacent, or updates the one drawn before under `key`.

    The session's state of `key` keeps `temperature`, as it was when its slider was let go.

    Args:
        similarities: (2N, 2N) cosines; rows 2i and 2i + 1 are the views of image i.
        titles: (N,) what the images are called.
        sprite: address of one picture with the 2N views as square tiles, `columns` in a row.
        marks: brightest wrong cells: row, column, similarity, words.
        temperature: to start with.
        revision: changes with anything but the temperature.
    """
    values = base64.b64encode(np.ascontiguousarray(similarities, dtype="<f4").tobytes()).decode()
    registered("similarity_matrix")(
        key=key,
        data={
            "similarities": values,
            "titles": list(titles),
            "sprite": sprite,
            "columns": columns,
            "marks": [dict(mark) for mark in marks],
            "temperature": temperature,
            "low": LOWEST,
            "high": HIGHEST,
            "revision": revision,
        },
        default={"temperature": None},
        on_temperature_change=lambda: None,
    )


def chosen_temperature(key: str) -> float | None:
    """Where the slider was let go; None as long as it was not moved."""
    state = st.session_state.get(key)
    value = state.get("temperature") if isinstance(state, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not LOWEST <= value <= HIGHEST:
        return None
    return float(value)
