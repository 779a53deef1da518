"""Figure score_distribution: how the scores are distributed at each size, as estimated and noise-corrected."""

from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from memflow.figures import style
from memflow.figures.families import add_families, heading
from memflow.statistics import bimodality

SERIES = {"raw": "as estimated", "corrected": "noise-corrected"}


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Returns
    -------
    DataFrame
        Per family and architecture, of all examples: rows with the quantity ``share_of_bin`` (share of the examples in
        ``[bin_low, bin_high)``), and rows with the bimodality statistics; ``series`` is ``raw`` or ``corrected``.
    """
    bins = tables["histogram"].melt(
        [column for column in tables["histogram"] if column not in SERIES], list(SERIES), var_name="series"
    )
    summary = tables["summary"]
    parts = [bins.assign(quantity="share_of_bin")]
    for series, suffix in (("raw", ""), ("corrected", "_corrected")):
        names = {f"{name}{suffix}": name for name in bimodality.NAMES}
        rows = summary[(summary["examples"] == "all") & summary["quantity"].isin(list(names))]
        parts.append(rows.assign(quantity=rows["quantity"].map(names), series=series).drop(columns="examples"))
    shown = add_families(pd.concat(parts, ignore_index=True), spec)
    leading = ["dataset", "family", "architecture", "parameters", "series", "quantity"]
    return shown[leading + [column for column in shown if column not in leading]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """One column per family, one panel per size; the share axis is logarithmic, since most scores are near 0."""
    families = {str(family): part["architecture"].unique() for family, part in numbers.groupby("family", sort=False)}
    rows = max(map(len, families.values()))
    figure, axes = plt.subplots(
        rows,
        len(families),
        figsize=(style.ONE_COLUMN, 0.7 + 1.05 * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for column, (family, architectures) in enumerate(families.items()):
        axes[0, column].set_title(style.wrapped(_title(spec, family), len(families)))
        for row, panel in enumerate(axes[:, column]):
            if row >= len(architectures):
                panel.set_axis_off()
                continue
            chosen = numbers[(numbers["family"] == family) & (numbers["architecture"] == architectures[row])]
            _draw_panel(panel, chosen, len(families))
            panel.xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel("Memorisation", fontsize=plt.rcParams["axes.labelsize"])
    figure.supylabel("Share of examples", fontsize=plt.rcParams["axes.labelsize"])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def _title(spec: dict[str, Any], family: str) -> str:
    return family if family == "reference" else heading(spec, family)


def _draw_panel(axes: Axes, chosen: pd.DataFrame, n_columns: int) -> None:
    bins = chosen[chosen["quantity"] == "share_of_bin"]
    raw, corrected = (bins[bins["series"] == series] for series in SERIES)
    edges = [*raw["bin_low"], raw["bin_high"].iloc[-1]]
    axes.stairs(raw["value"], edges, fill=True, color=style.COLOURS["raw"], label=SERIES["raw"])
    axes.stairs(corrected["value"], edges, color=style.COLOURS["corrected"], label=SERIES["corrected"], baseline=None)
    limits = {"ylim": (0.5 / chosen["n_examples"].max(), 30), "xlim": (edges[0], edges[-1])}
    axes.set(yscale="log", **limits, xticks=[0, 0.5, 1], yticks=[0.001, 0.01, 0.1, 1])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_minor_locator(NullLocator())
    statistics = chosen[chosen["series"] == "corrected"].set_index("quantity")["value"]
    parameters = chosen["parameters"].iloc[0]
    size = f"{style.count(parameters)} parameters" if parameters else chosen["architecture"].iloc[0]
    text = axes.text(
        0.98,
        1.0,
        f"{style.wrapped(size, n_columns)}\n"
        f"≤ 0.1: {statistics['share_low']:.1%}\n≥ 0.9: {statistics['share_high']:.1%}\n"
        f"Sarle: {statistics['sarle']:.2f}",
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=5.5,
        linespacing=1.1,
    )
    text.set_in_layout(False)  # lies inside, and would claim room beside the axes
