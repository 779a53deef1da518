import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from memflow.data import noise
from memflow.data.prepared import DatasetError, Split

FRACTIONS = st.fractions(0, 1, max_denominator=40)


def labels_of(n, n_classes):
    return (np.arange(n) % n_classes).astype(np.int32)


@given(st.integers(0, 300), st.integers(2, 12), FRACTIONS, st.integers(0, 10**6))
def test_exactly_the_asked_share_of_labels_changes_to_another_class(n, n_classes, fraction, seed):
    labels = labels_of(n, n_classes)
    noisy = noise.symmetric(labels, n_classes, fraction, seed)
    assert (noisy != labels).sum() == fraction.numerator * n // fraction.denominator
    assert np.isin(noisy, range(n_classes)).all()
    assert noisy.dtype == np.int32


def test_the_labels_given_are_left_alone():
    labels = labels_of(50, 3)
    noise.symmetric(labels, 3, Fraction(1), seed=0)
    assert np.array_equal(labels, labels_of(50, 3))


def test_other_classes_are_equally_likely():
    n = 9000
    labels = np.full(n, 2, dtype=np.int32)
    changed = np.bincount(noise.symmetric(labels, 10, Fraction(1), seed=1), minlength=10)
    assert changed[2] == 0
    assert chisquare(np.delete(changed, 2)).pvalue > 1e-4  # seed is fixed; a fresh one would fail once in 10,000


def test_every_example_is_equally_likely_to_change():
    labels = labels_of(20, 4)
    changed = sum(noise.symmetric(labels, 4, Fraction(1, 4), seed) != labels for seed in range(2000))
    # 20 binomials, each within 4.5 standard errors
    assert abs(changed / 2000 - 0.25).max() < 4.5 * (0.25 * 0.75 / 2000) ** 0.5


def test_noise_is_that_of_the_first_release():
    noisy = noise.symmetric(labels_of(40, 10), 10, Fraction(1, 5), seed=0)
    changed = np.flatnonzero(noisy != labels_of(40, 10))
    assert changed.tolist() == [12, 14, 21, 29, 33, 36, 37, 38]
    assert noisy[changed].tolist() == [5, 5, 7, 7, 0, 3, 4, 7]


