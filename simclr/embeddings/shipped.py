"""Maps that came with an example, without its photographs and without features (no torch until they are packed).

    RUNS/examples/RUN/embeddings/<split>-<num_images>-<key>/
        provenance.json ids.npy labels.npy neighbors.npy similarities.npy predictions.npz measured.npz
        <map>-<hash>.npy and .json, pair-<hash>.npy and .json      as `stored` has them, in half precision
        paths.txt       the file of each image below the folder of its data set, one a line

The key leaves out where the data set lies. What is asked for beyond these maps is computed as for any other run, from
the weights and the data set. The photographs are read from the data set where it is, and kept beside the user's runs:

    RUNS/.examples/pictures-<images>/thumbnails-0.png
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import DATASETS, ConfigError, not_written
from simclr.data.folders.decoding import BrokenImageError, decode_image
from simclr.embeddings import stored
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef, open_weights
from simclr.embeddings.selection import ImageSelection
from simclr.embeddings.stored import Embedding
from simclr.files import safe_read, writing
from simclr.files.user_paths import user_path
from simclr.launch import jobs
from simclr.views import appearance, sheets

PATHS = "paths.txt"
JOB_NAME = "pictures"
KEPT_NEIGHBORS = 20
MAX_PATHS_BYTES = 16 * 2**20
# Photographs are taken for those of the maps if nearly all are as light as they were: decoders round differently.
LIGHTNESS_TOLERANCE, SAME_SHARE = 0.02, 0.99

Progress = Callable[[float], None]


def paths_of(embedding: Embedding) -> list[str]:
    """The file of each image below the folder of its data set.

    Raises:
        ConfigError: if the list is missing, damaged, or leads elsewhere.
    """
    try:
        found = safe_read.read_text(embedding.folder / PATHS, MAX_PATHS_BYTES).splitlines()
    except (OSError, ValueError):
        found = []
    if len(found) != embedding.num_images or not all(_is_below(path) for path in found):
        raise ConfigError(
            f"{embedding.folder / PATHS} does not name a file for each image; allowed: as it was shipped."
        )
    return found


def _is_below(path: str) -> bool:
    parts = Path(path).parts
    return bool(parts) and not Path(path).is_absolute() and ".." not in parts and "\0" not in path


def dataset_of(embedding: Embedding) -> str:
    """What the folder of the data set is called."""
    return Path(str((embedding.provenance.get("data") or {}).get("dataset"))).name


def find_folder(embedding: Embedding, roots: Sequence[Path]) -> Path | None:
    """The folder of the data set, if it lies in one of `roots` and holds the first and the last image."""
    try:
        paths = paths_of(embedding)
    except ConfigError:
        return None
    for root in roots:
        folder = user_path(root) / dataset_of(embedding)
        if all((folder / path).is_file() for path in (paths[0], paths[-1])):
            return folder
    return None


def make_pictures(embedding: Embedding, folder: Path, progress: Progress = lambda share: None) -> None:
    """Reads the photographs of shipped maps from the folder of their data set, and keeps their thumbnails.

    Raises:
        ConfigError: with one sentence, if they are not there, cannot be read, are others, or nothing can be written.
    """
    paths, name = paths_of(embedding), dataset_of(embedding)
    if not folder.is_dir():
        raise ConfigError(f"folder is {folder}, which does not exist; allowed: the folder of {name}.")
    missing = [path for path in paths if not (folder / path).is_file()]
    if missing:
        raise ConfigError(
            f"folder is {folder}, which lacks {len(missing):,} of {len(paths):,} images, such as {missing[0]}; "
            f"allowed: the folder of {name}."
        )
    tiles = embedding.provenance["thumbnails"]
    side = int(tiles["side"])
    aside = embedding.pictures.parent / f".pictures-{uuid.uuid4().hex[:8]}"
    try:
        aside.mkdir(parents=True)
        measured = []
        for number, part in enumerate(_parts(paths, int(tiles["per_sheet"]))):
            images = np.empty((len(part), 3, side, side), dtype=np.uint8)
            for place, path in enumerate(part):
                images[place] = decode_image(folder, path, side)
                if place % 100 == 0:
                    progress((number * int(tiles["per_sheet"]) + place) / len(paths))
            measured.append(appearance.measure(images)["lightness"])
            sheets.write_sheet(images, int(tiles["columns"]), aside / sheets.name_of(number))
        _check_same(folder, name, np.concatenate(measured), embedding.measured.get("lightness"))
        shutil.rmtree(embedding.pictures, ignore_errors=True)
        os.replace(aside, embedding.pictures)
    except BrokenImageError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        if not embedding.sheets:  # else another process was quicker
            raise not_written(f"{embedding.pictures} cannot be written", error) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    progress(1.0)


def _parts(paths: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), size):
        yield paths[start : start + size]


def _check_same(folder: Path, name: str, found: NDArray[Any], expected: NDArray[Any] | None) -> None:
    if expected is None:
        return
    share = float((np.abs(found - expected) <= LIGHTNESS_TOLERANCE).mean())
    if share < SAME_SHARE:
        raise ConfigError(
            f"folder is {folder}, where {1 - share:.0%} of the images are not those of the maps; allowed: the folder "
            f"of {name} that the example was trained on."
        )


# --- jobs -----------------------------------------------------------------------------------------------------------


def request_of(embedding: Embedding) -> dict[str, Any]:
    """What a job is asked for, whichever folder it reads."""
    return {"pictures": str(embedding.pictures)}


def start_job(embedding: Embedding, folder: Path, runs_dir: Path) -> Path:
    """Starts reading the photographs in the background, or gives the folder of the job that does so already.

    Raises:
        ConfigError: if the folder of jobs cannot be written.
    """
    arguments = ["pictures", str(embedding.folder.resolve()), str(user_path(folder).absolute())]
    return jobs.start(JOB_NAME, request_of(embedding), [*arguments, "--runs_dir", str(runs_dir.resolve())], runs_dir)


def find_job(embedding: Embedding, runs_dir: Path) -> Path | None:
    return jobs.find(JOB_NAME, request_of(embedding), runs_dir)


# --- packing --------------------------------------------------------------------------------------------------------


def pack(
    models: Sequence[EncoderRef],
    choice: ImageSelection,
    maps: Sequence[str],
    examples: Path,
    beside: Sequence[Path] = (),
) -> list[Path]:
    """Writes what ships of two models' embeddings on test images, computed before, into the runs of `examples`.

    Args:
        models: runs with the same ids as in `examples`, trained on a folder of images.
        maps: methods whose maps ship.
        beside: further files in the folders of both that ship as they are, such as their cards.

    Returns:
        The folders written.
    """
    from simclr.data.folders import folder_layout

    found = [item for model in models if (item := stored.find_embedding(model, choice)) is not None]
    assert len(found) == len(models) == 2 and stored.same_images(*found), "compute them first"
    dataset = str(models[0].run.config["dataset"])
    assert dataset not in DATASETS, "only folders have files to read again"
    files = folder_layout.read(dataset).splits[found[0].provenance["split"]].paths
    paths = [files[number] for number in found[0].ids]
    pair = stored.find_pair(*found)
    assert pair is not None
    written = []
    for model, item in zip(models, found, strict=True):
        with open_weights(model) as weights:
            name = stored.shipped_name(model, choice, weights)
        target = examples / model.run.id / runs.EMBEDDINGS / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _pack(item, target, maps, paths, Path(dataset).name)
        written.append(target)
    homes = dict(zip((item.folder for item in found), written, strict=True))
    path = stored.pair_path(*found)
    _pack_array(path, homes[path.parent])
    for path in beside:
        shutil.copyfile(path, homes[path.parent] / path.name)
    return written


def _pack(item: Embedding, target: Path, maps: Sequence[str], paths: Sequence[str], dataset: str) -> None:
    def least(values: NDArray[Any]) -> NDArray[Any]:
        """As small a whole number as they fit into."""
        return values.astype(np.min_scalar_type(int(values.max(initial=0))))

    np.save(target / stored.IDS, least(item.ids))
    if item.labels is not None:
        np.save(target / stored.LABELS, least(item.labels))
    np.save(target / stored.NEIGHBORS, least(item.neighbors[:, :KEPT_NEIGHBORS]))
    np.save(target / stored.SIMILARITIES, item.similarities[:, :KEPT_NEIGHBORS].astype(np.float16))
    np.savez(target / stored.PREDICTIONS, **{name: least(values) for name, values in item.predictions.items()})  # type: ignore[arg-type]
    stored.save_measured(target, stored.measured_of(item))
    writing.write_atomically(target / PATHS, "".join(f"{path}\n" for path in paths))
    about = {name: value for name, value in item.provenance.items() if name != "data"}
    about |= {"data": item.provenance["data"] | {"dataset": dataset}, stored.SHIPPED: True}
    writing.write_atomically(target / stored.PROVENANCE, json.dumps(about, indent=1))
    for method in maps:
        assert item.map(Projection(method)) is not None, method
        _pack_array(item.map_path(Projection(method)), target)


def _pack_array(path: Path, target: Path) -> None:
    shutil.copyfile(path.with_suffix(".json"), target / path.with_suffix(".json").name)
    writing.write_array(target / path.name, safe_read.read_array(path).astype(np.float16))
