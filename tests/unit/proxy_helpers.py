"""Tables of the stage proxies as the figures take them, from examples whose true difficulty is known."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from figure_helpers import DATASET, SIZES, STUDY

from memflow.config import Study
from memflow.data.prepared import Dataset
from memflow.figures import (
    proxy_agreement,
    proxy_bimodality,
    proxy_disagreement,
    proxy_trajectories,
)
from memflow.statistics import bimodality

MODULES = {
    "proxy_agreement": proxy_agreement,
    "proxy_bimodality": proxy_bimodality,
    "proxy_trajectories": proxy_trajectories,
    "proxy_disagreement": proxy_disagreement,
}
INPUTS = {
    "proxy_agreement": ("agreement",),
    "proxy_bimodality": ("summary",),
    "proxy_trajectories": ("proxies", "halves", "summary"),
    "proxy_disagreement": ("proxies", "halves"),
}
PICTURES = ("proxy_disagreement",)
PROXIES = [
    "cumulative_accuracy",
    "cumulative_confidence",
    "cumulative_loss",
    "forgetting",
    "aum",
    "el2n",
    "data_map_variability",
    "final_entropy",
    "final_loss",
    "prediction_depth",
    "c_score",
    "c_score_3-10",
    "c_score_mean",
]
NO_DEPTH = ("resnet",)  # names no layers
TAU = 0.15


def spec(name: str, study: Study = STUDY, **changes: Any) -> dict[str, Any]:
    """Spec of a figure of proxies, of a study whose networks all have runs on the whole training set."""
    made = study.figure_spec("mean_memorisation", "digits")
    networks = [architecture for architecture in made["architectures"] if architecture not in made["references"]]
    parts = {"script": f"workflow/scripts/{name}.py", "architectures": networks, "proxied": networks, "tau": TAU}
    return made | parts | {"references": []} | changes


def tables(
    name: str, sizes: dict[str, int] = SIZES, dataset: Dataset = DATASET, constant: bool = False
) -> dict[str, pd.DataFrame]:
    """The tables that a figure takes; if ``constant``, no proxy tells examples apart."""
    networks = {architecture: parameters for architecture, parameters in sizes.items() if parameters}
    made: dict[str, list[pd.DataFrame]] = {"proxies": [], "halves": [], "agreement": [], "summary": []}
    for number, (architecture, parameters) in enumerate(networks.items()):
        random = np.random.default_rng(number)
        score = _scores(random, dataset, number / len(networks))
        halves = [np.clip(score + random.normal(0, 0.04, len(score)), -0.2, 1) for _ in range(2)]
        proxies = _proxies(random, score, dataset, architecture, constant)
        made["halves"].append(_halves(dataset, halves))
        made["proxies"].append(proxies)
        made["agreement"].append(_agreement(proxies, np.mean(halves, axis=0), dataset))
        made["summary"].append(_summary(proxies, np.mean(halves, axis=0), dataset))
        constants = {"parameters": parameters, "pretraining_overlap": "no"}
        for kind, parts in made.items():
            extra = constants if kind in ("agreement", "summary") else {}
            parts[-1] = parts[-1].assign(architecture=architecture, **extra)
    return {kind: pd.concat(made[kind], ignore_index=True) for kind in INPUTS[name]}


def make(
    name: str,
    given: dict[str, pd.DataFrame] | None = None,
    study: Study = STUDY,
    sizes: dict[str, int] = SIZES,
    dataset: Dataset = DATASET,
    **changes: Any,
) -> tuple[pd.DataFrame, Any]:
    """Table and drawing of a figure."""
    asked, pictured = spec(name, study, **changes), [dataset] if name in PICTURES else []
    numbers = MODULES[name].table(asked, given or tables(name, sizes, dataset), *pictured)
    return numbers, MODULES[name].draw(asked, numbers, *pictured)


def _scores(random: np.random.Generator, dataset: Dataset, size: float) -> np.ndarray:
    """Most examples are easy; the others are memorised less by larger networks, or for flipped labels more."""
    difficulty = np.random.default_rng(9).beta(0.35, 0.9, len(dataset.train))
    change = np.where(dataset.label_noise, 0.2, -0.4) * size
    return np.clip(difficulty * (1 + change) + random.normal(0, 0.03, len(difficulty)), 0, 1)


def _proxies(
    random: np.random.Generator, score: np.ndarray, dataset: Dataset, architecture: str, constant: bool
) -> pd.DataFrame:
    parts = []
    for number, proxy in enumerate(PROXIES):
        if proxy == "prediction_depth" and architecture in NO_DEPTH:
            continue
        noise = 0.1 + 0.06 * number if number < 10 else 0.03
        halves = [np.clip(score**0.5 + random.normal(0, noise, len(score)), 0, None) for _ in range(2)]
        if constant:
            halves = [np.zeros(len(score))] * 2
        if proxy == "forgetting":
            halves = [np.rint(5 * half) for half in halves]  # with ties
        identity = {"proxy": proxy, "index": dataset.train.index, "label": dataset.train.labels}
        value = np.mean(halves, axis=0)
        values = {"original": -value, "value": value, "value_even": halves[0], "value_odd": halves[1]}
        parts.append(pd.DataFrame(identity | values | {"label_noise": dataset.label_noise}))
    return pd.concat(parts, ignore_index=True).astype(dict.fromkeys(("original", "value"), np.float32))


def _halves(dataset: Dataset, halves: list[np.ndarray]) -> pd.DataFrame:
    columns = {"index": dataset.train.index, "label": dataset.train.labels}
    parts = [
        pd.DataFrame({"half": half, **columns, "memorisation": score})
        for half, score in zip(("even", "odd"), halves, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _groups(dataset: Dataset) -> dict[str, np.ndarray]:
    groups = {"all": np.full(len(dataset.train), True), "clean label": ~dataset.label_noise}
    return groups | ({"flipped label": dataset.label_noise} if dataset.label_noise.any() else {})


def _agreement(proxies: pd.DataFrame, score: np.ndarray, dataset: Dataset) -> pd.DataFrame:
    rows = []
    for proxy, values in proxies.groupby("proxy", sort=False):
        for statistic, ceiling in (("pearson", 0.97), ("spearman", 0.95)):
            for examples, where in _groups(dataset).items():
                pair = pd.DataFrame({"score": score, "value": values["value"].to_numpy()})[where]
                value = pair["score"].corr(pair["value"], method=statistic)
                row = {"proxy": proxy, "statistic": statistic, "examples": examples, "value": value}
                row |= {"low": value - 0.03, "high": value + 0.02, "ceiling": ceiling}
                reliability = {"reliability_score": 0.94, "reliability_proxy": 0.9}
                rows.append(row | reliability | {"n_examples": int(where.sum()), "runs": 10})
    return pd.DataFrame(rows)


def _summary(proxies: pd.DataFrame, score: np.ndarray, dataset: Dataset) -> pd.DataFrame:
    rows = []
    for proxy, (examples, where) in product(["memorisation", *proxies["proxy"].unique()], _groups(dataset).items()):
        values = score[where]
        spread = [values.mean(), values.std()]
        if proxy != "memorisation":
            values = proxies.loc[proxies["proxy"] == proxy, "value"].to_numpy(dtype=float)[where]
            spread = [values.mean(), values.std()]
            values = (values - values.min()) / (np.ptp(values) or np.nan)
        found = [*spread, *bimodality.describe(values)]
        for quantity, value in zip(("mean", "deviation", *bimodality.NAMES), found, strict=True):
            limits = {"low": 0.95 * value, "high": 1.05 * value + 0.005, "n_examples": len(values), "runs": 10}
            rows.append({"proxy": proxy, "examples": examples, "quantity": quantity, "value": value, **limits})
    return pd.DataFrame(rows)
