import itertools
import json
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import t as student

from memflow import provenance, transitions
from memflow.counts import HALVES
from memflow.files import write_npz
from memflow.provenance import ProvenanceError
from memflow.statistics.states import STATES, states
from memflow.transitions import FITTED, FLOW, SET, draw_error, rarity_difference, relative_sizes, transient_set

NAMES = ["small", "medium", "large"]
RULE = {"memorised_at": 0.25, "confidence": 0.95}
NUMBERS = ["value", "low", "high", "se", "df", "n_examples"]
# In-sample and out-of-sample accuracy of clear cases, at each size: fitted by none; memorised, then generalised;
# generalised throughout; not fitted, then memorised; memorised throughout.
CASES = {
    "never": ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1]),
    "transient": ([1, 1, 1], [0.1, 0.3, 1]),
    "easy": ([1, 1, 1], [1, 1, 1]),
    "late": ([0.05, 0.05, 1], [0, 0, 0]),
    "hard": ([1, 1, 1], [0.05, 0.05, 0.05]),
}
EACH = 20


def family(simulate, acc_in, acc_out, groups=10, seed=0, **changes):
    """Counts of a family from the true accuracies at each size, float[S, n]."""
    made = [
        simulate(*pair, groups=groups, seed=100 * seed + size)
        for size, pair in enumerate(zip(acc_in, acc_out, strict=True))
    ]
    return {name: replace(size, **changes) for name, size in zip(NAMES, made, strict=False)}


def by_epoch(size, acc_in, acc_out, seed=0):
    """The counts with independent draws at every epoch, from the true accuracies float[E, n]; the last one matches."""
    random, totals = np.random.default_rng(seed), {}
    for name, accuracies in (("in", acc_in), ("out", acc_out)):
        n = np.array([getattr(size, f"n_{name}")[half::2].sum(axis=0) for half in (0, 1)]).astype(int)
        drawn = random.binomial(n, np.asarray(accuracies)[:, None])
        last = [getattr(size, f"correct_{name}")[half::2].sum(axis=0) for half in (0, 1)]
        totals[f"epoch_correct_{name}"] = np.concatenate([drawn[:-1], [last]]).astype(np.uint32)
    return replace(size, epochs=3 * np.arange(1, len(acc_in) + 1, dtype=np.int32), **totals)


@pytest.fixture(scope="module")
def sizes(simulate):
    """Clear cases, each a fifth of the examples and in all populations, and over the epochs of the largest size too."""
    acc_in, acc_out = (np.repeat([case[of] for case in CASES.values()], EACH, axis=0).T for of in (0, 1))
    made = family(simulate, acc_in, acc_out)
    return made | {"large": by_epoch(made["large"], acc_in, acc_out)}


KIND = np.repeat(list(CASES), EACH)


@pytest.fixture(scope="module")
def flow(sizes):
    return transitions.flows(sizes, **RULE).set_index(FLOW)


def found_states(size, used=slice(None)):
    """States of every example, by hand."""
    totals = [getattr(size, name)[used].sum(axis=0) for name in ("correct_in", "n_in", "correct_out", "n_out")]
    found = []
    for k, n, m, o in zip(*totals, strict=True):
        score = k / n - m / o
        found.append("memorised" if score > 0.25 - 1e-9 else "generalised" if 2 * m >= o else "not fitted")
    return np.array(found)


# Flows.


def test_flows_between_sizes_are_the_shares_of_a_contingency_table(sizes, flow):
    by_size = {name: found_states(size) for name, size in sizes.items()}
    flipped = sizes["large"].label_noise
    parts = {"all": flipped | True, "clean label": ~flipped, "flipped label": flipped}
    pairs = [("small", "medium"), ("medium", "large"), ("small", "large")]
    for (start, stop), examples, a, b in itertools.product(pairs, parts, STATES, STATES):
        row = flow.loc[("share", "size", "", start, stop, a, b, examples)]
        here = (by_size[start] == a) & (by_size[stop] == b)
        assert row["value"] == pytest.approx(here[parts[examples]].mean())
        assert row["n_examples"] == parts[examples].sum()
    of_sizes = flow.xs(("share", "size"), level=("quantity", "along"))
    assert (of_sizes.groupby(["start", "stop", "examples"])["value"].sum() - 1).abs().max() < 1e-9


