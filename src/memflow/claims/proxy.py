"""Claims about proxies (Lukasik et al. 2024): the two that they name."""

import numpy as np
import pandas as pd

from memflow.claims.evidence import Evidence, part_of_interval
from memflow.claims.rules import Part
from memflow.claims.size import Found

NAMED = ("cumulative_accuracy", "prediction_depth")
CORRELATED = 0.3
UNIFORM = 5 / 9  # Sarle's coefficient of the uniform distribution
TREND = 0.1  # standard deviations over the examples


def correlate(evidence: Evidence) -> Found:
    """Proxies rank the examples of the largest size as the score does."""
    parts = []
    for proxy in NAMED:
        table = evidence.agreement.get(evidence.largest, pd.DataFrame())
        row = evidence.row(table, proxy=proxy, statistic="spearman", examples=evidence.examples)
        if row is None:
            return lacks(proxy)
        units, name = min(evidence.first.n_groups, int(row["runs"])), f"Spearman correlation of {proxy} with the score"
        parts.append(part_of_interval(row, name, units, evidence.confidence, above=CORRELATED))
    return parts


def not_bimodal(evidence: Evidence) -> Found:
    """Scores have two modes and proxies have not, by Sarle's coefficient."""
    parts = []
    for proxy in ("memorisation", *NAMED):
        row = _summary(evidence, evidence.largest, proxy, "sarle")
        if row is None:
            return lacks(proxy)
        is_score = proxy == "memorisation"
        units = evidence.first.n_groups if is_score else int(row["runs"])
        region = {"above": UNIFORM} if is_score else {"below": UNIFORM}
        parts.append(part_of_interval(row, f"Sarle's coefficient of {proxy}", units, evidence.confidence, **region))
    return parts


def no_trend(evidence: Evidence) -> Found:
    """The mean of cumulative accuracy does not change with size: equivalence, not a test that finds nothing.

    Not prediction depth: deeper networks have more layers to be deep in.
    """
    proxy, ends = NAMED[0], (next(iter(evidence.sizes)), evidence.largest)
    spread = _summary(evidence, ends[0], proxy, "deviation")
    means = [row for name in ends if (row := _summary(evidence, name, proxy, "mean")) is not None]
    if spread is None or len(means) < len(ends):
        return lacks(proxy)
    first, last = (part_of_interval(row, "", int(row["runs"]), evidence.confidence) for row in means)
    deviation = float(spread["value"])
    return [
        Part(
            f"change of the mean {proxy}, in deviations over the examples",
            (last.value - first.value) / deviation,
            float(np.hypot(first.se, last.se)) / deviation,
            min(first.df, last.df),
            *(-TREND, TREND, last.n_examples, last.runs),
        )
    ]


def lacks(proxy: str) -> str:
    """What a study without a proxy needs."""
    return f"the proxy {proxy} of the family's sizes (proxies)"


def _summary(evidence: Evidence, architecture: str, proxy: str, quantity: str) -> "pd.Series | None":
    table = evidence.proxies.get(architecture, pd.DataFrame())
    return evidence.row(table, proxy=proxy, quantity=quantity, examples=evidence.examples)
