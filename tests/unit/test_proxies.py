import json
import logging
import re
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import pearsonr, spearmanr, t

from memflow import counts, provenance, proxies, scores, subsets
from memflow.data import prepared
from memflow.files import write_npz
from memflow.provenance import ProvenanceError
from memflow.statistics import agreement
from memflow.statistics.bimodality import NAMES, describe

N, RUNS, BLOCK = 60, 6, 3
FROM_RUNS = [
    "cumulative_accuracy",
    "cumulative_confidence",
    "cumulative_loss",
    "forgetting",
    "aum",
    "el2n",
    "data_map_variability",
    "final_entropy",
    "final_loss",
    "prediction_depth",
]
C_SCORES = ["c_score", "c_score_3-10", "c_score_mean"]
EXAMPLES_COLUMNS = ["proxy", "index", "label", *counts.MARKS, "original", "value", "value_even", "value_odd"]
AGREEMENT_COLUMNS = ["proxy", "statistic", "examples", "value", "low", "high", "ceiling", "reliability_score"]
AGREEMENT_COLUMNS += ["reliability_proxy", "n_examples", "runs", "parameters", "pretraining_overlap"]
SUMMARY_COLUMNS = ["proxy", "examples", "quantity", "value", "low", "high", "n_examples", "runs", "parameters"]
SUMMARY_COLUMNS += ["pretraining_overlap"]
ARCHITECTURE = {"model": "cifar-resnet", "depth": 8}
RATIOS = ["7/10", "3/10"]
COUNTS = [
    {
        "stage": "counts",
        "code": "1",
        "runs": {
            "stage": "runs",
            "code": "2",
            "architecture": ARCHITECTURE,
            "method": method,
            "ratio": ratio,
            "recipe": {"epochs": 8, "augment": False},
        },
        "target_accuracy": 0.9,
        "seeds": 100,
        "block_size": 50,
        "require_uniform_device": False,
    }
    for method, ratio in zip(("one-hot", "ratio-3-10"), RATIOS, strict=True)
]
SPEC = {
    "stage": "proxies",
    "code": "0",
    "study": "tiny",
    "runs": {"stage": "runs", "architecture": ARCHITECTURE, "method": "full-data", "learner": "one"},
    "n_runs": RUNS,
    "block_size": BLOCK,
    "counts": COUNTS,
    "confidence": 0.95,
    "memorised_at": 0.25,
    "pretraining_overlap": "no",
}


@pytest.fixture(autouse=True)
def quick_ceilings(monkeypatch):
    monkeypatch.setattr(agreement, "CEILING_EXAMPLES", 500)


@pytest.fixture(scope="module")
def acc_out():
    return np.random.default_rng(0).beta(0.8, 0.5, N)


@pytest.fixture(scope="module")
def merged(simulate, acc_out):
    return simulate(np.full(N, 0.95), acc_out, seed=1)


@pytest.fixture(scope="module")
def lower_ratio(simulate, acc_out):
    return simulate(np.full(N, 0.95), 0.8 * acc_out, ratio=(3, 10), seed=2)


@pytest.fixture(scope="module")
def by_run(acc_out):
    """Of each proxy, float32[runs, n]; example 3 unseen by run 1, example 4 by every run."""
    random = np.random.default_rng(3)
    values = {
        name: np.clip(acc_out + 0.2 * random.normal(size=(RUNS, N)), 0, 1).astype(np.float32) for name in FROM_RUNS
    }
    for value in values.values():
        value[1, 3] = value[:, 4] = np.nan
    return values


@pytest.fixture
def study(tmp_path, make_dataset, by_run, merged, lower_ratio):
    return Files(tmp_path, make_dataset(N), by_run, merged, lower_ratio)


