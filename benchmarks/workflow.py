"""What the workflow adds to Snakemake: parsing the Snakefile, and planning a large study."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml
from timing import PROJECT, Row, interleave, progress, run_process

ROUNDS = 7
LARGE_ROUNDS = 3
TINY = "studies/tiny.yaml"
TARGET = "results/tiny/data/digits-noisy.npz"
NETWORKS: dict[str, Any] = {
    **{f"resnet8-w{w}": {"model": "cifar-resnet", "depth": 8, "width": w, "recipe": "sgd"} for w in (1, 2, 4, 8)},
    **{f"mlp-{units}": {"model": "mlp", "hidden": [units], "recipe": "sgd"} for units in (16, 64, 256)},
}
LARGE: dict[str, Any] = {
    "study": "large",
    "seeds": 400,
    "block_size": 50,
    "datasets": {f"digits-{i}": {"source": "digits"} for i in range(3)},
    "recipes": {"sgd": {"epochs": 20, "batch_size": 64, "learning_rate": 0.1, "schedule": {"shape": "cosine"}}},
    "architectures": NETWORKS,
    "families": {"all": {"title": "All networks", "architectures": list(NETWORKS)}},
}


def measure() -> list[Row]:
    """CPU seconds of dry-runs, in a copy of the project without results."""
    with tempfile.TemporaryDirectory(prefix="memflow-") as scratch:
        project, bare = Path(scratch) / "project", Path(scratch) / "bare"
        copy_project(project)
        copy_project(bare)
        (bare / "Snakefile").write_text(f'rule prepare:\n    output:\n        "{TARGET}",\n')
        one_file = (TARGET, "--configfile", TINY)
        pairs = interleave(lambda: dry_run(project, *one_file), lambda: dry_run(bare, *one_file), ROUNDS)
        (project / "large.yaml").write_text(yaml.safe_dump(LARGE))
        large = []
        for i in range(LARGE_ROUNDS):
            progress(f"  large study, round {i + 1} of {LARGE_ROUNDS}")
            large.append(dry_run(project, "--configfile", "large.yaml"))
    added = [ours - snakemake for ours, snakemake in pairs]
    return [
        Row("parsing the Snakefile", "added to Snakemake's own start; CPU", "s", added, 0.3),
        Row("dry-run, 3 datasets × 7 architectures × 400 seeds", "168 blocks of 50; CPU", "s", large, 6),
    ]


def dry_run(project: Path, *arguments: str) -> float:
    """CPU seconds of ``snakemake --dry-run`` in a project."""
    return run_process("snakemake", "--dry-run", *arguments, folder=project)[0]


def copy_project(target: Path) -> None:
    """Copy what git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
