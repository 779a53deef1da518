"""Is a distribution of scores bi-modal? Numbers, since histograms can be argued about."""

import diptest
import numpy as np

LOW, HIGH = 0.1, 0.9
NAMES = ("share_low", "share_middle", "share_high", "sarle", "dip")
DIP_SAMPLE = 10_000  # points that stand for a weighted distribution


def describe(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Bimodality of a sample, or of a discrete distribution.

    Parameters
    ----------
    values : float64[n]
        Scores in [-1, 1].
    weights : float64[n], optional
        Probabilities of the values; equal without.

    Returns
    -------
    float64[5]
        As named by :data:`NAMES`: shares at or below 0.1, between, and at or above 0.9; Sarle's coefficient
        ``(skewness² + 1) / kurtosis`` (above 5/9, the uniform distribution's, it hints at two modes; NaN for a
        constant); Hartigan's dip statistic (Hartigan & Hartigan 1985; its p-value is trivial at these sizes).
    """
    if weights is None:
        sample, weights = values, np.full(len(values), 1 / max(len(values), 1))
    else:
        order = np.argsort(values, kind="stable")
        sample = np.repeat(
            values[order], np.diff(np.rint(np.cumsum(weights[order]) * DIP_SAMPLE), prepend=0).astype(int)
        )
    low, high = weights[values <= LOW + 1e-9].sum(), weights[values >= HIGH - 1e-9].sum()
    mean = weights @ values
    second, third, fourth = (weights @ (values - mean) ** power for power in (2, 3, 4))
    sarle = (third**2 / second**3 + 1) / (fourth / second**2) if second > 1e-12 else np.nan
    dip = diptest.dipstat(sample) if len(sample) > 3 else np.nan
    return np.array([low, 1 - low - high, high, sarle, dip])
