import json
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import tiny_config
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch

from memflow import provenance
from memflow.config import ConfigError, Study
from memflow.figures import adapter, families, mean_memorisation, score_distribution, style
from memflow.files import sha256
from memflow.statistics import bimodality
from memflow.summary import BINS

SIZES = {"mlp": 100, "wide": 400, "resnet": 250, "neighbour": 0}
ARCHITECTURES = tiny_config()["architectures"] | {"wide": {"model": "mlp", "hidden": [32], "recipe": "short"}}
FAMILIES = {
    "mlps": {"title": "MLPs", "architectures": ["mlp", "wide"]},
    "all": {"title": "All networks", "architectures": ["mlp", "resnet", "wide"]},
}
STUDY = Study(tiny_config(architectures=ARCHITECTURES, families=FAMILIES))
NOISY = {"all": 200, "clean label": 190, "flipped label": 10}
MODULES = {"mean_memorisation": mean_memorisation, "score_distribution": score_distribution}


def summary(groups):
    """A summary table in which every number is different."""
    corrected = [f"{name}_corrected" for name in ("memorised", *bimodality.NAMES)]
    quantities = ["memorisation", "acc_in", "acc_out", "memorised", *bimodality.NAMES, *corrected]
    rows = []
    for architecture, parameters in SIZES.items():
        keys = [("all", "acc_test"), *((group, quantity) for group in groups for quantity in quantities)]
        for examples, quantity in keys:
            value = (0.3 + 0.001 * len(rows)) * (groups[examples] if quantity.startswith("memorised") else 1)
            row = {"architecture": architecture, "examples": examples, "quantity": quantity, "value": value}
            row |= {"low": 0.9 * value, "high": 1.1 * value, "n_examples": groups[examples], "parameters": parameters}
            rows.append(row | {"runs": 20, "runs_not_converged": 0})
    return pd.DataFrame(rows)


def histogram():
    parts = []
    for number, (architecture, parameters) in enumerate(SIZES.items()):
        weights = 1.0 + np.arange(len(BINS) - 1) + number
        series = {"raw": weights / weights.sum(), "corrected": weights[::-1] / weights.sum()}
        columns = {"architecture": architecture, "bin_low": BINS[:-1], "bin_high": BINS[1:], **series}
        parts.append(pd.DataFrame(columns).assign(parameters=parameters, runs=20, runs_not_converged=0))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(autouse=True)
def _style():
    with plt.rc_context():
        style.apply()
        yield
    plt.close("all")


@pytest.fixture(params=["noisy labels", "clean labels"])
def groups(request):
    return NOISY if request.param == "noisy labels" else {"all": 200}


@pytest.fixture
def drawn(groups):
    """Makes a figure of the study: its table and its drawing."""

    def make(name, study=STUDY, groups=groups):
        spec = study.figure_spec(name, "digits")
        tables = {"summary": summary(groups), "histogram": histogram()}
        numbers = MODULES[name].table(spec, tables)
        return numbers, MODULES[name].draw(spec, numbers)

    return make


def grid(figure):
    """Visible axes by row."""
    rows = {}
    for axes in figure.axes:
        if axes.axison:
            rows.setdefault(axes.get_subplotspec().rowspan.start, []).append(axes)
    return [rows[row] for row in sorted(rows)]


def legend_texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def curves(axes):
    """Data of every curve of some axes, without legend handles and reference lines."""
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    return [np.column_stack(line.get_data()) for line in lines]


def percent(rows, column):
    return 100 * rows[column] / rows["n_examples"]


# --- mean_memorisation ---------------------------------------------------------------------------------------------


def test_mean_memorisation_has_a_column_per_family_and_a_row_per_quantity(drawn):
    _, figure = drawn("mean_memorisation")
    panels = grid(figure)
    assert [len(row) for row in panels] == [2, 2, 2]
    assert [axes.get_title() for axes in panels[0]] == ["MLPs", "All networks"]
    labels = [row[0].get_ylabel() for row in panels]
    assert labels == ["Mean memorisation", "Memorised examples (%)", "Accuracy"]
    assert [axes.get_xlabel() for axes in panels[-1]] == ["Parameters", "Parameters"]
    assert [axes.get_xscale() for axes in panels[-1]] == ["log", "log"]


def test_the_legend_of_mean_memorisation_explains_every_line(drawn, groups):
    _, figure = drawn("mean_memorisation")
    populations = ["clean labels", "flipped labels"] if groups is NOISY else []
    assert legend_texts(figure) == ["in-sample", "out-of-sample", *populations, "neighbour"]
    handles = dict(zip(legend_texts(figure), figure.legends[0].legend_handles, strict=True))
    styles = {name: handle.get_linestyle() for name, handle in handles.items()}
    assert styles["in-sample"] != styles["out-of-sample"] != styles["neighbour"]
    for name in populations:
        assert to_hex(handles[name].get_color()) == to_hex(style.COLOURS[name.removesuffix("s")])


