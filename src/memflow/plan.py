"""What a study would run: jobs, hours and disk, and how precise its scores will be."""

import json
import math
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from memflow import costs, disk, provenance, subsets
from memflow.config import Study
from memflow.costs import Cost
from memflow.errors import InputError
from memflow.text import aligned, duration, size

HEADER = ["dataset", "architecture", "runs", "jobs", "done", "per model", "time", "left", "disk"]
KINDS = {"cpu": "core time", "cuda": "GPU time"}


@dataclass(frozen=True)
class Part:
    """What one architecture needs on one dataset.

    Attributes
    ----------
    dataset, architecture : str
    runs : int
    jobs, done : int
        Blocks, each trained by one job, and those of them that are finished.
    cost : Cost or None
        None if it was not measured.
    here : str
        Device that would train it here.
    disk : int
        Bytes of its blocks, counts and scores.
    """

    dataset: str
    architecture: str
    runs: int
    jobs: int
    done: int
    cost: Cost | None
    here: str
    disk: int

    def seconds(self) -> list[float]:
        """How long all its jobs take, one after the other, and those that are left; empty if that was not measured."""
        jobs = (self.jobs, self.jobs - self.done)
        return [number * self.cost.seconds(self.runs // self.jobs) for number in jobs] if self.cost else []


def run(study: Study, results: Path, table: Path, half_width: float, probe: bool = False) -> str:
    """The plan of a study, as text for a terminal.

    Parameters
    ----------
    study : Study
    results : Path
        Folder of the study's results; it need not exist.
    table : Path
        Cost table; it need not exist.
    half_width : float
        Half-width of the interval of a score to find the number of seeds for.
    probe : bool
        Measure the costs here first, and record them in the table.

    Raises
    ------
    InputError
        If the half-width is not between 0 and 1, the cost table is damaged, or a dataset cannot be loaded.
    """
    if not 0 < half_width < 1:
        raise InputError(f"the half-width is {half_width}; it must lie strictly between 0 and 1, such as 0.1")
    with tempfile.TemporaryDirectory() as folder:
        data = {dataset: _prepared(study, dataset, results, Path(folder)) for dataset in study.datasets}
        if probe:
            from memflow import probe as prober

            prober.run(study, data, table)
        parts = _parts(study, data, results, costs.read(table))
        data_bytes = sum(path.stat().st_size for path in data.values())
    return "\n".join(
        [
            *_title(study),
            "",
            *_table(parts),
            "",
            *_notes(study, parts, table, data_bytes),
            "",
            *_precision(study, half_width),
        ]
    )


def standard_errors(runs: float, ratio: Fraction) -> tuple[float, float]:
    """Standard error of one score in the worst case (both accuracies 1/2), and where the in-sample accuracy is 1.

    Parameters
    ----------
    runs : float
        K; an example is in-sample in ``ratio`` of them.
    ratio : Fraction

    Returns
    -------
    worst, saturated : float
        ``sqrt(.25 / n_in + .25 / n_out)`` and ``sqrt(.25 / n_out)``.
    """
    n_in, n_out = runs * float(ratio), runs * float(1 - ratio)
    return math.sqrt(0.25 / n_in + 0.25 / n_out), math.sqrt(0.25 / n_out)


def seeds_needed(half_width: float, ratio: Fraction, confidence: float, block_size: int) -> tuple[int, int]:
    """Seeds, in whole blocks, for an interval no wider than a half-width, in the cases of :func:`standard_errors`."""
    one = standard_errors(1, ratio)  # errors fall with the root of K
    worst, saturated = (math.ceil((_z(confidence) * error / half_width) ** 2 / block_size) for error in one)
    return worst * block_size, saturated * block_size


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _prepared(study: Study, dataset: str, results: Path, folder: Path) -> Path:
    """The study's prepared file, or one like it in the folder."""
    spec, path = study.prepare_spec(dataset), results / "data" / f"{dataset}.npz"
    if _made_from(path, spec):
        return path
    from memflow.data import prepare, prepared

    path = folder / f"{dataset}.npz"
    prepared.save(prepare.prepare(spec), path)
    return path


def _made_from(output: Path, spec: dict[str, Any]) -> bool:
    """Whether an output exists and its sidecar says that it was made from this spec."""
    try:
        definition = json.loads(provenance.sidecar(output).read_text(encoding="utf-8"))["definition"]
        return output.is_file() and {**definition, **spec} == definition
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _parts(study: Study, data: dict[str, Path], results: Path, table: list[Cost]) -> list[Part]:
    parts = []
    for dataset, path in data.items():
        n_train, n_test = _lengths(path)
        for architecture in study.architectures:
            parts.append(_part(study, dataset, architecture, n_train, n_test, results, table))
    return parts


def _lengths(path: Path) -> tuple[int, int]:
    """Training and test examples of a prepared dataset, without reading its images."""
    try:
        with np.load(path) as file:
            return len(file["train_labels"]), len(file["test_labels"])
    except Exception as error:  # a damaged archive raises many kinds
        raise InputError(f"{path} is not a readable prepared dataset ({error}); delete it") from None


def _part(
    study: Study, dataset: str, architecture: str, n_train: int, n_test: int, results: Path, table: list[Cost]
) -> Part:
    spec = study.runs_spec(dataset, architecture, study.methods[0])
    here = costs.device(spec)
    blocks = [(method, block) for method in study.methods for block in study.blocks]
    folder = results / "runs" / dataset / architecture
    done = [
        _made_from(folder / method / f"block-{block}.npz", study.block_spec(dataset, architecture, method, block))
        for method, block in blocks
    ]
    return Part(
        dataset=dataset,
        architecture=architecture,
        runs=len(blocks) * study.config["block_size"],
        jobs=len(blocks),
        done=sum(done),
        cost=costs.find(table, costs.definition(spec), here),
        here=here,
        disk=len(study.methods) * _disk(study, spec, n_train, n_test),
    )


def _disk(study: Study, spec: dict[str, Any], n_train: int, n_test: int) -> int:
    """Bytes of the blocks, counts and scores of one dataset, architecture and method."""
    epochs, runs, block_size = disk.evaluations(spec["recipe"]), study.config["seeds"], study.config["block_size"]
    group_size = subsets.group_size(spec["design"], Fraction(spec["ratio"]))
    block = disk.block_bytes(block_size, epochs, n_train, n_test, network="network" in spec)
    counts = disk.counts_bytes(runs, group_size, epochs, n_train, n_test)
    return len(study.blocks) * block + counts + disk.scores_bytes(epochs, n_train)


def _title(study: Study) -> list[str]:
    config = study.config
    shape = f"{_several(study.datasets, 'dataset')} x {_several(study.architectures, 'architecture')}"
    return [f"Study {study.name}: {shape} x {config['seeds']:,} seeds, in blocks of {config['block_size']}"]


def _several(things: Any, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _table(parts: list[Part]) -> list[str]:
    rows = [HEADER]
    for part in parts:
        times = [duration(seconds) for seconds in part.seconds()] or ["", ""]
        each = duration(part.cost.seconds_per_model) if part.cost else "not measured"
        counts = [f"{number:,}" for number in (part.runs, part.jobs, part.done)]
        rows.append([part.dataset, part.architecture, *counts, each, *times, size(part.disk)])
    totals = [f"{sum(getattr(part, name) for part in parts):,}" for name in ("runs", "jobs", "done")]
    rows.append(["total", "", *totals, "", "", "", size(sum(part.disk for part in parts))])
    for kind, name in KINDS.items():
        seconds = [part.seconds() for part in parts if part.cost and part.cost.device.startswith(kind)]
        if seconds:
            rows.append(["", name, "", "", "", "", *(duration(sum(each)) for each in zip(*seconds, strict=True)), ""])
    return aligned(rows, text_columns=2)


def _notes(study: Study, parts: list[Part], table: Path, data_bytes: int) -> list[str]:
    """What the table's times are, what it does not know, and what is not in it."""
    trained, left = sum(part.jobs for part in parts), sum(part.jobs - part.done for part in parts)
    merged, files = len(parts) * len(study.methods), size(data_bytes)
    return [
        *_measured_on(parts, table),
        f"Jobs: {len(study.datasets)} prepare, {trained:,} train ({left:,} left), {merged:,} count, {merged:,} score; "
        "then trajectories and figures",
        f"Disk: blocks, counts and scores as above, and {files} of data; figures and report come on top.",
    ]


def _measured_on(parts: list[Part], table: Path) -> list[str]:
    known = [part.cost.device for part in parts if part.cost]
    other = sorted({part.here for part in parts if part.cost and part.cost.device != part.here})
    lines = [f"Times: measured on {device} ({table})" for device in sorted({*known})]
    lines += [f"This machine has another {device}: memflow plan FILE --probe measures here" for device in other]
    if len(known) < len(parts):
        lines.append(
            f"Not measured: {len(parts) - len(known)} of {len(parts)}; memflow plan FILE --probe measures them"
        )
    return lines


def _precision(study: Study, half_width: float) -> list[str]:
    """What the seeds of the study are good for."""
    config, ratio = study.config, Fraction(study.config["ratio"])
    errors = standard_errors(config["seeds"], ratio)
    needed = seeds_needed(half_width, ratio, config["confidence"], config["block_size"])
    widths = [_z(config["confidence"]) * error for error in errors]
    seeds, n_in = config["seeds"], float(config["seeds"] * ratio)
    return [
        f"Precision of one score from {seeds:,} seeds: {n_in:,.0f} in-sample, {seeds - n_in:,.0f} out-of-sample",
        *aligned(
            [
                ["", "worst case", "in-sample accuracy 1"],
                ["standard error", *(f"{error:.3f}" for error in errors)],
                [
                    f"half-width of the {100 * config['confidence']:.4g} % interval",
                    *(f"{width:.3f}" for width in widths),
                ],
                [f"seeds for a half-width of {half_width:g}", *(f"{number:,}" for number in needed)],
            ],
            text_columns=1,
        ),
    ]
