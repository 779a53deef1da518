import functools

import numpy as np
import pandas as pd
import pytest
from figure_helpers import CIFAR, DATASET, SIZES, STUDY, TYPES, grid, legend_texts, make, select, tables
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex

from memflow.figures import style, trajectories
from memflow.figures.pictures import random_order
from memflow.statistics.trajectory_types import CHANGES, TESTED

pytestmark = pytest.mark.usefixtures("figure_style")

FAMILIES = {family["title"]: family["architectures"] for family in STUDY.families.values()}
PLACES = [(title, kind) for title in FAMILIES for kind in TESTED]


@functools.cache
def drawing():
    return make("trajectories")


def panel(family, row):
    """Axes of a family: ``shares``, a type, or ``class``."""
    return grid(drawing()[1])[["shares", *TESTED, "class"].index(row)][list(FAMILIES).index(family)]


def even_half(family):
    """Rows of the halves whose types are from the even groups and whose scores are from the odd ones."""
    halves = tables("trajectories")["halves"]
    return select(halves, family=family, selected_on="even").dropna(subset=["type"])


def thin(axes):
    """Data of the curves of single examples, by colour."""
    lines = [line for line in axes.lines if line.get_linewidth() < 1 and len(line.get_xdata())]
    return [(to_hex(line.get_color()), line.get_xydata()) for line in lines]


def as_curves(rows, family):
    """What should be drawn of some examples: colour, sizes and scores in the order of the family."""
    sizes = [SIZES[name] for name in FAMILIES[family]]
    scores = rows[FAMILIES[family]].to_numpy()
    return [
        (to_hex(style.COLOURS[kind]), np.column_stack([sizes, of_one]))
        for kind, of_one in zip(rows["type"], scores, strict=True)
    ]


def assert_same_curves(drawn, expected):
    def key(curve):
        return curve[0], curve[1].tolist()

    assert len(expected) > 0
    assert sorted(map(key, drawn)) == sorted(map(key, expected))


def test_there_is_a_column_per_family_and_a_row_for_shares_each_type_and_a_class():
    _, figure = drawing()
    rows = grid(figure)
    assert [len(row) for row in rows] == [2] * 7
    assert [axes.get_title() for axes in rows[0]] == list(FAMILIES)
    assert [row[0].get_ylabel() for row in rows[1:]] == [kind.capitalize() for kind in TESTED] + ["One class"]
    assert [axes.get_xlabel() for axes in rows[0]] == ["Share of examples"] * 2
    assert [axes.get_xlabel() for axes in rows[-1]] == ["Parameters"] * 2
    assert {axes.get_xlabel() for row in rows[1:-1] for axes in row} == {""}
    assert legend_texts(figure) == ["tested type", "descriptive label"]


def test_sizes_are_named_below_the_last_row_and_scores_left_of_the_first_column():
    figure = drawing()[1]
    figure.draw_without_rendering()
    for number, row in enumerate(grid(figure)[1:]):
        for column, axes in enumerate(row):
            sizes = [text.get_text() for text in axes.get_xticklabels() if text.get_visible()]
            expected = (["100", "400"], ["100", "250", "400"])[column] if number == len(TESTED) else []
            assert sizes == expected
            scores = [text.get_text() for text in axes.get_yticklabels() if text.get_visible()]
            assert scores == ([] if column else ["0.0", "0.5", "1.0"])


def test_every_share_stands_at_its_type_with_its_interval():
    summary = select(tables("trajectories")["summary"], examples="all")
    for family in FAMILIES:
        axes = panel(family, "shares")
        names = [text.get_text() for text in panel("MLPs", "shares").get_yticklabels()]
        points = [line for line in axes.lines if line.get_marker() in "oD" and len(line.get_xdata())]
        segments = [line for line in axes.lines if line.get_marker() == "None"]
        assert len(points) == len(segments) == 2 * len(TESTED)
        for point, segment in zip(points, segments, strict=True):
            (x,), (y,) = point.get_data()
            tested = point.get_marker() == "o"
            kind = names[axes.get_yticks().tolist().index(round(y))].lower()
            wanted = "other" if kind == "undetermined" and not tested else kind
            quantity = "share" if tested else "share_descriptive"
            row = select(summary, family=family, quantity=quantity, type=wanted).iloc[0]
            assert (x, *segment.get_xdata()) == (row["value"], max(row["low"], 0), row["high"])
            assert set(segment.get_ydata()) == {y}
            assert (y > round(y)) == tested
            assert to_hex(point.get_color()) == to_hex(segment.get_color()) == to_hex(style.COLOURS[kind])
            assert (to_hex(point.get_markerfacecolor()) == "#ffffff") == (not tested)
        drawn = {(point.get_marker(), round(point.get_ydata()[0])) for point in points}
        assert len(drawn) == 2 * len(TESTED)
        assert [text.get_text() for text in axes.get_xticklabels()] == ["0 %", "50 %", "100 %"]
        assert axes.get_xlim()[0] < 0
        assert axes.get_xlim()[1] > 1