class Files:
    """The inputs of a stage, and what may be wrong with them."""

    def __init__(self, folder, dataset, by_run, *merged):
        self.folder, self.fingerprint = folder, dataset.fingerprint
        self.dataset = folder / "dataset.npz"
        prepared.save(dataset, self.dataset)
        self.blocks, self.counts = [folder / "block-0.npz", folder / "block-1.npz"], []
        for number in (0, 1):
            self.write_block(number, by_run)
        for expected, one in zip(COUNTS, merged, strict=True):
            self.counts.append(folder / f"{expected['runs']['method']}.npz")
            self.write_counts(self.counts[-1], one, expected)

    def write_block(self, number, by_run, mask=True, conditions=None, **changes):
        seeds = [number * BLOCK, (number + 1) * BLOCK]
        write_npz(self.blocks[number], {f"proxy_{name}": value[slice(*seeds)] for name, value in by_run.items()})
        provenance.write(
            [self.blocks[number]],
            {**SPEC["runs"], "seeds": seeds, "fingerprint": self.fingerprint, **changes},
            inputs={},
            started=provenance.now(),
            bit_conditions=conditions or {"device": "cpu"},
            details={"masks": [subsets.mask_hash(np.full(N, mask))] * BLOCK},
        )

    def write_counts(self, path, merged, expected, **changes):
        write_npz(path, {field.name: np.asarray(getattr(merged, field.name)) for field in fields(merged)})
        definition = {**expected, "fingerprint": self.fingerprint, **changes}
        provenance.write([path], definition, inputs={}, started=provenance.now())

    def run(self, name="resnet8", **changes):
        output = self.folder / f"{name}.parquet"
        proxies.run({**SPEC, **changes}, self.dataset, self.blocks, self.counts, output)
        return output


def measures(by_run, merged, lower_ratio):
    from_runs = [proxies.from_runs(name, values) for name, values in by_run.items()]
    return from_runs + proxies.c_scores({"7/10": merged, "3/10": lower_ratio})


def agreement_of(merged, some, examples="all"):
    table = proxies.agreement_table(merged, some, 0.95)
    return table[table["examples"] == examples].set_index(["proxy", "statistic"])


def finite(*columns):
    both = np.all([np.isfinite(column) for column in columns], axis=0)
    return [column[both] for column in columns]


def both_correlations(one, other):
    one, other = finite(one, other)
    return np.array([pearsonr(one, other).statistic, spearmanr(one, other).statistic])


def halves_of(values):
    return values[0::2], values[1::2]


def c_score_of(merged, groups):
    return 1 - merged.correct_out[groups].sum(axis=0) / merged.n_out[groups].sum(axis=0)


def score_of(merged, groups):
    return merged.correct_in[groups].sum(axis=0) / merged.n_in[groups].sum(axis=0) - 1 + c_score_of(merged, groups)


def crossed_of(merged, groups):
    """C-score of the even groups against score of the odd ones, swapped and averaged."""
    even, odd = (groups[groups % 2 == half] for half in (0, 1))
    pairs = [(c_score_of(merged, one), score_of(merged, other)) for one, other in ((even, odd), (odd, even))]
    return np.mean([both_correlations(*pair) for pair in pairs], axis=0)


def test_a_run_writes_the_documented_tables_with_their_sidecars(study, by_run, merged, lower_ratio):
    output = study.run()
    expected = measures(by_run, merged, lower_ratio)
    table = pd.read_parquet(output)
    assert table.columns.tolist() == EXAMPLES_COLUMNS
    assert table["proxy"].unique().tolist() == FROM_RUNS + C_SCORES
    pd.testing.assert_frame_equal(table, proxies.example_table(merged, expected))
    agreed = pd.read_csv(output.with_suffix(".agreement.csv"))
    assert agreed.columns.tolist() == AGREEMENT_COLUMNS
    found = agreed.drop(columns=["parameters", "pretraining_overlap"])
    pd.testing.assert_frame_equal(found, proxies.agreement_table(merged, expected, 0.95))
    summary = pd.read_csv(output.with_suffix(".summary.csv"))
    assert summary.columns.tolist() == SUMMARY_COLUMNS
    assert summary["proxy"].unique().tolist() == ["memorisation", *FROM_RUNS, *C_SCORES]
    for one in (agreed, summary):
        assert (one["parameters"] == 123).all()
        assert (one["pretraining_overlap"] == "no").all()
    for suffix in (".parquet", ".agreement.csv", ".summary.csv"):
        record = provenance.read(output.with_suffix(suffix))
        assert record["definition"] == {**SPEC, "fingerprint": study.fingerprint}
        assert set(record["inputs"]) == {str(path) for path in (study.dataset, *study.blocks, *study.counts)}
        assert record["runs_made_under"] == [{"device": "cpu"}]
    metadata = json.loads(pq.read_schema(output).metadata[b"memflow"])
    assert metadata == {"study": "tiny", "parameters": 123, "pretraining_overlap": "no"}


