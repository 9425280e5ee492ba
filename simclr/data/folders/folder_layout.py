"""How a folder of images is read, by names alone: what trains, validates and tests, the classes, what is left out."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simclr.config import DATASETS, ConfigError, nearest_name

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# The folders of the splits, in any case.
SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
ROLES = {name: role for role, names in SPLIT_FOLDERS.items() for name in names}
TEST_FRACTION = 0.2  # of a folder without test/
NUM_NAMED_CLASSES = 6  # up to here the sentence gives each class with its images


@dataclass(frozen=True)
class SplitFiles:
    """The images of one split: their paths below the layout's folder, sorted, and the class of each.

    where: the split's folder, "" where there is none. classes: None where the images have none.
    """

    where: str
    paths: list[str]
    classes: list[str] | None


@dataclass
class Layout:
    """A folder as it is read.

    folder: what the paths start from. classes: two or more names, else empty, and `no_classes` says why.
    left_out: what is not read, in words.
    """

    folder: Path
    splits: dict[str, SplitFiles] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    no_classes: str = ""
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def split_sizes(self, val_fraction: float, limit_images: int | None) -> dict[str, int]:
        """Images of train, val and test, after the cuts that a run makes, if none of them is broken."""
        sizes = {name: len(files.paths) for name, files in self.splits.items()}
        spare = max(1, len(self.classes))  # no class loses its last training image
        if self.classes and "test" not in sizes:
            sizes["test"] = min(num_test_images(sizes["train"], spare), sizes["train"] - spare)
            sizes["train"] -= sizes["test"]
        sizes["train"] = min(sizes["train"], limit_images or sizes["train"])
        if "val" not in sizes and val_fraction > 0:
            sizes["val"] = max(0, min(num_val_images(sizes["train"], val_fraction), sizes["train"] - spare))
            sizes["train"] -= sizes["val"]
        return sizes

    def sentence(self, sizes: Mapping[str, int], broken: str = "") -> str:
        """What a newcomer has to know of how the folder was read, in one to three short sentences.

        Args:
            sizes: images of `train`, `val` and `test`.
            broken: which images cannot be read, in words.
        """
        verbs = {"train": "train", "val": "validate", "test": "test"}
        found = []
        for name, verb in verbs.items():
            if sizes.get(name):
                where = self.splits.get(name, self.splits["train"]).where
                number = _number(sizes[name], "image") if name == "train" else f"{sizes[name]:,}"
                found.append(f"{number}{f' from {where}/' if where else ''} {_verb(verb, sizes[name])}")
        none = [verb for name, verb in verbs.items() if not sizes.get(name)]
        if none:
            found.append(f"none {' or '.join(none)}")
        text = f"Read as {self._classes_text()}: {_and(found)}."
        if self.no_classes:
            text += f" No classes, since {self.no_classes}."
        bare = [f"{files.where}/" for files in self.splits.values() if self.classes and files.classes is None]
        if bare:
            text += f" The images of {_and(bare)} have no classes, so no accuracy is measured on them."
        left_out = [*self.left_out, *([broken] if broken else [])]
        if left_out:
            text += f" Left out: {_and(left_out)}."
        return printable(" ".join([text, *self.notes]))

    def _classes_text(self) -> str:
        if not self.classes:
            return "images without classes"
        counts = Counter(self.splits["train"].classes)
        if len(self.classes) <= NUM_NAMED_CLASSES:
            named = ", ".join(f"{name} {counts[name]:,}" for name in self.classes)
        else:
            low, high = min(counts.values()), max(counts.values())
            each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            named = f"{', '.join(self.classes[:NUM_NAMED_CLASSES])}, ...; {each} images each"
        return f"{len(self.classes)} classes ({named})"


def num_test_images(num_images: int, num_classes: int) -> int:
    """How many images of a folder without a test folder are cut off to test with."""
    return max(round(TEST_FRACTION * num_images), num_classes)


def num_val_images(num_images: int, fraction: float) -> int:
    """How many training images are cut off to validate with; one alone has no negatives."""
    return max(round(fraction * num_images), 2 if num_images >= 4 else 0)


def read(dataset: str, *, labelled_only: bool = False, seconds: float | None = None) -> Layout:
    """Finds images, splits and classes below the folder `dataset`, without opening an image.

    Args:
        labelled_only: refuse what has no classes.
        seconds: how long to look for files at most.

    Raises:
        ConfigError: if there is no such folder, or it cannot be read in one way only, in one sentence.
        TimeoutError: if it takes longer than `seconds`.
    """
    folder = Path(dataset or "(empty)").expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is neither a data set nor a folder that exists"
        raise ConfigError(
            f"dataset is {dataset}, which {what}; allowed: {', '.join(DATASETS)} or a folder of images"
            f"{nearest_name(dataset, DATASETS) or '.'}"
        )
    try:
        files, others = _files(folder, seconds)
    except TimeoutError:
        raise
    except OSError as error:
        inside = os.path.relpath(error.filename or folder, folder)
        which = "which" if inside == "." else f"whose folder {inside}"
        raise ConfigError(f"dataset is {dataset}, {which} cannot be read: {error.strerror}.") from None
    if not files:
        raise ConfigError(
            f"dataset is {dataset}, a folder without images; allowed: files ending in {', '.join(IMAGE_SUFFIXES)}, "
            "in train/<class>/, <class>/ or the folder itself."
        )
    while wrapper := _wrapper(files):
        folder, files = folder / wrapper, [path.removeprefix(f"{wrapper}/") for path in files]
    layout = Layout(folder)
    _find_splits(dataset, layout, files)
    _check_classes(dataset, layout, labelled_only)
    if others:
        suffixes = sorted(suffix or "no ending" for suffix in others)
        shown = ", ".join(suffixes[:4]) + (", ..." if len(suffixes) > 4 else "")
        layout.left_out.append(f"{_number(others.total(), 'file')} of other kinds ({shown})")
    return layout


def _wrapper(files: Sequence[str]) -> str:
    """The one folder that holds all files, where it holds nothing but the folders of splits; "" if there is none."""
    top = files[0].partition("/")[0]
    if any(path.count("/") < 2 or not path.startswith(f"{top}/") for path in files):
        return ""
    inner = {path.split("/", 2)[1].lower() for path in files}
    return top if inner <= set(ROLES) and any(ROLES[name] == "train" for name in inner) else ""


def _find_splits(dataset: str, layout: Layout, files: list[str]) -> None:
    """Fills in the splits, the classes of each, and what is left out."""
    tops = Counter(path.split("/", 1)[0] for path in files if "/" in path)
    of_role = {role: [name for name in tops if ROLES.get(name.lower()) == role] for role in SPLIT_FOLDERS}
    in_train = [path for path in files if path.split("/", 1)[0] in of_role["train"] and "/" in path]
    others = [name for name in tops if name.lower() not in ROLES]
    # a class may be called train: then it stands beside other classes and holds no classes of its own
    if not in_train or (others and not any(path.count("/") > 1 for path in in_train)):
        if tops and not others and not in_train and tops.total() == len(files):
            raise ConfigError(
                f"dataset is {dataset}, which has {_and([f'{name}/' for name in tops])} and no train folder; allowed: "
                "train/ beside them, or one of them as the data set."
            )
        layout.splits["train"] = _split_files(layout, "", files, needs_direct_images=True)
        return
    for role, names in of_role.items():
        if len(names) > 1:
            raise ConfigError(
                f"dataset is {dataset}, which has {len(names)} folders for one split ({', '.join(names)}); allowed: "
                "one of them."
            )
        if names:
            below = [path for path in files if path.startswith(f"{names[0]}/")]
            layout.splits[role] = _split_files(
                layout, names[0], below, with_classes=role == "train" or bool(layout.classes)
            )
    if others:
        count = sum(tops[name] for name in others)
        shown = [f"{name}/" for name in others[:3]] + (["more folders"] if len(others) > 3 else [])
        layout.left_out.append(f"{_number(count, 'image')} in {_and(shown)}, which is no folder of a split")
    if loose := [path for path in files if "/" not in path]:
        layout.left_out.append(f"{_number(len(loose), 'image')} beside {of_role['train'][0]}/ (such as {loose[0]})")


def _split_files(
    layout: Layout, where: str, paths: list[str], *, with_classes: bool = True, needs_direct_images: bool = False
) -> SplitFiles:
    """The images of one split with their classes: the folders directly below it, with everything in them.

    Images beside the class folders are left out if they are the fewer; else there are no classes. Without a split's
    folder a class must hold images itself, or in one folder in between (as in cat/images/x.jpg): several folders of
    folders (as in 00/01/x.jpg) may be shelves.
    """
    depth = 1 if where else 0
    names: list[str] = []
    inside, loose = [], []
    inner: dict[str, set[str]] = {}
    for path in paths:
        pieces = path.split("/")
        if len(pieces) < depth + 2:
            loose.append(path)
            continue
        inside.append(path)
        names.append(sys.intern(pieces[depth]))  # one string for each class, not for each image
        inner.setdefault(pieces[depth], set()).add("/".join(pieces[depth + 1 : -1]))
    classes = tuple(sorted(inner))
    shelves = [name for name in classes if len(inner[name]) > 1 and "" not in inner[name]]
    why = ""
    if not with_classes:
        return SplitFiles(where, paths, None)
    if not classes:
        why = f"all images lie in {f'{where}/' if where else 'the folder'} itself"
    elif len(loose) >= len(inside):
        why = f"{_number(len(loose), 'image')} of {len(paths):,} lie beside the folders"
    elif needs_direct_images and shelves:
        why = (
            f"{shelves[0]}/ holds no images but {len(inner[shelves[0]])} folders of them; to have {shelves[0]} read as "
            "a class, put it into a folder train/"
        )
    elif not layout.classes and len(classes) < 2:
        why = f"there is only one class ({classes[0]})"
    if why:
        if not layout.classes:
            layout.no_classes = why
            held = {
                piece for path in paths for piece in path.split("/")[depth:-1] if ROLES.get(piece.lower()) == "test"
            }
            if held:
                layout.notes.append(f"The images in {_and([f'{name}/' for name in sorted(held)])} train too.")
        return SplitFiles(where, paths, None)
    if not layout.classes:
        layout.classes = classes
    if loose:
        layout.left_out.append(f"{_number(len(loose), 'image')} beside the class folders (such as {loose[0]})")
    return SplitFiles(where, inside, names)


def _check_classes(dataset: str, layout: Layout, labelled_only: bool) -> None:
    classes = layout.classes
    if labelled_only and not classes:
        only_one = layout.no_classes.startswith("there is only one class")
        what = layout.no_classes.replace("there is", "has", 1) if only_one else "has images without classes"
        raise ConfigError(
            f"dataset is {dataset}, which {what}; allowed: two or more class folders, as in train/<class>/ or <class>/."
        )
    for name, files in layout.splits.items():
        found = set(files.classes or ())
        differing = sorted(found ^ set(classes))
        if classes and differing and (found or labelled_only):
            raise ConfigError(
                f"dataset is {dataset}, whose {name} and train folders have different classes "
                f"({', '.join(differing[:5])}{' ...' if len(differing) > 5 else ''}); "
                "allowed: the same class folders in each."
            )
    if classes and "test" not in layout.splits:
        check_test_can_be_cut(dataset, layout.splits["train"].classes or ())


def check_test_can_be_cut(dataset: str, names: Iterable[str]) -> None:
    """Refuses a class, of those of the training images, that has one image alone."""
    counts = Counter(names)
    if alone := sorted(name for name, count in counts.items() if count < 2):
        raise ConfigError(
            f"dataset is {dataset}, whose class {alone[0]} has 1 image; allowed: at least 2 images "
            "per class, so that one can be used for testing, or a test folder."
        )


def _files(folder: Path, seconds: float | None) -> tuple[list[str], Counter[str]]:
    """Paths of all images below `folder`, relative, with "/", sorted; hidden files and folders left out.

    And how many other files there are, by the ending of their names.
    """
    until = None if seconds is None else time.monotonic() + seconds
    found: list[str] = []
    others: Counter[str] = Counter()
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        if until is not None and time.monotonic() > until:
            raise TimeoutError
        inside = waiting.pop()
        if (real := os.path.realpath(folder / inside)) in seen:  # a link back to a folder above would never end
            continue
        seen.add(real)
        with os.scandir(folder / inside) as entries:
            for number, entry in enumerate(entries, start=1):
                if until is not None and number % 1000 == 0 and time.monotonic() > until:
                    raise TimeoutError
                name = entry.name
                if name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append(f"{inside}{name}/")
                # a link to nowhere is a broken image; a pipe, which would be waited for, is none
                elif name.lower().endswith(IMAGE_SUFFIXES) and (entry.is_file() or entry.is_symlink()):
                    found.append(inside + name)
                else:
                    others[os.path.splitext(name)[1].lower()] += 1
    found.sort()
    return found, others


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _verb(verb: str, count: int) -> str:
    return f"{verb}s" if count == 1 else verb


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def printable(text: str) -> str:
    """Names may hold line breaks and halves of characters, which neither a log nor a page can show."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
