"""Which functions changed since a commit."""

import subprocess

import pytest

from memflow import digest
from memflow.audit import code

OLD = '''
"""A module."""
import math
SIZE = 3

def area(r):
    """Of a circle."""
    return math.pi * r**2

class Circle:
    """A circle."""
    sides = 0
    def size(self):
        return 1
    def half(self):
        return 2
'''


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("r**2", "r**3", ["area"]),
        ("SIZE = 3", "SIZE = 4", ["module level"]),
        ("import math", "import math, os", ["module level"]),
        ("return 1", "return 1.0", ["Circle.size"]),
        ("sides = 0", "sides = 1", ["Circle"]),
        ("def half", "def third", ["Circle.half", "Circle.third"]),
        ("def area", "def surface", ["area", "surface"]),
        ('"""Of a circle."""', '"""Of a disc."""  # a comment', []),
        ('"""A module."""', "", []),
        ("r**2", "r ** 2", []),
    ],
)
def test_the_functions_that_differ_are_named(old, new, changed):
    assert old in OLD
    assert code.changed_functions(OLD, OLD.replace(old, new)) == changed


def test_what_differs_from_a_commit_is_told_file_by_file(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b", *words], check=True)

    (tmp_path / "workflow").mkdir()
    script = tmp_path / "workflow/draw.py"
    script.write_text(OLD)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    script.write_text(OLD.replace("r**2", "r**3"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(digest, "path", lambda name: tmp_path / name)
    monkeypatch.setattr(digest, "closure", lambda *targets: list(targets))
    assert code.explain("HEAD", ["workflow/draw.py"]) == ["workflow/draw.py: area"]
    assert code.explain("0123456", ["workflow/draw.py"]) == []
    assert code.explain(None, ["workflow/draw.py"]) == []


def test_without_git_nothing_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    code.source_at.cache_clear()
    assert code.explain("HEAD", ["memflow.rng"]) == []