def test_the_same_inputs_give_the_same_bytes(study):
    one, other = study.run("one"), study.run("other")
    for suffix in (".parquet", ".agreement.csv", ".summary.csv"):
        assert one.with_suffix(suffix).read_bytes() == other.with_suffix(suffix).read_bytes()


def test_an_architecture_without_layers_has_no_prediction_depth(study, by_run):
    for number in (0, 1):
        study.write_block(number, {name: values for name, values in by_run.items() if name != "prediction_depth"})
    assert pd.read_parquet(study.run())["proxy"].unique().tolist() == FROM_RUNS[:-1] + C_SCORES


def test_without_further_ratios_there_is_one_c_score_and_no_mean(study):
    study.counts = study.counts[:1]
    assert pd.read_parquet(study.run(counts=COUNTS[:1]))["proxy"].unique().tolist() == [*FROM_RUNS, "c_score"]


def test_every_proxy_has_a_direction_and_a_place():
    assert list(proxies.DIRECTIONS) == FROM_RUNS


@pytest.mark.parametrize("name", FROM_RUNS)
def test_values_are_means_over_the_runs_that_saw_the_example_higher_for_the_memorised(name, by_run, merged):
    table = proxies.example_table(merged, [proxies.from_runs(name, by_run[name])])
    direction = {"aum": lambda x: -x, "cumulative_accuracy": lambda x: 1 - x, "cumulative_confidence": lambda x: 1 - x}
    for i, row in table.iterrows():
        if i == 4:
            assert np.isnan([row[column] for column in EXAMPLES_COLUMNS[-4:]]).all()
            continue
        seen = by_run[name][:, i].astype(np.float64)
        value = direction.get(name, lambda x: x)
        assert row["original"] == pytest.approx(np.nanmean(seen), rel=1e-6)
        for column, part in zip(("value", "value_even", "value_odd"), (seen, *halves_of(seen)), strict=True):
            assert row[column] == pytest.approx(value(np.nanmean(part)), abs=1e-6)
    assert table["index"].tolist() == merged.index.tolist()
    assert table["label"].tolist() == merged.label.tolist()
    for mark in counts.MARKS:
        assert np.array_equal(table[mark], getattr(merged, mark))


def test_the_same_accuracies_in_another_order_of_runs_are_the_same_value(merged):
    accuracies = np.tile(np.float32([0.9, 0.8, 0.7]), (N, 1))
    shuffled = np.random.default_rng(0).permuted(accuracies, axis=1)
    assert len(np.unique(proxies.from_runs("cumulative_accuracy", shuffled.T).value([np.ones(3, dtype=bool)]))) == 1


def test_the_c_score_is_the_accuracy_of_runs_that_did_not_see_the_example(merged, lower_ratio):
    table = proxies.example_table(merged, proxies.c_scores({"7/10": merged, "3/10": lower_ratio}))
    by_proxy = dict(list(table.groupby("proxy")))
    for name, one in (("c_score", merged), ("c_score_3-10", lower_ratio)):
        part = by_proxy[name]
        assert np.allclose(part["original"], scores.score_table(one, 0.95)["acc_out"])
        assert np.allclose(part["value"], 1 - part["original"])
        halves = scores.halves_table(one, 0.95).set_index("half")["acc_out"]
        for half in counts.HALVES:
            assert np.allclose(part[f"value_{half}"], 1 - halves[half])
    for column in ("original", "value", "value_even", "value_odd"):
        mean = (by_proxy["c_score"][column].to_numpy() + by_proxy["c_score_3-10"][column].to_numpy()) / 2
        assert np.allclose(by_proxy["c_score_mean"][column], mean)


