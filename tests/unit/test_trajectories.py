import json
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import false_discovery_control

from memflow import counts, provenance, trajectories
from memflow.files import write_npz
from memflow.provenance import ProvenanceError
from memflow.statistics.paired import paired_tests
from memflow.statistics.trajectory_types import DESCRIPTIVE, TESTED, classify, critical_p_value, describe
from memflow.trajectories import IDENTITY

RULE = {"tau": 0.15, "fdr": 0.05, "confidence": 0.95}
NAMES = ["small", "medium", "large"]
LEVELS = np.repeat([0.0, 0.1, 0.3, 0.5, 0.9], 60)
SUFFIXES = (".parquet", ".halves.parquet", ".summary.csv", ".curves.csv", ".power.csv")


def named(sizes):
    return dict(zip(NAMES, sizes, strict=True))


def flat(scores):
    return np.tile(scores, (len(NAMES), 1))


def planted(each=40):
    """Clear cases: rises, falls, caps and flat ones, in this order."""
    paths = np.array([[0.05, 0.5, 0.95], [0.95, 0.5, 0.05], [0.05, 0.95, 0.05], [0.0, 0.0, 0.0]]).T
    return np.repeat(paths, each, axis=1)


KINDS = np.repeat(["increasing", "decreasing", "cap-shaped", "constant"], 40)


@pytest.fixture(scope="module")
def sizes(simulate_family):
    return named(simulate_family(planted(), seed=1))


@pytest.fixture(scope="module")
def table(sizes):
    return trajectories.example_table(sizes, **RULE)


def never_held_out(sizes, examples, of="medium"):
    """The same counts with examples that one size never held out."""
    size = sizes[of]
    n_out, correct_out = size.n_out.copy(), size.correct_out.copy()
    n_out[:, examples] = correct_out[:, examples] = 0
    return sizes | {of: replace(size, n_out=n_out, correct_out=correct_out)}


# The table of examples.


def test_clear_cases_have_their_types_and_labels(table):
    assert (table["type"] == KINDS).mean() > 0.97  # K = 100; some rises are caps by chance, at the middle size
    assert (table["descriptive"] == KINDS).mean() > 0.97


def test_an_example_table_has_a_row_per_example_in_official_order(sizes):
    shifted = {name: replace(size, index=size.index * 2 + 5) for name, size in sizes.items()}
    table = trajectories.example_table(shifted, **RULE)
    tests = ["type", "descriptive", "delta", "p_value", "q_value", "q_value_by"]
    assert table.columns.tolist() == [*IDENTITY, *tests, *NAMES]
    for name in IDENTITY:
        assert np.array_equal(table[name], getattr(shifted["small"], name))
    for name in NAMES:
        assert np.array_equal(table[name], sizes[name].scores())
    assert np.allclose(table["delta"], table["large"] - table["small"])


def test_q_values_are_those_of_the_testable_p_values(table, sizes):
    tests = paired_tests(list(sizes.values()), RULE["tau"], RULE["confidence"])
    assert 0 < tests.testable.sum() < len(table)
    part = table[tests.testable]
    assert np.array_equal(part["p_value"], tests.p_value[tests.testable])
    assert np.allclose(part["q_value"], false_discovery_control(part["p_value"]))
    assert np.allclose(part["q_value_by"], false_discovery_control(part["p_value"], method="by"))
    assert (part["q_value"] <= part["q_value_by"]).all()
    assert table.loc[~tests.testable, ["p_value", "q_value", "q_value_by"]].isna().all(axis=None)
    assert table.loc[~tests.testable, ["type", "delta"]].notna().all(axis=None)


def test_a_type_that_changes_is_significant_and_beyond_tau(simulate_family):
    table = trajectories.example_table(named(simulate_family(np.random.default_rng(0).random((3, 300)))), **RULE)
    change = table["type"].isin(["increasing", "decreasing", "cap-shaped"])
    assert 30 < change.sum() < 290
    assert table.loc[change, "q_value"].max() <= RULE["fdr"]
    trend = table[change & (table["type"] != "cap-shaped")]
    assert (trend["delta"].abs() > RULE["tau"]).all()
    assert ((trend["delta"] > 0) == (trend["type"] == "increasing")).all()


