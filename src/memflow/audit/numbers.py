"""What differs in the numbers of two files: of tables row by row, of arrays element by element, of others the bytes."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from memflow.errors import InputError
from memflow.training.outcomes import PACKED

# Columns that say what a row is of, the first that tell the rows apart; all others are what is known of it.
KEYS = (
    *("dataset", "family", "method", "architecture", "student", "proxy", "claim", "what", "series", "basis", "kind"),
    *("statistic", "direction", "end", "row", "index", "half", "selected_on", "examples", "quantity", "setting"),
    *("along", "start", "stop", "from_state", "to_state", "teacher_memorises", "one_hot_memorises", "measured"),
    *("against", "epoch", "threshold", "bin_low", "selecting_low", "measured_low", "planted", "effect", "type"),
    *("other_split", "other_index", "drawn"),
)
REPEAT = "(repeat)"  # number of a row among those that the keys do not tell apart
TABLES = (".csv", ".parquet")


def differences(a: Path, b: Path) -> tuple[str, list[str]]:
    """How the content of one file differs from that of another.

    Parameters
    ----------
    a, b : Path

    Returns
    -------
    what : str
        What was compared, such as ``"1,078 rows, matched by index"``.
    differences : list of str
        One for each column or array that differs; none if the numbers are the same.

    Raises
    ------
    InputError
        If a file cannot be read, or they are of different kinds.
    """
    if a.suffix in TABLES and b.suffix in TABLES:
        return _of_tables(a, b)
    if a.suffix != b.suffix:
        raise InputError(f"{a} and {b} are files of different kinds; compare two tables, or two files of one kind")
    if a.suffix == ".npz":
        return _of_arrays(a, b)
    return _of_bytes(a, b)


def _of_tables(a: Path, b: Path) -> tuple[str, list[str]]:
    left, right = _read(a, _table), _read(b, _table)
    candidates = [[key for key in KEYS if key in table] for table in (left, right)]
    if candidates[0] != candidates[1]:
        listed = (", ".join(names) or "nothing" for names in candidates)
        raise InputError(
            f"{a} and {b} are different kinds of table: rows by {next(listed)}, and by {next(listed)}; compare two of "
            "one kind"
        )
    keys = _telling_apart(left, right, candidates[0])
    at_a, at_b = _matched(left, right, keys)
    lines = [
        f"{len(table) - len(at_a):,} rows are only in {side}"
        for side, table in (("A", left), ("B", right))
        if len(table) > len(at_a)
    ]
    lines += _only(list(left), list(right), "columns")
    left, right = left.iloc[at_a].reset_index(drop=True), right.iloc[at_b].reset_index(drop=True)
    where = _named_by(left, keys)
    for column in left.columns.intersection(right.columns, sort=False).difference(keys, sort=False):
        lines += _of_values(column, left[column].to_numpy(), right[column].to_numpy(), "rows", where)
    return f"{len(at_a):,} rows, matched by {', '.join(keys) or 'their order'}", lines


def _of_arrays(a: Path, b: Path) -> tuple[str, list[str]]:
    left, right = _read(a, _arrays), _read(b, _arrays)
    lines = _only(list(left), list(right), "arrays")
    shared = [name for name in left if name in right]
    for name in shared:
        x, y = left[name], right[name]
        if x.shape != y.shape:
            lines.append(f"{name}: {x.dtype}{list(x.shape)} in A, {y.dtype}{list(y.shape)} in B")
        elif name in PACKED:
            apart = int(np.bitwise_count(x ^ y).sum())
            lines += [f"{name}: {apart:,} of {8 * x.size:,} predictions differ"] if apart else []
        else:
            lines += _of_values(name, x.ravel(), y.ravel(), "elements", _at(x.shape))
    return f"{len(shared)} arrays", lines


def _of_bytes(a: Path, b: Path) -> tuple[str, list[str]]:
    x, y = (np.frombuffer(path.read_bytes(), dtype=np.uint8) for path in (a, b))
    shared = min(x.size, y.size)
    apart = np.flatnonzero(x[:shared] != y[:shared])
    if x.size == y.size and not apart.size:
        return f"{x.size:,} bytes", []
    first = apart[0] if apart.size else shared
    return "bytes", [f"{x.size:,} bytes in A, {y.size:,} in B; the first that differs is byte {first:,}"]


def _of_values(name: str, x: np.ndarray, y: np.ndarray, unit: str, where: Callable[[int], str]) -> list[str]:
    """A sentence on how two columns or flat arrays differ; none if they do not."""
    numeric = all(np.issubdtype(values.dtype, np.number) for values in (x, y))
    null = pd.isna(x) & pd.isna(y)
    at = np.flatnonzero((x != y) & ~null)
    if not at.size:
        return []
    shown, size = at[0], ""
    if numeric:
        apart = np.abs(x[at].astype(np.float64) - y[at].astype(np.float64))
        if not np.isnan(apart).all():
            shown = at[np.nanargmax(apart)]
            size = f", by up to {np.nanmax(apart):.3g}"
    values = " and ".join(f"{_value(of[shown])} in {side}" for side, of in (("A", x), ("B", y)))
    return [f"{name}: {at.size:,} of {x.size:,} {unit}{size} ({where(shown)}: {values})"]


def _only(left: list[str], right: list[str], what: str) -> list[str]:
    """Names that only one side has."""
    sides = (("A", left, right), ("B", right, left))
    found = ((side, [name for name in here if name not in there]) for side, here, there in sides)
    return [f"{what} only in {side}: {', '.join(names)}" for side, names in found if names]


def _telling_apart(left: pd.DataFrame, right: pd.DataFrame, candidates: list[str]) -> list[str]:
    """The first keys that tell the rows of both tables apart, as far as any do."""
    keys: list[str] = []
    counts = [min(len(table), 1) for table in (left, right)]
    for key in candidates:
        if counts == [len(left), len(right)]:
            break
        now = [len(table[[*keys, key]].drop_duplicates()) for table in (left, right)]
        if now != counts:
            keys, counts = [*keys, key], now
    return keys


def _matched(left: pd.DataFrame, right: pd.DataFrame, keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Positions in both tables of the rows that have the same keys."""
    a, b = (table[keys].assign(**{REPEAT: _repeats(table, keys)}) for table in (left, right))
    for key in keys:
        if a[key].dtype.kind != b[key].dtype.kind:  # a column without any value, or without a null, on one side
            a[key], b[key] = a[key].map(_value), b[key].map(_value)
    both = a.assign(a=np.arange(len(a))).merge(b.assign(b=np.arange(len(b))), on=[*keys, REPEAT])
    return both["a"].to_numpy(), both["b"].to_numpy()


def _repeats(table: pd.DataFrame, keys: list[str]) -> Any:
    return table.groupby(keys, dropna=False).cumcount() if keys else np.arange(len(table))


def _named_by(table: pd.DataFrame, keys: list[str]) -> Callable[[int], str]:
    """How to name a row."""
    return lambda row: ", ".join(f"{key} {_value(table[key].iloc[row])}" for key in keys) or f"row {row}"


def _at(shape: tuple[int, ...]) -> Callable[[int], str]:
    """How to name an element of a flattened array."""
    return lambda flat: f"at {[int(axis) for axis in np.unravel_index(flat, shape)]}" if shape else "a single value"


def _value(value: Any) -> str:
    if pd.isna(value):
        return "null"
    return f"{value:.6g}" if isinstance(value, float | int | np.number) else str(value)


def _table(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _read(path: Path, how: Callable[[Path], Any]) -> Any:
    try:
        return how(path)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it and run again") from None
