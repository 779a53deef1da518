"""Figure mean_memorisation: mean score, number of memorised examples, and the two accuracies, against size."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from memflow.figures import style
from memflow.figures.families import add_families, heading, panels, size_axis
from memflow.methods import ONE_HOT

QUANTITIES = ("memorisation", "memorised", "memorised_corrected", "acc_in", "acc_out", "acc_test")
ROWS = {
    "Mean memorisation": ("memorisation",),
    "Memorised (%)": ("memorised",),
    "Accuracy": ("acc_in", "acc_out"),
}
LINES = {"memorisation": "-", "memorised": "-", "acc_in": "-", "acc_out": ":"}
OF_ONE_HOT = "Accuracy"  # the row without the other methods, which would hide each other
MARKERS = "osD^vPX<>ph*d"  # of methods, one-hot first
STEP = 0.035  # of a panel's range of sizes, between methods
LEAK = "\n(teacher saw all labels)"
LINE, BESIDE = 0.14, 28  # inches of a line of the legend of methods, and the letters of one that leave room for another
LOGARITHMIC = ("Mean memorisation", "Memorised (%)")  # where flipped labels would flatten the clean ones' curves
ACCURACIES = {"acc_in": "in-sample", "acc_out": "out-of-sample"}


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure: the rows of :func:`memflow.summary.summarise` that it shows, per family and method.

    Of students it says by ``teacher_data`` whether their teachers were trained on the same subset, or knew all labels.
    """
    summary = tables["summary"]
    shown = add_families(summary[summary["quantity"].isin(QUANTITIES)], spec)
    leading = ["dataset", "family", "architecture", "method", "parameters", "examples", "quantity"]
    return shown[leading + [column for column in shown if column not in leading]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """Quantities are rows, families columns, groups of examples colours, methods markers; references are dashed."""
    families, methods = list(panels(spec)), _labels(spec)
    titles = [style.wrapped(heading(spec, family), len(families)) for family in families]
    more = 0.12 * max(title.count("\n") for title in titles) + (LINE * _lines(methods) if len(methods) > 1 else 0)
    size = (style.ONE_COLUMN, 4.4 + more)
    figure, axes = plt.subplots(len(ROWS), len(families), figsize=size, sharex="col", sharey="row", squeeze=False)
    groups = [name for name in numbers["examples"].unique() if name != "all"] or ["all"]
    numbers = _in_percent(numbers[numbers["examples"].isin(groups)])
    for row, (label, quantities) in enumerate(ROWS.items()):
        shown = numbers[numbers["quantity"].isin(quantities)]
        if label == OF_ONE_HOT:
            shown = shown[shown["method"] == ONE_HOT]
        lowest = shown["value"].min()
        floor = 0.7 * lowest if label in LOGARITHMIC and len(groups) > 1 and lowest > 0 else None
        for axis, family in zip(axes[row], families, strict=True):
            _draw_panel(axis, shown, family, list(methods), floor)
            if floor is not None:
                _logarithmic(axis, floor, 1.4 * shown["value"].max())
            elif label in LOGARITHMIC and shown["low"].min() >= 0:
                axis.set_ylim(0, 1.1 * shown["high"].max())
        only = f"\n({ONE_HOT})" if label == OF_ONE_HOT and len(methods) > 1 else ""
        axes[row, 0].set_ylabel(label + only)
    for column, family in enumerate(families):
        axes[0, column].set_title(titles[column])
        size_axis(axes[-1, column], numbers.loc[numbers["family"] == family, "parameters"].tolist())
    _legends(figure, axes[-1, -1], groups, spec["references"], methods)
    figure.align_ylabels()
    return figure


def _draw_panel(axes: Axes, shown: pd.DataFrame, family: str, methods: list[str], floor: float | None) -> None:
    """All curves of a family; one-hot last, above the others. Methods stand side by side, one-hot at the true size."""
    parameters = shown.loc[shown["family"] == family, "parameters"]
    curves = shown.groupby(["method", "quantity", "examples"], sort=False)
    for (method, quantity, group), chosen in sorted(curves, key=lambda curve: curve[0][0] == ONE_HOT):
        members = chosen[chosen["family"] == family].sort_values("parameters", kind="stable")
        colour, line = style.COLOURS[str(group)], LINES[str(quantity)]
        low = members["low"].clip(lower=floor)
        if method == ONE_HOT:
            axes.plot(members["parameters"], members["value"], color=colour, linestyle=line, **_look(methods, ONE_HOT))
            axes.fill_between(members["parameters"], low, members["high"], color=colour, alpha=0.2, linewidth=0)
        elif len(members):
            beside = members["parameters"] * _shift(parameters, methods.index(str(method)), len(methods))
            axes.plot(beside, members["value"], color=colour, linestyle=line, **_look(methods, str(method)))
            axes.vlines(beside, low, members["high"], color=colour, linewidth=0.7, zorder=1.5)  # below the markers
        for value in chosen.loc[chosen["family"] == "reference", "value"]:
            dashes = (0, (4, 3)) if line == "-" else (0, (1, 3))
            axes.axhline(value, color=colour, linestyle=dashes, linewidth=0.7)


def _shift(parameters: pd.Series, number: int, of: int) -> float:
    """Factor that sets a method beside one-hot (number 0), right and left in turn, nearer than to the next size."""
    sizes = np.log(np.unique(parameters))
    step = min([np.ptp(sizes) * STEP, *(np.diff(sizes) / (of + 1))]) if len(sizes) > 1 else STEP
    return float(np.exp(step * (-1) ** (number + 1) * ((number + 1) // 2)))


def _look(methods: list[str], method: str) -> dict[str, Any]:
    """Marker of a method: filled for one-hot labels, open and on a thinner line for the others."""
    marker = MARKERS[methods.index(method) % len(MARKERS)]
    if method == ONE_HOT:
        return {"marker": marker}
    return {"marker": marker, "markersize": 3, "markerfacecolor": "white", "markeredgewidth": 0.7, "linewidth": 0.5}


def _labels(spec: dict[str, Any]) -> dict[str, str]:
    """What the legend calls each method, one-hot first; it says whose teacher knew all labels."""
    return {
        entry["method"]: style.wrapped(entry["method"], 1) + (LEAK if entry.get("teacher_data") == "full" else "")
        for entry in spec["drawn"]
    }


def _in_percent(numbers: pd.DataFrame) -> pd.DataFrame:
    """Numbers of examples as percentages; other quantities as they are."""
    scale = (100 / numbers["n_examples"]).where(numbers["quantity"] == "memorised", 1.0)
    return numbers.assign(**{name: numbers[name] * scale for name in ("value", "low", "high")})


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    axes.set(yscale="log", ylim=(low, high))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _legends(figure: Figure, axes: Axes, groups: list[str], references: list[str], methods: dict[str, str]) -> None:
    lines = {ACCURACIES[quantity]: axes.plot([], [], LINES[quantity], color="0.3")[0] for quantity in ACCURACIES}
    if groups != ["all"]:
        lines |= {f"{group}s": axes.plot([], [], color=style.COLOURS[group])[0] for group in groups}
    for name in references:
        lines[name.replace("-", " ")] = axes.plot([], [], color="0.3", linestyle=(0, (4, 3)), linewidth=0.7)[0]
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=3)
    if len(methods) > 1:
        marks = [axes.plot([], [], color="0.3", **_look(list(methods), method))[0] for method in methods]
        figure.legend(marks, list(methods.values()), loc="outside upper center", ncols=_columns(methods))


def _columns(methods: dict[str, str]) -> int:
    """Columns of the legend of methods that fit across the figure."""
    longest = max(len(line) for label in methods.values() for line in label.splitlines())
    return 2 if longest <= BESIDE else 1


def _lines(methods: dict[str, str]) -> int:
    """Lines of the legend of methods."""
    columns = _columns(methods)
    heights = [label.count("\n") + 1 for label in methods.values()]
    per_column = -(-len(heights) // columns)
    return max(sum(heights[first : first + per_column]) for first in range(0, len(heights), per_column))