@pytest.mark.parametrize(("examples", "where"), [("all", slice(None)), ("flipped label", slice(4, None, 5))])
def test_the_agreement_of_a_proxy_is_its_correlation_with_the_score(by_run, merged, examples, where):
    found = agreement_of(merged, [proxies.from_runs("el2n", by_run["el2n"])], examples).loc["el2n"]
    values = by_run["el2n"][:, where].astype(np.float64)
    seen = ~np.isnan(values).all(axis=0)
    part = merged.select(where)
    proxy, score = np.full(len(seen), np.nan), part.scores()
    proxy[seen] = np.nanmean(values[:, seen], axis=0)
    value = both_correlations(proxy, score)
    assert found["value"].tolist() == pytest.approx(value, abs=1e-6)

    def left_out(rows):
        mean = np.full(len(seen), np.nan)
        mean[seen] = np.nanmean(np.delete(values, rows, 0)[:, seen], axis=0)
        return mean

    by_group = [both_correlations(proxy, part.only(np.arange(10) != group).scores()) for group in range(10)]
    by_proxy_run = [both_correlations(left_out(run), score) for run in range(RUNS)]
    variance = sum((len(x) - 1) * np.var(x, axis=0) for x in (by_group, by_proxy_run))
    margin = t.ppf(0.975, RUNS - 1) * variance**0.5
    assert found["high"].tolist() == pytest.approx(np.clip(value + margin, -1, 1), abs=1e-5)
    assert found["low"].tolist() == pytest.approx(np.clip(value - margin, -1, 1), abs=1e-5)
    assert (found["n_examples"] == seen.sum()).all()
    assert (found["runs"] == RUNS).all()


def test_a_direction_does_not_change_how_strong_an_agreement_is(by_run, merged):
    turned, as_it_is = (proxies.from_runs(name, by_run["aum"]) for name in ("aum", "el2n"))
    found = agreement_of(merged, [turned, as_it_is])["value"]
    assert found["aum"].tolist() == pytest.approx((-found["el2n"]).tolist())
    assert (found["aum"] > 0.5).all()  # the planted ones are low where the out-of-sample accuracy is


def test_the_c_score_is_compared_with_the_score_of_the_other_half(merged, lower_ratio):
    found = agreement_of(merged, proxies.c_scores({"7/10": merged, "3/10": lower_ratio}))
    everything = np.arange(10)
    value = crossed_of(merged, everything)
    assert found.loc["c_score", "value"].tolist() == pytest.approx(value, abs=1e-6)
    left_out = [crossed_of(merged, np.delete(everything, group)) for group in everything]
    margin = t.ppf(0.975, 9) * (9 * np.var(left_out, axis=0)) ** 0.5
    assert found.loc["c_score", "low"].tolist() == pytest.approx(value - margin, abs=1e-5)
    even, odd = halves_of(everything)
    means = [(c_score_of(merged, half) + c_score_of(lower_ratio, half)) / 2 for half in (even, odd)]
    means = np.array(means).astype(np.float32)  # equal fractions, summed in another order
    crossed = [both_correlations(means[0], score_of(merged, odd)), both_correlations(means[1], score_of(merged, even))]
    assert found.loc["c_score_mean", "value"].tolist() == pytest.approx(np.mean(crossed, axis=0), abs=1e-6)


def test_a_c_score_at_another_ratio_has_runs_of_its_own_and_is_compared_with_the_whole_score(merged, lower_ratio):
    found = agreement_of(merged, proxies.c_scores({"7/10": merged, "3/10": lower_ratio})).loc["c_score_3-10"]
    everything = np.arange(10)
    expected = both_correlations(c_score_of(lower_ratio, everything), score_of(merged, everything))
    assert found["value"].tolist() == pytest.approx(expected, abs=1e-6)


