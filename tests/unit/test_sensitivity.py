from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from memflow import provenance, sensitivity, trajectories
from memflow.files import write_npz
from memflow.provenance import ProvenanceError
from memflow.scores import score_table, split_half
from memflow.sensitivity import (
    COLUMNS,
    SHARES,
    draws,
    given_variance,
    numbers_of_groups,
    sensitivity_table,
    sentences,
    variances,
)
from memflow.statistics import mixture
from memflow.statistics.mixture import ACC_IN, ACC_OUT, SCORES
from memflow.statistics.precision import (
    expected_reliability,
    expected_share,
    half_widths,
    needed_runs,
    split,
    unit_variance,
)
from memflow.statistics.trajectory_types import DESCRIPTIVE, TESTED

RULE = {"tau": 0.15, "fdr": 0.05, "confidence": 0.95, "memorised_at": 0.25}
NAMES = ["small", "large"]
LEVELS = np.repeat([0.0, 0.05, 0.3, 0.9], 15)
RATIO = Fraction(7, 10)
POPULATIONS = ("all", "clean label", "flipped label")


@pytest.fixture(scope="module")
def sizes(simulate_family):
    return dict(zip(NAMES, simulate_family(np.stack([LEVELS, LEVELS[::-1]]), acc_in=0.98, seed=1), strict=True))


@pytest.fixture(scope="module")
def other_ratio(simulate_family):
    scores = np.stack([LEVELS, LEVELS[::-1]])
    return dict(zip(NAMES, simulate_family(scores, acc_in=0.98, groups=50, ratio=(1, 2), seed=2), strict=True))


@pytest.fixture(scope="module")
def table(sizes, other_ratio):
    return sensitivity_table({"7/10": sizes, "1/2": other_ratio}, **RULE)


@pytest.fixture(scope="module")
def alone(sizes):
    """The table of one ratio, computed in small parts, where all runs converged."""
    converged = {name: replace(size, converged=np.ones(100, dtype=bool)) for name, size in sizes.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sensitivity, "CHUNK", 7)
        return sensitivity_table({"7/10": converged}, **RULE)


def rows(table, **where):
    chosen = np.all([table[name] == value for name, value in where.items()], axis=0)
    return table[chosen]


def one(table, **where):
    (index,) = rows(table, **where).index
    return table.loc[index]


def point(acc_in, acc_out):
    """Weights of a distribution in one point."""
    weights = np.zeros((len(ACC_IN), len(ACC_OUT)))
    weights[np.abs(ACC_IN - acc_in).argmin(), np.abs(ACC_OUT - acc_out).argmin()] = 1
    return weights.ravel()


# What a number of runs can tell.


@pytest.mark.parametrize(
    ("runs", "worst", "saturated"), [(100, 0.109, 0.091), (400, 0.055, 0.046), (4000, 0.017, 0.014)]
)
def test_the_variance_gives_the_known_standard_errors(runs, worst, saturated):
    errors = np.sqrt(unit_variance(RATIO) / runs)
    assert errors.max() == pytest.approx(worst, abs=5e-4)
    assert errors[-len(ACC_OUT) :].max() == pytest.approx(saturated, abs=5e-4)  # always right in-sample


def test_a_half_width_is_about_two_standard_errors_for_many_runs():
    widths, errors = half_widths(4000, RATIO, 0.95), np.sqrt(unit_variance(RATIO) / 4000)
    assert widths.shape == SCORES.shape
    middle = errors > 0.01
    assert np.allclose(widths[middle], 1.96 * errors[middle], rtol=0.03)
    assert (widths[errors == 0] > 0).all()  # an interval has width where a proportion is 0 or 1


@pytest.mark.parametrize(("acc_in", "acc_out", "threshold"), [(1, 0.5, 0.5), (0.9, 0.7, 0.25), (1, 0.06, 0.9)])
def test_an_expected_share_is_that_of_simulated_counts(simulate, acc_in, acc_out, threshold):
    weights = point(acc_in, acc_out)
    (cell,) = np.flatnonzero(weights)
    row, column = divmod(cell, len(ACC_OUT))
    n = 20_000
    scores = simulate(np.full(n, ACC_IN[row]), np.full(n, ACC_OUT[column]), groups=2).scores()
    expected = expected_share(weights, 20, RATIO, threshold)
    assert 0.01 < expected < 0.99
    assert (scores >= threshold - 1e-9).mean() == pytest.approx(
        expected, abs=4 * (expected * (1 - expected) / n) ** 0.5
    )


