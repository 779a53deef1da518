"""A dataset of noise and a study of tiny networks, on which training takes milliseconds."""

from fractions import Fraction
from typing import Any

import numpy as np
import torch

from memflow import rng, subsets
from memflow.config import Study
from memflow.data.prepared import Dataset, Split, duplicate_groups

torch.set_num_threads(1)

ARCHITECTURES = {
    "mlp": {"model": "mlp", "hidden": [8], "recipe": "short"},
    "resnet": {"model": "cifar-resnet", "depth": 8, "width": 2, "recipe": "short"},
    "neighbour": {"model": "nearest-neighbour"},
}
RECIPE = {"epochs": 2, "batch_size": 16, "learning_rate": 0.1, "schedule": {"shape": "cosine"}, "fuse": 2}


def tiny_config(recipe: dict[str, Any] | None = None, **entries: Any) -> dict[str, Any]:
    """A valid config; its dataset entry names the digits, though most tests train on :func:`noise_images`."""
    return {
        "study": "small",
        "seeds": 8,
        "ratio": "1/2",
        "block_size": 4,
        "datasets": {"digits": {"source": "digits"}},
        "recipes": {"short": RECIPE | (recipe or {})},
        "architectures": ARCHITECTURES,
        **entries,
    }


def block_spec(architecture: str, block: int = 0, **changes: Any) -> dict[str, Any]:
    """Spec of a block of :func:`tiny_config`."""
    return Study(tiny_config(**changes)).block_spec("digits", architecture, "one-hot", block)


def noise_images(n: int = 70, n_test: int = 20, shape: tuple[int, int, int] = (6, 6, 3), n_classes: int = 3) -> Dataset:
    """Random images with random labels."""
    train, test = _noise_split("train", n, shape, n_classes), _noise_split("test", n_test, shape, n_classes)
    names = [f"class {number}" for number in range(n_classes)]
    return Dataset.unflagged(train, test, names, duplicate_group=duplicate_groups(train.images))


def half_masks(dataset: Dataset, seeds: range) -> np.ndarray:
    """Balanced masks of ratio 1/2, as the specs of :func:`block_spec` define them."""
    return subsets.masks("balanced", Fraction(1, 2), seeds, np.arange(len(dataset.train)))


def _noise_split(name: str, n: int, shape: tuple[int, int, int], n_classes: int) -> Split:
    images = rng.integers("test images", (name,), (n, *shape), 256).astype(np.uint8)
    labels = rng.integers("test labels", (name,), n, n_classes).astype(np.int32)
    return Split(images, labels, np.arange(n, dtype=np.int32))
