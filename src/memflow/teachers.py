"""Which trained networks a distilled student learns from, and proof that they saw no more than the student.

A teacher that was trained on an example which its student holds out tells the student its label. So the masks in the
sidecars of the teachers' weights are compared with the student's, before training and again when blocks are merged.
"""

from pathlib import Path
from typing import Any

import numpy as np

from memflow import provenance, subsets
from memflow.provenance import ProvenanceError
from memflow.training import weights
from memflow.training.weights import State


def is_full(spec: dict[str, Any]) -> bool:
    """Whether the teachers of a spec saw the whole training set, as an ablation."""
    return bool(spec["distillation"]["teacher_data"] == "full")


def load(spec: dict[str, Any], fingerprint: str, paths: list[Path], masks: np.ndarray) -> tuple[State, list[str]]:
    """Weights of the teacher of each run of a block of students.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.block_spec`, of students.
    fingerprint : str
        Of the dataset.
    paths : list of Path
        Files of teachers' weights: of the same block of seeds, or where teachers saw the whole training set, of the
        first block of these, which the students take in turn.
    masks : bool[runs, n]
        Of the students.

    Returns
    -------
    state : dict
        Arrays [runs, ...] by name, after the epoch that the spec says.
    learnt_from : list of str
        Digest of what each file holds of that epoch (:func:`memflow.training.weights.digest`).

    Raises
    ------
    ProvenanceError
        If a file is damaged, was not made by the teacher's definition, or a teacher saw another subset than its
        student.
    """
    parts, of_run = [], []
    for path in paths:
        record = provenance.read(path)
        of_run += _check(path, record, spec, fingerprint)
        with np.load(path) as file:
            parts.append(weights.at(spec["distillation"]["teacher_epoch"], {name: file[name] for name in file.files}))
    if not all(parts):
        raise ProvenanceError(
            f"{paths[0]} holds no weights after epoch {spec['distillation']['teacher_epoch']}; delete it and run again"
        )
    teacher_of = _check_masks(paths[0], of_run, spec, masks)
    state = {name: np.concatenate([part[name] for part in parts])[teacher_of] for name in parts[0]}
    return state, [weights.digest(part) for part in parts]


def check_merge(
    spec: dict[str, Any], record: dict[str, Any], path: Path, teachers: list[Path], fingerprint: str, masks: np.ndarray
) -> None:
    """Refuse a block of students whose teachers are not those that the sidecars of the teachers' weights describe.

    Parameters
    ----------
    spec : dict
        Of the students' block.
    record : dict
        Sidecar of the block.
    path : Path
        The block.
    teachers : list of Path
        Files of weights that it was to learn from; only their sidecars need still exist.
    fingerprint : str
    masks : bool[runs, n]

    Raises
    ------
    ProvenanceError
        Naming the block, the teacher's file, and the seed.
    """
    of_run, epoch = [], str(spec["distillation"]["teacher_epoch"])
    for number, teacher in enumerate(teachers):
        of_teacher = provenance.read_sidecar(teacher)
        of_run += _check(teacher, of_teacher, spec, fingerprint)
        if record["learnt_from"][number] != of_teacher["weights"].get(epoch):
            raise ProvenanceError(
                f"{path} learnt from other weights than {teacher} describes (epoch {epoch}); delete the block and run "
                "again"
            )
    _check_masks(teachers[0], of_run, spec, masks)


def _check(path: Path, record: dict[str, Any], spec: dict[str, Any], fingerprint: str) -> list[str]:
    """Mask hashes of the teachers in a file, after checking that it was made as the students' spec says."""
    seeds = [0, spec["distillation"]["teacher_runs"]] if is_full(spec) else spec["seeds"]
    expected = {**spec["teacher"], "fingerprint": fingerprint, "seeds": seeds}
    if differences := provenance.differences(record["definition"], expected):
        raise ProvenanceError(
            f"{path} is no teacher of these students: {'; '.join(differences)}. Delete it and run again"
        )
    return list(record["masks"])


def _check_masks(path: Path, of_run: list[str], spec: dict[str, Any], masks: np.ndarray) -> np.ndarray:
    """Number of each student's teacher, int64[runs], after checking that the teachers saw what they should."""
    full, students = is_full(spec), np.arange(*spec["seeds"])
    teacher_of = students % len(of_run) if full else students - students[0]
    for seed, number, mask in zip(students, teacher_of, masks, strict=True):
        expected = subsets.mask_hash(np.ones_like(mask) if full else mask)
        if of_run[number] != expected:
            wrong = (
                "a part of the training set, not on all of it"
                if full
                else "another subset than its student, and would tell it labels that it must not know"
            )
            raise ProvenanceError(
                f"{path}: the teacher of seed {seed} was trained on {wrong} (mask {of_run[number]}, expected "
                f"{expected}). Delete the file and run again"
            )
    return teacher_of
