"""Figure proxy_disagreement: training images that a proxy ranks far higher, or far lower, than the score does.

Chosen by the ranks of one half of the runs (even), and captioned with those of the other: chosen and measured on the
same runs, the largest differences would be too large.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from memflow.counts import HALVES
from memflow.data.prepared import Dataset
from memflow.figures import pictures
from memflow.figures.families import heading, panels

HEADINGS = {  # of a proxy that ranks images higher than the score does, or lower
    "prediction_depth": {"higher": "Deep, low score", "lower": "Shallow, high score"},
    "cumulative_confidence": {"higher": "Unsure, low score", "lower": "Sure, high score"},
    "forgetting": {"higher": "Forgotten, low score", "lower": "Kept, high score"},
}
COLUMNS = ["family", "architecture", "proxy", "direction", "rank", "index", "label", "score", "value"]
PERCENTILES = ["score_percentile", "proxy_percentile"]


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame], dataset: Dataset) -> pd.DataFrame:
    """Per family (its largest architecture), proxy and direction: the images in order, and the numbers of the captions.

    Returns
    -------
    DataFrame
        ``direction`` says whether the proxy ranks the image ``higher`` or ``lower`` than the score; ``score`` and
        ``value`` (of the proxy) and their percentiles among the training examples are from the odd half.
    """
    count = pictures.columns_of(len(panels(spec)))
    parts = [pd.DataFrame(columns=[*COLUMNS, *PERCENTILES])]
    for family, members in panels(spec).items():
        of_largest = {kind: rows[rows["architecture"] == members[-1]] for kind, rows in tables.items()}
        for proxy in HEADINGS:
            values = of_largest["proxies"][of_largest["proxies"]["proxy"] == proxy].set_index("index")
            if len(values):
                chosen = _choose(values, of_largest["halves"], count)
                parts.append(chosen.assign(family=family, architecture=members[-1], proxy=proxy))
    numbers = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    numbers = pictures.describe(numbers[[*COLUMNS, *PERCENTILES]], dataset).assign(dataset=spec["dataset"])
    return numbers[["dataset", *numbers.columns.drop("dataset")]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame, dataset: Dataset) -> Figure:
    """One panel per family, two rows per proxy; under each image its label, score, and both percentiles."""
    proxies = [proxy for proxy in HEADINGS if proxy in set(numbers["proxy"])]
    rows = {}
    for family, members in panels(spec).items():
        shown = numbers[numbers["family"].fillna("") == family]
        rows[f"{heading(spec, family)}\n{members[-1]}".lstrip()] = [
            pictures.row(text, shown[(shown["proxy"] == proxy) & (shown["direction"] == direction)], _caption)
            for proxy in proxies
            for direction, text in HEADINGS[proxy].items()
        ]
    return pictures.figure_of_panels(rows, dataset)


def _choose(values: pd.DataFrame, scores: pd.DataFrame, count: int) -> pd.DataFrame:
    """The largest differences in rank of the even half in both directions, with the numbers of the odd half."""
    halves = []
    for half in HALVES:
        pair = {"score": scores[scores["half"] == half].set_index("index")["memorisation"]}
        halves.append(pd.DataFrame(pair | {"value": values[f"value_{half}"]}).reindex(values.index))
    known = halves[0].notna().all(axis=1) & halves[1].notna().all(axis=1)
    ranked_on, measured = (half[known] for half in halves)
    percentiles = 100 * measured.rank(pct=True)
    measured = measured.assign(score_percentile=percentiles["score"], proxy_percentile=percentiles["value"])
    ranks = ranked_on.rank()
    order = pd.Series(pictures.random_order(len(values)), index=values.index).loc[known[known].index]
    ranking = pd.DataFrame({"difference": ranks["value"] - ranks["score"], "order": order})
    parts = []
    for direction, sign in (("higher", 1), ("lower", -1)):
        further = ranking[sign * ranking["difference"] > 0]
        index = further.sort_values(["difference", "order"], ascending=[sign < 0, True]).index[:count]
        rows = measured.loc[index].assign(label=values.loc[index, "label"], direction=direction).reset_index()
        parts.append(rows.assign(rank=range(1, len(rows) + 1)))
    return pd.concat(parts, ignore_index=True)


def _caption(row: Any) -> str:
    percentiles = f"{row.score_percentile:.0f} → {row.proxy_percentile:.0f} %"
    return f"{pictures.label(row)}\nscore {row.score:.2f}\n{percentiles}"
