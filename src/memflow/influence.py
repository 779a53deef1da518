"""Stage influence: which training examples make runs right about which test examples.

``infl(i, j)``: how much more often runs that were trained on i are right about j than runs that were not, the same
runs and the same difference as the memorisation score (Feldman & Zhang 2020). There are far more pairs than examples:
which of them stand out from chance is tested against a null that the runs themselves provide.
"""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import outcomes, provenance
from memflow.data.prepared import Dataset
from memflow.files import write_csv, write_parquet
from memflow.progress import steadily
from memflow.statistics.influence import (
    BINS,
    EDGE,
    STRATA,
    Best,
    Null,
    Scan,
    Side,
    blocks_by_class,
    first_bin,
    influence,
    influence_of_pairs,
    largest,
    lower_edge,
    null_of,
    side_of,
)
from memflow.training.outcomes import PACKED

log = logging.getLogger(__name__)

__all__ = ["influence", "neighbour_table", "pair_table", "run", "summarise", "verdict"]

SIDES = ("all", "even", "odd")
OTHER = {"even": "odd", "odd": "even"}
SCOPES = ("all", "same-class")
FEWEST_RUNS = 2000  # with which the literature takes pairs at 0.15 one by one (Feldman & Zhang 2020)
FELDMAN_ZHANG = 0.15


def run(
    spec: dict[str, Any], dataset_path: Path, counts_path: Path, blocks: list[Path], output: Path, threads: int = 1
) -> None:
    """Write the influence of one dataset, architecture and method.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.influence_spec`.
    dataset_path : Path
        Prepared dataset.
    counts_path : Path
    blocks : list of Path
        The blocks that the counts were merged from, in the order of their seeds.
    output : Path
        ``<method>.parquet``, with the columns of :func:`pair_table`. Beside it are written
        ``<method>.by_train.parquet`` and ``<method>.by_test.parquet`` (:func:`neighbour_table`) and
        ``<method>.summary.csv`` (:func:`summarise`).
    threads : int
        Which change no bit of the result.

    Raises
    ------
    ProvenanceError
        If the counts or a block are missing, damaged, or not made by the spec's definition; the message names the file.
    """
    started = provenance.now()
    dataset, merged, found, inputs = outcomes.read_with_counts(
        spec["counts"], dataset_path, counts_path, blocks, [PACKED[1]]
    )
    assert found.test_correct is not None
    tables = measure(
        dataset,
        found.masks,
        found.test_correct,
        found.group,
        merged.scores(),
        threads=threads,
        **{key: spec[key] for key in ("threshold", "top", "fdr")},
    )
    pairs, by_train, by_test, summary = tables
    paths = [output, *(output.with_suffix(f".{kind}") for kind in ("by_train.parquet", "by_test.parquet"))]
    marks = {"pretraining_overlap": spec["pretraining_overlap"]}
    metadata = {"study": spec["study"], "runs": len(found.masks), "fingerprint": dataset.fingerprint, **marks}
    for path, table in zip(paths, (pairs, by_train, by_test), strict=True):
        write_parquet(path, table, metadata)
    paths.append(output.with_suffix(".summary.csv"))
    write_csv(paths[-1], summary.assign(**marks))
    log.info("%s", verdict(summary))
    provenance.write(paths, {**spec, "fingerprint": dataset.fingerprint}, inputs=inputs, started=started)


