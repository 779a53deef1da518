"""Figure train_test_gap: memorisation against the gap between accuracies, of every size and evaluated epoch."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from scipy.special import ndtri

from memflow.figures import style
from memflow.figures.families import add_families, heading, panels

GAPS = {"held_out": "In-sample − held-out\naccuracy", "test": "In-sample − test\naccuracy"}
ACCURACIES = ("acc_in", "acc_out", "acc_test")  # the first minus each of the others are the gaps
QUANTITIES = {"memorisation": "Mean memorisation", "memorised": "Memorised (%)"}
CONFIDENCE = 0.95  # of the intervals of correlations
COLOURS = [style.PALETTE[number] for number in (0, 3, 2, 1, 4, 5)]  # of families
REFERENCE = "reference"
NETWORKS = "all networks"  # what a correlation is over


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Parameters
    ----------
    spec : dict
    tables : dict of DataFrame
        ``epochs``: tables of the stage epochs, one architecture after the other.

    Returns
    -------
    DataFrame
        Rows with the ``statistic`` ``point``: per family, architecture, ``epoch``, ``quantity`` (mean score
        ``memorisation``; share of the examples ``memorised``) and kind of ``against`` (``held_out`` training examples
        or ``test`` examples) the ``gap`` between the accuracies in-sample and on those, ``value``, ``low`` and
        ``high``. Rows with the ``statistic`` ``pearson``, by quantity and ``against``: the correlation over the points
        of all networks, each counted once, with Fisher's interval; ``n_points``.
    """
    points = _points(tables["epochs"])
    of_networks = points[~points["architecture"].isin(spec["references"])]
    shown = pd.concat([add_families(points, spec), _correlations(of_networks, spec)], ignore_index=True)
    leading = ["dataset", "statistic", "family", "architecture", "parameters", "epoch", "quantity", "against", "gap"]
    return shown[leading + [column for column in shown if column not in leading]]


