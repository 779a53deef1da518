"""Where an export goes: a file with its sidecar, or a folder with a list of its files. Both appear whole or not at all.

What an earlier export wrote, and nobody changed since, is replaced; anything else is left alone unless forced.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memflow import provenance
from memflow.errors import InputError
from memflow.files import sha256, write_bytes
from memflow.provenance import ProvenanceError

LISTING = "memflow.json"  # of a folder, with the SHA-256 of each of its files
FORCE = "name another --output, or replace it with --force"


def check(path: Path, suffix: str, force: bool) -> None:
    """Refuse a destination of the wrong kind, or one that holds what no export wrote.

    Parameters
    ----------
    path : Path
    suffix : str
        That the name of the file must have; empty if a folder is to be written.
    force : bool
        Replace whatever is there, but never a folder by a file or a file by a folder.

    Raises
    ------
    InputError
        That says what is there, and what to do.
    """
    if suffix and path.suffix.lower() != suffix:
        raise InputError(f"--output is {path}; this format is one file, whose name must end in {suffix}")
    if path.exists() and path.is_dir() == bool(suffix):
        there, wanted = ("a folder", "one file") if suffix else ("a file", "a folder")
        raise InputError(f"--output {path} is {there}, and this format is {wanted}; name another --output")
    if path.exists() and not force and (reason := _reason_to_keep(path)):
        raise InputError(f"--output {path} {reason}; {FORCE}")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write into, which takes its place at ``path`` when all is written, and vanishes on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        built, old = Path(scratch, "new"), Path(scratch, "old")
        built.mkdir()
        yield built
        if path.exists():
            path.rename(old)
        built.rename(path)


def list_files(folder: Path, about: dict[str, Any]) -> Path:
    """Write the list of a folder's files beside them, and return its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = {**about, "files": {path.relative_to(folder).as_posix(): sha256(path) for path in files}}
    write_bytes(folder / LISTING, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    return folder / LISTING


def _reason_to_keep(path: Path) -> str | None:
    """Why something is not to be replaced; None if it is an export as it was written, or an empty folder."""
    return _folder_reason(path) if path.is_dir() else _file_reason(path)


def _file_reason(path: Path) -> str | None:
    try:
        record = provenance.read(path)
    except ProvenanceError:
        return "was not written by `memflow export`, or was changed since"
    return None if "export" in record["definition"] else "is no export"


def _folder_reason(folder: Path) -> str | None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if not found:
        return None
    if LISTING not in found or _file_reason(folder / LISTING):
        return "was not written by `memflow export`, or was changed since"
    listed: dict[str, str] = json.loads((folder / LISTING).read_text(encoding="utf-8"))["files"]
    if extra := found - {*listed, LISTING, provenance.sidecar(Path(LISTING)).name}:
        return f"also holds {', '.join(sorted(extra)[:3])}, which no export wrote"
    changed = [name for name, digest in listed.items() if name not in found or sha256(folder / name) != digest]
    return f"was changed since it was exported ({', '.join(changed[:3])})" if changed else None
