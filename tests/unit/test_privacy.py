import numpy as np
import pandas as pd
import pytest
from run_helpers import study_of_runs

from memflow import privacy
from memflow.files import write_npz
from memflow.outcomes import Outcomes
from memflow.privacy import ATTACKS, Attacked, example_table, level_table, mean_over_groups, rate_table
from memflow.provenance import ProvenanceError


def outcomes(made, log_odds):
    return Outcomes(made.masks, 10, log_odds=log_odds.astype(np.float16))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """120 runs in groups of 10 on 400 examples: memorised examples have higher log-odds where they were trained on."""

    def outcome(masks, random):
        strength = np.linspace(0, 4, masks.shape[1])
        easy = 2 * np.random.default_rng(1).normal(size=masks.shape[1])  # what a global threshold does not know
        log_odds = random.normal(size=masks.shape) + easy + strength * (masks - 0.5)
        return {"log_odds": log_odds.astype(np.float16), "train_correct": log_odds > easy}

    return study_of_runs(tmp_path_factory.mktemp("privacy"), "privacy", outcome, n=400, seeds=120)


@pytest.fixture(scope="module")
def tables(made):
    privacy.run(made.spec, made.dataset, made.counts, made.blocks, made.output)
    read = {kind: pd.read_csv(made.output.with_suffix(f".{kind}.csv")) for kind in ("rates", "curves", "levels")}
    return {"examples": pd.read_parquet(made.output), **read}


def test_the_strong_attack_beats_the_weak_one(tables):
    rates = tables["rates"].set_index(["attack", "quantity"]).sort_index()
    auc = [rates.loc[(attack, "auc"), "value"].item() for attack in ATTACKS]
    assert min(auc[:2]) > auc[2] > 0.5
    assert (tables["rates"]["low"].dropna() <= tables["rates"]["value"].dropna()).all()
    assert set(tables["rates"]["runs"]) == {120}
    assert tables["rates"]["members"].iloc[0] == pytest.approx(280, abs=1)


def test_a_rate_is_told_only_where_the_runs_have_enough_non_members(tables):
    tpr = tables["rates"][tables["rates"]["quantity"] == "tpr"].set_index(["attack", "fpr"])
    assert tpr["value"].xs(0.01, level="fpr").notna().all()  # 120 non-members: 100 are enough
    assert tpr["value"].xs(0.001, level="fpr").isna().all()  # 1,000 are not there
    assert set(tpr["runs_measured"].xs(0.001, level="fpr")) == {0}
    assert tables["curves"]["fpr"].min() >= 1 / 120


def test_who_is_memorised_more_is_caught_more(tables):
    examples, levels = tables["examples"], tables["levels"]
    assert np.corrcoef(examples["memorisation"], examples["caught"])[0, 1] > 0.8
    assert levels["caught"].iloc[-1] > levels["caught"].iloc[0] + 0.3
    assert ((levels["low"] >= 0) & (levels["high"] <= 1)).all()
    assert examples["false_alarm"].mean() < 0.02
    assert len(examples) == 400


def test_an_example_is_caught_as_often_as_its_runs_name_it(made):
    found = made.outcomes("log_odds")
    attacked = Attacked(found)
    examples = example_table(attacked, made.merged)
    members = found.masks.sum(axis=0)
    assert np.array_equal(examples["n_in"], members)
    assert (examples["caught"] * members).sum() / members.sum() == pytest.approx(
        np.average(attacked.summary[:, 0, 1], weights=found.masks.sum(axis=1))
    )


def test_levels_are_chosen_on_one_half_and_measured_on_the_other(made):
    """With no memorisation at all, choosing high scores finds nobody who is caught more often."""
    random = np.random.default_rng(8)
    found = outcomes(made, random.normal(size=made.masks.shape))
    merged = made.merged_of(random.random(made.masks.shape) < 0.5)
    levels = level_table(Attacked(found), merged, 0.95)
    common = levels[levels["n_examples"] >= 20]
    assert len(common) >= 2
    assert (abs(common["memorisation"]) < 0.05).all()  # the other half knows of no difference
    assert (abs(common["caught"] - 0.01) < 0.01).all()


def test_a_run_that_diverged_spoils_no_other(made, caplog):
    log_odds = made.outcomes("log_odds").log_odds.astype(np.float32)
    log_odds[7] = np.nan
    attacked = Attacked(outcomes(made, log_odds))
    assert "1 runs have log-odds that are not finite" in caplog.text
    assert np.isfinite(attacked.summary[:, :, 0]).all()
    assert attacked.summary[7, 2, 0] == 0.5


def test_means_over_groups_have_students_interval():
    """Coverage of 0.9 over 400 samples of 8 groups: a standard error of 0.015; three of them."""
    random, covered = np.random.default_rng(9), 0
    group = np.repeat(np.arange(8), 5)
    for _ in range(400):
        values = random.normal(size=40) + np.repeat(random.normal(size=8), 5)
        _, low, high = mean_over_groups(values, group, 0.9)
        covered += low <= 0 <= high
    assert abs(covered / 400 - 0.9) < 0.045
    assert np.isnan(mean_over_groups(np.empty(0), np.empty(0, int), 0.9)).all()
    value, low, _ = mean_over_groups(np.ones(5), np.zeros(5, int), 0.9)
    assert value == 1
    assert np.isnan(low)


def test_the_same_inputs_give_the_same_bytes(made, tables):
    again = made.output.with_name("again.parquet")
    privacy.run(made.spec, made.dataset, made.counts, made.blocks, again)
    for suffix in (".parquet", ".rates.csv", ".curves.csv", ".levels.csv"):
        assert again.with_suffix(suffix).read_bytes() == made.output.with_suffix(suffix).read_bytes()
    assert rate_table(Attacked(made.outcomes("log_odds")), "summary", 0.95)["value"].notna().any()


def test_foreign_counts_and_damaged_blocks_are_refused(made):
    other = {**made.spec, "counts": {**made.spec["counts"], "target_accuracy": 0.9}}
    with pytest.raises(ProvenanceError, match="target_accuracy"):
        privacy.run(other, made.dataset, made.counts, made.blocks, made.output)
    content = made.blocks[0].read_bytes()
    try:
        write_npz(made.blocks[0], {"seeds": np.arange(3)})
        with pytest.raises(ProvenanceError, match=r"block-0\.npz is not the file"):
            privacy.run(made.spec, made.dataset, made.counts, made.blocks, made.output)
    finally:
        made.blocks[0].write_bytes(content)
