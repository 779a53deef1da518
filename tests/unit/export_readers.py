"""Readers of the exported formats, written to what the formats' authors publish, without memflow."""

import csv
import json
import os

import numpy as np
import pyarrow.parquet as pq


def feldman_zhang(path):
    """Labels, memorisation, and influence as one matrix with NaN between classes."""
    with np.load(path) as file:
        mem, train, test = file["tr_mem"], file["tr_labels"], file["tt_labels"]
        matrix = np.full((len(train), len(test)), np.nan)
        for label in range(sum(name.startswith("infl_matrix_class") for name in file.files)):
            rows, columns = file[f"tr_classidx_{label}"], file[f"tt_classidx_{label}"]
            assert (train[rows] == label).all()
            assert (test[columns] == label).all()
            assert file[f"infl_matrix_class{label}"].shape == (len(rows), len(columns))
            matrix[np.ix_(rows, columns)] = file[f"infl_matrix_class{label}"]
    return mem, train, test, matrix


def feldman_zhang_pairs(path):
    """Pairs as {(training row, test row): (influence, memorisation)}."""
    with np.load(path) as file:
        rows = zip(*(file[name].tolist() for name in ("tr_idx", "tt_idx", "infl", "mem")), strict=True)
        return {(train, test): (influence, memorisation) for train, test, influence, memorisation in rows}


def c_score(path):
    with np.load(path) as file:
        return file["labels"], file["scores"]


def lira(folder):
    """``scores`` [K, n, augmentations] and ``keep`` [K, n], of the last epoch, as LiRA's plot.py stacks them."""
    scores, keep, numbers = [], [], []
    for name in os.listdir(folder):
        if not name.startswith("experiment"):
            continue
        epochs = sorted(os.listdir(os.path.join(folder, name, "scores")))
        scores.append(np.load(os.path.join(folder, name, "scores", epochs[-1])))
        keep.append(np.load(os.path.join(folder, name, "keep.npy")))
        numbers.append(int(name.removeprefix("experiment-").split("_")[0]))
    order = np.argsort(numbers)
    return np.array(scores)[order], np.array(keep)[order], np.load(os.path.join(folder, "y_train.npy"))


def datamodels(folder):
    """Masks and margins of the completed runs, memory-mapped as the regression code opens them."""
    opened = {name: np.lib.format.open_memmap(f"{folder}/{name}.npy", mode="r") for name in ("masks", "margins")}
    done = np.load(f"{folder}/_completed.npy")
    return opened["masks"][done], opened["margins"][done].astype("float32")


def data_map(path):
    """Lines as dictionaries, by guid."""
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [line["index"] for line in lines] == list(range(len(lines)))
    return {line["guid"]: line for line in lines}


def aum(path):
    with open(path, encoding="utf-8", newline="") as file:
        return {int(row["sample_id"]): float(row["aum"]) for row in csv.DictReader(file)}


def cleanlab(path):
    with np.load(path) as file:
        return file["labels"], file["pred_probs"], file["index"]


def hugging_face(path):
    """The table, and the features that its metadata declares."""
    table = pq.read_table(path)
    return table, json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
