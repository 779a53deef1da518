from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kstest

from memflow.statistics.paired import EXAMPLES_PER_BIN, MOST_BINS, bins_of, largest_change, paired_tests

TAU, CONFIDENCE = 0.15, 0.95
LEVELS = (0.01, 0.05, 0.2)


def examine(sizes):
    return paired_tests(sizes, TAU, CONFIDENCE)


def tolerance(share, n):
    """Four binomial standard errors."""
    return 4 * (share * (1 - share) / n) ** 0.5


def flat(scores, sizes=4):
    return np.tile(scores, (sizes, 1))


def repeating(simulate, acc_out, rho, seed, sizes=4):
    """Flat sizes; each outcome is, with chance rho, one that all sizes have in common: a correlation of rho²."""
    random = np.random.default_rng(seed)
    template = simulate(np.ones(len(acc_out)), acc_out)
    common, *own = random.random((1 + sizes, 10, 3, len(acc_out)))
    draws = [np.where(random.random(common.shape) < rho, common, of_size) for of_size in own]
    return [replace(template, correct_out=(draw < acc_out).sum(axis=1).astype(np.uint8)) for draw in draws]


def test_scores_are_those_of_the_counts_smallest_size_first(simulate_family):
    sizes = simulate_family([[0.1, 0.5], [0.4, 0.5], [0.9, 0.5]], acc_in=0.95)
    tests = examine(sizes)
    assert np.array_equal(tests.scores, [size.scores() for size in sizes])
    assert tests.p_trend.shape == tests.p_cap.shape == tests.margin.shape == tests.testable.shape == (2,)


def independent_runs(sizes):
    """Each group becomes one run, with every example in- or out-of-sample by the toss of a coin."""
    inside = np.random.default_rng(0).random(sizes[0].n_in.shape) < 0.6
    return [
        replace(
            size,
            n_in=inside.astype(np.uint8),
            n_out=(~inside).astype(np.uint8),
            correct_in=inside * size.correct_in,
            correct_out=~inside * size.correct_out,
        )
        for size in sizes
    ]


@pytest.mark.parametrize("design", ["balanced", "iid"])
def test_the_null_is_pooled_from_flips_of_centred_groups_that_all_sizes_share(simulate_family, design):
    # Everything anew, with other signs; 60 examples stand in one bin.
    sizes, groups, n = simulate_family(flat(np.full(60, 0.4), 3), acc_in=0.9, seed=1), 10, 60
    if design == "iid":
        groups = 40
        sizes = independent_runs(simulate_family(flat(np.full(n, 0.4), 3), 0.9, groups, ratio=(1, 2), seed=1))
    found = examine(sizes)
    assert found.testable.all()

    def centred(correct, runs):
        total = runs.sum(axis=0)
        return (correct - correct.sum(axis=0) / total * runs) / total

    signs = np.random.default_rng(7).choice([-1, 1], (4000, groups)) * (groups / (groups - 1)) ** 0.5
    null = [
        (signs @ (centred(size.correct_in, size.n_in) - centred(size.correct_out, size.n_out))).ravel()
        for size in sizes
    ]
    small, middle, large = found.scores
    for i in range(n):
        trend = (abs(null[2] - null[0]) >= abs(large[i] - small[i]) - 1e-9).mean()
        from_small = (null[1] - null[0] >= middle[i] - small[i] - 1e-9).mean()
        from_large = (null[1] - null[2] >= middle[i] - large[i] - 1e-9).mean()
        # The code makes 334 flips of 60 examples: .02 is four errors if every fourth example counts as one.
        assert found.p_trend[i] == pytest.approx(trend, abs=0.02)
        assert found.p_cap[i] == pytest.approx(max(from_small, from_large), abs=0.02)
    assert np.allclose(found.margin, np.quantile(np.ptp(null, axis=0), CONFIDENCE), rtol=0.05)


