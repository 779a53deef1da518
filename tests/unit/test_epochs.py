import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow import counts, epochs, provenance, subsets
from memflow.data import prepared
from memflow.files import write_npz
from memflow.provenance import ProvenanceError
from memflow.statistics.resampling import jackknife
from memflow.summary import BINS, histogram, populations
from memflow.training.outcomes import block_masks, pack

RUNS = {"stage": "runs", "design": "balanced", "ratio": "3/5", "subset_unit": "example", "learner": "one"}
COUNTS = {
    "stage": "counts",
    "runs": RUNS,
    "seeds": 40,
    "block_size": 10,
    "target_accuracy": 0.5,
    "require_uniform_device": False,
}
SPEC = {"stage": "epochs", "study": "s", "code": "c", "counts": COUNTS, "confidence": 0.9, "memorised_at": 0.25}
SPEC |= {"pretraining_overlap": "no"}
EPOCHS = np.array([2, 4, 7], dtype=np.int32)
COLUMNS = ["examples", "quantity", "epoch", "value", "low", "high", "se", "df", "n_examples", "parameters", "runs"]
COLUMNS += ["runs_not_converged", "examples_without_score", "pretraining_overlap"]


def tally(correct_in, correct_out, n_in, n_out, first=0):
    """Of groups: int[E, G, n] and int[G, n]; the first group has a number in the study."""
    half = [(first + np.arange(len(n_in))) % 2 == parity for parity in (0, 1)]
    by_epoch = [np.stack([values[:, of].sum(axis=1) for of in half], axis=1) for values in (correct_in, correct_out)]
    runs = [np.stack([values[of].sum(axis=0) for of in half]) for values in (n_in, n_out)]
    return epochs.Tally(*by_epoch, *runs, test=np.arange(len(correct_in)) * 0.1 * len(n_in), runs=len(n_in))


def simulated(acc_in, acc_out, random, groups=10, a=7, b=10):
    """All groups, and each group, of balanced binomial studies with true accuracies float[E, n]."""
    correct_in = random.binomial(a, acc_in[:, None], (len(acc_in), groups, acc_in.shape[1]))
    correct_out = random.binomial(b - a, acc_out[:, None], correct_in.shape)
    n_in, n_out = np.full(correct_in.shape[1:], a), np.full(correct_in.shape[1:], b - a)
    sets = [tally(correct_in[:, [g]], correct_out[:, [g]], n_in[[g]], n_out[[g]], first=g) for g in range(groups)]
    return tally(correct_in, correct_out, n_in, n_out), sets


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def value(table, quantity, examples="all", epoch=None, column="value"):
    chosen = table[(table["quantity"] == quantity) & (table["examples"] == examples)]
    (found,) = chosen[column] if epoch is None else chosen.loc[chosen["epoch"] == epoch, column]
    return found


# --- counting ------------------------------------------------------------------------------------------------------


@st.composite
def outcomes(draw):
    """Correctness [runs, E, n], masks, a group size, and cuts into blocks of whole groups."""
    group_size, groups = draw(st.integers(1, 3)), draw(st.sampled_from([2, 3, 7, 20, 23, 41]))
    n_epochs, n, n_test = draw(st.integers(1, 3)), draw(st.integers(1, 12)), draw(st.integers(1, 10))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    runs = group_size * groups
    outcome = {"train_correct": random.random((runs, n_epochs, n)) < 0.7}
    outcome["test_correct"] = random.random((runs, n_epochs, n_test)) < 0.7
    cuts = sorted(draw(st.sets(st.integers(1, groups - 1), max_size=groups - 1)))
    return outcome, random.random((runs, n)) < 0.6, group_size, [0, *cuts, groups]


def packed_blocks(outcome, masks, group_size, edges):
    for start, stop in pairwise(edges):
        runs = slice(start * group_size, stop * group_size)
        with np.errstate(invalid="ignore", divide="ignore"):
            block = pack({name: values[runs] for name, values in outcome.items()}, masks[runs])
        yield block | {"epochs": np.arange(outcome["train_correct"].shape[1])}, masks[runs]


