import functools
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_helpers import NO_FAMILIES, SIZES, STUDY, collisions, drawn_texts, grid, legend_texts, outside, select
from helpers import tiny_config
from matplotlib.collections import FillBetweenPolyCollection, LineCollection, PathCollection
from matplotlib.colors import to_hex
from scipy.stats import pearsonr

from memflow import provenance
from memflow.config import Study
from memflow.figures import artificial_vs_natural, style, train_test_gap
from memflow.files import sha256, write_csv

pytestmark = pytest.mark.usefixtures("figure_style")

PROJECT = Path(__file__).resolve().parents[2]
MODULES = {"train_test_gap": train_test_gap, "artificial_vs_natural": artificial_vs_natural}
EPOCHS = (2, 4, 12)
CLEAN = {"all": 200}
FLIPPED = {"all": 200, "clean label": 190, "flipped label": 10}
ARTIFICIAL = {"all": 200, "clean label": 184, "flipped label": 10, "noise image": 6}
LEVELS = {"all": 0.15, "clean label": 0.08, "flipped label": 0.6, "noise image": 0.4}


def epochs_table(examples=ARTIFICIAL, sizes=SIZES, epochs=EPOCHS):
    """Rows of the stage epochs, in which numbers differ and the mean score is in- minus out-of-sample accuracy."""
    rows = []
    for number, (architecture, parameters) in enumerate(sizes.items()):
        for epoch in epochs[:1] if parameters == 0 else epochs:
            share = (0.4 + 0.6 * epoch / max(epochs)) * 0.95**number
            acc_in = dict.fromkeys(examples, 0.99 * share)
            score = {name: LEVELS[name] * share for name in examples}
            kinds = {
                "memorisation": score,
                "memorised": {name: 0.9 * value + 0.01 for name, value in score.items()},
                "acc_in": acc_in,
                "acc_out": {name: acc_in[name] - value for name, value in score.items()},
            }
            keys = [(name, quantity, values[name]) for quantity, values in kinds.items() for name in examples]
            for name, quantity, value in [*keys, ("all", "acc_test", acc_in["all"] - 0.8 * score["all"] - 0.01)]:
                row = {"architecture": architecture, "examples": name, "quantity": quantity, "epoch": epoch}
                row |= {"value": value, "low": value - 0.02, "high": value + 0.03, "se": 0.01, "df": 9}
                rows.append(row | {"n_examples": examples[name], "parameters": parameters, "runs": 20})
    peaks = [rows[0] | {"quantity": "rise", "epoch": 7.5}, rows[0] | {"quantity": "transient_share", "value": np.nan}]
    return pd.DataFrame(rows + peaks).assign(runs_not_converged=1, pretraining_overlap="no")


def summary_table(examples=ARTIFICIAL, sizes=SIZES, epochs=EPOCHS):
    """The last epoch as the summary of the scores has it: numbers of memorised examples, and its own intervals."""
    given = epochs_table(examples, sizes, epochs)
    last = given[given["epoch"] == given.groupby("architecture")["epoch"].transform("max")].copy()
    scale = last["n_examples"].where(last["quantity"] == "memorised", 1)
    last[["value", "low", "high"]] = last[["value", "low", "high"]].mul(scale, axis=0)
    return last[~last["quantity"].isin(["rise", "transient_share"])].drop(columns=["epoch", "se", "df"])


def tables(examples=ARTIFICIAL, sizes=SIZES, epochs=EPOCHS):
    return {"summary": summary_table(examples, sizes, epochs), "epochs": epochs_table(examples, sizes, epochs)}


@functools.cache
def drawn(name):
    return make(name)


def make(name, given=None, study=STUDY):
    spec = study.figure_spec(name, "digits")
    numbers = MODULES[name].table(spec, given or tables())
    return numbers, MODULES[name].draw(spec, numbers)


def check_layout(figure):
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []
    assert figure.get_figwidth() == style.ONE_COLUMN


# --- train_test_gap --------------------------------------------------------------------------------------------------

PANELS = [("memorisation", "held_out"), ("memorisation", "test"), ("memorised", "held_out"), ("memorised", "test")]


def scattered(axes):
    """Points of some axes: x, y, colour of the edge, and whether they are filled."""
    found = []
    for marks in axes.collections:
        if isinstance(marks, PathCollection):
            (edge,) = marks.get_edgecolors()
            filled = [to_hex(face) != "#ffffff" for face in marks.get_facecolors()]
            places = np.round(marks.get_offsets(), 9)
            found += [(x, y, to_hex(edge), full) for (x, y), full in zip(places, filled, strict=True)]
    return found


