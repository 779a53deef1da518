"""``squeue`` is a script here that prints what a real one was seen to print; tests/slurm asks a real one."""

import os
import stat
from pathlib import Path

import pytest
from helpers import tiny_config

from memflow import costs, slurm, status
from memflow.config import Study
from memflow.errors import InputError
from memflow.files import write_bytes
from memflow.slurm import SEPARATOR

STUDY = Study(tiny_config())
RUN = "digits/mlp/one-hot"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder in which Snakemake runs; ``squeue`` is not on the path."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@pytest.fixture
def queue(root):
    """Makes a ``squeue`` that lists some jobs of a folder."""

    def make(*jobs, folder=root):
        lines = [
            SEPARATOR.join([job_id, state, "1:23", "10:00", node, str(folder), comment])
            for job_id, state, node, comment in jobs
        ]
        (root / "jobs.txt").write_text("".join(f"{line}\n" for line in lines))
        script(root, f'#!/bin/sh\n/bin/cat "{root}/jobs.txt"\n')

    return make


def script(root, text):
    path = root / "bin/squeue"
    write_bytes(path, text.encode())
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def train(block, architecture="mlp"):
    return f"rule_train_wildcards_digits_{architecture}_one-hot_{block}"


def finish(root, block, run=RUN):
    path = root / f"results/small/runs/{run}/block-{block}.npz"
    write_bytes(path, b"")
    write_bytes(path.with_name(f"{path.name}.prov.json"), b"{}")
    return path


def fail(root, block, job):
    path = root / f".snakemake/slurm_logs/rule_train/digits_mlp_one-hot_{block}/{job}.log"
    write_bytes(path, b"")
    return path


def states(root):
    blocks = status.find(STUDY, root, slurm.jobs(root))
    return {block.index: block.state for block in blocks if "/".join(block.run) == RUN}


def test_without_files_and_slurm_everything_is_missing(root):
    assert states(root) == {0: "missing", 1: "missing"}
    assert "0 of 6 training jobs done" in status.describe(STUDY, root)


def test_a_block_is_done_when_it_has_its_sidecar(root):
    finish(root, 0)
    path = finish(root, 1)
    assert states(root) == {0: "done", 1: "done"}
    path.with_name(f"{path.name}.prov.json").unlink()
    assert states(root) == {0: "done", 1: "missing"}


def test_jobs_in_the_queue_are_told_by_block(root, queue):
    queue(
        ("11", "RUNNING", "n1", train(0)), ("12", "PENDING", "", train(1)), ("13", "RUNNING", "n1", train(1, "resnet"))
    )
    assert states(root) == {0: "running", 1: "queued"}
    said = status.describe(STUDY, root)
    assert "digits/mlp/one-hot/block-0: job 11 on n1, 1:23 of 10:00" in said
    assert "digits/mlp/one-hot/block-1: job 12" in said
    assert "digits/resnet/one-hot/block-1: job 13 on n1" in said


def test_ended_jobs_and_jobs_of_another_folder_are_not_counted(root, queue):
    queue(("11", "COMPLETED", "n1", train(0)), ("12", "FAILED", "n1", train(1)))
    assert states(root) == {0: "missing", 1: "missing"}
    queue(("11", "RUNNING", "n1", train(0)), folder=root / "elsewhere")
    assert states(root) == {0: "missing", 1: "missing"}


def test_a_failed_block_names_its_last_job_and_the_log(root, queue):
    fail(root, 0, 7)
    log = fail(root, 0, 9)
    queue(("12", "PENDING", "", train(1)))
    fail(root, 1, 8)
    assert states(root) == {0: "failed", 1: "queued"}
    assert f"SLURM job 9, log {log}" in status.describe(STUDY, root)
    finish(root, 0)
    assert states(root)[0] == "done"


def test_finished_models_and_the_time_left_are_said(root, queue):
    queue(("11", "RUNNING", "n1", train(0)))
    line = b"digits mlp one-hot block-0: %d/4 models, 2.0 models/s, 1 s left, in-sample accuracy 0.9\n"
    write_bytes(root / f"results/small/logs/runs/{RUN}/block-0.log", line % 2 + line % 3)
    spec = STUDY.runs_spec("digits", "mlp", "one-hot")
    cost = costs.Cost("digits", "mlp", costs.definition(spec), "cpu: x", 60.0, 3.0, 500, "2026-01-01")
    costs.record(root / costs.TABLE, cost)
    said = status.describe(STUDY, root)
    assert "3/4 models" in said
    (row,) = (line for line in said.splitlines() if line.startswith("digits") and " mlp " in line)
    assert row.split()[-2:] == ["5.0", "min"]  # one model of block 0 and four of block 1, a minute each
    assert "not measured" in said  # the other architectures


