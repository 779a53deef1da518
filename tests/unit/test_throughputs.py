import csv
import re

import pytest
import torch
from helpers import tiny_config
from torch import nn

from memflow import throughputs
from memflow.config import Study
from memflow.throughputs import Estimate, Throughput
from memflow.workload import Workload

ROW = Throughput("vgg", "19", "vgg19_bn", "Big", "amp", 224, 400.0, 1000.0, 20.0)
WORK = Workload(epochs=10, steps=5, batch_size=20, evaluations=2, evaluated=300)
CIFAR = ((3, 32, 32), 10)


def spec(**architecture):
    config = tiny_config(architectures={"it": {"model": "cifar-resnet", "recipe": "short", **architecture}})
    return Study(config).runs_spec("digits", "it", "one-hot")


def row(model, variant, gmacs):
    return Throughput(model, variant, f"{model}-{variant}", "Big", "amp", 224, 100.0, 300.0, gmacs)


def stub(image_shape, n_classes, *, width):
    return nn.Sequential(nn.Flatten(), nn.Linear(image_shape[0] * image_shape[1] * image_shape[2], width))


def test_the_table_says_where_every_number_is_from():
    with open(throughputs.TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(throughputs.read()) > 5
    for cells in rows:
        assert re.fullmatch(r"[0-9a-f]{40}", cells["commit"])
        assert re.fullmatch(r"[\w-]+/[\w-]+", cells["repository"])
        assert cells["train_file"]
        assert bool(cells["infer_per_second"]) == bool(cells["infer_file"])


def test_the_table_has_one_row_of_each_model_and_variant():
    names = [(row.model, row.variant) for row in throughputs.read()]
    assert len({*names}) == len(names)
    assert {model for model, _ in names} == {"cifar-resnet", "resnet", "mobilenet-v3", "vit", "vgg"}


def test_the_documented_cifar_resnet_has_the_multiply_adds_of_ours():
    (ours,) = (row for row in throughputs.read() if row.model == "cifar-resnet")
    counted = throughputs.multiply_adds(spec(depth=20), *CIFAR)
    assert ours.gmacs == pytest.approx(counted / 1e9, rel=0.01)
    assert ours.infer_per_second == 3 * ours.train_per_second  # none is documented


def test_seconds_are_images_over_throughput_times_the_ratio_of_multiply_adds():
    assert Estimate(ROW, 20.0, WORK).seconds == pytest.approx(10 * 5 * 20 / 400 + 2 * 300 / 1000)
    assert Estimate(ROW, 5.0, WORK).seconds == pytest.approx((10 * 5 * 20 / 400 + 2 * 300 / 1000) / 4)


@pytest.mark.parametrize(
    ("architecture", "gmacs", "found"),
    [
        ({"model": "resnet", "depth": 34}, 9.0, "resnet-34"),
        ({"model": "resnet", "depth": 50}, 9.0, "resnet-34"),  # no row of its own: the nearest by far
        ({"model": "resnet", "depth": 50}, 0.5, "resnet-18"),
        ({"model": "vgg", "size": "small"}, 0.1, "vgg-19"),
        ({"model": "mobilenet-v3", "size": "large", "width": 0.1}, 0.01, "mobilenet-v3-large"),
    ],
)
def test_a_network_is_estimated_by_its_own_row_or_its_nearest_kin(architecture, gmacs, found):
    rows = [
        row("resnet", "18", 1.8),
        row("resnet", "34", 3.7),
        row("vgg", "19", 20.0),
        row("mobilenet-v3", "small", 0.06),
        row("mobilenet-v3", "large", 0.23),
    ]
    assert throughputs.find(rows, architecture, gmacs).network == found


def test_a_model_of_another_kind_has_no_estimate():
    mlp = Study(tiny_config()).runs_spec("digits", "mlp", "one-hot")
    assert throughputs.estimate(throughputs.read(), mlp, WORK, (1, 8, 8), 10) is None


def test_multiply_adds_are_those_of_convolutions_and_matrix_products():
    first = 32 * 32 * 16 * 3 * 9
    stages = [32 * 32 * 16 * 16 * 9, 16 * 16 * 32 * 32 * 9, 8 * 8 * 64 * 64 * 9]
    narrow = [16 * 16 * 32 * 16 * 9, 8 * 8 * 64 * 32 * 9]  # where a stage begins, half the channels come in
    expected = first + 2 * stages[0] + sum(narrow) + stages[1] + stages[2] + 64 * 10
    assert throughputs.multiply_adds(spec(depth=8), *CIFAR) == expected


def test_counting_computes_nothing_and_needs_no_trained_weights():
    own = {"network": f"{__name__}:stub", "architecture": {"model": "vit", "width": 10**9, "pretrained": "timm"}}
    before = torch.random.get_rng_state()
    assert throughputs.multiply_adds(own, (3, 100, 100), 10) == 3 * 100 * 100 * 10**9
    assert torch.equal(before, torch.random.get_rng_state())
