import itertools
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import block_spec, noise_images
from torch import nn

from memflow import registry, rng
from memflow.digest import closure
from memflow.errors import InputError
from memflow.training import schedules, sgd, tracking
from memflow.training.batches import Images, epoch_order
from memflow.training.checkpoint import Checkpoint
from memflow.training.probed_layers import OF_MODEL
from memflow.training.tracking import Tracker

CPU = torch.device("cpu")
SEEDS = range(6, 8)
EPOCHS, EARLY = 4, 2
RECIPE = {
    "epochs": EPOCHS,
    "learning_rate": 0.1,
    "schedule": {"shape": "triangular", "peak": 0.3},
    "augment": {"crop": 1, "flip": True},
}
OF_TRAINING = {
    *("cumulative_accuracy", "cumulative_confidence", "cumulative_loss"),
    *("forgetting", "aum", "data_map_variability"),
}
COUNTED = {"cumulative_accuracy", "forgetting"}
OF_EVALUATION = {"el2n", "final_entropy", "final_loss"}


@pytest.fixture(scope="module")
def dataset():
    return noise_images()


def full_spec(architecture, **changes):
    return block_spec(architecture, recipe=RECIPE, **changes) | {"early": 0.4, "ratio": "1"}


def learn(spec, dataset, seeds=SEEDS, report=lambda _: None, checkpoint=None):
    masks = np.ones((len(seeds), len(dataset.train)), dtype=bool)
    return tracking.learn(spec, dataset, masks, seeds, report, checkpoint)


# The slow and plain way: one network, step by step, and every logit kept.


def logits_of_training(spec, dataset, seed):
    """For each example the logits [C] of its passes, in order; and after each epoch the logits [n, C] of evaluation."""
    recipe, network = spec["recipe"], sgd.initialise(spec, dataset, range(seed, seed + 1))
    optimiser = torch.optim.SGD(
        network.parameters(), lr=1.0, momentum=recipe["momentum"], weight_decay=recipe["weight_decay"], nesterov=True
    )
    images = Images(dataset, dataset.train, recipe["augment"], CPU)
    n, batch = len(dataset.train), recipe["batch_size"]
    steps, mask = n // batch, np.ones(n, dtype=bool)
    passes, evaluations = [[] for _ in range(n)], []
    for epoch in range(recipe["epochs"]):
        network.train()
        order = epoch_order(mask, seed, epoch, steps * batch).reshape(steps, batch)
        draws = rng.raw("augmentation", (seed, epoch), (steps, batch))
        for step in range(steps):
            x, y = images.batch(order[step][None], draws[step][None])
            factor = schedules.factor(recipe["schedule"], epoch + step / steps, recipe["epochs"])
            optimiser.param_groups[0]["lr"] = recipe["learning_rate"] * factor
            optimiser.zero_grad()
            logits = network(x)[:, 0]
            F.cross_entropy(logits, y[:, 0]).backward()
            optimiser.step()
            for example, z in zip(order[step], logits.detach().double().numpy(), strict=True):
                passes[example].append(z)
        network.eval()
        with torch.no_grad():
            evaluations.append(network(images.plain(slice(None)))[:, 0].double().numpy())
    return passes, evaluations


def softmax(z):
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


def of_passes(logits, label, epochs):
    """What the passes of one example give."""
    right = [int(np.argmax(z) == label) for z in logits]
    p = [softmax(z)[label] for z in logits]
    forgotten = sum(before > after for before, after in itertools.pairwise(right))
    return {
        "cumulative_accuracy": np.mean(right),
        "cumulative_confidence": np.mean(p),
        "cumulative_loss": np.mean([-np.log(value) for value in p]) * epochs,
        "forgetting": forgotten if any(right) else epochs,
        "aum": np.mean([z[label] - np.delete(z, label).max() for z in logits]),
        "data_map_variability": np.std(p),
    }


