import json
import shutil

import numpy as np
import pytest
from helpers import half_masks, noise_images, tiny_config

from memflow import clean, counts, provenance, subsets, teachers
from memflow.config import Study
from memflow.data import prepared
from memflow.provenance import ProvenanceError, sidecar
from memflow.training import blocks

FAMILY = {"networks": {"title": "Networks", "architectures": ["mlp", "resnet"]}}
METHODS = {
    "distilled-from-resnet": {"teacher": "resnet"},
    "early": {"teacher": "resnet", "teacher_epoch": 1},
    "leaky": {"teacher": "resnet", "teacher_data": "full"},
}
STUDY = Study(tiny_config(families=FAMILY, distillation=METHODS, proxies={"runs": 4, "block_size": 2}))
STUDENT = ("digits", "mlp", "distilled-from-resnet")


def train(root, architecture, method, block):
    """Train one block of the study, with what it learns from."""
    run = ("digits", architecture, method)
    keep = STUDY.teacher_epochs(architecture, method) if run in STUDY.taught_by else []
    weights = []
    if STUDY.methods[method].kind == "distilled":
        of = STUDY.teachers_method(method)
        numbers = [block] if of == "one-hot" else [0]
        weights = [weights_of(root, STUDY.teacher(architecture, method), of, number) for number in numbers]
    blocks.run(
        STUDY.block_spec(*run, block), root / "noise.npz", path_of(root, *run[1:], block), teachers=weights, keep=keep
    )


def path_of(root, architecture, method, block):
    return root / f"runs/digits/{architecture}/{method}/block-{block}.npz"


def weights_of(root, architecture, method, block):
    return path_of(root, architecture, method, block).with_suffix(".weights.npz")


