"""The verbs export and validate, as they are typed."""

import argparse
import subprocess
import sys

import numpy as np
import pytest
from run_helpers import study_of_runs

from memflow import log
from memflow.export import commands as export_commands
from memflow.export.formats import FORMATS
from memflow.validate import commands as validate_commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("typed") / "s"
    study_of_runs(folder, "influence", lambda masks, random: {})
    return folder


def parser():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers()
    export_commands.add(verbs)
    validate_commands.add(verbs)
    return parser


def memflow(folder, *words):
    given = [str(word) for word in (*words, "--results", folder, "--dataset", "d", "--architecture", "net")]
    arguments = parser().parse_args(given)
    with log.job(None):
        arguments.run(arguments)


def test_what_is_exported_is_validated(folder, tmp_path, capsys):
    memflow(folder, "export", "feldman-zhang", "--output", tmp_path / "x.npz")
    memflow(folder, "export", "feldman-zhang-pairs", "--influence-at", 0.5, "--output", tmp_path / "y.npz")
    of_reference = ("--reference-runs", 40, "--reference-ratio", "7/10", "--name", "mine")
    memflow(folder, "validate", "--reference", tmp_path / "x.npz", *of_reference)
    said = capsys.readouterr().out
    assert "(feldman-zhang): memorisation of 60 training examples and their influence" in said
    assert "with influence >= 0.5 and memorisation >= 0.25" in said
    assert "one-hot-vs-mine.*" in said
    assert "do the two share runs or subsets?" in said
    assert np.load(tmp_path / "y.npz")["infl"].min(initial=1) >= 0.5 - 1e-9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("export", "fz", "--output", "x"), "format is 'fz' (allowed: feldman-zhang, "),
        (("export", "c-score", "--method", "two-hot", "--output", "x.npz"), "no scores by method 'two-hot'"),
        (("validate", "--reference", "x.npz"), "--reference x.npz does not exist"),
        (("validate", "--reference", "x.npz", "--reference-runs", "9"), "belong together; give both"),
        (("validate", "--reference", "x", "--reference-runs", "9", "--reference-ratio", "2"), "between 0 and 1"),
        (("validate", "--reference", "x", "--confidence", "95"), "--confidence is 95"),
    ],
)
def test_a_wrong_word_ends_with_a_sentence(folder, caplog, words, message):
    with pytest.raises(SystemExit):
        memflow(folder, *words)
    assert message in caplog.text


@pytest.mark.parametrize("verb", ["export", "validate"])
def test_the_help_teaches_and_imports_nothing_heavy(verb, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args([verb, "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in (FORMATS if verb == "export" else ("feldman-zhang", "c-score", "csv")))
    heavy = "('numpy', 'pandas', 'matplotlib', 'pyarrow', 'torch', 'scipy')"
    program = (
        "import sys; from memflow.export import commands; from memflow.validate import commands;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_torch_is_not_imported_by_an_export_or_a_validation(folder, tmp_path):
    program = f"""
import sys
from pathlib import Path
import memflow
from memflow.export import job as exports
from memflow.validate import job as validations
study, path = memflow.open_study({str(folder)!r}), Path({str(tmp_path / "x.npz")!r})
exports.run("c-score", study, "d", "net", None, path)
validations.run(study, "d", "net", None, path)
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
