"""Are the rows of a reference the examples of the study, in its order? Their labels tell, and often what is wrong."""

from collections.abc import Iterator

import numpy as np

from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.study import OpenStudy
from memflow.validate.reference import Reference

FEW = 0.1  # share of labels that may differ and still be called changed labels rather than another order


def rows(study: OpenStudy, name: str, reference: Reference, trust: bool = False) -> tuple[np.ndarray, str]:
    """Which row of the reference each training example of a dataset is.

    Parameters
    ----------
    study : OpenStudy
    name : str
        Of the dataset.
    reference : Reference
    trust : bool
        Take a reference without labels.

    Returns
    -------
    int64[n]
        -1 for an example that the reference does not have.
    str
        How the order was checked, in words.

    Raises
    ------
    InputError
        If the labels differ, with the number of places and the likely reason; if there are no labels to check, or no
        such examples.
    """
    dataset = study.dataset(name)
    found, matched = _match(study, name, reference)
    if reference.labels is None:
        if not trust:
            raise InputError(
                "the reference has no labels, so that nothing says whether its rows are the examples of "
                f"{name} in their official order; add them (--label names the column), or say --trust-order"
            )
        return found, f"{matched}; order not checked, for the reference has no labels"
    common = found >= 0
    expected, actual = dataset.train.labels[common], reference.labels[found[common]]
    if wrong := int((expected != actual).sum()):
        reason = next(_reasons(study, name, common, actual), "no simple reordering explains it")
        raise InputError(
            f"the labels of the reference and of {name} differ at {wrong:,} of {len(expected):,} examples: {reason}"
        )
    return found, f"{matched}; order checked by the labels, which are all the same"


def _match(study: OpenStudy, name: str, reference: Reference) -> tuple[np.ndarray, str]:
    dataset = study.dataset(name)
    index, n = dataset.train.index, len(dataset.train)
    if reference.index is not None:
        return _by_index(name, index, reference.index)
    if len(reference) == n:
        return np.arange(n), "rows in the order of the study"
    if index.max() < len(reference):
        return index.astype(np.int64), f"the study's {n:,} examples among {len(reference):,}, by official index"
    reason = next(_other_labels(study, name, reference.labels), "it is of another dataset, split or part of it")
    raise InputError(
        f"the reference has {len(reference):,} rows, and {name} {n:,} training examples: {reason}; a table with a "
        "column of indices in the official order may have any rows"
    )


def _by_index(name: str, index: np.ndarray, of_reference: np.ndarray) -> tuple[np.ndarray, str]:
    if len(np.unique(of_reference)) < len(of_reference):
        raise InputError("the reference has more than one row for some index; it must have one per example")
    order = np.argsort(of_reference)
    place = np.clip(np.searchsorted(of_reference[order], index), 0, len(order) - 1)
    found = np.where(of_reference[order][place] == index, order[place], -1)
    common = int((found >= 0).sum())
    if common < 2:
        raise InputError(
            f"the reference has {common} of the {len(index):,} training examples of {name}, whose indices lie between "
            f"{index.min()} and {index.max()}; its own lie between {of_reference.min()} and {of_reference.max()}"
        )
    return found, f"{common:,} of {len(index):,} examples in common, by official index"


def _reasons(study: OpenStudy, name: str, common: np.ndarray, actual: np.ndarray) -> Iterator[str]:
    """What may be the matter with labels that are not those of the dataset, the surest first."""
    dataset = study.dataset(name)
    original, labels = dataset.original_label[common], dataset.train.labels[common]
    if (actual == original).all():
        yield (
            "they are the labels before the study's label noise; compare with a study without it, or leave out the "
            "flipped examples"
        )
    for these, noise in ((labels, ""), (original, ", with the labels before the study's label noise")):
        yield from (f"{reason}{noise}" for reason in _reordered(dataset, these, actual))
    yield from _other_labels(study, name, actual)
    if (changed := int((labels != actual).sum())) <= FEW * len(labels):
        yield f"the order seems right, and {changed:,} labels were changed in one of the two"
    if np.array_equal(np.sort(labels), np.sort(actual)):
        yield "each class has as many examples in both: the same examples, it seems, in another order; give their index"


def _reordered(dataset: Dataset, labels: np.ndarray, actual: np.ndarray) -> Iterator[str]:
    names = np.array(dataset.class_names)[labels]
    if np.array_equal(actual, labels[::-1]):
        yield "the rows of the reference are those of the study in reverse"
    if np.array_equal(actual, np.sort(labels)):
        yield "the rows of the reference are sorted by class, within each class probably in the study's order"
    if np.array_equal(actual, labels[np.argsort(names, kind="stable")]):
        yield (
            "the rows of the reference are sorted by the name of the class, as an image folder is, within each class "
            "perhaps in another order"
        )
    if renumbered := _renumbering(labels, actual):
        yield f"the order seems right, and the classes are numbered differently ({renumbered})"


def _renumbering(labels: np.ndarray, actual: np.ndarray) -> str:
    """How classes were renumbered, if each became another one as a whole; empty otherwise."""
    pairs = np.unique(np.stack([labels, actual]), axis=1)
    if len(np.unique(pairs[0])) < pairs.shape[1] or len(np.unique(pairs[1])) < pairs.shape[1] or pairs.shape[1] < 2:
        return ""
    changed = [f"{mine} is {theirs} there" for mine, theirs in pairs.T if mine != theirs]
    return ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")


def _other_labels(study: OpenStudy, name: str, actual: np.ndarray | None) -> Iterator[str]:
    """Which split of which dataset of the study some labels are of."""
    for other in study.datasets:
        for split in ("train", "test"):
            labels = getattr(study.dataset(other), split).labels
            if actual is not None and (other, split) != (name, "train") and np.array_equal(labels, actual):
                whose = "the test split" if split == "test" else "the training examples"
                yield f"these are the labels of {whose} of {other}"
