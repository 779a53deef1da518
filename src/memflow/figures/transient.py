"""Figure transient: the sets of examples that are memorised first and generalised in the end, in numbers and pictures.

Sets are from one half of the runs and scores from the other: selected and measured on the same runs, noise alone would
make examples that were memorised and are no more. Pictures are of the sets of the even groups.
"""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memflow.counts import HALVES
from memflow.data.prepared import Dataset
from memflow.figures import pictures, style
from memflow.figures.families import heading

COLUMNS = {  # of the table of examples: whether it is in the set, and the scores where memorised and in the end
    "model-wise": ("model_wise", "score_smaller", "score_largest"),
    "temporal": ("temporal", "score_peak", "score_last"),
}
LINES = 2  # of pictures of each kind
LEFT = 0.62  # inches of the labels of the charts
STEP, AXIS = 0.13, 0.36  # inches: of a row of a chart, and of the axis below
TEXT, LETTERS = 5, 84  # points of the notes, and letters of one line across the figure
NOTE, NONE = 0.09, 0.2  # inches of a line of the notes, and of a row without pictures
NUMBERS = ["value", "low", "high", "n_examples"]


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame], dataset: Dataset) -> pd.DataFrame:
    """Every number of the figure.

    Returns
    -------
    DataFrame
        Per family, rows of two ``series``: ``set``, statistics from :func:`memflow.transitions.summarise`; and
        ``picture``, a random sample of each set of the even groups: ``index``, ``label``, ``first`` and ``last``
        (scores where it is memorised and in the end, from the odd groups).
    """
    count = LINES * pictures.columns_of(len(spec["families"]))
    populations = _populations(tables["transient"])
    statistics = tables["transient"][tables["transient"]["examples"].isin(populations)]
    parts = []
    for family in spec["families"]:
        parts.append(statistics[statistics["family"] == family["title"]].assign(series="set"))
        sets = tables["sets"]
        rows = sets[(sets["family"] == family["title"]) & (sets["selected_on"] == HALVES[0])]
        rows = rows.assign(order=pictures.random_order(len(rows))).sort_values("order")
        for kind, (inside, first, last) in COLUMNS.items():
            found = rows[rows[inside]].dropna(subset=[first, last]).head(count)
            shown = found.assign(series="picture", kind=kind, first=found[first], last=found[last])
            parts.append(shown[["family", "series", "kind", "index", "label", "first", "last"]])
    numbers = pd.concat(parts, ignore_index=True).assign(dataset=spec["dataset"])
    leading = ["dataset", "family", "series", "kind", "examples", "quantity"]
    numbers = numbers[[*leading, *NUMBERS, "index", "label", "first", "last"]]
    pictured = numbers["series"] == "picture"
    described = pictures.describe(numbers[pictured].astype({"index": int}), dataset)
    return numbers.join(described[["position", "label_name", "label_noise", "original_name"]])


