import json
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import t

from memflow import distillation, provenance
from memflow.distillation import MEMORISED, SUMMARY, TRANSFER, group_changes, pair_table, summarise, transfer
from memflow.errors import InputError
from memflow.files import write_npz
from memflow.provenance import ProvenanceError
from memflow.statistics.trajectory_types import TESTED
from memflow.trajectories import IDENTITY, halves_table

TYPES = {"tau": 0.15, "fdr": 0.05, "confidence": 0.95}
RULE = {"confidence": 0.95, "memorised_at": 0.25}
NAMES = ["small", "medium", "large"]
EDGE = 0.25 - 1e-9
SUFFIXES = (".parquet", ".summary.csv", ".transfer.csv")


def planted(each=60):
    """Rises, falls, flat ones without memorisation, and flat ones with some."""
    paths = np.array([[0.05, 0.5, 0.95], [0.95, 0.5, 0.05], [0.0, 0.0, 0.0], [0.4, 0.4, 0.4]]).T
    return np.repeat(paths, each, axis=1)


@pytest.fixture(scope="module")
def family(simulate_family):
    return dict(zip(NAMES, simulate_family(planted(), seed=1), strict=True))


@pytest.fixture(scope="module")
def distilled(simulate_family):
    """The medium student: the rising ones lowered by .3, the others as they were."""
    scores = planted()[1] - 0.3 * (np.arange(240) < 60)
    return simulate_family(scores[None], seed=2)[0]


@pytest.fixture(scope="module")
def halves(family):
    return halves_table(family, **TYPES)


@pytest.fixture(scope="module")
def pairs(family, distilled, halves):
    return pair_table(halves, "medium", family["medium"], distilled, family["large"])


@pytest.fixture(scope="module")
def summary(family, distilled, pairs):
    return (
        summarise(family["medium"], distilled, pairs, **RULE).set_index(["examples", "quantity", "type"]).sort_index()
    )


@pytest.fixture(scope="module")
def transferred(family, distilled, pairs):
    return transfer(family["medium"], distilled, family["large"], pairs, **RULE)


def score(counts, groups):
    """Anew, with the 7 runs in and the 3 runs out of every group."""
    within = counts.correct_in[groups].mean(axis=0) / 7
    return within - counts.correct_out[groups].mean(axis=0) / 3


def odd(groups=10):
    return np.arange(groups) % 2 == 1


# The table of pairs.


def test_pairs_hold_what_one_half_says_beside_what_the_other_measures(family, distilled, halves, pairs):
    selecting = ["type", "descriptive", "one_hot_selecting", "teacher_selecting"]
    assert pairs.columns.tolist() == ["selected_on", *IDENTITY, *selecting, "one_hot", "distilled", "teacher"]
    assert pairs["selected_on"].tolist() == ["even"] * 240 + ["odd"] * 240
    pd.testing.assert_frame_equal(pairs[["type", "descriptive", *IDENTITY]], halves[["type", "descriptive", *IDENTITY]])
    for selected_on, groups in (("even", ~odd()), ("odd", odd())):
        part = pairs[pairs["selected_on"] == selected_on]
        assert np.allclose(part["one_hot_selecting"], score(family["medium"], groups))
        assert np.allclose(part["teacher_selecting"], score(family["large"], groups))
        assert np.allclose(part["one_hot"], score(family["medium"], ~groups))
        assert np.allclose(part["distilled"], score(distilled, ~groups))
        assert np.allclose(part["teacher"], score(family["large"], ~groups))
        assert np.array_equal(part["one_hot"], halves.loc[halves["selected_on"] == selected_on, "medium"])


def test_without_a_teacher_its_scores_are_null(family, distilled, halves, pairs):
    alone = pair_table(halves, "medium", family["medium"], distilled, None)
    assert alone.columns.tolist() == pairs.columns.tolist()
    assert alone[["teacher", "teacher_selecting"]].isna().all(axis=None)
    others = alone.columns.drop(["teacher", "teacher_selecting"])
    pd.testing.assert_frame_equal(alone[others], pairs[others])


