"""How many images a recipe goes through, without torch."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Workload:
    """What one run does.

    Attributes
    ----------
    epochs, steps, batch_size : int
        Steps of each epoch, images of each step.
    evaluations, evaluated : int
        How often every example is evaluated, and how many there are: training and test.
    """

    epochs: int
    steps: int
    batch_size: int
    evaluations: int
    evaluated: int

    @property
    def trained(self) -> int:
        """Images that one epoch trains on."""
        return self.steps * self.batch_size


def of(recipe: dict[str, Any], ratio: Fraction, n_train: int, n_test: int) -> Workload:
    """The workload of a recipe with epochs; steps as in :func:`memflow.training.sgd.steps_per_epoch`."""
    steps = int(ratio * n_train) // recipe["batch_size"]
    return Workload(recipe["epochs"], steps, recipe["batch_size"], evaluations(recipe), n_train + n_test)


def evaluations(recipe: dict[str, Any]) -> int:
    """How often a recipe evaluates every example, as :func:`memflow.training.sgd.evaluated_epochs`."""
    return math.ceil(recipe["epochs"] / recipe["evaluate_every"]) if "epochs" in recipe else 1