@given(outcomes())
def test_sets_of_groups_are_those_of_a_plain_loop_over_the_bits(case):
    outcome, masks, group_size, edges = case
    groups, (runs, n_epochs, n) = edges[-1], outcome["train_correct"].shape
    sets = list(epochs.by_set(packed_blocks(*case), groups, group_size))
    assert len(sets) == min(groups, 20)
    correct = {side: np.zeros((len(sets), n_epochs, 2, n), int) for side in ("in", "out")}
    number = {side: np.zeros((len(sets), 2, n), int) for side in ("in", "out")}
    for run in range(runs):
        group = run // group_size
        one, half = group * len(sets) // groups, group % 2
        for i in range(n):
            side = "in" if masks[run, i] else "out"
            number[side][one, half, i] += 1
            correct[side][one, :, half, i] += outcome["train_correct"][run, :, i]
    for one, found in enumerate(sets):
        assert np.array_equal(found.correct_in, correct["in"][one])
        assert np.array_equal(found.correct_out, correct["out"][one])
        assert np.array_equal(found.n_in, number["in"][one])
        assert np.array_equal(found.n_out, number["out"][one])
    accuracy = outcome["test_correct"].mean(axis=2)
    assert np.allclose(sum(found.test for found in sets), accuracy.sum(axis=0))
    assert sum(found.runs for found in sets) == runs


def test_leaving_out_a_set_is_counting_without_it():
    random = np.random.default_rng(1)
    whole, sets = simulated(random.random((3, 8)), random.random((3, 8)), random)
    rest = sets[0]
    for one in sets[1:3] + sets[4:]:
        rest = rest + one
    assert np.allclose((whole - sets[3]).test, rest.test)
    assert same(whole - sets[3], epochs.Tally(**(vars(rest) | {"test": (whole - sets[3]).test})))


# --- statistics ----------------------------------------------------------------------------------------------------


def by_hand(out_even, out_odd):
    """Everybody right in-sample; the out-of-sample accuracies of ten examples in tenths, by epoch and half."""
    correct_out = np.stack([out_even, out_odd], axis=1)
    n = correct_out.shape[-1]
    correct_in = np.full_like(correct_out, 10)
    ten = np.full((2, n), 10)
    return epochs.Tally(correct_in, correct_out, ten, ten, np.zeros(len(correct_out)), 20)


def test_a_hand_made_study_is_described_example_by_example():
    even = np.array([[0, 10, 10, 10, 4], [0, 2, 2, 10, 4], [0, 8, 9, 10, 4]])
    odd = np.array([[0, 10, 10, 10, 4], [0, 4, 10, 10, 4], [0, 9, 10, 0, 4]])
    study, everyone = by_hand(even, odd), np.ones(5, dtype=bool)
    table = epochs.describe(study, EPOCHS, {"all": everyone}, 0.25)
    # Out-of-sample over both halves, at the last epoch: 0, .85, .95, .5, .4.
    assert np.isclose(value(table, "memorised", epoch=7), 3 / 5)
    assert np.isclose(value(table, "generalised", epoch=7), 2 / 5)
    assert np.isclose(value(table, "not_fitted", epoch=7), 0)
    assert np.isclose(value(table, "memorisation", epoch=4), (1 + 0.7 + 0.4 + 0 + 0.6) / 5)
    # Memorised by the even groups: 2, 4, 2 of 5; by the odd ones: 2, 3, 3, whose first maximum is the second epoch.
    assert value(table, "rise", column="epoch") == 4
    assert np.isclose(value(table, "rise"), ((3 - 2) / 5 + (4 - 2) / 5) / 2)
    assert np.isclose(value(table, "fall"), ((3 - 3) / 5 + (4 - 2) / 5) / 2)
    # Transient by the even groups: the second and third; by the odd ones: the second.
    assert np.isclose(value(table, "transient_share"), (2 / 5 + 1 / 5) / 2)
    assert np.isclose(value(table, "transient_score"), ((0.6 + 0.0) / 2 + 0.8) / 2)
    assert np.isclose(value(table, "transient_drop"), ((0.6 - 0.1 + 0.0 - 0.0) / 2 + (0.8 - 0.2)) / 2)
    assert value(table, "transient_drop", column="n_examples") == 1.5


