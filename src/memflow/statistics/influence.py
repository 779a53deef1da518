"""Influence of every training on every test example, exactly, in blocks of rows that fit into memory.

Counts of runs are whole numbers far below 2**24, so that float32 matrix products of zeros and ones give them exactly.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from memflow import rng

ROWS = 256  # training examples of a block
BINS = 4001  # of influence, from -1 to 1
PER_UNIT = (BINS - 1) / 2
EDGE = 1e-6  # keeps a fraction that equals a threshold from missing it in float32
STRATA = 20  # of test examples, by how many runs get them right: the noise of their pairs is alike
DRAWS_PER_PAIR, MOST_DRAWS = 100, 200_000_000  # of the null: as many pairs are tested, as fine must p-values be
FEWEST_SHUFFLES, MOST_SHUFFLES = 20, 100
MOST_CANDIDATES = 1_000_000  # pairs that chance alone may be expected to put forward

T = TypeVar("T")
Work = Callable[[np.ndarray, dict[str, np.ndarray]], T]


def influence(masks: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Influence of each of n training examples on each of m examples.

    How much more often runs are right about j that were trained on i: the mean of ``correct[k, j]`` over the runs k
    with ``masks[k, i]``, minus that over the others (Feldman & Zhang 2020).

    Parameters
    ----------
    masks : bool[K, n]
    correct : bool[K, m]

    Returns
    -------
    float64[n, m]
        NaN where all runs, or none, had the training example. On ``m = n`` training examples its diagonal is their
        memorisation score, bit for bit.
    """
    together = masks.T.astype(np.float32) @ correct.astype(np.float32)  # exact: sums of ones
    n_in, n_out = masks.sum(axis=0)[:, None], (~masks).sum(axis=0)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return together.astype(np.float64) / n_in - (correct.sum(axis=0) - together.astype(np.float64)) / n_out


