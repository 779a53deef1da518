"""Superclasses: classes of a dataset under common labels, some of them thinned, as known sub-populations of a label."""

from fractions import Fraction
from typing import Any

import numpy as np

from memflow import rng
from memflow.data.prepared import DatasetError, Split
from memflow.validation import closest


def merge(
    train: Split, test: Split, class_names: list[str], option: dict[str, Any]
) -> tuple[Split, Split, list[str], np.ndarray]:
    """Classes under common labels; every image keeps its official index, and it stays known which class it is of.

    Parameters
    ----------
    train, test : Split
    class_names : list of str
    option : dict
        The dataset's ``superclasses``: ``classes`` (by name of the superclass, share of the training images to keep by
        name of the class) and ``seed`` (which ones are kept). Larger shares of a class contain the smaller ones.

    Returns
    -------
    train, test : Split
        In official order, without the classes that are not named. All test images of the others.
    names : list of str
        Superclasses in alphabetical order, which is the order of their labels: a mapping has none of its own.
    subpopulation : int32[n_train]
        Position of each training image's class in ``class_names``.

    Raises
    ------
    DatasetError
        If there are fewer than two superclasses, one is empty, a class does not exist, shares its name with another or
        is named twice, or a share is not in ]0, 1] or so small that no image of a class is left.
    """
    wanted = option["classes"]
    names = sorted(wanted)
    if len(names) < 2:
        raise DatasetError(f"superclasses.classes has {names or 'nothing'}; a classifier needs at least 2 superclasses")
    superclass = _superclass_of(wanted, names, class_names)
    kept = np.zeros(len(train), dtype=bool)
    for name in names:
        for class_name, share in wanted[name].items():
            members = np.flatnonzero(train.labels == class_names.index(class_name))
            key = f"superclasses.classes.{name}.{class_name}"
            kept[_thinned(members, class_name, _share(share, key), option["seed"], key)] = True
    return (
        _part(train, kept, superclass),
        _part(test, superclass[test.labels] >= 0, superclass),
        names,
        train.labels[kept],
    )


def _superclass_of(wanted: dict[str, dict[str, Any]], names: list[str], class_names: list[str]) -> np.ndarray:
    """Label of the superclass of each class, int32[n_classes]; -1 for a class that is not named."""
    superclass = np.full(len(class_names), -1, dtype=np.int32)
    for label, name in enumerate(names):
        if not wanted[name]:
            raise DatasetError(f"superclasses.classes.{name} names no class")
        for class_name in wanted[name]:
            key = f"superclasses.classes.{name}"
            if class_name not in class_names:
                raise DatasetError(f"{key} names {class_name!r}{closest(class_name, class_names)}")
            if class_names.count(class_name) > 1:
                raise DatasetError(f"{key} names {class_name!r}, as {class_names.count(class_name)} classes are called")
            position = class_names.index(class_name)
            if superclass[position] >= 0:
                raise DatasetError(f"{key} names {class_name!r}, which is in {names[superclass[position]]!r} already")
            superclass[position] = label
    return superclass


def _share(value: object, key: str) -> Fraction:
    try:
        share = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share <= 1:
        raise DatasetError(f"{key} is {value!r}; it must be a share above 0 and at most 1, such as 1/4")
    return share


def _thinned(members: np.ndarray, class_name: str, share: Fraction, seed: int, key: str) -> np.ndarray:
    n = int(share * len(members))
    if not n:
        raise DatasetError(f"{key} is {share}, which leaves none of its {len(members)} training images")
    return members[rng.permutation("superclasses of a dataset", (seed, class_name), len(members))[:n]]


def _part(split: Split, kept: np.ndarray, superclass: np.ndarray) -> Split:
    return Split(split.images[kept], superclass[split.labels[kept]], split.index[kept])
