"""After a change of code that should change no result: show that it changes none, and record that.

Runs are trained again by the code as it is now (:mod:`memflow.audit.rerun`). All other outputs that the change makes
stale are made again by Snakemake in a scratch copy of project and results, and compared byte for byte.
"""

import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memflow import accepted, config, outputs, provenance
from memflow.audit import rerun
from memflow.audit.audited import Audited
from memflow.audit.records import Records, run_of
from memflow.config import as_yaml
from memflow.errors import InputError
from memflow.outputs import Job

LAST = ("audit", "report")  # what shows the records of others, and is compared while these are still the recorded ones
SEED = 0
COPIED = ("src", "workflow", "profiles", "envs", "Snakefile")
LEFT = ("results", "accepted.json", ".git", ".snakemake")
SHOWN = 3  # versions
CONFIG = "study-to-accept.yaml"

log = logging.getLogger(__name__)


@dataclass
class Accepted:
    """What was shown.

    Attributes
    ----------
    pairs : dict of str to str
        Digests of code as it is now, and those that the results were recorded with.
    runs : list of Rerun
        Trained again.
    made : dict of str to str
        SHA-256 of the outputs that were made again and are the same.
    problems : list of str
        What is not the same.
    """

    pairs: dict[str, str]
    runs: list[rerun.Rerun] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_accepted(self) -> bool:
        return not self.problems


def run(of: Audited, sample: int) -> Accepted:
    """Show that changed code gives the recorded bits, and if it does, record the digests as equal.

    Parameters
    ----------
    of : Audited
    sample : int
        Blocks of which runs are trained again; at least one of each version of the training code that has changed.

    Raises
    ------
    InputError
        If results of one kind were made by more than one version of the code, or nothing can be made again.
    """
    changed = made_by_other_code(of)
    found = Accepted({job.spec["code"]: _recorded_code(job, of.records) for job in changed})
    for job in _sample([job for job in changed if job.stage == "runs"], sample):
        seed = random.Random(f"{SEED} {job.output}").randrange(*job.spec["seeds"])
        found.runs.append(rerun.run(of.records, job.output, seed))
    found.problems += [rerun.describe(one) for one in found.runs if not one.within(0)]
    others = [job for job in changed if job.stage != "runs"]
    if others and found.is_accepted:
        with tempfile.TemporaryDirectory(prefix="memflow-accept-") as folder:
            _make_again(of, others, found, Path(folder))
    if found.pairs and found.is_accepted:
        accepted.add(found.pairs, _evidence(of, found))
    return found


def describe(found: Accepted) -> str:
    """What was trained and made again, and what follows."""
    if not found.pairs:
        return "Nothing to accept: no result was made by other code, and nothing else otherwise, than it would be now."
    lines = [f"trained again, bit-identical: {one.name}, seeds {one.seeds[0]} to {one.seeds[-1]}" for one in found.runs]
    lines = [line for line, one in zip(lines, found.runs, strict=True) if one.within(0)]
    lines += [f"made again, the same bytes: {len(found.made)} files"] if found.made else []
    if found.problems:
        return "\n".join([*lines, *found.problems, "Not accepted: the code gives other results; snakemake makes them."])
    equal = [f"{new} = {old}" for new, old in found.pairs.items()]
    more = [f"and {len(equal) - SHOWN} more"] if len(equal) > SHOWN else []
    listed = ", ".join([*equal[:SHOWN], *more])
    return "\n".join([*lines, f"Accepted ({listed}) in {accepted.FILE.name}; commit it together with the change."])


def made_by_other_code(of: Audited) -> list[Job]:
    """Jobs whose outputs were made by other code, and nothing else otherwise, than they would be now.

    Raises
    ------
    InputError
        If some outputs of one kind were made by another version of the code than others.
    """
    recorded: dict[str, dict[str, list[Job]]] = {}
    for job in outputs.jobs(of.study):
        record = of.records.of(job.output)
        if record and "code" in record["definition"] and _is_otherwise_fresh(job, record, of.records):
            then = record["definition"]["code"]
            recorded.setdefault(job.spec["code"], {}).setdefault(then, []).append(job)
    for now, versions in recorded.items():
        _refuse_mixture(now, versions)
    return [job for now, versions in recorded.items() for then in versions if then != now for job in versions[then]]


def _recorded_code(job: Job, records: Records) -> str:
    return str(records.of(job.output)["definition"]["code"])  # type: ignore[index]


def _is_otherwise_fresh(job: Job, record: dict[str, Any], records: Records) -> bool:
    """Whether nothing but code differs from what an output was made from: neither config nor, but for runs, inputs."""
    spec = json.loads(config.as_text(job.spec))
    found = {key: record["definition"].get(key) for key in spec}
    inputs = {} if job.stage == "runs" else records.inputs(job.output)
    return bool(
        _without_code(found) == _without_code(spec)
        and all(records.probable(name) in (digest, None) for name, digest in inputs.items())
        and not (job.stage == "figures" and _was_marked(record, [records.path(name) for name in inputs]))
    )