def test_an_expected_share_of_many_runs_is_the_share_of_the_distribution():
    weights = (point(1, 0) + 3 * point(1, 1)) / 4
    assert expected_share(weights, 1000, RATIO, 0.25) == pytest.approx(0.25)


def test_an_expected_reliability_is_that_of_simulated_halves(simulate):
    n = 4000
    acc_out = np.random.default_rng(0).choice(ACC_OUT[[0, 10, 20, 40]], n)
    weights = np.mean([point(1, value) for value in ACC_OUT[[0, 10, 20, 40]]], axis=0)
    found = split_half(*(half.scores() for half in simulate(np.ones(n), acc_out).halves()))
    expected = expected_reliability(weights, 50, RATIO)
    assert found["split_half"] == pytest.approx(expected, abs=4 * (1 - expected**2) / n**0.5 + 0.005)
    assert found["reliability"] == pytest.approx(expected_reliability(weights, 100, RATIO), abs=0.01)


def test_reliability_is_undefined_without_any_variance():
    assert np.isnan(expected_reliability(point(1, 0), 100, RATIO))


@pytest.mark.parametrize("least", [1, 2, 3, 7, 8, 100, 1025])
@pytest.mark.parametrize("size", [1, 10])
def test_the_needed_runs_are_the_fewest_whole_groups_that_are_enough(least, size):
    needed = needed_runs(lambda runs: runs >= least, size)
    assert needed == next(runs for runs in range(size, 2000, size) if runs >= least)


def test_a_precision_out_of_reach_needs_no_number_of_runs():
    assert np.isnan(needed_runs(lambda runs: False, 10))


def test_every_split_has_a_run_on_both_sides():
    assert split(100, RATIO) == (70, 30)
    assert split(1, RATIO) == (1, 1)


# Sub-samples of the runs.


@pytest.mark.parametrize(
    ("groups", "size", "expected"),
    [(10, 10, [2, 4, 8, 10]), (2, 10, [2]), (50, 2, [8, 16, 32, 50]), (16, 10, [2, 4, 8, 16])],
)
def test_sub_samples_are_powers_of_two_of_groups_and_then_all(groups, size, expected):
    assert numbers_of_groups(groups, size) == expected


def test_smaller_sub_samples_are_within_larger_ones_and_draws_differ():
    few, more = (np.array(list(draws(10, number))) for number in (2, 4))
    assert few.shape == (10, 10)
    assert (few.sum(axis=1) == 2).all()
    assert (few <= more).all()
    assert len(np.unique(few, axis=0)) > 1
    assert [used.all() for used in draws(10, 10)] == [True]


def test_the_table_has_a_row_per_setting(table):
    assert table.columns.tolist() == COLUMNS
    assert table["what"].unique().tolist() == ["K", "reliability", "threshold", "design", "ratio", "converged"]
    keys = ["what", "architecture", "examples", "setting", "quantity"]
    assert not table.duplicated(keys).any()
    assert set(table["architecture"]) == {"", *NAMES}
    assert set(table["examples"]) == set(POPULATIONS)


@pytest.mark.parametrize("groups", [4, 10])
def test_what_a_sub_sample_shows_is_the_mean_of_its_draws(table, sizes, groups):
    size, found = (
        sizes["large"],
        {"memorisation": [], "memorised": [], "share_low": [], "share_high": [], "distance": []},
    )
    for used in draws(10, groups):
        scores = score_table(size.only(used), 0.95)["memorisation"].to_numpy()
        found["memorisation"].append(scores.mean())
        found["memorised"].append((scores >= 0.25 - 1e-9).mean())
        found["share_low"].append((scores <= 0.1 + 1e-9).mean())
        found["share_high"].append((scores >= 0.9 - 1e-9).mean())
        found["distance"].append(abs(scores - size.scores()).mean())
    where = {"what": "K", "architecture": "large", "examples": "all", "setting": str(10 * groups)}
    for quantity, values in found.items():
        row = one(table, quantity=quantity, **where)
        assert row["value"] == pytest.approx(np.mean(values))
        ends = [np.min(values), np.max(values)] if groups < 10 else [np.nan, np.nan]
        assert [row["low"], row["high"]] == pytest.approx(ends, nan_ok=True)
        assert row["n_examples"] == 60