def test_planted_cases_flow_where_they_should(flow):
    value = flow["value"].loc["share", "size", "", "small", "large", :, :, "all"]
    expected = {("not fitted", "not fitted"), ("memorised", "generalised"), ("generalised", "generalised")}
    expected |= {("not fitted", "memorised"), ("memorised", "memorised")}
    for key, share in value.items():
        assert share == pytest.approx(0.2 if key[-3:-1] in expected or key in expected else 0, abs=0.03)


def test_flows_over_epochs_are_those_of_the_totals_and_have_no_interval(sizes, flow):
    size = sizes["large"]
    n_in, n_out = size.n_in.sum(axis=0), size.n_out.sum(axis=0)
    acc_in, acc_out = size.epoch_correct_in.sum(axis=1) / n_in, size.epoch_correct_out.sum(axis=1) / n_out
    found = states(acc_in - acc_out, acc_out, 0.25)
    part = flow.xs("large", level="architecture")
    for (a, start), (b, stop) in [((0, "3"), (1, "6")), ((1, "6"), (2, "9")), ((0, "3"), (2, "9"))]:
        for one, other in itertools.product(range(3), repeat=2):
            row = part.loc[("share", "epoch", start, stop, STATES[one], STATES[other], "all")]
            assert row["value"] == pytest.approx(((found[a] == one) & (found[b] == other)).mean())
    assert part[["low", "high", "se"]].isna().all(axis=None)
    assert flow.xs("epoch", level="along").index.get_level_values("architecture").unique().tolist() == NAMES


def test_two_sizes_or_epochs_have_one_pair_and_one_epoch_has_none(sizes):
    pair = {name: sizes[name] for name in ("small", "large")}
    once = {"epochs": pair["large"].epochs[-1:]}
    once |= {name: getattr(pair["large"], name)[-1:] for name in ("epoch_correct_in", "epoch_correct_out")}
    table = transitions.flows(pair | {"large": replace(pair["large"], **once)}, **RULE)
    assert not table.duplicated(FLOW).any()
    of_size = table.query("along == 'size' and quantity == 'share'")
    assert set(zip(of_size["start"], of_size["stop"], strict=True)) == {("small", "large")}
    of_epoch = table.query("along == 'epoch'")
    assert set(of_epoch["architecture"]) == {"small"}
    assert set(zip(of_epoch["start"], of_epoch["stop"], strict=True)) == {("3", "6")}


def test_what_becomes_of_unfitted_examples_is_selected_on_one_half_and_measured_on_the_other(sizes, flow):
    even = np.arange(10) % 2 == 0
    halves = [(found_states(sizes["small"], a), found_states(sizes["large"], ~a)) for a in (even, ~even)]
    for outcome in (*STATES, FITTED):
        wanted = outcome.split(" or ")
        shares = [np.isin(last[first == "not fitted"], wanted).mean() for first, last in halves]
        row = flow.loc[("later", "size", "", "small", "large", "not fitted", outcome, "all")]
        assert row["value"] == pytest.approx(np.mean(shares))
        assert row["n_examples"] == np.mean([(first == "not fitted").sum() for first, _ in halves])
        assert row["value"] == pytest.approx({"not fitted": 0.5, "generalised": 0}.get(outcome, 0.5), abs=0.05)


def test_the_interval_of_a_flow_leaves_out_one_group_at_a_time(sizes, flow):
    shares = []
    for left_out in range(10):
        used = np.arange(10) != left_out
        first, last = (found_states(sizes[name], used) for name in ("small", "large"))
        shares.append(((first == "memorised") & (last == "generalised")).mean())
    row = flow.loc[("share", "size", "", "small", "large", "memorised", "generalised", "all")]
    error = (9 * np.var(shares)) ** 0.5
    assert row["se"] == pytest.approx(error)
    assert row["high"] - row["value"] == pytest.approx(student.ppf(0.975, 9) * error)
    assert row["value"] - row["low"] == pytest.approx(student.ppf(0.975, 9) * error)
    assert row["df"] == 9


# Transient sets.


def test_a_transient_set_by_hand():
    found = np.array([[1, 1, 1, 0, 2, -1], [1, 1, 2, 1, 1, 1], [2, 1, 2, 0, 2, 2]])
    natural = np.array([True, True, True, True, False, True])
    place, where = transient_set(found, natural, among=2)
    assert place == 1  # four natural examples against three
    assert where.tolist() == [True, False, False, False, True, True]
    place, where = transient_set(found, np.array([True, True, True, False, False, False]), among=3)
    assert place == 0
    assert where.tolist() == [True, False, True, False, False, False]


