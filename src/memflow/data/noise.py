"""Label noise: a known share of training labels made wrong, as ground truth for what must be memorised."""

from fractions import Fraction

import numpy as np

from memflow import rng


def symmetric(labels: np.ndarray, n_classes: int, fraction: Fraction, seed: int) -> np.ndarray:
    """Labels with a share of them changed to another class, uniformly.

    Parameters
    ----------
    labels : int32[n]
    n_classes : int
    fraction : Fraction
        Share of the labels to change; exactly ``floor(fraction * n)`` of them change.
    seed : int

    Returns
    -------
    int32[n]
    """
    n = len(labels)
    flipped = rng.permutation("label noise: which", (seed, n), n)[: int(fraction * n)]
    shift = 1 + rng.integers("label noise: to what", (seed, n), n, n_classes - 1)[flipped]
    noisy = labels.copy()
    noisy[flipped] = (labels[flipped] + shift) % n_classes
    return noisy
