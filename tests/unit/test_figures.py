import functools
import itertools
import json
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_helpers import (
    ALONG_FAMILIES,
    ARCHITECTURES,
    DATASET,
    DISTILLED,
    MODULES,
    NO_FAMILIES,
    NOISY,
    PICTURES,
    STUDY,
    TEXT,
    collisions,
    drawn_texts,
    grid,
    legend_texts,
    make,
    of_methods,
    outside,
    select,
    spec_of,
    summary,
    tables,
)
from helpers import tiny_config
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch

from memflow import outputs, provenance
from memflow.config import Study
from memflow.data import prepared
from memflow.figures import families, mean_memorisation, style
from memflow.files import sha256, write_csv, write_parquet
from memflow.statistics import bimodality
from memflow.summary import BINS

pytestmark = pytest.mark.usefixtures("figure_style")

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["noisy labels", "clean labels"])
def groups(request):
    return NOISY if request.param == "noisy labels" else {"all": 200}


@pytest.fixture
def drawn(groups):
    """Gives a figure of the study: its table and its drawing."""
    return lambda name: drawing(name, groups is NOISY)


@functools.cache
def drawing(name, noisy):
    return make(name, tables(name) | {"summary": summarised(name, NOISY if noisy else {"all": 200})})


def summarised(name, groups, study=STUDY):
    """The table of statistics that a figure takes."""
    return of_methods(study, summary(groups)) if name == "mean_memorisation" else summary(groups)


def curves(axes):
    """Lines of some axes, without legend handles and reference lines."""
    return [line for line in axes.lines if line.get_marker() == "o"]


def bands(axes):
    return [band for band in axes.collections if isinstance(band, FillBetweenPolyCollection)]


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
    assert ticks == [["100", "400"], ["100", "250", "400"]]


def test_the_legend_of_mean_memorisation_explains_every_line(drawn, groups):
    _, figure = drawn("mean_memorisation")
    populations = ["clean labels", "flipped labels"] if groups is NOISY else []
    assert legend_texts(figure) == ["in-sample", "out-of-sample", *populations, "neighbour"]
    handles = dict(zip(legend_texts(figure), figure.legends[0].legend_handles, strict=True))
    styles = {name: handle.get_linestyle() for name, handle in handles.items()}
    assert styles["in-sample"] != styles["out-of-sample"] != styles["neighbour"]
    for name in populations:
        assert to_hex(handles[name].get_color()) == to_hex(style.COLOURS[name.removesuffix("s")])


LOOKS = {"memorisation": "-", "memorised": "-", "acc_in": "-", "acc_out": ":"}


def test_every_curve_of_mean_memorisation_is_a_family_in_order_of_size(drawn, groups):
    numbers, figure = drawn("mean_memorisation")
    shown = [name for name in groups if name != "all"] or ["all"]
    for row, quantities in zip(grid(figure), mean_memorisation.ROWS.values(), strict=True):
        for axes, family in zip(row, ("MLPs", "All networks"), strict=True):
            found = {(to_hex(line.get_color()), line.get_linestyle()): line.get_xydata() for line in curves(axes)}
            assert len(found) == len(curves(axes)) == len(quantities) * len(shown)
            for quantity, group in itertools.product(quantities, shown):
                rows = select(numbers, family=family, quantity=quantity, examples=group).sort_values("parameters")
                values = percent(rows, "value") if quantity == "memorised" else rows["value"]
                expected = np.column_stack([rows["parameters"], values])
                assert len(expected) == (2 if family == "MLPs" else 3)
                assert np.allclose(found[to_hex(style.COLOURS[group]), LOOKS[quantity]], expected)


def test_every_curve_of_mean_memorisation_has_its_interval(drawn):
    numbers, figure = drawn("mean_memorisation")
    scaled = numbers.assign(**{name: percent(numbers, name) for name in ("value", "low", "high")})
    rows = pd.concat([numbers, scaled])[["parameters", "value", "low", "high"]]
    known = set(map(tuple, rows.round(9).to_numpy()))
    for axes in figure.axes:
        for band, line in zip(bands(axes), curves(axes), strict=True):
            corners = band.get_paths()[0].vertices
            for x, y in line.get_xydata():
                of_size = corners[corners[:, 0] == x, 1]
                assert (x, *np.round([y, of_size.min(), of_size.max()], 9)) in known
            assert to_hex(band.get_facecolor()[0]) == to_hex(line.get_color())


