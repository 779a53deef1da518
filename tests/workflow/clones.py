"""A copy of the project in a scratch folder, and Snakemake in it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
