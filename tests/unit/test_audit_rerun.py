"""A run is trained again from its record, and every bit is compared."""

import json
import math
import shutil

import numpy as np
import pytest
from helpers import ARCHITECTURES, RECIPE, noise_images, tiny_config

from memflow import files
from memflow.audit import rerun
from memflow.audit.records import Records
from memflow.config import Study
from memflow.data import prepared
from memflow.errors import InputError
from memflow.provenance import sidecar
from memflow.training import blocks

FAMILY = {"networks": {"title": "Networks", "architectures": ["mlp", "resnet"]}}
STUDENTS = {"taught": {"teacher": "resnet"}, "leaky": {"teacher": "resnet", "teacher_data": "full"}}
RECIPES = {"short": RECIPE, "wide": RECIPE | {"fuse": 4}}  # teachers are trained side by side in larger units
CONFIG = tiny_config(
    block_size=8,
    recipes=RECIPES,
    architectures=ARCHITECTURES | {"resnet": ARCHITECTURES["resnet"] | {"recipe": "wide"}},
    families=FAMILY,
    distillation=STUDENTS,
    proxies={"runs": 4, "block_size": 2, "ratios": ["1/4"]},
    probabilities=True,
)
STUDY = Study(CONFIG)
ONE_HOT, TAUGHT = "runs/digits/mlp/one-hot/block-0.npz", "runs/digits/mlp/taught/block-0.npz"
TEACHER = "runs/digits/resnet/one-hot/block-0.npz"


def train(results, run):
    """The first block of some runs, whose teachers are there."""
    keep = STUDY.teacher_epochs(*run[1:]) if run in STUDY.taught_by else []
    teachers = []
    if STUDY.methods[run[2]].kind == "distilled":
        of = ("digits", STUDY.teacher(*run[1:]), STUDY.teachers_method(run[2]))
        teachers = [results / "runs" / "/".join(of) / "block-0.weights.npz"]
    output = results / "runs" / "/".join(run) / "block-0.npz"
    blocks.run(STUDY.block_spec(*run, 0), results / "data/digits.npz", output, teachers=teachers, keep=keep)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    results = tmp_path_factory.mktemp("trained") / "results/small"
    prepared.save(noise_images(), results / "data/digits.npz")
    for run in sorted(STUDY.runs, key=lambda run: STUDY.methods[run[2]].kind == "distilled"):
        train(results, run)
    return results


@pytest.fixture
def results(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "results/small")
    return tmp_path / "results/small"


def change(results, name, edit):
    """Edit the arrays of a file, and make its record fit."""
    path = results / name
    arrays = dict(np.load(path))
    edit(arrays)
    files.write_npz(path, arrays)
    record = json.loads(sidecar(path).read_text())
    record["outputs"][path.name] = files.sha256(path)
    for output in record["outputs"]:
        sidecar(path.with_name(output)).write_text(json.dumps(record))


def change_record(results, name, **parts):
    path = sidecar(results / name)
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


@pytest.mark.parametrize("run", STUDY.runs, ids="/".join)
def test_a_run_of_every_learner_and_method_has_the_same_bits(trained, run):
    found = rerun.run(Records(trained), f"runs/{'/'.join(run)}/block-0.npz", 1)
    assert found.differences == {}
    assert 1 in found.seeds
    assert rerun.describe(found).endswith("\nbit-identical")


def test_only_those_are_trained_that_were_trained_side_by_side(trained):
    assert rerun.run(Records(trained), ONE_HOT, 5).seeds == [4, 5]
    assert rerun.run(Records(trained), TAUGHT, 5).seeds == [4, 5, 6, 7]  # as the teachers were


def test_nothing_in_the_results_is_touched(results):
    def state():
        return {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in results.rglob("*")}

    before = state()
    rerun.run(Records(results), TAUGHT)
    assert state() == before


def test_results_may_lie_elsewhere_than_when_they_were_recorded(results, tmp_path):
    moved = results.rename(tmp_path / "archive")
    assert rerun.run(Records(moved), TAUGHT).differences == {}


def test_flipped_predictions_are_counted(results):
    def flip(arrays):
        arrays["test_correct"][1, -1, 0] ^= 192

    change(results, ONE_HOT, flip)
    found = rerun.run(Records(results), ONE_HOT)
    size = found.differences["test_correct"].size
    assert list(found.differences) == ["test_correct"]
    assert size == 2 / 40  # of two runs and 20 images, one evaluated epoch
    assert "test_correct: 2 of 40 predictions differ (5.000%)" in rerun.describe(found)
    assert rerun.run(Records(results), ONE_HOT, 2).differences == {}
    assert not found.within(size / 2)
    assert found.within(size)
    assert rerun.describe(found, size).endswith(f"within the tolerance of {size:g}")


def test_the_largest_difference_of_the_log_odds_is_told(results):
    def add(arrays):
        arrays["log_odds"][0, :2] += np.float16([0.25, 0.5])

    change(results, ONE_HOT, add)
    found = rerun.run(Records(results), ONE_HOT)
    assert found.differences["log_odds"].size == pytest.approx(0.5, abs=0.01)
    assert rerun.describe(found).endswith("beyond the tolerance of 0")


def test_an_array_that_only_one_of_both_has_is_a_difference_that_no_tolerance_allows(results):
    change(results, ONE_HOT, lambda arrays: arrays.pop("log_odds"))
    found = rerun.run(Records(results), ONE_HOT)
    assert found.differences["log_odds"].text == "only in the new file"
    assert not found.within(1e9)


