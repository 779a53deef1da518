"""Figures of a validation: both scores of every example, and the examples about which they disagree most."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from memflow.counts import Counts
from memflow.data.prepared import Dataset
from memflow.figures import pictures, style
from memflow.validate.agreement import Measure

ENDS = {"study": "Higher in the study", "reference": "Higher in the reference"}
SHOWN = 14  # pictures at each end
BINS = 40  # hexagons across


def scatter(numbers: pd.DataFrame, agreement: pd.DataFrame, titles: tuple[str, str]) -> Figure:
    """Density of the examples over the two scores, the line on which both are equal, and above it how well they agree.

    Parameters
    ----------
    numbers : DataFrame
        With ``study`` and ``reference``, one row per example.
    agreement : DataFrame
        From :func:`memflow.validate.agreement.table`.
    titles : tuple of str
        Of the two axes: reference, study.
    """
    both = numbers[["reference", "study"]].dropna()
    figure = Figure(figsize=(style.ONE_COLUMN, style.ONE_COLUMN))
    axes = figure.subplots()
    look: dict[str, Any] = {"gridsize": BINS, "bins": "log", "mincnt": 1, "cmap": "viridis", "linewidths": 0.1}
    density = axes.hexbin(both["reference"], both["study"], **look)
    figure.colorbar(density, ax=axes, label="Examples", shrink=0.6)
    ends = [both.min().min(), both.max().max()]
    axes.plot(ends, ends, color="0.5", linewidth=0.6, zorder=0)
    axes.set(xlabel=style.wrapped(titles[0], 1), ylabel=style.wrapped(titles[1], 1))
    axes.set_title("\n".join(_noted(row) for row in agreement[agreement["examples"] == "all"].itertuples()), loc="left")
    return figure


def disagreements(numbers: pd.DataFrame, merged: Counts, measure: Measure, dataset: Dataset) -> pd.DataFrame:
    """The examples whose ranks by the study and by the reference differ most, at each end.

    Chosen by the study's scores from the even groups, and described with those from the odd ones: on the same runs, the
    difference would be too large.

    Parameters
    ----------
    numbers : DataFrame
        With ``index``, ``label`` and ``reference``, one row per training example.
    merged : Counts
    measure : Measure
    dataset : Dataset

    Returns
    -------
    DataFrame
        ``end``, ``rank``, ``index``, ``label``, ``reference``, ``study`` (from the odd groups), ``rank_study`` and
        ``rank_reference`` (in [0, 1], of the odd groups and of the reference), and what the pictures are called.
    """
    chosen_by, measured = (measure.of(half).astype(np.float32) for half in merged.halves())
    known = np.isfinite(chosen_by) & np.isfinite(measured) & np.isfinite(numbers["reference"].to_numpy())
    rows = numbers.loc[known, ["index", "label", "reference"]].assign(
        study=measured[known],
        rank_study=_share(measured[known]),
        rank_reference=_share(numbers["reference"].to_numpy()[known]),
        order=pictures.random_order(len(numbers))[known],
    )
    rows["difference"] = _share(chosen_by[known]) - rows["rank_reference"]
    parts = []
    for end in ENDS:
        ranked = rows.sort_values(["difference", "order"], ascending=[end == "reference", True]).head(SHOWN)
        parts.append(ranked.assign(end=end, rank=range(1, len(ranked) + 1)))
    table = pictures.describe(pd.concat(parts, ignore_index=True), dataset).drop(columns=["order", "difference"])
    return table[["end", "rank", *table.columns.drop(["end", "rank"])]]


def draw_disagreements(table: pd.DataFrame, dataset: Dataset, title: str) -> Figure:
    """Pictures of :func:`disagreements`; under each its label and the two scores."""
    rows = [pictures.row(heading, table[table["end"] == end], _caption) for end, heading in ENDS.items()]
    return pictures.figure_of_panels({title: rows}, dataset)


def _caption(row: Any) -> str:
    return f"{pictures.label(row)}\n{row.study:z.2f} | {row.reference:z.2f}"


def _noted(row: Any) -> str:
    ceiling = f", ceiling {row.ceiling:.3f}" if np.isfinite(row.ceiling) else ""
    return f"{row.statistic.capitalize()} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]{ceiling}"


def _share(values: np.ndarray) -> np.ndarray:
    """Mean rank of each value, in [0, 1]."""
    return np.asarray((rankdata(values) - 0.5) / len(values))
