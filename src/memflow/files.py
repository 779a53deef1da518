"""Atomic, byte-stable files: a reader never sees half of one, and the same content is always the same bytes."""

import errno
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from memflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


ATTEMPTS = 3

log = logging.getLogger(__name__)


class DiskFullError(InputError):
    """There is no space left for a file."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call ``write`` with a temporary file in the folder of ``path``, then move it there.

    The data is on the disk before the name appears, so that a crash leaves the old file or the new one.

    Raises
    ------
    DiskFullError
        If the disk or the user's quota is full; nothing half-written is left.
    """
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            return _write_and_move(path, write)
        except FileNotFoundError:  # another job finished the same block and removed the folder of its parts
            if not attempts_left:
                raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFullError(
                f"no space left to write {path}: free some on its disk (or raise the quota) and start again; finished "
                "work is kept, and nothing half-written is"
            ) from error


def _write_and_move(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    write_atomically(path, lambda file: file.write(content))


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an uncompressed ``.npz``, atomically. NumPy stamps every member with one fixed date."""
    ordered = {
        name: np.asarray(array, order="C") for name, array in arrays.items()
    }  # else the bytes tell how it was made
    write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **ordered))


def read_npz(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of work that was kept; None if there is no such file, or one that cannot be read whole (logged)."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}  # checks the checksums of the zip file
    except FileNotFoundError:
        return None
    except Exception:  # a damaged archive raises many kinds
        log.warning("%s is damaged; its models are trained again", path)
        return None


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, atomically, with ``\\n`` as line end everywhere."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def write_parquet(path: Path, table: "pd.DataFrame", metadata: Mapping[str, Any] | None = None) -> None:
    """Write a table as parquet, atomically; NaN becomes null, ``metadata`` goes under the schema's key ``memflow``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.Table.from_pandas(table, preserve_index=False)
    content = content.replace_schema_metadata({"memflow": json.dumps(metadata or {}, sort_keys=True)})
    write_atomically(path, lambda file: pq.write_table(content, file))


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
