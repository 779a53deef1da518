from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from memflow.statistics.signflip import holm, sign_flip_p_value


@pytest.mark.parametrize("groups", [1, 2, 5, 8, 12])
def test_all_sign_patterns_are_counted_up_to_12_groups(groups):
    differences = np.random.default_rng(groups).normal(0.5, 1, groups)
    far = [
        abs(np.dot(signs, differences)) >= abs(differences.sum()) - 1e-9 for signs in product((1, -1), repeat=groups)
    ]
    assert sign_flip_p_value(differences) == np.mean(far)


@pytest.mark.parametrize(("groups", "least"), [(2, 0.5), (4, 0.125), (6, 0.03125), (8, 0.0078125), (10, 0.001953125)])
def test_the_smallest_p_value_is_that_of_equal_signs(groups, least):
    assert sign_flip_p_value(np.full(groups, 0.3)) == least
    assert sign_flip_p_value(np.full(groups, -0.3)) == least


def test_with_many_groups_the_drawn_patterns_are_always_the_same_and_agree_with_student():
    differences = np.random.default_rng(0).normal(0.3, 1, 40)
    p = sign_flip_p_value(differences)
    assert p == sign_flip_p_value(differences)
    assert p == pytest.approx(ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert sign_flip_p_value(np.full(40, 0.3)) == 1 / 20_001


def test_neither_the_sign_nor_the_order_of_the_groups_matters_and_no_difference_is_no_evidence():
    differences = np.random.default_rng(1).normal(0.3, 1, 9)
    assert sign_flip_p_value(differences) == sign_flip_p_value(-differences) == sign_flip_p_value(differences[::-1])
    assert sign_flip_p_value(np.zeros(9)) == 1


def test_equal_fractions_that_were_computed_in_another_order_are_equal():
    # Exact: .1 + .2 - .3 is 0, as far from 0 as its mirror image and no farther than any other pattern.
    assert sign_flip_p_value(np.array([0.1, 0.2, -0.3])) == 1


@pytest.mark.parametrize("groups", [6, 10, 20])
def test_without_an_effect_the_test_keeps_its_level(groups):
    differences = np.random.default_rng(groups).standard_t(3, (2000, groups))
    p = np.array([sign_flip_p_value(row) for row in differences])
    for level in (0.05, 0.2):
        assert (p <= level).mean() <= level + 4 * (level * (1 - level) / 2000) ** 0.5


def test_holm_multiplies_by_the_number_that_is_left():
    assert holm(np.array([0.04, 0.01, 0.03])).tolist() == [0.06, 0.03, 0.06]
    assert holm(np.array([0.5, 0.6])).tolist() == [1, 1]
    assert np.array_equal(holm(np.array([np.nan, 0.02, np.nan, 0.01])), [np.nan, 0.02, np.nan, 0.02], equal_nan=True)
    assert np.isnan(holm(np.full(3, np.nan))).all()
    assert holm(np.array([])).tolist() == []
