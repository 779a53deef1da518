"""Figure trajectory_examples: training images of each type of trajectory.

A random sample of each type. The type is from one half of the runs (the even groups), the scores are from the other.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from memflow.counts import HALVES
from memflow.data.prepared import Dataset
from memflow.figures import pictures
from memflow.figures.families import heading
from memflow.statistics.trajectory_types import TESTED


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame], dataset: Dataset) -> pd.DataFrame:
    """Per family and type: the sampled images, with the scores at the first and at the last size."""
    count = pictures.columns_of(len(spec["families"]))
    parts = []
    for family in spec["families"]:
        halves = tables["halves"]
        rows = halves[(halves["family"] == family["title"]) & (halves["selected_on"] == HALVES[0])]
        first, last = family["architectures"][0], family["architectures"][-1]
        rows = rows.assign(order=pictures.random_order(len(rows)), first=rows[first], last=rows[last])
        rows = (
            rows[["family", "type", "order", "index", "label", "first", "last"]]
            .dropna(subset=["first", "last"])
            .sort_values("order")
        )
        for kind in TESTED:
            of_type = rows[rows["type"] == kind]
            parts.append(of_type.head(count).assign(n_of_type=len(of_type), n_examples=len(rows)))
    numbers = pictures.describe(pd.concat(parts, ignore_index=True), dataset).assign(dataset=spec["dataset"])
    return numbers[["dataset", *numbers.columns.drop(["dataset", "order"])]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame, dataset: Dataset) -> Figure:
    """One panel per family, one row per type; under each image its label, and the score at the first and last size."""
    rows = {}
    for family in spec["families"]:
        shown = numbers[numbers["family"] == family["title"]]
        rows[heading(spec, family["title"])] = [
            pictures.row(kind.capitalize(), shown[shown["type"] == kind], _caption) for kind in TESTED
        ]
    return pictures.figure_of_panels(rows, dataset)


def _caption(row: Any) -> str:
    return f"{pictures.label(row)}\n{row.first:.2f} → {row.last:.2f}"