def test_values_are_on_logarithmic_axes_where_groups_are_apart_and_else_from_zero(drawn, groups):
    _, figure = drawn("mean_memorisation")
    values = "log" if groups is NOISY else "linear"
    if groups is not NOISY:
        assert [row[0].get_ylim()[0] for row in grid(figure)[:2]] == [0, 0]
    for row, scale in zip(grid(figure), (values, values, "linear"), strict=True):
        for axes in row:
            lines = [line.get_ydata() for line in axes.lines if len(line.get_ydata())]
            assert axes.get_yscale() == scale
            assert axes.get_ylim()[0] < min(map(min, lines))
            assert max(map(max, lines)) < axes.get_ylim()[1]
        assert len({axes.get_ylim() for axes in row}) == 1


def test_an_interval_that_reaches_zero_ends_below_the_logarithmic_axis():
    given = summarised("mean_memorisation", NOISY)
    given.loc[given["quantity"] == "memorisation", "low"] = -0.1
    numbers, figure = make("mean_memorisation", {"summary": given})
    (axes, _), *_ = grid(figure)
    lowest = select(numbers, quantity="memorisation", examples=["clean label", "flipped label"])["value"].min()
    for band in bands(axes):
        assert np.isclose(band.get_paths()[0].vertices[:, 1].min(), 0.7 * lowest)
    assert np.isclose(axes.get_ylim()[0], 0.7 * lowest)


@pytest.mark.parametrize("value", [0.0, -0.02])
def test_a_value_that_is_not_positive_makes_the_axis_linear_and_keeps_its_interval(value):
    given = summarised("mean_memorisation", NOISY)
    where = (given["architecture"] == "wide") & (given["quantity"] == "memorisation")
    given.loc[where, ["value", "low", "high"]] = value, value - 0.03, value + 0.01
    _, figure = make("mean_memorisation", {"summary": given})
    (axes, _), (other, _), _ = grid(figure)
    assert (axes.get_yscale(), other.get_yscale()) == ("linear", "log")
    for band in bands(axes):
        assert np.isclose(band.get_paths()[0].vertices[:, 1].min(), value - 0.03)


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


# --- mean_memorisation with several methods ------------------------------------------------------------------------


@functools.cache
def methods_drawing(noisy):
    return make(
        "mean_memorisation", {"summary": summarised("mean_memorisation", noisy_groups(noisy), DISTILLED)}, DISTILLED
    )


def noisy_groups(noisy):
    return NOISY if noisy else {"all": 200}


@pytest.fixture
def with_methods(groups):
    return methods_drawing(groups is NOISY)


def points(axes):
    """Curves by marker and colour, without legend handles and reference lines."""
    lines = [line for line in axes.lines if line.get_marker() not in ("None", "") and len(line.get_xdata())]
    found = {(line.get_marker(), to_hex(line.get_color()), line.get_linestyle()): line for line in lines}
    assert len(found) == len(lines), "two curves look the same"
    return found


def markers(figure):
    """By method, its marker in the legend."""
    legend = figure.legends[1]
    names = [text.get_text() for text in legend.get_texts()]
    return dict(zip(names, [handle.get_marker() for handle in legend.legend_handles], strict=True))


def test_the_legend_names_every_method_once_and_says_whose_teacher_knew_all_labels(with_methods):
    _, figure = with_methods
    names = ["one-hot", "distilled-from-resnet", "self-distilled", "smoothed", "leaky\n(teacher saw all labels)"]
    assert list(markers(figure)) == names
    assert len(set(markers(figure).values())) == len(names)
    drawn = {marker for row in grid(figure) for axes in row for marker, *_ in points(axes)}
    assert drawn == set(markers(figure).values())


