"""How the folder that is named as a data set will be read: said before a run of it is started."""

from __future__ import annotations

import os

import streamlit as st

from simclr.config import DATASETS, ConfigError, RunConfig
from simclr.data import folder_layout

SECONDS = 3.0  # a page waits for a list of files no longer
KEPT_SECONDS = 30


def find(config: RunConfig) -> tuple[str, str]:
    """How the folder is read, in words, or else what is wrong with it; both empty where the data is no folder."""
    dataset = config.dataset
    if not dataset or dataset in DATASETS:
        return "", ""
    try:
        modified = os.stat(os.path.expanduser(dataset)).st_mtime_ns
    except (OSError, ValueError):
        modified = 0
    limit = config.limit_images
    return _find(dataset, config.kind != "pretrain", config.val_fraction, limit, modified)


@st.cache_data(ttl=KEPT_SECONDS, max_entries=100, show_spinner=False)
def _find(
    dataset: str, labelled_only: bool, val_fraction: float, limit_images: int | None, modified: int
) -> tuple[str, str]:
    try:
        layout = folder_layout.read(dataset, labelled_only=labelled_only, seconds=SECONDS)
    except TimeoutError:
        return "The folder holds too many files to be looked through here; the run says first how it reads them.", ""
    except ConfigError as error:
        return "", str(error)
    return layout.sentence(layout.split_sizes(val_fraction, limit_images)), ""
