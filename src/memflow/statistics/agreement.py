"""How well does another measure of the examples agree with the memorisation score, and how well could it?

Both are estimated from runs, so their correlation is lower than that of what they estimate: a *ceiling* says how high
that noise in the score alone lets it be. The examples are given, the runs are a sample of those that could be.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.special import stdtrit
from scipy.stats import binom, rankdata

from memflow import rng
from memflow.statistics.mixture import ACC_IN, ACC_OUT, SCORES
from memflow.statistics.resampling import JACKKNIFE_SETS, jackknife

NAMES = ("pearson", "spearman")
CEILING_DRAWS = 4  # a rank correlation of .9 averaged over them has a standard error of .0006
CEILING_EXAMPLES = 25_000  # in each draw, however many the study has: few would make the ceiling a matter of chance

Used = Sequence[np.ndarray]  # of each independent sample, which of its units count: bool[units]


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's and Spearman's correlation of float[n] over the examples that have both values.

    Returns
    -------
    float64[2]
        As named by :data:`NAMES`; NaN where one of the two has no variance.
    """
    both = np.isfinite(one) & np.isfinite(other)
    one, other = one[both].astype(np.float64), other[both].astype(np.float64)
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.full(2, np.nan)
    return np.array([_pearson(one, other), _pearson(rankdata(one), rankdata(other))])


def interval(statistic: Callable[[Used], np.ndarray], units: Sequence[int], confidence: float) -> np.ndarray:
    """Interval of a statistic of several independent samples, such as the score's groups and a proxy's runs.

    Estimate ± t × root of the summed squares of the samples' delete-one jackknife errors, with the degrees of freedom
    of the smallest sample: on the wide side (in simulations of correlations with 10 groups and 10 runs, .97 to .99 at
    0.95). Not by bootstrap: resampled runs hold copies, which are worth fewer runs, so that a correlation's replicates
    lie below the estimate on the whole, and the percentile interval is too low.

    Parameters
    ----------
    statistic : callable
        Takes bool[units] for each sample, the units that count; returns float64[S].
    units : sequence of int
        Units in each sample; an interval needs two in each, and is NaN otherwise.
    confidence : float

    Returns
    -------
    float64[3, S]
        Estimate, lower and upper limit.
    """
    everything = [np.ones(size, dtype=bool) for size in units]
    value = statistic(everything)
    degrees = np.array([min(size, JACKKNIFE_SETS) - 1 for size in units])
    if degrees.min() < 1:
        return np.stack([value, *np.full((2, len(value)), np.nan)])
    t = stdtrit(degrees, (1 + confidence) / 2)
    margins = np.empty((len(units), len(value)))
    for sample, size in enumerate(units):
        _, low, high = jackknife(size, partial(_varying, statistic, everything, sample), confidence)
        margins[sample] = (high - low) / 2
    margin = t.max() * np.sqrt(((margins / t[:, None]) ** 2).sum(axis=0))
    return np.stack([value, value - margin, value + margin])


def rank_ceiling(weights: np.ndarray, n_in: np.ndarray, n_out: np.ndarray) -> float:
    """Spearman's correlation of scores with the truth that they estimate.

    No formula gives it, unlike Pearson's (the root of the reliability). So truths are drawn from the noise-corrected
    distribution and counts from the truths, as binomials: balanced counts vary less, so that the ceiling errs on the
    low side.

    Parameters
    ----------
    weights : float64[2501]
        From :func:`memflow.statistics.mixture.fit`.
    n_in, n_out : int[n]
        Runs that had each example in-sample and out-of-sample.

    Returns
    -------
    float
        NaN where there is no variance.
    """
    scored = np.flatnonzero((n_in > 0) & (n_out > 0))
    if not len(scored):
        return np.nan
    example = scored[np.arange(CEILING_EXAMPLES) % len(scored)]
    cumulative = np.cumsum(weights)
    ceilings = []
    for draw in range(CEILING_DRAWS):
        point, inside, outside = rng.uniform("rank ceiling", (draw,), (3, CEILING_EXAMPLES))
        point = np.searchsorted(cumulative, point * cumulative[-1], side="right")
        row, column = np.divmod(point, len(ACC_OUT))
        acc_in = _binomial(inside, n_in[example], ACC_IN, row) / n_in[example]
        acc_out = _binomial(outside, n_out[example], ACC_OUT, column) / n_out[example]
        ceilings.append(correlations((acc_in - acc_out).astype(np.float32), SCORES[point])[1])
    return float(np.mean(ceilings))


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def _varying(statistic: Callable[[Used], np.ndarray], everything: Used, sample: int, used: np.ndarray) -> np.ndarray:
    """The statistic with some units of one sample, and all of the others."""
    return statistic([*everything[:sample], used > 0, *everything[sample + 1 :]])


def _binomial(uniform: np.ndarray, n: np.ndarray, p: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Binomial numbers (n trials, p[which]) from uniform ones, by inversion of the distribution functions."""
    drawn = np.empty(len(uniform), dtype=np.int64)
    for trials in np.unique(n):
        where = n == trials
        # Those of all p one after the other, each raised by its place, are one ascending sequence.
        steps = np.arange(len(p))[:, None] + binom.cdf(np.arange(trials), trials, p[:, None])
        below = np.searchsorted(steps.ravel(), which[where] + uniform[where], side="right")
        drawn[where] = np.clip(below - which[where] * trials, 0, trials)
    return drawn
