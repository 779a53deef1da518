"""What jobs cost besides their work: the start of one on a cluster, and the planning of many."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from timing import Row, progress, run_process

from memflow import costs
from memflow.config import Study, read
from workflow import LARGE, copy_project

ROUNDS = 5
SIZES = (1000, 5000, 20_000)
BLOCK = 10
SHARE = 0.05  # of a job, at most, for its start
DEFAULT = Path("config.yaml")


def measure() -> list[Row]:
    """Start of a job and what it asks of a block, in CPU seconds; CPU seconds and memory of large dry-runs."""
    with tempfile.TemporaryDirectory(prefix="memflow-") as scratch:
        project = Path(scratch)
        copy_project(project)
        start = [start_of_a_job(project) for _ in range(ROUNDS)]
        plans = [row for jobs in SIZES for row in plan(project, jobs)]
        study = Study(read(project / DEFAULT))
        table = costs.read(project / costs.TABLE)
    block = [costs.find(table, costs.definition(study.runs_spec(*run))) for run in runs_of(study)]
    seconds = [cost.seconds(study.config["block_size"]) for cost in block if cost]
    typical = sum(start) / len(start)
    return [
        Row("start of a SLURM job", "Snakemake starts twice; CPU", "s", start, None),
        Row("a block should train for", f"start {SHARE:.0%} of it", "s", [s / SHARE for s in start], None),
        Row("share of starts, default study", "on a cluster, by the cost table", "%",
            [100 * typical * len(seconds) / (sum(seconds) + typical * len(seconds))], None),
        *plans,
    ]  # fmt: skip


def start_of_a_job(project: Path) -> float:
    """CPU seconds that Snakemake spends in a SLURM job besides the job: it starts as the batch job and as its step."""
    progress("  start of a job")
    shutil.rmtree(project / "results", ignore_errors=True)
    study = Study(read(project / "studies/tiny.yaml"))
    job = ("--configfile", "studies/tiny.yaml", "--target-jobs", "prepare:dataset=digits-noisy")
    mode = ("--mode", "remote", "--nolock", "--force", "--cores", "1", "--allowed-rules", "prepare")
    with_job, _ = run_process("snakemake", *job, *mode, folder=project)
    output = project / "results/tiny/data/again.npz"
    spec = json.dumps(study.prepare_spec("digits-noisy"))
    work, _ = run_process("memflow", "prepare", "--spec", spec, "--output", str(output), folder=project)
    return 2 * (with_job - work)


def plan(project: Path, jobs: int) -> list[Row]:
    """CPU seconds and memory of a dry-run of about so many training jobs."""
    combinations = len(LARGE["datasets"]) * len(LARGE["architectures"])
    seeds = round(jobs / combinations) * BLOCK
    config: dict[str, Any] = LARGE | {"seeds": seeds, "block_size": BLOCK}
    (project / "many.yaml").write_text(yaml.safe_dump(config))
    progress(f"  dry-run of {jobs:,} jobs")
    cpu, memory = run_process("snakemake", "--dry-run", "--quiet", "all", "--configfile", "many.yaml", folder=project)
    return [
        Row(f"dry-run of {jobs:,} training jobs", "CPU", "s", [cpu], None),
        Row(f"dry-run of {jobs:,} training jobs", "largest resident set", "MB", [memory], None),
    ]


def runs_of(study: Study) -> list[tuple[str, str, str]]:
    """Dataset, architecture and method of every network's runs."""
    networks = [name for name in study.architectures if name not in study.references]
    return [(data, name, method) for data in study.datasets for name in networks for method in study.methods]
