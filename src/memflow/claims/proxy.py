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
LACKS = "proxies of the family's sizes (proxies)"


def correlate(evidence: Evidence) -> Found:
    """Proxies rank the examples of the largest size as the score does."""
    parts = []
    for proxy in NAMED:
        table = evidence.agreement.get(evidence.largest, pd.DataFrame())
        row = evidence.row(table, proxy=proxy, statistic="spearman", examples=evidence.examples)
        if row is None:
            return LACKS
        name = f"Spearman correlation of {proxy} with the score"
        parts.append(part_of_interval(row, name, _units(evidence, row), evidence.confidence, above=CORRELATED))
    return parts


def not_bimodal(evidence: Evidence) -> Found:
    """Scores have two modes and proxies have not, by Sarle's coefficient."""
    parts = []
    for proxy in ("memorisation", *NAMED):
        table = evidence.proxies.get(evidence.largest, pd.DataFrame())
        row = evidence.row(table, proxy=proxy, quantity="sarle")
        if row is None:
            return LACKS
        region = {"above": UNIFORM} if proxy == "memorisation" else {"below": UNIFORM}
        name, units = (
            f"Sarle's coefficient of {proxy}",
            evidence.first.n_groups if proxy == "memorisation" else int(row["runs"]),
        )
        parts.append(part_of_interval(row, name, units, evidence.confidence, **region))
    return parts


def no_trend(evidence: Evidence) -> Found:
    """The mean of a proxy does not change with size: equivalence, not a test that finds nothing."""
    if len(evidence.proxies) < 2 or evidence.largest not in evidence.proxies:
        return LACKS
    ends = [evidence.proxies.get(name, pd.DataFrame()) for name in (next(iter(evidence.sizes)), evidence.largest)]
    parts = []
    for proxy in NAMED:
        means, spreads = (
            [evidence.row(table, proxy=proxy, quantity=q) for table in ends] for q in ("mean", "deviation")
        )
        if any(row is None for row in (*means, *spreads)):
            return LACKS
        ends_of_mean = [
            part_of_interval(row, "", int(row["runs"]), evidence.confidence)  # type: ignore[index, arg-type]
            for row in means
        ]
        spread = float(spreads[0]["value"])  # type: ignore[index]
        error = float(np.hypot(ends_of_mean[0].se, ends_of_mean[1].se)) / spread
        change = (ends_of_mean[1].value - ends_of_mean[0].value) / spread
        name, df = f"change of the mean {proxy}, in deviations over the examples", min(part.df for part in ends_of_mean)
        parts.append(Part(name, change, error, df, -TREND, TREND, ends_of_mean[1].n_examples))
    return parts


def _units(evidence: Evidence, row: "pd.Series") -> int:
    return min(evidence.first.n_groups, int(row["runs"]))