def test_curves_of_students_are_at_the_sizes_of_the_students_and_have_the_tables_numbers(with_methods, groups):
    numbers, figure = with_methods
    shown = [name for name in groups if name != "all"] or ["all"]
    by_method = {name.partition("\n")[0]: marker for name, marker in markers(figure).items()}
    for row, quantity in zip(grid(figure)[:2], ("memorisation", "memorised"), strict=True):
        for axes, family in zip(row, FAMILY_TITLES, strict=True):
            found, expected = points(axes), 0
            for method, group in itertools.product(by_method, shown):
                rows = select(numbers, family=family, quantity=quantity, examples=group, method=method)
                if rows.empty:
                    continue
                expected, rows = expected + 1, rows.sort_values("parameters")
                line = found[by_method[method], to_hex(style.COLOURS[group]), "-"]
                values = percent(rows, "value") if quantity == "memorised" else rows["value"]
                assert np.allclose(line.get_ydata(), values)
                distance = abs(np.log(line.get_xdata() / rows["parameters"].to_numpy()))
                assert distance.max() < np.log(400 / 250) / 2  # nearer to its own size than to the next
                assert (distance == 0).all() == (method == "one-hot")
            assert len(found) == expected
    students = select(numbers, method="distilled-from-resnet")["architecture"]
    assert set(students) == {"mlp", "wide"}


def test_no_two_methods_stand_at_the_same_place(with_methods):
    _, figure = with_methods
    for axes in grid(figure)[0]:
        places = {marker: tuple(line.get_xdata()) for (marker, *_), line in points(axes).items()}
        assert len({x for of_method in places.values() for x in of_method}) == sum(map(len, places.values()))


def test_the_intervals_of_students_are_bars_at_their_points(with_methods):
    numbers, figure = with_methods
    scaled = numbers.assign(**{name: percent(numbers, name) for name in ("value", "low", "high")})
    rows = pd.concat([numbers, scaled])[["low", "high"]]
    known = set(map(tuple, rows.round(9).to_numpy()))
    for axes in (axes for row in grid(figure)[:2] for axes in row):
        bars = [bar for lines in axes.collections if isinstance(lines, LineCollection) for bar in lines.get_segments()]
        students = [line for (marker, *_), line in points(axes).items() if marker != "o"]
        assert sorted(bar[0, 0] for bar in bars) == sorted(x for line in students for x in line.get_xdata())
        floor = axes.get_ylim()[0]
        for bar in bars:
            low, high = np.round(bar[:, 1], 9)
            assert (low, high) in known or (np.isclose(low, floor) and high in rows["high"].round(9).to_numpy())


def test_accuracies_are_those_of_one_hot_labels_and_the_axis_says_so(with_methods, groups):
    numbers, figure = with_methods
    shown = [name for name in groups if name != "all"] or ["all"]
    for axes in grid(figure)[2]:
        assert {marker for marker, *_ in points(axes)} == {"o"}
        assert len(points(axes)) == 2 * len(shown)
    assert grid(figure)[2][0].get_ylabel() == "Accuracy\n(one-hot)"
    assert set(select(numbers, quantity="acc_in")["method"]) > {"one-hot"}  # but the table has those of all


def test_a_study_of_one_method_has_one_legend_and_no_bars(drawn):
    _, figure = drawn("mean_memorisation")
    assert len(figure.legends) == 1
    assert not [bars for axes in figure.axes for bars in axes.collections if isinstance(bars, LineCollection)]


@pytest.mark.parametrize("name", ["short", "students-of-a-residual-network-of-depth-110-and-width-64"])
def test_methods_of_any_name_and_number_have_their_place_and_no_text_covers_another(name):
    study, sizes = long_study(3)
    first = [architecture for architecture in study.architectures if architecture.startswith("resnet0")]
    methods = {f"{name}-{number}": {"teacher": "self", "students": first[:-1]} for number in range(6)}
    methods["full"] = {"teacher": first[-1], "teacher_data": "full", "students": first[:2]}
    study = Study(study.config | {"distillation": methods, "proxies": {"runs": 4, "block_size": 4}})
    _, figure = make("mean_memorisation", study=study, sizes=sizes)
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []
    labels = ["".join(text.split()) for text in markers(figure)]
    assert labels == ["one-hot", *list(methods)[:-1], "full(teachersawalllabels)"]
    heights = {round(axes.get_window_extent().height) for row in grid(figure) for axes in row}
    assert min(heights) > 0.7 * style.DPI / 3  # panels keep their height


