"""The two films of a race as they are now, frames at equal numbers of images seen: on its page and on the first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from dashboard.maps import film_maps
from dashboard.shared import formats
from simclr.experiments.race import Race
from simclr.films import film, growing
from simclr.films.film import Film
from simclr.films.growing import GrowingFilm
from simclr.runs import Run, film_frames

NAMES = ("SimCLR", "From scratch")


@dataclass(frozen=True)
class Frames:
    """Both films on one timeline.

    films: of SimCLR and of the network from scratch, with `growing` their maps and shares of right neighbours.
    seen: training images that both had seen, at each frame; a frame shows the newest of each network by then.
    places: for each film, the place of its own frame at each of `seen`.
    """

    films: tuple[Film, Film]
    growing: tuple[GrowingFilm, GrowingFilm]
    seen: tuple[int, ...]
    places: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def total(self) -> int:
        """Training images that a whole training sees."""
        return max(max(item.about["images_seen"], default=0) for item in self.films)

    @property
    def has_classes(self) -> bool:
        return film_maps.has_classes(self.films[0])

    def right(self, side: int, frame: int) -> float | None:
        """Share of the images whose nearest neighbours are right; None without classes."""
        found = self.growing[side].right
        place = self.places[side][frame]
        return found[place] if place < len(found) else None


def num_frames(run: Run) -> int:
    """How many frames a run has kept so far; cheap, to be asked some times a second."""
    try:
        return sum(path.name.startswith("epoch-") for path in film_frames.folder_of(run).iterdir())
    except OSError:
        return 0


def timeline(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """The numbers of images at which one of two films has a new frame, as far as both have come."""
    begin, end = max(first[0], second[0]), min(first[-1], second[-1])
    return tuple(sorted({seen for seen in (*first, *second) if begin <= seen <= end}))


def together(runs: Sequence[Run], growing: Sequence[GrowingFilm]) -> Frames | None:
    """The films of both runs; None before both have a frame, or where they show different images.

    Args:
        growing: takes in the new frames.
    """
    found = [film.load(run, min_frames=1) for run in runs]
    first, second = found
    if first is None or second is None or not first.images_seen or not second.images_seen:
        return None
    if not film_maps.same_images((first, second)):
        return None
    for item, kept in zip((first, second), growing, strict=True):
        kept.take_in(item)
    seen = timeline(first.images_seen, second.images_seen)
    places = film_maps.newest(first.images_seen, seen), film_maps.newest(second.images_seen, seen)
    return Frames((first, second), (growing[0], growing[1]), seen, places)


RIGHT_HELP = (
    "Share of the images whose class most of their 20 nearest neighbours have, in all dimensions of the features, the "
    "image itself left out."
)


def stats(frames: Frames, side: int, frame: int) -> list[dict[str, str]]:
    """The share of right neighbours of one network at a frame, as the component takes it."""
    share = frames.right(side, frame)
    return [] if share is None else [{"value": f"{100 * share:.0f} %", "label": "neighbours right", "help": RIGHT_HELP}]


@st.cache_resource(max_entries=12, ttl=3600, show_spinner=False)
def _growing(folder: str, method: str) -> GrowingFilm:
    """The maps of a run's film, each frame drawn once for all browser sessions."""
    return GrowingFilm(method)


def frames_of(found: Race, method: str) -> Frames | None:
    """Both films as they are now, with maps by `tsne` or `pca`; None where they cannot be shown together."""
    return together(found, [_growing(str(run.path), method) for run in found])


def payload(found: Race, frames: Frames, frame: int) -> dict[str, Any]:
    """Everything that the component draws, without the chosen image.

    Args:
        frame: that is shown.
    """
    fraction = formats.fraction_text(found.scratch.config.get("label_fraction"))
    subtitles = ("no label", f"{fraction} of the labels")
    panels = [
        {
            "title": title,
            "subtitle": subtitle,
            "stats": stats(frames, side, frame),
            "note": "",
            "frames": np.stack([kept.maps[place] for place in places]),
            "extent": growing.EXTENT,
        }
        for side, (title, subtitle, kept, places) in enumerate(
            zip(NAMES, subtitles, frames.growing, frames.places, strict=True)
        )
    ]
    return {
        **film_maps.images(frames.films[0]),
        "panels": panels,
        "frame_names": [f"{seen:,}" for seen in frames.seen],
        "frame_label": "Images seen",
    }


def details(frames: Frames, frame: int, image: int) -> dict[str, Any] | None:
    """The open image and its nearest neighbours in the features of that frame; None if it is not there."""
    epochs = [item.epochs[places[frame]] for item, places in zip(frames.films, frames.places, strict=True)]
    return film_maps.details(frames.films, epochs, image, ["After", f"{frames.seen[frame]:,} images"])
