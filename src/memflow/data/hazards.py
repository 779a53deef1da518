"""Copies within a dataset: images that stand in training twice, under two labels, or in the test split as well.

A copy left in training hides memorisation: a network that never saw an example has still seen its twin. Two images are
*exact* duplicates if all pixels are equal, and *near* duplicates if their pixels correlate at or above a threshold,
so that neither brightness nor contrast matters. No pair is missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memflow.data.prepared import Split, duplicate_groups

MOST_PAIRS = 100_000  # near duplicates that are listed per split, the most similar; all are counted and marked

GRID = 8  # cells along a side of the coarse images among which candidates are sought
TOLERANCE = 1e-4  # float32 is wrong by less in the dot product of two unit vectors of up to 1,600 entries
TILE = 2048  # images compared with as many others at once: 16 MB of similarities
CHUNK = 1 << 22  # pixels read at once

Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # positions int64[k], positions in the other split, similarities


@dataclass(frozen=True)
class Hazards:
    """Duplicates in the training split, and between it and the test split.

    Attributes
    ----------
    pairs : pandas.DataFrame
        A row per pair of a training example with a later one or with a test example: ``kind`` (``exact`` or ``near``),
        ``index`` (official), ``label``, ``other_split`` (``train`` or ``test``), ``other_index``, ``other_label``,
        ``similarity`` (the correlation; 1 for exact duplicates), ``conflict`` (the labels differ), and ``total``: the
        pairs of this kind, split and conflict, which are more than the rows if there are more than :data:`MOST_PAIRS`.
        Where training holds an image several times, each copy is paired with the first, and only the first with other
        images. Exact before near, training before test, then by falling similarity.
    duplicate_group : int32[n_train]
        Position of the first training example with the same pixels.
    near_duplicate_group : int32[n_train]
        Position of the first training example that a chain of exact and near duplicates in training connects with this
        one; its own position if it has none.
    conflicting_label : bool[n_train]
        True where an exact or near duplicate in training has another label.
    in_test : bool[n_train]
        True where an exact or near duplicate is in the test split.
    """

    pairs: pd.DataFrame
    duplicate_group: np.ndarray
    near_duplicate_group: np.ndarray
    conflicting_label: np.ndarray
    in_test: np.ndarray

    @property
    def largest_group(self) -> int:
        """Training examples in the largest ``near_duplicate_group``."""
        return int(np.bincount(self.near_duplicate_group).max(initial=0))


def find(train: Split, test: Split, near: float) -> Hazards:
    """All duplicates inside training, and between training and test.

    Parameters
    ----------
    train, test : Split
        Images of one shape.
    near : float
        Correlation from which on two images are near duplicates, in (0, 1).

    Raises
    ------
    ValueError
        If ``near`` is not between 0 and 1.
    """
    if not 0 < near < 1:
        raise ValueError(f"near is {near}; a correlation between 0 and 1 is needed")
    first, same = np.split(duplicate_groups(train.images, test.images), [len(train)])
    copies = np.flatnonzero(first != np.arange(len(first)))
    twin = np.where(same < len(train), same, -1)  # of each test image, the first in training
    twins = np.flatnonzero(twin >= 0)
    exact_train, exact_test = _Pairs("exact", train, "train", train), _Pairs("exact", train, "test", test)
    exact_train.add(first[copies], copies, np.ones(len(copies)))
    exact_test.add(twin[twins], twins, np.ones(len(twins)))

    coarse, coarse_test = project(train.images), project(test.images)
    coarse[copies] = 0  # the first stands for them
    near_train, near_test = _Pairs("near", train, "train", train), _Pairs("near", train, "test", test)
    groups, labels = first, _Labels(train.labels, first)
    for i, j, similarity in _similar(train.images, train.images, coarse, coarse, near):
        near_train.add(i, j, similarity)
        groups = _joined(groups, i, j)
        labels.join(i, j)
    in_test = np.isin(np.arange(len(first)), twin)
    for i, j, similarity in _similar(train.images, test.images, coarse, coarse_test, near):
        in_test[i] = True
        near_test.add(*(part[twin[j] != i] for part in (i, j, similarity)))
    pairs = [listing.table() for listing in (exact_train, exact_test, near_train, near_test)]
    return Hazards(pd.concat(pairs, ignore_index=True), first, groups, labels.conflict(first), in_test[first])


def similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation of the pixels of some images with those of as many others, float64[n].

    Parameters
    ----------
    one, other : uint8[n, height, width, channels]

    Returns
    -------
    float64[n]
        In [-1, 1]; 0 where an image is constant. Sums of pixels are exact, so only the last steps round.
    """
    flat = [images.reshape(len(images), -1).astype(np.float64) for images in (one, other)]
    pixels = flat[0].shape[1]
    sums = [images.sum(1) for images in flat]
    covariance = pixels * np.einsum("np,np->n", *flat) - sums[0] * sums[1]
    squares = [pixels * np.einsum("np,np->n", part, part) - total**2 for part, total in zip(flat, sums, strict=True)]
    scale = np.sqrt(squares[0]) * np.sqrt(squares[1])
    return np.clip(np.divide(covariance, scale, out=np.zeros(len(one)), where=scale > 0), -1, 1)


