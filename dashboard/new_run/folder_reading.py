"""How the folder that is named as a data set will be read: said before a run of it is started."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from simclr.config import DATASETS, ConfigError, RunConfig
from simclr.data.folders import folder_layout
from simclr.data.folders.decoding import is_deep
from simclr.data.folders.folder_layout import Layout
from simclr.files.user_paths import user_path

SECONDS = 3.0  # a page waits for a list of files no longer
KEPT_SECONDS = 30
NUM_LOOKED_AT = 8  # images whose header is read


def layout_of(config: RunConfig, seconds: float | None = None) -> Layout | None:
    """How the folder is read; None where the data is no folder, or it holds too many files to be looked through here.

    Raises:
        ConfigError: if it cannot be read, in one sentence.
    """
    found = _of(config, seconds)
    if isinstance(found, str):
        raise ConfigError(found)
    return found


def sentence(config: RunConfig, seconds: float | None = None) -> str:
    """The same in words; empty where the data is no folder, or it cannot be read.

    Args:
        seconds: how long to look for its files at most; unset: `SECONDS`.
    """
    if not config.dataset or config.dataset in DATASETS:
        return ""
    found = _of(config, seconds)
    if found is None:
        return "The folder holds too many files to be looked through here; the run says first how it reads them."
    if isinstance(found, str):
        return ""
    text = found.sentence(found.split_sizes(config.val_fraction, config.limit_images))
    if config.value_min is None and config.value_max is None and _is_deep(*_some(found)):
        text += (
            " Its images hold more than 8 bits a value: the run finds the range that they use, shows it as black to "
            "white, and says so first."
        )
    return text


def _some(layout: Layout) -> tuple[bytes, ...]:
    """A few of the training images, evenly spaced; as bytes, since names that are no text cannot be keys of a cache."""
    paths = layout.splits["train"].paths
    some = paths[:: max(1, len(paths) // NUM_LOOKED_AT)][:NUM_LOOKED_AT]
    return tuple(os.fsencode(layout.folder / path) for path in some)


@st.cache_resource(ttl=KEPT_SECONDS, max_entries=4, show_spinner=False)
def _is_deep(*paths: bytes) -> bool:
    """Whether one of these images says in its header that it holds more than 8 bits a value."""
    return any(is_deep(Path(os.fsdecode(path))) for path in paths)


def _of(config: RunConfig, seconds: float | None) -> Layout | str | None:
    dataset = config.dataset
    if not dataset or dataset in DATASETS:
        return None
    try:
        modified = os.stat(user_path(dataset)).st_mtime_ns
    except (OSError, ValueError):
        modified = 0
    return _read(dataset, config.kind != "pretrain", config.test_fraction, modified, seconds or SECONDS)


@st.cache_resource(ttl=KEPT_SECONDS, max_entries=4, show_spinner=False)
def _read(
    dataset: str, labelled_only: bool, test_fraction: float, modified: int, seconds: float
) -> Layout | str | None:
    """The layout; what is wrong, in a sentence; None if it takes too long."""
    try:
        return folder_layout.read(dataset, labelled_only=labelled_only, test_fraction=test_fraction, seconds=seconds)
    except TimeoutError:
        return None
    except ConfigError as error:
        return str(error)
