"""Layers that hold M independent networks side by side, so that tiny networks share one kernel launch.

Channels are grouped network by network: features are ``[batch, M * channels, ...]``. Every parameter and buffer has the
networks stacked along its first dimension, so the fused state is the concatenation of M single ones, and M = 1 is the
ordinary network.
"""

import math

import numpy as np
import torch
from torch import nn


class FusedLinear(nn.Module):
    """M linear layers: ``[batch, M * in_features] -> [batch, M, out_features]``, weight ``[M * out, in]``."""

    def __init__(self, in_features: int, out_features: int, fuse: int) -> None:
        super().__init__()
        self.fuse = fuse
        self.weight = nn.Parameter(torch.empty(fuse * out_features, in_features))
        self.bias = nn.Parameter(torch.empty(fuse * out_features))
        bound = 1 / math.sqrt(in_features)  # as torch.nn.Linear initialises
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        batch = features.shape[0]
        inputs = features.reshape(batch, self.fuse, -1).transpose(0, 1)
        weight = self.weight.view(self.fuse, -1, self.weight.shape[1]).transpose(1, 2)
        outputs = torch.baddbmm(self.bias.view(self.fuse, 1, -1).to(inputs.dtype), inputs, weight.to(inputs.dtype))
        return outputs.transpose(0, 1)


def conv3x3(in_channels: int, out_channels: int, stride: int, fuse: int) -> nn.Conv2d:
    """M 3x3 convolutions without bias, He-initialised over the incoming connections (He et al. 2015)."""
    conv = nn.Conv2d(fuse * in_channels, fuse * out_channels, 3, stride=stride, padding=1, bias=False, groups=fuse)
    nn.init.kaiming_normal_(conv.weight)
    return conv


def states_of(network: nn.Module, fuse: int) -> dict[str, np.ndarray]:
    """Parameters and buffers by name, each [M, ...], of M networks side by side."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    return {
        name: np.stack(np.split(array, fuse)) if array.ndim else np.repeat(array, fuse)
        for name, array in arrays.items()
    }


def load_states(network: nn.Module, states: dict[str, np.ndarray]) -> None:
    """The reverse of :func:`states_of`."""
    of_network = network.state_dict()
    tensors = {name: torch.from_numpy(array) for name, array in states.items()}
    network.load_state_dict({n: t.flatten(0, 1) if of_network[n].ndim else t[0] for n, t in tensors.items()})