def test_the_script_draws_methods_from_a_file_each(tmp_path, monkeypatch):
    spec = spec_of("mean_memorisation", DISTILLED)
    table = summarised("mean_memorisation", NOISY, DISTILLED)
    parts = ["figure", "--spec", json.dumps(spec), "--log", tmp_path / "log", "--summary"]
    for number, entry in enumerate(spec["drawn"]):
        rows = select(table, architecture=entry["architecture"], method=entry["method"])
        rows = rows.drop(columns=["architecture", "method"]).dropna(axis="columns")  # teacher_data is only of students
        write_csv(tmp_path / "in" / f"{number}.csv", rows)
        provenance.write([tmp_path / "in" / f"{number}.csv"], {}, inputs={}, started=provenance.now())
        parts.append(tmp_path / "in" / f"{number}.csv")
    for kind in ("pdf", "png", "csv"):
        parts += [f"--{kind}", tmp_path / f"figure.{kind}"]
    monkeypatch.setattr(sys, "argv", list(map(str, parts)))
    run("mean_memorisation")
    expected, _ = methods_drawing(True)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "figure.csv"), expected, check_dtype=False, check_like=True)


# --- score_distribution --------------------------------------------------------------------------------------------


COLUMNS = {"MLPs": ["mlp", "wide"], "All networks": ["mlp", "wide", "resnet"], "reference": ["neighbour"]}
SIZE_TEXTS = {"mlp": "100 parameters", "wide": "400 parameters", "resnet": "250 parameters", "neighbour": "neighbour"}


def test_score_distribution_has_a_column_per_family_and_a_panel_per_architecture(drawn):
    _, figure = drawn("score_distribution")
    placed = {}
    for axes in (axes for row in grid(figure) for axes in row):
        place = axes.get_subplotspec()
        placed.setdefault(place.colspan.start, []).append((place.rowspan.start, axes.texts[0].get_text()))
    for column, architectures in enumerate(COLUMNS.values()):
        assert [row for row, _ in sorted(placed[column])] == list(range(len(architectures)))
        shown = [text.splitlines()[0] for _, text in sorted(placed[column])]
        assert shown == [SIZE_TEXTS[name] for name in architectures]
    assert [axes.get_title() for axes in grid(figure)[0]] == list(COLUMNS)
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("Memorisation", "Share of examples")
    assert legend_texts(figure) == ["as estimated", "noise-corrected"]


def panels(figure):
    """Axes of score_distribution with their family and architecture."""
    for axes in (axes for row in grid(figure) for axes in row):
        place = axes.get_subplotspec()
        family = list(COLUMNS)[place.colspan.start]
        yield axes, family, COLUMNS[family][place.rowspan.start]


def test_every_panel_of_score_distribution_draws_its_two_histograms(drawn):
    numbers, figure = drawn("score_distribution")
    for axes, family, architecture in panels(figure):
        steps = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
        assert len(steps) == 2
        for series, step in zip(("raw", "corrected"), steps, strict=True):
            panel = select(numbers, family=family, architecture=architecture, series=series)
            assert np.array_equal(step.get_data().values, select(panel, quantity="share_of_bin")["value"])
            assert np.allclose(step.get_data().edges, BINS)
            assert step.get_fill() == (series == "raw")
            colour = step.get_facecolor() if step.get_fill() else step.get_edgecolor()
            assert to_hex(colour) == to_hex(style.COLOURS[series])