def test_shared_noise_is_no_agreement(simulate):
    # All examples are alike: what differs between them is the noise of their runs.
    n = 2000
    merged = simulate(np.ones(n), np.full(n, 0.6), seed=5)
    found = agreement_of(replace(merged, label_noise=np.zeros(n, dtype=bool)), proxies.c_scores({"7/10": merged}))
    everything = np.arange(10)
    naive = both_correlations(c_score_of(merged, everything), score_of(merged, everything))
    # Four standard errors of the mean of two unrelated correlations.
    assert (abs(found["value"]) < 4 / (2 * n) ** 0.5).all()
    assert (naive > 0.99).all()
    assert ((found["low"] < 0) & (found["high"] > 0)).all()


def test_reliabilities_and_ceilings_are_those_of_the_runs_that_are_compared(simulate, monkeypatch):
    monkeypatch.setattr(agreement, "CEILING_EXAMPLES", 10_000)
    n = 3000
    acc_out = np.random.default_rng(6).beta(0.8, 0.5, n)
    merged, other = (
        simulate(np.ones(n), acc_out, seed=seed, ratio=ratio) for seed, ratio in ((7, (7, 10)), (8, (3, 10)))
    )
    merged = replace(merged, label_noise=np.zeros(n, dtype=bool))
    proxy = acc_out + np.random.default_rng(9).normal(size=(RUNS, n))
    found = agreement_of(
        merged,
        [proxies.from_runs("el2n", proxy.astype(np.float32)), *proxies.c_scores({"7/10": merged, "3/10": other})],
    )
    whole, truth = scores.reliability(merged), 1 - acc_out
    assert (found.loc[["el2n", "c_score_3-10"], "reliability_score"] == whole["reliability"]).all()
    assert (found.loc[["c_score", "c_score_mean"], "reliability_score"] == whole["split_half"]).all()
    even, odd = (half.mean(axis=0) for half in halves_of(proxy))
    r = pearsonr(even, odd).statistic
    assert found.loc["el2n", "reliability_proxy"].tolist() == pytest.approx([2 * r / (1 + r)] * 2)
    halves = [c_score_of(merged, half) for half in halves_of(np.arange(10))]
    assert found.loc["c_score", "reliability_proxy"].tolist() == pytest.approx([pearsonr(*halves).statistic] * 2)
    # The ceilings are the correlations with the truth; a correlation r has a standard error of (1 - r²) / 3000 ** 0.5.
    whole_score = both_correlations(merged.scores(), truth)
    half_score = np.mean([both_correlations(half.scores(), truth) for half in merged.halves()], axis=0)
    assert found.loc["el2n", "ceiling"].tolist() == pytest.approx(whole_score, abs=0.01)
    assert found.loc["c_score", "ceiling"].tolist() == pytest.approx(half_score, abs=0.01)
    assert (half_score < whole_score - 0.01).all()


def test_examples_without_value_or_score_do_not_count(by_run, merged):
    n_out, correct_out = merged.n_out.copy(), merged.correct_out.copy()
    n_out[:, 7] = correct_out[:, 7] = 0  # no score
    n_out[0::2, 8] = correct_out[0::2, 8] = 0  # none from the even groups
    part = replace(merged, n_out=n_out, correct_out=correct_out)
    found = agreement_of(part, [proxies.from_runs("el2n", by_run["el2n"]), *proxies.c_scores({"7/10": part})])
    assert found.loc["el2n", "n_examples"].tolist() == [N - 2, N - 2]  # 4 and 7
    assert found.loc["c_score", "n_examples"].tolist() == [N - 2, N - 2]  # 7 and 8
    assert found["value"].notna().all()


def test_populations_are_those_of_the_score(by_run, merged):
    table = proxies.agreement_table(merged, [proxies.from_runs("el2n", by_run["el2n"])], 0.95)
    assert table["examples"].unique().tolist() == ["all", "clean label", "flipped label"]


