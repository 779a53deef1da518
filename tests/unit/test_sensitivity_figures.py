import functools
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_helpers import (
    NO_FAMILIES,
    SIZES,
    STUDY,
    collisions,
    drawn_texts,
    grid,
    legend_texts,
    outside,
    select,
)
from matplotlib.collections import FillBetweenPolyCollection, LineCollection, PathCollection
from matplotlib.colors import to_hex

from memflow import provenance
from memflow.figures import memorised_vs_size, sensitivity, style
from memflow.files import write_csv
from memflow.statistics.trajectory_types import TESTED
from memflow.summary import THRESHOLDS

pytestmark = pytest.mark.usefixtures("figure_style")

PROJECT = Path(__file__).resolve().parents[2]
GROUPS = {
    "clean": {"all": 200},
    "flipped": {"all": 200, "clean label": 190, "flipped label": 10},
    "both": {"all": 200, "clean label": 180, "flipped label": 10, "noise image": 10},
}
TITLES = ["MLPs", "All networks"]


def no_text_is_lost(figure):
    texts = drawn_texts(figure)
    assert texts
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []


# --- memorised_vs_size ---------------------------------------------------------------------------------------------


def counted(groups):
    """Counts above each threshold, all of which differ."""
    rows = []
    for architecture, parameters in SIZES.items():
        for examples, n in groups.items():
            for threshold in THRESHOLDS:
                value = n * (0.9 - 0.8 * threshold) * (1 - 0.001 * len(rows))
                row = {"architecture": architecture, "parameters": parameters, "examples": examples}
                row |= {"threshold": threshold, "value": value, "low": 0.9 * value, "high": 1.1 * value}
                rows.append(row | {"n_examples": n, "runs": 20, "pretraining_overlap": "no"})
    return pd.DataFrame(rows)


@functools.cache
def vs_size(groups, study=STUDY, **changes):
    spec = study.figure_spec("memorised_vs_size", "digits") | changes
    numbers = memorised_vs_size.table(spec, {"thresholds": counted(GROUPS[groups])})
    return numbers, memorised_vs_size.draw(spec, numbers)


def panels_of(figure):
    """Axes by threshold and column."""
    found = {}
    for axes in (axes for row in grid(figure) for axes in row):
        threshold = float(axes.texts[0].get_text().removeprefix("≥ "))
        found.setdefault(threshold, []).append(axes)
    return found


@pytest.mark.parametrize("groups", ["clean", "both"])
def test_every_number_is_a_point_of_its_family_and_threshold(groups):
    numbers, figure = vs_size(groups)
    shown = [name for name in GROUPS[groups] if name != "all"] or ["all"]
    assert set(numbers["examples"]) == set(shown)
    panels = panels_of(figure)
    assert list(panels) == list(THRESHOLDS)
    for threshold, of_threshold in panels.items():
        for axes, group in zip(of_threshold, shown, strict=True):
            lines = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
            bands = [band for band in axes.collections if isinstance(band, FillBetweenPolyCollection)]
            for family, line, band, colour in zip(TITLES, lines, bands, style.PALETTE, strict=False):
                rows = select(numbers, family=family, examples=group, threshold=threshold).sort_values("parameters")
                assert len(rows) == (2 if family == "MLPs" else 3)
                percent = 100 * rows[["value", "low", "high"]].div(rows["n_examples"], axis=0)
                assert np.allclose(line.get_xydata(), np.column_stack([rows["parameters"], percent["value"]]))
                assert to_hex(line.get_color()) == colour
                corners = band.get_paths()[0].vertices
                for x, low, high in zip(rows["parameters"], percent["low"], percent["high"], strict=True):
                    of_size = corners[corners[:, 0] == x, 1]
                    assert (of_size.min(), of_size.max()) == pytest.approx((low, high))
            dashed = [line.get_ydata() for line in axes.lines if line.get_linestyle() == "--"]
            (level,) = [y[0] for y in dashed if len(y)]  # others are in the legend
            reference = select(numbers, family="reference", examples=group, threshold=threshold)
            assert level == pytest.approx(100 * (reference["value"] / reference["n_examples"]).iloc[0])
            assert axes.get_ylim()[0] == 0
            assert axes.get_ylim()[1] > max(line.get_ydata().max() for line in lines)


@pytest.mark.parametrize(("memorised_at", "marked"), [(0.25, [0.25]), (0.35, [])])
def test_the_studys_threshold_is_marked_where_it_is_shown(memorised_at, marked):
    _, figure = vs_size("clean", memorised_at=memorised_at)
    found = [
        threshold
        for threshold, of_threshold in panels_of(figure).items()
        if all(to_hex(axes.get_facecolor()) != "#ffffff" for axes in of_threshold)
    ]
    assert found == marked


