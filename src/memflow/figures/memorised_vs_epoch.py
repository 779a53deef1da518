"""Figure memorised_vs_epoch: share of memorised examples at every evaluated epoch, above the learning-rate schedule."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from memflow.figures import style
from memflow.figures.families import add_families, heading, panels
from memflow.training.schedules import factor

ROWS = {"all": "all examples", "clean label": "clean labels", "flipped label": "flipped labels"}
ROWS |= {"noise image": "noise images"}
RATE = "learning_rate"
STEPS = 240  # of a drawn schedule
NUMBERS = ["value", "low", "high", "se", "df", "n_examples", "runs", "runs_not_converged"]
MARKED = 16  # evaluated epochs that leave room for markers
BELOW = 23  # points from the axes down to the legend: ticks and their labels, and the label of the axis


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Returns
    -------
    DataFrame
        Per family, architecture and epoch: of each group of examples (``examples``) the share with a score of at least
        the study's threshold (``quantity`` ``memorised``), selected and measured on all runs; and of each network, on a
        fine grid of epochs, the ``learning_rate``.
    """
    epochs = tables["epochs"]
    memorised = epochs[(epochs["quantity"] == "memorised") & epochs["examples"].isin(_shown(epochs))]
    parameters = memorised.groupby("architecture")["parameters"].first()
    rates = [_rates(name, schedule).assign(parameters=parameters[name]) for name, schedule in spec["schedules"].items()]
    shown = add_families(pd.concat([memorised, *rates], ignore_index=True), spec)
    leading = ["dataset", "family", "architecture", "parameters", "examples", "quantity", "epoch"]
    return shown[leading + NUMBERS]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """Groups of examples are rows, families columns, sizes shades; below them the learning rate."""
    families, groups = list(panels(spec)), _shown(numbers)
    titles = [style.wrapped(heading(spec, family), len(families)) for family in families]
    members = max(map(len, panels(spec).values()))
    columns = 2 if len(families) > 2 else 3
    height = 1.1 + 0.9 * len(groups) + 0.12 * (max(title.count("\n") for title in titles) + -(-members // columns))
    figure, axes = plt.subplots(
        len(groups) + 1,
        len(families),
        figsize=(style.ONE_COLUMN, height),
        sharex="col",
        sharey="row",
        squeeze=False,
        height_ratios=[1.0] * len(groups) + [0.4],
    )
    for column, family in enumerate(families):
        chosen, shades = numbers[numbers["family"] == family], _shades(panels(spec)[family])
        axes[0, column].set_title(titles[column])
        for axis, group in zip(axes[:-1, column], groups, strict=True):
            _draw_shares(axis, chosen[chosen["examples"] == group], shades)
            references = numbers[(numbers["family"] == "reference") & (numbers["examples"] == group)]
            for value in 100 * references["value"]:
                axis.axhline(value, color="0.3", linestyle=(0, (4, 3)), linewidth=0.7)
        _draw_rates(axes[-1, column], chosen[chosen["quantity"] == RATE], shades)
        _legend(axes[-1, column], chosen, shades, columns)
    for axis, group in zip(axes[:-1, 0], groups, strict=True):
        share = numbers[numbers["examples"] == group]
        axis.set_ylim(0, np.clip(105 * np.nanmax(share[["value", "high"]].to_numpy()), 1, 105))
        axis.set_ylabel("Memorised (%)" + ("" if groups == ["all"] else f"\n{ROWS[group]}"))
    axes[-1, 0].set_ylabel("Learning\nrate")
    figure.align_ylabels()
    if spec["references"]:
        lines = [axes[0, 0].plot([], [], color="0.3", linestyle=(0, (4, 3)), linewidth=0.7)[0]] * len(
            spec["references"]
        )
        figure.legend(lines, [name.replace("-", " ") for name in spec["references"]], loc="outside lower center")
    return figure


def _shown(numbers: pd.DataFrame) -> list[str]:
    """Groups of examples that are drawn: the natural ones first, then the artificial ones; all where none is."""
    found = set(numbers["examples"].dropna())
    return [name for name in ROWS if name in found and name != "all"] or ["all"]


def _rates(architecture: str, schedule: dict[str, Any]) -> pd.DataFrame:
    """The learning rate on a grid of epochs."""
    epochs = np.linspace(0, schedule["epochs"], STEPS + 1)
    rates = [schedule["learning_rate"] * factor(schedule, float(epoch), schedule["epochs"]) for epoch in epochs]
    return pd.DataFrame({"architecture": architecture, "quantity": RATE, "epoch": epochs, "value": rates})


def _shades(architectures: list[str]) -> dict[str, str]:
    """A colour for each size, darker for larger ones."""
    return dict(zip(architectures, sns.color_palette("crest", len(architectures)).as_hex(), strict=True))


def _draw_shares(axes: Axes, shares: pd.DataFrame, shades: dict[str, str]) -> None:
    for architecture, colour in shades.items():
        curve = shares[shares["architecture"] == architecture].sort_values("epoch", kind="stable")
        percent = 100 * curve[["value", "low", "high"]]
        marker = "o" if len(curve) <= MARKED else ""
        axes.plot(curve["epoch"], percent["value"], color=colour, marker=marker, markersize=2, linewidth=0.9)
        if len(curve) > 1:
            axes.fill_between(curve["epoch"], percent["low"], percent["high"], color=colour, alpha=0.2, linewidth=0)
        else:
            axes.vlines(curve["epoch"], percent["low"], percent["high"], color=colour, linewidth=0.7)
    axes.tick_params(labelbottom=False)


def _draw_rates(axes: Axes, rates: pd.DataFrame, shades: dict[str, str]) -> None:
    """The schedules of the networks, each once; in the sizes' shades where they differ."""
    curves = {name: rates[rates["architecture"] == name] for name in shades}
    drawn = {tuple(zip(curve["epoch"], curve["value"], strict=True)): name for name, curve in curves.items()}
    drawn.pop((), None)
    for points, name in drawn.items():
        colour = shades[name] if len(drawn) > 1 else "0.3"
        axes.plot(*np.transpose(points), color=colour, linewidth=0.9)
    if not drawn:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", fontsize=6, color="0.4")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(2))
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set(xlim=(0, None), xlabel="Epoch")


def _legend(axes: Axes, numbers: pd.DataFrame, shades: dict[str, str], columns: int) -> None:
    """The family's sizes, below its column."""
    if not shades:
        return
    parameters = numbers.groupby("architecture")["parameters"].first()
    lines = [axes.plot([], [], color=colour)[0] for colour in shades.values()]
    labels = [style.count(parameters[name]) if parameters.get(name, 0) else name for name in shades]
    offset = axes.transAxes + ScaledTranslation(0, -BELOW / 72, axes.figure.dpi_scale_trans)
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": offset}
    tight: dict[str, Any] = {"handlelength": 0.8, "handletextpad": 0.4, "columnspacing": 0.8, "labelspacing": 0.2}
    axes.legend(lines, labels, ncols=columns, title="Parameters", title_fontsize=6, borderaxespad=0, **below, **tight)