def test_a_population_without_scores_has_rows_without_values(by_run, merged):
    n_out = np.where(merged.label_noise, 0, merged.n_out).astype(np.uint8)
    part = replace(merged, n_out=n_out, correct_out=np.minimum(merged.correct_out, n_out))
    some = [proxies.from_runs("el2n", by_run["el2n"]), *proxies.c_scores({"7/10": part})]
    found = agreement_of(part, some, "flipped label")
    assert found[["value", "low", "high", "ceiling", "reliability_score"]].isna().all(axis=None)
    assert (found["n_examples"] == 0).all()
    assert agreement_of(part, some)["value"].notna().all()


def test_a_proxy_without_variance_has_no_agreement(merged):
    constant = proxies.from_runs("forgetting", np.zeros((RUNS, N), dtype=np.float32))
    found = agreement_of(merged, [constant])
    assert found[["value", "low", "high", "reliability_proxy"]].isna().all(axis=None)
    assert found["ceiling"].notna().all()
    summary = proxies.summarise(merged, [constant], 0.95).set_index("proxy").loc["forgetting"]
    assert summary[["value", "low", "high"]].isna().all(axis=None)


def test_one_run_gives_values_without_interval_or_reliability(by_run, merged):
    alone = proxies.from_runs("el2n", by_run["el2n"][:1])
    assert proxies.example_table(merged, [alone])["value_odd"].isna().all()
    found = agreement_of(merged, [alone])
    assert found["value"].notna().all()
    assert found[["low", "high", "reliability_proxy"]].isna().all(axis=None)
    summary = proxies.summarise(merged, [alone], 0.95).set_index("proxy").loc["el2n"]
    assert summary["value"].notna().all()
    assert summary[["low", "high"]].isna().all(axis=None)


def test_no_runs_of_the_score_in_a_half_give_no_agreement_with_the_c_score(simulate, acc_out, by_run):
    lone = simulate(np.full(N, 0.95), acc_out, groups=1)
    found = agreement_of(lone, [proxies.from_runs("el2n", by_run["el2n"]), *proxies.c_scores({"7/10": lone})])
    assert found.loc["c_score", ["value", "low", "high", "ceiling"]].isna().all(axis=None)
    assert found.loc["el2n", "value"].notna().all()


def test_the_summary_describes_the_score_as_it_is_and_proxies_between_their_extremes(by_run, merged):
    table = proxies.summarise(merged, measures(by_run, merged, merged), 0.95)
    assert table["examples"].unique().tolist() == ["all", "clean label", "flipped label"]
    natural = table[table["examples"] == "clean label"].set_index(["proxy", "quantity"])
    table = table[table["examples"] == "all"].set_index(["proxy", "quantity"])

    def described(values, scaled=True):
        between = (values - values.min()) / np.ptp(values) if scaled else values
        return [values.mean(), values.std(), *describe(between)]

    def of_runs(values, where):
        return described(np.nanmean(values[:, where].astype(np.float64), axis=0).astype(np.float32).astype(np.float64))

    seen, clean = np.arange(N) != 4, np.arange(N) % 5 != 4
    for found, where in ((table.loc["el2n"], seen), (natural.loc["el2n"], clean)):
        left_out = [of_runs(np.delete(by_run["el2n"], run, 0), where) for run in range(RUNS)]
        margin = t.ppf(0.975, RUNS - 1) * ((RUNS - 1) * np.var(left_out, axis=0)) ** 0.5
        assert found["value"].tolist() == pytest.approx(of_runs(by_run["el2n"], where), abs=1e-6)
        assert (found["high"] - found["value"]).tolist() == pytest.approx(margin, abs=1e-5)
        assert found.index.tolist() == ["mean", "deviation", *NAMES]
        assert (found["n_examples"] == where.sum()).all()
    assert table["n_examples"].unique().tolist() == [N, N - 1]
    for found, where in ((table.loc["memorisation"], slice(None)), (natural.loc["memorisation"], clean)):
        assert found["value"].tolist() == pytest.approx(described(merged.scores()[where], scaled=False))
        by_group = [described(merged.only(np.arange(10) != one).scores()[where], scaled=False) for one in range(10)]
        margin = t.ppf(0.975, 9) * (9 * np.var(by_group, axis=0)) ** 0.5
        assert (found["value"] - found["low"]).tolist() == pytest.approx(margin)


