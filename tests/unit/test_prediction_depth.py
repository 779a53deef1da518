from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, block_spec, noise_images
from torch import nn

from memflow import registry
from memflow.data.prepared import Split
from memflow.errors import InputError
from memflow.training import prediction_depth, sgd, tracking
from memflow.training.batches import Images
from memflow.training.prediction_depth import depths, vote

CPU = torch.device("cpu")


def line(*positions):
    return torch.tensor(positions, dtype=torch.float32)[:, None]


def votes(embedding, labels, neighbours):
    return vote(embedding, torch.as_tensor(labels), neighbours).tolist()


# Votes.


def test_the_nearest_neighbours_vote_and_never_the_example_itself():
    labels = [0, 0, 1, 1, 2]
    assert votes(line(0, 1, 10, 11, 30), labels, 1) == [0, 0, 1, 1, 1]
    assert votes(line(0, 1, 10, 11, 30), labels, 2) == [0, 0, 1, 1, 1]


def test_an_example_is_not_its_own_neighbour_though_another_lies_on_it():
    assert votes(line(5, 5, 5, -15), [0, 1, 1, 2], 1) == [1, 0, 0, 0]


def test_labels_with_equally_many_votes_are_told_apart_by_distance():
    # From 0, in order of distance: 1 (label 1), 2 (label 2), 4 (label 2), 8 (label 1): two each, label 2 is nearer.
    labels = [0, 1, 2, 2, 1]
    assert votes(line(0, 1, -2, 4, -8), labels, 4)[0] == 2
    assert votes(line(0, 1, -2, 4, -5), labels, 4)[0] == 1  # 1 + 5 = 2 + 4: the first label


def test_distances_are_not_squared_before_they_are_averaged():
    # 1 + 5 < 3 + 4, but 1 + 25 > 9 + 16
    assert votes(line(0, 1, -5, 3, -4), [2, 1, 1, 0, 0], 4)[0] == 1


def test_of_neighbours_at_the_same_distance_the_first_counts():
    assert votes(line(0, 1, -1, 1, -1), [0, 1, 2, 2, 2], 1)[0] == 1
    assert votes(line(1, -1, 1, -1, 0), [2, 1, 1, 1, 0], 1)[4] == 2


def test_fewer_examples_than_neighbours_all_vote():
    assert votes(line(0, 1, 10), [0, 0, 1], 30) == [0, 0, 0]


@pytest.mark.parametrize("limits", [{}, {"ROWS": 7}, {"DISTANCES": 1}, {"DISTANCES": 500}])
def test_votes_are_those_of_plain_loops_in_chunks_of_any_size(monkeypatch, limits):
    for name, value in limits.items():
        monkeypatch.setattr(prediction_depth, name, value)
    random = np.random.default_rng(0)
    points, labels = random.normal(3, 1, (120, 4)).astype(np.float32), random.integers(0, 4, 120)
    expected = []
    for i in range(120):
        distance = np.linalg.norm(points.astype(float) - points[i], axis=1)
        nearest = [j for j in np.argsort(distance) if j != i][:30]
        counts = np.bincount(labels[nearest], minlength=4)
        of_class = [distance[[j for j in nearest if labels[j] == c]].sum() for c in range(4)]
        expected.append(min(range(4), key=lambda c: (-counts[c], of_class[c])))
    assert vote(torch.from_numpy(points), torch.from_numpy(labels)).tolist() == expected


# Depths.


def test_depths_of_known_embeddings():
    labels = torch.tensor([0, 0, 1, 1])
    mixed, partly, sorted_ = line(0, 10, 1, 11), line(0, 2, 5, 100), line(0, 1, 10, 11)
    assert [votes(layer, labels, 1) for layer in (mixed, partly, sorted_)] == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]]
    assert depths([mixed, partly, sorted_], labels, labels, 1).tolist() == [1, 1, 2, 1]
    assert depths([sorted_, partly, sorted_], labels, labels, 1).tolist() == [0, 0, 2, 0]
    predictions = torch.tensor([1, 0, 0, 1])
    assert depths([mixed, partly, sorted_], labels, predictions, 1).tolist() == [2, 1, 2, 1]


