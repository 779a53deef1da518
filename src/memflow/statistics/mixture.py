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
NEGLIGIBLE = 1e-40  # a relative likelihood that no weight makes up for; arithmetic on far smaller numbers is slow


@dataclass(frozen=True)
class Observed:
    """Distinct count patterns (k_in of n_in, k_out of n_out), and how many examples show each.

    Attributes
    ----------
    likelihood_in : float64[patterns, 61]
        Of the in-sample count at each :data:`ACC_IN`, up to a factor per pattern.
    likelihood_out : float64[patterns, 41]
        Of the out-of-sample count at each :data:`ACC_OUT`; the likelihood at a grid point is the product of the two.
    count : int64[patterns]
    """

    likelihood_in: np.ndarray
    likelihood_out: np.ndarray
    count: np.ndarray


def observe(k_in: np.ndarray, n_in: np.ndarray, k_out: np.ndarray, n_out: np.ndarray) -> Observed:
    """Collect the distinct patterns of int64[n] counts."""
    which_in, likelihood_in = _likelihood(k_in, n_in, ACC_IN)
    which_out, likelihood_out = _likelihood(k_out, n_out, ACC_OUT)
    patterns, count = np.unique(which_in * len(likelihood_out) + which_out, return_counts=True)
    rows_in, rows_out = np.divmod(patterns, len(likelihood_out))
    return Observed(likelihood_in[rows_in], likelihood_out[rows_out], count)


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
    weights = weights.reshape(len(ACC_IN), len(ACC_OUT))
    previous = -np.inf
    for _ in range(MAX_ITERATIONS):
        density = np.einsum("ij,ij->i", observed.likelihood_in @ weights, observed.likelihood_out)
        weights = weights * (observed.likelihood_in.T @ ((share / density)[:, None] * observed.likelihood_out))
        loglikelihood = float(share @ np.log(density))
        if loglikelihood - previous < TOLERANCE:
            break
        previous = loglikelihood
    return weights.ravel() / weights.sum()


def _likelihood(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the distinct binomial counts (k of n) at each p, relative to the most likely p, and which of them each is."""
    distinct, which = np.unique(k * (n.max() + 1) + n, return_inverse=True)
    k, n = (column[:, None] for column in np.divmod(distinct, n.max() + 1))
    log = xlogy(k, p) + xlog1py(n - k, -p)  # but the binomial coefficient, which does not depend on p
    relative = np.exp(log - log.max(axis=1, keepdims=True))
    return which, np.where(relative < NEGLIGIBLE, 0, relative)
