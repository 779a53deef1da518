from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from memflow.data import noise

FRACTIONS = st.fractions(0, 1, max_denominator=40)


def labels_of(n, n_classes):
    return (np.arange(n) % n_classes).astype(np.int32)


@given(st.integers(0, 300), st.integers(2, 12), FRACTIONS, st.integers(0, 10**6))
def test_exactly_the_asked_share_of_labels_changes_to_another_class(n, n_classes, fraction, seed):
    labels = labels_of(n, n_classes)
    noisy = noise.symmetric(labels, n_classes, fraction, seed)
    assert (noisy != labels).sum() == fraction.numerator * n // fraction.denominator
    assert np.isin(noisy, range(n_classes)).all()
    assert noisy.dtype == np.int32


def test_the_labels_given_are_left_alone():
    labels = labels_of(50, 3)
    noise.symmetric(labels, 3, Fraction(1), seed=0)
    assert np.array_equal(labels, labels_of(50, 3))


def test_other_classes_are_equally_likely():
    n = 9000
    labels = np.full(n, 2, dtype=np.int32)
    changed = np.bincount(noise.symmetric(labels, 10, Fraction(1), seed=1), minlength=10)
    assert changed[2] == 0
    assert chisquare(np.delete(changed, 2)).pvalue > 1e-4  # seed is fixed; a fresh one would fail once in 10,000


def test_every_example_is_equally_likely_to_change():
    labels = labels_of(20, 4)
    changed = sum(noise.symmetric(labels, 4, Fraction(1, 4), seed) != labels for seed in range(2000))
    # 20 binomials, each within 4.5 standard errors
    assert abs(changed / 2000 - 0.25).max() < 4.5 * (0.25 * 0.75 / 2000) ** 0.5


def test_noise_is_that_of_the_first_release():
    noisy = noise.symmetric(labels_of(40, 10), 10, Fraction(1, 5), seed=0)
    changed = np.flatnonzero(noisy != labels_of(40, 10))
    assert changed.tolist() == [12, 14, 21, 29, 33, 36, 37, 38]
    assert noisy[changed].tolist() == [5, 5, 7, 7, 0, 3, 4, 7]


def test_another_seed_changes_other_labels():
    labels = labels_of(1000, 10)
    one, other = (noise.symmetric(labels, 10, Fraction(1, 10), seed) != labels for seed in (0, 1))
    assert not np.array_equal(one, other)
