"""Statistics of a validation, on simulated references whose true correlation with the study is known."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import beta, norm, spearmanr

from memflow.validate.agreement import Measure, Runs, of_reference, of_study, table

N = 4000
SEVEN_TENTHS = Fraction(7, 10)


@pytest.fixture
def study(simulate):
    """Counts of runs that fit what they are trained on, without artificial examples."""

    def study(scores, groups=10, seed=0):
        merged = simulate(1.0, 1 - scores, groups=groups, seed=seed)
        return replace(merged, label_noise=np.zeros(len(scores), dtype=bool))

    return study


def truths(n, correlation, seed=0):
    """Two scores of each example, skewed towards 0 as memorisation is; the same for a correlation of 1."""
    random = np.random.default_rng(seed)
    normal = random.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], n)
    one, other = beta.ppf(norm.cdf(normal), 0.5, 2).T
    return one, one if correlation == 1 else other


def estimated(scores, runs, random):
    """Reference scores from some runs."""
    return 1 - random.binomial(runs.outside, 1 - scores) / runs.outside


def values(found, column="disattenuated"):
    return found.set_index("statistic")[column]


@pytest.mark.parametrize("number", [100, 1000])
@pytest.mark.parametrize("correlation", [1, 0.8, 0.3])
def test_the_true_correlation_is_recovered_through_the_noise_of_both_sides(study, correlation, number):
    """Measured over 12 repetitions: bias up to .007, standard deviation up to .007; uncorrected up to .10 too low."""
    one, other = truths(N, correlation)
    runs = Runs(number, SEVEN_TENTHS)
    reference = estimated(other, runs, np.random.default_rng(1))
    found = table(study(one), Measure("memorisation"), reference, confidence=0.95, runs=runs)
    true = {"pearson": np.corrcoef(one, other)[0, 1], "spearman": spearmanr(one, other)[0]}
    for statistic, expected in true.items():
        assert values(found)[statistic] == pytest.approx(expected, abs=0.025)
    if correlation == 1:
        assert (values(found, "value") < 0.97).all()
        assert values(found, "value").to_numpy() == pytest.approx(values(found, "ceiling").to_numpy(), abs=0.012)


def test_without_knowledge_of_the_reference_only_the_studys_noise_is_taken_away(study):
    one, other = truths(N, 0.8)
    reference = estimated(other, Runs(100, SEVEN_TENTHS), np.random.default_rng(1))
    found = table(study(one), Measure("memorisation"), reference, confidence=0.95)
    assert values(found)["pearson"] == pytest.approx(np.corrcoef(one, reference)[0, 1], abs=0.02)
    assert values(found, "ceiling_reference").isna().all()
    assert (values(found, "ceiling") == values(found, "ceiling_study")).all()


def test_halves_of_the_reference_tell_as_much_as_its_runs():
    """Which they do for Pearson, and nearly for Spearman."""
    _, scores = truths(20_000, 0.8)
    random, measure = np.random.default_rng(2), Measure("memorisation")
    halves = np.stack([estimated(scores, Runs(50, SEVEN_TENTHS), random) for _ in range(2)])
    from_runs = of_reference(halves.mean(axis=0), measure, None, Runs(100, SEVEN_TENTHS))
    from_halves = of_reference(halves.mean(axis=0), measure, halves, None)
    true = np.corrcoef(halves.mean(axis=0), scores)[0, 1]
    assert from_runs.ceilings[0] == pytest.approx(true, abs=0.003)
    assert from_halves.ceilings[0] == pytest.approx(true, abs=0.003)
    ranked = spearmanr(halves.mean(axis=0), scores)[0]
    assert from_runs.ceilings[1] == pytest.approx(ranked, abs=0.006)
    assert from_halves.ceilings[1] == pytest.approx(ranked, abs=0.02)


@pytest.mark.parametrize("name", ["memorisation", "c-score"])
def test_both_sides_have_the_precision_of_their_runs(study, name):
    """The study's ceiling, from its halves, is the reference's, from the number of runs, if the runs are as many."""
    scores, _ = truths(N, 1)
    measure, merged = Measure(name), study(scores)
    mine = of_study(merged, measure)
    theirs = of_reference(measure.of(merged), measure, None, Runs(100, SEVEN_TENTHS))
    assert mine.reliability == pytest.approx(theirs.reliability, abs=0.01)
    assert mine.ceilings[1] == pytest.approx(theirs.ceilings[1], abs=0.01)
    true = scores if name == "memorisation" else 1 - scores
    assert mine.ceilings == pytest.approx(
        (np.corrcoef(measure.of(merged), true)[0, 1], spearmanr(measure.of(merged), true)[0]), abs=0.012
    )


def test_intervals_hold_the_value_that_other_runs_would_give(study):
    """Over 200 sets of ten groups; the target is the mean over the sets. Measured over 400 at 0.95: .945 and .965."""
    one, other = truths(400, 0.7)
    reference = estimated(other, Runs(200, SEVEN_TENTHS), np.random.default_rng(1))
    limits = np.array([_limits(study(one, seed=seed), reference) for seed in range(200)])
    target = limits[:, :, 0].mean(axis=0)
    covered = ((limits[:, :, 1] <= target) & (target <= limits[:, :, 2])).mean(axis=0)
    assert (covered >= 0.9).all()


def _limits(merged, reference):
    """Value, lower and upper limit of each statistic, without the ceilings, which take long."""
    from memflow.statistics import agreement
    from memflow.validate.agreement import _correlations

    parts = {"all": np.isfinite(reference)}
    statistic = _correlations(merged, Measure("memorisation"), reference, parts)
    return agreement.interval(statistic, [merged.n_groups], 0.95).T


def test_scores_that_say_nothing_have_no_ceiling():
    nothing = of_reference(np.full(50, 0.3), Measure("memorisation"), None, Runs(100, SEVEN_TENTHS))
    assert np.isnan(nothing.ceilings).all()
    random = np.random.default_rng(0)
    noise = 1 - random.binomial(30, 0.5, 5000) / 30
    alone = of_reference(noise, Measure("memorisation"), None, Runs(100, SEVEN_TENTHS))
    assert alone.reliability < 0.06
    opposite = np.stack([np.arange(50.0), -np.arange(50.0)])
    assert np.isnan(of_reference(np.arange(50.0), Measure("memorisation"), opposite, None).ceilings).all()


def test_clipping_concerns_negative_memorisation_only(simulate):
    merged = simulate(0.5, np.full(60, 0.6))
    plain, clipped = Measure("memorisation").of(merged), Measure("memorisation", clip=True).of(merged)
    assert plain.min() < 0
    assert np.array_equal(clipped, np.maximum(plain, 0))
    out = Measure("c-score", clip=True).of(merged)
    assert np.array_equal(out, Measure("c-score").of(merged))