def draw(spec: dict[str, Any], numbers: pd.DataFrame, dataset: Dataset) -> Figure:
    """One column per family: shares of the sets, scores, notes, and pictures of each kind of set."""
    families, populations = spec["families"], _populations(numbers)
    notes = [_notes(numbers[numbers["family"] == family["title"]], populations, len(families)) for family in families]
    titles = [style.wrapped(heading(spec, family["title"]), len(families)) for family in families]
    chart = STEP * (len(COLUMNS) * (len(populations) + 1) - 1)
    width, columns = style.ONE_COLUMN / len(families) - pictures.GUTTER, pictures.columns_of(len(families))
    lines = 3.8 if numbers["label_noise"].eq(True).any() else 2.8
    line = width / columns + pictures.LINE * lines
    pictured = numbers[numbers["series"] == "picture"].groupby(["kind", "family"]).size()
    most = {kind: max(pictured.get((kind, family["title"]), 0) for family in families) for kind in COLUMNS}
    heights = {kind: max(-(-count // columns) * line, NONE) for kind, count in most.items()}
    parts = [
        pictures.TITLE_LINE * (max(title.count("\n") for title in titles) + 1.5),
        chart,
        AXIS,
        chart,
        AXIS + 0.2,
        NOTE * max(note.count("\n") + 1.5 for note in notes),
        *[pictures.HEADING + of_kind for of_kind in heights.values()],
    ]
    height = sum(parts)
    tops = np.cumsum([0, *parts])
    figure = Figure(figsize=(style.ONE_COLUMN, height))
    figure.set_layout_engine("none")  # everything has its place
    for number, (family, title, note) in enumerate(zip(families, titles, notes, strict=True)):
        of_family = numbers[numbers["family"] == family["title"]]
        left = number * (style.ONE_COLUMN - LEFT) / len(families) + LEFT
        across = (style.ONE_COLUMN - LEFT) / len(families) - 0.18
        for place, draw_chart in ((1, _draw_shares), (3, _draw_scores)):
            box = (left, height - tops[place] - chart, across, chart)
            axes = figure.add_axes(tuple(np.array(box) / np.tile([style.ONE_COLUMN, height], 2)))
            draw_chart(axes, of_family, populations)
            _name_rows(axes, populations, named=not number)
            if place == 1:
                axes.set_title(title, pad=3)
        start = number / len(families) + 0.5 * pictures.GUTTER / style.ONE_COLUMN
        figure.text(start, 1 - tops[5] / height, note, fontsize=TEXT, va="top", linespacing=1.1)
        box = (number / len(families), 0, width / style.ONE_COLUMN, (height - tops[6]) / height)
        _draw_pictures(figure.add_axes(box), of_family, dataset, width, columns, line, heights)
    _legend(figure, populations, 1 - (tops[5] - 0.16) / height)
    return figure


def _populations(numbers: pd.DataFrame) -> list[str]:
    names: list[str] = numbers["examples"].dropna().unique().tolist()
    return [name for name in names if name != "all"] or names


def _rows(numbers: pd.DataFrame, quantity: str, populations: list[str]) -> list[tuple[float, str, Any]]:
    """Per kind and population: where it stands in a chart, its colour, and a statistic."""
    return [
        (_place(row.kind, row.examples, populations), style.COLOURS[row.examples], row)
        for row in _of(numbers, quantity)
    ]


def _place(kind: str, examples: str, populations: list[str]) -> float:
    return -list(COLUMNS).index(kind) * (len(populations) + 1) - populations.index(examples)


def _draw_shares(axes: Axes, numbers: pd.DataFrame, populations: list[str]) -> None:
    for place, colour, row in _rows(numbers, "share", populations):
        axes.barh(place, 100 * row.value, 0.7, color=colour, alpha=0.6)
        if np.isfinite(row.low):
            axes.plot([max(100 * row.low, 0), 100 * row.high], [place] * 2, color="0.2", linewidth=0.7)
    axes.set_xlim(left=0)
    axes.set_xlabel("In the set (%)", labelpad=1)


def _draw_scores(axes: Axes, numbers: pd.DataFrame, populations: list[str]) -> None:
    """Mean scores where memorised: of the set and of all examples; and of the set in the end."""
    drops = {place: row.value for place, _, row in _rows(numbers, "drop", populations)}
    for place, colour, row in _rows(numbers, "score", populations):
        if np.isfinite(row.low):
            axes.plot([row.low, row.high], [place] * 2, color=colour, linewidth=1)
        axes.plot(row.value, place, "o", color=colour, markersize=3.5)
        axes.plot(row.value - drops[place], place, "<", color=colour, markersize=3.5)
    for place, colour, row in _rows(numbers, "score_all", populations):
        axes.plot(row.value, place, "o", color=colour, markersize=3.5, markerfacecolor="white")
    axes.set(xlim=(min(-0.05, axes.get_xlim()[0]), max(1.02, axes.get_xlim()[1])), xticks=[0, 0.5, 1])
    axes.set_xlabel("Mean score", labelpad=1)


def _name_rows(axes: Axes, populations: list[str], named: bool) -> None:
    middles = [np.mean([_place(kind, examples, populations) for examples in populations]) for kind in COLUMNS]
    axes.set_ylim(_place(list(COLUMNS)[-1], populations[-1], populations) - 0.6, 0.6)
    axes.set_yticks(middles, [kind.capitalize() for kind in COLUMNS] if named else [""] * len(middles))
    axes.tick_params(axis="y", length=0)


def _legend(figure: Figure, populations: list[str], bottom: float) -> None:
    axes = figure.axes[0]
    look: dict[str, Any] = {"color": "0.3", "markersize": 3.5}
    handles = {
        "set": axes.plot([], [], "o", **look)[0],
        "set, in the end": axes.plot([], [], "<", **look)[0],
        "all examples": axes.plot([], [], "o", markerfacecolor="white", **look)[0],
    }
    if populations != ["all"]:
        handles |= {f"{name}s": axes.plot([], [], color=style.COLOURS[name])[0] for name in populations}
    place: dict[str, Any] = {"loc": "center", "bbox_to_anchor": (0.5, bottom)}
    figure.legend(handles.values(), handles.keys(), ncols=3, fontsize=TEXT, columnspacing=1, handlelength=1.2, **place)


def _notes(numbers: pd.DataFrame, populations: list[str], n_panels: int) -> str:
    """What stands in no chart, about the natural examples: in words."""
    natural = numbers[(numbers["examples"] == populations[0]) & numbers["value"].notna()]
    lines = []
    for row in _of(natural, "replicated"):
        lines.append(f"{row.kind.capitalize()}: {row.n_examples:g} found, {100 * row.value:.0f} % by both halves")
    for row in _of(natural, "overlap"):
        lines.append(f"In both sets: {100 * row.value:.0f} % of those in any")
    for row in _of(natural, "log2_size"):
        limits = f" [{row.low:+.2f}, {row.high:+.2f}]" if np.isfinite(row.low) else ""
        lines.append(f"{row.kind.capitalize()}: log2 size of sub-population {row.value:+.2f}{limits}")
    return "\n".join(textwrap.fill(line, LETTERS // n_panels) for line in lines)


def _of(numbers: pd.DataFrame, quantity: str) -> list[Any]:
    return list(numbers[numbers["quantity"] == quantity].itertuples())


def _draw_pictures(
    axes: Axes,
    numbers: pd.DataFrame,
    dataset: Dataset,
    width: float,
    columns: int,
    line: float,
    heights: dict[str, float],
) -> None:
    """Pictures of each kind of set under a heading; lengths in inches."""
    image, top = width / columns, 0.0
    gap = 0.04 * image
    for kind in COLUMNS:
        shown = numbers[(numbers["series"] == "picture") & (numbers["kind"] == kind)]
        pictures.draw_heading(axes, kind.capitalize(), gap, top)
        top += pictures.HEADING
        if shown.empty:
            pictures.draw_none(axes, gap, top + NONE / 2)
        for number, row in enumerate(list[Any](shown.itertuples())):
            left, upper = number % columns * image + gap, top + number // columns * line
            extent = (left, left + image - 2 * gap, upper + image - 2 * gap, upper)
            colour = style.COLOURS["flipped label"] if row.label_noise else "black"
            position = int(row.position)
            pictures.draw_picture(axes, dataset.train.images[position], extent, gap, _caption(row), colour)
        top += heights[kind]
    axes.set(xlim=(0, width), ylim=(top, 0), aspect="equal")
    axes.set_axis_off()


def _caption(row: Any) -> str:
    return f"{pictures.label(row)}\n{row.first:.2f} → {row.last:.2f}"
