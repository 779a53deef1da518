"""Sidecars: beside each output, what it was made from, under which conditions, and when.

Three parts. *definition*: what the output is a function of; two things that belong together agree in it.
*bit_conditions*: what may change the last bits; a mixture is reported. *circumstance*: everything else worth knowing.
"""

import functools
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memflow import config, digest
from memflow.errors import InputError
from memflow.files import sha256, write_bytes

ROOT = Path(__file__).resolve().parents[2]
CODE = ("src", "workflow", "Snakefile", "requirements.lock")  # a study file is no code
LIBRARIES = "numpy pandas scipy scikit-learn pyarrow matplotlib torch torchvision timm pillow snakemake"


class ProvenanceError(InputError):
    """Files do not belong together, or are not what their sidecars say."""


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def sidecar(output: Path) -> Path:
    """Where the record of an output lies."""
    return output.with_name(f"{output.name}.prov.json")


def described_by(sidecar: Path) -> Path:
    """The output that a sidecar lies beside."""
    return sidecar.with_name(sidecar.name.removesuffix(".prov.json"))


def write(
    outputs: list[Path],
    definition: Mapping[str, Any],
    *,
    inputs: Mapping[Path, str],
    started: str,
    bit_conditions: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write the sidecar of every output of one job; call it last.

    Parameters
    ----------
    outputs : list of Path
        All files the job made; they must exist.
    definition : mapping
        What the outputs are a function of.
    inputs : mapping of Path to str
        SHA-256 of each input, as the job read it.
    started : str
        From :func:`now`, at the start of the job.
    bit_conditions : mapping, optional
        Library, device, precision, threads.
    details : mapping, optional
        Further facts to keep at the top level, such as the hash of each mask.
    """
    record = {
        "definition": definition,
        "bit_conditions": bit_conditions or {},
        "circumstance": {
            "started": started,
            "finished": now(),
            **_circumstance(),
            "dirty_ancestry": dirty_ancestry(inputs),
            "code": _modules(definition),
        },
        "inputs": {str(path): digest for path, digest in sorted(inputs.items())},
        "outputs": {path.name: sha256(path) for path in outputs},
        **(details or {}),
    }
    content = (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()
    for output in outputs:
        write_bytes(sidecar(output), content)


def read_sidecar(output: Path) -> dict[str, Any]:
    """The sidecar of an output, which itself may have been deleted.

    Raises
    ------
    ProvenanceError
        If there is no readable sidecar that describes such an output.
    """
    path = sidecar(output)
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        described: dict[str, str] = dict(record["outputs"])
    except FileNotFoundError:
        raise ProvenanceError(
            f"{output} has no sidecar {path.name}: it cannot be trusted; delete it and run again"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ProvenanceError(f"{path} is not a readable sidecar ({error!r}); delete {output} and run again") from None
    if output.name not in described:
        raise ProvenanceError(
            f"{path} describes {', '.join(described) or 'nothing'}, not {output.name}: files were swapped or renamed; "
            f"delete {output} and run again"
        )
    return record


def read(output: Path) -> dict[str, Any]:
    """The sidecar of an output, after checking that the output is the file it describes.

    Raises
    ------
    ProvenanceError
        As :func:`read_sidecar`, or if the output's SHA-256 is not the recorded one.
    """
    record = read_sidecar(output)
    recorded = record["outputs"][output.name]
    try:
        actual = sha256(output)
    except FileNotFoundError:
        raise ProvenanceError(f"{output} is missing, though its sidecar exists") from None
    if actual != recorded:
        raise ProvenanceError(
            f"{output} is not the file that its sidecar describes (sha256 {actual[:12]}, recorded {recorded[:12]}): "
            "it was changed, truncated or swapped; delete it and run again"
        )
    return record


def differences(found: Any, expected: Any, key: str = "") -> list[str]:
    """Where two definitions differ, as ``"recipe.epochs is 3, expected 4"``."""
    if isinstance(found, dict) and isinstance(expected, dict):
        names = sorted(found.keys() | expected.keys())
        return [
            line
            for name in names
            for line in differences(
                found.get(name, "missing"), expected.get(name, "missing"), f"{key}.{name}" if key else name
            )
        ]
    return [] if found == expected else [f"{key} is {found!r}, expected {expected!r}"]


def dirty_ancestry(inputs: Iterable[Path]) -> bool | None:
    """Whether this code, or that of any job behind some files, has uncommitted changes; None if nobody knows."""
    if any(map(was_dirty, inputs)):
        return True
    return None if (changed := uncommitted()) is None else bool(changed)


@functools.cache
def uncommitted() -> list[str] | None:
    """Files of the code with uncommitted changes, as when first asked; None outside of a git checkout."""
    if commit() is None:
        return None
    changed = _git("status", "--porcelain", "--", *CODE)
    return None if changed is None else [line[3:] for line in changed.splitlines()]


@functools.cache
def commit() -> str | None:
    """Commit of the code; None outside of a git checkout, also where an archive was unpacked inside another one."""
    shown = (_git("rev-parse", "--show-toplevel", "HEAD") or "").splitlines()
    return shown[1] if len(shown) == 2 and Path(shown[0]).resolve() == ROOT else None


def was_dirty(path: Path) -> bool:
    """Whether a file, or any that it was made from, was made from uncommitted code; False if it has no record."""
    try:
        circumstance = json.loads(sidecar(path).read_text(encoding="utf-8"))["circumstance"]
        return bool(circumstance["dirty"] or circumstance.get("dirty_ancestry"))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
    ):  # no file of ours, or a damaged record, which is refused elsewhere
        return False


def _modules(definition: Mapping[str, Any]) -> dict[str, str]:
    """The code of a job, module by module; nothing for what no stage made."""
    return digest.modules(*config.code_targets(dict(definition))) if "code" in definition else {}


def _circumstance() -> dict[str, Any]:
    changed = uncommitted()
    return {
        "commit": commit(),
        "dirty": None if changed is None else bool(changed),
        "host": platform.node(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in LIBRARIES.split()},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says; None if it is absent or refuses."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
