from math import inf

import numpy as np
import pytest
from scipy.stats import t as student

from memflow.claims.rules import (
    CONTRADICTED,
    SUPPORTED,
    UNDETERMINED,
    Part,
    deciding,
    mean_of,
    mean_of_halves,
    p_value,
    verdicts,
)

DF = 9


def part(value, se=1.0, above=-inf, below=inf, df=DF, name="number"):
    return Part(name, value, se, df, above, below, 100)


def tail(distance, df=DF):
    """Chance that Student's t exceeds a distance."""
    return float(student.sf(distance, df))


# One part.


def test_of_a_region_with_one_edge_both_p_values_are_one_sided():
    for value in (-2.0, 0.3, 0.5, 4.0):
        above, below = part(value, 0.7, above=0.5), part(-value, 0.7, below=-0.5)
        assert above.p_for == pytest.approx(tail((value - 0.5) / 0.7))
        assert above.p_against == pytest.approx(tail((0.5 - value) / 0.7))
        assert (below.p_for, below.p_against) == pytest.approx((above.p_for, above.p_against))


def test_inside_a_region_with_two_edges_both_must_be_far_and_outside_one_counts_twice():
    inside = part(0.02, 0.01, above=-0.05, below=0.05)
    assert inside.p_for == pytest.approx(tail(3.0))  # the nearer edge
    assert inside.p_against == 1
    outside = part(0.09, 0.01, above=-0.05, below=0.05)
    assert outside.p_for == pytest.approx(tail(-4.0))
    assert outside.p_against == pytest.approx(2 * tail(4.0))
    assert part(-0.09, 0.01, above=-0.05, below=0.05).p_against == pytest.approx(outside.p_against)


def test_too_wide_an_interval_is_equivalent_to_nothing():
    assert p_value([part(0.0, 0.04, above=-0.05, below=0.05)])[0] > 0.05  # and does not differ from zero either


def test_a_small_effect_that_is_clear_refutes_a_claim_as_one_of_the_wrong_sign_does():
    for value in (0.002, -0.3):
        p, verdict = p_value([part(value, 0.001, above=0.01)])
        assert (verdict, p) == (CONTRADICTED, pytest.approx(2 * tail((0.01 - value) / 0.001)))


def test_limits_are_those_of_a_two_sided_interval_which_excludes_the_edge_when_the_verdict_speaks():
    of = part(1.5, 0.5, above=0.3)
    low, high = of.limits(0.95)
    assert (low, high) == pytest.approx(student.interval(0.95, DF, 1.5, 0.5))
    at_edge = part(1.5, 0.5, above=low)
    assert p_value([at_edge]) == (pytest.approx(0.05), SUPPORTED)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"above": 0.05}, "above 0.05"),
        ({"below": -0.01}, "below -0.01"),
        ({"above": -0.1, "below": 0.1}, "between -0.1 and 0.1"),
        ({"above": 0.0}, "above 0"),
    ],
)
def test_regions_are_said_in_words(limits, words):
    assert part(0, **limits).region == words


@pytest.mark.parametrize(
    "of",
    [
        part(1.0, 0.0, above=0.5),
        part(1.0, 4e-18, above=0.5),
        part(1.0, np.nan, above=0.5),
        part(np.nan, 1.0, above=0.5),
        part(1.0, 1.0, above=0.5, df=0),
    ],
    ids=["se 0", "se of rounding", "se NaN", "value NaN", "df 0"],
)
def test_without_an_error_there_is_no_evidence(of):
    assert not of.is_tested
    assert np.isnan(of.limits(0.95)).all()
    # Another part cannot support the claim alone, but it can refute it, though by a p-value that counts both.
    assert p_value([of, part(9.0, above=0.5)]) == (1, CONTRADICTED)
    assert verdicts([[of, part(9.0, above=0.5)]], 0.95)[0][0] == UNDETERMINED
    assert p_value([of, part(-9.0, above=0.5)]) == (pytest.approx(2 * 2 * tail(9.5)), CONTRADICTED)
    p, verdict = p_value([of, of])
    assert np.isnan(p)
    assert verdict == UNDETERMINED
    assert verdicts([[of]], 0.95) == [
        (UNDETERMINED, pytest.approx(np.nan, nan_ok=True), pytest.approx(np.nan, nan_ok=True))
    ]


# Parts of means.


