"""Types of trajectory: what a score does along a family of sizes.

The four types are those of Lukasik et al. (2024), whose rule is not published; ours, and why:
docs/decisions/0004-trajectory-types.md.
"""

import numpy as np
from scipy.stats import false_discovery_control

from memflow.statistics.paired import PairedTests
from memflow.statistics.rounding import ROUNDING

CHANGES = ("increasing", "decreasing", "cap-shaped")
TESTED = ("constant", *CHANGES, "undetermined")
DESCRIPTIVE = ("constant", *CHANGES, "other")


def describe(scores: np.ndarray, tau: float) -> np.ndarray:
    """Descriptive labels: a plain reading of the estimates, of the kind that published counts are.

    Parameters
    ----------
    scores : float64[S, n]
        Score at each size, smallest size first.
    tau : float
        Smallest difference that counts.

    Returns
    -------
    str[n]
        ``constant``: the largest and the smallest score differ by at most tau. ``cap-shaped``: an interior size exceeds
        both ends by more than tau. ``increasing``, ``decreasing``: the last size exceeds the first by more than tau, or
        falls below it. ``other``: none of these, such as a dip.
    """
    first, last, limit = scores[0], scores[-1], tau + ROUNDING
    peak = scores[1:-1].max(axis=0, initial=-np.inf)
    choices = {
        "constant": np.ptp(scores, axis=0) <= limit,
        "cap-shaped": peak - np.maximum(first, last) > limit,
        "increasing": last - first > limit,
        "decreasing": first - last > limit,
    }
    return np.select(list(choices.values()), list(choices), default="other")


def classify(tests: PairedTests, tau: float, critical: float) -> np.ndarray:
    """Tested types.

    Parameters
    ----------
    tests : PairedTests
    tau : float
        Smallest difference that counts.
    critical : float
        Largest p-value that is significant; see :func:`critical_p_value`.

    Returns
    -------
    str[n]
        ``cap-shaped``, ``increasing``, ``decreasing``: beyond tau, as the descriptive label says, and significant.
        ``constant``: all pairwise differences, with their simultaneous margin, lie within ±tau. Else ``undetermined``.
    """
    rise, limit = tests.scores[-1] - tests.scores[0], tau + ROUNDING
    has_trend, has_cap = (tests.testable & (tests.n_tests * p <= critical) for p in (tests.p_trend, tests.p_cap))
    choices = {
        "cap-shaped": has_cap & (describe(tests.scores, tau) == "cap-shaped"),
        "increasing": has_trend & (rise > limit),
        "decreasing": has_trend & (-rise > limit),
        "constant": np.ptp(tests.scores, axis=0) + tests.margin <= limit,
    }
    return np.select(list(choices.values()), list(choices), default="undetermined")


def critical_p_value(tests: PairedTests, fdr: float) -> float:
    """Largest p-value that Benjamini & Hochberg (1995) reject at a false discovery rate; 0 if they reject none.

    The procedure is valid under positive dependence, which sharing runs gives.
    """
    p = tests.p_value[tests.testable]
    return float(p[false_discovery_control(p, method="bh") <= fdr].max(initial=0)) if len(p) else 0.0
