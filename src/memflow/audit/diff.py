"""What differs between two results, studies or commits: in identity, in numbers, in circumstance, in neither."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from memflow import provenance
from memflow.audit import commits, identity, numbers
from memflow.audit.records import Records
from memflow.errors import InputError
from memflow.text import aligned

NOT_COMPARED = ("started", "finished", "slurm_job_id", "code")  # parts of a circumstance that say nothing, or elsewhere
PICTURES = (".pdf", ".png")
SHOWN = 3  # files and reasons
KINDS = {
    "same": "the same identity and bytes",
    "identity": "another identity, the same bytes",
    "bytes": "the same identity, other bytes",
    "both": "another identity, other bytes",
    "only A": "only in A",
    "only B": "only in B",
}


@dataclass(frozen=True)
class Result:
    """One file of results, as it lies there and as it was recorded.

    Attributes
    ----------
    records : Records
        Of its folder or of one above.
    name : str
        From there.
    """

    records: Records
    name: str

    @property
    def path(self) -> Path:
        return self.records.path(self.name)

    @cached_property
    def record(self) -> Mapping[str, Any] | None:
        return self.records.of(self.name)

    @property
    def circumstance(self) -> Mapping[str, Any]:
        """Bit conditions, versions, host and commit."""
        if not self.record:
            return {}
        lasting = {key: value for key, value in self.record["circumstance"].items() if key not in NOT_COMPARED}
        return {**lasting, **self.record["bit_conditions"]}

    @property
    def modules(self) -> Mapping[str, str]:
        """Hashes of the code that made it, by module."""
        return self.record["circumstance"].get("code", {}) if self.record else {}

    @property
    def clean_commit(self) -> str | None:
        """The commit that holds the code that made it."""
        circumstance = self.record["circumstance"] if self.record else {}
        return None if circumstance.get("dirty", True) else str(circumstance["commit"])


def describe(a: str, b: str, configfile: Path | None = None) -> str:
    """What differs between two files of results, two folders of results, or two commits.

    Parameters
    ----------
    a, b : str
        Paths or names of commits; a path that exists is one.
    configfile : Path, optional
        Of the study, to compare two commits; by default ``config.yaml``.

    Raises
    ------
    InputError
        If one of them is neither, if they are not of one kind, or cannot be read.
    """
    kinds = [_kind(a), _kind(b)]
    if kinds[0] != kinds[1]:
        raise InputError(
            f"{a} is a {kinds[0]} and {b} is a {kinds[1]}; compare two files, two folders of results or two commits"
        )
    if kinds[0] == "file":
        return _files(*(Result(Records(path.parent), path.name) for path in (Path(a), Path(b))))
    if kinds[0] == "folder":
        return _folders(Records(Path(a)), Records(Path(b)))
    return commits.describe(a, b, configfile)


def _kind(text: str) -> str:
    path = Path(text)
    if path.exists():
        return "folder" if path.is_dir() else "file"
    if commits.find(text):
        return "commit"
    git = "" if provenance.commit() else " (this is no git checkout, which has no commits)"
    raise InputError(f"{text} is neither a file, nor a folder of results, nor a commit of this project{git}")


def _files(a: Result, b: Result) -> str:
    compared, apart = _numbers(a, b)
    of_identity, of_circumstance = _identity(a, b), _circumstance(a, b)
    same_bytes = a.records.actual(a.name) == b.records.actual(b.name)
    lines = [f"{side}  {of.path}  sha256 {str(of.records.actual(of.name))[:12]}" for side, of in (("A", a), ("B", b))]
    lines += [*_warnings(a, b), ""]
    lines += _section("Identity", of_identity, "the same" if a.record and b.record else "not recorded")
    lines += _section(f"Numbers ({compared})", apart, "the same")
    lines += _section("Circumstance", of_circumstance, "the same, but for the time")
    neither = ["the bytes, such as the order of rows or what is written beside them"] if not same_bytes else []
    return "\n".join(lines + ([] if apart else _section("In neither", neither, "nothing, every byte is the same")))


def _warnings(a: Result, b: Result) -> list[str]:
    """Which of two files is not to be believed."""
    lines = []
    for side, of in (("A", a), ("B", b)):
        if of.record is None:
            lines.append(f"warning: {side} has no readable record, so that nothing is known of how it was made")
        elif of.records.actual(of.name) != of.records.recorded(of.name):
            lines.append(f"warning: {side} is not the file that its record describes: edited, truncated or swapped")
    return lines


def _section(title: str, differences: list[str], otherwise: str) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in differences)] if differences else [f"{title}: {otherwise}"]


def _numbers(a: Result, b: Result) -> tuple[str, list[str]]:
    """How the numbers differ; a figure's are in the table beside it."""
    paths = [a.path, b.path]
    if all(path.suffix in PICTURES and path.with_suffix(".csv").is_file() for path in paths):
        compared, apart = numbers.differences(*(path.with_suffix(".csv") for path in paths))
        return f"{compared} of the tables beside the figures", apart
    return numbers.differences(*paths)


