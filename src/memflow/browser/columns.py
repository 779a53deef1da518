"""The tables of a study as columns in the dataset's order, each checked to be of that dataset.

Scores travel as what they were computed from: how many runs had an example in- and out-of-sample, and how many of
those were right. From these whole numbers the page gets the table's own digits, at an eighth of the size.
"""

import json
from typing import Any

import numpy as np
import pandas as pd

from memflow.browser.assets import smallest
from memflow.data.prepared import Dataset, Split
from memflow.provenance import ProvenanceError
from memflow.results import Results
from memflow.statistics.proportions import newcombe

FLAGS = ("label_noise", "input_noise", "exact_duplicate", "near_duplicate", "conflicting_label", "in_test")  # bits
NEIGHBOURS = 8  # test examples shown of each scope
SCOPES = ("all", "same-class")
Columns = dict[str, np.ndarray]


class Tables:
    """Tables about the training examples of one dataset.

    Parameters
    ----------
    results : Results
    name : str
        Of the dataset.
    dataset : Dataset
    """

    def __init__(self, results: Results, name: str, dataset: Dataset) -> None:
        self.results, self.name, self.dataset = results, name, dataset

    def read(self, name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        """A table and its record.

        Raises
        ------
        ProvenanceError
            If it is not what its record says, or was made from another version of the dataset.
        """
        record = self.results.record(name)
        if self.dataset.fingerprint not in json.dumps([record["definition"], record.get("summary")]):
            raise ProvenanceError(
                f"{self.results.folder / name} was made from another version of dataset {self.name}; run snakemake "
                "again"
            )
        return pd.read_parquet(self.results.folder / name), record

    def rows(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """One row per training example, in the dataset's order.

        Raises
        ------
        ProvenanceError
            If the rows are not those of the dataset's examples, in its order.
        """
        train = self.dataset.train
        for column, expected in (("index", train.index), ("label", train.labels)):
            if not np.array_equal(table[column], expected):
                raise ProvenanceError(
                    f"{self.results.folder / name}: column {column!r} is not that of dataset {self.name}, whose "
                    f"{len(train):,} training examples the browser shows; delete the table and run snakemake again"
                )
        return table

    def scores(self, name: str, confidence: float) -> tuple[Columns, dict[str, Any]]:
        """Right answers and runs of each example, and the table's record."""
        table, record = self.read(name)
        return self._counts(name, self.rows(name, table), confidence), record

    def epochs(self, name: str, confidence: float) -> tuple[list[int], Columns]:
        """Evaluated epochs, and right answers of each example at each, [n, epochs]."""
        table, _ = self.read(name)
        epochs = [int(epoch) for epoch in table["epoch"].unique()]
        parts = [self._counts(name, self.rows(name, table[table["epoch"] == epoch]), confidence) for epoch in epochs]
        return epochs, {
            key: smallest(np.stack([part[key] for part in parts], axis=1)) for key in ("right_in", "right_out")
        }

    def trajectories(self, name: str) -> tuple[dict[str, list[str]], np.ndarray, Columns]:
        """Names of types and of descriptive labels, each example's type, and the numbers behind it.

        A type is its number among the names, from 1 on; 0 is none.
        """
        table = self.rows(name, self.read(name)[0])
        names, codes = zip(*(_coded(table[key]) for key in ("type", "descriptive")), strict=True)
        numbers = {key: table[key].to_numpy(np.float64) for key in ("delta", "p_value", "q_value")}
        return {"types": names[0], "descriptive": names[1]}, codes[0], {"descriptive": codes[1], **numbers}

    def proxies(self, name: str) -> tuple[dict[str, bool], Columns]:
        """Whether high values of each proxy are those of memorised examples, and the values as the source has them."""
        table, _ = self.read(name)
        rising, values = {}, {}
        for proxy in table["proxy"].unique():
            rows = self.rows(name, table[table["proxy"] == proxy])
            rising[proxy] = bool(np.array_equal(rows["original"], rows["value"], equal_nan=True))
            values[proxy] = rows["original"].to_numpy()
        return rising, values

    def neighbours(self, name: str) -> Columns:
        """Of each scope the most influenced test examples: positions plus 1 (0 is none), influences and p-values."""
        table, _ = self.read(name)
        train = self._positions(name, table, "train", self.dataset.train)
        test = self._positions(name, table, "test", self.dataset.test)
        columns: Columns = {}
        for scope in SCOPES:
            shown = ((table["scope"] == scope) & (table["rank"] <= NEIGHBOURS)).to_numpy()
            at = train[shown], table["rank"].to_numpy()[shown] - 1
            columns |= {f"{scope}:test": self._placed(at, test[shown] + 1, 0).astype(np.int32)}
            for key in ("influence", "p_value"):
                columns[f"{scope}:{key}"] = self._placed(at, table[key].to_numpy()[shown], np.nan)
        return columns

    def copies_in_test(self) -> Columns:
        """Pairs of a training and a test example with the same or nearly the same pixels, by their positions."""
        name = f"data/{self.name}.hazards.csv"
        sides = {
            "index": "train_index",
            "label": "train_label",
            "other_index": "test_index",
            "other_label": "test_label",
        }
        pairs = self.results.table(name)
        pairs = pairs[pairs["other_split"] == "test"].rename(columns=sides)
        return {
            "copy_train": self._positions(name, pairs, "train", self.dataset.train).astype(np.int32),
            "copy_test": self._positions(name, pairs, "test", self.dataset.test).astype(np.int32),
            "copy_exact": (pairs["kind"] == "exact").to_numpy(dtype=bool),
        }

    def _counts(self, name: str, table: pd.DataFrame, confidence: float) -> Columns:
        """Counts behind the scores, after checking that exactly these scores and intervals follow from them."""
        n_in, n_out = (table[key].to_numpy(np.int64) for key in ("n_in", "n_out"))
        right_in, right_out = self._right(name, table, "acc_in", n_in), self._right(name, table, "acc_out", n_out)
        with np.errstate(invalid="ignore", divide="ignore"):
            score = right_in / n_in - right_out / n_out
            low, high = newcombe(right_in, n_in, right_out, n_out, confidence)
        for column, computed in (("memorisation", score), ("ci_low", low), ("ci_high", high)):
            if not np.allclose(table[column], computed, rtol=0, atol=1e-12, equal_nan=True):
                raise ProvenanceError(
                    f"{self.results.folder / name}: column {column!r} does not follow from the counts and the "
                    f"confidence of {confidence}; delete the table and run snakemake again"
                )
        counts = {"right_in": right_in, "right_out": right_out, "n_in": n_in, "n_out": n_out}
        return {key: smallest(column) for key, column in counts.items()}

    def _right(self, name: str, table: pd.DataFrame, share: str, runs: np.ndarray) -> np.ndarray:
        """Of the runs that had each example, how many were right."""
        accuracy = table[share].to_numpy(np.float64)
        right = np.rint(np.nan_to_num(accuracy) * runs).astype(np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            if not np.array_equal(right / runs, accuracy, equal_nan=True):
                raise ProvenanceError(f"{self.results.folder / name}: column {share!r} is no share of its runs")
        return right

    def _positions(self, name: str, table: pd.DataFrame, side: str, split: Split) -> np.ndarray:
        """Positions of a column's examples in their split."""
        index, label = (table[f"{side}_{key}"].to_numpy(np.int64) for key in ("index", "label"))
        order = np.argsort(split.index, kind="stable")
        found = order[np.searchsorted(split.index, index, sorter=order).clip(max=len(split) - 1)]
        if not (np.array_equal(split.index[found], index) and self._labels_agree(split, found, label)):
            raise ProvenanceError(
                f"{self.results.folder / name} names {side} examples or labels that dataset {self.name} does not have; "
                "delete the table and run snakemake again"
            )
        return found

    def _labels_agree(self, split: Split, found: np.ndarray, label: np.ndarray) -> bool:
        """Pairs of copies have the labels from before any noise, all other tables those of the training set."""
        if np.array_equal(split.labels[found], label):
            return True
        return split is self.dataset.train and np.array_equal(self.dataset.original_label[found], label)

    def _placed(self, at: tuple[np.ndarray, np.ndarray], values: np.ndarray, absent: float) -> np.ndarray:
        placed = np.full((len(self.dataset.train), NEIGHBOURS), absent, dtype=values.dtype)
        placed[at] = values
        return placed


def examples(dataset: Dataset) -> Columns:
    """What is known of each training example besides its scores."""
    exact, near = (
        np.bincount(group, minlength=len(group))[group]
        for group in (dataset.duplicate_group, dataset.near_duplicate_group)
    )
    duplicates = {"exact_duplicate": exact > 1, "near_duplicate": near > exact}
    bits = [duplicates[name] if name in duplicates else getattr(dataset, name) for name in FLAGS]
    return {
        "index": dataset.train.index.astype(np.int32),
        "label": smallest(dataset.train.labels),
        "original_label": smallest(dataset.original_label),
        "flags": np.packbits(np.array(bits), axis=0, bitorder="little")[0],
        "duplicate_group": smallest(dataset.duplicate_group),
        "near_duplicate_group": smallest(dataset.near_duplicate_group),
    }


def _coded(names: pd.Series) -> tuple[list[str], np.ndarray]:
    """Distinct texts, and each row's number among them: 0 is none, 1 the first."""
    known = sorted(names.dropna().unique())
    codes = names.map({text: number for number, text in enumerate(known, start=1)}).fillna(0)
    return known, codes.to_numpy(np.uint8)
