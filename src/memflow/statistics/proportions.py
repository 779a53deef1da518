"""Intervals for the difference of two proportions."""

import numpy as np
from scipy.special import ndtri


def wilson(successes: np.ndarray, trials: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score limits of a proportion, float64 of the inputs' shape.

    Centre ``(p + z²/2n) / (1 + z²/n)``, half-width ``z / (1 + z²/n) · sqrt(p(1 − p)/n + z²/4n²)`` (Wilson 1927).
    """
    z = ndtri((1 + confidence) / 2)
    p = successes / trials
    scale = 1 + z**2 / trials
    centre = (p + z**2 / (2 * trials)) / scale
    half = z / scale * np.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2))
    return np.clip(centre - half, 0, p), np.clip(centre + half, p, 1)


def newcombe(
    k1: np.ndarray, n1: np.ndarray, k2: np.ndarray, n2: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Limits of ``k1/n1 − k2/n2`` by Newcombe's method 10 (Newcombe 1998).

    With Wilson limits (l1, u1), (l2, u2): ``D − sqrt((p1 − l1)² + (u2 − p2)²)`` and
    ``D + sqrt((u1 − p1)² + (p2 − l2)²)``. Unlike Wald's, it has width where a proportion is 0 or 1.

    Parameters
    ----------
    k1, n1, k2, n2 : array
        Successes and trials of the two samples; trials above 0.
    confidence : float

    Returns
    -------
    low, high : float64 array
        Within [-1, 1], and around the estimate.
    """
    p1, p2 = k1 / n1, k2 / n2
    (l1, u1), (l2, u2) = wilson(k1, n1, confidence), wilson(k2, n2, confidence)
    difference = p1 - p2
    low = difference - np.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    high = difference + np.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return np.maximum(low, -1), np.minimum(high, 1)
