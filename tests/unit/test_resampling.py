import numpy as np
import pytest
from scipy.stats import binom, t

from memflow.statistics.resampling import RESAMPLES, bootstrap, jackknife

GROUPS, CONFIDENCE = 10, 0.95


def coverage(limits, truth):
    return ((limits[1] <= truth) & (truth <= limits[2])).mean()


def tolerance(datasets):
    """Four binomial standard errors of a coverage of 95 %."""
    return 4 * (0.95 * 0.05 / datasets) ** 0.5


def share_above(scores, threshold):
    return (scores >= threshold - 1e-9).mean(axis=-1)


def test_every_resample_has_as_many_groups_as_there_are():
    sizes = []

    def statistic(weights):
        sizes.append(weights.shape)
        assert weights.min() >= 0
        return np.stack([weights.sum(axis=1), weights[:, 0]], axis=1).astype(float)

    value, low, high = bootstrap(GROUPS, statistic, CONFIDENCE)
    assert value.tolist() == [GROUPS, 1]
    assert (low[0], high[0]) == (GROUPS, GROUPS)
    assert (low[1], high[1]) == (0, 4)  # a Binomial(10, 1/10) at the levels .009 and .991
    assert sum(size for size, _ in sizes) == RESAMPLES + 1


def test_resampling_draws_the_same_groups_every_time():
    values = np.random.default_rng(0).normal(size=(GROUPS, 3))
    one, other = (bootstrap(GROUPS, lambda weights: weights @ values / GROUPS, CONFIDENCE) for _ in range(2))
    assert np.array_equal(one, other)


def test_the_group_bootstrap_covers_a_mean_in_95_percent_of_10_groups():
    datasets = 4000
    values = np.random.default_rng(1).normal(3, 2, (GROUPS, datasets))
    limits = bootstrap(GROUPS, lambda weights: weights @ values / GROUPS, CONFIDENCE)
    assert np.allclose(limits[0], values.mean(axis=0))
    assert abs(coverage(limits, 3) - 0.95) < tolerance(datasets)


def test_the_group_bootstrap_covers_a_mean_accuracy():
    datasets = 4000
    values = np.random.default_rng(2).binomial(150, 0.2, (GROUPS, datasets)) / 150
    limits = bootstrap(GROUPS, lambda weights: weights @ values / GROUPS, CONFIDENCE)
    assert abs(coverage(limits, 0.2) - 0.95) < tolerance(datasets)


def test_halves_are_resampled_apart():
    seen = []

    def statistic(weights):
        seen.append(weights)
        return weights[:, :1].astype(float)

    bootstrap(11, statistic, CONFIDENCE, strata=2)
    weights = np.concatenate(seen[:-1])
    assert weights.shape == (RESAMPLES, 11)
    assert set(weights[:, 0::2].sum(axis=1)) == {6}
    assert set(weights[:, 1::2].sum(axis=1)) == {5}
    assert np.array_equal(seen[-1], np.ones((1, 11)))  # the value is that of the groups as they are
    # Uniform and independent: a group counts once on average; the first even and odd group are unrelated.
    assert abs(weights.mean(axis=0) - 1).max() < 4 * RESAMPLES**-0.5
    assert abs(np.corrcoef(weights[:, 0], weights[:, 1])[0, 1]) < 4 * RESAMPLES**-0.5


@pytest.mark.parametrize("groups", [10, 11])
def test_resampling_halves_apart_covers_a_mean_of_two_halves_that_differ(groups):
    # The halves measure different things: resampled together, their difference would pass for noise.
    datasets = 4000
    values = np.random.default_rng(7).normal(3, 2, (groups, datasets)) + 20 * (np.arange(groups) % 2)[:, None]
    odd = np.arange(groups) % 2

    def statistic(weights):
        return np.mean(
            [weights * of_half @ values / (weights * of_half).sum(1)[:, None] for of_half in (odd, 1 - odd)], axis=0
        )

    limits = bootstrap(groups, statistic, CONFIDENCE, strata=2)
    assert np.allclose(limits[0], (values[odd == 0].mean(axis=0) + values[odd == 1].mean(axis=0)) / 2)
    assert abs(coverage(limits, 13) - 0.95) < tolerance(datasets)


def test_more_confidence_is_a_wider_bootstrap_interval():
    values = np.random.default_rng(3).normal(size=(GROUPS, 5))
    _, low, high = bootstrap(GROUPS, lambda weights: weights @ values / GROUPS, 0.8)
    _, wider_low, wider_high = bootstrap(GROUPS, lambda weights: weights @ values / GROUPS, 0.99)
    assert (wider_low < low).all()
    assert (high < wider_high).all()


def test_the_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(4).normal(size=(GROUPS, 7))
    value, low, high = jackknife(GROUPS, lambda used: used @ values / used.sum(), CONFIDENCE)
    margin = t.ppf(0.975, GROUPS - 1) * values.std(axis=0, ddof=1) / GROUPS**0.5
    assert np.allclose(value, values.mean(axis=0))
    assert np.allclose(low, value - margin)
    assert np.allclose(high, value + margin)


def test_the_jackknife_covers_a_curved_statistic_in_95_percent_of_10_groups():
    datasets = 4000
    values = np.random.default_rng(5).normal(5, 1, (GROUPS, datasets))
    limits = jackknife(GROUPS, lambda used: np.log(used @ values / used.sum()), CONFIDENCE)
    assert abs(coverage(limits, np.log(5)) - 0.95) < tolerance(datasets)


def test_a_share_above_a_threshold_is_covered_by_the_jackknife_and_missed_by_the_bootstrap():
    # 300 examples of true score .15 and 300 of score .6, K = 100: resampling adds noise before the threshold of .25.
    datasets, q = 200, np.repeat([0.85, 0.4], 300)
    correct = np.random.default_rng(6).binomial(3, q, (datasets, GROUPS, len(q)))
    truth = binom.cdf(22, 3 * GROUPS, q).mean()  # 1 - k / 30 >= .25

    def shares(weights):
        return share_above(1 - np.einsum("g,dgn->dn", weights, correct) / (3 * weights.sum()), 0.25)

    # The jackknife errs on the wide side here: an indicator is not smooth.
    assert coverage(jackknife(GROUPS, shares, CONFIDENCE), truth) > 0.95 - tolerance(datasets)

    few = correct[:20]

    def resampled(weights):
        scores = 1 - np.tensordot(weights, few, axes=(1, 1)) / (3 * GROUPS)
        return share_above(scores, 0.25)

    assert coverage(bootstrap(GROUPS, resampled, CONFIDENCE), truth) < 0.5