# Changes.


def test_a_summary_has_every_quantity_once(family, distilled, pairs):
    table = summarise(family["medium"], distilled, pairs, **RULE)
    assert table.columns.tolist() == SUMMARY
    overall = ("mean_one_hot", "mean_distilled", "mean_change", "acc_in_change", "acc_out_change", "memorised_change")
    expected = [("all", "acc_test_change", "")]
    for examples in ("all", "clean label", "flipped label"):
        expected += [(examples, name, "") for name in (*overall, "difference_increasing_constant")]
        expected += [(examples, "change", kind) for kind in (*TESTED, *MEMORISED)]
    assert sorted(zip(table["examples"], table["quantity"], table["type"], strict=True)) == sorted(expected)
    valued = table.dropna(subset="value")
    assert (valued["low"] <= valued["value"]).all()
    assert (valued["value"] <= valued["high"]).all()


def test_overall_changes_are_differences_of_all_runs(family, distilled, summary):
    before, after = family["medium"], distilled
    for examples, where in (("all", slice(None)), ("flipped label", before.label_noise)):
        one, other = score(before, slice(None))[where], score(after, slice(None))[where]
        value = summary["value"][examples]
        assert value["mean_one_hot", ""] == pytest.approx(one.mean())
        assert value["mean_distilled", ""] == pytest.approx(other.mean())
        assert value["mean_change", ""] == pytest.approx((other - one).mean())
        assert value["memorised_change", ""] == (other >= EDGE).sum() - (one >= EDGE).sum()
        acc_in, acc_out = (getattr(after, n)[:, where] - 1.0 * getattr(before, n)[:, where] for n in CORRECT)
        assert value["acc_in_change", ""] == pytest.approx(acc_in.mean() / 7)
        assert value["acc_out_change", ""] == pytest.approx(acc_out.mean() / 3)
    test = (after.correct_test.mean() - before.correct_test.mean()) / 10
    assert summary.loc[("all", "acc_test_change", ""), "value"] == pytest.approx(test)
    assert summary.loc[("all", "acc_test_change", ""), "n_examples"] == 50


CORRECT = ("correct_in", "correct_out")


def test_the_change_of_memorised_is_given_by_leaving_out_one_group_at_a_time(family, distilled, summary):
    left_out = []
    for group in range(10):
        used = np.arange(10) != group
        counts = [(score(of, used) >= EDGE).sum() for of in (family["medium"], distilled)]
        left_out.append(counts[1] - counts[0])
    margin = t.ppf(0.975, 9) * (9 * np.var(left_out)) ** 0.5
    row = summary.loc[("all", "memorised_change", "")]
    assert margin > 0
    assert row["high"] - row["value"] == pytest.approx(margin)


def brute_force(one_hot, distilled, selected):
    """Value, and p-value over all sign patterns, of the examples that the even and the odd groups selected."""
    own = [score(distilled, [g]) - score(one_hot, [g]) for g in range(one_hot.n_groups)]
    size = [np.count_nonzero(odd(one_hot.n_groups)), np.count_nonzero(~odd(one_hot.n_groups))]
    by_group = [own[g][selected[(g + 1) % 2]].mean() / size[(g + 1) % 2] / 2 for g in range(one_hot.n_groups)]
    sums = [np.dot(signs, by_group) for signs in product((1, -1), repeat=one_hot.n_groups)]
    return sum(by_group), np.mean(np.abs(sums) >= abs(sum(by_group)) - 1e-9), by_group


def selections(pairs, population=True):
    """Of each type, and of examples memorised or not, by the even and by the odd groups."""
    parts = [part for _, part in pairs.groupby("selected_on")]
    by_kind = {kind: [(part["type"] == kind).to_numpy() & population for part in parts] for kind in TESTED}
    by_kind["memorised"] = [(part["one_hot_selecting"] >= EDGE).to_numpy() & population for part in parts]
    by_kind["not memorised"] = [(part["one_hot_selecting"] < EDGE).to_numpy() & population for part in parts]
    return by_kind