def test_the_transient_set_is_that_of_the_natural_examples_peak_and_rises_are_the_groups_own():
    even = np.array([[9, 9, 9, 9, 9], [2, 2, 9, 9, 9], [9, 9, 2, 2, 9], [9, 9, 2, 9, 9]])
    study, clean = by_hand(even, even), np.array([True, True, False, False, True])
    where = {"all": np.ones(5, dtype=bool), "clean label": clean, "flipped label": ~clean}
    table = epochs.describe(study, np.array([2, 4, 6, 7]), where, 0.25)
    assert value(table, "rise", "clean label", column="epoch") == 4
    assert value(table, "rise", "flipped label", column="epoch") == 6
    assert np.isclose(value(table, "fall", "flipped label"), 0.5)
    assert value(table, "transient_share", "flipped label", column="epoch") == 4
    assert value(table, "transient_share", "flipped label") == 0
    assert np.isnan(value(table, "transient_drop", "flipped label"))
    assert np.isclose(value(table, "transient_share"), 2 / 5)
    assert np.isclose(value(table, "transient_drop", "clean label"), 0.7)


def test_the_peak_lies_between_the_first_and_the_last_epoch():
    rising = np.array([[9, 9, 9, 9], [9, 9, 9, 2], [9, 9, 2, 2], [9, 2, 2, 2]])
    everyone = {"all": np.ones(4, dtype=bool)}
    for course, rise, fall, at in ((rising, 2 / 4, -1 / 4, 6), (rising[::-1], -1 / 4, 2 / 4, 4)):
        table = epochs.describe(by_hand(course, course), np.array([2, 4, 6, 8]), everyone, 0.25)
        assert [value(table, quantity) for quantity in ("rise", "fall")] == pytest.approx([rise, fall])
        assert value(table, "rise", column="epoch") == at
    # The transient set is that of the peak over all epochs, here the first one.
    assert value(table, "transient_share", column="epoch") == 2
    assert np.isclose(value(table, "transient_share"), 3 / 4)


def test_two_epochs_have_no_peak_between_them_but_a_transient_set():
    course = np.array([[2, 2, 9, 9], [9, 9, 9, 2]])
    table = epochs.describe(by_hand(course, course), EPOCHS[:2], {"all": np.ones(4, dtype=bool)}, 0.25)
    assert np.isnan([value(table, quantity) for quantity in ("rise", "fall")]).all()
    assert np.isclose(value(table, "transient_share"), 2 / 4)
    assert np.isclose(value(table, "transient_drop"), 0.7)


def test_a_score_that_equals_the_threshold_is_memorised_whatever_the_rounding():
    correct_in = np.full((1, 2, 1), 7)
    study = epochs.Tally(correct_in, np.full((1, 2, 1), 2), correct_in[0] + 3, correct_in[0] + 3, np.zeros(1), 20)
    table = epochs.describe(study, EPOCHS[:1], {"all": np.ones(1, dtype=bool)}, 0.5)
    assert study.scores(0)[0] < 0.5  # 0.7 - 0.2
    assert value(table, "memorised") == 1


def test_one_epoch_has_no_change():
    random = np.random.default_rng(2)
    whole, sets = simulated(np.full((1, 30), 0.9), np.full((1, 30), 0.6), random)
    everyone = {"all": np.ones(30, dtype=bool)}
    table = epochs.statistics(whole, sets, EPOCHS[:1], everyone, memorised_at=0.25, confidence=0.95)
    for quantity in epochs.CHANGES:
        assert np.isnan(value(table, quantity))
        assert value(table, quantity, column="epoch") == 2
    assert 0 < value(table, "memorised") < 1
    assert value(table, "memorised", column="low") < value(table, "memorised", column="high")


def test_examples_without_a_score_are_not_counted():
    whole, _ = simulated(np.full((2, 40), 1.0), np.full((2, 40), 0.5), np.random.default_rng(3))
    held_out = np.arange(40) >= 7
    never = epochs.Tally(
        whole.correct_in, whole.correct_out * held_out, whole.n_in, whole.n_out * held_out, whole.test, whole.runs
    )
    few = epochs.Tally(
        *(getattr(whole, name)[..., 7:] for name in ("correct_in", "correct_out", "n_in", "n_out")),
        whole.test,
        whole.runs,
    )
    one = epochs.describe(never, EPOCHS[:2], {"all": np.ones(40, dtype=bool)}, 0.25)
    other = epochs.describe(few, EPOCHS[:2], {"all": np.ones(33, dtype=bool)}, 0.25)
    assert np.array_equal(one["value"], other["value"], equal_nan=True)