def test_examples_that_cannot_change_leave_the_others_as_they_are(sizes, table):
    testable = table["p_value"].notna().to_numpy()
    alone = trajectories.example_table({name: size.select(testable) for name, size in sizes.items()}, **RULE)
    pd.testing.assert_frame_equal(alone, table[testable].reset_index(drop=True))


def test_an_example_without_a_score_at_some_size_has_scores_elsewhere_and_nothing_else(sizes):
    lost = [0, 50, 159]
    table = trajectories.example_table(never_held_out(sizes, lost), **RULE)
    assert table.loc[lost, ["type", "descriptive", "delta", "p_value", "q_value", "medium"]].isna().all(axis=None)
    assert table.loc[lost, ["small", "large"]].notna().all(axis=None)
    rest = np.delete(np.arange(len(table)), lost)
    assert table.loc[rest, ["type", "descriptive", "delta"]].notna().all(axis=None)
    alone = trajectories.example_table({name: size.select(rest) for name, size in sizes.items()}, **RULE)
    pd.testing.assert_frame_equal(table.loc[rest].reset_index(drop=True), alone)


def test_the_order_of_the_examples_does_not_matter_for_clear_cases(sizes, table):
    order = np.random.default_rng(0).permutation(len(table))
    permuted = trajectories.example_table({name: size.select(order) for name, size in sizes.items()}, **RULE)
    pd.testing.assert_frame_equal(permuted, table.loc[order].reset_index(drop=True))


# Selection and measurement.


def test_halves_hold_types_of_one_half_and_scores_of_the_other(sizes):
    halves = trajectories.halves_table(sizes, **RULE)
    identity = ["selected_on", *IDENTITY, "type", "descriptive"]
    assert halves.columns.tolist() == identity + NAMES
    for selected_on, selecting, measuring in (("even", 0, 1), ("odd", 1, 0)):
        part = halves[halves["selected_on"] == selected_on].reset_index(drop=True)
        own = trajectories.example_table({name: size.halves()[selecting] for name, size in sizes.items()}, **RULE)
        pd.testing.assert_frame_equal(part[identity[1:]], own[identity[1:]])
        for name, size in sizes.items():
            used = np.arange(10) % 2 == measuring
            expected = size.correct_in[used].sum(axis=0) / 35 - size.correct_out[used].sum(axis=0) / 15
            assert np.allclose(part[name], expected)


def curve(curves, basis, kind):
    return curves.query("basis == @basis and type == @kind").set_index("architecture")


def test_a_mean_curve_is_the_mean_of_the_halves(sizes):
    halves = trajectories.halves_table(sizes, **RULE)
    curves = trajectories.mean_curves(sizes, halves, 0.95)
    assert curves.columns.tolist() == [
        "basis",
        "type",
        "architecture",
        "parameters",
        "value",
        "low",
        "high",
        "n_examples",
    ]
    for (basis, kind), rows in curves.groupby(["basis", "type"]):
        parts = [part[part[basis] == kind] for _, part in halves.groupby("selected_on")]
        assert rows["architecture"].tolist() == NAMES
        assert np.allclose(rows["value"], np.mean([part[NAMES].mean() for part in parts], axis=0))
        assert (rows["n_examples"] == np.mean([len(part) for part in parts])).all()
    assert (curves["low"] <= curves["value"]).all()
    assert (curves["value"] <= curves["high"]).all()
    assert set(curves.loc[curves["basis"] == "descriptive", "type"]) >= {"constant", "increasing", "decreasing"}


def test_a_type_that_one_half_does_not_have_has_no_curve(sizes):
    halves = trajectories.halves_table(sizes, **RULE)
    halves.loc[(halves["selected_on"] == "odd") & (halves["type"] == "increasing"), "type"] = "constant"
    curves = trajectories.mean_curves(sizes, halves, 0.95)
    assert len(curve(curves, "type", "increasing")) == 0
    assert len(curve(curves, "descriptive", "increasing")) == len(NAMES)


