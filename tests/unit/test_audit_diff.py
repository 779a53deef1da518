"""What differs between two results, two folders or two commits."""

import subprocess

import pandas as pd
import pytest
from audit_helpers import digest, write

from memflow.audit import code, diff
from memflow.errors import InputError
from memflow.files import write_csv, write_npz, write_parquet

TABLE = pd.DataFrame({"index": [3, 1, 2], "label": [0, 1, 1], "memorisation": [0.5, None, 0.25]})


def recorded(results, name, **definition):
    write(results, [name], definition=definition)
    return results / name


def table(results, frame, name="scores/a.csv", **definition):
    (write_parquet if name.endswith(".parquet") else write_csv)(results / name, frame)
    return recorded(results, name, **definition)


def said(a, b):
    return diff.describe(str(a), str(b)).splitlines()


@pytest.mark.parametrize("name", ["scores/a.csv", "scores/a.parquet"])
def test_rows_are_matched_by_their_keys_and_differences_measured(tmp_path, name):
    other = TABLE.iloc[[2, 0, 1]].reset_index(drop=True)
    other.loc[0, "memorisation"] = 0.75
    lines = said(table(tmp_path / "one", TABLE, name), table(tmp_path / "two", other, name))
    assert "  memorisation: 1 of 3 rows differ, by up to 0.5; the first at 2" in [
        line.replace("(2,)", "2") for line in lines
    ]
    assert not any(line.strip().startswith("label") for line in lines)
    assert lines[-1] == "different bytes"


def test_the_same_table_differs_in_neither(tmp_path):
    lines = said(table(tmp_path / "one", TABLE), table(tmp_path / "two", TABLE))
    assert lines == [
        "identity (what they are a function of): no difference",
        "numbers: no difference",
        "circumstance (how they were made): no difference",
        "same bytes",
    ]


def test_what_they_are_and_how_they_were_made_is_told_apart(tmp_path):
    one = table(tmp_path / "one", TABLE, recipe={"epochs": 2})
    write_csv(tmp_path / "two/scores/a.csv", TABLE)
    write(tmp_path / "two", ["scores/a.csv"], definition={"recipe": {"epochs": 3}}, host="another")
    lines = said(one, tmp_path / "two/scores/a.csv")
    assert lines[:2] == ["identity (what they are a function of):", "  recipe.epochs: 2 and 3"]
    assert any(line.startswith("  host: ") and line.endswith("'another'") for line in lines)
    assert "numbers: no difference" in lines


def test_rows_and_columns_of_one_side_only_are_named(tmp_path):
    other = TABLE.iloc[:2].rename(columns={"label": "class"})
    lines = said(table(tmp_path / "one", TABLE), table(tmp_path / "two", other))
    assert "  column class: only in the second" in lines
    assert "  1 rows are only in the first" in lines


def test_arrays_are_compared_by_name(tmp_path):
    for name, last in (("one", 3), ("two", 9)):
        write_npz(
            tmp_path / name / "a.npz",
            {"same": TABLE["label"].to_numpy(), "other": pd.array([1, 2, last]).to_numpy(int)},
        )
        recorded(tmp_path / name, "a.npz")
    lines = said(tmp_path / "one/a.npz", tmp_path / "two/a.npz")
    assert "  other: 1 of 3 values differ, by up to 6" in lines
    assert not any("same:" in line for line in lines)


def test_folders_are_compared_stage_by_stage(tmp_path):
    for name in ("one", "two"):
        recorded(tmp_path / name, "counts/a.npz")
        table(tmp_path / name, TABLE if name == "one" else TABLE.iloc[:2], tau=len(name))
    recorded(tmp_path / "two", "figures/b.pdf")
    lines = said(tmp_path / "one", tmp_path / "two")
    assert "only in the second: 1 files: figures/b.pdf" in lines
    assert "counts: 1 files the same, 0 different" in lines
    assert "scores: 0 files the same, 1 different: scores/a.csv" in lines
    assert said(tmp_path / "one", tmp_path / "one")[-1] == "all files have the same bytes"
    assert digest(tmp_path / "one/counts/a.npz") == digest(tmp_path / "two/counts/a.npz")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("one/scores/a.csv", "two"), "is a file, but .* is a folder"),
        (("one/scores/a.csv", "nothing"), "no file, no folder and no commit"),
        (("one/scores/a.csv", "one/a.npz"), "files of different kinds"),
        (("one/scores/b.csv", "one/scores/b.csv"), "no sidecar"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, names, words):
    for name in ("one", "two"):
        table(tmp_path / name, TABLE)
        recorded(tmp_path / name, "a.npz")
    (tmp_path / "one/scores/b.csv").write_text("1")
    with pytest.raises(InputError, match=words):
        said(*(tmp_path / name for name in names))


def test_outside_of_git_commits_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "ROOT", tmp_path)
    with pytest.raises(InputError, match="no file, no folder and no commit 'HEAD'"):
        diff.describe("HEAD", "HEAD")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the code in a git repository of its own, with one commit; and what commits an edit."""
    root = tmp_path / "project"
    subprocess.run(["git", "clone", "-q", "--shared", str(code.ROOT), str(root)], check=True)
    tracked = subprocess.run(
        ["git", "ls-files", "-mo", "--exclude-standard"], cwd=code.ROOT, capture_output=True, text=True
    )
    for name in tracked.stdout.split():  # as it is now, if that is not committed
        if (code.ROOT / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((code.ROOT / name).read_bytes())
    monkeypatch.setattr(code, "ROOT", root)
    code.source_at.cache_clear()

    def commit(file="", old="", new=""):
        if file:
            text = (root / file).read_text()
            assert old in text
            (root / file).write_text(text.replace(old, new, 1))
        identity = ["-c", "user.name=a", "-c", "user.email=b"]
        subprocess.run(["git", *identity, "add", "-A"], cwd=root, check=True)
        subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "an edit"], cwd=root, check=True)
        return subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()

    yield commit
    code.source_at.cache_clear()


def test_two_commits_differ_in_the_outputs_and_functions_that_an_edit_concerns(project):
    first = project()
    second = project("src/memflow/scores.py", "2 * r / (1 + r)", "2 * r / (1.0 + r)")
    third = project("studies/tiny.yaml", "seeds: 8", "seeds: 16")
    fourth = project("README.md", "memflow", "Memflow")
    lines = diff.describe(first, second, "studies/tiny.yaml").splitlines()
    assert any(line.startswith("  src/memflow/scores.py: ") for line in lines)
    assert any("scores/digits-noisy/mlp-8/one-hot.parquet" in line for line in lines)
    assert not any("runs/" in line for line in lines)
    lines = diff.describe(second, third, "studies/tiny.yaml").splitlines()
    assert "  seeds: 8 and 16" in lines
    assert any(line.startswith("only at the second: ") and "block-2.npz" in line for line in lines)
    assert diff.describe(third, fourth, "studies/tiny.yaml").startswith("no output of the study depends on")
