"""Stage proxies: cheaper per-example measures beside the memorisation score, and how well they agree with it.

Most proxies come from runs on the whole training set. The C-score (Jiang et al. 2020) is the out-of-sample accuracy at
one ratio; C-scores at different ratios are different measures and stay apart, but in ``c_score_mean``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import counts, provenance
from memflow.counts import MARKS, Counts
from memflow.data import prepared
from memflow.files import sha256, write_csv, write_parquet
from memflow.provenance import ProvenanceError
from memflow.scores import reliability, split_half
from memflow.statistics import agreement, bimodality, mixture
from memflow.statistics.agreement import Used
from memflow.summary import populations

SPREAD = ("mean", "deviation")  # of the values as they are
ABSENT = "prediction_depth"  # of architectures that name no layers


def high(original: np.ndarray) -> np.ndarray:
    """The value of an original that is high for what is memorised."""
    return original


def low(original: np.ndarray) -> np.ndarray:
    """The value of an original that is low for what is memorised."""
    return -original


def low_share(original: np.ndarray) -> np.ndarray:
    """The value of a share that is low for what is memorised."""
    return 1 - original


DIRECTIONS = {  # of the proxies from runs on the whole training set, in the order of the tables
    "cumulative_accuracy": low_share,
    "cumulative_confidence": low_share,
    "cumulative_loss": high,
    "forgetting": high,
    "aum": low,
    "el2n": high,
    "data_map_variability": high,
    "final_entropy": high,
    "final_loss": high,
    "prediction_depth": high,
}


@dataclass(frozen=True)
class Measure:
    """A value per example from one or several independent samples of runs.

    Attributes
    ----------
    name : str
    units : tuple of int
        Units of each sample: runs, or groups of runs that were drawn together.
    runs : int
        In all samples.
    original : callable
        Takes bool[units] for each sample, the units that count; returns float32[n] in the direction of the source, NaN
        where they tell nothing of the example.
    direction : callable
        Turns originals into values, which are higher for what is more memorised.
    shares_runs : bool
        Whether the first sample is that of the score's own groups.
    """

    name: str
    units: tuple[int, ...]
    runs: int
    original: Callable[[Used], np.ndarray]
    direction: Callable[[np.ndarray], np.ndarray]
    shares_runs: bool = False

    def value(self, used: Used) -> np.ndarray:
        """Higher for what is more memorised, float32[n]; see ``original``."""
        return self.direction(self.original(used))

    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Values from the units at even and at odd positions of every sample."""
        return self.value(_parity(self.units, 0)), self.value(_parity(self.units, 1))


def run(spec: dict[str, Any], dataset_path: Path, blocks: list[Path], counts_paths: list[Path], output: Path) -> None:
    """Write the proxies of one dataset and architecture, and their agreement with its memorisation score.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.proxies_spec`.
    dataset_path : Path
        Prepared dataset.
    blocks : list of Path
        Blocks of the runs on the whole training set, in the order of their seeds.
    counts_paths : list of Path
        One per entry of the spec's ``counts``: first at the study's own ratio, which the score comes from.
    output : Path
        ``<architecture>.parquet``, with the columns of :func:`example_table`. Beside it are written
        ``<architecture>.agreement.csv`` (:func:`agreement_table`) and ``<architecture>.summary.csv``
        (:func:`summarise`).

    Raises
    ------
    ProvenanceError
        If a block or the counts are missing, damaged, or not made by the spec's definition; the message names the file.
    """
    started = provenance.now()
    fingerprint, n_train = _identity(dataset_path)
    by_run, block_records = _read_blocks(spec, fingerprint, n_train, blocks)
    uniform = spec["counts"][0]["require_uniform_device"]
    made_under = counts.conditions(block_records, blocks, uniform)
    count_records = _check_counts(spec, fingerprint, counts_paths)
    merged = [counts.load_last(path) for path in counts_paths]
    measures = [
        *(from_runs(name, by_run[name]) for name in DIRECTIONS if name in by_run),
        *c_scores(dict(zip(_ratios(spec), merged, strict=True))),
    ]
    constants = {"parameters": merged[0].parameters, "pretraining_overlap": spec["pretraining_overlap"]}
    agreement_path, summary_path = (output.with_suffix(suffix) for suffix in (".agreement.csv", ".summary.csv"))
    write_parquet(output, example_table(merged[0], measures), {"study": spec["study"], **constants})
    write_csv(agreement_path, agreement_table(merged[0], measures, spec["confidence"]).assign(**constants))
    write_csv(summary_path, summarise(merged[0], measures, spec["confidence"]).assign(**constants))
    records = dict(zip([*blocks, *counts_paths], [*block_records, *count_records], strict=True))
    provenance.write(
        [output, agreement_path, summary_path],
        {**spec, "fingerprint": fingerprint},
        inputs={
            dataset_path: sha256(dataset_path),
            **{path: record["outputs"][path.name] for path, record in records.items()},
        },
        started=started,
        details={"runs_made_under": made_under},
    )