def of_evaluations(evaluations, label, example):
    """What the evaluations of one example give."""
    early, final = (softmax(evaluations[epoch][example]) for epoch in (EARLY - 1, -1))
    return {
        "el2n": np.linalg.norm(early - np.eye(len(early))[label]),
        "final_entropy": -(final * np.log(final)).sum(),
        "final_loss": -np.log(final[label]),
    }


def margins(z):
    top, second = np.sort(z)[::-1][:2]
    return top - second


@pytest.fixture(scope="module", params=["mlp", "resnet"])
def tracked(request, dataset):
    """The outcome of two networks side by side, and for each what the plain way keeps."""
    spec = full_spec(request.param)
    return learn(spec, dataset), [logits_of_training(spec, dataset, seed) for seed in SEEDS]


@pytest.mark.parametrize("name", sorted(OF_TRAINING | OF_EVALUATION))
def test_every_number_is_that_of_a_plain_training_that_keeps_all_logits(tracked, dataset, name):
    outcome, references = tracked
    for run, (passes, evaluations) in enumerate(references):
        expected, clear = [], []
        for example, (logits, label) in enumerate(zip(passes, dataset.train.labels, strict=True)):
            both = of_passes(logits, label, EPOCHS) | of_evaluations(evaluations, label, example)
            expected.append(both[name])
            clear.append(min(map(margins, logits)) > 1e-3)
        where = np.array(clear) if name in COUNTED else slice(None)
        assert np.mean(clear) > 0.9
        assert np.std(expected) > 1e-3  # or there is nothing to get wrong
        np.testing.assert_allclose(outcome[f"proxy_{name}"][run][where], np.array(expected)[where], atol=2e-4)


def test_some_examples_are_left_out_in_some_epochs(tracked):
    """Without them the tests above say nothing about T."""
    _, references = tracked
    counts = [{len(logits) for logits in passes} for passes, _ in references]
    assert all(len(seen) > 1 and max(seen) == EPOCHS for seen in counts)


def test_an_outcome_has_all_that_others_have_and_one_number_per_run_and_example(tracked, dataset):
    outcome, _ = tracked
    names = {name.removeprefix("proxy_") for name in outcome if name.startswith("proxy_")}
    assert names == OF_TRAINING | OF_EVALUATION | {"prediction_depth"}
    assert {"epochs", "train_correct", "test_correct", "log_odds", "losses", "parameters"} <= set(outcome)
    for name in names:
        array = outcome[f"proxy_{name}"]
        assert (array.dtype, array.shape) == (np.float32, (2, len(dataset.train))), name
        assert np.isfinite(array).all(), name


def test_tracking_leaves_the_training_as_it_is(tracked, dataset, request):
    outcome, _ = tracked
    spec = full_spec(request.node.callspec.params["tracked"])
    masks = np.ones((2, len(dataset.train)), dtype=bool)
    untracked = sgd.fit(spec, dataset, masks, SEEDS, lambda _: None)
    for name, array in untracked.items():
        assert array.tobytes() == outcome[name].tobytes(), name


@pytest.mark.parametrize("architecture", ["mlp", "resnet"])
def test_a_run_is_the_same_alone_and_beside_another(dataset, architecture):
    spec = full_spec(architecture)
    together = learn(spec, dataset)
    for run, seed in enumerate(SEEDS):
        alone = learn(spec, dataset, range(seed, seed + 1))
        for name in OF_TRAINING | OF_EVALUATION:
            one, other = alone[f"proxy_{name}"][0], together[f"proxy_{name}"][run]
            differing = np.abs(one - other) > 2e-4
            assert differing.mean() <= (0.03 if name in COUNTED else 0), name
        depth = "proxy_prediction_depth"
        assert (alone[depth][0] != together[depth][run]).mean() <= 0.03  # a neighbour more or less turns a close vote


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4])
def test_a_killed_run_goes_on_and_ends_with_the_same_bits(dataset, tmp_path, killed_after):
    spec, reported = full_spec("resnet"), []
    undisturbed = learn(spec, dataset)

    def report(share):
        reported.append(share)
        if len(reported) == killed_after:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        learn(spec, dataset, report=report, checkpoint=Checkpoint(tmp_path / "unit.npz", 0))
    resumed = learn(spec, dataset, report=report, checkpoint=Checkpoint(tmp_path / "unit.npz", 0))
    assert len(reported) == EPOCHS
    assert resumed.keys() == undisturbed.keys()
    for name, array in undisturbed.items():
        assert array.tobytes() == resumed[name].tobytes(), name


