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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memflow import accepted, config, outputs, provenance
from memflow.audit import rerun
from memflow.audit.audited import Audited
from memflow.audit.records import Records
from memflow.config import as_yaml
from memflow.errors import InputError
from memflow.files import sha256
from memflow.outputs import Job

LAST = ("audit", "report")  # what shows the records of others, and is compared while these are still the recorded ones
SEED = 0
COPIED = ("src", "workflow", "profiles", "envs", "Snakefile")
LEFT = ("results", "accepted.json", ".git", ".snakemake")
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
    changed = list(_changed(of))
    found = Accepted(_pairs(changed, of.records))
    for job in _sample([job for job in changed if job.stage == "runs"], of.records, sample):
        seeds = of.records.of(job.output)["definition"]["seeds"]  # type: ignore[index]
        found.runs.append(rerun.run(of.records, job.output, random.Random(SEED).randrange(*seeds)))
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
        return "Nothing to accept: no result was made by other code than the code as it is now."
    lines = [f"trained again, bit-identical: {one.name}, seeds {one.seeds[0]} to {one.seeds[-1]}" for one in found.runs]
    lines = [line for line, one in zip(lines, found.runs, strict=True) if one.within(0)]
    lines += [f"made again, the same bytes: {len(found.made)} files"] if found.made else []
    if found.problems:
        return "\n".join([*lines, *found.problems, "Not accepted: the code gives other results; snakemake makes them."])
    equal = ", ".join(f"{new} = {old}" for new, old in found.pairs.items())
    return "\n".join([*lines, f"Accepted ({equal}) in {accepted.FILE.name}; commit it together with the change."])


def _changed(of: Audited) -> Iterator[Job]:
    """Jobs whose outputs were made by other code, and nothing else otherwise, than it would be now."""
    for job in outputs.jobs(of.study):
        record = of.records.of(job.output)
        if record is None or record["definition"].get("code") == job.spec["code"]:
            continue
        found = {key: record["definition"].get(key, "missing") for key in job.spec}
        keys = [
            text.partition(" is ")[0] for text in provenance.differences(found, json.loads(config.as_text(job.spec)))
        ]
        if all(key == "code" or key.endswith(".code") for key in keys):
            yield job


def _pairs(jobs: list[Job], records: Records) -> dict[str, str]:
    """By the digest of the code now, the recorded one."""
    pairs: dict[str, str] = {}
    for job in jobs:
        then = records.of(job.output)["definition"]["code"]  # type: ignore[index]
        if pairs.setdefault(job.spec["code"], then) != then:
            raise InputError(
                f"{job.output} was made by another version of the code ({then}) than others of its kind "
                f"({pairs[job.spec['code']]}); run snakemake, so that all are of one version, and then accept"
            )
    return pairs


def _sample(jobs: list[Job], records: Records, size: int) -> list[Job]:
    """One block of every version of the code, and others at random up to the size of the sample."""
    drawn = random.Random(SEED).sample(jobs, len(jobs))
    first = {records.of(job.output)["definition"]["code"]: job for job in drawn}  # type: ignore[index]
    others = [job for job in drawn if job not in first.values()]
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
    shutil.copytree(
        of.records.results, scratch / results, copy_function=_link, ignore=shutil.ignore_patterns("*.partial")
    )
    for stage in (LAST, tuple({job.stage for job in jobs} - {*LAST})):
        names = [job.output for job in jobs if job.stage in stage]
        if names and not found.problems:
            _snakemake(scratch, [f"{results}/{name}" for name in names])
            found.problems += list(_compare(of.records, scratch / results, names, found))


def _link(source: str, copy: str) -> None:
    """The same file under another name where the disk allows it: Snakemake replaces files, and writes into none."""
    try:
        os.link(source, copy)
    except OSError:
        shutil.copy2(source, copy)


def _snakemake(scratch: Path, targets: list[str]) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(scratch / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log.info("making %d outputs again in %s", len(targets), scratch)
    command = ["snakemake", "--cores", "all", "--configfile", CONFIG, "--force", *targets]
    done = subprocess.run(command, cwd=scratch, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"the outputs cannot be made again:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _compare(records: Records, again: Path, names: list[str], found: Accepted) -> Iterator[str]:
    for file in (sibling for name in names for sibling in records.siblings(name)):
        digest = sha256(again / file)
        if digest == records.actual(file):
            found.made[file] = digest
        else:
            recorded = str(records.recorded(file))
            yield f"{file}: made again, it has other bytes (sha256 {digest[:12]}, not {recorded[:12]})"


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
