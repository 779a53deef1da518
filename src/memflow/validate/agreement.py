"""How well two estimates of the same score agree, and how well they could.

The study's runs are a sample, of which the intervals tell the error; the reference is taken as it is. Both are noisy,
which lowers their correlation: the *ceiling* is what it would be if they estimated the same thing, the *disattenuated*
value what it would be without noise. For Pearson these follow from the reliabilities (Spearman 1904): the ceiling is
the root of their product. For Spearman's correlation the ceiling is the product of the simulated ones of the two sides,
which in simulations gives back the true correlation within .01.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from memflow.counts import Counts
from memflow.scores import split_half
from memflow.statistics import agreement, mixture
from memflow.statistics.agreement import Used
from memflow.summary import populations


@dataclass(frozen=True)
class Measure:
    """What of a study is compared.

    Attributes
    ----------
    name : str
        ``memorisation``, or ``c-score``: the out-of-sample accuracy.
    clip : bool
        Whether negative scores count as 0.
    """

    name: str
    clip: bool = False

    def of(self, merged: Counts) -> np.ndarray:
        """Values float64[n], NaN where there is none."""
        if self.name == "memorisation":
            scores = merged.scores()
            return np.maximum(scores, 0) if self.clip else scores
        _, _, correct, n = merged.totals()
        with np.errstate(invalid="ignore"):
            return correct / n


@dataclass(frozen=True)
class Runs:
    """The runs behind reference scores.

    Attributes
    ----------
    number : int
    ratio : Fraction
    """

    number: int
    ratio: Fraction

    @property
    def inside(self) -> int:
        """Runs that had an example in-sample."""
        return max(round(self.number * self.ratio), 1)

    @property
    def outside(self) -> int:
        """Runs that had it out-of-sample, at least two."""
        return max(self.number - round(self.number * self.ratio), 2)


@dataclass(frozen=True)
class Precision:
    """Of a side: its reliability, and its correlations with what it estimates; NaN where unknown.

    Attributes
    ----------
    reliability : float
    ceilings : tuple of float
        In the order of :data:`memflow.statistics.agreement.NAMES`.
    """

    reliability: float
    ceilings: tuple[float, float]


UNKNOWN = Precision(np.nan, (np.nan, np.nan))


def table(
    merged: Counts,
    measure: Measure,
    reference: np.ndarray,
    *,
    confidence: float,
    halves: np.ndarray | None = None,
    runs: Runs | None = None,
) -> pd.DataFrame:
    """Agreement of a study's scores with reference scores.

    Parameters
    ----------
    merged : Counts
    measure : Measure
    reference : float64[n]
        In the order of the counts; NaN where there is none.
    confidence : float
    halves : float64[2, n], optional
        Reference scores from two halves of its runs.
    runs : Runs, optional
        The reference's; what halves say goes first.

    Returns
    -------
    DataFrame
        One row per group of ``examples`` (:func:`memflow.summary.populations`) and ``statistic``: ``value``, ``low``
        and ``high`` (jackknife over the study's groups), ``ceiling_study`` and ``ceiling_reference`` (correlation of
        each side with what it estimates; the second is null where nothing tells it), ``ceiling`` (their product; of
        the study alone where the other is not known), ``disattenuated`` with ``disattenuated_low`` and
        ``disattenuated_high`` (the value and its limits divided by the ceiling, which is taken as known; they may
        exceed 1, and the interval is somewhat narrow: with 10 groups, 400 examples and a reference of 200 runs that was
        drawn anew each time, .87 and .89 held the true correlation at 0.95), ``reliability_study``,
        ``reliability_reference``, ``n_examples``, ``runs`` and ``groups``.
    """
    parts = {name: where & np.isfinite(reference) for name, where in populations(merged).items()}
    limits = agreement.interval(_correlations(merged, measure, reference, parts), [merged.n_groups], confidence)
    rows = []
    for number, (examples, where) in enumerate(parts.items()):
        study = of_study(merged.select(where), measure)
        other = of_reference(reference[where], measure, None if halves is None else halves[:, where], runs)
        for place, statistic in enumerate(agreement.NAMES):
            limit = np.clip(limits[:, len(agreement.NAMES) * number + place], -1, 1)
            ceilings = study.ceilings[place], other.ceilings[place]
            ceiling = ceilings[0] * (1 if np.isnan(ceilings[1]) else ceilings[1])
            rows.append(
                {
                    "examples": examples,
                    "statistic": statistic,
                    **dict(zip(("value", "low", "high"), limit, strict=True)),
                    "ceiling_study": ceilings[0],
                    "ceiling_reference": ceilings[1],
                    "ceiling": ceiling,
                    **dict(
                        zip(("disattenuated", "disattenuated_low", "disattenuated_high"), limit / ceiling, strict=True)
                    ),
                    "reliability_study": study.reliability,
                    "reliability_reference": other.reliability,
                    "n_examples": int((np.isfinite(measure.of(merged)) & where).sum()),
                    "runs": len(merged.converged),
                    "groups": merged.n_groups,
                }
            )
    return pd.DataFrame(rows)


def of_study(part: Counts, measure: Measure) -> Precision:
    """Precision of a study's scores: the reliability from its halves of groups, the rank ceiling simulated.

    The simulation does not clip, which changes ranks among the scores below 0 only.
    """
    if not part.n_examples:
        return UNKNOWN
    correct_in, n_in, correct_out, n_out = part.totals()
    if measure.name == "c-score":  # in-sample accuracy is no part of it
        correct_in = n_in
    weights = mixture.fit(mixture.observe(correct_in, n_in, correct_out, n_out))
    reliability = split_half(*(measure.of(half) for half in part.halves()))["reliability"]
    return Precision(reliability or np.nan, (_root(reliability), agreement.rank_ceiling(weights, n_in, n_out)))


def of_reference(scores: np.ndarray, measure: Measure, halves: np.ndarray | None, runs: Runs | None) -> Precision:
    """Precision of reference scores float64[n], as far as something tells it.

    Halves tell the reliability, and Spearman's correlation of the halves, stepped up like a reliability, the rank
    ceiling. From a number of runs alone both follow for binomial counts; of memorisation, if the runs fit what they are
    trained on (in-sample accuracy 1).
    """
    if halves is not None:
        pearson, spearman = (_stepped_up(r) for r in agreement.correlations(*halves))
        return Precision(pearson, (_root(pearson), _root(spearman)))
    return UNKNOWN if runs is None else _of_runs(scores, measure, runs)


def _of_runs(scores: np.ndarray, measure: Measure, runs: Runs) -> Precision:
    scores = np.clip(scores[np.isfinite(scores)], 0, 1)
    if len(scores) < 2 or np.ptp(scores) == 0:
        return UNKNOWN
    accuracy = 1 - scores if measure.name == "memorisation" else scores
    noise = (accuracy * (1 - accuracy)).mean() / (runs.outside - 1)  # unbiased for the mean binomial variance
    reliability = max(1 - noise / scores.var(ddof=1), 0.0)
    n_in, n_out = (np.full(len(scores), number) for number in (runs.inside, runs.outside))
    correct = np.rint(accuracy * runs.outside).astype(np.int64)
    weights = mixture.fit(mixture.observe(n_in, n_in, correct, n_out))
    return Precision(reliability, (_root(reliability), agreement.rank_ceiling(weights, n_in, n_out)))


def _correlations(
    merged: Counts, measure: Measure, reference: np.ndarray, parts: dict[str, np.ndarray]
) -> Callable[[Used], np.ndarray]:
    def statistic(used: Used) -> np.ndarray:
        scores = measure.of(merged.only(used[0])).astype(np.float32)  # so that equal scores are tied
        return np.concatenate([agreement.correlations(scores[where], reference[where]) for where in parts.values()])

    return statistic


def _stepped_up(r: float) -> float:
    """By Spearman and Brown, from half the runs to all; NaN where the halves disagree."""
    return 2 * r / (1 + r) if r > 0 else np.nan


def _root(reliability: float | None) -> float:
    return float(reliability**0.5) if reliability is not None and reliability > 0 else np.nan