def test_intervals_are_those_of_the_jackknife_over_groups(simulate):
    merged = simulate(np.linspace(0.5, 1, 60), np.linspace(0.1, 1, 60), groups=12, seed=3)
    by_group = [merged.only(np.arange(12) == g) for g in range(12)]
    sets = [
        tally(g.correct_in[None], g.correct_out[None], g.n_in, g.n_out, first=number)
        for number, g in enumerate(by_group)
    ]
    whole = tally(merged.correct_in[None], merged.correct_out[None], merged.n_in, merged.n_out)
    groups_of_examples = populations(merged)
    table = epochs.statistics(whole, sets, EPOCHS[:1], groups_of_examples, memorised_at=0.25, confidence=0.9)
    for name, where in groups_of_examples.items():
        part = merged.select(where)

        def statistic(used, part=part):
            scores = part.only(used > 0).scores()
            return np.array([np.mean(scores >= 0.25 - 1e-9), scores.mean()])

        expected = jackknife(12, statistic, 0.9)
        for position, quantity in enumerate(("memorised", "memorisation")):
            found = [value(table, quantity, name, column=column) for column in ("value", "low", "high")]
            assert np.allclose(found, expected[:, position])
    assert (table["df"] == 11).all()


# --- the halves ----------------------------------------------------------------------------------------------------

STUDIES = 200


def simulated_changes(acc_in, acc_out, seed):
    """The changes of many studies by the halves, and where the same runs select and measure: [studies, quantity]."""
    random, honest, naive = np.random.default_rng(seed), [], []
    where = np.ones(acc_in.shape[1], dtype=bool)
    for _ in range(STUDIES):
        whole, _ = simulated(acc_in, acc_out, random)
        both = epochs.Tally(
            *(np.repeat(values.sum(axis=-2, keepdims=True), 2, axis=-2) for values in list(vars(whole).values())[:4]),
            whole.test,
            whole.runs,
        )
        honest.append(epochs.changes(whole, [where], where, 0.25)[0][0])
        naive.append(epochs.changes(both, [where], where, 0.25)[0][0])
    return dict(zip(epochs.CHANGES, np.transpose(honest), strict=True)), dict(
        zip(epochs.CHANGES, np.transpose(naive), strict=True)
    )


def distance(values, truth=0.0):
    """Of a mean from the truth, in standard errors; over the studies in which both halves have a transient set."""
    values = values[np.isfinite(values)]
    return (values.mean() - truth) / (values.std() / np.sqrt(len(values)))


def test_without_any_change_nothing_rises_falls_or_is_transient_on_the_measuring_half():
    acc_out = np.tile(np.linspace(0.4, 1, 150), (8, 1))
    halves, naive = simulated_changes(np.ones_like(acc_out), acc_out, seed=4)
    for quantity in ("rise", "fall", "transient_drop"):
        assert abs(distance(halves[quantity])) < 3.5, quantity
        assert distance(naive[quantity]) > 10, quantity  # what selecting and measuring on the same runs makes of noise


def test_the_drop_of_the_transient_set_is_the_true_one():
    first = np.linspace(0.45, 0.75, 150)
    acc_out = np.stack([first + 0.2, first, first + 0.2])  # every example falls by the same from the second epoch
    halves, naive = simulated_changes(np.ones_like(acc_out), acc_out, seed=5)
    assert abs(distance(halves["transient_drop"], 0.2)) < 3.5
    assert distance(naive["transient_drop"], 0.2) > 10


def test_intervals_of_rise_fall_and_drop_cover_the_truth():
    first = np.linspace(0.45, 0.75, 80)
    acc_out = np.stack([first + 0.2, first, first + 0.2])
    random, where = np.random.default_rng(6), {"all": np.ones(80, dtype=bool)}
    covered = {"rise": 0, "fall": 0, "transient_drop": 0}
    tables = []
    for _ in range(100):
        whole, sets = simulated(np.ones_like(acc_out), acc_out, random)
        settings = {"memorised_at": 0.25, "confidence": 0.95}
        tables.append(epochs.statistics(whole, sets, EPOCHS, where, **settings).set_index("quantity"))
    for quantity in covered:
        # With a plain peak the halves estimate the expected difference of a half's shares, which the mean tells.
        truth = 0.2 if quantity == "transient_drop" else np.mean([table.loc[quantity, "value"] for table in tables])
        covered[quantity] = sum(table.loc[quantity, "low"] <= truth <= table.loc[quantity, "high"] for table in tables)
    assert min(covered.values()) > 89, covered