@pytest.mark.parametrize("groups", [4, 5, 9])
def test_changes_and_their_p_values_by_brute_force(simulate_family, groups):
    random = np.random.default_rng(groups)
    scores = 0.9 * random.random((3, 80))
    sizes = dict(zip(NAMES, simulate_family(scores, 0.95, groups=groups, seed=3), strict=True))
    student = simulate_family(np.maximum(scores - 0.1, 0), 0.95, groups=groups, seed=4)[1]
    pairs = pair_table(halves_table(sizes, **TYPES), "medium", sizes["medium"], student, None)
    pairs["type"] = random.choice(TESTED, len(pairs), p=[0.3, 0.3, 0.1, 0.1, 0.2])  # whatever the types are
    table = summarise(sizes["medium"], student, pairs, **RULE).set_index(["examples", "quantity", "type"]).sort_index()
    populations = {"all": True, "flipped label": sizes["medium"].label_noise}
    for examples, where in populations.items():
        found = table.loc[(examples, "change")]
        p_values = {}
        for kind, selected in selections(pairs, where).items():
            if not all(half.any() for half in selected):
                assert found.loc[kind, ["value", "low", "high", "p_value", "p_holm"]].isna().all()
                continue
            value, p_values[kind], by_group = brute_force(sizes["medium"], student, selected)
            assert found.loc[kind, "value"] == pytest.approx(value)
            assert found.loc[kind, "p_value"] == p_values[kind]
            assert found.loc[kind, "n_examples"] == np.mean([half.sum() for half in selected])
            assert np.allclose(group_changes(sizes["medium"], student, selected) / groups, by_group)
        for family in (TESTED, MEMORISED):  # Holm by hand
            ordered = sorted((p_values[kind], kind) for kind in family if kind in p_values)
            steps = [(len(ordered) - rank) * p for rank, (p, _) in enumerate(ordered)]
            for rank, (_, kind) in enumerate(ordered):
                assert found.loc[kind, "p_holm"] == pytest.approx(min(1, max(steps[: rank + 1])))
    value, p_value, _ = difference_by_brute_force(sizes["medium"], student, selections(pairs))
    row = table.loc[("all", "difference_increasing_constant", "")]
    assert row["value"] == pytest.approx(value)
    assert row["p_value"] == p_value


def difference_by_brute_force(one_hot, distilled, by_kind):
    rising, flat = (np.array(brute_force(one_hot, distilled, by_kind[kind])[2]) for kind in ("increasing", "constant"))
    by_group = rising - flat
    sums = [np.dot(signs, by_group) for signs in product((1, -1), repeat=len(by_group))]
    return by_group.sum(), np.mean(np.abs(sums) >= abs(by_group.sum()) - 1e-9), by_group


def test_the_interval_of_a_change_is_about_students(family, distilled, pairs, summary):
    selected = selections(pairs)["memorised"]
    by_group = np.array(brute_force(family["medium"], distilled, selected)[2]) * 10  # their mean is the value
    variance = sum(by_group[of].var(ddof=1) / 5 / 4 for of in (odd(), ~odd()))
    row = summary.loc[("all", "change", "memorised")]
    assert row["high"] - row["low"] == pytest.approx(2 * t.ppf(0.975, 8) * variance**0.5, rel=0.15)


def test_a_planted_effect_is_found_where_it_is(summary):
    row = summary.loc[("all", "change", "increasing")]
    assert row["low"] <= -0.3 <= row["high"] < -0.2
    assert row["p_value"] == 2 / 2**10
    assert row["p_holm"] <= 0.05
    for kind in ("decreasing", "constant"):
        row = summary.loc[("all", "change", kind)]
        assert row["low"] <= 0 <= row["high"]
    row = summary.loc[("all", "difference_increasing_constant", "")]
    assert row["low"] <= -0.3 <= row["high"] < -0.2
    assert summary.loc[("all", "mean_change", ""), "high"] < 0


