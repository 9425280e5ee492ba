"""Reads files that anyone may have written, such as those of a run folder (no torch).

A run folder may come from another machine or another person. Each reader here opens only a regular file that lies in
its folder, reads no more than a limit, and is total: whatever the bytes are, it gives plain values or raises OSError
(the file cannot be read) or ValueError (it does not hold what it should). A pipe is never waited for, and a link of a
file must not leave its folder; the folder itself may be a link.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import yaml

from simclr.files.names import readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Kind = TypeVar("_Kind")

# No file of ours that is read as a whole comes near these sizes; a larger one is not ours.
MAX_TEXT_BYTES = 16 * 2**20
MAX_YAML_BYTES = 1_000_000
MAX_TABLE_BYTES = 128 * 2**20
MAX_HEADER_BYTES = 2**20
MAX_SHEET_BYTES = 256 * 2**20  # of thumbnails
MAX_ARRAY_BYTES = 4 * 2**30  # of one that is read into memory
MAX_YAML_NODES = 20_000  # with aliases counted as often as they are used
MAX_DEPTH = 64  # of nested values
MAX_NUMBER_LENGTH = 100  # in signs; a longer one stays text
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


# --- files ----------------------------------------------------------------------------------------------------------


def _open(path: str | Path, flags: int, max_bytes: int | None) -> tuple[int, int]:
    """Handle and size in bytes of a regular file in its folder."""
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        folder, target = os.path.realpath(os.path.dirname(path) or "."), os.path.realpath(path)
        if not target.startswith(folder + os.sep):
            nowhere = "" if os.path.lexists(target) else ", to what is not there"
            raise OSError(errno.ELOOP, f"it is a link that leaves its folder{nowhere}", str(path)) from None
        handle = os.open(target, flags, 0o666)
    try:
        found = os.fstat(handle)
        if not S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if max_bytes is not None and found.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it is larger than {max_bytes / 1e6:.4g} MB", str(path))
    except OSError:
        os.close(handle)
        raise
    return handle, found.st_size


def open_file(path: str | Path, max_bytes: int | None = None) -> io.BufferedReader:
    """The file, open for reading.

    Raises:
        OSError: if it is missing, no regular file, a link that leaves its folder, or has more than `max_bytes`.
    """
    return io.BufferedReader(io.FileIO(_open(path, _READ, max_bytes)[0], "rb"))


def open_to_append(path: str | Path) -> io.FileIO:
    """The file, made where it is missing, open for writing at its end and unbuffered: each write is one.

    Raises:
        OSError: if it cannot be written, is no regular file, or a link that leaves its folder.
    """
    return io.FileIO(_open(path, _APPEND, None)[0], "ab")


def read_bytes(path: str | Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """What a file holds; raises OSError as `open_file`."""
    handle, size = _open(path, _READ, max_bytes)
    try:
        content = os.read(handle, size)
        while len(content) < size and (more := os.read(handle, size - len(content))):  # at most 2 GiB at once
            content += more
    finally:
        os.close(handle)
    return content


def read_text(path: str | Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """What a text file holds; raises OSError as `open_file`, UnicodeDecodeError (a ValueError) if it is not text."""
    return read_bytes(path, max_bytes).decode("utf-8")


# --- JSON -----------------------------------------------------------------------------------------------------------


def parse_json(text: str | bytes) -> Any:
    """Plain values; raises ValueError if it is not JSON, or nested deeper than `MAX_DEPTH`."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        values = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(values):
        raise ValueError("nested too deeply")
    return _whole(values) if "\\ud" in text.lower() else values


def read_json(path: str | Path, max_bytes: int = MAX_TEXT_BYTES) -> Any:
    """The values of a JSON file; raises OSError as `open_file`, ValueError as `parse_json`."""
    return parse_json(read_bytes(path, max_bytes))


def json_dict(path: str | Path) -> dict[str, Any]:
    """The same where a mapping is expected; empty if the file is missing, damaged or of another kind."""
    return _or_empty(read_json, path, dict)


def json_list(path: str | Path) -> list[Any]:
    """The same where a list is expected."""
    return _or_empty(read_json, path, list)


