"""Versions of the code that were shown to give the same bits, so that one need not train again for the other.

Read with every spec, hence from one small file, once.
"""

import functools
import json
from pathlib import Path
from typing import Any

from memflow.validation import ConfigError

FILE = Path(__file__).resolve().parents[2] / "accepted.json"


def check() -> None:
    """Refuse a damaged file, before anything is asked of it.

    Raises
    ------
    ConfigError
        If the file of accepted versions is not what :func:`add` writes.
    """
    _oldest()


def canonical(digest: str) -> str:
    """The oldest version that a digest of code was accepted as equal to; itself if there is none."""
    return _oldest().get(digest, digest)


def oldest() -> set[str]:
    """Versions that others were accepted as equal to."""
    return set(_oldest().values())


def add(pairs: dict[str, str], evidence: dict[str, Any]) -> None:
    """Record that new digests of code (the keys) are equal to old ones, and what shows it."""
    from memflow.files import write_bytes  # not at the top: numpy, which a spec does not need

    write_bytes(FILE, with_pairs(pairs, evidence))
    _oldest.cache_clear()


def with_pairs(pairs: dict[str, str], evidence: dict[str, Any]) -> bytes:
    """What the file holds with further pairs."""
    entries = [*_read(), {"equal": pairs, "evidence": evidence}]
    return (json.dumps(entries, indent=1, sort_keys=True) + "\n").encode()


@functools.cache
def _oldest() -> dict[str, str]:
    older = {new: old for entry in _read() for new, old in entry["equal"].items()}
    return {new: _end(new, older) for new in older}


def _end(digest: str, older: dict[str, str]) -> str:
    seen = set()
    while digest in older:
        if digest in seen:
            raise _damaged()
        seen.add(digest)
        digest = older[digest]
    return digest


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
    raise _damaged()


def _damaged() -> ConfigError:
    return ConfigError(f"{FILE} is not as `memflow audit accept` writes it; restore it from git, or delete it")