def test_the_numbers_written_into_a_panel_are_corrected_ones_of_its_architecture(drawn):
    numbers, figure = drawn("score_distribution")
    for axes, family, architecture in panels(figure):
        rows = select(numbers, family=family, architecture=architecture, series="corrected")
        values = rows.drop_duplicates("quantity").set_index("quantity")["value"]
        (text,) = (text.get_text() for text in axes.texts)
        assert text.splitlines() == [
            SIZE_TEXTS[architecture],
            f"≤ 0.1: {values['share_low']:.1%}",
            f"≥ 0.9: {values['share_high']:.1%}",
            f"Sarle: {values['sarle']:.2f}",
        ]


def test_every_panel_of_score_distribution_has_its_axes_labelled(drawn):
    _, figure = drawn("score_distribution")
    figure.draw_without_rendering()
    for axes, family, _ in panels(figure):
        assert [text.get_text() for text in axes.get_xticklabels() if text.get_visible()] == ["0.0", "0.5", "1.0"]
        percents = [text.get_text() for text in axes.get_yticklabels() if text.get_visible()]
        assert percents == (["0.1 %", "1 %", "10 %", "100 %"] if family == "MLPs" else [])
        assert axes.get_yscale() == "log"


def test_every_share_lies_inside_the_axes(drawn):
    numbers, figure = drawn("score_distribution")
    shares = select(numbers, quantity="share_of_bin")["value"]
    for axes in (axes for row in grid(figure) for axes in row):
        assert axes.get_xlim() == (BINS[0], BINS[-1])
        assert axes.get_ylim()[0] < shares.min()
        assert shares.max() < axes.get_ylim()[1]


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mean_memorisation", "score_distribution"])
def test_a_table_starts_with_what_its_rows_are_and_has_no_gaps(drawn, name):
    numbers, _ = drawn(name)
    method = ["method"] if name == "mean_memorisation" else []
    leading = ["dataset", "family", "architecture", *method, "parameters"]
    assert list(numbers.columns[: len(leading)]) == leading
    assert set(numbers["dataset"]) == {"digits"}
    assert numbers.groupby("family", sort=False)["architecture"].unique().map(list).to_dict() == COLUMNS
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


# --- families --------------------------------------------------------------------------------------------------------


def test_a_study_without_families_shows_all_its_networks_in_one_untitled_panel():
    spec = NO_FAMILIES.figure_spec("mean_memorisation", "digits")
    assert set(spec["architectures"]) == set(ARCHITECTURES)
    assert spec["largest"] == ["wide"]
    assert families.panels(spec) == {"": ["mlp", "resnet", "wide"]}


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ALONG_FAMILIES])
def test_a_study_without_families_has_the_figures_that_need_none(name):
    numbers, figure = make(name, study=NO_FAMILIES)
    networks = ["wide"] if name == "most_memorised" else ["mlp", "resnet", "wide"]
    assert list(numbers.loc[numbers["family"] == "", "architecture"].unique()) == networks
    assert figure.axes[0].get_title() == ("wide" if name == "most_memorised" else "")
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []


@pytest.mark.parametrize("name", MODULES)
def test_every_figure_says_above_a_family_if_its_weights_may_have_seen_held_out_images(name):
    spec, pictured = spec_of(name), [DATASET] if name in PICTURES else []
    spec["pretraining_overlap"]["resnet"] = "unknown"  # a member of one of the two families
    figure = MODULES[name].draw(spec, MODULES[name].table(spec, tables(name), *pictured), *pictured)
    texts = drawn_texts(figure)
    said = [" ".join(words.split()) for words, _ in texts if "pretrained" in words]
    assert [text.partition(": unknown")[0] for text in said] == ["All networks pretrained; held-out images seen"]
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []


def test_noise_images_are_drawn_apart_in_a_colour_of_their_own():
    groups = NOISY | {"noise image": 7}
    _, figure = make("mean_memorisation", {"summary": summarised("mean_memorisation", groups)})
    assert "noise images" in legend_texts(figure)
    lines = [line for line in grid(figure)[0][0].lines if line.get_marker() == "o"]
    assert len({to_hex(line.get_color()) for line in lines}) == 3


