from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import norm

from memflow import subsets
from memflow.statistics import membership
from memflow.statistics.membership import area_under_curve, attack, threshold_at, true_positive_rates

RUNS, N = 60, 400
MASKS = subsets.masks("balanced", Fraction(7, 10), range(RUNS), np.arange(N))
GROUP = np.arange(RUNS) // 10


def evidence_of(log_odds, masks=MASKS, group=GROUP):
    """float64[3, K, n] of all runs."""
    found = np.empty((3, *masks.shape))
    for runs, evidence in attack(log_odds, masks, group):
        found[:, runs] = evidence
    return found


def noise(seed):
    return np.random.default_rng(seed).normal(size=(RUNS, N))


def test_the_attack_on_a_run_learns_from_the_runs_of_other_groups_only():
    log_odds = noise(1).astype(np.float32) + MASKS
    before = evidence_of(log_odds)
    of_one, others = GROUP == 2, GROUP != 2
    changed = np.where((of_one & (np.arange(RUNS) != 25))[:, None], 100.0, log_odds)
    assert np.allclose(evidence_of(changed)[:, 25], before[:, 25], atol=1e-6)  # not from its own group
    changed = np.where((GROUP == 3)[:, None], log_odds + 1, log_odds)
    assert not np.isclose(evidence_of(changed)[:2, 25], before[:2, 25]).any()
    assert np.array_equal(
        evidence_of(np.where(others[:, None], 7.0, log_odds))[2], np.where(others[:, None], 7.0, log_odds)
    )


@pytest.mark.parametrize("own_variance", [2, 10**9])
def test_evidence_is_the_likelihood_ratio_of_two_fitted_normals(monkeypatch, own_variance):
    monkeypatch.setattr(membership, "OWN_VARIANCE", own_variance)
    log_odds = (noise(2) * np.linspace(0.5, 2, N) + 2 * MASKS).astype(np.float32)
    found = evidence_of(log_odds)
    run, others = 13, GROUP[13] != GROUP
    sides = [np.where(side[others], log_odds[others].astype(float), np.nan) for side in (MASKS, ~MASKS)]
    mean = [np.nanmean(side, axis=0) for side in sides]
    if own_variance == 2:
        deviation = [np.nanstd(side, axis=0, ddof=1) for side in sides]
    else:
        within = [((side - middle) ** 2, np.isfinite(side).sum() - N) for side, middle in zip(sides, mean, strict=True)]
        deviation = [np.full(N, np.sqrt(np.nansum(squares) / degrees)) for squares, degrees in within]
    inside, outside = (norm.logpdf(log_odds[run], *of) for of in zip(mean, deviation, strict=True))
    assert np.allclose(found[0, run], inside - outside)
    assert np.allclose(found[1, run], (log_odds[run] - mean[1]) / deviation[1])


def test_a_planted_leak_is_found_in_every_run():
    """A learner that memorises by lookup: sure of what it was trained on, and of the opposite otherwise."""
    evidence = evidence_of(np.where(MASKS, 9, -9).astype(np.float16))
    for run in range(RUNS):
        for of_attack in evidence[:, run]:
            assert true_positive_rates(of_attack, MASKS[run], np.array([0.01, 0.1])).tolist() == [1, 1]
            assert area_under_curve(of_attack, MASKS[run]) == 1


def test_at_chance_on_shuffled_membership():
    """Members are drawn anew, apart from what was trained on: no attack may be better than chance.

    The mean over 60 runs of the area under the curve of 280 members and 120 others has a standard error of 0.004, of
    the share found at 10 % one of 0.005; four of them.
    """
    others = subsets.masks("balanced", Fraction(7, 10), range(1000, 1000 + RUNS), np.arange(N))
    evidence = evidence_of((noise(3) + 3 * MASKS).astype(np.float16), others)
    for of_attack in evidence:
        areas = [area_under_curve(one, members) for one, members in zip(of_attack, others, strict=True)]
        found = [true_positive_rates(one, of, np.array([0.1]))[0] for one, of in zip(of_attack, others, strict=True)]
        assert abs(np.mean(areas) - 0.5) < 0.016
        assert abs(np.mean(found) - 0.1) < 0.02


def test_siblings_would_tell_the_membership():
    """Why whole groups are left out: the other nine runs of a group know how often the tenth had the example.

    On pure noise around two means, a shadow set with the siblings holds one run fewer of the side that the attacked run
    is on, which shifts no mean; but where the log-odds name the run's group, siblings give the membership away.
    """
    group_effect = np.repeat(np.random.default_rng(4).normal(size=(RUNS // 10, N)) * 5, 10, axis=0)
    evidence = evidence_of(group_effect)
    areas = [area_under_curve(one, members) for one, members in zip(evidence[0], MASKS, strict=True)]
    assert abs(np.mean(areas) - 0.5) < 0.016
    alone = evidence_of(group_effect, group=np.arange(RUNS))
    leaked = [area_under_curve(one, members) for one, members in zip(alone[0], MASKS, strict=True)]
    assert abs(np.mean(leaked) - 0.5) > 0.05


def test_rates_are_those_of_a_plain_count():
    random = np.random.default_rng(5)
    for n in (30, 137):
        evidence, members = random.integers(0, 12, n).astype(float), random.random(n) < 0.6
        rates = np.array([0.01, 0.05, 0.25, 0.5, 1.0])
        found = true_positive_rates(evidence, members, rates)
        for rate, value in zip(rates, found, strict=True):
            limits = [limit for limit in [*np.unique(evidence), -np.inf] if (evidence[~members] > limit).mean() <= rate]
            expected = max((evidence[members] > limit).mean() for limit in limits)
            assert np.isnan(value) if rate * (~members).sum() < 1 else value == pytest.approx(expected)
        pairs = evidence[members][:, None] - evidence[~members]
        assert area_under_curve(evidence, members) == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
        limit = threshold_at(evidence, members, 0.25)
        assert (evidence[~members] > limit).mean() <= 0.25
        assert (evidence[members] > limit).mean() == found[2]


def test_no_evidence_names_nobody():
    members = np.arange(200) < 100
    evidence = np.where(members, np.nan, np.arange(200))
    assert true_positive_rates(evidence, members, np.array([0.05]))[0] == 0
    assert area_under_curve(evidence, members) == 0
