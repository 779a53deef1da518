from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import block_spec, half_masks, noise_images

from memflow import rng
from memflow.errors import InputError
from memflow.training import schedules, sgd
from memflow.training.batches import Images, epoch_order

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


def trained_with_torch(spec, dataset, mask, seed):
    """One network trained alone by torch.optim.SGD on the same batches; its logits on all training and test images."""
    recipe = spec["recipe"]
    network = sgd.initialise(spec, dataset, range(seed, seed + 1))
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=1.0,
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        nesterov=recipe["momentum"] > 0,
    )
    images = Images(dataset, dataset.train, recipe["augment"], CPU)
    batch, steps = recipe["batch_size"], len(dataset.train) // 2 // recipe["batch_size"]
    for epoch in range(recipe["epochs"]):
        order = epoch_order(mask, seed, epoch, steps * batch).reshape(steps, 1, batch)
        draws = rng.raw("augmentation", (seed, epoch), (steps, 1, batch))
        for step in range(steps):
            x, y = images.batch(order[step], draws[step])
            factor = schedules.factor(recipe["schedule"], epoch + step / steps, recipe["epochs"])
            optimiser.param_groups[0]["lr"] = recipe["learning_rate"] * factor
            optimiser.zero_grad()
            F.cross_entropy(network(x)[:, 0], y[:, 0]).backward()
            optimiser.step()
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
