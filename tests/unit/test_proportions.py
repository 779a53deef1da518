from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from memflow.statistics.proportions import newcombe, wilson

COUNTS = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
CONFIDENCE = st.floats(0.5, 0.999)
Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


def by_hand(k1, n1, k2, n2):
    """Newcombe's method 10 at 95 %, with Wilson limits as the roots of (p - x)² = z² x (1 - x) / n."""

    def roots(k, n):
        a, b, c = 1 + Z**2 / n, -(2 * k / n + Z**2 / n), (k / n) ** 2
        spread = sqrt(max(b * b - 4 * a * c, 0))
        return (-b - spread) / (2 * a), (-b + spread) / (2 * a)

    (l1, u1), (l2, u2), p1, p2 = roots(k1, n1), roots(k2, n2), k1 / n1, k2 / n2
    d = p1 - p2
    return d - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2), d + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)


# Newcombe (1998), Statistics in Medicine 17:873, table II, method 10, 95 %.
@pytest.mark.parametrize(
    ("k1", "n1", "k2", "n2", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (0, 10, 0, 10, -0.2775, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0000),
        (10, 10, 0, 10, 0.6075, 1.0000),
    ],
)
def test_newcombe_gives_the_published_limits(k1, n1, k2, n2, low, high):
    found = newcombe(np.array(k1), np.array(n1), np.array(k2), np.array(n2), 0.95)
    assert np.allclose(found, (low, high), atol=0.5e-4)


@given(COUNTS, COUNTS)
def test_newcombe_is_the_formula(one, other):
    low, high = newcombe(*map(np.array, one + other), 0.95)
    expected = by_hand(*one, *other)
    assert np.allclose((low, high), (max(expected[0], -1), min(expected[1], 1)), atol=1e-7)


@given(COUNTS, CONFIDENCE)
def test_wilson_agrees_with_scipy(counts, confidence):
    k, n = counts
    expected = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert np.allclose(wilson(np.array(k), np.array(n), confidence), expected, atol=1e-12)


@given(COUNTS, COUNTS, CONFIDENCE)
def test_an_interval_holds_its_estimate_and_stays_within_minus_1_and_1(one, other, confidence):
    low, high = newcombe(*map(np.array, one + other), confidence)
    assert -1 <= low <= one[0] / one[1] - other[0] / other[1] <= high <= 1
    assert low < high  # width even where both proportions are 0 or 1, unlike Wald's


@given(COUNTS, COUNTS, CONFIDENCE)
def test_swapping_the_samples_mirrors_the_interval(one, other, confidence):
    low, high = newcombe(*map(np.array, one + other), confidence)
    assert np.allclose(newcombe(*map(np.array, other + one), confidence), (-high, -low), atol=1e-12)


@given(COUNTS, COUNTS, st.floats(0.5, 0.98), st.floats(0.001, 0.019))
def test_more_confidence_is_a_wider_interval(one, other, confidence, more):
    low, high = newcombe(*map(np.array, one + other), confidence)
    wider_low, wider_high = newcombe(*map(np.array, one + other), confidence + more)
    assert wider_low <= low
    assert high <= wider_high


def test_arrays_are_treated_element_by_element():
    k1, n1, k2, n2 = np.array([[1, 5], [7, 0]]), np.array([[7, 7], [7, 9]]), np.array([[0, 3], [2, 1]]), np.array(3)
    low, high = newcombe(k1, n1, k2, n2, 0.9)
    assert low.shape == high.shape == (2, 2)
    assert (low[1, 0], high[1, 0]) == newcombe(np.array(7), np.array(7), np.array(2), np.array(3), 0.9)
