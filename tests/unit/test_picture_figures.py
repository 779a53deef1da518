import functools

import numpy as np
import pandas as pd
import pytest
from figure_helpers import (
    DATASET,
    NO_FAMILIES,
    STUDY,
    TYPES,
    N,
    collisions,
    drawn_texts,
    image_of,
    images,
    make,
    outside,
    select,
    tables,
)
from matplotlib.colors import to_hex

from memflow.figures import pictures, style, trajectory_examples
from memflow.figures.pictures import random_order
from memflow.statistics.trajectory_types import TESTED

pytestmark = pytest.mark.usefixtures("figure_style")

FIGURES = ("most_memorised", "trajectory_examples")
TITLES = [family["title"] for family in STUDY.families.values()]
ENDS = {"Most memorised": "most", "Least memorised": "least"}


@functools.cache
def drawing(name):
    return make(name)


def is_heading(text):
    return text.get_weight() == "bold"


def read_panel(axes):
    """What a reader sees in a panel: per heading, the image, caption and colour of each picture in reading order."""
    headings = sorted((text for text in axes.texts if is_heading(text)), key=lambda text: text.get_position()[1])
    tops = np.array([text.get_position()[1] for text in headings])
    captions = [text for text in axes.texts if not is_heading(text)]
    found = {text.get_text(): [] for text in headings}
    for image in sorted(axes.images, key=lambda image: (image.get_extent()[3], image.get_extent()[0])):
        left, right, lower, upper = image.get_extent()
        assert lower > upper  # the first row of pixels is drawn above
        row = headings[np.searchsorted(tops, upper) - 1].get_text()
        below = [text for text in captions if text.get_position()[1] >= lower]
        caption = min(below, key=lambda text: np.hypot(*np.subtract(text.get_position(), ((left + right) / 2, lower))))
        found[row].append((image.get_array(), caption.get_text(), to_hex(caption.get_color())))
    assert len({caption for row in found.values() for _, caption, _ in row}) <= len(captions)
    return found


def label_of(row):
    return f"{row.label_name}\n({row.original_name})" if row.label_noise else row.label_name


CAPTIONS = {
    "most_memorised": lambda row: f"{label_of(row)}\n{row.memorisation:.2f}\n[{row.ci_low:.2f}, {row.ci_high:.2f}]",
    "trajectory_examples": lambda row: f"{label_of(row)}\n{row.first:.2f} → {row.last:.2f}",
}
ROWS = {
    "most_memorised": ("end", ENDS),
    "trajectory_examples": ("type", {kind.capitalize(): kind for kind in TESTED}),
}


def assert_shows(figure, name, numbers, dataset):
    """Every panel shows the pictures of its family in the table, each above its own caption."""
    column, headings = ROWS[name]
    for axes, family in zip(figure.axes, numbers["family"].unique(), strict=True):
        shown = read_panel(axes)
        assert list(shown) == list(headings)
        for heading, value in headings.items():
            rows = list(select(numbers, **{"family": family, column: value}).itertuples())
            assert len(shown[heading]) == len(rows)
            for (image, caption, colour), row in zip(shown[heading], rows, strict=True):
                assert np.array_equal(image, image_of(dataset, row.index_of_example))
                assert caption == CAPTIONS[name](row)
                assert colour == to_hex(style.COLOURS["flipped label"] if row.label_noise else "black")


def named(numbers):
    """``itertuples`` keeps the name Index for itself."""
    return numbers.rename(columns={"index": "index_of_example"})


# --- both figures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_every_image_is_the_training_image_of_the_table_and_has_its_own_caption(name):
    numbers, figure = drawing(name)
    assert numbers["label_noise"].any()
    assert_shows(figure, name, named(numbers), DATASET)


@pytest.mark.parametrize("name", FIGURES)
def test_labels_of_the_table_are_those_of_the_dataset_by_official_index(name):
    numbers, _ = drawing(name)
    for row in named(numbers).itertuples():
        position = DATASET.train.index.tolist().index(row.index_of_example)
        assert (row.position, row.label) == (position, DATASET.train.labels[position])
        assert row.label_name == DATASET.class_names[row.label]
        assert row.original_name == DATASET.class_names[DATASET.original_label[position]]
        assert row.label_noise == DATASET.label_noise[position]