def test_a_student_that_errs_as_its_twin_does_not_change(family, halves):
    twin = family["medium"]
    table = summarise(twin, twin, pair_table(halves, "medium", twin, twin, None), **RULE)
    changes = table[table["quantity"].str.contains("change|difference")].dropna(subset="value")
    assert (changes[["value", "low", "high"]] == 0).all(axis=None)
    tested = changes.dropna(subset="p_value")
    assert len(tested) > 5
    assert (tested[["p_value"]] == 1).all(axis=None)


def test_a_type_without_an_example_in_a_half_has_a_row_without_a_value(family, distilled, pairs):
    for gone in ("even", "odd", "both"):
        part = pairs.copy()
        where = (part["type"] == "increasing") & ((part["selected_on"] == gone) | (gone == "both"))
        part.loc[where, "type"] = "undetermined"
        table = summarise(family["medium"], distilled, part, **RULE).set_index(["examples", "quantity", "type"])
        for key in (("change", "increasing"), ("difference_increasing_constant", "")):
            row = table.loc[("all", *key)]
            assert row[["value", "low", "high", "p_value", "p_holm"]].isna().all()
        size = table.loc[("all", "change", "increasing"), "n_examples"]
        assert size == 0 if gone == "both" else 0 < size < 60
        assert np.isfinite(table.loc[("all", "change", "constant"), "value"])


# What the teacher memorises.


def cells(pairs):
    parts = [part for _, part in pairs.groupby("selected_on")]
    taught, own = ([part[f"{name}_selecting"] >= EDGE for part in parts] for name in ("teacher", "one_hot"))
    return {
        (by_teacher, by_one_hot): [
            ((a == by_teacher) & (b == by_one_hot)).to_numpy() for a, b in zip(taught, own, strict=True)
        ]
        for by_teacher, by_one_hot in product((True, False), repeat=2)
    }


def test_transfer_is_selected_on_one_half_and_measured_on_the_other(family, distilled, pairs, transferred):
    assert transferred.columns.tolist() == TRANSFER
    assert len(transferred) == 4 * 7
    table = transferred.set_index(["teacher_memorises", "one_hot_memorises", "quantity"]).sort_index()
    counts = {"teacher": family["large"], "one_hot": family["medium"], "distilled": distilled}
    for cell, selected in cells(pairs).items():
        assert all(where.any() for where in selected)
        found = table.loc[cell]
        assert (found["n_examples"] == np.mean([where.sum() for where in selected])).all()
        assert found.loc["share_of_examples", "value"] == pytest.approx(np.mean(selected))
        measured = {
            name: [score(of, half)[where] for half, where in zip((odd(), ~odd()), selected, strict=True)]
            for name, of in counts.items()
        }
        means = {name: np.mean([half.mean() for half in of]) for name, of in measured.items()}
        for name, mean in means.items():
            assert found.loc[name, "value"] == pytest.approx(mean)
        assert found.loc["change", "value"] == pytest.approx(means["distilled"] - means["one_hot"])
        for name in ("one_hot", "distilled"):
            share = np.mean([(half >= EDGE).mean() for half in measured[name]])
            assert found.loc[f"memorised_{name}", "value"] == pytest.approx(share)
        assert (found["low"] <= found["value"]).all()
        assert (found["value"] <= found["high"]).all()
    shares = transferred.loc[transferred["quantity"] == "share_of_examples", "value"]
    assert shares.sum() == pytest.approx(1)


def test_intervals_of_transferred_shares_leave_out_one_group_at_a_time(family, distilled, pairs, transferred):
    table = transferred.set_index(["teacher_memorises", "one_hot_memorises", "quantity"]).sort_index()
    selected = cells(pairs)[True, True]
    of_cell, memorised = [], []
    for group in range(10):
        used = np.arange(10) != group
        own = [cell_of(family, used & half) for half in (~odd(), odd())]
        of_cell.append(np.mean(own))
        measured = zip((odd(), ~odd()), selected, strict=True)
        memorised.append(np.mean([(score(distilled, used & half)[where] >= EDGE).mean() for half, where in measured]))
    for name, left_out in (("share_of_examples", of_cell), ("memorised_distilled", memorised)):
        row = table.loc[(True, True, name)]
        margin = t.ppf(0.975, 9) * (9 * np.var(left_out)) ** 0.5
        assert margin > 0
        assert row["high"] - row["value"] == pytest.approx(margin)


