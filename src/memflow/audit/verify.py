"""Whether files are what their records say, and records what can be derived again.

Each file is read and hashed, and compared with its own record and with those of all that was made from it, so that a
record that was written anew to fit a changed file disagrees with its children's. Records are held against each other
(:mod:`memflow.audit.consistency`). What follows from seeds, bits and counts is derived again
(:mod:`memflow.audit.derive`).

What cannot be found, since only the forged records themselves tell of it:

- Bits, losses or log-odds that were changed in a block, if every record, count, score and figure after it was made
  again to fit; `memflow audit rerun` finds these. In a block outside of the sample, fitting records are enough.
- A table, figure or report that was changed with its record, if the records of all that came after it were changed,
  too: of the audit, which saw every table and figure, and of the report, which nothing came after.
- What one record alone names: commit, host, versions, and the definitions of figures, claims, audit and report, which
  `memflow audit status` holds against config and code.
"""

import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from memflow import provenance
from memflow.audit import consistency, derive
from memflow.audit.records import Records
from memflow.errors import InputError
from memflow.progress import steadily
from memflow.text import duration, size

AUDIT = "audit.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verified:
    """What a verification looked at, and found.

    Attributes
    ----------
    problems : list of str
        Each names its file first.
    files, bytes : int
        That were read.
    seconds : float
        That reading them took.
    derived : dict of str to int
        What was derived again, and how often.
    """

    problems: list[str]
    files: int
    bytes: int
    seconds: float
    derived: dict[str, int]


def run(records: Records, names: list[str], *, sample: int | None = 3, workers: int | None = None) -> Verified:
    """Verify some files and all that they were made from.

    Parameters
    ----------
    records : Records
    names : list of str
        As in :class:`~memflow.audit.records.Records`; of a folder, all that is recorded in it.
    sample : int, optional
        Blocks of each dataset, architecture and method whose bits are counted again, chosen at random by a fixed seed;
        None for all.
    workers : int, optional
        Files that are read at once; as many as there are processors if not given.

    Raises
    ------
    InputError
        If there is nothing to verify.
    """
    targets = [file for name in names for file in _files(name, records)]
    if not targets:
        raise InputError(
            f"{records.results} has no files with records, so that there is nothing to verify; run snakemake"
        )
    closure = list(dict.fromkeys(name for one in records.ancestry(*targets) for name in _with_siblings(one, records)))
    there = [name for name in closure if records.path(name).is_file()]
    started = time.monotonic()
    _hash(records, there, workers or os.cpu_count() or 1)
    seconds = time.monotonic() - started
    problems = [f"{name}: {problem}" for name in closure for problem in _file(name, records)]
    found, derived = derive.check(records, closure, sample)
    read = sum(records.path(name).stat().st_size for name in there)
    return Verified(list(dict.fromkeys([*problems, *found])), len(there), read, seconds, derived)


def describe(found: Verified) -> str:
    """The problems, then what was looked at."""
    rate = f"{size(found.bytes / max(found.seconds, 1e-9))}/s"
    read = f"read {found.files:,} files, {size(found.bytes)} in {duration(found.seconds)} ({rate})"
    again = ", ".join(f"{times:,} {what}" for what, times in found.derived.items())
    lines = [*found.problems, *([""] if found.problems else []), f"{read}; derived again: {again or 'nothing'}"]
    number = f"{len(found.problems):,} problem{'' if len(found.problems) == 1 else 's'}"
    return "\n".join([*lines, number if found.problems else "no problems: all files are what their records say"])


def _files(name: str, records: Records) -> list[str]:
    """A file, or those of a folder."""
    if not records.path(name).is_dir():
        return [name]
    return [file for file in records.names() if name == "." or file.startswith(f"{name}/")]


def _with_siblings(name: str, records: Records) -> list[str]:
    """A file and the others that its job made; weights may have been deleted, once students had learnt from them."""
    return [
        other
        for other in dict.fromkeys([*records.siblings(name), name])
        if records.path(other).exists() or not other.endswith(".weights.npz")
    ]


def _hash(records: Records, names: list[str], workers: int) -> None:
    """Read all files, several at once: hashing lets other threads run."""
    with ThreadPoolExecutor(workers) as pool:
        for _ in steadily(pool.map(records.actual, names), "files read", len(names)):
            pass


def _file(name: str, records: Records) -> Iterator[str]:
    """What is wrong with one file and its record."""
    path, record, actual = records.path(name), records.of(name), records.actual(name)
    if name.startswith(("./", "/")):
        return  # of the user's own, or the project's: only those that read it can tell (below, in _inputs)
    for one in (path, provenance.sidecar(path)):
        if one.is_symlink():
            what = "is" if one == path else "has a record that is"
            yield f"{what} a link to {os.readlink(one)}, which can be changed unseen; put the file itself in its place"
    if record is None:
        there = "has no" if path.exists() else "is not there, and has no"
        yield f"{there} readable record of its own; delete what there is of it and run snakemake"
        return
    if actual is None:
        yield "is missing, though it is recorded; run snakemake"
    elif actual != records.recorded(name):
        hashes = f"sha256 {actual[:12]}, recorded {str(records.recorded(name))[:12]}"
        yield f"is not what its record describes ({hashes}): edited, truncated or swapped; delete it and run snakemake"
    else:
        yield from _later_seen(record, actual, records.inputs(AUDIT).get(name), records.of(AUDIT))
    if any(records.of(other) not in (None, record) for other in records.siblings(name)):
        yield "has another record than the other files of its job; delete them and run snakemake"
    yield from _assets(name, records)
    yield from _inputs(name, records)
    yield from consistency.problems(name, records)


def _assets(name: str, records: Records) -> Iterator[str]:
    """What a page loads that is not what it was made with."""
    for asset, recorded in records.assets(name).items():
        if (actual := records.actual(asset)) != recorded:
            what = f"sha256 {actual[:12]}, recorded {recorded[:12]}" if actual else "it is missing"
            yield f"loads {asset}, which is not what it was made with ({what}); delete {name} and run snakemake"


def _later_seen(record: dict[str, Any], actual: str, seen: str | None, audit: dict[str, Any] | None) -> Iterator[str]:
    """Whether the audit of the study, if it is younger than a file's record, saw another file."""
    if audit is None or seen in (None, actual):
        return
    of_file, of_audit = (str(of["circumstance"].get("finished")) for of in (record, audit))
    if of_file <= of_audit:
        yield (
            f"is not the file that the audit of the study saw later (sha256 {actual[:12]}, then {str(seen)[:12]}): it "
            "was changed, and its record with it; delete it and run snakemake"
        )


def _inputs(name: str, records: Records) -> Iterator[str]:
    """Inputs that are not what a file was made from."""
    elsewhere = []  # such as images that were deleted once they were prepared
    for other, recorded in records.inputs(name).items():
        actual = records.actual(other)
        if actual is None and other.endswith(".weights.npz"):
            actual = records.recorded(other)
        if actual is None and other.startswith(("./", "/")):
            elsewhere.append(other)
        elif actual is None:
            yield f"was made from {other}, which is missing; run snakemake"
        elif actual != recorded:
            yield (
                f"was made from another {other} (sha256 {recorded[:12]}) than lies there now ({actual[:12]}); one of "
                "the two was changed since: delete the wrong one and run snakemake"
            )
    if elsewhere:
        more = f" and {len(elsewhere) - 1} more" if len(elsewhere) > 1 else ""
        log.warning("%s: made from %s%s, outside of the results and not there to compare", name, elsewhere[0], more)
