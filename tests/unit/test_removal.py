from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import noise_images, tiny_config
from scipy.stats import ttest_rel

from memflow import counts, removal, removed, selection
from memflow.config import Study
from memflow.data import prepared
from memflow.errors import InputError
from memflow.provenance import ProvenanceError
from memflow.training import blocks

STUDY = Study(tiny_config(memorised_at=0.6, removal={"runs": 4, "block_size": 2, "architectures": ["mlp"]}))
ARMS = ("none", "memorised", "random")
TWINS = (3, 4)  # near duplicates of each other
FLIPPED, NOISE = np.arange(70) % 14 == 9, np.arange(70) % 14 == 12


@pytest.fixture(scope="module")
def dataset():
    images = noise_images()
    twins = images.near_duplicate_group.copy()
    twins[TWINS[1]] = TWINS[0]
    return replace(images, near_duplicate_group=twins, label_noise=FLIPPED, input_noise=NOISE)


@pytest.fixture(scope="module")
def root(dataset, tmp_path_factory):
    """One-hot runs, their counts, and what is selected from them."""
    folder = tmp_path_factory.mktemp("removal")
    prepared.save(dataset, folder / "digits.npz")
    pd.DataFrame({"other_split": ["train", "test"], "other_index": [5, 2]}).to_csv(folder / "hazards.csv", index=False)
    paths = [folder / f"one-hot-{block}.npz" for block in (0, 1)]
    for block, path in enumerate(paths):
        blocks.run(STUDY.block_spec("digits", "mlp", "one-hot", block), folder / "digits.npz", path)
    counts.run(STUDY.counts_spec("digits", "mlp", "one-hot"), folder / "digits.npz", paths, folder / "counts.npz")
    select(folder, STUDY)
    return folder


@pytest.fixture(scope="module")
def trained(root):
    for arm in ARMS:
        for block in (0, 1):
            train(root, arm, block)
    return root


def select(folder, study, name="removed.npz"):
    spec = study.selection_spec("digits", "mlp")
    selection.run(spec, folder / "digits.npz", folder / "counts.npz", folder / name)


def train(folder, arm, block, chosen="removed.npz"):
    removed_path = None if arm == "none" else folder / chosen
    spec = STUDY.block_spec("digits", "mlp", f"removal-{arm}", block)
    blocks.run(spec, folder / "digits.npz", path_of(folder, arm, block), removed=removed_path)


def path_of(folder, arm, block):
    return folder / f"{arm}-{block}.npz"


def compare(folder, chosen="removed.npz"):
    output = folder / "mlp.csv"
    of_arms = {arm: [path_of(folder, arm, block) for block in (0, 1)] for arm in ARMS}
    spec = STUDY.removal_spec("digits", "mlp")
    removal.run(spec, folder / "digits.npz", folder / "hazards.csv", folder / chosen, of_arms, output)
    return pd.read_csv(output)


def selected(folder):
    with np.load(folder / "removed.npz") as file:
        return file["removed"]


def masks(root, dataset, arm, seeds=range(4)):
    runs = STUDY.runs_spec("digits", "mlp", f"removal-{arm}")
    return removed.masks(runs, dataset, root / "removed.npz", seeds)


def test_natural_examples_from_the_threshold_are_selected_with_their_copies(root):
    merged = counts.load(root / "counts.npz")
    above = merged.scores() >= 0.6
    chosen = selected(root)
    assert 3 < chosen.sum() < 60
    assert not chosen[FLIPPED | NOISE].any()
    assert above[FLIPPED | NOISE].any()
    others = ~np.isin(np.arange(70), TWINS) & ~FLIPPED & ~NOISE
    np.testing.assert_array_equal(chosen[others], above[others])


@pytest.mark.parametrize("scores", [(0.9, 0.0), (0.0, 0.9)])
def test_a_copy_leaves_with_the_example_that_it_is_of(root, scores):
    merged = counts.load(root / "counts.npz").select(np.array(TWINS))
    at = 0.6 + 1e-12  # rounding does not matter
    correct_in = np.where(np.array(scores) > 0, merged.n_in, 0).astype(merged.correct_in.dtype)
    merged = replace(merged, correct_in=correct_in, correct_out=np.zeros_like(merged.correct_out))
    assert selection.memorised(merged, at).all()


def test_the_memorised_arm_leaves_out_the_same_examples_in_every_run(root, dataset):
    np.testing.assert_array_equal(masks(root, dataset, "memorised"), np.tile(~selected(root), (4, 1)))


def test_the_random_arm_leaves_out_as_many_natural_examples_of_each_class_others_in_each_run(root, dataset):
    left_out, chosen = ~masks(root, dataset, "random"), selected(root)
    for run in left_out:
        np.testing.assert_array_equal(
            np.bincount(dataset.train.labels[run], minlength=3), np.bincount(dataset.train.labels[chosen], minlength=3)
        )
    assert not left_out[:, FLIPPED | NOISE].any()
    assert len(np.unique(left_out, axis=0)) == 4


def test_every_natural_example_is_left_out_at_random_equally_often(dataset):
    chosen = np.zeros(70, dtype=bool)
    natural = np.flatnonzero((dataset.train.labels == 1) & ~FLIPPED & ~NOISE)
    chosen[natural[:3]] = True
    often = np.sum([removed.as_many_others(chosen, dataset, seed) for seed in range(2000)], axis=0)[natural]
    share = 3 / len(natural)
    assert abs(often / 2000 - share).max() < 4 * np.sqrt(share * (1 - share) / 2000)


