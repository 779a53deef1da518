"""Which training labels are likely to be wrong, by the runs that did not have them.

Two signs, both out-of-sample. The label's quality by confident learning (Northcutt et al. 2021, through cleanlab), from
the class probabilities of runs that were not trained on the example. And how its memorisation changes with size: a
wrong label is what only a large network fits, so its score rises along the family (Lukasik et al. 2024).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from memflow import provenance
from memflow.errors import InputError
from memflow.files import write_csv
from memflow.methods import ONE_HOT
from memflow.text import aligned

if TYPE_CHECKING:
    from memflow.study import OpenStudy

SIGNS = ("probabilities", "trajectories", "both")
SHOWN = 20


def table(
    study: "OpenStudy",
    dataset: str,
    architecture: str | None = None,
    method: str = ONE_HOT,
    family: str | None = None,
    by: str = "probabilities",
) -> pd.DataFrame:
    """Training examples, the most suspect label first.

    Parameters
    ----------
    study : OpenStudy
    dataset : str
    architecture : str, optional
        Whose probabilities are used; without, the largest of the family, or else the network that is most often right
        out-of-sample.
    method : str
    family : str, optional
        Whose trajectories are used; the first that the architecture is in without.
    by : {"probabilities", "trajectories", "both"}
        What the order follows: the label's quality; the change of the score from the smallest to the largest size; or
        the mean of the ranks of the two. A change speaks only where the largest network fits wrong labels: in a family
        that cannot, theirs stay at 0.

    Returns
    -------
    DataFrame
        ``rank`` from 1, ``index``, ``label``, ``suggested`` (label of the largest probability), ``label_quality`` (by
        cleanlab: the label's mean probability out-of-sample; low is suspect), ``is_issue`` (whether confident learning
        counts it as an error), ``memorisation``, ``acc_out`` (its C-score), ``type`` and ``delta`` of the trajectory
        where there is a family, ``label_noise`` and ``original_label`` (where labels were changed on purpose). Its
        ``attrs`` say which ``architecture``, ``method`` and ``family`` were used.

    Raises
    ------
    InputError
        If the study did not keep probabilities, or has no such dataset, architecture or family; or ``by`` is unknown.
    """
    if by not in SIGNS:
        raise InputError(f"by is {by!r}; allowed: {', '.join(SIGNS)}")
    family, architecture = _chosen(study, dataset, family, architecture, method)
    if family is None and by != "probabilities":
        raise InputError(
            f"{architecture} is in no family of {dataset} with trajectories; rank by probabilities instead"
        )
    data, scores = study.dataset(dataset), study.scores(dataset, architecture, method)
    found = scores[["index", "label", "memorisation", "acc_out", "label_noise"]].assign(
        original_label=data.original_label,
        **label_quality(data.train.labels, study.probabilities(dataset, architecture, method)),
    )
    suspicion = {"probabilities": -found["label_quality"]}
    if family:
        along = study.trajectories(dataset, family)
        found = found.assign(type=along["type"], delta=along["delta"])
        suspicion["trajectories"] = along["delta"]
    ranks = [rankdata(-suspicion[sign].fillna(-np.inf)) for sign in (suspicion if by == "both" else [by])]
    found = found.assign(key=np.mean(ranks, axis=0)).sort_values(["key", "label_quality", "index"], ignore_index=True)
    columns = ["index", "label", "suggested", "label_quality", "is_issue", "memorisation", "acc_out", "type", "delta"]
    columns = [name for name in [*columns, "label_noise", "original_label"] if name in found]
    found = found[columns]
    found.insert(0, "rank", np.arange(1, len(found) + 1))
    found.attrs = {"architecture": architecture, "method": method, "family": family}
    return found


def save(study: "OpenStudy", found: pd.DataFrame, path: Path, choice: dict[str, str | None]) -> None:
    """Write the whole table as CSV, and its sidecar, which names every file behind it.

    Raises
    ------
    InputError
        If the name of the file does not end in ``.csv``.
    """
    if path.suffix.lower() != ".csv":
        raise InputError(f"--save is {path}; the table is written as CSV, so the name must end in .csv")
    started = provenance.now()
    write_csv(path, found)
    provenance.write([path], {"suspects": choice, "study": study.name}, inputs=study.read, started=started)


def label_quality(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """What cleanlab says of labels int[n], from out-of-sample probabilities float[n, C].

    Returns
    -------
    dict
        ``suggested`` int[n], ``label_quality`` float64[n] in [0, 1] and ``is_issue`` bool[n]. An example that every run
        was trained on has none: NaN, False, and its own label.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    known = np.isfinite(probabilities).all(axis=1)
    normalised = probabilities[known] / probabilities[known].sum(axis=1, keepdims=True)
    quality, issue, suggested = np.full(len(labels), np.nan), np.zeros(len(labels), dtype=bool), labels.copy()
    quality[known] = get_label_quality_scores(labels[known], normalised, method="self_confidence")
    issue[known] = find_label_issues(labels[known], normalised, filter_by="confident_learning", n_jobs=1)
    suggested[known] = normalised.argmax(axis=1)
    return {"suggested": suggested, "label_quality": quality, "is_issue": issue}


