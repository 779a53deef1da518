import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers import block_spec, half_masks, noise_images

from memflow import cli, provenance, subsets
from memflow.data import prepared
from memflow.errors import InputError
from memflow.files import sha256, write_npz
from memflow.training import blocks, device
from memflow.training.outcomes import block_masks, unpack

LONG = {"recipe": {"epochs": 12}, "block_size": 16, "seeds": 16}  # eight units of about a sixth of a second
TWINS = (np.arange(70) % 35).astype(np.int32)  # near duplicates, 35 apart
MARK = np.float32(77)  # an accuracy that no training gives


@pytest.fixture(scope="module")
def dataset():
    return noise_images()


@pytest.fixture(scope="module")
def dataset_path(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    prepared.save(dataset, path)
    return path


@pytest.fixture
def train(dataset_path, tmp_path):
    """Trains a block here and now; returns its arrays."""

    def run(architecture, name="block.npz", **changes):
        blocks.run(block_spec(architecture, **changes), dataset_path, tmp_path / name)
        return read(tmp_path / name)

    return run


def read(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def undisturbed(dataset_path, tmp_path_factory):
    """The long block, trained without interruption."""
    path = tmp_path_factory.mktemp("undisturbed") / "block-0.npz"
    blocks.run(block_spec("resnet", **LONG), dataset_path, path)
    return path


@pytest.fixture(scope="module")
def killed(dataset_path, tmp_path_factory):
    """A folder in which the same block was killed half-way."""
    folder = tmp_path_factory.mktemp("killed")
    spec = json.dumps(block_spec("resnet", **LONG))
    command = [Path(sys.executable).with_name("memflow"), "train", "--spec", spec]
    command += ["--dataset", dataset_path, "--output", folder / "block-0.npz"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(units_in(folder)) < 4:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return folder


@pytest.fixture
def interrupted(killed, tmp_path):
    """A copy of the killed block's folder, to continue in."""
    return shutil.copytree(killed, tmp_path / "interrupted")


def units_in(folder):
    return sorted(folder.glob("block-0.npz.partial/*/seed-*.npz"))


def mark(unit):
    """Change what a finished unit says: where the unit is kept, the block shows the mark."""
    content = read(unit)
    write_npz(unit, content | {"accuracy": np.full_like(content["accuracy"], MARK)})


def marked_runs(block):
    return np.flatnonzero((read(block)["accuracy"] == MARK).all(axis=(1, 2))).tolist()


def resume(folder, dataset_path, architecture="resnet", **changes):
    blocks.run(block_spec(architecture, **(LONG | changes)), dataset_path, folder / "block-0.npz")
    return folder / "block-0.npz"


# --- what a block holds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["mlp", "resnet"])
def test_a_block_holds_the_documented_arrays(train, dataset, architecture):
    block = train(architecture, block=1, recipe={"evaluate_every": 1})
    described = {name: (array.dtype, array.shape) for name, array in block.items()}
    assert described.pop("parameters") == (np.int64, ())
    assert described == {
        "seeds": (np.int64, (4,)),
        "epochs": (np.int32, (2,)),
        "train_correct": (np.uint8, (4, 2, -(-len(dataset.train) // 8))),
        "test_correct": (np.uint8, (4, 2, -(-len(dataset.test) // 8))),
        "accuracy": (np.float32, (4, 2, 3)),
        "losses": (np.float32, (4, 2, 3)),
        "log_odds": (np.float16, (4, len(dataset.train))),
    }
    assert block["seeds"].tolist() == [4, 5, 6, 7]
    assert block["epochs"].tolist() == [1, 2]


def test_a_learner_without_logits_leaves_them_out(train):
    block = train("neighbour")
    assert block.keys() == {"seeds", "epochs", "train_correct", "test_correct", "accuracy"}
    assert (block["accuracy"][:, 0, 0] == 1).all()  # every in-sample example is its own neighbour


def test_accuracies_are_those_of_the_correctness_bits(train, dataset):
    block = train("mlp", block=1)
    correct, masks = unpack(block["train_correct"], len(dataset.train))[:, -1], half_masks(dataset, range(4, 8))
    for run, mask in enumerate(masks):
        expected = [correct[run, mask].mean(), correct[run, ~mask].mean()]
        expected.append(unpack(block["test_correct"], len(dataset.test))[run, -1].mean())
        np.testing.assert_allclose(block["accuracy"][run, -1], expected, rtol=1e-6)


def test_the_sidecar_holds_definition_masks_and_bit_conditions(train, dataset, dataset_path, tmp_path):
    train("resnet", block=1)
    record = provenance.read(tmp_path / "block.npz")
    assert record["definition"] == {**block_spec("resnet", block=1), "fingerprint": dataset.fingerprint}
    assert record["masks"] == [subsets.mask_hash(mask) for mask in half_masks(dataset, range(4, 8))]
    assert record["bit_conditions"] == {**device.bit_conditions("fp32"), "fuse": 2, "threads": 1}
    assert record["inputs"] == {str(dataset_path): sha256(dataset_path)}


@pytest.mark.parametrize("unit", ["example", "group"])
def test_the_masks_follow_the_subset_unit(dataset, tmp_path, unit):
    prepared.save(replace(dataset, near_duplicate_group=TWINS), tmp_path / "twins.npz")
    blocks.run(block_spec("neighbour", subset_unit=unit), tmp_path / "twins.npz", tmp_path / "block.npz")
    units = {"example": np.arange(70), "group": TWINS}[unit]
    masks = subsets.masks("balanced", Fraction(1, 2), range(4), units)
    assert provenance.read(tmp_path / "block.npz")["masks"] == [subsets.mask_hash(mask) for mask in masks]


@pytest.mark.parametrize("unit", ["example", "group"])
def test_fewer_units_than_runs_of_a_balanced_group_are_refused(unit):
    few = noise_images(n=8 if unit == "example" else 70)
    few = replace(few, near_duplicate_group=(np.arange(len(few.train)) % 8).astype(np.int32))
    spec = {"design": "balanced", "ratio": "7/10", "subset_unit": unit}
    name = {"example": "8 examples", "group": "8 groups of duplicates"}[unit]
    with pytest.raises(InputError, match=f"the training set has {name}, fewer than the 10 runs of a balanced group"):
        block_masks(spec, few, range(10))
    for possible in ({"ratio": "7/8"}, {"design": "iid"}):
        assert block_masks(spec | possible, few, range(8)).shape == (8, len(few.train))


# --- the same inputs, the same bits --------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["mlp", "resnet", "neighbour"])
def test_the_same_block_twice_is_the_same_file(train, tmp_path, architecture):
    train(architecture, "one.npz")
    train(architecture, "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize("augment", [{}, {"crop": 1, "flip": True}])
@pytest.mark.parametrize("architecture", ["mlp", "resnet", "neighbour"])
def test_a_run_has_the_same_bits_in_a_block_of_any_size(train, architecture, augment):
    recipe = {"augment": augment, "evaluate_every": 1}
    large = train(architecture, recipe=recipe, block_size=8)
    small = [train(architecture, f"{block}.npz", recipe=recipe, block_size=4, block=block) for block in (0, 1)]
    for name in large.keys() - {"epochs", "parameters"}:
        assert np.array_equal(large[name], np.concatenate([block[name] for block in small])), name
    for name in large.keys() & {"epochs", "parameters"}:
        assert np.array_equal(large[name], small[0][name])


def test_runs_of_different_seeds_differ(train):
    block = train("mlp")
    assert len({row.tobytes() for row in block["log_odds"]}) == 4


@pytest.mark.parametrize("fuse", [1, 2, 4])
def test_the_number_of_fused_networks_changes_a_run_by_rounding_only(train, fuse):
    block, reference = train("mlp", recipe={"fuse": fuse}), train("mlp", "reference.npz", recipe={"fuse": 1})
    assert abs(block["losses"] - reference["losses"]).max() < 1e-4


# --- killed and started again --------------------------------------------------------------------------------------


def test_a_killed_job_leaves_finished_units_and_no_block(killed):
    assert 4 <= len(units_in(killed)) < 8
    assert [path.name for path in killed.iterdir()] == ["block-0.npz.partial"]


def test_a_block_killed_and_started_again_is_the_undisturbed_one_byte_for_byte(
    interrupted, undisturbed, dataset_path, tmp_path
):
    kept = 2 * len(units_in(interrupted))
    arguments = ["train", "--spec", json.dumps(block_spec("resnet", **LONG)), "--dataset", str(dataset_path)]
    cli.main([*arguments, "--output", str(interrupted / "block-0.npz"), "--log", str(tmp_path / "log")])
    assert (interrupted / "block-0.npz").read_bytes() == undisturbed.read_bytes()
    assert f"{kept} of 16 models were finished by an earlier job and are kept" in (tmp_path / "log").read_text()
    assert f" {kept + 2}/16 models" in (tmp_path / "log").read_text()
    assert f" {kept}/16 models" not in (tmp_path / "log").read_text()


def test_finished_units_are_kept_and_only_the_others_trained(interrupted, undisturbed, dataset_path):
    units = units_in(interrupted)
    for unit in units:
        mark(unit)
    block = resume(interrupted, dataset_path)
    assert marked_runs(block) == list(range(2 * len(units)))
    for name, array in read(undisturbed).items():
        assert name == "accuracy" or np.array_equal(read(block)[name], array)


def test_the_partial_folder_is_gone_when_the_block_is_complete(interrupted, dataset_path):
    resume(interrupted, dataset_path)
    assert sorted(path.name for path in interrupted.iterdir()) == ["block-0.npz", "block-0.npz.prov.json"]


def truncate(share):
    return lambda content: content[: int(share * len(content))]


def flip_a_bit(content):
    place = content.index(b"\x93NUMPY") + 128 + 4  # in the numbers, after the header
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = {"half": truncate(0.5), "nearly whole": truncate(0.999), "empty": truncate(0), "one bit": flip_a_bit}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_unit_is_trained_again(interrupted, undisturbed, dataset_path, damage, caplog):
    unit = units_in(interrupted)[0]
    mark(unit)
    unit.write_bytes(DAMAGES[damage](unit.read_bytes()))
    assert resume(interrupted, dataset_path).read_bytes() == undisturbed.read_bytes()
    assert f"{unit} is damaged; its models are trained again" in caplog.text


def test_units_of_another_definition_are_not_used(interrupted, dataset_path, tmp_path):
    mark(units_in(interrupted)[0])
    other = {"recipe": {"epochs": 1}}
    block = resume(interrupted, dataset_path, **other)
    assert block.read_bytes() == resume(tmp_path, dataset_path, **other).read_bytes()


def test_units_on_another_dataset_are_not_used(interrupted, tmp_path):
    mark(units_in(interrupted)[0])
    prepared.save(noise_images(n=34), tmp_path / "other.npz")
    assert marked_runs(resume(interrupted, tmp_path / "other.npz")) == []


def test_units_trained_under_other_bit_conditions_are_not_mixed_in(interrupted, dataset_path, monkeypatch):
    mark(units_in(interrupted)[0])
    monkeypatch.setattr(device, "device_name", lambda device: "another processor")
    block = resume(interrupted, dataset_path)
    assert provenance.read(block)["bit_conditions"]["device_name"] == "another processor"
    assert marked_runs(block) == []


def test_a_leftover_temporary_file_does_no_harm(interrupted, undisturbed, dataset_path):
    folder = units_in(interrupted)[0].parent
    (folder / ".seed-4.npz.abc.tmp").write_bytes(b"half")
    assert resume(interrupted, dataset_path).read_bytes() == undisturbed.read_bytes()
    assert not (interrupted / "block-0.npz.partial").exists()