def merge(root, method="distilled-from-resnet"):
    of = STUDY.teachers_method(method)
    return counts.run(
        STUDY.counts_spec("digits", "mlp", method),
        root / "noise.npz",
        [path_of(root, "mlp", method, block) for block in (0, 1)],
        root / "merged.npz",
        [weights_of(root, "resnet", of, block) for block in ((0, 1) if of == "one-hot" else (0,))],
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Teachers and students of two blocks, of every method."""
    root = tmp_path_factory.mktemp("trained")
    prepared.save(noise_images(), root / "noise.npz")
    for block in (0, 1):
        train(root, "resnet", "one-hot", block)
        train(root, "resnet", "full-data", block)
    for method in METHODS:
        for block in (0, 1):
            train(root, "mlp", method, block)
    return root


@pytest.fixture
def root(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def edit(path, change):
    """Change the record of a file."""
    record = json.loads(sidecar(path).read_text())
    change(record)
    sidecar(path).write_text(json.dumps(record))


@pytest.mark.parametrize("method", METHODS)
def test_students_of_honest_teachers_are_merged(root, method):
    merge(root, method)
    assert (root / "merged.npz").exists()


@pytest.mark.parametrize("method", METHODS)
def test_the_sidecar_of_a_student_names_its_teachers_weights(root, method):
    record = provenance.read(path_of(root, "mlp", method, 1))
    of = STUDY.teachers_method(method)
    expected = {str(weights_of(root, "resnet", of, block)) for block in ([1] if of == "one-hot" else [0])}
    names = {name.replace(str(root.parent.parent), "") for name in record["inputs"]}
    assert sum(name.endswith("weights.npz") for name in names) == len(expected)
    assert record["definition"]["teacher"] == STUDY.runs_spec("digits", "resnet", of)


def test_a_leaking_teacher_is_refused_before_training(root):
    weights = weights_of(root, "resnet", "one-hot", 0)
    masks = half_masks(noise_images(), range(4))
    swapped = [subsets.mask_hash(mask) for mask in masks[[0, 1, 3, 2]]]
    edit(weights, lambda record: record.update(masks=swapped))
    with pytest.raises(
        ProvenanceError, match=r"block-0.weights.npz: the teacher of seed 2 was trained on another subset"
    ):
        train(root, "mlp", "distilled-from-resnet", 0)


def test_a_leaking_teacher_makes_the_merge_refuse(root):
    weights = weights_of(root, "resnet", "one-hot", 1)
    edit(weights, lambda record: record["masks"].reverse())
    with pytest.raises(ProvenanceError, match=r"block-1.weights.npz: the teacher of seed 4 .* must not know"):
        merge(root)


def test_students_of_other_weights_than_the_record_says_are_refused(root):
    weights = weights_of(root, "resnet", "one-hot", 0)
    edit(weights, lambda record: record["weights"].update({"2": "0" * 16}))
    with pytest.raises(ProvenanceError, match=r"block-0.npz learnt from other weights than .*block-0.weights.npz"):
        merge(root)


def test_a_teacher_of_another_recipe_is_refused_by_name(root):
    weights = weights_of(root, "resnet", "one-hot", 0)
    edit(weights, lambda record: record["definition"]["recipe"].update(epochs=77))
    for refused in (lambda: merge(root), lambda: train(root, "mlp", "distilled-from-resnet", 0)):
        with pytest.raises(ProvenanceError, match=r"is no teacher of these students: recipe.epochs is 77, expected 2"):
            refused()


def test_damaged_weights_are_refused(root):
    weights = weights_of(root, "resnet", "one-hot", 0)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ProvenanceError, match=r"block-0.weights.npz is not the file that its sidecar describes"):
        train(root, "mlp", "distilled-from-resnet", 0)


def test_weights_of_another_epoch_only_are_refused(root):
    spec = STUDY.block_spec(*STUDENT, 0)
    spec["distillation"]["teacher_epoch"] = 7
    with pytest.raises(ProvenanceError, match="holds no weights after epoch 7"):
        teachers.load(
            spec,
            noise_images().fingerprint,
            [weights_of(root, "resnet", "one-hot", 0)],
            half_masks(noise_images(), range(4)),
        )


def test_full_data_teachers_must_have_seen_everything_and_are_taken_in_turn(root):
    spec = STUDY.block_spec("digits", "mlp", "leaky", 1)
    paths = [weights_of(root, "resnet", "full-data", 0)]
    masks = half_masks(noise_images(), range(4, 8))
    taken, _ = teachers.load(spec, noise_images().fingerprint, paths, masks)
    with np.load(paths[0]) as first:
        for number, of_student in enumerate(taken["head.weight"]):
            np.testing.assert_array_equal(of_student, first["weights 2 head.weight"][number % 2])
    edit(paths[0], lambda record: record["masks"].__setitem__(1, subsets.mask_hash(masks[0])))
    with pytest.raises(ProvenanceError, match="the teacher of seed 1 was trained on a part of the training set"):
        merge(root, "leaky")


def test_weights_are_cleaned_when_all_students_are_trained_and_then_merges_still_work(root):
    path_of(root, "mlp", "early", 1).unlink()
    said = clean.weights(STUDY, root)
    assert "kept, since students have yet to learn from them:" in said
    assert "digits/resnet/one-hot, for mlp/early" in said
    assert weights_of(root, "resnet", "one-hot", 0).exists()
    assert not weights_of(root, "resnet", "full-data", 0).exists()
    train(root, "mlp", "early", 1)
    assert "would delete 2 files" in clean.weights(STUDY, root, only_say=True)
    assert weights_of(root, "resnet", "one-hot", 0).exists()
    clean.weights(STUDY, root)
    assert not weights_of(root, "resnet", "one-hot", 0).exists()
    for method in METHODS:
        merge(root, method)


def test_teachers_trained_again_with_other_epochs_kept_are_the_same_teachers(root):
    assert STUDY.teacher_epochs("resnet", "one-hot") == [1, 2]
    for block in (0, 1):
        weights = weights_of(root, "resnet", "one-hot", block)
        before = weights.read_bytes()
        blocks.run(
            STUDY.block_spec("digits", "resnet", "one-hot", block),
            root / "noise.npz",
            path_of(root, "resnet", "one-hot", block),
            keep=[2],
        )
        assert weights.read_bytes() != before
    merge(root)
    with pytest.raises(ProvenanceError, match="learnt from other weights"):
        merge(root, "early")


def test_keeping_weights_changes_no_run(trained, tmp_path):
    blocks.run(STUDY.block_spec("digits", "resnet", "one-hot", 0), trained / "noise.npz", tmp_path / "block-0.npz")
    assert (tmp_path / "block-0.npz").read_bytes() == path_of(trained, "resnet", "one-hot", 0).read_bytes()


def test_an_early_teacher_teaches_something_else(trained):
    early, late = (np.load(path_of(trained, "mlp", method, 0)) for method in ("early", "distilled-from-resnet"))
    assert not np.array_equal(early["log_odds"], late["log_odds"])
