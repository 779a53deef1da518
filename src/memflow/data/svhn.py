"""Street View House Numbers, cropped digits. Names, checksums and addresses of the files are torchvision's."""

from functools import partial
from pathlib import Path

import numpy as np
import scipy.io

from memflow.data import labels as label_checks
from memflow.data.official import DamagedError, OfficialFile, Publication, data_root, obtain, verified
from memflow.data.prepared import Split

PAGE = "http://ufldl.stanford.edu/housenumbers/"


def load(*, root: str | None = None, download: bool = True) -> tuple[Split, Split, list[str]]:
    """SVHN: 73,257 training and 26,032 test images of 32x32x3 in 10 classes; without the extra images.

    Parameters
    ----------
    root : str, optional
        Folder with ``train_32x32.mat`` and ``test_32x32.mat``; see :func:`memflow.data.official.data_root`.
    download : bool
        Fetch the files that are not there.

    Returns
    -------
    train, test : Split
        The files' label 10 is the digit 0, and 0 here.
    class_names : list of str

    Raises
    ------
    DatasetError
        If a file is missing and cannot be downloaded, or is damaged.
    """
    from torchvision.datasets import SVHN

    folder = data_root(root)
    publication = Publication("SVHN", PAGE, "train_32x32.mat and test_32x32.mat (the cropped digits)")
    splits = []
    for name in ("train", "test"):
        url, file, md5 = SVHN.split_list[name]
        read = partial(_read, folder / file, md5)
        splits.append(
            obtain(publication, folder, [read], download=OfficialFile(file, md5, (url,)) if download else None)
        )
        label_checks.check_range(splits[-1].labels, 10, f"SVHN {name}")
    train, test = splits
    return train, test, [str(digit) for digit in range(10)]


def _read(path: Path, md5: str) -> Split:
    """A split from X uint8[32, 32, 3, n] and y[n, 1] with labels 1 to 10."""
    try:
        content = scipy.io.loadmat(verified(path, md5), variable_names=["X", "y"])
        images, labels = content["X"], content["y"].ravel()
        if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
            raise ValueError(f"X is {images.dtype}{list(images.shape)} for {len(labels)} labels")
    except (KeyError, TypeError, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise DamagedError(f"{path} is not a file of SVHN's cropped digits ({error})") from error
    return label_checks.split(np.ascontiguousarray(images.transpose(3, 0, 1, 2)), np.where(labels == 10, 0, labels))