# Sequences worked by hand.


def tracked_by_hand(sequences, labels, n_classes=2, epochs=4):
    """What a tracker tells of one network after epochs with the given logits; None where an example is left out."""
    tracker = Tracker(1, len(labels), {"epochs": epochs, "precision": "fp32"}, 1)
    for epoch in range(epochs):
        seen = [example for example, logits in enumerate(sequences) if logits[epoch] is not None]
        if seen:
            index = np.array([seen[::-1]])  # the order within a batch does not matter
            logits = torch.tensor([sequences[example][epoch] for example in index[0]], dtype=torch.float32)
            tracker.batch(index, logits.reshape(-1, 1, n_classes), torch.tensor(labels)[index.T])
            tracker._take_in()  # as at the end of an epoch
    return {name: array[0] for name, array in tracker._of_training().items()}


RIGHT, WRONG = [1.0, 0.0], [0.0, 1.0]  # for label 0


@pytest.mark.parametrize(
    ("sequence", "forgetting", "accuracy"),
    [
        ([RIGHT, WRONG, RIGHT, WRONG], 2, 0.5),
        ([WRONG, RIGHT, WRONG, RIGHT], 1, 0.5),
        ([RIGHT, RIGHT, RIGHT, RIGHT], 0, 1),
        ([WRONG, WRONG, WRONG, RIGHT], 0, 0.25),
        ([RIGHT, RIGHT, WRONG, WRONG], 1, 0.5),
        ([WRONG, WRONG, WRONG, WRONG], 4, 0),
        ([RIGHT, None, WRONG, RIGHT], 1, 2 / 3),
        ([WRONG, None, WRONG, None], 4, 0),
        ([None, None, None, RIGHT], 0, 1),
    ],
)
def test_forgetting_counts_changes_from_right_to_wrong(sequence, forgetting, accuracy):
    told = tracked_by_hand([sequence], [0])
    assert told["forgetting"].tolist() == [forgetting]
    assert told["cumulative_accuracy"] == pytest.approx([accuracy])


def test_the_margin_is_against_the_largest_other_logit():
    told = tracked_by_hand([[[3.0, 1, -2], [0, 5, 4], None, [2, 2, 1]]], [0], n_classes=3)
    assert told["aum"] == pytest.approx([(2 - 5 + 0) / 3])


def test_confidence_loss_and_variability_are_of_the_labels_probability():
    odds = [[np.log(3), 0], [0, np.log(3)], [0, 0], None]  # probability 3/4, 1/4, 1/2 of label 0
    told = tracked_by_hand([odds, odds], [0, 1])
    assert told["cumulative_confidence"] == pytest.approx([0.5, 0.5])
    assert told["data_map_variability"] == pytest.approx([np.sqrt(1 / 24)] * 2)
    assert told["cumulative_loss"] == pytest.approx([-np.log(3 / 32) / 3 * 4] * 2)  # as if seen in all four epochs


def test_what_does_not_vary_has_no_variability_and_no_loss_is_below_zero():
    told = tracked_by_hand([[[0.3, 0]] * 4, [[50.0, 0]] * 4], [0, 0])
    np.testing.assert_allclose(told["data_map_variability"], 0, atol=1e-7)
    assert told["cumulative_loss"][1] == 0


def test_an_example_that_was_never_seen_has_no_numbers_and_no_other_is_touched():
    told = tracked_by_hand([[None] * 4, [RIGHT] * 4, [WRONG] * 4], [0, 0, 0])
    assert set(told) == OF_TRAINING
    for name, array in told.items():
        assert np.isnan(array).tolist() == [True, False, False], name


