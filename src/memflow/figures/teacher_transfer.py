"""Figure teacher_transfer: whether examples that the teacher memorises are memorised by its students.

Examples are told apart by whether the teacher and the one-hot student memorise them, both on one half of the runs; the
scores are from the other.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from memflow.figures import style
from memflow.figures.distillations import (
    IDENTITY,
    LINE,
    SMALL,
    Sheet,
    family_title,
    identify,
    methods,
    n_lines,
    select,
    title,
)

CELLS = {
    (True, True): "both",
    (True, False): "teacher only",
    (False, True): "student only",
    (False, False): "neither",
}
SCORES = {"one_hot": "one-hot", "distilled": "distilled"}
MARKERS = {"one-hot": "o", "distilled": "s"}
SHARE = "share_of_examples"
NUMBERS = ["student", "parameters", "teacher_memorises", "one_hot_memorises", "quantity"]
NUMBERS += ["value", "low", "high", "n_examples"]
LEFT, RIGHT, BETWEEN = 0.53, 0.04, 0.08  # inches
SHARES, MEANS, INSIDE = 0.5, 0.85, 0.07  # inches of the panels, and between them
TOP, BELOW = 0.24, 0.4  # inches above all, and below the panels of a method
TICKS = [0.0001, 0.001, 0.01, 0.1, 1.0]
MOST_TICKS = 3  # sizes that are named
APART = 0.14  # between the two scores of a student
NOTHING = "none: no method has a teacher with scores of its own"


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Returns
    -------
    DataFrame
        Per family, method and student, by ``teacher_memorises`` and ``one_hot_memorises``: ``share_of_examples``, and
        the mean scores ``one_hot`` and ``distilled`` (``quantity``), with interval. Methods without scores of a
        teacher are left out: there may be no rows.
    """
    shown = tables["transfer"][tables["transfer"]["quantity"].isin([SHARE, *SCORES])]
    parts = [identify(spec, entry, select(shown, entry)) for entries in methods(spec).values() for entry in entries]
    return pd.concat(parts, ignore_index=True)[[*IDENTITY, *NUMBERS]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """One block per family and method; cells are columns, students are along the axis of each panel."""
    blocks = {}
    for family, entries in methods(spec).items():
        for entry in entries:
            if len(rows := select(numbers, entry)):
                blocks[family_title(spec, family), title(spec, entry)] = rows
    if not blocks:
        return _draw_nothing()
    heights = [_height_of_titles(*titles) + SHARES + INSIDE + MEANS + BELOW for titles in blocks]
    sheet = Sheet(TOP + sum(heights))
    handles = [Line2D([], [], color=style.COLOURS[name], marker=MARKERS[name]) for name in SCORES.values()]
    labels = [f"{name} student" for name in SCORES.values()]
    sheet.figure.legend(handles, labels, loc="upper center", ncols=2, borderaxespad=0.2)
    shares = numbers.loc[numbers["quantity"] == SHARE, ["value", "low"]].to_numpy(dtype=float)
    floor = 0.7 * shares[shares > 0].min()
    for (titles, rows), top in zip(blocks.items(), TOP + np.cumsum([0, *heights[:-1]]), strict=True):
        _draw_block(sheet, titles, top, rows, floor)
    return sheet.figure


def _height_of_titles(family: str, method: str) -> float:
    """Inches above the panels of a block: its two titles, and what the cells are."""
    return LINE * (n_lines(family) + 0.2) + SMALL * (n_lines(method) + 0.6 + 2.4)


def _draw_block(sheet: Sheet, titles: tuple[str, str], top: float, numbers: pd.DataFrame, floor: float) -> None:
    """Cells side by side, for each a panel with its share above one with its mean scores."""
    sheet.write(LEFT, top, titles[0], fontweight="bold")
    sheet.write(LEFT, top + LINE * (n_lines(titles[0]) + 0.2), titles[1], fontsize=6)
    upper = top + _height_of_titles(*titles)
    lower, top = upper + SHARES + INSIDE, upper - 2.4 * SMALL
    sheet.write(LEFT - 0.06, top, "Memo-\nrised by", fontsize=6, ha="right")
    width = (style.ONE_COLUMN - LEFT - RIGHT + BETWEEN) / len(CELLS) - BETWEEN
    for column, (cell, name) in enumerate(CELLS.items()):
        left = LEFT + column * (width + BETWEEN)
        sheet.write(left + width / 2, top, name.replace(" ", "\n"), fontsize=6, ha="center")
        of_cell = numbers[(numbers["teacher_memorises"] == cell[0]) & (numbers["one_hot_memorises"] == cell[1])]
        panels = sheet.axes(left, upper, width, SHARES), sheet.axes(left, lower, width, MEANS)
        students = numbers.drop_duplicates("student")
        _draw_shares(panels[0], of_cell, list(students["student"]), floor)
        _draw_scores(panels[1], of_cell, list(students["student"]))
        for axes in panels:
            _name_sizes(axes, students["parameters"].tolist())
            axes.tick_params(labelleft=column == 0, labelbottom=axes is panels[1])
            axes.yaxis.set_minor_locator(NullLocator())
        if column == 0:
            for axes, label in zip(panels, ("Share", "Mean score"), strict=True):
                axes.set_ylabel(label, labelpad=2)
                axes.yaxis.set_label_coords(-0.4 / width, 0.5)
    sheet.write(LEFT, lower + MEANS + 0.19, "Parameters of the student")


def _draw_shares(axes: Axes, cell: pd.DataFrame, students: list[str], floor: float) -> None:
    shares = cell[(cell["quantity"] == SHARE) & (cell["value"] > 0)]
    _draw_points(axes, shares.assign(low=shares["low"].clip(lower=floor)), students, 0, {"color": "0.3", "marker": "o"})
    axes.set(yscale="log", ylim=(floor, 1.5))
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick >= floor]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))


def _draw_scores(axes: Axes, cell: pd.DataFrame, students: list[str]) -> None:
    for (quantity, name), shift in zip(SCORES.items(), (-APART, APART), strict=True):
        look = {"color": style.COLOURS[name], "marker": MARKERS[name]}
        _draw_points(axes, cell[cell["quantity"] == quantity].dropna(subset=["value"]), students, shift, look)
    axes.set(ylim=(-0.08, 1.08), yticks=[0, 0.5, 1])


def _draw_points(axes: Axes, rows: pd.DataFrame, students: list[str], shift: float, look: dict[str, Any]) -> None:
    """Values of the students with their intervals, joined by a line."""
    places = np.array([students.index(name) + shift for name in rows["student"]])
    axes.vlines(places, rows["low"], rows["high"], color=look["color"], linewidth=0.8)
    axes.plot(places, rows["value"], **look, markersize=2.5, linewidth=0.6)
    if rows.empty and not axes.texts:
        place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
        axes.text(0.5, 0.5, "none", **place, fontsize=6, color="0.4")


def _name_sizes(axes: Axes, sizes: list[float]) -> None:
    """Students side by side in order of size; where there are many, not each is named."""
    last = len(sizes) - 1
    named = range(len(sizes)) if last < MOST_TICKS else sorted({0, last // 2, last})
    axes.set(xlim=(-0.5, last + 0.5))
    axes.set_xticks(list(named), [style.count(sizes[place]) for place in named])


def _draw_nothing() -> Figure:
    sheet = Sheet(0.5)
    sheet.write(style.ONE_COLUMN / 2, 0.25, NOTHING, ha="center", va="center", fontsize=6, color="0.4")
    return sheet.figure
