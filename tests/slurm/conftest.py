"""The cluster, the study run on this machine without it, and a copy of the project for every case."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import HERE, RESULTS, STUDY, Clone, clone_project


@pytest.fixture(scope="session", autouse=True)
def slurm() -> Iterator[None]:
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin"  # where SLURM's daemons are, and a plain PATH does not look
    started = subprocess.run([HERE / "slurm-up"], text=True, capture_output=True, check=False)
    if started.returncode:
        pytest.exit(f"no SLURM to test with: {started.stderr.strip()}", returncode=1)
    yield
    subprocess.run([HERE / "slurm-down"], check=True, capture_output=True)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The study, run on this machine without a cluster."""
    clone = clone_project(tmp_path_factory.mktemp("undisturbed"))
    run = clone.snakemake("--cores", "2", "--configfile", STUDY)
    assert run.wait() == 0, run.text()
    return clone


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Clone]:
    """The project without results."""
    clone = clone_project(Path(tempfile.mkdtemp(dir=tmp_path)))  # a name that SLURM has not seen
    yield clone
    clone.close()


@pytest.fixture
def clone(empty: Clone, undisturbed: Clone) -> Clone:
    """The project with prepared datasets."""
    shutil.copytree(undisturbed.root / RESULTS / "data", empty.root / RESULTS / "data")
    return empty
