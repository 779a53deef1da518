"""Blocks, their counts and the spec of a stage that reads both, from outcomes that a test makes up."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from helpers import noise_images

from memflow import counts, outcomes, provenance, subsets
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.files import write_npz
from memflow.training.outcomes import block_masks, pack

RUNS = {"stage": "runs", "design": "balanced", "ratio": "7/10", "subset_unit": "example", "learner": "one"}


@dataclass(frozen=True)
class Made:
    """A study of one dataset, architecture and method."""

    data: Dataset
    dataset: Path
    counts: Path
    blocks: list[Path]
    output: Path
    spec: dict[str, Any]
    masks: np.ndarray

    @property
    def merged(self) -> counts.Counts:
        return counts.load(self.counts)

    def outcomes(self, *names: str) -> outcomes.Outcomes:
        return outcomes.read(self.spec["counts"], self.data, self.blocks, {}, names)

    def merged_of(self, train_correct: np.ndarray) -> counts.Counts:
        """The same counts of other outcomes on the training set, bool[K, n]."""
        packed = pack({"train_correct": train_correct[:, None], "test_correct": self._test()[:, None]}, self.masks)
        part = counts.count(packed | {"epochs": np.array([3])}, self.masks, len(self.data.test), 10, 0)
        return counts.Counts(**{**vars(self.merged), **counts.merge([part]), "parameters": 7})

    def _test(self) -> np.ndarray:
        found = self.outcomes("test_correct").test_correct
        assert found is not None
        return found


def study_of_runs(
    folder: Path,
    stage: str,
    outcome: Callable[[np.ndarray, np.random.Generator], dict[str, np.ndarray]],
    n: int = 60,
    n_test: int = 20,
    seeds: int = 40,
    block_size: int = 20,
    data: Dataset | None = None,
    parameters: int = 0,
    **settings: Any,
) -> Made:
    """Write dataset, blocks and counts.

    ``outcome`` takes masks bool[runs, n] and a generator; it returns what a learner would at its last epoch, without
    the axis of epochs. Outcomes that it leaves out are fair coins.
    """
    data = data or noise_images(n=n, n_test=n_test)
    n, n_test = len(data.train), len(data.test)
    dataset = folder / "data/d.npz"
    prepared.save(data, dataset)
    provenance.write([dataset], {"dataset": "d"}, inputs={}, started=provenance.now())
    of_counts = {"stage": "counts", "runs": RUNS, "seeds": seeds, "block_size": block_size}
    of_counts |= {"target_accuracy": 0.5, "require_uniform_device": False}
    blocks, all_masks = [], []
    for number, start in enumerate(range(0, seeds, block_size)):
        part = range(start, start + block_size)
        masks = block_masks(RUNS, data, part)
        random = np.random.default_rng([number, n])
        made = {
            "train_correct": random.random(masks.shape) < 0.5,
            "test_correct": random.random((len(part), n_test)) < 0.5,
        }
        made |= outcome(masks, random) | {"parameters": np.array(parameters)}
        made |= {name: made[name][:, None] for name in ("train_correct", "test_correct")}
        path = folder / f"runs/d/net/one-hot/block-{number}.npz"
        write_npz(path, {"seeds": np.array(part), "epochs": np.array([3], dtype=np.int32), **pack(made, masks)})
        definition = {**RUNS, "seeds": [part.start, part.stop], "fingerprint": data.fingerprint}
        hashes = [subsets.mask_hash(mask) for mask in masks]
        provenance.write([path], definition, inputs={}, started=provenance.now(), details={"masks": hashes})
        blocks.append(path)
        all_masks.append(masks)
    merged = folder / "counts/d/net/one-hot.npz"
    counts.run(of_counts, dataset, blocks, merged)
    spec = {"stage": stage, "study": "s", "code": "c", "counts": of_counts, "pretraining_overlap": "no"}
    spec |= {"confidence": 0.95} if stage == "privacy" else settings
    output = folder / stage / "d/net/one-hot.parquet"
    return Made(data, dataset, merged, blocks, output, spec, np.concatenate(all_masks))
