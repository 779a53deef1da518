"""Figure artificial_vs_natural: memorisation of natural and of artificial examples, against size and over epochs."""

import math
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from memflow.figures import style
from memflow.figures.families import heading, panels, size_axis

NATURAL = "clean label"
QUANTITIES = {"memorised": "Memorised (%)", "memorisation": "Mean memorisation"}
ALONG = {"size": "parameters", "epoch": "epoch"}  # columns, and what is on their axis
LOWEST = 2e-3  # of the largest value: where a logarithmic axis ends at the latest
COLUMNS = ["dataset", "family", "architecture", "parameters", "along", "epoch", "examples", "quantity"]
LIMITS = ["value", "low", "high", "n_examples"]
NOTHING = "No examples are artificial: this dataset has\nneither label_noise nor input_noise."


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Parameters
    ----------
    spec : dict
    tables : dict of DataFrame
        ``summary``: rows of :func:`memflow.summary.summarise`; ``epochs``: of the stage epochs; of all architectures.

    Returns
    -------
    DataFrame
        Of natural (``clean label``) and artificial ``examples``, ``value``, ``low`` and ``high`` of the mean score
        (``memorisation``) and of the share ``memorised``: ``along`` ``size``, at the last epoch of every member of a
        family, and ``along`` ``epoch``, of the largest member. No rows where no example is artificial.
    """
    sizes, epochs = tables["summary"], tables["epochs"]
    last = epochs.groupby("architecture")["epoch"].max().rename("epoch")
    is_curve = epochs["quantity"].isin(list(QUANTITIES)) & (epochs["examples"] != "all")
    is_shown = sizes["quantity"].isin(list(QUANTITIES)) & (sizes["examples"] != "all")
    by_size = _as_shares(sizes[is_shown]).drop(columns="epoch", errors="ignore").merge(last, on="architecture")
    parts = []
    for family, members in panels(spec).items():
        for along, rows, shown in (("size", by_size, members), ("epoch", epochs[is_curve], _largest(spec, members))):
            order = pd.DataFrame({"architecture": shown}, dtype=object)
            parts.append(order.merge(rows, on="architecture").assign(family=family, along=along))
    found = pd.concat(parts, ignore_index=True).assign(dataset=spec["dataset"])
    marks = [name for name in ("runs", "runs_not_converged", "pretraining_overlap") if name in found]
    return found[[*COLUMNS, *LIMITS, *marks]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """Two rows per family; left against size, right over the epochs of the largest; colours are kinds of examples."""
    families = [family for family in panels(spec) if (numbers["family"] == family).any()]
    if not families:
        return _empty()
    titles = [style.wrapped(heading(spec, family), 1) for family in families]
    n_rows = len(QUANTITIES) * len(families)
    height = 0.5 + n_rows * 1.05 + 0.12 * sum(title.count("\n") + 1 for title in titles)
    figure, axes = plt.subplots(n_rows, 2, figsize=(style.ONE_COLUMN, height), sharey="row", squeeze=False)
    numbers = _in_percent(numbers)
    for number, (family, title) in enumerate(zip(families, titles, strict=True)):
        for position, (quantity, label) in enumerate(QUANTITIES.items()):
            chosen = numbers[(numbers["family"] == family) & (numbers["quantity"] == quantity)]
            row = axes[len(QUANTITIES) * number + position]
            floor = _logarithmic(row[0], chosen)
            for panel, along in zip(row, ALONG, strict=True):
                _draw_curves(panel, chosen[chosen["along"] == along], along, floor)
            row[0].set_ylabel(label)
            _name_axes(row, numbers[numbers["family"] == family])
            if position < len(QUANTITIES) - 1:
                _unname(row)
        axes[len(QUANTITIES) * number, 0].set_title(title, loc="left")
    shown = numbers["examples"].unique()
    handles = [axes[0, 0].plot([], [], marker="o", color=style.COLOURS[name])[0] for name in shown]
    figure.legend(handles, [f"{name}s" for name in shown], loc="outside lower center", ncols=3)
    figure.align_ylabels()
    return figure


def _largest(spec: dict[str, Any], members: list[str]) -> list[str]:
    """The member whose epochs are drawn."""
    return members[-1:] if spec["families"] else [name for name in spec["largest"] if name in members][:1]


def _as_shares(summary: pd.DataFrame) -> pd.DataFrame:
    """Numbers of memorised examples as shares; means as they are."""
    by = summary["n_examples"].where(summary["quantity"] == "memorised", 1)
    return summary.assign(**{name: summary[name] / by for name in ("value", "low", "high")})


def _in_percent(numbers: pd.DataFrame) -> pd.DataFrame:
    scale = (numbers["quantity"] == "memorised").map({True: 100.0, False: 1.0})
    return numbers.assign(**{name: scale * numbers[name] for name in ("value", "low", "high")})


def _logarithmic(axes: Axes, chosen: pd.DataFrame) -> float:
    """A logarithmic axis, on which neither kind of example flattens the other's curve, and where it ends."""
    positive = chosen.loc[chosen["value"] > 0, "value"]
    if positive.empty:
        return -float("inf")
    highest = max(positive.max(), chosen["high"].max())
    floor, top = max(0.7 * positive.min(), LOWEST * highest), 1.3 * highest
    axes.set(yscale="log", ylim=(floor, top))
    axes.yaxis.set_major_locator(FixedLocator(_ticks(floor, top)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return floor


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers in a range, three or more where it is wide enough."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [tick for decade in decades for step in steps if low <= (tick := float(f"{step}e{decade}")) <= high]
        if len(ticks) >= 3:
            break
    return ticks


def _draw_curves(axes: Axes, chosen: pd.DataFrame, along: str, floor: float) -> None:
    """Values and their intervals; what is below a logarithmic axis is drawn at its end."""
    for name, rows in chosen.groupby("examples", sort=False):
        rows = rows.sort_values(ALONG[along], kind="stable")
        x, (value, low, high) = rows[ALONG[along]], (rows[of].clip(lower=floor) for of in ("value", "low", "high"))
        axes.plot(x, value, marker="o", color=style.COLOURS[str(name)], clip_on=False)
        if len(rows) > 1:
            axes.fill_between(x, low, high, color=style.COLOURS[str(name)], alpha=0.2, linewidth=0)
        else:
            axes.vlines(x, low, high, color=style.COLOURS[str(name)], linewidth=0.7)


def _name_axes(row: Any, of_family: pd.DataFrame) -> None:
    """Scales and names of the axes of size and of epochs."""
    size_axis(row[0], of_family.loc[of_family["along"] == "size", "parameters"].tolist())
    of_largest = of_family.loc[of_family["along"] == "epoch", "architecture"]
    row[1].set_xlabel(f"Epoch ({of_largest.iloc[0]})")
    row[1].xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))


def _unname(row: Any) -> None:
    """Leave the names of the axes to the panels below, which have the same."""
    for panel in row:
        panel.set_xlabel("")
        panel.tick_params(labelbottom=False)


def _empty() -> Figure:
    figure = plt.figure(figsize=(style.ONE_COLUMN, 0.6))
    figure.text(0.5, 0.5, NOTHING, ha="center", va="center")
    return figure
