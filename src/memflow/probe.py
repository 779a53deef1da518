"""Measure what training costs here: one unit per dataset and architecture, each in a fresh process, as in a job."""

import logging
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memflow import costs, registry
from memflow.config import Study
from memflow.costs import Cost
from memflow.disk import evaluations
from memflow.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from memflow.data.prepared import Dataset

CUT = 3  # epochs: the first also warms up, the second only trains, the third trains and evaluates
ENOUGH = 2.0  # seconds; a unit that is quicker is measured again, and the median counts

log = logging.getLogger(__name__)


def run(study: Study, data: Mapping[str, Path], table: Path) -> None:
    """Probe every dataset and architecture of a study and record each row at once.

    Parameters
    ----------
    study : Study
    data : mapping of str to Path
        Prepared file of each dataset.
    table : Path
        Cost table.

    Raises
    ------
    InputError
        If a model cannot be trained here.
    """
    parts = [(dataset, architecture) for dataset in study.datasets for architecture in study.architectures]
    for number, (dataset, architecture) in enumerate(parts, 1):
        log.info("probing %d of %d: %s %s", number, len(parts), dataset, architecture)
        spec = study.runs_spec(dataset, architecture, study.methods[0])
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                measured = fresh.submit(measure, spec, data[dataset]).result()
        except BrokenProcessPool:
            raise InputError(
                f"the probe of {dataset} {architecture} was killed, most likely because memory ran out; make its "
                "model, `fuse` or `batch_size` smaller, or probe on another machine"
            ) from None
        row = Cost(
            dataset, architecture, costs.definition(spec), costs.device(spec), **measured, measured=str(date.today())
        )
        costs.record(table, row)


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

    from memflow.data import prepared
    from memflow.training import blocks  # noqa: F401 - a job imports it
    from memflow.training.device import prepare_device
    from memflow.training.outcomes import block_masks

    torch.set_num_threads(1)
    dataset, learn = prepared.load(data), registry.resolve(spec["learner"])
    seeds = range(spec["recipe"]["fuse"])
    masks = block_masks(spec, dataset, seeds)
    prepare_device(spec["recipe"].get("precision", "fp32"))
    fixed = time.process_time()  # since the process started
    seconds = seconds_per_unit(learn, spec, dataset, masks, seeds)
    return {
        "seconds_per_model": _three_digits(seconds / len(seeds)),
        "seconds_fixed": _three_digits(fixed),
        "memory_mb": _peak_memory(),
    }


def seconds_per_unit(
    learn: Callable[..., object], spec: dict[str, Any], dataset: "Dataset", masks: "np.ndarray", seeds: range
) -> float:
    """How long a learner takes for one unit of a spec; a long recipe is cut and the rest extrapolated.

    Training costs the same in every epoch, so three epochs with one evaluation tell it all.
    """
    recipe = spec["recipe"]
    long = recipe.get("epochs", 0) > CUT
    probed = {**spec, "recipe": cut(recipe)} if long else spec
    estimates: list[float] = []
    began = time.monotonic()
    while not estimates or time.monotonic() - began < ENOUGH:
        marks = [_now()]
        learn(probed, dataset, masks, seeds, lambda share, marks=marks: marks.append(_now()))
        marks.append(_now())
        estimates.append(extrapolate(recipe, marks) if long else marks[-1] - marks[0])
    return statistics.median(estimates)


def cut(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of three epochs with one evaluation, under a schedule that any number of epochs allows."""
    return {**recipe, "epochs": CUT, "evaluate_every": CUT, "schedule": {"shape": "triangular", "peak": 0.5}}


def extrapolate(recipe: dict[str, Any], marks: list[float]) -> float:
    """Seconds of a whole recipe from the times at the start, after each epoch of :func:`cut`, and at the end."""
    start, first, second, third, end = marks
    epoch = second - first
    evaluation = max(0.0, third - second - epoch)
    more_epochs, more_evaluations = recipe["epochs"] - CUT, evaluations(recipe) - 1
    return end - start + more_epochs * epoch + more_evaluations * evaluation


def _now() -> float:
    """Seconds of a core's time, which other processes on this machine take no part of; of a GPU, wall time."""
    import torch

    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()  # a GPU is asked to work and does it later
    return time.monotonic()


def _three_digits(number: float) -> float:
    return float(f"{number:.3g}")


def _peak_memory() -> int:
    """MB; not by getrusage, which starts at the memory of the process that started this one."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
