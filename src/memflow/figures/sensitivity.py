"""Figure sensitivity: how the results of a family move with runs, threshold, design and ratio, of natural examples."""

from fractions import Fraction
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from memflow.figures import style
from memflow.figures.families import heading
from memflow.statistics.trajectory_types import TESTED

OVER_RUNS = {  # rows against the number of runs, and what they draw
    "Memorised (%)": ("K", "memorised"),
    "Half-width\nof an interval": ("K", "half_width"),
    "Reliability": ("reliability", "reliability"),
}
TYPES = "Type (%)"
THRESHOLD = "Memorised (%) "  # the blank parts it from the row against the number of runs
RATIO, DESIGN = "Mean score", "Variance,\ngroups / alone"
WORST = ("K", "half_width_worst")
DRAWN = {
    *OVER_RUNS.values(),
    WORST,
    ("threshold", "memorised"),
    ("design", "variance_ratio"),
    ("ratio", "memorisation"),
}
DRAWN |= {("K", f"type {kind}") for kind in TESTED}
PREDICTED, ANY = (0, (3, 2)), (0, (1, 1))  # dashes
ROW = 0.86  # inches


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure: rows of :func:`memflow.sensitivity.sensitivity_table`, of natural examples."""
    given = tables["sensitivity"]
    natural = "clean label" if (given["examples"] == "clean label").any() else "all"
    drawn = pd.MultiIndex.from_frame(given[["what", "quantity"]]).isin(DRAWN)
    shown = given[drawn & (given["examples"] == natural)]
    shown = shown.assign(dataset=spec["dataset"], setting=shown["setting"].astype(str)).fillna({"architecture": ""})
    leading = ["dataset", "family"]
    return shown[leading + [column for column in shown if column not in leading]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """One column per family; sizes are shades, what is predicted dashed, and the study's number of runs a line."""
    families = spec["families"]
    rows = [*OVER_RUNS, TYPES, THRESHOLD, *([RATIO] if (numbers["what"] == "ratio").any() else []), DESIGN]
    titles = [style.wrapped(heading(spec, family["title"]), len(families)) for family in families]
    height = 1.2 + 0.12 * max(title.count("\n") for title in titles) + ROW * len(rows)
    figure, axes = plt.subplots(
        len(rows), len(families), figsize=(style.ONE_COLUMN, height), sharey="row", squeeze=False
    )
    for column, (family, title) in enumerate(zip(families, titles, strict=True)):
        shown = numbers[numbers["family"] == family["title"]]
        by_row = dict(zip(rows, axes[:, column], strict=True))
        colours = shades(family["architectures"])
        _draw_runs(by_row, shown, colours)
        _draw_threshold(by_row[THRESHOLD], shown, colours, spec["memorised_at"])
        if RATIO in by_row:
            _draw_ratios(by_row[RATIO], shown, colours)
        _draw_design(by_row[DESIGN], shown, colours)
        axes[0, column].set_title(title)
    for label, axis in zip(rows, axes[:, 0], strict=True):
        axis.set_ylabel(label.strip())
        if label != DESIGN:
            axis.set_ylim(bottom=0)  # now that all columns, which share it, are drawn
    figure.align_ylabels()
    _legend(figure, axes[-1, -1])
    return figure


def shades(architectures: list[str]) -> dict[str, Any]:
    """Colours of sizes, the larger the darker."""
    return dict(zip(architectures, sns.color_palette("crest", len(architectures)), strict=True))


def _draw_runs(rows: dict[str, Axes], shown: pd.DataFrame, colours: dict[str, Any]) -> None:
    for label, (what, quantity) in OVER_RUNS.items():
        scale = 100 if "%" in label else 1
        for architecture, colour in colours.items():
            _draw_curve(rows[label], _curve(shown, what, quantity, architecture), colour, scale)
    smallest = next(iter(colours))
    worst = _curve(shown, *WORST, smallest)  # what is predicted holds for every size
    rows["Half-width\nof an interval"].plot(worst["x"], worst["predicted"], color="0.5", linestyle=ANY)
    for kind in TESTED:
        _draw_curve(rows[TYPES], _curve(shown, "K", f"type {kind}", ""), style.COLOURS[kind], 100)
    runs = int(shown["runs"].iloc[0])
    first, *others = (rows[label] for label in (*OVER_RUNS, TYPES))
    for axes in others:
        axes.sharex(first)
    for axes in (first, *others):
        axes.axvline(runs, color="0.8", linewidth=0.6, zorder=0)
    settings = pd.to_numeric(shown.loc[(shown["what"] == "K") & (shown["quantity"] == "memorised"), "setting"])
    first.set(xscale="log")
    ticks = sorted({settings.min(), runs, settings.max()})
    first.set_xticks(ticks, [style.count(tick) for tick in ticks])
    first.xaxis.set_minor_locator(NullLocator())
    for axes in (first, *others[:-1]):
        axes.tick_params(labelbottom=False)
    others[-1].set_xlabel("Runs")


