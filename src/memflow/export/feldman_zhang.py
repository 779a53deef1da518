"""The files of Feldman & Zhang (2020): memorisation and influence class by class, and the pairs of high influence.

Rows are counted from 0 in each split, as theirs are; ``tr_index`` and ``tt_index``, which theirs lack, hold the index
of each row in the official order. Influence is float32 in the matrices, and float64 in the pairs, which it selects.
Scores are not clipped: those that noise put below 0 stay there.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from memflow.export.source import Source
from memflow.files import write_atomically, write_npz
from memflow.progress import steadily
from memflow.statistics.influence import influence
from memflow.statistics.rounding import ROUNDING


def write(source: Source, path: Path) -> str:
    """Write ``tr_mem``, labels, and for each class K its ``infl_matrix_classK``, of a source; return what, in words."""
    write_atomically(path, lambda file: _stream(file, _matrices(source)))
    n, m = len(source.dataset.train), len(source.dataset.test)
    return (
        f"memorisation of {n:,} training examples and their influence within each class on {m:,} tests; {source.runs}"
    )


def write_pairs(source: Source, path: Path) -> str:
    """Write the pairs of one class whose influence and memorisation reach the thresholds; return what, in words."""
    by_class = [_pairs(source, *rows) for rows in steadily(_by_class(source), "classes")]
    train, test, value = (np.concatenate(column) for column in zip(*by_class, strict=True))
    order = np.lexsort((test, train))
    train, test, value = train[order].astype(np.int64), test[order].astype(np.int64), value[order]
    dataset = source.dataset
    arrays = {"tr_idx": train, "tt_idx": test, "infl": value, "mem": source.counts.scores()[train]}
    write_npz(path, {**arrays, "tr_index": dataset.train.index[train], "tt_index": dataset.test.index[test]})
    options = source.options
    return (
        f"{len(train):,} pairs of one class with influence >= {options.influence_at:g} and memorisation >= "
        f"{options.memorised_at:g}; {source.runs}"
    )


def _matrices(source: Source) -> Iterator[tuple[str, np.ndarray]]:
    train, test, found = source.dataset.train, source.dataset.test, source.outcomes
    assert found.test_correct is not None
    yield "tr_mem", source.counts.scores()
    yield "tr_labels", train.labels
    yield "tt_labels", test.labels
    yield "tr_index", train.index
    yield "tt_index", test.index
    for label, (rows, columns) in enumerate(steadily(_by_class(source), "classes")):
        yield f"tr_classidx_{label}", rows
        yield f"tt_classidx_{label}", columns
        values = influence(found.masks[:, rows], found.test_correct[:, columns])
        yield f"infl_matrix_class{label}", values.astype(np.float32)


def _pairs(source: Source, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training position, test position and influence of the pairs of one class that reach the thresholds."""
    found, options = source.outcomes, source.options
    assert found.test_correct is not None
    rows = rows[source.counts.scores()[rows] >= options.memorised_at - ROUNDING]
    values = influence(found.masks[:, rows], found.test_correct[:, columns])
    row, column = np.nonzero(values >= options.influence_at - ROUNDING)
    return rows[row], columns[column], values[row, column]


def _by_class(source: Source) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of each class in the two splits."""
    train, test = source.dataset.train.labels, source.dataset.test.labels
    return [(np.flatnonzero(train == k), np.flatnonzero(test == k)) for k in range(source.dataset.n_classes)]


def _stream(file: IO[bytes], arrays: Iterator[tuple[str, np.ndarray]]) -> None:
    """Write an ``.npz`` array after array, each as it is made: all together need not fit into memory."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays:
            member: Any = zipfile.ZipInfo(f"{name}.npy")  # which has one fixed date
            with archive.open(member, "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.asarray(array, order="C"), allow_pickle=False)
