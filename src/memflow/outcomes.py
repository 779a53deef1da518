"""What every run of one dataset, architecture and method got right: its blocks, checked and joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from memflow import provenance, subsets
from memflow.counts import Counts, check_block, load_last, planned_seeds
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.files import sha256
from memflow.provenance import ProvenanceError
from memflow.training.outcomes import LEVELS, PACKED, SUMMED, block_masks, unpack

NAMES = (*PACKED, "log_odds", "test_log_odds", *SUMMED)


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of K runs after their last epoch; n training and m test examples, C classes.

    Attributes
    ----------
    masks : bool[K, n]
        True where the example is in the run's subset.
    group_size : int
        Runs that were drawn together, neighbours in order.
    train_correct : bool[K, n], optional
    test_correct : bool[K, m], optional
    log_odds : float16[K, n], optional
        ``z_y − logsumexp_{j≠y} z_j`` of the label; there are none of learners without logits.
    test_log_odds : float16[K, m], optional
        The same on the test split, where the study asks for ``probabilities``.
    probabilities : float64[n, C], optional
        Mean over the runs that did not have the example, where the study asks for ``probabilities``; NaN where all had.
    """

    masks: np.ndarray
    group_size: int
    train_correct: np.ndarray | None = None
    test_correct: np.ndarray | None = None
    log_odds: np.ndarray | None = None
    test_log_odds: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    @property
    def group(self) -> np.ndarray:
        """Number of each run's group, int64[K]."""
        return np.arange(len(self.masks)) // self.group_size


def read_with_counts(
    spec: dict[str, Any], dataset_path: Path, counts_path: Path, blocks: Sequence[Path], names: Sequence[str]
) -> tuple[Dataset, Counts, Outcomes, dict[Path, str]]:
    """Dataset, counts and outcomes of one dataset, architecture and method, checked to belong together.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.counts_spec`.
    dataset_path, counts_path : Path
    blocks, names : sequence
        As in :func:`read`.

    Returns
    -------
    dataset : Dataset
    merged : Counts
        Without earlier epochs.
    found : Outcomes
    inputs : dict of Path to str
        SHA-256 of every file.

    Raises
    ------
    ProvenanceError
        If the counts or a block are missing, damaged, or not made by the spec; the message names the file.
    """
    dataset = prepared.load(dataset_path)
    record = read_record(counts_path, spec, dataset.fingerprint)
    inputs = {dataset_path: sha256(dataset_path), counts_path: record["outputs"][counts_path.name]}
    found = read(spec, dataset, blocks, inputs, names)
    check_merged(record, {path: inputs[path] for path in blocks})
    return dataset, load_last(counts_path), found, inputs


def read_record(counts_path: Path, spec: dict[str, Any], fingerprint: str) -> dict[str, Any]:
    """The sidecar of some counts, after checking that the spec defines them, on the dataset of a fingerprint.

    Raises
    ------
    ProvenanceError
        If the file is not what its sidecar says, or was made by another definition; the message names it.
    """
    record = provenance.read(counts_path)
    if differences := provenance.differences(record["definition"], {**spec, "fingerprint": fingerprint}):
        raise ProvenanceError(f"{counts_path} does not belong to this study: {'; '.join(differences)}")
    return record


def check_merged(record: dict[str, Any], blocks: dict[Path, str]) -> None:
    """Refuse blocks, given with their SHA-256, that some counts, given by their record, were not merged from.

    Raises
    ------
    ProvenanceError
        That names the first.
    """
    for path, digest in blocks.items():
        if digest not in record["inputs"].values():
            raise ProvenanceError(f"{path} is not the block that the counts were merged from; merge them again")


def read(
    spec: dict[str, Any],
    dataset: Dataset,
    blocks: Sequence[Path],
    digests: dict[Path, str],
    names: Sequence[str] = NAMES,
) -> Outcomes:
    """Read all blocks that some counts were, or would be, merged from.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.counts_spec`, or the definition of the counts.
    dataset : Dataset
    blocks : sequence of Path
        In the order of their seeds.
    digests : dict
        Takes the SHA-256 of each block as it is read.
    names : sequence of str
        Attributes of :class:`Outcomes` to read; those that the blocks do not hold stay None.

    Raises
    ------
    ProvenanceError
        If a block is missing, damaged, or does not belong to the definition; the message names it.
    """
    runs, length = spec["runs"], {"train_correct": len(dataset.train), "test_correct": len(dataset.test)}
    all_masks, parts = [], {name: list[np.ndarray]() for name in names}
    for path, seeds in zip(blocks, planned_seeds(blocks, spec["seeds"], spec["block_size"]), strict=True):
        masks = block_masks(runs, dataset, seeds)
        record = check_block(path, runs, dataset.fingerprint, seeds, masks)
        digests[path] = record["outputs"][path.name]
        all_masks.append(masks)
        with np.load(path) as block:
            for name in parts.keys() & {*block.files}:
                values = block[name][:, -1] if name in PACKED else block[name]
                parts[name].append(unpack(values, length[name]) if name in PACKED else values)
    masks = np.concatenate(all_masks)
    arrays = {name: np.concatenate(part) for name, part in parts.items() if part and name not in SUMMED}
    for name in (name for name in SUMMED if parts.get(name)):
        with np.errstate(invalid="ignore"):
            arrays[name] = np.sum(parts[name], axis=0, dtype=np.uint64) / LEVELS / (~masks).sum(axis=0)[:, None]
    return Outcomes(masks, subsets.group_size(runs["design"], Fraction(runs["ratio"])), **arrays)