def cell_of(family, groups):
    return (score(family["large"], groups) >= EDGE) & (score(family["medium"], groups) >= EDGE)


def test_a_cell_without_an_example_has_a_share_of_zero_and_no_value(family, halves):
    twin = family["medium"]  # as its own teacher: memorised by both, or by neither
    table = transfer(twin, twin, twin, pair_table(halves, "medium", twin, twin, twin), **RULE)
    table = table.set_index(["teacher_memorises", "one_hot_memorises", "quantity"]).sort_index()
    for cell in ((True, False), (False, True)):
        rows = table.loc[cell]
        assert (rows["n_examples"] == 0).all()
        assert rows.loc["share_of_examples", ["value", "low", "high"]].tolist() == [0, 0, 0]
        assert rows.drop("share_of_examples")[["value", "low", "high"]].isna().all(axis=None)


def test_without_a_teacher_there_is_nothing_to_transfer(family, distilled, halves):
    pairs = pair_table(halves, "medium", family["medium"], distilled, None)
    table = transfer(family["medium"], distilled, None, pairs, **RULE)
    assert table.columns.tolist() == TRANSFER
    assert len(table) == 0


# Subsets drawn one by one, where chance decides how often an example is held out.


def iid(simulate_family, scores, runs, seed, p_in=0.5):
    """Counts of runs that are groups of their own, all on the same masks."""
    masks = np.random.default_rng(seed).random((runs, scores.shape[1])) < p_in
    sizes = []
    for number, counts in enumerate(simulate_family(scores, groups=runs, ratio=(0, 1), seed=seed)):
        correct = np.random.default_rng(1000 * seed + number).random(masks.shape) >= scores[number]
        both = {"correct_in": masks, "n_in": masks, "correct_out": ~masks & correct, "n_out": ~masks}
        sizes.append(replace(counts, **{name: array.astype(np.uint8) for name, array in both.items()}))
    return sizes


def test_runs_that_are_groups_of_their_own_have_changes_too(simulate_family):
    scores = np.concatenate([planted(), planted()[1:2]])
    *sizes, student = iid(simulate_family, scores, runs=40, seed=7)
    sizes = dict(zip(NAMES, sizes, strict=True))
    pairs = pair_table(halves_table(sizes, **TYPES), "medium", sizes["medium"], student, sizes["large"])
    table = summarise(sizes["medium"], student, pairs, **RULE).set_index(["examples", "quantity", "type"]).sort_index()
    for kind, selected in selections(pairs).items():
        parts = [part for _, part in pairs.groupby("selected_on")]
        row = table.loc[("all", "change", kind)]
        if not all(where.any() for where in selected):
            continue
        measured = [(p["distilled"] - p["one_hot"])[where].mean() for p, where in zip(parts, selected, strict=True)]
        assert row["value"] == pytest.approx(np.mean(measured))
        assert group_changes(sizes["medium"], student, selected).mean() == pytest.approx(row["value"])
        assert row["low"] <= row["value"] <= row["high"]
        assert 0 < row["p_value"] <= 1
    assert transfer(sizes["medium"], student, sizes["large"], pairs, **RULE)["value"].notna().all()


