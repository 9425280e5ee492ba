"""Embeddings from a file of NumPy, CSV or Parquet, a block of rows at a time (no torch).

The file may be anyone's: it is opened by the guarded reader, no more than `MAX_FILE_BYTES` are read, nothing is ever
unpickled, and what is odd about it becomes one sentence.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclr.config import ConfigError
from simclr.files import safe_read
from simclr.files.names import readable
from simclr.files.user_paths import user_path, with_dead_link

ENDINGS = (".npy", ".npz", ".parquet", ".csv")
MAX_FILE_BYTES = safe_read.MAX_ARRAY_BYTES
MAX_ROWS, MAX_FEATURES, MIN_FEATURES = 10_000_000, 65_536, 2
BLOCK_VALUES = 4 << 20  # that are converted at a time
CSV_ROWS = 1000
# What a column is called that says which image a row is of, and an array of a .npz file that holds the embeddings.
IMAGE_NAMES = ("image", "path", "image_path", "file", "filename", "file_name", "filepath", "name", "image_id", "id")
VECTOR_NAMES = ("embeddings", "embedding", "features", "feature", "h", "vectors", "x")
NUMBERED = re.compile(r"(.*?)(\d{1,6})")
AN_ARRAY = "an array"
ALLOWED = f"a file that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"

Floats = NDArray[np.float32]


@dataclass
class OpenedFile:
    """A file of embeddings.

    blocks: (n, D) float32 at a time, checked.
    names: which image each row is of; None where the file does not say. Complete once all blocks were read.
    left_out: columns that are neither.
    """

    blocks: Iterator[Floats]
    names: list[str] | None = None
    left_out: list[str] = field(default_factory=list)


@contextlib.contextmanager
def opened(file: str | Path, called: str) -> Iterator[OpenedFile]:
    """The file, open for reading.

    Args:
        called: what messages call it; its ending says what kind it is.

    Raises:
        ConfigError: with one sentence, also while its blocks are read, if it is missing, too large, of another kind,
            or holds anything but rows of finite numbers, all of one length.
    """
    path = Path(os.path.realpath(user_path(file)))  # the user's own word: a link to it may lead anywhere
    kind, file = Path(called).suffix.lower(), called
    if kind not in ENDINGS:
        raise ConfigError(f"FILE is {file}; allowed: {ALLOWED}.")
    readers = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    try:
        with readers[kind](path, file) as found:
            found.blocks = _checked(found.blocks, file)
            yield found
    except safe_read.HoldsObjectsError:
        raise ConfigError(
            f"FILE is {file}, which holds Python objects, and these are never unpickled; allowed: an array of numbers."
        ) from None
    except FileNotFoundError:
        link = with_dead_link(path)
        raise ConfigError(f"FILE is {file}, which does not exist{link}; allowed: {ALLOWED}.") from None
    except OSError as error:
        raise ConfigError(f"FILE is {file}, which cannot be read: {error.strerror or error}.") from None


@contextlib.contextmanager
def of_array(values: NDArray[Any]) -> Iterator[OpenedFile]:
    """An array (N, D) of numbers, as a file of them is read.

    Raises:
        ConfigError: with one sentence, also while its blocks are read, if it is anything else.
    """
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not len(values):
        raise ConfigError(
            f"FILE is {AN_ARRAY} of {values.dtype} of shape {values.shape}; allowed: a row of numbers for each image."
        )
    rows = max(1, BLOCK_VALUES // max(1, values.shape[1]))
    with np.errstate(over="ignore"):
        parts = (values[start : start + rows].astype(np.float32) for start in range(0, len(values), rows))
        yield OpenedFile(_checked(parts, AN_ARRAY))


def _checked(blocks: Iterator[Floats], file: str) -> Iterator[Floats]:
    """The same blocks, as long as they are finite, of one width, and not too many."""
    rows, width = 0, None
    for block in _read(blocks, file):
        if width is None:
            width = block.shape[1]
            if not MIN_FEATURES <= width <= MAX_FEATURES:
                raise ConfigError(
                    f"FILE is {file}, which has {width:,} value{'' if width == 1 else 's'} for each image; allowed: "
                    f"{MIN_FEATURES} to {MAX_FEATURES:,}."
                )
        is_finite = np.isfinite(block).all(axis=1)
        if not is_finite.all():
            row = rows + int(np.flatnonzero(~is_finite)[0]) + 1
            raise ConfigError(
                f"FILE is {file}, whose row {row:,} holds a value that is no finite number in 32 bits; allowed: finite "
                "numbers."
            )
        rows += len(block)
        if rows > MAX_ROWS or rows * width * 4 > MAX_FILE_BYTES:
            raise ConfigError(
                f"FILE is {file}, which has more than {MAX_ROWS:,} rows or {MAX_FILE_BYTES / 1e9:.1f} GB of numbers; "
                "allowed: fewer."
            )
        yield block
    if not rows:
        raise ConfigError(f"FILE is {file}, which holds no rows; allowed: a row for each image.")


def _read(blocks: Iterator[Floats], file: str) -> Iterator[Floats]:
    """The same blocks; an error of the disk is the file's, not of where they are written to."""
    while True:
        try:
            block = next(blocks)
        except StopIteration:
            return
        except OSError as error:
            raise ConfigError(f"FILE is {file}, which cannot be read: {error.strerror or error}.") from None
        yield block


