"""Measure what memflow promises about speed, and print it as a table beside its targets.

Ratios are of interleaved runs on this machine, each on one thread. Ends with status 1 if a target is missed.
"""

import argparse
import importlib
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from timing import ONE_THREAD, Row, progress

BENCHMARKS = {
    "trainer": "training and evaluation against a plain PyTorch trainer",
    "fusing": "the default study's networks against one process per model",
    "tracking": "runs on the whole training set, tracked, against untracked ones",
    "scale": "merging and scoring 4,000 runs over 60,000 examples",
    "influence": "influence of 50,000 on 10,000 examples from 2,000 runs",
    "browser": "looking at 50,000 examples in a headless Chromium",
    "audit": "auditing a study of 2,000 blocks",
    "workflow": "what the workflow adds to Snakemake",
    "jobs": "what jobs cost on a cluster besides their work",
}
HEAD = ["what", "terms", "median", "min – max", "target", ""]


def main() -> None:
    """Run the chosen benchmarks and print their table."""
    listed = "\n".join(f"  {name:10}{subject}" for name, subject in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nbenchmarks:\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=BENCHMARKS, nargs="+", default=list(BENCHMARKS), help="run only these")
    arguments = parser.parse_args()
    os.environ.update(ONE_THREAD)  # before a benchmark imports NumPy
    rows: list[Row] = []
    for name in arguments.only:
        progress(f"{name}: {BENCHMARKS[name]}")
        # each in a process of its own: the memory of a process counts as that of those it starts
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            rows += process.submit(measure, name).result()
    print(table(rows))
    sys.exit(any(row.verdict == "missed" for row in rows))


def measure(name: str) -> list[Row]:
    """The rows of one benchmark."""
    return importlib.import_module(name).measure()


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table with aligned columns."""
    cells = [HEAD, *map(cells_of, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def cells_of(row: Row) -> list[str]:
    """The text of one row."""
    limits = f"{short(min(row.values))} – {short(max(row.values))}" if len(row.values) > 1 else ""
    bound = "" if row.target is None else f"{'≥' if row.more_is_better else '≤'} {short(row.target)} {row.unit}"
    return [row.name, row.terms, f"{short(row.median)} {row.unit}", limits, bound, row.verdict]


def short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
