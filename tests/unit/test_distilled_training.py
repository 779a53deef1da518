import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import half_masks, noise_images, tiny_config

from memflow import rng
from memflow.config import Study
from memflow.models.fused import states_of
from memflow.training import distillation, sgd, weights
from memflow.training.batches import Images, epoch_order

CPU = torch.device("cpu")
FAMILY = {"networks": {"title": "Networks", "architectures": ["mlp", "resnet"]}}
SEEDS = range(2)


def spec_of(architecture="mlp", recipe=None, **settings):
    """Spec of a block of students of ``resnet``."""
    name = "distilled"
    config = tiny_config(recipe=recipe, families=FAMILY, distillation={name: {"teacher": "resnet"} | settings})
    return Study(config).block_spec("digits", architecture, name, 0)


def one_hot_spec(architecture="mlp", recipe=None):
    return Study(tiny_config(recipe=recipe)).block_spec("digits", architecture, "one-hot", 0)


@pytest.fixture(scope="module")
def dataset():
    return noise_images()


def nothing(share):
    pass


def teachers_of(dataset, seeds=SEEDS, architecture="resnet"):
    """Weights of teachers trained on the seeds' subsets."""
    trained = sgd.learn(one_hot_spec(architecture), dataset, half_masks(dataset, seeds), seeds, nothing, keep=[2])
    return weights.at(2, trained)


def outcome(spec, dataset, teachers, seeds=SEEDS):
    return distillation.learn(spec, dataset, half_masks(dataset, seeds), seeds, nothing, teachers=teachers)


def random_logits(*shape):
    return torch.from_numpy(rng.integers("logits", shape, shape, 1000) / 100.0).double()


def test_as_the_temperature_grows_the_loss_is_half_the_squared_distance_of_centred_logits_over_the_classes():
    student, teacher = random_logits(6, 2, 5), random_logits(6, 2, 5).flip(0)
    centred = [logits - logits.mean(-1, keepdim=True) for logits in (student, teacher)]
    limit = ((centred[0] - centred[1]) ** 2).sum() / (2 * 5)
    errors = []
    for temperature in (1e3, 1e4):
        targets = (teacher / temperature).softmax(-1)
        errors.append(abs(float(distillation.softened(student, targets, temperature) / limit) - 1))
    assert errors[0] < 1e-2
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.05)  # the next term of the series falls as 1 / T


def test_at_temperature_one_with_the_labels_as_targets_it_is_the_cross_entropy():
    logits, labels = random_logits(4, 2, 5), torch.tensor([[0, 1], [2, 3], [4, 0], [1, 1]])
    targets = F.one_hot(labels, 5).double()
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    assert float(distillation.softened(logits, targets, 1)) == pytest.approx(float(expected), rel=1e-12)


def certain(states, dataset):
    """A loss whose teacher gives every label probability 1."""

    class Certain(distillation.Distillation):
        def targets(self, labels, images, index, n_classes):
            return F.one_hot(labels, n_classes).float()

    return Certain


@pytest.mark.parametrize(
    "settings",
    [
        {"teacher_weight": 0, "label_weight": 1},
        {"teacher_weight": 1, "label_weight": 0, "temperature": 1},
    ],
    ids=["no weight on the teacher", "a teacher that says the labels"],
)
@pytest.mark.parametrize("architecture", ["mlp", "resnet"])
def test_students_of_nothing_but_the_labels_are_one_hot_runs_bit_for_bit(dataset, monkeypatch, architecture, settings):
    teacher = {"mlp": "resnet", "resnet": "mlp"}[architecture]
    config = tiny_config(distillation={"d": {"teacher": teacher, "students": [architecture]} | settings})
    spec = Study(config).block_spec("digits", architecture, "d", 0)
    teachers = teachers_of(dataset, architecture=teacher)
    monkeypatch.setattr(distillation, "Distillation", certain(teachers, dataset))
    student = outcome(spec, dataset, teachers)
    alone = sgd.learn(one_hot_spec(architecture), dataset, half_masks(dataset, SEEDS), SEEDS, nothing)
    for name, array in alone.items():
        np.testing.assert_array_equal(student[name], array, err_msg=name)


