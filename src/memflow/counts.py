"""Stage counts: merge the blocks of one dataset, architecture and method into counts of correct predictions.

Merging is a sum, streamed block by block. Counts are kept per group of runs that were drawn together, since the
group is the unit of every resampling (see :mod:`memflow.statistics.resampling`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from memflow import provenance, subsets, teachers
from memflow.data import prepared
from memflow.files import sha256, write_npz
from memflow.provenance import ProvenanceError
from memflow.training.outcomes import SHARED, block_masks, unpack

log = logging.getLogger(__name__)

HALVES = ("even", "odd")  # groups; what is selected on one half is measured on the other
MARKS = (
    "duplicate_group",
    "near_duplicate_group",
    "conflicting_label",
    "in_test",
    "label_noise",
    "input_noise",
    "subpopulation",
)


@dataclass(frozen=True)
class Counts:
    """Merged outcomes of K runs in G groups; n training examples, E evaluated epochs.

    Attributes
    ----------
    correct_in, correct_out : uint8 or uint16[G, n]
        Runs of the group, with the example in-sample or out-of-sample, that classified it correctly (last epoch).
    n_in, n_out : uint8 or uint16[G, n]
        Runs of the group that had the example in-sample or out-of-sample.
    correct_test : uint8 or uint16[G, n_test]
        Runs of the group that classified the test example correctly (last epoch).
    group_size : int
        Runs in a group.
    epochs : int32[E]
    epoch_correct_in, epoch_correct_out : uint32[E, 2, n]
        As above, summed over the even and over the odd groups, at every evaluated epoch.
    accuracy, losses : float32[K, E, 3]
        Of each run: in-sample, out-of-sample, test. Losses are NaN for learners without them.
    converged : bool[K]
        Whether the run's in-sample accuracy reached the recipe's target at the last epoch.
    parameters : int
        Size of one network; 0 for learners that are no networks.
    index, label : int32[n]
    duplicate_group, near_duplicate_group : int32[n]
    conflicting_label, in_test, label_noise, input_noise : bool[n]
    subpopulation : int32[n]
        See :class:`memflow.data.prepared.Dataset`.
    """

    correct_in: np.ndarray
    correct_out: np.ndarray
    n_in: np.ndarray
    n_out: np.ndarray
    correct_test: np.ndarray
    group_size: int
    epochs: np.ndarray
    epoch_correct_in: np.ndarray
    epoch_correct_out: np.ndarray
    accuracy: np.ndarray
    losses: np.ndarray
    converged: np.ndarray
    parameters: int
    index: np.ndarray
    label: np.ndarray
    duplicate_group: np.ndarray
    near_duplicate_group: np.ndarray
    conflicting_label: np.ndarray
    in_test: np.ndarray
    label_noise: np.ndarray
    input_noise: np.ndarray
    subpopulation: np.ndarray

    @property
    def n_groups(self) -> int:
        return self.correct_in.shape[0]

    @property
    def n_examples(self) -> int:
        return self.correct_in.shape[1]

    def accuracies(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """In- and out-of-sample accuracy of every example from weighted groups.

        Parameters
        ----------
        weights : int64[..., G]
            How often each group counts: ones, the ones of a half, or a resample.

        Returns
        -------
        acc_in, acc_out : float64[..., n]
            NaN where the example is never in-sample (or never out-of-sample) in the groups that count.
        """
        weights = weights.astype(np.float64)  # for BLAS; the sums are integers far below 2**53
        with np.errstate(invalid="ignore", divide="ignore"):
            acc_in = (weights @ self.correct_in) / (weights @ self.n_in)
            acc_out = (weights @ self.correct_out) / (weights @ self.n_out)
        return acc_in, acc_out

    @property
    def is_artificial(self) -> np.ndarray:
        """Examples whose label or image was changed on purpose, bool[n]."""
        return self.label_noise | self.input_noise

    @property
    def is_balanced(self) -> bool:
        """Whether every example is in-sample equally often in every group, and out-of-sample too."""
        return all((values == values[0, 0]).all() for values in (self.n_in, self.n_out))

    def memorisation(self, weights: np.ndarray) -> np.ndarray:
        """Scores ``acc_in − acc_out``, float64[..., n]; see :meth:`accuracies`."""
        acc_in, acc_out = self.accuracies(weights)
        return acc_in - acc_out

    def means(self, weights: np.ndarray) -> np.ndarray:
        """Mean score, in-sample and out-of-sample accuracy over the examples, from weighted groups.

        Parameters
        ----------
        weights : int64[R, G]
            As in :meth:`accuracies`, in each of R resamples.

        Returns
        -------
        float64[R, 3]
            Each mean over the examples that have the value.
        """
        if self.is_balanced:  # then the means are those of the groups' own means
            acc_in = self.correct_in.mean(axis=1) / self.n_in[0, 0]
            acc_out = self.correct_out.mean(axis=1) / self.n_out[0, 0]
            by_group = np.stack([acc_in - acc_out, acc_in, acc_out], axis=1)
            return weights @ by_group / weights.sum(axis=1, keepdims=True)
        acc_in, acc_out = self.accuracies(weights)
        return np.stack([np.nanmean(values, axis=-1) for values in (acc_in - acc_out, acc_in, acc_out)], axis=-1)

    def scores(self) -> np.ndarray:
        """Scores from all groups, float64[n]; as :meth:`memorisation`, without a weight for each group."""
        correct_in, n_in, correct_out, n_out = self.totals()
        with np.errstate(invalid="ignore", divide="ignore"):
            return correct_in / n_in - correct_out / n_out

    def contributions(self) -> np.ndarray:
        """What each group adds to the score beyond the mean, float64[G, n]; the groups' mean is zero.

        The score's linear expansion: ``G · ((k_in − acc_in · n_in) / N_in − (k_out − acc_out · n_out) / N_out)``, where
        k and n are the group's and N all groups' numbers. Balanced groups contribute their own score minus the score.
        """
        correct_in, n_in, correct_out, n_out = self.totals()
        inside = (self.correct_in - correct_in / n_in * self.n_in) / n_in
        outside = (self.correct_out - correct_out / n_out * self.n_out) / n_out
        return self.n_groups * (inside - outside)

    def totals(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """``correct_in``, ``n_in``, ``correct_out`` and ``n_out`` of all groups together, int64[n] each."""
        by_group = (self.correct_in, self.n_in, self.correct_out, self.n_out)
        correct_in, n_in, correct_out, n_out = (values.sum(axis=0, dtype=np.int64) for values in by_group)
        return correct_in, n_in, correct_out, n_out

    def select(self, where: np.ndarray) -> "Counts":
        """The same runs, described on some training examples only (bool[n], or positions)."""
        by_example = ("correct_in", "correct_out", "n_in", "n_out", "epoch_correct_in", "epoch_correct_out")
        # NumPy gives a selection the layout that is quickest to fill; sums over groups would then be slow
        chosen: dict[str, Any] = {
            name: np.ascontiguousarray(getattr(self, name)[..., where])
            for name in (*by_example, "index", "label", *MARKS)
        }
        return replace(self, **chosen)

    def only(self, groups: np.ndarray) -> "Counts":
        """The same examples, after the runs of some groups only (bool[G]); not at earlier epochs."""
        runs = np.repeat(groups, self.group_size)
        by_group = ("correct_in", "correct_out", "n_in", "n_out", "correct_test")
        by_run = ("accuracy", "losses", "converged")
        return replace(
            self,
            **{name: getattr(self, name)[groups] for name in by_group},
            **{name: getattr(self, name)[runs] for name in by_run},
        )

    def halves(self) -> "tuple[Counts, Counts]":
        """The even and the odd groups; see :meth:`only`."""
        parity = np.arange(self.n_groups) % 2
        return self.only(parity == 0), self.only(parity == 1)


def load(path: Path) -> Counts:
    """Read a counts file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    scalars: dict[str, Any] = {name: int(arrays.pop(name)) for name in ("group_size", "parameters")}
    return Counts(**arrays, **scalars)