# --- histogram -----------------------------------------------------------------------------------------------------


def test_the_distribution_of_the_last_epoch_is_that_of_the_scores(simulate):
    merged = simulate(np.linspace(0.3, 1, 90), np.linspace(0, 1, 90))
    table = epochs.histogram(epochs.total(merged), merged.epochs, populations(merged))
    assert table["examples"].unique().tolist() == ["all", "clean label"]
    assert np.allclose(table.groupby(["examples", "epoch"])["share"].sum(), 1)
    last = table[(table["examples"] == "all") & (table["epoch"] == merged.epochs[-1])]
    assert np.array_equal(last["share"], histogram(merged)["raw"])
    assert last["n_examples"].unique().tolist() == [90]
    clean = table[(table["examples"] == "clean label") & (table["epoch"] == merged.epochs[-1])]
    assert np.array_equal(clean["share"], histogram(merged.select(populations(merged)["clean label"]))["raw"])


# --- the stage, on blocks on the disk ------------------------------------------------------------------------------


@pytest.fixture
def study(make_dataset, tmp_path):
    dataset = make_dataset(n_train=60, n_test=21, levels=12)
    prepared.save(dataset, tmp_path / "data.npz")
    return dataset, tmp_path


def write_blocks(folder, dataset, size=10, runs=RUNS):
    """Blocks of runs that know what they were trained on and guess the rest; and all their bits and masks."""
    random, paths = np.random.default_rng(7), []
    masks = block_masks(runs, dataset, range(COUNTS["seeds"]))
    known = random.random((40, len(EPOCHS), 60)) < np.linspace(0.4, 1, 60)
    train = known | (masks[:, None] & (np.arange(len(EPOCHS)) > 0)[:, None])
    test = random.random((40, len(EPOCHS), 21)) < 0.6
    for first in range(0, COUNTS["seeds"], size):
        seeds, part = range(first, first + size), slice(first, first + size)
        outcome = {"epochs": EPOCHS, "train_correct": train[part], "test_correct": test[part]}
        paths.append(folder / f"block-{size}-{first}.npz")
        write_npz(paths[-1], {"seeds": np.array(seeds)} | pack(outcome, masks[part]))
        definition = {**runs, "seeds": [seeds.start, seeds.stop], "fingerprint": dataset.fingerprint}
        hashes = [subsets.mask_hash(mask) for mask in masks[part]]
        provenance.write(
            [paths[-1]], definition, inputs={}, started=provenance.now(), bit_conditions={}, details={"masks": hashes}
        )
    return paths, train, test, masks


def run_stage(folder, dataset, size=10, **changes):
    runs = RUNS | changes
    blocks, *made = write_blocks(folder, dataset, size, runs)
    spec = SPEC | {"counts": COUNTS | {"runs": runs, "block_size": size}}
    counts.run(spec["counts"], folder / "data.npz", blocks, folder / "counts.npz")
    output = folder / f"epochs-{size}" / "one-hot.csv"
    epochs.run(spec, folder / "data.npz", folder / "counts.npz", blocks, output)
    return output, made, blocks


def scores_of(train, masks, used):
    with np.errstate(invalid="ignore", divide="ignore"):
        part, inside = train[used], masks[used][:, None]
        acc_in = (part & inside).sum(axis=0) / inside.sum(axis=0)
        return acc_in - (part & ~inside).sum(axis=0) / (~inside).sum(axis=0)


