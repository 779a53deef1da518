"""Formats of one folder with the outcome of each run: LiRA (Carlini et al. 2022), datamodels (Ilyas et al. 2022)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from memflow import provenance, registry
from memflow.errors import InputError
from memflow.export.source import Source
from memflow.files import write_atomically, write_bytes
from memflow.progress import steadily

LIRA = """\
# Subsets and scores of {runs}

As the code of "Membership inference attacks from first principles" reads them (`plot.py`, `load_data`):

- `experiment-<k>_<K>/keep.npy`: bool[{n}], whether run k was trained on the example
- `experiment-<k>_<K>/scores/{epoch}.npy`: float32[{n}, 1], log-odds of the label, `log(p / (1 - p))`, after the last
  epoch, of the image as it is (one "augmentation"); kept as float16
- `y_train.npy`: int32[{n}], the labels

There is no `logits/`: memflow keeps the log-odds of the label, which is what `scores/` holds, and no full logits.
Runs that were drawn together ({group} neighbours) determine each other's subsets: an attack on one must leave out all.

Rows: {order}. `memflow.json` has the SHA-256 of every file.
"""
DATAMODELS = """\
# Subsets and margins of {runs}

As the code of "Datamodels: predicting predictions from training data" keeps them:

- `masks.npy`: bool[{runs_total}, {n}], whether the run was trained on the training example
- `margins.npy`: float16[{runs_total}, {m}], log-odds of the label of the test example, `log(p / (1 - p))`
- `_completed.npy`: bool[{runs_total}], all true

Columns: {order}. `memflow.json` has the SHA-256 of every file.
"""


def write_lira(source: Source, folder: Path) -> str:
    """Write a folder per run with its subset and the log-odds of every label; return what, in words."""
    found, log_odds = source.outcomes, source.outcomes.log_odds
    if log_odds is None:
        raise InputError(_no_log_odds(source))
    epoch, total = f"{source.counts.epochs[-1]:010d}", len(log_odds)
    for number, (keep, scores) in enumerate(steadily(list(zip(found.masks, log_odds, strict=True)), "runs")):
        run = folder / f"experiment-{number}_{total}"
        _save(run / "keep.npy", keep)
        _save(run / "scores" / f"{epoch}.npy", scores.astype(np.float32)[:, None])
    _save(folder / "y_train.npy", source.dataset.train.labels)
    text = LIRA.format(runs=source.runs, n=log_odds.shape[1], epoch=epoch, group=found.group_size, order=source.order)
    write_bytes(folder / "README.md", text.encode())
    return f"subsets and log-odds of {log_odds.shape[1]:,} training labels, no logits; {source.runs}"


def write_datamodels(source: Source, folder: Path) -> str:
    """Write the subsets and the log-odds of the test labels; return what, in words."""
    found, margins = source.outcomes, source.outcomes.test_log_odds
    if found.log_odds is None:
        raise InputError(_no_log_odds(source))
    if margins is None:
        raise InputError(
            f"the runs of {source.architecture}, {source.method}, on {source.name} did not keep log-odds of the test "
            "labels; set `probabilities: true` in the config and run again (the runs are trained anew)"
        )
    total, m = margins.shape
    arrays = {"masks": found.masks, "margins": margins, "_completed": np.ones(total, dtype=bool)}
    for name, array in arrays.items():
        _save(folder / f"{name}.npy", array)
    sizes = {"runs_total": total, "n": found.masks.shape[1], "m": m}
    text = DATAMODELS.format(runs=source.runs, order=source.order, **sizes)
    write_bytes(folder / "README.md", text.encode())
    return f"subsets and log-odds of {m:,} test labels; {source.runs}"


def _save(path: Path, array: np.ndarray) -> None:
    write_atomically(path, lambda file: np.save(file, np.asarray(array, order="C"), allow_pickle=False))


def _no_log_odds(source: Source) -> str:
    networks = ", ".join(sorted(set(_networks(source)))) or "none in this study"
    return (
        f"{source.architecture} has no logits, so that there are no log-odds of its labels; choose a network as "
        f"--architecture: {networks}"
    )


def _networks(source: Source) -> Iterator[str]:
    """Architectures on the dataset that have logits."""
    for dataset, architecture, method in source.study.runs:
        if dataset == source.name:
            counts = source.study.folder / "counts" / dataset / architecture / f"{method}.npz"
            runs = provenance.read_sidecar(counts)["definition"]["runs"]
            if runs["learner"] not in registry.LEARNERS.values():
                yield architecture
