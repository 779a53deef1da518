import numpy as np
import pandas as pd
import pytest
from run_helpers import study_of_runs

from memflow import influence, outcomes
from memflow.influence import SCOPES, measure, verdict
from memflow.provenance import ProvenanceError
from memflow.statistics.influence import influence as matrix

N, TESTS, RUNS = 90, 30, 200
PLANTED = {5: 3, 17: 3, 40: 21, 66: 8}  # training position: test position that is right, but for noise, with it only
SETTINGS = {"threshold": 0.15, "top": 4, "fdr": 0.05}


def planted(masks, random):
    """Test correctness by chance, but for the planted pairs; the last two tests are always right or always wrong."""
    correct = random.random((len(masks), TESTS)) < np.linspace(0.2, 0.9, TESTS)
    for train, test in PLANTED.items():
        correct[:, test] = random.random(len(masks)) < np.where(masks[:, train], 0.95, 0.15)
    correct[:, -2:] = [True, False]
    return {"test_correct": correct}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return study_of_runs(
        tmp_path_factory.mktemp("influence"), "influence", planted, n=N, n_test=TESTS, seeds=RUNS, **SETTINGS
    )


@pytest.fixture(scope="module")
def tables(made):
    influence.run(made.spec, made.dataset, made.counts, made.blocks, made.output)
    return read(made.output)


def read(output):
    kinds = {"pairs": "", "by_train": ".by_train", "by_test": ".by_test"}
    found = {kind: pd.read_parquet(output.with_suffix(f"{suffix}.parquet")) for kind, suffix in kinds.items()}
    return {**found, "summary": pd.read_csv(output.with_suffix(".summary.csv"))}


@pytest.fixture(scope="module")
def exact(made):
    """Influence of all pairs, float64[n, m]."""
    return matrix(made.masks, made.outcomes("test_correct").test_correct)


def test_train_on_train_influence_has_the_memorisation_score_on_its_diagonal(made):
    correct = made.outcomes("train_correct").train_correct
    assert np.array_equal(np.diag(matrix(made.masks, correct)), made.merged.scores())


def test_planted_pairs_are_listed_and_hardly_any_other(made, tables):
    """Test 3 has two sources: the second one overwrites the first, which has no influence."""
    listed = tables["pairs"][tables["pairs"]["selected_on"] == "all"]
    found = set(zip(listed["train_index"], listed["test_index"], strict=True))
    real = {(17, 3), (40, 21), (66, 8)}
    assert real <= found
    assert len(found - real) <= 1
    assert (listed["influence"] >= 0.15).all()
    assert listed["remeasured"].isna().all()
    assert (listed["same_class"] == (listed["train_label"] == listed["test_label"])).all()
    assert np.array_equal(listed["memorisation"], made.merged.scores()[listed["train_index"]])


