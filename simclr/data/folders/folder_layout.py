"""How a folder of images is read, by names alone: what trains, validates and tests, the classes, what is left out."""

from __future__ import annotations

import os
import re
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simclr.config import DATASETS, ConfigError, MissingImagesError, nearest_name
from simclr.data.folders import folder_files, packed_sets
from simclr.data.folders.folder_files import IMAGE_SUFFIXES
from simclr.files import safe_read
from simclr.files.names import is_text, readable
from simclr.files.user_paths import existing_folder, user_path, with_dead_link

# The folders of the splits, in any case.
SPLIT_FOLDERS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate"),
    "test": ("test", "testing", "tst"),
}
ROLES = {name: role for role, names in SPLIT_FOLDERS.items() for name in names}
# What stands beside them in names such as train_set, TestImages and val2017, and tells nothing.
PLAIN_WORDS = {
    "set",
    "sets",
    "data",
    "dataset",
    "image",
    "images",
    "img",
    "imgs",
    "photos",
    "pictures",
    "folder",
    "split",
}
WORD = re.compile(r"[^\W\d_]+?(?=sets?\b|data(?:set)?\b|im(?:ages?|gs?)\b|[\W\d_]|$)")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
NUM_NAMED_CLASSES = 6  # up to here the sentence gives each class with its images
MAX_SHOWN = 200  # signs of a name that is no folder
ANNOTATIONS = "val_annotations.txt"  # of Tiny ImageNet: the class of each validation image


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
    left_out: what is not read, in words. test_fraction: of the images, cut off to test with where there are none.
    min_classes: fewer are none; a part of several sets may have one.
    """

    folder: Path
    splits: dict[str, SplitFiles] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    no_classes: str = ""
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    test_fraction: float = 0.2
    min_classes: int = 2

    def split_sizes(self, val_fraction: float, limit_images: int | None) -> dict[str, int]:
        """Images of train, val and test, after the cuts that a run makes, if none of them is broken."""
        sizes = {name: len(files.paths) for name, files in self.splits.items()}
        spare = max(1, len(self.classes))  # no class loses its last training image
        if self.cuts_test:
            sizes["test"] = min(self.num_test_images(sizes["train"]), sizes["train"] - spare)
            sizes["train"] -= sizes["test"]
        sizes["train"] = min(sizes["train"], limit_images or sizes["train"])
        if "val" not in sizes and val_fraction > 0:
            sizes["val"] = max(0, min(num_val_images(sizes["train"], val_fraction), sizes["train"] - spare))
            sizes["train"] -= sizes["val"]
        return sizes

    @property
    def cuts_test(self) -> bool:
        """Whether test images are cut off the training images."""
        return bool(self.classes) and "test" not in self.splits and self.test_fraction > 0

    def num_test_images(self, num_images: int) -> int:
        """How many of so many images are cut off to test with."""
        return max(round(self.test_fraction * num_images), len(self.classes))

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


def num_val_images(num_images: int, fraction: float) -> int:
    """How many training images are cut off to validate with; one alone has no negatives."""
    return max(round(fraction * num_images), 2 if num_images >= 4 else 0)


def read(
    dataset: str, *, labelled_only: bool = False, test_fraction: float = 0.2, seconds: float | None = None
) -> Layout:
    """Finds images, splits and classes below the folder `dataset`, without opening an image.

    Args:
        labelled_only: refuse what has no classes.
        test_fraction: of the images, to be cut off to test with where the folder has none for that; 0..0.9.
        seconds: how long to look for files at most.

    Raises:
        ConfigError: if it cannot be read in one way only, in one sentence; a MissingImagesError if there is no such
            folder, or no image in it.
        TimeoutError: if it takes longer than `seconds`.
    """
    folder = existing_folder(dataset) if dataset else None
    if folder is None:
        is_file = bool(dataset) and os.path.isfile(user_path(dataset))
        what = "is a file, not a folder" if is_file else "is neither a data set nor a folder that exists"
        shown = dataset if len(dataset) <= MAX_SHOWN else f"{dataset[:MAX_SHOWN]}..."
        if dataset and not is_file:
            what += with_dead_link(user_path(dataset))
        todo = packed_sets.remedy_of_file(str(user_path(dataset))) if is_file else ""
        raise (ConfigError if is_file else MissingImagesError)(
            f"dataset is {printable(shown) or 'empty'}, which {printable(what)}; allowed: {', '.join(DATASETS)} or a "
            f"folder of images{nearest_name(dataset, DATASETS) or '.'}{printable(todo)}"
        )
    files = folder_files.find(folder, seconds)
    if not files.images:
        if refusal := packed_sets.refusal(dataset, str(folder), files.packed):
            raise ConfigError(printable(refusal))
        left_out = [*files.left_out, *([_others_text(files.others)] if files.others else [])]
        seen = f" (left out: {_and(left_out)})" if left_out else ""
        raise MissingImagesError(
            f"dataset is {dataset}, a folder without images{printable(seen)}; allowed: files ending in "
            f"{', '.join(IMAGE_SUFFIXES)}, in train/<class>/, <class>/ or the folder itself."
        )
    images, real, prefix = files.images, files.real, ""
    if wrapper := _wrapper(images):
        folder, prefix = folder / wrapper, f"{wrapper}/"
        images = [path.removeprefix(prefix) for path in images]
    real = {name.removeprefix(prefix): path for name, path in real.items() if name.startswith(prefix)}
    layout = Layout(folder, left_out=files.left_out, test_fraction=test_fraction)
    if sets := _sets_in(images):
        _join_sets(dataset, layout, sets, images, real)
    else:
        _find_splits(dataset, layout, images, real)
    _check_classes(dataset, layout, labelled_only)
    _name_classes(dataset, layout)
    if wrapper and layout.classes and not layout.splits["train"].where:
        layout.notes.insert(0, f"The classes are the folders in {wrapper}/.")
    if files.others:
        layout.left_out.append(_others_text(files.others))
    if note := packed_sets.note(files.packed):
        layout.notes.append(note)
    return layout


def _others_text(others: Counter[str]) -> str:
    suffixes = sorted(suffix or "no ending" for suffix in others)
    shown = ", ".join(suffixes[:4]) + (", ..." if len(suffixes) > 4 else "")
    return f"{_number(others.total(), 'file')} of other kinds ({shown})"


def roles_of(names: Iterable[str]) -> dict[str, str]:
    """Which folders are those of splits, by name: `train`, `val` or `test`.

    Beside the names of `SPLIT_FOLDERS` those count in which such a word stands with plain ones (`train_images`) or,
    where a train folder is called so too, with the same ones in all (`seg_train`, `seg_test`; `test_tube` is a class).
    """
    names = list(names)
    groups: dict[frozenset[str], dict[str, str]] = {frozenset(): {}}
    for name in names:
        words = set(WORD.findall(CAMEL.sub("_", name).lower()))
        found = [ROLES[word] for word in words if word in ROLES]
        if len(found) == 1:
            groups.setdefault(frozenset(words - set(ROLES) - PLAIN_WORDS), {})[name] = found[0]
    plain = groups.pop(frozenset())
    exact = {name: role for name, role in plain.items() if name.lower() in ROLES}
    known = set(exact.values())
    plain = exact | {name: role for name, role in plain.items() if role not in known}
    num_train = list(plain.values()).count("train")
    if num_train == 1 or (num_train and len(set(plain.values())) > 1):
        return plain
    whole = [group for group in groups.values() if "train" in group.values() and len(set(group.values())) > 1]
    return whole[0] if len(whole) == 1 and not exact else exact


def _name_classes(dataset: str, layout: Layout) -> None:
    """Gives classes names that can be written; their folders stay what they are."""
    named = {name: readable(name) for name in layout.classes}
    if len(set(named.values())) < len(named):
        twice = next(name for name, count in Counter(named.values()).items() if count > 1)
        raise ConfigError(
            f"dataset is {dataset}, which has several class folders that are written as {twice}; allowed: names in "
            "UTF-8."
        )
    layout.classes = tuple(named.values())
    for role, split in layout.splits.items():
        if split.classes is not None and not all(map(is_text, named)):
            layout.splits[role] = replace(split, classes=[named[name] for name in split.classes])


def _wrapper(files: Sequence[str]) -> str:
    """The folder around all others, as archives have it, such as `data/flowers`; "" if there is none.

    That is the one that holds nothing but folders of splits, else the inmost that holds folders. One that is called as
    a split is none.

    Args:
        files: sorted, so that what the first and the last begin with is what all begin with.
    """
    common = os.path.commonpath([os.path.dirname(files[0]), os.path.dirname(files[-1])])
    parts = common.split("/") if common else []
    for depth in range(1, len(parts) + 1):
        inner = {path.split("/", depth + 1)[depth] for path in files}
        roles = roles_of(inner)
        is_whole = inner == set(roles) and "train" in roles.values()
        if is_whole and all(path.count("/") > depth for path in files):
            return "/".join(parts[:depth])
    if not parts or roles_of(parts) or not any("/" in path[len(common) + 1 :] for path in files):
        return ""
    return common


def _sets_in(files: Sequence[str]) -> list[str]:
    """The folders at the top where each is a data set of its own, with a train folder; else none."""
    folders: dict[str, set[str]] = {}
    for path in {path.rpartition("/")[0] for path in files}:
        top, mark, rest = path.partition("/")
        if not mark:
            return []
        folders.setdefault(top, set()).add(rest.partition("/")[0])
    if len(folders) < 2 or roles_of(folders):
        return []
    for inside in folders.values():
        roles = roles_of(inside)
        if inside != set(roles) or "train" not in roles.values():
            return []
    return sorted(folders)


def _join_sets(dataset: str, layout: Layout, names: list[str], files: list[str], real: Mapping[str, str]) -> None:
    """Reads each of several sets by itself, and takes their splits together."""
    parts = {name: Layout(layout.folder / name, test_fraction=layout.test_fraction, min_classes=1) for name in names}
    for name, part in parts.items():
        below = {path: path.removeprefix(f"{name}/") for path in (*files, *real) if path.startswith(f"{name}/")}
        _find_splits(
            dataset,
            part,
            [below[path] for path in files if path in below],
            {below[path]: where for path, where in real.items() if path in below},
        )
        layout.left_out += [f"in {name}/ {text}" for text in part.left_out]
        layout.notes += [f"{name}/: {note}" for note in part.notes]
    if without := [name for name, part in parts.items() if not part.classes]:
        layout.no_classes = f"in {without[0]}/ {parts[without[0]].no_classes}"
    else:
        layout.classes = tuple(sorted({found for part in parts.values() for found in part.classes}))
        if len(layout.classes) == 1:
            layout.no_classes = f"there is only one class ({layout.classes[0]})"
            layout.classes = ()
    for role in SPLIT_FOLDERS:
        found = {name: part.splits[role] for name, part in parts.items() if role in part.splits}
        if not found:
            continue
        paths = [f"{name}/{path}" for name, split in found.items() for path in split.paths]
        classes = [item for split in found.values() for item in split.classes or ()]
        where = {split.where for split in found.values()}
        layout.splits[role] = SplitFiles(f"*/{min(where)}", paths, classes if layout.classes else None)
    if len(names) > 3:
        text = f"{len(names)} folders, {names[0]}/ to {names[-1]}/, are one set."
    else:
        text = f"The {len(names)} folders {_and([f'{name}/' for name in names])} are one set."
    layout.notes.insert(0, text)


def _find_splits(dataset: str, layout: Layout, files: list[str], real: Mapping[str, str]) -> None:
    """Fills in the splits, the classes of each, and what is left out."""
    tops = _num_below(files)
    roles = roles_of(tops)
    of_role = {role: [name for name in tops if roles.get(name) == role] for role in SPLIT_FOLDERS}
    in_train = [path for name in of_role["train"] for path in _below(files, name)]
    others = [name for name in tops if name not in roles]
    # a class may be called train: then it stands beside other classes and holds no classes of its own
    if not in_train or (others and not any(path.count("/") > 1 for path in in_train)):
        if tops and not others and not in_train and tops.total() == len(files):
            left_out = f" (left out: {_and(layout.left_out)})" if layout.left_out else ""
            raise ConfigError(
                f"dataset is {dataset}, which has {_and([f'{name}/' for name in tops])} and no train folder"
                f"{printable(left_out)}; allowed: "
                "train/ beside them, or one of them as the data set."
            )
        layout.splits["train"] = _split_files(layout, "", files, needs_direct_images=True)
        return
    for names in of_role.values():
        if len(names) > 1:
            raise ConfigError(
                f"dataset is {dataset}, which has {len(names)} folders for one split ({', '.join(names)}); allowed: "
                "one of them."
            )
    where = {role: _inmost(names[0], files) for role, names in of_role.items() if names}
    _check_twice(dataset, layout, where, real)
    for role, name in where.items():
        below = _below(files, name)
        if role == "train":
            layout.splits[role] = _split_files(layout, name, below)
        elif (found := _held_out(layout, role, name, below)) is not None:
            layout.splits[role] = found
    if others:
        count = sum(tops[name] for name in others)
        shown = [f"{name}/" for name in others[:3]] + (["more folders"] if len(others) > 3 else [])
        layout.left_out.append(f"{_number(count, 'image')} in {_and(shown)}, which is no folder of a split")
    if loose := [path for path in files if "/" not in path]:
        layout.left_out.append(f"{_number(len(loose), 'image')} beside {of_role['train'][0]}/ (such as {loose[0]})")


def _below(files: list[str], folder: str) -> list[str]:
    """Those of sorted paths that lie in a folder."""
    start = bisect_left(files, f"{folder}/")
    return files[start : bisect_left(files, f"{folder}0", start)]  # 0 is the sign after /


def _num_below(files: list[str]) -> Counter[str]:
    """Of each folder at the top of sorted paths, in order, how many of them lie in it."""
    found: Counter[str] = Counter()
    at = 0
    while at < len(files):
        top, mark, _ = files[at].partition("/")
        end = bisect_left(files, f"{top}0", at) if mark else at + 1
        if mark:
            found[top] = end - at
        at = end
    return found


def _inmost(where: str, files: list[str]) -> str:
    """A split's folder, or the one in it that holds all its folders and repeats its name or says nothing more.

    Archives are unpacked so: `test_set/test_set/<class>`, `train/images/<class>`.
    """
    below = _below(files, where)
    inner, _, rest = below[0].removeprefix(f"{where}/").partition("/")
    names_nothing = inner.lower() in PLAIN_WORDS or inner.lower() == where.rsplit("/", 1)[-1].lower()
    if "/" not in rest or not names_nothing:
        return where
    in_folders = re.compile(f"{re.escape(f'{where}/{inner}')}/[^/]+/")
    if not all(map(in_folders.match, below)):
        return where
    return _inmost(f"{where}/{inner}", files)


def _check_twice(dataset: str, layout: Layout, where: dict[str, str], real: Mapping[str, str]) -> None:
    """Leaves out a validation folder that is the test folder under another name; refuses other images of two splits."""
    inside = {
        role: {path: name for name, path in real.items() if name == top or name.startswith(f"{top}/")}
        for role, top in where.items()
    }
    if "val" in where and "test" in where and real.get(where["val"]) == real.get(where["test"]):
        layout.left_out.append(f"{where['val']}/, which is {where['test']}/ under another name")
        del where["val"], inside["val"]
    for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
        if both := sorted(set(inside.get(one, ())) & set(inside.get(other, ()))):
            raise ConfigError(
                f"dataset is {dataset}, where {inside[one][both[0]]}/ and {inside[other][both[0]]}/ are the same "
                "folder; allowed: images of its own in each split."
            )


def _held_out(layout: Layout, role: str, where: str, paths: list[str]) -> SplitFiles | None:
    """The images of a validation or test folder that can be used: with classes those whose class trains too."""
    if not layout.classes:
        return SplitFiles(where, paths, None)
    classes = _annotated(layout, where, paths)
    is_listed = classes is not None
    if classes is None:
        depth = where.count("/") + 1
        classes = {path: path.split("/")[depth] for path in paths if path.count("/") > depth}
    known = set(layout.classes)
    kept = [path for path in paths if classes.get(path) in known]
    what = "validation" if role == "val" else "test"
    if not kept:
        layout.left_out.append(f"{_number(len(paths), 'image')} in {where}/, whose classes are not given")
        return None
    if loose := [path for path in paths if path not in classes]:
        why = f"that {ANNOTATIONS} does not name" if is_listed else "beside the class folders"
        layout.left_out.append(f"{_number(len(loose), 'image')} {why} (such as {loose[0]})")
    strange = Counter(classes[path] for path in paths if path in classes and classes[path] not in known)
    if strange:
        names = _and([*sorted(strange)[:3], *(["more"] if len(strange) > 3 else [])])
        layout.left_out.append(
            f"{_number(strange.total(), f'{what} image')} of {'a class' if len(strange) == 1 else 'classes'} without "
            f"training images ({names})"
        )
    found = [sys.intern(classes[path]) for path in kept]
    if missing := sorted(known - set(found)):
        names = _and([*missing[:3], *(["more"] if len(missing) > 3 else [])])
        layout.notes.append(f"No {what} image is of {names}.")
    return SplitFiles(where, kept, found)


def _annotated(layout: Layout, where: str, paths: Sequence[str]) -> dict[str, str] | None:
    """The classes of images that a list beside them gives, as Tiny ImageNet does; None without such a list."""
    try:
        text = safe_read.read_text(layout.folder / where / ANNOTATIONS)
    except (OSError, ValueError):
        return None
    rows = (line.split("\t") for line in text.splitlines())
    class_of = {row[0]: row[1].strip() for row in rows if len(row) > 1}
    return {path: class_of[name] for path in paths if (name := path.rsplit("/", 1)[-1]) in class_of}


def _split_files(layout: Layout, where: str, paths: list[str], *, needs_direct_images: bool = False) -> SplitFiles:
    """The training images with their classes: the folders directly below, with everything in them.

    Images beside the class folders are left out if they are the fewer; else there are no classes. Without a split's
    folder a class must hold images itself, or in one folder in between (as in cat/images/x.jpg): several folders of
    folders (as in 00/01/x.jpg) may be shelves.
    """
    depth = where.count("/") + 1 if where else 0
    names: list[str] = []
    inside, loose = [], []
    inner: dict[str, set[str]] = {}
    before, name = "", ""
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder != before:  # else the class is that of the file before
            before, pieces = folder, folder.split("/")
            name = sys.intern(pieces[depth]) if len(pieces) > depth else ""  # one string for a class, not for an image
            if name:
                inner.setdefault(name, set()).add("/".join(pieces[depth + 1 :]))
        if name:
            inside.append(path)
            names.append(name)
        else:
            loose.append(path)
    classes = tuple(sorted(inner))
    shelves = [name for name in classes if len(inner[name]) > 1 and "" not in inner[name]]
    why = ""
    if not classes:
        why = f"all images lie in {f'{where}/' if where else 'the folder'} itself"
    elif len(loose) >= len(inside):
        why = f"{_number(len(loose), 'image')} of {len(paths):,} lie beside the folders"
    elif needs_direct_images and shelves:
        why = (
            f"{shelves[0]}/ holds no images but {len(inner[shelves[0]])} folders of them; to have {shelves[0]} read as "
            "a class, put it into a folder train/"
        )
    elif len(classes) < layout.min_classes:
        why = f"there is only one class ({classes[0]})"
    if why:
        layout.no_classes = why
        held = {piece for path in paths for piece in path.split("/")[depth:-1] if piece.lower().startswith("test")}
        if held:
            layout.notes.append(f"The images in {_and([f'{name}/' for name in sorted(held)])} train too.")
        return SplitFiles(where, paths, None)
    layout.classes = classes
    if loose:
        layout.left_out.append(f"{_number(len(loose), 'image')} beside the class folders (such as {loose[0]})")
    return SplitFiles(where, inside, names)


def _check_classes(dataset: str, layout: Layout, labelled_only: bool) -> None:
    classes = layout.classes
    if labelled_only and not classes:
        only_one = layout.no_classes.startswith("there is only one class")
        why = layout.no_classes
        what = why.replace("there is", "has", 1) if only_one else f"has images without classes, since {why}"
        raise ConfigError(
            f"dataset is {dataset}, which {what}; allowed: two or more class folders, as in train/<class>/ or <class>/."
        )
    if labelled_only and layout.cuts_test:
        check_test_can_be_cut(dataset, layout.splits["train"].classes or ())


def check_test_can_be_cut(dataset: str, names: Iterable[str]) -> None:
    """Refuses a class, of those of the training images, that has one image alone."""
    counts = Counter(names)
    if alone := sorted(name for name, count in counts.items() if count < 2):
        raise ConfigError(
            f"dataset is {dataset}, whose class {alone[0]} has 1 image; allowed: at least 2 images per class, so that "
            "one can be used for testing, a test folder, or test_fraction 0."
        )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _verb(verb: str, count: int) -> str:
    return f"{verb}s" if count == 1 else verb


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def printable(text: str) -> str:
    """Names may hold line breaks and bytes that are no text, which neither a log nor a page can show."""
    return "".join(sign if sign.isprintable() else "?" for sign in readable(text))
