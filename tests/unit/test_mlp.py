from itertools import pairwise

import pytest
import torch
from torch import nn

from memflow.models.mlp import build


def ordinary(network, sizes):
    """The same network made of torch's own layers."""
    layers = []
    for layer, (inputs, outputs) in zip(network.layers, pairwise(sizes), strict=True):
        linear = nn.Linear(inputs, outputs)
        linear.load_state_dict(layer.state_dict())
        layers += [linear, nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


@pytest.mark.parametrize("hidden", [[], [7], [7, 5]])
def test_it_is_linear_layers_with_relu_between_them(hidden):
    torch.manual_seed(0)
    network = build((3, 4, 5), 6, fuse=1, hidden=hidden)
    x = torch.randn(8, 3, 4, 5)
    torch.testing.assert_close(network(x)[:, 0], ordinary(network, [60, *hidden, 6])(x))


@pytest.mark.parametrize(("hidden", "count"), [([], 64 * 10 + 10), ([16], 64 * 16 + 16 + 16 * 10 + 10)])
def test_parameter_counts(hidden, count):
    for fuse in (1, 3):
        network = build((1, 8, 8), 10, fuse=fuse, hidden=hidden)
        assert sum(parameter.numel() for parameter in network.parameters()) == fuse * count


@pytest.mark.parametrize("fuse", [1, 2])
def test_gradients_reach_every_parameter(fuse):
    torch.manual_seed(0)
    network = build((1, 4, 4), 3, fuse=fuse, hidden=[8, 8])
    network(torch.randn(16, fuse, 4, 4)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_the_memory_layout_of_the_images_does_not_matter():
    torch.manual_seed(0)
    network = build((3, 4, 4), 3, fuse=2, hidden=[8])
    x = torch.randn(5, 6, 4, 4)
    assert torch.equal(network(x), network(x.contiguous(memory_format=torch.channels_last)))
