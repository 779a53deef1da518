import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.sparse.csgraph import connected_components

from memflow.data import digits, hazards
from memflow.data.hazards import find, project, similarity
from memflow.data.prepared import Split

SHAPE = (12, 10, 3)  # no multiple of the grid
N, N_TEST = 60, 25
NEAR = 0.95


def split(images, labels=None, step=3):
    """A split whose official indices are not its positions."""
    labels = np.zeros(len(images)) if labels is None else np.array(labels)
    return Split(np.array(images), labels.astype(np.int32), (100 + step * np.arange(len(images))).astype(np.int32))


def noise(n, seed, shape=SHAPE):
    return np.random.default_rng(seed).integers(40, 200, (n, *shape), dtype=np.uint8)


def darker(image):
    return np.round(10 + 0.7 * image).astype(np.uint8)


def noisy(image, by, seed=0):
    return np.clip(image + np.random.default_rng(seed).normal(0, by, image.shape), 0, 255).astype(np.uint8)


def planted():
    """Random images among which some are copies: exact, darker, noisy, in chains, constant, with other labels."""
    train, test = noise(N, 1), noise(N_TEST, 2)
    labels, test_labels = np.arange(N) % 4, np.arange(N_TEST) % 4
    for number, (source, copy) in enumerate([(3, 50), (3, 20), (5, 6), (8, 40), (40, 41), (41, 42), (9, 10)]):
        change = (lambda image: image, darker, lambda image: noisy(image, 8, 7))[number % 3]
        train[copy] = change(train[source])
    train[11] = train[12] = train[13] = 77
    train[14] = 78
    test[[0, 1, 2, 3, 4, 5]] = train[3], darker(train[3]), noisy(train[41], 5), train[11], train[30], train[30]
    test[6] = noisy(train[31], 11)
    labels[[3, 50, 8, 40, 41]] = 1, 1, 2, 2, 3
    return split(train, labels), split(test, test_labels, 7)


def by_brute_force(train, test, near=NEAR):
    """Correlation by numpy of every pair: pairs as (kind, index, other split, other index), and their similarities."""
    found = {}
    for name, other in (("train", train), ("test", test)):
        for i, j in itertools.product(range(len(train)), range(len(other))):
            one, two = train.images[i], other.images[j]
            if name == "train" and j <= i:
                continue
            constant = one.min() == one.max() or two.min() == two.max()
            value = 1.0 if (one == two).all() else 0.0 if constant else np.corrcoef(one.ravel(), two.ravel())[0, 1]
            if value >= near:
                kind = "exact" if (one == two).all() else "near"
                found[kind, name, i, j] = value
    return found


def listed(pairs):
    """Without those that the table states through the first copy."""
    first = {}
    for (kind, name, i, j), _ in pairs.items():
        if kind == "exact" and name == "train":
            first[j] = min(i, first.get(j, i))
    return {
        key: value
        for key, value in pairs.items()
        if key[2] not in first and not (key[0] == "near" and key[1] == "train" and key[3] in first)
    }


def as_positions(pairs, train, test):
    position = {
        "train": {index: number for number, index in enumerate(train.index)},
        "test": {index: number for number, index in enumerate(test.index)},
    }
    return {
        (row.kind, row.other_split, position["train"][row.at], position[row.other_split][row.other_index]): row
        for row in pairs.rename(columns={"index": "at"}).itertuples()
    }


def assert_right(train, test, near=NEAR):
    found, every = find(train, test, near), by_brute_force(train, test, near)
    rows, expected = as_positions(found.pairs, train, test), listed(every)
    assert len(rows) == len(found.pairs)
    assert set(rows) == set(expected)
    for (kind, name, i, j), row in rows.items():
        other = {"train": train, "test": test}[name]
        assert (row.label, row.other_label) == (train.labels[i], other.labels[j])
        assert row.conflict == (train.labels[i] != other.labels[j])
        assert row.similarity == pytest.approx(expected[kind, name, i, j], abs=1e-12)
        assert row.total == sum(r.conflict == row.conflict and k[:2] == (kind, name) for k, r in rows.items())
    inside = [(i, j) for _, name, i, j in every if name == "train"]
    linked = np.zeros((len(train), len(train)), dtype=bool)
    linked[tuple(np.array(inside, dtype=int).reshape(-1, 2).T)] = True
    _, component = connected_components(linked, directed=False)
    assert found.near_duplicate_group.tolist() == [component.tolist().index(number) for number in component]
    assert found.near_duplicate_group.dtype == np.int32
    assert found.largest_group == max(np.bincount(component))
    differs = train.labels[:, None] != train.labels
    assert found.conflicting_label.tolist() == ((linked | linked.T) & differs).any(axis=1).tolist()
    in_test = {i for _, name, i, _ in every if name == "test"}
    assert found.in_test.tolist() == [number in in_test for number in range(len(train))]
    return found


