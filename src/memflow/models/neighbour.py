"""The reference learner: one nearest neighbour on raw pixels, whose exact scores have a closed form."""

from collections.abc import Callable
from typing import Any

import numpy as np

from memflow.data.prepared import Dataset, Split

ROWS = 1024  # queries at a time: bounds the memory of the distances at ROWS * n_train * 8 bytes


def learn(
    spec: dict[str, Any],
    dataset: Dataset,
    masks: np.ndarray,
    seeds: range,
    report: Callable[[float], None],
    checkpoint: object = None,
) -> dict[str, np.ndarray]:
    """Classify every example by its nearest in-sample neighbour.

    An in-sample training example is its own nearest neighbour. Among neighbours at the same distance the one that comes
    first in the training set wins, so that a run has one outcome and the exact score exists.

    Parameters
    ----------
    spec : dict
        Not used: the learner has no settings.
    dataset : Dataset
    masks : bool[runs, n_train]
    seeds : range
        Not used: the outcome depends on the mask alone.
    report : callable
        Called with the share of the work that is done.
    checkpoint : object
        Not used: a run takes a moment.

    Returns
    -------
    dict
        ``epochs`` int32[1], ``train_correct`` and ``test_correct`` bool[runs, 1, n], as in
        :func:`memflow.training.sgd.learn`; there are no logits, hence no log-odds and no losses.
    """
    train_correct = _correct(dataset.train, dataset.train, masks)
    report(len(dataset.train) / (len(dataset.train) + len(dataset.test)))
    test_correct = _correct(dataset.train, dataset.test, masks)
    return {"epochs": np.array([1], dtype=np.int32), "train_correct": train_correct, "test_correct": test_correct}


def neighbour_order(train: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Training examples by distance from each query, nearest first, ties by position.

    Parameters
    ----------
    train : uint8[n_train, ...]
    queries : uint8[n, ...]

    Returns
    -------
    int64[n, n_train]
    """
    flat_train = train.reshape(len(train), -1).astype(np.float64)  # float64: squared distances are exact integers
    flat_queries = queries.reshape(len(queries), -1).astype(np.float64)
    distance = (flat_queries**2).sum(1)[:, None] - 2 * (flat_queries @ flat_train.T) + (flat_train**2).sum(1)
    return np.argsort(distance, axis=1, kind="stable")


def _correct(train: Split, split: Split, masks: np.ndarray) -> np.ndarray:
    """bool[runs, 1, len(split)]: is the nearest in-sample neighbour of the same class?"""
    correct = np.empty((len(masks), 1, len(split)), dtype=bool)
    for start in range(0, len(split), ROWS):
        rows = slice(start, start + ROWS)
        order = neighbour_order(train.images, split.images[rows])
        for run, mask in enumerate(masks):
            correct[run, 0, rows] = train.labels[_first_in_sample(order, mask)] == split.labels[rows]
    return correct


def _first_in_sample(order: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The first in-sample neighbour of each row, int[n]; looks at more neighbours until every row has one."""
    if not mask.any():
        raise ValueError("the subset is empty: there is no nearest in-sample neighbour")
    looked_at = 16
    while True:
        in_sample = mask[order[:, :looked_at]]
        if in_sample.any(axis=1).all() or looked_at >= order.shape[1]:
            return order[np.arange(len(order)), in_sample.argmax(axis=1)]
        looked_at *= 8
