"""Data sets that are downloaded once, checked, and read from the data root: CIFAR, STL-10, SVHN, Fashion-MNIST."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import socket
import tarfile
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from simclr.config import BUILT_IN_DATASETS, ConfigError, not_written
from simclr.data.sources import ArraySource, Indices, Progress
from simclr.data.splits import RawSplit, RawSplits

NETWORK_TIMEOUT = 10.0  # seconds without an answer


def load(dataset: str, root: Path, labelled_only: bool, progress: Progress | None) -> RawSplits:
    """Reads a downloaded data set from `root`, after it is downloaded where it is not there."""
    if dataset in ("cifar10", "cifar100"):
        return _cifar(dataset, root, progress)
    if dataset == "stl10":
        return _stl10(root, labelled_only, progress)
    if dataset == "svhn":
        return _svhn(root, progress)
    return _fashion_mnist(root, progress)


def _damaged(dataset: str, path: Path) -> ConfigError:
    return ConfigError(
        f"dataset is {dataset}, whose files at {path} are damaged or incomplete (wrong checksum or size); "
        "remove them, and they are downloaded again."
    )


def _cifar(dataset: str, root: Path, progress: Progress | None) -> RawSplits:
    from torchvision.datasets import CIFAR10, CIFAR100

    kind: type[CIFAR10] = CIFAR100 if dataset == "cifar100" else CIFAR10
    _unpacked(dataset, kind, root, progress)
    try:  # torchvision compares the MD5 checksum of every file before it reads one
        train, test = kind(root, train=True), kind(root, train=False)
    except (RuntimeError, OSError):
        raise _damaged(dataset, root / kind.base_folder) from None
    train_images, test_images = (part.data.transpose(0, 3, 1, 2) for part in (train, test))
    return RawSplits.of_arrays(train.classes, (train_images, train.targets), (test_images, test.targets))


def _stl10(root: Path, labelled_only: bool, progress: Progress | None) -> RawSplits:
    """Training list: the 5,000 labelled images, then the 100,000 without labels; read where they lie (2.7 GiB)."""
    from torchvision.datasets import STL10

    _unpacked("stl10", STL10, root, progress)
    folder, num_bytes = root / STL10.base_folder, 3 * 96 * 96

    def images(name: str) -> NDArray[np.uint8]:
        path = folder / name
        if not path.is_file() or path.stat().st_size % num_bytes or not path.stat().st_size:
            raise _damaged("stl10", path)
        # stored column by column
        return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)

    def labels(name: str, count: int) -> Indices:
        path = folder / name
        found = np.fromfile(path, dtype=np.uint8).astype(np.int64) - 1 if path.is_file() else np.empty(0, np.int64)
        if len(found) != count or found.min() < 0 or found.max() > 9:
            raise _damaged("stl10", path)
        return found

    train, test = images("train_X.bin"), images("test_X.bin")
    train_labels, test_labels = labels("train_y.bin", len(train)), labels("test_y.bin", len(test))
    source = ArraySource(train)
    if not labelled_only:
        unlabelled = images("unlabeled_X.bin")
        source = ArraySource(train, unlabelled)
        train_labels = np.concatenate([train_labels, np.full(len(unlabelled), -1, dtype=np.int64)])
    classes = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    return RawSplits(classes, RawSplit.whole(source, train_labels), test=RawSplit.whole(ArraySource(test), test_labels))


def _svhn(root: Path, progress: Progress | None) -> RawSplits:
    from torchvision.datasets import SVHN

    for name in ("train", "test"):
        url, filename, md5 = SVHN.split_list[name]
        if not (root / filename).is_file():
            _download("svhn", root, [url], root / filename, md5, "train_32x32.mat and test_32x32.mat", progress)
    try:
        train, test = SVHN(str(root), split="train"), SVHN(str(root), split="test")
    except (RuntimeError, OSError, ValueError):
        raise _damaged("svhn", root / "*_32x32.mat") from None
    return RawSplits.of_arrays(map(str, range(10)), (train.data, train.labels), (test.data, test.labels))


def _fashion_mnist(root: Path, progress: Progress | None) -> RawSplits:
    """Reads the four original files, packed or not, from torchvision's folder, the data root or one named after it."""
    from torchvision.datasets import FashionMNIST

    home = root / "FashionMNIST" / "raw"
    folders = (home, root, root / "fashion_mnist", root / "fashion-mnist")

    def read(filename: str, md5: str) -> NDArray[np.uint8]:
        plain = filename.removesuffix(".gz")
        for path in (folder / name for folder in folders for name in (plain, filename)):
            if path.is_file():
                break
        else:
            path = home / filename
            where = "the four *-ubyte.gz files"
            _download("fashion_mnist", root, [m + filename for m in FashionMNIST.mirrors], path, md5, where, progress)
        try:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError, ValueError):
            raise _damaged("fashion_mnist", path) from None
        # IDX format: two zero bytes, type (8: uint8), number of dimensions, each as a big-endian int32, values
        num_dimensions = content[3] if len(content) > 4 and content[:3] == b"\0\0\x08" else 0
        start = 4 + 4 * num_dimensions
        shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
        if not shape or len(content) - start != np.prod(shape) or shape[1:] not in ((), (28, 28)):
            raise _damaged("fashion_mnist", path)
        return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)

    arrays = [read(filename, md5) for filename, md5 in FashionMNIST.resources]
    if len(arrays[0]) != len(arrays[1]) or len(arrays[2]) != len(arrays[3]):
        raise _damaged("fashion_mnist", home)
    train, test = (np.broadcast_to(grey[:, None], (len(grey), 3, 28, 28)) for grey in (arrays[0], arrays[2]))
    return RawSplits.of_arrays(FashionMNIST.classes, (train, arrays[1]), (test, arrays[3]))


