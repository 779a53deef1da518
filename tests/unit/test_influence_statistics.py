from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow import subsets
from memflow.statistics import influence as module
from memflow.statistics.influence import (
    BINS,
    STRATA,
    Best,
    Scan,
    bins,
    first_bin,
    influence,
    influence_of_pairs,
    largest,
    lower_edge,
    null_of,
    ranked,
    side_of,
)


def masked_means(masks, correct):
    """The two-line reference of Feldman and Zhang's code, pair by pair."""
    inside = [[correct[masks[:, i], j].mean() for j in range(correct.shape[1])] for i in range(masks.shape[1])]
    outside = [[correct[~masks[:, i], j].mean() for j in range(correct.shape[1])] for i in range(masks.shape[1])]
    return np.array(inside) - np.array(outside)


@st.composite
def runs(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    k, n, m = draw(st.integers(2, 60)), draw(st.integers(1, 12)), draw(st.integers(1, 9))
    masks, correct = random.random((k, n)) < random.random(n), random.random((k, m)) < random.random(m)
    return masks, correct


@given(runs())
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_influence_is_the_difference_of_two_masked_means_exactly(case):
    assert np.array_equal(influence(*case), masked_means(*case), equal_nan=True)


@given(runs())
def test_pairs_have_the_influence_of_the_whole_matrix(case):
    train, test = (axis.ravel() for axis in np.indices((case[0].shape[1], case[1].shape[1])))
    assert np.array_equal(influence_of_pairs(*case, train, test), influence(*case).ravel(), equal_nan=True)


def scan_of(masks, correct, group_size=1, threads=1):
    even = (np.arange(len(masks)) // group_size) % 2 == 0
    sides = {"all": np.ones(len(masks), dtype=bool), "even": even, "odd": ~even}
    sides = {name: side_of(masks, correct, chosen) for name, chosen in sides.items()}
    return Scan(masks, correct, sides, threads), sides


@given(runs(), st.integers(1, 3))
def test_blocks_of_rows_give_the_influence_of_all_runs_and_of_each_half(case, threads):
    masks, correct = case
    scan, sides = scan_of(masks, correct, threads=threads)
    blocks = [np.arange(start, min(start + 5, masks.shape[1])) for start in range(0, masks.shape[1], 5)]
    found = list(scan.of(lambda rows, values: values, blocks))
    for name, side in sides.items():
        expected = influence(masks[side.runs], correct[side.runs])
        assert np.array_equal(side.is_defined, np.isfinite(expected[:, 0]))
        together = np.concatenate([values[name] for values in found])
        assert np.allclose(together, np.nan_to_num(expected), atol=1e-6)


def test_a_fraction_that_equals_the_threshold_reaches_it():
    """As in a scan: in float32, of every share of 70 runs and of 30 whose difference is exactly 0.15."""
    threshold = first_bin(0.15)
    for right_in in range(71):
        for right_out in range(31):
            difference = Fraction(right_in, 70) - Fraction(right_out, 30) - Fraction(15, 100)
            slope, offset = np.float32(1 / 70 + 1 / 30), np.float32(1 / 30)
            value = np.float32(right_in) * slope - np.float32(right_in + right_out) * offset
            if abs(difference) < Fraction(1, 1000):
                assert difference == 0
            assert (bins(value) >= threshold) == (difference >= 0)
    assert bins(np.array([-1, 1])).tolist() == [0, BINS - 1]
    assert lower_edge(threshold) == pytest.approx(0.15, abs=1e-12)


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 4))
def test_the_largest_of_each_column_are_those_of_a_sort(seed, k, blocks):
    random = np.random.default_rng(seed)
    values = random.integers(-3, 4, (blocks * 3, 5)).astype(np.float32) / 4  # with many ties
    best = Best(5, k)
    for start in range(0, len(values), 3):
        best.add(values[start : start + 3], np.arange(start, start + 3))
    for column in range(5):
        order = [row for row in np.argsort(-values[:, column], kind="stable") if values[row, column] > 0][:k]
        assert best.row[column].tolist() == order + [-1] * (k - len(order))


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_the_largest_of_each_row_are_those_of_a_sort(seed, k):
    values = np.random.default_rng(seed).integers(-3, 4, (4, 5)).astype(np.float32) / 4
    row, column, rank = largest(values, k)
    for one in range(4):
        order = [place for place in np.argsort(-values[one], kind="stable") if values[one, place] > 0][:k]
        assert column[row == one].tolist() == order
        assert rank[row == one].tolist() == list(range(len(order)))
    assert [len(part) for part in largest(values[:, :0], k)] == [0, 0, 0]


def test_ranks_start_anew_with_every_key():
    order, rank = ranked(np.array([1, 0, 1, 0]), np.array([0.1, 0.2, 0.3, 0.2]))
    assert order.tolist() == [1, 3, 2, 0]
    assert rank.tolist() == [0, 1, 0, 1]
    assert [len(part) for part in ranked(np.empty(0, dtype=int), np.empty(0))] == [0, 0]


