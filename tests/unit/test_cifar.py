import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import md5, python2_pickle, random_pixels, real_data, snapshot
from torchvision.datasets import CIFAR10, CIFAR100

from memflow.data import cifar
from memflow.data.prepared import DatasetError, duplicate_groups

PER_BATCH = 4
COARSE, FINE = [f"coarse {c}" for c in range(3)], [f"fine {c}" for c in range(5)]


def batch10(number, labels=(3, 0, 9, 2)):
    return {
        "batch_label": f"training batch {number} of 5",
        "labels": list(labels),
        "data": random_pixels(PER_BATCH, 3072, seed=number),
        "filenames": [f"image_{i}.png" for i in range(PER_BATCH)],
    }


def batch100(seed):
    return {
        "filenames": [f"image_{i}.png" for i in range(PER_BATCH)],
        "batch_label": "training batch 1 of 1",
        "fine_labels": [(seed + i) % 5 for i in range(PER_BATCH)],
        "coarse_labels": [(seed + i) % 3 for i in range(PER_BATCH)],
        "data": random_pixels(PER_BATCH, 3072, seed=seed),
    }


def contents10():
    meta = {"num_cases_per_batch": PER_BATCH, "label_names": list("abcdefghij"), "num_vis": 3072}
    batches = {f"data_batch_{n}": batch10(n, labels=[n, 0, 9, n]) for n in range(1, 6)}
    return {**batches, "test_batch": batch10(9), "batches.meta": meta}


def contents100():
    meta = {"fine_label_names": FINE, "coarse_label_names": COARSE}
    return {"train": batch100(0), "test": batch100(1), "meta": meta}


@pytest.fixture
def official(tmp_path, monkeypatch):
    """Writes the files of a dataset, and has torchvision expect their checksums; nothing can be downloaded."""

    def write(table, contents, damage=lambda files: None):
        files = {name: python2_pickle(content) for name, content in contents.items()}
        damage(files)
        patch = monkeypatch.setattr
        for names in ("train_list", "test_list"):
            patch(table, names, [[name, md5(files[name])] for name, _ in getattr(table, names)])
        patch(table, "meta", table.meta | {"md5": md5(files[table.meta["filename"]])})
        patch(table, "url", "http://127.0.0.1:9/" + table.filename)
        folder = tmp_path / table.base_folder
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return tmp_path

    return write


def pack(root, table, monkeypatch):
    """Replace the unpacked folder by an archive."""
    with tarfile.open(root / table.filename, "w:gz") as archive:
        archive.add(root / table.base_folder, table.base_folder)
    monkeypatch.setattr(table, "tgz_md5", md5((root / table.filename).read_bytes()))
    for path in (root / table.base_folder).iterdir():
        path.unlink()
    (root / table.base_folder).rmdir()


def check_against_torchvision(loaded, table, root):
    for split, is_train in ((loaded[0], True), (loaded[1], False)):
        expected = table(root, train=is_train)
        assert np.array_equal(split.images, expected.data)
        assert split.labels.tolist() == expected.targets
        assert split.index.tolist() == list(range(len(expected)))
        assert (split.images.dtype, split.labels.dtype, split.index.dtype) == (np.uint8, np.int32, np.int32)
        assert split.images.flags.c_contiguous
    assert loaded[2] == expected.classes


def test_cifar10_is_what_torchvision_reads_and_nothing_is_written(official):
    root = official(CIFAR10, contents10())
    before = snapshot(root)
    loaded = cifar.load_cifar10(root=str(root))
    assert snapshot(root) == before
    check_against_torchvision(loaded, CIFAR10, root)
    assert len(loaded[0]) == 5 * PER_BATCH


def test_the_official_archive_is_as_good_as_the_folder(official, monkeypatch):
    root = official(CIFAR10, contents10())
    unpacked = cifar.load_cifar10(root=str(root))
    pack(root, CIFAR10, monkeypatch)
    before = snapshot(root)
    for one, other in zip(unpacked[:2], cifar.load_cifar10(root=str(root))[:2], strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
    assert snapshot(root) == before


def test_pixels_are_rows_of_red_green_blue(official):
    contents = contents10()
    root = official(CIFAR10, contents)
    image = cifar.load_cifar10(root=str(root))[0].images[0]
    assert (
        image[2, 5].tolist() == contents["data_batch_1"]["data"][0][[2 * 32 + 5 + 1024 * c for c in range(3)]].tolist()
    )


def test_the_variable_names_the_root(official, monkeypatch):
    monkeypatch.setenv("MEMFLOW_DATA", str(official(CIFAR10, contents10())))
    assert len(cifar.load_cifar10()[1]) == PER_BATCH


def test_cifar100_has_fine_and_coarse_labels(official):
    root = official(CIFAR100, contents100())
    fine = cifar.load_cifar100(root=str(root))
    check_against_torchvision(fine, CIFAR100, root)
    train, test, names, fine_labels = cifar.load_cifar100(root=str(root), labels="coarse")
    assert names == COARSE
    assert np.array_equal(fine_labels, fine[0].labels)
    assert fine_labels.dtype == np.int32
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1, 2, 0], [1, 2, 0, 1])
    assert np.array_equal(train.images, fine[0].images)
    assert train.labels.dtype == np.int32


