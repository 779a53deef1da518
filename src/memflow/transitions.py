"""Stage transitions: how examples pass from one state to another along a family of sizes and over training.

An example is not fitted, memorised or generalised (:mod:`memflow.statistics.states`). *Transient* ones are memorised by
a smaller size and generalised by the largest (model-wise), or memorised at the peak of training and generalised at its
end (temporal): sets of examples, where differences of totals would hide who comes and who goes.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from memflow import provenance
from memflow.counts import HALVES, Counts
from memflow.files import write_csv, write_parquet
from memflow.methods import ONE_HOT
from memflow.statistics.resampling import degrees, jackknife_errors
from memflow.statistics.states import GENERALISED, MEMORISED, NOT_FITTED, STATES, states
from memflow.summary import populations
from memflow.trajectories import Sizes, read_sizes, scored_everywhere

FLOW = ["quantity", "along", "architecture", "start", "stop", "from_state", "to_state", "examples"]
SET = ["kind", "examples", "quantity"]
MODEL_WISE, TEMPORAL, BOTH = KINDS = ("model-wise", "temporal", "both")
FITTED = "memorised or generalised"
IDENTITY = ["index", "label", "subpopulation", "label_noise", "input_noise"]
Values = dict[tuple[str, ...], tuple[float, float]]  # by key: the value, and the number of examples that it is of


def run(spec: dict[str, Any], counts_paths: list[Path], output: Path) -> None:
    """Transitions of one family.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.transitions_spec`.
    counts_paths : list of Path
        Counts of the family's architectures, smallest first.
    output : Path
        ``<method>.csv``, with the columns of :func:`flows`. Beside it are written ``<method>.transient.parquet``
        (:func:`transient_table`) and ``<method>.transient.csv`` (:func:`summarise`).

    Raises
    ------
    ProvenanceError
        If the counts are not of the same subsets of the same dataset.
    """
    started = provenance.now()
    sizes, merged_from, inputs = read_sizes(spec["architectures"], counts_paths, ONE_HOT)
    rule = {key: spec[key] for key in ("memorised_at", "confidence")}
    sets, summary = output.with_suffix(".transient.parquet"), output.with_suffix(".transient.csv")
    write_csv(output, flows(sizes, **rule))
    overlap = {"pretraining_overlap": spec["pretraining_overlap"]}
    write_parquet(sets, transient_table(sizes, spec["memorised_at"]), overlap)
    write_csv(summary, summarise(sizes, **rule))
    provenance.write(
        [output, sets, summary],
        {**spec, "counts": merged_from},
        inputs=inputs,
        started=started,
    )


def flows(sizes: Sizes, memorised_at: float, confidence: float) -> pd.DataFrame:
    """Shares of the examples that are in one state at a size or epoch and in another at the next.

    Parameters
    ----------
    sizes : dict of str to Counts
        By architecture, smallest first; at least two, of the same subsets.
    memorised_at : float
        Smallest score that counts as memorised.
    confidence : float

    Returns
    -------
    DataFrame
        Per ``along`` (``size``, or ``epoch`` of an ``architecture``), ``start`` and ``stop`` (architectures or epochs,
        as text: neighbouring ones, and the first and the last), ``from_state``, ``to_state`` and population
        (``examples``, only those with a score at every size): ``value``, ``low``, ``high``, ``se``, ``df`` and
        ``n_examples``. ``quantity``: ``share`` of the examples; ``later``, of those that one half of the groups finds
        not fitted at the smallest size, the share that the other half finds in ``to_state`` at the largest, halves
        swapped and averaged. Jackknife over groups; none over epochs, of which only totals are kept.
    """
    scored = scored_everywhere(sizes)
    first = next(iter(scored.values()))
    parts = populations(first)

    def along_sizes(used: np.ndarray) -> Values:
        by_size = states(*_by_size(scored, used), memorised_at)
        return _size_flows(by_size, list(scored), parts)

    over_epochs: Values = {}
    for name, size in scored.items():
        by_epoch = states(*_by_epoch(size), memorised_at)
        epochs = [str(epoch) for epoch in size.epochs]
        over_epochs |= _share_flows(by_epoch[:, 2], epochs, parts, ("share", "epoch", name))
    return _joined(_estimated(first.n_groups, along_sizes, FLOW, confidence), over_epochs, FLOW)


def transient_table(sizes: Sizes, memorised_at: float) -> pd.DataFrame:
    """Transient examples by one half of the groups, and their scores from the other.

    Returns
    -------
    DataFrame
        Two rows per training example: ``selected_on`` (``even`` or ``odd`` groups), ``index``, ``label``,
        ``subpopulation``, ``label_noise``, ``input_noise``. By that half: ``smaller`` (of the smaller architectures,
        the one with most memorised natural examples), ``model_wise`` (memorised there, generalised by the largest),
        ``peak`` (epoch at which the largest memorises most natural examples) and ``temporal`` (memorised there,
        generalised at the last epoch). By the other half: ``score_smaller``, ``score_largest``, ``score_peak`` and
        ``score_last``, null where an example has no score.
    """
    *_, largest = sizes.values()
    natural = ~largest.is_artificial
    by_size, by_epoch = _by_size(sizes, np.ones(largest.n_groups, dtype=np.int64)), _by_epoch(largest)
    tables = []
    for half, name in enumerate(HALVES):
        smaller, model_wise = transient_set(states(*by_size, memorised_at)[:, half], natural, len(sizes) - 1)
        peak, temporal = transient_set(states(*by_epoch, memorised_at)[:, half], natural, len(largest.epochs))
        columns = {
            "selected_on": name,
            **{column: getattr(largest, column) for column in IDENTITY},
            "smaller": list(sizes)[smaller],
            "model_wise": model_wise,
            "peak": largest.epochs[peak],
            "temporal": temporal,
            "score_smaller": by_size[0][smaller, 1 - half],
            "score_largest": by_size[0][-1, 1 - half],
            "score_peak": by_epoch[0][peak, 1 - half],
            "score_last": by_epoch[0][-1, 1 - half],
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def summarise(sizes: Sizes, memorised_at: float, confidence: float) -> pd.DataFrame:
    """The transient sets in numbers: selected on one half of the groups, measured on the other, swapped and averaged.

    Parameters
    ----------
    sizes : dict of str to Counts
        By architecture, smallest first; at least two, of the same subsets.
    memorised_at, confidence : float

    Returns
    -------
    DataFrame
        Per ``kind`` (``model-wise``, ``temporal``, ``both``), population (``examples``, only those with a score at
        every size) and ``quantity``: ``value``, ``low``, ``high``, ``se``, ``df``, ``n_examples`` (a mean of the
        halves). Quantities: ``share`` of the examples in the set; of its examples, ``score`` where they were found
        memorised, ``drop`` (that minus the score where they were found generalised) and ``replicated`` (share that the
        measuring half puts in the set too), NaN where the set of a half is empty; ``score_all``, of all examples where
        the set's were found memorised; for both kinds ``overlap``, examples in both sets relative to those in any.
        Where the dataset knows sub-populations of different size under one label also ``log2_size``: mean over the
        set's natural examples of log2(size of the sub-population, relative to the largest of its label), minus that of
        natural examples of the same labels. Jackknife over groups, with smaller size and set found anew; the error of
        ``log2_size`` includes that of drawing the set from the examples of its labels. None for temporal sets, since
        only totals are kept of earlier epochs.
    """
    *_, full = sizes.values()
    rarity = relative_sizes(full.label, full.subpopulation, ~full.is_artificial)
    where = np.isfinite([size.scores() for size in sizes.values()]).all(axis=0)
    scored = scored_everywhere(sizes)
    *_, largest = scored.values()
    parts = populations(largest)
    rarity = rarity[where] if rarity is not None else None

    def model_wise(used: np.ndarray) -> Values:
        return _describe(MODEL_WISE, _by_size(scored, used), len(sizes) - 1, largest, parts, rarity, memorised_at)

    by_size = _by_size(scored, np.ones(largest.n_groups, dtype=np.int64))
    by_epoch = _by_epoch(largest)
    temporal = _describe(TEMPORAL, by_epoch, len(largest.epochs), largest, parts, rarity, memorised_at)
    sets = [
        _sets(states(*by_size, memorised_at), ~largest.is_artificial, len(sizes) - 1),
        _sets(states(*by_epoch, memorised_at), ~largest.is_artificial, len(largest.epochs)),
    ]
    estimated = _estimated(largest.n_groups, model_wise, SET, confidence)
    if rarity is not None:  # one set or two that may share all examples: the error of their mean is at most this
        drawn = np.mean([draw_error(rarity, largest.label, chosen) for _, chosen in sets[0]])
        estimated = _with_error(estimated, estimated["quantity"] == "log2_size", float(drawn), confidence)
    return _joined(estimated, {**temporal, **_overlaps(sets, parts)}, SET)


def transient_set(found: np.ndarray, natural: np.ndarray, among: int) -> tuple[int, np.ndarray]:
    """Examples memorised where most are, and generalised at the end.

    Parameters
    ----------
    found : int8[T, n]
        States at each size or epoch, in order; see :func:`memflow.statistics.states.states`.
    natural : bool[n]
        Examples that count in telling where most are memorised.
    among : int
        Of the first so many sizes or epochs, the one with most memorised natural examples is taken (the first of
        several).

    Returns
    -------
    place : int
        Its position.
    where : bool[n]
        Examples memorised there and generalised at the last size or epoch.
    """
    place = int((found[:among, natural] == MEMORISED).sum(axis=1).argmax())
    return place, (found[place] == MEMORISED) & (found[-1] == GENERALISED)


def relative_sizes(label: np.ndarray, subpopulation: np.ndarray, natural: np.ndarray) -> np.ndarray | None:
    """How small the known sub-population of each example is.

    Parameters
    ----------
    label, subpopulation : int32[n]
    natural : bool[n]
        Examples that are what their label says; the others have no relative size.

    Returns
    -------
    float64[n] or None
        log2 of the sub-population's size (all its examples) relative to the largest of its label, NaN for examples
        that are not natural. None where no sub-populations are known, or all of one label are as large.
    """
    if (label[natural] == subpopulation[natural]).all():
        return None
    sizes = np.bincount(subpopulation)
    largest = np.zeros(label.max() + 1)
    np.maximum.at(largest, label[natural], sizes[subpopulation[natural]])
    relative = np.full(len(label), np.nan)
    relative[natural] = np.log2(sizes[subpopulation[natural]] / largest[label[natural]])
    return relative if (relative[natural] < 0).any() else None


def rarity_difference(rarity: np.ndarray, label: np.ndarray, chosen: np.ndarray) -> float:
    """Mean over chosen examples, minus that over all examples of their labels; NaN where none is chosen.

    Parameters
    ----------
    rarity : float64[n]
        From :func:`relative_sizes`; examples with NaN do not count.
    label : int32[n]
    chosen : bool[n]
    """
    chosen = chosen & np.isfinite(rarity)
    if not chosen.any():
        return np.nan
    _, drawn, mean, _ = _by_label(rarity, label, chosen)
    return float((rarity[chosen].sum() - drawn @ mean) / drawn.sum())


def draw_error(rarity: np.ndarray, label: np.ndarray, chosen: np.ndarray) -> float:
    """Standard deviation of :func:`rarity_difference` over random draws of as many examples of each label.

    Draws are without replacement: that of all examples of a label has no error.
    """
    chosen = chosen & np.isfinite(rarity)
    if not chosen.any():
        return np.nan
    number, drawn, _, variance = _by_label(rarity, label, chosen)
    return float(np.sqrt((drawn * variance * (1 - drawn / np.maximum(number, 1))).sum()) / drawn.sum())


def _by_label(rarity: np.ndarray, label: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each label: how many examples count, how many of them are chosen, and their mean and variance."""
    known, labels = np.isfinite(rarity), int(label.max()) + 1
    number = np.bincount(label[known], minlength=labels)
    drawn = np.bincount(label[chosen], minlength=labels)
    mean = np.bincount(label[known], rarity[known], labels) / np.maximum(number, 1)
    squares = np.bincount(label[known], (rarity[known] - mean[label[known]]) ** 2, labels)
    return number, drawn, mean, squares / np.maximum(number - 1, 1)


def _by_size(sizes: Sizes, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and out-of-sample accuracies, float64[S, 3, n]: of the even, the odd and all groups, of those used."""
    parity = np.arange(len(used)) % 2
    totals = np.array(
        [[size.only((used > 0) & (parity == half)).totals() for half in (0, 1)] for size in sizes.values()]
    )
    return _accuracies(*np.moveaxis(totals, 2, 0))


def _by_epoch(size: Counts) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`_by_size`, at every evaluated epoch: float64[E, 3, n]."""
    halves = [slice(half, None, 2) for half in (0, 1)]
    n_in, n_out = (np.array([n[half].sum(axis=0, dtype=np.int64) for half in halves]) for n in (size.n_in, size.n_out))
    correct_in, correct_out = (of.astype(np.int64) for of in (size.epoch_correct_in, size.epoch_correct_out))
    return _accuracies(*np.broadcast_arrays(correct_in, n_in, correct_out, n_out))


def _accuracies(*totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score and out-of-sample accuracy from totals of the halves (int64[T, 2, n] each)."""
    correct_in, n_in, correct_out, n_out = (
        np.concatenate([of, of.sum(axis=1, keepdims=True)], axis=1) for of in totals
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        acc_out = correct_out / n_out
        return correct_in / n_in - acc_out, acc_out


def _size_flows(by_size: np.ndarray, names: list[str], parts: dict[str, np.ndarray]) -> Values:
    """Shares of the flows, and what becomes of examples that are not fitted; states int8[S, 3, n]."""
    found = _share_flows(by_size[:, 2], names, parts, ("share", "size", ""))
    outcomes = {**{name: (state,) for state, name in enumerate(STATES)}, FITTED: (MEMORISED, GENERALISED)}
    for examples, part in parts.items():
        for outcome, wanted in outcomes.items():
            halves = [(part & (by_size[0, half] == NOT_FITTED), by_size[-1, 1 - half]) for half in range(len(HALVES))]
            shares = [_mean(np.isin(later[where & (later >= 0)], wanted)) for where, later in halves]
            number = np.mean([where.sum() for where, _ in halves])
            key = ("later", "size", "", names[0], names[-1], STATES[NOT_FITTED], outcome, examples)
            found[key] = (float(np.mean(shares)), float(number))
    return found


def _share_flows(found: np.ndarray, names: list[str], parts: dict[str, np.ndarray], leading: tuple[str, ...]) -> Values:
    """Share of each population that goes from one state to another; states int8[T, n]."""
    pairs = list(itertools.pairwise(range(len(names))))
    if len(names) > 2:
        pairs.append((0, len(names) - 1))
    flow: Values = {}
    for start, stop in pairs:
        known = (found[start] >= 0) & (found[stop] >= 0)
        for examples, part in parts.items():
            where = part & known
            cells = np.bincount(len(STATES) * found[start, where] + found[stop, where], minlength=len(STATES) ** 2)
            for (from_state, to_state), cell in zip(itertools.product(STATES, repeat=2), cells, strict=True):
                key = (*leading, names[start], names[stop], from_state, to_state, examples)
                flow[key] = (cell / where.sum() if where.any() else np.nan, int(part.sum()))
    return flow


def _sets(found: np.ndarray, natural: np.ndarray, among: int) -> list[tuple[int, np.ndarray]]:
    """The :func:`transient_set` of each half; states int8[T, 3, n]."""
    return [transient_set(found[:, half], natural, among) for half in range(len(HALVES))]


def _describe(
    kind: str,
    measured: tuple[np.ndarray, np.ndarray],
    among: int,
    examples_of: Counts,
    parts: dict[str, np.ndarray],
    rarity: np.ndarray | None,
    memorised_at: float,
) -> Values:
    """Statistics of the sets of one kind, from scores and out-of-sample accuracies by half (float64[T, 3, n])."""
    scores, natural = measured[0], ~examples_of.is_artificial
    found = states(*measured, memorised_at)
    sets = _sets(found, natural, among)
    values: Values = {}
    for examples, part in parts.items():
        by_half = []
        for half, (place, where) in enumerate(sets):
            before, after, inside = scores[place, 1 - half], scores[-1, 1 - half], where & part
            again = (found[place, 1 - half] == MEMORISED) & (found[-1, 1 - half] == GENERALISED)
            known = part & (found[place, half] >= 0) & (found[-1, half] >= 0)
            of_half = {
                "share": (_mean(where[known]), known.sum()),
                "score": (_mean(before[inside]), inside.sum()),
                "score_all": (_mean(before[part]), part.sum()),
                "drop": (_mean(before[inside] - after[inside]), inside.sum()),
                "replicated": (_mean(again[inside]), inside.sum()),
            }
            by_half.append(of_half)
        values |= {
            (kind, examples, name): (float(value), float(number))
            for name in by_half[0]
            for value, number in [np.mean([of_half[name] for of_half in by_half], axis=0)]
        }
    if rarity is not None:
        chosen = [where & natural for _, where in sets]
        value = np.mean([rarity_difference(rarity, examples_of.label, where) for where in chosen])
        name = "clean label" if "clean label" in parts else "all"
        values[kind, name, "log2_size"] = (float(value), float(np.mean([where.sum() for where in chosen])))
    return values


def _overlaps(sets: list[list[tuple[int, np.ndarray]]], parts: dict[str, np.ndarray]) -> Values:
    """Examples in both kinds of set relative to those in any."""
    values: Values = {}
    for examples, part in parts.items():
        pairs = [(a & part, b & part) for (_, a), (_, b) in zip(*sets, strict=True)]
        shares = [_mean((a & b)[a | b]) for a, b in pairs]
        number = np.mean([(a | b).sum() for a, b in pairs])
        values[BOTH, examples, "overlap"] = (float(np.mean(shares)), float(number))
    return values


def _estimated(groups: int, values: Callable[[np.ndarray], Values], keys: list[str], confidence: float) -> pd.DataFrame:
    """A row per value, with the jackknife's error and interval."""
    table = _table(values(np.ones(groups, dtype=np.int64)), keys)
    _, error = jackknife_errors(groups, lambda used: np.array([value for value, _ in values(used).values()]))
    table = table.assign(low=np.nan, high=np.nan, se=0.0, df=degrees(groups))
    return _with_error(table, np.ones(len(table), dtype=bool), error, confidence)


def _with_error(
    table: pd.DataFrame, where: np.ndarray | pd.Series, error: np.ndarray | float, confidence: float
) -> pd.DataFrame:
    """The table with a further, independent error of some rows, and their intervals."""
    se = np.hypot(table.loc[where, "se"], error)
    margin = stdtrit(table.loc[where, "df"], (1 + confidence) / 2) * se
    table.loc[where, "se"] = se
    table.loc[where, "low"], table.loc[where, "high"] = table["value"] - margin, table["value"] + margin
    return table


def _table(values: Values, keys: list[str]) -> pd.DataFrame:
    rows = [(*key, *value) for key, value in values.items()]
    return pd.DataFrame(rows, columns=[*keys, "value", "n_examples"]).astype({"value": float, "n_examples": float})


def _joined(estimated: pd.DataFrame, totals: Values, keys: list[str]) -> pd.DataFrame:
    """Rows with intervals, then those of which only totals are kept."""
    without = _table(totals, keys).assign(low=np.nan, high=np.nan, se=np.nan, df=estimated["df"].iloc[0])
    table = pd.concat([estimated, without], ignore_index=True)
    return table[[*keys, "value", "low", "high", "se", "df", "n_examples"]]


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are there; NaN where none is."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan
