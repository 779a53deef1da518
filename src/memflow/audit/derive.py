"""What of a study's results can be derived again without training: subsets, accuracies, counts and scores.

Here from seeds to the counts of each block; :mod:`memflow.audit.recount` goes on from there.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from memflow import counts, removed, subsets, teachers
from memflow.audit import recount
from memflow.audit.records import Records, run_of
from memflow.config import as_text
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.progress import steadily
from memflow.provenance import ProvenanceError
from memflow.training import weights
from memflow.training.outcomes import PACKED, block_masks, pack, unpack

SEED = 0  # of the sample
TABLE = re.compile(r"scores/[^/]+/[^/]+/[^/.]+\.parquet")

Arrays = dict[str, np.ndarray]


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
    drawn: dict[str, Arrays] = {name: {} for name in datasets}
    for run, blocks in steadily(_by_run(records, closure).items(), "architectures and methods looked into"):
        if run[0] not in datasets:
            problems += [f"{name}: its dataset data/{run[0]}.npz is not there, or cannot be read" for name in blocks]
            continue
        dataset, merged = datasets[run[0]], f"counts/{'/'.join(run)}.npz"
        chosen = blocks if sample is None else random.Random(SEED).sample(blocks, min(sample, len(blocks)))
        parts: dict[str, Arrays] = {}
        for name in steadily(blocks, f"blocks of {'/'.join(run)} looked into"):
            wrong, runs, part = _block(name, records, dataset, drawn[run[0]], is_counted=name in chosen)
            problems += [f"{name}: {what}" for what in wrong]
            parts |= {name: part} if part else {}
            derived["subsets"] += runs
        derived["blocks"] += len(parts)
        if merged in closure and records.path(merged).is_file():
            problems += [f"{merged}: {what}" for what in recount.merge(merged, records, dataset, blocks, parts)]
            derived["counts"] += 1
    tables = [name for name in closure if TABLE.fullmatch(name) and records.path(name).is_file()]
    for name in steadily(tables, "score tables made again"):
        problems += recount.scores_of(name, records)
        derived["score tables"] += 1
    return problems, {what: times for what, times in derived.items() if times}


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
    return {run: sorted(blocks, key=recount.number) for run, blocks in runs.items()}


def _block(
    name: str, records: Records, dataset: Dataset, drawn: Arrays, *, is_counted: bool
) -> tuple[list[str], int, Arrays]:
    """What is wrong with a block, how many subsets were drawn again, and its counts."""
    try:
        masks = _subsets(name, records, dataset, drawn)
        return [], len(masks), _count(name, records, dataset, masks) if is_counted else {}
    except InputError as error:
        return [str(error)], 0, {}
    except Exception as error:  # a damaged archive, or a record that is none of a block, raises many kinds
        return [f"cannot be read as a block ({error!r}); delete it and run snakemake"], 0, {}


def _subsets(name: str, records: Records, dataset: Dataset, drawn: Arrays) -> np.ndarray:
    """Masks bool[runs, n] that a block's seeds define, after checking that its record has their hashes.

    Raises
    ------
    ProvenanceError
        If the block has another place, dataset or teachers than recorded, or other subsets than its seeds define.
    """
    record: Any = records.of(name)
    definition, recorded = record["definition"], record.get("masks", [])
    seeds = range(*definition["seeds"])
    if seeds.start != recount.number(name) * len(seeds):
        raise ProvenanceError(
            f"holds seeds {seeds.start} to {seeds.stop - 1}, which belong into another block: it was renamed; delete "
            "it and run snakemake"
        )
    if definition.get("fingerprint") != dataset.fingerprint:
        raise ProvenanceError(
            "was trained on other images or labels than its dataset has now; delete it, or restore the dataset"
        )
    if len(recorded) != len(seeds):  # before anything is drawn, however many seeds the record claims
        raise ProvenanceError(f"has {len(recorded)} subsets for {len(seeds)} seeds; delete it and run snakemake")
    masks = _masks(definition, dataset, records, name, seeds, drawn)
    if recorded != [subsets.mask_hash(mask) for mask in masks]:
        raise ProvenanceError("was trained on other subsets than its seeds define; delete it and run snakemake")
    if "teacher" in definition:
        learnt = [records.path(other) for other in records.inputs(name) if other.endswith(".weights.npz")]
        if not learnt:
            raise ProvenanceError("names no teacher whose weights it learnt from; delete it and run snakemake")
        teachers.check_merge(definition, record, records.path(name), learnt, dataset.fingerprint, masks)
    return masks


def _masks(
    definition: dict[str, Any], dataset: Dataset, records: Records, name: str, seeds: range, drawn: Arrays
) -> np.ndarray:
    """Masks of a block; those that all architectures and methods share are kept in ``drawn``, as bits."""
    if "removal" in definition:
        selection = next(other for other in records.inputs(name) if other.startswith("removal/"))
        return removed.masks(definition, dataset, records.path(selection), seeds)
    of_subset = {key: definition[key] for key in ("design", "ratio", "subset_unit", "seeds")}
    key = as_text(of_subset)
    if key not in drawn:
        drawn[key] = np.packbits(block_masks(definition, dataset, seeds), axis=-1)
    return unpack(drawn[key], len(dataset.train))


def _count(name: str, records: Records, dataset: Dataset, masks: np.ndarray) -> Arrays:
    """Counts of a block (:func:`memflow.counts.count`), after checking its content.

    Raises
    ------
    ProvenanceError
        If it holds other seeds or weights than recorded, or accuracies that its bits do not give.
    """
    record: Any = records.of(name)
    definition = record["definition"]
    seeds = range(*definition["seeds"])
    with np.load(records.path(name)) as file:
        outcome = {key: file[key] for key in file.files}
    if outcome["seeds"].tolist() != list(seeds):
        raise ProvenanceError(
            f"holds other seeds than {seeds.start} to {seeds.stop - 1}, which its record names; delete it and run "
            "snakemake"
        )
    lengths = zip(PACKED, (len(dataset.train), len(dataset.test)), strict=True)
    correct = {key: unpack(outcome[key], n) for key, n in lengths}
    if not np.array_equal(pack(correct, masks)["accuracy"], outcome["accuracy"], equal_nan=True):
        raise ProvenanceError("holds accuracies that its bits and subsets do not give; delete it and run snakemake")
    _check_weights(name, records, record.get("weights", {}))
    size = subsets.group_size(definition["design"], Fraction(definition["ratio"]))
    return counts.count(outcome, masks, len(dataset.test), size, seeds.start // size)


def _check_weights(name: str, records: Records, recorded: dict[str, str]) -> None:
    """Refuse kept weights, if they are still there, that have not the digests by which students know them."""
    path = records.path(name).with_suffix(".weights.npz")
    if not recorded or not path.is_file():
        return
    with np.load(path) as file:
        kept = {key: file[key] for key in file.files}
    if recorded != {epoch: weights.digest(weights.at(int(epoch), kept)) for epoch in recorded}:
        raise ProvenanceError(f"its weights {path.name} are others than students know them by; delete both, run again")