def test_other_labels_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(DatasetError, match=r"'corse' .did you mean 'coarse'\? allowed: fine, coarse"):
        cifar.load_cifar100(root=str(tmp_path), labels="corse")


@pytest.mark.parametrize("keep", [0, 50])
def test_a_truncated_file_is_refused_by_name(official, keep):
    root = official(CIFAR10, contents10())
    path = root / CIFAR10.base_folder / "data_batch_3"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=rf"data_batch_3 \({keep} bytes\) has md5 .*Delete what is damaged"):
        cifar.load_cifar10(root=str(root))


def test_a_truncated_pickle_with_the_right_checksum_is_refused(official):
    root = official(CIFAR10, contents10(), lambda files: files.update(data_batch_2=files["data_batch_2"][:99]))
    with pytest.raises(DatasetError, match="data_batch_2 is not a CIFAR batch"):
        cifar.load_cifar10(root=str(root))


def test_all_damaged_and_missing_files_are_named_at_once(official):
    root = official(CIFAR10, contents10())
    folder = root / CIFAR10.base_folder
    (folder / "data_batch_1").write_bytes(b"x")
    (folder / "test_batch").unlink()
    with pytest.raises(DatasetError, match=r"data_batch_1 \(1 bytes\).*test_batch is missing"):
        cifar.load_cifar10(root=str(root))


def test_swapped_train_and_test_files_are_refused(official):
    root = official(CIFAR100, contents100())
    train, test, other = (root / CIFAR100.base_folder / name for name in ("train", "test", "other"))
    train.rename(other)
    test.rename(train)
    other.rename(test)
    with pytest.raises(DatasetError, match=r"train .* has md5"):
        cifar.load_cifar100(root=str(root))


def test_a_partial_archive_is_not_taken_for_good(official, monkeypatch):
    root = official(CIFAR10, contents10())
    pack(root, CIFAR10, monkeypatch)
    archive = root / CIFAR10.filename
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"cifar-10-python\.tar\.gz .* has md5"):
        cifar.load_cifar10(root=str(root))


def test_an_archive_without_a_file_is_refused(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / CIFAR10.filename, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("cifar-10-batches-py/readme.html"), io.BytesIO())
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5((tmp_path / CIFAR10.filename).read_bytes()))
    with pytest.raises(DatasetError, match=r"does not contain batches\.meta, data_batch_1"):
        cifar.load_cifar10(root=str(tmp_path))


def test_images_of_another_shape_are_refused(official):
    contents = contents10()
    contents["test_batch"]["data"] = random_pixels(PER_BATCH, 784)
    with pytest.raises(DatasetError, match=r"test_batch is not a CIFAR batch .*uint8\[4, 784\]"):
        cifar.load_cifar10(root=str(official(CIFAR10, contents)))


def test_a_label_out_of_range_is_refused(official):
    contents = contents10()
    contents["data_batch_5"]["labels"][1] = 10
    with pytest.raises(
        DatasetError, match="CIFAR-10 train: 1 of 20 labels are outside 0 to 9, the first is 10 at position 17"
    ):
        cifar.load_cifar10(root=str(official(CIFAR10, contents)))


def test_a_fine_label_out_of_range_is_refused_under_coarse_ones(official):
    contents = contents100()
    contents["train"]["fine_labels"][2] = 5
    with pytest.raises(DatasetError, match="CIFAR-100 train, fine: 1 of 4 labels are outside 0 to 4, the first is 5"):
        cifar.load_cifar100(root=str(official(CIFAR100, contents)), labels="coarse")


def test_missing_data_without_a_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(
        DatasetError, match=r"no cifar-10-batches-py and no cifar-10-python\.tar\.gz, and the download failed"
    ):
        cifar.load_cifar10(root=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def real():
    return cifar.load_cifar10(download=False)


@real_data(CIFAR10.base_folder)
def test_the_real_cifar10_has_its_known_labels_and_pixels(real):
    train, test, names = real
    assert names == ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert train.labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert int(train.images.sum(dtype=np.int64)) == 18_540_682_003
    assert int(test.images.sum(dtype=np.int64)) == 3_733_375_634
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10


@real_data(CIFAR10.base_folder)
def test_the_real_cifar10_is_what_torchvision_reads(real):
    check_against_torchvision(real, CIFAR10, Path(os.environ["MEMFLOW_DATA"]))


@real_data(CIFAR10.base_folder)
def test_the_real_cifar10_has_no_exact_duplicates(real):
    images = np.concatenate([real[0].images, real[1].images])
    assert np.array_equal(duplicate_groups(images), np.arange(60_000))
