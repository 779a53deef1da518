import numpy as np
import pytest

from memflow.statistics.paired import paired_tests
from memflow.statistics.power import COPIES, EFFECTS, LEVELS, power
from memflow.statistics.trajectory_types import classify, critical_p_value

TAU, FDR, CONFIDENCE = 0.15, 0.05, 0.95
FLAT = np.repeat([0.0, 0.1, 0.3, 0.5, 0.9], 50)


def table_of(sizes):
    return power(sizes, TAU, FDR, CONFIDENCE)


def shares(table, planted, column="recognised"):
    return table[table["planted"] == planted].set_index("effect")[column]


@pytest.fixture(scope="module")
def by_groups(simulate_family):
    """Power beside the same 250 flat examples at K = 100, 400 and 2,000."""
    return {groups: table_of(simulate_family(np.tile(FLAT, (4, 1)), groups=groups)) for groups in (10, 40, 200)}


def test_every_change_is_planted_at_every_effect_and_constant_at_every_level(by_groups):
    table = by_groups[10]
    assert table.columns.tolist() == ["planted", "effect", "recognised", "described", "n_examples"]
    assert (table["n_examples"] == COPIES).all()
    planted = {kind: rows["effect"].tolist() for kind, rows in table.groupby("planted")}
    assert planted == {"increasing": [*EFFECTS], "cap-shaped": [*EFFECTS], "constant": [*LEVELS]}


def test_with_two_sizes_there_is_no_cap(simulate_family):
    assert set(table_of(simulate_family(np.tile(FLAT, (2, 1))))["planted"]) == {"increasing", "constant"}


@pytest.mark.parametrize("kind", ["increasing", "cap-shaped"])
@pytest.mark.parametrize("column", ["recognised", "described"])
def test_larger_effects_are_found_more_often_and_tiny_ones_are_not(by_groups, kind, column):
    for table in by_groups.values():
        found = shares(table, kind, column)
        # From one effect to the next a share may fall by noise only: four standard errors of a difference, at most.
        assert (np.diff(found) > -4 * (2 * 0.25 / COPIES) ** 0.5).all()
        assert found[0.9] > 0.98
        assert found[0.1] < 0.25  # below tau
    assert shares(by_groups[200], kind, column)[0.1] < 0.05


@pytest.mark.parametrize("kind", ["increasing", "cap-shaped"])
def test_more_runs_find_smaller_effects(by_groups, kind):
    few, more, many = (shares(by_groups[groups], kind) for groups in (10, 40, 200))
    assert few[0.2] < more[0.2] < many[0.2]
    assert few[0.2] < 0.5
    assert many[0.2] > 0.97


def test_the_label_of_estimates_needs_no_significance(by_groups):
    for kind in ("increasing", "cap-shaped"):
        table = by_groups[10]
        assert (shares(table, kind) <= shares(table, kind, "described") + 1e-9).all()
    # but pays for it: at K = 100 flat estimates of .5 differ by more than tau, which the margin knows
    assert shares(by_groups[10], "constant", "described")[0.5] < 0.5
    assert shares(by_groups[200], "constant", "described")[0.5] > 0.99


def test_constant_is_recognised_where_the_margin_allows_it(by_groups):
    few, many = (shares(by_groups[groups], "constant") for groups in (10, 200))
    assert few[0.0] == many[0.0] == 1
    assert few[0.5] == 0
    assert many[0.5] > 0.9
    assert few.is_monotonic_decreasing


def recognised_in_studies(simulate_family, kind, effect, groups, studies=6):
    """Share of 40 examples with a true change among 250 flat ones, and what power says about such studies."""
    path = {"increasing": [0, 1 / 3, 2 / 3, 1], "cap-shaped": [0, 0, 1, 0]}[kind]
    scores = np.concatenate([np.tile(effect * np.array(path)[:, None], 40), np.tile(FLAT, (4, 1))], axis=1)
    seen, said = [], []
    for study in range(studies):
        sizes = simulate_family(scores, groups=groups, seed=50 + study)
        tests = paired_tests(sizes, TAU, CONFIDENCE)
        seen.append((classify(tests, TAU, critical_p_value(tests, FDR))[:40] == kind).mean())
        said.append(shares(table_of(sizes), kind)[effect])
    return np.mean(seen), np.mean(said)


@pytest.mark.parametrize("kind", ["increasing", "cap-shaped"])
@pytest.mark.parametrize(("groups", "effect"), [(10, 0.3), (10, 0.4), (40, 0.2)])
def test_the_power_is_what_planted_examples_of_a_study_have(simulate_family, kind, groups, effect):
    seen, said = recognised_in_studies(simulate_family, kind, effect, groups)
    print(f"\n{kind}, K = {10 * groups}, effect {effect}: recognised {seen:.3f}, power {said:.3f}")  # for decision 4
    # Four standard errors: 240 examples (independent but for the critical value) against 6 x 200 simulated ones.
    error = (said * (1 - said) * (1 / 240 + 1 / 1200)) ** 0.5
    assert seen == pytest.approx(said, abs=4 * error + 0.02)  # .02 for the critical value, which differs by study
    assert 0.05 < said < 0.999


def test_a_study_in_which_nothing_can_change_still_has_a_power(simulate_family):
    table = table_of(simulate_family(np.zeros((3, 20))))
    assert shares(table, "increasing")[0.9] == 1
    assert shares(table, "constant")[0.0] == 1


def test_the_same_study_has_the_same_power(simulate_family):
    sizes = simulate_family(np.tile(FLAT, (3, 1)))
    assert table_of(sizes).equals(table_of(sizes))


def test_planted_examples_are_held_out_as_often_as_real_ones(simulate_family):
    # 30 or 3 of 100 runs in a group: with a tenth of the runs without it, the same change is harder to see.
    usual, rarely = (table_of(simulate_family(np.tile(FLAT, (4, 1)), groups=10, ratio=(a, 100))) for a in (70, 97))
    assert shares(rarely, "increasing")[0.3] < shares(usual, "increasing")[0.3] - 0.2
