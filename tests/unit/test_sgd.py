from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import ARCHITECTURES, block_spec, half_masks, noise_images
from torch import nn

from memflow import registry, rng
from memflow.errors import InputError
from memflow.training import schedules, sgd
from memflow.training.batches import Images, epoch_order
from memflow.training.checkpoint import Checkpoint

CPU = torch.device("cpu")
RECIPE = {
    "epochs": 3,
    "learning_rate": 0.2,
    "weight_decay": 0.01,
    "schedule": {"shape": "triangular", "peak": 0.3},
    "augment": {"crop": 1, "flip": True},
    "evaluate_every": 2,
}
SEEDS = range(6, 8)


@pytest.fixture(scope="module")
def dataset():
    return noise_images()


def learn(spec, dataset, masks=None, seeds=SEEDS):
    return sgd.learn(spec, dataset, half_masks(dataset, seeds) if masks is None else masks, seeds, lambda share: None)


def same(one, other, run=slice(None)):
    return all(
        np.array_equal(one[name][run], other[name][run]) for name in ("train_correct", "test_correct", "log_odds")
    )


def torch_sgd(groups, recipe):
    arguments = {name: recipe[name] for name in ("momentum", "weight_decay")}
    return torch.optim.SGD(groups, lr=1.0, nesterov=recipe["momentum"] > 0, **arguments)


def train_epoch_with_torch(network, optimiser, loss, images, mask, seed, recipe, epoch):
    batch, steps = recipe["batch_size"], len(mask) // 2 // recipe["batch_size"]
    order = epoch_order(mask, seed, epoch, steps * batch).reshape(steps, 1, batch)
    draws = rng.raw("augmentation", (seed, epoch), (steps, 1, batch))
    for step in range(steps):
        x, y = images.batch(order[step], draws[step])
        factor = schedules.factor(recipe["schedule"], epoch + step / steps, recipe["epochs"])
        for group in optimiser.param_groups:
            group["lr"] = recipe["learning_rate"] * factor
        optimiser.zero_grad()
        loss(network(x)[:, 0], y[:, 0]).backward()
        optimiser.step()


def trained_with_torch(spec, dataset, mask, seed):
    """One network trained alone by torch.optim.SGD on the same batches; its logits on all training and test images."""
    recipe = spec["recipe"]
    network = sgd.initialise(spec, dataset, range(seed, seed + 1))
    optimiser = torch_sgd([{"params": network.parameters()}], recipe)
    loss = nn.CrossEntropyLoss(label_smoothing=recipe["label_smoothing"])
    images = Images(dataset, dataset.train, recipe["augment"], CPU)
    for epoch in range(recipe["epochs"]):
        train_epoch_with_torch(network, optimiser, loss, images, mask, seed, recipe, epoch)
    network.eval()
    plain = {"crop": 0, "translate": 0, "flip": False}
    with torch.no_grad():
        return [
            network(Images(dataset, split, plain, CPU).plain(slice(None)))[:, 0]
            for split in (dataset.train, dataset.test)
        ]


@pytest.fixture(scope="module", params=["mlp", "resnet"])
def trained(request, dataset):
    """Outcome of two fused networks and, for each, the logits of the same network trained by torch.optim.SGD."""
    spec, masks = block_spec(request.param, recipe=RECIPE), half_masks(dataset, SEEDS)
    references = [trained_with_torch(spec, dataset, mask, seed) for mask, seed in zip(masks, SEEDS, strict=True)]
    return learn(spec, dataset), masks, references


def test_training_is_that_of_torchs_sgd_with_nesterov_momentum(trained, dataset):
    outcome, _, references = trained
    for run, splits in enumerate(references):
        for name, split, logits in zip(("train", "test"), (dataset.train, dataset.test), splits, strict=True):
            top, second = logits.topk(2).values.T
            clear = (top - second > 1e-3).numpy()
            expected = (logits.argmax(1).numpy() == split.labels)[clear]
            assert clear.mean() > 0.9
            assert np.array_equal(outcome[f"{name}_correct"][run, -1, clear], expected)


