"""The prepared dataset: one uint8 file in official order, with labels, flags and a fingerprint."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from memflow.errors import InputError
from memflow.files import write_npz

# What is known of each training example besides its image, label and index. No model sees it, so it is not in the
# fingerprint: a better search for duplicates makes no model stale (but those of `subset_unit: group`).
NOISE = ("label_noise", "input_noise", "original_label")
DUPLICATES = ("duplicate_group", "near_duplicate_group", "conflicting_label", "in_test")
FLAGS = (*NOISE, *DUPLICATES, "subpopulation")
CHUNK = 4096  # images whose pixels are counted at once


class DatasetError(InputError):
    """A dataset is missing, damaged, or not what a run expects."""


@dataclass(frozen=True)
class Split:
    """Images of one split, in official order.

    Attributes
    ----------
    images : uint8[n, height, width, channels]
    labels : int32[n]
    index : int32[n]
        Index of each image in the official order of its source.
    """

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset.

    Attributes
    ----------
    train, test : Split
    class_names : list of str
    label_noise : bool[n_train]
        True where the label was changed by the dataset's ``label_noise`` option.
    input_noise : bool[n_train]
        True where the image was replaced by noise, by the dataset's ``input_noise`` option.
    original_label : int32[n_train]
        The label before those changes.
    duplicate_group : int32[n_train]
        Position of the first training image with exactly the same pixels (its own position if it is unique).
    near_duplicate_group : int32[n_train]
        The same for images that are exactly or nearly the same, directly or through others
        (:mod:`memflow.data.hazards`).
    conflicting_label : bool[n_train]
        True where an exact or near duplicate in training had another label, before any label noise.
    in_test : bool[n_train]
        True where the test split has an exact or near duplicate.
    subpopulation : int32[n_train]
        Number of the known part of its class that the image is from, such as a fine class under a coarse label; the
        label before any changes where no parts are known.
    fingerprint : str
        SHA-256 over splits and the number of classes, all that a model sees; computed, never trusted.
    """

    train: Split
    test: Split
    class_names: list[str]
    label_noise: np.ndarray
    input_noise: np.ndarray
    original_label: np.ndarray
    duplicate_group: np.ndarray
    near_duplicate_group: np.ndarray
    conflicting_label: np.ndarray
    in_test: np.ndarray
    subpopulation: np.ndarray
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "fingerprint", _digest(_seen(self)))

    @classmethod
    def unflagged(cls, train: Split, test: Split, class_names: list[str], **flags: np.ndarray) -> "Dataset":
        """A dataset without noise and duplicates, but for the flags that are given."""
        nothing, alone = np.zeros(len(train), dtype=bool), np.arange(len(train), dtype=np.int32)
        defaults: dict[str, Any] = {
            **dict.fromkeys(("label_noise", "input_noise", "conflicting_label", "in_test"), nothing),
            **dict.fromkeys(("duplicate_group", "near_duplicate_group"), alone),
            "original_label": train.labels,
        }
        flags = {**defaults, **flags}
        return cls(train, test, class_names, **{"subpopulation": flags["original_label"], **flags})

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        height, width, channels = self.train.images.shape[1:]
        return channels, height, width


def duplicate_groups(*images: np.ndarray) -> np.ndarray:
    """Position of the first image with exactly the same pixels, int32[n], for images uint8[n, ...].

    Several arrays of images are taken as one, the first one's images first.
    """
    digests = np.array([hashlib.sha256(image.tobytes()).digest() for part in images for image in part], dtype="S32")
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    return first[group].astype(np.int32)


def channel_moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of uint8[n, height, width, c], float64[c] each.

    From exact counts of the 256 levels: a copy of all pixels as float64, as NumPy makes one, would take 10 GB for
    Tiny-ImageNet.
    """
    levels, channels = np.arange(256, dtype=np.float64), range(images.shape[3])
    counts = np.zeros((len(channels), 256), dtype=np.int64)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        counts += [np.bincount(part[..., channel].ravel(), minlength=256) for channel in channels]
    mean = counts @ levels / counts.sum(axis=1)
    return mean, np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1))


def save(dataset: Dataset, path: Path) -> None:
    """Write a prepared dataset, byte for byte the same for the same content."""
    digests = {"fingerprint": dataset.fingerprint, "flags": _digest(_flags(dataset))}
    content = {**_seen(dataset), **_flags(dataset)}
    write_npz(path, content | {name: np.array(digest) for name, digest in digests.items()})


def load(path: Path) -> Dataset:
    """Read a prepared dataset and check it against its fingerprint.

    Raises
    ------
    DatasetError
        If the file is missing, is no prepared dataset, is damaged, or its content does not match its fingerprint.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        dataset = Dataset(
            train=Split(*(arrays[f"train_{part}"] for part in ("images", "labels", "index"))),
            test=Split(*(arrays[f"test_{part}"] for part in ("images", "labels", "index"))),
            class_names=arrays["class_names"].tolist(),
            **{name: arrays[name] for name in FLAGS},
        )
        recorded, recorded_flags = str(arrays["fingerprint"]), str(arrays["flags"])
    except FileNotFoundError:
        raise DatasetError(f"there is no prepared dataset {path}") from None
    except Exception as error:
        raise DatasetError(f"{path} is not a readable prepared dataset ({error}); delete it and run again") from error
    for found, written in ((dataset.fingerprint, recorded), (_digest(_flags(dataset)), recorded_flags)):
        if found != written:
            raise DatasetError(
                f"{path}: the content has fingerprint {found[:12]} but was written as {written[:12]}: the file was "
                "changed after it was prepared; delete it and run again"
            )
    return dataset


def _seen(dataset: Dataset) -> dict[str, np.ndarray]:
    arrays = {"n_classes": np.array(dataset.n_classes)}
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        arrays |= {f"{name}_images": split.images, f"{name}_labels": split.labels, f"{name}_index": split.index}
    return arrays


def _flags(dataset: Dataset) -> dict[str, np.ndarray]:
    return {"class_names": np.array(dataset.class_names), **{name: getattr(dataset, name) for name in FLAGS}}


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _check(dataset: Dataset) -> None:
    n_classes = len(dataset.class_names)
    if n_classes < 2:
        raise DatasetError(f"the dataset has {n_classes} class; a classifier needs at least 2")
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        if split.images.dtype != np.uint8 or split.images.ndim != 4:
            raise DatasetError(
                f"{name} images are {split.images.dtype}{list(split.images.shape)}; "
                "expected uint8[n, height, width, channels]"
            )
        if not len(split.images) == len(split.labels) == len(split.index):
            raise DatasetError(
                f"{name} split: {len(split.images)} images, {len(split.labels)} labels and {len(split.index)} indices"
            )
        if len(split) and not 0 <= split.labels.min() <= split.labels.max() < n_classes:
            raise DatasetError(
                f"{name} labels span {split.labels.min()} to {split.labels.max()}; "
                f"with {n_classes} class names they must lie in 0 to {n_classes - 1}"
            )
    if dataset.train.images.shape[1:] != dataset.test.images.shape[1:]:
        raise DatasetError(
            f"train images are {dataset.train.images.shape[1:]} and test images {dataset.test.images.shape[1:]}"
        )
    for name in FLAGS:
        if len(getattr(dataset, name)) != len(dataset.train):
            raise DatasetError(f"{name} has {len(getattr(dataset, name))} entries for {len(dataset.train)} examples")
