"""A study, or what some of its files came from, as a Workflow Run RO-Crate: https://w3id.org/ro/wfrun/provenance.

One action for each job, with its tool, inputs and outputs, under one run of the workflow. Records are always inside;
figures and tables, too; blocks, datasets, weights and counts only in a bundle, and else by their SHA-256.
"""

import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from rocrate.model import ContextEntity, DataEntity
from rocrate.model.computationalworkflow import ComputationalWorkflow
from rocrate.rocrate import ROCrate

from memflow import provenance
from memflow.audit import code, trace
from memflow.audit.audited import Audited
from memflow.audit.records import SUFFIX, Records
from memflow.files import write_atomically
from memflow.provenance import ProvenanceError
from memflow.text import size

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".npz": "application/zip",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
}
OF_PROJECT = {
    "LICENSE": "text/plain",
    "CITATION.cff": "application/yaml",
    "README.md": "text/markdown",
    "requirements.lock": "text/plain",
    "accepted.json": "application/json",  # where code was accepted
}
COMPLETED = "http://schema.org/CompletedActionStatus"
LARGE = ("data", "runs", "counts", "removal", "browser")  # stages whose arrays, or page, are inside a bundle only
FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # of every member of the zip, so that equal content has equal bytes


class Workflow(ComputationalWorkflow):  # type: ignore[misc]  # the library has no types
    """A workflow that links to its steps."""

    TYPES = ("File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo")


def write(of: Audited, targets: list[Path], output: Path, *, bundle: bool = False) -> str:
    """Write the crate.

    Parameters
    ----------
    of : Audited
    targets : list of Path
        Files of the results, with all that they were made from; none for everything.
    output : Path
        Zip file to write.
    bundle : bool
        Put the files themselves inside that `memflow audit verify` needs.

    Returns
    -------
    str
        What was written.

    Raises
    ------
    ProvenanceError
        If a file that belongs inside is missing, or is not what its record says.
    """
    records = of.records
    names = [records.name(target) for target in targets] or records.names()
    found = trace.find(records, names)
    crate = ROCrate(version="1.1")
    _describe(crate, of, found)
    files = dict(_files(crate, records, of.study.name, found, bundle))
    _actions(crate, records, found, files)
    with tempfile.TemporaryDirectory(prefix="memflow-crate-") as folder:
        crate.write(folder)
        write_atomically(output, lambda file: _zip(Path(folder), file))
    inside = (
        "all files are inside" if bundle else "blocks, datasets and counts are named by their SHA-256 (see --bundle)"
    )
    return f"{output}: {len(found['jobs']):,} jobs, {len(files):,} files, {size(output.stat().st_size)}; {inside}"


