"""What it costs to track a run on the whole training set, on the networks of the default study."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from timing import PROJECT, Row, progress
from trainer import seconds

from memflow import config
from memflow.config import Study
from memflow.data import prepare
from memflow.data.prepared import Dataset
from memflow.training import prediction_depth, sgd, tracking

ROUNDS = 3
DATASET, METHOD = "digits", "full-data"
PROXIES = {"runs": 10, "block_size": 10}


class Unit:
    """One unit of runs on the whole training set."""

    def __init__(self, spec: dict[str, Any], dataset: Dataset) -> None:
        self.spec, self.dataset, self.seeds = spec, dataset, range(spec["recipe"]["fuse"])
        self.masks = np.ones((len(self.seeds), len(dataset.train)), dtype=bool)

    def train(self, learn: Callable[..., object]) -> float:
        """CPU seconds."""
        return seconds(lambda: learn(self.spec, self.dataset, self.masks, self.seeds, lambda _: None))


def measure() -> list[Row]:
    """Ratios of CPU time with tracking to that without, summed over the networks, and that of the search apart.

    The search is that for the neighbours of prediction depth: of all pairs of examples, whatever the training.
    """
    torch.set_num_threads(1)
    study = Study(config.read(PROJECT / "config.yaml") | {"proxies": PROXIES})
    dataset = prepare.prepare(study.prepare_spec(DATASET))
    names = [name for name in study.architectures if name not in study.references]
    units = [Unit(study.runs_spec(DATASET, name, METHOD), dataset) for name in names]
    rounds = []
    for number in range(ROUNDS):
        progress(f"  round {number + 1} of {ROUNDS}")
        rounds.append(np.sum([compare(unit, tracked_first=number % 2 == 1) for unit in units], axis=0))
    tracked = [float((tracked - search) / plain) for plain, tracked, search in rounds]
    searched = [float(search / plain) for plain, _, search in rounds]
    return [
        Row("tracked runs, default study", "against untracked ones; CPU", "×", tracked, 1.2),
        Row(
            "neighbours for prediction depth",
            f"of an untracked run, n = {len(dataset.train):,}; CPU",
            "×",
            searched,
            None,
        ),
    ]


def compare(unit: Unit, tracked_first: bool) -> tuple[float, float, float]:
    """CPU seconds of a unit untracked, tracked, and of the search therein."""
    with searching() as search:
        if tracked_first:
            tracked, plain = unit.train(tracking.learn), unit.train(sgd.fit)
        else:
            plain, tracked = unit.train(sgd.fit), unit.train(tracking.learn)
    return plain, tracked, sum(search)


@contextlib.contextmanager
def searching() -> Iterator[list[float]]:
    """While open, keeps the CPU seconds of each search for neighbours."""
    spent, vote = list[float](), prediction_depth.vote

    def timed(*arguments: Any) -> torch.Tensor:
        started = time.process_time()
        votes = vote(*arguments)
        spent.append(time.process_time() - started)
        return votes

    prediction_depth.vote = timed
    try:
        yield spent
    finally:
        prediction_depth.vote = vote