def test_every_architecture_and_epoch_is_a_point_and_its_last_epoch_is_filled():
    numbers, figure = drawn("train_test_gap")
    points = numbers[numbers["statistic"] == "point"]
    families = {"MLPs": train_test_gap.COLOURS[0], "All networks": train_test_gap.COLOURS[1], "reference": "0.4"}
    for axes, (quantity, against) in zip(figure.axes, PANELS, strict=True):
        rows = select(points, quantity=quantity, against=against)
        scale = 100 if quantity == "memorised" else 1
        last = rows["epoch"] == rows.groupby("architecture")["epoch"].transform("max")
        colours = [to_hex(families[family]) for family in rows["family"]]
        expected = zip(rows["gap"].round(9), (scale * rows["value"]).round(9), colours, last, strict=True)
        assert sorted(scattered(axes)) == sorted(expected)
        assert len(rows) == 3 * (2 + 3) + 1  # epochs of the families' members, and the neighbour's only one


def test_every_interval_of_the_points_is_drawn():
    numbers, figure = drawn("train_test_gap")
    for axes, (quantity, against) in zip(figure.axes, PANELS, strict=True):
        rows = select(numbers, quantity=quantity, against=against, statistic="point")
        scale = 100 if quantity == "memorised" else 1
        ends = [
            line for marks in axes.collections if isinstance(marks, LineCollection) for line in marks.get_segments()
        ]
        expected = np.column_stack([rows["gap"], scale * rows["low"], rows["gap"], scale * rows["high"]])
        assert sorted(np.round(ends, 9).reshape(-1, 4).tolist()) == sorted(expected.round(9).tolist())


def test_the_gaps_are_those_of_all_examples_in_sample_to_held_out_and_to_test_examples():
    numbers, _ = drawn("train_test_gap")
    given = epochs_table().query("examples == 'all'").set_index(["architecture", "epoch", "quantity"])["value"]
    given = given.sort_index()
    for row in numbers[numbers["statistic"] == "point"].to_dict("records"):
        other = {"held_out": "acc_out", "test": "acc_test"}[row["against"]]
        of = given[row["architecture"], row["epoch"]]
        assert np.isclose(row["gap"], of["acc_in"] - of[other])
        assert row["value"] == of[row["quantity"]]


def test_the_identity_is_drawn_and_the_points_against_held_out_examples_lie_on_it():
    numbers, figure = drawn("train_test_gap")
    rows = select(numbers, quantity="memorisation", against="held_out", statistic="point")
    assert np.allclose(rows["gap"], rows["value"])
    sloped = [[line for line in axes.lines if getattr(line, "get_slope", lambda: None)() == 1] for axes in figure.axes]
    assert [len(lines) for lines in sloped] == [1, 1, 0, 0]
    assert "memorisation = gap" in legend_texts(figure)
    correlation = select(numbers, quantity="memorisation", against="held_out", statistic="pearson")
    assert np.allclose(correlation[["value", "low", "high"]], 1)


def test_correlations_are_over_each_network_once_and_written_above_the_panels():
    numbers, figure = drawn("train_test_gap")
    points = numbers[(numbers["statistic"] == "point") & (numbers["family"] == "All networks")]  # has all networks
    for axes, (quantity, against) in zip(figure.axes, PANELS, strict=True):
        of = select(points, quantity=quantity, against=against)
        expected = pearsonr(of["gap"], of["value"])
        limits = expected.confidence_interval(0.95)
        (found,) = select(numbers, quantity=quantity, against=against, statistic="pearson").to_dict("records")
        assert found["n_points"] == len(of) == 9
        assert np.allclose([found["value"], found["low"], found["high"]], [expected.statistic, *limits])
        assert axes.get_title() == f"r = {found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]\n9 points"


def test_fishers_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(0)
    x, noise = random.standard_normal((2, 2000, 12))
    limits = np.array([train_test_gap.pearson(*pair, 0.9) for pair in zip(x, 0.6 * x + 0.8 * noise, strict=True)])
    covered = np.mean((limits[:, 1] < 0.6) & (limits[:, 2] > 0.6))
    assert abs(covered - 0.9) < 4 * (0.9 * 0.1 / 2000) ** 0.5


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([], [], [np.nan] * 3),
        ([1], [2], [np.nan] * 3),
        ([1, 1, 1, 1], [1, 2, 3, 4], [np.nan] * 3),
        ([1, 2, 3], [3, 2, 1], [-1, np.nan, np.nan]),
        ([1, 2, 3, 4], [1, 2, 3, 4], [1, 1, 1]),
    ],
)
def test_a_correlation_that_cannot_be_is_nan(x, y, expected):
    found = train_test_gap.pearson(np.array(x, dtype=float), np.array(y, dtype=float), 0.95)
    assert np.allclose(found, expected, equal_nan=True)