@pytest.mark.parametrize(("groups", "n"), [(10, 600), (40, 2000)])  # K = 100 and 400
def test_noise_makes_curves_on_the_runs_that_selected_and_none_on_the_others(simulate_family, groups, n):
    # Nothing changes; at .5 noise is worst.
    sizes = named(simulate_family(flat(np.full(n, 0.5)), groups=groups, seed=2))
    table = trajectories.example_table(sizes, **RULE)
    curves = trajectories.mean_curves(sizes, trajectories.halves_table(sizes, **RULE), 0.95)
    second = named(simulate_family(flat(np.full(n, 0.5)), groups=groups, seed=3))
    for kind, sign in (("increasing", 1), ("decreasing", -1)):
        selected = (table["descriptive"] == kind).to_numpy()
        naive = sign * table.loc[selected, "delta"].mean()
        again = sign * (second["large"].scores() - second["small"].scores())[selected].mean()
        found = curve(curves, "descriptive", kind)
        measured = sign * (found.loc["large", "value"] - found.loc["small", "value"])
        print(f"\nK = {10 * groups}, {kind}: {naive:.3f} where selected, {again:.3f} again, {measured:.3f} by halves")
        # A difference of two sizes has a variance of 2 x .25 / (.3 K) per example; four standard errors of a mean,
        # in the halves of half as many runs each, whose mean it is.
        variance = 0.5 / (3 * groups)
        assert 5 < selected.sum() < n / 4
        assert abs(again) < 4 * (variance / selected.sum()) ** 0.5
        assert abs(measured) < 4 * (variance / found["n_examples"].iloc[0]) ** 0.5
        assert naive > RULE["tau"]
        assert abs(measured) < naive / 2
        assert (found["high"] - found["low"]).max() < naive  # what is shown is not just a wide interval
    constant = curve(curves, "descriptive", "constant")
    assert abs(constant["value"] - 0.5).max() < 0.01


def test_intervals_of_mean_curves_hold_the_true_means(simulate_family):
    scores = np.concatenate([flat(np.repeat([0.1, 0.3, 0.5], 30)), planted(10)[:, :20]], axis=1)
    held, widths = [], []
    for study in range(16):
        sizes = named(simulate_family(scores, seed=100 + study))
        halves = trajectories.halves_table(sizes, **RULE)
        curves = trajectories.mean_curves(sizes, halves, 0.95)
        for kind in ("constant", "increasing", "other"):
            found = curve(curves, "descriptive", kind)
            selected = [(part["descriptive"] == kind).to_numpy() for _, part in halves.groupby("selected_on")]
            truth = np.mean([scores[:, where].mean(axis=1) for where in selected], axis=0)
            held += ((found["low"] <= truth) & (truth <= found["high"])).tolist()
            widths += (found["high"] - found["low"]).tolist()
    print(f"\nmean curves: {np.mean(held):.3f} of {len(held)} intervals hold the truth")
    # 16 studies, 3 sizes and 3 types, all independent of each other: four binomial errors of 95 %.
    assert len(held) == 144
    assert abs(np.mean(held) - 0.95) < 4 * (0.95 * 0.05 / 144) ** 0.5
    assert min(widths) > 0


# Shares and changes.


def summary_of(sizes, **changes):
    table = trajectories.summarise(sizes, **RULE, memorised_at=0.25, **changes)
    return table.set_index(["examples", "quantity", "type"])


def test_shares_of_planted_types_are_recovered_for_clean_and_flipped_labels(simulate_family):
    # Rises are flipped, all others clean: labels are flipped at every fifth position.
    order = np.empty(200, dtype=int)
    order[np.arange(200) % 5 == 4] = np.arange(40)
    order[np.arange(200) % 5 != 4] = np.arange(40, 200)
    scores = np.concatenate([planted(), flat(np.zeros(40))], axis=1)[:, order]
    sizes = named(simulate_family(scores, seed=4))
    summary = summary_of(sizes)
    assert set(summary.index.get_level_values("examples")) == {"all", "clean label", "flipped label"}
    expected = {
        "all": {"increasing": 0.2, "decreasing": 0.2, "cap-shaped": 0.2, "constant": 0.4},
        "clean label": {"increasing": 0.0, "decreasing": 0.25, "cap-shaped": 0.25, "constant": 0.5},
        "flipped label": {"increasing": 1.0, "decreasing": 0.0, "cap-shaped": 0.0, "constant": 0.0},
    }
    for examples, shares in expected.items():
        for kind, share in shares.items():
            for quantity in ("share", "share_descriptive"):
                assert summary.loc[(examples, quantity, kind), "value"] == pytest.approx(share, abs=0.03)
    assert summary.groupby("examples")["n_examples"].first().to_dict() == {
        "all": 200,
        "clean label": 160,
        "flipped label": 40,
    }