def _curve(shown: pd.DataFrame, what: str, quantity: str, architecture: str) -> pd.DataFrame:
    chosen = (shown["what"] == what) & (shown["quantity"] == quantity) & (shown["architecture"] == architecture)
    rows = shown[chosen]
    return rows.assign(x=pd.to_numeric(rows["setting"])).sort_values("x", kind="stable")


def _draw_curve(axes: Axes, curve: pd.DataFrame, colour: Any, scale: float) -> None:
    """What was measured, with the range of the draws, and what is predicted."""
    measured = curve.dropna(subset="value")
    axes.plot(measured["x"], scale * measured["value"], "o-", color=colour, markersize=2.5)
    axes.vlines(measured["x"], scale * measured["low"], scale * measured["high"], color=colour, linewidth=0.7)
    predicted = curve.dropna(subset="predicted")
    axes.plot(predicted["x"], scale * predicted["predicted"], color=colour, linestyle=PREDICTED, linewidth=0.7)


def _draw_threshold(axes: Axes, shown: pd.DataFrame, colours: dict[str, Any], memorised_at: float) -> None:
    for architecture, colour in colours.items():
        curve = _curve(shown, "threshold", "memorised", architecture)
        axes.plot(curve["x"], 100 * curve["value"], color=colour)
        axes.fill_between(curve["x"], 100 * curve["low"], 100 * curve["high"], color=colour, alpha=0.2, linewidth=0)
    axes.axvline(memorised_at, color="0.8", linewidth=0.6, zorder=0)
    axes.set(xlabel="Threshold", xticks=(0.1, 0.5, 0.9))


def _draw_ratios(axes: Axes, shown: pd.DataFrame, colours: dict[str, Any]) -> None:
    rows = shown[(shown["what"] == "ratio")]
    ratios = sorted(rows["setting"].unique(), key=Fraction)
    for architecture, colour in colours.items():
        of = rows[rows["architecture"] == architecture]
        places = of["setting"].map(lambda ratio: float(Fraction(ratio)))
        of = of.assign(x=places).sort_values("x")
        axes.plot(of["x"], of["value"], "o-", color=colour, markersize=2.5)
        axes.vlines(of["x"], of["low"], of["high"], color=colour, linewidth=0.7)
    axes.set_xlabel("Ratio")
    axes.margins(x=0.2)
    axes.set_xticks([float(Fraction(ratio)) for ratio in ratios], ratios)


def _draw_design(axes: Axes, shown: pd.DataFrame, colours: dict[str, Any]) -> None:
    rows = shown[shown["what"] == "design"].set_index("architecture").reindex(list(colours))
    places = range(len(rows))
    axes.axhline(1, color="0.8", linewidth=0.6, zorder=0)
    axes.scatter(places, rows["value"], c=list(colours.values()), s=8)
    axes.vlines(places, rows["low"], rows["high"], color=list(colours.values()), linewidth=0.7)
    axes.set_xticks(places, list(colours), rotation=90)
    axes.margins(x=0.15)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _legend(figure: Figure, axes: Axes) -> None:
    lines: dict[str, Any] = {"measured": {"marker": "o", "markersize": 2.5, "color": "0.3"}}
    lines["predicted"] = {"linestyle": PREDICTED, "linewidth": 0.7, "color": "0.3"}
    lines["any example, at most"] = {"linestyle": ANY, "color": "0.5"}
    lines |= {kind: {"color": style.COLOURS[kind]} for kind in TESTED}
    handles = [axes.plot([], [], **look)[0] for look in lines.values()]
    figure.legend(handles, lines.keys(), loc="outside lower center", ncols=3)