def test_the_depth_is_the_first_layer_from_which_all_agree():
    table = torch.tensor([[0, 0, 1, 0, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1]])  # votes [layer, example]
    predictions = torch.zeros(5, dtype=torch.int64)
    assert prediction_depth.from_votes(list(table), predictions).tolist() == [0, 2, 1, 2, 2]


def test_an_agreement_that_does_not_last_does_not_count():
    labels = torch.tensor([0, 0, 1, 1])
    agreeing, misleading = line(0, 1, 10, 11), line(0, 10, 1, 11)
    assert depths([agreeing, agreeing], labels, labels, 1).tolist() == [0] * 4
    assert depths([agreeing, misleading, agreeing], labels, labels, 1).tolist() == [2] * 4
    assert depths([misleading, agreeing, agreeing], labels, labels, 1).tolist() == [1] * 4
    assert depths([agreeing, agreeing, misleading], labels, labels, 1).tolist() == [2] * 4  # not even the last


def separable(n=80):
    """Two far clusters of points in the plane, and their labels."""
    random = np.random.default_rng(1)
    labels = np.arange(n) % 2
    points = random.normal(0, 1, (n, 2)) + 20 * labels[:, None]
    return torch.from_numpy(points).float(), torch.from_numpy(labels)


def test_separable_examples_have_depth_zero():
    points, labels = separable()
    softmax = torch.eye(2)[labels] * 0.9 + 0.05
    assert depths([points, points.relu(), softmax], labels, labels).eq(0).all()


def test_a_memorised_wrong_label_has_the_last_layer():
    points, labels = separable()
    labels[7] = 0  # it lies in the cluster of label 1
    softmax = torch.eye(2)[labels] * 0.9 + 0.05  # memorised: the network gives it its label
    found = depths([points, points.relu(), softmax], labels, labels)
    assert found[7] == 2
    assert found.sum() == 2


def test_the_only_example_of_its_label_has_the_last_layer():
    points, labels = separable()
    labels[7] = 2
    own = torch.eye(3)[labels]
    assert depths([points, own], labels, labels)[7] == 1
    assert depths([points, own, own, own], labels, labels)[7] == 3


# In networks.


def toy(n=60, wrong=()):
    """Dark and bright images, easily told apart, some with the wrong label."""
    random = np.random.default_rng(2)

    def split(count, mislabelled=()):
        labels = np.arange(count, dtype=np.int32) % 2
        images = np.clip(70 + 110 * labels[:, None, None, None] + random.normal(0, 15, (count, 6, 6, 3)), 0, 255)
        labels[list(mislabelled)] ^= 1
        return Split(images.astype(np.uint8), labels, np.arange(count, dtype=np.int32))

    return replace(
        noise_images(n, 10, n_classes=2), train=split(n, wrong), test=split(10), duplicate_group=np.arange(n)
    )


def test_a_trained_network_tells_easy_examples_at_once_and_wrong_labels_late():
    dataset = toy(wrong=[5])
    recipe = {"epochs": 80, "learning_rate": 0.1, "evaluate_every": 80, "weight_decay": 0}
    spec = block_spec("mlp", recipe=recipe) | {"early": 0.1, "ratio": "1"}
    spec |= {"architecture": {"model": "mlp", "hidden": [64]}}
    outcome = tracking.learn(spec, dataset, np.ones((2, 60), dtype=bool), range(2), lambda _: None)
    assert outcome["train_correct"][:, -1, 5].all()  # memorised
    depth = outcome["proxy_prediction_depth"]
    assert (np.delete(depth, 5, axis=1) == 0).all()
    assert (depth[:, 5] >= 1).all()
    assert depth.max() <= 2  # image, hidden layer, softmax


NETWORKS = {
    "cifar-resnet": ARCHITECTURES["resnet"] | {"depth": 26},
    "mlp": ARCHITECTURES["mlp"] | {"hidden": [8, 6]},
    "resnet": {"model": "resnet", "depth": 18},
    "mobilenet-v3": {"model": "mobilenet-v3", "size": "small"},
    "vgg": {"model": "vgg", "size": "small"},
    "vit": {"model": "vit", "size": "tiny", "patch_size": 8},
}