def test_the_peak_may_be_the_last_epoch_which_leaves_no_set_and_the_largest_is_never_the_smaller_size():
    found = np.array([[1, 2], [1, 1]])
    assert transient_set(found, np.ones(2, dtype=bool), among=2)[0] == 1
    assert not transient_set(found, np.ones(2, dtype=bool), among=2)[1].any()
    assert transient_set(found, np.ones(2, dtype=bool), among=1)[0] == 0


def test_the_first_of_equal_peaks_is_taken():
    found = np.array([[0, 0], [1, 2], [2, 1], [2, 2]])
    assert transient_set(found, np.ones(2, dtype=bool), among=4)[0] == 1


def test_the_table_of_examples_is_selected_on_one_half_and_measured_on_the_other(sizes):
    table = transitions.transient_table(sizes, 0.25)
    n = len(KIND)
    assert len(table) == 2 * n
    assert table["selected_on"].tolist() == [half for half in HALVES for _ in range(n)]
    even = np.arange(10) % 2 == 0
    natural = ~sizes["large"].label_noise
    for number, (half, used) in enumerate(zip(HALVES, (even, ~even), strict=True)):
        part = table[table["selected_on"] == half].reset_index(drop=True)
        memorised = {name: (found_states(sizes[name], used) == "memorised")[natural].sum() for name in NAMES[:-1]}
        smaller = max(memorised, key=memorised.__getitem__)
        assert set(part["smaller"]) == {smaller}
        expected = found_states(sizes[smaller], used) == "memorised"
        expected &= found_states(sizes["large"], used) == "generalised"
        assert np.array_equal(part["model_wise"], expected)
        other = {name: sizes[name].only(~used).scores() for name in NAMES}
        assert np.allclose(part["score_smaller"], other[smaller])
        assert np.allclose(part["score_largest"], other["large"])
        assert np.allclose(part["score_last"], other["large"])
        size, peak = sizes["large"], sizes["large"].epochs.tolist().index(part["peak"].iloc[0])
        n_in, n_out = size.n_in[~used].sum(axis=0), size.n_out[~used].sum(axis=0)
        assert np.allclose(
            part["score_peak"],
            size.epoch_correct_in[peak, 1 - number] / n_in - size.epoch_correct_out[peak, 1 - number] / n_out,
        )
        for column in ("index", "label", "subpopulation", "label_noise", "input_noise"):
            assert np.array_equal(part[column], getattr(size, column))


def test_planted_transient_examples_are_found_in_both_sets(sizes):
    table = transitions.transient_table(sizes, 0.25)
    for column in ("model_wise", "temporal"):
        share = table[column].groupby(np.tile(KIND, 2)).mean()
        assert share["transient"] > 0.9
        assert share.drop("transient").max() < 0.1


@pytest.fixture(scope="module")
def summary(sizes):
    return transitions.summarise(sizes, **RULE).set_index(SET)


def test_the_numbers_of_the_sets_are_those_of_the_table_of_examples(sizes, summary):
    table = transitions.transient_table(sizes, 0.25)
    for examples, part in (("all", table), ("clean label", table[~table["label_noise"]])):
        halves = [part[part["selected_on"] == half] for half in HALVES]
        for kind, column, before, after in (
            ("model-wise", "model_wise", "score_smaller", "score_largest"),
            ("temporal", "temporal", "score_peak", "score_last"),
        ):
            chosen = [half[half[column]] for half in halves]
            expected = {
                "share": np.mean([half[column].mean() for half in halves]),
                "score": np.mean([half[before].mean() for half in chosen]),
                "score_all": np.mean([half[before].mean() for half in halves]),
                "drop": np.mean([(half[before] - half[after]).mean() for half in chosen]),
            }
            for quantity, value in expected.items():
                row = summary.loc[(kind, examples, quantity)]
                assert row["value"] == pytest.approx(value), quantity
                n = np.mean([len(half) for half in (halves if quantity in ("share", "score_all") else chosen)])
                assert row["n_examples"] == n
        overlap = np.mean(
            [(h["model_wise"] & h["temporal"]).sum() / (h["model_wise"] | h["temporal"]).sum() for h in halves]
        )
        assert summary.loc[("both", examples, "overlap"), "value"] == pytest.approx(overlap)