def test_one_epoch_of_one_network_has_no_correlation():
    study = Study(tiny_config(architectures={"mlp": {"model": "mlp", "hidden": [8], "recipe": "short"}}))
    numbers, figure = make("train_test_gap", tables(CLEAN, {"mlp": 100}, (12,)), study)
    assert [axes.get_title() for axes in figure.axes] == ["no correlation\n1 point"] * 4
    assert len(numbers) == 8
    check_layout(figure)


def test_the_legend_names_families_references_and_marks():
    _, figure = drawn("train_test_gap")
    assert legend_texts(figure) == ["MLPs", "All networks", "neighbour", "last epoch", "earlier", "memorisation = gap"]
    spec = STUDY.figure_spec("train_test_gap", "digits")
    spec["pretraining_overlap"]["resnet"] = "unknown"
    figure = train_test_gap.draw(spec, train_test_gap.table(spec, tables()))
    assert legend_texts(figure)[1].startswith("All networks\npretrained; held-out images seen:")
    check_layout(figure)


# --- artificial_vs_natural -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("examples", [ARTIFICIAL, FLIPPED])
def test_every_number_of_natural_and_artificial_examples_is_drawn_with_its_interval(examples):
    numbers, figure = make("artificial_vs_natural", tables(examples))
    kinds = [name for name in examples if name != "all"]
    assert len(numbers) == 2 * len(kinds) * (2 + 3 + 2 * 3)  # members of two families, and epochs of two largest ones
    quantities = [("memorised", 100), ("memorisation", 1)]
    panels = grid(figure)
    rows_of = [(family, *quantity) for family in ("MLPs", "All networks") for quantity in quantities]
    for row, (family, quantity, scale) in zip(panels, rows_of, strict=True):
        for axes, along in zip(row, ("size", "epoch"), strict=True):
            lines = {to_hex(line.get_color()): line for line in axes.lines if len(line.get_xdata())}
            bands = [band for band in axes.collections if isinstance(band, FillBetweenPolyCollection)]
            corners = {to_hex(band.get_facecolor()[0]): band.get_paths()[0].vertices for band in bands}
            assert len(lines) == len(corners) == len(kinds)
            for name in kinds:
                of = select(numbers, family=family, along=along, quantity=quantity, examples=name)
                of = of.sort_values({"size": "parameters", "epoch": "epoch"}[along])
                x, colour = of[{"size": "parameters", "epoch": "epoch"}[along]], to_hex(style.COLOURS[name])
                assert np.allclose(lines[colour].get_xydata(), np.column_stack([x, scale * of["value"]]))
                for at, low, high in zip(x, scale * of["low"], scale * of["high"], strict=True):
                    ends = corners[colour][corners[colour][:, 0] == at, 1]
                    assert np.allclose([ends.min(), ends.max()], [max(low, axes.get_ylim()[0]), high])


def test_sizes_are_at_the_last_epoch_and_epochs_are_of_the_largest():
    numbers, figure = drawn("artificial_vs_natural")
    sizes, epochs = (select(numbers, along=along) for along in ("size", "epoch"))
    assert set(sizes["epoch"]) == {12}
    assert epochs.groupby("family")["architecture"].unique().map(list).to_dict() == {
        "MLPs": ["wide"],
        "All networks": ["resnet"],
    }
    for key, last in epochs[epochs["epoch"] == 12].groupby(["family", "architecture", "examples", "quantity"]):
        family, architecture, name, quantity = key
        at = select(sizes, family=family, architecture=architecture, examples=name, quantity=quantity)
        assert np.allclose(at[["value", "low", "high"]], last[["value", "low", "high"]])
    assert {row[0].get_xscale() for row in grid(figure)} == {"log"}
    for above, below in (grid(figure)[:2], grid(figure)[2:]):
        assert [axes.get_xlim() for axes in above] == [axes.get_xlim() for axes in below]
    assert [row[1].get_xlabel() for row in grid(figure)] == ["", "Epoch (wide)", "", "Epoch (resnet)"]
    assert [row[0].get_title(loc="left") for row in grid(figure)] == ["MLPs", "", "All networks", ""]
    assert legend_texts(figure) == ["clean labels", "flipped labels", "noise images"]


def test_where_no_example_is_artificial_the_page_says_so_and_the_table_is_empty(tmp_path):
    numbers, figure = make("artificial_vs_natural", tables(CLEAN))
    assert len(numbers) == 0
    write_csv(tmp_path / "empty.csv", numbers)
    assert list(pd.read_csv(tmp_path / "empty.csv").columns) == list(numbers.columns)
    assert [text for text, _ in drawn_texts(figure)] == [artificial_vs_natural.NOTHING]
    check_layout(figure)