def test_effects_are_measured_on_the_half_that_did_not_choose(made, tables, exact):
    even = (np.arange(RUNS) // 10) % 2 == 0
    correct = made.outcomes("test_correct").test_correct
    for name, chose in (("even", even), ("odd", ~even)):
        listed = tables["pairs"][tables["pairs"]["selected_on"] == name]
        assert len(listed) >= 3
        place = listed["train_index"].to_numpy(), listed["test_index"].to_numpy()
        assert np.array_equal(listed["influence"], matrix(made.masks[chose], correct[chose])[place])
        assert np.array_equal(listed["remeasured"], matrix(made.masks[~chose], correct[~chose])[place])
    listed = tables["pairs"][tables["pairs"]["selected_on"] == "all"]
    assert np.array_equal(listed["influence"], exact[listed["train_index"], listed["test_index"]])


@pytest.mark.parametrize("kind", ["by_train", "by_test"])
@pytest.mark.parametrize("scope", SCOPES)
def test_neighbours_are_the_largest_of_the_whole_matrix(made, tables, exact, kind, scope):
    own, other = ("train", "test") if kind == "by_train" else ("test", "train")
    values = exact if kind == "by_train" else exact.T
    labels = {"train": made.data.train.labels, "test": made.data.test.labels}
    allowed = (labels[own][:, None] == labels[other]) | (scope == "all")
    table = tables[kind][tables[kind]["scope"] == scope]
    for example in range(len(values)):
        rows = table[table[f"{own}_index"] == example]
        candidates = np.sort(values[example][allowed[example] & (values[example] > 1e-9)])[::-1]
        assert np.allclose(rows["influence"], candidates[: SETTINGS["top"]], atol=1e-9)
        assert np.array_equal(rows["influence"], values[example, rows[f"{other}_index"]])
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows[f"{other}_index"].is_unique
        assert np.array_equal(rows[f"{other}_label"], labels[other][rows[f"{other}_index"]])
    assert tables[kind]["p_value"].between(0, 1, inclusive="right").all()


def test_a_test_that_all_or_no_runs_get_right_has_no_neighbours(tables):
    assert not tables["by_test"]["test_index"].isin([TESTS - 2, TESTS - 1]).any()
    assert tables["summary"]["tests_informative"].max() == TESTS - 2
    assert (tables["summary"]["tests"] == TESTS).all()


def test_the_summary_counts_pairs_and_what_chance_gives(tables, exact):
    of_all = tables["summary"].iloc[0]
    assert of_all["at_threshold"] == (exact[:, : TESTS - 2] >= 0.15 - 1e-9).sum()
    assert of_all["pairs_tested"] == N * (TESTS - 2)
    assert of_all["significant"] == (tables["pairs"]["selected_on"] == "all").sum()
    strongest = np.sort(exact[:, : TESTS - 2].ravel())[::-1]
    assert of_all["trusted"] == (strongest >= of_all["trusted_from"] - 1e-9).sum() >= 3
    half = tables["summary"].iloc[1:]
    assert half["mean_remeasured"].between(0.5, 1).all()


def test_too_few_runs_are_called_so(tables):
    said = verdict(tables["summary"])
    assert "With fewer than 2,000 runs a pair is not to be trusted for reaching 0.15." in said
    assert f"the {tables['summary']['significant'][0]} listed pairs" in said
    assert "in the other half" in said
    many = tables["summary"].assign(runs=2000)
    assert "not to be trusted" not in verdict(many)


def test_nothing_is_listed_where_nothing_influences():
    """At a false discovery rate of 0.05 a study of noise lists a pair in about one of 20 cases; 3 or more of 10 would
    happen once in 90."""
    random, listed = np.random.default_rng(11), 0
    for number in range(10):
        made_masks = np.stack([random.permutation(60) < 42 for _ in range(60)])
        correct = random.random((60, 15)) < random.random(15)
        pairs, *_ = measure(dataset(60, 15), made_masks, correct, np.arange(60), np.zeros(60), **SETTINGS)
        listed += (pairs["selected_on"] == "all").any()
        assert number >= 0
    assert listed < 3


def dataset(n, m):
    from helpers import noise_images

    return noise_images(n=n, n_test=m)


def test_an_example_that_every_run_of_a_half_had_takes_no_part_there():
    random = np.random.default_rng(12)
    masks = random.random((40, 12)) < 0.7
    masks[::2, 3], masks[:, 4] = True, True  # group by run: the even half always has 3; all runs have 4
    correct = random.random((40, 6)) < 0.5
    pairs, by_train, _, summary = measure(
        dataset(12, 6), masks, correct, np.arange(40), np.zeros(12), threshold=0.01, top=3, fdr=0.999
    )
    assert 3 not in set(pairs.loc[pairs["selected_on"] == "even", "train_index"])
    assert 4 not in set(by_train["train_index"])
    assert summary["pairs_tested"].tolist() == [11 * 6, 10 * 6, 11 * 6]


def test_threads_and_repetition_change_no_byte(made, tables):
    again = made.output.with_name("again.parquet")
    influence.run(made.spec, made.dataset, made.counts, made.blocks, again, threads=2)
    for suffix in (".parquet", ".by_train.parquet", ".by_test.parquet", ".summary.csv"):
        assert again.with_suffix(suffix).read_bytes() == made.output.with_suffix(suffix).read_bytes()


def test_no_pair_that_could_show_influence_gives_empty_tables(made):
    correct = np.ones((RUNS, TESTS), dtype=bool)
    group = np.arange(RUNS) // 10
    pairs, by_train, by_test, summary = measure(made.data, made.masks, correct, group, np.zeros(N), **SETTINGS)
    assert (len(pairs), len(by_train), len(by_test)) == (0, 0, 0)
    assert "Of 0 pairs 0 reach 0.15" in verdict(summary)


def test_foreign_counts_and_blocks_are_refused(made, tmp_path):
    other = {**made.spec, "counts": {**made.spec["counts"], "seeds": 100}}
    with pytest.raises(ProvenanceError, match="seeds is 200, expected 100"):
        influence.run(other, made.dataset, made.counts, made.blocks, made.output)
    with pytest.raises(ProvenanceError, match=r"block-9\.npz does not belong to this study: seeds"):
        influence.run(made.spec, made.dataset, made.counts, made.blocks[::-1], made.output)


def test_a_block_that_the_counts_were_not_merged_from_is_refused(made, tmp_path):
    other = study_of_runs(tmp_path, "influence", lambda masks, random: {}, n=N, n_test=TESTS, seeds=RUNS, **SETTINGS)
    blocks = [*made.blocks[:3], other.blocks[3], *made.blocks[4:]]
    with pytest.raises(ProvenanceError, match=r"block-3\.npz is not the block that the counts were merged from"):
        influence.run(made.spec, made.dataset, made.counts, blocks, made.output)


def test_outcomes_are_those_that_were_written(made):
    found = made.outcomes("test_correct", "log_odds")
    assert found.log_odds is None
    assert found.train_correct is None
    assert found.group.tolist() == [run // 10 for run in range(RUNS)]
    digests = {}
    outcomes.read(made.spec["counts"], made.data, made.blocks, digests)
    assert list(digests) == made.blocks