def test_every_curve_of_mean_memorisation_is_a_family_in_order_of_size(drawn, groups):
    numbers, figure = drawn("mean_memorisation")
    shown = [name for name in groups if name != "all"] or ["all"]
    for row, quantities in zip(grid(figure), mean_memorisation.ROWS.values(), strict=True):
        for axes, family in zip(row, ("MLPs", "All networks"), strict=True):
            expected = []
            for quantity in quantities:
                for group in shown:
                    rows = numbers.query("family == @family and quantity == @quantity and examples == @group")
                    rows = rows.sort_values("parameters")
                    values = percent(rows, "value") if quantity == "memorised" else rows["value"]
                    expected.append(np.column_stack([rows["parameters"], values]))
            assert len(curves(axes)) == len(expected)
            assert all(np.allclose(*pair) for pair in zip(curves(axes), expected, strict=True))
            assert len(expected[0]) == (2 if family == "MLPs" else 3)


def test_every_curve_of_mean_memorisation_has_its_interval(drawn):
    numbers, figure = drawn("mean_memorisation")
    limits = pd.concat([numbers[["low", "high"]].stack(), percent(numbers, "low"), percent(numbers, "high")]).to_numpy()
    for axes in figure.axes:
        bands = [band for band in axes.collections if isinstance(band, FillBetweenPolyCollection)]
        assert len(bands) == len(curves(axes))
        for band, curve in zip(bands, curves(axes), strict=True):
            corners = band.get_paths()[0].vertices
            assert np.isclose(corners[:, 1, None], limits).any(axis=1).all()
            middle = [corners[corners[:, 0] == x, 1] for x in curve[:, 0]]
            assert all(y.min() < value < y.max() for y, value in zip(middle, curve[:, 1], strict=True))


def test_a_reference_learner_is_a_level_line_in_every_panel(drawn, groups):
    numbers, figure = drawn("mean_memorisation")
    shown = [name for name in groups if name != "all"] or ["all"]
    for row, quantities in zip(grid(figure), mean_memorisation.ROWS.values(), strict=True):
        rows = numbers.query("family == 'reference' and quantity in @quantities and examples in @shown")
        is_count = rows["quantity"] == "memorised"
        expected = sorted(percent(rows, "value").where(is_count, rows["value"]))
        for axes in row:
            level = [line.get_ydata() for line in axes.lines if line.get_marker() != "o" and len(line.get_ydata())]
            assert np.allclose(sorted(y[0] for y in level), expected)
            assert all(y[0] == y[1] for y in level)


# --- score_distribution --------------------------------------------------------------------------------------------


def test_score_distribution_has_a_row_per_family_and_a_panel_per_architecture(drawn):
    _, figure = drawn("score_distribution")
    titles = [[axes.get_title() for axes in row] for row in grid(figure)]
    assert titles == [["mlp", "wide"], ["mlp", "resnet", "wide"], ["neighbour"]]
    labels = [row[0].get_ylabel() for row in grid(figure)]
    assert labels == ["MLPs\nShare of examples", "All networks\nShare of examples", "reference\nShare of examples"]
    assert figure.get_supxlabel() == "Memorisation"
    assert legend_texts(figure) == ["as estimated", "noise-corrected"]


def test_every_panel_of_score_distribution_draws_its_two_histograms(drawn):
    numbers, figure = drawn("score_distribution")
    for row in grid(figure):
        family = row[0].get_ylabel().partition("\n")[0]
        for axes in row:
            architecture = axes.get_title()
            steps = [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]
            assert len(steps) == 2
            for series, step in zip(("raw", "corrected"), steps, strict=True):
                rows = numbers.query("family == @family and architecture == @architecture and series == @series")
                bins = rows[rows["quantity"] == "share_of_bin"]
                assert np.array_equal(step.values, bins["value"])
                assert np.allclose(step.edges, BINS)


def test_the_numbers_written_into_a_panel_are_corrected_ones_of_its_architecture(drawn):
    numbers, figure = drawn("score_distribution")
    for axes in (axes for row in grid(figure) for axes in row):
        rows = numbers[(numbers["architecture"] == axes.get_title()) & (numbers["series"] == "corrected")]
        values = rows.drop_duplicates("quantity").set_index("quantity")["value"]
        (text,) = (text.get_text() for text in axes.texts)
        assert text.splitlines() == [
            f"score ≤ 0.1: {values['share_low']:.1%}",
            f"score ≥ 0.9: {values['share_high']:.1%}",
            f"bimodality: {values['sarle']:.2f}",
        ]