def project(images: np.ndarray) -> np.ndarray:
    """Coarse images whose dot products are upper bounds of :func:`similarity`.

    With a and b the images (mean removed, unit length), P the orthogonal projection on images that are constant in
    every cell of a coarse grid, and a' = a - Pa the rest, a·b = Pa·Pb + a'·b' ≤ Pa·Pb + Σ |a'| |b'|, summed over cells
    (Cauchy & Schwarz).

    Parameters
    ----------
    images : uint8[n, height, width, channels]

    Returns
    -------
    float32[n, cells * (channels + 1)]
        Pa, and |a'| in every cell: unit vectors, but zero for constant images.
    """
    height, width, channels = images.shape[1:]
    starts = [np.linspace(0, side, min(GRID, side), endpoint=False).astype(int) for side in (height, width)]
    area = np.outer(*(np.diff(cells, append=side) for cells, side in zip(starts, (height, width), strict=True)))
    coarse = np.empty((len(images), area.size * (channels + 1)), dtype=np.float32)
    for part in _chunks(len(images), height * width * channels):
        pixels = images[part].astype(np.float64)  # all sums of them are integers, and exact
        sums = _pooled(pixels, starts)
        squares = _pooled(np.einsum("nhwc,nhwc->nhw", pixels, pixels), starts)
        mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
        means = (sums - area[..., None] * mean) / np.sqrt(area)[..., None]
        rests = np.sqrt((area * squares - (sums**2).sum(axis=3)) / area)
        flat = np.concatenate([means.reshape(len(pixels), -1), rests.reshape(len(pixels), -1)], axis=1)
        length = np.sqrt((flat**2).sum(axis=1, keepdims=True))
        coarse[part] = flat / np.where(length > 0, length, 1)
    return coarse


def _pooled(values: np.ndarray, starts: list[np.ndarray]) -> np.ndarray:
    """Sums over the cells of a grid that start at some rows and columns, float64[n, rows, columns, ...]."""
    return np.asarray(np.add.reduceat(np.add.reduceat(values, starts[0], axis=1), starts[1], axis=2))


def _similar(
    images: np.ndarray, others: np.ndarray, coarse: np.ndarray, coarse_others: np.ndarray, near: float
) -> Iterator[Found]:
    """Pairs from ``near`` on, tile by tile; if the others are the images themselves, each pair once."""
    itself = others is images
    bounds = np.empty((TILE, TILE), dtype=np.float32)
    for top in range(0, len(images), TILE):
        for left in range(top if itself else 0, len(others), TILE):
            one, other = coarse[top : top + TILE], coarse_others[left : left + TILE]
            bound = np.matmul(one, other.T, out=bounds[: len(one), : len(other)])
            i, j = np.divmod(np.flatnonzero(bound >= near - TOLERANCE), bound.shape[1])  # much faster than nonzero
            i, j = i + top, j + left
            if itself:
                i, j = i[j > i], j[j > i]
            parts = _chunks(len(i), images[0].size)
            values = [np.zeros(0), *(similarity(images[i[part]], others[j[part]]) for part in parts)]
            correlation = np.concatenate(values)
            kept = correlation >= near
            if kept.any():
                yield i[kept], j[kept], correlation[kept]


def _chunks(n: int, pixels: int) -> Iterator[slice]:
    """Slices of n images that hold :data:`CHUNK` pixels each."""
    size = max(1, CHUNK // pixels)
    return (slice(start, start + size) for start in range(0, n, size))


def _joined(groups: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Groups (first position of each, int32[n]) after joining those of examples i and j."""
    n = len(groups)
    ends = np.concatenate([np.arange(n), i]), np.concatenate([groups, j])
    _, component = connected_components(coo_array((np.ones(n + len(i), dtype=bool), ends), shape=(n, n)))
    _, first, group = np.unique(component, return_index=True, return_inverse=True)
    return first[group].astype(np.int32)


class _Labels:
    """Smallest and largest label among each image's copies and near duplicates."""

    def __init__(self, labels: np.ndarray, first: np.ndarray) -> None:
        self._own = np.stack([labels, -labels], axis=1)  # both are minima
        self._copies = self._own.copy()
        np.minimum.at(self._copies, first, self._own)
        self._all = self._copies.copy()

    def join(self, i: np.ndarray, j: np.ndarray) -> None:
        for one, other in ((i, j), (j, i)):
            np.minimum.at(self._all, one, self._copies[other])

    def conflict(self, first: np.ndarray) -> np.ndarray:
        return np.asarray((self._all[first] != self._own).any(axis=1))


class _Pairs:
    """Pairs of one kind with one split: the most similar, and how many there are."""

    def __init__(self, kind: str, train: Split, name: str, other: Split) -> None:
        self._kind, self._train, self._name, self._other = kind, train, name, other
        self._found: list[np.ndarray] = [np.zeros((3, 0))]
        self._total = np.zeros(2, dtype=np.int64)  # without conflict, with

    def add(self, i: np.ndarray, j: np.ndarray, similarity: np.ndarray) -> None:
        self._total += np.bincount(self._train.labels[i] != self._other.labels[j], minlength=2)
        self._found.append(np.stack([i, j, similarity]))
        if sum(found.shape[1] for found in self._found) > 2 * MOST_PAIRS:
            self._found = [self._listed()]

    def _listed(self) -> np.ndarray:
        found = np.concatenate(self._found, axis=1)
        order = np.lexsort((found[1], found[0], -found[2]))
        return found[:, order if self._kind == "exact" else order[:MOST_PAIRS]]

    def table(self) -> pd.DataFrame:
        found = self._listed()
        i, j = found[:2].astype(np.int64)
        labels, others = self._train.labels[i], self._other.labels[j]
        return pd.DataFrame(
            {
                "kind": self._kind,
                "index": self._train.index[i],
                "label": labels,
                "other_split": self._name,
                "other_index": self._other.index[j],
                "other_label": others,
                "similarity": found[2],
                "conflict": labels != others,
                "total": self._total[(labels != others).astype(int)],
            }
        )
