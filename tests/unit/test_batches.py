import numpy as np
import pytest
import torch
from helpers import half_masks, noise_images

from memflow import rng
from memflow.data.prepared import Dataset, Split
from memflow.training.batches import Images, epoch_order

CPU = torch.device("cpu")
PLAIN = {"crop": 0, "translate": 0, "flip": False}
M, BATCH = 2, 9


@pytest.fixture(scope="module")
def dataset():
    return noise_images(shape=(5, 7, 3))  # not square: rows and columns cannot be confused


@pytest.fixture(scope="module")
def index():
    return rng.integers("test index", (), (M, BATCH), 70)


def draws_of(*key):
    return rng.raw("test draws", key, (M, BATCH))


def slow_batch(dataset, augment, index, draws):
    """What :meth:`Images.batch` must give, pixel by pixel."""
    shift = augment["crop"] + augment["translate"]
    height, width, channels = dataset.train.images.shape[1:]
    colours = dataset.train.images.reshape(-1, channels).astype(np.float64)
    mean, std = colours.mean(0), colours.std(0)
    outside = np.rint(mean) if augment["translate"] else np.zeros(channels)
    batch = np.empty((index.shape[1], index.shape[0], channels, height, width))
    for m, b in np.ndindex(*index.shape):
        draw = int(draws[m, b])
        down, right = draw % (2 * shift + 1) - shift, draw // (2 * shift + 1) % (2 * shift + 1) - shift
        mirrored = augment["flip"] and draw >= 2**63
        for y, x in np.ndindex(height, width):
            row, column = y + down, (width - 1 - x if mirrored else x) + right
            inside = 0 <= row < height and 0 <= column < width
            pixel = dataset.train.images[index[m, b], row, column] if inside else outside
            batch[b, m, :, y, x] = (pixel - mean) / std
    return batch.reshape(len(batch), -1, height, width)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [{}, {"crop": 1}, {"crop": 2}, {"translate": 1}, {"translate": 2}])
def test_a_batch_is_what_a_slow_plain_loop_gives(dataset, index, shift, flip):
    augment = PLAIN | shift | {"flip": flip}
    draws = draws_of(1)
    images, labels = Images(dataset, dataset.train, augment, CPU).batch(index, draws)
    assert images.dtype == torch.float32
    np.testing.assert_allclose(images.numpy(), slow_batch(dataset, augment, index, draws), atol=1e-5)
    assert np.array_equal(labels.numpy(), dataset.train.labels[index].T)


def test_without_augmentation_a_batch_is_the_plain_images_whatever_is_drawn(dataset, index):
    images = Images(dataset, dataset.train, PLAIN, CPU)
    plain = images.plain(slice(None))
    expected = torch.cat([plain[index[m]] for m in range(M)], dim=1)
    for key in range(3):
        assert torch.equal(images.batch(index, draws_of(key))[0], expected)


@pytest.mark.parametrize("augment", [PLAIN | {"crop": 2, "flip": True}, PLAIN | {"translate": 2}])
def test_plain_images_are_not_augmented(dataset, augment):
    plain = Images(dataset, dataset.train, PLAIN, CPU).plain(slice(10, 30))
    assert torch.equal(Images(dataset, dataset.train, augment, CPU).plain(slice(10, 30)), plain)


