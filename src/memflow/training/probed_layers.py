"""Where prediction depth looks: the modules of each architecture before which it is probed, from the image to the head.

At most ten each, for every probe costs a pass of nearest neighbours. Not in the modules of the architectures, so that
to move a probe is no edit of the code of any other training.
"""

from collections.abc import Callable
from typing import Any

from torch import nn


def cifar_resnet(network: Any) -> list[str]:
    """After the stem, up to three in each stage, the head."""
    of_stage = len(network.blocks) // 3
    blocks = [stage * of_stage + place for stage in range(3) for place in evenly(of_stage, 3)]
    return ["blocks.0", *(f"blocks.{block}" for block in blocks[:-1]), "head"]


def mlp(network: Any) -> list[str]:
    """At most nine of the layers after the first."""
    return [f"layers.{layer}" for layer in evenly(len(network.layers) - 1, 9)]


def mobilenet(network: Any) -> list[str]:
    """After the stem, six in the blocks, the last layers."""
    blocks = len(network.features) - 2  # between the first and the last convolution
    return ["features.1", *(f"features.{1 + place}" for place in evenly(blocks, 6)), "classifier.0", "classifier.3"]


def standard_resnet(network: Any) -> list[str]:
    """After the stem, at most two in each stage, the head."""
    names = ["layer1.0"]
    for stage in range(1, 5):
        blocks = len(getattr(network, f"layer{stage}"))
        after = f"layer{stage + 1}.0" if stage < 4 else "fc"
        names += [f"layer{stage}.{place}" if place < blocks else after for place in evenly(blocks, 2)]
    return names


def vgg(network: Any) -> list[str]:
    """At most two in each stage, its pooled end included."""
    names, ends = [], list[int]()
    for i, layer in enumerate(network.features, 1):
        if isinstance(layer, nn.MaxPool2d):
            ends[-1] = i  # what follows the last ReLU of a stage is its pooling
            names += [f"features.{ends[place - 1]}" for place in evenly(len(ends), 2)]
            ends = []
        elif isinstance(layer, nn.ReLU):
            ends.append(i)
    return [*names[:-1], "head"]


def vit(network: Any) -> list[str]:
    """At most seven places along the blocks, the head."""
    blocks = len(network.transformer.blocks)
    places = [0, *evenly(blocks, 6)]
    names = [f"transformer.blocks.{place}" if place < blocks else "transformer.norm" for place in places]
    return [*names, "transformer.head"]


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers from 1 to ``count``, evenly spaced; the last is ``count``."""
    places = min(count, most)
    return [-(-count * place // places) for place in range(1, places + 1)]


OF_MODEL: dict[str, Callable[[Any], list[str]]] = {
    "cifar-resnet": cifar_resnet,
    "mlp": mlp,
    "resnet": standard_resnet,
    "mobilenet-v3": mobilenet,
    "vgg": vgg,
    "vit": vit,
}
