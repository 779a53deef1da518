"""Stage scores: memorisation of every training example, with its interval.

``memorisation = acc_in − acc_out``, the sub-sampled estimator of Feldman & Zhang (2020): how much more often runs that
were trained on an example get it right than runs that were not.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import counts, provenance
from memflow.counts import HALVES, MARKS, Counts
from memflow.files import write_csv, write_parquet
from memflow.statistics.proportions import newcombe
from memflow.summary import histogram as distribution
from memflow.summary import summarise, thresholds

MARKS_OF_RUNS = ("pretraining_overlap", "teacher_data")  # what may have told a network labels that it must not know
CHUNK = 4096  # examples at a time, which bounds the memory of the group-wise errors


def run(spec: dict[str, Any], counts_path: Path, output: Path) -> None:
    """Write the scores and the statistics of one dataset, architecture and method.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.scores_spec`.
    counts_path : Path
    output : Path
        ``<method>.parquet``, with the columns of :func:`score_table`. Beside it are written ``<method>.epochs.parquet``
        (:func:`epoch_table`), ``<method>.halves.parquet`` (:func:`halves_table`), ``<method>.summary.csv``
        (:func:`memflow.summary.summarise`), ``<method>.histogram.csv`` (:func:`memflow.summary.histogram`) and
        ``<method>.thresholds.csv`` (:func:`memflow.summary.thresholds`).
    """
    started = provenance.now()
    record = provenance.read(counts_path)
    merged_from = record["definition"]
    merged = counts.load(counts_path)
    table = score_table(merged, spec["confidence"])
    metadata = {
        "study": spec["study"],
        "runs": merged_from["seeds"],
        "ratio": merged_from["runs"]["ratio"],
        "design": merged_from["runs"]["design"],
        "fingerprint": merged_from["fingerprint"],
        "confidence": spec["confidence"],
        **{key: spec[key] for key in MARKS_OF_RUNS if key in spec},
        "undefined": int(table["memorisation"].isna().sum()),
        **reliability(merged),
    }
    epochs, halves, summary, histogram, counted = (
        output.with_suffix(suffix)
        for suffix in (".epochs.parquet", ".halves.parquet", ".summary.csv", ".histogram.csv", ".thresholds.csv")
    )
    write_parquet(output, table, metadata)
    write_parquet(halves, halves_table(merged, spec["confidence"]), metadata)
    write_parquet(epochs, epoch_table(merged, spec["confidence"]), metadata)
    runs = {
        "parameters": merged.parameters,
        "runs": len(merged.converged),
        "runs_not_converged": int((~merged.converged).sum()),
        "examples_without_score": metadata["undefined"],
        **{key: spec[key] for key in MARKS_OF_RUNS if key in spec},
    }
    statistics = summarise(merged, confidence=spec["confidence"], memorised_at=spec["memorised_at"])
    write_csv(summary, statistics.assign(**runs))
    write_csv(histogram, distribution(merged).assign(**runs))
    write_csv(counted, thresholds(merged, spec["confidence"]).assign(**runs))
    provenance.write(
        [output, epochs, halves, summary, histogram, counted],
        {**spec, "counts": merged_from},
        inputs={counts_path: record["outputs"][counts_path.name]},
        started=started,
        details={"summary": metadata},
    )


def score_table(merged: Counts, confidence: float) -> pd.DataFrame:
    """Scores after the last epoch.

    Returns
    -------
    DataFrame
        One row per training example, in official order: ``index``, ``label``, ``n_in`` and ``n_out`` (runs that had it
        in- and out-of-sample), ``acc_in`` and ``acc_out`` (share of those that classified it correctly),
        ``memorisation``, ``se`` (binomial standard error), ``se_groups`` (delete-one-group jackknife standard error,
        which knows that the runs of a balanced group are dependent), ``ci_low`` and ``ci_high`` (Newcombe's interval),
        ``duplicate_group``, ``near_duplicate_group``, ``conflicting_label``, ``in_test``, ``label_noise``,
        ``input_noise`` and ``subpopulation`` (see :class:`memflow.data.prepared.Dataset`), ``runs_not_converged`` (of
        the study's runs, how many missed the recipe's in-sample target; none is dropped). An example that was never
        held out, or never trained on, has no score: null.
    """
    table = _scored(*merged.totals(), confidence)
    table.insert(table.columns.tolist().index("ci_low"), "se_groups", _group_errors(merged))
    return _identified(table, merged)


def epoch_table(merged: Counts, confidence: float) -> pd.DataFrame:
    """Scores at every evaluated epoch: the columns of :func:`score_table` but ``se_groups``, after ``epoch``."""
    n_in, n_out = merged.n_in.sum(axis=0, dtype=np.int64), merged.n_out.sum(axis=0, dtype=np.int64)
    tables = []
    for epoch, correct_in, correct_out in zip(
        merged.epochs, merged.epoch_correct_in.sum(axis=1), merged.epoch_correct_out.sum(axis=1), strict=True
    ):
        table = _identified(_scored(correct_in, n_in, correct_out, n_out, confidence), merged)
        table.insert(0, "epoch", np.int32(epoch))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def halves_table(merged: Counts, confidence: float) -> pd.DataFrame:
    """Scores after the last epoch from each half of the groups, so that one can select what the other measures.

    Returns
    -------
    DataFrame
        ``half`` (``even`` or ``odd`` groups), then the columns of :func:`score_table` but ``se_groups``.
    """
    tables = []
    for name, part in zip(HALVES, merged.halves(), strict=True):
        table = _identified(_scored(*part.totals(), confidence), merged)
        table.insert(0, "half", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def reliability(merged: Counts) -> dict[str, float | None]:
    """Split-half reliability of the scores from the even and the odd groups: see :func:`split_half`."""
    return split_half(*(half.scores() for half in merged.halves()))


def split_half(even: np.ndarray, odd: np.ndarray) -> dict[str, float | None]:
    """Reliability of a measure from its values float[n] in two halves of the runs.

    Returns
    -------
    dict
        ``split_half`` (Pearson) and ``reliability`` (stepped up to all runs by Spearman and Brown, ``2r / (1 + r)``);
        None where a half has no variance, the second also where the halves disagree (r ≤ 0).
    """
    both = np.isfinite(even) & np.isfinite(odd)
    if both.sum() < 2 or np.ptp(even[both]) == 0 or np.ptp(odd[both]) == 0:  # rounding can give equals a deviation
        return {"split_half": None, "reliability": None}
    r = float(np.corrcoef(even[both], odd[both])[0, 1])
    return {"split_half": r, "reliability": 2 * r / (1 + r) if r > 0 else None}


def _scored(
    correct_in: np.ndarray, n_in: np.ndarray, correct_out: np.ndarray, n_out: np.ndarray, confidence: float
) -> pd.DataFrame:
    with np.errstate(invalid="ignore", divide="ignore"):
        acc_in, acc_out = correct_in / n_in, correct_out / n_out
        low, high = newcombe(correct_in, n_in, correct_out, n_out, confidence)
    return pd.DataFrame(
        {
            "n_in": n_in,
            "n_out": n_out,
            "acc_in": acc_in,
            "acc_out": acc_out,
            "memorisation": acc_in - acc_out,
            "se": np.sqrt(acc_in * (1 - acc_in) / n_in + acc_out * (1 - acc_out) / n_out),
            "ci_low": low,
            "ci_high": high,
        }
    )


def _group_errors(merged: Counts) -> np.ndarray:
    """Delete-one-group jackknife standard error of each score, float64[n]."""
    groups, n = merged.correct_in.shape
    errors = np.empty(n)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        correct_in, n_in, correct_out, n_out = (
            getattr(merged, name)[:, part].astype(np.float64) for name in ("correct_in", "n_in", "correct_out", "n_out")
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            left_out = _without_each(correct_in) / _without_each(n_in) - _without_each(correct_out) / _without_each(
                n_out
            )
        errors[part] = np.sqrt((groups - 1) * left_out.var(axis=0))
    return errors


def _without_each(values: np.ndarray) -> np.ndarray:
    return values.sum(axis=0) - values


def _identified(table: pd.DataFrame, merged: Counts) -> pd.DataFrame:
    table = pd.concat([pd.DataFrame({"index": merged.index, "label": merged.label}), table], axis=1)
    return table.assign(
        **{name: getattr(merged, name) for name in MARKS},
        runs_not_converged=np.int32((~merged.converged).sum()),
    )