def test_an_example_without_a_score_in_a_half_is_in_no_selection(simulate_family):
    scores = np.concatenate([planted(30), planted(30)[1:2]])
    sizes = []
    for counts in simulate_family(scores, groups=20, ratio=(1, 2), seed=5):
        n_out, correct_out = counts.n_out.copy(), counts.correct_out.copy()
        n_out[:, 3] = correct_out[:, 3] = 0  # never held out
        n_out[::2, 14] = correct_out[::2, 14] = 0  # never by the even groups
        sizes.append(replace(counts, n_out=n_out, correct_out=correct_out))
    *sizes, student = sizes
    sizes = dict(zip(NAMES, sizes, strict=True))
    pairs = pair_table(halves_table(sizes, **TYPES), "medium", sizes["medium"], student, sizes["large"])
    table = summarise(sizes["medium"], student, pairs, **RULE).set_index(["examples", "quantity", "type"]).sort_index()
    assert table.loc[("all", "mean_change", ""), "n_examples"] == 119
    assert table.loc[("all", "change"), "n_examples"][list(MEMORISED)].sum() == 118
    assert table.loc[("all", "change"), "n_examples"][list(TESTED)].sum() == 118
    taught = transfer(sizes["medium"], student, sizes["large"], pairs, **RULE)
    assert taught.loc[taught["quantity"] == "share_of_examples", "n_examples"].sum() == 118
    assert taught.loc[taught["quantity"] == "share_of_examples", "value"].sum() == pytest.approx(1)


# The stage, on counts on the disk.

SPEC = {"stage": "distillation", "study": "tiny", "method": "distilled-from-large", "teacher": "large", **TYPES, **RULE}
SPEC |= {"teacher_data": "subset", "targets": "teacher", "architectures": NAMES, "students": ["small", "medium"]}
SPEC |= {"pretraining_overlap": {"small": "no", "medium": "no", "large": "unknown"}}
RUNS = {"dataset": {"source": "toy"}, "design": "balanced", "ratio": "7/10", "subset_unit": "example"}
DEFINITION = {"stage": "counts", "seeds": 100, "fingerprint": "f" * 64}
TEACHER = RUNS | {"architecture": {"name": "large"}, "method": "one-hot"}
TEACHING = {"distillation": {"teacher_data": "subset", "targets": "teacher", "temperature": 2}, "teacher": TEACHER}

AROUND = ["student", "parameters", "teacher_data"]  # columns that the stage adds


def write_counts(counts, path, architecture, method, **changes):
    write_npz(path, {field.name: np.asarray(getattr(counts, field.name)) for field in fields(counts)})
    runs = RUNS | {"architecture": {"name": architecture}, "method": method}
    runs |= {key: value for key, value in changes.items() if key not in DEFINITION}
    definition = DEFINITION | {key: value for key, value in changes.items() if key in DEFINITION} | {"runs": runs}
    provenance.write([path], definition, inputs={}, started=provenance.now())
    return path


@pytest.fixture
def inputs(family, distilled, tmp_path):
    """Arguments of the stage after its spec."""
    one_hot = [write_counts(family[name], tmp_path / name / "one-hot.npz", name, "one-hot") for name in NAMES]
    students = {"small": family["small"], "medium": distilled}
    learned = [
        write_counts(counts, tmp_path / name / "distilled.npz", name, SPEC["method"], **TEACHING)
        for name, counts in students.items()
    ]
    return [one_hot, learned, one_hot[-1], tmp_path / "distillation" / "distilled-from-large.parquet"]


def test_the_stage_writes_its_tables(inputs, summary, transferred, pairs):
    output = inputs[-1]
    distillation.run(SPEC, *inputs)
    written = sorted(path.name for path in output.parent.iterdir())
    names = [output.with_suffix(suffix).name for suffix in SUFFIXES]
    assert written == sorted(names + [f"{name}.prov.json" for name in names])
    table = pd.read_parquet(output)
    assert table["student"].tolist() == ["small"] * 480 + ["medium"] * 480
    assert (table["parameters"] == 123).all()
    assert (table["teacher_data"] == "subset").all()
    found = table[table["student"] == "medium"].drop(columns=AROUND).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, pairs, check_dtype=False)
    metadata = json.loads(pq.read_table(output).schema.metadata[b"memflow"])
    assert metadata == {"pretraining_overlap": SPEC["pretraining_overlap"]}
    of_stage = pd.read_csv(output.with_suffix(".summary.csv"), keep_default_na=False, na_values={"value": ""})
    assert of_stage.columns.tolist() == ["student", "parameters", *SUMMARY, "teacher_data"]
    key = ["examples", "quantity", "type"]
    assert np.allclose(
        of_stage[of_stage["student"] == "medium"].set_index(key).sort_index()["value"], summary["value"], equal_nan=True
    )
    of_small = of_stage[(of_stage["student"] == "small") & (of_stage["quantity"] == "mean_change")]
    assert (of_small["value"] == 0).all()  # its distilled counts are its one-hot counts
    taught = pd.read_csv(output.with_suffix(".transfer.csv"))
    assert taught.columns.tolist() == ["student", "parameters", *TRANSFER, "teacher_data"]
    assert np.allclose(taught.loc[taught["student"] == "medium", "value"], transferred["value"], equal_nan=True)


