"""Tables of names: what a config may name, and the ``module:function`` that does it.

Strings, so that nothing here is imported before it is needed, and a new entry is in nobody else's code digest.
"""

import importlib
from collections.abc import Callable
from typing import Any

DATASETS = {"digits": "memflow.data.digits:load"}

NETWORKS = {
    "cifar-resnet": "memflow.models.resnet:build",
    "mlp": "memflow.models.mlp:build",
}

LEARNERS = {"nearest-neighbour": "memflow.models.neighbour:learn"}
SGD = "memflow.training.sgd:learn"


def resolve(target: str) -> Callable[..., Any]:
    """The function that ``"module:function"`` names."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)