def test_half_widths_are_those_of_the_score_table(table, sizes):
    scores = score_table(sizes["small"], 0.95)
    widths = (scores["ci_high"] - scores["ci_low"]) / 2
    where = {"what": "K", "architecture": "small", "examples": "all", "setting": "100"}
    assert one(table, quantity="half_width", **where)["value"] == pytest.approx(widths.mean())
    worst = one(table, quantity="half_width_worst", **where)
    assert worst["value"] == pytest.approx(widths.max())
    assert worst["value"] <= worst["predicted"]


def test_what_all_runs_show_is_predicted_from_fewer_and_from_more(simulate_family):
    truth = np.repeat([0.0, 0.2, 0.5, 0.95], 500)
    (size,) = simulate_family(truth[None], groups=20)
    size = replace(size, label_noise=np.zeros(2000, dtype=bool))
    table = rows(sensitivity_table({"7/10": {"only": size, "again": size}}, **RULE), architecture="only", what="K")
    for quantity in ("memorised", "share_low", "share_high"):
        for setting in ("20", "40", "80", "160", "200"):
            row = one(table, quantity=quantity, setting=setting)
            assert row["value"] == pytest.approx(row["predicted"], abs=0.02)
        beyond = one(table, quantity=quantity, setting="2000")
        assert np.isnan(beyond["value"])
    distance = rows(table, quantity="distance")
    assert np.allclose(distance["value"], distance["predicted"], atol=0.015)
    assert one(table, quantity="memorised", setting="2000")["predicted"] == pytest.approx(0.5, abs=0.03)
    assert abs(one(table, quantity="memorised", setting="20")["value"] - 0.5) > 0.05


def test_the_corrected_shares_of_sub_samples_are_those_of_natural_examples(table, sizes):
    corrected = rows(table, what="K", quantity="memorised_corrected", architecture="small")
    assert rows(corrected, examples="clean label")["setting"].tolist() == ["20", "40", "80", "100"]
    for examples in ("all", "flipped label"):
        assert rows(corrected, examples=examples)["setting"].tolist() == ["100"]
    weights = mixture.fit(mixture.observe(*sizes["small"].totals()))
    value = one(corrected, examples="all")["value"]
    assert value == pytest.approx(weights[SCORES >= 0.25 - 1e-9].sum())


def test_the_needed_runs_reach_the_half_width(table, sizes):
    for examples in POPULATIONS:
        where = {"what": "K", "architecture": "small", "examples": examples, "setting": "0.05"}
        worst = one(table, quantity="runs_for_half_width_worst", **where)["predicted"]
        assert half_widths(int(worst), RATIO, 0.95).max() <= 0.05 < half_widths(int(worst) - 10, RATIO, 0.95).max()
        mean = one(table, quantity="runs_for_half_width", **where)["predicted"]
        assert 100 < mean < worst


def test_the_types_from_all_runs_are_those_of_the_stage_trajectories(table, sizes):
    summary = trajectories.summarise(sizes, **RULE)
    for prefix, quantity, kinds in (("type", "share", TESTED), ("descriptive", "share_descriptive", DESCRIPTIVE)):
        for kind in kinds:
            expected = rows(summary, quantity=quantity, type=kind).set_index("examples")["value"]
            found = rows(table, what="K", setting="100", quantity=f"{prefix} {kind}").set_index("examples")["value"]
            assert found.to_dict() == pytest.approx(expected.to_dict())


