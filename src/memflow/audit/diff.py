"""What differs between two results, two studies or two commits: in what they are, in numbers, in how they were made."""

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import provenance
from memflow.audit import code
from memflow.audit.audited import DEFAULT
from memflow.audit.records import Records
from memflow.errors import InputError

SHOWN = 5
KEYS = ("index", "epoch", "threshold", "start", "stop")  # numbers that say which row it is
CIRCUMSTANCE = ("commit", "dirty", "host", "python", "packages")
NOT_NUMBERS = (".pdf", ".png", ".html", ".json")
SPECS = """\
import json, sys
from pathlib import Path
from memflow import config, digest, outputs
study = config.Study(config.read(Path(sys.argv[1])))
jobs = {job.output: job.spec for job in outputs.jobs(study)}
code = {name: digest.modules(*config.code_targets(spec)) for name, spec in jobs.items()}
print(json.dumps({"specs": jobs, "code": code}))
"""


def describe(a: str, b: str, configfile: Path | None = None) -> str:
    """Compare two files of results, two folders of results, or two commits.

    Parameters
    ----------
    a, b : str
    configfile : Path, optional
        Of the study that is compared at two commits; ``config.yaml`` if not given.

    Raises
    ------
    InputError
        If they are not of one kind, or there is no such thing.
    """
    kinds = {name: _kind(name) for name in (a, b)}
    if kinds[a] != kinds[b]:
        raise InputError(f"{a} is a {kinds[a]}, but {b} is a {kinds[b]}; name two files, two folders or two commits")
    if kinds[a] == "commit":
        return "\n".join(_commits(a, b, configfile or DEFAULT))
    compare = _files if kinds[a] == "file" else _folders
    return "\n".join(compare(Path(a), Path(b)))


def _kind(name: str) -> str:
    if Path(name).exists():
        return "folder" if Path(name).is_dir() else "file"
    try:
        _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except InputError:
        raise InputError(f"there is no file, no folder and no commit {name!r}") from None
    return "commit"


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(code.ROOT), *arguments], capture_output=True, check=False)
    except OSError as error:
        raise InputError(f"git is not at hand ({error})") from None
    if done.returncode:
        raise InputError(f"git {arguments[0]}: {done.stderr.decode().strip() or 'refused'}")
    return done.stdout


def _files(a: Path, b: Path) -> Iterator[str]:
    """Two files of results, by their records and their numbers."""
    if a.suffix != b.suffix:
        raise InputError(f"{a} and {b} are files of different kinds; compare tables with tables")
    first, second = provenance.read_sidecar(a), provenance.read_sidecar(b)
    identity = _differences(first["definition"], second["definition"])
    numbers = [] if a.read_bytes() == b.read_bytes() else list(_numbers(a, b))
    yield from _section("identity (what they are a function of)", identity)
    yield from _section("numbers", numbers)
    yield from _section("circumstance (how they were made)", _differences(_made(first), _made(second)))
    yield "same bytes" if not numbers else "different bytes"


def _section(title: str, differences: list[str]) -> Iterator[str]:
    yield f"{title}: {'' if differences else 'no difference'}".rstrip()
    yield from (f"  {text}" for text in differences[: 4 * SHOWN])
    if len(differences) > 4 * SHOWN:
        yield f"  and {len(differences) - 4 * SHOWN} more"


def _made(record: dict[str, Any]) -> dict[str, Any]:
    circumstance = record["circumstance"]
    return {**record["bit_conditions"], **{key: circumstance.get(key) for key in CIRCUMSTANCE}}


def _differences(a: Any, b: Any) -> list[str]:
    """Such as ``recipe.epochs: 2 and 3``."""
    texts = provenance.differences(a, b)
    return [text.replace(" is ", ": ", 1).replace(", expected ", " and ") for text in texts]


def _numbers(a: Path, b: Path) -> Iterator[str]:
    """Where two files of other bytes hold other numbers."""
    if a.suffix in NOT_NUMBERS:
        yield f"other bytes ({a.stat().st_size:,} and {b.stat().st_size:,}); its numbers are in the table beside it"
    elif a.suffix == ".npz":
        with np.load(a) as first, np.load(b) as second:
            yield from _arrays({key: first[key] for key in first.files}, {key: second[key] for key in second.files})
    else:
        read = pd.read_parquet if a.suffix == ".parquet" else pd.read_csv
        yield from _tables(read(a), read(b))