def built(name, seeds, shape=(32, 32, 3), n=12, **changes):
    """A network of the registry for random images, these images, and the layers it names."""
    dataset = noise_images(n, 4, shape)
    architectures = {"new": NETWORKS[name] | {"recipe": "short"} | changes}
    spec = block_spec("new", recipe={"fuse": len(seeds)}, architectures=architectures)
    network = sgd.initialise(spec, dataset, seeds).to(memory_format=torch.channels_last).eval()
    names = tracking.layers(spec)(network)
    return network, Images(dataset, dataset.train, sgd.NO_AUGMENTATION, CPU), names


def embeddings(network, images, names, fuse):
    with torch.inference_mode():
        return list(prediction_depth._embeddings(network, images, names, fuse, "fp32"))


def order_of_calls(network, images, names):
    called = []
    hooks = [
        network.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: called.append(name))
        for name in names
    ]
    with torch.inference_mode():
        network(images.plain(slice(0, 2)))
    for hook in hooks:
        hook.remove()
    return called


@pytest.mark.parametrize("name", registry.NETWORKS)
def test_every_network_names_at_most_ten_layers_in_their_order(name):
    network, images, names = built(name, range(1))
    prediction_depth.check(network, names)
    assert len(set(names)) == len(names)
    assert 2 <= len(names) <= 10
    assert order_of_calls(network, images, names) == names
    for layer in embeddings(network, images, names, 1):
        assert layer.dtype == torch.float32
        assert layer.shape[:2] == (1, 12)
        assert 2 <= layer.shape[2] <= prediction_depth.NUMBERS
        assert layer.isfinite().all()
        assert (layer[0].std(0) > 0).any()


@pytest.mark.parametrize("name", registry.NETWORKS)
def test_the_last_named_layer_gives_the_logits(name):
    network, images, names = built(name, range(1))
    last = embeddings(network, images, names, 1)[-1]
    with torch.inference_mode():
        logits = network.get_submodule(names[-1])(last[0]).reshape(12, -1)
        expected = sgd.logits_of(network, images, 1, "fp32")[0]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("cifar-resnet", {"depth": 8}, ["blocks.0", "blocks.1", "blocks.2", "head"]),
        ("cifar-resnet", {"depth": 56}, [*(f"blocks.{block}" for block in range(0, 27, 3)), "head"]),
        ("mlp", {"hidden": []}, []),
        ("mlp", {"hidden": [4]}, ["layers.1"]),
        ("mlp", {"hidden": [4] * 18}, [f"layers.{layer}" for layer in range(2, 19, 2)]),
        ("vgg", {}, ["features.4", "features.8", "features.12", "features.16", "head"]),
    ],
)
def test_layers_are_named_evenly(name, changes, expected):
    assert built(name, range(1), **changes)[2] == expected


@pytest.mark.parametrize("name", ["cifar-resnet", "mlp"])
def test_what_enters_the_layers_is_after_the_activation(name):
    network, images, names = built(name, range(1))
    assert all((layer >= 0).all() for layer in embeddings(network, images, names[1:], 1))


@pytest.mark.parametrize("name", registry.FUSED)
@pytest.mark.parametrize("shape", [(6, 6, 3), (32, 32, 1)])
def test_networks_side_by_side_have_the_embeddings_of_single_ones(name, shape):
    seeds = range(3, 5)
    fused, images, names = built(name, seeds, shape)
    together = embeddings(fused, images, names, 2)
    for run, seed in enumerate(seeds):
        network, images, alone = built(name, range(seed, seed + 1), shape)
        assert alone == names
        for one, other in zip(embeddings(network, images, names, 1), together, strict=True):
            torch.testing.assert_close(other[run], one[0], atol=1e-5, rtol=1e-5)