def test_the_types_of_every_sub_sample_add_up(table):
    for prefix in ("type ", "descriptive "):
        of_basis = table[table["quantity"].str.startswith(prefix)]
        sums = of_basis.groupby(["what", "examples", "setting"])["value"].sum()
        assert len(sums) == 3 * (4 + 2)  # numbers of runs and ratios
        assert np.allclose(sums, 1)


# Reliability.


def test_the_reliability_is_measured_between_disjoint_halves(table, sizes):
    measured = rows(table, what="reliability", architecture="large", examples="all", quantity="split_half")
    assert measured["setting"].tolist() == ["20", "40", "50"]
    stepped = rows(table, what="reliability", architecture="large", examples="all", quantity="reliability")
    assert stepped["setting"].tolist() == ["40", "80", "100", "200", "400", "1000"]
    assert (measured["low"] <= measured["value"]).all()
    assert (measured["value"] <= measured["high"]).all()
    assert np.allclose(measured["value"], measured["predicted"], atol=0.03)
    assert stepped["predicted"].is_monotonic_increasing


# Threshold, design, ratio, convergence.


def test_the_share_above_a_threshold_is_the_count_by_the_examples(table, sizes):
    found = rows(table, what="threshold", architecture="small", examples="clean label")
    scores = sizes["small"].scores()[~sizes["small"].label_noise]
    assert found["value"].tolist() == pytest.approx([(scores >= float(t) - 1e-9).mean() for t in found["setting"]])
    assert found["setting"].tolist() == ["0.1", "0.2", "0.25", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]


def test_independent_runs_vary_as_independent_runs(simulate):
    n = 4000
    size = simulate(np.full(n, 0.9), np.linspace(0.05, 0.95, n))
    shown, independent = variances(size)
    # 9 degrees of freedom per example: a relative error of sqrt(2 / 9 n), and four of those
    assert np.allclose(shown / independent, 1, atol=4 * (2 / 9 / n) ** 0.5)
    acc_out = np.linspace(0.05, 0.95, n)
    truth = (acc_out * (1 - acc_out) / 30).sum()
    assert independent[1] == pytest.approx(truth, rel=0.02)
    assert independent[0] == pytest.approx(truth + n * 0.9 * 0.1 / 70, rel=0.02)


def test_runs_of_a_group_that_do_as_the_group_does_vary_more(simulate):
    size = simulate(np.ones(50), np.full(50, 0.5))
    alike = np.random.default_rng(0).random((10, 50)) < 0.5
    size = replace(size, correct_in=size.n_in, correct_out=(alike * size.n_out).astype(np.uint8))
    shown, independent = variances(size)
    assert np.allclose(shown / independent, 3, rtol=0.15)  # three held-out runs are worth one


def test_the_design_has_an_interval_over_the_groups(table):
    design = rows(table, what="design")
    assert set(design["quantity"]) == {"variance_ratio", "variance_ratio_out", *SHARES}
    ratios = design[design["quantity"].str.startswith("variance_ratio")]
    assert (ratios["predicted"] == 1).all()
    everything = rows(ratios, examples="all")
    assert everything["value"].between(0.7, 1.3).all()
    assert (everything["low"] < everything["value"]).all()
    assert (everything["value"] < everything["high"]).all()


def even_counts(simulate, acc_out, groups, seed):
    """Of groups whose held-out runs hardly differ in how many of them are right, as if subsets were all alike."""
    size = simulate(np.ones(len(acc_out)), acc_out, groups=groups, seed=seed)
    random = np.random.default_rng(seed)
    correct = np.floor(
        3 * acc_out + random.random((groups, len(acc_out)))
    )  # variance: half the binomial at 0.2 and 0.8
    return replace(size, correct_out=correct.astype(np.uint8), label_noise=np.zeros(len(acc_out), dtype=bool))