# --- the null ------------------------------------------------------------------------------------------------------


def balanced(k, n, m, random):
    masks = subsets.masks("balanced", Fraction(7, 10), range(k), np.arange(n))
    return masks, random.random((k, m)) < random.uniform(0.1, 0.95, m)


def test_p_values_are_uniform_where_there_is_no_influence():
    """100 runs, 60 x 40 independent pairs: the share of p-values at or below 0.1 has a standard error of 0.006 if pairs
    were independent; those of a column share its bits, which at most doubles it."""
    random = np.random.default_rng(3)
    masks, correct = balanced(100, 60, 40, random)
    scan, sides = scan_of(masks, correct, group_size=10)
    nulls = {name: null_of(draws, sides[name].pairs()) for name, draws in scan.null(np.arange(100) // 10).items()}
    for name, side in sides.items():
        values = influence(masks[side.runs], correct[side.runs])
        p = nulls[name].p.ravel()[side.cells(values, np.arange(40))]
        assert p.min() > 0
        for level in (0.1, 0.3, 0.5):
            assert (p <= level).mean() < level + 0.036
        assert (p <= 0.5).mean() > 0.35  # discrete: an observed value is counted with its equals


def test_every_draw_of_the_null_deals_whole_groups(monkeypatch):
    """With two groups a side has one: nothing can change places, and the null is what was observed."""
    random = np.random.default_rng(4)
    masks, correct = balanced(20, 30, 8, random)
    scan, sides = scan_of(masks, correct, group_size=10)
    draws = scan.null(np.arange(20) // 10)
    for name, side in sides.items():
        observed = np.bincount(
            side.cells(influence(masks[side.runs], correct[side.runs]), np.arange(8)).ravel(),
            minlength=(STRATA + 1) * BINS,
        ).reshape(-1, BINS)[:STRATA]
        times = draws[name].sum() // observed.sum()
        assert np.array_equal(draws[name], observed * times)


def test_nothing_to_test_gives_a_null_of_nothing():
    masks, correct = np.tile([True, False], (4, 1)), np.ones((4, 3), dtype=bool)
    scan, sides = scan_of(masks, correct)
    for name, draws in scan.null(np.arange(4)).items():
        null = null_of(draws, sides[name].pairs())
        assert draws.sum() == 0
        assert (null.p == 1).all()
        assert (null.q(np.zeros((STRATA, BINS), dtype=int), first_bin(0.15)) >= 0).all()


def test_false_discovery_rates_are_those_of_a_plain_count():
    random = np.random.default_rng(5)
    draws = np.zeros((STRATA, BINS), dtype=np.int64)
    observed = np.zeros_like(draws)
    for stratum in range(3):
        np.add.at(draws[stratum], random.integers(1500, 2600, 4000), 1)
        np.add.at(observed[stratum], random.integers(1500, 3000, 300), 1)
    pairs = np.array([300] * 3 + [0] * (STRATA - 3))
    null, least = null_of(draws, pairs), 2100
    q = null.q(observed, least)
    assert (q[:, :least] == 1).all()
    p, chance, seen = (part[:STRATA, least:].ravel() for part in (null.p, null.expected, observed))
    limits = np.unique(p)
    rates = [(chance[p <= limit].sum() + null.scale) / max(1, seen[p <= limit].sum()) for limit in limits]
    for cell in range(0, 3 * (BINS - least), 97):
        assert q[:, least:].ravel()[cell] == pytest.approx(min([1, *np.array(rates)[limits >= p[cell]]]))
    for place in (least, 2500, 2900):
        chance, found = null.expected[:, place:].sum() + null.scale, observed[:, place:].sum()
        assert null.rate_from(observed, least)[place - least] == pytest.approx(chance / found)


def test_p_values_are_shares_of_their_stratum():
    draws = np.zeros((STRATA, BINS), dtype=np.int64)
    draws[0, [2000, 2100, 2200]] = [5, 3, 1]
    null = null_of(draws, np.array([18, *[0] * (STRATA - 1)]))
    assert null.p[0, [2000, 2001, 2150, 2201]].tolist() == [1, 0.5, 0.2, 0.1]
    assert null.scale == 2
    assert null.expected[0, 2100] == 6
    assert (null.p[STRATA] == 1).all()
    assert null.largest_p() == 1


def test_the_null_draws_as_finely_as_many_pairs_ask_for(monkeypatch):
    random = np.random.default_rng(6)
    masks, correct = balanced(40, 30, 5, random)
    scan, _ = scan_of(masks, correct, group_size=10)
    testable = (correct.any(axis=0) & ~correct.all(axis=0)).sum()
    assert scan.null(np.arange(40) // 10)["all"].sum() == 100 * 30 * testable
    monkeypatch.setattr(module, "MOST_DRAWS", 20 * 7 * testable)
    assert scan.null(np.arange(40) // 10)["all"].sum() == 20 * 7 * testable
