from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow.statistics.paired import PairedTests, paired_tests
from memflow.statistics.trajectory_types import (
    CHANGES,
    DESCRIPTIVE,
    TESTED,
    classify,
    critical_p_value,
    describe,
)

TAU, FDR, CONFIDENCE = 0.15, 0.05, 0.95


# The descriptive label.


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        ((0.3, 0.3, 0.3), "constant"),
        ((0.3, 0.45, 0.3), "constant"),  # a range of exactly tau
        ((0.30, 0.46, 0.30), "cap-shaped"),
        ((0.30, 0.46, 0.31), "other"),  # exceeds one end by no more than tau
        ((0.1, 0.5, 0.3), "cap-shaped"),  # before increasing, though the last size exceeds the first by .2
        ((0.3, 0.5, 0.1), "cap-shaped"),
        ((0.1, 0.3, 0.5), "increasing"),
        ((0.1, 0.6, 0.5), "increasing"),  # the peak is not tau above the last size
        ((0.1, 0.05, 0.3), "increasing"),
        ((0.5, 0.3, 0.1), "decreasing"),
        ((0.5, 0.1, 0.5), "other"),  # a dip
        ((0.5, 0.4, 0.35), "constant"),  # .15 down
        ((0.0, 0.4, 0.4, 0.0), "cap-shaped"),
        ((0.2, 0.0, 0.4, 0.2), "cap-shaped"),  # the peak is decisive, not the dip
        ((0.0, 1.0), "increasing"),
        ((0.5, 0.2), "decreasing"),
        ((0.5, 0.35), "constant"),
    ],
)
def test_a_descriptive_label_reads_the_estimates(scores, label):
    assert describe(np.array(scores, dtype=float)[:, None], TAU).tolist() == [label]


@given(st.integers(-60, 60), st.integers(1, 30), st.integers(1, 60))
def test_a_difference_of_exactly_tau_counts_as_no_change(numerator, steps, runs):
    # As fractions of runs the difference is tau; in floating point it is often a bit more.
    tau = float(Fraction(steps, runs))
    first, last = numerator / runs, (numerator + steps) / runs
    for scores in ((first, last), (last, first), (first, last, first), (last, first, last)):
        assert describe(np.array(scores)[:, None], tau).tolist() == ["constant"]
    more = (numerator + steps + 1) / runs
    assert describe(np.array([first, more])[:, None], tau).tolist() == ["increasing"]
    assert describe(np.array([first, more, first])[:, None], tau).tolist() == ["cap-shaped"]


@given(st.integers(2, 7), st.integers(0, 2**32))
def test_labels_of_a_mirrored_trajectory_are_mirrored(sizes, seed):
    scores = np.random.default_rng(seed).integers(0, 11, (sizes, 50)) / 10
    mirror = {"increasing": "decreasing", "decreasing": "increasing"}
    labels = describe(scores, TAU)
    assert set(labels) <= set(DESCRIPTIVE)
    assert describe(scores[::-1], TAU).tolist() == [mirror.get(label, label) for label in labels]


# The tested type, given the tests.


def one_example(scores, p_trend=1.0, p_cap=1.0, margin=0.01, testable=True):
    of_example = {"p_trend": p_trend, "p_cap": p_cap, "margin": margin, "testable": testable}
    return PairedTests(np.array(scores)[:, None], **{name: np.array([value]) for name, value in of_example.items()})


RISE, FALL, CAP, FLAT, DIP = (0.1, 0.3, 0.5), (0.5, 0.3, 0.1), (0.1, 0.5, 0.1), (0.3, 0.3, 0.3), (0.5, 0.1, 0.5)


