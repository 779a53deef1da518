"""Figure mean_memorisation: mean score, number of memorised examples, and the two accuracies, against size."""

from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from memflow.figures import style
from memflow.figures.families import add_families, panels

QUANTITIES = ("memorisation", "memorised", "memorised_corrected", "acc_in", "acc_out", "acc_test")
ROWS = {
    "Mean memorisation": ("memorisation",),
    "Memorised (%)": ("memorised",),
    "Accuracy": ("acc_in", "acc_out"),
}
LINES = {"memorisation": "-", "memorised": "-", "acc_in": "-", "acc_out": ":"}
ACCURACIES = {"acc_in": "in-sample", "acc_out": "out-of-sample"}


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure: the rows of :func:`memflow.summary.summarise` that it shows, per family."""
    summary = tables["summary"]
    shown = add_families(summary[summary["quantity"].isin(QUANTITIES)], spec)
    leading = ["dataset", "family", "architecture", "parameters", "examples", "quantity"]
    return shown[leading + [column for column in shown if column not in leading]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """Quantities are rows, families are columns, groups of examples are colours; a reference learner is dashed."""
    families = list(panels(spec))
    figure, axes = plt.subplots(
        len(ROWS), len(families), figsize=(style.ONE_COLUMN, 4.4), sharex="col", sharey="row", squeeze=False
    )
    groups = [name for name in numbers["examples"].unique() if name != "all"] or ["all"]
    for column, family in enumerate(families):
        for row, quantities in enumerate(ROWS.values()):
            for quantity in quantities:
                for group in groups:
                    chosen = numbers[(numbers["quantity"] == quantity) & (numbers["examples"] == group)]
                    _draw_curve(axes[row, column], chosen, family, LINES[quantity], style.COLOURS[group])
        axes[0, column].set_title(family)
        sizes = numbers.loc[numbers["family"] == family, "parameters"].unique()
        axes[-1, column].set(xscale="log", xlabel="Parameters")
        axes[-1, column].set_xticks(sizes, [style.count(size) for size in sizes])
        axes[-1, column].xaxis.set_minor_locator(NullLocator())
    for row, label in enumerate(ROWS):
        axes[row, 0].set_ylabel(label)
    _legends(figure, axes[-1, -1], groups, spec)
    figure.align_ylabels()
    return figure


def _draw_curve(axes: Axes, chosen: pd.DataFrame, family: str, line: str, colour: str) -> None:
    """One quantity of one group of examples along a family, with intervals, and its value for the references."""
    is_count = chosen["quantity"].eq("memorised")
    scale = (100 / chosen["n_examples"]).where(is_count, 1.0)
    chosen = chosen.assign(**{name: chosen[name] * scale for name in ("value", "low", "high")})
    members = chosen[chosen["family"] == family].sort_values("parameters", kind="stable")
    axes.plot(members["parameters"], members["value"], line, marker="o", color=colour)
    axes.fill_between(members["parameters"], members["low"], members["high"], color=colour, alpha=0.2, linewidth=0)
    for value in chosen.loc[chosen["family"] == "reference", "value"]:
        axes.axhline(value, color=colour, linestyle=(0, (4, 3)) if line == "-" else (0, (1, 3)), linewidth=0.7)


def _legends(figure: Figure, axes: Axes, groups: list[str], spec: dict[str, Any]) -> None:
    lines = {ACCURACIES[quantity]: axes.plot([], [], LINES[quantity], color="0.3")[0] for quantity in ACCURACIES}
    if groups != ["all"]:
        lines |= {f"{group}s": axes.plot([], [], color=style.COLOURS[group])[0] for group in groups}
    for name in spec["references"]:
        lines[name.replace("-", " ")] = axes.plot([], [], color="0.3", linestyle=(0, (4, 3)), linewidth=0.7)[0]
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=3)
