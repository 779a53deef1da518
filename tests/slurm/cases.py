"""What can happen to a study on a cluster. However it goes, the tables are those of an undisturbed run, bit for bit."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster import (
    BLOCKS,
    COUNTS,
    RESULTS,
    STUDY,
    Clone,
    command,
    lose_node,
    restart_node,
    start_now,
    until,
)

KEPT = "2 of 4 models were finished by an earlier job and are kept"
CONTINUED = "seed-2.checkpoint.npz: goes on from where an earlier job was stopped"
REFUSED = "changed after this job was submitted; start snakemake again"


def test_whole_study(empty: Clone, undisturbed: Clone) -> None:
    run, gpus = empty.submit(checkpoint_minutes=10), dict[str, str]()
    while run.running():
        gpus |= {job["SLURM_JOB_ID"]: job["CUDA_VISIBLE_DEVICES"] for job in empty.trainings().values()}
        time.sleep(0.1)
    assert run.wait() == 0, run.text()
    assert_same_tables(empty, undisturbed, everything=True)
    training = {job["JobId"] for job in empty.jobs("train", "train_teacher")}
    with_gpu = {job["JobId"] for job in empty.jobs() if "gres:gpu" in job.get("TresPerJob", "")}
    assert training == with_gpu
    assert gpus.keys() <= training
    assert set(gpus.values()) == {"0", "1"}


def test_time_limit(clone: Clone, undisturbed: Clone) -> None:
    run = clone.submit(COUNTS, runtime=1)
    stop_in_mid_unit(clone)  # hangs, as on a file system that does not answer
    assert run.wait() == 0, run.text()
    assert_same_tables(clone, undisturbed)
    assert states(clone, "0") == ["TIMEOUT", "COMPLETED"]
    assert KEPT in clone.logs()
    assert CONTINUED in clone.logs()


def test_cancelled_and_failing_jobs(clone: Clone, undisturbed: Clone) -> None:
    obstacle = clone.root / f"{BLOCKS[1]}.partial"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a folder must be")
    run = clone.submit(COUNTS)
    stop_in_mid_unit(clone)
    command("scancel", trained_by(clone, "0")[-1]["JobId"])
    until(lambda: "FAILED" in states(clone, "1"), clone)
    obstacle.unlink()
    assert run.wait() == 0, run.text()
    assert_same_tables(clone, undisturbed)
    assert states(clone, "0") == ["CANCELLED", "COMPLETED"]
    assert states(clone, "1") == ["FAILED", "COMPLETED"]
    assert [job["TimeLimit"] for job in trained_by(clone, "1")] == ["04:00:00", "08:00:00"]
    assert KEPT in clone.logs()
    assert CONTINUED in clone.logs()


def test_snakemake_killed(clone: Clone, undisturbed: Clone) -> None:
    killed = clone.submit(COUNTS, slurm_partition="cpu", gpu=0)
    orphans = dict[int, int]()

    def both_stopped() -> bool:
        for block in (0, 1):
            if block not in orphans and (pid := clone.training(block)):
                os.kill(pid, signal.SIGSTOP)
                orphans[block] = pid
        return len(orphans) == 2

    until(both_stopped, clone)
    killed.kill()
    again = clone.submit(COUNTS, slurm_partition="cpu", gpu=0)
    until(lambda: KEPT in clone.logs() or not again.running(), clone)
    os.kill(orphans[0], signal.SIGCONT)  # now two jobs write one block
    assert again.wait() == 0, again.text()
    assert "jobs of an earlier Snakemake are still in the queue" in again.text()
    os.kill(orphans[1], signal.SIGKILL)  # fails after another job has finished its block
    until(lambda: not clone.active(), clone)
    assert [len(states(clone, block)) for block in "01"] == [2, 2]
    assert_same_tables(clone, undisturbed)
    assert all((clone.root / block).exists() for block in BLOCKS)
    check = clone.snakemake(COUNTS, "--cores", "1", "--configfile", STUDY, "--dry-run")
    assert check.wait() == 0, check.text()
    assert "Nothing to be done" in check.text()


def test_edit_while_queued(clone: Clone, undisturbed: Clone) -> None:
    code = "src/memflow/training/sgd.py", 'nesterov=recipe["momentum"] > 0,', "nesterov=False,"
    config = STUDY, "learning_rate: 0.1", "learning_rate: 0.2"
    clone.edit(*code)
    clone.edit(*config)
    for refused, (file, old, new) in enumerate((config, code), 1):
        with closed_partition("gpu"):
            run = clone.submit(COUNTS, retries=0)
            until(lambda: len([job for job in clone.active() if job["Comment"].startswith("rule_train")]) == 2, clone)
            clone.edit(file, new, old)
        assert run.wait() != 0
        assert clone.logs().count(REFUSED) == 2 * refused
    assert set(states(clone, "0") + states(clone, "1")) == {"FAILED"}
    assert "Traceback" not in clone.logs()
    run = clone.submit(COUNTS)
    assert run.wait() == 0, run.text()
    assert_same_tables(clone, undisturbed)


def test_full_disk(empty: Clone, undisturbed: Clone) -> None:
    data = undisturbed.root / RESULTS / "data"
    used = sum(-(-file.stat().st_size // 4096) * 4 for file in data.iterdir())
    with mounted(empty.root / "results", f"{used + 20}k") as results:
        shutil.copytree(data, results / "slurm/data")
        run = empty.submit(COUNTS, retries=0)
        assert run.wait() != 0
        assert "no space left to write" in empty.logs()
        assert "Traceback" not in empty.logs()
        assert not list((results / "slurm/runs").rglob("*.tmp"))
        assert not (empty.root / COUNTS).exists()
        command("mount", "-o", "remount,size=50m", str(results))
        run = empty.submit(COUNTS)
        assert run.wait() == 0, run.text()
        assert_same_tables(empty, undisturbed)


def test_lost_node(clone: Clone, undisturbed: Clone) -> None:
    run = clone.submit(COUNTS)
    stop_in_mid_unit(clone)
    (job,) = trained_by(clone, "0")
    lose_node("g1", clone)
    until(lambda: trained_by(clone, "0")[0]["JobState"] == "PENDING", clone)
    restart_node("g1")
    time.sleep(5)  # SLURM first tells the node to end what ran there
    start_now(clone)
    assert run.wait() == 0, run.text()
    assert_same_tables(clone, undisturbed)
    (again,) = trained_by(clone, "0")
    assert (again["JobId"], again["Restarts"], again["JobState"]) == (job["JobId"], "1", "COMPLETED")
    assert KEPT in clone.logs()


def test_preempted(clone: Clone, undisturbed: Clone) -> None:
    run = clone.submit(COUNTS, slurm_partition="scavenge", gpu=0)
    stop_in_mid_unit(clone)
    (job,) = trained_by(clone, "0")
    urgent = ["sbatch", "--partition=cpu", "--exclusive", f"--nodelist={job['NodeList']}", "--output=/dev/null"]
    command(*urgent, "--wait", "--wrap=sleep 1")
    start_now(clone)
    assert run.wait() == 0, run.text()
    assert_same_tables(clone, undisturbed)
    (again,) = trained_by(clone, "0")
    assert (again["JobId"], again["Restarts"], again["JobState"]) == (job["JobId"], "1", "COMPLETED")
    assert KEPT in clone.logs()


def test_chaos(clone: Clone, undisturbed: Clone) -> None:
    targets = COUNTS, COUNTS.replace("resnet8-w1", "mlp-8")
    actions = ["cancel"] * 3 + ["kill"] * 2 + ["restart slurmd", "kill snakemake"]
    chance = random.Random(1)
    chance.shuffle(actions)
    run = clone.submit(*targets)
    for action in actions:
        time.sleep(3 * chance.random())
        victims = until(lambda run=run: clone.trainings() or not run.running(), clone)
        if not run.running():
            break
        pid = chance.choice(sorted(victims))
        if action == "cancel":
            command("scancel", victims[pid]["SLURM_JOB_ID"])
        elif action == "kill":
            os.kill(pid, signal.SIGKILL)
        elif action == "restart slurmd":
            restart_node("g1")
        else:
            run.kill()
            run = clone.submit(*targets)
    if run.wait() != 0:  # a block had more accidents than retries
        run = clone.submit(*targets)
    assert run.wait() == 0, run.text()
    until(lambda: not clone.active(), clone)
    assert_same_tables(clone, undisturbed)
    trained = clone.logs().count("in-sample accuracy")  # units: two models side by side; there are 8
    assert 8 <= trained <= 8 + len(actions)


def assert_same_tables(clone: Clone, undisturbed: Clone, everything: bool = False) -> None:
    """What the copy has made is, byte for byte, what the undisturbed run made."""
    expected, made = undisturbed.tables(), clone.tables()
    assert made
    assert not [name for name, table in made.items() if table != expected[name]]
    assert not everything or made.keys() == expected.keys()


def stop_in_mid_unit(clone: Clone) -> None:
    """Stop the training of the first block, so that what comes next finds it there, on a machine of any speed."""
    os.kill(until(clone.training, clone), signal.SIGSTOP)


def trained_by(clone: Clone, block: str) -> list[dict[str, str]]:
    """All jobs that were to train one block."""
    return [job for job in clone.jobs("train") if job["Comment"].endswith(f"_{block}")]


def states(clone: Clone, block: str) -> list[str]:
    return [job["JobState"] for job in trained_by(clone, block)]


@contextmanager
def closed_partition(name: str) -> Iterator[None]:
    """Jobs that are submitted inside start only afterwards."""
    command("scontrol", "update", f"PartitionName={name}", "State=DOWN")
    try:
        yield
    finally:
        command("scontrol", "update", f"PartitionName={name}", "State=UP")


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A disk of some size in place of a folder."""
    folder.mkdir()
    command("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
