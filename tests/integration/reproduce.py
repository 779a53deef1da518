"""Run a study twice, in two fresh copies of the project, and compare every table and figure byte for byte."""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[2]
COMPARED = (".npz", ".parquet", ".csv", ".pdf", ".png")  # all but logs, and sidecars, which hold times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default="config.yaml", help="study to run (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = [run(Path(scratch) / name, arguments.configfile) for name in ("first", "second")]
        first, second = (outputs(folder) for folder in results)
        different = sorted(
            name for name in first | second
            if name not in first & second or not filecmp.cmp(results[0] / name, results[1] / name, shallow=False)
        )  # fmt: skip
    for name in different:
        print(f"differs: {name}")
    print(f"{len(first | second)} files compared, {len(different)} differ")
    sys.exit(bool(different) or not first)


def run(folder: Path, configfile: str) -> Path:
    """Run a study in a copy of the project; its results folder."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(".venv", ".git", ".snakemake", "results"))
    subprocess.run(
        ["snakemake", "--cores", "all", "--quiet", "all", "--configfile", configfile], cwd=folder, check=True
    )
    return folder / "results"


def outputs(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in COMPARED}


if __name__ == "__main__":
    main()