@pytest.mark.parametrize("momentum", [0, 0.5])
def test_other_momenta_are_those_of_torch_too(dataset, momentum):
    spec, seeds = block_spec("mlp", recipe=RECIPE | {"momentum": momentum}), range(2, 3)
    mask = half_masks(dataset, seeds)
    logits, _ = trained_with_torch(spec, dataset, mask[0], 2)
    losses = F.cross_entropy(logits, torch.from_numpy(dataset.train.labels).long(), reduction="none")
    assert learn(spec, dataset, mask, seeds)["losses"][0, -1, 0] == pytest.approx(
        losses[mask[0]].mean().item(), abs=1e-4
    )


def test_losses_are_mean_cross_entropies_inside_outside_and_on_the_test_split(trained, dataset):
    outcome, masks, references = trained
    for run, splits in enumerate(references):
        train, test = (
            F.cross_entropy(logits, torch.from_numpy(split.labels).long(), reduction="none").numpy()
            for logits, split in zip(splits, (dataset.train, dataset.test), strict=True)
        )
        expected = [train[masks[run]].mean(), train[~masks[run]].mean(), test.mean()]
        np.testing.assert_allclose(outcome["losses"][run, -1], expected, atol=1e-4)


def test_log_odds_are_the_logit_of_the_label_against_all_others(trained, dataset):
    outcome, _, references = trained
    for run, (logits, _) in enumerate(references):
        z = logits.double().numpy()
        label = np.eye(dataset.n_classes, dtype=bool)[dataset.train.labels]
        expected = z[label] - np.log(np.where(label, 0, np.exp(z)).sum(1))
        np.testing.assert_allclose(outcome["log_odds"][run], expected, atol=1e-3, rtol=1e-3)


def test_log_odds_stay_finite_where_probabilities_round_to_one():
    logits = torch.tensor([[[200.0, 0.0, 1.0], [0.0, 150.0, -3.0]]])
    odds = sgd._log_odds(logits, torch.tensor([0, 2]))
    assert odds[0, 0].item() == pytest.approx(200 - 1.3132617)
    assert odds[0, 1].item() == pytest.approx(-153)


def test_an_outcome_has_the_documented_shapes_types_and_ranges(trained, dataset):
    outcome, _, _ = trained
    n, n_test = len(dataset.train), len(dataset.test)
    described = {name: (value.dtype, value.shape) for name, value in outcome.items()}
    assert described == {
        "epochs": (np.int32, (2,)),
        "train_correct": (np.bool_, (2, 2, n)),
        "test_correct": (np.bool_, (2, 2, n_test)),
        "log_odds": (np.float16, (2, n)),
        "losses": (np.float32, (2, 2, 3)),
        "parameters": (np.int64, ()),
    }
    assert outcome["epochs"].tolist() == [2, 3]
    assert np.isfinite(outcome["log_odds"]).all()
    assert (outcome["losses"] > 0).all()


def test_a_correct_example_has_a_label_that_leads(trained):
    outcome, _, _ = trained
    last = outcome["train_correct"][:, -1]
    assert last[outcome["log_odds"] > 0.01].all()  # above even odds
    assert not last[outcome["log_odds"] < -np.log(2) - 0.01].any()  # below one third, of three classes


@pytest.mark.parametrize(
    ("every", "epochs", "expected"), [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (3, 6, [3, 6]), (10, 4, [4])]
)
def test_epochs_are_evaluated_at_intervals_and_at_the_end(every, epochs, expected):
    assert sgd.evaluated_epochs({"evaluate_every": every, "epochs": epochs}) == expected


