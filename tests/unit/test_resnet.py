import pytest
import torch
from network_helpers import check_training, same_for_the_same_seed
from torch import nn

from memflow.models.resnet import BasicBlock, build

PARAMETERS = {
    8: (75_290, 81_140),
    14: (172_506, 178_356),
    20: (269_722, 275_572),
    32: (464_154, 470_004),
    44: (658_586, 664_436),
    56: (853_018, 858_868),
    110: (1_727_962, 1_733_812),
}


def count_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def small(**changes):
    torch.manual_seed(0)
    return build((3, 8, 8), 5, **({"fuse": 1, "depth": 14, "width": 2} | changes))


@pytest.mark.parametrize("depth", PARAMETERS)
def test_the_parameter_counts_are_the_published_ones(depth):
    with torch.device("meta"):
        counts = tuple(count_parameters(build((3, 32, 32), n, fuse=1, depth=depth, width=16)) for n in (10, 100))
    assert counts == PARAMETERS[depth]


def test_fusing_multiplies_the_parameters():
    assert count_parameters(small(fuse=3)) == 3 * count_parameters(small())


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_the_depth_is_the_number_of_layers_with_weights(depth):
    network = small(depth=depth)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    assert convolutions + 1 == depth


@pytest.mark.parametrize("depth", [2, 7, 9, 18])
def test_a_depth_that_is_not_6n_plus_2_is_refused_with_the_valid_ones(depth):
    with pytest.raises(ValueError, match=f"depth is {depth};.* 6n \\+ 2: 8, 14, 20"):
        small(depth=depth)


@pytest.mark.parametrize("fuse", [1, 2])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 4), (1, 28, 28), (3, 7, 5)])
def test_images_of_any_size_give_logits_per_network(shape, fuse):
    network = build(shape, 5, fuse=fuse, depth=8, width=2)
    logits = network(torch.randn(4, fuse * shape[0], *shape[1:]))
    assert logits.shape == (4, fuse, 5)
    assert logits.isfinite().all()


@pytest.mark.parametrize("fuse", [1, 2])
def test_gradients_reach_every_parameter(fuse):
    network = small(fuse=fuse)
    network(torch.randn(16, fuse * 3, 8, 8)).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_stages_halve_the_image_and_double_the_width():
    network = small(depth=14, width=2)
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    network(torch.randn(2, 3, 8, 8))
    assert shapes == [(2, 8, 8)] * 2 + [(4, 4, 4)] * 2 + [(8, 2, 2)] * 2


@pytest.mark.parametrize("fuse", [1, 3])
def test_a_shortcut_subsamples_and_pads_with_zeros_without_parameters(fuse):
    block = BasicBlock(2, 4, 2, fuse)
    nn.init.zeros_(block.bn2.weight)  # the residual branch is silent
    x = torch.rand(2, fuse * 2, 6, 6)
    outputs = block(x.clone()).unflatten(1, (fuse, 4))
    inputs = x.unflatten(1, (fuse, 2))
    assert torch.equal(outputs[:, :, 1:3], inputs[..., ::2, ::2])
    assert not outputs[:, :, [0, 3]].any()


def test_a_block_that_keeps_its_shape_adds_its_input():
    block = BasicBlock(2, 2, 1, 1)
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 2, 6, 6)
    assert torch.equal(block(x.clone()), x)


def test_the_deepest_trains():
    network = build((3, 32, 32), 10, fuse=1, depth=110, width=16)
    check_training(nn.Sequential(network, nn.Flatten()), (3, 32, 32), 10)


def test_the_same_seed_gives_the_same_weights():
    assert same_for_the_same_seed(lambda: build((3, 8, 8), 5, fuse=1, depth=14, width=2))
