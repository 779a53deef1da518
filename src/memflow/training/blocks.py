"""Stage runs: train a block of seeds, unit by unit, and keep what every model got right.

A unit is the aligned group of ``fuse`` seeds that are trained side by side. A finished unit is kept beside the output
until the block is complete, so that a killed job loses at most the unit in hand, and of one that takes long, what came
after its last checkpoint.
"""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memflow import provenance, registry, subsets
from memflow.config import as_text
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.files import read_npz, sha256, write_npz
from memflow.progress import Progress
from memflow.training import gpus, weights
from memflow.training.checkpoint import Checkpoint
from memflow.training.device import bit_conditions
from memflow.training.outcomes import block_masks, join, pack

log = logging.getLogger(__name__)


def run(
    spec: dict[str, Any],
    dataset_path: Path,
    output: Path,
    checkpoint_minutes: float = 10,
    *,
    teachers: Sequence[Path] = (),
    removed: Path | None = None,
    keep: Sequence[int] = (),
) -> None:
    """Train a block.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.block_spec`.
    dataset_path : Path
        Prepared dataset.
    output : Path
        Block file to write: ``seeds`` int64[runs], ``epochs`` int32[E]; correctness of every example, packed along its
        last axis, ``train_correct`` uint8[runs, E, ceil(n_train / 8)] and ``test_correct``; ``accuracy`` and ``losses``
        float32[runs, E, 3] in-sample, out-of-sample and on the test split; for networks ``log_odds``
        float16[runs, n_train] and ``parameters`` int64, the size of one network; where the spec asks for them,
        ``probabilities`` uint32[n_train, classes], summed over the runs that did not have the example
        (:func:`memflow.training.sgd.fit`), and ``test_log_odds`` float16[runs, n_test].
    checkpoint_minutes : float
        A unit that takes longer keeps what it has reached after every so many minutes.
    teachers : sequence of Path
        Weights of the teachers, where the spec is of distilled students.
    removed : Path, optional
        Which examples are left out, where the spec is of runs without some (:mod:`memflow.removed`).
    keep : sequence of int
        Epochs after which the networks' weights are kept, in ``block-<index>.weights.npz`` beside the output: arrays
        [runs, ...], named by :func:`memflow.training.weights.named`.
    """
    with gpus.one():
        _train_block(spec, dataset_path, output, 60 * checkpoint_minutes, list(teachers), removed, list(keep))


def _train_block(
    spec: dict[str, Any],
    dataset_path: Path,
    output: Path,
    checkpoint_seconds: float,
    teachers: list[Path],
    removed: Path | None,
    keep: list[int],
) -> None:
    torch.set_num_threads(1)  # bits differ between one thread and two; workers run side by side instead
    started = provenance.now()
    dataset = prepared.load(dataset_path)
    definition = {**spec, "fingerprint": dataset.fingerprint}
    seeds = range(*spec["seeds"])
    if "removal" in spec:  # resolved, so that the code is in the digest of such runs only
        masks = registry.resolve(registry.REMOVED)(spec, dataset, removed, seeds)
    else:
        masks = block_masks(spec, dataset, seeds)
    hashes = [subsets.mask_hash(mask) for mask in masks]
    conditions = _conditions(spec)
    inputs = {path: sha256(path) for path in (dataset_path, *teachers, *([removed] if removed else []))}
    made_from = {**definition, **conditions, "masks": hashes, "teachers": [inputs[path] for path in teachers]}
    identity = hashlib.sha256(as_text({**made_from, "keep": keep}).encode()).hexdigest()[:16]
    partial = output.with_name(f"{output.name}.partial") / identity
    label = " ".join(output.with_suffix("").parts[-4:])
    more: dict[str, Any] = {"keep": keep} if keep else {}
    details: dict[str, Any] = {"masks": hashes}
    if "teacher" in spec:
        load = registry.resolve(registry.TEACHERS)  # so that its code is in the digest of students only
        more["teachers"], details["learnt_from"] = load(spec, dataset.fingerprint, teachers, masks)
    joined = join(_train_units(spec, dataset, masks, seeds, partial, label, checkpoint_seconds, more))
    kept = {name: joined.pop(name) for name in list(joined) if name.startswith(weights.PREFIX)}
    write_npz(output, {"seeds": np.array(seeds), **joined})
    outputs = [output]
    if keep:
        outputs.append(output.with_suffix(".weights.npz"))
        write_npz(outputs[-1], {"seeds": np.array(seeds), **kept})
        details["weights"] = {str(epoch): weights.digest(weights.at(epoch, kept)) for epoch in keep}
    provenance.write(
        outputs,
        definition,
        inputs=inputs,
        started=started,
        bit_conditions=conditions,
        details=details,
    )
    shutil.rmtree(partial.parent, ignore_errors=True)


def _conditions(spec: dict[str, Any]) -> dict[str, Any]:
    """What besides the definition decides the bits of this block's runs."""
    conditions = {**bit_conditions(spec["recipe"].get("precision", "fp32")), "fuse": spec["recipe"]["fuse"]}
    network, architecture = spec.get("network", ""), spec["architecture"]
    built = {network, spec["teacher"]["network"]} if "teacher" in spec else {network}
    if built - {"", *registry.FUSED.values()}:  # by a library, or by the user with one
        conditions |= {name: version(name) for name in ("torchvision", "timm")}
    if "pretrained" in architecture:
        find = registry.resolve(f"{network.partition(':')[0]}:weights_file")
        conditions["pretrained_sha256"] = sha256(find(architecture["size"], architecture["pretrained"]))
    return conditions


def _train_units(
    spec: dict[str, Any],
    dataset: Dataset,
    masks: np.ndarray,
    seeds: range,
    partial: Path,
    label: str,
    checkpoint_seconds: float,
    more: dict[str, Any],
) -> list[dict[str, np.ndarray]]:
    """Outcomes of all units, trained or kept from an earlier job; ``more`` are further arguments of the learner."""
    learn, fuse = registry.resolve(spec["learner"]), spec["recipe"]["fuse"]
    starts = range(0, len(seeds), fuse)
    paths = [partial / f"seed-{seeds[start]}.npz" for start in starts]
    kept = {path: unit for path in paths if (unit := read_npz(path)) is not None}
    progress = Progress(label, len(seeds), kept=len(kept) * fuse)
    units = []
    for start, path in zip(starts, paths, strict=True):
        now = slice(start, start + fuse)
        if path not in kept:
            report = lambda share: progress.within_unit(fuse, share)  # noqa: E731
            checkpoint = Checkpoint(path.with_suffix(".checkpoint.npz"), checkpoint_seconds)
            of_unit = (
                more | {"teachers": {k: v[now] for k, v in more["teachers"].items()}} if "teachers" in more else more
            )
            unit = pack(learn(spec, dataset, masks[now], seeds[now], report, checkpoint, **of_unit), masks[now])
            write_npz(path, unit)
            checkpoint.remove()
            kept[path] = unit
            progress.unit_done(fuse, float(unit["accuracy"][:, -1, 0].mean()))
        units.append(kept[path])
    return units
