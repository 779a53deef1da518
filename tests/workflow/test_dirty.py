"""A study whose code has uncommitted changes: refused before any job, or marked in all that comes of it."""

import json
from pathlib import Path

from clones import STUDY

FIGURE = Path("results/tiny/figures/digits-noisy/score_distribution.png")


def commit(clone):
    author = ("-c", "user.name=a", "-c", "user.email=b")
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "first"]):
        done = clone.run("git", *words)
        assert done.returncode == 0, done.stderr


def test_uncommitted_code_is_refused_before_any_job_or_marked_where_the_study_allows_it(clone):
    figure, csv = clone.root / FIGURE, clone.root / FIGURE.with_suffix(".csv")
    clean = figure.read_bytes(), csv.read_bytes()
    commit(clone)
    clone.edit("Snakefile", "onstart:", "# a comment, which changes no result\nonstart:")
    figure.unlink()
    assert clone.planned(str(FIGURE)) == {"score_distribution": 1}

    refused = clone.snakemake("--", str(FIGURE))
    assert refused.returncode != 0
    assert "uncommitted changes (Snakefile)" in refused.stderr
    assert "commit them, or say `allow_dirty: true`" in refused.stderr
    assert not figure.exists()

    with open(clone.root / STUDY, "a") as study:
        study.write("\nallow_dirty: true\n")
    assert clone.planned(str(FIGURE)) == {"score_distribution": 1}
    done = clone.snakemake("--", str(FIGURE))
    assert done.returncode == 0, done.stderr
    assert csv.read_bytes() == clean[1]
    assert figure.read_bytes() != clean[0]  # it has a stamp
    circumstance = json.loads((clone.root / f"{FIGURE}.prov.json").read_text())["circumstance"]
    assert (circumstance["dirty"], circumstance["dirty_ancestry"]) == (True, True)
    traced = clone.run("memflow", "audit", "trace", str(FIGURE))
    assert "jobs ran uncommitted code" in traced.stdout
    status = clone.run("memflow", "audit", "status", str(FIGURE))
    assert "warning: 1 files were made from uncommitted code" in status.stdout