def test_little_memory_takes_more_passes_and_gives_the_same(monkeypatch):
    network, images, names = built("cifar-resnet", range(2))
    logits = sgd.logits_of(network, images, 2, "fp32")
    calls = []
    logits_of = sgd.logits_of
    monkeypatch.setattr(sgd, "logits_of", lambda *arguments: calls.append(1) or logits_of(*arguments))
    at_once = embeddings(network, images, names, 2)
    assert len(calls) == 1
    monkeypatch.setattr(prediction_depth, "EMBEDDINGS", 2 * at_once[0].numel())
    one_by_one = embeddings(network, images, names, 2)
    assert 3 <= len(calls) - 1 < len(names)
    assert all(torch.equal(one, other) for one, other in zip(at_once, one_by_one, strict=True))
    depth = prediction_depth.measure(network, images, names, logits, "fp32")
    assert (depth.shape, depth.dtype) == ((2, 12), np.int64)
    assert ((depth >= 0) & (depth <= len(names) + 1)).all()


def test_nothing_stays_on_the_network():
    network, images, names = built("mlp", range(1))
    embeddings(network, images, names, 1)
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_measuring_is_probing_image_layers_and_softmax(monkeypatch):
    network, images, names = built("mlp", range(2), (6, 6, 3), n=150)  # more than one batch of an evaluation
    logits = sgd.logits_of(network, images, 2, "fp32") * 20  # far from linear in the probabilities
    plain = images.plain(slice(None)).flatten(1)
    with torch.no_grad():
        first = [layer.relu() for layer in network.layers[0](plain.repeat(1, 2)).unbind(1)]
    probed, once = [], prediction_depth.vote
    monkeypatch.setattr(prediction_depth, "vote", lambda layer, labels: probed.append(layer) or once(layer, labels))
    found = prediction_depth.measure(network, images, names, logits, "fp32")
    monkeypatch.undo()
    assert len(probed) == 1 + 2 * len(names) + 2  # the image is the same for both networks
    torch.testing.assert_close(probed[0], plain)
    torch.testing.assert_close(torch.stack(probed[1:3]), torch.stack(first))
    torch.testing.assert_close(torch.stack(probed[-2:]), logits.softmax(-1))
    for run in range(2):
        of_network = [probed[0], *probed[1 + run :: 2]]
        assert found[run].tolist() == depths(of_network, images.labels, logits[run].argmax(-1)).tolist()


# Shapes.


def test_feature_maps_are_averaged_to_four_by_four_and_split_by_network():
    features = torch.arange(2 * 6 * 8 * 8, dtype=torch.float32).reshape(2, 6, 8, 8)
    found = prediction_depth.pooled(features, 2)
    assert found.shape == (2, 2, 3 * 16)
    assert found[1, 0, 0] == features[0, 3, :2, :2].mean()
    assert found[0, 1, 17] == features[1, 1, :2, 2:4].mean()


@pytest.mark.parametrize(
    ("shape", "fuse", "expected"),
    [
        ((5, 6, 3, 2), 2, (2, 5, 18)),  # smaller than 4x4: as it is
        ((5, 2048, 4, 4), 1, (1, 5, 2048 * 4)),  # 16,384 numbers at most
        ((5, 2, 7), 2, (2, 5, 7)),  # M networks
        ((5, 1, 7), 1, (1, 5, 7)),
        ((5, 9, 7), 1, (1, 5, 7)),  # tokens
        ((5, 14), 2, (2, 5, 7)),
    ],
)
def test_features_of_any_layout_are_split_by_network(shape, fuse, expected):
    assert prediction_depth.pooled(torch.zeros(shape), fuse).shape == expected


def test_tokens_are_averaged():
    tokens = torch.arange(12, dtype=torch.float32).reshape(1, 4, 3)
    assert prediction_depth.pooled(tokens, 1).tolist() == [[[4.5, 5.5, 6.5]]]


@pytest.mark.parametrize(("side", "numbers"), [(8, 3 * 8 * 8), (64, 3 * 64 * 64), (100, 3 * 73 * 73)])
def test_images_are_taken_as_they_are_up_to_a_size(side, numbers):
    dataset = noise_images(4, 4, (side, side, 3))
    images = Images(dataset, dataset.train, sgd.NO_AUGMENTATION, CPU)
    found = prediction_depth._images(images)
    assert found.shape == (4, numbers)
    if side <= 64:
        assert torch.equal(found, images.plain(slice(None)).flatten(1))


def test_an_unknown_layer_is_refused_by_name():
    network = nn.Sequential(nn.Flatten())
    with pytest.raises(InputError, match="'nowhere'"):
        prediction_depth.check(network, ["0", "nowhere"])
