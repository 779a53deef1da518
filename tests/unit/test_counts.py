import logging
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow import counts, provenance, subsets
from memflow.data import prepared
from memflow.files import write_npz
from memflow.models import neighbour
from memflow.provenance import ProvenanceError
from memflow.training.outcomes import block_masks, pack

RUNS = {"stage": "runs", "design": "balanced", "ratio": "3/5", "subset_unit": "example", "learner": "one"}
SPEC = {
    "stage": "counts",
    "runs": RUNS,
    "seeds": 40,
    "block_size": 10,
    "target_accuracy": 0.96,
    "require_uniform_device": False,
}


@st.composite
def outcomes(draw):
    """Correctness [runs, E, n], masks, a group size, and cuts into blocks of whole groups."""
    group_size, groups = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    epochs, n, n_test = draw(st.integers(1, 3)), draw(st.integers(1, 20)), draw(st.integers(1, 10))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    runs = group_size * groups
    outcome = {
        "epochs": np.arange(1, epochs + 1, dtype=np.int32),
        "train_correct": random.random((runs, epochs, n)) < 0.7,
        "test_correct": random.random((runs, epochs, n_test)) < 0.7,
        "losses": random.random((runs, epochs, 3)).astype(np.float32),
    }
    masks = random.random((runs, n)) < 0.6
    masks[:, 0], masks[:, -1] = True, n == 1  # no empty side, where there are two
    cuts = sorted(draw(st.sets(st.integers(1, max(groups - 1, 1)), max_size=groups - 1))) if groups > 1 else []
    return outcome, masks, group_size, [0, *cuts, groups]


def counted(outcome, masks, group_size, groups):
    """Counts of the consecutive groups of one block."""
    runs = slice(groups.start * group_size, groups.stop * group_size)
    block = {name: values if name == "epochs" else values[runs] for name, values in outcome.items()}
    with np.errstate(invalid="ignore"):
        packed = pack(block, masks[runs])
    return counts.count(packed, masks[runs], outcome["test_correct"].shape[2], group_size, groups.start)


def blocks_of(edges):
    return [range(start, stop) for start, stop in pairwise(edges)]


