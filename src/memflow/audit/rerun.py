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
from memflow.training import blocks, weights
from memflow.training.outcomes import PACKED, SHARED, SUMMED, unpack

NOT_OF_A_RUN = ("started", "finished", "slurm_job_id", "code", "dirty_ancestry")  # parts of its circumstance
WEIGHTS = ".weights.npz"

Definition = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """How an array is not what it was.

    Attributes
    ----------
    size : float
        Of predictions the share that differs, of numbers the largest difference; inf for what cannot be compared.
    text : str
    """

    size: float
    text: str


@dataclass(frozen=True)
class Rerun:
    """How a run that was trained again differs from the recorded one.

    Attributes
    ----------
    name : str
        The block.
    seeds : list of int
        Of the runs that were trained and compared: those that are trained side by side with the one that was asked for.
    differences : dict of str to Difference
        By array that is not the same, also of the teachers that were trained first.
    circumstances : list of str
        What was otherwise than when the block was trained.
    conditions : dict
        Bit conditions of now.
    """

    name: str
    seeds: list[int]
    differences: dict[str, Difference]
    circumstances: list[str]
    conditions: dict[str, Any]

    def within(self, tolerance: float) -> bool:
        """Whether no difference is larger; with 0 whether every bit is the same."""
        return all(difference.size <= tolerance for difference in self.differences.values())


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
        If the block, or what it was trained on, is not what was recorded, or if it does not hold the seed.
    """
    path = records.path(name)
    record = provenance.read(path)
    definition = record["definition"]
    if definition.get("stage") != "runs" or name.endswith(WEIGHTS):
        raise InputError(f"{path} is no block of runs; name one, such as results/<study>/runs/…/block-0.npz")
    seeds = range(*definition["seeds"])
    seed = seeds.start if seed is None else seed
    if seed not in seeds:
        raise InputError(f"{path} holds seeds {seeds.start} to {seeds.stop - 1}, not {seed}")
    unit = _unit(definition, seeds, seed)
    (dataset, n), removed = _dataset(records, name, definition["fingerprint"]), _selection(records, name)
    with tempfile.TemporaryDirectory(prefix="memflow-rerun-") as folder:
        again = Path(folder, *run_of(name), path.name)
        taught, found = [], {}
        if "teacher" in definition:
            recorded, teacher = _train_teachers(records, name, unit, dataset, Path(folder))
            of_teacher = _differences(records, recorded, teacher, n)
            taught, found = [_weights(teacher)], {f"its teachers' {key}": value for key, value in of_teacher.items()}
        blocks.run(_spec(definition, unit), dataset, again, teachers=taught, removed=removed, keep=_kept(record))
        found |= _differences(records, name, again, n)
        now = provenance.read(again)
    return Rerun(name, unit, found, list(_circumstances(record, now)), now["bit_conditions"])


def describe(found: Rerun, tolerance: float = 0.0) -> str:
    """What was trained again, and how it compares."""
    first, last = found.seeds[0], found.seeds[-1]
    which = f"seed {first}" if first == last else f"seeds {first} to {last}, which are trained side by side"
    lines = [f"{found.name}: {which}, trained again", *(f"  otherwise now: {text}" for text in found.circumstances)]
    lines += [f"  {key}: {difference.text}" for key, difference in found.differences.items()]
    if not found.differences:
        return "\n".join([*lines, "bit-identical"])
    return "\n".join([*lines, f"{'within' if found.within(tolerance) else 'beyond'} the tolerance of {tolerance:g}"])


def _dataset(records: Records, name: str, fingerprint: str) -> tuple[Path, dict[str, int]]:
    """The file of the dataset that a block was trained on, and for how many examples each packed array has bits."""
    of_data = next((other for other in records.inputs(name) if other.startswith("data/")), "data")
    path = records.path(of_data)
    if not path.is_file():
        raise InputError(f"{path}, which {name} was trained on, is not there; make it: snakemake --cores 1 {path}")
    dataset = prepared.load(path)
    if dataset.fingerprint != fingerprint:
        raise InputError(
            f"{path} holds other images or labels (fingerprint {dataset.fingerprint[:12]}) than {name} was trained on "
            f"({fingerprint[:12]}); restore the recorded one"
        )
    return path, dict(zip(PACKED, (len(dataset.train), len(dataset.test)), strict=True))


def _selection(records: Records, name: str) -> Path | None:
    """The file that says which examples the runs of a block leave out; None for runs that leave out none."""
    for other, recorded in records.inputs(name).items():
        if other.startswith("removal/"):
            if records.actual(other) != recorded:
                raise InputError(
                    f"{records.path(other)}, which says what {name} was trained without, is missing or another file "
                    f"than then (sha256 {recorded[:12]}); restore the recorded one"
                )
            return records.path(other)
    return None


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


def _kept(record: Definition | None) -> list[int]:
    """Epochs after which a block's weights were kept."""
    return sorted(map(int, record.get("weights", ()))) if record else []