def test_sidecars_name_the_counts_and_what_determines_the_changes(inputs):
    one_hot, learned, teacher, output = inputs
    distillation.run(SPEC, *inputs)
    for suffix in SUFFIXES:
        record = provenance.read(output.with_suffix(suffix))
        sha256 = {str(path): provenance.read(path)["outputs"][path.name] for path in [*one_hot, *learned]}
        assert record["inputs"] == sha256
        merged = [[provenance.read(path)["definition"] for path in paths] for paths in (one_hot, learned, [teacher])]
        expected = SPEC | {"counts": merged[0], "distilled_counts": merged[1], "teacher_counts": merged[2][0]}
        assert record["definition"] == json.loads(json.dumps(expected))


def test_the_same_counts_give_the_same_bytes(inputs, tmp_path):
    distillation.run(SPEC, *inputs)
    distillation.run(SPEC, *inputs[:-1], tmp_path / "again" / inputs[-1].name)
    for suffix in SUFFIXES:
        one, other = inputs[-1].with_suffix(suffix), (tmp_path / "again" / inputs[-1].name).with_suffix(suffix)
        assert one.read_bytes() == other.read_bytes()


def test_without_a_teacher_the_table_of_transfer_has_a_header_only(inputs, family, distilled):
    one_hot, learned, _, output = inputs
    rewrite_as_their_own_teachers(learned, family, distilled)
    distillation.run(SPEC | {"teacher": "self"}, one_hot, learned, None, output)
    header = ",".join(["student", "parameters", *TRANSFER, "teacher_data"])
    assert output.with_suffix(".transfer.csv").read_text() == f"{header}\n"
    assert pd.read_parquet(output)["teacher"].isna().all()
    assert provenance.read(output)["definition"]["teacher_counts"] is None


def rewrite_as_their_own_teachers(learned, family, distilled, **changes):
    """Students that learned from one-hot runs of their own architecture."""
    for path, name, counts in zip(learned, SPEC["students"], (family["small"], distilled), strict=True):
        teacher = TEACHER | {"architecture": {"name": name}} | changes
        write_counts(counts, path, name, SPEC["method"], **TEACHING | {"teacher": teacher})


@pytest.mark.parametrize("student", [0, 1])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"distillation": {"teacher_data": "full", "targets": "teacher"}},
            r"runs\.distillation\.teacher_data is 'full', expected 'subset'$",
        ),
        (
            {"distillation": {"teacher_data": "subset", "targets": "smoothed"}},
            r"runs\.distillation\.targets is 'smoothed', expected 'teacher'$",
        ),
        (
            {"distillation": {"teacher_data": "subset"}},
            r"runs\.distillation\.targets is 'missing', expected 'teacher'$",
        ),
        (
            {"teacher": TEACHER | {"recipe": {"epochs": 3}}},
            r"runs\.teacher\.recipe is {'epochs': 3}, expected 'missing'$",
        ),
        (
            {"teacher": TEACHER | {"architecture": {"name": "other"}}},
            r"runs\.teacher\.architecture\.name is 'other', expected 'large'$",
        ),
        ({"teacher": TEACHER | {"method": "full-data"}}, r"runs\.teacher\.method is 'full-data', expected 'one-hot'$"),
    ],
)
def test_students_of_another_teaching_are_refused_by_file_and_key(inputs, family, student, changes, message):
    one_hot, learned, teacher, output = inputs
    name = SPEC["students"][student]
    write_counts(family[name], learned[student], name, SPEC["method"], **TEACHING | changes)
    with pytest.raises(ProvenanceError, match=rf"^{learned[student]} is not of students of this method: {message}"):
        distillation.run(SPEC, one_hot, learned, teacher, output)
    assert not output.parent.exists()