def yaml_dict(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty if the file is missing, damaged, too large or of another kind."""
    return _or_empty(read_yaml, path, dict)


def _or_empty(read: Callable[[str | Path], Any], path: str | Path, kind: type[_Kind]) -> _Kind:
    try:
        values = read(path)
    except (OSError, ValueError):
        return kind()
    return values if isinstance(values, kind) else kind()


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else float(digits)


# A whole number too long for 64 bits becomes a float: no page could show it, and some arithmetic fails on it.
_DECODER = json.JSONDecoder(parse_int=_int)


def _is_deep(values: Any) -> bool:
    level = [values]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, (list, dict))
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (list, dict))
        ]
        if not level:
            return False
    return True


def _whole(values: Any) -> Any:
    """The same with halves of characters escaped, which no page can show and no terminal print."""
    if isinstance(values, str):
        return readable(values)
    if isinstance(values, list):
        return [_whole(value) for value in values]
    return {_whole(key): _whole(value) for key, value in values.items()} if isinstance(values, dict) else values


# --- YAML -----------------------------------------------------------------------------------------------------------


class NotYaml(ValueError):
    """It is not YAML, or more than is allowed; the message says where or why, as far as that is known."""


# The same loaders in C where PyYAML was built with them: many times quicker, which 500 run folders notice.
_TextLoader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Makes nothing but texts, numbers, yes and no, lists and mappings; what it cannot make stays the text it is."""


def _plain(loader: Any, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


def _number(loader: Any, node: yaml.Node) -> Any:
    """PyYAML's own constructors raise ValueError, KeyError, IndexError and AttributeError on what they do not know."""
    text = loader.construct_scalar(node)
    try:
        if len(text) > MAX_NUMBER_LENGTH:
            return text
        value = _SafeLoader.yaml_constructors[node.tag](loader, node)
        return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
    except (ValueError, KeyError, IndexError, AttributeError):
        return text


for _name in ("int", "float", "bool"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _number)
for _name in ("timestamp", "binary", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _plain)
# Tags of Python objects, which Lightning writes, and all others: the plain values below them.
_Loader.add_multi_constructor("", lambda loader, _, node: _plain(loader, node))


def parse_yaml(text: str, as_text: bool = False) -> Any:
    """Plain values of a YAML text.

    Args:
        as_text: every value stays the text that was written, and a key that stands twice in a mapping is an error;
            else the last counts, as in the files of other programs.

    Raises:
        NotYaml: if it is none, refers to itself, is nested deeper than `MAX_DEPTH`, or has more than `MAX_YAML_NODES`.
    """
    loader = _TextLoader if as_text else _Loader
    try:
        _check_size(text, loader)
        if as_text:
            _check_keys(yaml.compose(text, Loader=loader))
        values = yaml.load(text, Loader=loader)
    except NotYaml:
        raise
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise NotYaml(f"line {mark.line + 1}" if mark else "") from None
    return _whole(values) if "\\u" in text.lower() else values


def read_yaml(path: str | Path, max_bytes: int = MAX_YAML_BYTES) -> Any:
    """The values of a YAML file; raises OSError as `open_file`, ValueError as `parse_yaml` or if it is not text."""
    return parse_yaml(read_text(path, max_bytes))


def _check_size(text: str, loader: Any) -> None:
    """Reads the text as a stream first: a kilobyte of aliases may stand for more values than any memory holds."""
    num_nodes = 0
    sizes: dict[str, int | None] = {}  # of what an anchor stands for; None: it has not ended
    above: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(event.anchor, 1)
            if size is None:
                raise NotYaml(f"line {event.start_mark.line + 1} refers to what it stands in")
            num_nodes += size
        elif isinstance(event, yaml.ScalarEvent):
            num_nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            above.append((event.anchor, num_nodes))
            num_nodes += 1
            if event.anchor:
                sizes[event.anchor] = None
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = above.pop()
            if anchor:
                sizes[anchor] = num_nodes - before
        if num_nodes > MAX_YAML_NODES:
            raise NotYaml(f"it holds more than {MAX_YAML_NODES:,} values")
        if len(above) > MAX_DEPTH:
            raise NotYaml(f"line {event.start_mark.line + 1} is nested more than {MAX_DEPTH} deep")


def _check_keys(top: yaml.Node | None) -> None:
    """Refuses a mapping in which a key stands twice; aliases were looked at before, so the nodes end."""
    waiting, seen = [] if top is None else [top], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        keys = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    raise NotYaml(f"line {key.start_mark.line + 1} has {key.value[:50]} for the second time")
                keys.add(key.value)
            waiting.append(value)


# --- arrays ---------------------------------------------------------------------------------------------------------


class HoldsObjectsError(ValueError):
    """An array holds Python objects, which only unpickling would read, and that may run whatever the file says."""


def read_array(path: str | Path, mmap: bool = False, max_bytes: int = MAX_ARRAY_BYTES) -> NDArray[Any]:
    """The array of a `.npy` file.

    Args:
        mmap: read-only and from the disk as it is used, whatever its size.

    Raises:
        OSError: as `open_file`.
        ValueError: if it is no such file, or its size is not the one that its header tells; a HoldsObjectsError if it
            holds Python objects, which are never unpickled.
    """
    with open_file(path, None if mmap else max_bytes) as stream:
        return _array(stream, os.fstat(stream.fileno()).st_size, mmap)


def read_arrays(path: str | Path, max_bytes: int = MAX_ARRAY_BYTES) -> dict[str, NDArray[Any]]:
    """The arrays of a `.npz` file by name; raises as `read_array`."""
    with open_file(path, max_bytes) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                parts = archive.infolist()
                if sum(part.file_size for part in parts) > max_bytes:
                    raise ValueError("too large")
                contents = {part.filename.removesuffix(".npy"): archive.read(part) for part in parts}
        except OSError:
            raise
        except Exception as error:  # whatever damaged bytes make of the unpacking
            raise ValueError(f"not a .npz file: {error}") from None
    return {name: _array(io.BytesIO(content), len(content)) for name, content in contents.items()}


def _array(stream: BinaryIO, size: int, mmap: bool = False) -> NDArray[Any]:
    import numpy as np
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(stream)
    except Exception as error:  # numpy evaluates the header as a literal of Python, which raises what it likes
        raise ValueError(f"not a .npy file: {error}") from None
    if dtype.hasobject:
        raise HoldsObjectsError("it holds Python objects")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(f"not the array that its header tells: {dtype} {shape}")
    order: Any = "F" if is_fortran else "C"
    if mmap:
        return np.memmap(stream, dtype=dtype, mode="r", offset=stream.tell(), shape=shape, order=order)
    content = bytearray(size - stream.tell())
    if stream.readinto(content) != len(content):  # type: ignore[attr-defined]
        raise ValueError("cut short")
    return np.ndarray(shape, dtype=dtype, buffer=content, order=order)


def finite_number(value: Any) -> float | None:
    """A finite number as a float; anything else a file may hold is None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
