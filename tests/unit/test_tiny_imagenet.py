import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import image_bytes, md5, random_pixels, real_data, snapshot

from memflow.data import tiny_imagenet
from memflow.data.prepared import DatasetError
from memflow.data.tiny_imagenet import ARCHIVE, FOLDER

WNIDS = ["n03", "n01", "n02"]  # not sorted, as in the official file
NUMBERS = [0, 10, 2]


def write(root):
    """A small dataset in the official layout; the first image of each class is grey."""
    folder = root / FOLDER
    files = {
        "wnids.txt": "\n".join(WNIDS),
        "words.txt": "n01\tgoldfish, Carassius auratus\nn02\tbullfrog\nn99\tother\n",
        "val/val_annotations.txt": "".join(
            f"val_{number}.JPEG\t{wnid}\t0\t0\t62\t62\n" for number, wnid in ((10, "n03"), (9, "n02"), (1, "n01"))
        ),
        "test/images/test_0.JPEG": "is never read",
    }
    for wnid in WNIDS:
        names = [f"{wnid}_{number}.JPEG" for number in NUMBERS]
        files[f"train/{wnid}/{wnid}_boxes.txt"] = "".join(f"{name}\t0\t10\t63\t58\n" for name in names)
        for number, name in zip(NUMBERS, names, strict=True):
            files[f"train/{wnid}/images/{name}"] = jpeg(f"{wnid}{number}", grey=number == 0)
    files |= {f"val/images/val_{number}.JPEG": jpeg(f"val{number}") for number in (1, 9, 10)}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def jpeg(name, grey=False):
    return image_bytes(pixels(name)[..., :1] if grey else pixels(name), "JPEG")


def pixels(name):
    """One colour, which JPEG keeps almost exactly, that tells the image."""
    return np.broadcast_to(random_pixels(3, seed=int(md5(name.encode())[:8], 16)), (64, 64, 3))


def pack(root, monkeypatch):
    """Replace the folder by an archive, and expect its checksum; nothing can be downloaded."""
    path = root / ARCHIVE.path
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((root / FOLDER).rglob("*")):
            archive.write(file, file.relative_to(root))
    (root / FOLDER).rename(root / "elsewhere")
    expect(path, monkeypatch)


def expect(path, monkeypatch):
    monkeypatch.setattr(tiny_imagenet, "ARCHIVE", replace(ARCHIVE, md5=md5(path.read_bytes())))


def refused(root, message):
    with pytest.raises(DatasetError, match=message):
        tiny_imagenet.load(root=str(root))


def test_labels_follow_wnids_and_images_their_numbers(tmp_path):
    write(tmp_path)
    before = snapshot(tmp_path)
    train, test, names = tiny_imagenet.load(root=str(tmp_path))
    assert snapshot(tmp_path) == before
    assert names == ["n03", "goldfish, Carassius auratus", "bullfrog"]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert test.labels.tolist() == [1, 2, 0]
    assert train.index.tolist() == list(range(9))
    assert (train.images.dtype, train.labels.dtype, train.index.dtype) == (np.uint8, np.int32, np.int32)
    ordered = [f"{wnid}{number}" for wnid in WNIDS for number in (0, 2, 10)]
    expected = np.array([pixels(name)[0, 0] for name in ordered], dtype=int)
    expected[::3] = expected[::3, :1]  # grey
    assert abs(train.images[:, 30, 30].astype(int) - expected).max() <= 2
    assert abs(test.images[:, 30, 30].astype(int) - [pixels(f"val{n}")[0, 0] for n in (1, 9, 10)]).max() <= 2


def test_the_archive_the_folder_and_the_folder_itself_are_equal(tmp_path, monkeypatch):
    write(tmp_path)
    loaded = [tiny_imagenet.load(root=str(place)) for place in (tmp_path, tmp_path / FOLDER)]
    pack(tmp_path, monkeypatch)
    loaded.append(tiny_imagenet.load(root=str(tmp_path)))
    for train, test, names in loaded[1:]:
        assert np.array_equal(train.images, loaded[0][0].images)
        assert np.array_equal(test.labels, loaded[0][1].labels)
        assert names == loaded[0][2]


def test_without_words_the_names_are_the_ids(tmp_path):
    (write(tmp_path) / "words.txt").unlink()
    assert tiny_imagenet.load(root=str(tmp_path))[2] == WNIDS


def test_a_partial_archive_is_not_taken_for_good(tmp_path, monkeypatch):
    write(tmp_path)
    pack(tmp_path, monkeypatch)
    path = tmp_path / ARCHIVE.path
    path.write_bytes(path.read_bytes()[:-50])
    refused(tmp_path, r"tiny-imagenet-200\.zip .* has md5")
    expect(path, monkeypatch)
    refused(tmp_path, r"tiny-imagenet-200\.zip cannot be unpacked")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wnids.txt", r"tiny-imagenet-200 has no wnids\.txt"),
        (
            "train/n01/images/n01_2.JPEG",
            r"class n01 has 2 training images, its table lists 3, .* train/n01/images/n01_2",
        ),
        ("train/n02/n02_boxes.txt", r"incomplete or damaged .*n02_boxes\.txt"),
        ("val/images/val_9.JPEG", r"val has 2 images, its table lists 3, for example val/images/val_9\.JPEG"),
        ("val/val_annotations.txt", r"incomplete or damaged .*val_annotations\.txt"),
    ],
)
def test_a_folder_that_was_not_unpacked_to_the_end_is_refused(tmp_path, name, message):
    (write(tmp_path) / name).unlink()
    refused(tmp_path, message)


def test_a_class_that_is_not_listed_is_refused(tmp_path):
    (write(tmp_path) / "wnids.txt").write_text("n03\nn01\n")
    refused(tmp_path, r"train has images of n02, which wnids\.txt does not list")


def test_annotations_of_another_class_are_refused(tmp_path):
    path = write(tmp_path) / "val/val_annotations.txt"
    path.write_text(path.read_text().replace("n02", "n77"))
    refused(tmp_path, r"val has images of n77, which wnids\.txt does not list")


def test_an_unreadable_image_is_named(tmp_path):
    path = write(tmp_path) / "val/images/val_9.JPEG"
    path.write_bytes(path.read_bytes()[:200])
    refused(tmp_path, r"val/images/val_9\.JPEG cannot be read as an image")


def test_missing_data_without_a_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_imagenet, "ARCHIVE", replace(ARCHIVE, urls=("http://127.0.0.1:9/x.zip",)))
    refused(tmp_path, r"no wnids\.txt and no tiny-imagenet-200\.zip, and the download failed .*http://cs231n")
    assert list(tmp_path.iterdir()) == []


@real_data("tiny-imagenet-10")
def test_ten_real_classes_have_their_known_labels_and_pixels():
    train, test, names = tiny_imagenet.load(
        root=str(Path(os.environ["MEMFLOW_DATA"], "tiny-imagenet-10")), download=False
    )
    assert names[:3] == ["Egyptian cat", "reel", "volleyball"]
    assert np.array_equal(train.labels, np.repeat(np.arange(10), 500))
    assert np.bincount(test.labels).tolist() == [50] * 10
    assert test.labels[:10].tolist() == [1, 2, 3, 9, 4, 0, 9, 1, 5, 1]
    # Decoders of JPEG may differ in the last bit.
    assert train.images.mean() == pytest.approx(6_896_315_325 / train.images.size, abs=0.5)
    grey = (train.images == train.images[..., :1]).all(axis=(1, 2, 3))
    assert 0 < grey.sum() < 200
