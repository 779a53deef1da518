"""How many images of what shape a dataset has: from its prepared file, or as published, or else by preparing it."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memflow import disk, provenance
from memflow.config import Study
from memflow.errors import InputError

SUPERCLASSES = 20  # of CIFAR-100, its `labels: coarse`
BALANCED = {"cifar10", "cifar100", "fashion-mnist", "tiny-imagenet"}  # sources with as many images of every class


@dataclass(frozen=True)
class Sizes:
    """Of one dataset.

    Attributes
    ----------
    n_train, n_test : int
    image_shape : tuple of int
        Channels, height, width.
    n_classes : int
    path : Path or None
        Prepared file that the sizes were read from; None if they are the published ones.
    """

    n_train: int
    n_test: int
    image_shape: tuple[int, int, int]
    n_classes: int
    path: Path | None = None

    @property
    def bytes(self) -> int:
        """Of the prepared file."""
        if self.path:
            return self.path.stat().st_size
        return disk.data_bytes(self.n_train, self.n_test, int(np.prod(self.image_shape)))


PUBLISHED = {
    "cifar10": Sizes(50_000, 10_000, (3, 32, 32), 10),
    "cifar100": Sizes(50_000, 10_000, (3, 32, 32), 100),
    "mnist": Sizes(60_000, 10_000, (1, 28, 28), 10),
    "fashion-mnist": Sizes(60_000, 10_000, (1, 28, 28), 10),
    "svhn": Sizes(73_257, 26_032, (3, 32, 32), 10),
    "tiny-imagenet": Sizes(100_000, 10_000, (3, 64, 64), 200),
}


def of(study: Study, dataset: str, results: Path, folder: Path) -> Sizes:
    """Sizes of a dataset of a study.

    A dataset that is not prepared yet and has published sizes is not prepared for them: that may be a download.

    Parameters
    ----------
    study : Study
    dataset : str
    results : Path
        Folder of the study's results.
    folder : Path
        Where to prepare what has no published sizes.

    Raises
    ------
    InputError
        If the dataset cannot be loaded, or its prepared file is damaged.
    """
    spec, path = study.prepare_spec(dataset), results / "data" / f"{dataset}.npz"
    if made_from(path, spec):
        return read(path)
    if known := published(spec["dataset"]):
        return known
    from memflow.data import prepare

    path = folder / f"{dataset}.npz"
    prepare.run(spec, path)
    return read(path)


def published(entry: dict[str, Any]) -> Sizes | None:
    """Published sizes of a config's dataset, of the part that its ``subset`` takes; None if they are not known."""
    if entry["source"] not in PUBLISHED:
        return None
    if "superclasses" in entry:
        return None  # a share of each class, whose sizes are not all published
    whole, part = PUBLISHED[entry["source"]], entry.get("subset", {})
    classes = SUPERCLASSES if entry.get("labels") == "coarse" else whole.n_classes
    chosen = len(part["classes"]) if "classes" in part else classes
    n_train, n_test = (
        _examples(n, classes, chosen, part.get(key), entry["source"] in BALANCED)
        for n, key in ((whole.n_train, "per_class"), (whole.n_test, "test_per_class"))
    )
    return Sizes(n_train, n_test, whole.image_shape, chosen) if n_train and n_test else None


def _examples(n: int, classes: int, chosen: int, per_class: int | None, balanced: bool) -> int | None:
    """Examples of the chosen classes; None if that depends on which classes they are."""
    if per_class is not None:
        return chosen * per_class
    return n // classes * chosen if balanced else n if chosen == classes else None


def read(path: Path) -> Sizes:
    """Sizes of a prepared dataset, without reading its images."""
    try:
        with np.load(path) as file:
            n_train, n_test, n_classes = (len(file[name]) for name in ("train_labels", "test_labels", "class_names"))
        height, width, channels = _shape(path, "train_images")[1:]
    except Exception as error:  # a damaged archive raises many kinds
        raise InputError(f"{path} is not a readable prepared dataset ({error}); delete it") from None
    return Sizes(n_train, n_test, (channels, height, width), n_classes, path)


def _shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of an array in an ``.npz``, from its header."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        np.lib.format.read_magic(member)
        return np.lib.format.read_array_header_1_0(member)[0]


def made_from(output: Path, spec: dict[str, Any]) -> bool:
    """Whether an output exists and its sidecar says that it was made from this spec."""
    try:
        definition = json.loads(provenance.sidecar(output).read_text(encoding="utf-8"))["definition"]
        return output.is_file() and {**definition, **spec} == definition
    except (OSError, ValueError, KeyError, TypeError):
        return False
