"""What a block file holds: the outcome of each run for every example, as packed bits."""

from fractions import Fraction
from typing import Any

import numpy as np

from memflow import subsets
from memflow.data.prepared import Dataset
from memflow.errors import InputError

PACKED = ("train_correct", "test_correct")
SHARED = ("epochs", "parameters")  # the same for every run
SUMMED = ("probabilities",)  # over the runs
LEVELS = 2**16 - 1  # of a probability


def block_masks(spec: dict[str, Any], dataset: Dataset, seeds: range) -> np.ndarray:
    """Masks of some seeds of a spec, bool[len(seeds), n_train]; all True for the design ``whole``.

    Raises
    ------
    InputError
        If there are fewer examples than runs in a balanced group.
    """
    if spec["design"] == "whole":
        return np.ones((len(seeds), len(dataset.train)), dtype=bool)
    by_example = spec["subset_unit"] == "example"
    units = np.arange(len(dataset.train)) if by_example else dataset.near_duplicate_group
    size, available = subsets.group_size(spec["design"], Fraction(spec["ratio"])), len(np.unique(units))
    if available < size:
        raise InputError(
            f"the training set has {available} {'examples' if by_example else 'groups of duplicates'}, fewer than the "
            f"{size} runs of a balanced group at ratio {spec['ratio']}; use more examples, a ratio with a smaller "
            "denominator, or `design: iid`"
        )
    return subsets.masks(spec["design"], Fraction(spec["ratio"]), seeds, units)


def pack(outcome: dict[str, np.ndarray], masks: np.ndarray) -> dict[str, np.ndarray]:
    """An outcome with packed bits, and the accuracies that the bits give.

    Parameters
    ----------
    outcome : dict
        From a learner: ``train_correct`` bool[runs, E, n_train], ``test_correct`` bool[runs, E, n_test] and others.
    masks : bool[runs, n_train]

    Returns
    -------
    dict
        The correctness as uint8[runs, E, ceil(n / 8)], and ``accuracy`` float32[runs, E, 3]: in-sample, out-of-sample,
        test; NaN where there is nothing out-of-sample.
    """
    train, test = outcome["train_correct"], outcome["test_correct"]
    inside = masks[:, None]
    accuracy = [_mean(train, inside), _mean(train, ~inside), test.mean(axis=-1)]
    packed = {name: np.packbits(outcome[name], axis=-1) for name in PACKED}
    return {**outcome, **packed, "accuracy": np.stack(accuracy, axis=-1).astype(np.float32)}


def unpack(bits: np.ndarray, n: int) -> np.ndarray:
    """Correctness from packed bits, bool[..., n]."""
    return np.unpackbits(bits, axis=-1, count=n).view(bool)


def join(units: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Packed outcomes one after the other along the runs; of what is a sum over runs, the sum."""
    joined: dict[str, np.ndarray] = {}
    for name in sorted(units[0]):
        parts = [unit[name] for unit in units]
        if name in SUMMED:
            joined[name] = np.stack(parts).sum(axis=0, dtype=np.uint32)
        else:
            joined[name] = parts[0] if name in SHARED else np.concatenate(parts)
    return joined


def _mean(correct: np.ndarray, where: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (correct & where).sum(axis=-1) / where.sum(axis=-1)
