"""Copies of chosen images in a folder of the user's, one folder for each class (torch only to read images)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from simclr.config import ConfigError, not_written
from simclr.embeddings.selection import ImageSelection, load_selection
from simclr.embeddings.stored import Embedding
from simclr.files.user_paths import user_path
from simclr.image_sets.files import ImageFiles, is_other_image, lightness_of, pixel_values
from simclr.runs import Run

if TYPE_CHECKING:
    from simclr.data.splits import Split

Progress = Callable[[float], None]
NO_CLASS = "without a class"
BATCH = 256  # images that are drawn at a time


def target_of(text: str) -> Path:
    """The folder that a user names for copies.

    Raises:
        ConfigError: with one sentence, if it is no full path, holds something, or lies where no folder is.
    """
    allowed = "allowed: the full path of a new or empty folder, such as /home/me/chosen"
    named = text.strip()
    if not named or "\0" in named:
        raise ConfigError(f"folder is {'empty' if not named else 'no path'}; {allowed}.")
    path = user_path(named)
    if not path.is_absolute():
        raise ConfigError(f"folder is {named}, which is no full path; {allowed}.")
    path = Path(os.path.normpath(path))
    try:
        if path.is_dir() and not path.is_symlink():
            if any(path.iterdir()):
                raise ConfigError(f"folder is {path}, which holds files already; {allowed}.")
        elif path.exists() or path.is_symlink():
            raise ConfigError(f"folder is {path}, which is {'a link' if path.is_symlink() else 'a file'}; {allowed}.")
        elif not path.parent.is_dir():
            raise ConfigError(f"folder is {path}, but {path.parent} is no folder that exists; {allowed}.")
    except OSError as error:
        raise ConfigError(f"folder is {path}, which cannot be used ({error.strerror or error}); {allowed}.") from None
    return path


def copy_images(
    embedding: Embedding,
    rows: NDArray[np.int64],
    target: Path,
    run: Run | None,
    files: ImageFiles | None,
    *,
    links: bool = False,
    progress: Progress = lambda share: None,
) -> int:
    """Writes chosen images into a new folder: `TARGET/<class>/<file>`, without classes `TARGET/<file>`.

    Files of a folder are copied as they are, under their own names; images of a named data set are written as PNG,
    under their numbers. Everything is written aside and put in place in one step, so that no file is ever written over.

    Args:
        rows: of the embedding.
        target: of `target_of`.
        run: that the embedding belongs to.
        files: of `files_of`, with their folder; None: the images are read as the run reads them.
        links: symbolic links to the files instead of copies.

    Returns:
        How many images were written.

    Raises:
        ConfigError: with one sentence, if nothing is chosen, the images are no longer those of the maps, or the folder
            cannot be written.
    """
    if not len(rows):
        raise ConfigError("Nothing is selected; allowed: one image or more.")
    if links and (files is None or files.folder is None):
        raise ConfigError("Links need files, and these images have none of their own; allowed: copies.")
    aside = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:6]}")
    try:
        aside.mkdir()
        if files is not None and files.folder is not None:
            _copy_files(embedding, rows, aside, run, files, links, progress)
        else:
            _draw(embedding, rows, aside, run, progress)
        os.rename(aside, target)  # an empty folder gives way, one that holds something does not
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise ConfigError(
                f"folder is {target}, which holds files already; allowed: a new or empty folder."
            ) from None
        raise not_written(f"{target} cannot be written", error) from None
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(aside)
    return len(rows)


def class_folder(embedding: Embedding, row: int) -> str:
    """The name of an image's class as that of a folder; empty where the data set has no classes."""
    if embedding.labels is None:
        return ""
    label = int(embedding.labels[row])
    name = embedding.classes[label] if 0 <= label < len(embedding.classes) else NO_CLASS
    name = "".join("_" if sign in "/\\\0" or not sign.isprintable() else sign for sign in name).strip()[:100]
    return name if name.strip(".") else "_"


def _copy_files(
    embedding: Embedding,
    rows: NDArray[np.int64],
    aside: Path,
    run: Run | None,
    files: ImageFiles,
    links: bool,
    progress: Progress,
) -> None:
    assert files.folder is not None
    lightness, how = lightness_of(embedding), pixel_values(run)
    for done, row in enumerate(rows.tolist()):
        path = files.paths[row]
        if is_other_image(embedding, files, row, lightness, how):
            raise ConfigError(
                f"{files.folder / path} is missing, broken or another image than on the maps; allowed: the folder as "
                "it was when the maps were computed."
            )
        source = (files.folder / path).absolute()
        target = _free(aside / class_folder(embedding, row) / Path(path).name, int(embedding.ids[row]))
        if links:
            target.symlink_to(source)
        else:
            shutil.copyfile(source, target)
        progress((done + 1) / len(rows))


def _free(path: Path, number: int) -> Path:
    """A name in that folder that no file has: of two files of one name the later bears its image's number too."""
    path.parent.mkdir(exist_ok=True)
    return path if not path.exists() and not path.is_symlink() else path.with_name(f"{number}-{path.name}")


def _draw(embedding: Embedding, rows: NDArray[np.int64], aside: Path, run: Run | None, progress: Progress) -> None:
    if run is None:
        raise ConfigError("The run of these maps is not there any more, so their images cannot be read.")
    about = embedding.provenance
    choice = ImageSelection(about["split"], about.get("num_images_asked"), int(about["seed"]))
    images = load_selection(run, choice, lambda share: progress(share / 2))
    if images.digest != about.get("images"):
        raise ConfigError(
            f"The images of {run.config.get('dataset')} are not those of the maps any more; allowed: maps that are "
            "computed again."
        )
    width = len(str(int(embedding.ids.max())))
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        for row, pixels in zip(part.tolist(), _pixels(images.chosen, part.tolist()), strict=True):
            folder = aside / class_folder(embedding, row)
            folder.mkdir(exist_ok=True)
            with open(folder / f"{int(embedding.ids[row]):0{width}d}.png", "xb") as stream:
                Image.fromarray(pixels).save(stream, "png")
        progress(0.5 + 0.5 * min(1.0, (start + BATCH) / len(rows)))


def _pixels(split: Split, positions: Sequence[int]) -> NDArray[np.uint8]:
    """(n, S, S, 3) of a split's images."""
    return split.images_at(positions).cpu().numpy().transpose(0, 2, 3, 1)
