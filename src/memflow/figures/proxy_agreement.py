"""Figure proxy_agreement: how well proxies agree with the score, beside the best that the score's own noise allows."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator

from memflow.figures import proxy_rows
from memflow.figures.families import add_families

STATISTICS = {"spearman": "Spearman", "pearson": "Pearson"}


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure, and the agreement among other examples than the drawn ones.

    Returns
    -------
    DataFrame
        Per family, architecture, proxy, ``statistic`` (``spearman`` or ``pearson``) and group of ``examples``: value,
        interval, and ceiling. ``drawn`` marks the group in the figure: clean labels of images as they are, where the
        study planted others, which would dominate an agreement over all.
    """
    agreement = tables["agreement"]
    groups = agreement["examples"].unique()
    drawn = "clean label" if "clean label" in groups else "all"
    shown = add_families(agreement.assign(drawn=agreement["examples"] == drawn), spec)
    leading = ["dataset", "family", "architecture", "parameters", "proxy", "statistic", "examples", "drawn"]
    return shown[leading + [column for column in shown if column not in leading]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """A row per proxy, a dot per size; the vertical ticks are the ceilings."""
    numbers = numbers[numbers["drawn"]].assign(family=numbers["family"].fillna(""))
    proxies = proxy_rows.ordered(numbers["proxy"])
    members = proxy_rows.along(numbers, spec)
    most = max(map(len, members.values()))
    figure, axes = proxy_rows.grid(spec, numbers, list(STATISTICS), proxies, proxy_rows.row_height(most))
    lowest = numbers[["value", "low"]].min().min()
    for (family, statistic), axis in axes.items():
        chosen = numbers[(numbers["family"] == family) & (numbers["statistic"] == statistic)]
        _draw_ceilings(axis, chosen, proxies, members[family])
        proxy_rows.draw_dots(axis, chosen, proxies, members[family])
        axis.set(xlim=(min(0, lowest) - 0.03, 1.03), xlabel=STATISTICS[statistic])
        axis.xaxis.set_major_locator(MultipleLocator(0.5))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if lowest < 0:
            axis.axvline(0, color="0.7", linewidth=0.5, zorder=1)
    ceiling = Line2D([], [], color="0.3", linestyle="", marker="|", markersize=4, markeredgewidth=0.9)
    handles = {**proxy_rows.size_handles(most), "ceiling": ceiling}
    title = "Examples with clean labels" if "clean label" in set(numbers["examples"]) else None
    look: dict[str, Any] = {"ncols": 3, "handletextpad": 0.2, "title": title, "title_fontsize": 6}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", **look)
    return proxy_rows.settle(figure)


def _draw_ceilings(axes: Axes, numbers: pd.DataFrame, proxies: list[str], members: list[str]) -> None:
    ceilings = proxy_rows.by_member(numbers, "ceiling", proxies, members)
    colours, offsets = proxy_rows.shades(len(members)), proxy_rows.offsets(len(members))
    half = proxy_rows.DODGE / max(len(members), 2) / 2
    for member, colour, offset in zip(members, colours, offsets, strict=True):
        middle = np.arange(len(proxies)) + offset
        axes.vlines(ceilings[member], middle - half, middle + half, color=colour, linewidth=0.9)
