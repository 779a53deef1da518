"""A results folder made by hand: files of a few bytes, and records that say what they were made from."""

import hashlib
import json

import numpy as np

from memflow.files import write_bytes, write_npz

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TIMES = {"started": "2026-11-03T10:00:00+00:00", "finished": "2026-11-03T10:30:00+00:00"}
CPU = {"device": "cpu", "device_name": "AVX2", "torch": "2.14.1"}


def write(
    results,
    names,
    inputs=(),
    *,
    recorded_as="results/small",
    definition=None,
    conditions=None,
    assets=None,
    **circumstance,
):
    """Files of one job with their record; inputs are names in the results, assets those of what a page loads."""
    for name in names:
        if not (results / name).exists():
            write_bytes(results / name, name.encode())
    record = {
        "definition": definition or {},
        "bit_conditions": conditions or {},
        "circumstance": {"commit": COMMIT, "dirty": False, **TIMES, **circumstance},
        "inputs": {f"{recorded_as}/{name}": digest(results / name) for name in inputs},
        "outputs": {(results / name).name: digest(results / name) for name in names},
    }
    record |= {"assets": assets} if assets else {}
    for name in names:
        write_bytes(results / f"{name}.prov.json", json.dumps(record).encode())


def small(results, *, seeds=((0, 4), (4, 8)), **circumstance):
    """One architecture, two blocks of four runs, their counts, scores and a figure; one run missed its target."""
    write(results, ["data/digits.npz", "data/digits.hazards.csv"])
    blocks = [f"runs/digits/mlp-8/one-hot/block-{number}.npz" for number in range(len(seeds))]
    for name, of_block in zip(blocks, seeds, strict=True):
        definition = {"stage": "runs", "seeds": list(of_block)}
        write(results, [name], ["data/digits.npz"], definition=definition, conditions=CPU, **circumstance)
    counts, scores = "counts/digits/mlp-8/one-hot.npz", "scores/digits/mlp-8/one-hot"
    write_npz(results / counts, {"converged": np.arange(8) > 0})
    write(results, [counts], ["data/digits.npz", *blocks])
    write(results, [f"{scores}.parquet", f"{scores}.summary.csv"], [counts])
    figure = "figures/digits/mean_memorisation"
    write(results, [f"{figure}.{suffix}" for suffix in ("pdf", "png", "csv")], [f"{scores}.summary.csv"])
    return f"{figure}.pdf", blocks


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
