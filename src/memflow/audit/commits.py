"""What of a study would be made otherwise at one commit than at another, and why."""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from memflow import provenance
from memflow.audit import identity
from memflow.audit.audited import DEFAULT
from memflow.errors import InputError

TOO_OLD = 3  # exit status of SPECS
SPECS = f"""
import json, sys
from pathlib import Path
try:
    from memflow import config, outputs
    from memflow.config import code_targets
    from memflow.digest import modules
except ImportError:
    sys.exit({TOO_OLD})
jobs = outputs.jobs(config.Study(config.read(Path(sys.argv[1]))))
code = [{{"stage": job.stage, "output": job.output, "spec": job.spec, "code": modules(*code_targets(job.spec))}}
        for job in jobs]
print(json.dumps(code))
"""
SHOWN = 3  # outputs with one reason

Job = dict[str, Any]  # stage, output, spec; code: hashes by module


def find(name: str) -> str | None:
    """The commit that a name, tag, branch or abbreviation stands for; None if there is none, or no git checkout."""
    if provenance.commit() is None:
        return None
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return done.stdout.decode().strip() if done.returncode == 0 else None


def describe(a: str, b: str, configfile: Path | None) -> str:
    """Which outputs of a study have another spec at one commit than at another.

    Parameters
    ----------
    a, b : str
        Commits, as :func:`find` knows them.
    configfile : Path, optional
        Of the study, as it was at each commit if git has it there; by default ``config.yaml``.

    Raises
    ------
    InputError
        If a commit has no list of outputs yet, or does not know the study.
    """
    left, right = ({job["output"]: job for job in jobs(commit, configfile or DEFAULT)} for commit in (a, b))
    lines = [f"A  {a}", f"B  {b}", ""]
    for side, here, there in (("A", left, right), ("B", right, left)):
        if only := [name for name in here if name not in there]:
            lines += [f"only in {side}: {_listed(only)}", ""]
    shared = [name for name in left if name in right]
    other = [name for name in shared if left[name]["spec"] != right[name]["spec"]]
    lines.append(f"{len(shared) - len(other):,} of {len(shared):,} outputs are the same at both commits")
    together: dict[tuple[str, ...], list[str]] = {}
    for name in other:
        together.setdefault(tuple(_reasons(left[name], right[name], a, b)), []).append(name)
    for reasons, names in together.items():
        lines += ["", f"another identity: {_listed(names)}", *(f"  {reason}" for reason in reasons)]
    if other:
        lines += ["", "What is made from these is made again, too."]
    return "\n".join(lines)


def jobs(commit: str, configfile: Path) -> list[Job]:
    """The outputs of a study at a commit, by the code of that commit.

    Raises
    ------
    InputError
        As :func:`describe`.
    """
    with tempfile.TemporaryDirectory(prefix="memflow-diff-") as folder:
        root = Path(folder).resolve()
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit).stdout)) as archive:
            archive.extractall(root, filter="data")
        return _jobs(root, commit, _config(root, configfile))


def _jobs(root: Path, commit: str, configfile: Path) -> list[Job]:
    python_path = os.pathsep.join(filter(None, (str(root / "src"), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", SPECS, str(configfile)],
        cwd=root, env=os.environ | {"PYTHONPATH": python_path}, text=True, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode == TOO_OLD:
        raise InputError(
            f"{commit[:10]} is too old: its code cannot list the outputs of a study (memflow.outputs) with the modules "
            "that make them; compare later commits, or two folders of results"
        )
    if done.returncode:
        said = done.stderr.rpartition("Error: ")[2].strip()
        raise InputError(f"the study of {configfile.name} cannot be read at commit {commit[:10]}: {said}")
    found: list[Job] = json.loads(done.stdout)
    return found


def _config(root: Path, configfile: Path) -> Path:
    """A study's config as it was at a commit; as it is now, if git has none there."""
    absolute = configfile.resolve()
    inside = root / absolute.relative_to(provenance.ROOT) if absolute.is_relative_to(provenance.ROOT) else absolute
    if not inside.is_file() and not absolute.is_file():
        raise InputError(f"no config file {configfile}; name the study's with --configfile")
    return inside if inside.is_file() else absolute


def _reasons(a: Job, b: Job, commit_a: str, commit_b: str) -> list[str]:
    return identity.differences(a["spec"], b["spec"], identity.changed_code(a["code"], b["code"], commit_a, commit_b))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(provenance.ROOT), *arguments], capture_output=True, check=False)
