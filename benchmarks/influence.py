"""Influence of 50,000 training on 10,000 test examples from 2,000 runs.

The bits are random: no pair has influence, all noise is left in. The reference is what cannot be spared, one matrix
product of all pairs and runs in float32 on one thread; the ratio to it holds on other machines too.
"""

import resource
import time

import numpy as np
from threadpoolctl import threadpool_limits
from timing import Row, progress

from memflow.data.prepared import Dataset, Split
from memflow.influence import measure as influence

RUNS, TRAIN, TEST, CLASSES, THREADS, ROWS = 2000, 50_000, 10_000, 100, 2, 256
PART = 10  # of the rows, from which the whole product's time is told


def measure() -> list[Row]:
    """Seconds, what that is in bare products, and the largest resident set."""
    generator = np.random.default_rng(0)
    masks = generator.random((RUNS, TRAIN), dtype=np.float32) < 0.7
    correct = generator.random((RUNS, TEST), dtype=np.float32) < generator.random(TEST, dtype=np.float32)
    settings = {"threshold": 0.15, "top": 10, "fdr": 0.05, "threads": THREADS}
    progress("  the bare product")
    before = bare_product(masks, correct)
    progress("  influence")
    started = time.perf_counter()
    influence(dataset(), masks, correct, np.arange(RUNS) // 10, np.zeros(TRAIN), **settings)
    elapsed = time.perf_counter() - started
    reference = (before + bare_product(masks, correct)) / 2
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 10**9
    terms = f"{TRAIN:,} × {TEST:,}, K = {RUNS:,}; {THREADS} threads"
    return [
        Row("influence, time", f"{terms}; wall", "s", [elapsed], 180),
        Row("influence", "against the bare product on one thread; wall", "×", [elapsed / reference], None),
        Row("influence, memory", "largest resident set", "GB", [memory], 4),
    ]


def bare_product(masks: np.ndarray, correct: np.ndarray) -> float:
    """Seconds of the whole product on one thread."""
    had, right = masks[:, : TRAIN // PART].T.astype(np.float32), correct.astype(np.float32)
    with threadpool_limits(1):
        started = time.perf_counter()
        for start in range(0, len(had), ROWS):
            had[start : start + ROWS] @ right
    return PART * (time.perf_counter() - started)


def dataset() -> Dataset:
    """Labels only: the images are one pixel."""
    return Dataset.unflagged(split(TRAIN), split(TEST), [str(label) for label in range(CLASSES)])


def split(n: int) -> Split:
    """A split of black images whose classes take turns."""
    index = np.arange(n, dtype=np.int32)
    return Split(np.zeros((n, 1, 1, 1), dtype=np.uint8), index % CLASSES, index)
