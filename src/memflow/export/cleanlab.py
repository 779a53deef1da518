"""What cleanlab takes: labels, and class probabilities by models that were not trained on the example."""

from pathlib import Path

import numpy as np

from memflow.errors import InputError
from memflow.export.source import Source
from memflow.files import write_npz


def write(source: Source, path: Path) -> str:
    """Write ``labels``, ``pred_probs`` with rows that add to 1, and ``index``, of a source; return what, in words.

    Examples that no run held out have no such probabilities and are left out.
    """
    probabilities = source.study.probabilities(source.name, source.architecture, source.method)
    known = np.isfinite(probabilities).all(axis=1)
    if not known.any():
        raise InputError(f"no run of {source.architecture}, {source.method}, on {source.name} held an example out")
    kept, train = probabilities[known], source.dataset.train
    arrays = {"labels": train.labels[known], "pred_probs": kept / kept.sum(axis=1, keepdims=True)}
    write_npz(path, {**arrays, "index": train.index[known]})
    left_out = f" ({len(known) - len(kept):,} left out, which no run held out)" if len(kept) < len(known) else ""
    return (
        f"labels and out-of-sample probabilities of {kept.shape[1]} classes of {len(kept):,} examples{left_out}; "
        f"{source.runs}"
    )
