"""What images of the Embeddings page can be found by: their files, properties and tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.embeddings import colors, pictures_panel
from dashboard.shared import store
from simclr.config import ConfigError
from simclr.embeddings import stored
from simclr.embeddings.stored import Embedding
from simclr.image_sets import files, tags
from simclr.image_sets.files import ImageFiles
from simclr.image_sets.tags import Tag
from simclr.runs import Run
from simclr.views import appearance

WORD_LABELS = {
    "lightness": "Lightness, in thirds",
    "contrast": "Contrast, in thirds",
    "middle": "Colour of the middle",
    "border": "Colour of the border",
    "edges": "Main direction of the edges",
}


def run_of(embedding: Embedding) -> Run | None:
    return store.find(str(embedding.provenance.get("run")))


def image_files(embedding: Embedding) -> ImageFiles | None:
    """The files of the images, as `files.files_of` finds them; looked for once an hour."""
    folder = pictures_panel.folder_of(embedding) if embedding.is_shipped else None
    run = run_of(embedding)
    created = float(embedding.provenance.get("created") or 0)
    return _image_files(str(embedding.folder), created, str(run.path) if run else "", str(folder) if folder else "")


@st.cache_data(max_entries=8, ttl=3600, show_spinner=False)
def _image_files(embedding: str, created: float, run: str, folder: str) -> ImageFiles | None:
    found = stored.load_embedding(Path(embedding))
    if found is None:
        return None
    return files.files_of(found, Run(Path(run)) if run else None, Path(folder) if folder else None)


# --- tags -----------------------------------------------------------------------------------------------------------


def dataset_of(embedding: Embedding) -> str:
    """The data set that the tags of these images belong to."""
    return files.dataset_of(embedding, None if embedding.is_shipped else run_of(embedding))


def all_tags(embedding: Embedding) -> list[Tag]:
    """The tags of the data set; none where their file is damaged, which their panel says."""
    try:
        return tags.read(store.runs_dir(), dataset_of(embedding))
    except ConfigError:
        return []


def tag_rows(embedding: Embedding) -> dict[str, NDArray[np.int64]]:
    """The rows of each tag among the images of an embedding."""
    if not (found := all_tags(embedding)):
        return {}
    known = image_files(embedding)
    split = str(embedding.provenance.get("split"))
    return {tag.name: tag.rows(split, embedding.ids, known.paths if known else None) for tag in found}


def tag_texts(embedding: Embedding) -> list[str]:
    """(N,) the tags of each image, separated by semicolons."""
    found: list[list[str]] = [[] for _ in range(embedding.num_images)]
    for name, rows in tag_rows(embedding).items():
        for row in rows.tolist():
            found[row].append(name)
    return ["; ".join(names) for names in found]


def file_columns(embedding: Embedding) -> dict[str, Any]:
    """`paths` and `tags` of `export.table`, each left out where no image has one."""
    known, texts = image_files(embedding), tag_texts(embedding)
    found: dict[str, Any] = {"paths": known.paths} if known else {}
    return found | ({"tags": texts} if any(texts) else {})


# --- what the component searches ------------------------------------------------------------------------------------


def fields(embedding: Embedding) -> list[dict[str, Any]]:
    """Properties that conditions may name: recorded factors, else what was measured, as numbers and in words."""
    found: list[dict[str, Any]] = [
        {"name": name, "label": colors.factor_label(name), "values": values}
        for name, values in embedding.factors.items()
    ]
    measured = colors.measured(embedding)
    for name, label in measured.items():
        values = embedding.measured[name]
        if name in appearance.CIRCULAR:
            values = np.where(appearance.has_direction(embedding.measured, name), values, np.nan)
        found.append({"name": name, "label": label, "values": values})
    if measured:
        words = appearance.in_words(embedding.measured)
        found += [{"name": name, "label": label, "values": words[name]} for name, label in WORD_LABELS.items()]
    return found


def search_data(embedding: Embedding) -> dict[str, Any]:
    """`search` of `embedding_map`."""
    known = image_files(embedding)
    return {
        "fields": fields(embedding),
        "files": known.paths if known else None,
        "tags": tag_rows(embedding),
    }
