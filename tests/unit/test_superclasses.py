import numpy as np
import pytest

from memflow.data import superclasses
from memflow.data.prepared import DatasetError, Split

NAMES = ["ant", "bee", "cat", "dog", "eel"]
OPTION = {"insects": {"bee": 1, "ant": "1/4"}, "beasts": {"dog": 0.5, "cat": "1/1"}}


def split(n, odd):
    """Images that hold their own index; the index is not the position, classes are mixed."""
    index = 2 * np.arange(n, dtype=np.int32) + odd
    labels = np.random.default_rng(odd).integers(0, len(NAMES), n, dtype=np.int32)
    return Split((index % 256).astype(np.uint8).reshape(n, 1, 1, 1), labels, index)


TRAIN, TEST = split(125, 0), split(60, 1)
SIZES = dict(zip(NAMES, np.bincount(TRAIN.labels).tolist(), strict=True))


def merge(classes=OPTION, seed=0):
    return superclasses.merge(TRAIN, TEST, NAMES, {"classes": classes, "seed": seed})


def test_superclasses_are_labels_in_alphabetical_order_and_classes_stay_known():
    train, test, names, parts = merge()
    assert names == ["beasts", "insects"]
    classes = [NAMES[part] for part in parts]
    assert [names[label] for label in train.labels] == ["insects" if c in ("ant", "bee") else "beasts" for c in classes]
    assert np.array_equal(parts, TRAIN.labels[train.index // 2])
    assert set(test.labels.tolist()) == {0, 1}
    assert (train.labels.dtype, train.index.dtype, parts.dtype) == (np.int32, np.int32, np.int32)


def test_the_order_of_the_option_means_nothing():
    turned = {name: dict(reversed(classes.items())) for name, classes in reversed(OPTION.items())}
    for one, other in zip(merge()[:2], merge(turned)[:2], strict=True):
        assert np.array_equal(one.index, other.index)
        assert np.array_equal(one.labels, other.labels)


def test_each_class_keeps_the_floor_of_its_share_in_official_order():
    train, _, _, parts = merge()
    kept = np.bincount(parts, minlength=5).tolist()
    assert kept == [SIZES["ant"] // 4, SIZES["bee"], SIZES["cat"], SIZES["dog"] // 2, 0]
    assert (np.diff(train.index) > 0).all()
    assert np.array_equal(train.images, TRAIN.images[train.index // 2])


def test_all_test_images_of_the_named_classes_are_kept():
    _, test, names, _ = merge()
    named = TEST.labels != NAMES.index("eel")
    assert np.array_equal(test.index, TEST.index[named])
    assert np.array_equal(test.images, TEST.images[named])
    assert [names[label] == "insects" for label in test.labels] == (TEST.labels[named] < 2).tolist()


def test_larger_shares_contain_the_smaller_whatever_happens_to_other_classes():
    def ants(share, other):
        train, _, _, parts = merge({"a": {"ant": share}, "b": {"bee": other}})
        return set(train.index[parts == 0].tolist())

    assert ants("1/8", 1) < ants("1/4", "1/2") < ants("2/3", 1) < ants(1, 1)


def test_the_same_seed_keeps_the_same_images_and_another_seed_others():
    one, again, other = (merge(seed=seed)[0].index.tolist() for seed in (1, 1, 2))
    assert one == again != other


def test_every_image_of_a_class_is_equally_likely():
    members = np.flatnonzero(TRAIN.labels == 0)
    drawn = np.concatenate([merge({"a": {"ant": "1/3"}, "b": {"bee": 1}}, seed)[0].index for seed in range(1000)])
    share = np.bincount(drawn // 2, minlength=125)[members] / 1000
    expected = len(members) // 3 / len(members)
    # binomials, each within 4.5 standard errors
    assert abs(share - expected).max() < 4.5 * (expected * (1 - expected) / 1000) ** 0.5


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"a": {"ant": 1}, "b": {"beee": 1}}, r"classes\.b names 'beee' \(did you mean 'bee'\? allowed: ant, bee"),
        ({"a": {"ant": 1}, "b": {"bee": 1, "ant": 1}}, r"classes\.b names 'ant', which is in 'a' already"),
        ({"a": {"ant": 1}, "b": {}}, r"classes\.b names no class"),
        ({"a": {"ant": 1}}, "at least 2 superclasses"),
        ({}, "at least 2 superclasses"),
        ({"a": {"ant": 1}, "b": {"bee": "1/99"}}, rf"b\.bee is 1/99, which leaves none of its {SIZES['bee']} training"),
        *(
            ({"a": {"ant": 1}, "b": {"bee": share}}, rf"b\.bee is {share!r}; it must be a share above 0 and at most 1")
            for share in (0, "5/4", -0.5, "half", "1/0")
        ),
    ],
)
def test_what_cannot_be_is_refused_with_key_and_value(classes, message):
    with pytest.raises(DatasetError, match=message):
        merge(classes)


def test_a_name_that_two_classes_share_cannot_be_asked_for():
    option = {"classes": {"a": {"crane": 1}, "b": {"bee": 1}}, "seed": 0}
    with pytest.raises(DatasetError, match=r"classes\.a names 'crane', as 2 classes are called"):
        superclasses.merge(TRAIN, TEST, ["crane", "bee", "cat", "crane", "eel"], option)