def test_sets_that_are_there_are_found_again_by_the_other_half(sizes, summary):
    assert summary.loc[("model-wise", "all", "replicated"), "value"] > 0.9
    even = np.arange(10) % 2 == 0
    shares = []
    table = transitions.transient_table(sizes, 0.25)
    for half, used in zip(HALVES, (even, ~even), strict=True):
        part = table[table["selected_on"] == half]
        again = found_states(sizes[part["smaller"].iloc[0]], ~used) == "memorised"
        again &= found_states(sizes["large"], ~used) == "generalised"
        shares.append(again[part["model_wise"]].mean())
    assert summary.loc[("model-wise", "all", "replicated"), "value"] == pytest.approx(np.mean(shares))


def test_sets_over_epochs_have_no_interval_and_those_over_sizes_one_that_holds_their_value(summary):
    over_epochs = summary.loc[["temporal", "both"]]
    assert over_epochs["value"].notna().all()
    assert over_epochs[["low", "high", "se"]].isna().all(axis=None)
    over_sizes = summary.loc["model-wise"]
    assert ((over_sizes["low"] <= over_sizes["value"]) & (over_sizes["value"] <= over_sizes["high"])).all()
    assert (summary["df"] == 9).all()


def test_without_sub_populations_nothing_is_said_of_them(summary):
    assert "log2_size" not in summary.index.get_level_values("quantity")


def test_an_empty_set_has_a_share_and_no_scores(simulate):
    sizes = family(simulate, np.ones((3, 30)), np.ones((3, 30)), label_noise=np.zeros(30, dtype=bool))
    sizes["large"] = by_epoch(sizes["large"], np.ones((2, 30)), np.ones((2, 30)))
    summary = transitions.summarise(sizes, **RULE).set_index(SET)
    assert set(summary.index.get_level_values("examples")) == {"all"}
    for kind in ("model-wise", "temporal"):
        assert summary.loc[(kind, "all", "share"), "value"] == 0
        assert (
            summary.loc[[(kind, "all", quantity) for quantity in ("score", "drop", "replicated")], "value"].isna().all()
        )
        assert summary.loc[(kind, "all", "score_all"), "value"] == 0
    assert np.isnan(summary.loc[("both", "all", "overlap"), "value"])


def test_an_example_without_a_score_at_some_size_is_in_no_number(sizes):
    lost = [0, 25, 99]
    n_out, correct_out = sizes["medium"].n_out.copy(), sizes["medium"].correct_out.copy()
    n_out[:, lost] = correct_out[:, lost] = 0
    holes = sizes | {"medium": replace(sizes["medium"], n_out=n_out, correct_out=correct_out)}
    rest = {name: size.select(np.delete(np.arange(100), lost)) for name, size in sizes.items()}
    for function in (transitions.flows, transitions.summarise):
        pd.testing.assert_frame_equal(function(holes, **RULE), function(rest, **RULE))


# The halves procedure, on simulated scores.


def test_what_is_measured_on_the_other_half_is_unbiased_where_nothing_changes(simulate):
    n, studies = 600, 30
    acc_in, acc_out = np.tile(np.linspace(0.8, 1, n), (3, 1)), np.tile(np.linspace(0.5, 0.8, n), (3, 1))
    drops, naive = {"model_wise": [], "temporal": []}, []
    for study in range(studies):
        sizes = family(simulate, acc_in, acc_out, seed=study)
        sizes["large"] = by_epoch(sizes["large"], acc_in, acc_out, seed=study)
        table = transitions.transient_table(sizes, 0.25)
        table["drop_model_wise"] = table["score_smaller"] - table["score_largest"]
        table["drop_temporal"] = table["score_peak"] - table["score_last"]
        for kind, found in drops.items():  # none where the peak is at the last epoch, by both halves
            found += [table.loc[table[kind], f"drop_{kind}"].mean()] if table[kind].any() else []
        even = np.arange(10) % 2 == 0
        small, large = sizes["small"].only(even), sizes["large"].only(even)
        chosen = (found_states(small) == "memorised") & (found_states(large) == "generalised")
        naive.append((small.scores() - large.scores())[chosen].mean())
    for kind, found in drops.items():
        error = np.std(found, ddof=1) / len(found) ** 0.5
        print(f"\n{kind}: {np.mean(found):.4f} +- {error:.4f} by halves, {np.mean(naive):.3f} where selected")
        assert len(found) > studies / 2
        assert error < 0.01
        assert abs(np.mean(found)) < 4 * error
    assert np.mean(naive) > 0.1


