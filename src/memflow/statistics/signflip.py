"""Paired tests by sign flips: had the groups' differences no direction, each could as well have the other sign."""

from itertools import product

import numpy as np

from memflow import rng

MOST_EXACT = 4096  # sign patterns that are enumerated: up to 12 groups
DRAWS = 20_000  # where there are more


def sign_flip_p_value(differences: np.ndarray) -> float:
    """Two-sided p-value of no difference: share of the sign patterns whose sum is as far from zero as the observed.

    Valid where the groups' differences are independent and symmetric about zero when there is no effect. All patterns
    are enumerated up to 12 groups; for more groups 20,000 are drawn, always the same. With few groups p cannot be
    small, whatever the effect: a pattern's mirror image is as far, so it is at least ``2 / 2**groups``: .125 for 4
    groups, .031 for 6, .0078 for 8, .0020 for 10. Below .05 a single test needs 6 groups. Where patterns are drawn, the
    limit is about ``1 / 20,001``.

    Parameters
    ----------
    differences : float64[groups]
        Of each group, weighted as in the mean that is tested.
    """
    groups = len(differences)
    sums = _signs(groups) @ differences
    return float((np.abs(sums) >= abs(differences.sum()) - 1e-9 * groups).mean())


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values adjusted so that the chance of any false rejection is bounded (Holm 1979).

    Parameters
    ----------
    p_values : float64[m]
        NaN where there is no test; it stays, and is not counted.

    Returns
    -------
    float64[m]
    """
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = np.arange(len(order), 0, -1) * p_values[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def _signs(groups: int) -> np.ndarray:
    """Sign patterns, float64[patterns, groups]; the observed one is among them."""
    if 2**groups <= MOST_EXACT:
        return np.array(list(product((1.0, -1.0), repeat=groups)))
    drawn = 1.0 - 2.0 * rng.integers("sign flip test", (groups,), (DRAWS, groups), 2)
    return np.concatenate([np.ones((1, groups)), drawn])