def influence_of_pairs(masks: np.ndarray, correct: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The same for some pairs, float64[p], given by positions train and test int[p]."""
    values = np.empty(len(train))
    for start in range(0, len(train), 4096):
        part = slice(start, start + 4096)
        had, right = masks[:, train[part]], correct[:, test[part]]
        n_in = had.sum(axis=0)
        together = (had & right).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            values[part] = together / n_in - (right.sum(axis=0) - together) / (len(had) - n_in)
    return values


@dataclass(frozen=True)
class Side:
    """Some of the runs, and what they say of each example by itself.

    Attributes
    ----------
    runs : bool[K]
    slope, offset : float32[n]
        The influence on a test example that t runs get right, s of them with the training example, is
        ``slope · s − offset · t``; both 0 where all of these runs, or none, had the example.
    right : float32[m]
        Runs that get each test example right.
    stratum : int64[m]
        Of similar numbers of them; :data:`STRATA` where all or none are right, which tells nothing of influence.
    """

    runs: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    right: np.ndarray
    stratum: np.ndarray

    @property
    def is_defined(self) -> np.ndarray:
        """Training examples that some of the runs had, and some had not, bool[n]."""
        return self.offset > 0

    def values(self, together: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Influence of some training examples, float32[rows, m], from how many runs had each and were right."""
        found = together * self.slope[rows, None]
        found -= np.multiply.outer(self.offset[rows], self.right)
        return found

    def cells(self, values: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Place of influences on given test examples in a table [STRATA + 1, BINS] that is laid out flat."""
        return self.stratum[column] * BINS + bins(values)

    def pairs(self) -> np.ndarray:
        """Pairs that could show influence in each stratum, int64[STRATA]."""
        return np.bincount(self.stratum, minlength=STRATA + 1)[:STRATA] * int(self.is_defined.sum())


def bins(values: np.ndarray) -> np.ndarray:
    """Bin of each influence."""
    return ((values + (1 + EDGE)) * PER_UNIT).astype(np.int64)


def first_bin(least: float) -> int:
    """Bin of the smallest influence that counts."""
    return int(bins(np.array(least)))


def lower_edge(number: int) -> float:
    """Smallest influence in a bin."""
    return number / PER_UNIT - 1


def side_of(masks: np.ndarray, correct: np.ndarray, runs: np.ndarray) -> Side:
    """What some runs (bool[K]) say of each example by itself."""
    n_in, n_out = masks[runs].sum(axis=0), (~masks[runs]).sum(axis=0)
    both = (n_in > 0) & (n_out > 0)
    with np.errstate(divide="ignore"):
        slope, offset = np.where(both, 1 / n_in + 1 / n_out, 0), np.where(both, 1 / n_out, 0)
    right = correct[runs].sum(axis=0)
    slope, offset, right = (part.astype(np.float32) for part in (slope, offset, right))
    return Side(runs, slope, offset, right, _strata(right, int(runs.sum())))


def _strata(right: np.ndarray, runs: int) -> np.ndarray:
    testable = (right > 0) & (right < runs)
    ordered = np.sort(right[testable])
    edges = np.unique(ordered[np.arange(1, STRATA) * len(ordered) // STRATA]) if len(ordered) else ordered
    return np.where(testable, np.searchsorted(edges, right, side="right"), STRATA)


class Scan:
    """Influence on all test examples, computed block by block of training examples.

    Parameters
    ----------
    masks : bool[K, n]
    correct : bool[K, m]
    sides : dict of str to Side
        ``all`` runs, and the ``even`` and ``odd`` groups that make it up.
    threads : int
        Blocks in work at a time.
    """

    def __init__(self, masks: np.ndarray, correct: np.ndarray, sides: dict[str, Side], threads: int) -> None:
        self.sides, self.threads = sides, threads
        self.halves = [np.flatnonzero(sides[half].runs) for half in ("even", "odd")]
        self.had = [np.ascontiguousarray(masks[runs].T) for runs in self.halves]  # by example: rows are cut from them
        self.correct = [correct[runs].astype(np.float32) for runs in self.halves]

    def of(self, work: Work[T], blocks: Sequence[np.ndarray]) -> Iterator[T]:
        """What ``work(rows, values by side)`` gives for each block of training positions, in their order."""
        return self._map(partial(self._measure, work, self.correct), blocks)

    def _measure(self, work: Work[T], correct: Sequence[np.ndarray], rows: np.ndarray) -> T:
        even, odd = (had[rows].astype(np.float32) @ right for had, right in zip(self.had, correct, strict=True))
        together = {"even": even, "odd": odd, "all": even + odd}
        return work(rows, {name: side.values(together[name], rows) for name, side in self.sides.items()})

    def _map(self, function: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
        with threadpool_limits(1), ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(items), self.threads):  # so that few results wait to be taken
                yield from pool.map(function, items[start : start + self.threads])

    def null(self, group: np.ndarray) -> dict[str, np.ndarray]:
        """Influences where there is none: whole groups of correct predictions dealt anew to the groups of masks.

        Even groups change places with even ones, odd with odd ones, so that one shuffle serves all sides.

        Parameters
        ----------
        group : int[K]
            Group of each run; groups are of equal size.

        Returns
        -------
        dict of str to int64[STRATA, BINS]
            Draws of each side in each bin.
        """
        some = np.flatnonzero(np.logical_and.reduce([side.is_defined for side in self.sides.values()]))
        testable = int((self.sides["all"].stratum < STRATA).sum())
        counts = {name: np.zeros((STRATA + 1) * BINS, dtype=np.int64) for name in self.sides}
        if not len(some) or not testable:
            return {name: table.reshape(-1, BINS)[:STRATA] for name, table in counts.items()}
        pairs = len(some) * testable
        draws = min(DRAWS_PER_PAIR * pairs, MOST_DRAWS)
        shuffles = int(np.clip(draws // pairs, FEWEST_SHUFFLES, MOST_SHUFFLES))
        rows = min(len(some), -(-draws // (shuffles * testable)))
        for found in self._map(partial(self._shuffled, group, some, rows), range(shuffles)):
            for name, table in found.items():
                counts[name] += table
        return {name: table.reshape(-1, BINS)[:STRATA] for name, table in counts.items()}

    def _shuffled(self, group: np.ndarray, some: np.ndarray, rows: int, shuffle: int) -> dict[str, np.ndarray]:
        chosen = some[rng.permutation("influence rows", (shuffle,), len(some))[:rows]]
        correct = [
            right[_dealt(group[runs], (shuffle, half))]
            for half, (right, runs) in enumerate(zip(self.correct, self.halves, strict=True))
        ]
        counts = {name: np.zeros((STRATA + 1) * BINS, dtype=np.int64) for name in self.sides}
        for start in range(0, rows, ROWS):
            for name, table in self._measure(self._tally, correct, chosen[start : start + ROWS]).items():
                counts[name] += table
        return counts

    def _tally(self, rows: np.ndarray, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        columns = np.arange(len(self.sides["all"].right))
        size = (STRATA + 1) * BINS
        return {
            name: np.bincount(side.cells(values[name], columns).ravel(), minlength=size)
            for name, side in self.sides.items()
        }


def _dealt(group: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Positions of runs after their groups, which are neighbours in order, have changed places."""
    size = len(group) // len(np.unique(group))
    order = rng.permutation("influence shuffle", key, len(group) // size)
    return (order[:, None] * size + np.arange(size)).ravel()


def blocks_by_class(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of at most :data:`ROWS` training examples of one class, class by class."""
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        for start in range(0, len(members), ROWS):
            yield members[start : start + ROWS]


class Best:
    """The k largest positive values of each column so far; of equal ones, those that came first.

    Attributes
    ----------
    value : float32[columns, k]
        Largest first; :data:`EDGE`, which is 0, where there are fewer.
    row : int64[columns, k]
        -1 where there are fewer.
    """

    def __init__(self, columns: int, k: int) -> None:
        self.value = np.full((columns, k), EDGE, dtype=np.float32)
        self.row = np.full((columns, k), -1)

    def add(self, values: np.ndarray, rows: np.ndarray, first: int = 0) -> None:
        """Take values float32[rows, some columns from ``first`` on] into account."""
        columns, k = values.shape[1], self.value.shape[1]
        value, row = self.value[first : first + columns], self.row[first : first + columns]
        new, column = np.nonzero(values > value[:, -1])
        if not len(new):
            return
        all_values = np.concatenate([value.ravel(), values[new, column]])
        all_columns = np.concatenate([np.arange(columns).repeat(k), column])
        all_rows = np.concatenate([row.ravel(), rows[new]])
        order, rank = ranked(all_columns, all_values)
        order, rank = order[rank < k], rank[rank < k]
        value[all_columns[order], rank], row[all_columns[order], rank] = all_values[order], all_rows[order]


def largest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and rank from 0 of the k largest positive values of each row of float32[rows, columns]."""
    k = min(k, values.shape[1])
    if not k:
        return (np.empty(0, dtype=np.int64),) * 3
    limit = np.partition(values, -k, axis=1)[:, -k]
    row, column = np.nonzero((values >= limit[:, None]) & (values > EDGE))
    order, rank = ranked(row, values[row, column])
    return row[order][rank < k], column[order][rank < k], rank[rank < k]


def ranked(key: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order by key, then from the largest value down, equals as they come; and the rank within each key, from 0."""
    order = np.lexsort((-values, key))
    ordered = key[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else ordered
    return order, np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))


@dataclass(frozen=True)
class Null:
    """What influences chance gives, and what that makes of those observed.

    Attributes
    ----------
    p : float64[STRATA + 1, BINS]
        One-sided p-value of an influence in each bin: the share of the stratum's null at or above, itself counted in.
    expected : float64[STRATA, BINS]
        Pairs that chance alone would put into each bin.
    scale : float64
        Pairs that one draw of the null stands for, at most.
    """

    p: np.ndarray
    expected: np.ndarray
    scale: float

    def q(self, observed: np.ndarray, least: int) -> np.ndarray:
        """False discovery rate of the pairs as significant as each bin, of those from bin ``least`` on.

        The number that the null expects among them, over the number observed, made monotone; one draw more than was
        seen is granted to the null.

        Parameters
        ----------
        observed : int64[STRATA, BINS]
        least : int

        Returns
        -------
        float64[STRATA, BINS]
            1 below ``least``.
        """
        q = np.ones(observed.shape)
        p, expected, seen = (part[:STRATA, least:].ravel() for part in (self.p, self.expected, observed))
        order = np.argsort(p, kind="stable")
        last = np.searchsorted(p[order], p[order], side="right") - 1  # of equal ones: they come in together
        chance, found = np.cumsum(expected[order])[last] + self.scale, np.cumsum(seen[order])[last]
        rate = np.minimum.accumulate((chance / np.maximum(found, 1))[::-1])[::-1]
        ranked_q = np.empty(len(order))
        ranked_q[order] = np.minimum(1, rate)
        q[:, least:] = ranked_q.reshape(STRATA, -1)
        return q

    def rate_from(self, observed: np.ndarray, least: int) -> np.ndarray:
        """The same of all pairs at or above each bin from ``least`` on, whatever their stratum, float64[BINS − least].

        Not made monotone; infinite or NaN where nothing is observed.
        """
        chance, found = (_tail(part.sum(axis=0))[least:] for part in (self.expected, observed))
        with np.errstate(divide="ignore", invalid="ignore"):
            return (chance + self.scale) / found

    def largest_p(self) -> float:
        """p-value at which chance is expected to put :data:`MOST_CANDIDATES` pairs forward; at most 1."""
        return min(1.0, MOST_CANDIDATES / max(1.0, self.expected.sum()))


def null_of(draws: np.ndarray, pairs: np.ndarray) -> Null:
    """From draws int64[STRATA, BINS] and the numbers of pairs int64[STRATA] that could show influence."""
    drawn = draws.sum(axis=1)
    scale = np.divide(pairs, drawn, out=np.zeros(STRATA), where=drawn > 0)
    p = (1 + np.stack([_tail(row) for row in draws])) / (1 + drawn[:, None])
    return Null(np.vstack([p, np.ones(BINS)]), draws * scale[:, None], float(scale.max()))


def _tail(row: np.ndarray) -> np.ndarray:
    """Sum of each entry and those above it."""
    return np.cumsum(row[::-1])[::-1]
