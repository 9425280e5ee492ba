"""A page with nothing but what the encoder makes of the views; the address may name a data set and images."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from dashboard.augmentations import encoder, encoder_state
    from dashboard.shared import ui, url_state
    from simclr.config import Augmentation
    from simclr.views import sample_images

    st.set_page_config(layout="wide")
    ui.style()
    ui.show_message()
    url_state.enter("", [""])
    if news := url_state.news(""):
        encoder_state.VIEW.take(news)
    query = st.query_params.to_dict()
    found = sample_images.load(st.query_params.get("dataset", "shapes"))
    asked = [int(word) for word in st.query_params.get("images", "").split(",") if word.isdecimal()]
    values = Augmentation().model_dump() | {"hue": 0.5}
    kept = {"dataset": st.query_params.get("dataset", "shapes"), "values": values, "size": None, "seed": 0, "epoch": 1}
    encoder.section(kept, found, asked or [int(number) for number in found.ids[:6]])
    ui.show_notes()
    url_state.write(query | encoder_state.address())
