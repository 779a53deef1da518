import numpy as np
import pandas as pd
import pytest
from helpers import tiny_config
from sklearn.datasets import load_digits

from memflow import provenance
from memflow.config import Study
from memflow.data import digits, prepare, prepared
from memflow.files import sha256

DATASETS = {
    "plain": {"source": "digits"},
    "noisy": {"source": "digits", "label_noise": {"fraction": "1/20", "seed": 3}},
    "all": {
        "source": "digits",
        "subset": {"classes": [8, 1, 4, 3], "per_class": 60, "test_per_class": 20, "seed": 1},
        "label_noise": {"kind": "pair", "fraction": "1/10"},
        "input_noise": {"fraction": "1/8"},
    },
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


@pytest.fixture(scope="module")
def everything():
    return prepare.prepare(STUDY.prepare_spec("all"))


def test_all_options_act_together_each_on_its_exact_share(everything):
    train, test = everything.train, everything.test
    assert everything.class_names == ["8", "1", "4", "3"]
    assert (len(train), len(test)) == (240, 80)
    assert np.bincount(everything.original_label).tolist() == [60] * 4
    assert np.bincount(test.labels).tolist() == [20] * 4
    assert (everything.label_noise.sum(), everything.input_noise.sum()) == (24, 30)
    assert not (everything.label_noise & everything.input_noise).any()


def test_original_labels_are_those_of_the_source_whatever_was_changed_since(everything, plain):
    place = np.searchsorted(plain.train.index, everything.train.index)
    assert np.array_equal(plain.train.index[place], everything.train.index)
    names = np.array(everything.class_names)
    assert np.array_equal(names[everything.original_label].astype(int), plain.train.labels[place])
    clean = ~(everything.label_noise | everything.input_noise)
    assert np.array_equal(everything.train.labels[clean], everything.original_label[clean])
    flipped = everything.label_noise
    assert np.array_equal(everything.train.labels[flipped], (everything.original_label[flipped] + 1) % 4)


def test_images_are_those_of_the_source_but_for_the_noise(everything, plain):
    source = plain.train.images[np.searchsorted(plain.train.index, everything.train.index)]
    same = (everything.train.images == source).all(axis=(1, 2, 3))
    assert np.array_equal(same, ~everything.input_noise)


def test_labels_from_a_file_are_flagged_where_they_differ_from_the_official_ones(tmp_path, plain):
    answers = plain.train.labels.copy()
    answers[::9] = (answers[::9] + 1) % 10
    of_index = np.zeros(1797, dtype=np.int64)  # in the official order of all digits, training and test
    of_index[plain.train.index] = answers
    np.savez(tmp_path / "people.npz", people=of_index)
    option = {"kind": "file", "file": str(tmp_path / "people.npz"), "key": "people"}
    entry = {"source": "digits", "label_noise": option}
    dataset = prepare.prepare(Study(tiny_config(datasets={"people": entry})).prepare_spec("people"))
    assert np.array_equal(dataset.train.labels, answers)
    assert np.array_equal(dataset.original_label, plain.train.labels)
    assert np.array_equal(np.flatnonzero(dataset.label_noise), np.arange(0, len(answers), 9))


def test_labels_of_duplicates_conflict_only_if_the_original_ones_do(monkeypatch):
    textures = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    train = prepared.Split(
        textures[[0, 1, 0, 2, 1, 3]], np.array([0, 1, 0, 1, 2, 2], np.int32), np.arange(6, dtype=np.int32)
    )
    test = prepared.Split(textures[[3, 4]], np.array([2, 0], np.int32), np.arange(6, 8, dtype=np.int32))
    monkeypatch.setattr(digits, "load", lambda: (train, test, ["a", "b", "c"]))
    entry = {"source": "digits", "label_noise": {"kind": "pair", "fraction": "1/2"}}
    for datasets in ({"plain": {"source": "digits"}}, {"plain": entry}):
        dataset = prepare.prepare(Study(tiny_config(datasets=datasets)).prepare_spec("plain"))
        assert dataset.duplicate_group.tolist() == [0, 1, 0, 3, 1, 5]
        assert dataset.near_duplicate_group.tolist() == [0, 1, 0, 3, 1, 5]
        assert dataset.conflicting_label.tolist() == [False, True, False, False, True, False]
        assert dataset.in_test.tolist() == [False] * 5 + [True]
    assert dataset.label_noise.sum() == 3


def test_the_pairs_of_duplicates_are_listed_beside_the_file_with_a_sidecar(tmp_path, everything):
    spec = STUDY.prepare_spec("all")
    prepare.run(spec, tmp_path / "all.npz")
    names = ["all.hazards.csv", "all.hazards.csv.prov.json", "all.npz", "all.npz.prov.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    listed = pd.read_csv(tmp_path / "all.hazards.csv")
    assert {"kind", "index", "other_split", "other_index", "similarity", "conflict"} <= set(listed.columns)
    record = provenance.read(tmp_path / "all.hazards.csv")
    assert (record["definition"], record["fingerprint"]) == (spec, everything.fingerprint)
    loaded = prepared.load(tmp_path / "all.npz")
    for flag in prepared.FLAGS:
        assert np.array_equal(getattr(loaded, flag), getattr(everything, flag))


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


def test_the_sidecar_names_the_users_own_files_with_their_hash(tmp_path):
    file = tmp_path / "labels.npz"
    np.savez(file, people=(load_digits().target + 1) % 10)
    spec = STUDY.prepare_spec("plain")
    noise = {"kind": "file", "file": str(file), "key": "people"}
    prepare.run({**spec, "dataset": spec["dataset"] | {"label_noise": noise}}, tmp_path / "noisy.npz")
    assert provenance.read(tmp_path / "noisy.npz")["inputs"] == {str(file): sha256(file)}


def test_preparing_twice_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / name / "plain.npz" for name in ("one", "two")]
    for path in paths:
        prepare.run(STUDY.prepare_spec("plain"), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


SUPERCLASSES = {"classes": {"odd": {"1": "1", "7": "1/8"}, "even": {"4": "1", "8": "1/4"}}, "seed": 0}


def with_options(**options):
    """The digits' dataset of a study with these options beside the defaults."""
    spec = STUDY.prepare_spec("plain")
    return prepare.prepare({**spec, "dataset": spec["dataset"] | options})


def test_superclasses_come_after_the_subset_and_before_the_noise(plain):
    chosen = {"classes": ["8", "7", "1", "4"], "per_class": 80, "seed": 0}
    noise = {"kind": "symmetric", "fraction": "1/5", "seed": 0}
    dataset = with_options(subset=chosen, superclasses=SUPERCLASSES, label_noise=noise)
    assert dataset.class_names == ["even", "odd"]
    assert np.bincount(dataset.subpopulation).tolist() == [20, 10, 80, 80]  # in the order of the subset's classes
    place = np.searchsorted(plain.train.index, dataset.train.index)
    digit = np.array([8, 7, 1, 4])[dataset.subpopulation]
    assert np.array_equal(plain.train.labels[place], digit)
    assert np.array_equal(dataset.original_label, digit % 2)
    assert dataset.label_noise.sum() == 190 // 5
    assert np.array_equal(dataset.train.labels, np.where(dataset.label_noise, 1 - digit % 2, digit % 2))
    assert len(dataset.test) == np.isin(plain.test.labels, [8, 7, 1, 4]).sum()


def test_parts_that_the_source_knows_are_kept_through_a_subset(monkeypatch, plain):
    train, test, _ = digits.load()
    halves = [prepared.Split(part.images, part.labels % 2, part.index) for part in (train, test)]
    monkeypatch.setattr(digits, "load", lambda: (*halves, ["even", "odd"], train.labels))
    assert np.array_equal(with_options().subpopulation, train.labels)
    dataset = with_options(subset={"classes": ["odd", "even"], "per_class": 30, "seed": 0})
    digit = plain.train.labels[np.searchsorted(plain.train.index, dataset.train.index)]
    assert np.array_equal(dataset.subpopulation, digit)
    assert np.array_equal(dataset.train.labels, 1 - digit % 2)


def test_where_no_parts_are_known_the_subpopulation_is_the_label_before_noise(everything):
    assert np.array_equal(everything.subpopulation, everything.original_label)
