"""Figure proxy_bimodality: is a proxy as two-peaked as the score? Numbers for each proxy, and for the score."""

from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from memflow.figures import proxy_rows, style
from memflow.figures.families import add_families, panels

QUANTITIES = {"sarle": "Sarle", "dip": "Dip", "share_low": "≤ 0.1 (%)", "share_high": "≥ 0.9 (%)"}
UNIFORM = 5 / 9  # Sarle's coefficient of the uniform distribution
LEGEND, NAMES, GAP = 0.2, 1.1, 0.1  # inches: below, left of the axes, and between them
REFERENCE = (0, (3, 2))  # how its line is dashed


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure: the rows of the proxies' summary that it shows, per family."""
    summary = tables["summary"][tables["summary"]["examples"] == "all"]
    shown = add_families(summary[summary["quantity"].isin(list(QUANTITIES))], spec)
    leading = ["dataset", "family", "architecture", "parameters", "proxy", "quantity"]
    return shown[leading + [column for column in shown if column not in leading]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """A row of axes per family, a column per quantity; in each a row per proxy, below that of the score."""
    numbers = numbers.assign(family=numbers["family"].fillna(""))
    families, proxies = list(panels(spec)), proxy_rows.ordered(numbers["proxy"])
    members = proxy_rows.along(numbers, spec)
    titles = [proxy_rows.title(spec, family, numbers, 1) for family in families]
    lines = [0.12 * (title.count("\n") + bool(title)) for title in titles]
    rows = [proxy_rows.row_height(len(members[family])) * max(len(proxies), 1) for family in families]
    below = LEGEND + sum(rows) + sum(lines) + proxy_rows.FRAME * len(families)
    figure = plt.figure(figsize=(style.ONE_COLUMN, below), layout="none")  # everything has its place
    for family, title, line, height in zip(families, titles, lines, rows, strict=True):
        below -= line + height + 0.25 * proxy_rows.FRAME
        middle = (below + height + line / 2 + 0.05) / figure.get_figheight()
        figure.text(0.5, middle, title, ha="center", va="center", fontsize=plt.rcParams["axes.titlesize"])
        for place, (quantity, label) in enumerate(QUANTITIES.items()):
            axis = _axes(figure, place, below, height)
            chosen = numbers[numbers["quantity"] == quantity]
            proxy_rows.name_rows(axis, proxies)
            axis.tick_params(labelleft=place == 0)
            proxy_rows.draw_dots(axis, chosen[chosen["family"] == family], proxies, members[family])
            _scale(axis, quantity, chosen)
            axis.set_xlabel(label)
        below -= 0.75 * proxy_rows.FRAME
    uniform = Line2D([], [], color="0.4", linestyle=REFERENCE, linewidth=0.7)
    handles = {**proxy_rows.size_handles(max(map(len, members.values()))), "5/9": uniform}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=3, handletextpad=0.4)
    return figure


def _axes(figure: Figure, place: int, below: float, height: float) -> Axes:
    """Axes of one quantity, from left; lengths in inches."""
    step = (style.ONE_COLUMN - NAMES - 0.02) / len(QUANTITIES)
    left, width = (NAMES + place * step) / style.ONE_COLUMN, (step - GAP) / style.ONE_COLUMN
    return figure.add_axes((left, below / figure.get_figheight(), width, height / figure.get_figheight()))


def _scale(axes: Axes, quantity: str, numbers: pd.DataFrame) -> None:
    """From 0, the same in all families; a dip is small, the others are at most 1."""
    highest = numbers[["value", "high"]].max().max()
    top = (1.1 * highest if highest > 0 else 0.25) if quantity == "dip" else max(1.0, highest)
    axes.set_xlim(-0.05 * top, 1.05 * top)
    axes.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]) if quantity == "dip" else MultipleLocator(0.5))
    scale = 100 if quantity.startswith("share") else 1
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{scale * value:g}"))
    if quantity == "sarle":
        axes.axvline(UNIFORM, color="0.4", linestyle=REFERENCE, linewidth=0.7, zorder=1)
