import numpy as np
import pytest
import torch
from helpers import block_spec, half_masks, noise_images

from memflow.errors import InputError
from memflow.training import device, sgd
from memflow.training.device import PrecisionError, bit_conditions, prepare_device

needs_bf16 = pytest.mark.skipif(
    not device._has_bf16(torch.device("cpu")), reason="this CPU has no bfloat16 arithmetic, so memflow refuses it"
)


def train(architecture, precision):
    dataset, seeds = noise_images(), range(2)
    spec = block_spec(architecture, recipe={"precision": precision, "epochs": 4})
    return sgd.learn(spec, dataset, half_masks(dataset, seeds), seeds, lambda share: None)


def test_bf16_without_the_hardware_is_refused_and_the_alternative_named(monkeypatch):
    monkeypatch.setattr(device, "_has_bf16", lambda device: False)
    with pytest.raises(PrecisionError) as error:
        prepare_device("bf16")
    assert isinstance(error.value, InputError)
    for part in ("recipe.precision is bf16", "no bfloat16 arithmetic", "set `precision: fp32` in the recipe"):
        assert part in str(error.value)


def test_a_run_in_bf16_is_refused_without_the_hardware(monkeypatch):
    monkeypatch.setattr(device, "_has_bf16", lambda device: False)
    with pytest.raises(PrecisionError, match="precision: fp32"):
        train("mlp", "bf16")


def test_fp32_needs_no_special_hardware(monkeypatch):
    monkeypatch.setattr(device, "_has_bf16", lambda device: False)
    assert prepare_device("fp32").type in ("cpu", "cuda")


def test_the_bit_conditions_name_all_that_decides_the_bits():
    conditions = bit_conditions("fp32")
    assert conditions.keys() == {"torch", "device", "device_name", "precision", "threads"}
    assert (conditions["torch"], conditions["precision"]) == (torch.__version__, "fp32")
    assert conditions["threads"] == torch.get_num_threads() == 1
    assert conditions["device_name"]


@needs_bf16
@pytest.mark.parametrize("architecture", ["mlp", "resnet"])
def test_training_in_bf16_works_and_is_deterministic(architecture):
    first, second = train(architecture, "bf16"), train(architecture, "bf16")
    assert np.isfinite(first["losses"]).all()
    assert all(np.array_equal(first[name], second[name]) for name in first)


@needs_bf16
@pytest.mark.parametrize("architecture", ["mlp", "resnet"])
def test_bf16_changes_the_bits_and_hardly_the_losses(architecture):
    low, full = train(architecture, "bf16"), train(architecture, "fp32")
    assert not np.array_equal(low["losses"], full["losses"])
    assert abs(low["losses"] - full["losses"]).max() < 0.1
    assert low["losses"].dtype == np.float32


@needs_bf16
def test_a_fused_network_in_bf16_trains_each_of_its_networks():
    outcome = train("resnet", "bf16")
    assert not np.array_equal(outcome["log_odds"][0], outcome["log_odds"][1])
