"""How many images a recipe goes through, without torch."""

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
    """The workload of a recipe with epochs."""
    steps = full_batches(recipe, ratio, n_train)
    return Workload(recipe["epochs"], steps, recipe["batch_size"], evaluations(recipe), n_train + n_test)


def full_batches(recipe: dict[str, Any], ratio: Fraction, n: int) -> int:
    """Full batches in one epoch of a subset of n training examples."""
    return int(ratio * n) // recipe["batch_size"]


def evaluated_epochs(recipe: dict[str, Any]) -> list[int]:
    """Epochs after which every example is evaluated, counted from 1; the last one always is."""
    every, epochs = recipe["evaluate_every"], recipe["epochs"]
    return sorted({*range(every, epochs + 1, every), epochs})


def evaluations(recipe: dict[str, Any]) -> int:
    """How often a recipe evaluates every example; one without epochs does it once."""
    return len(evaluated_epochs(recipe)) if "epochs" in recipe else 1