@pytest.mark.parametrize(("groups", "study"), [("both", STUDY), ("clean", NO_FAMILIES)], ids=["both", "no families"])
def test_no_text_of_memorised_vs_size_is_lost(groups, study):
    _, figure = vs_size(groups) if study is STUDY else vs_size(groups, study)
    no_text_is_lost(figure)
    assert legend_texts(figure) == [*(TITLES if study is STUDY else []), "neighbour"]
    titles = [axes.get_title() for axes in grid(figure)[0]]
    assert titles == ([f"{name}s" for name in GROUPS[groups] if name != "all"] or ["", ""])


def test_a_share_of_nothing_has_an_axis():
    spec = STUDY.figure_spec("memorised_vs_size", "digits")
    nothing = counted(GROUPS["clean"]).assign(value=0.0, low=0.0, high=0.0)
    figure = memorised_vs_size.draw(spec, memorised_vs_size.table(spec, {"thresholds": nothing}))
    assert all(axes.get_ylim() == (0, 1) for row in grid(figure) for axes in row)


# --- sensitivity ---------------------------------------------------------------------------------------------------

NAN = float("nan")


def rows_of(family, examples, runs=(20, 40, 80, 100), ratios=("7/10", "1/2")):
    """A table of one family, in which all numbers differ."""
    keys = []
    for number, architecture in enumerate(family["architectures"]):
        for k in runs:
            for place, quantity in enumerate(("memorised", "half_width", "half_width_worst", "distance")):
                value = (0.3 + 0.1 * place + 0.01 * number) * (20 / k) ** 0.5
                keys.append(("K", architecture, k, quantity, value, 0.9 * value, 1.1 * value, 1.01 * value))
            value = 0.95 - 0.01 * number - 2 / k
            keys.append(
                ("reliability", architecture, k, "reliability", value, value - 0.02, value + 0.02, value + 0.01)
            )
        for k in (200, 1000):
            keys.append(("K", architecture, k, "memorised", NAN, NAN, NAN, 0.1 + 0.01 * number))
        for threshold in THRESHOLDS:
            value = 0.5 - 0.4 * threshold + 0.01 * number
            keys.append(
                ("threshold", architecture, f"{threshold:g}", "memorised", value, value - 0.05, value + 0.05, NAN)
            )
        for place, ratio in enumerate(ratios):
            value = 0.2 + 0.05 * place + 0.01 * number
            keys.append(("ratio", architecture, ratio, "memorisation", value, value - 0.02, value + 0.02, NAN))
            keys.append(("ratio", architecture, ratio, "share_low", 0.6, 0.5, 0.7, 0.61))  # these are not drawn
        keys.append(("design", architecture, "groups", "memorised", 0.1, 0.05, 0.2, 0.12))
        keys.append(("design", architecture, "groups", "variance_ratio", 0.9 + 0.02 * number, 0.85, 1.02, 1.0))
    for place, kind in enumerate(TESTED):
        for k in runs:
            value = (5 - place) / 15 + 0.0001 * k
            keys.append(("K", "", k, f"type {kind}", value, value - 0.01, value + 0.01, NAN))
        keys.extend(("ratio", "", ratio, f"type {kind}", 0.2, NAN, NAN, NAN) for ratio in ratios)  # nor these
    columns = ["what", "architecture", "setting", "quantity", "value", "low", "high", "predicted"]
    table = pd.DataFrame(keys, columns=columns).astype({"setting": str})
    return table.assign(examples=examples, n_examples=200, runs=100, family=family["title"], pretraining_overlap="no")


@functools.cache
def of_study(n_families=2, **options):
    spec = STUDY.figure_spec("sensitivity", "digits")
    spec["families"] = spec["families"][:n_families]
    groups = ("all", "clean label", "flipped label")
    given = pd.concat([rows_of(of, name, **options) for of in spec["families"] for name in groups], ignore_index=True)
    given["architecture"] = given["architecture"].replace("", NAN)  # as it is read
    numbers = sensitivity.table(spec, {"sensitivity": given})
    return numbers, sensitivity.draw(spec, numbers)


def points(axes):
    """Of every line with markers: colour, and its points."""
    return [
        (to_hex(line.get_color()), line.get_xydata())
        for line in axes.lines
        if len(line.get_xdata()) and line.get_marker() == "o"
    ]


def test_the_table_of_sensitivity_is_of_natural_examples_and_what_is_drawn():
    numbers, _ = of_study()
    assert set(numbers["examples"]) == {"clean label"}
    assert numbers["architecture"].notna().all()
    assert "distance" not in set(numbers["quantity"])
    assert set(select(numbers, what="design")["quantity"]) == {"variance_ratio"}
    assert set(select(numbers, what="ratio")["quantity"]) == {"memorisation"}
    assert numbers.columns[:2].tolist() == ["dataset", "family"]


