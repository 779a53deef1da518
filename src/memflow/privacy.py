"""Stage privacy: how well an attacker tells from a network whether an example was in its training set.

The attack is LiRA (Carlini et al. 2022), from the same runs as the scores. What it shows: what somebody learns about
membership who knows the example, its label and the training procedure, can train networks like the attacked one, and
sees its output for the example itself. What it does not: stronger attacks (more queries, augmented ones), other
training sets and recipes, or what a defence would do; a low rate is no proof of privacy.
"""

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from memflow import outcomes, provenance
from memflow.counts import HALVES, MARKS, Counts
from memflow.files import write_csv, write_parquet
from memflow.outcomes import Outcomes
from memflow.progress import steadily
from memflow.statistics.membership import (
    ATTACKS,
    area_under_curve,
    attack,
    threshold_at,
    true_positive_rates,
)
from memflow.statistics.rounding import ROUNDING

log = logging.getLogger(__name__)

RATES = (0.01, 0.001)  # of false alarms
FEWEST_NON_MEMBERS = {0.01: 100, 0.001: 1000}  # of a run, for a rate to be told
GRID = np.round(np.logspace(-3, 0, 31), 6)  # of false alarms, of a curve
CAUGHT_AT = RATES[0]
EDGES = np.round(np.arange(-0.1, 1.01, 0.1), 9)  # of memorisation


def run(spec: dict[str, Any], dataset_path: Path, counts_path: Path, blocks: list[Path], output: Path) -> None:
    """Attack the runs of one dataset, architecture and method.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.privacy_spec`.
    dataset_path : Path
        Prepared dataset.
    counts_path : Path
    blocks : list of Path
        The blocks that the counts were merged from, in the order of their seeds.
    output : Path
        ``<method>.parquet``, with the columns of :func:`example_table`. Beside it are written ``<method>.rates.csv``
        and ``<method>.curves.csv`` (:func:`rate_table`), and ``<method>.levels.csv`` (:func:`level_table`).

    Raises
    ------
    ProvenanceError
        If the counts or a block are missing, damaged, or not made by the spec's definition; the message names the file.
    """
    started = provenance.now()
    dataset, merged, found, inputs = outcomes.read_with_counts(
        spec["counts"], dataset_path, counts_path, blocks, ["log_odds"]
    )
    attacked = Attacked(found)
    confidence = spec["confidence"]
    constants: dict[str, Any] = {
        "runs": len(found.masks),
        **{key: spec[key] for key in ("pretraining_overlap", "teacher_data") if key in spec},
    }
    examples = example_table(attacked, merged)
    tables = {
        ".rates.csv": rate_table(attacked, "summary", confidence),
        ".curves.csv": rate_table(attacked, "curve", confidence),
        ".levels.csv": level_table(attacked, merged, confidence),
    }
    write_parquet(output, examples, {"study": spec["study"], "fingerprint": dataset.fingerprint, **constants})
    for suffix, table in tables.items():
        write_csv(output.with_suffix(suffix), table.assign(**constants))
    provenance.write(
        [output, *map(output.with_suffix, tables)],
        {**spec, "fingerprint": dataset.fingerprint},
        inputs=inputs,
        started=started,
    )


class Attacked:
    """What the attacks find out about every run.

    Parameters
    ----------
    found : Outcomes
        With log-odds. Those that are not finite, of a run that diverged, tell nothing and are taken as 0.

    Attributes
    ----------
    summary : float64[K, 3, 1 + 2]
        Of each run and attack: area under the curve, and share of members found at each of :data:`RATES`; NaN where a
        run has fewer non-members than the rate needs.
    curve : float64[K, 3, 31]
        Share of members found at each rate of :data:`GRID`.
    caught : int64[2, 2, n]
        Of the even and of the odd groups' runs: how many said, at a rate of 1 %, that the example is a member; of those
        that had it, and of those that had not. By the online attack.
    of : int64[2, 2, n]
        Of how many.
    group : int64[K]
    """

    def __init__(self, found: Outcomes) -> None:
        assert found.log_odds is not None
        log_odds, masks, self.group = found.log_odds, found.masks, found.group
        if not np.isfinite(log_odds).all():
            log.warning("%d runs have log-odds that are not finite", (~np.isfinite(log_odds)).any(axis=1).sum())
            log_odds = np.nan_to_num(log_odds, nan=0, posinf=0, neginf=0)
        n_runs, n = masks.shape
        self.summary = np.full((n_runs, len(ATTACKS), 1 + len(RATES)), np.nan)
        self.curve = np.full((n_runs, len(ATTACKS), len(GRID)), np.nan)
        self.caught, self.of = np.zeros((2, 2, 2, n), dtype=np.int64)
        self.non_members = (~masks).sum(axis=1)
        groups = len(np.unique(self.group))
        for runs, evidence in steadily(attack(log_odds, masks, self.group), "groups of runs attacked", groups):
            for place, one in enumerate(runs):
                self._judge(one, evidence[:, place], masks[one])

    def _judge(self, one: int, evidence: np.ndarray, members: np.ndarray) -> None:
        """Of one run, evidence float64[3, n]."""
        for number, of_attack in enumerate(evidence):
            self.summary[one, number, 0] = area_under_curve(of_attack, members)
            rates = true_positive_rates(of_attack, members, np.array([*RATES, *GRID]))
            enough = [self.non_members[one] >= FEWEST_NON_MEMBERS[rate] for rate in RATES]
            self.summary[one, number, 1:] = np.where(enough, rates[: len(RATES)], np.nan)
            self.curve[one, number] = rates[len(RATES) :]
        named = evidence[0] > threshold_at(evidence[0], members, CAUGHT_AT)
        half = self.group[one] % 2
        self.caught[half] += np.stack([named & members, named & ~members])
        self.of[half] += np.stack([members, ~members])


