import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_helpers import CIFAR, collisions, drawn_texts, images, outside

from memflow import provenance
from memflow.data import hazards as search
from memflow.data import prepared
from memflow.data.prepared import Split
from memflow.figures import pictures, style
from memflow.figures.hazards import PER_LINE, ROWS, describe, draw, table
from memflow.files import write_csv

pytestmark = pytest.mark.usefixtures("figure_style")

PROJECT = Path(__file__).parents[2]
NEAR = 0.995
SPEC = {"dataset": "digits", "near_duplicates": NEAR}
N, SHOWN = 60, 6
HEADINGS = ROWS | {"near": f"{ROWS['near']} (similarity from {NEAR:g})"}
ROW_OF = {heading: row for row, heading in HEADINGS.items()}


def make_dataset(channels=3, class_names=CIFAR):
    """Official indices are not positions, and those of the test split are others."""
    made = images(channels, class_names)
    index = (1000 + 7 * np.arange(len(made.test))).astype(np.int32)
    return replace(made, test=replace(made.test, index=index))


DATASET = make_dataset()


def noisy(image, by, seed):
    return np.clip(image + np.random.default_rng(seed).normal(0, by, image.shape), 0, 255).astype(np.uint8)


def with_copies(dataset=DATASET, exact=2, near=9, test=8):
    """Exact copies, near copies, and copies in the test split; one of each with another label."""
    train, other = dataset.train.images.copy(), dataset.test.images.copy()
    for number in range(exact):
        train[30 + number] = train[number]
    for number in range(near):
        train[40 + number] = noisy(train[10 + number], 1 + number / 2, number)
    for number in range(test):
        other[number] = train[20] if number == 3 else noisy(train[20 + number], 1 + number / 2, 100 + number)
    return replace(dataset, train=replace(dataset.train, images=train), test=replace(dataset.test, images=other))


def pairs_of(dataset):
    train = Split(dataset.train.images, dataset.original_label, dataset.train.index)
    return search.find(train, dataset.test, NEAR).pairs.assign(dataset="digits")


def make(dataset=None, pairs=None):
    dataset = dataset or with_copies()
    pairs = pairs_of(dataset) if pairs is None else pairs
    numbers = table(SPEC, {"pairs": pairs}, dataset)
    return dataset, pairs, numbers, draw(SPEC, numbers, dataset)


def read_figure(figure):
    """Per heading: pairs in reading order, each with two images, two captions and what stands below both."""
    (axes,) = figure.axes
    headings = sorted(
        (text for text in axes.texts if text.get_weight() == "bold"), key=lambda text: text.get_position()[1]
    )
    tops = np.array([text.get_position()[1] for text in headings])
    others = [text for text in axes.texts if text.get_weight() != "bold"]
    found = {text.get_text(): [] for text in headings}
    drawn = sorted(axes.images, key=lambda image: (round(image.get_extent()[3], 6), image.get_extent()[0]))
    for pair in zip(drawn[::2], drawn[1::2], strict=True):
        centres = [np.mean(image.get_extent()[:2]) for image in pair]
        lower = pair[0].get_extent()[2]
        assert pair[1].get_extent()[2:] == pair[0].get_extent()[2:]
        nearest = [closest(others, centre, lower) for centre in (*centres, np.mean(centres))]
        row = headings[np.searchsorted(tops, pair[0].get_extent()[3]) - 1].get_text()
        found[row].append(([image.get_array() for image in pair], nearest))
    return found


def closest(texts, x, y):
    below = [text for text in texts if text.get_position()[1] > y and np.isclose(text.get_position()[0], x)]
    return min(below, key=lambda text: text.get_position()[1]).get_text()


