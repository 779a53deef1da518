"""Figure distillation_joint: the one-hot score of an example against its score under distillation.

The one-hot score is from one half of the runs and the distilled one from the other; both ways are pooled. Since the
first is noisy, the second regresses to the mean even where distillation changes nothing: the placebo, one-hot scores in
both places, shows by how much.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from memflow.figures import style
from memflow.figures.distillations import (
    LINE,
    SMALL,
    Sheet,
    family_title,
    identify,
    methods,
    n_lines,
    select,
    students,
    title,
)

EDGES = np.round(np.arange(-0.25, 1.1, 0.1), 9)  # 0 and 1 are centres; a score below the first counts in the first bin
CENTRES = (EDGES[:-1] + EDGES[1:]) / 2
FEWEST = 5  # pairs of a bin whose mean is drawn
PLACEBO = {"method": "one-hot", "teacher": "no teacher", "teacher_data": "no teacher"}
PLACEBO_TITLE = "Placebo: one-hot, no distillation"
MEASURED = {"one-hot": "one_hot", "distilled": "distilled"}  # what is on the vertical axis, and its column
PER_LINE = 3  # students side by side
LEFT, RIGHT, BAR, INSIDE, BETWEEN = 0.46, 0.03, 0.15, 0.02, 0.12  # inches
GAP, BELOW = 0.07, 0.4  # inches below a density, and below the last one of a family
TOP, BOTTOM = 0.24, 0.26  # inches of the legend, and of the scale of the densities
LARGEST = 1.2  # inches of a density
GREYS = sns.light_palette("0.05", as_cmap=True)
LINES = {
    name: {"color": style.COLOURS[name], "marker": "o", "markersize": 1.5, "linewidth": 0.9, "linestyle": line}
    for name, line in (("one-hot", (0, (2, 1))), ("distilled", "-"))
}
OUTLINE = [withStroke(linewidth=1.9, foreground="white")]


@dataclass(frozen=True)
class Section:
    """Some students of a family: a column for each, a row for the placebo and for each method."""

    family: str
    heading: str
    students: list[str]
    entries: list[dict[str, Any]]
    titles: list[str]

    @property
    def side(self) -> float:
        """Inches of a density."""
        return min(LARGEST, (style.ONE_COLUMN - LEFT - RIGHT) / len(self.students) - BAR - INSIDE - BETWEEN)

    @property
    def step(self) -> float:
        """Inches from one density to the next."""
        return self.side + INSIDE + BAR + BETWEEN

    @property
    def names(self) -> list[str]:
        """Students in lines that fit above their column."""
        return [style.wrapped(name, PER_LINE) for name in self.students]

    @property
    def head(self) -> float:
        """Inches above the first row: the family and the students."""
        return LINE * (n_lines(self.heading) + 0.4) + SMALL * (max(map(n_lines, self.names)) + 0.6)

    @property
    def tops(self) -> np.ndarray:
        """Where each row begins, and where the last one ends, below the section's upper edge."""
        rows = [SMALL * (n_lines(text) + 0.4) + self.side + GAP for text in self.titles]
        rows[0] += BAR  # above the placebo stand the marginals of the score on the horizontal axis
        return self.head + np.cumsum([0, *rows])

    @property
    def height(self) -> float:
        return float(self.tops[-1]) + BELOW


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Returns
    -------
    DataFrame
        Per family, method (``one-hot``: the placebo) and student, of pairs of scores from the two halves, by
        ``quantity``: ``pairs`` (number with a one-hot score in ``[selecting_low, selecting_high)`` and a measured one
        in ``[measured_low, measured_high)``), ``pairs_selecting`` and ``pairs_measured`` (the marginals), and ``mean``
        (of the measured score, in a bin of the other; null without pairs). ``n_pairs`` are those in all, and for a
        mean those in its bin.
    """
    parts = []
    for entries in methods(spec).values():
        shown = set()
        for entry in entries:
            of_method = select(tables["pairs"], entry).dropna(subset=["one_hot_selecting", "one_hot", "distilled"])
            for name in entry["students"]:
                pairs = of_method[of_method["student"] == name]
                if name not in shown:  # the same pairs under every method
                    parts.append(identify(spec, entry | PLACEBO, _bins(name, pairs, "one-hot")))
                    shown.add(name)
                parts.append(identify(spec, entry, _bins(name, pairs, "distilled")))
    return pd.concat(parts, ignore_index=True)


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """Students are columns; the placebo and the methods are rows; families are one below the other."""
    sections = _sections(spec)
    sheet = Sheet(TOP + sum(section.height for section in sections) + BOTTOM)
    lowest = 1 / numbers["n_pairs"].max()
    _draw_legend(sheet)
    top = TOP
    for section in sections:
        _draw_section(sheet, section, top, numbers[numbers["family"] == section.family], lowest)
        top += section.height
    _draw_scale(sheet, lowest)
    return sheet.figure


def _bins(student: str, pairs: pd.DataFrame, measured: str) -> pd.DataFrame:
    selecting, other = (_clip(pairs[column]) for column in ("one_hot_selecting", MEASURED[measured]))
    joint = np.histogram2d(selecting, other, [EDGES, EDGES])[0].astype(np.int64)
    x, y = np.indices(joint.shape)
    of_selecting, of_measured = joint.sum(axis=1), joint.sum(axis=0)
    sums = np.histogram(selecting, EDGES, weights=pairs[MEASURED[measured]])[0]
    means = np.divide(sums, of_selecting, out=np.full(len(sums), np.nan), where=of_selecting > 0)
    n, every = len(pairs), np.arange(len(CENTRES))
    parts = [
        _rows("pairs", joint.ravel(), n, selecting=x.ravel(), measured=y.ravel()),
        _rows("pairs_selecting", of_selecting, n, selecting=every),
        _rows("pairs_measured", of_measured, n, measured=every),
        _rows("mean", means, of_selecting, selecting=every),
    ]
    parameters = pairs["parameters"].iloc[0] if n else np.nan
    leading = {"student": student, "parameters": parameters, "measured": measured}
    rows = pd.concat(parts, ignore_index=True)
    return pd.DataFrame(leading, index=rows.index).join(rows)


def _rows(quantity: str, values: Any, n_pairs: Any, **bins: np.ndarray) -> pd.DataFrame:
    columns: dict[str, Any] = {"quantity": quantity}
    for axis in ("selecting", "measured"):
        for edge, shift in (("low", 0), ("high", 1)):
            columns[f"{axis}_{edge}"] = EDGES[bins[axis] + shift] if axis in bins else np.nan
    return pd.DataFrame(columns | {"value": np.asarray(values, dtype=float), "n_pairs": n_pairs})


def _clip(scores: pd.Series) -> np.ndarray:
    """1e-9 keeps a score that rounding put just below an edge on its right side."""
    return np.clip(scores.to_numpy(dtype=float) + 1e-9, EDGES[0], EDGES[-1])


def _sections(spec: dict[str, Any]) -> list[Section]:
    sections = []
    for family, entries in methods(spec).items():
        names = students(spec, family)
        for first in range(0, len(names), PER_LINE):
            chosen = names[first : first + PER_LINE]
            of_chosen = [entry for entry in entries if set(entry["students"]) & set(chosen)]
            titles = [PLACEBO_TITLE, *(title(spec, entry) for entry in of_chosen)]
            sections.append(Section(family, family_title(spec, family), chosen, of_chosen, titles))
    return sections


def _draw_section(sheet: Sheet, section: Section, top: float, numbers: pd.DataFrame, lowest: float) -> None:
    rows, tops, side = ["one-hot", *(entry["method"] for entry in section.entries)], top + section.tops, section.side
    sheet.write(LEFT, top, section.heading, fontweight="bold")
    for text, row_top in zip(section.titles, tops[:-1], strict=True):
        sheet.write(LEFT, row_top, text, fontsize=6)
    for column, student in enumerate(section.students):
        left, of_student = LEFT + column * section.step, numbers[numbers["student"] == student]
        sheet.write(left, top + LINE * (n_lines(section.heading) + 0.4), section.names[column], fontsize=6)
        placebo = of_student[of_student["method"] == "one-hot"]
        above = sheet.axes(left, tops[1] - GAP - side - INSIDE - BAR, side, BAR)
        _draw_marginal(above, placebo, lowest, "selecting")
        for row, (method, lower) in enumerate(zip(rows, tops[1:] - GAP, strict=True)):
            axes, shown = sheet.axes(left, lower - side, side, side), of_student[of_student["method"] == method]
            _draw_density(axes, shown, placebo, lowest)
            _draw_marginal(sheet.axes(left + side + INSIDE, lower - side, BAR, side), shown, lowest, "measured")
            axes.tick_params(labelleft=column == 0, labelbottom=row == len(rows) - 1)
            if column == 0:
                axes.set_ylabel("One-hot score" if method == "one-hot" else "Distilled score", labelpad=2)
    sheet.write(LEFT, tops[-1] + 0.12, "One-hot score, from the other half of the runs")


def _draw_density(axes: Axes, shown: pd.DataFrame, placebo: pd.DataFrame, lowest: float) -> None:
    """Density, and the mean of each column of it; over that of a method also the mean of the placebo."""
    axes.set(xlim=(EDGES[0], EDGES[-1]), ylim=(EDGES[0], EDGES[-1]), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    pairs = shown[shown["quantity"] == "pairs"]
    if not pairs["value"].any():
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", fontsize=6, color="0.4")
        return
    shares = (pairs["value"] / pairs["n_pairs"]).to_numpy().reshape(len(CENTRES), -1)
    axes.pcolormesh(EDGES, EDGES, np.ma.masked_equal(shares.T, 0), norm=LogNorm(lowest, 1), cmap=GREYS)
    axes.plot([0, 1], [0, 1], ":", color="0.5", linewidth=0.6)
    for rows in (placebo, shown) if shown["measured"].iloc[0] == "distilled" else (placebo,):
        means = rows[(rows["quantity"] == "mean") & (rows["n_pairs"] >= FEWEST)]
        centres = (means["selecting_low"] + means["selecting_high"]) / 2
        axes.plot(centres, means["value"], path_effects=OUTLINE, **LINES[rows["measured"].iloc[0]])


def _draw_marginal(axes: Axes, shown: pd.DataFrame, lowest: float, along: str) -> None:
    """Bars with the logarithm of the share as length, in the colours of the densities."""
    pairs = shown[(shown["quantity"] == f"pairs_{along}") & (shown["value"] > 0)]
    shares, middle = pairs["value"] / pairs["n_pairs"], (pairs[f"{along}_low"] + pairs[f"{along}_high"]) / 2
    colours, bars = GREYS(LogNorm(lowest, 1)(shares.to_numpy())), {"width": EDGES[1] - EDGES[0], "linewidth": 0}
    start = lowest / 2
    if along == "selecting":
        axes.bar(middle, shares - start, bottom=start, color=colours, **bars)
        axes.set(yscale="log", ylim=(start, 1), xlim=(EDGES[0], EDGES[-1]))
    else:
        axes.barh(middle, shares - start, left=start, color=colours, height=bars.pop("width"), **bars)
        axes.set(xscale="log", xlim=(start, 1), ylim=(EDGES[0], EDGES[-1]))
    axes.set_axis_off()


def _draw_legend(sheet: Sheet) -> None:
    handles = [Line2D([], [], **look) for look in (*LINES.values(), {"color": "0.5", "linestyle": ":"})]
    labels = ["mean, one-hot", "mean, distilled", "equal scores"]
    sheet.figure.legend(handles, labels, loc="upper center", ncols=3, borderaxespad=0.2)


def _draw_scale(sheet: Sheet, lowest: float) -> None:
    width = 1.4
    axes = sheet.axes(style.ONE_COLUMN - width - 0.2, sheet.height - 0.25, width, 0.06)
    scale = sheet.figure.colorbar(ScalarMappable(LogNorm(lowest, 1), GREYS), cax=axes, orientation="horizontal")
    scale.outline.set_visible(False)
    ticks = [10.0**power for power in range(-6, 1, 2) if lowest <= 10.0**power]
    axes.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    sheet.write(LEFT, sheet.height - 0.28, "Share of examples", fontsize=6)
