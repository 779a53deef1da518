"""Merging and scoring a study of full size: 4,000 runs over 50,000 training and 10,000 test examples."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from timing import Row, progress, run_process

from memflow import provenance, subsets
from memflow.config import Study, as_text
from memflow.data import prepared
from memflow.data.prepared import Dataset, Split
from memflow.files import write_npz
from memflow.training.outcomes import block_masks, pack

N_TRAIN, N_TEST, CLASSES = 50_000, 10_000, 100
EPOCHS = [10, 20]
ROUNDS = 3
STUDY: dict[str, Any] = {
    "study": "scale",
    "seeds": 4000,
    "block_size": 50,
    "datasets": {"synthetic": {"source": "digits"}},  # a stand-in: nothing is loaded from a source here
    "recipes": {"sgd": {"epochs": 20, "batch_size": 64, "learning_rate": 0.1, "schedule": {"shape": "cosine"}}},
    "architectures": {"resnet8": {"model": "cifar-resnet", "depth": 8, "recipe": "sgd"}},
}
PLACE = ("synthetic", "resnet8", "one-hot")


def measure() -> list[Row]:
    """CPU seconds and memory of ``memflow count`` and ``memflow score`` on synthetic outcomes."""
    study = Study(STUDY)
    with tempfile.TemporaryDirectory(prefix="memflow-") as scratch:
        folder = Path(scratch)
        progress("  making the runs")
        dataset = write_dataset(folder / "data.npz")
        blocks = [str(write_block(study, dataset, block, folder)) for block in study.methods["one-hot"].blocks]
        rounds = []
        for i in range(ROUNDS):
            progress(f"  round {i + 1} of {ROUNDS}")
            rounds.append(merge_and_score(study, blocks, folder))
    seconds, megabytes = map(list, zip(*rounds, strict=True))
    return [
        Row("merge and score, time", "K = 4,000, n = 50,000 + 10,000; CPU", "s", seconds, 30),
        Row("merge and score, memory", "largest resident set", "MB", megabytes, 1024),
    ]


def merge_and_score(study: Study, blocks: list[str], folder: Path) -> tuple[float, float]:
    """CPU seconds of both commands together, and the MB of the larger."""
    dataset, counts, scores = (str(folder / name) for name in ("data.npz", "counts.npz", "one-hot.parquet"))
    files = ["--dataset", dataset, "--blocks", *blocks, "--output", counts]
    merging, merging_mb = run_process("memflow", "count", "--spec", as_text(study.counts_spec(*PLACE)), *files)
    files = ["--counts", counts, "--output", scores]
    scoring, scoring_mb = run_process("memflow", "score", "--spec", as_text(study.scores_spec(*PLACE[:2])), *files)
    progress(f"  merging {merging:.1f} s and {merging_mb:.0f} MB, scoring {scoring:.1f} s and {scoring_mb:.0f} MB")
    return merging + scoring, max(merging_mb, scoring_mb)


def write_dataset(path: Path) -> Dataset:
    """Random images in the shape of CIFAR-100."""
    random = np.random.default_rng(0)
    train, test = (
        Split(
            random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8),
            random.integers(0, CLASSES, n, dtype=np.int32),
            np.arange(n, dtype=np.int32),
        )
        for n in (N_TRAIN, N_TEST)
    )
    names = [str(name) for name in range(CLASSES)]
    dataset = Dataset.unflagged(train, test, names)
    prepared.save(dataset, path)
    return dataset


def write_block(study: Study, dataset: Dataset, block: int, folder: Path) -> Path:
    """Synthetic outcomes of one block, as training would write them.

    Accuracies are those of a memorising network: near 1 in-sample, spread over [0, 1] out-of-sample.
    """
    spec = study.block_spec(*PLACE, block)
    seeds = range(*spec["seeds"])
    masks = block_masks(spec, dataset, seeds)
    per_example = np.random.default_rng(0)
    acc_in = per_example.beta(50, 0.5, N_TRAIN).astype(np.float32)
    acc_out, acc_test = (per_example.beta(0.6, 0.4, n).astype(np.float32) for n in (N_TRAIN, N_TEST))
    random = np.random.default_rng((1, block))
    correct = random.random((len(seeds), N_TRAIN), dtype=np.float32) < np.where(masks, acc_in, acc_out)
    correct_test = random.random((len(seeds), N_TEST), dtype=np.float32) < acc_test
    outcome = {
        "epochs": np.array(EPOCHS, dtype=np.int32),
        "train_correct": np.repeat(correct[:, None], len(EPOCHS), axis=1),
        "test_correct": np.repeat(correct_test[:, None], len(EPOCHS), axis=1),
        "log_odds": random.random((len(seeds), N_TRAIN), dtype=np.float32).astype(np.float16),
        "losses": np.zeros((len(seeds), len(EPOCHS), 3), dtype=np.float32),
        "parameters": np.array(75_290),
    }
    path = folder / f"block-{block}.npz"
    write_npz(path, {"seeds": np.array(seeds), **pack(outcome, masks)})
    provenance.write(
        [path],
        {**spec, "fingerprint": dataset.fingerprint},
        inputs={},
        started=provenance.now(),
        details={"masks": [subsets.mask_hash(mask) for mask in masks]},
    )
    return path