def test_a_summary_has_every_quantity_once_and_shares_add_up(sizes):
    summary = summary_of(sizes).sort_index()
    keys = [("share", kind) for kind in TESTED] + [("share_descriptive", kind) for kind in DESCRIPTIVE]
    keys += [("memorised_change", ""), ("mean_change", "")]
    populations = ("all", "clean label", "flipped label")
    assert sorted(summary.index) == sorted((examples, *key) for examples in populations for key in keys)
    for examples in populations:
        for quantity in ("share", "share_descriptive"):
            assert summary.loc[(examples, quantity), "value"].sum() == pytest.approx(1)
    assert (summary["low"] <= summary["value"]).all()
    assert (summary["value"] <= summary["high"]).all()


def test_shares_and_changes_are_those_of_the_table_of_examples(sizes, table):
    summary = summary_of(sizes)
    parts = {"all": table, "clean label": table[~table["label_noise"]], "flipped label": table[table["label_noise"]]}
    for examples, part in parts.items():
        for kind in TESTED:
            assert summary.loc[(examples, "share", kind), "value"] == pytest.approx((part["type"] == kind).mean())
        for kind in DESCRIPTIVE:
            share = (part["descriptive"] == kind).mean()
            assert summary.loc[(examples, "share_descriptive", kind), "value"] == pytest.approx(share)
        gained = (part["large"] >= 0.25 - 1e-9).sum() - (part["small"] >= 0.25 - 1e-9).sum()
        assert summary.loc[(examples, "memorised_change", ""), "value"] == gained
        mean = part["delta"].mean()
        assert summary.loc[(examples, "mean_change", ""), "value"] == pytest.approx(mean)
    assert summary.loc[("flipped label", "share", "increasing"), "value"] > 0


def test_the_interval_of_a_share_leaves_out_one_group_at_a_time(simulate_family):
    sizes = named(simulate_family(np.random.default_rng(0).random((3, 150))))
    # Anew, with every group left out in turn.
    shares = []
    for left_out in range(10):
        tests = paired_tests([size.only(np.arange(10) != left_out) for size in sizes.values()], 0.15, 0.95)
        shares.append((classify(tests, 0.15, critical_p_value(tests, 0.05)) == "undetermined").mean())
    margin = 2.262 * (9 * np.var(shares)) ** 0.5  # Student's t with 9 degrees of freedom
    assert margin > 0
    row = summary_of(sizes).loc[("all", "share", "undetermined")]
    assert row["high"] - row["value"] == pytest.approx(margin, rel=1e-3)


@pytest.mark.parametrize(("groups", "studies"), [(10, 20), (40, 15)])  # left out one by one, and two at a time
def test_intervals_of_shares_hold_the_expected_shares(simulate_family, groups, studies):
    # All shares vary from study to study; one of 0 or 1 in most studies has an interval of no width there.
    levels, rise = {10: ([0.005, 0.1, 0.4], [0.1, 0.3, 0.5]), 40: ([0.1, 0.2, 0.5], [0.1, 0.2, 0.3])}[groups]
    scores = np.concatenate([flat(np.repeat(levels, 40)), np.tile(np.array(rise)[:, None], 60)], axis=1)
    quantities = [("share", kind) for kind in ("constant", "increasing", "undetermined")]
    quantities += [("share_descriptive", kind) for kind in ("constant", "increasing", "other")]
    quantities += [("mean_change", "")]
    rows = []
    for study in range(studies):
        summary = summary_of(named(simulate_family(scores, groups=groups, seed=200 + study))).loc["all"]
        rows.append(summary.loc[quantities, ["value", "low", "high"]].to_numpy())
    value, low, high = np.moveaxis(rows, 2, 0)
    expected, spread, margin = value.mean(axis=0), value.std(axis=0, ddof=1), (high - low).mean(axis=0) / 2
    held = ((low <= expected) & (expected <= high)).mean(axis=0)
    for key, *of_key in zip(quantities, held, margin / spread, strict=True):
        print(f"\nK = {10 * groups}, {' '.join(key)}: {of_key[0]:.2f} held, half-width of {of_key[1]:.1f} deviations")
    # The jackknife of a threshold errs on the wide side, not on the other; four binomial errors of 95 %.
    assert (held >= 0.95 - 4 * (0.95 * 0.05 / studies) ** 0.5).all()
    assert held.mean() > 0.93
    # And not without bound. Student's t is 2.3 of them, the spread itself is known to a sixth.
    assert (margin / spread < 9).all()
    assert margin[-1] / spread[-1] == pytest.approx(2.2, abs=1)  # the mean, which has no threshold


