from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from memflow.scores import score_table
from memflow.statistics.bimodality import describe
from memflow.summary import BINS, MEANS, THRESHOLDED, THRESHOLDS, histogram, populations, summarise, thresholds

MEMORISED_AT = 0.25


@pytest.fixture(scope="module")
def counts(simulate):
    acc_out = np.random.default_rng(0).choice([1, 0.95, 0.7, 0.5, 0.05, 0], 300, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    return simulate(np.full(300, 0.98), acc_out)


@pytest.fixture(scope="module")
def summary(counts):
    return summarise(counts, confidence=0.95, memorised_at=MEMORISED_AT).set_index(["examples", "quantity"])


def test_every_population_has_every_quantity(summary):
    expected = {(examples, name) for examples in ("all", "clean label", "flipped label") for name in MEANS}
    for name in THRESHOLDED:
        expected |= {(e, n) for e in ("all", "clean label", "flipped label") for n in (name, f"{name}_corrected")}
    assert set(summary.index) == expected | {("all", "acc_test")}
    assert len(summary) == len(expected) + 1


def test_values_are_those_of_the_score_table(summary, counts):
    table = score_table(counts, 0.95)
    parts = {"all": table, "clean label": table[~table["label_noise"]], "flipped label": table[table["label_noise"]]}
    for examples, part in parts.items():
        value = summary.loc[examples, "value"]
        for name in MEANS:
            assert value[name] == pytest.approx(part[name].mean())
        assert value["memorised"] == (part["memorisation"] >= MEMORISED_AT).sum()
        expected = describe(part["memorisation"].to_numpy())
        assert np.allclose([value[name] for name in THRESHOLDED[1:]], expected)
        assert (summary.loc[examples, "n_examples"].drop("acc_test", errors="ignore") == len(part)).all()
    assert summary.loc[("all", "acc_test"), "value"] == pytest.approx(counts.correct_test.mean() / 10)
    assert summary.loc[("all", "acc_test"), "n_examples"] == 50


def test_a_score_at_the_threshold_is_memorised(simulate):
    counts = simulate(np.ones(10), np.zeros(10), groups=2)
    # 7 of 10 in-sample against 9 of 20 out-of-sample: .7 - .45 = .25 less one bit in floating point
    ratio = {
        "n_in": np.full((2, 10), 5, dtype=np.uint8),
        "n_out": np.full((2, 10), 10, dtype=np.uint8),
        "correct_in": np.tile(np.array([[3], [4]], dtype=np.uint8), 10),
        "correct_out": np.tile(np.array([[4], [5]], dtype=np.uint8), 10),
    }
    assert 7 / 10 - 9 / 20 < 0.25
    rows = summarise(replace(counts, **ratio), confidence=0.95, memorised_at=0.25).set_index(["examples", "quantity"])
    assert rows.loc[("all", "memorised"), "value"] == 10


def test_every_interval_holds_its_value(summary):
    assert (summary["low"] <= summary["value"]).all()
    assert (summary["value"] <= summary["high"]).all()
    means = summary.loc["all"].loc[list(MEANS)]
    assert (means["low"] < means["high"]).all()


def test_the_interval_of_a_mean_is_about_students(summary, counts):
    by_group = counts.correct_in.mean(axis=1) / 7 - counts.correct_out.mean(axis=1) / 3
    width = 2 * t.ppf(0.975, 9) * by_group.std(ddof=1) / 10**0.5
    row = summary.loc[("all", "memorisation")]
    assert row["high"] - row["low"] == pytest.approx(width, rel=0.15)  # 2,000 resamples, quantiles at .009 and .991


def test_the_interval_of_a_count_is_the_jackknife_over_groups(summary, counts):
    left_out = []
    for group in range(10):
        used = np.arange(10) != group
        left_out.append((counts.memorisation(used) >= MEMORISED_AT - 1e-9).sum())
    margin = t.ppf(0.975, 9) * (9 / 10 * ((left_out - np.mean(left_out)) ** 2).sum()) ** 0.5
    assert margin > 0
    row = summary.loc[("all", "memorised")]
    assert row["high"] - row["value"] == pytest.approx(margin)
    assert row["value"] - row["low"] == pytest.approx(margin)


def test_counts_above_thresholds_are_those_of_the_score_table(counts):
    table = score_table(counts, 0.95)
    found = thresholds(counts, 0.95).set_index(["examples", "threshold"])
    assert found.index.tolist() == [(e, t) for e in ("all", "clean label", "flipped label") for t in THRESHOLDS]
    parts = {"all": table, "clean label": table[~table["label_noise"]], "flipped label": table[table["label_noise"]]}
    for examples, part in parts.items():
        expected = [(part["memorisation"] >= threshold - 1e-9).sum() for threshold in THRESHOLDS]
        assert found.loc[examples, "value"].tolist() == expected
        assert set(found.loc[examples, "n_examples"]) == {len(part)}


def test_a_count_above_the_studys_threshold_has_the_interval_of_the_summary(summary, counts):
    found = thresholds(counts, 0.95).query("threshold == 0.25").set_index("examples")
    for examples in ("all", "clean label", "flipped label"):
        limits = summary.loc[(examples, "memorised"), ["value", "low", "high"]]
        assert np.allclose(found.loc[examples, ["value", "low", "high"]], limits)


def test_a_population_without_any_score_has_no_count_above_a_threshold(counts):
    n_out, correct_out = counts.n_out.copy(), counts.correct_out.copy()
    n_out[:, counts.label_noise] = correct_out[:, counts.label_noise] = 0
    found = thresholds(replace(counts, n_out=n_out, correct_out=correct_out), 0.95).set_index("examples")
    assert found.loc["flipped label", ["value", "low", "high"]].isna().all(axis=None)
    assert found.loc["all", "value"].notna().all()


def test_the_correction_recovers_the_planted_tails(simulate):
    acc_out = np.repeat([0.925, 0.5, 0.075], [500, 200, 300])  # scores .075, .5, .925
    rows = summarise(simulate(np.ones(1000), acc_out), confidence=0.95, memorised_at=MEMORISED_AT)
    value = rows.set_index(["examples", "quantity"]).loc["all", "value"]
    for name, truth in (("share_low", 0.5), ("share_high", 0.3)):
        assert abs(value[f"{name}_corrected"] - truth) < 0.03 < abs(value[name] - truth)


def test_corrected_intervals_hold_the_planted_tails_and_raw_ones_miss_them(simulate):
    acc_out = np.repeat([0.925, 0.5, 0.075], [500, 200, 300])
    held = []
    for seed in range(5):
        rows = summarise(simulate(np.ones(1000), acc_out, seed=seed), confidence=0.95, memorised_at=MEMORISED_AT)
        rows = rows.set_index(["examples", "quantity"]).loc["all"]
        for name, truth in (("share_low", 0.5), ("share_high", 0.3)):
            of_both = rows.loc[[name, f"{name}_corrected"]]
            held.append(((of_both["low"] <= truth) & (truth <= of_both["high"])).tolist())
    raw, corrected = np.sum(held, axis=0)
    # Of 10: less than 8 would be a chance of .01 at 95 %. A raw share is .09 or .05 off, with a margin of that order.
    assert corrected >= 8
    assert raw <= 2


def test_noise_images_are_a_population_of_their_own_and_their_labels_are_not_called_clean(counts):
    noise = np.arange(300) % 5 == 1  # others than those with a flipped label
    parts = populations(replace(counts, input_noise=noise))
    assert list(parts) == ["all", "clean label", "flipped label", "noise image"]
    assert np.array_equal(parts["noise image"], noise)
    assert np.array_equal(parts["clean label"], ~(noise | counts.label_noise))
    none_flipped = replace(counts, input_noise=noise, label_noise=np.zeros(300, dtype=bool))
    assert list(populations(none_flipped)) == ["all", "clean label", "noise image"]


def test_without_flipped_labels_all_examples_are_one_population(counts):
    clean = replace(counts, label_noise=np.zeros(300, dtype=bool))
    assert list(populations(clean)) == ["all"]
    assert populations(clean)["all"].all()


def test_examples_without_a_score_are_in_no_population(counts):
    n_out, correct_out = counts.n_out.copy(), counts.correct_out.copy()
    n_out[:, :7] = correct_out[:, :7] = 0
    part = replace(counts, n_out=n_out, correct_out=correct_out)
    assert not any(where[:7].any() for where in populations(part).values())
    rows = summarise(part, confidence=0.95, memorised_at=MEMORISED_AT).set_index(["examples", "quantity"])
    table = score_table(part, 0.95)
    assert rows.loc[("all", "memorisation"), "n_examples"] == 293
    assert rows.loc[("all", "memorisation"), "value"] == pytest.approx(table["memorisation"].mean())
    assert rows.loc[("all", "memorised"), "value"] == (table["memorisation"] >= MEMORISED_AT).sum()
    assert histogram(part)["raw"].sum() == pytest.approx(1)


def test_a_population_without_any_score_does_not_stop_the_others(counts):
    n_out, correct_out = counts.n_out.copy(), counts.correct_out.copy()
    n_out[:, counts.label_noise] = correct_out[:, counts.label_noise] = 0
    part = replace(counts, n_out=n_out, correct_out=correct_out)
    rows = summarise(part, confidence=0.95, memorised_at=MEMORISED_AT)
    assert rows.query("examples == 'all' and quantity == 'memorisation'")["n_examples"].tolist() == [240]
    nothing = rows.query("examples == 'flipped label'")
    assert (nothing["n_examples"] == 0).all()
    assert nothing["value"].isna().all()


def test_a_histogram_holds_every_score_once(counts):
    bins = histogram(counts)
    assert bins["raw"].sum() == pytest.approx(1)
    assert bins["corrected"].sum() == pytest.approx(1)
    assert bins["bin_low"].tolist() == BINS[:-1].tolist()
    assert bins["bin_high"].tolist() == BINS[1:].tolist()


@pytest.mark.parametrize(("acc_in", "acc_out", "low"), [(1, 0, 0.95), (1, 1, 0), (0, 1, -0.1), (1, 0.9, 0.1)])
def test_a_score_is_in_the_bin_that_begins_at_or_below_it(simulate, acc_in, acc_out, low):
    counts = simulate(np.full(20, 1), np.full(20, 1), groups=2, ratio=(10, 20))
    exact = {
        "correct_in": np.full((2, 20), 10 * acc_in, dtype=np.uint8),
        "correct_out": np.full((2, 20), 10 * acc_out, dtype=np.uint8),
    }
    bins = histogram(replace(counts, **exact)).set_index("bin_low")
    assert bins.loc[low, "raw"] == 1


def test_the_histogram_shows_the_distribution_without_the_noise(simulate):
    bins = histogram(simulate(np.ones(2000), np.full(2000, 0.5))).set_index("bin_low")
    assert bins.loc[0.5, "raw"] < 0.3  # a standard error of .09 smears one bin over many
    assert bins.loc[0.45:0.5, "corrected"].sum() > 0.9
