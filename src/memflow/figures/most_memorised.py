"""Figure most_memorised: the training images with the highest and with the lowest scores.

Ranked by the scores of one half of the runs (the even groups), and captioned with those of the other: ranked and
measured on the same runs, the highest scores would be too high.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from memflow.counts import HALVES
from memflow.data.prepared import Dataset
from memflow.figures import pictures
from memflow.figures.families import heading, panels

ENDS = {"most": "Most memorised", "least": "Least memorised"}
LINES = 3  # of pictures at each end


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame], dataset: Dataset) -> pd.DataFrame:
    """Per family (its largest architecture) and end: the images in order, and all numbers of the captions."""
    count = LINES * pictures.columns_of(len(panels(spec)))
    parts = []
    for family, architecture in zip(panels(spec), spec["largest"], strict=True):
        scores = tables["halves"][tables["halves"]["architecture"] == architecture]
        ranked_on, measured = (scores[scores["half"] == half].set_index("index") for half in HALVES)
        order = pd.Series(pictures.random_order(len(ranked_on)), index=ranked_on.index, name="order")
        ranking = ranked_on.loc[measured["memorisation"].notna(), ["memorisation"]].dropna().join(order)
        for end in ENDS:
            chosen = ranking.sort_values(["memorisation", "order"], ascending=[end == "least", True]).index[:count]
            rows = measured.loc[chosen, ["label", "memorisation", "ci_low", "ci_high"]].reset_index()
            parts.append(rows.assign(family=family, architecture=architecture, end=end, rank=range(1, len(rows) + 1)))
    numbers = pictures.describe(pd.concat(parts, ignore_index=True), dataset).assign(dataset=spec["dataset"])
    leading = ["dataset", "family", "architecture", "end", "rank", "index", "label"]
    return numbers[leading + [column for column in numbers if column not in leading]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame, dataset: Dataset) -> Figure:
    """One panel per family; under each image its label, score and interval."""
    rows = {}
    for family, architecture in zip(panels(spec), spec["largest"], strict=True):
        shown = numbers[numbers["family"].fillna("") == family]
        rows[f"{heading(spec, family)}\n{architecture}".lstrip()] = [
            pictures.row(title, shown[shown["end"] == end], _caption) for end, title in ENDS.items()
        ]
    return pictures.figure_of_panels(rows, dataset)


def _caption(row: Any) -> str:
    return f"{pictures.label(row)}\n{row.memorisation:.2f}\n[{row.ci_low:.2f}, {row.ci_high:.2f}]"
