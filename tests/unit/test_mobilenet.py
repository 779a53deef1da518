from functools import partial

import pytest
import torch
from network_helpers import check_training, count_parameters, same_for_the_same_seed
from torch import nn

from memflow.models.mobilenet import build


@pytest.mark.parametrize(("size", "parameters"), [("small", 2_542_856), ("large", 5_483_032)])
def test_the_parameter_counts_are_the_published_ones(size, parameters):
    assert count_parameters(lambda: build((3, 224, 224), 1000, size=size, width=1)) == parameters


def test_the_width_scales_the_channels():
    counts = [count_parameters(lambda w=w: build((3, 32, 32), 10, size="small", width=w)) for w in (0.25, 0.5, 1, 2)]
    assert counts == sorted(set(counts))
    assert build((3, 32, 32), 10, size="small", width=0.5).features[0][0].out_channels == 8


# Not 32x32: batch norm over the two values of a batch of two gives 1 and -1, and hardly any gradient.
@pytest.mark.parametrize(
    ("size", "width", "shape"), [("small", 1, (3, 64, 64)), ("large", 1, (3, 64, 64)), ("small", 0.5, (1, 64, 64))]
)
def test_it_trains(size, width, shape):
    check_training(build(shape, 10, size=size, width=width), shape, 10)


def test_it_takes_images_of_32_by_32():
    network = build((3, 32, 32), 10, size="small", width=1)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_stem_for_grey_images_has_the_spread_of_one_for_colours():
    colour, grey = (build((channels, 32, 32), 10, size="small", width=4).features[0][0] for channels in (3, 1))
    assert grey.weight.shape == (64, 1, 3, 3)
    assert grey.weight.std().item() == pytest.approx(colour.weight.std().item(), rel=0.1)
    assert (grey.stride, grey.padding, grey.bias) == (colour.stride, colour.padding, None)


def test_dropout_before_the_last_layer_is_all_that_is_drawn_in_training():
    network = build((3, 64, 64), 10, size="small", width=1)
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.2]


def test_the_same_seed_gives_the_same_weights():
    assert same_for_the_same_seed(partial(build, (1, 32, 32), 10, size="small", width=0.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "huge", "width": 1}, "size is 'huge'; it must be one of 'small', 'large'"),
        ({"size": "small", "width": 0}, "width is 0; .* must be above 0"),
        ({"size": "small", "width": float("nan")}, "width is nan"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build((3, 32, 32), 10, **arguments)
