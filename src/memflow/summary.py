"""Study-level statistics of one dataset, architecture and method, with intervals from the groups of runs."""

from typing import Any

import numpy as np
import pandas as pd

from memflow.counts import Counts
from memflow.statistics import bimodality, mixture
from memflow.statistics.resampling import Statistic, bootstrap, jackknife

BINS = np.round(np.linspace(-0.1, 1.0, 23), 9)  # edges; a score below the first counts in the first bin
MEANS = ("memorisation", "acc_in", "acc_out")
THRESHOLDED = ("memorised", *bimodality.NAMES)
THRESHOLDS = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # 0.25: what Feldman & Zhang (2020) call memorised


def summarise(counts: Counts, *, confidence: float, memorised_at: float) -> pd.DataFrame:
    """Means, counts and bimodality statistics.

    Parameters
    ----------
    counts : Counts
    confidence : float
    memorised_at : float
        Score from which an example counts as memorised.

    Returns
    -------
    DataFrame
        One row per group of examples (``examples``: see :func:`populations`) and ``quantity``, with ``value``, ``low``,
        ``high`` and ``n_examples``. Means over examples ``memorisation``, ``acc_in``, ``acc_out``, and ``acc_test``
        (group bootstrap). ``memorised`` (number of examples) and the statistics of
        :func:`memflow.statistics.bimodality.describe`, of the scores as estimated, and under ``…_corrected`` of the
        noise-corrected distribution (:mod:`memflow.statistics.mixture`); jackknife over groups.
    """
    n_test = counts.correct_test.shape[1]
    rows = _rows("all", ["acc_test"], bootstrap(counts.n_groups, _test_accuracy(counts), confidence), n_test)
    names = [*MEANS, *THRESHOLDED, *(f"{name}_corrected" for name in THRESHOLDED)]
    for examples, where in populations(counts).items():
        if where.any():
            part = counts.select(where)
            limits = [
                bootstrap(counts.n_groups, part.means, confidence),
                jackknife(counts.n_groups, _raw(part, memorised_at), confidence),
                jackknife(counts.n_groups, _corrected(part, memorised_at), confidence),
            ]
        else:
            limits = [np.full((3, len(names)), np.nan)]
        rows += _rows(examples, names, np.concatenate(limits, axis=1), int(where.sum()))
    return pd.DataFrame(rows)


def thresholds(counts: Counts, confidence: float) -> pd.DataFrame:
    """Number of examples that would count as memorised at each of several thresholds.

    Parameters
    ----------
    counts : Counts
    confidence : float

    Returns
    -------
    DataFrame
        Per group of examples (``examples``: see :func:`populations`) and ``threshold`` (:data:`THRESHOLDS`): ``value``
        (examples with a score of at least that), ``low``, ``high`` (jackknife over groups) and ``n_examples``.
    """
    parts = populations(counts)

    def statistic(used: np.ndarray) -> np.ndarray:
        scores = counts.only(used > 0).scores()
        reached = np.stack([scores >= threshold - 1e-9 for threshold in THRESHOLDS])
        return np.ravel([reached[:, where].sum(axis=1) for where in parts.values()])

    keys = [(name, threshold) for name in parts for threshold in THRESHOLDS]
    table = pd.DataFrame(keys, columns=["examples", "threshold"])
    table["n_examples"] = np.repeat([where.sum() for where in parts.values()], len(THRESHOLDS))
    limits = pd.DataFrame(jackknife(counts.n_groups, statistic, confidence).T, columns=["value", "low", "high"])
    limits = limits[table["n_examples"] > 0].reindex(table.index)
    return pd.concat([table[["examples", "threshold"]], limits, table["n_examples"]], axis=1)


def histogram(counts: Counts) -> pd.DataFrame:
    """Distribution of all scores.

    Returns
    -------
    DataFrame
        ``bin_low``, ``bin_high`` and the share of the examples in ``[bin_low, bin_high)`` (the last bin includes 1): as
        estimated (``raw``) and noise-corrected (``corrected``).
    """
    part = counts.select(populations(counts)["all"])
    everything = np.ones(counts.n_groups, dtype=np.int64)
    raw = per_bin(part.scores()) / part.n_examples
    corrected = per_bin(mixture.SCORES, mixture.fit(_observe(part, everything)))
    return pd.DataFrame({"bin_low": BINS[:-1], "bin_high": BINS[1:], "raw": raw, "corrected": corrected})


def populations(counts: Counts) -> dict[str, np.ndarray]:
    """Groups of examples to describe apart, as bool[n]: ``all``, and where some are artificial, ``clean label`` (of an
    image as it is), ``flipped label`` and ``noise image``. Examples without a score are in none.
    """
    scored = np.isfinite(counts.scores())
    if not counts.is_artificial.any():
        return {"all": scored}
    parts = {
        "clean label": ~counts.is_artificial,
        "flipped label": counts.label_noise,
        "noise image": counts.input_noise,
    }
    return {"all": scored, **{name: scored & part for name, part in parts.items() if part.any()}}


def per_bin(scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Number, or weight, per bin; 1e-9 keeps a score that rounding put just below an edge on its right side."""
    return np.histogram(np.clip(scores + 1e-9, BINS[0], BINS[-1]), BINS, weights=weights)[0]


def _test_accuracy(counts: Counts) -> Statistic:
    by_group = counts.correct_test.mean(axis=1) / counts.group_size
    return lambda weights: (weights @ by_group / weights.sum(axis=1))[:, None]


def _raw(part: Counts, memorised_at: float) -> Statistic:
    def statistic(used: np.ndarray) -> np.ndarray:
        scores = part.only(used > 0).scores()
        scores = scores[np.isfinite(scores)]
        return np.array([(scores >= memorised_at - 1e-9).sum(), *bimodality.describe(scores)])

    return statistic


def _corrected(part: Counts, memorised_at: float) -> Statistic:
    full: np.ndarray | None = None

    def statistic(used: np.ndarray) -> np.ndarray:
        nonlocal full
        weights = mixture.fit(_observe(part, used), start=full)
        if full is None:
            full = weights  # the fits without one group start from the fit to all
        memorised = part.n_examples * weights[memorised_at - 1e-9 <= mixture.SCORES].sum()
        return np.array([memorised, *bimodality.describe(mixture.SCORES, weights)])

    return statistic


def _observe(part: Counts, used: np.ndarray) -> mixture.Observed:
    return mixture.observe(*part.only(used > 0).totals())


def _rows(examples: str, names: list[str], limits: np.ndarray, n_examples: int) -> list[dict[str, Any]]:
    return [
        {"examples": examples, "quantity": name, "value": value, "low": low, "high": high, "n_examples": n_examples}
        for name, (value, low, high) in zip(names, limits.T, strict=True)
    ]
