"""Hostile texts in every kind of place that reads Markdown; `TEXTS` names their file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import streamlit as st

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from dashboard.components import escape

    texts = json.loads(Path(os.environ["TEXTS"]).read_text(encoding="utf-8"))
    for number, text in enumerate(texts["all"]):
        shown = escape.markdown(text)
        st.container(key=f"text-{number}").markdown(f"**{shown}** {shown} :small[:red[{shown}]] :gray-badge[{shown}]")
        st.container(key=f"label-{number}").button(shown, key=number)
    for number, text in enumerate(texts["few"]):
        shown = escape.markdown(text)
        with st.container(key=f"few-{number}"):
            st.title(shown, anchor=False)
            st.subheader(shown, anchor=False)
            st.caption(shown)
            st.badge(shown)
            st.error(shown)
            st.warning(shown)
            st.info(shown)
            st.success(shown)
            st.progress(0.5, text=shown)
            st.metric(shown, shown)
            st.expander(shown).text("inside")
            st.tabs([shown])
            st.toggle(shown, key=f"toggle-{number}")
            st.text_input(shown, key=f"input-{number}")
            st.pills("P", [text], format_func=escape.markdown, key=f"pills-{number}", label_visibility="collapsed")
            st.page_link(str(st.context.url), label=shown)
            st.markdown(f"| {shown} | B |\n|---|---|\n| {shown} | 1 |")
    st.text("the end")
