"""Grids of training images with a caption under each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memflow import rng
from memflow.data.prepared import Dataset
from memflow.figures import style

TITLE_LINE, HEADING, LINE = 0.12, 0.16, 0.083  # inches: line of a title, heading of a row, line of a caption
GUTTER = 0.1  # inches between panels
CAPTION_SIZE = 5
LONGEST_NAME = 11


@dataclass(frozen=True)
class Row:
    """Pictures under a heading: positions in the training split, and a caption for each."""

    heading: str
    positions: list[int]
    captions: list[str]


def figure_of_panels(rows: dict[str, list[Row]], dataset: Dataset) -> Figure:
    """One panel per family, side by side; every row starts at the same height in all of them.

    Parameters
    ----------
    rows : dict of str to list of Row
        By title of the panel; as many rows in each.
    dataset : Dataset
    """
    columns, width = columns_of(len(rows)), style.ONE_COLUMN / len(rows) - GUTTER
    image = width / columns
    captions = [caption for panel in rows.values() for row in panel for caption in row.captions]
    line = image + LINE * max((caption.count("\n") + 1.8 for caption in captions), default=0)
    heights = [
        HEADING + line * max(1, *(-(-len(row.positions) // columns) for row in of_panels))
        for of_panels in zip(*rows.values(), strict=True)
    ]
    titles = [style.wrapped(title, len(rows)) for title in rows]
    height = TITLE_LINE * (max(title.count("\n") for title in titles) + 1.5) + sum(heights)
    figure = Figure(figsize=(style.ONE_COLUMN, height))
    figure.set_layout_engine("none")  # everything has its place
    for number, (title, panel) in enumerate(zip(titles, rows.values(), strict=True)):
        left, share = number / len(rows), width / style.ONE_COLUMN
        axes = figure.add_axes((left, 0, share, sum(heights) / height))
        axes.set_title(title, pad=2)
        for row, top in zip(panel, np.cumsum([0, *heights[:-1]]), strict=True):
            _draw_row(axes, row, top, image, line, columns, dataset)
        axes.set(xlim=(0, width), ylim=(sum(heights), 0), aspect="equal")
        axes.set_axis_off()
    return figure


def _draw_row(axes: Axes, row: Row, top: float, image: float, line: float, columns: int, dataset: Dataset) -> None:
    """Pictures from ``top`` downwards; lengths in inches. A flipped label colours its caption."""
    gap = 0.04 * image
    draw_heading(axes, row.heading, gap, top)
    top += HEADING
    for number, (position, caption) in enumerate(zip(row.positions, row.captions, strict=True)):
        left, upper = number % columns * image + gap, top + number // columns * line
        extent = (left, left + image - 2 * gap, upper + image - 2 * gap, upper)
        colour = style.COLOURS["flipped label"] if dataset.label_noise[position] else "black"
        draw_picture(axes, dataset.train.images[position], extent, gap, caption, colour)
    if not row.positions:
        draw_none(axes, gap, top + image / 2)


def draw_heading(axes: Axes, heading: str, left: float, top: float) -> None:
    """Heading of a row of pictures, in :data:`HEADING` inches below ``top``."""
    axes.text(left, top + HEADING / 2, heading, va="center", fontsize=6, fontweight="bold")


def draw_none(axes: Axes, left: float, middle: float) -> None:
    """What stands in a row without pictures."""
    axes.text(left, middle, "none", va="center", fontsize=6, color="0.4")


def draw_picture(
    axes: Axes,
    image: np.ndarray,
    extent: tuple[float, float, float, float],
    gap: float,
    caption: str,
    colour: str = "black",
) -> None:
    """An image and its caption below it.

    Parameters
    ----------
    axes : Axes
        With inches as unit and y downwards.
    image : uint8[height, width, channels]
    extent : tuple of float
        Left, right, lower and upper edge of the image.
    gap : float
        Between image and caption.
    caption, colour : str
    """
    left, right, lower, _ = extent
    axes.imshow(_rgb(image), extent=extent)
    place: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": CAPTION_SIZE, "linespacing": 1.05}
    axes.text((left + right) / 2, lower + gap, caption, color=colour, **place)


def row(heading: str, numbers: pd.DataFrame, caption: Callable[[Any], str]) -> Row:
    """A row with the pictures of some numbers (from :func:`describe`), each with its caption."""
    return Row(heading, numbers["position"].tolist(), [caption(line) for line in numbers.itertuples()])


def columns_of(n_panels: int) -> int:
    """Pictures side by side in each of some panels."""
    return max(2, 7 // n_panels)


def describe(numbers: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Numbers with ``position`` in the training split, and what the label and the original label are called."""
    of_index = pd.Series(np.arange(len(dataset.train)), index=dataset.train.index)
    position = of_index[numbers["index"]].to_numpy()
    names = np.array(dataset.class_names)
    return numbers.assign(
        position=position,
        label_name=names[dataset.train.labels[position]],
        label_noise=dataset.label_noise[position],
        original_name=names[dataset.original_label[position]],
    )


def label(row: Any) -> str:
    """The label of an example for its caption, and where it was flipped, the original one in brackets below."""
    name = short(str(row.label_name))
    return f"{name}\n({short(str(row.original_name))})" if row.label_noise else name


def random_order(n: int) -> np.ndarray:
    """A fixed random order of n examples, int64[n]: rank of each, for samples and to break ties."""
    return rng.permutation("pictures", (n,), n)


def short(name: str) -> str:
    """The name of a class, cut to fit below a picture."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.broadcast_to(image, (*image.shape[:2], 3)) if image.shape[2] == 1 else image[..., :3]