def test_a_change_of_the_mean_is_paired(simulate_family, sizes):
    # Sizes whose runs err alike differ by less than their own uncertainty.
    alike = dict.fromkeys(NAMES, simulate_family(flat(LEVELS))[0])
    row = summary_of(alike).loc[("all", "mean_change", "")]
    assert row[["value", "low", "high"]].tolist() == [0, 0, 0]
    row = summary_of(named(simulate_family(flat(LEVELS)))).loc[("all", "mean_change", "")]
    assert row["low"] < 0 < row["high"]


def test_only_examples_with_a_score_at_every_size_are_summarised(sizes):
    scored = trajectories.scored_everywhere(never_held_out(sizes, [0, 50, 159]))
    assert [size.n_examples for size in scored.values()] == [157] * 3
    assert np.array_equal(scored["small"].index, np.delete(np.arange(160), [0, 50, 159]))


# The stage, on counts on the disk.

OVERLAP = {"small": "no", "medium": "no", "large": "unknown"}
SPEC = {"stage": "trajectories", "study": "tiny", "architectures": NAMES, "pretraining_overlap": OVERLAP}
SPEC |= {**RULE, "memorised_at": 0.25}
RUNS = {
    "dataset": {"source": "toy"},
    "method": "one-hot",
    "design": "balanced",
    "ratio": "7/10",
    "subset_unit": "example",
}
DEFINITION = {"stage": "counts", "seeds": 100, "runs": RUNS, "fingerprint": "f" * 64}


def write_counts(sizes, folder, **changes):
    """Counts files with sidecars; changes are made to the definition of the last size."""
    paths = []
    for name, size in sizes.items():
        path = folder / name / "one-hot.npz"
        write_npz(path, {field.name: np.asarray(getattr(size, field.name)) for field in fields(size)})
        definition = DEFINITION | {"runs": RUNS | {"architecture": {"name": name}, "learner": name}}
        if name == NAMES[-1]:
            of_runs = {key: value for key, value in changes.items() if key in RUNS}
            definition |= {key: value for key, value in changes.items() if key not in RUNS}
            definition["runs"] = definition["runs"] | of_runs
        provenance.write([path], definition, inputs={}, started=provenance.now())
        paths.append(path)
    return paths


def output_of(sizes, folder, **changes):
    output = folder / "trajectories" / "one-hot.parquet"
    trajectories.run(SPEC, write_counts(sizes, folder, **changes), output)
    return output


def test_the_stage_writes_its_tables(sizes, table, tmp_path):
    output = output_of(sizes, tmp_path)
    written = sorted(path.name for path in output.parent.iterdir())
    names = [output.with_suffix(suffix).name for suffix in SUFFIXES]
    assert written == sorted(names + [f"{name}.prov.json" for name in names])
    pd.testing.assert_frame_equal(pd.read_parquet(output), table, check_dtype=False)
    halves = trajectories.halves_table(sizes, **RULE)
    pd.testing.assert_frame_equal(pd.read_parquet(output.with_suffix(".halves.parquet")), halves, check_dtype=False)
    summary = pd.read_csv(output.with_suffix(".summary.csv"), keep_default_na=False)
    assert summary.columns.tolist() == ["examples", "quantity", "type", "value", "low", "high", "n_examples"]
    curves = pd.read_csv(output.with_suffix(".curves.csv"))
    assert np.allclose(curves["value"], trajectories.mean_curves(sizes, halves, 0.95)["value"])
    power = pd.read_csv(output.with_suffix(".power.csv"))
    assert set(power["planted"]) == {"increasing", "cap-shaped", "constant"}