def from_runs(name: str, by_run: np.ndarray) -> Measure:
    """The mean over runs of one proxy.

    Parameters
    ----------
    name : str
        From :data:`DIRECTIONS`.
    by_run : float32[runs, n]
        NaN where a run tells nothing of an example, which leaves that run out of the example's mean.
    """

    def original(used: Used) -> np.ndarray:
        values = by_run[used[0]]
        with np.errstate(invalid="ignore"):
            mean = np.nansum(values, axis=0, dtype=np.float64) / (~np.isnan(values)).sum(axis=0)
        return mean.astype(np.float32)  # which makes equal again what rounding to float32 made unequal in the runs

    return Measure(name, (len(by_run),), len(by_run), original, DIRECTIONS[name])


def c_scores(by_ratio: dict[str, Counts]) -> list[Measure]:
    """The C-score at each ratio, and where there are several, the mean of them for examples that have all.

    Parameters
    ----------
    by_ratio : dict of str to Counts
        First the study's own ratio, whose runs the score comes from.
    """
    names = [f"c_score_{ratio.replace('/', '-')}" for ratio in by_ratio]
    names[0] = "c_score"
    merged = list(by_ratio.values())
    parts = [_c_score(name, [one], shares_runs=one is merged[0]) for name, one in zip(names, merged, strict=True)]
    return parts if len(parts) == 1 else [*parts, _c_score("c_score_mean", merged, shares_runs=True)]


def example_table(merged: Counts, measures: list[Measure]) -> pd.DataFrame:
    """Every proxy of every example.

    Parameters
    ----------
    merged : Counts
        Says which examples there are.
    measures : list of Measure

    Returns
    -------
    DataFrame
        One row per proxy and training example, in official order: ``proxy``, ``index``, ``label`` and the marks of
        :class:`memflow.data.prepared.Dataset`; ``original`` (mean over the runs, in the direction of its source),
        ``value`` (higher for what is more memorised), ``value_even`` and ``value_odd`` (the same from runs at even and
        at odd positions; for C-scores from even and odd groups). Null where no run tells anything of the example.
    """
    identity = pd.DataFrame({name: getattr(merged, name) for name in ("index", "label", *MARKS)})
    tables = []
    for measure in measures:
        table = identity.copy()
        table.insert(0, "proxy", measure.name)
        table["original"] = measure.original(_everything(measure.units))
        table["value"] = measure.direction(table["original"].to_numpy())
        table["value_even"], table["value_odd"] = measure.halves()
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def agreement_table(merged: Counts, measures: list[Measure], confidence: float) -> pd.DataFrame:
    """Correlation of every proxy with the memorisation score.

    A C-score from the score's own runs shares their noise (the score is in-sample accuracy minus C-score), which alone
    would make them agree. So the C-score of one half of the groups is compared with the score of the other, the halves
    swapped and averaged; ceiling and reliabilities are then those of half the runs.

    Parameters
    ----------
    merged : Counts
        Which the score comes from.
    measures : list of Measure
    confidence : float

    Returns
    -------
    DataFrame
        One row per ``proxy``, ``statistic`` (``pearson`` or ``spearman``) and group of examples (``examples``: see
        :func:`memflow.summary.populations`): ``value``, ``low`` and ``high``
        (:func:`memflow.statistics.agreement.interval`; all for the number of runs at hand), ``ceiling`` (correlation of
        the score with the true score: for Pearson the root of the score's reliability, for Spearman simulated),
        ``reliability_score`` and ``reliability_proxy`` (split-half, stepped up but for the C-scores that are compared
        by halves), ``n_examples`` (with both values), ``runs`` (of the proxy).
    """
    scores = _remembered(lambda used: merged.only(used[0]).scores().astype(np.float32))
    parts = populations(merged)
    reliabilities = {name: reliability(merged.select(where)) for name, where in parts.items()}
    ceilings = {name: _ceilings(merged.select(where), reliabilities[name]) for name, where in parts.items()}
    rows = []
    for measure in measures:
        pairs, units = _compared(measure, scores, merged.n_groups)
        halves = measure.halves()
        kind = "split_half" if measure.shares_runs else "reliability"
        for name, where in parts.items():
            limits = agreement.interval(_correlations(pairs, where), units, confidence)
            constants = {
                "reliability_score": _number(reliabilities[name][kind]),
                "reliability_proxy": _number(split_half(*(half[where] for half in halves))[kind]),
                "n_examples": _compared_examples(pairs(_everything(units)), where),
                "runs": measure.runs,
            }
            for statistic, limit, ceiling in zip(agreement.NAMES, limits.T, ceilings[name][kind], strict=True):
                identity = {"proxy": measure.name, "statistic": statistic, "examples": name}
                interval = dict(zip(("value", "low", "high"), np.clip(limit, -1, 1), strict=True))
                rows.append({**identity, **interval, "ceiling": ceiling, **constants})
    return pd.DataFrame(rows)


