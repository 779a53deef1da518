"""Stage data: load a dataset from its source, apply its options, write the prepared file."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from memflow import provenance, registry
from memflow.data import noise, prepared
from memflow.data.prepared import Dataset


def run(spec: dict[str, Any], output: Path) -> None:
    """Prepare the dataset of a spec (from :meth:`memflow.config.Study.prepare_spec`)."""
    started = provenance.now()
    dataset = prepare(spec)
    prepared.save(dataset, output)
    provenance.write([output], spec, inputs={}, started=started, details={"fingerprint": dataset.fingerprint})


def prepare(spec: dict[str, Any]) -> Dataset:
    """The dataset of a spec, with duplicates found and label noise applied."""
    train, test, class_names = registry.resolve(spec["load"])()
    original = train.labels
    labels = original
    if "label_noise" in spec["dataset"]:
        option = spec["dataset"]["label_noise"]
        labels = noise.symmetric(original, len(class_names), Fraction(option["fraction"]), option["seed"])
    return Dataset(
        train=prepared.Split(train.images, labels, train.index),
        test=test,
        class_names=class_names,
        label_noise=np.asarray(labels != original),
        original_label=original,
        duplicate_group=prepared.duplicate_groups(train.images),
    )
