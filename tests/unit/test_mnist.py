import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import md5, random_pixels, real_data, snapshot
from torchvision.datasets import MNIST, FashionMNIST

from memflow.data import mnist
from memflow.data.prepared import DatasetError

NAMES = list(mnist.MNIST_MD5)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def contents(labels=(3, 0, 9, 2), shape=(28, 28)):
    labels = np.array(labels, dtype=np.uint8)
    arrays = [random_pixels(len(labels), *shape), labels, random_pixels(2, *shape, seed=1), labels[:2]]
    return dict(zip(NAMES, map(idx, arrays), strict=True))


@pytest.fixture
def official(tmp_path, monkeypatch):
    """Writes the four files, and has torchvision and memflow expect their checksums; nothing can be downloaded."""

    def write(files, folder="MNIST/raw", packed=False):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        archives = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}
        for name, content in (archives if packed else files).items():
            (tmp_path / folder / name).write_bytes(content)
        monkeypatch.setattr(mnist, "MNIST_MD5", {name: md5(content) for name, content in files.items()})
        monkeypatch.setattr(MNIST, "resources", [(name, md5(content)) for name, content in archives.items()])
        monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
        return tmp_path

    return write


def check_against_torchvision(loaded, table, root):
    for split, is_train in zip(loaded[:2], (True, False), strict=True):
        expected = table(root, train=is_train)
        assert np.array_equal(split.images[..., 0], expected.data.numpy())
        assert split.labels.tolist() == expected.targets.tolist()
        assert split.index.tolist() == list(range(len(expected)))
        assert (split.images.dtype, split.labels.dtype, split.index.dtype) == (np.uint8, np.int32, np.int32)
        assert split.images.flags.writeable


def test_unpacked_files_are_what_torchvision_reads_and_nothing_is_written(official):
    root = official(contents())
    before = snapshot(root)
    loaded = mnist.load_mnist(root=str(root))
    assert snapshot(root) == before
    check_against_torchvision(loaded, MNIST, root)
    assert loaded[2] == list("0123456789")


@pytest.mark.parametrize("folder", ["MNIST/raw", "."])
def test_packed_files_are_read_without_unpacking(official, folder):
    files = contents()
    root = official(files, folder, packed=True)
    before = snapshot(root)
    train, test, _ = mnist.load_mnist(root=str(root))
    assert snapshot(root) == before
    assert train.images.tobytes() == files[NAMES[0]][16:]
    assert test.labels.tolist() == [3, 0]


def test_a_truncated_file_is_refused_by_name(official):
    root = official(contents())
    path = root / "MNIST/raw" / NAMES[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte \(3151 bytes unpacked\) has md5"):
        mnist.load_mnist(root=str(root))


def test_a_partial_download_is_refused_by_name(official):
    root = official(contents(), packed=True)
    path = root / "MNIST/raw" / f"{NAMES[2]}.gz"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DatasetError, match=r"t10k-images-idx3-ubyte\.gz cannot be unpacked"):
        mnist.load_mnist(root=str(root))


def test_swapped_train_and_test_files_are_refused_and_recognised(official):
    files = contents()
    root = official(files)
    for one, other in ((0, 2), (2, 0)):
        (root / "MNIST/raw" / NAMES[one]).write_bytes(files[NAMES[other]])
    with pytest.raises(DatasetError, match="train-images-idx3-ubyte is in truth t10k-images-idx3-ubyte"):
        mnist.load_mnist(root=str(root))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (NAMES[0], lambda content: b"\x00\x00\x08\x01" + content[4:], "not an idx file of 3 dimensions"),
        (NAMES[1], lambda content: b"", "not an idx file of 1 dimensions"),
        (NAMES[0], lambda content: content + b"\x00", r"announces \[4, 28, 28\] but has 3137 bytes"),
    ],
)
def test_a_wrong_structure_with_the_right_checksum_is_refused(official, name, damage, message):
    files = contents()
    files[name] = damage(files[name])
    with pytest.raises(DatasetError, match=message):
        mnist.load_mnist(root=str(official(files)))


def test_a_label_out_of_range_is_refused(official):
    with pytest.raises(
        DatasetError, match="MNIST train: 1 of 4 labels are outside 0 to 9, the first is 10 at position 2"
    ):
        mnist.load_mnist(root=str(official(contents(labels=(3, 0, 10, 2)))))


def test_missing_data_without_a_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(
        DatasetError, match=r"Fashion-MNIST in .* no train-images-idx3-ubyte\.gz, and the download fail"
    ):
        mnist.load_fashion_mnist(root=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@real_data("FashionMNIST/raw")
def test_the_real_fashion_mnist_has_its_known_labels_and_pixels():
    train, test, names = loaded = mnist.load_fashion_mnist(download=False)
    assert names[:2] == ["T-shirt/top", "Trouser"]
    assert train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert int(train.images.sum(dtype=np.int64)) == 3_431_114_169
    assert int(test.images.sum(dtype=np.int64)) == 573_469_082
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    check_against_torchvision(loaded, FashionMNIST, Path(os.environ["MEMFLOW_DATA"]))


@real_data("FashionMNIST/raw/train-images-idx3-ubyte.gz")
@pytest.mark.parametrize("name", NAMES)
def test_the_known_checksums_are_of_the_content_of_the_official_archives(name):
    """Debian's archives differ from the official ones only in their header: name and time of packing are left out."""
    packed = Path(os.environ["MEMFLOW_DATA"], "FashionMNIST/raw", f"{name}.gz").read_bytes()
    assert md5(gzip.decompress(packed)) == mnist.FASHION_MNIST_MD5[name]
    if not packed[3]:
        packed_at = 1504176606 if name.startswith("train") else 1504176627  # seconds since 1970
        packed = b"\x1f\x8b\x08\x08" + struct.pack("<I", packed_at) + packed[8:10] + f"{name}\0".encode() + packed[10:]
    assert md5(packed) == dict(FashionMNIST.resources)[f"{name}.gz"]
