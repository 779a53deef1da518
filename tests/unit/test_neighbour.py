import numpy as np
import pytest

from memflow.data.prepared import duplicate_groups
from memflow.models.neighbour import learn, neighbour_order


def by_hand(train, split, mask):
    """Correctness with integer distances and the first minimum, which is the tie rule."""
    pixels, queries = (images.reshape(len(images), -1).astype(int) for images in (train.images, split.images))
    distance = ((queries[:, None] - pixels) ** 2).sum(axis=2)
    nearest = np.where(mask, distance, distance.max() + 1).argmin(axis=1)
    return train.labels[nearest] == split.labels


def outcome_of(dataset, masks):
    return learn({}, dataset, masks, range(len(masks)), lambda share: None)


@pytest.mark.parametrize("levels", [2, 5, 256])  # 2: nearly everything ties
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])  # 0.02: the first neighbours looked at are all held out
def test_the_nearest_in_sample_neighbour_decides_and_the_first_wins_a_tie(make_dataset, levels, share):
    dataset = make_dataset(n_train=300, n_test=50, levels=levels, seed=levels)
    masks = np.random.default_rng(0).random((6, 300)) < share
    masks[:, 299] = True  # never empty
    outcome = outcome_of(dataset, masks)
    for run, mask in enumerate(masks):
        assert np.array_equal(outcome["train_correct"][run, 0], by_hand(dataset.train, dataset.train, mask))
        assert np.array_equal(outcome["test_correct"][run, 0], by_hand(dataset.train, dataset.test, mask))


def test_the_last_example_alone_decides_for_all(make_dataset):
    dataset = make_dataset(n_train=500, levels=4)
    outcome = outcome_of(dataset, np.arange(500)[None] == 499)
    assert np.array_equal(outcome["train_correct"][0, 0], dataset.train.labels == dataset.train.labels[499])


def test_many_queries_are_answered_in_parts(make_dataset):
    dataset = make_dataset(n_train=1100, n_test=1030, levels=9)  # above the 1,024 rows of one part
    masks = np.random.default_rng(1).random((1, 1100)) < 0.7
    outcome = outcome_of(dataset, masks)
    assert np.array_equal(outcome["train_correct"][0, 0], by_hand(dataset.train, dataset.train, masks[0]))
    assert np.array_equal(outcome["test_correct"][0, 0], by_hand(dataset.train, dataset.test, masks[0]))


def test_an_in_sample_example_is_right_unless_a_duplicate_comes_first(make_dataset):
    dataset = make_dataset(n_train=200, levels=10, seed=3)
    mask = np.random.default_rng(2).random(200) < 0.7
    correct = outcome_of(dataset, mask[None])["train_correct"][0, 0]
    group = duplicate_groups(dataset.train.images)
    for i in np.flatnonzero(mask):
        first = next(j for j in range(i + 1) if group[j] == group[i] and mask[j])
        assert correct[i] == (dataset.train.labels[first] == dataset.train.labels[i])


def test_neighbours_are_ordered_by_distance_then_position():
    train = np.array([[5], [1], [3], [1], [255]], dtype=np.uint8)
    assert neighbour_order(train, np.array([[2], [255]], dtype=np.uint8)).tolist() == [[1, 2, 3, 0, 4], [4, 0, 2, 1, 3]]


def test_an_outcome_has_one_epoch_and_one_row_per_run(make_dataset):
    shares = []
    masks = np.ones((3, 40), dtype=bool)
    outcome = learn({}, make_dataset(), masks, range(3), shares.append)
    assert outcome["epochs"].tolist() == [1]
    assert outcome["train_correct"].shape == (3, 1, 40)
    assert outcome["test_correct"].shape == (3, 1, 12)
    assert all(0 < share <= 1 for share in shares)


def test_a_run_has_one_outcome_whatever_its_company(make_dataset):
    dataset = make_dataset(n_train=100, levels=4)
    masks = np.random.default_rng(5).random((8, 100)) < 0.6
    together = outcome_of(dataset, masks)["train_correct"]
    alone = np.concatenate([outcome_of(dataset, mask[None])["train_correct"] for mask in masks])
    assert np.array_equal(together, alone)
