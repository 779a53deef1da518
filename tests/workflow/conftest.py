"""A clone of the project in a scratch folder, with the tiny study finished in it."""

import fcntl
import shutil
from pathlib import Path

import pytest
from clones import Clone, clone_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Clone:
    """The tiny study, run once with the command that users type; each of pytest's workers has a copy of its own."""
    folder = tmp_path_factory.getbasetemp()
    made = (folder if worker_id == "master" else folder.parent) / "made"
    with open(made.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            clone = clone_project(tmp_path_factory.mktemp("unfinished"))
            done = clone.snakemake()
            assert done.returncode == 0, done.stdout + done.stderr
            clone.root.rename(made)
    shutil.copytree(made, folder / "finished", symlinks=True)
    return Clone(folder / "finished")


@pytest.fixture
def clone(finished: Clone, tmp_path: Path) -> Clone:
    """The finished study in a folder of the test's own, to break at will."""
    root = tmp_path / "clone"
    shutil.copytree(finished.root, root, symlinks=True)
    return Clone(root)
