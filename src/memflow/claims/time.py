"""Claims about training time (Fundamentals, ICLR 2025 submission), of the largest architecture of a family."""

import numpy as np
import pandas as pd

from memflow.claims.evidence import Evidence, part_of
from memflow.claims.rules import Part
from memflow.claims.size import FEWEST, SMALLEST_CHANGE, SMALLEST_MOVE, Found


def three_stages(evidence: Evidence) -> Found:
    """The share of memorised examples rises to a peak and falls again; the peak is located on other runs."""
    rows = _rows(evidence, evidence.largest, ("rise", "fall"))
    if len(rows) < 2:
        return "three evaluated epochs or more (evaluate_every of a recipe)"
    names = {
        "rise": "share memorised at the peak minus at first",
        "fall": "share memorised at the peak minus at the end",
    }
    return [part_of(row, names[quantity], above=SMALLEST_CHANGE) for quantity, row in rows.items()]


def follows_schedule(evidence: Evidence) -> Found:
    """The fall is larger under a learning rate that decays than under the same recipe without decay."""
    by_recipe: dict[object, dict[bool, str]] = {}
    for name, schedule in evidence.schedules.items():
        by_recipe.setdefault(schedule["alike"], {})[bool(schedule["decays"])] = name
    for pair in by_recipe.values():
        if not {*pair.values()} & {*evidence.sizes}:
            continue
        falls = {decays: _rows(evidence, name, ("fall",)).get("fall") for decays, name in pair.items()}
        if len(falls) == 2 and all(row is not None for row in falls.values()):
            decaying, steady = falls[True], falls[False]
            error = float(np.hypot(decaying["se"], steady["se"]))  # type: ignore[index]
            df = min(decaying["df"], steady["df"])  # type: ignore[index]
            name = f"fall of the share memorised, {pair[True]} minus {pair[False]}"
            value = decaying["value"] - steady["value"]  # type: ignore[index]
            return [Part(name, value, error, df, SMALLEST_CHANGE, n_examples=decaying["n_examples"])]  # type: ignore[index]
    return (
        "one architecture of the family under two recipes that differ in the schedule only, one of them without decay"
    )


def transient(evidence: Evidence) -> Found:
    """Examples memorised at the peak and generalised at the end, by one half of the groups, differ in the other."""
    row = _rows(evidence, evidence.largest, ("transient_drop",)).get("transient_drop")
    if row is None or row["n_examples"] < FEWEST:
        return f"{FEWEST} natural examples that are memorised at the peak and generalised at the end of training"
    return [part_of(row, "score at the peak minus at the end of training", above=SMALLEST_MOVE)]


def gap(evidence: Evidence) -> Found:
    """Correlation of the mean score with the gap between training and test accuracy, over sizes and epochs.

    Without an interval: epochs of one size share their runs.
    """
    points = []
    for name in evidence.sizes:
        table = evidence.epochs.get(name, pd.DataFrame(columns=["examples", "quantity", "epoch", "value"]))
        wide = table[table["examples"] == "all"].pivot_table(index="epoch", columns="quantity", values="value")
        if {"acc_in", "acc_test", "memorisation"} <= {*wide}:
            wide = wide.dropna(subset=["acc_in", "acc_test", "memorisation"])  # peaks may lie between two epochs
            points.append(np.stack([wide["acc_in"] - wide["acc_test"], wide["memorisation"]]))
    if not points or sum(point.shape[1] for point in points) < 5:
        return "five sizes and epochs together"
    x, y = np.concatenate(points, axis=1)
    r = float(np.corrcoef(x, y)[0, 1])
    return [Part("Pearson correlation over sizes and epochs", r, np.nan, np.nan, above=0.0, n_examples=len(x))]


def _rows(evidence: Evidence, architecture: str, quantities: tuple[str, ...]) -> "dict[str, pd.Series]":
    table = evidence.epochs.get(architecture, pd.DataFrame())
    found = {name: evidence.row(table, examples=evidence.examples, quantity=name) for name in quantities}
    return {name: row for name, row in found.items() if row is not None}
