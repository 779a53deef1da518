"""What the audit says of a finished study, and that it and Snakemake agree on what is stale."""

import copy
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from clones import PROJECT, STUDY

from memflow import outputs
from memflow.audit import states
from memflow.audit.audited import Audited
from memflow.audit.records import Records
from memflow.config import Study

RESULTS = "results/tiny"
BLOCK = "runs/digits-noisy/mlp-8/one-hot/block-0.npz"
SCORES = "scores/digits-noisy/mlp-8/one-hot.parquet"
NETWORKS, ALL = 2, 3  # architectures of the tiny study
OVER_TIME = {"memorised_vs_epoch", "score_distribution_by_epoch", "train_test_gap", "artificial_vs_natural"}
OF_SCORES = {"mean_memorisation", "score_distribution", "most_memorised", "memorised_vs_size", "artificial_vs_natural"}
OF_TRAJECTORIES, OF_TRANSITIONS = {"trajectories", "trajectory_examples"}, {"transitions", "transient"}
LAST = {"audit": 1, "report": 1}
FIGURES = {*OF_SCORES, *OVER_TIME, *OF_TRAJECTORIES, *OF_TRANSITIONS, "sensitivity"}
ALONG_SIZES = {"trajectories": 1, "transitions": 1, "sensitivity": 1, "claims": 1}
OF_TABLES = {"browser": 1} | LAST  # what shows scores and trajectories


def of_counts(architectures, figures=FIGURES):
    """What is stale with the counts of some architectures."""
    per_architecture = dict.fromkeys(("counts", "scores", "epochs"), architectures)
    return per_architecture | ALONG_SIZES | OF_TABLES | of_figures(*figures)


def of_runs(architectures, figures=FIGURES):
    return {"runs": 2 * architectures} | of_counts(architectures, figures)


def of_figures(*names):
    return {f"figure {name}": 1 for name in names}


OF_TAU = {"trajectories": 1, "sensitivity": 1} | OF_TABLES
OF_LABELS = {"data": 1} | of_runs(ALL) | of_figures("hazards")
OF_ONE_NETWORK = of_runs(
    1, FIGURES - {"most_memorised", "score_distribution_by_epoch"}
)  # of the largest network: another
KEYS = {  # what another value of each key makes stale: jobs by stage, figures by name
    "seeds": (12, of_counts(ALL) | {"runs": 3}),  # new blocks, which are missing
    "design": ("iid", of_runs(ALL)),
    "subset_unit": ("group", of_runs(ALL)),
    "block_size": (8, of_runs(ALL) | {"runs": 3}),  # as many runs in half as many blocks
    "memorised_at": (0.3, of_counts(ALL) | {"counts": 0}),
    "tau": (0.2, {"claims": 1} | OF_TAU | of_figures(*OF_TRAJECTORIES, "sensitivity")),
    "fdr": (0.1, OF_TAU | of_figures(*OF_TRAJECTORIES, "sensitivity")),
    "confidence": (0.9, of_counts(ALL) | {"counts": 0}),
    "probabilities": (True, of_runs(NETWORKS)),
    "require_uniform_device": (True, of_counts(ALL)),
    "families.networks.title": ("Networks", {"claims": 1} | OF_TABLES | of_figures(*FIGURES)),
    "families.networks.architectures": (["resnet8-w1", "mlp-8"], ALONG_SIZES | OF_TABLES | of_figures(*FIGURES)),
    "datasets.digits-noisy.near_duplicates": (0.99, {"data": 1} | of_counts(ALL) | of_figures("hazards")),
    "datasets.digits-noisy.augment": (True, LAST),  # the recipe does not augment, but the page shows the config
    "datasets.digits-noisy.label_noise.kind": ("pair", OF_LABELS),
    "datasets.digits-noisy.label_noise.seed": (1, OF_LABELS),
    "datasets.digits-noisy.label_noise.fraction": ("1/10", OF_LABELS),
    "recipes.short.momentum": (0.8, of_runs(NETWORKS)),
    "recipes.short.weight_decay": (0.001, of_runs(NETWORKS)),
    "recipes.short.decay_normalisation": (False, of_runs(NETWORKS)),
    "recipes.short.label_smoothing": (0.1, of_runs(NETWORKS)),
    "recipes.short.precision": ("bf16", of_runs(NETWORKS)),
    "recipes.short.fuse": (1, of_runs(NETWORKS)),
    "recipes.short.evaluate_every": (2, of_runs(NETWORKS)),
    "recipes.short.epochs": (3, of_runs(NETWORKS)),
    "recipes.short.batch_size": (32, of_runs(NETWORKS)),
    "recipes.short.learning_rate": (0.2, of_runs(NETWORKS)),
    "recipes.short.schedule.warmup_epochs": (0.5, of_runs(NETWORKS)),
    "recipes.short.target_accuracy": (0.7, of_counts(NETWORKS)),
    "architectures.resnet8-w1.width": (2, of_runs(1)),
    "architectures.resnet8-w1.depth": (14, of_runs(1)),
    "architectures.mlp-8.hidden": ([9], OF_ONE_NETWORK),
    "allow_dirty": (True, {}),
}
UNTOUCHED = {  # keys without another value of their own here
    "study": "names the folder of the results",
    "datasets.digits-noisy.source": "another source has other keys",
    "ratio": "eight seeds are four groups, as trajectories need, at 1/2 only",
    "recipes.short.augment": "counts only where the dataset says `augment`",
    "recipes.short.schedule.shape": "another shape has other keys",
    "architectures.resnet8-w1.model": "another model has other keys",
    "architectures.mlp-8.model": "another model has other keys",
    "architectures.nearest-neighbour.model": "another model has other keys",
    "architectures.resnet8-w1.recipe": "there is one recipe",
    "architectures.mlp-8.recipe": "there is one recipe",
    "distillation": "tests/workflow/test_adding_methods.py",
}