@pytest.mark.parametrize("groups", [10, 40])  # K = 100 and 400
@pytest.mark.parametrize("acc_in", [1.0, 0.8])
def test_without_a_change_p_values_are_uniform(simulate_family, groups, acc_in):
    n = 3000
    p = examine(simulate_family(flat(np.linspace(0.3, 0.6, n)), acc_in, groups, seed=2)).p_trend
    for level in LEVELS:
        assert (p <= level).mean() == pytest.approx(level, abs=tolerance(level, n))
    if acc_in < 1:  # else differences are multiples of 1/30 or 1/120, and p-values above .5 have few values
        assert kstest(p, "uniform").pvalue > 1e-3  # once in 1,000 with fresh seeds


def test_p_values_of_a_bin_are_right_on_average_though_noise_sits_at_other_sizes(simulate_family):
    # Both halves have the same variance over the sizes, but in one it is the ends', in the other the middle's.
    n, noisy, quiet = 3000, 0.5, 1.0
    ends = np.arange(n) % 2 == 0
    accuracies = np.where(ends, np.array([[noisy], [quiet], [quiet], [noisy]]), [[quiet], [noisy], [noisy], [quiet]])
    tests = examine(simulate_family(np.zeros((4, n)), accuracies, groups=40, seed=3))
    for level in LEVELS[:2]:
        assert (tests.p_trend <= level).mean() == pytest.approx(level, abs=tolerance(level, n))
        assert (tests.p_trend[ends] <= level).mean() > level + tolerance(level, n // 2)  # the price of pooling


def test_flips_are_shared_so_that_runs_alike_leave_less_noise_between_sizes(simulate, simulate_family):
    n, rho = 1500, 0.9
    unlike = examine(simulate_family(flat(np.full(n, 0.5)), seed=4))
    alike = examine(repeating(simulate, np.full(n, 0.5), rho, seed=4))
    # A difference has 1 - rho² of the variance. Margins are about .31 and .13, on a lattice of steps of .03.
    assert alike.margin.mean() / unlike.margin.mean() == pytest.approx((1 - rho**2) ** 0.5, abs=0.05)
    for level in LEVELS[:2]:  # at .2 the lattice shows
        assert (alike.p_trend <= level).mean() == pytest.approx(level, abs=tolerance(level, n))
    same = examine(repeating(simulate, np.full(n, 0.5), 1.0, seed=4))
    assert (same.margin == 0).all()
    assert (same.p_trend == 1).all()


@pytest.mark.parametrize("groups", [10, 40])
@pytest.mark.parametrize("acc_in", [1.0, 0.8])
def test_margins_hold_for_all_pairs_of_sizes_at_once(simulate_family, groups, acc_in):
    n = 3000
    scores = np.linspace(0.2, 0.7, n) * np.array([[1.0], [0.8], [1.1], [0.9]])  # they change: noise is what is covered
    tests = examine(simulate_family(scores, acc_in, groups, seed=5))
    error = tests.scores - scores
    pairs = [abs(error[one] - error[other]) for one, other in combinations(range(4), 2)]
    covered = np.max(pairs, axis=0) <= tests.margin + 1e-9
    # Both sides: wider intervals would call nothing constant. A lattice of 1/30 makes them wider, by up to a step.
    assert covered.mean() > CONFIDENCE - tolerance(CONFIDENCE, n)
    assert covered.mean() < CONFIDENCE + 0.025
    one_pair = (pairs[0] <= tests.margin + 1e-9).mean()
    assert one_pair > covered.mean() + 0.015  # not just each pair


def test_more_confidence_is_a_wider_margin(simulate_family):
    sizes = simulate_family(flat(np.full(200, 0.5)))
    assert (paired_tests(sizes, TAU, 0.99).margin > paired_tests(sizes, TAU, 0.8).margin).all()


def test_a_score_that_rises_and_stays_is_no_cap(simulate_family):
    # The edge of the null: one of the two drops is none, the other is certain. The smaller p-value would always reject.
    n = 2000
    for path in ([0.1, 0.1, 0.6, 0.6], [0.1, 0.6, 0.6, 0.6], [0.6, 0.6, 0.1, 0.1], [0.1, 0.3, 0.5, 0.7]):
        tests = examine(simulate_family(np.tile(np.array(path)[:, None], n), groups=40, seed=6))
        assert (tests.p_trend < 0.001).mean() > 0.99
        for level in LEVELS[:2]:
            assert (tests.p_cap <= level).mean() < level + tolerance(level, n)


def test_without_an_interior_size_above_both_ends_a_cap_has_a_large_p_value(simulate_family):
    tests = examine(simulate_family(flat(np.linspace(0.2, 0.8, 500)), acc_in=0.9, seed=7))
    no_peak = tests.scores[1:-1].max(axis=0) <= np.maximum(tests.scores[0], tests.scores[-1])
    assert 100 < no_peak.sum() < 400
    assert tests.p_cap[no_peak].min() > 0.4  # half of the null lies above a drop of at most zero, but for the draws
    assert tests.p_cap[~no_peak].min() < 0.02


def test_interior_sizes_are_paid_for(simulate_family):
    scores = flat(np.full(300, 0.5), 5)
    sizes = simulate_family(scores, groups=40, seed=8)
    alone = [examine([sizes[0], sizes[interior], sizes[-1]]).p_cap for interior in (1, 2, 3)]
    assert np.allclose(examine(sizes).p_cap, np.minimum(1, 3 * np.min(alone, axis=0)), atol=0.05)  # other draws


def test_a_cap_is_found_at_any_interior_size(simulate_family):
    for peak in (1, 2, 3):
        scores = np.full((5, 200), 0.1)
        scores[peak] = 0.8
        tests = examine(simulate_family(scores, groups=40, seed=9))
        assert (tests.p_cap < 0.001).all()
        assert (tests.p_trend < 0.001).mean() < 0.05


def test_the_p_value_of_no_change_is_that_of_two_tests(simulate_family):
    tests = examine(simulate_family(flat(np.linspace(0.2, 0.8, 100), 3)))
    assert np.array_equal(tests.p_value, np.minimum(1, 2 * np.minimum(tests.p_trend, tests.p_cap)))
    assert (tests.p_value < tests.p_trend).any()


def test_two_sizes_have_no_cap_and_pay_for_no_test_of_one(simulate_family):
    tests = examine(simulate_family(flat(np.linspace(0.2, 0.8, 100), 2)))
    assert (tests.p_cap == 1).all()
    assert np.array_equal(tests.p_value, tests.p_trend)
    assert tests.n_tests == 1


def exact(simulate, wrong_out, wrong_in=(0, 0), n=20):
    """Two sizes of two groups of ratio 1/2 of ten runs each: so many of an example's ten outcomes are wrong."""
    template = simulate(np.ones(n), np.ones(n), groups=2, ratio=(5, 10))

    def counts_of(out, inside):
        correct_out, correct_in = template.n_out.copy(), template.n_in.copy()
        correct_out[0, 0] -= out
        correct_in[0, 0] -= inside
        return replace(template, correct_in=correct_in, correct_out=correct_out)

    return [counts_of(*of_size) for of_size in zip(wrong_out, wrong_in, strict=True)]


@pytest.mark.parametrize(
    ("wrong_out", "wrong_in", "tau", "testable"),
    [
        ((0, 0), (0, 0), 0.15, False),  # always right
        ((1, 0), (0, 0), 0.15, False),  # the one error makes a change of .1
        ((1, 1), (0, 0), 0.15, True),  # two at one size would make .2
        ((1, 0), (1, 0), 0.15, True),  # an error of each kind, at two sizes, too
        ((5, 4), (0, 0), 0.85, True),
        ((4, 4), (0, 0), 0.85, False),
    ],
)
def test_an_example_is_testable_if_its_errors_could_make_a_change(simulate, wrong_out, wrong_in, tau, testable):
    tests = paired_tests(exact(simulate, wrong_out, wrong_in), tau, CONFIDENCE)
    assert tests.testable.tolist() == [testable] + [False] * 19


def test_an_example_that_is_hardly_ever_right_is_not_testable_either():
    accuracies = np.zeros((3, 2, 2))
    accuracies[0, 0] = [0.1, 0.2]
    assert np.allclose(largest_change(accuracies), [0.1, 0.2])
    assert np.allclose(largest_change(1 - accuracies), [0.1, 0.2])


def test_no_arrangement_of_the_same_errors_changes_more_than_the_largest_change():
    errors = np.random.default_rng(0).random((3, 2, 400)) * np.random.default_rng(1).choice([0.05, 0.3, 1], 400)
    scores = errors[:, 1] - errors[:, 0]
    assert (np.ptp(scores, axis=0) <= largest_change(1 - errors) + 1e-12).all()


def test_examples_that_are_not_testable_change_no_p_value_of_the_others(simulate_family):
    random = np.random.default_rng(0)
    scores = flat(np.where(random.random(800) < 0.5, 0, random.uniform(0.2, 0.8, 800)))
    sizes = simulate_family(scores, seed=10)
    tests = examine(sizes)
    assert 100 < tests.testable.sum() < 700
    alone = examine([size.select(tests.testable) for size in sizes])
    for name in ("p_trend", "p_cap", "margin"):
        assert np.array_equal(getattr(tests, name)[tests.testable], getattr(alone, name)), name


def test_the_order_of_the_examples_does_not_matter_within_a_bin(simulate_family):
    n = 200
    sizes = simulate_family(flat(np.linspace(0.2, 0.8, n)), seed=11)
    order = np.random.default_rng(0).permutation(n)
    one, other = examine(sizes), examine([size.select(order) for size in sizes])
    assert np.array_equal(one.p_value[order], other.p_value)
    assert np.array_equal(one.margin[order], other.margin)


NOBODY = np.zeros(1000, dtype=bool)


@pytest.mark.parametrize(("n", "count"), [(1, 1), (299, 1), (300, 2), (1437, 9), (50_000, MOST_BINS)])
def test_bins_are_equal_parts_along_the_variance(n, count):
    variance = np.random.default_rng(0).random(n)
    bins = bins_of(variance, np.ones(n, dtype=bool), np.zeros(n, dtype=bool))
    sizes = np.bincount(bins)
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 1
    assert count == 1 or sizes.min() >= EXAMPLES_PER_BIN - 1
    assert (np.diff(bins[np.argsort(variance)]) >= 0).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_no_bin_mixes_testable_examples_with_others(share):
    random = np.random.default_rng(0)
    variance, testable = random.random(1000), random.random(1000) < share
    bins = bins_of(variance, testable, NOBODY)
    assert np.array_equal(np.unique(bins), np.arange(bins.max() + 1))
    assert not set(bins[testable]) & set(bins[~testable])


def test_equal_variances_share_a_bin_so_that_the_order_does_not_matter():
    random = np.random.default_rng(0)
    variance, order = random.integers(0, 40, 1000) / 40, random.permutation(1000)
    bins = bins_of(variance, ~NOBODY, NOBODY)
    assert bins.max() > 3
    assert np.array_equal(bins[order], bins_of(variance[order], ~NOBODY, NOBODY))
    assert all(len(set(bins[variance == value])) == 1 for value in variance)
    assert bins_of(np.full(1000, 0.1), ~NOBODY, NOBODY).tolist() == [0] * 1000


def test_guests_are_tested_against_the_others_and_change_nothing_for_them(simulate_family):
    # Guests with the noise of .5 among hosts of .2 to .8, and guests that no host is like: never wrong.
    scores = flat(np.concatenate([np.linspace(0.2, 0.8, 500), np.full(2000, 0.5), np.zeros(50)]))
    sizes = simulate_family(scores, seed=13)
    hosts = examine([size.select(np.arange(500)) for size in sizes])
    found = paired_tests(sizes, TAU, CONFIDENCE, guests=2050)
    for name in ("p_trend", "p_cap", "margin"):
        assert np.array_equal(getattr(found, name)[:500], getattr(hosts, name)), name
    assert set(found.margin[500:2500]) <= set(hosts.margin)
    assert (found.margin[2500:] == 0).all()
    assert (found.p_trend[2500:] == 1).all()


def test_margins_follow_the_noise_of_the_example(simulate_family):
    margin = examine(simulate_family(flat(np.repeat([0.1, 0.5], 900)), groups=40, seed=12)).margin
    # Standard deviations are .3 and .5; one of twelve bins may hold both kinds.
    assert margin[:900].mean() / margin[900:].mean() == pytest.approx(0.6, abs=0.06)
