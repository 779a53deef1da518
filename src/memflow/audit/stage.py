"""Stage audit: what all of a study's results but its report are, and where they came from, in one file."""

import json
from pathlib import Path
from typing import Any

import yaml

from memflow import outputs, provenance
from memflow.audit import trace
from memflow.audit.records import Records
from memflow.config import Study
from memflow.files import write_bytes
from memflow.provenance import ProvenanceError

NOT_COVERED = ("audit", "report")  # stages: what is made last shows the rest


def run(spec: dict[str, Any], results: Path, output: Path) -> None:
    """Write the audit.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.audit_spec`.
    results : Path
        ``results/<study>``, with all stages before this one finished.
    output : Path
        ``audit.json``: ``study``; ``files``, the SHA-256 of every output by name; of all of them together ``sentence``,
        ``warnings``, ``datasets`` and ``runs`` as in :func:`memflow.audit.trace.find`; and for each of ``figures``, by
        dataset and name, ``sentence``, ``warnings``, ``runs``, ``commits`` and the ``command`` that traces it.

    Raises
    ------
    ProvenanceError
        If an output is missing, or is not what its sidecar says.
    """
    started = provenance.now()
    records, study = Records(results), Study(yaml.safe_load(spec["config"]))
    jobs = [job for job in outputs.jobs(study) if job.stage not in NOT_COVERED]
    files = {name: _checked(name, records) for job in jobs for name in _there(job.output, records)}
    everything = trace.find(records, [job.output for job in jobs])
    figures = {job.output: _figure(job.output, records) for job in jobs if job.stage == "figures"}
    content = {
        "study": spec["study"],
        "files": files,
        **{key: everything[key] for key in ("sentence", "warnings", "datasets", "runs")},
        "figures": {_of_figure(name): found for name, found in figures.items()},
    }
    write_bytes(output, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    provenance.write([output], spec, inputs={records.path(name): of for name, of in files.items()}, started=started)


def _there(name: str, records: Records) -> list[str]:
    """Files of a job; weights may have been deleted, once every student had learnt from them."""
    return [file for file in records.siblings(name) if not file.endswith(".weights.npz") or records.path(file).exists()]


def _checked(name: str, records: Records) -> str:
    recorded = records.recorded(name)
    if recorded is None or records.probable(name) != recorded:
        wrong = "has no readable sidecar" if recorded is None else "is not the file that its sidecar describes"
        raise ProvenanceError(
            f"{records.path(name)} {wrong} (`memflow audit status` tells more); delete it and run again"
        )
    return recorded


def _figure(name: str, records: Records) -> dict[str, Any]:
    found = trace.find(records, [name])
    return {
        **{key: found[key] for key in ("sentence", "warnings")},
        "runs": sum(of["runs"] for of in found["runs"]),
        "commits": sorted({str(job["commit"]) for job in found["jobs"]}),
        "dirty": any(job["dirty"] for job in found["jobs"]),
        "command": f"memflow audit trace {records.path(name)}",
    }


def _of_figure(output: str) -> str:
    """Dataset and name: ``digits/mean_memorisation``."""
    return output.removeprefix("figures/").removesuffix(".pdf")
