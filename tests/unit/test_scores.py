import json
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from memflow import counts, provenance, scores, subsets
from memflow.files import write_npz
from memflow.statistics.proportions import newcombe
from memflow.training.outcomes import pack

COLUMNS = [
    "index",
    "label",
    "n_in",
    "n_out",
    "acc_in",
    "acc_out",
    "memorisation",
    "se",
    "se_groups",
    "ci_low",
    "ci_high",
    "duplicate_group",
    "near_duplicate_group",
    "conflicting_label",
    "in_test",
    "label_noise",
    "input_noise",
    "subpopulation",
    "runs_not_converged",
]
SPEC = {
    "stage": "scores",
    "study": "tiny",
    "pretraining_overlap": "unknown",
    "confidence": 0.95,
    "memorised_at": 0.25,
}
SCORED = ["memorisation", "se", "se_groups", "ci_low", "ci_high"]


@pytest.fixture
def merged(simulate):
    return simulate(np.linspace(0.8, 1, 40), np.linspace(0, 1, 40))


@pytest.fixture
def few_runs(simulate):
    """Three examples without a score: 0 and 1 never held out, 2 never trained on; 3 held out in one group only."""
    merged = simulate(np.full(6, 0.9), np.full(6, 0.5))
    correct_in, correct_out, n_in, n_out = (
        getattr(merged, name).copy() for name in ("correct_in", "correct_out", "n_in", "n_out")
    )
    for correct, n, examples in ((correct_out, n_out, [0, 1]), (correct_in, n_in, [2])):
        correct[:, examples] = n[:, examples] = 0
    correct_out[1:, 3] = n_out[1:, 3] = 0
    totals = {"correct_in": correct_in, "correct_out": correct_out, "n_in": n_in, "n_out": n_out}
    halves = {
        f"epoch_{name}": np.stack([[values[half::2].sum(axis=0, dtype=np.uint32) for half in (0, 1)]] * 2)
        for name, values in totals.items()
        if name.startswith("correct")
    }
    return replace(merged, **totals, **halves)


def write_counts(merged, path):
    arrays = {field.name: np.asarray(getattr(merged, field.name)) for field in fields(merged)}
    write_npz(path, arrays)
    definition = {"seeds": 100, "runs": {"ratio": "7/10", "design": "balanced"}, "fingerprint": "f" * 64}
    provenance.write([path], definition, inputs={}, started=provenance.now())


def scored(merged, folder):
    write_counts(merged, folder / "counts.npz")
    scores.run(SPEC, folder / "counts.npz", folder / "one-hot.parquet")
    return folder / "one-hot.parquet"


def test_a_score_table_has_the_documented_columns(merged):
    assert scores.score_table(merged, 0.95).columns.tolist() == COLUMNS


def test_a_score_is_the_difference_of_the_accuracies(merged):
    table = scores.score_table(merged, 0.95)
    for i, row in enumerate(table.itertuples()):
        k_in, k_out = int(merged.correct_in[:, i].sum()), int(merged.correct_out[:, i].sum())
        assert (row.n_in, row.n_out) == (70, 30)
        assert row.acc_in == pytest.approx(k_in / 70)
        assert row.acc_out == pytest.approx(k_out / 30)
        assert row.memorisation == pytest.approx(k_in / 70 - k_out / 30)
        p, q = k_in / 70, k_out / 30
        assert row.se == pytest.approx((p * (1 - p) / 70 + q * (1 - q) / 30) ** 0.5)
        assert (row.ci_low, row.ci_high) == pytest.approx(newcombe(*map(np.array, (k_in, 70, k_out, 30)), 0.95))
        assert -1 <= row.ci_low <= row.memorisation <= row.ci_high <= 1


