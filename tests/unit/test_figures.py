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
from memflow.config import Study
from memflow.figures import adapter, families, mean_memorisation, score_distribution, style
from memflow.files import sha256, write_csv
from memflow.statistics import bimodality
from memflow.summary import BINS

SIZES = {"mlp": 100, "wide": 400, "resnet": 250, "neighbour": 0}
ARCHITECTURES = tiny_config()["architectures"] | {"wide": {"model": "mlp", "hidden": [32], "recipe": "short"}}
FAMILIES = {
    "mlps": {"title": "MLPs", "architectures": ["mlp", "wide"]},
    "all": {"title": "All networks", "architectures": ["mlp", "wide", "resnet"]},
}
STUDY = Study(tiny_config(architectures=ARCHITECTURES, families=FAMILIES))
NOISY = {"all": 200, "clean label": 190, "flipped label": 10}
MODULES = {"mean_memorisation": mean_memorisation, "score_distribution": score_distribution}
KINDS = {"mean_memorisation": ["summary"], "score_distribution": ["summary", "histogram"]}


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
            rows.append(row | {"runs": 20, "runs_not_converged": 0, "examples_without_score": 0})
    return pd.DataFrame(rows)


def histogram():
    parts = []
    for number, (architecture, parameters) in enumerate(SIZES.items()):
        weights = 1.0 + np.arange(len(BINS) - 1) + number
        series = {"raw": weights / weights.sum(), "corrected": weights[::-1] / weights.sum()}
        columns = {"architecture": architecture, "bin_low": BINS[:-1], "bin_high": BINS[1:], **series}
        parts.append(pd.DataFrame(columns).assign(parameters=parameters, runs=20, runs_not_converged=0))
    return pd.concat(parts, ignore_index=True)


TABLES = {"summary": summary(NOISY), "histogram": histogram()}


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

    def make(name):
        spec = STUDY.figure_spec(name, "digits")
        numbers = MODULES[name].table(spec, TABLES | {"summary": summary(groups)})
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


def select(numbers, **where):
    """Rows of a table, by the values of some columns."""
    for column, values in where.items():
        numbers = numbers[numbers[column].isin(np.atleast_1d(values))]
    return numbers


def percent(rows, column):
    return 100 * rows[column] / rows["n_examples"]


# --- mean_memorisation ---------------------------------------------------------------------------------------------


def test_mean_memorisation_has_a_column_per_family_and_a_row_per_quantity(drawn):
    _, figure = drawn("mean_memorisation")
    panels = grid(figure)
    assert [len(row) for row in panels] == [2, 2, 2]
    assert [axes.get_title() for axes in panels[0]] == ["MLPs", "All networks"]
    labels = [row[0].get_ylabel() for row in panels]
    assert labels == ["Mean memorisation", "Memorised (%)", "Accuracy"]
    assert [axes.get_xlabel() for axes in panels[-1]] == ["Parameters", "Parameters"]
    assert [axes.get_xscale() for axes in panels[-1]] == ["log", "log"]
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in panels[-1]]
    assert ticks == [["100", "400"], ["100", "400", "250"]]


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
                    rows = select(numbers, family=family, quantity=quantity, examples=group).sort_values("parameters")
                    values = percent(rows, "value") if quantity == "memorised" else rows["value"]
                    expected.append(np.column_stack([rows["parameters"], values]))
            assert len(curves(axes)) == len(expected)
            assert all(np.allclose(*pair) for pair in zip(curves(axes), expected, strict=True))
            assert len(expected[0]) == (2 if family == "MLPs" else 3)


def test_every_curve_of_mean_memorisation_has_its_interval(drawn):
    numbers, figure = drawn("mean_memorisation")
    limits = np.concatenate([numbers["low"], numbers["high"], percent(numbers, "low"), percent(numbers, "high")])
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
        rows = select(numbers, family="reference", quantity=quantities, examples=shown)
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
    assert titles == [["mlp", "wide"], ["mlp", "wide", "resnet"], ["neighbour"]]
    labels = [row[0].get_ylabel() for row in grid(figure)]
    assert labels == ["MLPs\nShare of examples", "All networks\nShare of examples", "reference\nShare of examples"]
    assert figure.get_supxlabel() == "Memorisation"
    assert legend_texts(figure) == ["as estimated", "noise-corrected"]


def test_every_panel_of_score_distribution_draws_its_two_histograms(drawn):
    numbers, figure = drawn("score_distribution")
    for row in grid(figure):
        family = row[0].get_ylabel().partition("\n")[0]
        for axes in row:
            steps = [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]
            assert len(steps) == 2
            for series, step in zip(("raw", "corrected"), steps, strict=True):
                panel = select(numbers, family=family, architecture=axes.get_title(), series=series)
                bins = select(panel, quantity="share_of_bin")
                assert np.array_equal(step.values, bins["value"])
                assert np.allclose(step.edges, BINS)


