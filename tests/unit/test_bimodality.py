import diptest
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow.statistics.bimodality import NAMES, describe

SCORES = st.lists(st.integers(-20, 20).map(lambda k: k / 20), min_size=4, max_size=60)


def named(values, weights=None):
    return dict(zip(NAMES, describe(np.asarray(values, dtype=float), weights), strict=True))


def test_sarle_is_1_for_two_points():
    assert named([0, 1] * 50)["sarle"] == pytest.approx(1)
    assert named([0] * 90 + [1] * 10)["sarle"] == pytest.approx(1)  # also of unequal weight


def test_sarle_is_five_ninths_for_the_uniform_distribution():
    assert named((np.arange(10_000) + 0.5) / 10_000)["sarle"] == pytest.approx(5 / 9, abs=1e-6)


def test_sarle_is_a_third_for_the_normal_distribution():
    values = np.linspace(-1, 1, 2001)
    weights = np.exp(-0.5 * (values / 0.1) ** 2)
    assert named(values, weights / weights.sum())["sarle"] == pytest.approx(1 / 3, abs=1e-6)


def test_sarle_is_undefined_for_a_constant():
    assert np.isnan(named([0.3] * 10)["sarle"])


def test_shares_count_their_limits_in_the_tails():
    scores = [-0.2, 0, 0.1, 0.8 - 0.7, 0.11, 0.5, 0.89, 0.9, 0.7 + 0.2, 1]
    assert 0.8 - 0.7 > 0.1  # by one bit, as in .9 > .7 + .2
    assert 0.9 > 0.7 + 0.2
    found = named(scores)
    assert found["share_low"] == pytest.approx(0.4)
    assert found["share_middle"] == pytest.approx(0.3)
    assert found["share_high"] == pytest.approx(0.3)


@given(SCORES)
def test_shares_add_to_1(scores):
    found = named(scores)
    assert found["share_low"] + found["share_middle"] + found["share_high"] == pytest.approx(1)


@pytest.mark.parametrize("n", [4, 50, 1437])
def test_the_dip_of_a_sample_is_that_of_diptest(n):
    for seed in range(5):
        values = np.random.default_rng(seed).beta(0.4, 0.6, n)
        assert named(values)["dip"] == diptest.dipstat(values)


def test_the_dip_is_a_quarter_for_two_points_and_small_for_one_mode():
    assert named([0, 1] * 500)["dip"] == pytest.approx(0.25, abs=1e-3)
    assert named(np.random.default_rng(0).normal(0.5, 0.1, 5000))["dip"] < 0.01


@given(SCORES, st.randoms(use_true_random=False))
def test_weights_stand_for_repeated_scores(scores, random):
    values = np.unique(scores)
    repeats = np.array([random.randint(1, 9) for _ in values])
    sample = np.repeat(values, repeats)
    weighted, repeated = describe(values, repeats / repeats.sum()), describe(sample)
    assert np.allclose(weighted[:4], repeated[:4], equal_nan=True)
    if len(sample) > 3:
        # A distribution is represented by 10,000 points, each weight rounded to 1/10,000; the dip of n points is at
        # least 1/2n where that of the distribution they stand for may be 0.
        assert weighted[4] == pytest.approx(repeated[4], abs=1 / (2 * len(sample)) + 1e-3)


def test_the_order_of_a_weighted_distribution_is_of_no_account():
    random = np.random.default_rng(1)
    values, weights = np.linspace(0, 1, 50), random.dirichlet(np.ones(50))
    shuffled = random.permutation(50)
    assert np.allclose(describe(values, weights), describe(values[shuffled], weights[shuffled]))
