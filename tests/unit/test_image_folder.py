from dataclasses import replace

import numpy as np
import pytest
from dataset_helpers import image_bytes, random_pixels
from torchvision.datasets import ImageFolder

from memflow.data import image_folder
from memflow.data.prepared import DatasetError

NAMES = ["b/10.png", "b/2.png", "b/Z.PNG", "a/x/1.png", "a/x.png", "a/y.png", "C/0.png"]


def write(folder, names=NAMES, seed=0):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(random_pixels(4, 4, 3, seed=100 * seed + number)))


@pytest.fixture
def folders(tmp_path):
    for seed, name in enumerate(("train", "test")):
        write(tmp_path / name, seed=seed)
    return {name: str(tmp_path / name) for name in ("train", "test")}


def test_the_order_is_that_of_torchvision(folders):
    train, test, names = image_folder.load(**folders)
    for split, folder in ((train, folders["train"]), (test, folders["test"])):
        expected = ImageFolder(folder)
        assert np.array_equal(split.images, [np.asarray(image) for image, _ in expected])
        assert split.labels.tolist() == expected.targets
        assert split.index.tolist() == list(range(len(NAMES)))
        assert (split.images.dtype, split.labels.dtype, split.index.dtype) == (np.uint8, np.int32, np.int32)
    assert names == expected.classes == ["C", "a", "b"]


def test_other_files_are_ignored_but_not_silently(folders, tmp_path, caplog):
    (tmp_path / "train/a/notes.txt").write_text("x")
    assert len(image_folder.load(**folders)[0]) == len(NAMES)
    assert "train/a: 1 files that are no images are ignored" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_an_unreadable_file_is_named(folders, tmp_path, content):
    (tmp_path / "test/b/2.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"test/b/2\.png cannot be read as an image"):
        image_folder.load(**folders)


def test_a_link_to_nothing_is_named(folders, tmp_path):
    (tmp_path / "train/b/3.png").symlink_to("nowhere.png")
    with pytest.raises(DatasetError, match=r"train/b/3\.png cannot be read \(No such file"):
        image_folder.load(**folders)


def test_images_of_several_sizes_need_a_size(folders, tmp_path):
    (tmp_path / "train/b/2.png").write_bytes(image_bytes(random_pixels(9, 6, 3)))
    with pytest.raises(DatasetError, match=r"train/b/2\.png has 6x9 pixels, but .*C/0\.png has 4x4: give `size`"):
        image_folder.load(**folders)
    train, test, _ = image_folder.load(**folders, size=3)
    assert train.images.shape == test.images.shape == (len(NAMES), 3, 3, 3)


def test_one_grey_split_gets_the_channels_of_the_other(folders, tmp_path):
    for path in (tmp_path / "test").rglob("*.*"):
        path.write_bytes(image_bytes(random_pixels(4, 4)))
    train, test, _ = image_folder.load(**folders)
    assert train.images.shape[1:] == test.images.shape[1:] == (4, 4, 3)


def test_classes_that_differ_are_listed(folders, tmp_path):
    write(tmp_path / "train", ["d/1.png"])
    write(tmp_path / "test", ["e/1.png"])
    with pytest.raises(DatasetError, match="must have the same class folders; only in train: d; only in test: e"):
        image_folder.load(**folders)


def test_empty_and_missing_folders_are_refused(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty has no class folders"):
        image_folder.load(train=folders["train"], test=str(tmp_path / "empty"))
    with pytest.raises(DatasetError, match=r"there is no folder .*absent"):
        image_folder.load(train=str(tmp_path / "absent"), test=folders["test"])
    for name in ("train", "test"):
        (tmp_path / name / "d").mkdir()
    with pytest.raises(DatasetError, match=r"class folder .*train/d has no images"):
        image_folder.load(**folders)


def test_the_same_folder_twice_is_refused(folders):
    with pytest.raises(DatasetError, match="train and test are the same folder"):
        image_folder.load(train=folders["train"], test=folders["train"])


def test_one_class_is_refused_when_the_dataset_is_made(make_dataset, tmp_path):
    for name in ("train", "test"):
        write(tmp_path / name, ["a/1.png", "a/2.png"])
    train, test, names = image_folder.load(train=str(tmp_path / "train"), test=str(tmp_path / "test"))
    with pytest.raises(DatasetError, match="the dataset has 1 class"):
        replace(make_dataset(), train=train, test=test, class_names=names)
