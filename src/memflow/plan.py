"""What a study would run: jobs, hours and disk, and how precise its scores will be."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist
from typing import Any

from memflow import costs, disk, sizes, subsets, throughputs, workload
from memflow.config import Study
from memflow.costs import Cost
from memflow.errors import InputError
from memflow.methods import FULL_DATA, ONE_HOT, Method
from memflow.sizes import Sizes
from memflow.text import aligned, duration, size
from memflow.throughputs import Estimate, Throughput

HEADER = ["dataset", "architecture", "method", "runs", "jobs", "done", "per model", "time", "left", "disk"]
KINDS = {"cpu": "core time", "cuda": "GPU time"}
ESTIMATED = "~"  # before every time that was not measured


@dataclass(frozen=True)
class Part:
    """What the runs of one architecture and method need on one dataset.

    Attributes
    ----------
    dataset, architecture, method : str
    runs : int
    jobs, done : int
        Blocks, each trained by one job, and those of them that are finished.
    cost : Cost or None
        None if it was not measured.
    estimate : Estimate or None
        If it was not measured, from a documented throughput, if there is one of its kind of network.
    here : str
        Device that would train it here.
    disk : int
        Bytes of its blocks, counts and scores.
    weights : int
        Bytes of the weights that are kept, since others learn from them.
    """

    dataset: str
    architecture: str
    method: str
    runs: int
    jobs: int
    done: int
    cost: Cost | None
    estimate: Estimate | None
    here: str
    disk: int
    weights: int

    def seconds(self) -> list[float]:
        """How long all its jobs take, one after the other, and those that are left; empty if that is not known."""
        models = self.runs // self.jobs
        if self.cost:
            job = self.cost.seconds(models)
        elif self.estimate:
            job = models * self.estimate.seconds
        else:
            return []
        return [self.jobs * job, (self.jobs - self.done) * job]

    def per_model(self) -> str:
        """How long one model takes, as text."""
        if self.cost:
            return duration(self.cost.seconds_per_model)
        return f"{ESTIMATED} {duration(self.estimate.seconds)}" if self.estimate else "not known"


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
        data = {dataset: sizes.of(study, dataset, results, Path(folder)) for dataset in study.datasets}
        if probe:
            from memflow import probe as prober

            prober.run(study, data, table)
        parts = _parts(study, data, results, costs.read(table))
        data_bytes = sum(of_dataset.bytes for of_dataset in data.values())
    return "\n".join(
        [
            *_title(study),
            "",
            *_table(parts),
            "",
            *_notes(study, parts, table, data_bytes),
            *(f"Sizes: data/{name} is not prepared: published sizes used" for name in data if not data[name].path),
            "",
            *_estimates(parts),
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


def _parts(study: Study, data: Mapping[str, Sizes], results: Path, table: list[Cost]) -> list[Part]:
    documented = throughputs.read()
    return [_part(study, run, data[run[0]], results, table, documented) for run in study.runs]


def _part(
    study: Study,
    run: tuple[str, str, str],
    data: Sizes,
    results: Path,
    table: list[Cost],
    documented: list[Throughput],
) -> Part:
    dataset, architecture, name = run
    spec, method = study.runs_spec(*run), study.methods[name]
    here = costs.device(spec)
    cost = costs.expected(table, study, *run, preferred=here)
    outputs = (results / "runs" / dataset / architecture / name / f"block-{block}.npz" for block in method.blocks)
    specs = (study.block_spec(*run, block) for block in method.blocks)
    estimate = _estimate(spec, data, documented) if cost is None else None
    return Part(
        dataset=dataset,
        architecture=architecture,
        method=name,
        runs=method.seeds,
        jobs=len(method.blocks),
        done=sum(map(sizes.made_from, outputs, specs)),
        cost=cost,
        estimate=estimate,
        here=here,
        disk=_disk(method, spec, data),
        weights=_weights(study, run, spec, data),
    )


def _estimate(spec: dict[str, Any], data: Sizes, documented: list[Throughput]) -> Estimate | None:
    if "network" not in spec:
        return None
    work = workload.of(spec["recipe"], Fraction(spec["ratio"]), data.n_train, data.n_test)
    return throughputs.estimate(documented, spec, work, data.image_shape, data.n_classes)


def _disk(method: Method, spec: dict[str, Any], data: Sizes) -> int:
    """Bytes of the blocks, counts and scores of one dataset, architecture and method."""
    epochs, runs, n_train, n_test = workload.evaluations(spec["recipe"]), method.seeds, data.n_train, data.n_test
    block = disk.block_bytes(method.block_size, epochs, n_train, n_test, network="network" in spec)
    if "probabilities" in spec:
        block += disk.other_tools_bytes(method.block_size, n_train, n_test, data.n_classes)
    if not method.is_scored:
        return len(method.blocks) * block + (disk.proxies_bytes(runs, n_train) if method.kind == FULL_DATA else 0)
    group_size = subsets.group_size(spec["design"], Fraction(spec["ratio"]))
    counts = disk.counts_bytes(runs, group_size, epochs, n_train, n_test)
    return len(method.blocks) * block + counts + disk.scores_bytes(epochs, n_train)


def _weights(study: Study, run: tuple[str, str, str], spec: dict[str, Any], data: Sizes) -> int:
    """Bytes of the weights that are kept of the runs of one dataset, architecture and method."""
    _, architecture, name = run
    if run not in study.taught_by:
        return 0
    epochs = len(study.teacher_epochs(architecture, name))
    return study.methods[name].seeds * epochs * throughputs.weights_bytes(spec, data.image_shape, data.n_classes)


def _title(study: Study) -> list[str]:
    config = study.config
    datasets, architectures = _several(study.datasets, "dataset"), _several(study.architectures, "architecture")
    shape = f"{datasets} x {architectures}"
    if len(study.methods) > 1:
        methods = _several(study.methods, "method")
        shape = f"{len(study.runs)} combinations of {datasets}, {architectures} and {methods}"
    elif len(study.datasets) * len(study.architectures) > len(study.runs):
        shape = f"{len(study.runs)} combinations of {datasets} and {architectures}"
    return [f"Study {study.name}: {shape} x {config['seeds']:,} seeds, in blocks of {config['block_size']}"]


def _several(things: Any, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _table(parts: list[Part]) -> list[str]:
    rows = [HEADER]
    for part in parts:
        mark = "" if part.cost else f"{ESTIMATED} "
        times = [mark + duration(seconds) for seconds in part.seconds()] or ["", ""]
        counts = [f"{number:,}" for number in (part.runs, part.jobs, part.done)]
        names = [part.dataset, part.architecture, part.method]
        rows.append([*names, *counts, part.per_model(), *times, size(part.disk + part.weights)])
    totals = [f"{sum(getattr(part, name) for part in parts):,}" for name in ("runs", "jobs", "done")]
    rows.append(["total", "", "", *totals, "", "", "", size(sum(part.disk + part.weights for part in parts))])
    for kind, name in KINDS.items():
        rows += _total(name, "", [part for part in parts if part.cost and part.cost.device.startswith(kind)])
    for device in sorted({part.estimate.source.device for part in parts if part.estimate}):
        on_it = [part for part in parts if part.estimate and part.estimate.source.device == device]
        rows += _total(f"{ESTIMATED} {device}", f"{ESTIMATED} ", on_it)
    if {part.method for part in parts} == {ONE_HOT}:
        rows = [row[:2] + row[3:] for row in rows]
        return aligned(rows, text_columns=2)
    return aligned(rows, text_columns=3)


def _total(name: str, mark: str, parts: list[Part]) -> list[list[str]]:
    """The row of the total time of some parts; none for no parts."""
    totals = [mark + duration(sum(each)) for each in zip(*(part.seconds() for part in parts), strict=True)]
    return [["", name, "", "", "", "", "", *totals, ""]] if parts else []


def _notes(study: Study, parts: list[Part], table: Path, data_bytes: int) -> list[str]:
    """What the table's times are, what it does not know, and what is not in it."""
    trained, left = sum(part.jobs for part in parts), sum(part.jobs - part.done for part in parts)
    merged, files = sum(study.methods[part.method].is_scored for part in parts), size(data_bytes)
    weights = sum(part.weights for part in parts)
    distilled = sum(len(study.distilled_along(dataset)) for dataset in study.datasets)
    tracked = sum(len(study.tracked(dataset)) for dataset in study.datasets)
    stages = [f"{merged:,} count", f"{merged:,} score"]
    stages += [f"{distilled} distil"] if distilled else []
    stages += [f"{tracked} proxies"] if tracked else []
    return [
        *_measured_on(parts, table),
        f"Jobs: {len(study.datasets)} prepare, {trained:,} train ({left:,} left), {', '.join(stages)}; "
        "then trajectories and figures",
        f"Disk: blocks, counts and scores as above, and {files} of data; figures and pages come on top.",
        *([_of_weights(weights, study)] if weights else []),
    ]


