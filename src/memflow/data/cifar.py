"""CIFAR-10 and CIFAR-100 in the Python version, from the unpacked folder or straight from the official archive.

Names, checksums and addresses of the files are torchvision's; the order is theirs too: training batches 1 to 5, then
test, each as its file has it.
"""

import pickle
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from memflow.data import labels as label_checks
from memflow.data.official import (
    AbsentError,
    DamagedError,
    OfficialFile,
    Publication,
    data_root,
    obtain,
    verified,
)
from memflow.data.prepared import DatasetError, Split
from memflow.validation import closest

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
PIXELS = (3, 32, 32)  # channels first, as the files have them

Batch = dict[str, Any]


def load_cifar10(*, root: str | None = None, download: bool = True) -> tuple[Split, Split, list[str]]:
    """CIFAR-10: 50,000 training and 10,000 test images of 32x32x3 in 10 classes.

    Parameters
    ----------
    root : str, optional
        Folder with ``cifar-10-batches-py/`` or ``cifar-10-python.tar.gz``; see :func:`memflow.data.official.data_root`.
    download : bool
        Fetch the archive if neither is there.

    Returns
    -------
    train, test : Split
    class_names : list of str

    Raises
    ------
    DatasetError
        If the files are missing and cannot be downloaded, or are damaged.
    """
    from torchvision.datasets import CIFAR10

    batches = _batches("CIFAR-10", CIFAR10, data_root(root), download)
    return _splits("CIFAR-10", CIFAR10, batches, "labels", "label_names")


def load_cifar100(
    *, root: str | None = None, download: bool = True, labels: Literal["fine", "coarse"] = "fine"
) -> tuple[Split, Split, list[str], *tuple[np.ndarray, ...]]:
    """CIFAR-100: 50,000 training and 10,000 test images of 32x32x3.

    Parameters
    ----------
    root, download
        As for :func:`load_cifar10`; the folder is ``cifar-100-python/``, the archive ``cifar-100-python.tar.gz``.
    labels : {"fine", "coarse"}
        The 100 classes, or the 20 superclasses.

    Returns
    -------
    train, test : Split
    class_names : list of str
    fine_labels : int32[50000]
        Of the training images; only with ``labels="coarse"``, where they are the known parts of a class.

    Raises
    ------
    DatasetError
        As for :func:`load_cifar10`, and for other ``labels``.
    """
    from torchvision.datasets import CIFAR100

    if labels not in ("fine", "coarse"):
        raise DatasetError(f"labels of cifar100 cannot be {labels!r}{closest(labels, ['fine', 'coarse'])}")
    batches = _batches("CIFAR-100", CIFAR100, data_root(root), download)
    loaded = _splits("CIFAR-100", CIFAR100, batches, f"{labels}_labels", f"{labels}_label_names")
    if labels == "fine":
        return loaded
    fine = np.array(
        [label for file, _ in CIFAR100.train_list for label in batches[file]["fine_labels"]], dtype=np.int32
    )
    label_checks.check_range(fine, len(batches[CIFAR100.meta["filename"]]["fine_label_names"]), "CIFAR-100 train, fine")
    return *loaded, fine


def _batches(name: str, official: Any, root: Path, download: bool) -> dict[str, Batch]:
    publication = Publication(name, PAGE, f"{official.filename} or the folder {official.base_folder}/ unpacked from it")
    archive = OfficialFile(official.filename, official.tgz_md5, (official.url,))
    return obtain(
        publication,
        root,
        [partial(_from_folder, root, official), partial(_from_archive, root, official)],
        download=archive if download else None,
    )


def _splits(
    name: str, official: Any, batches: dict[str, Batch], label_key: str, names_key: str
) -> tuple[Split, Split, list[str]]:
    class_names = list(batches[official.meta["filename"]][names_key])
    train, test = (
        _split([batches[file] for file, _ in files], label_key) for files in (official.train_list, official.test_list)
    )
    for where, part in (("train", train), ("test", test)):
        label_checks.check_range(part.labels, len(class_names), f"{name} {where}")
    return train, test, class_names


def _checksums(official: Any) -> dict[str, str]:
    return dict(official.train_list + official.test_list) | {official.meta["filename"]: official.meta["md5"]}


def _from_folder(root: Path, official: Any) -> dict[str, Batch]:
    folder = root / official.base_folder
    if not folder.is_dir():
        raise AbsentError(folder)
    problems = []
    for name, md5 in _checksums(official).items():
        try:
            verified(folder / name, md5)
        except (AbsentError, DamagedError) as error:
            problems.append(str(error))
    if problems:  # all of them at once; a file that is missing from the folder makes the folder damaged
        raise DamagedError("; ".join(problems))
    return {name: _unpickled(name, (folder / name).read_bytes) for name in _checksums(official)}


def _from_archive(root: Path, official: Any) -> dict[str, Batch]:
    path = verified(root / official.filename, official.tgz_md5)
    wanted = {f"{official.base_folder}/{name}": name for name in _checksums(official)}
    batches = {}
    with tarfile.open(path, "r|gz") as archive:  # as a stream: looking a member up would read the archive twice
        for member in archive:
            if member.name in wanted and (file := archive.extractfile(member)):
                batches[wanted[member.name]] = _unpickled(member.name, file.read)
    if missing := sorted(set(wanted.values()) - set(batches)):
        raise DamagedError(f"{path} does not contain {', '.join(missing)}")
    return batches


def _unpickled(name: str, read: Callable[[], bytes]) -> Batch:
    """Content of a file whose checksum, or whose archive's, was right: a pickle can run anything when it is read."""
    try:
        content = pickle.loads(read(), encoding="latin1")
        if "data" in content and content["data"].shape[1:] != (np.prod(PIXELS),):
            raise ValueError(f"its images are {content['data'].dtype}{list(content['data'].shape)}")
    except Exception as error:
        raise DamagedError(f"{name} is not a CIFAR batch ({error})") from error
    return content


def _split(batches: list[Batch], label_key: str) -> Split:
    images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, *PIXELS)
    labels = np.concatenate([batch[label_key] for batch in batches])
    return label_checks.split(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), labels)
