"""Stage epochs: how memorisation comes and goes over the evaluated epochs of one dataset and architecture.

The counts keep only two halves of the groups for epochs before the last. The jackknife leaves out groups, so its sets
of groups are counted from the blocks, one set at a time: what is left is the counts' totals without that set.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from memflow import counts, provenance
from memflow.counts import Counts, check_block, count
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.files import sha256, write_csv
from memflow.outcomes import check_merged, read_record
from memflow.statistics.resampling import degrees
from memflow.statistics.rounding import ROUNDING
from memflow.statistics.states import STATES, states
from memflow.summary import BINS, per_bin, populations
from memflow.training.outcomes import SHARED, block_masks

CURVES = ("memorised", "memorisation", "acc_in", "acc_out", "not_fitted", "generalised")
CHANGES = ("rise", "fall", "transient_share", "transient_drop", "transient_score")
OF_SET = CHANGES[2:]
OF_TRANSIENT = ("transient_drop", "transient_score")  # means over the set, not over all examples
NATURAL = "clean label"  # among populations; all examples where none is artificial
COUNTED = ("epochs", "train_correct", "test_correct", "accuracy")  # of a block's arrays


@dataclass(frozen=True)
class Tally:
    """Outcomes of some groups of runs at E evaluated epochs; even and odd groups apart.

    Attributes
    ----------
    correct_in, correct_out : int[E, 2, n]
        Runs with the example in-sample, or out-of-sample, that classified it correctly.
    n_in, n_out : int[2, n]
        Runs that had the example in-sample, or out-of-sample.
    test : float64[E]
        Sum of the runs' test accuracies.
    runs : int
    """

    correct_in: np.ndarray
    correct_out: np.ndarray
    n_in: np.ndarray
    n_out: np.ndarray
    test: np.ndarray
    runs: int

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(**{name: value - getattr(other, name) for name, value in vars(self).items()})

    def accuracies(self, epoch: int, half: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """In- and out-of-sample accuracy of every example.

        Parameters
        ----------
        epoch : int
            Position among the evaluated epochs.
        half : int, optional
            0 for the even and 1 for the odd groups; all groups where it is not given.

        Returns
        -------
        acc_in, acc_out : float64[n]
            NaN where the example is never in-sample (or never out-of-sample).
        """
        rows = slice(None) if half is None else slice(half, half + 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            acc_in = self.correct_in[epoch, rows].sum(axis=0) / self.n_in[rows].sum(axis=0)
            acc_out = self.correct_out[epoch, rows].sum(axis=0) / self.n_out[rows].sum(axis=0)
        return acc_in, acc_out

    def scores(self, epoch: int, half: int | None = None) -> np.ndarray:
        """Memorisation scores, float64[n]; see :meth:`accuracies`."""
        acc_in, acc_out = self.accuracies(epoch, half)
        return acc_in - acc_out


def run(spec: dict[str, Any], dataset_path: Path, counts_path: Path, blocks: list[Path], output: Path) -> None:
    """Describe every evaluated epoch of one dataset and architecture.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.epochs_spec`.
    dataset_path : Path
        Prepared dataset.
    counts_path : Path
    blocks : list of Path
        The blocks that the counts were merged from, in the order of their seeds.
    output : Path
        ``<method>.csv``, with the columns of :func:`statistics`. Beside it is written ``<method>.histogram.csv``
        (:func:`histogram`). Both say in every row ``parameters``, ``runs``, ``runs_not_converged``,
        ``examples_without_score`` and ``pretraining_overlap``.

    Raises
    ------
    ProvenanceError
        If the counts or a block are missing, damaged, or not made by the spec's definition; the message names the file.
    """
    started = provenance.now()
    dataset = prepared.load(dataset_path)
    record = read_record(counts_path, spec["counts"], dataset.fingerprint)
    merged = counts.load(counts_path)
    digests: dict[Path, str] = {}
    sets = by_set(_read_blocks(spec["counts"], dataset, blocks, record, digests), merged.n_groups, merged.group_size)
    settings = {key: spec[key] for key in ("memorised_at", "confidence")}
    table = statistics(total(merged), sets, merged.epochs, populations(merged), **settings)
    table.loc[table["quantity"] == "acc_test", "n_examples"] = merged.correct_test.shape[1]
    constants = {
        "parameters": merged.parameters,
        "runs": len(merged.converged),
        "runs_not_converged": int((~merged.converged).sum()),
        "examples_without_score": int(np.isnan(merged.scores()).sum()),
        "pretraining_overlap": spec["pretraining_overlap"],
    }
    bins = histogram(total(merged), merged.epochs, populations(merged))
    write_csv(output, table.assign(**constants))
    write_csv(output.with_suffix(".histogram.csv"), bins.assign(**constants))
    inputs = {dataset_path: sha256(dataset_path), counts_path: record["outputs"][counts_path.name], **digests}
    provenance.write(
        [output, output.with_suffix(".histogram.csv")],
        {**spec, "fingerprint": dataset.fingerprint},
        inputs=inputs,
        started=started,
    )


def total(merged: Counts) -> Tally:
    """All groups of some counts."""
    halves = [slice(half, None, 2) for half in (0, 1)]
    n_in, n_out = (
        np.stack([values[half].sum(axis=0, dtype=np.int64) for half in halves])
        for values in (merged.n_in, merged.n_out)
    )
    test = merged.accuracy[..., 2].sum(axis=0, dtype=np.float64)
    return Tally(
        merged.epoch_correct_in.astype(np.int64),
        merged.epoch_correct_out.astype(np.int64),
        n_in,
        n_out,
        test,
        len(merged.accuracy),
    )


def by_set(
    blocks: Iterable[tuple[Mapping[str, np.ndarray], np.ndarray]], groups: int, group_size: int
) -> Iterator[Tally]:
    """Tallies of the sets of neighbouring groups that the jackknife leaves out, one at a time.

    Parameters
    ----------
    blocks : iterable of (mapping, bool[runs, n])
        Content of each block (see :func:`memflow.training.blocks.run`) and its masks, in the order of the seeds; each
        of whole groups.
    groups, group_size : int
        Number of all groups, and runs in one.

    Yields
    ------
    Tally
        For each of the sets of :func:`memflow.statistics.resampling.jackknife_errors`.
    """
    sets = degrees(groups) + 1
    of_group = np.arange(groups) * sets // groups
    first, current, tally = 0, 0, None
    for block, masks in blocks:
        of_block = of_group[first : first + len(masks) // group_size]
        for one in np.unique(of_block):
            within = np.flatnonzero(of_block == one)
            part = _tally(block, masks, group_size, first, range(int(within[0]), int(within[-1]) + 1))
            if one != current and tally is not None:
                yield tally
                tally = None
            tally = part if tally is None else tally + part
            current = one
        first += len(of_block)
    if tally is not None:
        yield tally


def statistics(
    whole: Tally,
    sets: Iterable[Tally],
    epochs: np.ndarray,
    groups_of_examples: dict[str, np.ndarray],
    *,
    memorised_at: float,
    confidence: float,
) -> pd.DataFrame:
    """Statistics of every epoch and of the change between epochs, with jackknife intervals over sets of groups.

    Parameters
    ----------
    whole : Tally
        All groups.
    sets : iterable of Tally
        Sets of groups that together are all; each is left out once. With fewer than two sets there is no interval.
    epochs : int[E]
        Evaluated epochs.
    groups_of_examples : dict of str to bool[n]
        See :func:`memflow.summary.populations`.
    memorised_at, confidence : float

    Returns
    -------
    DataFrame
        The rows of :func:`describe`, with ``low``, ``high``, ``se`` and ``df`` (degrees of freedom of the standard
        error) before ``n_examples``. The peak is located anew without each set; where a curve is flat it jumps, and
        intervals of ``rise`` and ``fall`` are too wide: without any change (simulated, 10 groups, 4 epochs) their
        standard errors are 1.8 times the deviation between studies, and 1 % of the intervals at 0.95 miss zero.
    """
    table = describe(whole, epochs, groups_of_examples, memorised_at)
    left_out = [_measure(whole - one, groups_of_examples, memorised_at)[0] for one in sets]
    df, se = len(left_out) - 1, np.full(len(table), np.nan)
    if df > 0:
        se = np.sqrt(df * np.var(left_out, axis=0))
    margin = stdtrit(df, (1 + confidence) / 2) * se
    value, n_examples = table["value"], table.pop("n_examples")
    return table.assign(low=value - margin, high=value + margin, se=se, df=df, n_examples=n_examples)


def describe(
    tally: Tally, epochs: np.ndarray, groups_of_examples: dict[str, np.ndarray], memorised_at: float
) -> pd.DataFrame:
    """The statistics of :func:`statistics` without their intervals.

    Returns
    -------
    DataFrame
        Per group of examples (``examples``), ``quantity`` and ``epoch``: ``value`` and ``n_examples``. At every epoch
        from all groups: the quantities of :func:`curves`, and once ``acc_test`` (mean of the runs; its ``n_examples``
        is left to who knows it). Once, between epochs: those of :func:`changes`, which select on one half of the groups
        and measure on the other; their ``epoch`` is the mean of the two halves' peaks.
    """
    values, peaks, n_changed = _measure(tally, groups_of_examples, memorised_at)
    keys = [("all", "acc_test", epoch, 0) for epoch in epochs]
    for number, (name, where) in enumerate(groups_of_examples.items()):
        keys += [(name, quantity, epoch, where.sum()) for quantity in CURVES for epoch in epochs]
        at = epochs[peaks[number]].mean(axis=-1)
        keys += [(name, *change) for change in zip(CHANGES, at, n_changed[number], strict=True)]
    table = pd.DataFrame(keys, columns=["examples", "quantity", "epoch", "n_examples"])
    table.insert(3, "value", values)
    return table


def curves(tally: Tally, groups_of_examples: Sequence[np.ndarray], memorised_at: float) -> np.ndarray:
    """Means over groups of examples at every epoch, selected and measured on all groups of runs.

    Parameters
    ----------
    tally : Tally
    groups_of_examples : sequence of P bool[n]
    memorised_at : float

    Returns
    -------
    float64[P, 6, E]
        Of the examples with a score: share memorised, mean score, in- and out-of-sample accuracy, and the shares that
        are not fitted and generalised (:func:`memflow.statistics.states.states`); in the order of :data:`CURVES`.
    """
    found = np.empty((len(groups_of_examples), len(CURVES), len(tally.test)))
    for epoch in range(len(tally.test)):
        acc_in, acc_out = tally.accuracies(epoch)
        score = acc_in - acc_out
        not_fitted, memorised, generalised = (states(score, acc_out, memorised_at) == s for s in range(len(STATES)))
        for number, where in enumerate(groups_of_examples):
            scored = where & np.isfinite(score)
            measures = (memorised, score, acc_in, acc_out, not_fitted, generalised)
            found[number, :, epoch] = [_mean(values[scored]) for values in measures]
    return found


def changes(
    tally: Tally, groups_of_examples: Sequence[np.ndarray], natural: np.ndarray, memorised_at: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rise to and fall from the peak, and the temporal transient set: selected on one half, measured on the other.

    Each quantity is the mean of two, with the even groups of runs selecting and the odd ones measuring, and vice versa.

    - ``rise`` and ``fall``: the *selecting* half gives the epoch with the largest share of memorised examples (of the
      group of examples at hand; the first such epoch), of all but the first and the last, so that a curve that only
      rises has a fall below zero; the *measuring* half gives the share memorised there minus that at the first, or at
      the last epoch. NaN with fewer than three epochs.
    - The transient set: examples that by the *selecting* half are memorised at the epoch at which it has most memorised
      natural examples, and generalised at the last epoch. ``transient_share``: the set as a share of the examples, a
      statement of the *selecting* half alone, which noise makes positive where nothing changes. ``transient_score``:
      mean score of the set at that epoch, and ``transient_drop``: that minus their mean score at the last epoch, both
      from the *measuring* half.

    Parameters
    ----------
    tally : Tally
    groups_of_examples : sequence of P bool[n]
    natural : bool[n]
    memorised_at : float

    Returns
    -------
    values : float64[P, 5]
        In the order of :data:`CHANGES`. NaN where there are too few epochs, and for means over a transient set that is
        empty in a half.
    peaks : int64[P, 5, 2]
        Position of the peak in the even and in the odd half: the group's own, between the first and the last epoch, for
        the first two, that of the natural examples over all epochs for the others.
    n_examples : float64[P, 5]
        Examples in the group; for means over the transient set, its size (mean of the halves).
    """
    epochs = range(len(tally.test))
    by_half = [[tally.scores(epoch, half) for epoch in epochs] for half in (0, 1)]  # [2][E] of float64[n]
    shares = np.array([_shares_memorised(scores, [*groups_of_examples, natural], memorised_at) for scores in by_half])
    peak = shares.argmax(axis=1)  # [2, P + 1]
    interior = 1 + shares[:, 1:-1].argmax(axis=1) if len(epochs) > 2 else peak
    values = np.full((len(groups_of_examples), len(CHANGES), 2), np.nan)
    sizes = np.empty((len(groups_of_examples), 2))
    for half, other in ((0, 1), (1, 0)):
        selected = _transient(tally, by_half[half], int(peak[half, -1]), half, memorised_at)
        at_peak, at_last = by_half[other][peak[half, -1]], by_half[other][-1]
        for number, where in enumerate(groups_of_examples):
            chosen = selected & where
            sizes[number, half] = chosen.sum()
            measured = chosen & np.isfinite(at_last)
            curve = shares[other, :, number]
            highest, score = curve[interior[half, number]], _mean(at_peak[measured])
            share = _mean(chosen[where & np.isfinite(by_half[half][-1])])
            drop = score - _mean(at_last[measured])
            values[number, :, half] = [highest - curve[0], highest - curve[-1], share, drop, score]
    if len(epochs) < 3:
        values[:, : len(CHANGES) - len(OF_SET)] = np.nan
    if len(epochs) == 1:
        values[:] = np.nan
    peaks = np.stack([np.stack([interior[:, number]] * 2 + [peak[:, -1]] * 3) for number in range(len(values))])
    n_examples = np.stack([np.full(len(CHANGES), where.sum(), dtype=np.float64) for where in groups_of_examples])
    n_examples[:, [CHANGES.index(name) for name in OF_TRANSIENT]] = sizes.mean(axis=1, keepdims=True)
    return values.mean(axis=2), peaks, n_examples


def histogram(tally: Tally, epochs: np.ndarray, groups_of_examples: dict[str, np.ndarray]) -> pd.DataFrame:
    """Distribution of the scores from all groups at every epoch, of all and of the natural examples.

    Returns
    -------
    DataFrame
        Per ``examples``, ``epoch`` and bin: ``bin_low``, ``bin_high``, the ``share`` of the examples with a score in
        ``[bin_low, bin_high)`` (as :func:`memflow.summary.histogram`), and ``n_examples`` with a score.
    """
    parts = []
    for name in [name for name in ("all", NATURAL) if name in groups_of_examples]:
        for position, epoch in enumerate(epochs):
            scores = tally.scores(position)[groups_of_examples[name]]
            scores = scores[np.isfinite(scores)]
            number = per_bin(scores)
            part = pd.DataFrame({"examples": name, "epoch": epoch, "bin_low": BINS[:-1], "bin_high": BINS[1:]})
            with np.errstate(invalid="ignore"):
                parts.append(part.assign(share=number / np.int64(len(scores)), n_examples=len(scores)))
    return pd.concat(parts, ignore_index=True)


def _measure(
    tally: Tally, groups_of_examples: dict[str, np.ndarray], memorised_at: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values of :func:`describe`, in its order, and the peaks and numbers of examples of :func:`changes`."""
    wheres = list(groups_of_examples.values())
    natural = groups_of_examples.get(NATURAL, groups_of_examples["all"])
    by_epoch = curves(tally, wheres, memorised_at).reshape(len(wheres), -1)
    changed, peaks, n_changed = changes(tally, wheres, natural, memorised_at)
    return np.append(tally.test / tally.runs, np.hstack([by_epoch, changed])), peaks, n_changed


def _read_blocks(
    spec: dict[str, Any], dataset: Dataset, paths: list[Path], merged: dict[str, Any], digests: dict[Path, str]
) -> Iterator[tuple[Mapping[str, np.ndarray], np.ndarray]]:
    """Arrays and masks of every block, checked; ``digests`` takes the SHA-256 of each as it is read."""
    planned = counts.planned_seeds(paths, spec["seeds"], spec["block_size"])
    for path, seeds in zip(paths, planned, strict=True):
        masks = block_masks(spec["runs"], dataset, seeds)
        record = check_block(path, spec["runs"], dataset.fingerprint, seeds, masks)
        digests[path] = record["outputs"][path.name]
        check_merged(merged, {path: digests[path]})
        with np.load(path) as file:
            yield {name: file[name] for name in COUNTED}, masks


def _tally(
    block: Mapping[str, np.ndarray], masks: np.ndarray, group_size: int, first_group: int, groups: range
) -> Tally:
    """Tally of some neighbouring groups of a block, whose first group has a number in the study."""
    runs = slice(groups.start * group_size, groups.stop * group_size)
    part = {name: values if name in SHARED else values[runs] for name, values in block.items()}
    n_test = 8 * part["test_correct"].shape[-1]  # padded: the test bits are not used
    counted = count(part, masks[runs], n_test, group_size, first_group + groups.start)
    parity = (first_group + np.array(groups)) % 2
    n_in, n_out = (
        np.stack([counted[name][parity == half].sum(axis=0, dtype=np.int64) for half in (0, 1)])
        for name in ("n_in", "n_out")
    )
    test = counted["accuracy"][..., 2].sum(axis=0, dtype=np.float64)
    return Tally(counted["epoch_correct_in"], counted["epoch_correct_out"], n_in, n_out, test, len(masks[runs]))


def _shares_memorised(
    scores: Sequence[np.ndarray], groups_of_examples: Sequence[np.ndarray], memorised_at: float
) -> np.ndarray:
    """Share of the scored examples of each group that are memorised, at every epoch, float64[E, P]."""
    limit = memorised_at - ROUNDING
    return np.array([[_mean(of[where & np.isfinite(of)] >= limit) for where in groups_of_examples] for of in scores])


def _transient(tally: Tally, scores: Sequence[np.ndarray], peak: int, half: int, memorised_at: float) -> np.ndarray:
    """Examples that are by one half memorised at the peak and generalised at the last epoch, bool[n]."""
    _, acc_out = tally.accuracies(len(scores) - 1, half)
    generalised = states(scores[-1], acc_out, memorised_at) == STATES.index("generalised")
    return (scores[peak] >= memorised_at - ROUNDING) & generalised


def _mean(values: np.ndarray) -> np.float64:
    """Mean; NaN of nothing."""
    return np.float64(values.mean()) if len(values) else np.float64(np.nan)
