"""Checks of class labels that all sources share."""

import numpy as np

from memflow.data.prepared import DatasetError, Split


def split(images: np.ndarray, labels: np.ndarray) -> Split:
    """A whole split in its official order, from images uint8[n, h, w, c] and integer labels[n]."""
    return Split(images, labels.astype(np.int32), np.arange(len(labels), dtype=np.int32))


def check_range(labels: np.ndarray, n_classes: int, where: str) -> None:
    """Refuse labels outside 0 to ``n_classes - 1``, with the count and the first position.

    Raises
    ------
    DatasetError
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        unlabelled = "; -1 often means unlabelled" if labels[wrong[0]] == -1 else ""
        raise DatasetError(
            f"{where}: {len(wrong)} of {len(labels)} labels are outside 0 to {n_classes - 1}, the first is "
            f"{labels[wrong[0]]} at position {wrong[0]}{unlabelled}"
        )


def class_names(train: np.ndarray, test: np.ndarray, names: list[str] | None) -> list[str]:
    """Names of the classes of integer labels, which must be 0 to k - 1 with every class in train.

    Parameters
    ----------
    train, test : int[n]
    names : list of str, optional
        If not given, the names are the numbers in train.

    Raises
    ------
    DatasetError
        If a split is empty, a label is out of range, a class has no training image or a name is used twice.
    """
    for where, labels in (("train", train), ("test", test)):
        if not len(labels):
            raise DatasetError(f"{where} has no images")
    if names is not None and len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DatasetError(f"class names must differ from each other; used more than once: {', '.join(twice)}")
    n_classes = max(int(train.max()) + 1, 1) if names is None else len(names)
    for where, labels in (("train", train), ("test", test)):
        check_range(labels, n_classes, where)
    _check_gaps(train, n_classes)
    return [str(number) for number in range(n_classes)] if names is None else names


def _check_gaps(labels: np.ndarray, n_classes: int) -> None:
    """Refuse classes without training images; the largest label may be any number, so nothing is as long as that."""
    present = np.unique(labels)
    if missing := n_classes - len(present):
        first = int(np.argmin(np.append(present, -1) == np.arange(len(present) + 1)))
        others = f" and {missing - 1} others" if missing > 1 else ""
        raise DatasetError(
            f"train has no image with label {first}{others}, but labels must be 0 to {n_classes - 1} without a gap"
        )
