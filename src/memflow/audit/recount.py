"""Whether counts are the sum of their blocks, and scores what their counts give."""

import json
import math
import re
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from memflow import config, counts, provenance, scores, subsets
from memflow.audit.records import Records, run_of
from memflow.counts import MARKS
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.training.outcomes import SHARED

ROUNDING = 1e-9  # relative; sums of floats differ in their last bits between processors
OF_RUNS = ("accuracy", "losses")

Arrays = dict[str, np.ndarray]


def number(block: str) -> int:
    """Number of a block, by the name of its file; -1 if it has none."""
    return int(re.sub(r"\D", "", PurePosixPath(block).stem) or -1)


def merge(name: str, records: Records, dataset: Dataset, blocks: list[str], parts: dict[str, Arrays]) -> Iterator[str]:
    """What is wrong with counts.

    Parameters
    ----------
    name : str
        Of the counts.
    records : Records
    dataset : Dataset
    blocks : list of str
        That are there, of the same runs.
    parts : dict of str to arrays
        Counts of some of them, or of all.
    """
    definition = (records.of(name) or {"definition": {}})["definition"]
    try:
        with np.load(records.path(name)) as file:
            merged = {key: file[key] for key in file.files}
        wrong = [
            *_missing(name, records, definition, blocks),
            *_not_of_dataset(merged, dataset),
            *_within(merged, definition),
            *_recount(merged, definition, parts),
        ]
    except Exception as error:  # of a damaged archive, or a record that is none of counts, there are many kinds
        wrong = [f"cannot be read as counts ({error!r})"]
    yield from (f"{what}; delete it and run snakemake" for what in wrong)


def _missing(name: str, records: Records, definition: dict[str, Any], blocks: list[str]) -> Iterator[str]:
    folder, n_blocks = f"runs/{'/'.join(run_of(name))}", definition["seeds"] // definition["block_size"]
    inputs = records.inputs(name)
    for block in (f"{folder}/block-{number}.npz" for number in range(n_blocks)):
        if block not in blocks:
            yield f"was merged from {n_blocks} blocks, of which {block} is missing"
        elif block not in inputs:
            yield f"was merged from {n_blocks} blocks, of which its record does not name {block}"


def _not_of_dataset(merged: Arrays, dataset: Dataset) -> Iterator[str]:
    known = {"index": dataset.train.index, "label": dataset.train.labels}
    for key, values in (known | {key: getattr(dataset, key) for key in MARKS}).items():
        if not np.array_equal(merged[key], values):
            yield f"holds another {key} than the dataset"


def _within(merged: Arrays, definition: dict[str, Any]) -> Iterator[str]:
    """Where counts contradict each other, or what they are to be counts of."""
    runs, size = definition["runs"], int(merged["group_size"])
    if size != subsets.group_size(runs["design"], Fraction(runs["ratio"])):
        yield f"has groups of {size} runs"
    if {len(merged["accuracy"]), size * len(merged["correct_in"])} != {definition["seeds"]}:
        yield f"holds another number of runs than {definition['seeds']}"
    if not np.array_equal(merged["converged"], merged["accuracy"][:, -1, 0] >= definition["target_accuracy"]):
        yield "marks other runs as converged than their accuracies do"
    for side in ("in", "out"):
        groups = merged[f"correct_{side}"]
        if (groups > merged[f"n_{side}"]).any():
            yield f"has more in correct_{side} than runs in n_{side}"
        halves = [groups[half::2].sum(axis=0) for half in (0, 1)]
        if not np.array_equal(merged[f"epoch_correct_{side}"][-1], halves):
            yield f"its epoch_correct_{side} at the last epoch is not the sum of its correct_{side}"


def _recount(merged: Arrays, definition: dict[str, Any], parts: dict[str, Arrays]) -> Iterator[str]:
    """Blocks whose counts are not those that were merged; epochs before the last only where all blocks were counted."""
    size = int(merged["group_size"])
    for block, part in parts.items():
        first = number(block) * definition["block_size"]
        for key, values in part.items():
            if key.startswith("epoch_"):
                continue
            start = first if key in OF_RUNS else first // size
            stored = merged[key] if key in SHARED else merged[key][start : start + len(values)]
            if not np.array_equal(values, stored, equal_nan=key in OF_RUNS):
                yield f"its {key} are not those that {block} gives"
    if len(parts) == definition["seeds"] // definition["block_size"]:
        whole = counts.merge(list(parts.values()))
        for key in ("epoch_correct_in", "epoch_correct_out"):
            if not np.array_equal(whole[key], merged[key]):
                yield f"its {key} are not those that its blocks give"


def scores_of(name: str, records: Records) -> Iterator[str]:
    """Score tables and statistics of one job that its counts do not give.

    Parameters
    ----------
    name : str
        Of the score table.
    records : Records
    """
    record, made_from = records.of(name), f"counts/{'/'.join(run_of(name))}.npz"
    if record is None or not records.path(made_from).is_file():
        return  # said elsewhere
    if made_from not in records.inputs(name):
        yield f"{name}: its record does not name {made_from}, of which it is to be made; delete it and run snakemake"
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / PurePosixPath(name).name
        try:
            spec = {key: value for key, value in record["definition"].items() if key != "counts"}
            other_code = "" if spec["code"] == config.code_digest(spec) else " by the code as it is now"
            with np.errstate(all="ignore"):
                scores.run(spec, records.path(made_from), again)
        except InputError:
            return  # the counts are not what their record says, which is said elsewhere
        except Exception as error:  # counts and settings that cannot be break statistics in many ways
            yield f"{name}: {made_from} gives no scores ({error!r}); delete it and run snakemake"
            return
        for other in records.siblings(name):
            if records.path(other).is_file() and not _same(records.path(other), again.with_name(Path(other).name)):
                yield f"{other}: holds other numbers than {made_from} gives{other_code}; delete it and run snakemake"
        if not _alike(record.get("summary"), provenance.read_sidecar(again)["summary"]):
            yield f"{name}: its record sums up other numbers than {made_from} gives{other_code}; run snakemake"


def _same(stored: Path, again: Path) -> bool:
    """Whether two tables hold the same, whatever the version of the library that wrote them."""
    if stored.read_bytes() == again.read_bytes():
        return True
    read = pd.read_parquet if stored.suffix == ".parquet" else pd.read_csv
    try:
        pd.testing.assert_frame_equal(read(stored), read(again), rtol=ROUNDING, atol=ROUNDING)
        return stored.suffix != ".parquet" or _alike(_metadata(stored), _metadata(again))
    except Exception:  # of another table, and of a damaged one, there are many kinds
        return False


def _metadata(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"memflow"])
    return found


def _alike(found: Any, expected: Any) -> bool:
    """Whether two parts of a record are equal, but for rounding."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_alike(found[key], expected[key]) for key in found)
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=ROUNDING, abs_tol=ROUNDING)
    return bool(found == expected)