def test_other_subsets_are_a_difference(results):
    masks = json.loads(sidecar(results / ONE_HOT).read_text())["masks"]
    change_record(results, ONE_HOT, masks=[masks[1], masks[0], *masks[2:]])
    assert set(rerun.run(Records(results), ONE_HOT, 1).differences) == {"masks"}
    assert rerun.run(Records(results), ONE_HOT, 2).differences == {}


@pytest.mark.parametrize("array", ["log_odds", "weights"])
def test_teachers_that_come_out_otherwise_are_told_apart_from_their_students(results, array):
    name = TEACHER if array == "log_odds" else TEACHER.replace(".npz", ".weights.npz")

    def add(arrays):
        key = next(key for key in arrays if key.startswith(array))
        arrays[key][3] += 1

    change(results, name, add)
    assert set(rerun.run(Records(results), TAUGHT, 1).differences) == {f"its teachers' {array}"}
    assert rerun.run(Records(results), TAUGHT, 4).differences == {}


def test_weights_that_were_deleted_are_known_by_their_digest_where_a_whole_block_is_trained(results):
    name = "runs/digits/mlp/leaky/block-0.npz"
    for path in results.rglob("*.weights.npz"):
        path.unlink()
    assert rerun.run(Records(results), TAUGHT).differences == {}
    assert rerun.run(Records(results), name).differences == {}
    change_record(results, "runs/digits/resnet/full-data/block-0.npz", weights={"2": "0123456789abcdef"})
    found = rerun.run(Records(results), name)
    assert "its teachers' weights: not those whose digest was recorded" in rerun.describe(found)


def test_what_was_otherwise_is_told_with_the_commit_of_the_code(results):
    record = json.loads(sidecar(results / ONE_HOT).read_text())
    now = record["definition"]["code"]
    record["definition"]["code"] = "0123456789abcdef"
    record["bit_conditions"]["torch"] = "1.0"
    record["circumstance"] |= {"commit": "f" * 40, "host": "elsewhere"}
    record["circumstance"]["packages"]["numpy"] = "1.0"
    change_record(results, ONE_HOT, **record)
    found = rerun.run(Records(results), ONE_HOT)
    said = rerun.describe(found)
    assert found.differences == {}
    assert f"the code of training (digest {now}, then 0123456789abcdef, commit ffffffffff)" in said
    for part in ("torch is ", "host is ", "packages.numpy is "):
        assert part in said
    assert "then '1.0'" in said


@pytest.mark.parametrize(
    ("name", "seed", "words"),
    [
        (ONE_HOT, 8, "holds seeds 0 to 7, not 8"),
        (TEACHER.replace(".npz", ".weights.npz"), 0, "is no block of runs"),
        ("runs/digits/mlp/one-hot/block-1.npz", 8, "has no sidecar"),
    ],
)
def test_what_is_no_recorded_run_is_refused(trained, name, seed, words):
    with pytest.raises(InputError, match=words):
        rerun.run(Records(trained), name, seed)


def test_a_block_that_was_edited_is_refused(results):
    with open(results / ONE_HOT, "ab") as file:
        file.write(b"0")
    with pytest.raises(InputError, match="is not the file that its sidecar describes"):
        rerun.run(Records(results), ONE_HOT)


def test_another_or_no_dataset_is_refused_with_what_to_do(results):
    prepared.save(noise_images(n=72), results / "data/digits.npz")
    with pytest.raises(InputError, match=r"holds other images or labels .* restore the recorded one"):
        rerun.run(Records(results), ONE_HOT)
    (results / "data/digits.npz").unlink()
    with pytest.raises(InputError, match="is not there; make it: snakemake"):
        rerun.run(Records(results), ONE_HOT)


def test_another_selection_than_runs_were_trained_without_is_refused(results):
    record = json.loads(sidecar(results / ONE_HOT).read_text())
    files.write_bytes(results / "removal/digits/mlp.removed.npz", b"another")
    inputs = record["inputs"] | {"results/small/removal/digits/mlp.removed.npz": "0" * 64}
    change_record(results, ONE_HOT, inputs=inputs)
    with pytest.raises(InputError, match=r"says what .* was trained without, is missing or another file"):
        rerun.run(Records(results), ONE_HOT)


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        ([1.0, np.nan], [1.0, np.nan], 0),
        ([1.0, np.nan], [1.5, np.nan], 0.5),
        ([1.0, np.inf], [1.25, np.inf], 0.25),
        ([1.0, 2.0], [1.0, np.nan], math.inf),
        ([1.0, 2.0], [1.0], math.inf),
        ([0.0], [-0.0], math.ulp(0.0)),  # other bits, however equal
    ],
)
def test_numbers_differ_by_the_largest_difference(old, new, size):
    assert rerun.compare(np.array(old), np.array(new)).size == size


def test_another_type_of_number_is_a_difference():
    assert rerun.compare(np.float32([1]), np.float64([1])).size == math.inf


def test_a_sum_over_the_runs_is_compared_whole_or_bounds_its_part():
    total, part = np.array([[5, 7], [0, 9]], dtype=np.uint32), np.array([[5, 2], [0, 3]], dtype=np.uint32)
    assert rerun._part(total, part).size == 0
    assert rerun._part(total, part + np.array([[1, 0], [0, 0]], dtype=np.uint32)).size == math.inf
    assert rerun._part(total, part[:1]).size == math.inf
