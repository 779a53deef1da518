import numpy as np
import pytest

from memflow.data import subset
from memflow.data.prepared import DatasetError, Split

NAMES = ["ant", "bee", "cat", "dog"]


def split(n, odd):
    """Images that hold their own index; the index is not the position, classes are mixed."""
    index = 2 * np.arange(n, dtype=np.int32) + odd
    labels = np.random.default_rng(odd).integers(0, len(NAMES), n, dtype=np.int32)
    return Split((index % 256).astype(np.uint8).reshape(n, 1, 1, 1), labels, index)


TRAIN, TEST = split(120, 0), split(60, 1)


def choose(**option):
    return subset.choose(TRAIN, TEST, NAMES, {"seed": 0} | option)


def counts(part, n_classes=4):
    return np.bincount(part.labels, minlength=n_classes).tolist()


def test_each_class_has_the_asked_number_of_images_in_each_split():
    train, test, names = choose(per_class=5, test_per_class=3)
    assert (counts(train), counts(test), names) == ([5] * 4, [3] * 4, NAMES)


@pytest.mark.parametrize("option", [{"per_class": 5}, {"test_per_class": 5}])
def test_a_split_without_a_number_is_whole(option):
    train, test, _ = choose(**option)
    assert len(train) == (20 if "per_class" in option else 120)
    assert len(test) == (20 if "test_per_class" in option else 60)


@pytest.mark.parametrize("option", [{"per_class": 7}, {"classes": ["dog", "ant"]}, {"classes": ["bee", "cat"]}])
def test_every_image_keeps_its_official_index_in_official_order_and_its_class(option):
    train, _, names = choose(**option)
    assert (np.diff(train.index) > 0).all()
    position = train.index // 2
    assert np.array_equal(train.images, TRAIN.images[position])
    assert [names[label] for label in train.labels] == [NAMES[label] for label in TRAIN.labels[position]]
    assert (train.labels.dtype, train.index.dtype) == (np.int32, np.int32)


def test_classes_are_numbered_in_the_order_of_the_option():
    one, other = choose(classes=["cat", "ant"]), choose(classes=["ant", "cat"])
    assert (one[2], other[2]) == (["cat", "ant"], ["ant", "cat"])
    for first, second in zip(one[:2], other[:2], strict=True):
        assert np.array_equal(first.index, second.index)
        assert np.array_equal(first.labels, 1 - second.labels)
    assert counts(one[0], 2) == [counts(TRAIN)[2], counts(TRAIN)[0]]


def test_more_images_of_a_class_contain_the_fewer():
    chosen = [set(choose(per_class=n)[0].index.tolist()) for n in (3, 9, 20)]
    assert chosen[0] < chosen[1] < chosen[2]


def test_the_images_of_a_class_do_not_depend_on_the_other_classes():
    alone, together = choose(classes=["dog", "bee"], per_class=6)[0], choose(per_class=6)[0]
    dogs = set(alone.index[alone.labels == 0].tolist())
    assert dogs == set(together.index[together.labels == 3].tolist())


def test_the_same_seed_chooses_the_same_images_and_another_seed_others():
    one, again, other = (choose(per_class=6, seed=seed)[0].index.tolist() for seed in (1, 1, 2))
    assert one == again != other


def test_every_image_of_a_class_is_equally_likely():
    n = counts(TRAIN)[0]
    chosen = np.concatenate([choose(per_class=5, seed=seed)[0].index for seed in range(1000)])
    share = np.bincount(chosen // 2, minlength=120)[TRAIN.labels == 0] / 1000
    # binomials of chance 5 / n, each within 4.5 standard errors
    assert abs(share - 5 / n).max() < 4.5 * (5 / n * (1 - 5 / n) / 1000) ** 0.5


def test_classes_may_be_called_by_a_number_as_yaml_reads_it():
    _, _, names = subset.choose(TRAIN, TEST, ["0", "1", "2", "3"], {"seed": 0, "classes": [3, 1]})
    assert names == ["3", "1"]


def test_an_unknown_class_is_refused_with_the_closest_name():
    with pytest.raises(DatasetError, match=r"subset.classes names 'cats' \(did you mean 'cat'\? allowed: ant, bee"):
        choose(classes=["ant", "cats"])


def test_a_name_that_two_classes_share_cannot_be_asked_for_but_both_are_kept():
    names = ["ant", "crane", "cat", "crane"]
    with pytest.raises(DatasetError, match="names 'crane', as 2 classes are called"):
        subset.choose(TRAIN, TEST, names, {"seed": 0, "classes": ["ant", "crane"]})
    train, _, kept = subset.choose(TRAIN, TEST, names, {"seed": 0, "per_class": 4})
    assert (counts(train), kept) == ([4] * 4, names)


@pytest.mark.parametrize(("key", "name", "part"), [("per_class", "train", TRAIN), ("test_per_class", "test", TEST)])
def test_too_few_images_are_refused_with_class_and_numbers(key, name, part):
    few = int(np.argmin(counts(part)))
    available = counts(part)[few]
    with pytest.raises(
        DatasetError, match=f"class {NAMES[few]} has {available} {name} images, fewer than the {available + 1}"
    ):
        choose(**{key: available + 1})


def test_a_class_that_is_named_twice_is_refused():
    numbered = [str(number) for number in range(4)]
    with pytest.raises(DatasetError, match="names a class twice: 3, 3"):
        subset.choose(TRAIN, TEST, numbered, {"seed": 0, "classes": [3, "3"]})