def precision(found: pd.DataFrame) -> dict[str, float]:
    """How well the order finds labels that were changed on purpose; empty if none were.

    Returns
    -------
    dict
        ``flipped`` (how many), ``precision`` (their share among as many ranked first), ``average_precision`` (the mean,
        over them, of the share among all up to each).
    """
    changed = found["label_noise"].to_numpy()
    if not changed.any():
        return {}
    share = np.cumsum(changed) / np.arange(1, len(changed) + 1)
    return {
        "flipped": int(changed.sum()),
        "precision": float(changed[: changed.sum()].mean()),
        "average_precision": float(share[changed].mean()),
    }


def describe(found: pd.DataFrame, class_names: list[str], top: int = SHOWN) -> str:
    """The first of them for a terminal."""
    first, names = found.head(top), np.array(class_names)
    was = [
        f" (flipped, was {name})" if flipped else ""
        for flipped, name in zip(first["label_noise"], names[first["original_label"]], strict=True)
    ]
    columns = {
        "": first["rank"].map(str),
        "index": first["index"].map(str),
        "label": [name + known for name, known in zip(names[first["label"]], was, strict=True)],
        "suggested": names[first["suggested"]],
        "quality": first["label_quality"].map("{:.3f}".format),
        "memorisation": first["memorisation"].map("{:z.2f}".format),
    }
    if "type" in found:
        types = zip(first["type"].fillna("no score"), first["delta"], strict=True)
        columns["trajectory"] = [f"{name} {delta:+z.2f}" for name, delta in types]
    lines = [list(columns), *(list(map(str, line)) for line in zip(*columns.values(), strict=True))]
    used = f"By {found.attrs['architecture']} ({found.attrs['method']})"
    used += f", trajectories along {found.attrs['family']}:" if found.attrs["family"] else ":"
    counted = f"{int(found['is_issue'].sum()):,} of {len(found):,} labels count as errors by confident learning."
    said = [used, *aligned(lines, text_columns=4), "", counted]
    if of := precision(found):
        said.append(
            f"{of['flipped']:,} labels were changed on purpose: they make up {of['precision']:.0%} of as many ranked "
            f"first (average precision {of['average_precision']:.3f})."
        )
    return "\n".join(said)


def _chosen(
    study: "OpenStudy", dataset: str, family: str | None, architecture: str | None, method: str
) -> tuple[str | None, str]:
    """Family and architecture; what is not given follows from the other, or else from what predicts best."""
    if family is not None:
        return family, architecture or study.sizes(dataset, family)[-1]
    architecture = architecture or _best(study, dataset, method)
    names = [name for name in study.families(dataset) if architecture in study.sizes(dataset, name)]
    return next(iter(names), None), architecture


def _best(study: "OpenStudy", dataset: str, method: str) -> str:
    """The network whose runs are most often right out-of-sample."""
    trained = [run[1] for run in study.runs if run[0] == dataset and run[2] == method]
    accuracy = {name: study.scores(dataset, name, method)["acc_out"].mean() for name in trained}
    networks = [name for name in trained if study.summary(dataset, name, method)["parameters"][0]]
    if not networks:
        raise InputError(f"{dataset} has no network with scores by method {method!r}; name another (--method)")
    return max(networks, key=lambda name: accuracy[name])