@pytest.mark.parametrize("design", ["even", "independent"])
def test_independent_runs_are_predicted_whatever_the_groups_vary(simulate, design):
    acc_out = np.repeat([0.2, 0.8], 1000)
    independent = replace(simulate(np.ones(2000), acc_out, seed=5), label_noise=np.zeros(2000, dtype=bool))
    size = independent if design == "independent" else even_counts(simulate, acc_out, 10, seed=4)
    table = sensitivity_table({"7/10": {"only": size, "again": size}}, **RULE)
    found = rows(table, what="design", architecture="only").set_index("quantity")
    assert found.loc["variance_ratio", "value"] == pytest.approx(0.5 if design == "even" else 1, abs=0.05)
    other = simulate(np.ones(2000), acc_out, seed=6).scores()
    shown = {"memorised": other >= 0.25 - 1e-9, "share_low": other <= 0.1 + 1e-9, "share_high": other >= 0.9 - 1e-9}
    for quantity, reached in shown.items():
        assert found.loc[quantity, "predicted"] == pytest.approx(reached.mean(), abs=0.025)
    if design == "even":
        for quantity in ("memorised", "share_high"):
            assert found.loc[quantity, "value"] < found.loc[quantity, "predicted"] - 0.02


def test_variances_without_a_relation_to_independent_runs_leave_the_binomial(sizes):
    weights = mixture.fit(mixture.observe(*sizes["small"].totals()))
    assert np.allclose(given_variance(sizes["small"], float("nan")), weights)
    assert np.allclose(given_variance(sizes["small"], 1.0), weights)
    least = given_variance(sizes["small"], 0.0)
    assert np.isfinite(least).all()
    assert least.sum() == pytest.approx(1)


def test_the_design_shows_the_shares_of_the_score_table(table, sizes):
    scores = score_table(sizes["large"], 0.95)["memorisation"].to_numpy()
    shown = rows(table, what="design", architecture="large", examples="all").set_index("quantity")
    expected = [(scores >= 0.25 - 1e-9).mean(), (scores <= 0.1 + 1e-9).mean(), (scores >= 0.9 - 1e-9).mean()]
    assert shown.loc[list(SHARES), "value"].tolist() == pytest.approx(expected)
    assert (shown["low"] <= shown["value"]).all()
    assert (shown["value"] <= shown["high"]).all()


def test_no_type_is_predicted_for_independent_runs(table):
    assert rows(table[table["quantity"].str.startswith(("type", "descriptive"))], what="design").empty


def test_variances_are_the_same_in_parts(alone, table):
    for name in ("value", "low", "high"):
        assert np.allclose(rows(alone, what="design")[name], rows(table, what="design")[name], atol=1e-9)


def test_ratios_stand_beside_each_other_and_are_correlated(table, sizes, other_ratio):
    levels = rows(table, what="ratio", architecture="small", examples="all", quantity="memorisation")
    assert levels["setting"].tolist() == ["7/10", "1/2"]
    assert levels["value"].tolist() == pytest.approx([of["small"].scores().mean() for of in (sizes, other_ratio)])
    where = {"what": "ratio", "architecture": "small", "examples": "all", "setting": "7/10 and 1/2"}
    pearson = one(table, quantity="pearson", **where)
    expected = np.corrcoef(sizes["small"].scores(), other_ratio["small"].scores())[0, 1]
    assert pearson["value"] == pytest.approx(expected)
    assert pearson["value"] == pytest.approx(pearson["predicted"], abs=0.02)  # the true scores are the same here
    assert pearson["low"] < pearson["value"] < pearson["high"]
    assert one(table, quantity="spearman", **where)["value"] < 1


