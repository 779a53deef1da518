"""The audit of a study of 2,000 blocks, and reading large files again."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from timing import Row, progress, run_process

from memflow import outputs
from memflow.audit import verify
from memflow.audit.records import Records
from memflow.config import Study, as_text, as_yaml
from memflow.files import write_bytes
from memflow.outputs import Job

ROUNDS = 3
STUDY: dict[str, Any] = {
    "study": "audited",
    "seeds": 20_000,
    "block_size": 50,
    "datasets": {"synthetic": {"source": "digits"}},  # a stand-in: nothing is loaded from a source here
    "recipes": {"sgd": {"epochs": 20, "batch_size": 64, "learning_rate": 0.1, "schedule": {"shape": "cosine"}}},
    "architectures": {
        f"resnet{depth}": {"model": "cifar-resnet", "depth": depth, "recipe": "sgd"} for depth in (8, 14, 20, 32, 44)
    },
    "families": {"depth": {"title": "Depth", "architectures": [f"resnet{depth}" for depth in (8, 14, 20, 32, 44)]}},
}
LARGE, N_LARGE = 50 * 2**20, 40  # bytes, and files of so many
TEN_GB = 10**10


def measure() -> list[Row]:
    """CPU seconds of the verbs that only read records, and seconds of reading 10 GB."""
    study = Study(STUDY)
    with tempfile.TemporaryDirectory(prefix="memflow-") as scratch:
        folder = Path(scratch)
        results, config = folder / "results/audited", folder / "audited.yaml"
        config.write_text(as_yaml(study.config))
        progress("  writing records")
        write_records(study, results)
        where = ["--results", str(results)]
        figure = str(results / "figures/synthetic/mean_memorisation.pdf")
        verbs = {"status": ["status", "--configfile", str(config), *where], "trace": ["trace", figure, *where]}
        rounds = {
            name: [run_process("memflow", "audit", *verb)[0] for _ in range(ROUNDS)] for name, verb in verbs.items()
        }
        progress("  reading large files")
        reading = [read_large(folder / "large") for _ in range(ROUNDS)]
    terms = "2,000 blocks of 50; CPU"
    rows = [Row(f"audit {name}", terms, "s", seconds, 5) for name, seconds in rounds.items()]
    return [*rows, Row("audit verify, reading 10 GB", f"from {N_LARGE} files in memory; wall", "s", reading, 60)]


def write_records(study: Study, results: Path) -> None:
    """A finished study in which every job made one file of a few bytes, from the files of the stages before it."""
    made: dict[str, list[str]] = {}
    for job in outputs.jobs(study):
        write_record(job, results, list(inputs_of(job, made)))
        made.setdefault(job.stage, []).append(job.output)


def inputs_of(job: Job, made: dict[str, list[str]]) -> Iterator[str]:
    """Blocks are made from data, counts from blocks, tables from counts, figures from scores, the rest from all."""
    if job.stage == "counts":
        run = job.output.removeprefix("counts/").removesuffix(".npz")
        yield from (name for name in made["runs"] if name.startswith(f"runs/{run}/"))
    elif job.stage in ("runs", "data"):
        yield from made.get("data", [])
    elif job.stage in ("audit", "report", "claims"):
        yield from (name for stage, names in made.items() if stage != "runs" for name in names)
    else:
        yield from made["scores" if job.stage == "figures" else "counts"]


def write_record(job: Job, results: Path, inputs: list[str]) -> None:
    """The output of a job and its record, which says that it is what its spec wants."""
    path, seeds = results / job.output, job.spec.get("seeds", 0)
    if job.stage == "counts":
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, converged=np.ones(seeds, dtype=bool))
    else:
        write_bytes(path, job.output.encode())
    when = "2026-01-01T00:00:00+00:00"
    record = {
        "definition": {**json.loads(as_text(job.spec)), "fingerprint": "0"},
        "bit_conditions": {"device": "cuda", "device_name": "a name", "torch": "2.14.1"} if job.stage == "runs" else {},
        "circumstance": {"commit": "0" * 40, "dirty": False, "started": when, "finished": when},
        "inputs": {f"results/audited/{name}": digest(results / name) for name in inputs},
        "outputs": {path.name: digest(path)},
        **({"fingerprint": "0"} if job.stage == "data" else {}),
        **({"masks": [f"{seed:016x}" for seed in range(*seeds)]} if job.stage == "runs" else {}),
    }
    write_bytes(path.with_name(f"{path.name}.prov.json"), json.dumps(record, indent=1).encode())


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_large(folder: Path) -> float:
    """Seconds that a verification would take to read 10 GB, by as much as fits into memory."""
    folder.mkdir(exist_ok=True)
    for number in range(N_LARGE):
        path = folder / f"{number}.bin"
        if not path.exists():
            path.write_bytes(os.urandom(LARGE))
            circumstance = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:00+00:00"}
            record = {"definition": {}, "bit_conditions": {}, "circumstance": circumstance, "inputs": {}}
            record["outputs"] = {path.name: digest(path)}
            path.with_name(f"{path.name}.prov.json").write_text(json.dumps(record))
    records = Records(folder)
    started = time.monotonic()
    found = verify.run(records, records.names())
    seconds = time.monotonic() - started
    if found.problems:
        raise RuntimeError(found.problems[0])
    return seconds * TEN_GB / found.bytes