# --- NumPy ----------------------------------------------------------------------------------------------------------


def _check_array(array: NDArray[Any], file: str, what: str = "which") -> None:
    if array.dtype.kind not in "fiub":
        raise ConfigError(f"FILE is {file}, {what} holds {array.dtype} values; allowed: real numbers.")
    if array.ndim != 2:
        raise ConfigError(
            f"FILE is {file}, {what} has {array.ndim} dimension{'' if array.ndim == 1 else 's'} {array.shape}; "
            "allowed: 2, a row for each image and a column for each feature."
        )


def _in_blocks(array: NDArray[Any]) -> Iterator[Floats]:
    step = max(1, BLOCK_VALUES // max(1, array.shape[1]))
    for start in range(0, len(array), step):
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which is said
            block = np.asarray(array[start : start + step], dtype=np.float32)
        yield block


@contextlib.contextmanager
def _npy(path: Path, file: str) -> Iterator[OpenedFile]:
    try:
        safe_read.open_file(path, MAX_FILE_BYTES).close()
        array = safe_read.read_array(path, mmap=True)
    except safe_read.HoldsObjectsError:
        raise
    except ValueError:
        raise ConfigError(f"FILE is {file}, which is no whole .npy file; allowed: one that numpy.save wrote.") from None
    _check_array(array, file)
    yield OpenedFile(_in_blocks(array))


@contextlib.contextmanager
def _npz(path: Path, file: str) -> Iterator[OpenedFile]:
    try:
        arrays = safe_read.read_arrays(path, MAX_FILE_BYTES)
    except safe_read.HoldsObjectsError:
        raise
    except ValueError:
        raise ConfigError(
            f"FILE is {file}, which is no whole .npz file of up to {MAX_FILE_BYTES / 1e9:.1f} GB; allowed: one that "
            "numpy.savez wrote."
        ) from None
    named = next((name for name in _first(arrays, IMAGE_NAMES, "s") if arrays[name].ndim == 1), None)
    names = None if named is None else arrays[named]
    others = [name for name in arrays if name != named]
    tables = [name for name in others if arrays[name].ndim == 2] or others
    chosen = list(_first(tables, VECTOR_NAMES)) or tables
    if len(chosen) != 1:
        shown = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:5]) or "none"
        raise ConfigError(
            f"FILE is {file}, whose arrays are {readable(shown)}; allowed: one array of 2 dimensions, or one that is "
            f"called {VECTOR_NAMES[0]}, and the images as image or path if they are named."
        )
    _check_array(arrays[chosen[0]], file, f"whose array {readable(chosen[0])}")
    found = OpenedFile(_in_blocks(arrays[chosen[0]]))
    if names is not None:
        if names.dtype.kind not in "USiu":
            raise ConfigError(f"FILE is {file}, whose names of images are {names.dtype}; allowed: texts or numbers.")
        if len(names) != len(arrays[chosen[0]]):
            raise ConfigError(
                f"FILE is {file}, which names {len(names):,} images and has {len(arrays[chosen[0]]):,} rows; allowed: "
                "a name for each row."
            )
        found.names = [_text(value) for value in names.tolist()]
    yield found


