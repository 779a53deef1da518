"""The files of the C-score (Jiang et al. 2020): labels and scores, in official order."""

from pathlib import Path

import numpy as np

from memflow.export.source import Source
from memflow.files import write_npz


def write(source: Source, path: Path) -> str:
    """Write ``labels`` and ``scores``, the out-of-sample accuracy, of a source; return what, in words.

    The published scores average over ratios from 10 to 90 %; these are of one ratio. ``index``, which the published
    files lack, is the index in the official order.
    """
    _, _, correct, n = source.counts.totals()
    with np.errstate(invalid="ignore"):
        scores = correct / n
    write_npz(path, {"labels": source.counts.label, "scores": scores, "index": source.counts.index})
    return f"C-scores (out-of-sample accuracy) at ratio {source.ratio} of {len(scores):,} examples; {source.runs}"
