"""MNIST and Fashion-MNIST, from their four idx files, packed or not.

torchvision checks their checksums only while it downloads; here every byte is checked, before each use.
"""

import gzip
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from memflow.data import labels as label_checks
from memflow.data.official import AbsentError, DamagedError, OfficialFile, Publication, data_root, md5_digest, obtain
from memflow.data.prepared import Split

# MD5 of the unpacked files, which torchvision does not know. Those of MNIST are the ones that many independent projects
# publish. Those of Fashion-MNIST are of files whose packed form has torchvision's checksums (a test packs them again).
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MNIST_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
UNSIGNED_BYTE = 8  # type code in the magic number of an idx file


def load_mnist(*, root: str | None = None, download: bool = True) -> tuple[Split, Split, list[str]]:
    """MNIST: 60,000 training and 10,000 test images of 28x28x1 in 10 classes.

    Parameters
    ----------
    root : str, optional
        Folder with the four idx files, unpacked or as ``.gz``, in ``MNIST/raw/`` (as torchvision has them) or
        directly; see :func:`memflow.data.official.data_root`.
    download : bool
        Fetch the files that are not there.

    Returns
    -------
    train, test : Split
    class_names : list of str

    Raises
    ------
    DatasetError
        If a file is missing and cannot be downloaded, or is damaged.
    """
    from torchvision.datasets import MNIST

    train, test = _load("MNIST", MNIST, MNIST_MD5, "http://yann.lecun.com/exdb/mnist/", data_root(root), download)
    return train, test, [str(digit) for digit in range(10)]


def load_fashion_mnist(*, root: str | None = None, download: bool = True) -> tuple[Split, Split, list[str]]:
    """Fashion-MNIST: as :func:`load_mnist`, in ``FashionMNIST/raw/``."""
    from torchvision.datasets import FashionMNIST

    page = "https://github.com/zalandoresearch/fashion-mnist"
    train, test = _load("Fashion-MNIST", FashionMNIST, FASHION_MNIST_MD5, page, data_root(root), download)
    return train, test, list(FashionMNIST.classes)


def _load(name: str, official: Any, md5: dict[str, str], page: str, root: Path, download: bool) -> tuple[Split, Split]:
    folder = f"{official.__name__}/raw"
    publication = Publication(name, page, f"the four files {', '.join(f'{file}.gz' for file in md5)}")
    packed = dict(official.resources)

    def array(file: str) -> np.ndarray:
        paths = [root / folder / file, root / folder / f"{file}.gz", root / file, root / f"{file}.gz"]
        urls = tuple(f"{mirror}{file}.gz" for mirror in official.mirrors)
        return obtain(
            publication,
            root,
            [partial(_read, path, md5) for path in paths],
            download=OfficialFile(f"{folder}/{file}.gz", packed[f"{file}.gz"], urls) if download else None,
        )

    return _split(array, name, "train"), _split(array, name, "t10k")


def _split(array: Any, name: str, prefix: str) -> Split:
    images, labels = array(f"{prefix}-images-idx3-ubyte"), array(f"{prefix}-labels-idx1-ubyte")
    label_checks.check_range(labels, 10, f"{name} {prefix}")
    return label_checks.split(images[..., None], labels)


def _read(path: Path, md5: dict[str, str]) -> np.ndarray:
    """Array of an idx file. The content is checked, not the ``.gz`` around it, of which there are several versions."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise AbsentError(path) from None
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from error
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedError(f"{path} cannot be unpacked ({error})") from error
    found, expected = md5_digest(content).hexdigest(), md5[path.name.removesuffix(".gz")]
    if found != expected:
        known = [name for name, digest in md5.items() if digest == found]
        what = f"is in truth {known[0]}" if known else f"({len(content)} bytes unpacked) has md5 {found}"
        raise DamagedError(f"{path} {what}, but the content of the official file has md5 {expected}")
    return _parse_idx(content, path)


def _parse_idx(content: bytes, path: Path) -> np.ndarray:
    """uint8 array of an idx file: two zero bytes, type, number of dimensions, each as big-endian uint32, then bytes."""
    n_dimensions = 3 if "idx3" in path.name else 1
    start = 4 + 4 * n_dimensions
    if content[:4] != bytes([0, 0, UNSIGNED_BYTE, n_dimensions]) or len(content) < start:
        raise DamagedError(f"{path} starts with {content[:4].hex(' ')}: not an idx file of {n_dimensions} dimensions")
    shape = np.frombuffer(content, ">u4", n_dimensions, offset=4).tolist()
    if len(content) - start != np.prod(shape):
        raise DamagedError(f"{path} announces {shape} but has {len(content) - start} bytes after its header")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