def test_the_error_of_a_mean_is_that_of_its_values():
    values = np.array([0.1, 0.4, 0.2, 0.7])
    of = mean_of("mean", values, 30, above=0.1)
    assert (of.value, of.se, of.df, of.n_examples) == (
        pytest.approx(0.35),
        pytest.approx(values.std(ddof=1) / 2),
        3,
        30,
    )
    assert not mean_of("mean", values[:1], 30).is_tested


def test_halves_that_measure_different_examples_may_differ_without_an_error():
    values = np.array([1.0, 5.0, 1.2, 5.4, 0.8, 5.1, 1.1, 4.9])
    of = mean_of_halves("mean", values, 30, above=0.1)
    even, odd = values[0::2], values[1::2]
    error = np.sqrt(1.2) * np.sqrt(even.var(ddof=1) / 4 + odd.var(ddof=1) / 4) / 2
    assert (of.value, of.se, of.df) == (pytest.approx(values.mean()), pytest.approx(error), 6)
    assert of.se < mean_of("mean", values, 30).se / 5


# Claims of several parts.


def test_a_conjunction_is_supported_by_its_weakest_part_and_contradicted_by_any():
    strong, weak, against = (part(value, above=0) for value in (9.0, 3.0, -6.0))
    assert p_value([strong, weak]) == (pytest.approx(2 * tail(3.0)), SUPPORTED)
    assert p_value([strong, weak, against]) == (pytest.approx(2 * 3 * tail(6.0)), CONTRADICTED)
    assert p_value([against]) == (pytest.approx(2 * tail(6.0)), CONTRADICTED)


def test_a_p_value_is_at_most_one():
    p, _ = p_value([part(0.0, above=0)] * 5)
    assert p == 1


def test_the_deciding_part_is_farthest_from_being_supported_and_first_of_all_one_without_an_error():
    parts = [part(9.0, above=0, name="strong"), part(0.5, above=0, name="weak"), part(5.0, above=0, name="clear")]
    assert deciding(parts).name == "weak"
    assert deciding([*parts, part(9.0, 0.0, above=0, name="constant")]).name == "constant"


# The card.


def test_verdicts_are_adjusted_over_all_claims_that_can_be_judged():
    # Two-sided p-values .001, .02, .03 and .9.
    two_sided = [0.001, 0.02, 0.03, 0.9]
    claims = [[part(float(student.isf(p / 2, DF)), above=0)] for p in two_sided]
    claims = [claims[2], [], claims[0], [part(1.0, 0.0, above=0)], claims[3], claims[1]]
    found = verdicts(claims, 0.95)
    assert [p for _, p, _ in found] == pytest.approx([0.03, np.nan, 0.001, np.nan, 0.9, 0.02], nan_ok=True)
    assert [q for _, _, q in found] == pytest.approx([0.06, np.nan, 0.004, np.nan, 0.9, 0.06], nan_ok=True)
    expected = [UNDETERMINED, UNDETERMINED, SUPPORTED, UNDETERMINED, UNDETERMINED, UNDETERMINED]
    assert [verdict for verdict, *_ in found] == expected
    assert [verdict for verdict, *_ in verdicts(claims, 0.93)] == [
        *(SUPPORTED, UNDETERMINED, SUPPORTED, UNDETERMINED, UNDETERMINED, SUPPORTED)
    ]


def test_nothing_to_judge_is_no_error():
    assert verdicts([], 0.95) == []
    ((verdict, p, q),) = verdicts([[]], 0.95)
    assert verdict == UNDETERMINED
    assert np.isnan([p, q]).all()


@pytest.mark.parametrize("groups", [4, 10, 20])
@pytest.mark.parametrize("limits", [{"above": 0.01}, {"below": 0.01}, {"above": -0.05, "below": 0.01}])
def test_a_number_at_the_edge_is_wrongly_judged_in_one_study_of_twenty_at_most(groups, limits):
    random, studies, deviation = np.random.default_rng(groups), 4000, 0.02
    values = random.normal(0.01, deviation, (studies, groups))
    judged = [p_value([mean_of("mean", of, 1, **limits)]) for of in values]
    for verdict, most in ((SUPPORTED, 0.025), (CONTRADICTED, 0.025)):
        share = np.mean([p <= 0.05 and found == verdict for p, found in judged])
        assert share <= most + 3 * np.sqrt(most * (1 - most) / studies)
    either = np.mean([p <= 0.05 for p, _ in judged])
    assert either <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    if len(limits) == 1:
        assert either >= 0.05 - 4 * np.sqrt(0.05 * 0.95 / studies)  # and the level is used up
