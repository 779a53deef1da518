"""Do scores find labels that people got wrong? The C-score (out-of-sample accuracy) as a ranking of CIFAR-10N's labels.

    python tests/integration/human_labels.py LABELS KEY SCORES...

LABELS is CIFAR-10N's file, KEY one of its arrays, SCORES are score tables of a study on CIFAR-10 or a part of it.
Prints, for each table, how well a low C-score tells the examples with a wrong human label from the others: the area
under the ROC curve, with a 95 % interval over examples (stratified bootstrap).
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from memflow.data.noise import CLEAN_KEY, read_arrays

RESAMPLES = 2000


def main(labels: Path, key: str, tables: list[Path]) -> None:
    arrays = read_arrays(labels)
    wrong = np.asarray(arrays[key]) != np.asarray(arrays[CLEAN_KEY])
    for path in tables:
        table = pd.read_parquet(path)
        flagged = wrong[table["index"]]
        value, low, high = auc(flagged, -table["acc_out"].to_numpy())
        print(f"{path}: AUC {value:.3f} [{low:.3f}, {high:.3f}], {flagged.sum()} of {len(flagged)} labels wrong")


def auc(wrong: np.ndarray, suspicion: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve of a ranking by suspicion, with its interval."""
    random = np.random.default_rng(0)
    parts = [np.flatnonzero(wrong), np.flatnonzero(~wrong)]
    resampled = [np.concatenate([random.choice(part, len(part)) for part in parts]) for _ in range(RESAMPLES)]
    values = [roc_auc_score(wrong[chosen], suspicion[chosen]) for chosen in resampled]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(roc_auc_score(wrong, suspicion)), float(low), float(high)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [Path(name) for name in sys.argv[3:]])