def _first(names: Iterable[str], wanted: Sequence[str], plural: str = "") -> Iterator[str]:
    """The one of some names that comes first among those wanted, whatever its case; nothing if there is none."""
    known = {name.strip().lower(): name for name in names}
    for word in wanted:
        for form in (word, word + plural):
            if form in known:
                yield known[form]
                return


def _text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


# --- tables ---------------------------------------------------------------------------------------------------------


def _numbered(names: Sequence[str], file: str) -> list[str]:
    """The columns that hold a feature each, in order: those whose names differ in a number alone, as h_0, h_1, ...

    Raises:
        ConfigError: if there are none, several such groups, or a number is missing.
    """
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        if (found := NUMBERED.fullmatch(name.strip())) is not None:
            groups.setdefault(found[1], {})[int(found[2])] = name
    wide = {prefix: columns for prefix, columns in groups.items() if len(columns) >= MIN_FEATURES}
    if len(wide) != 1:
        why = "has no columns of features" if not wide else f"has several groups of columns ({', '.join(wide)})"
        raise ConfigError(
            f"FILE is {file}, which {readable(why)}; allowed: one group such as h_0, h_1, h_2, or in Parquet a column "
            "of lists."
        )
    ((prefix, columns),) = wide.items()
    numbers = sorted(columns)
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > 1:
        gap = next((number for number in range(min(1, numbers[0]), numbers[-1]) if number not in columns), 0)
        raise ConfigError(
            f"FILE is {file}, which has {readable(prefix)}{numbers[-1]} and no {readable(prefix)}{gap}; allowed: "
            "columns numbered from 0 or 1 without a gap."
        )
    return [columns[number] for number in numbers]


@contextlib.contextmanager
def _csv(path: Path, file: str) -> Iterator[OpenedFile]:
    with (
        safe_read.open_file(path, MAX_FILE_BYTES) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text,
    ):
        rows = csv.reader(text)
        try:
            head = next(rows, [])
        except (csv.Error, UnicodeDecodeError):
            raise ConfigError(f"FILE is {file}, which is no CSV in UTF-8; allowed: one with a head line.") from None
        if len(set(head)) < len(head):
            twice = next(name for name in head if head.count(name) > 1)
            raise ConfigError(f"FILE is {file}, which has the column {twice[:50] or '(empty)'} twice; allowed: once.")
        images = next(_first(head, IMAGE_NAMES), None)
        columns = _numbered([name for name in head if name != images], file)
        used = {*columns, images}
        found = OpenedFile(iter(()), None if images is None else [], [name for name in head if name not in used])
        places = [head.index(name) for name in columns]
        own = None if images is None else head.index(images)
        found.blocks = _csv_blocks(rows, len(head), places, own, found, file)
        yield found


def _csv_blocks(
    rows: Any, width: int, places: list[int], own: int | None, found: OpenedFile, file: str
) -> Iterator[Floats]:
    count = 0
    while True:
        block: list[list[str]] = []
        try:
            for row in rows:
                if not row:
                    continue  # an empty line
                if len(row) != width:
                    raise ConfigError(
                        f"FILE is {file}, whose line {rows.line_num:,} has {len(row):,} cells and whose head has "
                        f"{width:,}; allowed: as many in each line."
                    )
                block.append(row)
                if len(block) == CSV_ROWS:
                    break
        except (csv.Error, UnicodeDecodeError):
            raise ConfigError(f"FILE is {file}, which is no CSV in UTF-8 from line {rows.line_num + 1:,} on.") from None
        if not block:
            return
        if found.names is not None and own is not None:
            found.names += [row[own] for row in block]
        yield _numbers([[row[place] for place in places] for row in block], count, file)
        count += len(block)


