"""Figure trajectories: the shares of the types, mean and sample curves of each, and the curves of one class.

Types are from one half of the runs and curves from the other, so that what is selected is not what is measured: mean
curves average both ways, sample curves take types from the even groups and scores from the odd.
"""

from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memflow.counts import HALVES
from memflow.data.prepared import Dataset
from memflow.figures import pictures, style
from memflow.figures.families import heading, size_axis
from memflow.statistics.trajectory_types import CHANGES, TESTED

SAMPLES = 12  # curves per type


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame], dataset: Dataset) -> pd.DataFrame:
    """Every number of the figure.

    Returns
    -------
    DataFrame
        Per family, rows of four kinds (``series``): ``share`` and ``share_descriptive`` of each ``type`` of all
        examples; ``mean`` curves; ``sample`` curves; and the curves of one ``class``, the one with most examples of a
        changing type. Curves have one row per architecture; those of single examples carry ``index`` and ``label``.
    """
    parts = []
    for family in spec["families"]:
        of_family = {kind: rows[rows["family"] == family["title"]] for kind, rows in tables.items()}
        parts += [_shares(of_family["summary"]), _means(of_family["curves"]), _singles(of_family, family)]
    numbers = pd.concat(parts, ignore_index=True).assign(dataset=spec["dataset"])
    numbers["label_name"] = numbers["label"].map(dict(enumerate(dataset.class_names)))
    identity = ["dataset", "family", "series", "type", "index", "label", "label_name", "architecture", "parameters"]
    return numbers[[*identity, "value", "low", "high", "n_examples"]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame, dataset: Dataset) -> Figure:
    """One column per family; rows: shares, one row of curves per type, and one class."""
    titles = [family["title"] for family in spec["families"]]
    rows = len(TESTED) + 2
    figure, axes = plt.subplots(
        rows,
        len(titles),
        figsize=(style.ONE_COLUMN, 1.1 + 0.85 * (rows - 1)),
        height_ratios=[1.25] + [1] * (rows - 1),
        squeeze=False,
    )
    for column, title in enumerate(titles):
        shown = numbers[numbers["family"] == title]
        _draw_shares(axes[0, column], shown)
        axes[0, column].set_title(style.wrapped(heading(spec, title), len(titles)))
        for axis in axes[2:, column]:
            axis.sharex(axes[1, column])  # also where there is no curve
        for axis, kind in zip(axes[1:-1, column], TESTED, strict=True):
            _draw_curves(axis, shown[shown["series"].isin(["mean", "sample"]) & (shown["type"] == kind)])
        _draw_curves(axes[-1, column], shown[shown["series"] == "class"])
        axes[-1, column].text(0.02, 1, f"Label: {_class_of(shown)}", transform=axes[-1, column].transAxes, fontsize=6)
        for axis in axes[1:, column]:
            size_axis(axis, shown["parameters"].dropna().tolist())
            axis.set(ylim=(-0.15, 1.08), yticks=[0, 0.5, 1])
        for axis in axes[1:-1, column]:
            axis.set_xlabel("")
            axis.tick_params(labelbottom=False)
    _label_rows(figure, axes)
    return figure


def _shares(summary: pd.DataFrame) -> pd.DataFrame:
    shares = summary[(summary["examples"] == "all") & summary["quantity"].str.startswith("share")]
    return shares.assign(series=shares["quantity"])


def _means(curves: pd.DataFrame) -> pd.DataFrame:
    return curves[curves["basis"] == "type"].assign(series="mean")


def _singles(of_family: dict[str, pd.DataFrame], family: dict[str, Any]) -> pd.DataFrame:
    halves = of_family["halves"]
    rows = halves[halves["selected_on"] == HALVES[0]].dropna(subset=["type"])
    rows = rows.assign(order=pictures.random_order(len(rows))).sort_values("order", kind="stable")
    samples = rows.groupby("type").head(SAMPLES).assign(series="sample")
    changing = rows.loc[rows["type"].isin(CHANGES), "label"]
    chosen = int((changing if len(changing) else rows["label"]).mode()[0])
    singles = pd.concat([samples, rows[rows["label"] == chosen].assign(series="class")])
    identity = ["family", "series", "type", "index", "label"]
    long = singles.melt(identity, family["architectures"], var_name="architecture")
    parameters = of_family["curves"].groupby("architecture")["parameters"].first()
    return long.assign(parameters=long["architecture"].map(parameters))


def _draw_shares(axes: Axes, numbers: pd.DataFrame) -> None:
    for offset, series, style_of in ((0.17, "share", "o"), (-0.17, "share_descriptive", "D")):
        shares = numbers[numbers["series"] == series].set_index("type")
        for place, kind in enumerate(reversed(TESTED)):
            name = "other" if kind == "undetermined" and series == "share_descriptive" else kind
            value, low, high = shares.loc[[name], ["value", "low", "high"]].to_numpy(dtype=float)[0]
            colour = style.COLOURS[kind]
            face = colour if series == "share" else "white"
            axes.plot([max(low, 0), high], [place + offset] * 2, color=colour, linewidth=1)
            axes.plot(value, place + offset, style_of, color=colour, markerfacecolor=face, markersize=3)
    axes.set(xlim=(-0.03, 1.03), xticks=[0, 0.5, 1], yticks=range(len(TESTED)))
    axes.set_xticklabels(["0 %", "50 %", "100 %"])
    axes.set_yticklabels([kind.capitalize() for kind in reversed(TESTED)])
    axes.set_xlabel("Share of examples", labelpad=1)


def _draw_curves(axes: Axes, numbers: pd.DataFrame) -> None:
    for (kind, _), curve in numbers[numbers["series"] != "mean"].groupby(["type", "index"], sort=False):
        axes.plot(curve["parameters"], curve["value"], color=style.COLOURS[str(kind)], linewidth=0.4, alpha=0.6)
    mean = numbers[numbers["series"] == "mean"]
    if len(mean):
        colour = style.COLOURS[mean["type"].iloc[0]]
        axes.fill_between(mean["parameters"], mean["low"], mean["high"], color=colour, alpha=0.25, linewidth=0)
        axes.plot(mean["parameters"], mean["value"], marker="o", color=colour)
    elif numbers.empty:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", fontsize=6, color="0.4")


def _class_of(numbers: pd.DataFrame) -> str:
    return str(numbers.loc[numbers["series"] == "class", "label_name"].iloc[0])


def _label_rows(figure: Figure, axes: Any) -> None:
    for axis, kind in zip(axes[1:-1, 0], TESTED, strict=True):
        axis.set_ylabel(kind.capitalize())
    axes[-1, 0].set_ylabel("One class")
    for axis in axes[:, 1:].ravel():
        axis.tick_params(labelleft=False)
    figure.align_ylabels(axes[1:, 0])
    look: dict[str, Any] = {"color": "0.3", "markersize": 3}
    tested = axes[0, 0].plot([], [], "o", **look)[0]
    described = axes[0, 0].plot([], [], "D", markerfacecolor="white", **look)[0]
    figure.legend([tested, described], ["tested type", "descriptive label"], loc="outside upper center", ncols=2)
