"""Masks of the runs that leave out memorised examples, and of the controls that leave out as many others.

All leave out natural examples only: wrong labels and noise, which were put in on purpose, stay in every arm.
"""

from pathlib import Path
from typing import Any

import numpy as np

from memflow import provenance, rng
from memflow.data.prepared import Dataset
from memflow.provenance import ProvenanceError


def masks(spec: dict[str, Any], dataset: Dataset, selection: Path, seeds: range) -> np.ndarray:
    """Masks of some seeds of an arm that leaves examples out.

    Parameters
    ----------
    spec : dict
        Of the runs, from :meth:`memflow.config.Study.runs_spec`; its ``removal`` says which ``arm``: ``memorised``
        leaves out the same examples in all runs, ``random`` as many of every class, others in each.
    dataset : Dataset
    selection : Path
        From :func:`memflow.selection.run`.
    seeds : range

    Returns
    -------
    bool[len(seeds), n_train]

    Raises
    ------
    ProvenanceError
        If the selection is damaged, of another dataset, or was not made as the spec says.
    """
    definition = provenance.read(selection)["definition"]
    expected = {**spec["removal"]["selection"], "fingerprint": dataset.fingerprint}
    found = {key: definition.get(key, "missing") for key in expected}
    if differences := provenance.differences(found, expected):
        raise ProvenanceError(f"{selection} is no selection for these runs: {'; '.join(differences)}")
    with np.load(selection) as file:
        memorised = file["removed"]
    if spec["removal"]["arm"] == "memorised":
        return np.broadcast_to(~memorised, (len(seeds), len(memorised))).copy()
    return np.stack([~as_many_others(memorised, dataset, seed) for seed in seeds])


def as_many_others(memorised: np.ndarray, dataset: Dataset, seed: int) -> np.ndarray:
    """As many natural examples of every class as are memorised, drawn from all of them at random, bool[n]."""
    drawn = np.zeros(len(memorised), dtype=bool)
    order = rng.permutation("random removal", (seed,), len(memorised))
    order = order[~(dataset.label_noise | dataset.input_noise)[order]]
    for label in np.unique(dataset.train.labels[memorised]):
        of_class = dataset.train.labels == label
        drawn[order[of_class[order]][: (memorised & of_class).sum()]] = True
    return drawn