def _of_weights(weights: int, study: Study) -> str:
    teachers = dict.fromkeys(architecture for _, architecture, _ in study.taught_by)
    return (
        f"Of it {size(weights)} are weights that others learn from ({', '.join(teachers)}); when all is trained, "
        "memflow clean FILE --weights deletes them"
    )


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


def _estimates(parts: list[Part]) -> list[str]:
    """How the estimated times come about, so that they can be checked by hand; nothing if there are none."""
    estimated = [(part, part.estimate) for part in parts if part.estimate]
    if not estimated:
        return []
    sources = (estimate.source for _, estimate in estimated)
    on = sorted({f"- {source.device} ({source.precision}, images of {source.image_size} px)" for source in sources})
    rows = [["~ one model", "", "trained images", "evaluated", "GMACs", "documented", "images/s", "GMACs"]]
    for part, estimate in estimated:
        work, source = estimate.work, estimate.source
        rows.append(
            [
                part.dataset,
                part.architecture if part.method == ONE_HOT else f"{part.architecture} {part.method}",
                f"{work.epochs} x {work.steps} x {work.batch_size:,}",
                f"{work.evaluations} x {work.evaluated:,}",
                f"{estimate.gmacs:.3g}" + (f" + {estimate.teacher_gmacs:.3g}" if estimate.teacher_gmacs else ""),
                source.network,
                f"{source.train_per_second:,.0f}, {source.infer_per_second:,.0f}",
                f"{source.gmacs:.3g}",
            ]
        )
    taught = any(estimate.teacher_gmacs for _, estimate in estimated)
    return [
        "Times with ~ are estimated from documented throughputs (profiles/throughputs.csv), not measured:",
        *on,
        "As if a GPU did as many multiply-adds (GMACs: 1e9 per image) per second in these networks, on these images.",
        *(["Of students, their teacher's after the plus: it sees every image they are trained on."] if taught else []),
        "Small ones keep it less busy: real runs are slower, several times where the two GMACs of a line differ much.",
        *aligned(rows, text_columns=2),
        "",
    ]


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