def test_every_share_lies_inside_the_axes(drawn):
    numbers, figure = drawn("score_distribution")
    shares = numbers[numbers["quantity"] == "share_of_bin"]["value"]
    for axes in (axes for row in grid(figure) for axes in row):
        assert axes.get_xlim() == (BINS[0], BINS[-1])
        assert axes.get_ylim()[0] < shares.min()
        assert shares.max() < axes.get_ylim()[1]


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_a_table_starts_with_what_its_rows_are_and_has_no_gaps(drawn, name):
    numbers, _ = drawn(name)
    assert list(numbers.columns[:4]) == ["dataset", "family", "architecture", "parameters"]
    assert set(numbers["dataset"]) == {"digits"}
    members = numbers.groupby("family", sort=False)["architecture"].unique().map(list).to_dict()
    order = {"MLPs": ["mlp", "wide"], "All networks": ["mlp", "resnet", "wide"], "reference": ["neighbour"]}
    assert members == order
    assert numbers[["family", "architecture", "parameters", "quantity", "value"]].notna().all().all()


def test_the_table_of_mean_memorisation_has_corrected_counts_and_test_accuracy_too(drawn, groups):
    numbers, _ = drawn("mean_memorisation")
    shown = set(map(tuple, numbers[["examples", "quantity"]].to_numpy()))
    assert ("all", "acc_test") in shown
    for group in groups:
        for quantity in ("memorisation", "memorised", "memorised_corrected", "acc_in", "acc_out"):
            assert (group, quantity) in shown


def test_the_table_of_score_distribution_has_every_statistic_with_interval_in_both_series(drawn):
    numbers, _ = drawn("score_distribution")
    statistics = numbers[numbers["quantity"] != "share_of_bin"]
    assert set(map(tuple, statistics[["series", "quantity"]].to_numpy())) == {
        (series, name) for series in ("raw", "corrected") for name in bimodality.NAMES
    }
    assert statistics[["value", "low", "high"]].notna().all().all()


def test_a_study_without_families_shows_all_its_networks():
    study = Study(tiny_config(architectures=ARCHITECTURES))
    spec = study.figure_spec("mean_memorisation", "digits")
    assert set(spec["architectures"]) == set(ARCHITECTURES)
    assert families.panels(spec) == {"": ["mlp", "resnet", "wide"]}


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_two_renderings_are_the_same_bytes(drawn, name, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        style.save(drawn(name)[1], folder / "figure.pdf", folder / "figure.png")
    for kind in ("pdf", "png"):
        one, two = ((folder / f"figure.{kind}").read_bytes() for folder in folders)
        assert one == two
        assert not any(stamp in one for stamp in (b"CreationDate", b"Matplotlib v", b"Software"))


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command line of a figure in a folder of its own."""

    def run(name, **spec_changes):
        paths = {"log": tmp_path / "figure.log"}
        for kind in ("pdf", "png", "csv"):
            paths[kind] = tmp_path / "out" / f"{name}.{kind}"
        spec = STUDY.figure_spec(name, "digits") | spec_changes
        arguments = ["--spec", json.dumps(spec), *(str(part) for k, v in paths.items() for part in (f"--{k}", v))]
        inputs = {"summary": summary(NOISY), "histogram": histogram()}
        kinds = ["summary", "histogram"] if name == "score_distribution" else ["summary"]
        for kind in kinds:
            arguments.append(f"--{kind}")
            for architecture in spec["architectures"]:
                path = tmp_path / f"{architecture}.{kind}.csv"
                rows = inputs[kind][inputs[kind]["architecture"] == architecture]
                rows.drop(columns="architecture").to_csv(path, index=False)
                arguments.append(str(path))
        monkeypatch.setattr(sys, "argv", ["figure", *arguments])
        adapter.main("a figure", inputs=kinds, table=MODULES[name].table, draw=MODULES[name].draw)
        return tmp_path / "out"

    return run


@pytest.mark.parametrize("name", MODULES)
def test_the_command_writes_drawing_and_table_with_sidecars_that_name_the_inputs(command, name, tmp_path):
    folder = command(name)
    for kind in ("pdf", "png", "csv"):
        record = provenance.read(folder / f"{name}.{kind}")
        assert record["definition"] == STUDY.figure_spec(name, "digits")
        assert record["inputs"] == {str(path): sha256(path) for path in sorted(tmp_path.glob("*.csv"))}
    expected = MODULES[name].table(record["definition"], {"summary": summary(NOISY), "histogram": histogram()})
    pd.testing.assert_frame_equal(pd.read_csv(folder / f"{name}.csv"), expected, check_dtype=False)


def test_the_command_refuses_code_other_than_it_was_planned_with(command, tmp_path):
    with pytest.raises((ConfigError, SystemExit)):
        command("mean_memorisation", code="0" * 16)
    assert not (tmp_path / "out").exists()
    assert "changed between planning and running" in (tmp_path / "figure.log").read_text()