def test_sidecars_name_the_counts_and_what_determines_the_types(sizes, tmp_path):
    output = output_of(sizes, tmp_path)
    paths = [tmp_path / name / "one-hot.npz" for name in NAMES]
    for suffix in SUFFIXES:
        record = provenance.read(output.with_suffix(suffix))
        assert record["inputs"] == {str(path): provenance.read(path)["outputs"][path.name] for path in paths}
        definitions = [provenance.read(path)["definition"] for path in paths]
        assert record["definition"] == json.loads(json.dumps(SPEC | {"counts": definitions}))


def test_the_same_counts_give_the_same_bytes(sizes, tmp_path):
    one, other = output_of(sizes, tmp_path / "a"), output_of(sizes, tmp_path / "b")
    for suffix in SUFFIXES:
        assert one.with_suffix(suffix).read_bytes() == other.with_suffix(suffix).read_bytes(), suffix


def test_an_example_without_a_score_is_a_null_in_the_files_and_in_no_share(simulate_family, tmp_path):
    # The iid design, where chance holds out: three examples never, at any size, since all share their subsets.
    sizes = named(simulate_family(planted(10), groups=20, ratio=(1, 2), seed=5))
    for name in NAMES:
        sizes = never_held_out(sizes, [3, 14, 30], of=name)
    output = output_of(sizes, tmp_path)
    table = pq.read_table(output)
    for name in ("type", "descriptive", "delta", "p_value", *NAMES):
        assert table[name].take([3, 14, 30]).to_pylist() == [None] * 3, name
    assert table["type"].null_count == 3
    assert json.loads(table.schema.metadata[b"memflow"]) == {"pretraining_overlap": OVERLAP}
    summary = pd.read_csv(output.with_suffix(".summary.csv"))
    assert summary.query("examples == 'all'")["n_examples"].unique().tolist() == [37]
    for suffix, column in ((".summary.csv", "value"), (".curves.csv", "value"), (".power.csv", "recognised")):
        assert pd.read_csv(output.with_suffix(suffix))[column].notna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "e" * 64}, "fingerprint is 'eeee"),
        ({"seeds": 200}, "seeds is 200, expected 100"),
        ({"design": "iid"}, "design is 'iid', expected 'balanced'"),
        ({"ratio": "4/5"}, "ratio is '4/5', expected '7/10'"),
        ({"subset_unit": "group"}, "subset_unit is 'group', expected 'example'"),
        ({"method": "distilled"}, "method is 'distilled', expected 'one-hot'"),
        ({"dataset": {"source": "other"}}, "dataset.source is 'other', expected 'toy'"),
    ],
)
def test_counts_of_other_subsets_are_refused_by_file_and_key(sizes, tmp_path, changes, message):
    with pytest.raises(ProvenanceError, match=rf"large/one-hot\.npz does not share the family's subsets: .*{message}"):
        output_of(sizes, tmp_path, **changes)
    assert not (tmp_path / "trajectories").exists()


def test_counts_changed_after_they_were_merged_are_refused(sizes, tmp_path):
    paths = write_counts(sizes, tmp_path)
    paths[1].write_bytes(paths[1].read_bytes() + b"x")
    with pytest.raises(ProvenanceError, match=r"medium/one-hot\.npz is not the file"):
        trajectories.run(SPEC, paths, tmp_path / "out" / "one-hot.parquet")


def test_columns_follow_the_family_and_not_the_files(sizes, tmp_path):
    # The same counts from the largest to the smallest size: what increased decreases.
    mirrored = dict(zip(NAMES, list(sizes.values())[::-1], strict=True))
    table = pd.read_parquet(output_of(mirrored, tmp_path))
    assert np.array_equal(table["small"], sizes["large"].scores())
    assert (table.loc[:39, "type"] == "decreasing").mean() > 0.97


def test_written_counts_are_what_the_stage_reads(sizes, tmp_path):
    path = write_counts(sizes, tmp_path)[0]
    assert np.array_equal(counts.load(path).scores(), sizes["small"].scores())
    assert set(describe(np.stack([size.scores() for size in sizes.values()]), 0.15)) >= {"constant", "increasing"}
