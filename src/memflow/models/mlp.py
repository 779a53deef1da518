"""A multi-layer perceptron with ReLU on the flattened image."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from memflow.models.fused import FusedLinear


class MLP(nn.Module):
    """``[batch, M * channels, height, width] -> logits [batch, M, classes]``."""

    def __init__(self, sizes: list[int], fuse: int) -> None:
        super().__init__()
        self.fuse = fuse
        self.layers = nn.ModuleList(FusedLinear(inputs, outputs, fuse) for inputs, outputs in itertools.pairwise(sizes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images.unflatten(1, (self.fuse, -1)).flatten(2)
        for layer in self.layers[:-1]:
            features = F.relu(layer(features))
        return self.layers[-1](features)


def build(image_shape: tuple[int, int, int], n_classes: int, *, hidden: list[int], fuse: int = 1) -> MLP:
    """An MLP with hidden layers of the given sizes; other parameters as in :func:`memflow.models.resnet.build`."""
    return MLP([math.prod(image_shape), *hidden, n_classes], fuse)