def equal(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


@given(outcomes())
def test_counts_are_those_of_a_plain_loop(case):
    outcome, masks, group_size, edges = case
    found = counted(outcome, masks, group_size, range(edges[-1]))
    runs, epochs, n = outcome["train_correct"].shape
    groups = runs // group_size
    expected = {name: np.zeros((groups, n), int) for name in ("correct_in", "correct_out", "n_in", "n_out")}
    by_epoch = {side: np.zeros((epochs, 2, n), int) for side in ("in", "out")}
    for run in range(runs):
        for i in range(n):
            side = "in" if masks[run, i] else "out"
            expected[f"n_{side}"][run // group_size, i] += 1
            expected[f"correct_{side}"][run // group_size, i] += outcome["train_correct"][run, -1, i]
            for epoch in range(epochs):
                by_epoch[side][epoch, run // group_size % 2, i] += outcome["train_correct"][run, epoch, i]
    expected |= {f"epoch_correct_{side}": total for side, total in by_epoch.items()}
    tested = outcome["test_correct"][:, -1].reshape(groups, group_size, -1)
    expected["correct_test"] = np.array([[sum(outcomes) for outcomes in group.T] for group in tested])
    for name, values in expected.items():
        assert np.array_equal(found[name], values), name


@given(outcomes())
def test_blocks_of_any_size_merge_into_the_same_counts(case):
    outcome, masks, group_size, edges = case
    whole = counts.merge([counted(outcome, masks, group_size, range(edges[-1]))])
    assert equal(counts.merge([counted(outcome, masks, group_size, block) for block in blocks_of(edges)]), whole)


@given(outcomes(), st.integers(1, 6))
def test_merging_in_any_grouping_gives_the_same_counts(case, first):
    outcome, masks, group_size, edges = case
    parts = [counted(outcome, masks, group_size, block) for block in blocks_of(edges)]
    first = min(first, len(parts))
    nested = [counts.merge(part) for part in (parts[:first], parts[first:]) if part]
    assert equal(counts.merge(nested), counts.merge(parts))


@given(outcomes(), st.randoms(use_true_random=False))
def test_merging_in_any_order_gives_the_same_totals(case, random):
    outcome, masks, group_size, edges = case
    parts = [counted(outcome, masks, group_size, block) for block in blocks_of(edges)]
    shuffled = random.sample(parts, len(parts))
    one, other = counts.merge(parts), counts.merge(shuffled)
    for name in ("correct_in", "correct_out", "n_in", "n_out", "correct_test"):
        assert np.array_equal(one[name].sum(axis=0, dtype=int), other[name].sum(axis=0, dtype=int))
    for name in ("epoch_correct_in", "epoch_correct_out"):
        assert np.array_equal(one[name], other[name])


@given(outcomes())
def test_the_halves_of_the_last_epoch_are_the_even_and_the_odd_groups(case):
    outcome, masks, group_size, edges = case
    merged = counts.merge([counted(outcome, masks, group_size, block) for block in blocks_of(edges)])
    for side in ("in", "out"):
        by_group = merged[f"correct_{side}"].astype(int)
        halves = np.stack([by_group[0::2].sum(axis=0), by_group[1::2].sum(axis=0)])
        assert np.array_equal(merged[f"epoch_correct_{side}"][-1], halves)


@pytest.mark.parametrize(("group_size", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16), (300, np.uint16)])
def test_a_count_never_overflows_its_type(group_size, dtype):
    masks = np.ones((2 * group_size, 2), dtype=bool)
    masks[:, 1] = False
    outcome = {
        "epochs": np.array([1]),
        "train_correct": np.ones((2 * group_size, 1, 2), dtype=bool),
        "test_correct": np.ones((2 * group_size, 1, 1), dtype=bool),
    }
    found = counted(outcome, masks, group_size, range(2))
    assert found["correct_in"].dtype == found["n_out"].dtype == dtype
    assert found["correct_in"].tolist() == found["n_in"].tolist() == [[group_size, 0]] * 2
    assert found["correct_out"].tolist() == found["n_out"].tolist() == [[0, group_size]] * 2


def test_a_learner_without_losses_has_none_and_no_parameters():
    outcome = {
        "epochs": np.array([1]),
        "train_correct": np.ones((2, 1, 3), dtype=bool),
        "test_correct": np.ones((2, 1, 1), dtype=bool),
    }
    found = counted(outcome, np.eye(2, 3, dtype=bool), 1, range(2))
    assert np.isnan(found["losses"]).all()
    assert found["parameters"] == 0


def test_weighted_accuracies_are_those_of_the_repeated_groups(simulate):
    merged = simulate(np.linspace(0.5, 1, 30), np.linspace(0, 1, 30))
    random = np.random.default_rng(0)
    weights = random.integers(0, 4, (5, 10))
    acc_in, acc_out = merged.accuracies(weights)
    for row, used in enumerate(weights):
        again = np.repeat(np.arange(10), used)
        assert np.allclose(acc_in[row], merged.correct_in[again].sum(axis=0) / merged.n_in[again].sum(axis=0))
        assert np.allclose(acc_out[row], merged.correct_out[again].sum(axis=0) / merged.n_out[again].sum(axis=0))
    assert np.allclose(merged.memorisation(weights), acc_in - acc_out)


def test_a_selection_keeps_runs_and_drops_examples(simulate):
    merged = simulate(np.full(30, 0.9), np.linspace(0, 1, 30))
    where = np.arange(30) % 4 == 1
    part = merged.select(where)
    ones = np.ones(10, dtype=int)
    assert np.array_equal(part.memorisation(ones), merged.memorisation(ones)[where])
    assert np.array_equal(part.index, np.flatnonzero(where))
    assert np.array_equal(part.epoch_correct_out, merged.epoch_correct_out[:, :, where])
    assert (part.n_groups, part.n_examples) == (10, where.sum())
    assert len(part.converged) == len(merged.converged)


def uneven(simulate):
    """Counts whose groups had an example in-sample in different numbers of runs, as under the iid design."""
    merged = simulate(np.full(30, 0.9), np.linspace(0, 1, 30))
    random = np.random.default_rng(1)
    n_in, n_out = random.integers(1, 8, (10, 30)), random.integers(0, 4, (10, 30))
    return replace(
        merged,
        n_in=n_in.astype(np.uint8),
        n_out=n_out.astype(np.uint8),
        correct_in=random.binomial(n_in, 0.9).astype(np.uint8),
        correct_out=random.binomial(n_out, 0.4).astype(np.uint8),
    )


def test_scores_and_totals_are_those_of_all_groups(simulate):
    merged = uneven(simulate)
    correct_in, n_in, correct_out, n_out = merged.totals()
    for total, name in zip(
        (correct_in, n_in, correct_out, n_out), ("correct_in", "n_in", "correct_out", "n_out"), strict=True
    ):
        assert total.dtype == np.int64
        assert total.tolist() == [sum(int(value) for value in column) for column in getattr(merged, name).T]
    assert np.allclose(merged.scores(), correct_in / n_in - correct_out / n_out)


def test_totals_do_not_overflow_the_type_of_the_groups(simulate):
    merged = simulate(np.ones(3), np.ones(3), groups=200)
    assert merged.totals()[1].tolist() == [1400] * 3  # beyond uint8


def test_balanced_groups_contribute_their_own_score_beyond_the_mean(simulate):
    merged = simulate(np.linspace(0.5, 1, 30), np.linspace(0, 1, 30))
    own = merged.correct_in / 7 - merged.correct_out / 3
    assert np.allclose(merged.contributions(), own - merged.scores())


def test_contributions_are_the_derivative_of_the_score_by_the_weight_of_a_group(simulate):
    merged, step = uneven(simulate), 10**6
    contributions = merged.contributions()
    assert np.allclose(contributions.sum(axis=0), 0)
    for group in range(10):
        heavier = np.full(10, step) + (np.arange(10) == group)
        change = (merged.memorisation(heavier) - merged.scores()) * step
        assert np.allclose(contributions[group] / 10, change, atol=1e-4)


def test_some_groups_only_are_the_runs_of_these_groups(simulate):
    merged = uneven(simulate)
    groups = np.array([0, 1, 1, 0, 0, 1, 0, 0, 0, 1], dtype=bool)
    part, runs = merged.only(groups), np.flatnonzero(np.repeat(groups, 10))
    assert (part.n_groups, part.n_examples) == (4, 30)
    assert np.array_equal(part.scores(), merged.memorisation(groups.astype(int)))
    for name in ("n_in", "n_out", "correct_in", "correct_out", "correct_test"):
        assert np.array_equal(getattr(part, name), getattr(merged, name)[[1, 2, 5, 9]]), name
    for name in ("accuracy", "losses", "converged"):
        assert np.array_equal(getattr(part, name), getattr(merged, name)[runs], equal_nan=True), name
    assert len(runs) == 40
    assert 0 < part.converged.sum() < 40


def test_halves_are_the_even_and_the_odd_groups_and_together_everything(simulate):
    merged = uneven(simulate)
    even, odd = merged.halves()
    assert np.array_equal(even.correct_in, merged.correct_in[[0, 2, 4, 6, 8]])
    assert np.array_equal(odd.n_out, merged.n_out[[1, 3, 5, 7, 9]])
    for whole, *parts in zip(merged.totals(), even.totals(), odd.totals(), strict=True):
        assert np.array_equal(whole, sum(parts))


# The stage: blocks of the reference learner on the disk.


@pytest.fixture
def study(make_dataset, tmp_path):
    dataset = make_dataset(n_train=60, n_test=21, levels=12)
    prepared.save(dataset, tmp_path / "data.npz")
    return dataset, tmp_path


def write_block(path, dataset, seeds, runs=RUNS, conditions=None, masks_of=None):
    masks = block_masks(runs, dataset, seeds)
    outcome = pack(neighbour.learn({}, dataset, masks, seeds, lambda share: None), masks)
    write_npz(path, {"seeds": np.array(seeds), **outcome})
    provenance.write(
        [path],
        {**runs, "seeds": [seeds.start, seeds.stop], "fingerprint": dataset.fingerprint},
        inputs={},
        started=provenance.now(),
        bit_conditions=conditions or {"device": "cpu"},
        details={"masks": [subsets.mask_hash(mask) for mask in block_masks(runs, dataset, masks_of or seeds)]},
    )
    return path


def write_blocks(folder, dataset, size=10, **options):
    starts = range(0, SPEC["seeds"], size)
    return [
        write_block(folder / f"block-{size}-{start}.npz", dataset, range(start, start + size), **options)
        for start in starts
    ]


def test_a_study_is_merged_into_the_counts_of_its_runs(study):
    dataset, folder = study
    counts.run(SPEC, folder / "data.npz", write_blocks(folder, dataset), folder / "counts.npz")
    merged = counts.load(folder / "counts.npz")
    masks = subsets.masks("balanced", Fraction(3, 5), range(40), np.arange(60))
    outcome = neighbour.learn({}, dataset, masks, range(40), lambda share: None)
    correct = outcome["train_correct"][:, 0]
    assert merged.group_size == 5
    assert merged.correct_in.shape == (8, 60)
    assert np.array_equal(merged.correct_in.sum(axis=0), (correct & masks).sum(axis=0))
    assert np.array_equal(merged.correct_out.sum(axis=0), (correct & ~masks).sum(axis=0))
    assert np.array_equal(merged.correct_test.sum(axis=0), outcome["test_correct"][:, 0].sum(axis=0))
    assert (merged.n_in == 3).all()
    assert (merged.n_out == 2).all()
    in_sample = np.array([run[mask].mean() for run, mask in zip(correct, masks, strict=True)], dtype=np.float32)
    assert np.array_equal(merged.accuracy[:, 0, 0], in_sample)
    assert np.array_equal(merged.converged, in_sample >= np.float32(0.96))
    assert 0 < merged.converged.sum() < 40  # else the last line proves little
    for name in counts.MARKS:
        assert getattr(merged, name).dtype == getattr(dataset, name).dtype
        assert np.array_equal(getattr(merged, name), getattr(dataset, name))
    assert np.array_equal(merged.index, dataset.train.index)
    assert np.array_equal(merged.label, dataset.train.labels)


@pytest.mark.parametrize("size", [5, 20, 40])
def test_the_size_of_blocks_changes_no_bit_of_the_counts(study, size):
    dataset, folder = study
    for block_size in (10, size):
        blocks = write_blocks(folder, dataset, block_size)
        counts.run(SPEC | {"block_size": block_size}, folder / "data.npz", blocks, folder / f"counts-{block_size}.npz")
    assert (folder / f"counts-{size}.npz").read_bytes() == (folder / "counts-10.npz").read_bytes()


def test_more_blocks_only_append_groups(study):
    dataset, folder = study
    blocks = write_blocks(folder, dataset)
    counts.run(SPEC | {"seeds": 20}, folder / "data.npz", blocks[:2], folder / "few.npz")
    counts.run(SPEC, folder / "data.npz", blocks, folder / "all.npz")
    few, more = counts.load(folder / "few.npz"), counts.load(folder / "all.npz")
    assert np.array_equal(more.correct_out[:4], few.correct_out)
    assert np.array_equal(more.accuracy[:20], few.accuracy)


def test_the_sidecar_of_counts_names_the_blocks_and_their_digests(study):
    dataset, folder = study
    blocks = write_blocks(folder, dataset)
    counts.run(SPEC, folder / "data.npz", blocks, folder / "counts.npz")
    record = provenance.read(folder / "counts.npz")
    assert record["definition"] == SPEC | {"fingerprint": dataset.fingerprint}
    assert record["inputs"].keys() == {str(path) for path in (folder / "data.npz", *blocks)}
    assert record["inputs"][str(blocks[3])] == provenance.read(blocks[3])["outputs"][blocks[3].name]
    assert record["runs_made_under"] == [{"device": "cpu"}]


def refuse(folder, blocks, message, spec=SPEC):
    with pytest.raises(ProvenanceError, match=message):
        counts.run(spec, folder / "data.npz", blocks, folder / "counts.npz")
    assert not (folder / "counts.npz").exists()


def test_a_missing_block_is_refused(study):
    dataset, folder = study
    refuse(folder, write_blocks(folder, dataset)[:3], "3 block files for 4 blocks of 10 seeds")


def test_a_block_without_a_sidecar_is_refused_by_name(study):
    dataset, folder = study
    blocks = write_blocks(folder, dataset)
    provenance.sidecar(blocks[1]).unlink()
    refuse(folder, blocks, r"block-10-10\.npz has no sidecar")


def test_a_damaged_block_is_refused_by_name(study):
    dataset, folder = study
    blocks = write_blocks(folder, dataset)
    content = bytearray(blocks[2].read_bytes())
    content[len(content) // 2] ^= 1
    blocks[2].write_bytes(content)
    refuse(folder, blocks, r"block-10-20\.npz is not the file that its sidecar describes")


def test_blocks_in_another_order_are_refused(study):
    dataset, folder = study
    refuse(folder, write_blocks(folder, dataset)[::-1], r"block-10-30\.npz does not belong to this study: seeds is")


def test_a_block_of_another_definition_is_refused_with_the_difference(study):
    dataset, folder = study
    blocks = write_blocks(folder, dataset)
    write_block(blocks[1], dataset, range(10, 20), runs=RUNS | {"ratio": "4/5"})
    refuse(folder, blocks, r"block-10-10\.npz does not belong to this study: ratio is '4/5', expected '3/5'")


def test_a_block_of_another_dataset_is_refused(study, make_dataset):
    dataset, folder = study
    other = make_dataset(n_train=60, n_test=21, levels=12, seed=1)
    blocks = [*write_blocks(folder, dataset)[:3], write_block(folder / "other.npz", other, range(30, 40))]
    refuse(folder, blocks, r"other\.npz does not belong to this study: fingerprint is")


def test_a_block_trained_on_other_subsets_is_refused(study):
    dataset, folder = study
    blocks = write_blocks(folder, dataset)
    write_block(blocks[0], dataset, range(10), masks_of=range(100, 110))
    refuse(folder, blocks, r"block-10-0\.npz was trained on other subsets")


def test_a_mixture_of_devices_is_reported_and_refused_on_request(study, caplog):
    dataset, folder = study
    blocks = write_blocks(folder, dataset)
    write_block(blocks[3], dataset, range(30, 40), conditions={"device": "cuda"})
    refuse(folder, blocks, "device is 'cuda', expected 'cpu'", SPEC | {"require_uniform_device": True})
    with caplog.at_level(logging.WARNING):
        counts.run(SPEC, folder / "data.npz", blocks, folder / "counts.npz")
    assert "device is 'cuda', expected 'cpu'" in caplog.text
    assert provenance.read(folder / "counts.npz")["runs_made_under"] == [{"device": "cpu"}, {"device": "cuda"}]


def test_duplicates_that_move_together_are_merged_with_their_own_masks(study):
    dataset, folder = study
    runs = RUNS | {"subset_unit": "group", "design": "iid"}
    blocks = write_blocks(folder, dataset, runs=runs)
    counts.run(SPEC | {"runs": runs}, folder / "data.npz", blocks, folder / "counts.npz")
    merged = counts.load(folder / "counts.npz")
    assert merged.group_size == 1
    assert merged.n_groups == 40
    assert len(np.unique(dataset.near_duplicate_group)) < len(np.unique(dataset.duplicate_group)) < 60
    assert np.array_equal(merged.n_in, merged.n_in[:, merged.near_duplicate_group])