def test_an_evaluated_epoch_does_not_depend_on_what_else_is_evaluated(dataset):
    often, seldom = (
        learn(block_spec("resnet", recipe=RECIPE | {"evaluate_every": every}), dataset) for every in (1, 2)
    )
    assert often["epochs"].tolist() == [1, 2, 3]
    for name in ("train_correct", "test_correct", "losses"):
        assert np.array_equal(often[name][:, 1:], seldom[name])


@pytest.mark.parametrize(("n", "batch", "steps"), [(1437, 64, 15), (92, 64, 1), (20, 7, 2)])
def test_every_run_takes_the_same_number_of_full_batches(n, batch, steps):
    assert sgd.steps_per_epoch({"batch_size": batch}, Fraction(7, 10), n) == steps


def test_a_batch_larger_than_a_subset_is_refused():
    with pytest.raises(InputError, match="batch_size is 64, but a subset has only 44 of the 64"):
        sgd.steps_per_epoch({"batch_size": 64}, Fraction(7, 10), 64)


def test_parameters_are_those_of_one_network(dataset):
    alone = sgd.initialise(block_spec("resnet"), dataset, range(1))
    assert learn(block_spec("resnet"), dataset)["parameters"] == sum(p.numel() for p in alone.parameters())


@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_initial_weights_depend_on_the_seed_alone(dataset, name):
    spec = block_spec(name)
    torch.manual_seed(99)
    together = sgd.initialise(spec, dataset, range(3, 6)).state_dict()
    alone = [sgd.initialise(spec, dataset, range(seed, seed + 1)).state_dict() for seed in (5, 4, 3)]
    for key, value in together.items():
        if value.ndim:
            assert torch.equal(value, torch.cat([state[key] for state in reversed(alone)]))
    weights = [key for key, value in together.items() if value.ndim > 1]
    assert not any(torch.equal(alone[0][key], alone[1][key]) for key in weights)


@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_a_run_depends_on_its_seed_and_mask_and_on_nothing_that_came_before(dataset, name):
    spec = block_spec(name, recipe=RECIPE)
    first = learn(spec, dataset)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    learn(spec, dataset, seeds=range(2))
    assert same(learn(spec, dataset), first)


@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_a_run_does_not_depend_on_the_subset_of_the_run_beside_it(dataset, name):
    spec, masks = block_spec(name, recipe=RECIPE), half_masks(dataset, SEEDS)
    first = learn(spec, dataset, masks)
    masks = np.stack([masks[0], half_masks(dataset, range(1))[0]])
    second = learn(spec, dataset, masks)
    assert same(first, second, run=0)
    assert not same(first, second, run=1)


def test_a_run_never_sees_an_example_that_is_held_out(dataset):
    masks = half_masks(dataset, SEEDS)
    masks[:, :10] = False
    labels = dataset.train.labels.copy()
    labels[:10] = (labels[:10] + 1) % dataset.n_classes
    relabelled = replace(dataset, train=replace(dataset.train, labels=labels))
    spec = block_spec("mlp", recipe=RECIPE)
    before, after = learn(spec, dataset, masks), learn(spec, relabelled, masks)
    assert np.array_equal(before["test_correct"], after["test_correct"])
    assert np.array_equal(before["log_odds"][:, 10:], after["log_odds"][:, 10:])
    assert not np.array_equal(before["log_odds"][:, :10], after["log_odds"][:, :10])


def test_training_fits_the_subset_and_not_what_is_held_out(dataset):
    recipe = RECIPE | {"epochs": 60, "augment": {}, "weight_decay": 0, "learning_rate": 0.1}
    spec = block_spec("mlp", recipe=recipe) | {"architecture": {"model": "mlp", "hidden": [64]}}
    masks = half_masks(dataset, SEEDS)
    outcome = learn(spec, dataset, masks)
    last = outcome["train_correct"][:, -1]
    assert last[masks].mean() > 0.95
    assert last[~masks].mean() < 0.6  # random labels


