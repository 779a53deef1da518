"""Image datasets in parquet files, as Hugging Face stores them: a column of encoded images and one of labels."""

import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from memflow.data import images, labels
from memflow.data.prepared import DatasetError, Split
from memflow.validation import closest

BATCH = 256  # encoded images in memory at once


@dataclass(frozen=True)
class _Shards:
    """The parquet files of a split, with what is to be read from them."""

    paths: list[Path]
    image: str
    label: str


def load(
    *,
    train: list[str] | str,
    test: list[str] | str,
    image: str = "image",
    label: str = "label",
    size: int | None = None,
) -> tuple[Split, Split, list[str]]:
    """Images from parquet files.

    Parameters
    ----------
    train, test : str or list of str
        Files in their order; those that a pattern (``*``) matches are sorted by name. ``index`` counts the rows.
    image : str
        Column of encoded images: a struct of ``bytes`` and ``path``, or plain bytes. Where ``bytes`` is null, the
        image is read from ``path``, relative to the parquet file.
    label : str
        Column of integers, 0 to k - 1, each of them in train.
    size : int, optional
        Side to which images are resized (shorter side, bicubic) and cropped (centre). If not given, all must have
        one size.

    Returns
    -------
    train, test : Split
        With one channel if every image is grey, else three.
    class_names : list of str
        Those of a ClassLabel column, else the numbers.

    Raises
    ------
    DatasetError
        If a file or column is missing, a label or image is null or wrong, or the class names differ between files.
    """
    shards = [_Shards(_paths(files), image, label) for files in (train, test)]
    if shared := set(shards[0].paths) & set(shards[1].paths):
        raise DatasetError(f"{min(shared)} is named for the training and for the test split")
    named = {path: _class_names(path, part) for part in shards for path in part.paths}
    train_labels, test_labels = (_labels(part) for part in shards)
    class_names = labels.class_names(train_labels, test_labels, _agreed(named))
    train_images, test_images = (
        images.decode(_items(part), len(its_labels), what=f"{part.paths[0]}", size=size)
        for part, its_labels in zip(shards, (train_labels, test_labels), strict=True)
    )
    train_images, test_images = images.same_channels(train_images, test_images)
    return labels.split(train_images, train_labels), labels.split(test_images, test_labels), class_names


def _paths(files: list[str] | str) -> list[Path]:
    found: list[str] = []
    for name in [files] if isinstance(files, str) else files:
        name = str(Path(name).expanduser())
        matches = [name] if Path(name).is_file() else sorted(glob.glob(name, recursive=True))
        if not matches:
            raise DatasetError(f"there is no parquet file {name}")
        found += matches
    if not found:
        raise DatasetError("the list of parquet files is empty")
    if twice := sorted({path for path in found if found.count(path) > 1}):
        raise DatasetError(f"parquet files are listed more than once: {', '.join(twice)}")
    return [Path(path) for path in found]


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} cannot be read as a parquet file ({error})") from error


def _batches(path: Path, column: str) -> Iterator[pa.Array]:
    try:
        with _opened(path) as file:
            for batch in file.iter_batches(BATCH, columns=[column]):
                yield batch.column(0)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} is damaged ({error})") from error


def _class_names(path: Path, shards: _Shards) -> list[str] | None:
    """Names in the metadata that Hugging Face writes, after a check of the columns."""
    with _opened(path) as file:
        schema = file.schema_arrow
    for column in (shards.image, shards.label):
        if column not in schema.names:
            raise DatasetError(f"{path} has no column {column!r}{closest(column, schema.names)}")
    if not pa.types.is_integer(schema.field(shards.label).type):
        raise DatasetError(
            f"{path}: column {shards.label!r} is {schema.field(shards.label).type}; expected integers from 0 "
            f"(columns: {', '.join(schema.names)})"
        )
    if not _holds_images(schema.field(shards.image).type):
        raise DatasetError(
            f"{path}: column {shards.image!r} is {schema.field(shards.image).type}; expected a struct of bytes and "
            f"path, or bytes (columns: {', '.join(schema.names)})"
        )
    return _names_in((schema.metadata or {}).get(b"huggingface", b"{}"), shards.label)


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool({"bytes", "path"} & {field.name for field in kind})
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _names_in(metadata: bytes, label: str) -> list[str] | None:
    try:
        content = json.loads(metadata)
        names = content.get("info", content)["features"][label]["names"]
    except (ValueError, KeyError, TypeError, AttributeError):  # written by something else, or no ClassLabel
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def _agreed(named: dict[Path, list[str] | None]) -> list[str] | None:
    (first, names), *others = named.items()
    for path, other in others:
        if other != names:
            raise DatasetError(f"{first} and {path} have different class names: {names} and {other}")
    return names


def _labels(shards: _Shards) -> np.ndarray:
    parts = []
    for path in shards.paths:
        for start, column in _counted(_batches(path, shards.label)):
            if column.null_count:
                row = start + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
                raise DatasetError(f"{path}: the label of row {row} is null")
            parts.append(column.to_numpy(zero_copy_only=False))
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _items(shards: _Shards) -> Iterator[tuple[str, bytes]]:
    for path in shards.paths:
        for start, column in _counted(_batches(path, shards.image)):
            for offset, cell in enumerate(column.to_pylist()):
                name = f"{path}: the image of row {start + offset}"
                yield name, _content(name, cell, path)


def _counted(columns: Iterator[pa.Array]) -> Iterator[tuple[int, pa.Array]]:
    """Parts of a column, each with the number of its first row."""
    start = 0
    for column in columns:
        yield start, column
        start += len(column)


def _content(name: str, cell: Any, shard: Path) -> bytes:
    content, file = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if content is not None:
        return content
    if not file:
        raise DatasetError(f"{name} is null")
    try:
        return (shard.parent / file).read_bytes()
    except OSError as error:
        raise DatasetError(f"{name}: {shard.parent / file} cannot be read ({error.strerror})") from error