def test_steps_that_wait_are_taken_in_when_they_are_many_with_the_same_bits(tracked, dataset, monkeypatch, request):
    outcome, _ = tracked
    monkeypatch.setattr(tracking, "WAITING", 16 * 2 * 3 * 2)  # two steps
    calls, take_in = [], Tracker._take_in
    monkeypatch.setattr(Tracker, "_take_in", lambda tracker: calls.append(1) or take_in(tracker))
    again = learn(full_spec(request.node.callspec.params["tracked"]), dataset)
    assert len(calls) == 2 * EPOCHS
    for name, array in outcome.items():
        assert array.tobytes() == again[name].tobytes(), name


def test_networks_side_by_side_are_kept_apart():
    tracker = Tracker(2, 3, {"epochs": 1, "precision": "fp32"}, 1)
    index = np.array([[2, 0], [1, 2]])
    logits = torch.tensor([[RIGHT, WRONG], [WRONG, RIGHT]])  # [batch, network, class]
    tracker.batch(index, logits, torch.zeros(2, 2, dtype=torch.int64))
    tracker._take_in()
    accuracy = tracker._of_training()["cumulative_accuracy"]
    np.testing.assert_array_equal(accuracy, [[0, np.nan, 1], [np.nan, 0, 1]])


@pytest.mark.parametrize(
    ("early", "epochs", "expected"), [(0.1, 30, 3), (0.1, 12, 2), (0.1, 3, 1), (0.07, 100, 7), ("1/3", 9, 3), (1, 5, 5)]
)
def test_the_early_epoch_is_an_exact_share_rounded_up(early, epochs, expected):
    assert tracking.early_epoch(early, epochs) == expected


# Layers.


def plain(image_shape, n_classes):
    """A network of the user's own."""
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(image_shape)), n_classes))


def learn_plain(dataset):
    target = f"{__name__}:plain"
    spec = full_spec("mlp") | {"network": target, "architecture": {"model": target}}
    return learn(spec, dataset, range(1))


def test_a_network_that_names_no_layers_has_no_prediction_depth(dataset):
    outcome = learn_plain(dataset)
    assert "proxy_aum" in outcome
    assert "proxy_prediction_depth" not in outcome


def test_a_network_of_the_users_own_names_its_layers_in_its_module(dataset, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "probed_layers", lambda _: ["1"], raising=False)
    assert learn_plain(dataset)["proxy_prediction_depth"].max() == 2  # image, linear layer, softmax


def test_the_table_names_the_layers_of_every_network_of_the_registry():
    assert OF_MODEL.keys() == registry.NETWORKS.keys()


def test_what_is_probed_is_in_the_code_of_tracked_training_only():
    own = {"memflow.training.tracking", "memflow.training.probed_layers"}
    assert own <= set(closure(registry.TRACKED))
    others = [*registry.NETWORKS.values(), *registry.LEARNERS.values(), registry.SGD, registry.DISTILLED]
    assert {"memflow.models.resnet:build", "memflow.training.sgd:learn"} <= set(others)
    assert own.isdisjoint(closure(*others, "memflow.training.blocks"))
    assert not any(name.startswith("memflow.models") for name in closure("memflow.training.probed_layers"))


def test_layers_that_are_not_there_are_refused_after_the_first_epoch(dataset, monkeypatch):
    monkeypatch.setitem(OF_MODEL, "mlp", lambda _: ["layers.1", "layers.7"])
    reported = []
    with pytest.raises(InputError, match=r"probed_layers names 'layers.7'"):
        learn(full_spec("mlp"), dataset, report=reported.append)
    assert not reported


def test_prediction_depth_counts_the_networks_own_layers(tracked, request):
    outcome, _ = tracked
    layers = {"mlp": 2, "resnet": 5}[request.node.callspec.params["tracked"]]  # counted from the image, 0
    assert outcome["proxy_prediction_depth"].max() == layers
    assert set(outcome["proxy_prediction_depth"].ravel()) <= set(range(layers + 1))
