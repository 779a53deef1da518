"""Near duplicates of a prepared dataset at several thresholds: what docs/decisions/0006-near-duplicates.md rests on.

python benchmarks/near_duplicates.py results/<study>/data/<dataset>.npz .95 .96 .97 .98 .99 .995
"""

import argparse
import time
from pathlib import Path

import numpy as np

from memflow.data import hazards, prepared
from memflow.data.prepared import Split
from memflow.text import aligned

HEADER = ["threshold", "in training", "conflicts", "with test", "examples", "in test", "largest group", "seconds"]


def main() -> None:
    """Print a line per threshold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="prepared dataset")
    parser.add_argument("thresholds", type=float, nargs="*", default=[0.995])
    arguments = parser.parse_args()
    dataset = prepared.load(arguments.dataset)
    train = Split(dataset.train.images, dataset.original_label, dataset.train.index)
    rows = [measure(train, dataset.test, near) for near in arguments.thresholds]
    print("\n".join(aligned([HEADER, *rows], text_columns=0)))


def measure(train: Split, test: Split, near: float) -> list[str]:
    """Near pairs inside training, those of them with two labels, and between training and test; training examples."""
    start = time.perf_counter()
    found = hazards.find(train, test, near)
    seconds = time.perf_counter() - start
    totals = found.pairs[found.pairs["kind"] == "near"].drop_duplicates(["other_split", "conflict"])
    inside = totals[totals["other_split"] == "train"]
    numbers = [
        inside["total"].sum(),
        inside.loc[inside["conflict"], "total"].sum(),
        totals.loc[totals["other_split"] == "test", "total"].sum(),
        (np.bincount(found.near_duplicate_group)[found.near_duplicate_group] > 1).sum(),
        found.in_test.sum(),
        found.largest_group,
    ]
    return [str(near), *(f"{number:,}" for number in numbers), f"{seconds:.1f}"]


if __name__ == "__main__":
    main()
