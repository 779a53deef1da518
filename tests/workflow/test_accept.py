"""Code that was changed: accepted where it gives the same bits, so that nothing is stale, and refused where not."""

import json
import re

from clones import STUDY

SGD = "src/memflow/training/sgd.py"
SCORES = "src/memflow/scores.py"


def accept(clone):
    return clone.run("memflow", "audit", "accept", "--configfile", STUDY, "--sample", "3")


def state(clone):
    """What the audit and Snakemake go by: which file lies where, and when it and its inode were changed."""
    files = [path for path in (clone.root / "results").rglob("*") if path.is_file()]
    return {path: (found.st_ino, found.st_mtime_ns, found.st_ctime_ns) for path in files for found in [path.stat()]}


def test_a_training_loop_that_gives_the_same_bits_is_accepted_and_nothing_is_stale(clone):
    clone.edit(SGD, "/ batch, parameters)", "/ (batch + 0), parameters)")
    assert clone.planned()["train"] == 4
    done = accept(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("trained again, bit-identical") == 3
    assert clone.planned() == {}
    status = clone.run("memflow", "audit", "status", "--configfile", STUDY)
    assert status.returncode == 0, status.stdout
    (entry,) = json.loads((clone.root / "accepted.json").read_text())
    trained = {run["block"].split("/")[2] for run in entry["evidence"]["trained_again"]}
    assert trained == {"mlp-8", "resnet8-w1"}  # each version of the code: they differ in the network
    assert len(entry["equal"]) == 2
    clone.edit(SGD, "/ (batch + 0), parameters)", "/ (batch + 0 + 0), parameters)")
    assert accept(clone).returncode == 0  # again: equal to what was accepted before
    assert clone.planned() == {}


def test_a_training_loop_that_gives_other_bits_is_refused_and_says_how_other(clone):
    clone.edit(SGD, 'nesterov=recipe["momentum"] > 0,', "nesterov=False,")
    before = clone.planned()
    done = accept(clone)
    assert done.returncode == 1
    assert re.search(r"^runs/digits-noisy/mlp-8/one-hot/block-\d.npz: seeds \d to \d,", done.stdout, re.M)
    assert re.search(r"^  train_correct: [\d,]+ of [\d,]+ predictions differ", done.stdout, re.M)
    assert "Not accepted" in done.stdout
    assert not (clone.root / "accepted.json").exists()
    assert clone.planned() == before


def test_scores_that_come_out_the_same_are_accepted_and_others_refused(clone):
    clone.edit(SCORES, "2 * r / (1 + r)", "2 * r / (1.0 + r)")
    before = state(clone)
    done = accept(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same bytes" in done.stdout
    assert state(clone) == before
    assert clone.planned() == {}
    clone.edit(SCORES, "2 * r / (1.0 + r)", "2 * r / (1.1 + r)")
    done = accept(clone)
    assert done.returncode == 1
    assert "one-hot.parquet: made again, it has other bytes" in done.stdout
    assert clone.planned()["score"] == 3


def test_without_a_change_there_is_nothing_to_accept(clone):
    done = accept(clone)
    assert (done.returncode, done.stdout.strip()[:18]) == (0, "Nothing to accept:")


def test_a_damaged_file_of_accepted_code_is_refused_with_what_to_do(clone):
    (clone.root / "accepted.json").write_text('[{"equal": {"a": 1}}]')
    for done in (clone.run("memflow", "audit", "status", "--configfile", STUDY), clone.snakemake("--dry-run")):
        assert done.returncode == 1
        assert "accepted.json is not as `memflow audit accept` writes it" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