def pearson(x: np.ndarray, y: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Pearson correlation of two float64[n], and Fisher's interval for independent points.

    NaN where there are fewer than two points or one side does not vary; no interval below four points.
    """
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan, np.nan
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    if len(x) < 4:
        return r, np.nan, np.nan
    with np.errstate(divide="ignore"):  # points on a line: an interval without width
        z, margin = np.arctanh(r), ndtri((1 + confidence) / 2) / np.sqrt(len(x) - 3)
    return r, float(np.tanh(z - margin)), float(np.tanh(z + margin))


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """Quantities are rows, gaps columns, families colours; lines join an architecture's epochs, the last is filled."""
    titles = [title for title in panels(spec) if title] if spec["families"] else []
    labels = [style.wrapped(heading(spec, title), 1) for title in titles]
    lines = sum(label.count("\n") + 1 for label in labels) + 1 + bool(spec["references"])
    size = (style.ONE_COLUMN, 3.5 + 0.12 * lines)
    figure, axes = plt.subplots(len(QUANTITIES), len(GAPS), figsize=size, sharex=True, sharey="row", squeeze=False)
    points = numbers[numbers["statistic"] == "point"]
    found = numbers[numbers["statistic"] == "pearson"]
    for row, (quantity, label) in enumerate(QUANTITIES.items()):
        for column, (against, gap) in enumerate(GAPS.items()):
            panel = axes[row, column]
            chosen = points[(points["quantity"] == quantity) & (points["against"] == against)]
            _draw_points(panel, chosen, spec, 100 if quantity == "memorised" else 1)
            if quantity == "memorisation":
                panel.axline((0, 0), slope=1, color="0.5", linestyle=(0, (4, 3)), linewidth=0.7, zorder=1)
            panel.set_title(_said(found[(found["quantity"] == quantity) & (found["against"] == against)].iloc[0]))
            if row == len(QUANTITIES) - 1:
                panel.set_xlabel(gap)
                panel.xaxis.set_major_locator(MaxNLocator(3))
                panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes[row, 0].set_ylabel(label)
    _legend(figure, axes[0, 0], dict(zip(titles, labels, strict=True)), spec["references"])
    figure.align_ylabels()
    return figure


def _points(epochs: pd.DataFrame) -> pd.DataFrame:
    """Of every architecture and epoch, both quantities against both gaps."""
    of_all, key = epochs[epochs["examples"] == "all"], ["architecture", "epoch"]
    acc_in, *others = (of_all[of_all["quantity"] == name].set_index(key)["value"] for name in ACCURACIES)
    gaps = pd.DataFrame({against: acc_in - other for against, other in zip(GAPS, others, strict=True)})
    melted = gaps.reset_index().melt(key, list(GAPS), var_name="against", value_name="gap")
    points = of_all[of_all["quantity"].isin(list(QUANTITIES))].merge(melted, on=key, how="left")
    return points.assign(statistic="point").drop(columns=["examples", "se", "df"], errors="ignore")


def _correlations(points: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    rows = []
    for quantity in QUANTITIES:
        for against in GAPS:
            chosen = points[(points["quantity"] == quantity) & (points["against"] == against)]
            chosen = chosen.dropna(subset=["gap", "value"])
            r, low, high = pearson(chosen["gap"].to_numpy(), chosen["value"].to_numpy(), CONFIDENCE)
            row = {"dataset": spec["dataset"], "statistic": "pearson", "family": NETWORKS, "quantity": quantity}
            rows.append(row | {"against": against, "value": r, "low": low, "high": high, "n_points": len(chosen)})
    return pd.DataFrame(rows)


def _draw_points(axes: Axes, chosen: pd.DataFrame, spec: dict[str, Any], scale: float) -> None:
    for number, family in enumerate([*panels(spec), REFERENCE]):
        colour = _colour(number) if family != REFERENCE else "0.4"
        marker = "o" if family != REFERENCE else "s"
        for _, of in chosen[chosen["family"] == family].groupby("architecture", sort=False):
            of = of.sort_values("epoch")
            x, y, low, high = (of["gap"], *(scale * of[name] for name in ("value", "low", "high")))
            axes.plot(x, y, color=colour, linewidth=0.6, alpha=0.5)
            axes.vlines(x, low, high, color=colour, linewidth=0.7, alpha=0.7)
            faces = ["white"] * (len(of) - 1) + [colour]
            axes.scatter(x, y, s=9, c=faces, edgecolors=colour, linewidths=0.7, marker=marker, zorder=3)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _said(found: pd.Series) -> str:
    """A correlation in words, in two lines."""
    n = int(found["n_points"])
    points = f"{n} point" + "s" * (n != 1)
    if np.isnan(found["value"]):
        return f"no correlation\n{points}"
    interval = "" if np.isnan(found["low"]) else f" [{found['low']:.2f}, {found['high']:.2f}]"
    return f"r = {found['value']:.2f}{interval}\n{points}"


def _legend(figure: Figure, axes: Axes, titles: dict[str, str], references: list[str]) -> None:
    look: dict[str, Any] = {"linestyle": "", "markersize": 3, "markeredgewidth": 0.7}
    lines = {
        label: axes.plot([], [], marker="o", color=_colour(number), **look)[0]
        for number, label in enumerate(titles.values())
    }
    for name in references:
        lines[name.replace("-", " ")] = axes.plot([], [], marker="s", color="0.4", **look)[0]
    lines["last epoch"] = axes.plot([], [], marker="o", color="0.3", **look)[0]
    lines["earlier"] = axes.plot([], [], marker="o", color="0.3", markerfacecolor="white", **look)[0]
    lines["memorisation = gap"] = axes.plot([], [], color="0.5", linestyle=(0, (4, 3)), linewidth=0.7)[0]
    own, common = list(lines)[:-3], list(lines)[-3:]
    if own:
        figure.legend([lines[name] for name in own], own, loc="outside upper center", ncols=1)
    figure.legend([lines[name] for name in common], common, loc="outside lower center", ncols=3)