def test_intervals_of_the_drop_hold_zero_where_nothing_changes(simulate):
    acc_in, acc_out = np.tile(np.linspace(0.8, 1, 300), (3, 1)), np.tile(np.linspace(0.5, 0.8, 300), (3, 1))
    held = []
    for study in range(40):
        row = transitions.summarise(family(simulate, acc_in, acc_out, seed=study), **RULE).set_index(SET)
        row = row.loc[("model-wise", "all", "drop")]
        held.append(row["low"] <= 0 <= row["high"])
    assert np.mean(held) > 0.95 - 4 * (0.95 * 0.05 / 40) ** 0.5


# Sub-populations.

LABEL = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
PART = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3])


def test_sub_populations_are_small_relative_to_the_largest_of_their_label():
    natural = np.ones(12, dtype=bool)
    assert relative_sizes(LABEL, PART, natural).tolist() == [0] * 4 + [-1] * 2 + [0] * 6
    # A flipped label: the image still belongs to its sub-population, and the example itself has no relative size.
    label = LABEL.copy()
    label[0], natural[0] = 1, False
    found = relative_sizes(label, PART, natural)
    assert np.isnan(found[0])
    assert found[1:].tolist() == [0] * 3 + [-1] * 2 + [0] * 6


def test_without_known_sub_populations_or_with_equal_ones_there_are_no_relative_sizes():
    natural = np.ones(12, dtype=bool)
    assert relative_sizes(LABEL, LABEL, natural) is None
    assert relative_sizes(LABEL, np.repeat([0, 1, 2, 3], 3), natural) is None


def test_chosen_examples_are_compared_with_those_of_their_labels():
    rarity = np.array([0.0, -2, 0, -2, -4, -4, np.nan])
    label = np.array([0, 0, 0, 0, 1, 1, 0])
    chosen = np.array([False, True, False, False, True, False, True])
    assert rarity_difference(rarity, label, chosen) == pytest.approx(((-2 + 1) + (-4 + 4)) / 2)
    assert np.isnan(rarity_difference(rarity, label, np.zeros(7, dtype=bool)))
    assert rarity_difference(rarity, label, np.ones(7, dtype=bool)) == pytest.approx(0)


def test_the_error_of_a_draw_is_that_of_random_draws_of_as_many_examples_of_each_label():
    random = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], [40, 25, 10])
    rarity = random.choice([0.0, -1.0, -3.0], 75)
    rarity[[3, 50]] = np.nan
    chosen = np.isin(np.arange(75), random.choice(75, 30, replace=False))
    drawn = []
    for _ in range(2000):
        draw = np.zeros(75, dtype=bool)
        for one in range(3):
            of_label = np.flatnonzero((label == one) & np.isfinite(rarity))
            wanted = (chosen & (label == one) & np.isfinite(rarity)).sum()
            draw[random.choice(of_label, wanted, replace=False)] = True
        drawn.append(rarity_difference(rarity, label, draw))
    assert np.mean(drawn) == pytest.approx(0, abs=4 * np.std(drawn) / 2000**0.5)
    assert np.std(drawn) == pytest.approx(draw_error(rarity, label, chosen), rel=4 / (2 * 2000) ** 0.5)
    assert draw_error(rarity, label, np.ones(75, dtype=bool)) == pytest.approx(0)
    assert np.isnan(draw_error(rarity, label, np.zeros(75, dtype=bool)))


def planted(simulate, acc_out, seed, label, part):
    """A family of two sizes, the smaller of which memorises, and the larger of which has some accuracies."""
    acc_in, first = np.ones((2, len(label))), np.where(acc_out > 0.9, 1, 0.3)
    marks = {"label": label, "subpopulation": part, "label_noise": np.zeros(len(label), dtype=bool)}
    return family(simulate, acc_in, [first, np.ones(len(label))], seed=seed, **marks)


def parts_of_labels(n=1200):
    label = np.arange(n) % 2
    part = np.searchsorted([0.6, 0.85, 0.95], np.arange(n) / n) + 4 * label
    return label.astype(np.int32), part.astype(np.int32)


def test_transient_examples_from_small_sub_populations_are_told(simulate):
    label, part = parts_of_labels()
    small = part % 4 > 0
    chosen = np.random.default_rng(0).random(len(label)) < np.where(small, 0.3, 0.05)
    summary = transitions.summarise(planted(simulate, np.where(chosen, 0.3, 1), 0, label, part), **RULE).set_index(SET)
    row = summary.loc[("model-wise", "all", "log2_size")]
    rarity = relative_sizes(label, part, np.ones(len(label), dtype=bool))
    assert row["value"] == pytest.approx(rarity[chosen].mean() - rarity.mean(), abs=0.3)
    assert row["high"] < 0
    assert row["n_examples"] == pytest.approx(chosen.sum(), rel=0.1)