def test_training_images_are_normalised_per_channel_and_test_images_by_the_same_numbers(dataset):
    train = Images(dataset, dataset.train, PLAIN, CPU).plain(slice(None))
    assert train.mean((0, 2, 3)).abs().max() < 1e-5
    assert (train.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    swapped = Images(
        dataset, Split(dataset.train.images[:5], dataset.train.labels[:5], dataset.train.index[:5]), PLAIN, CPU
    )
    assert torch.equal(swapped.plain(slice(None)), train[:5])


def bright(value_left, value_right):
    """Images of two constant halves."""
    images = np.full((4, 4, 4, 1), value_left, dtype=np.uint8)
    images[2:] = value_right
    split = Split(images, np.zeros(4, dtype=np.int32), np.arange(4, dtype=np.int32))
    return Dataset.unflagged(split, split, ["a", "b"])


@pytest.mark.parametrize(("option", "shade"), [("crop", (0 - 150) / 50), ("translate", 0.0)])
def test_a_crop_brings_in_black_and_a_translation_the_mean_colour(option, shade):
    images = Images(bright(100, 200), bright(100, 200).train, PLAIN | {option: 1}, CPU)
    upper_left, _ = images.batch(np.array([[0]]), np.array([[0]], dtype=np.uint64))  # one row and one column outside
    assert upper_left[0, 0, 0, :].tolist() == upper_left[0, 0, :, 0].tolist() == [shade] * 4
    assert upper_left[0, 0, 1:, 1:].unique().tolist() == [-1.0]


def test_a_constant_channel_does_not_divide_by_zero():
    images = Images(bright(7, 7), bright(7, 7).train, PLAIN, CPU)
    assert images.plain(slice(None)).unique().tolist() == [0.0]


def test_every_shift_and_both_directions_are_drawn_about_equally_often(dataset):
    marked = np.zeros((70, 5, 7, 3), dtype=np.uint8)
    marked[:, 2, 3], marked[:, 2, 4] = 255, 200  # a bright pixel in the middle, a darker one to the right of it
    split = Split(marked, dataset.train.labels, dataset.train.index)
    images = Images(dataset, split, PLAIN | {"crop": 1, "flip": True}, CPU)
    n = 3600
    batch, _ = images.batch(np.zeros((1, n), dtype=np.int64), rng.raw("augmentation", (0, 0), (1, n)))
    pixels = batch[:, 0].flatten(1).numpy()
    places = pixels.argmax(1)
    mirrored = pixels[np.arange(n), places - 1] > pixels[np.arange(n), places + 1]
    cells, counts = np.unique(np.stack([places, mirrored]), axis=1, return_counts=True)
    assert cells.shape[1] == 3 * 3 * 2
    assert abs(counts - n / 18).max() < 5 * (n / 18) ** 0.5


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("augment", [PLAIN, PLAIN | {"crop": 1, "flip": True}])
def test_batches_and_plain_images_lie_in_memory_channels_last(dataset, index, augment, m):
    images = Images(dataset, dataset.train, augment, CPU)
    batch, _ = images.batch(index[:m], draws_of(1)[:m])
    assert batch.shape == (BATCH, 3 * m, 5, 7)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert images.plain(slice(None)).is_contiguous(memory_format=torch.channels_last) or augment["crop"]


def test_an_epoch_shows_every_in_sample_example_once_and_no_other(dataset):
    mask = half_masks(dataset, range(1))[0]
    order = epoch_order(mask, seed=0, epoch=0, length=mask.sum())
    assert sorted(order) == np.flatnonzero(mask).tolist()


@pytest.mark.parametrize("length", [1, 20, 35, 36, 40])
def test_an_epoch_has_the_length_that_is_asked_for(dataset, length):
    mask = half_masks(dataset, range(1))[0]
    order = epoch_order(mask, seed=0, epoch=0, length=length)
    assert (len(order), order.dtype) == (length, np.int64)
    assert mask[order].all()
    assert len(set(order)) == min(length, mask.sum())


def test_what_is_left_out_of_an_epoch_changes_so_that_all_are_seen(dataset):
    mask = half_masks(dataset, range(1))[0]
    seen = {example for epoch in range(10) for example in epoch_order(mask, 0, epoch, 24)}
    assert seen == set(np.flatnonzero(mask))


def test_orders_differ_between_epochs_and_seeds_and_are_reproducible(dataset):
    mask = half_masks(dataset, range(1))[0]
    orders = {tuple(epoch_order(mask, seed, epoch, 32)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert np.array_equal(epoch_order(mask, 2, 1, 32), epoch_order(mask.copy(), 2, 1, 32))
