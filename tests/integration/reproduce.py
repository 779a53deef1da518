"""Run a study twice, in two fresh copies of the project, and compare every table and figure byte for byte.

Of the default study also check what its flipped labels are there for: that wide networks memorise them.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

PROJECT = Path(__file__).parents[2]
COMPARED = (".npz", ".parquet", ".csv", ".pdf", ".png")  # all but logs, and sidecars, which hold times
DEFAULT = "config.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", default=DEFAULT, help="study to run (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        first, second = (run(Path(scratch) / name, arguments.configfile) for name in ("first", "second"))
        names = sorted(outputs(first) | outputs(second))
        problems = [f"differs: {name}" for name in names if not same(first / name, second / name)]
        if arguments.configfile == DEFAULT:
            problems += ground_truth(first / "digits/figures/digits-noisy/mean_memorisation.csv")
    print("\n".join(problems))
    print(f"{len(names)} files compared, {len(problems)} problems")
    sys.exit(bool(problems) or not names)


def run(folder: Path, configfile: str) -> Path:
    """Run a study in a copy of the project; its results folder."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(".venv", ".git", ".snakemake", "results"))
    command = ["snakemake", "--cores", "all", "--quiet", "all", "--configfile", configfile]
    subprocess.run(command, cwd=folder, check=True, env=os.environ | {"PYTHONPATH": str(folder / "src")})
    return folder / "results"


def outputs(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in COMPARED}


def same(first: Path, second: Path) -> bool:
    return first.exists() and second.exists() and filecmp.cmp(first, second, shallow=False)


def ground_truth(table: Path) -> list[str]:
    """What is wrong with the memorisation of flipped and clean labels along the widths."""
    numbers = pd.read_csv(table)
    widths = numbers[numbers["architecture"].str.startswith("resnet8-w")]
    curves = widths.set_index(["examples", "quantity", "parameters"])["value"].sort_index()
    flipped, clean = (curves[f"{kind} label", "memorisation"] for kind in ("flipped", "clean"))
    memorised = curves["clean label", "memorised"]
    print(f"mean memorisation of flipped labels along the widths: {flipped.round(3).tolist()}")
    print(f"mean memorisation of clean labels: {clean.round(3).tolist()}, memorised: {memorised.tolist()}")
    claims = {
        "flipped labels at the largest width are memorised above 0.85": flipped.iloc[-1] > 0.85,
        "clean labels at the largest width are below 0.08": clean.iloc[-1] < 0.08,
        "the memorisation of flipped labels rises with width": flipped.is_monotonic_increasing,
        "the memorised count of clean labels falls with width": memorised.is_monotonic_decreasing,
    }
    return [f"not so: {claim}" for claim, holds in claims.items() if not holds]


if __name__ == "__main__":
    main()