def _weights(block: Path) -> Path:
    return block.with_suffix(WEIGHTS)


def _train_teachers(records: Records, name: str, unit: list[int], dataset: Path, scratch: Path) -> tuple[str, Path]:
    """Train the teachers of some students; name of the block that was recorded, and path of the one that this gives."""
    definition, inputs = provenance.read_sidecar(records.path(name))["definition"], records.inputs(name)
    recorded = next((other.replace(WEIGHTS, ".npz") for other in inputs if other.endswith(WEIGHTS)), "")
    epochs = {*_kept(records.of(recorded)), definition["distillation"]["teacher_epoch"]}
    seeds = list(range(definition["distillation"]["teacher_runs"])) if _is_full(definition) else unit
    again = scratch / dataset.stem / "teacher" / definition["teacher"]["method"] / "block-0.npz"
    blocks.run(_spec(definition["teacher"], seeds), dataset, again, keep=sorted(epochs))
    return recorded, again


def _differences(records: Records, name: str, again: Path, n: dict[str, int]) -> dict[str, Difference]:
    """How runs that were trained again differ from what is left of their block: bits, weights, subsets."""
    then, now = records.of(name), provenance.read(again)
    if then is None:
        return {}
    seeds = range(*now["definition"]["seeds"])
    found: dict[str, Difference] = {}
    for stored, made in ((records.path(name), again), (_weights(records.path(name)), _weights(again))):
        if stored.is_file() and made.is_file():
            found |= _of_arrays(stored, made, seeds, n)
    first = seeds.start - then["definition"]["seeds"][0]
    if now["masks"] != then["masks"][first : first + len(seeds)]:
        found["masks"] = Difference(math.inf, "the subsets are others")
    if now["definition"]["seeds"] == then["definition"]["seeds"] and now.get("weights") != then.get("weights"):
        found.setdefault("weights", Difference(math.inf, "not those whose digest was recorded"))
    return found


def _of_arrays(stored: Path, again: Path, seeds: range, n: dict[str, int]) -> dict[str, Difference]:
    """By array of a file that is not the same, how it differs; all weights together."""
    found: dict[str, Difference] = {}
    with np.load(stored) as old, np.load(again) as new:
        rows = np.flatnonzero(np.isin(old["seeds"], seeds))
        for key in sorted({*old.files, *new.files}):
            if key not in old.files or key not in new.files:
                difference = Difference(math.inf, f"only in the {'old' if key in old.files else 'new'} file")
            elif key in SUMMED and len(new["seeds"]) < len(old["seeds"]):
                difference = _part(old[key], new[key])
            else:
                of_all = key in SHARED or key in SUMMED
                difference = compare(old[key] if of_all else old[key][rows], new[key], n.get(key))
            name = "weights" if key.startswith(weights.PREFIX) else key
            if difference.size > (found[name].size if name in found else 0):
                found[name] = difference
    return found


def _part(total: np.ndarray, part: np.ndarray) -> Difference:
    """Whether a sum over some of a block's runs can be part of that over all, which is stored: it is nowhere larger."""
    if total.shape != part.shape or (part > total).any():
        return Difference(math.inf, "of these runs alone larger than the sum over the block")
    return Difference(0, "no larger than the sum over the block")


def compare(old: np.ndarray, new: np.ndarray, n: int | None = None) -> Difference:
    """How two arrays differ; of size 0 if every bit is the same. With ``n`` they are packed, of so many examples."""
    if old.dtype != new.dtype or old.shape != new.shape:
        return Difference(math.inf, f"{new.dtype}{list(new.shape)}, and was {old.dtype}{list(old.shape)}")
    if old.tobytes() == new.tobytes():
        return Difference(0, "bit-identical")
    if n:
        differ = unpack(old ^ new, n)
        return Difference(
            float(differ.mean()), f"{differ.sum():,} of {differ.size:,} predictions differ ({differ.mean():.3%})"
        )
    with np.errstate(invalid="ignore"):  # inf - inf
        apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
    apart[(old == new) | (np.isnan(old) & np.isnan(new))] = 0
    largest = math.inf if np.isnan(apart).any() else float(apart.max())
    return Difference(largest or math.ulp(0.0), f"differs by up to {largest:.3g}")  # of 0: such as 0.0 from -0.0


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