def _arrays(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> Iterator[str]:
    for key in sorted(a.keys() | b.keys()):
        if key not in a or key not in b:
            yield f"{key}: only in {'the first' if key in a else 'the second'}"
        elif a[key].shape != b[key].shape:
            yield f"{key}: shapes {a[key].shape} and {b[key].shape}"
        elif not np.array_equal(a[key], b[key], equal_nan=a[key].dtype.kind == "f"):
            other = a[key] != b[key]
            yield f"{key}: {other.sum():,} of {other.size:,} values differ{_largest(a[key], b[key])}"


def _largest(a: np.ndarray, b: np.ndarray) -> str:
    if a.dtype.kind not in "fiu" or b.dtype.kind not in "fiu":
        return ""
    return f", by up to {np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64))):.3g}"


def _tables(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[str]:
    """Columns that differ, row by row: rows of the same keys, or where these are not unique, of the same place."""
    for name in sorted({*a.columns} ^ {*b.columns}):
        yield f"column {name}: only in {'the first' if name in a else 'the second'}"
    shared = [name for name in a.columns if name in b.columns]
    keys = [name for name in shared if name in KEYS or not pd.api.types.is_numeric_dtype(a[name])]
    if keys and not a.duplicated(keys).any() and not b.duplicated(keys).any():
        a, b = a.set_index(keys), b.set_index(keys)
        for one, other, which in ((a, b, "first"), (b, a, "second")):
            if lonely := len(one.index.difference(other.index)):
                yield f"{lonely:,} rows are only in the {which}"
        both = a.index.intersection(b.index)
        a, b = a.loc[both], b.loc[both]
    elif len(a) != len(b):
        yield f"{len(a):,} and {len(b):,} rows, without a key to match them by"
        return
    for name in (name for name in shared if name in a.columns):
        first, second = a[name].to_numpy(), b[name].to_numpy()
        differ = np.asarray(~((first == second) | (pd.isna(first) & pd.isna(second))))
        if differ.any():
            where = a.index[differ][0]
            yield f"{name}: {differ.sum():,} of {len(a):,} rows differ{_largest(first, second)}; the first at {where}"


def _folders(a: Path, b: Path) -> Iterator[str]:
    """Two folders of results, stage by stage."""
    first, second = Records(a), Records(b)
    names = {*first.names()}, {*second.names()}
    for which, only in (("first", names[0] - names[1]), ("second", names[1] - names[0])):
        if only:
            yield f"only in the {which}: {len(only):,} files: {_some(only)}"
    both = sorted(names[0] & names[1])
    differing = [name for name in both if first.actual(name) != second.actual(name)]
    for stage in dict.fromkeys(name.split("/")[0] for name in both):
        of_stage = [name for name in both if name.split("/")[0] == stage]
        other = [name for name in differing if name in of_stage]
        named = f": {_some(other)}" if other else ""
        yield f"{stage}: {len(of_stage) - len(other):,} files the same, {len(other):,} different{named}"
    for title, part in (("identity", "definition"), ("bit conditions", "bit_conditions")):
        texts = [text for name in both for text in _of_records(first.of(name), second.of(name), part)]
        yield from _section(title, list(dict.fromkeys(texts)))
    if not differing and names[0] == names[1]:
        yield "all files have the same bytes"


def _of_records(a: dict[str, Any] | None, b: dict[str, Any] | None, part: str) -> list[str]:
    return _differences(a[part], b[part]) if a and b else []


def _some(names: Any) -> str:
    shown = sorted(names)[:SHOWN]
    return ", ".join(shown) + (" …" if len(names) > SHOWN else "")


def _commits(a: str, b: str, configfile: Path) -> Iterator[str]:
    """Which outputs of a study two commits make from other specs, and the functions behind that."""
    first, second = (_at(commit, configfile) for commit in (a, b))
    specs = first["specs"], second["specs"]
    for which, only in (("first", specs[0].keys() - specs[1].keys()), ("second", specs[1].keys() - specs[0].keys())):
        if only:
            yield f"only at the {which}: {_some(only)}"
    by_reason: dict[tuple[str, ...], list[str]] = {}
    modules: set[str] = set()
    for name in (name for name in specs[0] if name in specs[1]):
        texts = tuple(text for text in _differences(specs[0][name], specs[1][name]) if not text.startswith("config: "))
        if texts:
            by_reason.setdefault(texts, []).append(name)
            then, now = first["code"][name], second["code"][name]
            modules |= {module for module in then.keys() | now.keys() if then.get(module) != now.get(module)}
    for texts, names in by_reason.items():
        yield f"{len(names):,} outputs: {_some(names)}"
        yield from (f"  {text}" for text in texts)
    if modules:
        yield "code:"
        yield from (f"  {text}" for module in sorted(modules) for text in _functions(a, b, module))
    if specs[0] == specs[1]:
        yield "no output of the study depends on what differs between the two commits"


def _functions(a: str, b: str, module: str) -> Iterator[str]:
    paths = (
        [module]
        if module.endswith(".py")
        else [f"src/{module.replace('.', '/')}{end}" for end in (".py", "/__init__.py")]
    )
    for path in paths:
        then, now = code.source_at(a, path), code.source_at(b, path)
        if then is None and now is None:
            continue
        if then is None or now is None:
            yield f"{path}: {'added' if then is None else 'removed'}"
        else:
            yield f"{path}: {', '.join(code.changed_functions(then, now))}"


def _at(commit: str, configfile: Path) -> dict[str, Any]:
    """Specs of a study by output, and the modules behind each, at a commit."""
    with tempfile.TemporaryDirectory(prefix="memflow-diff-") as folder:
        with tarfile.open(fileobj=BytesIO(_git("archive", "--format=tar", commit))) as archive:
            archive.extractall(folder, filter="data")
        if not Path(folder, "src/memflow/outputs.py").exists():
            raise InputError(f"commit {commit} is too old: its code has no list of a study's outputs")
        command = [sys.executable, "-c", SPECS, str(configfile)]
        environment = {"PYTHONPATH": f"{folder}/src", "PATH": ""}
        done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise InputError(f"commit {commit} cannot read {configfile}: {' '.join(last)}")
        return json.loads(done.stdout)
