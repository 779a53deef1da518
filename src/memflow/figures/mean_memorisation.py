"""Figure mean_memorisation: mean score, number of memorised examples, and the two accuracies, against size."""

from typing import Any

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
MARKERS = "osD^vPX"  # of methods, one-hot first
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
    families = list(panels(spec))
    titles = [style.wrapped(heading(spec, family), len(families)) for family in families]
    more = 0.12 * max(title.count("\n") for title in titles) + 0.15 * (len(_methods(spec)) - 1)
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
            for (quantity, group, method), chosen in shown.groupby(["quantity", "examples", "method"], sort=False):
                look = {"linestyle": LINES[str(quantity)], "color": style.COLOURS[str(group)]}
                _draw_curve(axis, chosen, family, look | _look(spec, str(method)), floor)
            if floor is not None:
                _logarithmic(axis, floor, 1.4 * shown["value"].max())
            elif label in LOGARITHMIC and shown["low"].min() >= 0:
                axis.set_ylim(0, 1.1 * shown["high"].max())
        axes[row, 0].set_ylabel(label)
    for column, family in enumerate(families):
        axes[0, column].set_title(titles[column])
        size_axis(axes[-1, column], numbers.loc[numbers["family"] == family, "parameters"].tolist())
    _legends(figure, axes[-1, -1], groups, spec)
    figure.align_ylabels()
    return figure


def _draw_curve(axes: Axes, chosen: pd.DataFrame, family: str, look: dict[str, Any], floor: float | None) -> None:
    """One quantity of one group of examples along a family, with intervals, and its value for the references."""
    members = chosen[chosen["family"] == family].sort_values("parameters", kind="stable")
    axes.plot(members["parameters"], members["value"], **look)
    low = members["low"].clip(lower=floor)
    axes.fill_between(members["parameters"], low, members["high"], color=look["color"], alpha=0.2, linewidth=0)
    for value in chosen.loc[chosen["family"] == "reference", "value"]:
        dashes = (0, (4, 3)) if look["linestyle"] == "-" else (0, (1, 3))
        axes.axhline(value, color=look["color"], linestyle=dashes, linewidth=0.7)


def _look(spec: dict[str, Any], method: str) -> dict[str, Any]:
    """Marker of a method: filled for one-hot labels, open and on a thinner line for the others."""
    marker = MARKERS[_methods(spec).index(method) % len(MARKERS)]
    return {"marker": marker} if method == ONE_HOT else {"marker": marker, "markerfacecolor": "white", "linewidth": 0.7}


def _methods(spec: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(entry["method"] for entry in spec["drawn"]))


def _in_percent(numbers: pd.DataFrame) -> pd.DataFrame:
    """Numbers of examples as percentages; other quantities as they are."""
    scale = (100 / numbers["n_examples"]).where(numbers["quantity"] == "memorised", 1.0)
    return numbers.assign(**{name: numbers[name] * scale for name in ("value", "low", "high")})


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    axes.set(yscale="log", ylim=(low, high))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _legends(figure: Figure, axes: Axes, groups: list[str], spec: dict[str, Any]) -> None:
    lines = {ACCURACIES[quantity]: axes.plot([], [], LINES[quantity], color="0.3")[0] for quantity in ACCURACIES}
    if groups != ["all"]:
        lines |= {f"{group}s": axes.plot([], [], color=style.COLOURS[group])[0] for group in groups}
    for name in spec["references"]:
        lines[name.replace("-", " ")] = axes.plot([], [], color="0.3", linestyle=(0, (4, 3)), linewidth=0.7)[0]
    columns = 3
    if len(_methods(spec)) > 1:
        full = {entry["method"] for entry in spec["drawn"] if entry.get("teacher_data") == "full"}
        for method in _methods(spec):
            label = f"{method} (teacher saw all labels)" if method in full else method
            lines[label] = axes.plot([], [], color="0.3", **_look(spec, method))[0]
        columns = 2
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=columns)
