"""Images and labels from NumPy files, for data that somebody has already put into arrays."""

from pathlib import Path

import numpy as np

from memflow.data import labels as label_checks
from memflow.data.prepared import DatasetError, Split
from memflow.validation import closest

CHUNK = 1000  # images that are converted at once, to keep memory low


def load(
    *,
    train_images: str,
    train_labels: str,
    test_images: str,
    test_labels: str,
    class_names: list[str] | None = None,
) -> tuple[Split, Split, list[str]]:
    """Images and labels from ``file.npy`` or ``file.npz:array``.

    Parameters
    ----------
    train_images, test_images : str
        uint8[n, h, w] or uint8[n, h, w, c] with c 1 or 3; or floats in 0 to 1 that are exactly k/255. Their order is
        the official one.
    train_labels, test_labels : str
        Integers [n], 0 to k - 1, each of them in train.
    class_names : list of str, optional
        One per class; the numbers if not given.

    Returns
    -------
    train, test : Split
    class_names : list of str

    Raises
    ------
    DatasetError
        That says which array is wrong, how, and what is expected. Files with pickled objects are never read.
    """
    labels = {name: _labels(name) for name in (train_labels, test_labels)}
    names = label_checks.class_names(labels[train_labels], labels[test_labels], class_names)
    if train_images == test_images:
        raise DatasetError(f"{train_images} is named for the training and for the test images")
    train = _split(train_images, labels[train_labels], train_labels)
    test = _split(test_images, labels[test_labels], test_labels)
    return train, test, names


def _split(images_name: str, labels: np.ndarray, labels_name: str) -> Split:
    images = _images(images_name)
    if len(images) != len(labels):
        raise DatasetError(f"{images_name} has {len(images)} images, but {labels_name} has {len(labels)} labels")
    return label_checks.split(images, labels)


def _images(name: str) -> np.ndarray:
    images = _read(name)
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        transposed = images.ndim == 4 and images.shape[1] in (1, 3)
        hint = "; these are channels first: use transpose(0, 2, 3, 1)" if transposed else ""
        raise _wrong(name, images, f"[n, h, w] or [n, h, w, c] with 1 or 3 channels{hint}")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise _wrong(name, images, "uint8, or floats in 0 to 1")
    return _from_floats(name, images)


def _from_floats(name: str, images: np.ndarray) -> np.ndarray:
    """uint8 levels of floats that are exactly k/255: anything else was made from other data than 8-bit images."""
    levels = (np.arange(256) / 255).astype(images.dtype)
    result = np.empty(images.shape, dtype=np.uint8)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        nearest = np.rint(np.nan_to_num(part, nan=0).clip(0, 1).astype(np.float64) * 255).astype(np.uint8)
        if (levels[nearest] != part).any():
            raise _not_levels(name, images, levels)
        result[start : start + CHUNK] = nearest
    return result


def _not_levels(name: str, images: np.ndarray, levels: np.ndarray) -> DatasetError:
    if count := np.count_nonzero(wrong := ~np.isfinite(images)):
        what = f"{count} values that are NaN or infinite"
    elif count := np.count_nonzero(wrong := (images < 0) | (images > 1)):
        what = f"{count} values outside 0 to 1 (levels of 0 to 255 must be uint8)"
    else:
        wrong = ~np.isin(images, levels)
        what = f"{np.count_nonzero(wrong)} values that are not k/255, so these are not plain 8-bit images (normalised?)"
    position = [int(axis) for axis in np.unravel_index(np.argmax(wrong), images.shape)]
    return DatasetError(f"{name} has {what}; the first is {images[tuple(position)]} at {position}")


def _labels(name: str) -> np.ndarray:
    labels = _read(name)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise _wrong(name, labels, "integers [n]")
    return labels


def _wrong(name: str, array: np.ndarray, expected: str) -> DatasetError:
    return DatasetError(f"{name} is {array.dtype}{list(array.shape)}; expected {expected}")


def _read(name: str) -> np.ndarray:
    file, colon, member = name.rpartition(".npz:")
    path, member = (Path(f"{file}.npz"), member) if colon else (Path(name), "")
    path = path.expanduser()
    try:
        content = np.load(path, allow_pickle=False)  # a pickle can run anything when it is read
        if isinstance(content, np.ndarray):
            return content
        with content:
            if member in content.files:
                return content[member]
            names = content.files
    except FileNotFoundError:
        raise DatasetError(f"there is no file {path}") from None
    except Exception as error:  # NumPy raises many kinds for broken files
        raise DatasetError(f"{name} cannot be read as a NumPy array ({error})") from error
    if not member:
        raise DatasetError(f"{path} holds several arrays: write {path}:NAME; there are {', '.join(names)}")
    raise DatasetError(f"{path} has no array {member!r}{closest(member, names)}")
