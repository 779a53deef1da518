from functools import partial

import pytest
import torch
from helpers import block_spec, half_masks, noise_images
from torch import nn

from memflow.models import mlp, resnet
from memflow.models.fused import FusedLinear, conv3x3
from memflow.training import sgd

M = 3
BUILDERS = {
    "mlp": partial(mlp.build, (3, 6, 6), 4, hidden=[8, 5]),
    "resnet": partial(resnet.build, (3, 6, 6), 4, depth=8, width=3),
}


def fused_and_single(build):
    """M networks with different weights and statistics, side by side and alone."""
    torch.manual_seed(0)
    singles = [build(fuse=1) for _ in range(M)]
    for network in singles:
        for name, value in network.state_dict().items():
            if "running" in name or "bn" in name:
                nn.init.uniform_(value, 0.5, 1.5) if value.is_floating_point() else None
    states = [network.state_dict() for network in singles]
    joined = {name: torch.cat([s[name] for s in states]) if value.ndim else value for name, value in states[0].items()}
    fused = build(fuse=M)
    fused.load_state_dict(joined)
    return fused, singles


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", BUILDERS)
def test_a_fused_network_is_its_single_networks_side_by_side(name, mode):
    fused, singles = fused_and_single(BUILDERS[name])
    images = [torch.randn(10, 3, 6, 6) for _ in range(M)]
    for network in (fused, *singles):
        network.train(mode == "train")
    together = fused(torch.cat(images, dim=1))
    alone = torch.cat([network(x) for network, x in zip(singles, images, strict=True)], dim=1)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    # and so are the running statistics that the pass has left behind
    for key, value in fused.state_dict().items():
        if value.ndim:
            expected = torch.cat([network.state_dict()[key] for network in singles])
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BUILDERS)
def test_fused_networks_do_not_see_each_other(name):
    fused, _ = fused_and_single(BUILDERS[name])
    images = torch.randn(10, M * 3, 6, 6)
    other = images.clone()
    other[:, 3:6] = torch.randn(10, 3, 6, 6)  # what the middle network sees
    before, after = fused(images), fused(other)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize("name", BUILDERS)
def test_gradients_of_fused_networks_are_those_of_the_single_ones(name):
    fused, singles = fused_and_single(BUILDERS[name])
    images = [torch.randn(10, 3, 6, 6) for _ in range(M)]
    fused(torch.cat(images, dim=1)).square().sum().backward()
    for network, x in zip(singles, images, strict=True):
        network(x).square().sum().backward()
    alone = [dict(network.named_parameters()) for network in singles]
    for key, parameter in fused.named_parameters():
        expected = torch.cat([parameters[key].grad for parameters in alone])
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-4)


def test_a_fused_linear_layer_is_m_of_torchs_own():
    torch.manual_seed(0)
    layer = FusedLinear(6, 4, M)
    x = torch.randn(5, M * 6)
    weights, biases = layer.weight.split(4), layer.bias.split(4)
    alone = [nn.functional.linear(x[:, 6 * m : 6 * m + 6], weights[m], biases[m]) for m in range(M)]
    torch.testing.assert_close(layer(x), torch.stack(alone, dim=1))


@pytest.mark.parametrize("fuse", [1, M])
def test_initial_weights_are_as_spread_as_those_of_a_single_layer(fuse):
    torch.manual_seed(0)
    linear, convolution = FusedLinear(100, 50, fuse), conv3x3(16, 32, 1, fuse)
    for parameter in (linear.weight, linear.bias):
        assert parameter.abs().max() <= 0.1  # 1 / sqrt(100)
    assert linear.weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert convolution.weight.shape == (fuse * 32, 16, 3, 3)
    assert convolution.weight.std().item() == pytest.approx((2 / (9 * 16)) ** 0.5, rel=0.05)
    assert convolution.bias is None


@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_networks_trained_side_by_side_become_what_they_become_alone(name):
    dataset, seeds = noise_images(), range(4, 4 + M)
    spec = block_spec(name, recipe={"augment": {"crop": 1, "flip": True}, "learning_rate": 0.05})
    masks = half_masks(dataset, seeds)
    together = sgd.learn(spec, dataset, masks, seeds, lambda share: None)
    for m, seed in enumerate(seeds):
        alone = sgd.learn(spec, dataset, masks[m : m + 1], range(seed, seed + 1), lambda share: None)
        assert abs(together["losses"][m] - alone["losses"][0]).max() < 1e-4
        assert abs(together["log_odds"][m] - alone["log_odds"][0]).max() < 4e-3  # float16: steps of 2e-3 at 2 to 4