def test_progress_is_reported_after_every_epoch(dataset):
    shares = []
    sgd.learn(block_spec("mlp", recipe=RECIPE), dataset, half_masks(dataset, SEEDS), SEEDS, shares.append)
    assert shares == [1 / 3, 2 / 3, 1]


# Options of the recipe.


def test_label_smoothing_is_that_of_torch(dataset):
    recipe = RECIPE | {"epochs": 1, "batch_size": 32, "label_smoothing": 0.2, "schedule": {"shape": "cosine"}}
    spec, seeds = block_spec("mlp", recipe=recipe), range(2, 3)
    masks, labels = half_masks(dataset, seeds), torch.from_numpy(dataset.train.labels).long()
    found = learn(spec, dataset, masks, seeds)["losses"][0, -1, 0]
    logits, _ = trained_with_torch(spec, dataset, masks[0], 2)
    assert found == pytest.approx(F.cross_entropy(logits[masks[0]], labels[masks[0]]).item(), abs=1e-6)
    hard = learn(block_spec("mlp", recipe=recipe | {"label_smoothing": 0}), dataset, masks, seeds)
    assert abs(hard["losses"][0, -1, 0] - found) > 1e-4  # one step differs by more than rounding


class Normalised(nn.Module):
    """A network with every kind of normalisation, and an own parameter; ``[batch, classes]``."""

    def __init__(self, channels, n_classes):
        super().__init__()
        self.conv, self.batch = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4)
        self.group, self.layer = nn.GroupNorm(2, 4), nn.LayerNorm(4)
        self.instance, self.root = nn.InstanceNorm2d(4, affine=True), nn.RMSNorm(4)
        self.scale, self.head = nn.Parameter(torch.ones(4)), nn.Linear(4, n_classes)

    def forward(self, images):
        features = self.instance(self.group(self.batch(self.conv(images)))).square().mean(dim=(2, 3))
        return self.head(self.scale * self.root(self.layer(features)))


def normalised(image_shape, n_classes):
    return Normalised(image_shape[0], n_classes)


def of_users_own(function, recipe=None, **arguments):
    """Spec of runs of a network that is no part of memflow, not fused."""
    spec = block_spec("mlp", recipe=RECIPE | {"fuse": 1} | (recipe or {}))
    target = f"{__name__}:{function.__name__}"
    return spec | {"network": target, "architecture": {"model": target, **arguments}}


@pytest.mark.parametrize("decayed", [True, False])
@pytest.mark.parametrize("name", ["resnet", "normalised"])
def test_two_steps_are_those_of_torch_bit_for_bit_with_normalisation_decayed_or_not(dataset, name, decayed):
    recipe = RECIPE | {"epochs": 1, "decay_normalisation": decayed, "weight_decay": 0.1, "learning_rate": 0.5}
    spec = block_spec(name, recipe=recipe) if name == "resnet" else of_users_own(normalised, recipe)
    recipe, seeds = spec["recipe"], range(4, 5)
    ours, theirs = (sgd.initialise(spec, dataset, seeds) for _ in range(2))
    images, masks = Images(dataset, dataset.train, recipe["augment"], CPU), half_masks(dataset, seeds)
    sgd._train_epoch(
        ours, [None for _ in ours.parameters()], images, masks, seeds, recipe, 0, 2, sgd.cross_entropy(0.0)
    )

    kinds = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm, nn.RMSNorm)
    of_norm = {id(p) for module in theirs.modules() if isinstance(module, kinds) for p in module.parameters()}
    assert len(of_norm) >= 6
    spared = [p for p in theirs.parameters() if id(p) in of_norm]
    others = [p for p in theirs.parameters() if id(p) not in of_norm]
    groups = [{"params": others}, {"params": spared} if decayed else {"params": spared, "weight_decay": 0}]

    def loss(logits, labels):
        return F.cross_entropy(logits, labels, reduction="sum") / len(labels)

    network = theirs if name == "resnet" else lambda x: theirs(x)[:, None]
    train_epoch_with_torch(network, torch_sgd(groups, recipe), loss, images, masks[0], 4, recipe, 0)
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_sparing_the_normalisation_changes_nothing_without_weight_decay(dataset):
    spared, decayed = (
        learn(block_spec("resnet", recipe=RECIPE | {"weight_decay": 0, "decay_normalisation": decay}), dataset)
        for decay in (False, True)
    )
    assert same(spared, decayed)


