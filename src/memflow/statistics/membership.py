"""Membership inference: tell from a network's outputs whether an example was in its training set (Carlini et al. 2022).

The study's runs are both targets and shadow models. In a balanced group the other runs determine what the attacked one
was trained on, so the attack learns from the runs of all other groups.
"""

from collections.abc import Iterator

import numpy as np

ATTACKS = ("online", "offline", "global threshold")
OWN_VARIANCE = 64  # shadow models on each side, from which an example has a variance of its own; our default
SMALLEST = 1e-6  # variance, so that one of equal values can be divided by


def attack(log_odds: np.ndarray, masks: np.ndarray, group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Evidence that each example was in the training set of each run, group by group.

    The log-odds of the label are near to normal. ``online``: the log of the likelihood ratio of two normals, fitted to
    the other groups' runs that had the example and that had not. ``offline``: standard errors above the mean of those
    that had not. ``global threshold``: the log-odds as they are, which know nothing of the example.

    Parameters
    ----------
    log_odds : float[K, n]
        Of the label; see :class:`memflow.outcomes.Outcomes`.
    masks : bool[K, n]
    group : int[K]

    Yields
    ------
    runs : int[b]
        Positions of the runs of one group.
    evidence : float64[3, b, n]
        By attack, in the order of :data:`ATTACKS`; NaN where the other groups have no such runs.
    """
    total = _moments(log_odds, masks)
    for number in np.unique(group):
        runs = np.flatnonzero(group == number)
        shadow = total - _moments(log_odds[runs], masks[runs])
        mean, variance = _normal(shadow)
        observed = log_odds[runs].astype(np.float64)
        z = (observed - mean[:, None]) / np.sqrt(variance)[:, None]
        likelihood = -0.5 * (z**2 + np.log(variance)[:, None])
        yield runs, np.stack([likelihood[0] - likelihood[1], z[1], observed])


def _moments(log_odds: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Number, sum, sum of squares over the runs that had each example and over those that had not, float64[2, 3, n]."""
    moments = np.zeros((2, 3, log_odds.shape[1]))
    for values, mask in zip(log_odds, masks, strict=True):  # run by run: a copy of all as float64 would be large
        powers = np.stack([np.ones(len(values)), values.astype(np.float64), values.astype(np.float64) ** 2])
        moments[0] += powers * mask
        moments[1] += powers * ~mask
    return moments


def _normal(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each side, float64[2, n] each; the variance is that of all examples where runs are few."""
    number, first, second = moments[:, 0], moments[:, 1], moments[:, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = first / number
        squares = np.maximum(second - number * mean**2, 0)
    pooled = np.nansum(squares, axis=1) / np.maximum((np.maximum(number - 1, 0)).sum(axis=1), 1)
    own = squares / np.maximum(number - 1, 1)
    variance = np.where(number.min(axis=0) >= OWN_VARIANCE, own, pooled[:, None])
    return mean, np.maximum(variance, SMALLEST)


def true_positive_rates(evidence: np.ndarray, members: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Share of the members that are found, at thresholds that are right about non-members but for some rate.

    Parameters
    ----------
    evidence : float64[n]
        Of one run; NaN is taken for no evidence.
    members : bool[n]
    rates : float64[r]
        Largest share of non-members above the threshold.

    Returns
    -------
    float64[r]
        NaN at a rate that would allow less than one of the non-members.
    """
    evidence = np.where(np.isnan(evidence), -np.inf, evidence)
    inside, outside = np.sort(evidence[members]), np.sort(evidence[~members])[::-1]
    allowed = np.floor(rates * len(outside) + 1e-9).astype(int)
    threshold = np.append(outside, -np.inf)[np.minimum(allowed, len(outside))]
    found = 1 - np.searchsorted(inside, threshold, side="right") / max(len(inside), 1)
    found[allowed >= len(outside)] = 1
    return np.where(allowed >= 1, found, np.nan)


def threshold_at(evidence: np.ndarray, members: np.ndarray, rate: float) -> float:
    """Evidence above which no more than a share of the non-members lies."""
    outside = np.sort(np.where(np.isnan(evidence), -np.inf, evidence)[~members])[::-1]
    return float(outside[min(int(rate * len(outside) + 1e-9), len(outside) - 1)])


def area_under_curve(evidence: np.ndarray, members: np.ndarray) -> float:
    """Chance that a member has more evidence than a non-member, ties counted half."""
    evidence = np.where(np.isnan(evidence), -np.inf, evidence)
    inside, outside = evidence[members], np.sort(evidence[~members])
    below, up_to = (np.searchsorted(outside, inside, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(outside))
