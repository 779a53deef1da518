"""Versions of the code that count as equal."""

import json
import subprocess
import sys

import pytest
from helpers import tiny_config

from memflow import accepted, config
from memflow.config import Study
from memflow.files import write_bytes
from memflow.validation import ConfigError


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(accepted, "FILE", tmp_path / "accepted.json")
    accepted._oldest.cache_clear()
    yield tmp_path / "accepted.json"
    accepted._oldest.cache_clear()


def test_without_a_file_a_version_is_itself(file):
    assert accepted.canonical("a") == "a"
    assert accepted.oldest() == set()


def test_versions_that_were_accepted_one_after_the_other_are_the_oldest(file):
    accepted.add({"b": "a"}, {})
    assert accepted.canonical("b") == "a"
    accepted.add({"c": "b", "z": "y"}, {})
    assert [accepted.canonical(version) for version in "abcyz"] == ["a", "a", "a", "y", "y"]
    assert accepted.oldest() == {"a", "y"}


def test_the_code_of_a_spec_is_the_oldest_that_it_is_equal_to_and_other_code_is_as_it_was(file):
    scores, figure = ({"stage": stage} for stage in ("scores", "counts"))
    before = config.code_digest(figure)
    accepted.add({config.code_digest(scores): "0123456789abcdef", "of another project": "older"}, {})
    assert config.code_digest(scores) == "0123456789abcdef"
    assert config.code_digest(figure) == before
    config.check_code(scores | {"code": "0123456789abcdef"})


def test_each_acceptance_stands_in_the_file_with_its_evidence(file):
    accepted.add({"b": "a"}, {"commit": "first"})
    accepted.add({"c": "a"}, {"commit": "second"})
    entries = json.loads(file.read_text())
    assert [(entry["equal"], entry["evidence"]["commit"]) for entry in entries] == [
        ({"b": "a"}, "first"),
        ({"c": "a"}, "second"),
    ]


def test_the_file_is_read_once(file):
    accepted.add({"b": "a"}, {})
    accepted.canonical("b")
    file.unlink()
    assert accepted.canonical("b") == "a"


CIRCLE = '[{"equal": {"a": "b"}}, {"equal": {"b": "c"}}, {"equal": {"c": "a"}}]'


@pytest.mark.parametrize(
    "content", ["", "{", "{}", "3", "[3]", '[{"equal": {"a": 1}}]', '[{"equal": ["a"]}]', "[{}]", CIRCLE, "\xff"]
)
def test_a_damaged_file_is_refused_with_what_to_do(file, content):
    write_bytes(file, content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"accepted\.json is not as .* restore it from git, or delete it"):
        Study(tiny_config())


def test_a_spec_needs_no_numpy():
    code = "import sys, memflow.config; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
