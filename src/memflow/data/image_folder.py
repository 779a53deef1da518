"""Folders of class folders with image files, in the order of torchvision's ImageFolder."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from memflow.data import images, labels
from memflow.data.prepared import DatasetError, Split

# What torchvision's ImageFolder takes for an image.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

log = logging.getLogger(__name__)


def load(*, train: str, test: str, size: int | None = None) -> tuple[Split, Split, list[str]]:
    """Images from two folders with one folder per class.

    Parameters
    ----------
    train, test : str
        Folders with the same class folders, at any depth below which the images lie. Classes are sorted by name,
        images by path: ``index`` counts them in that order.
    size : int, optional
        Side to which images are resized (shorter side, bicubic) and cropped (centre). If not given, all must have
        one size.

    Returns
    -------
    train, test : Split
        With one channel if every image is grey, else three.
    class_names : list of str
        The names of the class folders.

    Raises
    ------
    DatasetError
        If a folder is missing or empty, the classes differ, or an image cannot be read or has another size.
    """
    folders = [Path(train).expanduser(), Path(test).expanduser()]
    names = [_classes(folder) for folder in folders]
    if folders[0].resolve() == folders[1].resolve():
        raise DatasetError(f"train and test are the same folder {folders[0]}")
    if names[0] != names[1]:
        raise DatasetError(f"{folders[0]} and {folders[1]} must have the same class folders; {_difference(*names)}")
    (train_images, train_labels), (test_images, test_labels) = (_read(folder, names[0], size) for folder in folders)
    train_images, test_images = images.same_channels(train_images, test_images)
    return labels.split(train_images, train_labels), labels.split(test_images, test_labels), names[0]


def _classes(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}; expected one with a folder of images per class")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if not names:
        raise DatasetError(f"{folder} has no class folders; expected one folder of images per class")
    return names


def _difference(train: list[str], test: list[str]) -> str:
    only = {"train": sorted(set(train) - set(test)), "test": sorted(set(test) - set(train))}
    return "; ".join(
        f"only in {where}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        for where, names in only.items()
        if names
    )


def _read(folder: Path, class_names: list[str], size: int | None) -> tuple[np.ndarray, np.ndarray]:
    paths, class_of = [], []
    for label, name in enumerate(class_names):
        found = list(_images_below(folder / name))
        if not found:
            raise DatasetError(f"the class folder {folder / name} has no images ({', '.join(EXTENSIONS)})")
        paths += found
        class_of += [label] * len(found)
    items = ((str(path), _content(path)) for path in paths)
    return images.decode(items, len(paths), what=str(folder), size=size), np.array(class_of)


def _images_below(folder: Path) -> Iterator[Path]:
    ignored = 0
    for place, _, files in sorted(os.walk(folder, followlinks=True)):
        for file in sorted(files):
            if file.lower().endswith(EXTENSIONS):
                yield Path(place, file)
            else:
                ignored += 1
    if ignored:
        log.warning("%s: %d files that are no images are ignored", folder, ignored)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})") from error