def _unpacked(dataset: str, kind: Any, root: Path, progress: Progress | None) -> None:
    """Makes sure that the folder of a torchvision set is in `root`: downloads and unpacks its archive if not."""
    folder, archive = root / kind.base_folder, root / kind.filename
    if folder.is_dir():
        return
    fetched = not archive.is_file()
    if fetched:
        _download(dataset, root, [kind.url], archive, kind.tgz_md5, kind.filename, progress)
    elif _md5(archive) != kind.tgz_md5:
        raise _damaged(dataset, archive)
    if progress:
        progress(f"Unpacking {archive.name}", 0.0)
    # unpacked aside and moved in one step: an interrupted run leaves nothing that looks whole
    try:
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=root) as aside:
            with tarfile.open(archive) as tar:
                tar.extractall(aside, filter="data")
            os.replace(Path(aside) / kind.base_folder, folder)
    except (tarfile.TarError, EOFError, FileNotFoundError):
        raise _damaged(dataset, archive) from None
    except OSError as error:
        if not folder.is_dir():  # else another run was quicker
            what = f"data_dir is {root}, where {archive.name} cannot be unpacked"
            raise not_written(what, error, "SIMCLR_DATA_DIR") from None
    if fetched:
        archive.unlink(missing_ok=True)  # its content is unpacked beside it


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _resolves(url: str) -> bool:
    """Whether the host of `url` has an address; answers within `NETWORK_TIMEOUT`, as a lookup may take minutes."""
    if urllib.request.getproxies():
        return True  # the proxy looks it up
    found: list[Any] = []

    def look_up() -> None:
        with contextlib.suppress(OSError):
            found.append(socket.getaddrinfo(urlsplit(url).hostname, None))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(NETWORK_TIMEOUT)
    return bool(found)


def _download(
    dataset: str, root: Path, urls: Sequence[str], path: Path, md5: str, by_hand: str, progress: Progress | None
) -> None:
    """Downloads a file in one try per address, checks it, and moves it to `path`; never leaves part of a file."""
    new_folders = [folder for folder in path.parents if not folder.exists()]
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        raise not_written(f"data_dir is {root}, which cannot be written", error, "SIMCLR_DATA_DIR") from None
    reason = "no network"
    try:
        for url in urls:
            if not _resolves(url):
                continue
            digest = hashlib.md5(usedforsecurity=False)
            try:
                request = urllib.request.Request(url, headers={"User-Agent": "simclr"})
                with urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT) as answer, part.open("wb") as file:
                    total, done = int(answer.headers.get("Content-Length") or 0), 0
                    while chunk := answer.read(1 << 18):
                        file.write(chunk)
                        digest.update(chunk)
                        done += len(chunk)
                        if progress:
                            progress(f"Downloading {path.name}", done / total if total else 0.0)
            except urllib.error.HTTPError as error:
                reason = f"the server answered {error.code}"
                continue
            except urllib.error.URLError:
                continue
            except (OSError, HTTPException, ValueError) as error:
                reason = f"the connection broke: {error}"
                continue
            if digest.hexdigest() == md5:
                os.replace(part, path)
                return
            reason = f"{path.name} arrived damaged, its checksum differs"
    finally:
        part.unlink(missing_ok=True)
        for folder in new_folders:
            with contextlib.suppress(OSError):  # stays if it holds the file now
                folder.rmdir()
    raise ConfigError(
        f"dataset is {dataset}, which is not in {root} and could not be downloaded ({reason}); "
        f"use a built-in data set ({', '.join(BUILT_IN_DATASETS)}) or a folder of images, or put {by_hand} in {root}."
    )