def _identity(a: Result, b: Result) -> list[str]:
    """Where the definitions differ, as far as they are recorded."""
    if a.record is None or b.record is None:
        return []
    code = identity.changed_code(a.modules, b.modules, a.clean_commit, b.clean_commit)
    return identity.differences(a.record["definition"], b.record["definition"], code)


def _circumstance(a: Result, b: Result) -> list[str]:
    """Inputs, bit conditions, versions, host and commit that are not the same."""
    if a.record is None or b.record is None:
        return []
    return [*_inputs(a, b), *map(identity.sided, provenance.differences(a.circumstance, b.circumstance))]


def _inputs(a: Result, b: Result) -> list[str]:
    """One sentence on the files that only one of two was made from; those of other bytes count."""
    left, right = a.records.inputs(a.name), b.records.inputs(b.name)
    other = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    return [f"made from other files: {_listed(other)}"] if other else []


def _folders(a: Records, b: Records) -> str:
    names = {"A": _recorded(a), "B": _recorded(b)}
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted({*names["A"], *names["B"]}):
        groups.setdefault(_group(Result(a, name), Result(b, name)), []).append(name)
    stages = list(dict.fromkeys(stage for stage, _ in groups))
    rows = [["stage", *KINDS], *([stage, *(_count(groups, stage, kind) for kind in KINDS)] for stage in stages)]
    lines = [f"{side}  {of.results}: {len(names[side]):,} files" for side, of in (("A", a), ("B", b))]
    lines += ["", *aligned(rows, text_columns=1)]
    for (stage, kind), group in groups.items():
        if kind != "same":
            why = [] if kind.startswith("only") else _why(a, b, group)
            lines += ["", f"{stage}, {KINDS[kind]}: {_listed(group)}", *why]
    if all(kind == "same" for _, kind in groups):
        return "\n".join([*lines, "", "All files are the same, in identity and in every byte."])
    return "\n".join([*lines, "", "How the numbers of one file differ: memflow audit diff A/FILE B/FILE"])


def _recorded(records: Records) -> list[str]:
    """The files that have a record, and are there."""
    names = [name for name in records.names() if records.path(name).is_file()]
    if not names:
        raise InputError(f"{records.results} holds no results with a record; name a folder results/<study>")
    return names


def _group(a: Result, b: Result) -> tuple[str, str]:
    """Stage of a file, and which of KINDS."""
    record = a.record or b.record
    stage = str(record["definition"].get("stage", "other")) if record else "other"
    digests = [of.records.probable(of.name) for of in (a, b)]
    if None in digests:
        return stage, "only B" if digests[0] is None else "only A"
    recorded = a.record is not None and b.record is not None
    is_same = recorded and not _identity(a, b)
    if digests[0] == digests[1]:
        return stage, "same" if is_same else "identity"
    return stage, "bytes" if is_same else "both"


def _count(groups: dict[tuple[str, str], list[str]], stage: str, kind: str) -> str:
    return f"{len(groups[stage, kind]):,}" if (stage, kind) in groups else ""


def _why(a: Records, b: Records, group: list[str]) -> list[str]:
    """What most often differs between the files of a group: in identity, or else in circumstance."""
    pairs = [(Result(a, name), Result(b, name)) for name in group]
    found = Counter(reason for pair in pairs for reason in (_identity(*pair) or _circumstance(*pair)))
    lines = [
        f"  {reason}{f' ({times:,} files)' if len(group) > 1 else ''}" for reason, times in found.most_common(SHOWN)
    ]
    lines += [f"  and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    return lines or ["  nothing that was recorded explains it"]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
