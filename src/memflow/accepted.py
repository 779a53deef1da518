"""Versions of the code that were shown to give the same bits, so that one need not train again for the other.

Read with every spec, hence from one small file, once.
"""

import functools
import json
from pathlib import Path
from typing import Any

from memflow.errors import InputError
from memflow.files import write_bytes

FILE = Path(__file__).resolve().parents[2] / "accepted.json"


def canonical(digest: str) -> str:
    """The oldest version that a digest of code was accepted as equal to; itself if there is none.

    Raises
    ------
    InputError
        If the file of accepted versions is not what :func:`add` writes.
    """
    older = _older()
    for _ in range(len(older)):
        digest = older.get(digest, digest)
    return digest


def add(pairs: dict[str, str], evidence: dict[str, Any]) -> None:
    """Record that new digests of code (the keys) are equal to old ones, and what shows it."""
    write_bytes(FILE, with_pairs(pairs, evidence))
    _older.cache_clear()


def with_pairs(pairs: dict[str, str], evidence: dict[str, Any]) -> bytes:
    """What the file holds with further pairs."""
    entries = [*_read(), {"equal": pairs, "evidence": evidence}]
    return (json.dumps(entries, indent=1, sort_keys=True) + "\n").encode()


@functools.cache
def _older() -> dict[str, str]:
    return {new: old for entry in _read() for new, old in entry["equal"].items()}


def _read() -> list[dict[str, Any]]:
    try:
        entries: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
        digests = [old for entry in entries for old in entry["equal"].values()]
        if isinstance(entries, list) and all(isinstance(old, str) for old in digests):
            return entries
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    raise InputError(f"{FILE} is not as `memflow audit accept` writes it; restore it from git, or delete it")
