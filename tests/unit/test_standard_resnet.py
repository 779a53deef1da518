from functools import partial

import pytest
import torch
from network_helpers import check_training, count_parameters, same_for_the_same_seed
from torch import nn
from torchvision.models import resnet18

from memflow.models.standard_resnet import build

SMALL = {18: 11_173_962, 34: 21_282_122, 50: 23_520_842, 101: 42_512_970}
IMAGENET = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}


@pytest.mark.parametrize("depth", SMALL)
def test_the_parameter_counts_are_the_published_ones(depth):
    assert count_parameters(lambda: build((3, 32, 32), 10, depth=depth, form="small")) == SMALL[depth]
    assert count_parameters(lambda: build((3, 224, 224), 1000, depth=depth, form="imagenet")) == IMAGENET[depth]


@pytest.mark.parametrize("depth", SMALL)
def test_the_small_form_trains(depth):
    check_training(build((3, 32, 32), 10, depth=depth, form="small"), (3, 32, 32), 10)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 64, 64)])
def test_the_imagenet_form_trains_on_colour_and_grey_images(shape):
    check_training(build(shape, 200, depth=18, form="imagenet"), shape, 200)


def test_the_imagenet_form_is_the_network_of_torchvision_bit_for_bit():
    torch.manual_seed(0)
    ours = build((3, 64, 64), 20, depth=18, form="imagenet").state_dict()
    torch.manual_seed(0)
    theirs = resnet18(num_classes=20).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert ours.keys() == theirs.keys()


@pytest.mark.parametrize(("form", "side"), [("small", 4), ("imagenet", 1)])
def test_the_small_form_keeps_the_image_up_to_the_first_block(form, side):
    network = build((3, 32, 32), 10, depth=18, form=form)
    shapes = []
    network.layer4.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    network(torch.randn(2, 3, 32, 32))
    assert shapes == [(2, 512, side, side)]


@pytest.mark.parametrize(("form", "kernel"), [("small", 3), ("imagenet", 7)])
def test_a_stem_for_grey_images_has_the_spread_of_one_for_colours(form, kernel):
    stem = build((1, 64, 64), 10, depth=18, form=form).conv1
    assert isinstance(stem, nn.Conv2d)
    assert stem.weight.shape == (64, 1, kernel, kernel)
    assert stem.weight.std().item() == pytest.approx((2 / (64 * kernel**2)) ** 0.5, rel=0.15)  # over the fan out


def test_the_same_seed_gives_the_same_weights():
    assert same_for_the_same_seed(partial(build, (1, 32, 32), 10, depth=18, form="small"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 20, "form": "small"}, "depth is 20; it must be one of 18, 34, 50, 101"),
        ({"depth": 18, "form": "big"}, "form is 'big'; it must be one of 'small', 'imagenet'"),
    ],
)
def test_an_unknown_depth_or_form_is_refused_with_the_valid_ones(arguments, message):
    with pytest.raises(ValueError, match=message):
        build((3, 32, 32), 10, **arguments)