def test_intervals_hold_zero_where_transient_examples_are_drawn_from_any_sub_population(simulate):
    label, part = parts_of_labels(400)
    held, errors, values = [], [], []
    for study in range(60):
        chosen = np.random.default_rng(study).random(400) < 0.15
        sizes = planted(simulate, np.where(chosen, 0.3, 1), study, label, part)
        row = transitions.summarise(sizes, **RULE).set_index(SET).loc[("model-wise", "all", "log2_size")]
        held.append(row["low"] <= 0 <= row["high"])
        errors.append(row["se"])
        values.append(row["value"])
    print(f"\nlog2_size: {np.mean(held):.3f} hold zero; error {np.mean(errors):.3f}, spread {np.std(values):.3f}")
    assert np.mean(held) > 0.95 - 4 * (0.95 * 0.05 / 60) ** 0.5
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)


# The stage, on counts on the disk.

OVERLAP = {"small": "no", "medium": "no", "large": "unknown"}
SPEC = {"stage": "transitions", "study": "tiny", "architectures": NAMES, "pretraining_overlap": OVERLAP, **RULE}
RUNS = {
    "dataset": {"source": "toy"},
    "method": "one-hot",
    "design": "balanced",
    "ratio": "7/10",
    "subset_unit": "example",
}
DEFINITION = {"stage": "counts", "seeds": 100, "fingerprint": "f" * 64}
SUFFIXES = (".csv", ".transient.parquet", ".transient.csv")


def run(sizes, folder, **of_last):
    """The stage's output, from counts whose last size has another definition of its runs."""
    paths = []
    for name, size in sizes.items():
        path = folder / name / "one-hot.npz"
        write_npz(path, {field.name: np.asarray(getattr(size, field.name)) for field in fields(size)})
        runs = RUNS | {"learner": name} | (of_last if name == NAMES[-1] else {})
        provenance.write([path], {**DEFINITION, "runs": runs}, inputs={}, started=provenance.now())
        paths.append(path)
    output = folder / "transitions" / "one-hot.csv"
    transitions.run(SPEC, paths, output)
    return output


def test_the_stage_writes_its_tables(sizes, flow, summary, tmp_path):
    output = run(sizes, tmp_path)
    names = [f"one-hot{suffix}" for suffix in SUFFIXES]
    assert sorted(path.name for path in output.parent.iterdir()) == sorted(
        names + [f"{name}.prov.json" for name in names]
    )
    table = pd.read_csv(output, keep_default_na=False)
    assert table.columns.tolist() == [*FLOW, *NUMBERS]
    assert np.array_equal(table["value"].astype(float), flow["value"])
    table = pd.read_csv(output.with_suffix(".transient.csv"))
    assert table.columns.tolist() == [*SET, *NUMBERS]
    assert np.array_equal(table["value"], summary["value"], equal_nan=True)
    sets = output.with_suffix(".transient.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(sets), transitions.transient_table(sizes, 0.25))
    assert json.loads(pq.read_schema(sets).metadata[b"memflow"]) == {"pretraining_overlap": OVERLAP}


def test_sidecars_name_the_counts_and_what_determines_the_states(sizes, tmp_path):
    output = run(sizes, tmp_path)
    paths = [tmp_path / name / "one-hot.npz" for name in NAMES]
    definitions = [provenance.read(path)["definition"] for path in paths]
    for suffix in SUFFIXES:
        record = provenance.read(output.with_suffix(suffix))
        assert record["definition"] == json.loads(json.dumps(SPEC | {"counts": definitions}))
        assert set(record["inputs"]) == {str(path) for path in paths}


def test_the_same_counts_give_the_same_bytes(sizes, tmp_path):
    one, other = run(sizes, tmp_path / "a"), run(sizes, tmp_path / "b")
    for suffix in SUFFIXES:
        assert one.with_suffix(suffix).read_bytes() == other.with_suffix(suffix).read_bytes()


def test_counts_of_other_subsets_are_refused(sizes, tmp_path):
    with pytest.raises(ProvenanceError, match=r"large/one-hot\.npz does not share .* design is 'iid'"):
        run(sizes, tmp_path, design="iid")
    assert not (tmp_path / "transitions").exists()
