"""Figure memorised_vs_size: how many examples reach a score, against the size of the network, for many scores."""

from itertools import product
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memflow.figures import style
from memflow.figures.families import add_families, heading, panels, size_axis
from memflow.summary import THRESHOLDS

ROW = 0.72  # inches
MARK = "0.94"  # behind the panels of the study's threshold
ABREAST = 2  # panels side by side where there is one group of examples


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure: the rows of :func:`memflow.summary.thresholds`, per family."""
    shown = add_families(tables["thresholds"], spec)
    shown = shown[shown["examples"].isin(_groups(shown))]
    leading = ["dataset", "family", "architecture", "parameters", "examples", "threshold"]
    return shown[leading + [column for column in shown if column not in leading]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """Thresholds are rows, groups of examples columns (thresholds two abreast where there is one), families colours.

    References are dashed, and the panels of the study's threshold grey.
    """
    groups = _groups(numbers)
    cells = list(product(THRESHOLDS, groups))
    columns = max(len(groups), ABREAST)
    rows = -(-len(cells) // columns)
    families = {family: heading(spec, family) for family in panels(spec)}
    lines = sum(name.count("\n") + 1 for name in families.values())
    figure, axes = plt.subplots(
        rows, columns, figsize=(style.ONE_COLUMN, 0.6 + 0.12 * lines + ROW * rows), sharex=True, squeeze=False
    )
    for axis, (threshold, group) in zip(axes.flat, cells, strict=True):
        chosen = numbers[(numbers["threshold"] == threshold) & (numbers["examples"] == group)]
        _draw_panel(axis, _in_percent(chosen), list(families))
        axis.annotate(f"≥ {threshold:g}", (0.97, 0.94), xycoords="axes fraction", ha="right", va="top", fontsize=6)
        if abs(threshold - spec["memorised_at"]) < 1e-9:
            axis.set_facecolor(MARK)
    if groups != ["all"]:
        for axis, group in zip(axes[0], groups, strict=True):
            axis.set_title(f"{group}s")
    for axis in axes[-1]:
        size_axis(axis, numbers["parameters"].tolist())
    figure.supylabel("Examples with such a score (%)", fontsize=7)
    _legend(figure, axes[-1, -1], families, spec["references"])
    return figure


def _groups(numbers: pd.DataFrame) -> list[str]:
    """Natural and artificial examples apart, all where nothing is artificial."""
    return [name for name in numbers["examples"].unique() if name != "all"] or ["all"]


def _in_percent(numbers: pd.DataFrame) -> pd.DataFrame:
    scaled = {name: 100 * numbers[name] / numbers["n_examples"] for name in ("value", "low", "high")}
    return numbers.assign(**scaled)


def _draw_panel(axes: Axes, shown: pd.DataFrame, families: list[str]) -> None:
    for family, colour in zip(families, style.PALETTE, strict=False):
        members = shown[shown["family"] == family].sort_values("parameters", kind="stable")
        low, high = members["low"].clip(0, 100), members["high"].clip(0, 100)
        axes.plot(members["parameters"], members["value"], "o-", color=colour, markersize=2.5)
        axes.fill_between(members["parameters"], low, high, color=colour, alpha=0.2, linewidth=0)
    for value in shown.loc[shown["family"] == "reference", "value"]:
        axes.axhline(value, color="0.3", linestyle=(0, (4, 3)), linewidth=0.7)
    highest = min(100.0, float(shown[["value", "high"]].to_numpy().max()))
    axes.set_ylim(0, 1.35 * highest if highest > 0 else 1)  # room for the threshold
    axes.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))


def _legend(figure: Figure, axes: Axes, families: dict[str, str], references: list[str]) -> None:
    handles = {
        name: axes.plot([], [], "o-", color=colour, markersize=2.5)[0]
        for name, colour in zip(families.values(), style.PALETTE, strict=False)
        if name
    }
    for name in references:
        handles[name.replace("-", " ")] = axes.plot([], [], color="0.3", linestyle=(0, (4, 3)), linewidth=0.7)[0]
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=1)