def test_a_student_of_its_own_size_starts_elsewhere_than_its_teacher(dataset):
    def start(architecture, teacher):
        config = tiny_config(distillation={"d": {"teacher": teacher, "students": [architecture]}})
        network = sgd.initialise(Study(config).block_spec("digits", architecture, "d", 0), dataset, SEEDS)
        return network.state_dict()["head.weight"]

    teachers = sgd.initialise(one_hot_spec("resnet"), dataset, SEEDS).state_dict()["head.weight"]
    assert torch.equal(start("resnet", "mlp"), teachers)
    assert not torch.isclose(start("resnet", "self"), teachers).any()
    assert torch.equal(start("resnet", "self"), start("resnet", "resnet"))


def test_the_teachers_are_the_networks_that_were_trained(dataset):
    seeds = SEEDS
    spec = one_hot_spec("resnet")
    trained = sgd.learn(spec, dataset, half_masks(dataset, seeds), seeds, nothing, keep=[1, 2])
    states = weights.at(2, trained)
    teachers = distillation.Teachers(spec, dataset, len(seeds), states, CPU)
    images = Images(dataset, dataset.train, spec["recipe"]["augment"], CPU)
    logits = teachers.outputs(images, "fp32")
    correct = (logits.argmax(-1) == images.labels).numpy()
    np.testing.assert_array_equal(correct, trained["train_correct"][:, -1])
    assert {name.split(" ")[1] for name in trained if name.startswith("weights ")} == {"1", "2"}
    again = states_of(teachers.networks[0], len(seeds))
    for name, array in states.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)
    for one in range(len(seeds)):
        alone = distillation.Teachers(spec, dataset, 1, {n: a[one : one + 1] for n, a in states.items()}, CPU)
        np.testing.assert_allclose(alone.outputs(images, "fp32")[0], logits[one], rtol=1e-4, atol=1e-4)


def test_every_student_learns_from_its_own_teacher(dataset):
    """What a student's first step is, computed plainly, one network at a time."""
    spec = spec_of(recipe={"epochs": 1, "momentum": 0, "weight_decay": 0}, temperature=3, label_weight=0.5)
    teachers, masks = teachers_of(dataset), half_masks(dataset, SEEDS)
    images = Images(dataset, dataset.train, spec["recipe"]["augment"], CPU)
    loss = distillation.Distillation(spec, dataset, masks, teachers, images)
    network = sgd.initialise(spec, dataset, SEEDS)
    order = np.stack([epoch_order(mask, seed, 0, 16) for mask, seed in zip(masks, SEEDS, strict=True)])
    batch, labels = images.batch(order, np.zeros(order.shape, dtype=np.uint64))
    total = loss(network(batch), labels, batch, order)
    plain = 0.0
    for number, seed in enumerate(SEEDS):
        alone = sgd.initialise(spec, dataset, range(seed, seed + 1))
        teacher = sgd.initialise(spec["teacher"], dataset, range(1)).eval()
        teacher.load_state_dict({name: torch.tensor(array[number]) for name, array in teachers.items()})
        mine, y = images.plain(slice(None))[order[number]], images.labels[order[number]]
        with torch.no_grad():
            p = (teacher(mine)[:, 0] / 3).softmax(-1)
        z = alone(mine)[:, 0]
        q = (z / 3).softmax(-1)
        plain += (9 * (p * (p / q).log()).sum() + 0.5 * F.cross_entropy(z, y, reduction="sum")).item()
    assert total.item() == pytest.approx(plain, rel=1e-4)


def test_an_augmented_student_and_its_teacher_see_the_same_image(dataset):
    spec = spec_of(recipe={"augment": {"crop": 2, "flip": True}})
    masks, teachers = half_masks(dataset, SEEDS), teachers_of(dataset)
    images = Images(dataset, dataset.train, spec["recipe"]["augment"], CPU)
    loss = distillation.Distillation(spec, dataset, masks, teachers, images)
    assert loss.table is None
    order = np.stack([epoch_order(mask, seed, 0, 16) for mask, seed in zip(masks, SEEDS, strict=True)])
    batch, labels = images.batch(order, rng.integers("draws", (1,), order.shape, 2**62).astype(np.uint64))
    targets = loss.targets(labels, batch, order, dataset.n_classes)
    expected = (loss.teachers(batch, "fp32") / 4).softmax(-1)
    np.testing.assert_array_equal(targets, expected)
    plain, _ = images.batch(order, np.zeros(order.shape, dtype=np.uint64))
    assert not torch.equal(loss.targets(labels, plain, order, dataset.n_classes), targets)


