"""Tables of names: what a config may name, and the ``module:function`` that does it.

Strings, so that nothing here is imported before it is needed, and a new entry is in nobody else's code digest.
"""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from memflow.errors import InputError

DATASETS = {
    "digits": "memflow.data.digits:load",
    "cifar10": "memflow.data.cifar:load_cifar10",
    "cifar100": "memflow.data.cifar:load_cifar100",
    "mnist": "memflow.data.mnist:load_mnist",
    "fashion-mnist": "memflow.data.mnist:load_fashion_mnist",
    "svhn": "memflow.data.svhn:load",
    "tiny-imagenet": "memflow.data.tiny_imagenet:load",
    "image-folder": "memflow.data.image_folder:load",
    "arrays": "memflow.data.arrays:load",
    "parquet": "memflow.data.parquet:load",
}

FUSED = {  # networks that can be trained several side by side (`fuse` in the recipe)
    "cifar-resnet": "memflow.models.resnet:build",
    "mlp": "memflow.models.mlp:build",
}
NETWORKS = FUSED | {
    "resnet": "memflow.models.standard_resnet:build",
    "mobilenet-v3": "memflow.models.mobilenet:build",
    "vgg": "memflow.models.vgg:build",
    "vit": "memflow.models.vit:build",
}

LEARNERS = {"nearest-neighbour": "memflow.models.neighbour:learn"}
SGD = "memflow.training.sgd:learn"
DISTILLED = "memflow.training.distillation:learn"
TEACHERS = "memflow.teachers:load"
TRACKED = "memflow.training.tracking:learn"
REMOVED = "memflow.removed:masks"


def find_users_modules() -> None:
    """Let modules of the user's own lie in the working folder, as ``python -m`` does; installed ones win."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def resolve(target: str) -> Callable[..., Any]:
    """The function that ``"module:function"`` names."""
    find_users_modules()
    module, _, function = target.partition(":")
    loaded = importlib.import_module(module)
    if not hasattr(loaded, function):
        raise InputError(f"module {module!r}, {loaded.__file__}, has no function {function!r}")
    return getattr(loaded, function)