def example_table(attacked: Attacked, merged: Counts) -> pd.DataFrame:
    """Vulnerability of every training example.

    Returns
    -------
    DataFrame
        In official order: ``index``, ``label``, ``n_in`` and ``n_out`` (runs), ``memorisation``, ``caught`` (share of
        the runs with the example in which the online attack names it at a rate of 1 % of false alarms), ``false_alarm``
        (the same of the runs without it), and what :class:`~memflow.data.prepared.Dataset` knows of it.
    """
    caught, of = attacked.caught.sum(axis=0), attacked.of.sum(axis=0)
    with np.errstate(invalid="ignore"):
        shares = caught / of
    return pd.DataFrame(
        {
            "index": merged.index,
            "label": merged.label,
            "n_in": of[0],
            "n_out": of[1],
            "memorisation": merged.scores(),
            "caught": shares[0],
            "false_alarm": shares[1],
            **{name: getattr(merged, name) for name in MARKS},
        }
    )


def rate_table(attacked: Attacked, kind: str, confidence: float) -> pd.DataFrame:
    """Success of each attack, averaged over the runs.

    Parameters
    ----------
    attacked : Attacked
    kind : {"summary", "curve"}
    confidence : float

    Returns
    -------
    DataFrame
        ``attack``, ``quantity`` (``auc`` or ``tpr``), ``fpr`` (rate of false alarms; null for ``auc``), ``value``,
        ``low`` and ``high`` (Student's t over the groups), ``runs_measured`` (with enough non-members), ``members`` and
        ``non_members`` of a run on average. A curve has rows for the rates that allow one of the non-members of the
        smallest run.
    """
    values = getattr(attacked, kind)
    rates = [("auc", np.nan), *(("tpr", rate) for rate in RATES)] if kind == "summary" else [("tpr", r) for r in GRID]
    rows = []
    for number, name in enumerate(ATTACKS):
        for (quantity, rate), of_runs in zip(rates, values[:, number].T, strict=True):
            measured = np.isfinite(of_runs)
            if kind == "curve" and not measured.all():
                continue
            value, low, high = mean_over_groups(of_runs[measured], attacked.group[measured], confidence)
            rows.append([name, quantity, rate, value, low, high, int(measured.sum())])
    table = pd.DataFrame(rows, columns=["attack", "quantity", "fpr", "value", "low", "high", "runs_measured"])
    members = len(attacked.of[0, 0]) - attacked.non_members.mean()
    return table.assign(members=members, non_members=attacked.non_members.mean())


def level_table(attacked: Attacked, merged: Counts, confidence: float) -> pd.DataFrame:
    """Vulnerability of examples by how memorised they are, chosen on one half of the groups, measured on the other.

    Returns
    -------
    DataFrame
        ``from`` and ``to`` (memorisation), ``n_examples`` (on average of the two choices), ``memorisation`` (mean on
        the half that did not choose), ``caught`` (share of its runs with the example in which the attack names it),
        ``false_alarm``, and ``low`` and ``high`` of ``caught``: the two halves' shares are averaged, and the interval
        is Student's t over the examples, as if both had chosen the same ones.
    """
    halves = [half.scores() for half in merged.halves()]
    rows = []
    for start, stop in pairwise(EDGES):
        parts = []
        for chosen in range(len(HALVES)):
            scores, measured = halves[chosen], 1 - chosen
            where = np.flatnonzero((scores > start + ROUNDING) & (scores <= stop + ROUNDING))
            with np.errstate(invalid="ignore"):
                shares = attacked.caught[measured][:, where] / attacked.of[measured][:, where]
            parts.append(np.stack([halves[measured][where], *shares]))
        together = np.concatenate(parts, axis=1)
        together = together[:, np.isfinite(together).all(axis=0)]
        if not together.size:
            continue
        memorisation, caught, false_alarm = together.mean(axis=1)
        margin = np.sqrt(2) * _margin(together[1], confidence)
        limits = np.clip([caught - margin, caught + margin], 0, 1)
        rows.append([start, stop, together.shape[1] / 2, memorisation, caught, *limits, false_alarm])
    columns = ["from", "to", "n_examples", "memorisation", "caught", "low", "high", "false_alarm"]
    return pd.DataFrame(rows, columns=columns)


def mean_over_groups(values: np.ndarray, group: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Mean of the runs, and its interval by Student's t over the means of their groups.

    NaN without a run; no interval with one group.
    """
    numbers, place = np.unique(group, return_inverse=True)
    if not len(numbers):
        return (np.nan,) * 3
    means = np.bincount(place, weights=values) / np.bincount(place)
    margin = _margin(means, confidence)
    return float(means.mean()), float(means.mean() - margin), float(means.mean() + margin)


def _margin(values: np.ndarray, confidence: float) -> float:
    """Half-width of the interval of a mean of independent values; NaN of one."""
    if len(values) < 2:
        return np.nan
    return float(stdtrit(len(values) - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(len(values)))
