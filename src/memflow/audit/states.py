"""What is still true of a study's results: every file against its record, the config, the code and its inputs.

What Snakemake would run again is what is not fresh here, but for what only one of the two can see: Snakemake notices an
edited rule, and files that were touched; this notices files that were edited, swapped, or lost their record.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from memflow import config, digest, outputs, provenance, uncommitted
from memflow.audit import code
from memflow.audit.audited import Audited
from memflow.audit.records import Records
from memflow.outputs import Job
from memflow.text import aligned

STATES = ("fresh", "stale-code", "stale-config", "stale-input", "tampered", "no-record", "missing")
WORST_FIRST = ("missing", "no-record", "tampered", "stale-config", "stale-code", "stale-input")
SHOWN = 3  # files of one state with one reason, and reasons of one file
LONGEST = 160  # letters of a difference

Reason = tuple[str, str]  # state, and why


@dataclass(frozen=True)
class State:
    """What is true of one file.

    Attributes
    ----------
    name : str
        As in :class:`~memflow.audit.records.Records`.
    stage : str
    state : str
        One of STATES; of several, the worst.
    reasons : tuple of str
        Of all of them.
    """

    name: str
    stage: str
    state: str
    reasons: tuple[str, ...] = ()

    @property
    def is_fresh(self) -> bool:
        return self.state == "fresh"


def of_targets(of: Audited, targets: list[Path]) -> list[State]:
    """States of some files, or of all that the study has.

    Parameters
    ----------
    of : Audited
    targets : list of Path
        As one would type them; none for all.

    Raises
    ------
    InputError
        If a target is not in the study's results.
    """
    found = find(of)
    if not targets:
        return list(found.values())
    gone = "the study, as its config is now, has no such output"
    return [found.get(name, State(name, "", "no-record", (gone,))) for name in map(of.records.name, targets)]


def find(of: Audited) -> dict[str, State]:
    """States of all files of a study by name, upstream first."""
    found: dict[str, State] = {}
    for job in outputs.jobs(of.study):
        for name, reasons in _of_job(job, of.records, found):
            worst = next((state for state in WORST_FIRST if state in dict(reasons)), "fresh")
            found[name] = State(name, job.stage, worst, tuple(dict.fromkeys(why for _, why in reasons)))
    return found


def describe(of: Audited, states: list[State], everything: bool = False) -> str:
    """A table of stages and states, then what is not fresh and why; with ``everything`` also what is."""
    shown = [state for state in STATES if any(one.state == state for one in states)]
    rows = [["stage", *shown]]
    for stage in dict.fromkeys(one.stage for one in states):
        of_stage = [one.state for one in states if one.stage == stage]
        rows.append([stage, *(f"{of_stage.count(state):,}" if state in of_stage else "" for state in shown)])
    lines = [f"Study {of.study.name}, {of.records.results}: {len(states):,} files", "", *aligned(rows, text_columns=1)]
    if everything:
        lines += ["", *(f"{one.name}: {one.state}" for one in states if one.is_fresh)]
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for one in states:
        if not one.is_fresh:
            together.setdefault((one.state, one.reasons), []).append(one.name)
    for (state, reasons), names in together.items():
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        lines += ["", f"{state}: {', '.join(names[:SHOWN])}{more}", *(f"  {reason}" for reason in reasons[:SHOWN])]
        lines += [f"  and {len(reasons) - SHOWN} more reasons"] if len(reasons) > SHOWN else []
    if marked := sum(provenance.was_dirty(of.records.path(one.name)) for one in states):
        lines += ["", f"warning: {marked:,} files were {uncommitted.STAMP}"]
    if not together:
        lines += ["", "All are fresh: made from what config, code and inputs are now, and not changed since."]
    return "\n".join(lines)


def _of_job(job: Job, records: Records, found: dict[str, State]) -> Iterator[tuple[str, list[Reason]]]:
    """Each file of a job, with all that speaks against it."""
    record = records.of(job.output)
    if record is None:
        yield job.output, [_unrecorded(job.output, records)]
        return
    shared = [*_definition(job, record), *_inputs(job, record, records, found)]
    for name in records.siblings(job.output):
        if name.endswith(".weights.npz") and not records.path(name).exists():
            continue  # deleted, once every student had learnt from them
        yield name, [*_file(name, record, records), *shared]


def _unrecorded(name: str, records: Records) -> Reason:
    path = records.path(name)
    if not path.exists():
        return "missing", "not there; snakemake makes it"
    sidecar = provenance.sidecar(path)
    wrong = "is unreadable, or describes other files" if sidecar.exists() else "is missing"
    return "no-record", f"its sidecar {sidecar.name} {wrong}; delete the file and run snakemake"


def _file(name: str, record: dict[str, Any], records: Records) -> Iterator[Reason]:
    """Whether a file is what its record describes."""
    if not records.path(name).exists():
        yield "missing", "not there, though its record is; snakemake makes it"
    elif records.of(name) is None:
        yield _unrecorded(name, records)
    elif records.of(name) != record:
        yield "tampered", "its sidecar differs from those of the other files of its job"
    elif records.probable(name) != records.recorded(name):
        yield "tampered", "not the file that its sidecar describes: edited, truncated or swapped; delete it, run again"


def _definition(job: Job, record: dict[str, Any]) -> Iterator[Reason]:
    """Where a record was made by another config or other code than they are now."""
    found, expected = ({key: _plain(key, of.get(key, "missing")) for key in job.spec} for of in _both(job, record))
    for difference in provenance.differences(found, expected):
        key = difference.partition(" is ")[0]
        if key == "code":
            yield "stale-code", _what_changed(job, record)
        elif key.endswith(".code"):
            yield "stale-code", f"the code of its {key.removesuffix('.code')} changed"
        else:
            shortened = difference if len(difference) <= LONGEST else f"{difference[:LONGEST]} …"
            yield "stale-config", shortened.replace(", expected ", ", and now ").replace(" is ", " was ", 1)


def _both(job: Job, record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record's definition and the job's spec, both as they come back from JSON."""
    return record["definition"], json.loads(config.as_text(job.spec))


