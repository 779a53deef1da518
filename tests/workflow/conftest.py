"""A clone of the project in a scratch folder, with the tiny study finished in it."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
STUDY = "studies/tiny.yaml"


@dataclass
class Clone:
    """A copy of the project whose own src/ is what runs in it."""

    root: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        scripts = Path(sys.executable).parent
        environment = os.environ | {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
        }
        return subprocess.run(command, cwd=self.root, env=environment, text=True, capture_output=True, check=False)

    def snakemake(self, *arguments: str, study: str = STUDY) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", "--cores", "2", "--configfile", study, *arguments)

    def planned(self, *arguments: str, study: str = STUDY) -> dict[str, int]:
        """How many jobs of each rule Snakemake would run now."""
        done = self.snakemake("--dry-run", *arguments, study=study)
        assert done.returncode == 0, done.stderr
        jobs = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)
        return {rule: int(count) for rule, count in jobs if rule not in ("all", "total")}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def variant(self, **changes: object) -> str:
        """A config file like the tiny study's, with some top-level entries changed or extended."""
        study = yaml.safe_load((self.root / STUDY).read_text())
        for key, value in changes.items():
            study[key] = study[key] | value if isinstance(value, dict) else value
        (self.root / "studies/variant.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
        return "studies/variant.yaml"


def clone_project(target: Path) -> Clone:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, text=True, capture_output=True, check=True,
    )  # fmt: skip
    for name in tracked.stdout.splitlines():
        source, copy = PROJECT / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    return Clone(target)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Clone:
    """The tiny study, run once with the command that users type; each of pytest's workers has a copy of its own."""
    folder = tmp_path_factory.getbasetemp()
    made = (folder if worker_id == "master" else folder.parent) / "made"
    with open(made.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            clone = clone_project(tmp_path_factory.mktemp("unfinished"))
            done = clone.snakemake()
            assert done.returncode == 0, done.stdout + done.stderr
            clone.root.rename(made)
    shutil.copytree(made, folder / "finished", symlinks=True)
    return Clone(folder / "finished")


@pytest.fixture
def clone(finished: Clone, tmp_path: Path) -> Clone:
    """The finished study in a folder of the test's own, to break at will."""
    root = tmp_path / "clone"
    shutil.copytree(finished.root, root, symlinks=True)
    return Clone(root)