# Networks that know no fusing.


def dropping(image_shape, n_classes, *, width):
    """A network that draws random numbers in training; ``[batch, classes]``."""
    pixels = int(np.prod(image_shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, n_classes)
    )


class Recording(nn.Module):
    """Keeps what it draws in training."""

    drawn: ClassVar[list[torch.Tensor]] = []

    def __init__(self, n_classes):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, images):
        if self.training:
            self.drawn.append(torch.rand(4))
        return self.bias + torch.zeros(len(images), 1)


def recording(_image_shape, n_classes):
    return Recording(n_classes)


ALONE = range(6, 7)


def test_a_network_that_knows_no_fusing_trains(dataset):
    recipe = {"epochs": 60, "augment": {}, "weight_decay": 0, "learning_rate": 0.05}
    masks = half_masks(dataset, ALONE)
    outcome = learn(of_users_own(dropping, recipe, width=64), dataset, masks, ALONE)
    assert outcome["train_correct"].shape == (1, 30, len(dataset.train))
    assert outcome["log_odds"].shape == (1, len(dataset.train))
    assert outcome["parameters"] == 108 * 64 + 64 + 64 * 3 + 3
    assert outcome["train_correct"][:, -1][masks].mean() > 0.95


def test_its_logits_are_taken_example_by_example(dataset):
    spec = of_users_own(dropping, {"learning_rate": 1e-12, "weight_decay": 0}, width=8)  # as good as untrained
    outcome = learn(spec, dataset, seeds=ALONE)
    network = sgd.initialise(spec, dataset, ALONE).eval()
    with torch.no_grad():
        images = Images(dataset, dataset.train, sgd.NO_AUGMENTATION, CPU)
        logits = network(images.plain(slice(None)))
    assert logits.shape == (len(dataset.train), 3)
    odds = sgd._log_odds(logits[None], images.labels)
    np.testing.assert_allclose(outcome["log_odds"], odds.numpy(), atol=1e-3)


def test_dropout_is_the_same_on_repetition_whatever_was_drawn_before(dataset):
    spec = of_users_own(dropping, width=16)
    first = learn(spec, dataset, seeds=ALONE)
    torch.manual_seed(5)
    again = learn(spec, dataset, seeds=ALONE)
    assert first.keys() == again.keys()
    for name, array in first.items():
        assert array.tobytes() == again[name].tobytes(), name
    other = learn(spec, dataset, half_masks(dataset, ALONE), range(7, 8))
    assert not same(first, other)