def test_a_block_of_another_study_is_refused(study, by_run):
    study.write_block(1, by_run, learner="another")
    with pytest.raises(ProvenanceError, match=r"block-1.*learner is 'another', expected 'one'"):
        study.run()


def test_a_block_that_was_trained_on_subsets_is_refused(study, by_run):
    study.write_block(1, by_run, mask=False)
    with pytest.raises(ProvenanceError, match=r"block-1.*other subsets"):
        study.run()


def test_a_missing_block_is_refused(study):
    study.blocks = study.blocks[:1]
    with pytest.raises(ProvenanceError, match="1 block files for 2 blocks of 3 runs"):
        study.run()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("runs", "changes", "message"),
    [
        ({"ratio": "1/2"}, {}, "runs.ratio is '1/2', expected '{ratio}'"),
        ({"method": "distilled"}, {}, "runs.method is 'distilled', expected '{method}'"),
        ({"architecture": {**ARCHITECTURE, "depth": 14}}, {}, "runs.architecture.depth is 14, expected 8"),
        ({"recipe": {"epochs": 4, "augment": False}}, {}, "runs.recipe.epochs is 4, expected 8"),
        ({"code": "3"}, {}, "runs.code is '3', expected '2'"),
        ({"early": 2}, {}, "runs.early is 2, expected 'missing'"),
        ({}, {"seeds": 50}, "seeds is 50, expected 100"),
        ({}, {"block_size": 100}, "block_size is 100, expected 50"),
        ({}, {"target_accuracy": 0.5}, "target_accuracy is 0.5, expected 0.9"),
        ({}, {"code": "3"}, "code is '3', expected '1'"),
        ({}, {"fingerprint": "other"}, "fingerprint is 'other', expected"),
    ],
)
def test_counts_of_something_else_are_refused(study, merged, which, runs, changes, message):
    expected = COUNTS[which]
    study.write_counts(study.counts[which], merged, {**expected, "runs": {**expected["runs"], **runs}}, **changes)
    expected_message = re.escape(message.format(**expected["runs"]))
    with pytest.raises(ProvenanceError, match=rf"{re.escape(study.counts[which].name)} .*: {expected_message}"):
        study.run()
    assert not (study.folder / "resnet8.parquet").exists()


def test_counts_in_another_order_are_refused(study):
    study.counts.reverse()
    with pytest.raises(ProvenanceError, match=r"ratio-3-10\.npz .*runs\.ratio is '3/10', expected '7/10'"):
        study.run()


def test_counts_are_refused_where_one_ratio_has_none(study):
    study.counts.pop()
    with pytest.raises(ProvenanceError, match="1 files of counts for the ratios 7/10, 3/10"):
        study.run()


def test_a_mixture_of_devices_is_refused_where_the_study_says_so(study, by_run):
    study.write_block(1, by_run, conditions={"device": "cuda"})
    first, *others = SPEC["counts"]
    with pytest.raises(
        ProvenanceError, match=r"device is 'cuda', expected 'cpu'\. The study has require_uniform_device"
    ):
        study.run(counts=[first | {"require_uniform_device": True}, *others])


def test_runs_made_under_different_conditions_are_reported(study, by_run, caplog):
    study.write_block(1, by_run, conditions={"device": "cuda"})
    with caplog.at_level(logging.WARNING):
        output = study.run()
    assert "device is 'cuda', expected 'cpu'" in caplog.text
    assert provenance.read(output)["runs_made_under"] == [{"device": "cpu"}, {"device": "cuda"}]
