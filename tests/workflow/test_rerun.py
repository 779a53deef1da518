"""A recorded run is trained again with the same bits, and a change of bits is found and measured."""

import json

import numpy as np
import pytest

from memflow import files

RUNS = "results/tiny/runs/digits-noisy"


def rerun(clone, run, *arguments):
    return clone.run("memflow", "audit", "rerun", f"{RUNS}/{run}/block-0.npz", *arguments)


@pytest.mark.parametrize("architecture", ["mlp-8", "resnet8-w1", "nearest-neighbour"])
def test_a_run_is_bit_identical(finished, architecture):
    said = rerun(finished, f"{architecture}/one-hot")
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.strip().endswith("bit-identical")


def test_a_changed_bit_is_found_measured_and_within_a_tolerance(clone):
    path = clone.root / f"{RUNS}/mlp-8/one-hot/block-0.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["train_correct"][1, -1, 0] ^= 128  # of seed 1
    files.write_npz(path, arrays)
    sidecar = path.with_name(f"{path.name}.prov.json")
    record = json.loads(sidecar.read_text())
    record["outputs"][path.name] = files.sha256(path)
    sidecar.write_text(json.dumps(record))
    said = rerun(clone, "mlp-8/one-hot", "--seed", "1")
    assert said.returncode == 1
    n = 2 * arrays["train_correct"].shape[1] * arrays["log_odds"].shape[1]
    assert f"train_correct: 1 of {n:,} predictions differ ({1 / n:.3%})" in said.stdout
    assert rerun(clone, "mlp-8/one-hot", "--seed", "2").returncode == 0
    assert rerun(clone, "mlp-8/one-hot", "--seed", "1", "--tolerance", "0.01").returncode == 0


@pytest.mark.parametrize(
    ("run", "arguments", "words"),
    [
        ("mlp-8/one-hot", ["--seed", "4"], "holds seeds 0 to 3, not 4"),
        ("mlp-9/one-hot", [], "has no sidecar"),
    ],
)
def test_what_cannot_be_trained_again_is_refused_by_name(finished, run, arguments, words):
    said = rerun(finished, run, *arguments)
    assert said.returncode == 1
    assert words in said.stderr


def test_a_run_on_another_dataset_than_lies_there_is_refused(clone):
    clone.edit("src/memflow/data/digits.py", "random_state=0", "random_state=1")
    made = clone.snakemake("--", "results/tiny/data/digits-noisy.npz")
    assert made.returncode == 0, made.stderr
    said = rerun(clone, "mlp-8/one-hot")
    assert said.returncode == 1
    assert "restore the recorded one" in said.stderr