def half_frozen(image_shape, n_classes):
    """A first layer that stays as it is, and one that is trained."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(image_shape)), 16), nn.ReLU(), nn.Linear(16, n_classes))
    for parameter in network[1].parameters():
        parameter.requires_grad_(False)
    return network


def test_frozen_parameters_stay_as_they_are(dataset):
    spec, masks = of_users_own(half_frozen), half_masks(dataset, ALONE)
    network, before = (sgd.initialise(spec, dataset, ALONE) for _ in range(2))
    images = Images(dataset, dataset.train, spec["recipe"]["augment"], CPU)
    sgd._train_epoch(network, [None, None], images, masks, ALONE, spec["recipe"], 0, 2, sgd.cross_entropy(0.0))
    assert torch.equal(network[1].weight, before[1].weight)
    assert not torch.equal(network[3].weight, before[3].weight)
    assert learn(spec, dataset, masks, ALONE)["parameters"] == 108 * 16 + 16 + 16 * 3 + 3


def too_many_classes(image_shape, n_classes):
    return dropping(image_shape, 2 * n_classes, width=4)


def test_a_network_with_another_number_of_outputs_is_refused(dataset):
    with pytest.raises(InputError, match=r"outputs \[16, 6\] instead of \[batch, 3\] logits"):
        learn(of_users_own(too_many_classes), dataset, seeds=ALONE)


def test_a_network_that_cannot_be_built_is_named_with_its_arguments(dataset):
    with pytest.raises(InputError, match=r"dropping builds no network for images \(3, 6, 6\), 3 classes and {'depth'"):
        learn(of_users_own(dropping, depth=3), dataset, seeds=ALONE)


def test_dropout_matters(dataset, monkeypatch):
    dropped = learn(of_users_own(dropping, width=16), dataset, seeds=ALONE)
    monkeypatch.setattr(nn.Dropout, "forward", lambda _, images: images)
    assert not same(dropped, learn(of_users_own(dropping, width=16), dataset, seeds=ALONE))


@pytest.mark.parametrize("killed_after", [1, 2])
def test_dropout_is_the_same_after_resuming_from_a_checkpoint(dataset, tmp_path, killed_after):
    spec, masks = of_users_own(dropping, width=16), half_masks(dataset, ALONE)
    undisturbed = learn(spec, dataset, masks, ALONE)
    shares = []

    def report(share):
        shares.append(share)
        if len(shares) == killed_after:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sgd.learn(spec, dataset, masks, ALONE, report, Checkpoint(tmp_path / "unit.npz", 0))
    torch.manual_seed(99)
    resumed = sgd.learn(spec, dataset, masks, ALONE, report, Checkpoint(tmp_path / "unit.npz", 0))
    assert len(shares) == 3  # no epoch twice
    for name, array in undisturbed.items():
        assert array.tobytes() == resumed[name].tobytes(), name


def test_what_a_network_draws_differs_between_steps_epochs_and_seeds(dataset):
    def drawn(seeds):
        Recording.drawn.clear()
        learn(of_users_own(recording), dataset, half_masks(dataset, ALONE), seeds)
        return [tuple(numbers.tolist()) for numbers in Recording.drawn]

    one, again, other = drawn(ALONE), drawn(ALONE), drawn(range(7, 8))
    assert one == again
    assert len({*one, *other}) == 2 * 3 * 2  # seeds, epochs, steps


NETWORKS = {
    "cifar-resnet": ARCHITECTURES["resnet"],
    "mlp": ARCHITECTURES["mlp"],
    "resnet": {"model": "resnet", "depth": 18},
    "mobilenet-v3": {"model": "mobilenet-v3", "size": "small"},
    "vgg": {"model": "vgg", "size": "small"},
    "vit": {"model": "vit", "size": "tiny", "patch_size": 8},
}


@pytest.mark.parametrize("name", registry.NETWORKS)
def test_every_network_of_the_registry_trains_and_is_evaluated(name):
    dataset, recipe = noise_images(16, 4, (32, 32, 3)), {"epochs": 1, "batch_size": 8, "fuse": 1}
    spec = block_spec("new", recipe=recipe, architectures={"new": NETWORKS[name] | {"recipe": "short"}})
    untrained = {"recipe": {**spec["recipe"], "learning_rate": 0.0}}
    one, other = (learn(spec | change, dataset, seeds=ALONE) for change in ({}, untrained))
    for outcome in (one, other):
        assert outcome["train_correct"].shape == (1, 1, 16)
        assert outcome["test_correct"].shape == (1, 1, 4)
        assert np.isfinite(outcome["losses"]).all()
        assert np.isfinite(outcome["log_odds"]).all()
    assert not np.array_equal(one["log_odds"], other["log_odds"])
