from functools import partial

import pytest
import torch
from network_helpers import check_training, count_parameters, same_for_the_same_seed
from torch import nn
from torchvision.models import vgg19_bn

from memflow.models.vgg import build

PARAMETERS = {"small": 413_898, "medium": 967_242, "large": 7_383_882, 19: 20_040_522}


@pytest.mark.parametrize("size", PARAMETERS)
def test_the_parameter_counts_are_the_published_ones(size):
    assert count_parameters(lambda: build((3, 32, 32), 10, size=size)) == PARAMETERS[size]


@pytest.mark.parametrize(
    ("size", "shape"), [("small", (3, 32, 32)), ("medium", (1, 32, 32)), ("large", (3, 64, 64)), (19, (3, 32, 32))]
)
def test_it_trains(size, shape):
    # Batch norm subtracts the biases of the convolutions of VGG-19: their gradient is zero, up to rounding.
    check_training(
        build(shape, 10, size=size), shape, 10, without_gradient=r"^features\.\d+\.bias$" if size == 19 else "-"
    )


@pytest.mark.parametrize("size", PARAMETERS)
def test_an_image_of_32_by_32_ends_as_one_position(size):
    assert build((3, 32, 32), 10, size=size).features(torch.randn(2, 3, 32, 32)).shape == (2, 512, 1, 1)


def test_larger_images_are_averaged_over_their_positions():
    network = build((3, 64, 64), 10, size="small").eval()
    images = torch.randn(2, 3, 64, 64)
    features = network.features(images)
    assert features.shape == (2, 512, 2, 2)
    torch.testing.assert_close(network(images), network.head(features.flatten(2).mean(2)))


def test_the_convolutions_of_vgg_19_are_those_of_torchvision():
    with torch.device("meta"):
        ours, theirs = build((3, 32, 32), 10, size=19).features, vgg19_bn().features
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("size", ["small", 19])
def test_initial_weights_spread_as_those_of_torchvision(size):
    network = build((1, 32, 32), 200, size=size)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            spread = (2 / (9 * layer.out_channels)) ** 0.5
            assert layer.weight.std().item() == pytest.approx(spread, rel=0.15)
            assert layer.bias is None or not layer.bias.any()
    assert network.head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not network.head.bias.any()


def test_the_same_seed_gives_the_same_weights():
    assert same_for_the_same_seed(partial(build, (1, 32, 32), 10, size="medium"))


def test_an_unknown_size_is_refused_with_the_valid_ones():
    with pytest.raises(ValueError, match="size is '16'; it must be one of 'small', 'medium', 'large', 19"):
        build((3, 32, 32), 10, size="16")


@pytest.mark.parametrize("shape", [(3, 31, 32), (3, 32, 28)])
def test_too_small_images_are_refused(shape):
    with pytest.raises(ValueError, match=f"images are {shape[1]}x{shape[2]}; .* at least 32x32"):
        build(shape, 10, size="small")
