import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr, t

from memflow.statistics import mixture
from memflow.statistics.agreement import correlations, interval, rank_ceiling

GROUPS, RUNS, CONFIDENCE = 10, 8, 0.95


def noisy(seed, n=80):
    """A measure and its truth: [groups, n] and [runs, n] of noise around related truths."""
    truth = np.random.default_rng(99).normal(size=(2, n))
    truth[1] += truth[0]
    random = np.random.default_rng(seed)
    return truth[0] + 2 * random.normal(size=(GROUPS, n)), truth[1] + 2 * random.normal(size=(RUNS, n))


def correlated(by_group, by_run):
    return lambda used: correlations(by_group[used[0]].mean(axis=0), by_run[used[1]].mean(axis=0))


def likely_counts(acc_out, runs, seed):
    """Counts of always right in-sample and acc_out out-of-sample, with in- and out-of-sample runs, at 7/10."""
    n_in, n_out = np.full(len(acc_out), 7 * runs // 10), np.full(len(acc_out), 3 * runs // 10)
    return n_in, n_in, np.random.default_rng(seed).binomial(n_out, acc_out), n_out


def test_correlations_are_those_of_scipy_over_the_examples_that_have_both():
    random = np.random.default_rng(0)
    one, other = random.integers(0, 9, (2, 200)).astype(np.float32)  # many ties
    other += one
    one[:3], other[3:5], other[5] = np.nan, np.nan, np.inf
    expected = [f(one[6:], other[6:]).statistic for f in (pearsonr, spearmanr)]
    assert correlations(one, other) == pytest.approx(expected)


def test_there_is_no_correlation_without_variance():
    varied, constant = np.arange(4.0), np.full(4, 0.1, dtype=np.float32)
    for one, other in ((constant, varied), (varied, constant), (varied[:1], varied[:1]), (varied[:0], varied[:0])):
        assert np.isnan(correlations(one, other)).all()
    assert np.isnan(correlations(varied, np.array([np.nan, np.nan, np.nan, 1]))).all()


def test_the_interval_adds_the_jackknife_variances_of_both_samples():
    by_group, by_run = noisy(seed=0)
    value, low, high = interval(correlated(by_group, by_run), (GROUPS, RUNS), CONFIDENCE)
    score, proxy = by_group.mean(axis=0), by_run.mean(axis=0)
    without_group = np.array([correlations(np.delete(by_group, g, 0).mean(axis=0), proxy) for g in range(GROUPS)])
    without_run = np.array([correlations(score, np.delete(by_run, r, 0).mean(axis=0)) for r in range(RUNS)])
    variance = sum(
        (len(x) - 1) / len(x) * ((x - x.mean(axis=0)) ** 2).sum(axis=0) for x in (without_group, without_run)
    )
    assert value == pytest.approx(correlations(score, proxy))
    margin = t.ppf(0.975, RUNS - 1) * variance**0.5
    assert low == pytest.approx(value - margin)
    assert high == pytest.approx(value + margin)


def test_many_groups_are_left_out_in_20_sets():
    values = np.random.default_rng(1).normal(size=40)
    pairs = values.reshape(20, 2).mean(axis=1)
    _, low, high = interval(lambda used: values[used[0]].mean(keepdims=True), (40,), CONFIDENCE)
    assert high - low == pytest.approx(2 * t.ppf(0.975, 19) * pairs.std(ddof=1) / 20**0.5)


@pytest.mark.parametrize("units", [(GROUPS, 1), (1, RUNS)])
def test_a_single_unit_gives_a_value_without_an_interval(units):
    by_group, by_run = noisy(seed=0)
    found = interval(correlated(by_group[: units[0]], by_run[: units[1]]), units, CONFIDENCE)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1:]).all()


