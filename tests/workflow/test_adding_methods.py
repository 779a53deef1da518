"""Methods beside one-hot: what adding, changing and removing them runs, and what a merge refuses."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from clones import Clone

RESULTS = "results/tiny"
DISTILLED = "distilled-from-resnet8-w1"
METHODS = {"distillation": {DISTILLED: {"teacher": "resnet8-w1"}}, "proxies": {"runs": 2, "block_size": 2}}
METHODS |= {"removal": {"runs": 2, "block_size": 2}}
METHODS |= {"influence": {"architectures": ["mlp-8"]}, "privacy": {"architectures": ["mlp-8"]}}
ARMS = ("none", "memorised", "random")
SHOWN = ("claims", "audit", "report")  # the verdicts on the claims, the audit, and the page that shows them
OF_DISTILLATION = ("distillation_joint", "distillation_by_trajectory", "teacher_transfer")
OF_RUNS = ("memorisation_vs_vulnerability", "browser")  # show influence and membership inference
OF_PROXIES = ("proxy_agreement", "proxy_bimodality", "proxy_trajectories", "proxy_disagreement")


@pytest.fixture(scope="module")
def planned(finished, tmp_path_factory):
    """The tiny study in a copy, and what Snakemake plans with one more method, and with all."""
    root = tmp_path_factory.mktemp("methods") / "clone"
    shutil.copytree(finished.root, root, symlinks=True)
    clone = Clone(root)
    jobs = {"removal": clone.planned(study=with_methods(clone, **dict.fromkeys(METHODS.keys() - {"removal"})))}
    return clone, jobs | {"all": clone.planned(study=with_methods(clone))}


def with_methods(clone, **changes):
    """The config of the tiny study with methods, in a file of its own; the results folder is the same."""
    path = clone.root / "studies/tiny.yaml"
    methods = {key: value for key, value in (METHODS | changes).items() if value is not None}
    text = path.read_text() + "".join(f"{key}: {json.dumps(value)}\n" for key, value in methods.items())
    (clone.root / "studies/methods.yaml").write_text(text)
    return "studies/methods.yaml"


@pytest.fixture(scope="module")
def done(planned):
    """The same, run."""
    clone, _ = planned
    ran = clone.snakemake(study="studies/methods.yaml")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return clone


@pytest.fixture
def clone(done, tmp_path):
    root = tmp_path / "clone"
    shutil.copytree(done.root, root, symlinks=True)
    return Clone(root)


def again(clone, *arguments, study="studies/methods.yaml"):
    return clone.planned(*arguments, study=study)


def test_methods_train_what_is_new_and_their_teachers_whose_weights_were_not_kept(planned):
    jobs = planned[1]["all"]
    assert jobs["train"] == 2 + 2 + 3  # students, full-data runs of each network, those without some examples
    assert jobs["train_teacher"] == 2
    assert jobs["count"] == 2  # the students', and the teachers' anew
    assert jobs["distil"] == 1
    assert jobs["proxies"] == 2
    assert jobs["select"] == jobs["removal"] == 1
    assert jobs["influence"] == jobs["privacy"] == 2  # of one-hot runs and of students
    assert "prepare" not in jobs
    assert all(jobs[name] == 1 for name in (*OF_DISTILLATION, *OF_PROXIES))


def test_removal_selects_and_trains_one_block_of_each_arm_and_nothing_else(planned):
    assert planned[1]["removal"] == {"select": 1, "train": len(ARMS), "removal": 1, **dict.fromkeys(SHOWN, 1)}


def test_there_is_nothing_left_to_do(done):
    assert again(done) == {}


def test_every_figure_and_table_is_there(done):
    for name in (*OF_DISTILLATION, *OF_PROXIES):
        assert (done.root / f"{RESULTS}/figures/digits-noisy/{name}.png").stat().st_size > 5000
    page = (done.root / f"{RESULTS}/report/report.html").read_text()
    assert "<h3>Distillation</h3>" in page
    assert "<h3>Proxies</h3>" in page
    assert "<h3>Does memorisation matter?</h3>" in page
    students = pd.read_parquet(done.root / f"{RESULTS}/scores/digits-noisy/mlp-8/{DISTILLED}.parquet")
    one_hot = pd.read_parquet(done.root / f"{RESULTS}/scores/digits-noisy/mlp-8/one-hot.parquet")
    assert students["index"].tolist() == one_hot["index"].tolist()
    assert students["memorisation"].tolist() != one_hot["memorisation"].tolist()


def test_the_arms_are_compared_and_the_claim_about_them_is_judged(done):
    table = pd.read_csv(done.root / f"{RESULTS}/removal/digits-noisy/resnet8-w1.csv")
    of_all = table[table["examples"] == "all"].set_index("quantity")["value"]
    assert of_all["random - memorised"] == pytest.approx(of_all["random"] - of_all["memorised"])
    assert (table["runs"] == 2).all()
    with np.load(done.root / f"{RESULTS}/removal/digits-noisy/resnet8-w1.removed.npz") as file:
        assert (table["n_removed"] == file["removed"].sum()).all()
    card = pd.read_csv(done.root / f"{RESULTS}/claims.csv").set_index("claim")
    assert card.loc["removal", "value"] == pytest.approx(of_all["random - memorised"])
    assert pd.isna(card.loc[["removal", "proxies rank"], "missing"]).all()
    assert card.loc["students fall", "missing"].startswith("students of a larger network")  # their teacher is smaller


def test_retrained_teachers_have_the_bits_that_they_had(done, finished):
    for block in (0, 1):
        name = f"{RESULTS}/runs/digits-noisy/resnet8-w1/one-hot/block-{block}.npz"
        assert (done.root / name).read_bytes() == (finished.root / name).read_bytes()


def test_a_second_method_trains_its_students_only(clone):
    more = {DISTILLED: {"teacher": "resnet8-w1"}, "warmer": {"teacher": "resnet8-w1", "temperature": 9}}
    jobs = again(clone, study=with_methods(clone, distillation=more))
    assert jobs.pop("train") == 2
    assert "train_teacher" not in jobs
    assert jobs.pop("count") == jobs.pop("score") == jobs.pop("distil") == 1
    assert jobs.pop("influence") == jobs.pop("privacy") == 1
    assert set(jobs) == {"mean_memorisation", *OF_DISTILLATION, *OF_RUNS, *SHOWN}


def test_without_the_methods_nothing_is_trained_again(clone):
    jobs = again(clone, study="studies/tiny.yaml")
    assert set(jobs) <= {"mean_memorisation", "browser", *SHOWN}


def test_without_the_removal_only_the_verdicts_and_the_page_are_made_again(clone):
    assert set(again(clone, study=with_methods(clone, removal=None))) == set(SHOWN)


def test_more_runs_of_the_arms_train_only_the_new_ones(clone):
    jobs = again(clone, study=with_methods(clone, removal={"runs": 4, "block_size": 2}))
    assert jobs == {"train": len(ARMS), "removal": 1, **dict.fromkeys(SHOWN, 1)}


def test_another_threshold_removes_others_and_trains_without_those(clone):
    jobs = again(clone, study=with_methods(clone, memorised_at=0.5))
    assert (jobs["select"], jobs["train"], jobs["removal"]) == (1, 2, 1)  # the arm without removal stays
    assert not {"train_teacher", "count"} & set(jobs)


def test_another_temperature_trains_the_students_only(clone):
    jobs = again(
        clone, study=with_methods(clone, distillation={DISTILLED: {"teacher": "resnet8-w1", "temperature": 2}})
    )
    assert jobs["train"] == 2
    assert "train_teacher" not in jobs


def test_more_tracked_runs_train_only_the_new_ones(clone):
    jobs = again(clone, study=with_methods(clone, proxies={"runs": 4, "block_size": 2}))
    assert jobs.pop("train") == 2
    assert jobs.pop("proxies") == 2
    assert set(jobs) == {*OF_PROXIES, "browser", *SHOWN}


def test_a_further_ratio_trains_runs_of_its_own(clone):
    jobs = again(clone, study=with_methods(clone, proxies=METHODS["proxies"] | {"ratios": ["1/4"]}))
    assert jobs["train"] == 2 * 2
    assert jobs["count"] == jobs["score"] == jobs["proxies"] == 2
    assert jobs["sensitivity"] == 1  # compares the ratios
    assert not {"train_teacher", "distil", "classify", "epochs", "transitions", "select", *OF_DISTILLATION} & set(jobs)


EDITS = [
    ("distillation.py", "ROUNDING", "2 * ROUNDING / 2", {"distil", *OF_DISTILLATION, "browser", *SHOWN}),
    ("proxies.py", "1 - original", "1.0 - original", {"proxies", *OF_PROXIES, "browser", *SHOWN}),
    ("influence.py", "FEWEST_RUNS = 2000", "FEWEST_RUNS = 2001", {"influence", "browser", *SHOWN[1:]}),
    ("privacy.py", "CAUGHT_AT = RATES[0]", "CAUGHT_AT = RATES[0] + 0", {"privacy", OF_RUNS[0], *SHOWN[1:]}),
    ("removal.py", "(1 + confidence) / 2", "(1.0 + confidence) / 2", {"removal", *SHOWN}),
]


@pytest.mark.parametrize(("file", "old", "new", "stale"), EDITS)
def test_an_edited_stage_makes_itself_and_its_figures_stale_and_no_training(clone, file, old, new, stale):
    path = clone.root / "src/memflow" / file
    head, separator, tail = path.read_text().rpartition(old)
    assert separator
    path.write_text(head + new + tail)
    assert set(again(clone)) == stale


def test_an_edited_loss_of_students_trains_students_only(clone):
    clone.edit("src/memflow/training/distillation.py", "temperature**2 * ", "temperature * temperature * ")
    jobs = again(clone)
    assert jobs["train"] == 2
    assert "train_teacher" not in jobs
    assert "proxies" not in jobs


def test_an_edited_training_loop_trains_everything_also_what_learns_from_others(clone):
    clone.edit("src/memflow/training/sgd.py", "/ batch, parameters)", "/ (batch + 0), parameters)")
    jobs = again(clone)
    assert jobs["train_teacher"] == 2
    assert jobs["train"] == 2 + 2 + 2 + len(ARMS)  # one-hot, students, full-data runs of each network, the arms


def test_another_draw_of_what_is_removed_at_random_trains_the_arms_that_leave_out_examples(clone):
    clone.edit("src/memflow/removed.py", '"random removal"', '"another removal"')
    assert again(clone) == {"train": 2, "removal": 1, **dict.fromkeys(SHOWN, 1)}


def test_touching_weights_trains_nothing(clone):
    for path in (clone.root / RESULTS).rglob("*.weights.npz"):
        path.touch()
    jobs = again(clone)
    assert not {"train", "train_teacher"} & set(jobs)


def test_weights_that_were_cleaned_are_not_trained_again(clone):
    cleaned = clone.run("memflow", "clean", "studies/methods.yaml", "--weights")
    assert "deleted 2 files of weights" in cleaned.stdout
    assert not list((clone.root / RESULTS).rglob("*.weights.npz"))
    assert again(clone) == {}
    done = clone.snakemake("--forcerun", "count", "--until", "count", study="studies/methods.yaml")
    assert done.returncode == 0, done.stderr


def test_a_teacher_that_saw_what_its_student_holds_out_is_refused_by_name(clone):
    path = clone.root / f"{RESULTS}/runs/digits-noisy/resnet8-w1/one-hot/block-1.weights.npz.prov.json"
    record = json.loads(path.read_text())
    record["masks"].reverse()
    path.write_text(json.dumps(record))
    done = clone.snakemake("--", f"{RESULTS}/counts/digits-noisy/mlp-8/{DISTILLED}.npz", study="studies/methods.yaml")
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "block-1.weights.npz: the teacher of seed 4 was trained on another subset than its student" in said


def test_runs_without_other_examples_than_were_selected_are_refused_by_name(clone):
    path = clone.root / f"{RESULTS}/runs/digits-noisy/resnet8-w1/removal-random/block-0.npz.prov.json"
    record = json.loads(path.read_text())
    record["masks"].reverse()
    path.write_text(json.dumps(record))
    done = clone.snakemake("--", f"{RESULTS}/removal/digits-noisy/resnet8-w1.csv", study="studies/methods.yaml")
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "removal-random/block-0.npz was trained on other subsets" in said


@pytest.mark.parametrize(
    "run", [f"mlp-8/{DISTILLED}", "mlp-8/full-data", *(f"resnet8-w1/removal-{arm}" for arm in ARMS)]
)
def test_a_recorded_run_is_trained_again_with_the_same_bits(done, run):
    said = done.run("memflow", "audit", "rerun", f"{RESULTS}/runs/digits-noisy/{run}/block-0.npz")
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.strip().endswith("bit-identical")


def test_a_student_is_trained_again_after_its_teacher_whose_weights_were_deleted(clone):
    for path in clone.root.rglob("*.weights.npz"):
        path.unlink()
    block = f"{RESULTS}/runs/digits-noisy/mlp-8/{DISTILLED}/block-0.npz"
    said = clone.run("memflow", "audit", "rerun", block, "--seed", "3")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "seeds 2 to 3, which are trained side by side" in said.stdout


def test_a_study_with_all_methods_is_verified_and_fresh(done):
    config = ("--configfile", "studies/methods.yaml")
    verified = done.run("memflow", "audit", "verify", *config, "--sample", "all")
    assert verified.returncode == 0, verified.stdout
    status = done.run("memflow", "audit", "status", *config)
    assert status.returncode == 0, status.stdout
