"""The exact out-of-sample accuracy of the nearest-neighbour learner: no simulation, no estimate."""

from fractions import Fraction

import numpy as np
from scipy.stats import hypergeom


def held_out_sizes(design: str, ratio: Fraction, n: int) -> tuple[np.ndarray, np.ndarray]:
    """How many of n examples a run holds out: the possible numbers, and their probabilities.

    ``iid``: always the same number. ``balanced``: b - a of every whole mini-group of b; of the last, incomplete one
    those that fall on the b - a dropped places out of b.
    """
    if design == "iid":
        return np.array([n - round(ratio * n)]), np.array([1.0])
    a, b = ratio.numerator, ratio.denominator
    minigroups, rest = divmod(n, b)
    of_rest = np.arange(max(0, rest - a), min(b - a, rest) + 1)
    return minigroups * (b - a) + of_rest, hypergeom.pmf(of_rest, b, rest, b - a)


def out_of_sample_accuracy(
    same_class: np.ndarray, n: int, sizes: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, float]:
    """Chance that the nearest in-sample neighbour of a held-out example has its class.

    Given its size m, the held-out set is uniform. If it holds example i, the other m - 1 are a uniform subset of the
    n - 1 others, so that the nearest j neighbours are held out with the hypergeometric chance
    ``(m-1)/(n-1) · (m-2)/(n-2) · … · (m-j)/(n-j)``, and the next one is the nearest survivor with ``(n-m)/(n-1-j)``.
    Over sizes the mean is weighted by how often i is held out, which is in proportion to m.

    Parameters
    ----------
    same_class : bool[examples, ranks]
        Has the neighbour of each rank (the nearest first, the example itself left out) the class of the example?
    n : int
        Size of the training set.
    sizes, probabilities : array
        From :func:`held_out_sizes`.

    Returns
    -------
    accuracy : float64[examples]
    missed : float
        Chance that no neighbour among the given ranks is in-sample: bounds the error of the accuracy.
    """
    weights = probabilities * sizes / (probabilities @ sizes)
    accuracy, missed = np.zeros(len(same_class)), 0.0
    for m, weight in zip(sizes.tolist(), weights, strict=True):
        nearer_held_out = 1.0
        for rank in range(min(same_class.shape[1], n - 1)):
            accuracy += weight * nearer_held_out * (n - m) / (n - 1 - rank) * same_class[:, rank]
            nearer_held_out *= (m - 1 - rank) / (n - 1 - rank) if m - 1 > rank else 0.0
        missed += weight * nearer_held_out
    return accuracy, missed
