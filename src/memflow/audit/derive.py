"""What of a study's results can be derived again without training: subsets, accuracies, counts and scores."""

import logging
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from memflow import config, counts, provenance, removed, scores, subsets, teachers
from memflow.audit.records import Records, run_of
from memflow.counts import MARKS
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.training.outcomes import PACKED, SHARED, block_masks, pack, unpack

SEED = 0  # of the sample

Arrays = dict[str, np.ndarray]
log = logging.getLogger(__name__)


def check(records: Records, closure: list[str], sample: int | None) -> tuple[list[str], dict[str, int]]:
    """Derive again what can be, and compare.

    Parameters
    ----------
    records : Records
    closure : list of str
        Files to look at; what they were made from is among them.
    sample : int or None
        Blocks of each dataset, architecture and method whose bits are looked at.

    Returns
    -------
    problems : list of str
    derived : dict of str to int
        What was derived again, and how often.
    """
    problems, derived = list[str](), Counter[str]()
    datasets = dict(_datasets(records, closure, problems))
    for run, blocks in _by_run(records, closure).items():
        dataset = datasets.get(run[0])
        if dataset is None:
            problems += [f"{name}: its dataset data/{run[0]}.npz is not there, or cannot be read" for name in blocks]
            continue
        chosen = set(blocks if sample is None else random.Random(SEED).sample(blocks, min(sample, len(blocks))))
        parts: dict[str, Arrays] = {}
        for name in blocks:
            found, masks = _block(name, records, dataset)
            if name in chosen and masks is not None and not found:
                found, outcome = _bits(name, records, dataset, masks)
                parts |= {name: outcome} if outcome else {}
            problems += [f"{name}: {problem}" for problem in found]
        derived.update({"subsets": sum(len(_seeds(records.of(name))) for name in blocks), "blocks": len(parts)})
        merged = f"counts/{'/'.join(run)}.npz"
        if merged in closure and records.path(merged).is_file():
            problems += [f"{merged}: {problem}" for problem in _merge(merged, records, dataset, blocks, parts)]
            derived["counts"] += 1
    for name in closure:
        if re.fullmatch(r"scores/[^/]+/[^/]+/[^/.]+\.parquet", name) and records.path(name).is_file():
            problems += _scores(name, records)
            derived["score tables"] += 1
    return problems, dict(derived)


def _datasets(records: Records, closure: list[str], problems: list[str]) -> Iterator[tuple[str, Dataset]]:
    """Prepared datasets by name; one that cannot be read, or whose record has another fingerprint, is a problem."""
    for name in closure:
        if not re.fullmatch(r"data/[^/]+\.npz", name) or not records.path(name).is_file():
            continue
        try:
            dataset = prepared.load(records.path(name))
        except InputError as error:
            problems.append(f"{name}: {error}")
            continue
        if (records.of(name) or {}).get("fingerprint") != dataset.fingerprint:
            problems.append(f"{name}: its images and labels do not have the recorded fingerprint; delete it, run again")
        yield PurePosixPath(name).stem, dataset


def _by_run(records: Records, closure: list[str]) -> dict[tuple[str, str, str], list[str]]:
    """Blocks of each dataset, architecture and method, in the order of their numbers."""
    runs: dict[tuple[str, str, str], list[str]] = {}
    for name, _ in records.blocks(closure):
        if records.path(name).is_file():
            runs.setdefault(run_of(name), []).append(name)
    return {run: sorted(blocks, key=_number) for run, blocks in runs.items()}


def _number(block: str) -> int:
    return int(re.sub(r"\D", "", PurePosixPath(block).stem) or -1)


def _seeds(record: dict[str, Any] | None) -> range:
    return range(*record["definition"]["seeds"]) if record else range(0)


def _block(name: str, records: Records, dataset: Dataset) -> tuple[list[str], np.ndarray | None]:
    """What is wrong with a block's record, and the masks bool[runs, n] that its seeds define."""
    record: Any = records.of(name)
    definition, seeds = record["definition"], _seeds(record)
    if seeds.start != _number(name) * len(seeds):
        return [f"holds seeds {seeds.start} to {seeds.stop - 1}, which belong into another block: it was renamed"], None
    if definition.get("fingerprint") != dataset.fingerprint:
        return [
            "was trained on other images or labels than its dataset has now; delete it, or restore the dataset"
        ], None
    try:
        masks = _masks(definition, dataset, records, name, seeds)
        if "teacher" in definition:
            weights = [records.path(other) for other in records.inputs(name) if other.endswith(".weights.npz")]
            teachers.check_merge(definition, record, records.path(name), weights, dataset.fingerprint, masks)
    except InputError as error:
        return [str(error)], None
    if record.get("masks") != [subsets.mask_hash(mask) for mask in masks]:
        return ["was trained on other subsets than its seeds define; delete it and run snakemake"], None
    return [], masks


def _masks(definition: dict[str, Any], dataset: Dataset, records: Records, name: str, seeds: range) -> np.ndarray:
    if "removal" not in definition:
        return block_masks(definition, dataset, seeds)
    selection = next(other for other in records.inputs(name) if other.startswith("removal/"))
    return removed.masks(definition, dataset, records.path(selection), seeds)