SHOWN_SIZES = {
    (100, 400): ["100", "400"],
    (1000, 4800, 19000): ["1.0k", "4.8k", "19k"],
    (1000, 1100, 19000): ["1.0k", "19k"],
    (75_290, 172_000, 269_722, 464_000, 1_727_962): ["75k", "464k", "1.7M"],
    (500, 500): ["500"],
    (0, 100, 400): ["100", "400"],
    (): [],
}


@pytest.mark.parametrize("sizes", SHOWN_SIZES)
def test_a_size_axis_names_the_ends_and_a_size_between_them_that_has_room(sizes):
    axes = plt.figure().add_subplot()
    families.size_axis(axes, list(sizes))
    assert [text.get_text() for text in axes.get_xticklabels()] == SHOWN_SIZES[sizes]
    assert [style.count(tick) for tick in axes.get_xticks()] == SHOWN_SIZES[sizes]
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "Parameters")


# --- layout ----------------------------------------------------------------------------------------------------------


TITLES = {
    "Residual networks of depth 8 to 110": [75_290, 172_000, 269_722, 464_000, 659_000, 1_727_962],
    "Residual networks of width 2 to 64": [1320, 2839, 4934, 19_074],
    "MLPs": [1210, 4810, 19_210],
}


def long_study(n_families):
    """A study of families with long titles, and the sizes of their architectures."""
    sizes, entries = {"nearest-neighbour": 0}, {}
    for number, (title, parameters) in enumerate(list(TITLES.items())[:n_families]):
        of_family = {f"resnet{number}-width-{size}": value for size, value in enumerate(parameters)}
        entries[f"family-{number}"] = {"title": title, "architectures": list(of_family)}
        sizes |= of_family
    made = {name: {"model": "mlp", "hidden": [8], "recipe": "short"} for name in sizes}
    made["nearest-neighbour"] = {"model": "nearest-neighbour"}
    return Study(tiny_config(architectures=made, families=entries)), sizes


LAYOUTS = [(name, 3) for name in MODULES] + [("most_memorised", 1), ("most_memorised", 2)]


@pytest.mark.parametrize(("name", "n_families"), LAYOUTS)
def test_no_text_covers_another_or_leaves_the_figure(name, n_families):
    study, sizes = long_study(n_families)
    _, figure = make(name, study=study, sizes=sizes)
    texts = drawn_texts(figure)
    shown = " ".join(" ".join(text for text, _ in texts).split())
    assert [title for title in list(TITLES)[:n_families] if title not in shown] == []
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []
    assert figure.get_figwidth() == style.ONE_COLUMN


# --- files -----------------------------------------------------------------------------------------------------------


def test_every_figure_has_module_script_caption_and_rule_and_is_listed():
    scripts = {path.stem for path in (PROJECT / "workflow/scripts").glob("*.py")}
    captions = {path.stem for path in (PROJECT / "workflow/report").glob("*.rst") if path.read_text().strip()}
    modules = {path.stem for path in (PROJECT / "src/memflow/figures").glob("*.py")}
    rules, names = (PROJECT / "workflow/rules/figures.smk").read_text(), outputs.ALL_FIGURES
    assert scripts == captions == set(names) == set(re.findall(r"\*\*figure\(\"(\w+)\"\)", rules))
    assert len(names) == len(set(names))
    assert scripts <= modules
    markup = {name for name in captions if re.search(r"[*`|]", (PROJECT / f"workflow/report/{name}.rst").read_text())}
    assert markup == set()  # memflow's own page shows captions as they are


SIZE_LABELS = {0: "0", 90: "90", 850: "850", 1234: "1.2k", 75_290: "75k", 269_722: "270k", 1_727_962: "1.7M"}


@pytest.mark.parametrize("size", SIZE_LABELS)
def test_a_large_number_on_an_axis_is_short_and_has_no_exponent(size):
    assert style.count(size) == SIZE_LABELS[size]


