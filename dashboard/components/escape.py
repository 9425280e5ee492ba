"""Text of users for places that read markup: names, notes, paths, addresses, class names, sentences of errors.

Every such text goes through one of the two functions here on its way to Streamlit or plotly. What shows text as it is
(`st.text`, `st.code`, options of a select box, the components, which set `textContent`) takes it unchanged.
"""

from __future__ import annotations

import math
import re
from typing import Any

from simclr.files.names import readable

# Streamlit looks for these in the text of a page when Markdown is done with it, so that no way of writing the signs
# hides them: addresses that become links, :icons: and emoji, arrows. They end where an element begins.
_JOINTS = re.compile(r"(?<=:)(?=[/\w+-])|(?<=www)(?=\.)|(?<=@)|(?<=[-<>~])(?=[-=>])", re.IGNORECASE)
_NOTHING = ":small{}"  # an element without content
_SIGNS = re.compile(r"[!-/:-@\[-`{-~]")
_PLOTLY_SIGNS = str.maketrans({sign: f"&#{ord(sign)};" for sign in "&<>{"})


def markdown(text: str) -> str:
    """Markdown that Streamlit shows as exactly this text, whatever is in it, with single spaces for white space.

    Signs are written as character references, which never begin markup (CommonMark 0.31, section 2.5).
    """
    text = " ".join(readable(text).split())  # a file name may hold bytes that are no text
    parts = (_SIGNS.sub(lambda sign: f"&#{ord(sign[0])};", part) for part in _JOINTS.split(text))
    return _NOTHING.join(parts)


def plotly(figure: Any, name: str = "") -> Any:
    """A copy of a figure, its `data` and `layout` as plain values, in which no text is read as HTML or as a template.

    Numbers that are not finite, which JSON has no word for, are None: a gap in a line.

    Templates of its own (`hovertemplate`) stay as they are: they are written here, and name what they show.
    """
    if isinstance(figure, dict):
        return {key: plotly(value, key) for key, value in figure.items()}
    if isinstance(figure, list | tuple):
        return [plotly(value, name) for value in figure]
    if isinstance(figure, str) and not name.endswith("template"):
        return readable(figure).translate(_PLOTLY_SIGNS)
    return None if isinstance(figure, float) and not math.isfinite(figure) else figure