@pytest.mark.parametrize(("design", "group_size"), [("balanced", 5), ("iid", 1)])
def test_the_stage_gives_what_the_bits_of_all_runs_give(study, design, group_size):
    dataset, folder = study
    output, (train, test, masks), _ = run_stage(folder, dataset, design=design)
    table = pd.read_csv(output)
    assert table.columns.tolist() == COLUMNS
    assert table["runs"].unique().tolist() == [40]
    merged = counts.load(folder / "counts.npz")
    groups = 40 // group_size
    n_sets = min(groups, 20)
    of_run = np.arange(40) // group_size * n_sets // groups
    everything = np.ones(40, dtype=bool)
    for name, where in populations(merged).items():
        for position, epoch in enumerate(EPOCHS):

            def shares(used, where=where, position=position):
                scores = scores_of(train, masks, used)[position][where]
                scores = scores[np.isfinite(scores)]
                return [np.mean(scores >= 0.25 - 1e-9), scores.mean()]

            left_out = np.array([shares(of_run != one) for one in range(n_sets)])
            se = np.sqrt((n_sets - 1) * left_out.var(axis=0))
            for column, expected in (("value", shares(everything)), ("se", se)):
                found = [value(table, quantity, name, epoch, column) for quantity in ("memorised", "memorisation")]
                assert np.allclose(found, expected), (name, epoch, column)
        assert value(table, "memorised", name, 7, "n_examples") == where.sum()
        total = sum(value(table, quantity, name, 4) for quantity in ("memorised", "not_fitted", "generalised"))
        assert np.isclose(total, 1)
    assert (table["df"] == n_sets - 1).all()
    for position, epoch in enumerate(EPOCHS):
        assert np.isclose(value(table, "acc_test", epoch=epoch), test[:, position].mean())
    assert value(table, "acc_test", epoch=7, column="n_examples") == 21
    assert not table["quantity"].eq("acc_test")[table["examples"] != "all"].any()


def test_rise_and_fall_follow_the_halves_of_the_bits(study):
    dataset, folder = study
    output, (train, _, masks), _ = run_stage(folder, dataset)
    half = np.arange(40) // 5 % 2
    clean = populations(counts.load(folder / "counts.npz"))["clean label"]
    shares = [(scores_of(train, masks, half == one)[:, clean] >= 0.25 - 1e-9).mean(axis=1) for one in (0, 1)]
    peaks = [1 + of[1:-1].argmax() for of in shares]
    table = pd.read_csv(output)
    for quantity, base in (("rise", 0), ("fall", -1)):
        expected = np.mean([shares[1 - one][peaks[one]] - shares[1 - one][base] for one in (0, 1)])
        assert np.isclose(value(table, quantity, "clean label"), expected)
        assert value(table, quantity, "clean label", column="epoch") == EPOCHS[peaks].mean()


@pytest.mark.parametrize("size", [5, 20, 40])
def test_the_size_of_blocks_changes_no_bit_of_the_tables(study, size):
    dataset, folder = study
    (one, *_), (other, *_) = run_stage(folder, dataset), run_stage(folder, dataset, size)
    assert one.read_bytes() == other.read_bytes()
    assert one.with_suffix(".histogram.csv").read_bytes() == other.with_suffix(".histogram.csv").read_bytes()


def test_the_sidecars_name_the_data_the_counts_and_the_blocks(study):
    dataset, folder = study
    output, _, blocks = run_stage(folder, dataset)
    for path in (output, output.with_suffix(".histogram.csv")):
        record = provenance.read(path)
        assert record["definition"] == json.loads(json.dumps(SPEC | {"fingerprint": dataset.fingerprint}))
        assert record["inputs"].keys() == {str(read) for read in (folder / "data.npz", folder / "counts.npz", *blocks)}
    bins = pd.read_csv(output.with_suffix(".histogram.csv"))
    assert len(bins) == 2 * len(EPOCHS) * (len(BINS) - 1)


def test_counts_and_blocks_that_do_not_belong_together_are_refused(study):
    dataset, folder = study
    output, _, blocks = run_stage(folder, dataset)
    arguments = [folder / "data.npz", folder / "counts.npz"]
    with pytest.raises(ProvenanceError, match=r"counts\.npz does not belong to this study: seeds is 40, expected 30"):
        epochs.run(SPEC | {"counts": COUNTS | {"seeds": 30}}, *arguments, blocks, output)
    with pytest.raises(ProvenanceError, match="3 block files for 4 blocks of 10 seeds"):
        epochs.run(SPEC, *arguments, blocks[:3], output)
    with pytest.raises(ProvenanceError, match=r"block-10-30\.npz does not belong to this study: seeds is"):
        epochs.run(SPEC, *arguments, blocks[::-1], output)
    with np.load(blocks[2]) as file:
        arrays = dict(file)
    record = provenance.read(blocks[2])
    write_npz(blocks[2], arrays | {"train_correct": arrays["train_correct"][::-1]})
    provenance.write([blocks[2]], record["definition"], inputs={}, started="", details={"masks": record["masks"]})
    with pytest.raises(ProvenanceError, match=r"block-10-20\.npz is not the block that the counts were merged from"):
        epochs.run(SPEC, *arguments, blocks, output)