@pytest.mark.parametrize("name", FIGURES)
def test_grey_images_are_shown_in_grey(name):
    grey = images(channels=1)
    numbers, figure = make(name, dataset=grey)
    assert_shows(figure, name, named(numbers), grey)
    assert all(image.get_array().shape == (4, 4, 3) for axes in figure.axes for image in axes.images)


@pytest.mark.parametrize("name", FIGURES)
def test_a_long_class_name_is_cut_and_touches_no_neighbour(name):
    long = images(class_names=[f"wardrobe-{number} with mirror" for number in range(9)])
    _, figure = make(name, dataset=long)
    labels = {
        caption.split("\n")[0] for axes in figure.axes for row in read_panel(axes).values() for _, caption, _ in row
    }
    assert labels <= {f"wardrobe-{number}…" for number in range(9)}
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []


@pytest.mark.parametrize(("name", "shown"), [("elevenchars", "elevenchars"), ("twelve chars", "twelve cha…")])
def test_a_class_name_of_eleven_letters_is_not_cut(name, shown):
    row = pd.DataFrame({"label_name": [name], "label_noise": False, "original_name": "cat"})
    assert pictures.label(next(row.itertuples())) == shown
    assert pictures.label(next(row.assign(label_noise=True).itertuples())) == f"{shown}\n(cat)"


@pytest.mark.parametrize("name", FIGURES)
def test_rows_start_at_the_same_height_in_every_panel_and_no_image_is_cut_or_covered(name):
    _, figure = drawing(name)
    heights = []
    for axes in figure.axes:
        heights.append({text.get_text(): text.get_position()[1] for text in axes.texts if is_heading(text)})
        (left, right), (lower, upper) = axes.get_xlim(), axes.get_ylim()
        for image in axes.images:
            x0, x1, y0, y1 = image.get_extent()
            assert left <= x0 < x1 <= right
            assert upper <= y1 < y0 <= lower
            assert np.isclose(x1 - x0, y0 - y1)
    assert heights[0] == heights[1]
    pixels = [image.get_window_extent() for axes in figure.axes for image in axes.images]
    for text, box in drawn_texts(figure):
        assert [image for image in pixels if box.padded(-0.5).overlaps(image)] == [], text
    for number, image in enumerate(pixels):
        assert [other for other in pixels[number + 1 :] if image.padded(-0.5).overlaps(other)] == []


def test_more_panels_have_fewer_pictures_side_by_side():
    assert [pictures.columns_of(number) for number in (1, 2, 3, 4)] == [7, 3, 2, 2]


def test_the_random_order_is_a_fixed_permutation():
    assert np.array_equal(random_order(5), [4, 1, 2, 0, 3])
    assert sorted(random_order(1000)) == list(range(1000))


# --- most_memorised --------------------------------------------------------------------------------------------------


def halves_of(architecture, given):
    scores = select(given["halves"], architecture=architecture)
    return (select(scores, half=half).set_index("index") for half in ("even", "odd"))


def test_each_panel_of_most_memorised_names_its_family_and_its_largest_architecture():
    _, figure = drawing("most_memorised")
    titles = [f"{family}\n{name}" for family, name in zip(TITLES, ("wide", "resnet"), strict=True)]
    assert [axes.get_title() for axes in figure.axes] == titles


@pytest.mark.parametrize(("family", "architecture"), [("MLPs", "wide"), ("All networks", "resnet")])
def test_most_memorised_ranks_by_the_even_half_and_reports_the_odd(family, architecture):
    numbers, _ = drawing("most_memorised")
    even, odd = halves_of(architecture, tables("most_memorised"))
    for end, ascending in (("most", False), ("least", True)):
        rows = select(numbers, family=family, end=end)
        ranking = even["memorisation"].sort_values(ascending=ascending)
        assert rows["index"].tolist() == ranking.index[:9].tolist()
        assert rows["rank"].tolist() == list(range(1, 10))
        for column in ("label", "memorisation", "ci_low", "ci_high"):
            assert rows[column].tolist() == odd.loc[rows["index"], column].tolist()