@pytest.mark.parametrize("given", [{"value": 0.0, "low": 0.0, "high": 0.0}, {"value": -0.1, "low": -0.2, "high": 0.1}])
def test_values_of_zero_and_below_are_drawn_at_the_end_of_the_axis(given):
    changed = tables()
    for table in changed.values():
        for name, value in given.items():
            table.loc[table["examples"] == "clean label", name] = value
    _, figure = make("artificial_vs_natural", changed)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        for line in axes.lines:
            assert all(low <= y <= high for y in line.get_ydata())


def test_where_nothing_at_all_is_memorised_the_axis_is_plain():
    changed = tables()
    for table in changed.values():
        table[["value", "low", "high"]] = 0.0
    _, figure = make("artificial_vs_natural", changed)
    assert {axes.get_yscale() for axes in figure.axes} == {"linear"}


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.02, 90, [0.1, 1, 10]),
        (0.5, 90, [1, 3, 10, 30]),
        (0.04, 0.6, [0.05, 0.1, 0.2, 0.5]),
        (0.08, 4, [0.1, 0.3, 1, 3]),
        (51, 90, []),
    ],
)
def test_a_logarithmic_axis_has_round_ticks(low, high, ticks):
    assert artificial_vs_natural._ticks(low, high) == ticks


# --- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_a_study_without_families_and_with_one_epoch_has_the_figure(name):
    numbers, figure = make(name, tables(epochs=(12,)), NO_FAMILIES)
    assert "wide" in set(numbers["architecture"])
    check_layout(figure)


LONG = {
    "Residual networks of depth 8 to 110": [75_290, 172_000, 269_722, 464_000, 659_000, 1_727_962],
    "Residual networks of width 2 to 64": [1320, 2839, 4934, 19_074],
    "MLPs": [1210, 4810, 19_210],
}


@pytest.mark.parametrize("name", MODULES)
def test_no_text_covers_another_or_leaves_the_figure(name):
    sizes, families, entries = {"nearest-neighbour": 0}, {}, {"nearest-neighbour": {"model": "nearest-neighbour"}}
    for number, (title, parameters) in enumerate(LONG.items()):
        members = {f"resnet{number}-width-{place}": size for place, size in enumerate(parameters)}
        entries |= {member: {"model": "mlp", "hidden": [8], "recipe": "short"} for member in members}
        families[f"family-{number}"] = {"title": title, "architectures": list(members)}
        sizes |= members
    study = Study(tiny_config(architectures=entries, families=families))
    _, figure = make(name, tables(sizes=sizes, epochs=tuple(range(20, 101, 20))), study)
    shown = " ".join(" ".join(text for text, _ in drawn_texts(figure)).split())
    assert [title for title in LONG if title not in shown] == []
    check_layout(figure)


@pytest.mark.parametrize("name", MODULES)
def test_the_script_writes_the_table_and_a_figure_that_is_drawn_from_it_alone(name, tmp_path, monkeypatch):
    spec = STUDY.figure_spec(name, "digits")
    kinds = {"train_test_gap": ["epochs"], "artificial_vs_natural": ["summary", "epochs"]}[name]
    parts, read = ["--spec", json.dumps(spec), "--log", tmp_path / "log"], []
    for kind in kinds:
        parts.append(f"--{kind}")
        for architecture in spec["architectures"]:
            read.append(tmp_path / "in" / f"{architecture}.{kind}.csv")
            table = tables()[kind]
            write_csv(read[-1], table[table["architecture"] == architecture].drop(columns="architecture"))
            parts.append(read[-1])
    provenance.write(read, {}, inputs={}, started=provenance.now())
    for kind in ("pdf", "png", "csv"):
        parts += [f"--{kind}", tmp_path / f"{name}.{kind}"]
    monkeypatch.setattr(style, "DPI", 40)  # enough to compare
    monkeypatch.setattr(sys, "argv", ["figure", *map(str, parts)])
    runpy.run_path(str(PROJECT / "workflow" / "scripts" / f"{name}.py"), run_name="__main__")
    numbers = pd.read_csv(tmp_path / f"{name}.csv")
    pd.testing.assert_frame_equal(numbers, drawn(name)[0], check_dtype=False)
    assert provenance.read(tmp_path / f"{name}.png")["inputs"] == {str(path): sha256(path) for path in read}
    style.save(MODULES[name].draw(spec, numbers), tmp_path / "again.pdf", tmp_path / "again.png")
    for kind in ("pdf", "png"):
        assert (tmp_path / f"again.{kind}").read_bytes() == (tmp_path / f"{name}.{kind}").read_bytes()