def measure(
    dataset: Dataset,
    masks: np.ndarray,
    correct: np.ndarray,
    group: np.ndarray,
    scores: np.ndarray,
    *,
    threshold: float,
    top: int,
    fdr: float,
    threads: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Influence of all pairs, and what stands out.

    Parameters
    ----------
    dataset : Dataset
        Of n training and m test examples.
    masks : bool[K, n]
    correct : bool[K, m]
        On the test examples.
    group : int[K]
        Of each run.
    scores : float64[n]
        Memorisation of the training examples.
    threshold : float
        Smallest influence of a listed pair.
    top : int
        Most influential pairs to keep of each example.
    fdr : float
        Bound on the share of false ones among the listed pairs.
    threads : int

    Returns
    -------
    pairs, by_train, by_test, summary : DataFrame
        Of :func:`pair_table`, twice :func:`neighbour_table`, and :func:`summarise`.
    """
    order = np.argsort(dataset.test.labels, kind="stable")  # so that the tests of a class are neighbours
    right = correct.sum(axis=0)
    informative = order[(right[order] > 0) & (right[order] < len(correct))]
    columns, even = correct[:, informative], group % 2 == 0
    runs = {"all": np.ones(len(group), dtype=bool), "even": even, "odd": ~even}
    sides = {name: side_of(masks, columns, runs[name]) for name in SIDES}
    scan = Scan(masks, columns, sides, threads)
    draws = scan.null(group)
    nulls = {name: null_of(draws[name], sides[name].pairs()) for name in SIDES}
    labels = dataset.train.labels, dataset.test.labels[informative]
    found = Found(sides, nulls, *labels, least=threshold, top=top)
    blocks = list(blocks_by_class(labels[0]))
    for result in steadily(scan.of(found.look, blocks), "blocks of training examples", len(blocks)):
        found.take(*result)
    pairs = pair_table(dataset, masks, correct, informative, runs, found.selected(fdr), scores)
    return (
        pairs,
        neighbour_table(dataset, masks, correct, informative, found.by_train(), nulls["all"]),
        neighbour_table(dataset, masks, correct, informative, found.by_test(), nulls["all"]),
        summarise(pairs, found, len(dataset.test), fdr),
    )


@dataclass
class Found:
    """What stands out among all pairs, gathered block by block.

    Attributes
    ----------
    sides : dict of str to Side
    nulls : dict of str to Null
    train_labels, test_labels : int[n], int[m]
        The second in ascending order.
    least : float
        Smallest influence of a pair that is looked at.
    top : int
        Pairs to keep of each example.
    """

    sides: dict[str, Side]
    nulls: dict[str, Null]
    train_labels: np.ndarray
    test_labels: np.ndarray
    least: float
    top: int

    def __post_init__(self) -> None:
        self.observed = {name: np.zeros((STRATA + 1) * BINS, dtype=np.int64) for name in self.sides}
        self.candidates: dict[str, list[np.ndarray]] = {name: [] for name in self.sides}
        self.of_test = {scope: Best(len(self.test_labels), self.top) for scope in SCOPES}
        self.of_train: dict[str, list[np.ndarray]] = {scope: [] for scope in SCOPES}

    def look(self, rows: np.ndarray, values: dict[str, np.ndarray]) -> tuple[Any, ...]:
        """What stands out in one block of training examples of one class; changes nothing, for it runs in a thread."""
        tallies, candidates = {}, {}
        for name, side in self.sides.items():
            row, column = np.nonzero(values[name] >= np.float32(self.least - EDGE))
            cell = side.cells(values[name][row, column], column)
            tallies[name] = np.bincount(cell, minlength=(STRATA + 1) * BINS)
            keep = self.nulls[name].p.ravel()[cell] <= self.nulls[name].largest_p()
            candidates[name] = np.stack([rows[row[keep]], column[keep], cell[keep]])
        same = self._same_class(rows)
        lists = {"all": largest(values["all"], self.top), "same-class": largest(values["all"][:, same], self.top)}
        return rows, values["all"], tallies, candidates, lists

    def take(
        self,
        rows: np.ndarray,
        values: np.ndarray,
        tallies: dict[str, np.ndarray],
        candidates: dict[str, np.ndarray],
        lists: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    ) -> None:
        """Add what :meth:`look` found, block after block in their order, which decides between equals."""
        for name, tally in tallies.items():
            self.observed[name] += tally
            self.candidates[name].append(candidates[name])
        same = self._same_class(rows)
        for scope, columns in (("all", slice(0, len(self.test_labels))), ("same-class", same)):
            self.of_test[scope].add(values[:, columns], rows, first=columns.start)
            row, column, rank = lists[scope]
            cell = self.sides["all"].cells(values[:, columns][row, column], column + columns.start)
            self.of_train[scope].append(np.stack([rows[row], column + columns.start, rank, cell]))

    def counted(self, name: str) -> np.ndarray:
        """Pairs of a side in each bin from ``least`` on, int64[STRATA, BINS]."""
        return self.observed[name].reshape(-1, BINS)[:STRATA]

    def selected(self, fdr: float) -> dict[str, np.ndarray]:
        """Significant pairs of each side: training position, test column, p-value and q-value, float64[4, pairs]."""
        chosen = {}
        for name, null in self.nulls.items():
            row, column, cell = np.concatenate([np.empty((3, 0), dtype=np.int64), *self.candidates[name]], axis=1)
            q = np.vstack([null.q(self.counted(name), first_bin(self.least)), np.ones(BINS)]).ravel()[cell]
            keep = q <= fdr
            chosen[name] = np.stack([row, column, null.p.ravel()[cell], q])[:, keep]
        return chosen

    def by_train(self) -> dict[str, np.ndarray]:
        """Most influential pairs of each training example: its position, test column, rank, cell; int64[4, pairs]."""
        return {
            scope: np.concatenate([np.empty((4, 0), dtype=np.int64), *parts], axis=1)
            for scope, parts in self.of_train.items()
        }

    def by_test(self) -> dict[str, np.ndarray]:
        """The same of each test example."""
        lists = {}
        for scope, best in self.of_test.items():
            column, rank = np.nonzero(best.row >= 0)
            cell = self.sides["all"].cells(best.value[column, rank], column)
            lists[scope] = np.stack([best.row[column, rank], column, rank, cell])
        return lists

    def _same_class(self, rows: np.ndarray) -> slice:
        label = self.train_labels[rows[0]]
        return slice(*(int(np.searchsorted(self.test_labels, label, side=end)) for end in ("left", "right")))


def pair_table(
    dataset: Dataset,
    masks: np.ndarray,
    correct: np.ndarray,
    informative: np.ndarray,
    runs: dict[str, np.ndarray],
    selected: dict[str, np.ndarray],
    scores: np.ndarray,
) -> pd.DataFrame:
    """Pairs whose influence is at or above the threshold and stands out from chance.

    Parameters
    ----------
    dataset, masks, correct
        As in :func:`measure`.
    informative : int[columns]
        Test position of each column.
    runs : dict of str to bool[K]
        Of each side.
    selected : dict of str to float64[4, pairs]
        From :meth:`Found.selected`.
    scores : float64[n]
        Memorisation of the training examples, from all runs.

    Returns
    -------
    DataFrame
        ``selected_on`` (``all`` runs, or the ``even`` or ``odd`` groups), ``train_index``, ``train_label``,
        ``test_index``, ``test_label``, ``same_class``, ``influence`` in the selecting runs, ``remeasured`` (in the
        other half, which did not choose; null for ``all``), ``p_value`` (one-sided), ``q_value`` (false discovery rate
        of the pairs as significant as this one), ``memorisation`` of the training example.
    """
    parts = []
    for name, (train, column, p, q) in selected.items():
        train = train.astype(np.int64)
        test = informative[column.astype(np.int64)]
        pairs = partial(influence_of_pairs, train=train, test=test)
        other = runs[OTHER[name]] if name in OTHER else None
        again = np.full(len(train), np.nan) if other is None else pairs(masks[other], correct[other])
        part = identified(dataset, train, test).assign(
            selected_on=name,
            influence=pairs(masks[runs[name]], correct[runs[name]]),
            remeasured=again,
            p_value=p,
            q_value=q,
            memorisation=scores[train],
        )
        parts.append(part.sort_values(["q_value", "influence"], ascending=[True, False], kind="stable"))
    table = pd.concat(parts, ignore_index=True)
    table.insert(4, "same_class", table["train_label"] == table["test_label"])
    return table[["selected_on", *table.columns.drop("selected_on")]]


def neighbour_table(
    dataset: Dataset,
    masks: np.ndarray,
    correct: np.ndarray,
    informative: np.ndarray,
    lists: dict[str, np.ndarray],
    null: Null,
) -> pd.DataFrame:
    """The most influential pairs of each training, or each test, example.

    Parameters
    ----------
    dataset, masks, correct, informative
        As in :func:`pair_table`.
    lists : dict of str to int64[4, pairs]
        From :meth:`Found.by_train` or :meth:`Found.by_test`.
    null : Null
        Of all runs.

    Returns
    -------
    DataFrame
        ``scope`` (``all`` pairs, or ``same-class`` ones only), ``train_index``, ``train_label``, ``test_index``,
        ``test_label``, ``rank`` (from 1; equals in the order of labels and indices), ``influence`` (above 0),
        ``p_value`` (one-sided, of no influence; not corrected for being chosen as the largest). A test example that all
        runs, or none, get right has no rows, nor a training example without positive influence.
    """
    parts = []
    for scope, (train, column, rank, cell) in lists.items():
        test = informative[column]
        part = identified(dataset, train, test).assign(
            rank=(rank + 1).astype(np.int32),
            influence=influence_of_pairs(masks, correct, train, test),
            p_value=null.p.ravel()[cell],
        )
        parts.append(part.assign(scope=scope))
    table = pd.concat(parts, ignore_index=True)
    return table[["scope", *table.columns.drop("scope")]]


def identified(dataset: Dataset, train: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Index and label of the two examples of each pair, given by positions."""
    return pd.DataFrame(
        {
            f"{name}_{part}": getattr(split, source)[positions]
            for name, split, positions in (("train", dataset.train, train), ("test", dataset.test, test))
            for part, source in (("index", "index"), ("label", "labels"))
        }
    )


def summarise(pairs: pd.DataFrame, found: Found, tests: int, fdr: float) -> pd.DataFrame:
    """What can be said of pairs with the runs at hand, from all runs and from each half.

    Returns
    -------
    DataFrame
        ``selected_on``, ``runs``, ``tests`` and ``tests_informative`` (that some runs get right and some wrong),
        ``pairs_tested``, ``threshold``, ``fdr``, ``at_threshold`` (pairs at or above it), ``by_chance`` (expected among
        them by the null), ``significant`` (listed), ``mean_influence`` of those, ``mean_remeasured`` (the same pairs in
        the other half), ``trusted_from`` (smallest threshold from which chance is expected to make up no more than
        ``fdr`` of the pairs; null if there is none), ``trusted`` (pairs from there on).
    """
    least = first_bin(found.least)
    rows = []
    for name, side in found.sides.items():
        counted, listed = found.counted(name), pairs[pairs["selected_on"] == name]
        rate, at_or_above = (
            found.nulls[name].rate_from(counted, least),
            counted.sum(axis=0)[::-1].cumsum()[::-1][least:],
        )
        trusted = np.flatnonzero(rate <= fdr)[:1]
        rows.append(
            {
                "selected_on": name,
                "runs": int(side.runs.sum()),
                "tests": tests,
                "tests_informative": int((side.stratum < STRATA).sum()),
                "pairs_tested": int(side.pairs().sum()),
                "threshold": found.least,
                "fdr": fdr,
                "at_threshold": int(at_or_above[0]),
                "by_chance": float(found.nulls[name].expected[:, least:].sum()),
                "significant": len(listed),
                "mean_influence": listed["influence"].mean(),
                "mean_remeasured": listed["remeasured"].mean(),
                "trusted_from": lower_edge(least + int(trusted[0])) if len(trusted) else np.nan,
                "trusted": int(at_or_above[trusted[0]]) if len(trusted) else 0,
            }
        )
    return pd.DataFrame(rows)


def verdict(summary: pd.DataFrame) -> str:
    """What of the pairs is to be trusted, in two or three sentences."""
    of_all, halves = summary.iloc[0], summary.iloc[1:]
    said = [
        f"Of {of_all['pairs_tested']:,} pairs {of_all['at_threshold']:,} reach {of_all['threshold']:g} with "
        f"{of_all['runs']:,} runs, where chance alone gives {of_all['by_chance']:,.0f}."
    ]
    if of_all["runs"] < FEWEST_RUNS:
        said.append(f"With fewer than {FEWEST_RUNS:,} runs a pair is not to be trusted for reaching {FELDMAN_ZHANG}.")
    said.append(
        f"To be trusted: the {of_all['significant']:,} listed pairs, of which no more than {of_all['fdr']:.0%} are "
        "expected to be chance"
        + (f"; any pair from {of_all['trusted_from']:.2f} on" if of_all["trusted"] else "")
        + "; and means over many pairs."
    )
    if halves["significant"].sum():
        chosen, again = (
            np.average(halves[column].fillna(0), weights=halves["significant"])
            for column in ("mean_influence", "mean_remeasured")
        )
        said.append(
            f"Pairs listed by one half of the runs: {chosen:.2f} there on average, {again:.2f} in the other half."
        )
    return " ".join(said)