def test_planted_copies_are_found_as_by_brute_force():
    found = assert_right(*planted())
    rows = found.pairs.groupby(["kind", "other_split"]).size()
    assert rows.to_dict() == {("exact", "train"): 5, ("exact", "test"): 5, ("near", "train"): 5, ("near", "test"): 6}


@pytest.mark.parametrize(("tile", "chunk"), [(1, 1), (7, 1000), (59, 5000), (64, 1 << 20)])
def test_tiles_and_chunks_of_any_size_give_the_same(tile, chunk, monkeypatch):
    expected = find(*planted(), NEAR)
    monkeypatch.setattr(hazards, "TILE", tile)
    monkeypatch.setattr(hazards, "CHUNK", chunk)
    found = find(*planted(), NEAR)
    pd.testing.assert_frame_equal(found.pairs, expected.pairs)
    for name in ("near_duplicate_group", "conflicting_label", "in_test"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("near", [0.02, 0.06, 0.1])
def test_a_threshold_that_random_images_reach_gives_what_brute_force_gives(near):
    train, test = planted()
    found = assert_right(train, test, near)
    assert len(found.pairs) > 30


@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 4, 1), (16, 16, 3), (9, 8, 2), (1, 3, 1), (28, 28, 1)])
def test_images_of_any_shape(shape):
    train, test = noise(20, 3, shape), noise(10, 4, shape)
    train[7], test[2], test[3] = darker(train[4]), train[9], darker(train[4])
    assert_right(split(train), split(test))


# --- no pair is missed -----------------------------------------------------------------------------------------------


def test_no_pair_at_the_bound_is_missed(monkeypatch):
    """Images of 8x8 pixels are their own coarse images: the bound is the similarity, and only the tolerance helps."""
    images, missed = noise(200, 5, (8, 8, 1)), {hazards.TOLERANCE: 0, 0.0: 0}
    ones = np.arange(0, 200, 2)
    for tolerance in missed:
        monkeypatch.setattr(hazards, "TOLERANCE", tolerance)
        for one, near in zip(ones, similarity(images[ones], images[ones + 1]), strict=True):
            if near > 0:
                pair = split(images[[one, one + 1]])
                missed[tolerance] += len(find(pair, split(images[:0]), near).pairs) != 1
    assert missed[0.0] > 10
    assert missed[1e-4] == 0


def test_images_that_differ_within_the_cells_only_are_found():
    """The coarse image holds nothing of them but what is left."""
    pattern = np.indices((16, 16)).sum(axis=0)[..., None] % 2
    images = np.stack([128 + 50 * pattern, 128 + 80 * pattern, 128 - 50 * pattern]).astype(np.uint8)
    assert np.allclose(project(images)[:, : hazards.GRID**2], 0)
    found = find(split(images), split(images[:0]), 0.99)
    assert found.pairs[["index", "other_index"]].values.tolist() == [[100, 103]]


def test_dot_products_of_coarse_images_are_upper_bounds():
    images = np.concatenate([noise(40, 6), [noisy(image, 30) for image in noise(40, 6)]])
    bound = project(images) @ project(images).T
    i, j = np.triu_indices(len(images), 1)
    correlation = similarity(images[i], images[j])
    assert (bound[i, j] >= correlation - hazards.TOLERANCE / 10).all()
    assert np.allclose(np.diagonal(bound), 1)


def test_the_tolerance_is_more_than_float32_can_be_wrong_by():
    images = noise(50, 7, (32, 32, 3))
    entries = project(images).shape[1]
    assert (entries + 2) * np.finfo(np.float32).eps / 2 < hazards.TOLERANCE
    exact = project(images).astype(np.float64)
    assert np.abs(project(images) @ project(images).T - exact @ exact.T).max() < hazards.TOLERANCE / 10


# --- similarity ------------------------------------------------------------------------------------------------------


def test_similarity_is_the_correlation_and_symmetric():
    one, other = noise(30, 8), noise(30, 9)
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(one, other, strict=True)]
    assert np.allclose(similarity(one, other), expected, atol=1e-12)
    assert np.array_equal(similarity(one, other), similarity(other, one))


def test_brightness_and_contrast_do_not_matter():
    image = 2 * noise(1, 10) // 4
    assert similarity(image, 2 * image + 7) == pytest.approx(1, abs=1e-15)
    assert similarity(image, 255 - image) == pytest.approx(-1, abs=1e-15)


def test_a_constant_image_has_exact_duplicates_only():
    images = noise(6, 11)
    images[1] = images[4] = 0
    images[2] = 200
    assert similarity(images[[1, 1]], images[[0, 2]]).tolist() == [0, 0]
    found = find(split(images), split(images[2:3]), NEAR)
    rows = found.pairs[["kind", "index", "other_split", "other_index"]].values.tolist()
    assert rows == [["exact", 103, "train", 112], ["exact", 106, "test", 100]]
    assert found.near_duplicate_group.tolist() == [0, 1, 2, 3, 1, 5]