@pytest.fixture(scope="module", params=MODULES)
def made(request, tmp_path_factory):
    """Runs the script of a figure; gives its name and its folder."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    with plt.rc_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["figure", *arguments(name, folder)])
        run(name)
    return name, folder


def run(name):
    runpy.run_path(str(PROJECT / "workflow" / "scripts" / f"{name}.py"), run_name="__main__")


def arguments(name, folder, **spec_changes):
    """Command line of a figure, whose inputs it writes."""
    spec = spec_of(name)
    parts = ["--spec", json.dumps(spec | spec_changes), "--log", folder / "log"]
    for kind in ("pdf", "png", "csv"):
        parts += [f"--{kind}", folder / f"{name}.{kind}"]
    column = "family" if name in ALONG_FAMILIES else "architecture"
    names = {"trajectories": FAMILY_TITLES, "trajectory_examples": FAMILY_TITLES, "most_memorised": spec["largest"]}
    for kind, table in tables(name).items():
        parts.append(f"--{kind}")
        for number, value in enumerate(names.get(name, spec["architectures"])):
            suffix = "parquet" if kind == "halves" else "csv"
            path = folder / "in" / f"{value}-{number}.{kind}.{suffix}"
            write = write_parquet if suffix == "parquet" else write_csv
            write(path, table[table[column] == value].drop(columns=[column, "method"], errors="ignore"))
            parts.append(path)
    if name in PICTURES:
        prepared.save(DATASET, folder / "in" / "data.npz")
        parts += ["--dataset", folder / "in" / "data.npz"]
    for path in (folder / "in").iterdir():
        provenance.write([path], {}, inputs={}, started=provenance.now())
    return list(map(str, parts))


FAMILY_TITLES = [family["title"] for family in STUDY.families.values()]
N_INPUTS = {
    "mean_memorisation": 4,
    "score_distribution": 8,
    "most_memorised": 3,
    "trajectories": 7,
    "trajectory_examples": 3,
}


def test_drawing_and_table_have_sidecars_with_spec_and_inputs(made):
    name, folder = made
    read = [path for path in (folder / "in").iterdir() if path.suffix != ".json"]
    for kind in ("pdf", "png", "csv"):
        record = provenance.read(folder / f"{name}.{kind}")
        assert record["definition"] == spec_of(name)
        assert record["inputs"] == {str(path): sha256(path) for path in read}
        assert len(record["inputs"]) == N_INPUTS[name]


def test_the_written_table_is_the_table(made):
    name, folder = made
    expected, _ = make(name)
    pd.testing.assert_frame_equal(read_csv(folder / f"{name}.csv"), expected, check_dtype=False)


def test_a_figure_drawn_again_from_its_table_is_the_same_bytes_so_that_every_number_is_in_the_table(made, tmp_path):
    name, folder = made
    numbers, pictured = read_csv(folder / f"{name}.csv"), [DATASET] if name in PICTURES else []
    figure = MODULES[name].draw(spec_of(name), numbers, *pictured)
    style.save(figure, tmp_path / "figure.pdf", tmp_path / "figure.png")
    for kind in ("pdf", "png"):
        assert (tmp_path / f"figure.{kind}").read_bytes() == (folder / f"{name}.{kind}").read_bytes()


def read_csv(path):
    return pd.read_csv(path, dtype=TEXT)


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


@pytest.mark.parametrize("name", ["mlp-0.summary.csv", "mlp-0.histogram.csv"])
def test_a_table_that_was_changed_is_refused_by_name(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figure", *arguments("score_distribution", tmp_path)])
    changed = tmp_path / "in" / name
    changed.write_text(changed.read_text().replace("20", "21"))
    with pytest.raises(SystemExit):
        run("score_distribution")
    assert f"{name} is not the file that its sidecar describes" in capsys.readouterr().err


def test_a_dataset_that_was_changed_is_refused_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figure", *arguments("most_memorised", tmp_path)])
    prepared.save(replace(DATASET, label_noise=~DATASET.label_noise), tmp_path / "in" / "data.npz")
    with pytest.raises(SystemExit):
        run("most_memorised")
    assert "data.npz is not the file that its sidecar describes" in capsys.readouterr().err
