"""The RO-Crate of a finished study: valid for an independent validator, complete as a bundle, refused where damaged."""

import hashlib
import json
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import requests
import requests_cache
import rocrate
from clones import STUDY, clone_project
from rocrate.rocrate import ROCrate
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from urllib3 import HTTPResponse

RESULTS = "results/tiny"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def export(clone, output, *arguments):
    return clone.run("memflow", "audit", "export", "--configfile", STUDY, "--ro-crate", str(output), *arguments)


@pytest.fixture(scope="module")
def crates(finished, tmp_path_factory):
    """The crate with names of large files only, and the bundle."""
    folder = tmp_path_factory.mktemp("crates")
    for name, arguments in (("named", []), ("bundle", ["--bundle"])):
        done = export(finished, folder / f"{name}.zip", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """A validator's cache that holds the context of RO-Crate 1.1, as far as a library brings it.

    The library has the terms of a later version, of which two lie elsewhere.
    """
    document = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())
    for term in ("ComputationalWorkflow", "FormalParameter"):
        document["@context"][term] = f"https://bioschemas.org/{term}"
    content, cache = json.dumps(document).encode(), tmp_path_factory.mktemp("cache") / "http"
    response = requests.Response()
    response.status_code, response.url, response._content = 200, CONTEXT, content
    response.headers["Content-Type"] = "application/ld+json"
    response.raw = HTTPResponse(body=BytesIO(content), status=200, preload_content=False, request_url=CONTEXT)
    response.request = requests.Request("GET", CONTEXT).prepare()
    requests_cache.CachedSession(str(cache), expire_after=-1).cache.save_response(response)
    return cache


@pytest.mark.parametrize("name", ["named", "bundle"])
def test_an_independent_validator_finds_every_requirement_met(crates, offline, name):
    settings = ValidationSettings(
        rocrate_uri=str(crates / f"{name}.zip"),
        profile_identifier="provenance-run-crate",
        requirement_severity=Severity.REQUIRED,
        offline=True,
        cache_path=offline,
    )
    found = services.validate(settings)
    assert [issue.message for issue in found.get_issues()] == []


def test_the_validator_would_notice(crates, offline, tmp_path):
    with zipfile.ZipFile(crates / "named.zip") as archive:
        archive.extractall(tmp_path)
    metadata = tmp_path / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"HowToStep"', '"HowToTip"'))
    settings = ValidationSettings(
        rocrate_uri=str(tmp_path), profile_identifier="provenance-run-crate", offline=True, cache_path=offline
    )
    assert not services.validate(settings).passed()


def test_a_bundle_is_verified_in_a_fresh_clone_on_another_path(crates, tmp_path):
    with zipfile.ZipFile(crates / "bundle.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    clone = clone_project(tmp_path / "fresh")
    results = str(tmp_path / "unpacked" / RESULTS)
    done = clone.run("memflow", "audit", "verify", "--all", "--results", results, "--sample", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no problems" in done.stdout
    status = clone.run("memflow", "audit", "status", "--configfile", STUDY, "--results", results)
    assert status.returncode == 0, status.stdout


def test_every_job_has_its_tool_its_inputs_and_its_outputs_with_their_hashes(crates, finished):
    crate = ROCrate(crates / "bundle.zip")
    jobs = [e for e in crate.contextual_entities if e.type == "CreateAction" and e.id.startswith("#job-")]
    (training,) = (job for job in jobs if job["name"] == "runs/digits-noisy/mlp-8/one-hot/block-1.npz")
    assert training["instrument"].id == "#tool-runs"
    assert training["object"].id == f"{RESULTS}/data/digits-noisy.npz"
    block = next(e for e in training["result"] if e.id.endswith("block-1.npz"))
    assert block["sha256"] == hashlib.sha256((finished.root / block.id).read_bytes()).hexdigest()
    stages = {job["instrument"].id for job in jobs}
    assert {step["workExample"].id for step in crate.mainEntity["step"]} == stages
    assert crate.mainEntity["programmingLanguage"]["name"] == "Snakemake"


def test_large_files_are_named_by_their_hash_and_all_others_are_inside(crates, finished):
    with zipfile.ZipFile(crates / "named.zip") as archive:
        inside = {*archive.namelist()}
    made = [path for path in (finished.root / RESULTS).rglob("*") if path.is_file() and path.suffix != ".log"]
    names = {path.relative_to(finished.root).as_posix() for path in made}
    page = {name for name in names if "/browser/" in name and not name.endswith(".prov.json")}
    large = {name for name in names if name.endswith(".npz")} | {f"{RESULTS}/browser/index.html"}
    assert names - large - page <= inside
    assert not page & inside
    assert not large & inside
    ids = {entity.id for entity in ROCrate(crates / "named.zip").get_entities()}
    for name in large:
        digest = hashlib.sha256((finished.root / name).read_bytes()).hexdigest()
        assert f"urn:sha256:{digest}#{name.removeprefix(f'{RESULTS}/')}" in ids


def test_a_bundle_has_all_that_the_page_loads(crates, finished):
    with zipfile.ZipFile(crates / "bundle.zip") as archive:
        inside = {*archive.namelist()}
    page = [path for path in (finished.root / RESULTS / "browser").rglob("*") if path.is_file()]
    assert {path.relative_to(finished.root).as_posix() for path in page} <= inside
    assert len(page) > 10


def test_a_target_brings_what_it_was_made_from_and_nothing_else(finished, tmp_path):
    target = f"{RESULTS}/scores/digits-noisy/mlp-8/one-hot.parquet"
    done = export(finished, tmp_path / "scores.zip", "--bundle", target)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "scores.zip") as archive:
        inside = [name for name in archive.namelist() if name.startswith("results/")]
    assert any("runs/digits-noisy/mlp-8/" in name for name in inside)
    assert not any("resnet8-w1" in name or "figures/" in name for name in inside)


def test_the_same_results_give_the_same_bytes(crates, finished, tmp_path):
    assert export(finished, tmp_path / "again.zip").returncode == 0
    assert (tmp_path / "again.zip").read_bytes() == (crates / "named.zip").read_bytes()


def test_a_file_that_is_not_what_its_record_says_is_refused_by_name(clone, tmp_path):
    path = clone.root / f"{RESULTS}/claims.csv"
    shutil.copy(path, tmp_path / "before")
    path.write_text(path.read_text() + "\n")
    done = export(clone, tmp_path / "damaged.zip")
    assert done.returncode == 1
    assert f"{RESULTS}/claims.csv is missing, or not what its record says" in done.stderr
    assert not (tmp_path / "damaged.zip").exists()
