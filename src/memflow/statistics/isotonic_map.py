"""A measure on the scale of the score: one rising map, fitted once, so that changes with size are kept.

Bringing a measure to the score's scale by ranks at every size would force its mean to be flat. An isotonic regression
at one size, applied unchanged at the others, lets the mapped measure rise and fall with size as it does.
"""

import numpy as np
from sklearn.isotonic import IsotonicRegression

QUANTILE = 0.95


def fit(measure: np.ndarray, score: np.ndarray) -> IsotonicRegression:
    """The rising function of a measure that is next to the score in squares; level beyond the data.

    Parameters
    ----------
    measure, score : float[n]
        Pairs that are not both finite are left out.

    Returns
    -------
    IsotonicRegression

    Raises
    ------
    ValueError
        If no pair is finite.
    """
    known = np.isfinite(measure) & np.isfinite(score)
    if not known.any():
        raise ValueError("no example has both a finite measure and a finite score")
    return IsotonicRegression(increasing=True, out_of_bounds="clip").fit(
        measure[known].astype(np.float64), score[known].astype(np.float64)
    )


def apply(fitted: IsotonicRegression, measure: np.ndarray) -> np.ndarray:
    """Mapped values, float64 of the same shape; NaN where the measure is not finite."""
    mapped = np.full(measure.shape, np.nan)
    known = np.isfinite(measure)
    if known.any():
        mapped[known] = fitted.predict(measure[known].astype(np.float64))
    return mapped


def range_of_noise(even: np.ndarray, odd: np.ndarray, quantile: float = QUANTILE) -> float:
    """How far the largest and the smallest of several sizes lie apart by noise alone.

    Parameters
    ----------
    even, odd : float64[S, n]
        The same quantity at S sizes, from two halves of the runs. Half their difference is distributed as the error of
        their mean, whatever the true values are.
    quantile : float
        Share of the examples whose range of noise is no larger.

    Returns
    -------
    float
        NaN without an example that is finite throughout.
    """
    noise = (even - odd) / 2
    noise = noise[:, np.isfinite(noise).all(axis=0)]
    return float(np.quantile(np.ptp(noise, axis=0), quantile)) if noise.size else np.nan
