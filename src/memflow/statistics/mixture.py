"""The distribution of true scores behind noisy counts.

A score estimated from few runs is smeared: a histogram of estimates has too little mass near 0 and 1 and too much
in the middle.
The nonparametric maximum-likelihood mixture (Kiefer & Wolfowitz 1956; Laird 1978) is the distribution of the in- and
out-of-sample accuracies, on a grid, under which the observed counts are most likely if they are binomial. Balanced
counts vary less than that (docs/decisions/0001-balanced-design.md), so that the correction errs on the sharp side.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlog1py, xlogy

# Grids are even in arcsin(sqrt(p)), the scale on which a proportion's noise is the same everywhere: dense near 0 and 1.
ACC_IN = np.sin(np.linspace(0, np.pi / 2, 61)) ** 2
ACC_OUT = np.sin(np.linspace(0, np.pi / 2, 41)) ** 2
SCORES = np.round(np.subtract.outer(ACC_IN, ACC_OUT), 9).ravel()  # float64[2501]: the score at each grid point
TOLERANCE = 1e-6  # gain in mean log-likelihood per iteration at which EM stops
MAX_ITERATIONS = 2000
PRUNE_EVERY = 25  # iterations after which grid points of negligible weight are given up
NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Observed:
    """Distinct count patterns (k_in of n_in, k_out of n_out), and how many examples show each.

    Attributes
    ----------
    likelihood : float64[patterns, 2501]
        Of each pattern at each grid point, up to a factor per pattern.
    count : int64[patterns]
    """

    likelihood: np.ndarray
    count: np.ndarray


def observe(k_in: np.ndarray, n_in: np.ndarray, k_out: np.ndarray, n_out: np.ndarray) -> Observed:
    """Collect the distinct patterns of int64[n] counts."""
    patterns, count = np.unique(np.stack([k_in, n_in, k_out, n_out], axis=1), axis=0, return_counts=True)
    k_in, n_in, k_out, n_out = (column[:, None] for column in patterns.T)
    log_in, log_out = _log_likelihood(k_in, n_in, ACC_IN), _log_likelihood(k_out, n_out, ACC_OUT)
    log_joint = (log_in[:, :, None] + log_out[:, None, :]).reshape(len(count), -1)
    return Observed(np.exp(log_joint - log_joint.max(axis=1, keepdims=True)), count)


def fit(observed: Observed, start: np.ndarray | None = None) -> np.ndarray:
    """Weights of the grid points, by EM.

    Parameters
    ----------
    observed : Observed
    start : float64[2501], optional
        Weights to start from; uniform without.

    Returns
    -------
    float64[2501]
        Adding to 1; :data:`SCORES` gives the score of each.
    """
    share = observed.count / observed.count.sum()
    weights = np.full(len(SCORES), 1 / len(SCORES)) if start is None else (start + 1e-6) / (start + 1e-6).sum()
    active, likelihood = np.arange(len(SCORES)), observed.likelihood
    part, previous = weights, -np.inf
    for iteration in range(MAX_ITERATIONS):
        density = likelihood @ part
        part = part * (likelihood.T @ (share / density))
        loglikelihood = float(share @ np.log(density))
        if loglikelihood - previous < TOLERANCE:
            break
        previous = loglikelihood
        if iteration % PRUNE_EVERY == PRUNE_EVERY - 1:
            kept = part > NEGLIGIBLE
            active, likelihood, part = active[kept], likelihood[:, kept], part[kept]
    weights = np.zeros(len(SCORES))
    weights[active] = part / part.sum()
    return weights


def _log_likelihood(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Of k successes in n binomial trials, up to the binomial coefficient, which does not depend on p."""
    return xlogy(k, p) + xlog1py(n - k, -p)