@pytest.mark.parametrize("row", range(3))
def test_what_was_measured_and_predicted_stands_against_the_runs(row):
    numbers, figure = of_study()
    what, quantity = list(sensitivity.OVER_RUNS.values())[row]
    scale = 100 if quantity == "memorised" else 1
    for axes, family in zip(grid(figure)[row], STUDY.figure_spec("sensitivity", "digits")["families"], strict=True):
        colours = sensitivity.shades(family["architectures"])
        dashed = [line.get_xydata() for line in axes.lines if line.get_linestyle() == "--"]
        bars = [bar for bar in axes.collections if isinstance(bar, LineCollection)]
        for place, (architecture, colour) in enumerate(colours.items()):
            rows = select(numbers, family=family["title"], what=what, quantity=quantity, architecture=architecture)
            rows = rows.assign(x=rows["setting"].astype(float))
            measured = rows.dropna(subset="value")
            shade, found = points(axes)[place]
            assert shade == to_hex(colour)
            assert np.allclose(found, np.column_stack([measured["x"], scale * measured["value"]]))
            ends = [np.sort(segment[:, 1]) for segment in bars[place].get_segments()]
            assert np.allclose(ends, scale * measured[["low", "high"]])
            assert np.allclose(dashed[place], np.column_stack([rows["x"], scale * rows["predicted"]]))
        assert axes.get_ylim()[0] == 0


def test_the_types_stand_against_the_runs():
    numbers, figure = of_study()
    for axes, family in zip(grid(figure)[3], TITLES, strict=True):
        for (colour, found), kind in zip(points(axes), TESTED, strict=True):
            rows = select(numbers, family=family, quantity=f"type {kind}")
            assert colour == style.COLOURS[kind]
            assert np.allclose(found, np.column_stack([rows["setting"].astype(float), 100 * rows["value"]]))
            assert axes.get_ylim()[1] >= 100 * rows["value"].max()


def test_thresholds_ratios_and_variances_are_drawn():
    numbers, figure = of_study()
    *_, thresholds, ratios, design = (row[1] for row in grid(figure))
    members = STUDY.figure_spec("sensitivity", "digits")["families"][1]["architectures"]
    lines = [line.get_xydata() for line in thresholds.lines]
    variances = next(dots for dots in design.collections if isinstance(dots, PathCollection)).get_offsets()
    for place, architecture in enumerate(members):
        of = select(numbers, family="All networks", architecture=architecture)
        rows = select(of, what="threshold")
        assert np.allclose(lines[place], np.column_stack([rows["setting"].astype(float), 100 * rows["value"]]))
        rows = select(of, what="ratio").iloc[::-1]  # 1/2 before 7/10
        assert np.allclose(points(ratios)[place][1], np.column_stack([[0.5, 0.7], rows["value"]]))
        assert np.allclose(variances[place], [place, select(of, what="design")["value"].iloc[0]])
    assert [label.get_text() for label in ratios.get_xticklabels()] == ["1/2", "7/10"]
    assert [label.get_text() for label in design.get_xticklabels()] == members


@pytest.mark.parametrize(
    ("options", "rows"),
    [({}, 7), ({"n_families": 1, "ratios": ()}, 6), ({"runs": (100,)}, 7)],
    ids=["all", "one family and ratio", "few runs"],
)
def test_no_text_of_sensitivity_is_lost(options, rows):
    _, figure = of_study(**options)
    no_text_is_lost(figure)
    assert len(grid(figure)) == rows
    assert legend_texts(figure) == ["measured", "predicted", "any example, at most", *TESTED]


def test_many_sizes_have_room_for_their_names():
    families = [
        {"title": "Residual networks of many depths", "architectures": [f"resnet{6 * n + 2}-w16" for n in range(1, 9)]}
    ]
    spec = {"dataset": "digits", "families": families, "memorised_at": 0.25, "references": []}
    spec["pretraining_overlap"] = dict.fromkeys(families[0]["architectures"], "no")
    numbers = sensitivity.table(spec, {"sensitivity": rows_of(families[0], "all")})
    no_text_is_lost(sensitivity.draw(spec, numbers))


# --- the scripts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["memorised_vs_size", "sensitivity"])
def test_the_script_writes_the_figure(name, tmp_path, monkeypatch):
    spec = STUDY.figure_spec(name, "digits")
    if name == "sensitivity":
        kind, tables = "sensitivity", [rows_of(of, "all").drop(columns="family") for of in spec["families"]]
    else:
        kind, given = "thresholds", counted(GROUPS["clean"])
        tables = [given[given["architecture"] == of].drop(columns="architecture") for of in spec["architectures"]]
    paths = [tmp_path / f"{number}.csv" for number in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        write_csv(path, table)
        provenance.write([path], {}, inputs={}, started=provenance.now())
    parts = ["figure", "--spec", json.dumps(spec), f"--{kind}", *paths, "--log", tmp_path / "log"]
    for suffix in ("pdf", "png", "csv"):
        parts += [f"--{suffix}", tmp_path / f"{name}.{suffix}"]
    monkeypatch.setattr(sys, "argv", list(map(str, parts)))
    runpy.run_path(str(PROJECT / "workflow" / "scripts" / f"{name}.py"), run_name="__main__")
    for suffix in ("pdf", "png", "csv"):
        assert provenance.read(tmp_path / f"{name}.{suffix}")["definition"]["dataset"] == "digits"
    assert (PROJECT / "workflow" / "report" / f"{name}.rst").read_text()