def _describe(crate: ROCrate, of: Audited, found: trace.Found) -> None:
    """The crate itself, the workflow with its steps and tools, and the files of the project that say what they are."""
    citation = yaml.safe_load((code.ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    dirty = " Some of it was made from uncommitted code." if any(job["dirty"] for job in found["jobs"]) else ""
    crate.name = f"memflow study {of.study.name}"
    crate.description = f"{found['sentence']}.{dirty}"
    crate.datePublished = max(job["finished"] for job in found["jobs"])
    for name, kind in OF_PROJECT.items():
        if not (code.ROOT / name).exists():
            continue
        about = {"name": name, "encodingFormat": kind, "about": {"@id": "./"}}
        crate.add_file(code.ROOT / name, name, properties=about)
    crate.license = crate.dereference("LICENSE")
    authors = []
    for number, person in enumerate(citation["authors"], 1):
        name = person.get("name") or f"{person.get('given-names', '')} {person.get('family-names', '')}".strip()
        kind = "Organization" if "name" in person else "Person"
        authors.append(crate.add(ContextEntity(crate, f"#author-{number}", properties={"@type": kind, "name": name})))
    crate.root_dataset["author"] = _few(authors)
    for url, name in PROFILES.items():
        profile = ContextEntity(crate, url, properties={"@type": "CreativeWork", "name": name, "version": url[-3:]})
        crate.root_dataset.append_to("conformsTo", crate.add(profile))
    study = crate.add_file(
        properties={"name": "the study's config, with every default", "encodingFormat": "application/yaml"},
        **_text(of.study.text, "study.yaml"),
    )
    commits = sorted({str(job["commit"]) for job in found["jobs"]})
    about = {"name": "memflow", "encodingFormat": "text/plain"}
    snakefile = code.ROOT / "Snakefile"
    workflow = crate.add_workflow(snakefile, "Snakefile", main=True, lang="snakemake", properties=about, cls=Workflow)
    workflow["version"], workflow["license"] = ", ".join(commits), crate.dereference("LICENSE")
    workflow["author"] = crate.root_dataset["author"]
    if "repository-code" in citation:
        workflow["codeRepository"] = citation["repository-code"]
    for position, stage in enumerate(dict.fromkeys(job["stage"] for job in found["jobs"]), 1):
        about = {
            "@type": "SoftwareApplication",
            "name": f"memflow, stage {stage}",
            "softwareVersion": ", ".join(commits),
        }
        tool = crate.add(ContextEntity(crate, f"#tool-{stage}", properties=about))
        about = {"@type": "HowToStep", "name": stage, "position": str(position), "workExample": {"@id": tool.id}}
        workflow.append_to("step", crate.add(ContextEntity(crate, f"#step-{stage}", properties=about)))
        workflow.append_to("hasPart", tool)
    crate.root_dataset["mentions"] = [study]


def _few(values: list[Any]) -> Any:
    """One value alone, as the specification wants it, or all."""
    return values[0] if len(values) == 1 else values


def _text(text: str, name: str) -> dict[str, Any]:
    """Arguments of ``add_file`` for a file that is written from a text."""
    return {"source": StringIO(text), "dest_path": name}


def _files(crate: ROCrate, records: Records, study: str, found: trace.Found, bundle: bool) -> Iterator[tuple[str, Any]]:
    """Entities of all outputs by name, each beside that of its record."""
    for job in found["jobs"]:
        for name, digest in job["outputs"].items():
            path, about = records.path(name), {"name": PurePosixPath(name).name, "sha256": digest}
            about["encodingFormat"] = FORMATS.get(path.suffix, "application/octet-stream")
            is_inside = bundle or not (name.split("/")[0] in LARGE and path.suffix in (".npz", ".html"))
            if is_inside and not (name.endswith(".weights.npz") and not path.exists()):
                if records.actual(name) != digest:
                    raise ProvenanceError(
                        f"{path} is missing, or not what its record says; `memflow audit verify` tells more"
                    )
                about["contentSize"] = str(path.stat().st_size)
                yield name, crate.add_file(path, f"results/{study}/{name}", properties=about)
            else:
                about["@type"] = "File"
                yield name, crate.add(DataEntity(crate, f"urn:sha256:{digest}#{name}", properties=about))
            for asset, recorded in records.assets(name).items() if bundle else ():
                about = {"name": PurePosixPath(asset).name, "sha256": recorded}
                about["encodingFormat"] = FORMATS[PurePosixPath(asset).suffix]
                if records.actual(asset) != recorded:
                    raise ProvenanceError(f"{records.path(asset)} is not what {path} was made with; run snakemake")
                yield asset, crate.add_file(records.path(asset), f"results/{study}/{asset}", properties=about)
            record = provenance.sidecar(path)
            about = {"name": f"record of {path.name}", "encodingFormat": FORMATS[".json"]}
            yield f"{name}{SUFFIX}", crate.add_file(record, f"results/{study}/{name}{SUFFIX}", properties=about)


def _actions(crate: ROCrate, records: Records, found: trace.Found, files: dict[str, Any]) -> None:
    """The run of the workflow, and each of its jobs."""
    workflow, jobs = crate.mainEntity, found["jobs"]
    times = {"startTime": min(job["started"] for job in jobs), "endTime": max(job["finished"] for job in jobs)}
    about = {"@type": "CreateAction", "name": "the run of the study", "instrument": {"@id": workflow.id}, **times}
    about["object"] = [{"@id": "study.yaml"}, {"@id": "requirements.lock"}]
    about["result"] = [{"@id": files[name].id} for name in found["target"] if name in files]
    about |= {"actionStatus": COMPLETED, "description": found["sentence"]}
    run = crate.add(ContextEntity(crate, "#run", properties=about))
    engine = {"@type": "SoftwareApplication", "name": "Snakemake", "url": "https://snakemake.readthedocs.io"}
    engine["softwareVersion"] = version("snakemake")
    crate.add(ContextEntity(crate, "#snakemake", properties=engine))
    started = [_action(crate, records, number, job, files) for number, job in enumerate(jobs)]
    about = {"@type": "OrganizeAction", "name": "Snakemake's run", "instrument": {"@id": "#snakemake"}, **times}
    about |= {"result": {"@id": run.id}, "object": _few([{"@id": control} for _, control in started])}
    crate.add(ContextEntity(crate, "#organize", properties=about))
    crate.root_dataset["mentions"] = [*crate.root_dataset["mentions"], run, *(action for action, _ in started)]


def _action(crate: ROCrate, records: Records, number: int, job: trace.Found, files: dict[str, Any]) -> tuple[Any, str]:
    """One job, and the id of what controlled it."""
    made = [(output, f"{output}{SUFFIX}", *records.assets(output)) for output in job["outputs"]]
    outputs = [name for names in made for name in names if name in files]
    about = {
        "@type": "CreateAction",
        "name": min(job["outputs"], key=len),
        "description": f"{job['stage']}, commit {job['commit']}{', uncommitted changes' if job['dirty'] else ''}",
        "instrument": {"@id": f"#tool-{job['stage']}"},
        "object": _few([{"@id": files[name].id} for name in job["inputs"] if name in files]),
        "result": _few([{"@id": files[name].id} for name in outputs]),
        "startTime": job["started"],
        "endTime": job["finished"],
        "actionStatus": COMPLETED,
    }
    action = crate.add(ContextEntity(crate, f"#job-{number}", properties=about))
    about = {"@type": "ControlAction", "name": f"start of {about['name']}", "object": {"@id": action.id}}
    about["instrument"] = {"@id": f"#step-{job['stage']}"}
    crate.add(ContextEntity(crate, f"#start-{number}", properties=about))
    return action, f"#start-{number}"


def _zip(folder: Path, file: Any) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.writestr(
                zipfile.ZipInfo(path.relative_to(folder).as_posix(), FIXED_DATE),
                path.read_bytes(),
                zipfile.ZIP_DEFLATED,
            )
