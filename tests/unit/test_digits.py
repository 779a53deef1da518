import hashlib

import numpy as np
from sklearn.datasets import load_digits

from memflow.data import digits


def test_every_digit_is_in_exactly_one_split_with_its_official_index():
    source = load_digits()
    train, test, class_names = digits.load()
    assert (len(train), len(test)) == (1078, 719)
    assert np.array_equal(np.sort(np.concatenate([train.index, test.index])), np.arange(1797))
    for split in (train, test):
        assert (np.diff(split.index) > 0).all()
        assert np.array_equal(split.images[..., 0], source.images[split.index] * 15)
        assert np.array_equal(split.labels, source.target[split.index])
        assert (split.images.dtype, split.labels.dtype, split.index.dtype) == (np.uint8, np.int32, np.int32)
        assert split.images.shape[1:] == (8, 8, 1)
    assert class_names == list("0123456789")


def test_the_split_is_stratified():
    train, test, _ = digits.load()
    in_train, in_test = (np.bincount(split.labels, minlength=10) for split in (train, test))
    assert abs(in_test - 0.4 * (in_train + in_test)).max() < 1


def test_the_split_is_that_of_the_first_release():
    train, test, _ = digits.load()
    assert hashlib.sha256(test.index.tobytes()).hexdigest()[:16] == "4d33ebf6372d6f36"
    assert hashlib.sha256(train.images.tobytes()).hexdigest()[:16] == "f905a26dacbfa4c0"
