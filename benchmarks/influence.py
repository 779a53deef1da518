"""Influence of 50,000 training on 10,000 test examples from 2,000 runs: time, memory, and the time of the bare products.

The bits are random: no pair has influence, all noise is left in. The reference is what cannot be spared, one matrix
product of all pairs and runs in float32 on one thread; ratios to it hold on other machines too.
"""

import argparse
import resource
import time

import numpy as np
from threadpoolctl import threadpool_limits

from memflow.data.prepared import Dataset, Split
from memflow.influence import measure, verdict

RUNS, TRAIN, TEST, CLASSES = 2000, 50_000, 10_000, 100


def main() -> None:
    """Measure once, with as many threads as asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="default: 2")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"default: {RUNS:,}")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    masks = generator.random((arguments.runs, TRAIN), dtype=np.float32) < 0.7
    correct = generator.random((arguments.runs, TEST), dtype=np.float32) < generator.random(TEST, dtype=np.float32)
    product = bare_product(masks, correct)
    group = np.arange(arguments.runs) // 10
    started = time.perf_counter()
    *_, summary = measure(
        dataset(), masks, correct, group, np.zeros(TRAIN), threshold=0.15, top=10, fdr=0.05, threads=arguments.threads
    )
    elapsed = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(verdict(summary))
    print(
        f"influence {TRAIN:,} x {TEST:,}, {arguments.runs:,} runs, {arguments.threads} threads: {elapsed:.0f} s, "
        f"{elapsed / product:.2f} times the bare product on one thread, peak {peak:.1f} GiB "
        "(targets: 180 s, 4 GB)"
    )


def bare_product(masks: np.ndarray, correct: np.ndarray) -> float:
    """Seconds of the whole product on one thread, from a tenth of the rows."""
    had, right = masks[:, : TRAIN // 10].T.astype(np.float32), correct.astype(np.float32)
    with threadpool_limits(1):
        started = time.perf_counter()
        for start in range(0, len(had), 256):
            had[start : start + 256] @ right
    return 10 * (time.perf_counter() - started)


def dataset() -> Dataset:
    """Labels only: the images are one pixel."""
    return Dataset.unflagged(split(TRAIN), split(TEST), [str(label) for label in range(CLASSES)])


def split(n: int) -> Split:
    """A split of black images whose classes take turns."""
    index = np.arange(n, dtype=np.int32)
    return Split(np.zeros((n, 1, 1, 1), dtype=np.uint8), index % CLASSES, index)


if __name__ == "__main__":
    main()
