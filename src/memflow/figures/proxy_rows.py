"""What the figures of proxies share: a row per proxy, with a dot per size, from light and small to dark and large."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memflow import proxy_names
from memflow.figures import style
from memflow.figures.families import heading, panels
from memflow.proxy_names import NAMES

DODGE = 0.62  # of a row's height is for its sizes
MARGIN = 0.065  # inches beside the names: letters are wider at the resolution of the files than where they are laid out
FRAME = 0.42  # inches of a row of axes that are not for proxies: tick labels, label


def name(proxy: str) -> str:
    """How a proxy is called in a figure."""
    called = proxy_names.name(proxy)
    return called[0].upper() + called[1:]


def ordered(proxies: Iterable[str]) -> list[str]:
    """Each proxy once, in the order of all figures: further ratios of the C-score after the study's own."""
    fixed = list(NAMES)
    between = fixed.index("c_score") + 0.5
    return sorted(dict.fromkeys(proxies), key=lambda proxy: fixed.index(proxy) if proxy in NAMES else between)


def along(numbers: pd.DataFrame, spec: dict[str, Any]) -> dict[str, list[str]]:
    """Architectures of each panel, smallest first; ``numbers`` knows their ``parameters``."""
    parameters = numbers.groupby("architecture")["parameters"].first()
    return {
        title: sorted((member for member in members if member in parameters), key=lambda member: parameters[member])
        for title, members in panels(spec).items()
    }


def shades(count: int) -> list[str]:
    """Colours of some sizes, smallest first; a single one is dark."""
    return [to_hex(colour) for colour in sns.color_palette("crest", as_cmap=True)(np.linspace(1, 0, count)[::-1])]


def row_height(n_sizes: int) -> float:
    """Inches of a row with a dot per size."""
    return 0.1 + 0.012 * max(n_sizes, 2)


def title(spec: dict[str, Any], family: str, numbers: pd.DataFrame, n_columns: int) -> str:
    """Title of a family and its range of sizes, in lines that fit above one of some panels beside the names of rows."""
    sizes = numbers.loc[numbers["family"] == family, "parameters"].dropna()
    ends = dict.fromkeys(style.count(size) for size in (sizes.min(), sizes.max())) if len(sizes) else []
    known = f"{'–'.join(ends)} parameters" if ends else ""
    text = "\n".join(filter(None, [heading(spec, family), known]))
    return style.wrapped(text, n_columns + 1 if n_columns > 1 else 1)


def grid(
    spec: dict[str, Any], numbers: pd.DataFrame, kinds: list[str], proxies: list[str], height: float
) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """Axes of every family and kind, with a row for each proxy.

    One family has its kinds side by side, several are columns with the kinds one below the other.

    Parameters
    ----------
    spec : dict
    numbers : DataFrame
        With ``family`` and ``parameters``.
    kinds, proxies : list of str
    height : float
        Inches of a row.
    """
    families = list(panels(spec))
    titles = [title(spec, family, numbers, len(families)) for family in families]
    lines = max(text.count("\n") + bool(text) for text in titles)
    single = len(families) == 1
    shape = (1, len(kinds)) if single else (len(kinds), len(families))
    inches = 0.35 + 0.12 * lines + shape[0] * (FRAME + height * max(len(proxies), 1))
    figure, axes = plt.subplots(*shape, figsize=(style.ONE_COLUMN, inches), sharey=True, squeeze=False)
    figure.set_layout_engine("constrained", w_pad=MARGIN)
    if single:
        figure.suptitle(titles[0], fontsize=plt.rcParams["axes.titlesize"])
    for axis, text in zip([] if single else axes[0], titles, strict=not single):
        axis.set_title(text)
    for axis in axes.ravel():
        name_rows(axis, proxies)
    by_family = axes if single else axes.T
    return figure, {
        (family, kind): axis
        for family, row in zip(families, by_family, strict=True)
        for kind, axis in zip(kinds, row, strict=True)
    }


def settle(figure: Figure) -> Figure:
    """Lay out once and round: the solver's last digits change from call to call, and with them the bytes of a file."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, lower, width, height = (round(float(edge), 4) for edge in axes.get_position().bounds)
        axes.set_position((left, lower, width, height))
    return figure


def name_rows(axes: Axes, proxies: list[str]) -> None:
    """A row for each proxy, from above; every other one is shaded, so that the eye keeps to it."""
    axes.set(yticks=range(len(proxies)), yticklabels=[name(proxy) for proxy in proxies])
    axes.set_ylim(max(len(proxies), 1) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for place in range(1, len(proxies), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="0.955", linewidth=0, zorder=0)


def offsets(n_sizes: int) -> np.ndarray:
    """Where in a row the sizes stand, smallest on top; 0 is its middle."""
    return (np.arange(n_sizes) - (n_sizes - 1) / 2) * DODGE / max(n_sizes, 2)


def draw_dots(axes: Axes, numbers: pd.DataFrame, proxies: list[str], members: list[str]) -> None:
    """A dot with its interval per proxy and size; a row without any value says so.

    Parameters
    ----------
    axes : Axes
        With rows of :func:`name_rows`.
    numbers : DataFrame
        ``proxy``, ``architecture``, ``value``, ``low``, ``high``: of one panel.
    proxies, members : list of str
        Rows, and architectures with the smallest first.
    """
    rows = np.arange(len(proxies))
    limits = {column: by_member(numbers, column, proxies, members) for column in ("value", "low", "high")}
    for member, colour, offset in zip(members, shades(len(members)), offsets(len(members)), strict=True):
        value, low, high = (limit[member] for limit in limits.values())
        axes.hlines(rows + offset, low, high, color=colour, linewidth=0.7)
        axes.plot(value, rows + offset, "o", color=colour, markersize=2.2, markeredgewidth=0)
    for row in np.flatnonzero(limits["value"].isna().all(axis=1)):
        say(axes, int(row), "undefined")


def cross(numbers: pd.DataFrame, rows: str, columns: str, values: str) -> pd.DataFrame:
    """One column of a table by two others, which together name its rows."""
    return numbers.pivot(index=rows, columns=columns, values=values)  # noqa: PD010, since nothing is aggregated


def by_member(numbers: pd.DataFrame, column: str, proxies: list[str], members: list[str]) -> pd.DataFrame:
    """One column of a panel's table, a row per proxy and a column per architecture; NaN where there is none."""
    known = cross(numbers, "proxy", "architecture", column)
    return known.reindex(index=proxies, columns=members).astype(float)


def say(axes: Axes, row: int, text: str) -> None:
    """What stands in a row without values."""
    place: dict[str, Any] = {"va": "center", "fontsize": 5, "color": "0.5"}
    axes.text(0.03, row, text, transform=axes.get_yaxis_transform(), **place)


def size_handles(n_sizes: int) -> dict[str, Line2D]:
    """What the shades mean, for a legend."""
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 3, "markeredgewidth": 0}
    ends = dict(zip(("smallest network", "largest network"), (shades(2)[0], shades(2)[-1]), strict=True))
    return {text: Line2D([], [], color=colour, **look) for text, colour in ends.items()} if n_sizes > 1 else {}
