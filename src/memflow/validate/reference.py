"""Reading reference scores: published files, or a table of the user's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memflow.errors import InputError
from memflow.validation import closest

MEASURES = ("memorisation", "c-score")  # of the study: what the reference is compared with
TABLES = {".csv": "csv", ".parquet": "parquet"}
PUBLISHED = {"feldman-zhang": ("tr_mem", "tr_labels"), "c-score": ("scores", "labels")}  # names of scores and labels
SKIPPED = ("infl_matrix_class", "tr_classidx_", "tt_classidx_")  # of files of Feldman & Zhang
FORMATS = (*PUBLISHED, "npz", *TABLES.values())


@dataclass(frozen=True)
class Names:
    """What the columns of a table, or the arrays of an ``.npz``, are called.

    Attributes
    ----------
    score, label, index : str
    halves : tuple of str, optional
        Scores from two halves of the reference's runs, which tell its reliability.
    """

    score: str = "score"
    label: str = "label"
    index: str = "index"
    halves: tuple[str, str] | None = None


@dataclass(frozen=True)
class Reference:
    """Scores of m examples.

    Attributes
    ----------
    scores : float64[m]
    labels : int64[m], optional
    index : int64[m], optional
        In the official order; without it, rows are in the order of the study.
    halves : float64[2, m], optional
    kind : str
        Its format.
    """

    scores: np.ndarray
    labels: np.ndarray | None
    index: np.ndarray | None
    halves: np.ndarray | None
    kind: str

    def __len__(self) -> int:
        return len(self.scores)


def read(path: Path, kind: str | None = None, names: Names | None = None) -> Reference:
    """Read a file of reference scores.

    Parameters
    ----------
    path : Path
    kind : str, optional
        One of :data:`FORMATS`; found by the name of the file, and of an ``.npz`` by its arrays, without.
    names : Names, optional
        For tables, and for an ``.npz`` that is no published format.

    Raises
    ------
    InputError
        If there is no such file or format, or the file lacks what it must have; with what there is.
    """
    if not path.is_file():
        raise InputError(f"--reference {path} does not exist")
    if kind is not None and kind not in FORMATS:
        raise InputError(f"--format is {kind!r}{closest(kind, FORMATS)}")
    columns = _columns(path, kind)
    kind = kind or TABLES.get(path.suffix.lower()) or _recognised(columns)
    if kind in PUBLISHED:
        score, label = PUBLISHED[kind]
        names = Names(score, label, halves=names.halves if names else None)
    return _reference(path, kind, columns, names or Names())


def _columns(path: Path, kind: str | None) -> Mapping[str, np.ndarray]:
    import pandas as pd

    wanted = kind if kind in TABLES.values() else TABLES.get(path.suffix.lower(), "npz") if kind is None else "npz"
    try:
        if wanted == "npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(_arrays(file))
        table = pd.read_csv(path) if wanted == "csv" else pd.read_parquet(path)
    except Exception as error:  # what is no such file raises many kinds
        raise InputError(
            f"--reference {path} cannot be read as {wanted} ({error}); --format names another: {', '.join(FORMATS)}"
        ) from None
    return {str(name): table[name].to_numpy() for name in table}


def _arrays(file: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays of numbers in an ``.npz``, but for the large ones that no score is among."""
    for name in file.files:
        if not name.startswith(SKIPPED):
            try:
                yield name, file[name]
            except ValueError:  # an array of objects, such as names of files
                continue


def _recognised(columns: Mapping[str, Any]) -> str:
    for kind, needed in PUBLISHED.items():
        if set(needed) <= columns.keys():
            return kind
    return "npz"


def _reference(path: Path, kind: str, columns: Mapping[str, np.ndarray], names: Names) -> Reference:
    needed = [names.score, *(names.halves or ()), *([names.index] if kind in TABLES.values() else [])]
    for name in needed:
        if name not in columns:
            raise InputError(
                f"{path} has no {name!r}{closest(name, columns)}; name what it has with --score, --label, --index and "
                "--halves"
            )
    numbers = {name: _numbers(path, columns, name, float) for name in (names.score, *(names.halves or ()))}
    numbers |= {name: _numbers(path, columns, name, int) for name in (names.label, names.index) if name in columns}
    if len({len(values) for values in numbers.values()}) > 1:
        raise InputError(
            f"{path}: {', '.join(f'{name!r} has {len(values):,}' for name, values in numbers.items())} rows"
        )
    return Reference(
        scores=numbers[names.score],
        labels=numbers.get(names.label),
        index=numbers.get(names.index),
        halves=np.stack([numbers[name] for name in names.halves]) if names.halves else None,
        kind=kind,
    )


def _numbers(path: Path, columns: Mapping[str, np.ndarray], name: str, kind: type) -> np.ndarray:
    values = columns[name]
    try:
        numbers = values.astype(np.float64)
        if kind is int and not (numbers == np.rint(numbers)).all():
            raise ValueError("not all are whole numbers")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {name!r} must hold numbers, one per example ({error})") from None
    if numbers.ndim != 1:
        raise InputError(f"{path}: {name!r} has the shape {numbers.shape}; it must hold one number per example")
    return numbers.astype(np.int64) if kind is int else numbers
