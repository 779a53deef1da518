"""Noise: a share of training labels made wrong, or of images made meaningless, as ground truth for memorisation."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from memflow import rng
from memflow.data.prepared import DatasetError, Split, channel_moments

CLEAN_KEY = "clean_label"  # array of the official labels in a file of human labels, as CIFAR-10N and -100N call it


def labels(train: Split, n_classes: int, option: dict[str, Any]) -> np.ndarray:
    """Noisy labels of a training split, int32[n].

    Parameters
    ----------
    train : Split
    n_classes : int
    option : dict
        The dataset's ``label_noise``: ``kind`` and its own keys.

    Raises
    ------
    DatasetError
        If the file of labels is not what the option says, or belongs to another dataset.
    """
    if option["kind"] == "file":
        return from_file(train, n_classes, Path(option["file"]).expanduser(), option["key"])
    return KINDS[option["kind"]](train.labels, n_classes, Fraction(option["fraction"]), option["seed"])


def symmetric(labels: np.ndarray, n_classes: int, fraction: Fraction, seed: int) -> np.ndarray:
    """Labels with a share of them changed to another class, uniformly.

    Parameters
    ----------
    labels : int32[n]
    n_classes : int
    fraction : Fraction
        Share of the labels to change; exactly ``floor(fraction * n)`` of them change.
    seed : int

    Returns
    -------
    int32[n]
    """
    flipped = _which(len(labels), fraction, seed)
    shift = 1 + rng.integers("label noise: to what", (seed, len(labels)), len(labels), n_classes - 1)[flipped]
    return _shifted(labels, flipped, shift, n_classes)


def pair(labels: np.ndarray, n_classes: int, fraction: Fraction, seed: int) -> np.ndarray:
    """Labels with a share of them changed to the next class (the last to the first); as :func:`symmetric`."""
    return _shifted(labels, _which(len(labels), fraction, seed), 1, n_classes)


def from_file(train: Split, n_classes: int, path: Path, key: str) -> np.ndarray:
    """Labels that people gave, such as CIFAR-10N's (Wei et al. 2022), int32[n].

    Parameters
    ----------
    train : Split
        Its ``index`` says which of the file's labels are its own.
    n_classes : int
    path : Path
        ``.npz``, ``.npy`` of one array (its key is ``labels``), or ``.pt`` with a dictionary of arrays, CIFAR-10N's own
        form.
    key : str
        Name of the array in the file. If there is also a ``clean_label``, it must hold the dataset's own labels: a file
        in another order is refused.

    Raises
    ------
    DatasetError
    """
    arrays = read_arrays(path)
    if key not in arrays:
        raise DatasetError(f"{path} has no labels {key!r}; it has {', '.join(sorted(arrays))}")
    noisy = _of_examples(arrays[key], train, path, key)
    if CLEAN_KEY in arrays:
        differing = np.flatnonzero(_of_examples(arrays[CLEAN_KEY], train, path, CLEAN_KEY) != train.labels)
        if len(differing):
            raise DatasetError(
                f"{path}: {CLEAN_KEY} differs from the dataset's labels at {len(differing)} of {len(train)} examples, "
                f"first at index {train.index[differing[0]]}: the file is of another dataset, or in another order"
            )
    if len(noisy) and not 0 <= noisy.min() <= noisy.max() < n_classes:
        raise DatasetError(f"{path}: {key} spans {noisy.min()} to {noisy.max()}; the dataset has {n_classes} classes")
    return noisy.astype(np.int32)


def images(train: Split, replaceable: np.ndarray, n_classes: int, option: dict[str, Any]) -> tuple[Split, np.ndarray]:
    """A training split in which Gaussian noise with an arbitrary label stands for some images.

    Parameters
    ----------
    train : Split
    replaceable : bool[n]
        Examples that may be replaced.
    n_classes : int
    option : dict
        The dataset's ``input_noise``: ``fraction`` of all examples, exactly ``floor(fraction * n)``, and ``seed``.

    Returns
    -------
    train : Split
        The noise has mean and standard deviation of each channel of the training images, clipped to 0 to 255; labels
        are uniform over the classes.
    replaced : bool[n]

    Raises
    ------
    DatasetError
        If fewer examples than that may be replaced.
    """
    n, seed = len(train), option["seed"]
    wanted = int(Fraction(option["fraction"]) * n)
    order = rng.permutation("input noise: which", (seed, n), n)
    chosen = np.sort(order[replaceable[order]][:wanted])
    if len(chosen) < wanted:
        raise DatasetError(
            f"input_noise wants {wanted} of {n} examples, but label_noise leaves only {len(chosen)}; lower a fraction"
        )
    mean, std = channel_moments(train.images)
    shape = train.images.shape[1:]
    pictures, given = train.images.copy(), train.labels.copy()
    for position in chosen:
        normal = ndtri(rng.uniform("input noise: image", (seed, n, int(position)), shape) + 2.0**-54)
        pictures[position] = np.clip(np.round(mean + std * normal), 0, 255).astype(np.uint8)
    given[chosen] = rng.integers("input noise: label", (seed, n), n, n_classes)[chosen]
    return Split(pictures, given, train.index), np.isin(np.arange(n), chosen)


def _which(n: int, fraction: Fraction, seed: int) -> np.ndarray:
    return rng.permutation("label noise: which", (seed, n), n)[: int(fraction * n)]


def _shifted(labels: np.ndarray, which: np.ndarray, shift: np.ndarray | int, n_classes: int) -> np.ndarray:
    noisy = labels.copy()
    noisy[which] = (labels[which] + shift) % n_classes
    return noisy


def read_arrays(path: Path) -> dict[str, Any]:
    """Arrays of a file by name."""
    try:
        if path.suffix == ".pt":
            return _read_torch(path)
        content = np.load(path, allow_pickle=False)
        return {"labels": content} if path.suffix == ".npy" else {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise DatasetError(f"there is no file of labels {path} (label_noise.file)") from None
    except Exception as error:  # damaged archives raise many kinds
        reason = str(error).partition("\n")[0]
        raise DatasetError(f"{path} is not a readable .npz, .npy or .pt file of labels ({reason})") from error


def _read_torch(path: Path) -> dict[str, Any]:
    """A dictionary of NumPy arrays written by torch.save, without running code that the file may hold."""
    import torch

    make: Any = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    made: list[Any] = [(make, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]  # NumPy 1 and 2
    kinds = [f"{kind}{bits}" for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)]
    dtypes = [getattr(np.dtypes, f"{kind}DType") for kind in (*kinds, "Float32", "Float64")]
    with torch.serialization.safe_globals([*made, np.ndarray, np.dtype, *dtypes]):
        content = torch.load(path, weights_only=True)
    return {name: np.asarray(array) for name, array in content.items()}


def _of_examples(array: np.ndarray, train: Split, path: Path, key: str) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) <= train.index.max():
        raise DatasetError(
            f"{path}: {key} is {array.dtype}{list(array.shape)}; expected one whole number for each of the dataset's "
            f"training examples in official order, at least {train.index.max() + 1}"
        )
    return array[train.index]


KINDS = {"symmetric": symmetric, "pair": pair}