def test_a_runs_mask_depends_on_its_seed_only(root, dataset):
    np.testing.assert_array_equal(masks(root, dataset, "random", range(2, 4)), masks(root, dataset, "random")[2:])


def test_all_arms_take_the_same_steps_from_the_same_weights():
    specs = [STUDY.runs_spec("digits", "mlp", f"removal-{arm}") for arm in ARMS]
    assert len({str((spec["recipe"], spec["ratio"], spec["architecture"])) for spec in specs}) == 1
    assert specs[0]["recipe"]["evaluate_every"] == specs[0]["recipe"]["epochs"]


def test_the_runs_were_trained_without_what_was_removed(trained):
    for arm in ("memorised", "random"):
        with np.load(path_of(trained, arm, 0)) as outcome:
            assert np.isfinite(outcome["accuracy"]).all()
    with np.load(path_of(trained, "none", 0)) as outcome:  # nothing is out-of-sample
        assert np.isnan(outcome["accuracy"][..., 1]).all()


def test_accuracies_and_paired_differences_are_those_of_the_runs(trained):
    table = compare(trained).set_index(["examples", "quantity"])
    of_runs = {}
    for arm in ARMS:
        parts = []
        for block in (0, 1):
            with np.load(path_of(trained, arm, block)) as outcome:
                parts.append(np.unpackbits(outcome["test_correct"][:, -1], axis=-1, count=20))
        of_runs[arm] = np.concatenate(parts)
    assert set(table.index.get_level_values(0)) == {"all", "no copy in training"}
    for examples, where in (("all", np.arange(20)), ("no copy in training", np.delete(np.arange(20), 2))):
        accuracy = {arm: correct[:, where].mean(axis=1) for arm, correct in of_runs.items()}
        for arm in ARMS:
            assert table.loc[(examples, arm), "value"] == pytest.approx(accuracy[arm].mean())
        row = table.loc[(examples, "random - memorised")]
        expected = ttest_rel(accuracy["random"], accuracy["memorised"])
        interval = expected.confidence_interval(0.95)
        assert row["value"] == pytest.approx((accuracy["random"] - accuracy["memorised"]).mean())
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
        assert (row["n_examples"], row["runs"], row["df"]) == (len(where), 4, 3)
    assert (table["n_removed"] == selected(trained).sum()).all()
    assert (table["n_train"] == 70).all()


def test_runs_below_the_recipes_target_are_counted(trained, monkeypatch):
    spec = STUDY.removal_spec("digits", "mlp") | {"target_accuracy": 1.01}
    monkeypatch.setattr(Study, "removal_spec", lambda *_: spec)
    assert (compare(trained)["runs_not_converged"] == 12).all()


def test_runs_without_other_examples_than_the_selection_says_are_refused(trained, tmp_path, monkeypatch):
    for path in trained.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    fewer = selected(trained) & (np.arange(70) > np.argmax(selected(trained)))
    monkeypatch.setattr(selection, "memorised", lambda *_: fewer)
    select(tmp_path, STUDY)
    with pytest.raises(ProvenanceError, match=r"memorised-0.npz was trained on other subsets"):
        compare(tmp_path)


def test_a_selection_by_another_threshold_is_refused(root, dataset, tmp_path):
    for name in ("digits.npz", "counts.npz", "counts.npz.prov.json"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    select(tmp_path, Study(STUDY.config | {"memorised_at": 0.7}))
    runs = STUDY.runs_spec("digits", "mlp", "removal-memorised")
    with pytest.raises(ProvenanceError, match=r"no selection for these runs: .*memorised_at"):
        removed.masks(runs, dataset, tmp_path / "removed.npz", range(2))


def test_a_class_without_any_example_left_is_an_error_that_says_what_to_do(root, monkeypatch, tmp_path):
    monkeypatch.setattr(selection, "memorised", lambda *_: np.ones(70, dtype=bool))
    with pytest.raises(InputError, match=r"no training image of class 'class 0'.*raise memorised_at"):
        select(root, STUDY, name="nothing.npz")


def test_nothing_to_remove_is_an_error_that_says_what_to_do(root, monkeypatch):
    monkeypatch.setattr(selection, "memorised", lambda *_: np.zeros(70, dtype=bool))
    with pytest.raises(InputError, match=r"nothing to remove; lower memorised_at"):
        select(root, STUDY, name="nothing.npz")


def test_another_search_for_copies_trains_anew():
    specs = [
        Study(STUDY.config | {"datasets": {"digits": {"source": "digits", "near_duplicates": at}}}).runs_spec(
            "digits", "mlp", "removal-memorised"
        )
        for at in (0.9, 0.995)
    ]
    assert specs[0] != specs[1]


def test_a_missing_block_is_refused(trained):
    of_arms = {arm: [path_of(trained, arm, 0)] for arm in ARMS}
    with pytest.raises(ProvenanceError, match="1 block files for 2 blocks of 2 runs"):
        removal.run(
            *(STUDY.removal_spec("digits", "mlp"), trained / "digits.npz", trained / "hazards.csv"),
            *(trained / "removed.npz", of_arms, trained / "few.csv"),
        )
