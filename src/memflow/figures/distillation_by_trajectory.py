"""Figure distillation_by_trajectory: what distillation does to the scores of each type of trajectory.

Types are those of the one-hot trajectory. Examples of a type, and those that are memorised, are selected on one half of
the runs and measured on the other.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from memflow.figures import style
from memflow.figures.distillations import (
    IDENTITY,
    SMALL,
    Sheet,
    identify,
    methods,
    n_lines,
    select,
    students,
    title,
    wrap,
)
from memflow.figures.families import heading
from memflow.statistics.trajectory_types import TESTED

ROWS = ("all", "memorised", *TESTED)
NAMES = {"all": "All"} | {name: name.capitalize() for name in ROWS[1:]}
MARKERS = "osD^vPX"  # of the students, smallest first
LEFT, RIGHT, BETWEEN = 0.78, 0.1, 0.14  # inches
LETTER = 0.05  # inches
HEADING = 0.16  # inches for the name of a population
POINT = 0.07  # inches for the point of a student
BELOW = 0.38  # inches below the last panel of a population, for its axis
LEVEL = 0.05  # of significance
FILLED = f"filled: p < {LEVEL:g} (Holm); all: interval without 0"

NONE: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 6, "color": "0.4"}


@dataclass(frozen=True)
class Layout:
    """What stands in the figure, and how much room it takes, in inches."""

    families: dict[str, str]  # their titles
    students: dict[str, list[str]]  # by family, smallest first
    methods: dict[str, str]  # their titles

    @property
    def width(self) -> float:
        """Of a panel."""
        return (style.ONE_COLUMN - LEFT - RIGHT + BETWEEN) / len(self.families) - BETWEEN

    @property
    def lefts(self) -> list[float]:
        """Left edge of the panels of each family."""
        return [LEFT + column * (self.width + BETWEEN) for column in range(len(self.families))]

    @property
    def slot(self) -> float:
        """Height of the points of one type."""
        return 0.06 + POINT * max(map(len, self.students.values()))

    @property
    def panel(self) -> float:
        """Height of a panel."""
        return self.slot * len(ROWS)

    @property
    def height(self) -> float:
        """Of the panels of all methods, with their titles."""
        return sum(SMALL * (n_lines(text) + 1) + self.panel for text in self.methods.values())

    @property
    def lines_of_titles(self) -> int:
        """Lines of the longest title of a family."""
        return max(n_lines(self.wrap(text)) for text in self.families.values())

    @property
    def head(self) -> float:
        """Height of what stands above the panels: titles of the families, and their students."""
        lines = [sum(n_lines(self.wrap(name)) + 0.1 for name in names) for names in self.students.values()]
        return 0.03 + SMALL * (2.5 + self.lines_of_titles + max(lines))

    def wrap(self, text: str) -> str:
        """A text in lines that fit above a column."""
        return wrap(text, int(self.width / LETTER))


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Returns
    -------
    DataFrame
        Per family, method, student, population (``examples``: those that are drawn) and ``type`` (also ``all`` and
        ``memorised``): the mean change of the score ``value``, ``low``, ``high``, ``p_value``, ``p_holm``,
        ``n_examples``.
    """
    parts = [
        identify(spec, entry, _changes(select(tables["summary"], entry)))
        for entries in methods(spec).values()
        for entry in entries
    ]
    numbers = pd.concat(parts, ignore_index=True)
    apart = [name for name in numbers["examples"].unique() if name != "all"] or ["all"]
    columns = ["examples", "student", "parameters", "type", "value", "low", "high", "p_value", "p_holm", "n_examples"]
    return numbers.loc[numbers["examples"].isin(apart), [*IDENTITY, *columns]].reset_index(drop=True)


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """Families are columns; methods are rows, those of one population of examples together, on one scale."""
    layout, populations = _layout(spec), list(numbers["examples"].unique())
    headings = [f"{name.capitalize()}s" for name in populations] if len(populations) > 1 else [""]
    height = layout.height + BELOW
    sheet = Sheet(layout.head + sum(height + HEADING * bool(name) for name in headings))
    _draw_head(sheet, layout)
    top = layout.head
    for name, population in zip(headings, populations, strict=True):
        sheet.write(LEFT, top, name, fontweight="bold")
        top += HEADING * bool(name)
        _draw_population(sheet, layout, top, numbers[numbers["examples"] == population])
        top += height
    return sheet.figure


