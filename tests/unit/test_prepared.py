from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from memflow.data import prepared
from memflow.data.prepared import FLAGS, DatasetError, Split, duplicate_groups
from memflow.files import write_npz


def content(dataset):
    splits = [getattr(split, part.name) for split in (dataset.train, dataset.test) for part in fields(Split)]
    return [*splits, dataset.class_names, *(getattr(dataset, name) for name in FLAGS)]


def rebuilt(dataset, **changes):
    return replace(dataset, **changes)


def test_a_dataset_comes_back_as_it_was_written(make_dataset, tmp_path):
    dataset = make_dataset()
    prepared.save(dataset, tmp_path / "d.npz")
    loaded = prepared.load(tmp_path / "d.npz")
    assert loaded.fingerprint == dataset.fingerprint
    for before, after in zip(content(dataset), content(loaded), strict=True):
        assert np.array_equal(before, after)
        assert np.asarray(before).dtype == np.asarray(after).dtype


def test_the_same_content_is_the_same_bytes(make_dataset, tmp_path):
    for name in ("a.npz", "b.npz"):
        prepared.save(make_dataset(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_fingerprint_is_that_of_the_first_release(make_dataset):
    assert make_dataset(seed=0).fingerprint[:16] == "2ccf2214226eb66d"


def test_the_fingerprint_covers_all_that_a_model_sees(make_dataset):
    dataset = make_dataset()
    train, test = dataset.train, dataset.test
    images = train.images.copy()
    images[7, 0] += 1
    changed = [
        {"train": replace(train, images=images)},
        {"train": replace(train, labels=train.labels[::-1].copy())},
        {"train": replace(train, index=train.index + 1)},
        {"test": replace(test, images=255 - test.images)},
        {"test": replace(test, labels=(test.labels + 1) % 3)},
        {"test": replace(test, index=test.index[::-1].copy())},
        {"class_names": ["class 0", "class 1", "class 2", "one more"]},
        {
            name: replace(part, images=part.images.reshape(-1, 1, 2, 1))
            for name, part in (("train", train), ("test", test))
        },
        {"train": replace(train, index=train.index.astype(np.int64))},
    ]
    fingerprints = {dataset.fingerprint, *(rebuilt(dataset, **change).fingerprint for change in changed)}
    assert len(fingerprints) == 1 + len(changed)


def other_flags(dataset):
    """The dataset with one flag changed, by the name of the flag."""
    flags = {name: getattr(dataset, name) for name in FLAGS}
    return {name: rebuilt(dataset, **{name: (flag + 1).astype(flag.dtype)}) for name, flag in flags.items()}


def test_the_fingerprint_covers_no_flag_so_that_a_better_search_for_duplicates_makes_no_model_stale(make_dataset):
    dataset = make_dataset()
    assert {other.fingerprint for other in other_flags(dataset).values()} == {dataset.fingerprint}


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_changed_after_it_was_prepared_is_refused(make_dataset, tmp_path, name):
    dataset, path = make_dataset(), tmp_path / "d.npz"
    prepared.save(dataset, path)
    with np.load(path) as file:
        arrays = dict(file)
    write_npz(path, arrays | {name: arrays[name][::-1]})
    with pytest.raises(DatasetError, match="changed after it was prepared"):
        prepared.load(path)


def test_the_fingerprint_does_not_depend_on_memory_layout(make_dataset):
    dataset = make_dataset()
    fortran = replace(dataset.train, images=np.asfortranarray(dataset.train.images))
    assert rebuilt(dataset, train=fortran).fingerprint == dataset.fingerprint


def test_a_file_changed_after_it_was_prepared_is_refused(make_dataset, tmp_path):
    path = tmp_path / "d.npz"
    prepared.save(make_dataset(), path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["train_labels"] = arrays["train_labels"][::-1]
    write_npz(path, arrays)
    with pytest.raises(DatasetError, match="changed after it was prepared"):
        prepared.load(path)


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_damaged_file_is_refused_by_name(make_dataset, tmp_path, keep):
    path = tmp_path / "d.npz"
    prepared.save(make_dataset(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"d\.npz is not a readable prepared dataset"):
        prepared.load(path)


def test_another_npz_is_refused_by_name(tmp_path):
    write_npz(tmp_path / "d.npz", {"x": np.arange(3)})
    with pytest.raises(DatasetError, match=r"d\.npz is not a readable prepared dataset"):
        prepared.load(tmp_path / "d.npz")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(DatasetError, match=r"there is no prepared dataset .*d\.npz"):
        prepared.load(tmp_path / "d.npz")


@given(arrays(np.uint8, st.tuples(st.integers(0, 30), st.just(2), st.just(1)), elements=st.integers(0, 2)))
def test_duplicate_groups_name_the_first_equal_image(images):
    expected = [next(j for j in range(i + 1) if np.array_equal(images[i], images[j])) for i in range(len(images))]
    groups = duplicate_groups(images)
    assert groups.tolist() == expected
    assert groups.dtype == np.int32


def test_an_impossible_dataset_is_refused_with_the_reason(make_dataset):
    dataset = make_dataset()
    train, test = dataset.train, dataset.test
    wrong = {
        "needs at least 2": {"class_names": ["only"]},
        "expected uint8": {"train": replace(train, images=train.images.astype(np.float32))},
        r"train images are uint8\[40, 2\]": {"train": replace(train, images=train.images.reshape(40, 2))},
        "39 labels": {"train": replace(train, labels=train.labels[1:])},
        "test labels span 0 to 3": {"test": replace(test, labels=np.arange(12, dtype=np.int32) % 4)},
        "train labels span -1": {"train": replace(train, labels=train.labels - 1)},
        "train images are .* and test images": {"test": replace(test, images=np.zeros((12, 3, 1, 1), dtype=np.uint8))},
        **{rf"\b{name} has 39 entries": {name: getattr(dataset, name)[1:]} for name in FLAGS},
    }
    for message, change in wrong.items():
        with pytest.raises(DatasetError, match=message):
            rebuilt(dataset, **change)


def test_shape_is_given_with_channels_first(make_dataset):
    assert make_dataset().image_shape == (1, 2, 1)
    assert make_dataset().n_classes == 3


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (5000, 3, 2, 3), (4096, 1, 1, 2)])
def test_channel_moments_are_those_of_all_pixels(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    mean, std = prepared.channel_moments(images)
    pixels = images.reshape(-1, shape[3]).astype(np.float64)
    assert np.allclose(mean, pixels.mean(axis=0), rtol=1e-13, atol=0)
    assert np.allclose(std, pixels.std(axis=0), rtol=1e-13, atol=1e-13)