@pytest.mark.parametrize("ratio", ["7/10", "1/2"])
def test_every_ratio_has_the_shares_and_types_of_its_own_runs(table, sizes, other_ratio, ratio):
    of_ratio = {"7/10": sizes, "1/2": other_ratio}[ratio]
    found = rows(table, what="ratio", setting=ratio, examples="clean label")
    of_small = rows(found, architecture="small").set_index("quantity")
    natural = of_ratio["small"].select(~of_ratio["small"].label_noise)
    scores, weights = natural.scores(), mixture.fit(mixture.observe(*natural.totals()))
    limits = {"memorised": (0.25, 2), "share_low": (-2, 0.1), "share_high": (0.9, 2)}
    for quantity, (low, high) in limits.items():
        within, grid = ((values > low - 1e-9) & (values < high + 1e-9) for values in (scores, SCORES))
        assert of_small.loc[quantity, "value"] == pytest.approx(within.mean())
        assert of_small.loc[quantity, "low"] <= of_small.loc[quantity, "value"] <= of_small.loc[quantity, "high"]
        assert of_small.loc[f"{quantity}_corrected", "value"] == pytest.approx(weights[grid].sum())
    types = rows(found, architecture="").set_index("quantity")["value"].to_dict()
    summary = rows(trajectories.summarise(of_ratio, **RULE), examples="clean label")
    expected = {
        f"{prefix} {kind}": one(summary, quantity=quantity, type=kind)["value"]
        for prefix, quantity, kinds in (("type", "share", TESTED), ("descriptive", "share_descriptive", DESCRIPTIVE))
        for kind in kinds
    }
    assert types == pytest.approx(expected)


def test_a_single_ratio_is_not_compared(alone):
    assert not (alone["what"] == "ratio").any()


def test_groups_without_flagged_runs_stand_beside_all(table, sizes):
    of_small = rows(table, what="converged", architecture="small", examples="all")
    assert one(of_small, quantity="not_converged")["value"] == 0.05
    assert one(of_small, quantity="groups_converged")["value"] == 0.5
    for setting, used in (("all runs", np.ones(10, dtype=bool)), ("converged groups", np.arange(10) % 2 == 1)):
        scores = sizes["small"].only(used).scores()
        assert one(of_small, quantity="memorisation", setting=setting)["value"] == pytest.approx(scores.mean())
        assert one(of_small, quantity="memorised", setting=setting)["value"] == (scores >= 0.25 - 1e-9).mean()


def test_there_is_nothing_beside_all_runs_without_two_groups_free_of_flags_or_any_flags(simulate):
    size = replace(simulate(np.ones(12), np.full(12, 0.5)), label_noise=np.zeros(12, dtype=bool))
    flagged = {"all": 100, "none": 0, "all but one group": 85, "two groups free": 75}
    sizes = {name: replace(size, converged=np.arange(100) >= number) for name, number in flagged.items()}
    converged = rows(sensitivity_table({"7/10": sizes}, **RULE), what="converged")
    assert [(converged["architecture"] == name).sum() for name in flagged] == [2, 2, 2, 10]


# Hard cases.


def iid(simulate, seed, n=60, runs=40):
    random = np.random.default_rng(seed)
    inside = random.random((runs, n)) < 0.7
    inside[:, 0] = True  # never held out
    made = simulate(np.ones(n), np.ones(n), groups=runs, ratio=(1, 1), seed=seed)
    correct = random.random((runs, n)) < 0.6
    return replace(
        made,
        n_in=inside.astype(np.uint8),
        n_out=(~inside).astype(np.uint8),
        correct_in=inside.astype(np.uint8),
        correct_out=(correct & ~inside).astype(np.uint8),
        label_noise=np.zeros(n, dtype=bool),
    )


def test_independent_runs_leave_out_what_they_never_held_out(simulate):
    sizes = {name: iid(simulate, seed) for seed, name in enumerate(NAMES)}
    table = sensitivity_table({"7/10": sizes}, **RULE)
    found = rows(table, what="K", quantity="memorisation", architecture="small", examples="all")
    assert found["setting"].tolist() == ["16", "32", "40"]
    assert found["value"].notna().all()
    assert (rows(table, examples="all", architecture="small")["n_examples"] == 59).all()
    design = rows(table, what="design", examples="all")
    ratios = design["quantity"].str.startswith("variance_ratio")
    assert design.loc[ratios, "value"].between(0.6, 1.4).all()
    assert design.loc[~ratios, "value"].between(0, 1).all()
    assert design.loc[~ratios, "predicted"].between(0, 1).all()
    with_runs = table.assign(runs=40, confidence=0.95)
    assert sentences(with_runs)