def summarise(merged: Counts, measures: list[Measure], confidence: float) -> pd.DataFrame:
    """Is a proxy as bi-modal as the score?

    Parameters
    ----------
    merged : Counts
        Which the score comes from.
    measures : list of Measure
    confidence : float

    Returns
    -------
    DataFrame
        One row per ``proxy`` (first ``memorisation``, the score as estimated), group of ``examples``
        (:func:`memflow.summary.populations`) and ``quantity``: ``mean`` and standard ``deviation`` over the examples,
        and how it is distributed (:func:`memflow.statistics.bimodality.describe`), for which values of proxies, but not
        the score, are first brought to [0, 1] by their smallest and largest. ``value``, ``low``, ``high`` (jackknife
        over runs, of the score and the C-scores over groups), ``n_examples``, ``runs``.
    """
    score = Measure("memorisation", (merged.n_groups,), 0, lambda used: merged.only(used[0]).scores(), high)
    rows = []
    for measure, (examples, where) in product((score, *measures), _parts(merged).items()):
        described = _described(measure, where, scaled=measure is not score)
        limits = agreement.interval(described, measure.units, confidence)
        n_examples = int(np.isfinite(measure.value(_everything(measure.units))[where]).sum())
        counted = {"n_examples": n_examples, "runs": measure.runs or len(merged.converged)}
        for quantity, limit in zip((*SPREAD, *bimodality.NAMES), limits.T, strict=True):
            interval = dict(zip(("value", "low", "high"), limit, strict=True))
            rows.append({"proxy": measure.name, "examples": examples, "quantity": quantity, **interval, **counted})
    return pd.DataFrame(rows)


def _identity(dataset_path: Path) -> tuple[str, int]:
    """Fingerprint and number of training examples, without keeping the images."""
    dataset = prepared.load(dataset_path)
    return dataset.fingerprint, len(dataset.train)


def _read_blocks(
    spec: dict[str, Any], fingerprint: str, n_train: int, blocks: list[Path]
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Every proxy of every run, float32[runs, n], and the blocks' sidecars."""
    planned = counts.planned_seeds(blocks, spec["n_runs"], spec["block_size"], "runs")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in DIRECTIONS}
    records = []
    for path, seeds in zip(blocks, planned, strict=True):
        masks = np.ones((len(seeds), n_train), dtype=bool)
        records.append(counts.check_block(path, spec["runs"], fingerprint, seeds, masks))
        with np.load(path) as outcome:
            for name, part in parts.items():
                if name != ABSENT or f"proxy_{name}" in outcome:
                    part.append(outcome[f"proxy_{name}"])
    return {name: np.concatenate(part) for name, part in parts.items() if part}, records


def _check_counts(spec: dict[str, Any], fingerprint: str, paths: list[Path]) -> list[dict[str, Any]]:
    """The sidecars of the counts, after checking that each was merged as the spec says, of this dataset."""
    if len(paths) != len(spec["counts"]):
        raise ProvenanceError(f"{len(paths)} files of counts for the ratios {', '.join(_ratios(spec))}")
    records = [provenance.read(path) for path in paths]
    for path, record, expected in zip(paths, records, spec["counts"], strict=True):
        differences = provenance.differences(record["definition"], {**expected, "fingerprint": fingerprint})
        if differences:
            raise ProvenanceError(f"{path} is not to be compared with these proxies: {'; '.join(differences)}")
    return records


def _ratios(spec: dict[str, Any]) -> list[str]:
    """Ratios of the counts, first the study's own."""
    return [expected["runs"]["ratio"] for expected in spec["counts"]]