def test_another_seed_changes_other_labels():
    labels = labels_of(1000, 10)
    one, other = (noise.symmetric(labels, 10, Fraction(1, 10), seed) != labels for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_pair_noise_moves_exactly_its_share_of_labels_to_the_next_class_and_the_last_to_the_first():
    labels = labels_of(1003, 7)
    noisy = noise.pair(labels, 7, Fraction(1, 5), seed=2)
    changed = noisy != labels
    assert changed.sum() == 200
    assert np.array_equal(noisy[changed], (labels[changed] + 1) % 7)
    assert noisy.dtype == np.int32


def test_the_kinds_of_noise_change_the_same_examples():
    labels = labels_of(500, 10)
    one, other = (make(labels, 10, Fraction(1, 4), 5) != labels for make in (noise.symmetric, noise.pair))
    assert np.array_equal(one, other)


# Labels from a file.

CLEAN = labels_of(30, 5)
WORSE = np.where(np.arange(30) % 4 == 1, (CLEAN + 2) % 5, CLEAN)


def split_of(labels, index=None, shape=(2, 2, 1)):
    index = np.arange(len(labels)) if index is None else index
    return Split(np.zeros((len(labels), *shape), dtype=np.uint8), labels.astype(np.int32), index.astype(np.int32))


def write_arrays(path, **arrays):
    """Arrays in a file, in the form that its name says; an .npy file holds ``worse_label`` alone."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".pt":
        torch.save(arrays, path)
    else:
        np.save(path, arrays["worse_label"])
    return path


def from_file(path, train=None, key="worse_label"):
    return noise.labels(train or split_of(CLEAN), 5, {"kind": "file", "file": str(path), "key": key})


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
@pytest.mark.parametrize(("name", "key"), [("a.npz", "worse_label"), ("a.pt", "worse_label"), ("a.npy", "labels")])
def test_labels_are_read_from_a_file(tmp_path, name, key, dtype):
    path = write_arrays(tmp_path / name, worse_label=WORSE.astype(dtype), clean_label=CLEAN.astype(dtype))
    found = from_file(path, key=key)
    assert np.array_equal(found, WORSE)
    assert found.dtype == np.int32


def test_a_file_of_the_time_of_numpy_1_such_as_cifar_10n_is_read(tmp_path):
    written = write_arrays(tmp_path / "new.pt", worse_label=WORSE, clean_label=CLEAN)
    with zipfile.ZipFile(written) as new, zipfile.ZipFile(tmp_path / "old.pt", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in (tmp_path / "old.pt").read_bytes()
    assert np.array_equal(from_file(tmp_path / "old.pt"), WORSE)


@pytest.mark.parametrize("name", ["a.npz", "a.pt"])
def test_a_subset_takes_its_own_labels_by_index(tmp_path, name):
    path = write_arrays(tmp_path / name, worse_label=WORSE, clean_label=CLEAN)
    index = np.array([3, 4, 9, 25, 29])
    assert np.array_equal(from_file(path, split_of(CLEAN[index], index)), WORSE[index])


@pytest.mark.parametrize("name", ["a.npz", "a.pt"])
def test_a_file_in_another_order_is_refused_with_the_first_difference(tmp_path, name):
    other = CLEAN.copy()
    other[[7, 8]] = other[[8, 7]]
    path = write_arrays(tmp_path / name, worse_label=WORSE, clean_label=other)
    with pytest.raises(DatasetError, match=r"clean_label differs .* at 2 of 30 examples, first at index 7.*order"):
        from_file(path)


@pytest.mark.parametrize(
    ("worse", "message"),
    [
        (WORSE[:-1], r"worse_label is int32\[29\]; .* at least 30"),
        (WORSE[:, None], r"worse_label is int32\[30, 1\]; expected one whole number"),
        (WORSE.astype(np.float32), r"worse_label is float32\[30\]; expected one whole number"),
        (WORSE + 1, "worse_label spans 1 to 5; the dataset has 5 classes"),
        (WORSE - 1, "worse_label spans -1 to 3; the dataset has 5 classes"),
    ],
    ids=["too few", "a column", "no whole numbers", "too high", "negative"],
)
@pytest.mark.parametrize("name", ["a.npz", "a.pt"])
def test_labels_that_cannot_be_the_datasets_are_refused(tmp_path, name, worse, message):
    path = write_arrays(tmp_path / name, worse_label=worse, clean_label=CLEAN)
    with pytest.raises(DatasetError, match=message):
        from_file(path)


@pytest.mark.parametrize(("name", "names"), [("a.npz", "clean_label, worse_label"), ("a.npy", "labels")])
def test_labels_that_the_file_does_not_have_are_refused_with_those_it_has(tmp_path, name, names):
    path = write_arrays(tmp_path / name, worse_label=WORSE, clean_label=CLEAN)
    with pytest.raises(DatasetError, match=f"has no labels 'aggre_label'; it has {names}"):
        from_file(path, key="aggre_label")


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.pt"])
@pytest.mark.parametrize("keep", [0, 0.5])
def test_a_damaged_file_is_refused_by_name(tmp_path, name, keep):
    path = write_arrays(tmp_path / name, worse_label=WORSE, clean_label=CLEAN)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DatasetError, match=rf"{name} is not a readable .npz, .npy or .pt file of labels"):
        from_file(path)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.pt"])
def test_a_missing_file_is_refused_by_name(tmp_path, name):
    with pytest.raises(DatasetError, match=f"there is no file of labels .*{name}"):
        from_file(tmp_path / name)


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("harm-done"),))


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt"])
def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    harmful = np.array([Harmful()], dtype=object)
    write_arrays(tmp_path / name, worse_label=harmful if name != "a.pt" else Harmful())
    with pytest.raises(DatasetError, match="is not a readable"):
        from_file(tmp_path / name)
    assert not (tmp_path / "harm-done").exists()


# Noise in place of images.

SHAPE = (6, 5, 3)


def pictures(n=600, n_classes=4):
    """Images whose channels differ in mean and deviation, away from 0 and 255."""
    values = np.random.default_rng(0).normal([90, 120, 150], [10, 20, 25], (n, *SHAPE))
    return Split(np.clip(values, 0, 255).astype(np.uint8), labels_of(n, n_classes), 2 * np.arange(n, dtype=np.int32))


def replaced(train, replaceable=None, fraction="1/4", seed=0, n_classes=4):
    replaceable = np.ones(len(train), dtype=bool) if replaceable is None else replaceable
    return noise.images(train, replaceable, n_classes, {"fraction": fraction, "seed": seed})


@pytest.mark.parametrize(("n", "fraction", "expected"), [(600, "1/4", 150), (601, "1/4", 150), (99, "1/100", 0)])
def test_exactly_the_asked_share_of_images_is_replaced_and_the_others_stay(n, fraction, expected):
    train = pictures(n)
    noisy, where = replaced(train, fraction=fraction)
    assert where.sum() == expected
    assert np.array_equal(noisy.images[~where], train.images[~where])
    assert np.array_equal(noisy.labels[~where], train.labels[~where])
    assert (noisy.images[where] != train.images[where]).any(axis=(1, 2, 3)).all()
    assert np.array_equal(noisy.index, train.index)
    assert (noisy.images.dtype, noisy.labels.dtype) == (np.uint8, np.int32)


def test_the_images_given_are_left_alone():
    train = pictures()
    before = train.images.copy(), train.labels.copy()
    replaced(train)
    assert np.array_equal(train.images, before[0])
    assert np.array_equal(train.labels, before[1])


def test_images_with_a_noisy_label_are_not_replaced():
    replaceable = np.arange(600) % 3 != 0
    _, where = replaced(pictures(), replaceable, fraction="1/2")
    assert where.sum() == 300
    assert not (where & ~replaceable).any()


def test_too_few_replaceable_images_are_refused_with_the_numbers():
    with pytest.raises(DatasetError, match="input_noise wants 300 of 600 examples, but label_noise leaves only 200"):
        replaced(pictures(), np.arange(600) % 3 == 0, fraction="1/2")


def test_the_noise_has_mean_and_deviation_of_every_channel():
    train = pictures()
    noisy, where = replaced(train, fraction="1/2")
    pixels = noisy.images[where].reshape(-1, 3).astype(float)
    mean, std, n = train.images.mean(axis=(0, 1, 2)), train.images.std(axis=(0, 1, 2)), len(pixels)
    # 4.5 standard errors each; rounding to whole numbers adds 1/12 to the variance
    assert (abs(pixels.mean(axis=0) - mean) < 4.5 * std / n**0.5).all()
    assert (abs(pixels.var(axis=0) - std**2 - 1 / 12) < 4.5 * std**2 * (2 / n) ** 0.5).all()


def test_pixels_of_noise_are_independent():
    noisy, where = replaced(pictures(), fraction="1/2")
    columns = noisy.images[where].reshape(300, -1)
    correlation = np.corrcoef(columns.T)[np.triu_indices(columns.shape[1], 1)]
    assert abs(correlation).max() < 5.5 / 300**0.5  # 4,005 pairs
    assert abs(correlation.mean()) < 4.5 / (300 * len(correlation)) ** 0.5


def test_the_labels_of_noise_are_uniform_whatever_the_image_was():
    train = pictures(8000)
    noisy, where = replaced(train, fraction="1/2")
    for label in range(4):
        given = np.bincount(noisy.labels[where & (train.labels == label)], minlength=4)
        assert chisquare(given).pvalue > 1e-4  # seed is fixed; a fresh one would fail once in 10,000


def test_every_image_is_equally_likely_to_be_replaced():
    train = pictures(20)
    count = sum(replaced(train, seed=seed)[1] for seed in range(1000))
    # 20 binomials, each within 4.5 standard errors
    assert abs(count / 1000 - 0.25).max() < 4.5 * (0.25 * 0.75 / 1000) ** 0.5


def test_the_same_seed_gives_the_same_bytes_and_another_others():
    one, again, other = (replaced(pictures(), seed=seed)[0] for seed in (3, 3, 4))
    assert one.images.tobytes() == again.images.tobytes()
    assert one.labels.tobytes() == again.labels.tobytes()
    assert one.images.tobytes() != other.images.tobytes()


def test_images_without_colour_or_contrast_can_be_replaced():
    grey = Split(np.full((20, 3, 3, 1), 7, dtype=np.uint8), labels_of(20, 2), np.arange(20, dtype=np.int32))
    noisy, where = replaced(grey, n_classes=2)
    assert where.sum() == 5
    assert (noisy.images == 7).all()