def test_draws_that_lack_a_type_or_a_number_are_left_out_of_its_mean():
    found = [{"a": 1.0}, {"a": 3.0, "b": 5.0}, {}, {"a": float("nan"), "c": float("nan")}]
    limits = sensitivity._over_draws(found)
    assert limits["a"] == (2, 1, 3)
    assert limits["b"] == pytest.approx((5, np.nan, np.nan), nan_ok=True)
    assert np.isnan(limits["c"]).all()
    assert sensitivity._over_draws([{}, {}]) == {}


def test_type_shares_are_of_the_draws_that_have_such_examples(sizes, monkeypatch):
    clean, flipped = ("clean label", "type constant"), ("flipped label", "type constant")
    by_draw = [{clean: (0.5, 50)}, {clean: (0.3, 54), flipped: (1.0, 2)}, {}]
    given = iter([*by_draw, *[{}] * 6, {clean: (0.4, 54)}])
    monkeypatch.setattr(sensitivity, "_type_shares", lambda *_: next(given))
    table = pd.DataFrame(sensitivity._of_types(sizes, 0.15, 0.05, 0.95))
    assert table["setting"].tolist() == ["20", "20", "100"]
    assert table["examples"].tolist() == ["clean label", "flipped label", "clean label"]
    assert table["value"].tolist() == pytest.approx([0.4, 1.0, 0.4])
    assert table["low"].tolist() == pytest.approx([0.3, np.nan, np.nan], nan_ok=True)
    assert table["n_examples"].tolist() == [52, 2, 54]


def test_scores_without_any_variance_have_rows_without_reliability(simulate):
    same = simulate(np.ones(20), np.ones(20), groups=2)
    exact = replace(same, correct_in=same.n_in, correct_out=same.n_out, label_noise=np.zeros(20, dtype=bool))
    table = sensitivity_table({"7/10": dict.fromkeys(NAMES, exact)}, **RULE)
    assert rows(table, quantity="reliability")["value"].isna().all()
    design = rows(table, what="design")
    ratios = design["quantity"].str.startswith("variance_ratio")
    assert design.loc[ratios, "value"].isna().all()
    assert design.loc[~ratios, ["value", "predicted"]].notna().all(axis=None)
    assert sentences(table.assign(runs=20, confidence=0.95))


# The stage.

RUNS = {
    "dataset": {"source": "digits"},
    "method": "one-hot",
    "design": "balanced",
    "ratio": "7/10",
    "subset_unit": "example",
}
DEFINITION = {"seeds": 100, "fingerprint": "f" * 64}
SPEC = {
    "stage": "sensitivity",
    "study": "tiny",
    "architectures": NAMES,
    "ratios": ["7/10", "1/2"],
    "pretraining_overlap": {"small": "no", "large": "unknown"},
    **RULE,
}


def write_counts(by_ratio, folder, **last):
    paths = []
    for ratio, sizes in by_ratio.items():
        method = "one-hot" if ratio == "7/10" else f"ratio-{ratio.replace('/', '-')}"
        for name, size in sizes.items():
            path = folder / name / f"{method}.npz"
            write_npz(path, {field.name: np.asarray(getattr(size, field.name)) for field in fields(size)})
            runs = RUNS | {"ratio": ratio, "method": method, "architecture": name}
            if (ratio, name) == ("1/2", NAMES[-1]):
                runs |= last
            provenance.write([path], DEFINITION | {"runs": runs}, inputs={}, started=provenance.now())
            paths.append(path)
    return paths


def test_the_stage_writes_its_table(sizes, other_ratio, tmp_path):
    few = np.arange(0, 60, 6)
    by_ratio = {"7/10": sizes, "1/2": other_ratio}
    by_ratio = {ratio: {name: size.select(few) for name, size in of.items()} for ratio, of in by_ratio.items()}
    table = sensitivity_table(by_ratio, **RULE)
    paths = write_counts(by_ratio, tmp_path)
    output = tmp_path / "sensitivity" / "family.csv"
    sensitivity.run(SPEC, paths, output)
    written = pd.read_csv(output, dtype={"setting": str}).fillna({"architecture": ""})
    pd.testing.assert_frame_equal(written[COLUMNS], table, check_dtype=False)
    assert set(written["runs"]) == {100}
    assert set(written["ratio"]) == {"7/10"}
    assert set(written["confidence"]) == {0.95}
    overlaps = written.drop_duplicates("architecture").set_index("architecture")["pretraining_overlap"]
    assert overlaps.to_dict() == {"small": "no", "large": "unknown", "": "unknown"}
    record = provenance.read(output)
    assert record["definition"]["ratios"] == ["7/10", "1/2"]
    assert len(record["inputs"]) == 4
    assert sentences(written) == sentences(pd.read_csv(output))


