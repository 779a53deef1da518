"""Studies to browse: tables from simulated runs, written with the project's own functions, each with its sidecar.

The small one has every flag, an example without a score, networks that did not converge, students, proxies and
influence, and images that are too large. The big one has the size of CIFAR-10.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import proxies, scores, trajectories
from memflow.browser import stage
from memflow.counts import MARKS, Counts
from memflow.data import hazards, prepared
from memflow.data.prepared import Dataset, Split
from memflow.files import write_csv, write_parquet
from memflow.influence import identified
from memflow.provenance import now, write

PAGE = Path(__file__).parents[2] / "workflow/browser"
RULE = {"tau": 0.15, "fdr": 0.05, "confidence": 0.95}
GROUPS, GROUP, IN = 10, 10, 7  # groups of runs, runs of each, and in how many of these an example is in-sample
RUNS = GROUPS * GROUP
STUDENT = "distilled-from-large"
EVERY_FLAG, NO_SCORE = 0, 5  # positions in dataset "flagged"
NOT_CONVERGED = 3  # runs of network "medium"
SIZES = {"small": 1_000, "medium": 10_000, "large": 100_000}


def small(folder: Path) -> dict[str, Any]:
    """Write two datasets and their browser into ``folder / "results/small"``; the spec."""
    results = folder / "results/small"
    write_dataset(results, "flagged", flagged(), near=0.995)
    write_dataset(results, "plain", plain(), near=0.995)
    networks = [(name, "one-hot") for name in (*SIZES, "neighbour")] + [(name, STUDENT) for name in ("small", "medium")]
    sizes = SIZES | {"neighbour": 0}
    flagged_part = write_tables(results, "flagged", networks, sizes, epochs=(2, 4, 6), influence=True)
    plain_part = write_tables(results, "plain", [("small", "one-hot")], sizes, epochs=(6,), family=False)
    return browse(results, {"flagged": flagged_part, "plain": plain_part})


def big(folder: Path, examples: int = 50_000, architectures: int = 10, epochs: int = 20) -> dict[str, Any]:
    """Write a dataset of the size of CIFAR-10, of all networks one family, and its browser; the spec."""
    results = folder / "results/big"
    write_dataset(results, "synthetic", synthetic(examples), near=None)
    sizes = {f"net-{number}": 1_000 * 2**number for number in range(architectures)}
    networks = [(name, "one-hot") for name in sizes]
    part = write_tables(results, "synthetic", networks, sizes, epochs=range(1, epochs + 1), influence=True)
    return browse(results, {"synthetic": part})


def browse(results: Path, datasets: dict[str, Any]) -> dict[str, Any]:
    """Run the stage; its spec."""
    spec = {"stage": "browser", "study": results.name, "memorised_at": 0.25, "tau": RULE["tau"], "datasets": datasets}
    spec["confidence"] = RULE["confidence"]
    stage.run(spec, results, PAGE, results / "browser/index.html")
    return spec


def flagged(n: int = 300, n_test: int = 40) -> Dataset:
    """Colour images that are wider than high; the first one has every flag."""
    random = np.random.default_rng(0)
    images, test = (random.integers(0, 256, (count, 8, 12, 3), dtype=np.uint8) for count in (n, n_test))
    images[1] = images[0]
    images[2] = images[0] ^ 1
    test[3] = images[0]
    original = random.integers(0, 4, n, dtype=np.int32)
    original[:3] = 0, 1, 0
    noise = np.arange(n) % 20 == 0
    labels = np.where(noise, (original + 1) % 4, original).astype(np.int32)
    classes = ["<b>cat</b>", "dog & co", "ship", "truck"]
    flags = {"label_noise": noise, "original_label": original, "input_noise": np.arange(n) % 50 == 0}
    return Dataset.unflagged(
        _split(images, labels, 0), _split(test, random.integers(0, 4, n_test), n), classes, **flags
    )


def plain(n: int = 20) -> Dataset:
    """Grey images that are too large for a sheet, without any flag."""
    random = np.random.default_rng(1)
    train, test = (random.integers(0, 256, (count, 96, 48, 1), dtype=np.uint8) for count in (n, 5))
    return Dataset.unflagged(_split(train, np.arange(n) % 2, 0), _split(test, np.zeros(5), n), ["no", "yes"])


def synthetic(n: int, n_test: int = 10_000) -> Dataset:
    """Colour images of blocks, 5 % with flipped labels."""
    random = np.random.default_rng(2)
    train, test = (random.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8) for count in (n, n_test))
    train, test = (images.repeat(4, axis=1).repeat(4, axis=2) for images in (train, test))
    original = random.integers(0, 10, n, dtype=np.int32)
    noise = np.arange(n) % 20 == 0
    labels = np.where(noise, (original + 1) % 10, original)
    flags = {"label_noise": noise, "original_label": original}
    splits = _split(train, labels, 0), _split(test, random.integers(0, 10, n_test), n)
    return Dataset.unflagged(*splits, [f"class {label}" for label in range(10)], **flags)


def write_dataset(results: Path, name: str, dataset: Dataset, near: float | None) -> None:
    """Write a prepared dataset, with its copies if they are to be sought."""
    train = Split(dataset.train.images, dataset.original_label, dataset.train.index)
    columns = ["kind", "index", "label", "other_split", "other_index", "other_label", "similarity", "conflict", "total"]
    pairs = pd.DataFrame(columns=columns)
    if near:
        found = hazards.find(train, dataset.test, near)
        flags = {key: getattr(found, key) for key in prepared.DUPLICATES}
        noise = {key: getattr(dataset, key) for key in prepared.NOISE}
        dataset = Dataset.unflagged(dataset.train, dataset.test, dataset.class_names, **noise, **flags)
        pairs = found.pairs
    path = results / f"data/{name}.npz"
    prepared.save(dataset, path)
    write_csv(path.with_suffix(".hazards.csv"), pairs)
    outputs = [path, path.with_suffix(".hazards.csv")]
    write(outputs, {"stage": "data"}, inputs={}, started=now(), details={"fingerprint": dataset.fingerprint})


def write_tables(
    results: Path, name: str, networks: Any, sizes: Any, epochs: Any, family: bool = True, influence: bool = False
) -> dict[str, Any]:
    """Write all tables of a dataset; its part of the spec. Proxies and influence are of the last size."""
    dataset = prepared.load(results / f"data/{name}.npz")
    counted = {network: simulated(dataset, *network, sizes, list(epochs)) for network in networks}
    for (architecture, method), counts in counted.items():
        write_scores(results / f"scores/{name}/{architecture}/{method}.parquet", dataset, counts)
    members = [of for of in sizes if sizes[of] and (of, "one-hot") in counted]
    part: dict[str, Any] = {"scored": networks, "families": {}, "distilled": [], "tracked": [], "influence": []}
    if family:
        path = results / f"trajectories/{name}/width/one-hot.parquet"
        table = trajectories.example_table({of: counted[of, "one-hot"] for of in members}, **RULE)
        write_table(path, table, dataset)
        part["families"] = {"width": {"title": "Nets, <i>narrow</i> to wide", "architectures": members}}
        path, largest = results / f"proxies/{name}/{members[-1]}.parquet", counted[members[-1], "one-hot"]
        write_table(path, proxies.example_table(largest, measures(largest)), dataset)
        part["tracked"] = [members[-1]]
    if influence:
        path = results / f"influence/{name}/{members[-1]}/one-hot.by_train.parquet"
        write_table(path, neighbours(dataset), dataset)
        part["influence"] = [[members[-1], "one-hot"]]
    return part


def write_scores(path: Path, dataset: Dataset, counts: Counts) -> None:
    """Write the tables of scores and the part of the summary that the browser reads."""
    epochs, summary = path.with_suffix(".epochs.parquet"), path.with_suffix(".summary.csv")
    write_parquet(path, scores.score_table(counts, RULE["confidence"]))
    write_parquet(epochs, scores.epoch_table(counts, RULE["confidence"]))
    runs = {"parameters": counts.parameters, "runs": RUNS, "runs_not_converged": int((~counts.converged).sum())}
    write_csv(summary, pd.DataFrame([{"examples": "all", "quantity": "memorisation", **runs}]))
    details = {"summary": {"runs": RUNS, "ratio": f"{IN}/{GROUP}", "fingerprint": dataset.fingerprint}}
    write([path, epochs, summary], {"stage": "scores"}, inputs={}, started=now(), details=details)


def write_table(path: Path, table: pd.DataFrame, dataset: Dataset) -> None:
    """Write a table of a dataset with its sidecar."""
    write_parquet(path, table)
    write([path], {"fingerprint": dataset.fingerprint}, inputs={}, started=now())


def simulated(dataset: Dataset, architecture: str, method: str, sizes: dict[str, int], epochs: list[int]) -> Counts:
    """Counts of a network that memorises flipped labels the more, the larger it is; a student memorises less."""
    random = np.random.default_rng([len(architecture), sizes[architecture] + 1, len(method)])
    n, size = len(dataset.train), list(sizes).index(architecture) / len(sizes)
    hard = np.where(dataset.label_noise, 0.9, np.random.default_rng(3).beta(0.3, 3, n))
    forgotten = hard * (1 - size) * (0.9 if method == "one-hot" else 1.1)
    return _counts(dataset, random, np.clip(1 - forgotten, 0, 1), 1 - hard, sizes[architecture], epochs)


def _counts(
    dataset: Dataset, random: Any, acc_in: np.ndarray, acc_out: np.ndarray, parameters: int, epochs: list[int]
) -> Counts:
    n = len(dataset.train)
    n_in, n_out = np.full((GROUPS, n), IN, dtype=np.uint8), np.full((GROUPS, n), GROUP - IN, dtype=np.uint8)
    if n > NO_SCORE and parameters == SIZES["large"]:
        n_out[:, NO_SCORE] = 0
    right_in, right_out = random.binomial(n_in, acc_in), random.binomial(n_out, acc_out)

    def by_epoch(last: np.ndarray) -> np.ndarray:
        halves = np.stack([last[half::2].sum(axis=0) for half in (0, 1)])
        earlier = [random.binomial(halves, (place + 1) / len(epochs)) for place in range(len(epochs) - 1)]
        return np.array([*earlier, halves], dtype=np.uint32)

    return Counts(
        correct_in=right_in.astype(np.uint8),
        correct_out=right_out.astype(np.uint8),
        n_in=n_in,
        n_out=n_out,
        correct_test=np.zeros((GROUPS, len(dataset.test)), dtype=np.uint8),
        group_size=GROUP,
        epochs=np.array(epochs, dtype=np.int32),
        epoch_correct_in=by_epoch(right_in),
        epoch_correct_out=by_epoch(right_out),
        accuracy=np.zeros((RUNS, len(epochs), 3), dtype=np.float32),
        losses=np.zeros((RUNS, len(epochs), 3), dtype=np.float32),
        converged=np.arange(RUNS) >= (NOT_CONVERGED if parameters == SIZES["medium"] else 0),
        parameters=parameters,
        index=dataset.train.index,
        label=dataset.train.labels,
        **{mark: getattr(dataset, mark) for mark in MARKS},
    )


def measures(counts: Counts) -> list[Any]:
    """Proxies of which high and of which low values are those of memorised examples."""
    random = np.random.default_rng(4)
    wrong = 1 - counts.scores()
    noisy = (np.nan_to_num(wrong) + random.normal(0, 0.1, (2, counts.n_examples))).astype(np.float32)
    noisy[:, 7] = np.nan
    by_run = {"forgetting": -noisy, "aum": noisy}
    return [*(proxies.from_runs(name, values) for name, values in by_run.items()), *proxies.c_scores({"7/10": counts})]


def neighbours(dataset: Dataset) -> pd.DataFrame:
    """Some test examples for each training example; none for the second."""
    n, ranks, parts = len(dataset.train), 3, []
    train = np.setdiff1d(np.arange(n), [1]).repeat(ranks)
    rank = np.tile(np.arange(ranks), n - 1)
    for scope, step in (("all", 1), ("same-class", 7)):
        test = (train + step * rank) % len(dataset.test)
        values = {
            "rank": (rank + 1).astype(np.int32),
            "influence": 0.5 / (rank + 1) + train / 4 / n,
            "p_value": 0.01 * rank,
        }
        parts.append(identified(dataset, train, test).assign(scope=scope, **values))
    return pd.concat(parts, ignore_index=True)


def _split(images: np.ndarray, labels: Any, first: int) -> Split:
    """Official indices do not start at 0 and skip every second number."""
    index = 3 + 2 * (first + np.arange(len(images), dtype=np.int32))
    return Split(images, np.asarray(labels, dtype=np.int32), index)