def _numbers(cells: list[list[str]], before: int, file: str) -> Floats:
    try:
        with np.errstate(over="ignore"):
            return np.array(cells, dtype=np.float64).astype(np.float32)
    except ValueError:
        for number, row in enumerate(cells, start=before + 1):
            for cell in row:
                try:
                    float(cell)
                except ValueError:
                    raise ConfigError(
                        f"FILE is {file}, whose row {number:,} holds {cell[:40] or 'nothing'} where a number is "
                        "expected; allowed: numbers."
                    ) from None
        raise


@contextlib.contextmanager
def _parquet(path: Path, file: str) -> Iterator[OpenedFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with safe_read.open_file(path, MAX_FILE_BYTES) as stream:
        try:
            table = pq.ParquetFile(stream)
            schema, about = table.schema_arrow, table.metadata
            size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
        except (pa.ArrowException, ValueError, KeyError):
            raise ConfigError(f"FILE is {file}, which is no whole Parquet file; allowed: one that is.") from None
        if size > MAX_FILE_BYTES or about.num_rows > MAX_ROWS:
            raise ConfigError(
                f"FILE is {file}, which holds more than {MAX_FILE_BYTES / 1e9:.1f} GB or {MAX_ROWS:,} rows; allowed: "
                "less."
            )
        head = schema.names
        images = next(_first(head, IMAGE_NAMES), None)
        vectors = [name for name in head if name != images and _is_list(schema.field(name).type)]
        chosen = list(_first(vectors, VECTOR_NAMES)) or vectors
        if len(chosen) > 1:
            raise ConfigError(
                f"FILE is {file}, which has several columns of lists ({readable(', '.join(chosen[:5]))}); allowed: "
                f"one, or one that is called {VECTOR_NAMES[1]}."
            )
        columns = chosen or _numbered([name for name in head if name != images], file)
        used = {*columns, images}
        found = OpenedFile(iter(()), None if images is None else [], [name for name in head if name not in used])
        found.blocks = _parquet_blocks(table, columns, images, bool(chosen), found, file)
        yield found


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _parquet_blocks(
    table: Any, columns: list[str], images: str | None, is_list: bool, found: OpenedFile, file: str
) -> Iterator[Floats]:
    import pyarrow as pa

    width, count = 0, 0
    wanted = [*columns, *([images] if images is not None else [])]
    try:
        for batch in table.iter_batches(batch_size=CSV_ROWS, columns=wanted):
            if found.names is not None and images is not None:
                found.names += [_text(value) for value in batch.column(images).to_pylist()]
            if is_list:
                column = batch.column(columns[0])
                lengths = column.value_lengths().to_pylist() if len(column) else []
                width = width or next((length for length in lengths if length), 0)
                for row, length in enumerate(lengths, start=count + 1):
                    if length != width:
                        raise ConfigError(
                            f"FILE is {file}, whose row {row:,} has {length or 0:,} values and whose first has "
                            f"{width:,}; allowed: as many in each row."
                        )
                flat = column.flatten().to_numpy(zero_copy_only=False)
                values = flat.reshape(len(column), width) if len(column) else np.zeros((0, max(1, width)))
            else:
                arrays = [batch.column(name) for name in columns]
                odd = next((name for name, array in zip(columns, arrays, strict=True) if not _is_number(array)), None)
                if odd is not None:
                    raise ConfigError(f"FILE is {file}, whose column {odd} holds no numbers; allowed: numbers.")
                values = np.stack([array.to_numpy(zero_copy_only=False) for array in arrays], axis=1)
            count += len(values)
            with np.errstate(over="ignore"):
                yield np.asarray(values, dtype=np.float32)
    except pa.ArrowException:
        raise ConfigError(f"FILE is {file}, which is damaged from row {count + 1:,} on.") from None


def _is_number(array: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(array.type) or pa.types.is_integer(array.type))