def _c_score(name: str, merged: list[Counts], shares_runs: bool) -> Measure:
    """The mean out-of-sample accuracy at some ratios."""

    def original(used: Used) -> np.ndarray:
        accuracies = []
        for one, groups in zip(merged, used, strict=True):
            _, _, correct, n = one.only(groups).totals()
            with np.errstate(invalid="ignore"):
                accuracies.append(correct / n)
        return np.mean(accuracies, axis=0).astype(np.float32)

    units, runs = tuple(one.n_groups for one in merged), sum(len(one.converged) for one in merged)
    return Measure(name, units, runs, original, low_share, shares_runs)


def _everything(units: Iterable[int]) -> list[np.ndarray]:
    return [np.ones(size, dtype=bool) for size in units]


def _parity(units: Iterable[int], odd: int) -> list[np.ndarray]:
    return [np.arange(size) % 2 == odd for size in units]


def _remembered(function: Callable[[Used], np.ndarray]) -> Callable[[Used], np.ndarray]:
    """A function that computes nothing twice: every proxy meets the scores of the same groups."""
    known: dict[tuple[bytes, ...], np.ndarray] = {}

    def remembered(used: Used) -> np.ndarray:
        key = tuple(of.tobytes() for of in used)
        if key not in known:
            known[key] = function(used)
        return known[key]

    return remembered


def _compared(
    measure: Measure, scores: Callable[[Used], np.ndarray], groups: int
) -> tuple[Callable[[Used], list[tuple[np.ndarray, np.ndarray]]], tuple[int, ...]]:
    """Pairs of values and scores from independent runs, of which the correlations are averaged, and their samples.

    The samples are the score's groups and those of the measure that it does not share with the score.
    """
    values = _remembered(measure.value)
    if not measure.shares_runs:
        return lambda used: [(values(used[1:]), scores(used[:1]))], (groups, *measure.units)

    parities = [_parity(measure.units, odd) for odd in (0, 1)]

    def crossed(used: Used) -> list[tuple[np.ndarray, np.ndarray]]:
        even, odd = ([of & half for of, half in zip(used, halves, strict=True)] for halves in parities)
        return [(values(even), scores(odd[:1])), (values(odd), scores(even[:1]))]

    return crossed, measure.units


def _correlations(
    pairs: Callable[[Used], list[tuple[np.ndarray, np.ndarray]]], where: np.ndarray
) -> Callable[[Used], np.ndarray]:
    def statistic(used: Used) -> np.ndarray:
        found = [agreement.correlations(value[where], score[where]) for value, score in pairs(used)]
        return np.asarray(np.mean(found, axis=0))

    return statistic


def _compared_examples(pairs: list[tuple[np.ndarray, np.ndarray]], where: np.ndarray) -> int:
    return min(int((np.isfinite(value) & np.isfinite(score) & where).sum()) for value, score in pairs)


def _ceilings(part: Counts, reliabilities: dict[str, float | None]) -> dict[str, tuple[float, float]]:
    """Pearson's and Spearman's ceiling for scores from all groups (``reliability``) and from half (``split_half``)."""
    if not part.n_examples:
        return dict.fromkeys(reliabilities, (np.nan, np.nan))
    weights = mixture.fit(mixture.observe(*part.totals()))
    ranked = [
        agreement.rank_ceiling(weights, of.n_in.sum(axis=0, dtype=np.int64), of.n_out.sum(axis=0, dtype=np.int64))
        for of in (part, *part.halves())
    ]
    spearman = {"reliability": ranked[0], "split_half": float(np.mean(ranked[1:]))}
    return {kind: (r**0.5 if r and r > 0 else np.nan, spearman[kind]) for kind, r in reliabilities.items()}


def _parts(merged: Counts) -> dict[str, np.ndarray]:
    """All examples, and where some are artificial the groups of :func:`memflow.summary.populations`, as bool[n]."""
    return populations(merged) | {"all": np.ones(merged.n_examples, dtype=bool)}


def _described(measure: Measure, where: np.ndarray, scaled: bool) -> Callable[[Used], np.ndarray]:
    def statistic(used: Used) -> np.ndarray:
        values = measure.value(used)[where].astype(np.float64)
        values = values[np.isfinite(values)]
        if len(values) < 2 or np.ptp(values) == 0:
            return np.full(len(SPREAD) + len(bimodality.NAMES), np.nan)
        spread = values.mean(), values.std()
        if scaled:
            values = (values - values.min()) / np.ptp(values)
        return np.array([*spread, *bimodality.describe(values)])

    return statistic


def _number(value: float | None) -> float:
    return np.nan if value is None else value