def test_the_numbers_written_into_a_panel_are_corrected_ones_of_its_architecture(drawn):
    numbers, figure = drawn("score_distribution")
    for axes in (axes for row in grid(figure) for axes in row):
        rows = select(numbers, architecture=axes.get_title(), series="corrected")
        values = rows.drop_duplicates("quantity").set_index("quantity")["value"]
        (text,) = (text.get_text() for text in axes.texts)
        assert text.splitlines() == [
            "noise-corrected",
            f"score ≤ 0.1: {values['share_low']:.1%}",
            f"score ≥ 0.9: {values['share_high']:.1%}",
            f"Sarle: {values['sarle']:.2f}",
        ]


def test_every_share_lies_inside_the_axes(drawn):
    numbers, figure = drawn("score_distribution")
    shares = select(numbers, quantity="share_of_bin")["value"]
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
    order = {"MLPs": ["mlp", "wide"], "All networks": ["mlp", "wide", "resnet"], "reference": ["neighbour"]}
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


SIZE_LABELS = {0: "0", 90: "90", 850: "850", 1234: "1.2k", 75_290: "75k", 269_722: "270k", 1_727_962: "1.7M"}


@pytest.mark.parametrize("size", SIZE_LABELS)
def test_a_large_number_on_an_axis_is_short_and_has_no_exponent(size):
    assert style.count(size) == SIZE_LABELS[size]


@pytest.fixture(scope="module", params=MODULES)
def made(request, tmp_path_factory):
    """Runs the command line of a figure; gives its name and its folder."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    with plt.rc_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["figure", *arguments(name, folder)])
        run(name)
    return name, folder


def run(name):
    adapter.main("a figure", inputs=KINDS[name], table=MODULES[name].table, draw=MODULES[name].draw)


def arguments(name, folder, **spec_changes):
    """Command line of a figure, whose inputs it writes."""
    spec = STUDY.figure_spec(name, "digits")
    parts = ["--spec", json.dumps(spec | spec_changes), "--log", folder / "log"]
    for kind in ("pdf", "png", "csv"):
        parts += [f"--{kind}", folder / f"{name}.{kind}"]
    for kind in KINDS[name]:
        table = TABLES[kind]
        parts.append(f"--{kind}")
        for architecture in spec["architectures"]:
            path = folder / "in" / f"{architecture}.{kind}.csv"
            write_csv(path, table[table["architecture"] == architecture].drop(columns="architecture"))
            provenance.write([path], {}, inputs={}, started=provenance.now())
            parts.append(path)
    return list(map(str, parts))


def test_drawing_and_table_have_sidecars_with_spec_and_inputs(made):
    name, folder = made
    for kind in ("pdf", "png", "csv"):
        record = provenance.read(folder / f"{name}.{kind}")
        assert record["definition"] == STUDY.figure_spec(name, "digits")
        assert record["inputs"] == {str(path): sha256(path) for path in (folder / "in").glob("*.csv")}
        assert len(record["inputs"]) == 4 * len(KINDS[name])


def test_the_written_table_is_the_table(made):
    name, folder = made
    expected = MODULES[name].table(STUDY.figure_spec(name, "digits"), TABLES)
    written = pd.read_csv(folder / f"{name}.csv")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)


def test_a_figure_drawn_again_from_its_table_is_the_same_bytes_so_that_every_number_is_in_the_table(made, tmp_path):
    name, folder = made
    numbers = pd.read_csv(folder / f"{name}.csv")
    figure = MODULES[name].draw(STUDY.figure_spec(name, "digits"), numbers)
    style.save(figure, tmp_path / "figure.pdf", tmp_path / "figure.png")
    for kind in ("pdf", "png"):
        assert (tmp_path / f"figure.{kind}").read_bytes() == (folder / f"{name}.{kind}").read_bytes()


def test_a_drawing_carries_no_date_and_no_version(made):
    name, folder = made
    content = b"".join((folder / f"{name}.{kind}").read_bytes() for kind in ("pdf", "png"))
    assert [stamp for stamp in (b"CreationDate", b"Producer", b"Software", b"Matplotlib") if stamp in content] == []


def test_code_other_than_planned_is_refused_on_terminal_and_in_the_log(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figure", *arguments("mean_memorisation", tmp_path, code="0" * 16)])
    with pytest.raises(SystemExit) as end:
        run("mean_memorisation")
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert "changed between planning and running" in said
    assert said in (tmp_path / "log").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "log"]


def test_an_input_that_was_changed_is_refused_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figure", *arguments("mean_memorisation", tmp_path)])
    changed = tmp_path / "in" / "mlp.summary.csv"
    changed.write_text(changed.read_text().replace("all", "ALL"))
    with pytest.raises(SystemExit):
        run("mean_memorisation")
    assert "mlp.summary.csv is not the file that its sidecar describes" in capsys.readouterr().err