def load_last(path: Path) -> Counts:
    """Counts without the earlier epochs, which would be copied with every selection of examples."""
    merged = load(path)
    last = {name: getattr(merged, name)[-1:].copy() for name in ("epochs", "epoch_correct_in", "epoch_correct_out")}
    return replace(merged, **last)


def run(
    spec: dict[str, Any], dataset_path: Path, blocks: list[Path], output: Path, weights: Sequence[Path] = ()
) -> None:
    """Merge the blocks of a spec.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.counts_spec`.
    dataset_path : Path
        Prepared dataset.
    blocks : list of Path
        Block files in the order of their seeds.
    output : Path
        Counts file to write; see :class:`Counts`.
    weights : sequence of Path
        Of distilled students: the files of their teachers' weights, in the order of the blocks, or where these saw the
        whole training set, of their first block. Only their sidecars need still exist.

    Raises
    ------
    ProvenanceError
        If a block is missing, damaged, or was not made by this study's definition, or a student's teacher saw another
        subset than the student; the message names it.
    """
    started = provenance.now()
    dataset = prepared.load(dataset_path)
    planned = planned_seeds(blocks, spec["seeds"], spec["block_size"])
    group_size = subsets.group_size(spec["runs"]["design"], Fraction(spec["runs"]["ratio"]))
    records: list[dict[str, Any]] = []
    parts = []
    for number, (path, seeds) in enumerate(zip(blocks, planned, strict=True)):
        masks = block_masks(spec["runs"], dataset, seeds)
        records.append(check_block(path, spec["runs"], dataset.fingerprint, seeds, masks))
        if "teacher" in spec["runs"]:
            of_block = list(weights) if teachers.is_full(spec["runs"]) else [weights[number]]
            block = {**spec["runs"], "seeds": [seeds.start, seeds.stop]}
            teachers.check_merge(block, records[-1], path, of_block, dataset.fingerprint, masks)
        with np.load(path) as outcome:
            parts.append(count(outcome, masks, len(dataset.test), group_size, first_group=seeds.start // group_size))
    made_under = conditions(records, blocks, uniform=spec["require_uniform_device"])
    accuracy = np.concatenate([part["accuracy"] for part in parts])
    write_npz(
        output,
        {
            **merge(parts),
            "group_size": np.array(group_size),
            "converged": accuracy[:, -1, 0] >= spec["target_accuracy"],
            "index": dataset.train.index,
            "label": dataset.train.labels,
            **{name: getattr(dataset, name) for name in MARKS},
        },
    )
    inputs = {path: record["outputs"][path.name] for path, record in zip(blocks, records, strict=True)}
    provenance.write(
        [output],
        {**spec, "fingerprint": dataset.fingerprint},
        inputs={dataset_path: sha256(dataset_path), **inputs},
        started=started,
        details={"runs_made_under": made_under},
    )


def count(
    outcome: Mapping[str, np.ndarray], masks: np.ndarray, n_test: int, group_size: int, first_group: int
) -> dict[str, np.ndarray]:
    """Counts of one block.

    Parameters
    ----------
    outcome : mapping
        Content of a block file; see :func:`memflow.training.blocks.run`.
    masks : bool[runs, n]
    n_test : int
    group_size : int
        Runs in a group; the block holds whole groups.
    first_group : int
        Index of the block's first group in the study: its parity decides the half it belongs to.

    Returns
    -------
    dict
        The arrays of :class:`Counts` that :func:`merge` joins.
    """
    n_epochs, n = len(outcome["epochs"]), masks.shape[1]
    parity = (first_group + np.arange(len(masks) // group_size)) % 2
    train_bits = outcome["train_correct"]
    by_epoch = {name: np.zeros((n_epochs, 2, n), dtype=np.uint32) for name in ("in", "out")}
    for epoch in range(n_epochs):
        correct = unpack(train_bits[:, epoch], n)
        inside, outside = _by_group(correct & masks, group_size), _by_group(correct & ~masks, group_size)
        for half in (0, 1):
            by_epoch["in"][epoch, half] = inside[parity == half].sum(axis=0, dtype=np.uint32)
            by_epoch["out"][epoch, half] = outside[parity == half].sum(axis=0, dtype=np.uint32)
    test_correct = unpack(outcome["test_correct"][:, -1], n_test)
    accuracy = outcome["accuracy"]
    return {
        "correct_in": inside,
        "correct_out": outside,
        "n_in": _by_group(masks, group_size),
        "n_out": _by_group(~masks, group_size),
        "correct_test": _by_group(test_correct, group_size),
        "epochs": outcome["epochs"],
        "epoch_correct_in": by_epoch["in"],
        "epoch_correct_out": by_epoch["out"],
        "accuracy": accuracy,
        "losses": outcome["losses"] if "losses" in outcome else np.full_like(accuracy, np.nan),
        "parameters": outcome["parameters"] if "parameters" in outcome else np.array(0),
    }


def merge(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join counts of consecutive blocks: groups and runs one after the other, epoch totals added."""
    joined: dict[str, Any] = {}
    for name, first in parts[0].items():
        if name in SHARED:
            joined[name] = first
        elif name.startswith("epoch_"):
            joined[name] = np.sum([part[name] for part in parts], axis=0, dtype=np.uint32)
        else:
            joined[name] = np.concatenate([part[name] for part in parts])
    return joined


def planned_seeds(blocks: Sequence[Path], seeds: int, block_size: int, name: str = "seeds") -> list[range]:
    """Seeds of each block; ``name`` is what the message calls them.

    Raises
    ------
    ProvenanceError
        If there are not as many files as blocks.
    """
    planned = [range(start, start + block_size) for start in range(0, seeds, block_size)]
    if len(blocks) != len(planned):
        raise ProvenanceError(f"{len(blocks)} block files for {len(planned)} blocks of {block_size} {name}")
    return planned


def check_block(path: Path, runs: dict[str, Any], fingerprint: str, seeds: range, masks: np.ndarray) -> dict[str, Any]:
    """The sidecar of a block, after checking that the block belongs into a merge.

    Raises
    ------
    ProvenanceError
        If the file is not what its sidecar says, or the sidecar's definition or masks are not the expected ones.
    """
    record = provenance.read(path)
    expected = {**runs, "seeds": [seeds.start, seeds.stop], "fingerprint": fingerprint}
    differences = provenance.differences(record["definition"], expected)
    if differences:
        raise ProvenanceError(
            f"{path} does not belong to this study: {'; '.join(differences)}. Delete it and run again to train it anew"
        )
    if record.get("masks") != [subsets.mask_hash(mask) for mask in masks]:
        raise ProvenanceError(f"{path} was trained on other subsets than its seeds define; delete it and run again")
    return record


def _by_group(values: np.ndarray, group_size: int) -> np.ndarray:
    """Sums over the runs of each group, uint8 or uint16[groups, n], of bool[runs, n]."""
    dtype = np.uint8 if group_size < 256 else np.uint16
    return values.view(np.uint8).reshape(-1, group_size, values.shape[1]).sum(axis=1, dtype=dtype)


def conditions(records: list[dict[str, Any]], blocks: list[Path], uniform: bool) -> list[dict[str, Any]]:
    """The distinct bit conditions of the blocks; more than one is reported, and refused if the study says so."""
    distinct: list[dict[str, Any]] = []
    for record, path in zip(records, blocks, strict=True):
        if record["bit_conditions"] in distinct:
            continue
        if distinct:
            message = f"{path}: {'; '.join(provenance.differences(record['bit_conditions'], distinct[0]))}"
            if uniform:
                raise ProvenanceError(f"{message}. The study has require_uniform_device: true")
            log.warning("runs were made under different conditions: %s", message)
        distinct.append(record["bit_conditions"])
    return distinct
