"""Train a recorded run again, from its record alone, and compare every bit."""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memflow import config, provenance
from memflow.audit.records import Records, run_of
from memflow.data import prepared
from memflow.errors import InputError
from memflow.training import blocks
from memflow.training.outcomes import PACKED, SHARED

NOT_OF_A_RUN = ("started", "finished", "slurm_job_id", "code", "dirty_ancestry")  # parts of its circumstance

Definition = dict[str, Any]


@dataclass(frozen=True)
class Rerun:
    """How a run that was trained again differs from the recorded one.

    Attributes
    ----------
    name : str
        The block.
    seeds : list of int
        Of the runs that were trained and compared: those that are trained side by side with the one that was asked for.
    differences : dict of str to float
        By array that is not the same: of predictions the share that differs, of numbers the largest difference.
    circumstances : list of str
        What was otherwise than when the block was trained.
    conditions : dict
        Bit conditions of now.
    """

    name: str
    seeds: list[int]
    differences: dict[str, float]
    circumstances: list[str]
    conditions: dict[str, Any]

    def within(self, tolerance: float) -> bool:
        """Whether no difference is larger; with 0 whether every bit is the same."""
        return all(difference <= tolerance for difference in self.differences.values())


def run(records: Records, name: str, seed: int | None = None) -> Rerun:
    """Train a run of a block again, in a scratch folder.

    Parameters
    ----------
    records : Records
    name : str
        Of the block, as in :class:`~memflow.audit.records.Records`.
    seed : int, optional
        Of the run; the block's first one if not given.

    Raises
    ------
    InputError
        If the block or its dataset is not what was recorded, or does not hold the seed.
    """
    path = records.path(name)
    record = provenance.read(path)
    definition, seeds = record["definition"], range(*record["definition"]["seeds"])
    if definition.get("stage") != "runs" or name.endswith(".weights.npz"):
        raise InputError(f"{path} is no block of runs; name one, such as results/<study>/runs/…/block-0.npz")
    seed = seeds.start if seed is None else seed
    if seed not in seeds:
        raise InputError(f"{path} holds seeds {seeds.start} to {seeds.stop - 1}, not {seed}")
    dataset = _dataset(records, name, definition["fingerprint"])
    unit = _unit(definition, seeds, seed)
    with tempfile.TemporaryDirectory(prefix="memflow-rerun-") as folder:
        scratch = Path(folder)
        taught = _teachers(definition, unit, dataset, scratch) if "teacher" in definition else []
        removed = [records.path(other) for other in records.inputs(name) if other.startswith("removal/")]
        again = scratch / "/".join(run_of(name)) / "block-0.npz"
        spec = _spec(definition, unit)
        blocks.run(spec, dataset, again, teachers=taught, removed=removed[0] if removed else None)
        differences = _differences(path, again, unit)
        now = provenance.read(again)
    return Rerun(name, unit, differences, list(_circumstances(record, now)), now["bit_conditions"])


def describe(found: Rerun, tolerance: float = 0.0) -> str:
    """What was trained again, and how it compares."""
    first, last = found.seeds[0], found.seeds[-1]
    which = f"seed {first}" if first == last else f"seeds {first} to {last}, which are trained side by side"
    lines = [f"{found.name}: {which}, trained again", *(f"  otherwise now: {text}" for text in found.circumstances)]
    lines += [
        f"  {key}: {f'{value:.3%} of the predictions differ' if key in PACKED else f'differs by up to {value:.3g}'}"
        for key, value in found.differences.items()
    ]
    if not found.differences:
        return "\n".join([*lines, "bit-identical"])
    return "\n".join([*lines, f"{'within' if found.within(tolerance) else 'beyond'} the tolerance of {tolerance:g}"])


def _dataset(records: Records, name: str, fingerprint: str) -> Path:
    """The file of the dataset that a block was trained on."""
    of_data = next((other for other in records.inputs(name) if other.startswith("data/")), "data")
    path = records.path(of_data)
    if not path.is_file():
        raise InputError(f"{path}, which {name} was trained on, is not there; make it: snakemake --cores 1 {path}")
    actual = prepared.load(path).fingerprint
    if actual != fingerprint:
        raise InputError(
            f"{path} holds other images or labels (fingerprint {actual[:12]}) than {name} was trained on "
            f"({fingerprint[:12]}); restore the recorded one"
        )
    return path


def _unit(definition: Definition, seeds: range, seed: int) -> list[int]:
    """Seeds that are trained with one: side by side, also by a student's teacher."""
    sizes = [definition["recipe"]["fuse"]]
    if "teacher" in definition and not _is_full(definition):
        sizes.append(definition["teacher"]["recipe"]["fuse"])
    size = math.lcm(*sizes)
    start = seed - (seed - seeds.start) % size
    return list(range(start, start + size))


def _is_full(definition: Definition) -> bool:
    return bool(definition["distillation"]["teacher_data"] == "full")


def _spec(definition: Definition, seeds: list[int]) -> Definition:
    """What a job is told, to train some seeds."""
    spec = {key: value for key, value in definition.items() if key != "fingerprint"}
    return {**spec, "seeds": [seeds[0], seeds[-1] + 1]}


def _teachers(definition: Definition, unit: list[int], dataset: Path, scratch: Path) -> list[Path]:
    """Weights of the teachers of some students, trained first."""
    seeds = list(range(definition["distillation"]["teacher_runs"])) if _is_full(definition) else unit
    output = scratch / dataset.stem / "teacher" / definition["teacher"]["method"] / "block-0.npz"
    blocks.run(_spec(definition["teacher"], seeds), dataset, output, keep=[definition["distillation"]["teacher_epoch"]])
    return [output.with_suffix(".weights.npz")]


def _differences(stored: Path, again: Path, seeds: list[int]) -> dict[str, float]:
    """By array that is not the same, how much it differs."""
    with np.load(stored) as old, np.load(again) as new:
        rows = np.flatnonzero(np.isin(old["seeds"], seeds))
        found = {key: _difference(old[key] if key in SHARED else old[key][rows], new[key], key) for key in old.files}
    return {key: value for key, value in found.items() if value}


def _difference(old: np.ndarray, new: np.ndarray, key: str) -> float:
    """0 for equal bits; the share of other predictions, or the largest difference; inf for what cannot be compared."""
    if old.dtype != new.dtype or old.shape != new.shape:
        return math.inf
    if old.tobytes() == new.tobytes():
        return 0.0
    if key in PACKED:
        return float(np.unpackbits(old ^ new).mean())
    apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
    return math.inf if np.isnan(apart).any() else float(apart.max())


def _circumstances(then: Definition, now: Definition) -> Iterator[str]:
    """What of the bit conditions and circumstances is not as it was."""
    if (digest := config.code_digest(then["definition"])) != then["definition"]["code"]:
        commit = str(then["circumstance"]["commit"])[:10]
        yield f"the code of training (digest {digest}, then {then['definition']['code']}, commit {commit})"
    parts = [(record["bit_conditions"], _lasting(record["circumstance"])) for record in (now, then)]
    for found, expected in zip(*parts, strict=True):
        yield from (text.replace(", expected ", ", then ") for text in provenance.differences(found, expected))


def _lasting(circumstance: Definition) -> Definition:
    return {key: value for key, value in circumstance.items() if key not in NOT_OF_A_RUN}
