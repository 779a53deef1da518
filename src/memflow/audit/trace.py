"""Where a file came from: its ancestry in facts and in one sentence, from the records alone."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from memflow.audit.records import Records, run_of

NAMED = 3  # targets in a sentence; more are counted

Found = dict[str, Any]


def find(records: Records, names: list[str]) -> Found:
    """The ancestry of some files.

    Parameters
    ----------
    records : Records
    names : list of str
        As in :class:`~memflow.audit.records.Records`.

    Returns
    -------
    dict
        ``target``, the names; ``sentence``; ``warnings``, texts; ``datasets``: name, ``sha256``, ``fingerprint``;
        ``runs``, an entry for each dataset, architecture and method (:func:`runs_of`); ``jobs``, inputs first: their
        ``outputs`` and ``inputs`` with SHA-256, ``stage``, times, ``commit`` and whether its code was ``dirty``.
    """
    closure = records.ancestry(*names)
    runs = runs_of(records, closure)
    datasets = [
        {"name": name, "sha256": records.recorded(name), "fingerprint": (records.of(name) or {}).get("fingerprint")}
        for name in closure
        if name.startswith("data/") and name.endswith(".npz")
    ]
    jobs = list(_jobs(records, closure))
    found = {"target": names, "datasets": datasets, "runs": runs, "jobs": jobs}
    return {**found, "warnings": list(_warnings(records, closure, found)), "sentence": _sentence(found)}


def runs_of(records: Records, closure: list[str]) -> list[Found]:
    """What is known of the runs behind some files.

    Returns
    -------
    list of dict
        ``dataset``, ``architecture``, ``method``; ``blocks``, ``runs``; ``seeds``, the first and the last; ``missing``
        and ``repeated`` seeds; ``not_converged``, how many runs missed their in-sample target, None where no counts
        were made of them; ``commits``, ``devices``, ``torch``: how many blocks of each; ``dirty`` blocks; ``started``,
        ``finished``; ``hours`` of their jobs by kind of device, since the last interruption of each.
    """
    grouped: dict[tuple[str, str, str], list[Found]] = {}
    for name, record in records.blocks(closure):
        grouped.setdefault(run_of(name), []).append(record)
    flagged = dict(_not_converged(records, closure))
    return [
        {**dict(zip(("dataset", "architecture", "method"), run, strict=True)), **_summary(of, flagged.get(run))}
        for run, of in grouped.items()
    ]


def _jobs(records: Records, closure: list[str]) -> Iterator[Found]:
    seen: set[str] = set()
    for name in closure:
        record = records.of(name)
        if record is None or name in seen:
            continue
        siblings = records.siblings(name)
        seen.update(siblings)
        circumstance = record["circumstance"]
        yield {
            "stage": record["definition"].get("stage"),
            "outputs": {sibling: record["outputs"][PurePosixPath(sibling).name] for sibling in siblings},
            "inputs": records.inputs(name),
            **{
                key: circumstance.get(key) for key in ("started", "finished", "commit", "dirty", "host", "slurm_job_id")
            },
            "bit_conditions": record["bit_conditions"],
        }


def _summary(of_blocks: list[Found], not_converged: int | None) -> Found:
    """Of the blocks of one dataset, architecture and method."""
    seeds = Counter(seed for record in of_blocks for seed in range(*record["definition"]["seeds"]))
    circumstances = [record["circumstance"] for record in of_blocks]
    conditions = [record["bit_conditions"] for record in of_blocks]
    hours = {"core": 0.0, "GPU": 0.0}
    for at, under in zip(circumstances, conditions, strict=True):
        hours["GPU" if under.get("device") == "cuda" else "core"] += _took(at) / timedelta(hours=1)
    return {
        "blocks": len(of_blocks),
        "runs": sum(seeds.values()),
        "seeds": [min(seeds), max(seeds)],
        "missing": [seed for seed in range(max(seeds)) if seed not in seeds],
        "repeated": [seed for seed, times in sorted(seeds.items()) if times > 1],
        "not_converged": not_converged,
        "commits": dict(Counter(str(at["commit"]) for at in circumstances)),
        "dirty": sum(bool(at["dirty"]) for at in circumstances),
        "devices": dict(Counter(f"{of.get('device')} ({of.get('device_name')})" for of in conditions)),
        "torch": dict(Counter(str(of.get("torch")) for of in conditions)),
        "started": min(at["started"] for at in circumstances),
        "finished": max(at["finished"] for at in circumstances),
        "hours": {kind: took for kind, took in hours.items() if took},
    }


def _took(circumstance: Found) -> timedelta:
    return datetime.fromisoformat(circumstance["finished"]) - datetime.fromisoformat(circumstance["started"])


def _not_converged(records: Records, closure: list[str]) -> Iterator[tuple[tuple[str, str, str], int]]:
    for name in closure:
        if name.startswith("counts/") and records.path(name).is_file():
            with np.load(records.path(name)) as file:
                yield run_of(name), int((~file["converged"]).sum())


def _warnings(records: Records, closure: list[str], found: Found) -> Iterator[str]:
    """What a reader should know before believing the target."""
    for name in closure:
        if records.of(name) is None and not name.startswith(("./", "/")):
            yield f"{name} has no readable record, so that nothing is known of it"
        for other, digest in records.inputs(name).items():
            if records.of(other) and records.recorded(other) != digest:
                yield f"{name} was made from another {other} than the one whose record lies there now"
    commits = Counter(str(job["commit"]) for job in found["jobs"])
    if len(commits) > 1:
        counted = ", ".join(f"{commit[:10]} ({times} jobs)" for commit, times in commits.most_common())
        yield f"made by more than one commit: {counted}"
    if dirty := sum(bool(job["dirty"]) for job in found["jobs"]):
        yield f"{dirty} of {len(found['jobs'])} jobs ran uncommitted code"
    yield from (f"{'/'.join(_names(of))}: {text}" for of in found["runs"] for text in _of_runs(of))
    for kind, plural in (("devices", "kinds of device"), ("torch", "versions of PyTorch")):
        used = sorted({name for of in found["runs"] for name in of[kind]})
        if len(used) > 1:
            yield f"runs were made under {len(used)} {plural}: {', '.join(used)}"


def _of_runs(of: Found) -> Iterator[str]:
    for kind in ("missing", "repeated"):
        if of[kind]:
            yield f"{len(of[kind])} seeds are {kind}: {_listed(of[kind])}"
    if of["not_converged"]:
        yield f"{of['not_converged']} of {of['runs']} runs missed their in-sample target"


def _listed(seeds: list[int], most: int = 5) -> str:
    return ", ".join(map(str, seeds[:most])) + (" …" if len(seeds) > most else "")


def _names(of: Found) -> list[str]:
    return [of[key] for key in ("dataset", "architecture", "method")]


def _sentence(found: Found) -> str:
    """Such as: 5 architectures x 400 runs, seeds 0-399 without gap or repeat, one commit, clean, …"""
    parts = [part for part in (*_sampled(found["runs"]), *_made(found), *_when(found["runs"])) if part]
    targets = [PurePosixPath(name).name for name in found["target"]]
    named = ", ".join(targets) if len(targets) <= NAMED else f"{len(targets):,} files"
    return f"{named}: {', '.join(parts)}"


def _sampled(runs: list[Found]) -> Iterator[str]:
    if not runs:
        yield "no runs"
        return
    sizes = sorted({of["runs"] for of in runs})
    what = [
        f"{len(set(values)):,} {name}{'' if len(set(values)) == 1 else 's'}"
        for name, values in (
            ("architecture", [of["architecture"] for of in runs]),
            ("method", [of["method"] for of in runs]),
        )
    ]
    several = f"{what[0]}, {what[1]}" if len({of["method"] for of in runs}) > 1 else what[0]
    yield f"{several} x {' or '.join(f'{size:,}' for size in sizes)} runs"
    gaps = [kind for kind in ("missing", "repeated") if any(of[kind] for of in runs)]
    ends = sorted({of["seeds"][1] for of in runs})
    seeds = f"seeds 0-{ends[-1]}"
    yield f"{seeds}, some of them {' and some '.join(gaps)}" if gaps else f"{seeds} without gap or repeat"


def _made(found: Found) -> Iterator[str]:
    commits, dirty = {job["commit"] for job in found["jobs"]}, {job["dirty"] for job in found["jobs"]}
    if commits == {None}:
        yield "of no known commit"
    elif len(commits) == 1:
        yield f"one commit ({str(*commits)[:10]})"
    else:
        yield f"{len(commits)} commits"
    if None not in commits:
        yield "with uncommitted changes" if True in dirty else "clean"
    yield from (f"{PurePosixPath(of['name']).stem} sha256 {str(of['sha256'])[:12]}" for of in found["datasets"])
    devices = {name for of in found["runs"] for name in of["devices"]}
    if devices:
        yield f"on {next(iter(devices))}" if len(devices) == 1 else f"{len(devices)} kinds of device"


def _when(runs: list[Found]) -> Iterator[str]:
    if runs:
        yield f"trained {_days(min(of['started'] for of in runs), max(of['finished'] for of in runs))}"
        totals = ((kind, sum(of["hours"].get(kind, 0) for of in runs)) for kind in ("GPU", "core"))
        yield " and ".join(f"{hours:,.2g} {kind}-hours" for kind, hours in totals if hours)


def _days(started: str, finished: str) -> str:
    first, last = (datetime.fromisoformat(text) for text in (started, finished))
    if first.date() == last.date():
        return f"{last.day} {last:%B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}-{last.day} {last:%B %Y}"
    return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"
