"""A named part of a dataset: some of its classes, some of the images of each."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from memflow import rng
from memflow.data.prepared import DatasetError, Split
from memflow.validation import closest


def choose(train: Split, test: Split, class_names: list[str], option: dict[str, Any]) -> tuple[Split, Split, list[str]]:
    """Some classes of a dataset, some images of each; every image keeps its official index.

    Parameters
    ----------
    train, test : Split
    class_names : list of str
    option : dict
        The dataset's ``subset``: ``classes`` (names, in the order of their new labels; all without it), ``per_class``
        and ``test_per_class`` (images of each class, drawn at random by ``seed``; all without them). More images of a
        class contain the fewer.

    Returns
    -------
    train, test : Split
        In official order.
    class_names : list of str

    Raises
    ------
    DatasetError
        If a class does not exist, shares its name with another, or has too few images.
    """
    labels = list(range(len(class_names)))
    if "classes" in option:
        labels = [_label(str(name), class_names) for name in option["classes"]]
        if len(set(labels)) < len(labels):
            raise DatasetError(f"subset.classes names a class twice: {', '.join(map(str, option['classes']))}")
    names, seed = [class_names[label] for label in labels], option["seed"]
    return (
        _part(train, "train", labels, names, option.get("per_class"), seed),
        _part(test, "test", labels, names, option.get("test_per_class"), seed),
        names,
    )


def _label(name: str, class_names: list[str]) -> int:
    if name not in class_names:
        raise DatasetError(f"subset.classes names {name!r}{closest(name, class_names)}")
    if class_names.count(name) > 1:
        raise DatasetError(f"subset.classes names {name!r}, as {class_names.count(name)} classes are called")
    return class_names.index(name)


def _part(
    split: Split, split_name: str, labels: Sequence[int], names: list[str], per_class: int | None, seed: int
) -> Split:
    chosen, given = [], []
    for new_label, (label, name) in enumerate(zip(labels, names, strict=True)):
        members = np.flatnonzero(split.labels == label)
        if per_class is not None:
            if len(members) < per_class:
                raise DatasetError(
                    f"subset: class {name} has {len(members)} {split_name} images, fewer than the {per_class} asked for"
                )
            members = members[rng.permutation("subset of a dataset", (split_name, seed, label), len(members))]
            members = members[:per_class]
        chosen.append(members)
        given.append(np.full(len(members), new_label, dtype=np.int32))
    positions, renumbered = np.concatenate(chosen), np.concatenate(given)
    order = np.argsort(positions)
    positions = positions[order]
    return Split(split.images[positions], renumbered[order], split.index[positions])