def test_ties_are_broken_by_the_fixed_random_order():
    given = tables("most_memorised")
    ties = given["halves"].assign(memorisation=0.5)
    numbers, _ = make("most_memorised", {"halves": ties})
    expected = DATASET.train.index[np.argsort(random_order(N))][:9].tolist()
    for end in ENDS.values():
        assert select(numbers, family="MLPs", end=end)["index"].tolist() == expected


def test_an_example_without_a_score_is_neither_most_nor_least_memorised():
    given = tables("most_memorised")["halves"]
    without = DATASET.train.index[10]
    given.loc[(given["index"] == without) & (given["half"] == "even"), "memorisation"] = np.nan
    few = given[given["index"].isin(DATASET.train.index[8:12])]
    numbers, _ = make("most_memorised", {"halves": few})
    assert without not in numbers["index"].tolist()
    assert set(numbers["rank"]) == {1, 2, 3}


def test_without_families_most_memorised_has_three_lines_of_seven_pictures_of_one_network():
    numbers, figure = make("most_memorised", study=NO_FAMILIES)
    assert [len(row) for row in read_panel(figure.axes[0]).values()] == [21, 21]
    assert_shows(figure, "most_memorised", named(numbers), DATASET)
    assert [axes.get_title() for axes in figure.axes] == ["wide"]


# --- trajectory_examples ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", TITLES)
def test_examples_are_the_first_of_their_even_type_in_the_random_order_with_scores_of_the_other_half(family):
    numbers, _ = drawing("trajectory_examples")
    halves = select(tables("trajectory_examples")["halves"], family=family, selected_on="even")
    ordered = halves.iloc[np.argsort(random_order(N))]
    first, last = {"MLPs": ("mlp", "wide"), "All networks": ("mlp", "resnet")}[family]
    for kind in TESTED:
        of_type = ordered[ordered["type"] == kind]
        rows = select(numbers, family=family, type=kind)
        assert rows["index"].tolist() == of_type["index"].head(3).tolist()
        assert rows["first"].tolist() == of_type[first].head(3).tolist()
        assert rows["last"].tolist() == of_type[last].head(3).tolist()
        assert set(rows["n_of_type"]) <= {TYPES[family].get(kind)}
        assert set(rows["n_examples"]) <= {N}
    counts = {kind: min(3, TYPES[family].get(kind, 0)) for kind in TESTED}
    assert select(numbers, family=family)["type"].value_counts().reindex(TESTED, fill_value=0).to_dict() == counts


def test_each_panel_of_trajectory_examples_is_a_family_and_an_empty_row_says_none():
    _, figure = drawing("trajectory_examples")
    assert [axes.get_title() for axes in figure.axes] == TITLES
    for axes, family in zip(figure.axes, TITLES, strict=True):
        texts = [text for text in axes.texts if text.get_text() == "none"]
        empty = [kind for kind in TESTED if kind not in TYPES[family]]
        assert len(texts) == len(empty)
        headings = [text for text in axes.texts if is_heading(text)]
        for text, kind in zip(texts, empty, strict=True):
            y = text.get_position()[1]
            above = [heading for heading in headings if heading.get_position()[1] < y]
            assert above[-1].get_text() == kind.capitalize()


def test_with_one_family_seven_examples_stand_side_by_side():
    spec = STUDY.figure_spec("trajectory_examples", "digits")
    only = spec | {"families": spec["families"][1:]}
    numbers = trajectory_examples.table(only, tables("trajectory_examples"), DATASET)
    figure = trajectory_examples.draw(only, numbers, DATASET)
    assert set(numbers["family"]) == {"All networks"}
    assert {heading: len(row) for heading, row in read_panel(figure.axes[0]).items()} == {
        "Constant": 7,
        "Increasing": 5,
        "Decreasing": 7,
        "Cap-shaped": 7,
        "Undetermined": 7,
    }
