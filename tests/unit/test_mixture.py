import numpy as np
import pytest
from scipy.stats import binom

from memflow.statistics import mixture
from memflow.statistics.bimodality import NAMES, describe

N_IN, N_OUT = 70, 30  # K = 100 at 7/10


def simulated(acc_in, acc_out, seed, times=1):
    """Estimated scores and observed counts from 100 runs, or several times as many."""
    random = np.random.default_rng(seed)
    n_in, n_out = np.full(len(acc_in), N_IN * times), np.full(len(acc_in), N_OUT * times)
    k_in, k_out = random.binomial(n_in, acc_in), random.binomial(n_out, acc_out)
    return k_in / n_in - k_out / n_out, mixture.observe(k_in, n_in, k_out, n_out)


def joint(observed):
    """Likelihood of each pattern at each grid point, up to a factor per pattern."""
    return np.einsum("pi,po->pio", observed.likelihood_in, observed.likelihood_out).reshape(len(observed.count), -1)


def loglikelihood(observed, weights):
    return observed.count @ np.log(joint(observed) @ weights)


def shares(values, weights=None):
    return dict(zip(NAMES, describe(values, weights), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_planted_tails_are_recovered_where_the_histogram_loses_them(seed):
    acc_out = np.repeat([0.925, 0.5, 0.075], [1000, 400, 600])  # scores .075, .5, .925
    scores, observed = simulated(np.ones(2000), acc_out, seed)
    raw, corrected = shares(scores), shares(mixture.SCORES, mixture.fit(observed))
    # An estimate leaves its tail with P(Binomial(30, .075) > 3) = .18: shares of .41 and .25 for .5 and .3.
    assert abs(raw["share_low"] - 0.5) > 0.06
    assert abs(raw["share_high"] - 0.3) > 0.03
    assert abs(corrected["share_low"] - 0.5) < 0.02  # recovered up to the few examples that look like another peak's
    assert abs(corrected["share_high"] - 0.3) < 0.02


def test_noise_in_both_accuracies_is_removed():
    acc_in, acc_out = np.repeat([1, 0.9, 0.9], 1000), np.repeat([1, 0.9, 0.1], 1000)
    scores, observed = simulated(acc_in, acc_out, seed=0)
    weights = mixture.fit(observed)
    mean = weights @ mixture.SCORES
    spread = weights @ (mixture.SCORES - mean) ** 2
    truth = acc_in - acc_out
    assert mean == pytest.approx(truth.mean(), abs=4 * (truth.var() / 3000) ** 0.5)
    noise = (acc_in * (1 - acc_in) / N_IN + acc_out * (1 - acc_out) / N_OUT).mean()
    assert scores.var() == pytest.approx(truth.var() + noise, rel=0.02)
    assert spread == pytest.approx(truth.var(), abs=noise / 2)


@pytest.mark.parametrize("times", [1, 4, 10])  # K = 100, 400, 1,000
@pytest.mark.parametrize("acc_in", [0.995, 0.98, 0.93, 0.77])
def test_the_grid_does_not_shift_the_scores(acc_in, times):
    acc_out = np.random.default_rng(0).beta(2, 0.4, 1437)
    scores, observed = simulated(np.full(1437, acc_in), acc_out, seed=0, times=times)
    corrected = mixture.fit(observed) @ mixture.SCORES
    assert corrected == pytest.approx(scores.mean(), abs=0.0015)  # noise has mean 0; a bin of the histogram is .05 wide


def test_weights_are_a_distribution():
    _, observed = simulated(np.full(500, 0.97), np.random.default_rng(0).beta(2, 0.5, 500), seed=1)
    weights = mixture.fit(observed)
    assert weights.shape == mixture.SCORES.shape
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)


def test_no_iteration_lowers_the_likelihood(monkeypatch):
    _, observed = simulated(np.full(300, 0.95), np.random.default_rng(0).beta(0.5, 0.5, 300), seed=2)
    gained = []
    for iterations in (*range(1, 30), mixture.MAX_ITERATIONS):
        monkeypatch.setattr(mixture, "MAX_ITERATIONS", iterations)
        gained.append(loglikelihood(observed, mixture.fit(observed)))
    assert (np.diff(gained) >= 0).all()
    assert gained[-1] > gained[0]


def test_the_fit_is_nearly_the_most_likely_mixture():
    _, observed = simulated(np.full(1000, 0.97), np.random.default_rng(3).beta(0.5, 0.5, 1000), seed=3)
    weights = mixture.fit(observed)
    share = observed.count / observed.count.sum()
    # No mixture gains more in mean log-likelihood than log of the largest gradient (Lindsay 1983).
    gradient = joint(observed).T @ (share / (joint(observed) @ weights))
    assert np.log(gradient.max()) < 0.01
    assert weights @ gradient == pytest.approx(1)


def test_patterns_are_distinct_counts_with_their_likelihood():
    k_in, n_in, k_out, n_out = np.array([[7, 7, 6, 7], [7, 7, 7, 7], [1, 1, 1, 1], [3, 3, 3, 0]])
    k_out = np.minimum(k_out, n_out)
    observed = mixture.observe(k_in, n_in, k_out, n_out)
    assert sorted(observed.count.tolist()) == [1, 1, 2]
    patterns = np.unique(np.stack([k_in, n_in, k_out, n_out], axis=1), axis=0)
    for row, (ki, ni, ko, no) in zip(joint(observed), patterns, strict=True):
        expected = np.outer(binom.pmf(ki, ni, mixture.ACC_IN), binom.pmf(ko, no, mixture.ACC_OUT)).ravel()
        assert np.allclose(row, expected / expected.max())


def test_a_grid_point_is_its_score():
    expected = [p - q for p in mixture.ACC_IN for q in mixture.ACC_OUT]
    assert np.allclose(mixture.SCORES, expected)


def test_the_start_hardly_matters():
    acc_out = np.repeat([0.95, 0.3], 500)
    _, observed = simulated(np.ones(1000), acc_out, seed=4)
    _, similar = simulated(np.ones(1000), acc_out, seed=5)
    cold, warm = mixture.fit(observed), mixture.fit(observed, start=mixture.fit(similar))
    assert np.allclose(describe(mixture.SCORES, cold)[:3], describe(mixture.SCORES, warm)[:3], atol=0.01)