def test_rows_are_the_examples_in_official_order_with_their_flags(merged):
    groups = {name: merged.index // step for name, step in (("duplicate_group", 2), ("near_duplicate_group", 3))}
    flags = {"conflicting_label": merged.index % 4 == 1, "input_noise": merged.index % 9 == 2}
    merged = replace(merged, index=merged.index * 2 + 5, **groups, **flags)
    table = scores.score_table(merged, 0.95)
    for name in ("index", "label", *counts.MARKS):
        assert np.array_equal(table[name], getattr(merged, name))
    assert (table["runs_not_converged"] == (~merged.converged).sum()).all()


def test_the_group_error_is_the_delete_one_group_jackknife(merged):
    found = scores.score_table(merged, 0.95)["se_groups"]
    for i in range(40):
        without = [
            np.delete(merged.correct_in[:, i], g).sum() / np.delete(merged.n_in[:, i], g).sum()
            - np.delete(merged.correct_out[:, i], g).sum() / np.delete(merged.n_out[:, i], g).sum()
            for g in range(10)
        ]
        assert found[i] == pytest.approx((9 / 10 * sum((x - np.mean(without)) ** 2 for x in without)) ** 0.5)


def test_group_errors_are_the_same_in_parts(merged, monkeypatch):
    whole = scores.score_table(merged, 0.95)
    monkeypatch.setattr(scores, "CHUNK", 7)
    pd.testing.assert_frame_equal(scores.score_table(merged, 0.95), whole)


def test_both_errors_are_right_for_independent_runs(simulate):
    n, p, q = 3000, 0.9, 0.4
    table = scores.score_table(simulate(np.full(n, p), np.full(n, q)), 0.95)
    truth = p * (1 - p) / 70 + q * (1 - q) / 30
    # Variances; the jackknife's has 9 degrees of freedom, hence a relative error of sqrt(2 / 9 n): four of those.
    assert (table["se_groups"] ** 2).mean() == pytest.approx(truth, rel=4 * (2 / 9 / n) ** 0.5)
    assert (table["se"] ** 2).mean() == pytest.approx(truth, rel=0.05)  # p(1 - p)/n is biased by 1/n
    assert table["memorisation"].var() == pytest.approx(truth, rel=4 * (2 / n) ** 0.5)


def test_the_group_error_knows_that_runs_of_a_group_are_dependent(merged):
    alike = np.arange(10)[:, None] % 2 * merged.n_out  # all three held-out runs of a group right, or all wrong
    table = scores.score_table(replace(merged, correct_in=merged.n_in, correct_out=alike.astype(np.uint8)), 0.95)
    # One outcome per group instead of three, and G - 1 for G.
    assert np.allclose(table["se_groups"] / table["se"], (3 * 10 / 9) ** 0.5)


def test_an_example_never_held_out_or_never_trained_on_has_no_score(few_runs):
    table = scores.score_table(few_runs, 0.95)
    assert table.loc[[0, 1, 2], SCORED].isna().all(axis=None)
    assert table.loc[3:, ["memorisation", "se", "ci_low", "ci_high"]].notna().all(axis=None)
    assert table.loc[[0, 1], "acc_in"].notna().all()
    assert table["n_out"].tolist() == [0, 0, 30, 3, 30, 30]
    assert table["se_groups"].isna().tolist() == [True, True, True, True, False, False]  # 3: held out in one group only


def test_the_epoch_table_has_the_columns_of_the_score_table_at_every_epoch(merged):
    table = scores.epoch_table(merged, 0.95)
    assert table.columns.tolist() == ["epoch", *(name for name in COLUMNS if name != "se_groups")]
    assert table["epoch"].tolist() == [3] * 40 + [6] * 40
    first = table[table["epoch"] == 3]
    assert np.allclose(first["acc_in"], merged.epoch_correct_in[0].sum(axis=0) / 70)
    assert np.allclose(first["acc_out"], merged.epoch_correct_out[0].sum(axis=0) / 30)


@pytest.mark.parametrize("case", ["merged", "few_runs"])
def test_the_last_epoch_is_the_score_table(case, request):
    merged = request.getfixturevalue(case)
    table = scores.epoch_table(merged, 0.95)
    last = table[table["epoch"] == 6].drop(columns="epoch").reset_index(drop=True)
    pd.testing.assert_frame_equal(last, scores.score_table(merged, 0.95).drop(columns="se_groups"))


def test_the_halves_table_has_the_scores_of_each_half(merged):
    table = scores.halves_table(merged, 0.95)
    assert table.columns.tolist() == ["half", *(name for name in COLUMNS if name != "se_groups")]
    assert table["half"].tolist() == ["even"] * 40 + ["odd"] * 40
    for name, first in (("even", 0), ("odd", 1)):
        part = table[table["half"] == name].drop(columns=["half", "runs_not_converged"]).reset_index(drop=True)
        alone = scores.score_table(merged.only(np.arange(10) % 2 == first), 0.95)
        pd.testing.assert_frame_equal(part, alone.drop(columns=["se_groups", "runs_not_converged"]))
        assert np.allclose(part["acc_out"], merged.correct_out[first::2].sum(axis=0) / 15)
    assert (table["runs_not_converged"] == (~merged.converged).sum()).all()  # of the study's runs


def test_an_example_held_out_in_one_half_only_has_a_score_in_that_half(few_runs):
    table = scores.halves_table(few_runs, 0.95).set_index("half")
    assert table.loc["even", "memorisation"].notna().tolist() == [False, False, False, True, True, True]
    assert table.loc["odd", "memorisation"].notna().tolist() == [False, False, False, False, True, True]


def test_reliability_is_the_correlation_of_even_and_odd_groups_stepped_up(merged):
    halves = [
        merged.correct_in[half::2].sum(axis=0) / merged.n_in[half::2].sum(axis=0)
        - merged.correct_out[half::2].sum(axis=0) / merged.n_out[half::2].sum(axis=0)
        for half in (0, 1)
    ]
    r = np.corrcoef(*halves)[0, 1]
    assert scores.reliability(merged) == pytest.approx({"split_half": r, "reliability": 2 * r / (1 + r)})


def test_reliability_is_the_share_of_variance_that_is_not_noise(simulate):
    acc_out = np.random.default_rng(1).beta(0.8, 0.8, 4000)
    found = scores.reliability(simulate(np.ones(4000), acc_out))
    truth, noise = acc_out.var(), (acc_out * (1 - acc_out)).mean()
    for name, runs in (("split_half", 15), ("reliability", 30)):
        expected = truth / (truth + noise / runs)
        # four standard errors of a correlation
        assert found[name] == pytest.approx(expected, abs=4 * (1 - expected**2) / 4000**0.5)


def test_reliability_foretells_the_correlation_with_other_runs(simulate):
    acc_out = np.random.default_rng(2).beta(2, 1, 4000)
    one, other = (simulate(np.ones(4000), acc_out, seed=seed) for seed in (1, 2))
    ones = np.ones(10, dtype=int)
    r = np.corrcoef(one.memorisation(ones), other.memorisation(ones))[0, 1]
    assert scores.reliability(one)["reliability"] == pytest.approx(r, abs=4 * 2**0.5 * (1 - r**2) / 4000**0.5)


def test_reliability_leaves_out_examples_without_a_score_in_a_half(merged):
    n_out, correct_out = merged.n_out.copy(), merged.correct_out.copy()
    n_out[::2, 5] = correct_out[::2, 5] = 0
    found = scores.reliability(replace(merged, n_out=n_out, correct_out=correct_out))
    assert found == pytest.approx(scores.reliability(merged.select(np.arange(40) != 5)))


def test_reliability_is_undefined_without_variance(simulate):
    assert scores.reliability(simulate(np.ones(5), np.zeros(5))) == {"split_half": None, "reliability": None}


def test_halves_that_disagree_have_no_reliability(simulate):
    merged = simulate(np.ones(2), np.zeros(2), groups=2)
    found = scores.reliability(replace(merged, correct_out=np.array([[0, 3], [3, 0]], dtype=np.uint8)))
    assert found == {"split_half": pytest.approx(-1), "reliability": None}  # 2r / (1 + r) would be without bound


def test_the_mean_score_is_the_gap_between_weighted_accuracies_of_the_runs(simulate):
    # Where every example is held out equally often, the mean score follows from the accuracies of the runs alone.
    random = np.random.default_rng(0)
    masks = subsets.masks("balanced", Fraction(3, 5), range(20), np.arange(13))
    outcome = {
        "epochs": np.array([1]),
        "train_correct": random.random((20, 1, 13)) < 0.6,
        "test_correct": random.random((20, 1, 50)) < 0.6,
    }
    found = counts.count(pack(outcome, masks), masks, 50, 5, 0)
    table = scores.score_table(replace(simulate(np.ones(13), np.ones(13), groups=4, ratio=(3, 5)), **found), 0.95)
    acc_in, acc_out = found["accuracy"][:, 0, 0], found["accuracy"][:, 0, 1]
    size = masks.sum(axis=1)
    assert len(set(size)) > 1  # sizes differ: the weights matter
    gap = np.average(acc_in, weights=size) - np.average(acc_out, weights=13 - size)
    assert table["memorisation"].mean() == pytest.approx(gap, abs=1e-6)  # accuracies are float32


def test_tables_come_back_from_parquet_as_they_were_written(merged, tmp_path):
    output = scored(merged, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(output), scores.score_table(merged, 0.95))
    epochs = pd.read_parquet(output.with_suffix(".epochs.parquet"))
    pd.testing.assert_frame_equal(epochs, scores.epoch_table(merged, 0.95))
    halves = pd.read_parquet(output.with_suffix(".halves.parquet"))
    pd.testing.assert_frame_equal(halves, scores.halves_table(merged, 0.95))


def test_the_counts_above_thresholds_say_what_they_are_of(merged, tmp_path):
    output = scored(merged, tmp_path)
    counted, summary = (pd.read_csv(output.with_suffix(f".{name}.csv")) for name in ("thresholds", "summary"))
    constant = ["parameters", "runs", "runs_not_converged", "examples_without_score", "pretraining_overlap"]
    assert counted.columns.tolist() == ["examples", "threshold", "value", "low", "high", "n_examples", *constant]
    for name in constant:
        assert set(counted[name]) == set(summary[name])


def test_an_undefined_score_is_a_counted_null_in_the_file_and_never_a_zero(few_runs, tmp_path):
    output = scored(few_runs, tmp_path)
    table = pq.read_table(output)
    assert table["memorisation"].null_count == 3
    assert table["memorisation"].to_pylist()[:3] == [None, None, None]
    assert table["ci_low"].null_count == table["se"].null_count == 3
    assert json.loads(table.schema.metadata[b"memflow"])["undefined"] == 3
    summary = pd.read_csv(output.with_suffix(".summary.csv"))
    assert summary.query("quantity == 'memorisation'")["n_examples"].max() == 3
    assert (summary["examples_without_score"] == 3).all()
    epochs = pq.read_table(output.with_suffix(".epochs.parquet"))
    assert epochs["memorisation"].null_count == 6


def test_the_file_and_its_sidecar_say_what_the_scores_are(merged, tmp_path):
    output = scored(merged, tmp_path)
    metadata = json.loads(pq.read_schema(output).metadata[b"memflow"])
    expected = {
        "study": "tiny",
        "runs": 100,
        "ratio": "7/10",
        "design": "balanced",
        "fingerprint": "f" * 64,
        "confidence": 0.95,
        "pretraining_overlap": "unknown",
        "undefined": 0,
        **scores.reliability(merged),
    }
    assert metadata == expected
    assert json.loads(pq.read_schema(output.with_suffix(".epochs.parquet")).metadata[b"memflow"]) == expected
    for suffix in (
        ".parquet",
        ".epochs.parquet",
        ".halves.parquet",
        ".summary.csv",
        ".histogram.csv",
        ".thresholds.csv",
    ):
        record = provenance.read(output.with_suffix(suffix))
        assert record["summary"] == expected
        assert record["definition"]["counts"] == provenance.read(tmp_path / "counts.npz")["definition"]
    summary = pd.read_csv(output.with_suffix(".summary.csv"))
    assert set(summary["pretraining_overlap"]) == {"unknown"}


def test_the_same_counts_give_the_same_bytes(merged, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        scored(merged, tmp_path / name)
    for suffix in ("parquet", "epochs.parquet", "halves.parquet", "summary.csv", "histogram.csv", "thresholds.csv"):
        one, other = (tmp_path / name / f"one-hot.{suffix}" for name in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


def test_counts_changed_after_they_were_merged_are_refused(merged, tmp_path):
    write_counts(merged, tmp_path / "counts.npz")
    with open(tmp_path / "counts.npz", "ab") as file:
        file.write(b"x")
    with pytest.raises(provenance.ProvenanceError, match=r"counts\.npz is not the file"):
        scores.run({}, tmp_path / "counts.npz", tmp_path / "one-hot.parquet")