def test_the_interval_covers_the_agreement_at_this_number_of_runs():
    studies = 300
    found = np.array([interval(correlated(*noisy(seed)), (GROUPS, RUNS), CONFIDENCE) for seed in range(studies)])
    truth = found[:, 0].mean(axis=0)
    spread = found[:, 0].std(axis=0)
    covered = ((found[:, 1] <= truth) & (truth <= found[:, 2])).mean(axis=0)
    # Four binomial standard errors of a coverage of 95 %; the interval may err on the wide side, but not by half.
    assert (covered > 0.95 - 4 * (0.95 * 0.05 / studies) ** 0.5).all()
    assert ((found[:, 2] - found[:, 0]).mean(axis=0) < 1.5 * t.ppf(0.975, RUNS - 1) * spread).all()


def test_bootstrap_replicates_of_a_correlation_lie_below_the_estimate():
    lower = []
    for seed in range(20):
        by_group, by_run = noisy(seed)
        random = np.random.default_rng(seed)
        replicates = [
            correlations(*(by[random.integers(0, len(by), len(by))].mean(axis=0) for by in (by_group, by_run)))
            for _ in range(50)
        ]
        value = correlations(by_group.mean(axis=0), by_run.mean(axis=0))
        lower.append((replicates < value).mean(axis=0))
    assert (np.mean(lower, axis=0) > 0.8).all()  # an unbiased replicate would be lower in half of the cases


@pytest.mark.parametrize("runs", [20, 100, 400])
@pytest.mark.parametrize("shape", [(0.8, 0.5), (2, 1)])
def test_the_simulated_ceiling_is_the_rank_correlation_with_the_known_truth(runs, shape):
    n = 8000
    acc_out = np.concatenate([np.ones(n // 5), np.random.default_rng(3).beta(*shape, n - n // 5)])
    k_in, n_in, k_out, n_out = likely_counts(acc_out, runs, seed=runs)
    expected = spearmanr(k_in / n_in - k_out / n_out, 1 - acc_out).statistic
    weights = mixture.fit(mixture.observe(k_in, n_in, k_out, n_out))
    # The correlation of 8,000 examples has a standard error of (1 - r²) / 90, below .003; .005 for the fit.
    assert rank_ceiling(weights, n_in, n_out) == pytest.approx(expected, abs=0.008)


def test_the_ceiling_rises_with_the_runs_and_is_the_same_every_time():
    acc_out = np.random.default_rng(4).beta(0.8, 0.5, 500)
    weights = mixture.fit(mixture.observe(*likely_counts(acc_out, 100, seed=4)))
    ceilings = [rank_ceiling(weights, np.full(500, 7 * k), np.full(500, 3 * k)) for k in (1, 5, 10, 100)]
    assert sorted(ceilings) == ceilings
    assert ceilings[0] < 0.9 < 0.98 < ceilings[-1] < 1
    assert ceilings[2] == rank_ceiling(weights, np.full(500, 70), np.full(500, 30))


def test_examples_with_fewer_runs_lower_the_ceiling_and_those_without_do_not_count():
    acc_out = np.random.default_rng(5).beta(0.8, 0.5, 500)
    k_in, n_in, k_out, n_out = likely_counts(acc_out, 100, seed=5)
    weights = mixture.fit(mixture.observe(k_in, n_in, k_out, n_out))
    some = np.where(np.arange(500) % 2, 3, n_out)
    everywhere, mixed, few = (rank_ceiling(weights, n_in, n) for n in (n_out, some, np.full(500, 3)))
    assert few < mixed < everywhere
    never = np.where(np.arange(500) % 2, 0, n_out)
    assert rank_ceiling(weights, n_in, never) == pytest.approx(everywhere, abs=1e-9)


def test_there_is_no_ceiling_without_variance_or_scores():
    weights = np.zeros(len(mixture.SCORES))
    weights[mixture.SCORES == 0] = 1 / (mixture.SCORES == 0).sum()
    n = np.full(10, 70)
    assert np.isnan(rank_ceiling(weights, n, n))
    assert np.isnan(rank_ceiling(weights, n, 0 * n))
