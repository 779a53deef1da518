"""Stage trajectories: how each example's score changes along a family of sizes.

Two answers stand side by side: a *descriptive* label, and a tested *type* that speaks where the runs support it and
says ``undetermined`` elsewhere (:mod:`memflow.statistics.trajectory_types`).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from memflow import counts, provenance
from memflow.counts import HALVES, Counts
from memflow.errors import InputError
from memflow.files import write_csv, write_parquet
from memflow.provenance import ProvenanceError
from memflow.statistics.paired import PairedTests, paired_tests
from memflow.statistics.power import power
from memflow.statistics.resampling import Statistic, bootstrap, jackknife
from memflow.statistics.rounding import ROUNDING
from memflow.statistics.trajectory_types import (
    DESCRIPTIVE,
    TESTED,
    classify,
    critical_p_value,
    describe,
)
from memflow.summary import populations

IDENTITY = ["index", "label", "label_noise", "input_noise"]
BASES = {"type": TESTED, "descriptive": DESCRIPTIVE}  # columns of a classification, and what may stand in them
Sizes = dict[str, Counts]  # by architecture, smallest first


def run(spec: dict[str, Any], counts_paths: list[Path], output: Path) -> None:
    """Classify every example along one family, and describe the types.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.trajectories_spec`.
    counts_paths : list of Path
        Counts of the family's architectures, smallest first.
    output : Path
        ``<method>.parquet``, with the columns of :func:`example_table`. Beside it are written
        ``<method>.halves.parquet`` (:func:`halves_table`), ``<method>.summary.csv`` (:func:`summarise`),
        ``<method>.curves.csv`` (:func:`mean_curves`) and ``<method>.power.csv``
        (:func:`memflow.statistics.power.power`).

    Raises
    ------
    ProvenanceError
        If the counts are not of the same subsets of the same dataset.
    """
    started = provenance.now()
    sizes, merged_from, inputs = read_sizes(spec["architectures"], counts_paths)
    rule = {key: spec[key] for key in ("tau", "fdr", "confidence")}
    scored = scored_everywhere(sizes)
    halves = halves_table(sizes, **rule)
    tables = {
        ".parquet": example_table(sizes, **rule),
        ".halves.parquet": halves,
        ".summary.csv": summarise(scored, memorised_at=spec["memorised_at"], **rule),
        ".curves.csv": mean_curves(sizes, halves, spec["confidence"]),
        ".power.csv": power(list(scored.values()), **rule),
    }
    for suffix, table in tables.items():
        if suffix.endswith("csv"):
            write_csv(output.with_suffix(suffix), table)
        else:
            write_parquet(output.with_suffix(suffix), table, {"pretraining_overlap": spec["pretraining_overlap"]})
    provenance.write(
        [output.with_suffix(suffix) for suffix in tables],
        {**spec, "counts": merged_from},
        inputs=inputs,
        started=started,
    )


def read_sizes(
    architectures: list[str], counts_paths: list[Path], method: str | None = None
) -> tuple[Sizes, list[dict[str, Any]], dict[Path, str]]:
    """Counts of a family, which share their subsets.

    Parameters
    ----------
    architectures : list of str
    counts_paths : list of Path
        Their counts, in the same order.
    method : str, optional
        What they must be of; without it, that of the first.

    Returns
    -------
    sizes : dict of str to Counts
    definitions : list of dict
        Of the counts, from their sidecars.
    inputs : dict of Path to str
        SHA-256 of each file.

    Raises
    ------
    ProvenanceError
        See :func:`check_same_subsets`.
    """
    records = [provenance.read(path) for path in counts_paths]
    definitions = [record["definition"] for record in records]
    for path, definition in zip(counts_paths, definitions, strict=True):
        check_same_subsets(path, definition, definitions[0], method=method or definitions[0]["runs"]["method"])
    sizes = {name: counts.load(path) for name, path in zip(architectures, counts_paths, strict=True)}
    inputs = {path: record["outputs"][path.name] for path, record in zip(counts_paths, records, strict=True)}
    return sizes, definitions, inputs


def example_table(sizes: Sizes, tau: float, fdr: float, confidence: float) -> pd.DataFrame:
    """Trajectory of every example.

    Parameters
    ----------
    sizes : dict of str to Counts
        By architecture, smallest first; at least two, of the same subsets.
    tau, fdr, confidence : float
        Smallest difference that counts; false discovery rate of the types that change; level of the margin within
        which ``constant`` must lie.

    Returns
    -------
    DataFrame
        One row per training example, in official order: ``index``, ``label``, ``label_noise``, ``input_noise``;
        ``type`` (:func:`~memflow.statistics.trajectory_types.classify`), ``descriptive``
        (:func:`~memflow.statistics.trajectory_types.describe`), ``delta`` (last minus first size), ``p_value`` (of no
        change), ``q_value`` (Benjamini & Hochberg 1995: valid under positive dependence, which sharing runs gives),
        ``q_value_by`` (Benjamini & Yekutieli 2001: valid under any), the last three null where no change beyond tau
        was possible; and for each architecture the score, in a column of its name. Without a score at some size there
        is neither type nor test: null.
    """
    where = _has_scores(sizes)
    tests = paired_tests([size.select(where) for size in sizes.values()], tau, confidence)
    columns = {
        "type": classify(tests, tau, critical_p_value(tests, fdr)),
        "descriptive": describe(tests.scores, tau),
        "delta": tests.scores[-1] - tests.scores[0],
        "p_value": _of_tested(tests, lambda p: p),
        "q_value": _of_tested(tests, false_discovery_control),
        "q_value_by": _of_tested(tests, partial(false_discovery_control, method="by")),
    }
    first = next(iter(sizes.values()))
    identity = pd.DataFrame({name: getattr(first, name) for name in IDENTITY})
    trajectory = pd.DataFrame(columns, index=np.flatnonzero(where)).reindex(identity.index)
    return pd.concat([identity, trajectory], axis=1).assign(**{name: size.scores() for name, size in sizes.items()})


def halves_table(sizes: Sizes, tau: float, fdr: float, confidence: float) -> pd.DataFrame:
    """Types from one half of the groups beside scores from the other: what is selected is not what is measured.

    Measured on the runs that selected them, examples that noise made look increasing would seem to increase.

    Returns
    -------
    DataFrame
        Two rows per training example: ``selected_on`` (``even`` or ``odd`` groups), ``index``, ``label``,
        ``label_noise``, ``input_noise``, ``type`` and ``descriptive`` from that half, and for each architecture the
        score from the other.
    """
    even, odd = ({name: size.halves()[half] for name, size in sizes.items()} for half in (0, 1))
    tables = []
    for name, selecting, measuring in zip(HALVES, (even, odd), (odd, even), strict=True):
        table = example_table(selecting, tau, fdr, confidence)[[*IDENTITY, *BASES]]
        table.insert(0, "selected_on", name)
        tables.append(table.assign(**{architecture: size.scores() for architecture, size in measuring.items()}))
    return pd.concat(tables, ignore_index=True)


def summarise(sizes: Sizes, tau: float, fdr: float, confidence: float, memorised_at: float) -> pd.DataFrame:
    """Shares of the types, and the change from the first to the last size.

    Parameters
    ----------
    sizes : dict of str to Counts
        Only of examples with a score everywhere: :func:`scored_everywhere`.

    Returns
    -------
    DataFrame
        Per group of examples (``examples``: see :func:`memflow.summary.populations`), ``quantity`` and ``type``:
        ``value``, ``low``, ``high``, ``n_examples``. Quantities: ``share`` of each tested and ``share_descriptive`` of
        each descriptive type, and ``memorised_change`` (in the number of examples with a score from ``memorised_at``),
        by jackknife over groups; ``mean_change`` of the score, by group bootstrap. Both changes are paired, since all
        sizes share their subsets.
    """
    first = next(iter(sizes.values()))
    groups_of_examples = {name: where for name, where in populations(first).items() if where.any()}
    thresholded = [("share", kind) for kind in TESTED] + [("share_descriptive", kind) for kind in DESCRIPTIVE]
    thresholded.append(("memorised_change", ""))
    wheres = list(groups_of_examples.values())
    limits = jackknife(first.n_groups, _shares_and_gain(sizes, wheres, tau, fdr, confidence, memorised_at), confidence)
    changes = bootstrap(first.n_groups, _mean_change(sizes, wheres), confidence)
    keys = [(name, *key) for name in groups_of_examples for key in thresholded]
    keys += [(name, "mean_change", "") for name in groups_of_examples]
    table = pd.DataFrame(keys, columns=["examples", "quantity", "type"])
    table[["value", "low", "high"]] = np.concatenate([limits, changes], axis=1).T
    return table.assign(n_examples=table["examples"].map({name: w.sum() for name, w in groups_of_examples.items()}))


def mean_curves(sizes: Sizes, halves: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Mean score of each type at each size: types from one half of the groups, scores from the other, averaged.

    Parameters
    ----------
    sizes : dict of str to Counts
    halves : DataFrame
        From :func:`halves_table`.
    confidence : float

    Returns
    -------
    DataFrame
        Per ``basis`` (``type`` or ``descriptive``), ``type`` and ``architecture``: ``parameters``, ``value``, ``low``
        and ``high`` (group bootstrap within the halves, given the types), and ``n_examples`` (mean of the halves). No
        rows for a type of which a half has no example.
    """
    parts = []
    for basis, kinds in BASES.items():
        for kind in kinds:
            selected = [(halves[halves["selected_on"] == half][basis] == kind).to_numpy() for half in HALVES]
            if not all(where.any() for where in selected):
                continue
            groups = next(iter(sizes.values())).n_groups
            value, low, high = bootstrap(groups, mean_scores(sizes, selected), confidence, strata=2)
            part = pd.DataFrame({"basis": basis, "type": kind, "architecture": list(sizes)})
            part["parameters"] = [size.parameters for size in sizes.values()]
            parts.append(part.assign(value=value, low=low, high=high, n_examples=np.mean([w.sum() for w in selected])))
    return pd.concat(parts, ignore_index=True)


def scored_everywhere(sizes: Sizes) -> Sizes:
    """Only the examples with a score at every size."""
    where = _has_scores(sizes)
    return {name: size.select(where) for name, size in sizes.items()}


def mean_scores(sizes: Sizes, selected: list[np.ndarray]) -> Statistic:
    """At each size: the mean over the examples that the even groups selected, in the odd groups, and vice versa.

    Parameters
    ----------
    sizes : dict of str to Counts
    selected : list of two bool[n]
        Examples that the even and that the odd groups selected; some each.

    Returns
    -------
    callable
        For :func:`memflow.statistics.resampling.bootstrap` with two strata; its S statistics are the sizes.
    """
    examples = [[size.select(where) for size in sizes.values()] for where in selected]

    def statistic(weights: np.ndarray) -> np.ndarray:
        odd = np.arange(weights.shape[1]) % 2
        measured = [
            [size.means(weights * of_half)[:, 0] for size in chosen]
            for chosen, of_half in zip(examples, (odd, 1 - odd), strict=True)
        ]
        return np.mean(measured, axis=0).T

    return statistic


def check_same_subsets(path: Path, definition: dict[str, Any], first: dict[str, Any], method: str) -> None:
    """Refuse counts that cannot be paired with the first: of another dataset or other subsets, or not of the method.

    Parameters
    ----------
    path : Path
        The counts file, for the message.
    definition, first : dict
        Definitions of these counts and of those that they are compared with, from their sidecars.
    method : str
        What these counts must be of, whatever the method of the first.

    Raises
    ------
    ProvenanceError
        With the file, and each key that differs.
    """

    def subsets(of: dict[str, Any]) -> dict[str, Any]:
        runs = {key: of["runs"][key] for key in ("dataset", "method", "design", "ratio", "subset_unit")}
        return {**runs, "fingerprint": of["fingerprint"], "seeds": of["seeds"]}

    differences = provenance.differences(subsets(definition), subsets(first) | {"method": method})
    if differences:
        raise ProvenanceError(f"{path} does not share the family's subsets: {'; '.join(differences)}")


def _has_scores(sizes: Sizes) -> np.ndarray:
    """bool[n]; raises :class:`~memflow.errors.InputError` where no example has a score at every size."""
    where = np.all([np.isfinite(size.scores()) for size in sizes.values()], axis=0)
    if not where.any():
        runs = len(next(iter(sizes.values())).converged)
        raise InputError(f"in {runs} runs no example was both trained on and held out; raise `seeds`")
    return where


def _of_tested(tests: PairedTests, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A function of the p-values of the testable examples, NaN for the others, float64[n]."""
    values = np.full(len(tests.testable), np.nan)
    if tests.testable.any():
        values[tests.testable] = function(tests.p_value[tests.testable])
    return values


def _shares_and_gain(
    sizes: Sizes, groups_of_examples: list[np.ndarray], tau: float, fdr: float, confidence: float, memorised_at: float
) -> Statistic:
    """Per group of examples: the share of each tested and descriptive type, and the gain in memorised examples."""

    def statistic(used: np.ndarray) -> np.ndarray:
        tests = paired_tests([size.only(used > 0) for size in sizes.values()], tau, confidence)
        tested, described = classify(tests, tau, critical_p_value(tests, fdr)), describe(tests.scores, tau)
        memorised = tests.scores >= memorised_at - ROUNDING
        shares = [tested == kind for kind in TESTED] + [described == kind for kind in DESCRIPTIVE]
        gained = memorised[-1].astype(np.int64) - memorised[0]
        return np.ravel([[*(of[where].mean() for of in shares), gained[where].sum()] for where in groups_of_examples])

    return statistic


def _mean_change(sizes: Sizes, groups_of_examples: list[np.ndarray]) -> Statistic:
    first, *_, last = sizes.values()
    ends = [(first.select(where), last.select(where)) for where in groups_of_examples]
    return lambda weights: np.stack([(b.means(weights) - a.means(weights))[:, 0] for a, b in ends], axis=1)
