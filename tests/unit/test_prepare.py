import numpy as np
import pytest
from helpers import tiny_config

from memflow import provenance
from memflow.config import Study
from memflow.data import digits, prepare, prepared

DATASETS = {
    "plain": {"source": "digits"},
    "noisy": {"source": "digits", "label_noise": {"fraction": "1/20", "seed": 3}},
}
STUDY = Study(tiny_config(datasets=DATASETS))


@pytest.fixture(scope="module")
def plain():
    return prepare.prepare(STUDY.prepare_spec("plain"))


@pytest.fixture(scope="module")
def noisy():
    return prepare.prepare(STUDY.prepare_spec("noisy"))


def test_without_options_a_dataset_is_what_its_source_gives(plain):
    train, test, class_names = digits.load()
    for split, source in ((plain.train, train), (plain.test, test)):
        assert np.array_equal(split.images, source.images)
        assert np.array_equal(split.labels, source.labels)
        assert np.array_equal(split.index, source.index)
    assert plain.class_names == class_names
    assert not plain.label_noise.any()
    assert np.array_equal(plain.original_label, train.labels)


def test_label_noise_changes_exactly_its_share_and_flags_it(plain, noisy):
    changed = noisy.train.labels != plain.train.labels
    assert changed.sum() == len(plain.train) // 20
    assert np.array_equal(noisy.label_noise, changed)
    assert np.array_equal(noisy.original_label, plain.train.labels)


def test_label_noise_leaves_images_and_test_labels(plain, noisy):
    assert np.array_equal(noisy.train.images, plain.train.images)
    assert np.array_equal(noisy.test.labels, plain.test.labels)


def test_another_noise_seed_is_another_dataset(noisy):
    other = {**DATASETS["noisy"], "label_noise": {"fraction": "1/20", "seed": 4}}
    dataset = prepare.prepare(Study(tiny_config(datasets={"noisy": other})).prepare_spec("noisy"))
    assert dataset.fingerprint != noisy.fingerprint
    assert (dataset.label_noise != noisy.label_noise).any()


def test_exact_duplicates_are_found_whatever_their_labels(monkeypatch):
    images = np.arange(5, dtype=np.uint8)[[0, 1, 0, 2, 1]].reshape(5, 1, 1, 1)
    split = prepared.Split(images, np.array([0, 1, 1, 0, 1], dtype=np.int32), np.arange(5, dtype=np.int32))
    monkeypatch.setattr(digits, "load", lambda: (split, split, ["a", "b"]))
    assert prepare.prepare(STUDY.prepare_spec("plain")).duplicate_group.tolist() == [0, 1, 0, 3, 1]


def test_the_prepared_file_reads_back_and_has_a_sidecar_with_its_fingerprint(tmp_path, noisy):
    spec = STUDY.prepare_spec("noisy")
    prepare.run(spec, tmp_path / "noisy.npz")
    dataset = prepared.load(tmp_path / "noisy.npz")
    record = provenance.read(tmp_path / "noisy.npz")
    assert dataset.fingerprint == noisy.fingerprint == record["fingerprint"]
    assert np.array_equal(dataset.label_noise, noisy.label_noise)
    assert (record["definition"], record["inputs"]) == (spec, {})


def test_preparing_twice_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / name / "plain.npz" for name in ("one", "two")]
    for path in paths:
        prepare.run(STUDY.prepare_spec("plain"), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
