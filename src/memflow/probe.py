"""Measure what training costs here: one unit per dataset and architecture, each in a fresh process, as in a job."""

import logging
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from memflow import costs, registry
from memflow.config import Study
from memflow.costs import Cost
from memflow.errors import InputError
from memflow.methods import ONE_HOT
from memflow.sizes import Sizes

log = logging.getLogger(__name__)


def run(study: Study, sizes: Mapping[str, Sizes], table: Path) -> None:
    """Probe every dataset and architecture of a study and record each row at once.

    Parameters
    ----------
    study : Study
    sizes : mapping of str to Sizes
        Of each dataset. One that is not prepared is probed on noise of its sizes, which costs as much to train on.
    table : Path
        Cost table.

    Raises
    ------
    InputError
        If a model cannot be trained here.
    """
    number = 0
    for dataset, of_dataset in sizes.items():
        with tempfile.TemporaryDirectory() as folder:
            data = of_dataset.path or noise(of_dataset, Path(folder) / "noise.npz")
            for architecture in study.architectures_on(dataset):
                number += 1
                total = sum(method == ONE_HOT for _, _, method in study.runs)
                log.info("probing %d of %d: %s %s", number, total, dataset, architecture)
                costs.record(table, _row(study, dataset, architecture, data))


def noise(sizes: Sizes, path: Path) -> Path:
    """Write a prepared dataset of random images and labels."""
    from memflow.data import prepared

    random = np.random.default_rng(0)
    channels, height, width = sizes.image_shape
    train, test = (
        prepared.Split(
            images=random.integers(256, size=(n, height, width, channels), dtype=np.uint8),
            labels=random.integers(sizes.n_classes, size=n, dtype=np.int32),
            index=np.arange(n, dtype=np.int32),
        )
        for n in (sizes.n_train, sizes.n_test)
    )
    names = [str(number) for number in range(sizes.n_classes)]
    prepared.save(prepared.Dataset.unflagged(train, test, names), path)
    return path


def measure(spec: dict[str, Any], data: Path) -> dict[str, Any]:
    """Train in this process, which must be fresh, and say what it took.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.runs_spec`.
    data : Path
        Prepared dataset.

    Returns
    -------
    dict
        ``seconds_per_model``, ``seconds_fixed`` and ``memory_mb`` of :class:`memflow.costs.Cost`.
    """
    import torch  # here, not above: what importing takes is part of what a job takes, and no part of the plan

    from memflow import trials
    from memflow.data import prepared
    from memflow.training import blocks  # noqa: F401 - a job imports it
    from memflow.training.device import prepare_device
    from memflow.training.outcomes import block_masks

    torch.set_num_threads(1)
    dataset, learn = prepared.load(data), registry.resolve(spec["learner"])
    seeds = range(spec["recipe"]["fuse"])
    block_masks(spec, dataset, seeds)
    prepare_device(spec["recipe"].get("precision", "fp32"))
    fixed, loaded = time.process_time(), trials.peak_mb()  # since the process started
    seconds, memory = trials.measure(learn, spec, dataset, seeds)
    return {
        "seconds_per_model": _three_digits(seconds / len(seeds)),
        "seconds_fixed": _three_digits(fixed),
        "memory_mb": max(loaded, memory),
    }


def _row(study: Study, dataset: str, architecture: str, data: Path) -> Cost:
    spec = study.runs_spec(dataset, architecture, ONE_HOT)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            measured = fresh.submit(measure, spec, data).result()
    except BrokenProcessPool:
        raise InputError(
            f"the probe of {dataset} {architecture} was killed, most likely because memory ran out; make its "
            "model, `fuse` or `batch_size` smaller, or probe on another machine"
        ) from None
    return Cost(
        dataset, architecture, costs.definition(spec), costs.device(spec), **measured, measured=str(date.today())
    )


def _three_digits(number: float) -> float:
    return float(f"{number:.3g}")
