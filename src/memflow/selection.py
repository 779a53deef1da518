"""Stage selection: the memorised examples that further runs leave out (:mod:`memflow.removal`)."""

from pathlib import Path
from typing import Any

import numpy as np

from memflow import counts, provenance
from memflow.data import prepared
from memflow.errors import InputError
from memflow.files import sha256, write_npz
from memflow.provenance import ProvenanceError
from memflow.statistics.rounding import ROUNDING


def run(spec: dict[str, Any], dataset_path: Path, counts_path: Path, output: Path) -> None:
    """Write which examples are removed as memorised.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.selection_spec`.
    dataset_path, counts_path : Path
        Prepared dataset; one-hot counts of the architecture.
    output : Path
        ``<architecture>.removed.npz``: ``index`` int32[n] and ``removed`` bool[n].

    Raises
    ------
    ProvenanceError
        If the counts were not made as the spec says.
    InputError
        If no example is memorised, or a class would be left without an image.
    """
    started, record = provenance.now(), provenance.read(counts_path)
    dataset = prepared.load(dataset_path)
    expected = {"runs": spec["runs"], "seeds": spec["seeds"], "fingerprint": dataset.fingerprint}
    found = {key: record["definition"].get(key, "missing") for key in expected}
    if differences := provenance.differences(found, expected):
        raise ProvenanceError(f"{counts_path} has not the counts to select from: {'; '.join(differences)}")
    chosen = memorised(counts.load(counts_path), spec["memorised_at"])
    if not chosen.any():
        raise InputError(
            f"no natural training example scores {spec['memorised_at']:g} or more, so that there is nothing to remove; "
            "lower memorised_at, or remove the key `removal`"
        )
    left = np.bincount(dataset.train.labels[~chosen], minlength=dataset.n_classes)
    if (left == 0).any():
        name = dataset.class_names[int(np.argmin(left))]
        raise InputError(
            f"without the examples that score {spec['memorised_at']:g} or more no training image of class {name!r} is "
            "left; raise memorised_at, or remove the key `removal`"
        )
    write_npz(output, {"index": dataset.train.index, "removed": chosen})
    provenance.write(
        [output],
        {**spec, "fingerprint": dataset.fingerprint},
        inputs={dataset_path: sha256(dataset_path), counts_path: record["outputs"][counts_path.name]},
        started=started,
    )


def memorised(merged: counts.Counts, memorised_at: float) -> np.ndarray:
    """Natural examples that score at least ``memorised_at``, with their natural exact and near duplicates, bool[n]."""
    chosen = (merged.scores() >= memorised_at - ROUNDING) & ~merged.is_artificial
    return np.isin(merged.near_duplicate_group, merged.near_duplicate_group[chosen]) & ~merged.is_artificial
