"""What Snakemake runs again, and what a merge refuses, on the tiny study."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

RESULTS = "results/tiny"
BLOCK = f"{RESULTS}/runs/digits-noisy/mlp-8/one-hot/block-0.npz"


def once(*rules):
    """One job of each rule; the audit is made again whenever the page that shows it is."""
    return dict.fromkeys([*rules, *(["audit"] if "report" in rules else [])], 1)


# A stage and what is stale with it; the page shows every figure, and the verdicts on the claims.
OF_SCORES = {"score": 3} | once("mean_memorisation", "score_distribution", "most_memorised", "memorised_vs_size")
OF_SCORES |= once("artificial_vs_natural", "browser", "report")
OVER_TIME = ("memorised_vs_epoch", "score_distribution_by_epoch", "train_test_gap", "artificial_vs_natural")
OF_EPOCHS = {"epochs": 3} | once(*OVER_TIME, "claims", "report")
OF_TRAJECTORIES = once("classify", "trajectories", "trajectory_examples", "browser", "report")
OF_TRANSITIONS = once("transitions", "transitions_figure", "transient", "claims", "report")
OF_SENSITIVITY = once("sensitivity", "sensitivity_figure", "report")
OF_FAMILIES = OF_TRAJECTORIES | OF_TRANSITIONS | OF_SENSITIVITY
OF_COUNTS = OF_SCORES | OF_EPOCHS | OF_FAMILIES


def of_counts(n):
    """What is stale with the counts of some architectures."""
    return OF_COUNTS | dict.fromkeys(("count", "score", "epochs"), n)


def test_a_finished_study_has_nothing_to_do(finished):
    assert finished.planned() == {}


def test_every_output_has_a_sidecar_that_describes_it(finished):
    results = finished.root / RESULTS
    page = json.loads((results / "browser/index.html.prov.json").read_text())
    assets = {results / "browser" / name for name in page["assets"]}
    files = {path for path in results.rglob("*") if path.is_file() and path.suffix not in (".json", ".log")}
    assert assets < files
    outputs = files - assets
    assert len(outputs) > 20
    for output in outputs:
        record = json.loads(output.with_name(f"{output.name}.prov.json").read_text())
        assert output.name in record["outputs"]


def test_nothing_unfinished_is_left_behind(finished):
    assert not list((finished.root / RESULTS).rglob("*.partial"))
    assert not list((finished.root / RESULTS).rglob("*.tmp"))


def test_scores_exist_for_every_example(finished):
    table = pd.read_parquet(finished.root / RESULTS / "scores/digits-noisy/mlp-8/one-hot.parquet")
    assert len(table) == 1078
    assert table["memorisation"].notna().all()
    assert table["label_noise"].sum() == 53


def test_trajectories_exist_for_every_example(finished):
    folder = finished.root / RESULTS / "trajectories/digits-noisy/networks"
    table, halves = (pd.read_parquet(folder / f"one-hot.{suffix}") for suffix in ("parquet", "halves.parquet"))
    assert len(table) == 1078
    assert table[["type", "descriptive", "mlp-8", "resnet8-w1"]].notna().all().all()
    assert len(halves) == 2 * 1078


def test_every_claim_has_a_verdict(finished):
    card = pd.read_csv(finished.root / RESULTS / "claims.csv")
    verdicts = {"supported", "contradicted", "undetermined", "definitional"}
    assert set(card["verdict"]) <= verdicts
    assert card["claim"].is_unique
    assert card["missing"].notna().tolist() == card["statistic"].isna().tolist()
    shown = finished.run("memflow", "claims", RESULTS)
    assert all(statement in shown.stdout for statement in card["statement"]), shown.stderr


def test_one_figure_can_be_asked_for_alone(clone):
    shutil.rmtree(clone.root / RESULTS)
    planned = clone.planned(f"{RESULTS}/figures/digits-noisy/score_distribution.pdf")
    assert planned == {"prepare": 1, "train": 6, "count": 3, "score": 3, "score_distribution": 1}


def test_a_figure_of_trajectories_needs_no_scores(clone):
    shutil.rmtree(clone.root / RESULTS)
    planned = clone.planned(f"{RESULTS}/figures/digits-noisy/trajectories.pdf")
    assert planned == {"prepare": 1, "train": 4, "count": 2, "classify": 1, "trajectories": 1}


def test_a_figure_over_time_needs_no_scores(clone):
    shutil.rmtree(clone.root / RESULTS)
    planned = clone.planned(f"{RESULTS}/figures/digits-noisy/memorised_vs_epoch.pdf")
    assert planned == {"prepare": 1, "train": 6, "count": 3, "epochs": 3, "memorised_vs_epoch": 1}


def test_a_study_without_families_has_nothing_along_them(clone):
    study = yaml.safe_load((clone.root / "studies/tiny.yaml").read_text())
    del study["families"]
    (clone.root / "studies/variant.yaml").write_text(yaml.safe_dump(study))
    along_sizes_and_epochs = OF_SCORES | OF_EPOCHS
    del along_sizes_and_epochs["claims"]
    figures = {rule: jobs for rule, jobs in along_sizes_and_epochs.items() if rule not in ("score", "epochs")}
    assert clone.planned(study="studies/variant.yaml") == figures
    shutil.rmtree(clone.root / RESULTS)
    planned = clone.planned(study="studies/variant.yaml")
    assert planned == {"prepare": 1, "train": 6, "count": 3, "hazards": 1} | along_sizes_and_epochs


EDITS = [  # a module is part of whatever imports it
    ("scores.py", "2 * r / (1 + r)", "2 * r / (1.0 + r)", OF_SCORES | OF_SENSITIVITY),
    ("trajectories.py", "strata=2", "strata=1", OF_FAMILIES),
    ("statistics/paired.py", "DRAWS = 20_000", "DRAWS = 20_001", OF_FAMILIES),
    ("statistics/power.py", "COPIES = 200", "COPIES = 201", OF_FAMILIES),
    ("statistics/states.py", "FITTED = 0.5", "FITTED = 0.6", OF_EPOCHS | OF_TRANSITIONS),
    ("epochs.py", '("rise", "fall",', '("fall", "rise",', OF_EPOCHS),
    ("transitions.py", '"memorised or generalised"', '"generalised or memorised"', OF_TRANSITIONS),
    ("sensitivity.py", "RELIABILITIES = (0.9,", "RELIABILITIES = (0.8,", OF_SENSITIVITY),
    ("claims/size.py", "SMALLEST_CHANGE = 0.01", "SMALLEST_CHANGE = 0.02", once("claims", "report")),
]


@pytest.mark.parametrize(("file", "old", "new", "stale"), EDITS)
def test_an_edited_stage_makes_itself_and_what_shows_it_stale_and_no_training(clone, file, old, new, stale):
    clone.edit(f"src/memflow/{file}", old, new)
    assert clone.planned() == stale


SETTINGS = {  # what each makes stale
    "tau": OF_TRAJECTORIES | OF_SENSITIVITY | once("claims"),
    "fdr": OF_TRAJECTORIES | OF_SENSITIVITY,
    "memorised_at": OF_COUNTS,
}


@pytest.mark.parametrize("option", SETTINGS)
def test_another_rule_for_what_counts_trains_nothing(clone, option):
    assert clone.planned(study=clone.variant(**{option: 0.3})) == SETTINGS[option]


def test_a_comment_or_docstring_makes_nothing_stale(clone):
    modules = ["scores.py", "trajectories.py", "training/sgd.py", "subsets.py", "epochs.py", "transitions.py"]
    modules += ["sensitivity.py", "claims/card.py", "claims/size.py", "removal.py", "statistics/states.py"]
    modules += ["statistics/paired.py", "statistics/power.py", "figures/style.py", "figures/pictures.py"]
    for file in modules:
        path = clone.root / "src/memflow" / file
        path.write_text(path.read_text().replace('"""', '"""Edited. ', 1) + "\n# A comment.\n")
    assert clone.planned() == {}


def test_an_edited_training_loop_makes_the_networks_stale_and_no_reference(clone):
    clone.edit("src/memflow/training/sgd.py", "/ batch, parameters)", "/ (batch + 0), parameters)")
    assert clone.planned() == {"train": 4} | of_counts(2)


def test_an_edited_figure_makes_only_that_figure_stale(clone):
    clone.edit("src/memflow/figures/score_distribution.py", "Share of examples", "Part of examples")
    assert clone.planned() == once("score_distribution", "report")


def test_edited_picture_grids_make_only_the_figures_with_pictures_stale(clone):
    clone.edit("src/memflow/figures/pictures.py", "CAPTION_SIZE = 5", "CAPTION_SIZE = 6")
    assert clone.planned() == once(
        "most_memorised", "hazards", "trajectories", "trajectory_examples", "transient", "report"
    )


def test_an_edited_figure_script_makes_only_that_figure_stale(clone):
    clone.edit("workflow/scripts/score_distribution.py", "inputs={", "inputs={**{}, ")
    assert clone.planned() == once("score_distribution", "report")


def test_touching_every_file_trains_nothing(clone):
    for path in clone.root.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    # with a checksum limit of one byte, every file is as one beyond Snakemake's usual limit of 1 MB
    assert "train" not in clone.planned("--max-checksum-file-size", "1")


def test_more_seeds_train_only_the_new_blocks(clone):
    old = (clone.root / BLOCK).read_bytes()
    study = clone.variant(seeds=12)
    assert clone.planned(study=study) == {"train": 3} | of_counts(3)
    done = clone.snakemake("--", f"{RESULTS}/scores/digits-noisy/mlp-8/one-hot.parquet", study=study)
    assert done.returncode == 0, done.stderr
    assert (clone.root / BLOCK).read_bytes() == old
    table = pd.read_parquet(clone.root / RESULTS / "scores/digits-noisy/mlp-8/one-hot.parquet")
    assert (table["n_in"] + table["n_out"] == 12).all()


def test_a_new_architecture_trains_only_itself(clone):
    wider = {"mlp-16": {"model": "mlp", "hidden": [16], "recipe": "short"}}
    planned = clone.planned(study=clone.variant(architectures=wider))
    assert planned == {"train": 2, **once("count", "score", "epochs", "claims", "browser", "report")}


def test_a_changed_architecture_retrains_only_itself(clone):
    other = {"mlp-8": {"model": "mlp", "hidden": [9], "recipe": "short"}}
    stale = {"train": 2} | of_counts(1)
    for figure in ("most_memorised", "score_distribution_by_epoch"):  # of the family's largest network: another
        del stale[figure]
    assert clone.planned(study=clone.variant(architectures=other)) == stale


def test_other_labels_train_everything(clone):
    noisier = {"digits-noisy": {"source": "digits", "augment": False, "label_noise": {"fraction": "1/10"}}}
    planned = clone.planned(study=clone.variant(datasets=noisier))
    assert planned == {"prepare": 1, "train": 6} | of_counts(3) | once("hazards")


def test_a_flipped_byte_in_a_block_is_refused_by_name(clone):
    content = bytearray((clone.root / BLOCK).read_bytes())
    content[len(content) // 2] ^= 1
    (clone.root / BLOCK).write_bytes(content)
    assert_merge_refuses(clone, "is not the file that its sidecar describes")


def test_a_block_of_another_recipe_is_refused_by_name(clone):
    sidecar = clone.root / f"{BLOCK}.prov.json"
    spec = json.loads(sidecar.read_text())["definition"]
    del spec["fingerprint"]
    spec["recipe"]["epochs"] = 1
    dataset = f"{RESULTS}/data/digits-noisy.npz"
    done = clone.run("memflow", "train", "--spec", json.dumps(spec), "--dataset", dataset, "--output", BLOCK)
    assert done.returncode == 0, done.stderr
    assert_merge_refuses(clone, "recipe.epochs is 1, expected 2")


def test_swapped_blocks_are_refused_by_name(clone):
    for suffix in ("", ".prov.json"):
        first, second = (clone.root / f"{BLOCK.replace('block-0', name)}{suffix}" for name in ("block-0", "block-1"))
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
    assert_merge_refuses(clone, "describes block-1.npz, not block-0.npz")


def test_a_dataset_that_changed_under_its_runs_is_refused_by_name(clone):
    clone.edit("src/memflow/data/digits.py", "random_state=0", "random_state=1")
    assert "train" not in clone.planned()
    assert_merge_refuses(clone, "fingerprint is")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 7}, "seeds is 7; it must be a multiple of block_size (4)"),
        ({"design": "balance"}, "did you mean 'balanced'?"),
        ({"architectures": {"mlp-8": {"model": "mlpp"}}}, "did you mean 'mlp'?"),
    ],
)
def test_a_wrong_config_ends_before_any_job_starts(clone, changes, message):
    done = clone.snakemake(study=clone.variant(**changes))
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_of_another_clone_is_refused(clone, tmp_path):
    shutil.move(clone.root / "src", tmp_path / "src")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    command = [Path(sys.executable).with_name("snakemake"), "--dry-run", "--configfile", "studies/tiny.yaml"]
    done = subprocess.run(command, cwd=clone.root, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode != 0
    assert "not that of" in done.stdout + done.stderr


def assert_merge_refuses(clone, message):
    done = clone.snakemake("--", f"{RESULTS}/counts/digits-noisy/mlp-8/one-hot.npz")  # without the figures beside it
    assert done.returncode != 0
    output = done.stdout + done.stderr
    log = (clone.root / RESULTS / "logs/counts/digits-noisy/mlp-8/one-hot.log").read_text()
    for text in (output, log):
        assert "block-0.npz" in text
        assert message in text