def test_a_teacher_that_cannot_be_fused_teaches_fused_students(dataset):
    architectures = {
        "mlp": {"model": "mlp", "hidden": [8], "recipe": "short"},
        "own": {"model": f"{__name__}:linear", "recipe": "alone"},
    }
    recipes = tiny_config()["recipes"] | {"alone": tiny_config()["recipes"]["short"] | {"fuse": 1}}
    config = tiny_config() | {"architectures": architectures, "recipes": recipes}
    config["distillation"] = {"d": {"teacher": "own", "students": ["mlp"]}}
    study = Study(config)
    masks = half_masks(dataset, SEEDS)
    parts = [
        sgd.learn(
            study.block_spec("digits", "own", "one-hot", 0), dataset, masks[[seed]], range(seed, seed + 1), nothing,
            keep=[2],
        )
        for seed in SEEDS
    ]  # fmt: skip
    states = [weights.at(2, part) for part in parts]
    together = {name: np.concatenate([state[name] for state in states]) for name in states[0]}
    spec = study.block_spec("digits", "mlp", "d", 0)
    images = Images(dataset, dataset.train, spec["recipe"]["augment"], CPU)
    logits = distillation.Distillation(spec, dataset, masks, together, images).teachers.outputs(images, "fp32")
    for number, part in enumerate(parts):
        correct = (logits[number].argmax(-1) == images.labels).numpy()
        np.testing.assert_array_equal(correct, part["train_correct"][0, -1])
    assert outcome(spec, dataset, together)["train_correct"].shape == (2, 1, len(dataset.train))


def linear(image_shape, n_classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(np.prod(image_shape)), n_classes))


def test_matched_smoothing_is_as_soft_as_the_teacher_on_its_subset():
    outputs, inside = random_logits(2, 30, 5).float(), torch.from_numpy(np.arange(60).reshape(2, 30) % 3 > 0)
    shares = distillation.matched_smoothing(outputs, inside, 2.0)
    p = (outputs / 2).softmax(-1).double()
    entropy = -(p * p.log()).sum(-1)
    for one in range(2):
        target = torch.full((5,), float(shares[one]) / 5, dtype=torch.float64)
        target[0] += 1 - shares[one]
        of_target = -(target * target.log()).sum()
        assert float(of_target) == pytest.approx(float(entropy[one][inside[one]].mean()), rel=1e-5)
    assert not torch.isclose(shares[0], shares[1])


@pytest.mark.parametrize(("scale", "expected"), [(1e6, 0.0), (0.0, 1.0)])
def test_matched_smoothing_of_certain_and_of_clueless_teachers(scale, expected):
    outputs = scale * random_logits(1, 10, 4).float()
    share = distillation.matched_smoothing(outputs, torch.ones(1, 10, dtype=torch.bool), 1.0)
    assert float(share[0]) == pytest.approx(expected, abs=1e-3)


def test_smoothed_targets_spread_the_rest_evenly(dataset):
    spec = spec_of(targets="smoothed")
    masks, teachers = half_masks(dataset, SEEDS), teachers_of(dataset)
    images = Images(dataset, dataset.train, spec["recipe"]["augment"], CPU)
    loss = distillation.Distillation(spec, dataset, masks, teachers, images)
    order = np.zeros((2, 1), dtype=np.int64)
    targets = loss.targets(images.labels[torch.zeros(1, 2, dtype=torch.long)], images.plain(slice(0, 1)), order, 3)
    of_label = targets[0, :, images.labels[0]]
    np.testing.assert_allclose(of_label, 1 - loss.smoothing * 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)


def test_distillation_is_deterministic_and_depends_on_the_teacher(dataset):
    spec, teachers = spec_of(), teachers_of(dataset)
    first, second = outcome(spec, dataset, teachers), outcome(spec, dataset, teachers)
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)
    swapped = {name: array[::-1].copy() for name, array in teachers.items()}
    assert not np.array_equal(outcome(spec, dataset, swapped)["log_odds"], first["log_odds"])
