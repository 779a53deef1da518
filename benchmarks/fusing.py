"""The networks of the default study: trained side by side in one process, against one process per model."""

import tempfile
from pathlib import Path
from typing import Any

from timing import PROJECT, Row, interleave, progress, run_process

from memflow import config
from memflow.config import Study, as_text

ROUNDS = 3
DATASET, METHOD = "digits", "one-hot"


def measure() -> list[Row]:
    """Ratio of CPU seconds per model, over all networks, of which the study trains equally many each.

    Both sides are ``memflow train`` on the same data, recipe and architecture, with the start of the process. One
    trains one model, the other a unit of ``fuse`` models; the study's blocks hold several units, which is faster still.
    """
    study = Study(config.read(PROJECT / "config.yaml"))
    networks = [name for name in study.architectures if name not in study.references]
    pairs = []
    with tempfile.TemporaryDirectory(prefix="memflow-") as scratch:
        folder = Path(scratch)
        prepare = ["--spec", as_text(study.prepare_spec(DATASET)), "--output", str(folder / "data.npz")]
        run_process("memflow", "prepare", *prepare)
        for name in networks:
            progress(f"  {name}")
            spec = study.block_spec(DATASET, name, METHOD, 0)
            pairs.append(compare(spec, folder))
    totals = [[sum(costs) for costs in zip(*of_round, strict=True)] for of_round in zip(*pairs, strict=True)]
    ratios = [alone / fused for alone, fused in totals]
    return [Row("models per hour, default study", "against a process per model; CPU", "×", ratios, 6, True)]


def compare(spec: dict[str, Any], folder: Path) -> list[tuple[float, float]]:
    """CPU seconds per model of each round: one model per process, and one unit."""
    fuse = spec["recipe"]["fuse"]
    return interleave(lambda: per_model(spec, 1, folder), lambda: per_model(spec, fuse, folder), ROUNDS)


def per_model(spec: dict[str, Any], models: int, folder: Path) -> float:
    """CPU seconds per model of one process that trains some models side by side."""
    spec = {**spec, "recipe": {**spec["recipe"], "fuse": models}, "seeds": [0, models]}
    files = ["--dataset", str(folder / "data.npz"), "--output", str(folder / "block.npz")]
    return run_process("memflow", "train", "--spec", as_text(spec), *files)[0] / models