def test_students_of_other_runs_than_their_one_hot_twins_are_refused_where_these_are_their_teachers(
    inputs, family, distilled
):
    one_hot, learned, _, output = inputs
    rewrite_as_their_own_teachers(learned, family, distilled, code="2")
    with pytest.raises(
        ProvenanceError, match=rf"^{learned[0]} is not of .*: runs\.teacher\.code is '2', expected 'miss"
    ):
        distillation.run(SPEC | {"teacher": "self"}, one_hot, learned, None, output)


def test_of_teachers_that_saw_everything_there_are_no_counts_to_compare(inputs, family, distilled):
    one_hot, learned, _, output = inputs
    teaching = {"distillation": {"teacher_data": "full", "targets": "teacher"}}
    teaching |= {"teacher": TEACHER | {"method": "full-data"}}
    for path, name, counts in zip(learned, SPEC["students"], (family["small"], distilled), strict=True):
        write_counts(counts, path, name, SPEC["method"], **teaching)
    for teacher in ("large", "self"):
        distillation.run(SPEC | {"teacher": teacher, "teacher_data": "full"}, one_hot, learned, None, output)
        assert (pd.read_parquet(output)["teacher_data"] == "full").all()


@pytest.mark.parametrize("which", ["one-hot", "distilled", "teacher"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "e" * 64}, "fingerprint is 'eeee"),
        ({"seeds": 200}, "seeds is 200, expected 100"),
        ({"design": "iid"}, "design is 'iid', expected 'balanced'"),
        ({"ratio": "4/5"}, "ratio is '4/5', expected '7/10'"),
        ({"subset_unit": "group"}, "subset_unit is 'group', expected 'example'"),
        ({"method": "other"}, "method is 'other', expected '(one-hot|distilled-from-large)'"),
        ({"dataset": {"source": "other"}}, "dataset.source is 'other', expected 'toy'"),
    ],
)
def test_counts_of_other_subsets_are_refused_by_file_and_key(inputs, family, which, changes, message, tmp_path):
    one_hot, learned, teacher, output = inputs
    path = {"one-hot": one_hot[1], "distilled": learned[1], "teacher": tmp_path / "teacher" / "one-hot.npz"}[which]
    method = {"method": SPEC["method"] if which == "distilled" else "one-hot"}
    write_counts(family["medium"], path, "medium", **method | changes)
    teacher = path if which == "teacher" else teacher
    with pytest.raises(ProvenanceError, match=rf"{path} does not share the family's subsets: .*{message}"):
        distillation.run(SPEC, one_hot, learned, teacher, output)
    assert not output.parent.exists()


def test_students_in_another_order_than_the_specs_are_refused(inputs):
    one_hot, learned, teacher, output = inputs
    with pytest.raises(
        ProvenanceError, match=r"medium/distilled\.npz is not of the architecture of .*small/one-hot\.npz"
    ):
        distillation.run(SPEC, one_hot, learned[::-1], teacher, output)


@pytest.mark.parametrize("groups", [2, 3])
def test_fewer_than_two_groups_per_half_are_refused(simulate_family, tmp_path, groups):
    sizes = simulate_family(planted(5), groups=groups)
    one_hot = [write_counts(c, tmp_path / n / "one-hot.npz", n, "one-hot") for n, c in zip(NAMES, sizes, strict=True)]
    learned = [write_counts(sizes[1], tmp_path / "medium" / "distilled.npz", "medium", SPEC["method"], **TEACHING)]
    with pytest.raises(InputError, match=rf"has {groups} groups of runs; distillation needs four: raise `seeds`"):
        distillation.run(SPEC | {"students": ["medium"]}, one_hot, learned, None, tmp_path / "out" / "d.parquet")
