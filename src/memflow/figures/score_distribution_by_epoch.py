"""Figure score_distribution_by_epoch: how the scores of the largest architectures are distributed over training."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from memflow.figures import style
from memflow.figures.families import heading, panels

SHOWN = 8  # epochs
SERIES = {"all": "all examples", "clean label": "clean labels"}
LOOKS = {"all": style.COLOURS["raw"], "clean label": style.COLOURS["clean label"]}
TAILS = {"share_low": "< 0.1", "share_high": "≥ 0.9"}


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Returns
    -------
    DataFrame
        Per family (its largest architecture), ``examples`` (all, and where some are artificial those with a clean
        label) and shown epoch: rows with the quantity ``share_of_bin`` (share of the examples with a score in
        ``[bin_low, bin_high)``, of all runs, as estimated), ``share_low`` (below 0.1) and ``share_high`` (from 0.9).
    """
    parts = []
    for family, architecture in zip(panels(spec), spec["largest"], strict=True):
        histogram = tables["histogram"]
        # two families may share their largest architecture, whose rows are then there twice
        bins = histogram[histogram["architecture"] == architecture].drop_duplicates()
        bins = bins[bins["epoch"].isin(_chosen(bins["epoch"].unique()))].rename(columns={"share": "value"})
        parts.append(bins.assign(family=family, quantity="share_of_bin"))
        for quantity, inside in (("share_low", bins["bin_high"] <= 0.1), ("share_high", bins["bin_low"] >= 0.9)):
            identity = [name for name in bins if name not in ("bin_low", "bin_high", "value")]
            tails = bins[inside].groupby(identity, sort=False)["value"].sum().reset_index()
            parts.append(tails.assign(family=family, quantity=quantity))
    numbers = pd.concat(parts, ignore_index=True).assign(dataset=spec["dataset"])
    leading = [
        "dataset",
        "family",
        "architecture",
        "parameters",
        "examples",
        "epoch",
        "quantity",
        "bin_low",
        "bin_high",
    ]
    return numbers[[*leading, "value", "n_examples", "runs", "runs_not_converged"]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """One column per family, one panel per epoch; the share axis is logarithmic, since most scores are near 0."""
    families = list(panels(spec))
    epochs = [_of(numbers, family)["epoch"].unique() for family in families]
    rows = max(map(len, epochs))
    titles = [style.wrapped(_title(spec, numbers, family), len(families)) for family in families]
    lines = 1 + max(title.count("\n") for title in titles)
    size = (style.ONE_COLUMN, 0.6 + 0.12 * lines + 0.8 * rows)
    figure, axes = plt.subplots(rows, len(families), figsize=size, sharex=True, sharey=True, squeeze=False)
    for column, family in enumerate(families):
        axes[0, column].set_title(titles[column])
        for row, panel in enumerate(axes[:, column]):
            if row >= len(epochs[column]):
                panel.set_axis_off()
                continue
            of_family = _of(numbers, family)
            _draw_panel(panel, of_family[of_family["epoch"] == epochs[column][row]])
            panel.xaxis.set_tick_params(labelbottom=row == len(epochs[column]) - 1)
    figure.supxlabel("Memorisation", fontsize=plt.rcParams["axes.labelsize"])
    figure.supylabel("Share of examples", fontsize=plt.rcParams["axes.labelsize"])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def _chosen(epochs: np.ndarray) -> np.ndarray:
    """At most :data:`SHOWN` epochs, evenly spaced in number, the first and the last among them."""
    epochs = np.sort(epochs)
    places = np.linspace(0, len(epochs) - 1, min(len(epochs), SHOWN))
    return epochs[np.round(places).astype(np.int64)]


def _of(numbers: pd.DataFrame, family: str) -> pd.DataFrame:
    return numbers[numbers["family"] == family]


def _title(spec: dict[str, Any], numbers: pd.DataFrame, family: str) -> str:
    """Heading of the family, and which of its sizes is shown."""
    shown = _of(numbers, family).iloc[0]
    size = f"{style.count(shown['parameters'])} parameters" if shown["parameters"] else shown["architecture"]
    return "\n".join(filter(None, [heading(spec, family), size]))


def _draw_panel(axes: Axes, chosen: pd.DataFrame) -> None:
    bins = chosen[chosen["quantity"] == "share_of_bin"]
    for series, label in SERIES.items():
        part = bins[bins["examples"] == series]
        if part.empty:
            continue
        look: dict[str, Any] = {"fill": True} if series == "all" else {"baseline": None}
        edges = [*part["bin_low"], part["bin_high"].iloc[-1]]
        axes.stairs(part["value"], edges, color=LOOKS[series], label=label, **look)
    limits = {"ylim": (0.5 / chosen["n_examples"].max(), 30), "xlim": (bins["bin_low"].min(), bins["bin_high"].max())}
    axes.set(yscale="log", **limits, xticks=[0, 0.5, 1], yticks=[0.001, 0.01, 0.1, 1])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_minor_locator(NullLocator())
    described = "clean label" if (bins["examples"] == "clean label").any() else "all"
    tails = chosen[chosen["examples"] == described].groupby("quantity")["value"].first()
    lines = [f"Epoch {chosen['epoch'].iloc[0]:g}", *(f"{sign}: {tails[name]:.1%}" for name, sign in TAILS.items())]
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "top"}
    text = axes.text(0.98, 1.0, "\n".join(lines), fontsize=5.5, linespacing=1.1, **place)
    text.set_in_layout(False)  # lies inside, and would claim room beside the axes