def image_of(dataset, split, index):
    (image,) = getattr(dataset, split).images[getattr(dataset, split).index == index]
    return np.repeat(image, 3 // image.shape[2], axis=2)


def expected_rows(pairs):
    inside, exact = pairs["other_split"] == "train", pairs["kind"] == "exact"
    return {
        "exact": pairs[inside & exact],
        "near": pairs[inside & ~exact],
        "label": pairs[pairs["conflict"]],
        "test": pairs[~inside],
    }


def assert_shows(figure, numbers, dataset):
    shown = read_figure(figure)
    assert [heading.split(":")[0] for heading in shown] == list(ROW_OF)
    for heading, pairs in shown.items():
        rows = numbers[(numbers["row"] == ROW_OF[heading.split(":")[0]]) & (numbers["n_pairs"] > 0)]
        assert len(rows) == len(pairs)
        for (arrays, texts), row in zip(pairs, rows.rename(columns={"index": "at"}).itertuples(), strict=True):
            assert np.array_equal(arrays[0], image_of(dataset, "train", row.at))
            assert np.array_equal(arrays[1], image_of(dataset, row.other_split, row.other_index))
            assert texts[0] == f"train {row.at}\n{pictures.short(row.label_name)}"
            assert texts[1] == f"{row.other_split} {row.other_index}\n{pictures.short(row.other_label_name)}"
            assert texts[2] == ("identical" if row.kind == "exact" else f"similarity {row.similarity - 5e-4:.3f}")


def test_every_pair_of_the_table_is_drawn_with_its_images_and_captions():
    dataset, _, numbers, figure = make()
    assert numbers.groupby("row", sort=False).size().to_dict() == {"exact": 2, "near": 6, "label": 6, "test": 6}
    assert_shows(figure, numbers, dataset)


def test_the_rows_hold_pairs_of_their_kind_and_how_many_there_are():
    _, pairs, numbers, figure = make()
    headings = list(read_figure(figure))
    keys = ["kind", "index", "other_split", "other_index"]
    for (row, expected), heading in zip(expected_rows(pairs).items(), headings, strict=True):
        chosen = numbers[numbers["row"] == row]
        assert set(chosen["n_pairs"]) == {len(expected)}
        assert heading == f"{HEADINGS[row]}: {len(expected)} pairs"
        merged = chosen[keys].astype(expected[keys].dtypes).merge(expected, on=keys)
        assert len(merged) == len(chosen) == min(SHOWN, len(expected))
        assert merged["similarity"].tolist() == chosen["similarity"].tolist()


def test_the_first_line_is_the_most_similar_and_the_second_a_fixed_sample_of_the_others():
    _, pairs, numbers, _ = make()
    for row in ("near", "test"):
        expected = expected_rows(pairs)[row].sort_values("similarity", ascending=False)["similarity"].tolist()
        shown = numbers.loc[numbers["row"] == row, "similarity"].tolist()
        assert shown[:PER_LINE] == expected[:PER_LINE]
        assert shown[PER_LINE:] == sorted(shown[PER_LINE:], reverse=True)
        assert set(shown[PER_LINE:]) < set(expected[PER_LINE:])
    assert make()[2].equals(numbers)


def test_labels_are_those_before_label_noise():
    dataset, _, numbers, _ = make()
    position = {index: number for number, index in enumerate(dataset.train.index)}
    flipped = 0
    for row in numbers.rename(columns={"index": "at"}).itertuples():
        assert row.label == dataset.original_label[position[row.at]]
        assert row.label_name == dataset.class_names[row.label]
        flipped += dataset.label_noise[position[row.at]]
    assert flipped


def test_rows_without_pairs_say_none_and_stand_in_the_table_with_zero():
    _, _, numbers, figure = make(DATASET)
    assert numbers["row"].tolist() == list(ROWS)
    assert numbers["n_pairs"].tolist() == [0, 0, 0, 0]
    assert numbers.drop(columns=["dataset", "row", "n_pairs"]).isna().all(axis=None)
    assert list(read_figure(figure)) == list(ROW_OF)
    assert [text for text, _ in drawn_texts(figure)].count("none") == 4


def test_near_copies_never_read_as_identical():
    dataset = with_copies()
    pairs = pairs_of(dataset)
    pairs.loc[pairs["kind"] == "near", "similarity"] = 0.99999
    texts = [text for text, _ in drawn_texts(make(dataset, pairs)[3])]
    assert "similarity 0.999" in texts
    assert "similarity 1.000" not in texts


def test_one_pair_is_one_pair():
    dataset, _, numbers, figure = make(with_copies(exact=1, near=0, test=0))
    assert next(iter(read_figure(figure))) == "Exact copies in training: 1 pair"
    assert_shows(figure, numbers, dataset)


@pytest.mark.parametrize(
    ("channels", "class_names"), [(1, CIFAR), (3, [f"wardrobe-{n} with mirror" for n in range(9)])]
)
@pytest.mark.parametrize("counts", [{}, {"exact": 0, "near": 2, "test": 0}, {"exact": 0, "near": 0, "test": 4}])
def test_nothing_touches_or_leaves_the_figure(channels, class_names, counts):
    dataset, _, numbers, figure = make(with_copies(make_dataset(channels, class_names), **counts))
    assert_shows(figure, numbers, dataset)
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []
    boxes = [image.get_window_extent() for image in figure.axes[0].images]
    for text, box in texts:
        assert [image for image in boxes if box.padded(-0.5).overlaps(image)] == [], text
    for number, image in enumerate(boxes):
        assert [other for other in boxes[number + 1 :] if image.padded(-0.5).overlaps(other)] == []
        assert np.isclose(image.width, image.height)
    assert figure.get_size_inches()[0] == style.ONE_COLUMN


def test_the_table_read_from_its_file_gives_the_same_figure():
    """The figure takes the pairs from a file, in which an empty table has lost its types."""
    for dataset in (with_copies(), DATASET):
        written = io.StringIO(pairs_of(dataset).to_csv(index=False))
        _, _, expected, _ = make(dataset)
        assert table(SPEC, {"pairs": pd.read_csv(written)}, dataset).astype(str).equals(expected.astype(str))


def test_the_script_makes_the_figure_from_the_files_of_the_dataset(tmp_path):
    dataset = with_copies()
    files = [tmp_path / "digits.npz", tmp_path / "digits.hazards.csv"]
    prepared.save(dataset, files[0])
    write_csv(files[1], pairs_of(dataset).drop(columns="dataset"))
    provenance.write(files, {}, inputs={}, started=provenance.now())
    outputs = [f"--{kind}={tmp_path}/hazards.{kind}" for kind in ("pdf", "png", "csv", "log")]
    inputs = [f"--dataset={files[0]}", f"--pairs={files[1]}", f"--spec={json.dumps(SPEC)}"]
    code = "from memflow import config; config.check_code = lambda spec: None; import runpy; "
    code += f"runpy.run_path({str(PROJECT / 'workflow/scripts/hazards.py')!r}, run_name='__main__')"
    subprocess.run([sys.executable, "-c", code, *inputs, *outputs], check=True)
    written = pd.read_csv(tmp_path / "hazards.csv")
    assert written["n_pairs"].tolist() == make(dataset)[2]["n_pairs"].tolist()
    assert set(written["dataset"]) == {"digits"}
    recorded = provenance.read(tmp_path / "hazards.png")["inputs"]
    assert {str(path).split("/")[-1] for path in recorded} == {"digits.npz", "digits.hazards.csv"}


# --- sentences -------------------------------------------------------------------------------------------------------


def listing(*rows):
    columns = ["kind", "other_split", "conflict", "total"]
    return pd.DataFrame([row for row in rows for _ in range(min(row[3], 5))], columns=columns)


def test_sentences_without_copies():
    assert describe(listing(), NEAR) == [
        "There are no exact copies of another image in training.",
        f"There are no pairs of near copies in training (pixels that correlate at {NEAR} or above).",
        "There are no pairs of a training image and its copy in the test split.",
        "There are no pairs of copies with two labels.",
    ]


def test_sentences_with_one_of_each():
    pairs = listing(("exact", "train", False, 1), ("near", "train", True, 1), ("exact", "test", False, 1))
    assert describe(pairs, near=0.9) == [
        "There is 1 exact copy of another image in training.",
        "There is 1 pair of near copies in training (pixels that correlate at 0.9 or above).",
        "There is 1 pair of a training image and its copy in the test split (1 exact, 0 near).",
        "There is 1 pair of copies with two labels.",
    ]


def test_sentences_count_all_pairs_and_say_if_not_all_are_listed():
    pairs = listing(
        ("exact", "train", False, 3),
        ("near", "train", False, 1200),
        ("near", "train", True, 30),
        ("exact", "test", True, 2),
        ("near", "test", False, 4),
    )
    assert describe(pairs, NEAR)[0] == "There are 3 exact copies of another image in training."
    assert describe(pairs, NEAR)[1].startswith("There are 1,230 pairs of near copies")
    assert describe(pairs, NEAR)[2].endswith(
        "pairs of a training image and its copy in the test split (2 exact, 4 near)."
    )
    assert describe(pairs, NEAR)[3] == "There are 32 pairs of copies with two labels."
    assert describe(pairs, NEAR)[4] == "Only the 100,000 most similar near copies of a split are listed."


def test_the_sentences_count_what_the_figure_counts():
    _, pairs, numbers, _ = make()
    counts = numbers.drop_duplicates("row").set_index("row")["n_pairs"]
    for row, sentence in zip(("exact", "near", "test", "label"), describe(pairs, NEAR), strict=True):
        assert sentence.startswith(f"There are {counts[row]} ")


def test_the_figure_states_the_threshold_of_near_copies():
    _, _, _, figure = make()
    assert any(f"(similarity from {NEAR:g})" in text.get_text() for text in figure.axes[0].texts)