def test_other_jobs_of_the_study_are_listed(root, queue):
    queue(("21", "RUNNING", "n1", "rule_count_wildcards_digits_mlp_one-hot"))
    assert "Other jobs of the study: 21 (count_wildcards_digits_mlp_one-hot)" in status.describe(STUDY, root)


def test_jobs_that_an_earlier_snakemake_left_are_named(root, queue):
    assert status.orphans(root) == []
    queue(("11", "RUNNING", "n1", train(0)), ("12", "PENDING", "", train(1)))
    first, second = status.orphans(root)
    assert "2 jobs of an earlier Snakemake are still in the queue: 11 (train" in first
    assert second.endswith("scancel 11 12")


def test_a_squeue_that_fails_is_said_and_stops_no_start(root):
    script(root, "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n")
    with pytest.raises(InputError, match="Unable to contact slurm controller"):
        status.describe(STUDY, root)
    assert "0 of 6" in status.describe(STUDY, root, ask_queue=False)
    (line,) = status.orphans(root)
    assert "Unable to contact" in line


def test_the_folder_may_be_a_link(root, queue, tmp_path):
    queue(("11", "RUNNING", "n1", train(0)))
    link = Path(f"{tmp_path}-link")
    link.symlink_to(root)
    assert {job.id for job in slurm.jobs(link)} == {"11"}
    link.unlink()


METHODS = Study(
    tiny_config(
        families={"sizes": {"title": "Sizes", "architectures": ["mlp", "resnet"]}},
        distillation={"distilled-from-resnet": {"teacher": "resnet"}},
        proxies={"runs": 6, "block_size": 2, "ratios": ["3/4"]},
    )
)


def test_blocks_of_all_methods_are_counted(root):
    finish(root, 2, "digits/mlp/full-data")
    finish(root, 1, "digits/mlp/distilled-from-resnet")
    said = status.describe(METHODS, root)
    rows = [line.split()[:8] for line in said.splitlines() if line.startswith("digits ")]
    of_mlp = {row[2]: row[3:] for row in rows if row[1] == "mlp"}
    assert of_mlp == {
        "one-hot": ["0", "0", "0", "0", "2"],
        "distilled-from-resnet": ["1", "0", "0", "0", "1"],
        "full-data": ["1", "0", "0", "0", "2"],
        "ratio-3-4": ["0", "0", "0", "0", "2"],
    }
    assert said.startswith("Study small: 2 of 18 training jobs done")


def test_jobs_and_logs_of_teachers_are_those_of_their_blocks(root, queue):
    queue(
        ("11", "RUNNING", "n1", "rule_train_teacher_wildcards_digits_resnet_one-hot_0"),
        ("12", "PENDING", "", "rule_train_wildcards_digits_mlp_full-data_2"),
    )
    write_bytes(root / ".snakemake/slurm_logs/rule_train_teacher/digits_resnet_one-hot_1/9.log", b"")
    said = status.describe(METHODS, root)
    assert "digits/resnet/one-hot/block-0: job 11 on n1" in said
    assert "digits/mlp/full-data/block-2: job 12" in said
    assert "digits/resnet/one-hot/block-1: SLURM job 9, log " in said
    assert "Other jobs" not in said


def test_a_block_that_failed_under_both_rules_names_its_last_job(root):
    fail(root, 0, 7)
    log = root / ".snakemake/slurm_logs/rule_train_teacher/digits_mlp_one-hot_0/9.log"
    write_bytes(log, b"")
    os.utime(log, (2e9, 2e9))
    assert f"SLURM job 9, log {log}" in status.describe(STUDY, root)


def test_the_time_left_is_that_of_the_methods_own_blocks(root):
    spec = METHODS.runs_spec("digits", "mlp", "one-hot")
    costs.record(
        root / costs.TABLE,
        costs.Cost("digits", "mlp", costs.definition(spec), "cpu: x", 60.0, 3.0, 500, "2026-01-01"),
    )
    finish(root, 0, "digits/mlp/full-data")
    write_bytes(root / "results/small/logs/runs/digits/mlp/full-data/block-1.log", b"block-1: 1/2 models, 2.0 models/s")
    rows = [line.split() for line in status.describe(METHODS, root).splitlines() if line.startswith("digits ")]
    left = {row[2]: row[-2:] for row in rows if row[1] == "mlp"}
    assert left["full-data"] == ["6.0", "min"]  # one model of block 1 and two of block 2, at twice the ratio
    assert left["one-hot"] == left["distilled-from-resnet"] == ["8.0", "min"]