@pytest.mark.parametrize(("family", "kind"), PLACES)
def test_the_mean_curve_of_a_type_has_its_interval_and_its_colour(family, kind):
    axes, curves = panel(family, kind), tables("trajectories")["curves"]
    rows = select(curves, family=family, basis="type", type=kind)
    means = [line for line in axes.lines if line.get_marker() == "o"]
    bands = [band for band in axes.collections if isinstance(band, FillBetweenPolyCollection)]
    assert len(means) == len(bands) == (kind in TYPES[family])
    for line, band in zip(means, bands, strict=True):
        assert np.array_equal(line.get_xydata(), rows[["parameters", "value"]])
        corners = band.get_paths()[0].vertices
        for row in rows.itertuples():
            of_size = corners[corners[:, 0] == row.parameters, 1]
            assert (of_size.min(), of_size.max()) == (row.low, row.high)
        assert to_hex(line.get_color()) == to_hex(band.get_facecolor()[0]) == to_hex(style.COLOURS[kind])


@pytest.mark.parametrize(("family", "kind"), PLACES)
def test_single_curves_are_the_first_of_their_type_in_the_random_order_measured_on_the_other_half(family, kind):
    rows = even_half(family)
    order = np.argsort(random_order(len(rows)))
    chosen = rows.iloc[order]
    chosen = chosen[chosen["type"] == kind].head(trajectories.SAMPLES)
    drawn = thin(panel(family, kind))
    assert len(drawn) == min(TYPES[family].get(kind, 0), trajectories.SAMPLES)
    if len(chosen):
        assert_same_curves(drawn, as_curves(chosen, family))


def test_a_type_without_examples_says_none_on_the_same_axis_as_the_others():
    for family, kind in PLACES:
        axes = panel(family, kind)
        assert [text.get_text() for text in axes.texts] == ([] if kind in TYPES[family] else ["none"])
    for family in FAMILIES:
        limits = {panel(family, row).get_xlim() for row in (*TESTED, "class")}
        assert len(limits) == 1
        low, high = limits.pop()
        sizes = [SIZES[name] for name in FAMILIES[family]]
        assert low < min(sizes) < max(sizes) < high


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_row_shows_all_examples_of_one_class_in_the_colours_of_their_types(family):
    rows = even_half(family)
    axes = panel(family, "class")
    (text,) = (text.get_text() for text in axes.texts)
    label = CIFAR.index(text.removeprefix("Label: "))
    assert_same_curves(thin(axes), as_curves(rows[rows["label"] == label], family))
    changing = rows[rows["type"].isin(CHANGES)]["label"].value_counts()
    assert changing[label] == changing.max()


def with_labels(types_even, types_odd, labels):
    """Tables in which the examples have these types and labels; all others are constant, of class 0."""
    given = tables("trajectories")
    halves = given["halves"].assign(type="constant", label=0)
    for half, types in (("even", types_even), ("odd", types_odd)):
        for position, (kind, label) in enumerate(zip(types, labels, strict=True)):
            where = (halves["selected_on"] == half) & (halves["index"] == DATASET.train.index[position])
            halves.loc[where, ["type", "label"]] = kind, label
    return given | {"halves": halves}


def class_texts(figure):
    return {text.get_text() for axes in grid(figure)[-1] for text in axes.texts}


def test_the_class_is_the_one_with_most_changing_examples_by_the_even_half():
    labels = [4, 4, 4, 5, 5, 5, 5, 5]
    even = [*CHANGES, "increasing", "decreasing", "undetermined", "undetermined", "constant"]
    odd = ["constant"] * 3 + ["increasing"] * 5
    _, figure = make("trajectories", with_labels(even, odd, labels))
    assert class_texts(figure) == {"Label: deer"}


def test_where_no_example_changes_the_class_is_the_largest():
    _, figure = make("trajectories", with_labels(["undetermined"] * 3, ["increasing"] * 3, [4, 4, 4]))
    assert class_texts(figure) == {"Label: airplane"}


def test_scores_and_shares_lie_inside_their_axes():
    for family, row in [*PLACES, *((family, "class") for family in FAMILIES)]:
        low, high = panel(family, row).get_ylim()
        assert low <= -0.1 < 1 <= high


def test_the_table_names_what_each_row_is():
    numbers, _ = drawing()
    leading = ["dataset", "family", "series", "type", "index", "label", "label_name", "architecture", "parameters"]
    assert list(numbers.columns) == [*leading, "value", "low", "high", "n_examples"]
    assert set(numbers["dataset"]) == {"digits"}
    assert set(numbers["series"]) == {"share", "share_descriptive", "mean", "sample", "class"}
    singles = select(numbers, series=["sample", "class"])
    names = np.array(CIFAR)[singles["label"].astype(int)]
    assert (singles["label_name"] == names).all()
    assert (singles["parameters"] == singles["architecture"].map(SIZES)).all()
    of_index = pd.Series(DATASET.train.labels, index=DATASET.train.index)
    assert (singles["label"] == of_index[singles["index"]].to_numpy()).all()


def test_an_example_without_a_type_is_in_no_curve():
    numbers, _ = drawing()
    halves = select(tables("trajectories")["halves"], family="MLPs", selected_on="even")
    untyped = halves.loc[halves["type"].isna(), "index"]
    assert len(untyped) == 3
    assert not select(numbers, family="MLPs")["index"].isin(untyped).any()
