"""What was found of copies among a run's test images: in its folder, in words, and as a table (no torch).

RUN/leaks.json             counts, medians, accuracies with and without the copies, and the pairs
RUN/leaks-KEY.png          the images of the first pairs, each test image beside its training image
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr import runs
from simclr.config import not_written
from simclr.evaluation.leaks.nearest import SMALLEST_MEDIAN, Medians
from simclr.files import safe_read, writing
from simclr.runs import Run

FILE, SHEETS = runs.LEAKS, "leaks-*.png"
FORMAT = 1
MOST_PAIRS = 5_000  # kept; the counts are of all
MOST_SHOWN = 300  # pairs whose images are kept
COLUMNS = 40  # images in a row of the sheet
COLOR_DIFFERENCE = 0.1  # of a pair, from which on its colours differ, and
SAME_LUMA = 0.1  # below which its brightness does not
NAMES = {"knn": "kNN accuracy", "linear": "the linear probe's accuracy", "classifier": "the accuracy"}
HEAD = (
    *("test image", "training image", "split", "test class", "training class", "distance", "same pixels"),
    *("difference in brightness", "difference in colour"),
)


@dataclass(frozen=True)
class Pair:
    """A test image and the training image that it is a copy of, or nearly.

    Attributes:
        test, train: their places in the data set's own lists. split: of the second, `train` or `val`.
        distance: in the features, as a share of the median nearest distance.
        is_exact: the same pixels.
        test_class, train_class: names, empty where there are no classes.
        test_name, train_name: files, or numbers in words.
        luma, color: root mean squares of their differences in brightness and in colour, 0..1.
    """

    test: int
    train: int
    split: str
    distance: float
    is_exact: bool
    test_class: str
    train_class: str
    test_name: str
    train_name: str
    luma: float
    color: float

    @property
    def differs_in_color(self) -> bool:
        """Whether the two differ in colour and hardly in brightness, which SimCLR is taught to ignore."""
        return self.color >= COLOR_DIFFERENCE and self.luma < SAME_LUMA

    @property
    def differs_in_class(self) -> bool:
        return self.test_class != self.train_class


@dataclass(frozen=True)
class Leaks:
    """What was found.

    Attributes:
        model: what the features are of: `weights`, the run's own, or `untrained` or `pixels`.
        weights: SHA-256 of the weights, empty where there are none.
        share: of the median below which a distance is that of a copy.
        median_test, median_train: medians of the nearest distances of test images, and of a sample of training images;
            the larger counts.
        num_test, num_train: images looked at, and those that they were compared with, validation images among them.
        num_copies: test images found, of which `num_exact` have the same pixels as a training image.
        num_used: of a supervised run, those found whose training image is one of its labelled ones.
        accuracy: by protocol, of all test images and of those that are no copies.
        pairs: exact copies first, then the nearest first; the first `num_shown` have images.
        side: of these images, in pixels.
        key: of the sheet's file.
    """

    model: str
    weights: str
    share: float
    median_test: float
    median_train: float
    num_test: int
    num_train: int
    num_copies: int
    num_exact: int
    num_used: int | None
    accuracy: dict[str, tuple[float, float]]
    pairs: tuple[Pair, ...]
    num_shown: int
    side: int
    key: str
    created: float

    @property
    def is_collapsed(self) -> bool:
        """Whether the encoder makes the same of all images, so that only exact copies can be told."""
        return Medians(self.median_test, self.median_train).counted < SMALLEST_MEDIAN


# --- the file ---------------------------------------------------------------------------------------------------------


def write(folder: Path, found: Leaks, sheet: NDArray[np.uint8] | None) -> None:
    """Keeps what was found, in the place of what was found before.

    Args:
        folder: the run's.
        sheet: (2 P, 3, S, S) uint8, test image and training image of the first pairs in turn; None: no images.

    Raises:
        ConfigError: if it cannot be written.
    """
    from simclr.views import sheets

    values = asdict(found) | {"format": FORMAT, "versions": runs.versions()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.glob(SHEETS))
        if sheet is not None and len(sheet):
            path = _sheet_path(folder, found.key)
            sheets.write_sheet(sheet, COLUMNS, path)
            before.discard(path)
        writing.write_atomically(folder / FILE, json.dumps(values))
        for path in before:  # of what was found before
            path.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(f"{folder / FILE} cannot be written", error) from None


def _sheet_path(folder: Path, key: str) -> Path:
    return folder / f"leaks-{key}.png"


def read(run: Run) -> Leaks | None:
    """What was found for a run, of an example what was computed here before what came with it.

    None where nothing was looked for, or the file is damaged.
    """
    for folder in dict.fromkeys((run.computed, run.path)):
        if (found := read_file(folder / FILE)) is not None:
            return found
    return None


def read_file(path: Path) -> Leaks | None:
    """The same of a file."""
    values = safe_read.json_dict(path)
    if values.get("format") != FORMAT:
        return None
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return _leaks(values)
    return None


def pictures(run: Run, found: Leaks, rows: Sequence[int]) -> NDArray[np.uint8] | None:
    """(n, 2, 3, S, S) the images of the pairs in these rows; None where they are not kept, or damaged."""
    from simclr.views import sheets

    if not rows or max(rows) >= found.num_shown:
        return None
    tiles = {"side": found.side, "columns": COLUMNS, "per_sheet": 2 * MOST_SHOWN}
    places = [2 * row + second for row in rows for second in (0, 1)]
    for folder in dict.fromkeys((run.computed, run.path)):
        with contextlib.suppress(OSError, ValueError):
            found_tiles = sheets.read_tiles([_sheet_path(folder, found.key)], tiles, places)
            return found_tiles.reshape(len(rows), 2, *found_tiles.shape[1:])
    return None


def _leaks(values: Mapping[str, Any]) -> Leaks:
    """Raises KeyError, TypeError or ValueError where something is missing or no sense."""
    pairs = tuple(_pair(item) for item in _kind(values["pairs"], list)[:MOST_PAIRS])
    accuracy = {}
    for name, both in _kind(values["accuracy"], dict).items():
        whole, rest = both
        if name in NAMES:
            accuracy[name] = (_share(whole), _share(rest))
    num_test, num_train = _count(values["num_test"]), _count(values["num_train"])
    found = Leaks(
        model=_kind(values["model"], str),
        weights=_kind(values["weights"], str),
        share=_number(values["share"]),
        median_test=_number(values["median_test"]),
        median_train=_number(values["median_train"]),
        num_test=num_test,
        num_train=num_train,
        num_copies=_count(values["num_copies"], num_test),
        num_exact=_count(values["num_exact"], num_test),
        num_used=None if values["num_used"] is None else _count(values["num_used"], num_test),
        accuracy=accuracy,
        pairs=pairs,
        num_shown=_count(values["num_shown"], min(len(pairs), MOST_SHOWN)),
        side=_count(values["side"], 4096),
        key=_kind(values["key"], str),
        created=_number(values["created"]),
    )
    if found.num_copies < max(found.num_exact, len(pairs)) or not re.fullmatch(r"\w{0,40}", found.key, re.ASCII):
        raise ValueError("it does not fit together")
    if num_test < 1 or found.created > 1e11:  # later dates raise in `datetime`
        raise ValueError("no test images, or of no time")
    return found


def _pair(values: Any) -> Pair:
    found = {field.name: values[field.name] for field in fields(Pair)}
    for name in ("split", "test_class", "train_class", "test_name", "train_name"):
        found[name] = _kind(found[name], str)[:500]
    if found["split"] not in ("train", "val"):
        raise ValueError("no split of training images")
    for name in ("test", "train"):
        found[name] = _count(found[name])
    for name in ("distance", "luma", "color"):
        found[name] = _number(found[name])
    return Pair(**found | {"is_exact": _kind(found["is_exact"], bool)})


def _kind(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"it is no {kind.__name__}")
    return value


def _number(value: Any) -> float:
    found = safe_read.finite_number(value)
    if found is None or found < 0:
        raise ValueError("no number")
    return found


def _share(value: Any) -> float:
    if (found := _number(value)) > 1:
        raise ValueError("no share")
    return found


def _count(value: Any, most: int = 2**53) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("no count")
    return value


# --- in words ---------------------------------------------------------------------------------------------------------


def sentence(found: Leaks) -> str:
    """How many test images are copies, and what the accuracies are without them."""
    compared = f"{found.num_test:,} test images were compared with {found.num_train:,} training and validation images"
    if not found.num_copies:
        only = (
            " by their pixels alone, since the encoder gives all images the same features" if found.is_collapsed else ""
        )
        return f"No copies were found: {compared}{only}."
    share = percent(found.num_copies / found.num_test)
    are = "is a copy" if found.num_copies == 1 else "are copies"
    text = f"{found.num_copies:,} of {found.num_test:,} test images ({share}) {are} of training images, or nearly"
    if found.num_exact:
        text += f"; {found.num_exact:,} {'has' if found.num_exact == 1 else 'have'} the same pixels"
    if found.num_used is not None and found.num_used < found.num_copies:
        text += f"; the training images of {found.num_used:,} are among those whose labels this run used"
    text += "."
    changes = [
        f"{NAMES[name]} is {percent(rest, 2)} instead of {percent(whole, 2)}"
        for name, (whole, rest) in found.accuracy.items()
    ]
    if changes:
        text += f" Without {'it' if found.num_copies == 1 else 'them'} {' and '.join(changes)}."
    return text


def unchecked(run_id: str) -> str:
    """That nothing was looked for, and how to."""
    command = shlex.join(["python", "-m", "simclr", "leaks", run_id])
    return f"The test images were not checked for copies of training images: {command}"


def summary(found: Leaks | None) -> dict[str, Any] | None:
    """The counts and accuracies alone, as plain values."""
    names = ("num_test", "num_train", "num_copies", "num_exact", "accuracy")
    return None if found is None else {name: getattr(found, name) for name in names}


def percent(value: float, digits: int = 1) -> str:
    """0.123 as `12.3 %`, with up to three digits where those would be none."""
    while digits < 3 and 0 < 100 * value < 10.0**-digits:
        digits += 1
    return f"{100 * value:.{digits}f} %"


def table(pairs: Sequence[Pair]) -> list[list[str]]:
    """The pairs as texts, with a head."""
    rows = [
        [
            *(pair.test_name, pair.train_name, "validation" if pair.split == "val" else "training"),
            *(pair.test_class, pair.train_class, f"{pair.distance:.4f}", "yes" if pair.is_exact else "no"),
            *(f"{pair.luma:.4f}", f"{pair.color:.4f}"),
        ]
        for pair in pairs
    ]
    return [list(HEAD), *rows]


def now() -> float:
    return round(time.time(), 1)