def _bits(name: str, records: Records, dataset: Dataset, masks: np.ndarray) -> tuple[list[str], Arrays]:
    """What is wrong with a block's bits, and its arrays."""
    seeds = _seeds(records.of(name))
    try:
        with np.load(records.path(name)) as file:
            outcome = {key: file[key] for key in file.files}
        if outcome["seeds"].tolist() != list(seeds):
            return [f"holds other seeds than {seeds.start} to {seeds.stop - 1}, which its record names"], {}
        lengths = zip(PACKED, (len(dataset.train), len(dataset.test)), strict=True)
        correct = {key: unpack(outcome[key], n) for key, n in lengths}
        accuracy = pack(correct, masks)["accuracy"]
    except Exception as error:  # a damaged archive raises many kinds
        return [f"cannot be read ({error!r}); delete it and run snakemake"], {}
    if not np.array_equal(accuracy, outcome["accuracy"], equal_nan=True):
        return ["holds accuracies that its bits and subsets do not give; delete it and run snakemake"], {}
    return [], outcome | {"masks": masks}


def _merge(name: str, records: Records, dataset: Dataset, blocks: list[str], parts: dict[str, Arrays]) -> Iterator[str]:
    """What is wrong with counts, by their blocks' records, and by the bits of some of these."""
    definition = (records.of(name) or {"definition": {}})["definition"]
    if not {"runs", "seeds", "block_size"} <= definition.keys():
        yield "its record is not of counts; delete it and run snakemake"
        return
    folder, n_blocks = f"runs/{'/'.join(run_of(name))}", definition["seeds"] // definition["block_size"]
    for missing in sorted({f"{folder}/block-{number}.npz" for number in range(n_blocks)} - set(blocks), key=_number):
        yield f"was merged from {n_blocks} blocks, of which {missing} is missing"
    for block in blocks:
        of_block: Any = records.of(block)
        expected = {**definition["runs"], "seeds": of_block["definition"]["seeds"], "fingerprint": dataset.fingerprint}
        if differences := provenance.differences(of_block["definition"], expected):
            yield f"{block} does not belong to this study: {'; '.join(differences)}"
    with np.load(records.path(name)) as file:
        merged = {key: file[key] for key in file.files}
    for key, values in (("index", dataset.train.index), ("label", dataset.train.labels)):
        if not np.array_equal(merged[key], values):
            yield f"holds another {key} than the dataset"
    for key in MARKS:
        if not np.array_equal(merged[key], getattr(dataset, key)):
            yield f"holds another {key} than the dataset"
    if not np.array_equal(merged["converged"], merged["accuracy"][:, -1, 0] >= definition["target_accuracy"]):
        yield "marks other runs as converged than their accuracies do"
    yield from _recount(merged, definition["runs"], dataset, parts, is_whole=len(parts) == n_blocks)


def _recount(
    merged: Arrays, runs: dict[str, Any], dataset: Dataset, parts: dict[str, Arrays], is_whole: bool
) -> Iterator[str]:
    """Blocks whose counts are not those that were merged."""
    size = subsets.group_size(runs["design"], Fraction(runs["ratio"]))
    counted = []
    for block, outcome in parts.items():
        first = int(outcome["seeds"][0])
        part = counts.count(outcome, outcome["masks"], len(dataset.test), size, first // size)
        counted.append(part)
        for key, values in part.items():
            if key.startswith("epoch_"):
                continue
            start = first if key in ("accuracy", "losses") else first // size
            stored = merged[key] if key in SHARED else merged[key][start : start + len(values)]
            if not np.array_equal(values, stored, equal_nan=key in ("accuracy", "losses")):
                yield f"its {key} are not those that {block} gives"
    if is_whole and counted:
        whole = counts.merge(counted)
        for key in ("epoch_correct_in", "epoch_correct_out"):
            if not np.array_equal(whole[key], merged[key]):
                yield f"its {key} are not those that its blocks give"


def _scores(name: str, records: Records) -> Iterator[str]:
    """Score tables and statistics that their counts do not give."""
    record = records.of(name)
    made_from = next((other for other in records.inputs(name) if other.startswith("counts/")), None)
    if record is None or made_from is None or not records.path(made_from).is_file():
        return  # said elsewhere
    spec = {key: value for key, value in record["definition"].items() if key != "counts"}
    if spec.get("code") != config.code_digest(spec):
        log.warning("%s: not derived again, since the code of scores has changed since it was made", name)
        return
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / PurePosixPath(name).name
        try:
            with np.errstate(all="ignore"):
                scores.run(spec, records.path(made_from), again)
        except InputError:
            return  # the counts are not what their record says, which is said elsewhere
        except Exception as error:  # counts that cannot be break statistics in many ways
            yield f"{name}: {made_from} gives no scores ({error!r}); delete it and run snakemake"
            return
        for other in records.siblings(name):
            if records.path(other).is_file() and not _same(records.path(other), again.with_name(Path(other).name)):
                yield f"{other}: holds other numbers than {made_from} gives; delete it and run snakemake"


def _same(stored: Path, again: Path) -> bool:
    """Whether two tables hold the same numbers, whatever the version of the library that wrote them."""
    if stored.read_bytes() == again.read_bytes():
        return True
    read = pd.read_parquet if stored.suffix == ".parquet" else pd.read_csv
    try:
        return bool(read(stored).equals(read(again)))
    except (ValueError, OSError):
        return False
