"""Uncertainty from the groups: the runs of one balanced group are dependent, whole groups are not."""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, stdtrit

from memflow import rng

RESAMPLES = 2000
JACKKNIFE_SETS = 20
Statistic = Callable[[np.ndarray], np.ndarray]


def bootstrap(groups: int, statistic: Statistic, confidence: float, strata: int = 1) -> np.ndarray:
    """Group bootstrap of mean-like statistics.

    The percentile interval, expanded for the small number of groups: the quantiles are taken at the level that makes a
    normal sample's interval equal Student's (Hesterberg 2015, The American Statistician 69:371, section 4.6). Not for
    counts above a threshold, for which resampling adds noise before the threshold: use :func:`jackknife`. Few groups
    still make it too narrow: in simulations at 0.95 it covers .87 with 4 groups; resampled by halves .66 with 4, .89
    with 6, .93 with 8 and .94 with 10 (decision 4).

    Parameters
    ----------
    groups : int
        Number of groups, at least 2.
    statistic : callable
        Takes int64[R, groups], how often each group counts in each of R resamples; returns float64[R, S].
    confidence : float
    strata : int
        With 2, even and odd groups are resampled apart, for a statistic that treats the halves differently.

    Returns
    -------
    float64[3, S]
        Value on the groups as they are, lower and upper limit.
    """
    weights = np.empty((RESAMPLES, groups), dtype=np.int64)
    for stratum in range(strata):
        part = weights[:, stratum::strata]
        size = part.shape[1]
        key = (groups,) if strata == 1 else (groups, stratum)
        draws = rng.integers("group bootstrap", key, part.shape, size)
        part[:] = [np.bincount(row, minlength=size) for row in draws]
    smallest = groups // strata
    spread = stdtrit(groups - strata, (1 - confidence) / 2) * np.sqrt(smallest / (smallest - 1))
    level = ndtr(spread)
    replicates = np.concatenate([statistic(part) for part in np.split(weights, RESAMPLES // 100)])
    value = statistic(np.ones((1, groups), dtype=np.int64))
    return np.concatenate([value, np.quantile(replicates, [level, 1 - level], axis=0)])


def jackknife(groups: int, statistic: Statistic, confidence: float) -> np.ndarray:
    """Delete-one-group jackknife: estimate ± t × standard error.

    Parameters
    ----------
    groups : int
        Number of groups, at least 2.
    statistic : callable
        As in :func:`jackknife_errors`.
    confidence : float

    Returns
    -------
    float64[3, S]
        Estimate, lower and upper limit.
    """
    value, error = jackknife_errors(groups, statistic)
    margin = stdtrit(degrees(groups), (1 + confidence) / 2) * error
    return np.stack([value, value - margin, value + margin])


def jackknife_errors(groups: int, statistic: Statistic) -> np.ndarray:
    """Estimate and delete-one-group jackknife standard error.

    More than 20 groups are left out in 20 sets of neighbours, since the statistics are costly and 19 degrees of freedom
    are enough: t is then 2.09 instead of 1.96 at a confidence of 0.95.

    Parameters
    ----------
    groups : int
        Number of groups, at least 2.
    statistic : callable
        Takes int64[groups], 1 for each group that counts and 0 for one that does not; returns float64[S].

    Returns
    -------
    float64[2, S]
        Estimate and standard error.
    """
    sets = degrees(groups) + 1
    set_of_group = np.arange(groups) * sets // groups
    value = statistic(np.ones(groups, dtype=np.int64))
    left_out = np.stack([statistic((set_of_group != one).astype(np.int64)) for one in range(sets)])
    return np.stack([value, np.sqrt((sets - 1) * left_out.var(axis=0))])


def degrees(groups: int) -> int:
    """Degrees of freedom of a jackknife standard error."""
    return min(groups, JACKKNIFE_SETS) - 1