# --- labels, chains, order -------------------------------------------------------------------------------------------


def test_labels_conflict_between_direct_duplicates_only():
    """In the chain a - b - c the ends are no duplicates of each other."""
    a = noise(1, 12)[0].astype(float)
    far, b = noise(1, 13)[0].astype(float), None
    b = 0.65 * a + 0.35 * far
    images = np.stack([a, b, 0.4 * a + 0.6 * far]).astype(np.uint8)
    ab, bc, ac = similarity(images[[0, 1, 0]], images[[1, 2, 2]])
    near = (min(ab, bc) + ac) / 2
    assert ac < near < min(ab, bc)
    found = find(split(images, [0, 0, 1]), split(images[:0]), near)
    assert found.near_duplicate_group.tolist() == [0, 0, 0]
    assert found.conflicting_label.tolist() == [False, True, True]
    assert found.pairs["conflict"].sum() == 1


def test_every_copy_of_an_image_has_the_conflicts_and_the_test_images_of_all():
    images = noise(6, 14)
    images[[1, 2]], images[4] = images[0], darker(images[0])
    found = find(split(images, [0, 0, 1, 0, 0, 0]), split([darker(images[4])]), NEAR)
    assert found.conflicting_label.tolist() == [True, True, True, False, True, False]
    assert found.in_test.tolist() == [True, True, True, False, True, False]
    assert found.near_duplicate_group.tolist() == [0, 0, 0, 3, 0, 5]


def test_the_order_of_the_examples_does_not_matter():
    train, test = planted()
    order = np.random.default_rng(15).permutation(N)
    shuffled = Split(train.images[order], train.labels[order], train.index[order])
    one, other = find(train, test, NEAR), find(shuffled, test, NEAR)
    assert np.array_equal(one.conflicting_label[order], other.conflicting_label)
    assert np.array_equal(one.in_test[order], other.in_test)
    same = one.near_duplicate_group[:, None] == one.near_duplicate_group
    assert np.array_equal(same[order][:, order], other.near_duplicate_group[:, None] == other.near_duplicate_group)
    near = [table.pairs[table.pairs["kind"] == "near"]["similarity"].tolist() for table in (one, other)]
    assert near[0] == near[1]


def test_pairs_are_in_order_of_kind_split_and_similarity():
    pairs = find(*planted(), NEAR).pairs
    keys = list(zip(pairs["kind"] == "near", pairs["other_split"] == "test", -pairs["similarity"], strict=True))
    assert keys == sorted(keys)


def test_the_most_similar_near_duplicates_are_listed_and_all_are_counted_and_marked(monkeypatch):
    everything = find(*planted(), 0.1)
    monkeypatch.setattr(hazards, "MOST_PAIRS", 5)
    monkeypatch.setattr(hazards, "TILE", 8)
    few = find(*planted(), 0.1)
    expected = [rows if kind == "exact" else rows.head(5) for (kind, _), rows in by_kind(everything.pairs)]
    pd.testing.assert_frame_equal(few.pairs, pd.concat(expected, ignore_index=True))
    for name in ("near_duplicate_group", "conflicting_label", "in_test"):
        assert np.array_equal(getattr(few, name), getattr(everything, name))


def by_kind(pairs):
    return pairs.groupby(["kind", "other_split"], sort=False)


# --- degenerate ------------------------------------------------------------------------------------------------------


def test_without_duplicates_the_table_is_empty_and_has_its_columns():
    found = find(split(noise(5, 16)), split(noise(5, 17)), NEAR)
    assert len(found.pairs) == 0
    assert found.pairs.columns.tolist() == [
        "kind",
        "index",
        "label",
        "other_split",
        "other_index",
        "other_label",
        "similarity",
        "conflict",
        "total",
    ]
    assert found.near_duplicate_group.tolist() == list(range(5))
    assert not found.conflicting_label.any()
    assert not found.in_test.any()
    assert found.largest_group == 1


@pytest.mark.parametrize("near", [0, 1, -0.5, 1.5, float("nan")])
def test_a_threshold_out_of_range_is_refused(near):
    with pytest.raises(ValueError, match="between 0 and 1"):
        find(split(noise(2, 18)), split(noise(2, 19)), near)


@pytest.mark.parametrize(("near", "pairs", "largest"), [(0.995, 0, 1), (0.99, 1, 2), (0.97, 150, 22)])
def test_duplicates_of_the_digits(near, pairs, largest):
    train, test, _ = digits.load()
    found = find(train, test, near)
    assert (len(found.pairs), found.largest_group) == (pairs, largest)
    assert not found.pairs["conflict"].any()
    assert set(found.pairs["kind"]) <= {"near"}