def _plain(key: str, value: Any) -> Any:
    """A part of a definition; the report's config, which is text, key by key."""
    return yaml.safe_load(value) if key == "config" else value


def _what_changed(job: Job, record: dict[str, Any]) -> str:
    """Functions whose code changed since a record was made, or modules, as far as that can be told."""
    circumstance, targets = record["circumstance"], config.code_targets(job.spec)
    commit = None if circumstance["dirty"] else circumstance["commit"]
    if changed := code.explain(commit, targets):
        return f"changed since commit {str(commit)[:10]}: {'; '.join(changed)}"
    then, now = circumstance.get("code", {}), digest.modules(*targets)
    if modules := sorted(name for name in {*then, *now} if then.get(name) != now.get(name)):
        return f"changed since: {', '.join(modules)}"
    return f"its code changed (digest {record['definition']['code']}, now {job.spec['code']})"


def _inputs(job: Job, record: dict[str, Any], records: Records, found: dict[str, State]) -> Iterator[Reason]:
    """Inputs that are not what a job's outputs were made from, or are not fresh themselves."""
    if job.stage == "runs":  # what was trained stays trained, whatever becomes of the file, if the images are the same
        yield from _other_images(job, record, records)
        return
    for name, recorded in records.inputs(job.output).items():
        if name in found and not found[name].is_fresh:
            yield "stale-input", f"{name} is {found[name].state}"
        elif not records.path(name).exists():
            yield "stale-input", f"{name} is not there any more"
        elif records.probable(name) != recorded:
            yield "stale-input", f"{name} was another file when this was made from it"


def _other_images(job: Job, record: dict[str, Any], records: Records) -> Iterator[Reason]:
    dataset = f"data/{job.output.split('/')[1]}.npz"
    prepared, definition = records.of(dataset), record["definition"]
    if prepared and prepared.get("fingerprint") != definition.get("fingerprint"):
        then = str(definition.get("fingerprint"))[:12]
        yield "stale-input", f"trained on other images or labels ({then}) than {dataset} has now; delete it, run again"