def _was_marked(record: dict[str, Any], inputs: list[Path]) -> bool:
    """Whether a figure bears a mark only for its own code, then uncommitted, which it would not get again."""
    return bool(record["circumstance"]["dirty"]) and not any(map(provenance.was_dirty, inputs))


def _without_code(value: Any) -> Any:
    """A spec without the digests of code in it, however deep."""
    if isinstance(value, dict):
        return {key: _without_code(part) for key, part in value.items() if key != "code"}
    return [_without_code(part) for part in value] if isinstance(value, list) else value


def _refuse_mixture(now: str, versions: dict[str, list[Job]]) -> None:
    if len(versions) > 1:
        listed = (
            f"{len(jobs)} by {then}{' (as it is now)' if then == now else ''}, such as {jobs[0].output}"
            for then, jobs in versions.items()
        )
        raise InputError(
            f"results of one kind were made by more than one version of the code: {'; '.join(listed)}. Only one can be "
            "accepted: delete the files of the others, accept, and run snakemake, which makes those again"
        )
    for then, jobs in versions.items():
        if then != now and now in accepted.oldest():
            raise InputError(
                f"{jobs[0].output} was made by version {then} of the code, but {accepted.FILE.name} says that the code "
                f"is equal to {now}, by which other results were made, perhaps of another study. It can be equal to "
                "one of them only: run snakemake for those that take less time; or take the entry out and accept again"
            )


def _sample(jobs: list[Job], size: int) -> list[Job]:
    """One block of every version of the code, then others up to the size, of each architecture and method in turn."""
    drawn = random.Random(SEED).sample(jobs, len(jobs))
    first = {job.spec["code"]: job for job in drawn}
    taken = Counter(run_of(job.output) for job in first.values())
    turns = []
    for job in drawn:
        if job not in first.values():
            taken[run_of(job.output)] += 1
            turns.append((taken[run_of(job.output)], job))
    others = [job for _, job in sorted(turns, key=lambda turn: turn[0])]
    return [*first.values(), *others[: max(size - len(first), 0)]]


def _make_again(of: Audited, jobs: list[Job], found: Accepted, scratch: Path) -> None:
    """Make outputs again in a copy of the project in which the versions already count as equal."""
    root, results = accepted.FILE.parent, f"results/{of.study.name}"
    for source in root.iterdir():
        if source.name in COPIED:  # the code, as it is now; the rest, such as data of the user's own, is only read
            (shutil.copytree if source.is_dir() else shutil.copy)(source, scratch / source.name)
        elif source.name not in LEFT:
            (scratch / source.name).symlink_to(source)
    (scratch / CONFIG).write_text(as_yaml(of.study.config))
    (scratch / accepted.FILE.name).write_bytes(accepted.with_pairs(found.pairs, {}))
    left = shutil.ignore_patterns("*.partial", "logs")  # a job writes into its log
    shutil.copytree(of.records.results, scratch / results, copy_function=_link, ignore=left)
    for stage in (LAST, tuple({job.stage for job in jobs} - {*LAST})):
        names = [job.output for job in jobs if job.stage in stage]
        if names and not found.problems:
            _snakemake(scratch, [f"{results}/{name}" for name in names])
            found.problems += list(_compare(of.records, scratch / results, names, found))


def _link(source: str, copy: str) -> None:
    """A link as old as the file: a job puts a new file in its place, and Snakemake takes none for changed.

    No second name of the same file: the audit takes a new one for an edit.
    """
    os.symlink(os.path.abspath(source), copy)
    file = os.stat(source)
    os.utime(copy, ns=(file.st_atime_ns, file.st_mtime_ns), follow_symlinks=False)


def _snakemake(scratch: Path, targets: list[str]) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(scratch / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log.info("making %d outputs again in %s", len(targets), scratch)
    command = ["snakemake", "--cores", "all", "--configfile", CONFIG, "--force", *targets]
    done = subprocess.run(command, cwd=scratch, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"the outputs cannot be made again:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _compare(records: Records, again: Path, names: list[str], found: Accepted) -> Iterator[str]:
    """What was made again and is not what was recorded; notes the rest in what was found."""
    made = Records(again)
    for file in dict.fromkeys(file for name in names for of in (records, made) for file in of.siblings(name)):
        digest, recorded = made.actual(file), records.recorded(file)
        if digest and digest == recorded:
            found.made[file] = digest
        else:
            yield f"{file}: made again, it has other bytes (sha256 {str(digest)[:12]}, not {str(recorded)[:12]})"


def _evidence(of: Audited, found: Accepted) -> dict[str, Any]:
    changed = provenance.uncommitted()
    return {
        "study": of.study.name,
        "date": provenance.now(),
        "commit": provenance.commit(),
        "uncommitted": changed,
        "trained_again": [
            {"block": one.name, "seeds": [one.seeds[0], one.seeds[-1]], "bit_conditions": one.conditions}
            for one in found.runs
        ],
        "made_again": found.made,
    }
