"""Power: how often planted changes of a known size are recognised with the runs at hand."""

from dataclasses import replace

import numpy as np
import pandas as pd

from memflow import rng
from memflow.counts import Counts
from memflow.statistics.paired import paired_tests
from memflow.statistics.trajectory_types import classify, critical_p_value, describe

EFFECTS = np.round(np.linspace(0.1, 0.9, 9), 9)
LEVELS = np.array([0.0, 0.1, 0.25, 0.5])
COPIES = 200  # examples planted per effect: a share of them has a standard error of at most 0.035


def power(sizes: list[Counts], tau: float, fdr: float, confidence: float) -> pd.DataFrame:
    """Share of planted examples whose type is recognised.

    Planted examples are always right in-sample. Out-of-sample, ``increasing`` falls evenly from always right to an
    accuracy of 1 − effect; ``cap-shaped`` falls to it at the middle size only; ``constant`` stays at 1 − effect. Their
    runs are simulated in the groups of the study, as independent binomials: the balanced design's smaller variance is
    not counted on. They are tested beside the study's examples, at the p-value that is critical for the study alone.

    Parameters
    ----------
    sizes : list of Counts
        As in :func:`memflow.statistics.paired.paired_tests`.
    tau, fdr, confidence : float

    Returns
    -------
    DataFrame
        ``planted`` (type), ``effect``, ``recognised`` (share of the tested type), ``described`` (share of the
        descriptive label), ``n_examples``.
    """
    alone = paired_tests(sizes, tau, confidence)
    lone_discovery = fdr / max(1, alone.testable.sum())  # the p-value that one must reach where there is no other
    critical = max(critical_p_value(alone, fdr), lone_discovery)
    plans = _plans(len(sizes))
    scores = np.repeat(np.stack([path for _, _, path in plans], axis=1), COPIES, axis=1)
    mixed = [_append(size, scores[number], number) for number, size in enumerate(sizes)]
    tests = paired_tests(mixed, tau, confidence, guests=scores.shape[1])
    tested, described = classify(tests, tau, critical), describe(tests.scores, tau)
    rows = []
    for number, (planted, effect, _) in enumerate(plans):
        where = slice(sizes[0].n_examples + number * COPIES, sizes[0].n_examples + (number + 1) * COPIES)
        shares = {"recognised": (tested[where] == planted).mean(), "described": (described[where] == planted).mean()}
        rows.append({"planted": planted, "effect": effect, **shares, "n_examples": COPIES})
    return pd.DataFrame(rows)


def _plans(n_sizes: int) -> list[tuple[str, float, np.ndarray]]:
    """Planted type, effect, and true scores float64[n_sizes]."""
    steps = np.arange(n_sizes)
    plans = [("increasing", effect, effect * steps / (n_sizes - 1)) for effect in EFFECTS]
    if n_sizes > 2:
        plans += [("cap-shaped", effect, effect * (steps == n_sizes // 2)) for effect in EFFECTS]
    return plans + [("constant", level, np.full(n_sizes, level)) for level in LEVELS]


def _append(counts: Counts, scores: np.ndarray, size: int) -> Counts:
    """Counts with simulated examples of given true scores (float64[m]) after the real ones.

    A planted example is in- and out-of-sample in the runs of some real one.
    """
    n = counts.n_examples
    both = counts.select(np.concatenate([np.arange(n), np.arange(len(scores)) % n]))
    correct_in, correct_out = both.correct_in.copy(), both.correct_out.copy()
    correct_in[:, n:], n_out = both.n_in[:, n:], both.n_out[:, n:]
    draws = rng.uniform("planted examples", (size, counts.n_groups), (int(n_out.max()), *n_out.shape))
    is_held_out = np.arange(len(draws))[:, None, None] < n_out
    correct_out[:, n:] = ((draws >= scores) & is_held_out).sum(axis=0)
    return replace(both, correct_in=correct_in, correct_out=correct_out)
