"""Figure hazards: pairs of pictures that are copies of each other, in training or across the splits.

Labels are those of the source, before any label noise of the study: what conflicts is the dataset's own.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memflow.data.hazards import MOST_PAIRS
from memflow.data.prepared import Dataset
from memflow.figures import pictures, style

ROWS = {
    "exact": "Exact copies in training",
    "near": "Near copies in training",
    "label": "Copies with another label",
    "test": "Copies in the test split",
}
PER_LINE, LINES = 3, 2  # of pairs: the most similar ones, below them others at random
BETWEEN = 0.14  # inches between pairs
INSIDE = 0.03  # inches between the two pictures of a pair
PAIR = (style.ONE_COLUMN - pictures.GUTTER - (PER_LINE - 1) * BETWEEN) / PER_LINE
GAP = 0.02  # inches between picture and caption
SIDE = (PAIR - INSIDE) / 2
LINE = SIDE + 3.9 * pictures.LINE  # a line of pairs: picture, two lines of caption, similarity
NONE = 0.13  # inches of a row without pairs
NUMBERS = ["kind", "index", "label", "other_split", "other_index", "other_label", "similarity", "conflict"]


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame], dataset: Dataset) -> pd.DataFrame:
    """Per row of the figure, the pairs that are shown, and ``n_pairs``, how many there are.

    A row without pairs stands in the table once, with 0 pairs and nothing else.

    Parameters
    ----------
    spec : dict
    tables : dict of str to DataFrame
        ``pairs``, from :class:`memflow.data.hazards.Hazards`.
    dataset : Dataset
    """
    parts = []
    for row, belongs in _rows_of(tables["pairs"]).items():
        pairs = tables["pairs"][belongs]
        chosen = _choose(pairs)[NUMBERS] if len(pairs) else pd.DataFrame([{}], columns=NUMBERS)
        parts.append(chosen.assign(row=row, n_pairs=total(pairs)).astype(object))
    numbers = pd.concat(parts, ignore_index=True)
    names = dict(enumerate(dataset.class_names))
    for label in ("label", "other_label"):
        numbers[f"{label}_name"] = numbers[label].map(names)
    numbers = numbers.assign(dataset=spec["dataset"])
    return numbers[["dataset", "row", "n_pairs", *NUMBERS, "label_name", "other_label_name"]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame, dataset: Dataset) -> Figure:
    """The rows one below the other; under each picture its split, index and label, and under both their similarity."""
    shown = {row: numbers[(numbers["row"] == row) & numbers["kind"].notna()] for row in ROWS}
    heights = [pictures.HEADING + (LINE * -(-len(pairs) // PER_LINE) or NONE) for pairs in shown.values()]
    figure = Figure(figsize=(style.ONE_COLUMN, sum(heights)))
    figure.set_layout_engine("none")  # everything has its place
    width = style.ONE_COLUMN - pictures.GUTTER
    axes = figure.add_axes((pictures.GUTTER / 2 / style.ONE_COLUMN, 0, width / style.ONE_COLUMN, 1))
    for (row, pairs), top in zip(shown.items(), np.cumsum([0, *heights[:-1]]), strict=True):
        _draw_row(axes, _heading(row, numbers, spec["near_duplicates"]), pairs, top, dataset)
    axes.set(xlim=(0, width), ylim=(sum(heights), 0), aspect="equal")
    axes.set_axis_off()
    return figure


def describe(pairs: pd.DataFrame, near: float) -> list[str]:
    """What was found, in sentences.

    Parameters
    ----------
    pairs : DataFrame
        From :class:`memflow.data.hazards.Hazards`.
    near : float
        The threshold that they were found with.

    Returns
    -------
    list of str
        About exact and near copies in training, copies in the test split, and labels, in this order.
    """
    n = {row: total(pairs[chosen]) for row, chosen in _rows_of(pairs).items()}
    across = pairs[pairs["other_split"] == "test"]
    exact, close = (total(across[across["kind"] == kind]) for kind in ("exact", "near"))
    kinds = f" ({exact:,} exact, {close:,} near)" if n["test"] else ""
    correlate = f"pixels that correlate at {near:g} or above"
    sentences = [
        f"{_there_are(n['exact'], 'exact copy', 'exact copies')} of another image in training.",
        f"{_there_are(n['near'], 'pair', 'pairs')} of near copies in training ({correlate}).",
        f"{_there_are(n['test'], 'pair', 'pairs')} of a training image and its copy in the test split{kinds}.",
        f"{_there_are(n['label'], 'pair', 'pairs')} of copies with two labels.",
    ]
    hidden = total(pairs) > len(pairs)
    return sentences + [f"Only the {MOST_PAIRS:,} most similar near copies of a split are listed."] * hidden


def total(pairs: pd.DataFrame) -> int:
    """How many pairs there are of the kinds in a table of pairs, listed or not."""
    return int(pairs.drop_duplicates(["kind", "other_split", "conflict"])["total"].sum())


def _rows_of(pairs: pd.DataFrame) -> dict[str, pd.Series]:
    """Which pairs belong to each row of the figure."""
    inside, conflict = pairs["other_split"] == "train", pairs["conflict"].astype(bool)
    exact = pairs["kind"] == "exact"
    return {"exact": inside & exact, "near": inside & ~exact, "label": conflict, "test": ~inside}


def _choose(pairs: pd.DataFrame) -> pd.DataFrame:
    """The most similar pairs, then others at random; each in order of falling similarity."""
    ordered = pairs.sort_values("similarity", ascending=False, kind="stable")
    rest = ordered.iloc[PER_LINE:]
    sampled = rest[pictures.random_order(len(rest)) < PER_LINE * (LINES - 1)]
    return pd.concat([ordered.iloc[:PER_LINE], sampled])


def _draw_row(axes: Axes, heading: str, pairs: pd.DataFrame, top: float, dataset: Dataset) -> None:
    """Pairs from ``top`` downwards; lengths in inches."""
    pictures.draw_heading(axes, heading, 0, top)
    top += pictures.HEADING
    if pairs.empty:
        pictures.draw_none(axes, 0, top + NONE / 3)
    for number, pair in enumerate(pairs.itertuples(name=None, index=False)):
        values = dict(zip(pairs.columns, pair, strict=True))
        left, upper = number % PER_LINE * (PAIR + BETWEEN), top + number // PER_LINE * LINE
        ends = [("train", values["index"], values["label_name"])]
        ends += [(values["other_split"], values["other_index"], values["other_label_name"])]
        for place, (split, index, label) in zip((left, left + SIDE + INSIDE), ends, strict=True):
            caption = f"{split} {index}\n{pictures.short(str(label))}"
            extent = (place, place + SIDE, upper + SIDE, upper)
            pictures.draw_picture(axes, _image(dataset, split, index), extent, GAP, caption)
        below = upper + SIDE + 2.3 * pictures.LINE
        what = "identical" if values["kind"] == "exact" else f"similarity {_cut(values['similarity'])}"
        axes.text(left + PAIR / 2, below, what, ha="center", va="top", fontsize=pictures.CAPTION_SIZE, color="0.4")


def _image(dataset: Dataset, split: str, index: int) -> np.ndarray:
    """The image with an official index."""
    images = dataset.train if split == "train" else dataset.test
    return np.asarray(images.images[np.flatnonzero(images.index == index)[0]])


def _heading(row: str, numbers: pd.DataFrame, near: float) -> str:
    name = f"{ROWS[row]} (similarity from {near:g})" if row == "near" else ROWS[row]
    n_pairs = numbers.loc[numbers["row"] == row, "n_pairs"].iloc[0]
    return f"{name}: {_count(n_pairs, 'pair', 'pairs')}" if n_pairs else name


def _cut(similarity: float) -> str:
    """Three decimals, never rounded up: only exact copies are 1."""
    return f"{np.floor(similarity * 1000) / 1000:.3f}"


def _there_are(n: int, one: str, many: str) -> str:
    return f"There {'is' if n == 1 else 'are'} {_count(n, one, many)}"


def _count(n: int, one: str, many: str) -> str:
    return f"{f'{n:,}' if n else 'no'} {one if n == 1 else many}"
