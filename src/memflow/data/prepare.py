"""Stage data: load a dataset from its source, apply its options, find its duplicates, write the prepared file."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import provenance, registry
from memflow.config import local_files
from memflow.data import hazards, noise, prepared, subset, superclasses
from memflow.data.prepared import Dataset, Split
from memflow.files import sha256, write_csv

OPTIONS = (
    "source",
    "subset",
    "superclasses",
    "label_noise",
    "input_noise",
    "near_duplicates",
)  # of every dataset; the rest is the source's own

log = logging.getLogger(__name__)


def run(spec: dict[str, Any], output: Path) -> None:
    """Prepare the dataset of a spec (from :meth:`memflow.config.Study.prepare_spec`).

    Beside the output, ``<dataset>.hazards.csv`` lists pairs of duplicates (:class:`memflow.data.hazards.Hazards`).
    """
    started = provenance.now()
    dataset, pairs = _examine(_load(spec), spec["dataset"]["near_duplicates"])
    listed = output.with_suffix(".hazards.csv")
    prepared.save(dataset, output)
    write_csv(listed, pairs)
    provenance.write(
        [output, listed],
        spec,
        inputs={Path(path): sha256(Path(path)) for path in local_files(spec["dataset"])},
        started=started,
        details={"fingerprint": dataset.fingerprint},
    )


def prepare(spec: dict[str, Any]) -> Dataset:
    """The dataset of a spec with its options applied, and its duplicates flagged."""
    return _examine(_load(spec), spec["dataset"]["near_duplicates"])[0]


def _load(spec: dict[str, Any]) -> Dataset:
    entry = spec["dataset"]
    train, test, class_names, subpopulation = _chosen(spec["load"], entry)
    original = train.labels
    label_noise = input_noise = np.zeros(len(train), dtype=bool)
    if "label_noise" in entry:
        noisy = noise.labels(train, len(class_names), entry["label_noise"])
        train, label_noise = Split(train.images, noisy, train.index), np.asarray(noisy != original)
    if "input_noise" in entry:
        train, input_noise = noise.images(train, ~label_noise, len(class_names), entry["input_noise"])
    flags = {"label_noise": label_noise, "input_noise": input_noise, "original_label": original}
    return Dataset.unflagged(train, test, class_names, **flags, subpopulation=subpopulation)


def _chosen(load: str, entry: dict[str, Any]) -> tuple[Split, Split, list[str], np.ndarray]:
    """What a source gives, with classes chosen and merged, and of which part of its class each training image is."""
    source = {key: value for key, value in entry.items() if key not in OPTIONS}
    train, test, class_names, *parts = registry.resolve(load)(**source)  # parts: of each class, where the source knows
    log.info("loaded %d training and %d test images of %d classes", len(train), len(test), len(class_names))
    official = train.index
    if "subset" in entry:
        train, test, class_names = subset.choose(train, test, class_names, entry["subset"])
    if "superclasses" in entry:
        return superclasses.merge(train, test, class_names, entry["superclasses"])
    return train, test, class_names, parts[0][np.searchsorted(official, train.index)] if parts else train.labels


def _examine(dataset: Dataset, near: float) -> tuple[Dataset, pd.DataFrame]:
    """The dataset with its duplicates flagged, and pairs of them; labels conflict if the original ones do."""
    train = Split(dataset.train.images, dataset.original_label, dataset.train.index)
    found = hazards.find(train, dataset.test, near)
    log.info("the largest group of duplicates has %d examples", found.largest_group)
    flagged = replace(
        dataset,
        duplicate_group=found.duplicate_group,
        near_duplicate_group=found.near_duplicate_group,
        conflicting_label=found.conflicting_label,
        in_test=found.in_test,
    )
    return flagged, found.pairs
