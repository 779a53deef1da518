"""Stage removal: does the test accuracy need the memorised examples?

Feldman & Zhang (2020) train without the memorised examples, and without as many at random. Abdullah (2023) objects that
their networks were trained too little, and that copies of test images are among what is removed. So networks are
trained on the whole set by the study's own recipe, all arms take the same number of steps, runs that missed the
recipe's target are counted, copies leave together, and test images with a copy in training are set apart.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from memflow import counts, provenance, removed
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.files import sha256, write_csv
from memflow.training.outcomes import block_masks, unpack

CONTRASTS = {  # what is subtracted from what
    "random - memorised": ("random", "memorised"),
    "none - memorised": ("none", "memorised"),
    "none - random": ("none", "random"),
}


def run(
    spec: dict[str, Any],
    dataset_path: Path,
    hazards_path: Path,
    selection: Path,
    blocks: dict[str, list[Path]],
    output: Path,
) -> None:
    """Compare the test accuracy of the three arms.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.removal_spec`.
    dataset_path, hazards_path, selection : Path
        Prepared dataset, its table of duplicates, and what :func:`memflow.selection.run` wrote.
    blocks : dict of str to list of Path
        Of each arm, in the order of the seeds.
    output : Path
        ``<architecture>.csv``, with the columns of :func:`compare`.

    Raises
    ------
    ProvenanceError
        If a block is missing, damaged, or was not trained without exactly the examples of the selection.
    """
    started = provenance.now()
    dataset, chosen = prepared.load(dataset_path), provenance.read(selection)
    with np.load(selection) as file:
        n_removed = int(file["removed"].sum())
    read = {selection: chosen["outputs"][selection.name], hazards_path: sha256(hazards_path)}
    arms: dict[str, np.ndarray] = {}
    missed = {}
    for arm, paths in blocks.items():
        correct, accuracy = [], []
        planned = counts.planned_seeds(paths, spec["n_runs"], spec["block_size"], "runs")
        for path, seeds in zip(paths, planned, strict=True):
            masks = _masks(spec["runs"][arm], dataset, selection, seeds)
            record = counts.check_block(path, spec["runs"][arm], dataset.fingerprint, seeds, masks)
            read[path] = record["outputs"][path.name]
            with np.load(path) as outcome:
                correct.append(unpack(outcome["test_correct"][:, -1], len(dataset.test)))
                accuracy.append(outcome["accuracy"][:, -1, 0])
        arms[arm] = np.concatenate(correct)
        missed[arm] = int((np.concatenate(accuracy) < spec["target_accuracy"]).sum())
    table = compare(arms, copies_in_training(pd.read_csv(hazards_path), dataset), spec["confidence"])
    write_csv(
        output,
        table.assign(
            runs_not_converged=sum(missed.values()),
            n_removed=n_removed,
            n_train=len(dataset.train),
            weight_decay=spec["runs"]["none"]["recipe"]["weight_decay"],
            pretraining_overlap=spec["pretraining_overlap"],
        ),
    )
    provenance.write(
        [output],
        {**spec, "fingerprint": dataset.fingerprint},
        inputs={dataset_path: sha256(dataset_path), **read},
        started=started,
    )


def compare(arms: dict[str, np.ndarray], copied: np.ndarray, confidence: float) -> pd.DataFrame:
    """Test accuracy of each arm, and differences paired by seed.

    Parameters
    ----------
    arms : dict of str to bool[runs, n_test]
        Whether each run of ``none``, ``memorised`` and ``random`` is right; those of one seed start from the same
        weights.
    copied : bool[n_test]
        Test examples with a copy in training.
    confidence : float

    Returns
    -------
    DataFrame
        Per group of test ``examples`` (``all``, and where some are copies ``no copy in training``) and ``quantity``
        (accuracy of an arm, or a difference such as ``random - memorised``): ``value``, ``low``, ``high``, ``se`` and
        ``df`` (Student's t over the runs), ``n_examples``, ``runs``.
    """
    parts = {"all": np.ones(len(copied), dtype=bool)}
    if copied.any():
        parts["no copy in training"] = ~copied
    rows = []
    for examples, where in parts.items():
        of_runs = {arm: correct[:, where].mean(axis=1) for arm, correct in arms.items()}
        of_runs |= {name: of_runs[one] - of_runs[other] for name, (one, other) in CONTRASTS.items()}
        for quantity, values in of_runs.items():
            error, df = values.std(ddof=1) / np.sqrt(len(values)), len(values) - 1
            margin, value = stdtrit(df, (1 + confidence) / 2) * error, values.mean()
            limits = {"value": value, "low": value - margin, "high": value + margin, "se": error, "df": df}
            counted = {"n_examples": int(where.sum()), "runs": len(values)}
            rows.append({"examples": examples, "quantity": quantity, **limits, **counted})
    return pd.DataFrame(rows)


def copies_in_training(pairs: pd.DataFrame, dataset: Dataset) -> np.ndarray:
    """Test examples with an exact or near duplicate in training, bool[n_test]; see :mod:`memflow.data.hazards`."""
    return np.isin(dataset.test.index, pairs.loc[pairs["other_split"] == "test", "other_index"])


def _masks(runs: dict[str, Any], dataset: Dataset, selection: Path, seeds: range) -> np.ndarray:
    return removed.masks(runs, dataset, selection, seeds) if "removal" in runs else block_masks(runs, dataset, seeds)