@pytest.mark.parametrize(
    ("scores", "tests", "expected"),
    [
        (RISE, {"p_trend": 0.004}, "increasing"),
        (RISE, {"p_trend": 0.005}, "increasing"),  # 2 x .005 is the critical value, which is significant
        (RISE, {"p_trend": 0.006}, "undetermined"),  # each of two tests has half of it
        (RISE, {"p_trend": 0.004, "testable": False}, "undetermined"),
        (RISE, {"p_cap": 0.001}, "undetermined"),
        (FALL, {"p_trend": 0.004}, "decreasing"),
        (CAP, {"p_cap": 0.004}, "cap-shaped"),
        (CAP, {"p_cap": 0.006}, "undetermined"),
        (CAP, {"p_cap": 0.004, "testable": False}, "undetermined"),
        (CAP, {"p_trend": 0.004}, "undetermined"),  # significant, but its ends do not differ by tau
        ((0.1, 0.5, 0.3), {"p_trend": 0.004, "p_cap": 0.004}, "cap-shaped"),  # a cap that also rises
        ((0.1, 0.5, 0.3), {"p_trend": 0.004, "p_cap": 0.1}, "increasing"),
        ((0.1, 0.3, 0.2), {"p_cap": 0.004}, "undetermined"),  # only .1 above the last size
        ((0.1, 0.15, 0.2), {"p_trend": 0.0}, "constant"),  # significant, but within tau with its margin
        ((0.1, 0.15, 0.2), {"p_trend": 0.0, "margin": 0.06}, "undetermined"),
        (FLAT, {"margin": 0.15}, "constant"),  # the margin may reach tau
        (FLAT, {"margin": 0.151}, "undetermined"),
        (FLAT, {"testable": False}, "constant"),
        (FLAT, {"p_trend": 0.0, "p_cap": 0.0}, "constant"),
        (DIP, {"p_trend": 0.004, "p_cap": 0.004}, "undetermined"),
    ],
)
def test_a_type_is_beyond_tau_and_significant_or_constant_within_its_margin(scores, tests, expected):
    assert classify(one_example(scores, **tests), TAU, critical=0.01).tolist() == [expected]


def test_with_two_sizes_the_trend_has_the_whole_level():
    assert classify(one_example((0.1, 0.5), p_trend=0.01), TAU, critical=0.01).tolist() == ["increasing"]


@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.2, 0.5]))
def test_the_critical_value_is_the_last_that_benjamini_and_hochberg_reject(seed, fdr):
    random = np.random.default_rng(seed)
    n = 40
    p = np.where(random.random(n) < 0.3, random.random(n) * 0.01, random.random(n)).round(3)
    testable = random.random(n) < 0.7
    tests = PairedTests(np.zeros((2, n)), testable, p, np.ones(n), np.zeros(n))
    in_order = np.sort(p[testable])
    rejected = [value for rank, value in enumerate(in_order, 1) if value <= fdr * rank / len(in_order) + 1e-12]
    assert critical_p_value(tests, fdr) == max(rejected, default=0)


def test_without_a_testable_example_nothing_is_significant():
    assert critical_p_value(one_example(RISE, p_trend=0.0, testable=False), FDR) == 0


# Calibration: planted types with binomial noise.

SIZES = 4
PATHS = {"increasing": [0, 1 / 3, 2 / 3, 1], "decreasing": [1, 2 / 3, 1 / 3, 0], "cap-shaped": [0, 0, 1, 0]}


def planted(flat, changed=0, effect=0.5, base=0.1):
    """True scores (sizes, n) and kinds: flat ones, and as many of each type of change."""
    kinds = np.repeat([*PATHS, "flat"], [changed] * 3 + [len(flat)])
    paths = [np.tile(base + effect * np.array(path)[:, None], changed) for path in PATHS.values()]
    return np.concatenate([*paths, np.tile(flat, (SIZES, 1))], axis=1), kinds


def classified(sizes):
    tests = paired_tests(sizes, TAU, CONFIDENCE)
    return classify(tests, TAU, critical_p_value(tests, FDR))


def easy(random, n):
    """Mostly right: the scores of an easy dataset, half of them below .03."""
    return random.beta(0.4, 6, n)


def hard(random, n):
    return np.full(n, 0.5)


def mixed(random, n):
    return random.choice([0, 0.05, 0.2, 0.5, 0.9], n, p=[0.4, 0.2, 0.2, 0.1, 0.1])


# Flat examples, how many, and changes of each type.
MIXTURES = {
    "easy, 1 in 20 changes": (easy, 285, 5),
    "flat at .5": (hard, 300, 0),
    "flat everywhere": (mixed, 300, 0),
    "half changes": (mixed, 150, 50),
}
STUDIES = {10: 60, 40: 20, 200: 8}  # by groups: K = 100, 400, 2,000


