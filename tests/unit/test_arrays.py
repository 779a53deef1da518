import pickle
import zipfile

import numpy as np
import pytest
from dataset_helpers import random_pixels

from memflow.data import arrays
from memflow.data.prepared import DatasetError

LABELS = np.array([0, 2, 1, 1, 0], dtype=np.int64)


@pytest.fixture
def write(tmp_path):
    """Writes the four files, and gives the options of the loader."""

    def write_files(**changes):
        contents = {
            "train_images": random_pixels(5, 4, 3, 3),
            "train_labels": LABELS,
            "test_images": random_pixels(2, 4, 3, 3, seed=1),
            "test_labels": LABELS[:2],
        } | changes
        for name, content in contents.items():
            np.save(tmp_path / f"{name}.npy", content)
        return {name: str(tmp_path / f"{name}.npy") for name in contents}

    return write_files


def refused(options, message):
    with pytest.raises(DatasetError, match=message):
        arrays.load(**options)


def test_arrays_come_back_in_their_order(write):
    train, test, names = arrays.load(**write())
    assert np.array_equal(train.images, random_pixels(5, 4, 3, 3))
    assert train.labels.tolist() == LABELS.tolist()
    assert test.index.tolist() == [0, 1]
    assert (train.images.dtype, train.labels.dtype, train.index.dtype) == (np.uint8, np.int32, np.int32)
    assert names == ["0", "1", "2"]
    assert arrays.load(**write(), class_names=["x", "y", "z"])[2] == ["x", "y", "z"]


def test_images_without_channels_get_one(write):
    options = write(train_images=random_pixels(5, 4, 3), test_images=random_pixels(2, 4, 3, 1))
    assert [split.images.shape[1:] for split in arrays.load(**options)[:2]] == [(4, 3, 1)] * 2


def test_members_of_an_archive(write, tmp_path):
    options = write()
    contents = {name: np.load(path) for name, path in options.items()}
    np.savez(tmp_path / "all.npz", **contents)
    members = {name: f"{tmp_path}/all.npz:{name}" for name in options}
    assert np.array_equal(arrays.load(**members)[0].images, arrays.load(**options)[0].images)
    refused(
        members | {"test_labels": f"{tmp_path}/all.npz:test_label"}, "no array 'test_label' .did you mean 'test_labels'"
    )
    refused(
        members | {"test_labels": f"{tmp_path}/all.npz"}, r"write .*all\.npz:NAME; there are train_images, train_la"
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_that_are_levels_become_them(write, dtype):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    images = (levels / 255).astype(dtype)
    options = write(train_images=np.repeat(images, 5, axis=0), test_images=np.repeat(images, 2, axis=0))
    assert np.array_equal(arrays.load(**options)[0].images[3, ..., 0], levels[0])


def test_float32_levels_are_those_of_a_division_in_float32():
    levels = np.arange(256)
    assert np.array_equal((levels / 255).astype(np.float32), levels.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"2 values that are NaN or infinite; the first is nan at \[1, 2, 0, 0\]"),
        (-np.inf, "2 values that are NaN or infinite; the first is -inf"),
        (7.0, "2 values outside 0 to 1 .*must be uint8.*; the first is 7"),
        (0.5, "2 values that are not k/255"),
    ],
)
def test_floats_that_are_no_levels_are_counted_and_located(write, value, message):
    images = np.zeros((5, 4, 3, 1), dtype=np.float32)
    images[1, 2, 0, 0] = images[4, 0, 0, 0] = value
    refused(write(train_images=images, test_images=images[2:4]), message)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            random_pixels(5, 3, 8, 8),
            r"train_images\.npy is uint8\[5, 3, 8, 8\]; expected .* channels first: use transpose",
        ),
        (
            random_pixels(5, 8, 8, 4),
            r"uint8\[5, 8, 8, 4\]; expected \[n, h, w\] or \[n, h, w, c\] with 1 or 3 channels$",
        ),
        (random_pixels(5, 64), r"uint8\[5, 64\]; expected"),
        (random_pixels(5, 8, 8).astype(np.int64), r"int64\[5, 8, 8, 1\]; expected uint8, or floats in 0 to 1"),
        (random_pixels(6, 8, 8), r"train_images\.npy has 6 images, but .*train_labels\.npy has 5 labels"),
    ],
)
def test_images_of_a_wrong_shape_or_type_are_refused(write, images, message):
    refused(write(train_images=images), message)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"train_labels": LABELS.astype(float)}, r"train_labels\.npy is float64\[5\]; expected integers \[n\]"),
        ({"train_labels": LABELS[:, None]}, r"int64\[5, 1\]; expected integers \[n\]"),
        (
            {"train_labels": LABELS * 2},
            "train has no image with label 1 and 1 others, but labels must be 0 to 4 without a gap",
        ),
        (
            {"train_labels": LABELS - 1},
            "train: 2 of 5 labels are outside 0 to 1, the first is -1 at position 0; -1 often",
        ),
        ({"test_labels": LABELS[:2] + 1}, "test: 1 of 2 labels are outside 0 to 2, the first is 3 at position 1"),
        ({"test_labels": LABELS[:0]}, "test has no images"),
    ],
)
def test_wrong_labels_are_refused(write, labels, message):
    refused(write(**labels), message)


def test_class_names_must_be_one_per_class_and_differ(write):
    options = write()
    refused(
        options | {"class_names": ["a", "b"]}, "train: 1 of 5 labels are outside 0 to 1, the first is 2 at position 1"
    )
    refused(options | {"class_names": list("abcd")}, "train has no image with label 3, but labels must be 0 to 3")
    refused(options | {"class_names": ["a", "b", "a"]}, "used more than once: a")


def test_swapped_files_are_refused(write):
    options = write()
    swapped = options | {"train_images": options["test_images"], "test_images": options["train_images"]}
    refused(swapped, r"test_images\.npy has 2 images, but .*train_labels\.npy has 5 labels")
    refused(options | {"train_images": options["train_labels"]}, r"int64\[5\]; expected \[n, h, w\]")


def test_missing_and_broken_files_are_named(write, tmp_path):
    options = write()
    refused(options | {"test_images": str(tmp_path / "absent.npy")}, r"there is no file .*absent\.npy")
    broken = tmp_path / "train_images.npy"
    broken.write_bytes(broken.read_bytes()[:150])
    refused(options, r"train_images\.npy cannot be read as a NumPy array")


def test_a_pickle_is_never_read(write, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was read",))

    options = write()
    (tmp_path / "train_images.npy").write_bytes(pickle.dumps(Bomb()))
    refused(options, "cannot be read as a NumPy array")
    np.save(tmp_path / "train_images.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(options, "cannot be read as a NumPy array .*allow_pickle")
    with zipfile.ZipFile(tmp_path / "all.npz", "w") as archive:
        archive.write(tmp_path / "train_images.npy", "x.npy")
    refused(options | {"train_images": f"{tmp_path}/all.npz:x"}, "cannot be read as a NumPy array")


def test_one_array_for_both_splits_is_refused(write):
    options = write()
    same = options | {"test_images": options["train_images"]}
    refused(same, r"train_images\.npy is named for the training and for the test images")
