"""Methods beside one-hot: what adding, changing and removing them runs, and what a merge refuses."""

import json
import shutil

import pandas as pd
import pytest
from conftest import Clone

RESULTS = "results/tiny"
DISTILLED = "distilled-from-resnet8-w1"
METHODS = {"distillation": {DISTILLED: {"teacher": "resnet8-w1"}}, "proxies": {"runs": 2, "block_size": 2}}
OF_DISTILLATION = ("distillation_joint", "distillation_by_trajectory", "teacher_transfer")
OF_PROXIES = ("proxy_agreement", "proxy_bimodality", "proxy_trajectories", "proxy_disagreement")


@pytest.fixture(scope="module")
def planned(finished, tmp_path_factory):
    """The tiny study in a copy, its config with methods, and what Snakemake plans."""
    root = tmp_path_factory.mktemp("methods") / "clone"
    shutil.copytree(finished.root, root, symlinks=True)
    clone = Clone(root)
    return clone, clone.planned(study=with_methods(clone))


def with_methods(clone, **changes):
    """The config of the tiny study with methods, in a file of its own; the results folder is the same."""
    path = clone.root / "studies/tiny.yaml"
    text = path.read_text() + "".join(f"{key}: {json.dumps(value)}\n" for key, value in (METHODS | changes).items())
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
    _, jobs = planned
    assert jobs["train"] == 2 + 2  # students, and one block of full-data runs of each network
    assert jobs["train_teacher"] == 2
    assert jobs["count"] == 2  # the students', and the teachers' anew
    assert jobs["distil"] == 1
    assert jobs["proxies"] == 2
    assert "prepare" not in jobs
    assert all(jobs[name] == 1 for name in (*OF_DISTILLATION, *OF_PROXIES))


def test_there_is_nothing_left_to_do(done):
    assert again(done) == {}


def test_every_figure_and_table_is_there(done):
    for name in (*OF_DISTILLATION, *OF_PROXIES):
        assert (done.root / f"{RESULTS}/figures/digits-noisy/{name}.png").stat().st_size > 5000
    page = (done.root / f"{RESULTS}/report/report.html").read_text()
    assert "<h3>Distillation</h3>" in page
    assert "<h3>Proxies</h3>" in page
    students = pd.read_parquet(done.root / f"{RESULTS}/scores/digits-noisy/mlp-8/{DISTILLED}.parquet")
    one_hot = pd.read_parquet(done.root / f"{RESULTS}/scores/digits-noisy/mlp-8/one-hot.parquet")
    assert students["index"].tolist() == one_hot["index"].tolist()
    assert students["memorisation"].tolist() != one_hot["memorisation"].tolist()


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
    assert set(jobs) == {"mean_memorisation", *OF_DISTILLATION, "report"}


def test_without_the_methods_nothing_is_trained_again(clone):
    jobs = again(clone, study="studies/tiny.yaml")
    assert set(jobs) <= {"mean_memorisation", "report"}


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
    assert set(jobs) == {*OF_PROXIES, "report"}


def test_a_further_ratio_trains_runs_of_its_own(clone):
    jobs = again(clone, study=with_methods(clone, proxies=METHODS["proxies"] | {"ratios": ["1/4"]}))
    assert jobs["train"] == 2 * 2
    assert jobs["count"] == jobs["score"] == jobs["proxies"] == 2
    assert not {"train_teacher", "distil", "classify", *OF_DISTILLATION} & set(jobs)


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("src/memflow/distillation.py", "ROUNDING", "2 * ROUNDING / 2", {"distil", *OF_DISTILLATION, "report"}),
        ("src/memflow/proxies.py", "1 - original", "1.0 - original", {"proxies", *OF_PROXIES, "report"}),
    ],
)
def test_an_edited_stage_makes_itself_and_its_figures_stale_and_no_training(clone, file, old, new, stale):
    text = (clone.root / file).read_text()
    head, separator, tail = text.rpartition(old)
    assert separator
    (clone.root / file).write_text(head + new + tail)
    assert set(again(clone)) == stale


def test_an_edited_loss_of_students_trains_students_only(clone):
    clone.edit("src/memflow/training/distillation.py", "temperature**2 * ", "temperature * temperature * ")
    jobs = again(clone)
    assert jobs["train"] == 2
    assert "train_teacher" not in jobs
    assert "proxies" not in jobs


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