@pytest.mark.parametrize("groups", STUDIES)
@pytest.mark.parametrize("mixture", MIXTURES)
def test_the_false_discovery_rate_holds(simulate_family, mixture, groups):
    make, n, changed = MIXTURES[mixture]
    shares = []
    for study in range(STUDIES[groups]):
        scores, kinds = planted(make(np.random.default_rng(study), n), changed)
        shares.append(false_share(classified(simulate_family(scores, groups=groups, seed=study)), kinds))
    print(f"\n{mixture}, K = {10 * groups}: false discovery rate {np.mean(shares):.3f}")  # for decision 4
    assert np.mean(shares) <= FDR + sampling_error(changed, len(shares))


def false_share(types, kinds):
    """Of the examples called a change, the share that is flat."""
    assert set(types) <= set(TESTED)
    discovered = np.isin(types, CHANGES)
    return (discovered & (kinds == "flat")).sum() / max(1, discovered.sum())


def sampling_error(changed, studies):
    """Three standard errors of a rate of FDR. Without changes, a study's share is 0 or 1. With c changes found and

    none missed, it is about that of a Poisson number with mean c * FDR among c: a standard deviation of (FDR / c)^½.
    """
    deviation = (FDR * (1 - FDR)) ** 0.5 if changed == 0 else (FDR / (3 * changed)) ** 0.5
    return 3 * deviation / studies**0.5


@pytest.mark.parametrize("groups", [10, 40])
def test_the_false_discovery_rate_holds_where_small_sizes_do_not_fit(simulate_family, groups):
    # Half of the flat examples have their noise at the small sizes: the score is 0, but the accuracy rises.
    shares, n = [], 270
    acc_in = np.ones((SIZES, n + 30))
    acc_in[:, 30::2] = [[0.5], [0.7], [0.9], [1.0]]
    for study in range(30):
        scores, kinds = planted(np.where(np.arange(n) % 2 == 0, 0, mixed(np.random.default_rng(study), n)), changed=10)
        shares.append(false_share(classified(simulate_family(scores, acc_in, groups, seed=study)), kinds))
    assert np.mean(shares) <= FDR + sampling_error(30, len(shares))


def recognised(simulate_family, groups, effect):
    """Share of each planted type that is recognised, beside 300 flat examples."""
    scores, kinds = planted(mixed(np.random.default_rng(0), 300), changed=60, effect=effect)
    types = classified(simulate_family(scores, groups=groups, seed=groups))
    return {kind: (types[kinds == kind] == kind).mean() for kind in PATHS}


def test_power_rises_with_the_effect(simulate_family):
    shares = [recognised(simulate_family, 10, effect) for effect in (0.2, 0.4, 0.8)]
    for kind in PATHS:
        found = [of_effect[kind] for of_effect in shares]
        assert found[0] < 0.3 < found[2] - found[0]
        assert found[0] < found[1] < found[2]
        assert found[2] > 0.95


def test_power_rises_with_the_runs(simulate_family):
    shares = [recognised(simulate_family, groups, 0.3) for groups in STUDIES]
    for kind in PATHS:
        found = [of_groups[kind] for of_groups in shares]
        assert found[0] < found[1] <= found[2]
        assert found[0] < 0.7
        assert found[2] > 0.95


def test_with_enough_runs_flat_examples_are_constant(simulate_family):
    # At .5 the margin is 3.63 standard errors of a score (Tukey's range of four): .33, .17 and .074 at these K.
    shares = [
        (classified(simulate_family(np.full((SIZES, 300), 0.5), groups=groups)) == "constant").mean()
        for groups in STUDIES
    ]
    assert shares[0] == shares[1] == 0
    assert shares[2] > 0.9
    easily = simulate_family(np.full((SIZES, 300), 0.01), groups=10)
    assert (classified(easily) == "constant").mean() > 0.5  # already at K = 100, where an error at most is made


@pytest.mark.parametrize("groups", STUDIES)
@pytest.mark.parametrize("path", [[0, 0, 0, 1], [0, 1, 0, 1], [0, 0.3, 0.7, 1], [1, 0, 1, 1]])
@pytest.mark.parametrize("low", [0.0, 0.4])
def test_a_score_that_changes_by_more_than_tau_is_hardly_ever_called_constant(simulate_family, path, low, groups):
    n = 400
    scores = np.tile(low + 0.16 * np.array(path)[:, None], n)
    constant = (classified(simulate_family(scores, groups=groups)) == "constant").mean()
    assert constant <= 1 - CONFIDENCE + 3 * ((1 - CONFIDENCE) * CONFIDENCE / n) ** 0.5
