from fractions import Fraction

import pytest
from helpers import block_spec, half_masks, noise_images

from memflow import registry, workload
from memflow.training import sgd


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (3, 1), (3, 2), (12, 6), (13, 6), (5, 10)])
def test_evaluations_are_counted_as_the_learner_makes_them(epochs, every):
    recipe = {"epochs": epochs, "evaluate_every": every}
    assert workload.evaluations(recipe) == len(sgd.evaluated_epochs(recipe))


def test_a_learner_without_epochs_is_evaluated_once():
    spec, data = block_spec("neighbour"), noise_images()
    outcome = registry.resolve(spec["learner"])(spec, data, half_masks(data, range(2)), range(2), lambda share: None)
    assert workload.evaluations(spec["recipe"]) == len(outcome["epochs"])


@pytest.mark.parametrize("ratio", [Fraction(7, 10), Fraction(1, 3)])
@pytest.mark.parametrize("n", [100, 1437, 50_000])
def test_steps_are_counted_as_the_learner_makes_them(n, ratio):
    recipe = {"epochs": 4, "evaluate_every": 3, "batch_size": 32}
    work = workload.of(recipe, ratio, n, 10)
    assert work.steps == sgd.steps_per_epoch(recipe, ratio, n)
    assert work.trained == 32 * work.steps
    assert (work.epochs, work.evaluations, work.evaluated) == (4, 2, n + 10)