def _layout(spec: dict[str, Any]) -> Layout:
    of_method = {entry["method"]: entry for entries in methods(spec).values() for entry in entries}
    return Layout(
        families={family: heading(spec, family) for family in methods(spec)},
        students={family: students(spec, family) for family in methods(spec)},
        methods={name: title(spec, entry) for name, entry in of_method.items()},
    )


def _changes(summary: pd.DataFrame) -> pd.DataFrame:
    everywhere = summary[summary["quantity"] == "mean_change"].assign(type="all")
    selected = summary[(summary["quantity"] == "change") & summary["type"].isin(ROWS)]
    return pd.concat([everywhere, selected], ignore_index=True)


def _draw_panel(axes: Axes, numbers: pd.DataFrame, names: list[str], slot: float) -> None:
    axes.axvline(0, color="0.6", linewidth=0.5)
    axes.axhline(1.5, color="0.85", linewidth=0.5)
    for place, kind in enumerate(ROWS):
        rows = numbers[(numbers["type"] == kind) & numbers["value"].notna()].set_index("student")
        for rank, student in enumerate(names):
            if student not in rows.index:
                continue
            value, low, high, p = rows.loc[student, ["value", "low", "high", "p_holm"]].to_numpy(dtype=float)
            height, colour = place + (rank - (len(names) - 1) / 2) * POINT / slot, style.COLOURS[kind]
            axes.plot([low, high], [height, height], color=colour, linewidth=0.8)
            significant = p < LEVEL if kind != "all" else low > 0 or high < 0
            face = colour if significant else "white"
            axes.plot(
                value, height, _marker(rank), color=colour, markerfacecolor=face, markersize=3, markeredgewidth=0.8
            )
        if rows.empty:
            axes.text(0.98, place, "none", transform=axes.get_yaxis_transform(), **NONE)
    axes.set(ylim=(len(ROWS) - 0.5, -0.5), yticks=range(len(ROWS)), yticklabels=NAMES.values())
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(axis="y", length=0)


def _limits(numbers: pd.DataFrame) -> tuple[float, float]:
    low, high = min(0, numbers[["value", "low"]].min().min()), max(0, numbers[["value", "high"]].max().max())
    room = 0.06 * (high - low) or 0.1
    return low - room, high + room


def _marker(rank: int) -> str:
    return MARKERS[rank % len(MARKERS)]


def _draw_head(sheet: Sheet, layout: Layout) -> None:
    """Above each column the title of the family, and below it the markers of its students."""
    sheet.write(LEFT, 0.03, FILLED, fontsize=6, color="0.3")
    lines = layout.lines_of_titles
    for (family, names), left in zip(layout.students.items(), layout.lefts, strict=True):
        sheet.write(left, 0.03 + 1.6 * SMALL, layout.wrap(layout.families[family]), fontsize=6)
        top = 0.03 + SMALL * (2 + lines)
        for rank, name in enumerate(map(layout.wrap, names)):
            x, y = (left + 0.04) / style.ONE_COLUMN, 1 - (top + 0.045) / sheet.height
            place: dict[str, Any] = {"transform": sheet.figure.transFigure, "figure": sheet.figure}
            sheet.figure.add_artist(Line2D([x], [y], marker=_marker(rank), color="0.3", markersize=3, **place))
            sheet.write(left + 0.12, top, name, fontsize=6)
            top += SMALL * (n_lines(name) + 0.1)


def _draw_population(sheet: Sheet, layout: Layout, top: float, numbers: pd.DataFrame) -> None:
    """A row of panels for each method."""
    limits, last = _limits(numbers), list(layout.methods)[-1]
    for method, text in layout.methods.items():
        sheet.write(LEFT, top, text, fontsize=6)
        top += SMALL * (n_lines(text) + 0.3)
        of_method = numbers[numbers["method"] == method]
        for (family, names), left in zip(layout.students.items(), layout.lefts, strict=True):
            axes = sheet.axes(left, top, layout.width, layout.panel)
            _draw_panel(axes, of_method[of_method["family"] == family], names, layout.slot)
            axes.set_xlim(limits)
            axes.tick_params(labelleft=left == LEFT, labelbottom=method == last)
        top += layout.panel + SMALL * 0.7
    sheet.write(LEFT, top + 0.14, "Change in score, distilled − one-hot")
