"""Uncommitted code: who notices, who refuses, and that what comes of it says so."""

import json
import subprocess

import pytest
from helpers import tiny_config

from memflow import provenance, uncommitted
from memflow.config import Study
from memflow.validation import ConfigError


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A project in git with one committed file of code, and what changes it."""

    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b", *words], check=True)

    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("a = 1\n")
    (tmp_path / "config.yaml").write_text("study: digits\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.chdir(tmp_path)
    at(monkeypatch, tmp_path)
    return tmp_path


def at(monkeypatch, root):
    """The project lies here; what was known of another one is forgotten."""
    monkeypatch.setattr(provenance, "ROOT", root.resolve())
    provenance.uncommitted.cache_clear()
    provenance.commit.cache_clear()


@pytest.fixture(autouse=True)
def forget():
    yield
    provenance.uncommitted.cache_clear()
    provenance.commit.cache_clear()


def write(path, inputs=()):
    path.write_text(path.name)
    provenance.write([path], {}, inputs=dict.fromkeys(inputs, "0"), started=provenance.now())
    return path


def circumstance(path):
    return json.loads(provenance.sidecar(path).read_text())["circumstance"]


def test_a_clean_checkout_is_clean_whatever_else_changes(checkout):
    (checkout / "config.yaml").write_text("study: mine\n")
    (checkout / "README.md").write_text("Read me.")
    assert provenance.uncommitted() == []
    assert len(provenance.commit()) == 40


@pytest.mark.parametrize("file", ["src/a.py", "src/new.py", "Snakefile", "requirements.lock", "workflow/rules.smk"])
def test_a_changed_or_new_file_of_code_is_named(checkout, file):
    (checkout / file).parent.mkdir(exist_ok=True)
    (checkout / file).write_text("a = 2\n")
    assert provenance.uncommitted() == [file if file != "workflow/rules.smk" else "workflow/"]


def test_a_detached_work_tree_and_a_shallow_clone_have_their_commit(checkout, tmp_path_factory, monkeypatch):
    commit, folder = provenance.commit(), tmp_path_factory.mktemp("others")
    subprocess.run(["git", "-C", str(checkout), "worktree", "add", "-q", "--detach", str(folder / "tree")], check=True)
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{checkout}", str(folder / "shallow")], check=True)
    for root in (folder / "tree", folder / "shallow"):
        at(monkeypatch, root)
        assert (provenance.commit(), provenance.uncommitted()) == (commit, [])


def test_an_unpacked_archive_has_none_also_inside_another_repository(checkout, monkeypatch):
    (checkout / "vendored/src").mkdir(parents=True)
    at(monkeypatch, checkout / "vendored")
    assert (provenance.commit(), provenance.uncommitted()) == (None, None)
    assert circumstance(write(checkout / "x"))["dirty"] is None


def test_without_git_nothing_is_known(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert (provenance.commit(), provenance.uncommitted()) == (None, None)


def test_what_is_made_from_the_work_of_uncommitted_code_says_so(checkout, monkeypatch):
    (checkout / "src/a.py").write_text("a = 2\n")
    first = write(checkout / "first")
    subprocess.run(["git", "-C", str(checkout), "checkout", "-q", "src"], check=True)
    at(monkeypatch, checkout)
    second = write(checkout / "second", [first])
    third = write(checkout / "third", [second])
    alone = write(checkout / "alone", [checkout / "src/a.py"])
    assert [circumstance(path)["dirty"] for path in (first, second, third)] == [True, False, False]
    assert [circumstance(path)["dirty_ancestry"] for path in (first, second, third, alone)] == [True, True, True, False]
    assert uncommitted.marked("text", alone, third) == "warning: made from uncommitted code\ntext"
    assert uncommitted.marked("text", alone) == "text"


def test_a_study_refuses_uncommitted_code_and_says_how_to_go_on(checkout):
    (checkout / "src/a.py").write_text("a = 2\n")
    with pytest.raises(ConfigError, match=r"src/a\.py.*commit them, or say `allow_dirty: true`"):
        uncommitted.refuse(Study(tiny_config()))


def test_the_default_study_one_that_allows_it_and_clean_code_are_not_refused(checkout):
    uncommitted.refuse(Study(tiny_config()))
    (checkout / "src/a.py").write_text("a = 2\n")
    provenance.uncommitted.cache_clear()
    uncommitted.refuse(Study(tiny_config(study="digits")))
    uncommitted.refuse(Study(tiny_config(allow_dirty=True)))