@pytest.fixture(scope="module")
def tiny():
    return yaml.safe_load((PROJECT / STUDY).read_text())


@pytest.fixture(scope="module")
def records(finished):
    return Records(finished.root / RESULTS, finished.root)


def changed(config, key, value):
    """A config with another value of one key, such as recipes.short.epochs."""
    config = copy.deepcopy(config)
    *parents, last = key.split(".")
    part = config
    for parent in parents:
        part = part.setdefault(parent, {})
    part[last] = value
    return config


def not_fresh(config, records):
    """Jobs that are not fresh: how many of each stage, and each figure by its name."""
    of = Audited(Study(config), records)
    found, stale = states.find(of), {}
    for job in outputs.jobs(of.study):
        if not found[job.output].is_fresh:
            name = f"figure {Path(job.output).stem}" if job.stage == "figures" else job.stage
            stale[name] = stale.get(name, 0) + 1
    return stale


def flat(config, prefix=""):
    """Keys of a config, the inner ones only, but for what is listed as a whole."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in UNTOUCHED and value:
            yield from flat(value, f"{name}.")
        else:
            yield name


def test_everything_of_a_finished_study_is_fresh(finished):
    done = finished.run("memflow", "audit", "status", "--configfile", STUDY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All are fresh" in done.stdout


def test_the_outputs_of_a_study_are_those_that_snakemake_makes(finished, tiny):
    listed = finished.snakemake("--summary").stdout.splitlines()[1:]
    made = {line.split("\t")[0].removeprefix(f"{RESULTS}/") for line in listed}
    found = {job.output for job in outputs.jobs(Study(tiny))}
    assert found <= made
    records = Records(finished.root / RESULTS, finished.root)
    everything = {name for output in found for name in records.siblings(output)}
    assert everything | {f"{name}.prov.json" for name in everything} == made


def test_every_key_of_the_config_is_tried_below(tiny):
    assert set(flat(Study(tiny).config)) - set(UNTOUCHED) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_another_value_of_a_key_makes_stale_what_depends_on_it_and_nothing_else(key, tiny, records):
    value, expected = KEYS[key]
    assert not_fresh(changed(tiny, key, value), records) == {name: jobs for name, jobs in expected.items() if jobs}


@pytest.mark.parametrize("key", ["tau", "recipes.short.target_accuracy", "architectures.mlp-8.hidden", "seeds"])
def test_snakemake_would_make_again_what_is_not_fresh(key, tiny, records, clone):
    config = changed(tiny, key, KEYS[key][0])
    (clone.root / "studies/variant.yaml").write_text(yaml.safe_dump(config))
    assert planned_outputs(clone, "studies/variant.yaml") == stale_outputs(config, records)


def test_snakemake_and_the_audit_agree_after_an_edit_of_the_code(clone, tiny):
    clone.edit("src/memflow/scores.py", "2 * r / (1 + r)", "2 * r / (1.0 + r)")
    done = clone.run("memflow", "audit", "status", "--configfile", STUDY)
    assert done.returncode == 1
    said = dict(re.findall(r"^(\w+) .*?(\d+)$", done.stdout, re.M))
    assert said
    assert "split_half" in done.stdout or "scores" in done.stdout
    planned = planned_outputs(clone, STUDY)
    assert f"{SCORES}" in planned
    for name in planned:
        assert name.split("/")[0] in done.stdout


def test_neither_comments_nor_formatting_nor_times_nor_a_readme_make_anything_stale(clone):
    clone.edit("src/memflow/scores.py", "2 * r / (1 + r)", "2 * r / (\n        1 + r  # a comment\n    )")
    clone.edit("src/memflow/training/sgd.py", '"""', '"""Edited. ')
    clone.edit("README.md", "memflow", "Memflow")
    for path in clone.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path)
    done = clone.run("memflow", "audit", "status", "--configfile", STUDY)
    assert done.returncode == 0, done.stdout


def planned_outputs(clone, study):
    """First outputs of all jobs that Snakemake would run."""
    said = clone.snakemake("--dry-run", study=study)
    assert said.returncode == 0, said.stderr
    made = re.findall(r"^ {4}output: (\S+?),? ", said.stdout + said.stderr, re.M)
    return {name.removeprefix(f"{RESULTS}/") for name in made}


def stale_outputs(config, records):
    of = Audited(Study(config), records)
    found = states.find(of)
    return {job.output for job in outputs.jobs(of.study) if not found[job.output].is_fresh}


def state_of(clone, name, *more):
    """What `memflow audit status` says of one file: its state and the reasons."""
    done = clone.run("memflow", "audit", "status", f"{RESULTS}/{name}", *more)
    assert done.returncode == 1, done.stdout + done.stderr
    return re.search(rf"^(\S+): {re.escape(name)}\n((?:  .*\n?)*)", done.stdout, re.M).groups()


def test_an_edited_table_is_tampered_and_what_was_made_from_it_stale(clone):
    path = clone.root / RESULTS / "scores/digits-noisy/mlp-8/one-hot.summary.csv"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    assert state_of(clone, "scores/digits-noisy/mlp-8/one-hot.summary.csv")[0] == "tampered"
    state, reasons = state_of(clone, "figures/digits-noisy/mean_memorisation.pdf")
    assert state == "stale-input"
    assert "scores/digits-noisy/mlp-8/one-hot.summary.csv is tampered" in reasons


def test_a_file_without_a_sidecar_has_no_record_and_a_deleted_one_is_missing(clone):
    (clone.root / RESULTS / f"{SCORES}.prov.json").unlink()
    (clone.root / RESULTS / "claims.csv").unlink()
    assert state_of(clone, SCORES)[0] == "no-record"
    assert state_of(clone, "claims.csv")[0] == "missing"


def test_a_renamed_results_folder_is_audited_by_its_config(clone):
    shutil.move(clone.root / RESULTS, clone.root / "archived")
    done = clone.run("memflow", "audit", "status", "--configfile", STUDY, "--results", "archived")
    assert done.returncode == 0, done.stdout + done.stderr
    traced = clone.run("memflow", "audit", "trace", f"archived/{SCORES}", "--results", "archived")
    assert "1 architecture x 8 runs, seeds 0-7 without gap or repeat" in traced.stdout


def test_results_of_no_known_study_are_refused_with_what_to_do(clone):
    shutil.move(clone.root / RESULTS, clone.root / "results/other")
    done = clone.run("memflow", "audit", "status", f"results/other/{SCORES}")
    assert done.returncode == 1
    assert "no config of a study 'other'" in done.stderr
    assert "--configfile" in done.stderr


def test_the_audit_file_lists_every_output_but_the_report_with_its_hash(finished, records):
    audit = json.loads((finished.root / RESULTS / "audit.json").read_text())
    expected = [name for name in records.names() if not name.startswith(("report/", "audit.json"))]
    assert sorted(audit["files"]) == expected
    assert all(records.actual(name) == digest for name, digest in audit["files"].items())
    assert audit["figures"]["digits-noisy/mean_memorisation"]["runs"] == 3 * 8


def test_every_caption_ends_with_runs_commit_and_the_command_that_traces_the_figure(finished):
    page = (finished.root / RESULTS / "report/report.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.S)
    assert len(captions) == len(FIGURES) + 1
    for caption in captions:
        command = re.search(r"<code>(memflow audit trace (results/\S+\.pdf))</code>\s*$", caption.strip())
        assert command, caption
        assert (finished.root / command[2]).exists()
