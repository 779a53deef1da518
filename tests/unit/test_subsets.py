from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, hypergeom

from memflow import rng, subsets

RATIOS = st.integers(2, 12).flatmap(lambda b: st.integers(1, b - 1).map(lambda a: Fraction(a, b)))
DESIGNS = st.sampled_from(subsets.DESIGNS)
RATIO = Fraction(7, 10)
CHANCE = 1e-4  # seeds are fixed; with fresh ones a correct design would fail once in 10,000


def masks(design, ratio, seeds, n):
    return subsets.masks(design, ratio, seeds, np.arange(n))


def constructed(n, ratio, group):
    """The balanced construction, step by step as the methods describe it."""
    a, b = ratio.numerator, ratio.denominator
    order = rng.permutation("subset order", (str(ratio), n, group), n).tolist()
    keys = rng.raw("subset drops", (str(ratio), n, group), (-(-n // b), b)).tolist()
    runs = [set(order) for _ in range(b)]
    for number, start in enumerate(range(0, n, b)):
        dropped = sorted(range(b), key=lambda d, number=number: keys[number][d])[: b - a]
        for element, example in enumerate(order[start : start + b]):
            for d in dropped:
                runs[(d + element) % b].remove(example)
    return np.array([[example in run for example in range(n)] for run in runs])


@given(RATIOS, st.integers(1, 60), st.integers(0, 10**6))
def test_balanced_is_the_construction_of_the_methods(ratio, n, group):
    b = ratio.denominator
    drawn = masks("balanced", ratio, range(group * b, (group + 1) * b), n)
    assert np.array_equal(drawn, constructed(n, ratio, group))


@given(RATIOS, st.integers(1, 200), st.integers(0, 1000), st.integers(1, 4))
def test_every_example_is_in_a_and_out_of_the_other_runs_of_each_balanced_group(ratio, n, first, groups):
    a, b = ratio.numerator, ratio.denominator
    drawn = masks("balanced", ratio, range(first * b, (first + groups) * b), n)
    assert (drawn.reshape(groups, b, n).sum(axis=1) == a).all()


@given(RATIOS, st.integers(1, 200), st.integers(0, 1000))
def test_balanced_sizes_differ_only_by_the_last_incomplete_minigroup(ratio, n, group):
    a, b = ratio.numerator, ratio.denominator
    minigroups, rest = divmod(n, b)
    held_out = (~masks("balanced", ratio, range(group * b, (group + 1) * b), n)).sum(axis=1) - minigroups * (b - a)
    assert held_out.min() >= max(0, rest - a)
    assert held_out.max() <= min(b - a, rest)
    assert np.ptp(held_out) <= min(a, b - a, rest, b - rest)  # 3 of 1,437 for digits at 7/10


@given(st.sampled_from([Fraction(1, 3), Fraction(3, 5), Fraction(2, 7)]), st.integers(1, 100), st.integers(0, 1000))
def test_minigroups_hold_every_shift_of_one_pattern(ratio, n, group):
    b = ratio.denominator
    patterns = masks("balanced", ratio, range(group * b, (group + 1) * b), n).T
    shifts = [sorted(tuple(np.roll(pattern, k)) for k in range(b)) for pattern in patterns]
    orbits = {tuple(shift) for shift in shifts}
    uneven = 0
    for orbit in orbits:
        count = [sum(tuple(pattern) == shift for pattern in patterns) for shift in orbit]
        uneven += max(count) != min(count)
        assert max(count) - min(count) <= 1
    assert uneven == (n % b > 0)  # only the incomplete mini-group


@pytest.mark.parametrize(("n", "ratio"), [(5, Fraction(2, 3)), (6, Fraction(2, 3)), (7, Fraction(2, 5))])
def test_each_balanced_run_is_a_uniform_subset(n, ratio):
    a, b = ratio.numerator, ratio.denominator
    groups = 3000
    drawn = masks("balanced", ratio, range(groups * b), n).reshape(groups, b, n)
    minigroups, rest = divmod(n, b)
    expected = {}  # the size is random only through the last mini-group; given its size a subset is uniform
    for size in range(n + 1):
        chance = hypergeom.pmf(size - minigroups * (b - a), b, rest, b - a) / comb(n, size)
        if chance > 0:
            expected |= dict.fromkeys(combinations(range(n), size), groups * chance)
    for run in range(b):
        found = dict.fromkeys(expected, 0)
        for mask in drawn[:, run]:
            found[tuple(np.flatnonzero(~mask).tolist())] += 1  # an impossible subset is a KeyError
        assert chisquare(list(found.values()), list(expected.values())).pvalue > CHANCE


def test_each_balanced_run_holds_every_example_and_every_pair_equally_often():
    groups, n = 2000, 40
    drawn = masks("balanced", RATIO, range(groups * 10), n).reshape(groups, 10, n)
    frequency = drawn.mean(axis=0)
    assert abs(frequency - 0.7).max() < 5 * (0.7 * 0.3 / groups) ** 0.5  # 400 binomials, each within 5 standard errors
    first = drawn[:, 0].astype(float)
    together = (first.T @ first / groups)[np.triu_indices(n, 1)]
    both = 28 * 27 / (40 * 39)  # every run holds 28 of the 40
    assert abs(together - both).max() < 5 * (both * (1 - both) / groups) ** 0.5


@given(RATIOS, st.integers(1, 500), st.integers(0, 10**6), st.integers(1, 5))
def test_iid_subsets_have_exactly_the_rounded_size(ratio, n, first, count):
    assert (masks("iid", ratio, range(first, first + count), n).sum(axis=1) == round(ratio * n)).all()


def test_each_iid_run_is_a_uniform_subset():
    drawn = masks("iid", Fraction(2, 5), range(5000), 6)
    _, count = np.unique(drawn, axis=0, return_counts=True)
    assert len(count) == comb(6, 2)
    assert chisquare(count).pvalue > CHANCE


def test_iid_runs_are_independent():
    drawn = masks("iid", RATIO, range(2000), 100)
    overlap = (drawn[::2] & drawn[1::2]).sum(axis=1)
    expected = hypergeom(100, 70, 70)
    assert abs(overlap.mean() - expected.mean()) < 4 * expected.std() / len(overlap) ** 0.5
    assert abs(overlap.var() / expected.var() - 1) < 4 * (2 / len(overlap)) ** 0.5


@given(DESIGNS, RATIOS, st.integers(1, 50), st.integers(0, 40), st.integers(1, 40), st.integers(1, 40))
def test_more_seeds_leave_earlier_masks_as_they_are(design, ratio, n, first, count, more):
    longer = masks(design, ratio, range(first, first + count + more), n)
    assert np.array_equal(longer[:count], masks(design, ratio, range(first, first + count), n))


@given(DESIGNS, RATIOS, st.integers(1, 50), st.integers(0, 60), st.integers(1, 30))
def test_ranges_that_cut_groups_agree_with_whole_groups(design, ratio, n, first, count):
    whole = masks(design, ratio, range(120), n)
    assert np.array_equal(whole[first : first + count], masks(design, ratio, range(first, first + count), n))


@given(DESIGNS, RATIOS, st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(0, 100))
def test_duplicates_enter_and_leave_together(design, ratio, units, first):
    units = np.array(units)
    drawn = subsets.masks(design, ratio, range(first, first + 12), units)
    distinct, unit = np.unique(units, return_inverse=True)
    by_unit = masks(design, ratio, range(first, first + 12), len(distinct))
    assert np.array_equal(drawn, by_unit[:, unit])


def test_designs_ratios_and_seeds_give_different_masks():
    drawn = [
        masks(design, Fraction(ratio), range(20), 200)
        for design in subsets.DESIGNS
        for ratio in ("1/2", "3/5", "7/10", "4/5")
    ]
    hashes = [subsets.mask_hash(mask) for part in drawn for mask in part]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    ("design", "ratio", "seed", "n", "golden"),
    [
        ("balanced", "7/10", 0, 1437, "77a1edc43549e96c"),
        ("balanced", "7/10", 399, 1437, "e7c20804612b18ba"),
        ("balanced", "2/3", 5, 20, "20f41bd1d007b2fc"),
        ("iid", "7/10", 0, 1437, "682e03188adbef7a"),
        ("iid", "1/2", 123, 50, "ac8ec6b0a556b729"),
    ],
)
def test_masks_are_those_of_the_first_release(design, ratio, seed, n, golden):
    assert subsets.mask_hash(masks(design, Fraction(ratio), range(seed, seed + 1), n)[0]) == golden


def test_a_hash_tells_masks_apart_by_content_and_length():
    some = [np.array(bits, dtype=bool) for bits in ([1, 0, 1], [1, 0, 1, 0], [1, 1, 1], [0, 0, 0], [0] * 8, [0] * 9)]
    assert len({subsets.mask_hash(mask) for mask in some}) == len(some)


@settings(max_examples=20)
@given(RATIOS)
def test_a_group_is_b_runs_under_balanced_and_one_under_iid(ratio):
    assert subsets.group_size("balanced", ratio) == ratio.denominator
    assert subsets.group_size("iid", ratio) == 1


@pytest.mark.parametrize("ratio", [Fraction(0), Fraction(1), Fraction(-1, 2), Fraction(3, 2)])
def test_a_ratio_outside_0_to_1_is_refused(ratio):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        masks("balanced", ratio, range(2), 10)


def test_an_unknown_design_is_refused():
    with pytest.raises(ValueError, match="allowed: balanced, iid"):
        masks("cyclic", RATIO, range(2), 10)
