import numpy as np
import pytest
import scipy.io
from dataset_helpers import md5, random_pixels, snapshot
from torchvision.datasets import SVHN

from memflow.data import svhn
from memflow.data.prepared import DatasetError


@pytest.fixture
def official(tmp_path, monkeypatch):
    """Writes both files, and has torchvision expect their checksums; nothing can be downloaded."""

    def write(train_labels=(1, 10, 9), **changes):
        contents = {
            name: {"X": random_pixels(32, 32, 3, len(labels)), "y": np.array([labels], dtype=np.uint8).T}
            for name, labels in (("train", train_labels), ("test", (10, 2)))
        }
        contents["train"].update(changes)
        table = {}
        for name, content in contents.items():
            path = tmp_path / f"{name}_32x32.mat"
            scipy.io.savemat(path, content, do_compression=True)
            table[name] = [f"http://127.0.0.1:9/{path.name}", path.name, md5(path.read_bytes())]
        monkeypatch.setattr(SVHN, "split_list", table)
        return tmp_path

    return write


def test_it_is_what_torchvision_reads_and_nothing_is_written(official):
    root = official()
    before = snapshot(root)
    train, test, names = svhn.load(root=str(root))
    assert snapshot(root) == before
    for split, name in ((train, "train"), (test, "test")):
        expected = SVHN(root, split=name)
        assert np.array_equal(split.images, expected.data.transpose(0, 2, 3, 1))
        assert split.labels.tolist() == expected.labels.tolist()
        assert split.index.tolist() == list(range(len(expected)))
        assert (split.images.dtype, split.labels.dtype, split.index.dtype) == (np.uint8, np.int32, np.int32)
        assert split.images.flags.c_contiguous
    assert train.labels.tolist() == [1, 0, 9]
    assert names == list("0123456789")


def test_swapped_train_and_test_files_are_refused(official):
    root = official()
    train, test, other = (root / name for name in ("train_32x32.mat", "test_32x32.mat", "other"))
    train.rename(other)
    test.rename(train)
    other.rename(test)
    with pytest.raises(DatasetError, match=r"train_32x32\.mat .* has md5 "):
        svhn.load(root=str(root))


def test_a_partial_download_is_refused_by_name(official):
    root = official()
    path = root / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DatasetError, match=r"test_32x32\.mat \(500 bytes\) has md5"):
        svhn.load(root=str(root))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": random_pixels(28, 28, 3, 3)}, r"X is uint8\[28, 28, 3, 3\] for 3 labels"),
        ({"y": np.ones((2, 1), dtype=np.uint8)}, r"X is uint8\[32, 32, 3, 3\] for 2 labels"),
        ({"train_labels": (1, 11, 3)}, "SVHN train: 1 of 3 labels are outside 0 to 9, the first is 11 at position 1"),
    ],
)
def test_wrong_content_with_the_right_checksum_is_refused(official, changes, message):
    with pytest.raises(DatasetError, match=message):
        svhn.load(root=str(official(**changes)))


def test_a_broken_mat_file_with_the_right_checksum_is_refused(official, monkeypatch):
    root = official()
    path = root / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:300])
    monkeypatch.setitem(SVHN.split_list, "train", ["", path.name, md5(path.read_bytes())])
    with pytest.raises(DatasetError, match="not a file of SVHN's cropped digits"):
        svhn.load(root=str(root))


def test_missing_data_without_a_connection(official, tmp_path):
    official()
    (tmp_path / "test_32x32.mat").unlink()
    with pytest.raises(DatasetError, match=r"there is no test_32x32\.mat, and the download failed"):
        svhn.load(root=str(tmp_path))
    with pytest.raises(DatasetError, match=r"there is no test_32x32\.mat\. Put"):
        svhn.load(root=str(tmp_path), download=False)
