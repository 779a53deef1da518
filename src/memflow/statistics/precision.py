"""What a number of runs can tell: expected widths, shares and reliability, given the noise-corrected distribution.

Runs are taken as independent. Balanced runs vary less (docs/decisions/0001-balanced-design.md), so that the numbers of
runs err on the high side.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from scipy.special import bdtr, bdtrc

from memflow.statistics.mixture import ACC_IN, ACC_OUT, SCORES
from memflow.statistics.proportions import newcombe
from memflow.statistics.rounding import ROUNDING

MOST_RUNS = 10**7


def split(runs: int, ratio: Fraction) -> tuple[int, int]:
    """Of some runs, how many have an example in-sample and how many out-of-sample: the nearest numbers, at least 1."""
    n_in = round(runs * ratio)
    return max(n_in, 1), max(runs - n_in, 1)


def half_widths(runs: int, ratio: Fraction, confidence: float) -> np.ndarray:
    """Half the width of Newcombe's interval at each point of the grid of accuracies, at the expected counts.

    Parameters
    ----------
    runs : int
    ratio : Fraction
        Share of the training set in each subset.
    confidence : float

    Returns
    -------
    float64[2501]
        In the order of :data:`memflow.statistics.mixture.SCORES`.
    """
    n_in, n_out = (np.array(n) for n in split(runs, ratio))
    acc_in, acc_out = np.meshgrid(ACC_IN, ACC_OUT, indexing="ij")
    low, high = newcombe(acc_in * n_in, n_in, acc_out * n_out, n_out, confidence)
    return np.ravel(high - low) / 2


def expected_share(weights: np.ndarray, runs: int, ratio: Fraction, threshold: float) -> float:
    """Share of the examples whose score, as estimated from some runs, would reach a threshold.

    Parameters
    ----------
    weights : float64[2501]
        From :func:`memflow.statistics.mixture.fit`.
    runs : int
    ratio : Fraction
    threshold : float
    """
    n_in, n_out = split(runs, ratio)
    k_out = np.arange(n_out + 1)
    enough = np.ceil(n_in * (threshold + k_out / n_out) - ROUNDING)  # correct in-sample runs that reach it
    inside = bdtrc(np.minimum(enough, n_in + 1) - 1, n_in, ACC_IN[:, None])
    outside = np.diff(bdtr(k_out, n_out, ACC_OUT[:, None]), prepend=0)
    return float(weights @ np.ravel(inside @ outside.T))


def expected_reliability(weights: np.ndarray, runs: int, ratio: Fraction) -> float:
    """Variance of the true scores relative to that of scores estimated from some runs; NaN without any.

    Parameters
    ----------
    weights : float64[2501]
        From :func:`memflow.statistics.mixture.fit`.
    runs : int
    ratio : Fraction
    """
    variance = weights @ SCORES**2 - (weights @ SCORES) ** 2
    observed = variance + weights @ unit_variance(ratio) / runs
    return float(variance / observed) if observed > ROUNDING else np.nan


def unit_variance(ratio: Fraction) -> np.ndarray:
    """Variance of the score times the number of runs, at each point of the grid, float64[2501]."""
    inside, outside = (grid * (1 - grid) for grid in (ACC_IN, ACC_OUT))
    return np.add.outer(inside / float(ratio), outside / float(1 - ratio)).ravel()


def needed_runs(reached: Callable[[int], bool], group_size: int) -> float:
    """Fewest runs, in whole groups, from which on a precision is reached.

    Parameters
    ----------
    reached : callable
        Takes a number of runs and says whether they are enough; true from some number on.
    group_size : int

    Returns
    -------
    float
        NaN if :data:`MOST_RUNS` are not enough.
    """
    most = 1
    while not reached(most * group_size):
        most *= 2
        if most * group_size > MOST_RUNS:
            return np.nan
    least = most // 2  # not enough, or none
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if reached(middle * group_size) else (middle, most)
    return float(most * group_size)