def test_the_stage_takes_no_earlier_epochs(sizes, other_ratio, tmp_path, monkeypatch):
    paths = write_counts({"7/10": sizes, "1/2": other_ratio}, tmp_path)
    seen = []

    def table_of(by_ratio, **_):
        seen.extend(size.epochs for of_ratio in by_ratio.values() for size in of_ratio.values())
        return pd.DataFrame(columns=COLUMNS)

    monkeypatch.setattr(sensitivity, "sensitivity_table", table_of)
    sensitivity.run(SPEC, paths, tmp_path / "family.csv")
    assert len(sizes["small"].epochs) == 2
    assert [len(epochs) for epochs in seen] == [1] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": "3/5"}, "ratio is '3/5'"),
        ({"method": "one-hot"}, "method is 'one-hot'"),
        ({"design": "iid"}, "design is"),
    ],
)
def test_counts_that_do_not_belong_together_are_refused(sizes, other_ratio, tmp_path, change, message):
    paths = write_counts({"7/10": sizes, "1/2": other_ratio}, tmp_path, **change)
    with pytest.raises(ProvenanceError, match=rf"large/ratio-1-2\.npz does not share .*{message}"):
        sensitivity.run(SPEC, paths, tmp_path / "family.csv")


def test_the_sentences_speak_of_every_part(table):
    said = sentences(table.assign(runs=100, confidence=0.95))
    starts = ["100 runs give", "The reliability", "The share", "With the threshold", "Types of", "Between the groups"]
    starts += ["Shares of the clean labels as the groups", "Scores at other ratios"]
    starts += [
        "Shares of the clean labels at 7/10",
        "Shares of the clean labels at 1/2",
        "Between the ratios 7/10 and 1/2",
        "small: 5.0",
        "large: 5.0",
    ]
    assert len(said) == len(starts)
    for sentence, start in zip(said, starts, strict=True):
        assert sentence.startswith(start)
        assert "nan" not in sentence
    assert "clean labels" in said[0]
    assert "1,820" in said[0]
    assert all(f"; types: {TESTED[0]} " in sentence for sentence in said if " labels at " in sentence)


def test_the_shares_are_said_with_the_number_beside_them(table):
    said = sentences(table.assign(runs=100, confidence=0.95))
    natural = rows(table, examples="clean label").set_index(["what", "setting", "quantity"]).sort_index()
    ends = {}
    for what, setting, beside in (("design", "groups", None), ("ratio", "1/2", "_corrected")):
        for name in SHARES:
            column = natural.loc[(what, setting, name), "value"]
            other = natural.loc[(what, setting, name), "predicted"]
            if beside:
                other = natural.loc[(what, setting, f"{name}{beside}"), "value"]
            ends[what, name] = [100 * end for end in (column.min(), column.max(), other.min(), other.max())]
    (design,) = [sentence for sentence in said if "as the groups show" in sentence]
    (ratio,) = [sentence for sentence in said if "labels at 1/2" in sentence]
    for sentence, what in ((design, "design"), (ratio, "ratio")):
        for name, words in zip(SHARES, ("memorised", "scores ≤ 0.1", "scores ≥ 0.9"), strict=True):
            low, high, least, most = (f"{end:.1f}" for end in ends[what, name])
            found = low if low == high else f"{low}–{high}"
            other = least if least == most else f"{least}–{most}"
            assert f"{words} {found}\u00a0% ({other}\u00a0%)" in sentence


def test_the_sentences_are_silent_about_what_was_not_done(alone):
    said = sentences(alone.assign(runs=100, confidence=0.95))
    assert not any("ratio" in sentence or "missed" in sentence for sentence in said)
