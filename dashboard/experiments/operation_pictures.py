"""What the operations of an axis do to an image: a small view for each, drawn once, behind the page."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

import streamlit as st

from dashboard.shared import store
from simclr.config import Augmentation, ConfigError
from simclr.results.groups import Group
from simclr.sweeps import sweep_file
from simclr.sweeps.settings import Setting, Sweep
from simclr.views import pictures, sample_images

MOST = 12  # values of an axis
SIDE = 48  # pixels, of a view that is shown at three quarters of it
SECTION = "augmentation."


class Drawing:
    """Pictures that a thread draws once: the first view that a server draws loads torch.

    Attributes:
        pictures: by label, as addresses; empty until they are drawn, and where the data are not here.
    """

    def __init__(self, dataset: str, wanted: Mapping[str, Augmentation]) -> None:
        self.pictures: dict[str, str] = {}
        threading.Thread(target=self._draw, args=(dataset, wanted), daemon=True).start()

    def _draw(self, dataset: str, wanted: Mapping[str, Augmentation]) -> None:
        try:
            samples = sample_images.load(dataset)
        except ConfigError:
            return
        (number,) = samples.draw(0, 1)
        self.pictures = pictures.draw_effects(samples.images[samples.places([number])[0]], wanted, SIDE)


@st.cache_resource(max_entries=64, show_spinner=False)
def _drawing(plain: str, axis: str) -> Drawing | None:
    """Of the axis of a sweep as `meta.json` keeps it; None of an axis that is not of augmentations alone."""
    try:
        sweep = sweep_file.parse(json.loads(plain))
        wanted = augmentations_of(sweep, axis)
        return Drawing(str(sweep.pretraining(Setting({}, {}), 0).dataset), wanted) if wanted else None
    except ConfigError:
        return None


def augmentations_of(sweep: Sweep, axis: str) -> dict[str, Augmentation]:
    """The augmentation that each value of an axis alone makes; empty of an axis that sets anything else.

    Raises:
        ConfigError: if the values do not make a valid run.
    """
    found = next((item for item in sweep.axes if item.name == axis), None)
    if found is None or len(found.values) > MOST:
        return {}
    if not all(value.options and all(name.startswith(SECTION) for name in value.options) for value in found.values):
        return {}
    return {
        value.label: sweep.pretraining(Setting({axis: value.label}, value.options), 0).augmentation
        for value in found.values
    }


def of_axis(group: Group, axis: str) -> Mapping[str, str]:
    """A picture of each value of an axis of augmentations, as addresses; empty until they are drawn, and of others."""
    run = store.find(group.members[0].id)
    entry = run.meta.get("group") if run is not None else None
    plain = entry.get("sweep") if isinstance(entry, dict) else None
    if not isinstance(plain, dict):
        return {}
    drawing = _drawing(json.dumps(plain), axis)
    return drawing.pictures if drawing is not None else {}
