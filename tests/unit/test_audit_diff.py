"""What differs between two results, two studies and two commits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from audit_helpers import COMMIT, small, write

from memflow import provenance
from memflow.audit import code, diff
from memflow.errors import InputError
from memflow.files import write_csv, write_npz, write_parquet

PROJECT = Path(__file__).parents[2]
FIGURE = "figures/digits/mean_memorisation"
BLOCK = "runs/digits/mlp-8/one-hot/block-0.npz"


@pytest.fixture
def folders(tmp_path):
    """The same results twice."""
    small(tmp_path / "a")
    small(tmp_path / "b")
    return tmp_path / "a", tmp_path / "b"


def compare(a, b):
    return diff.describe(str(a), str(b)).splitlines()


def sections(a, b):
    """The part about each: its title with what follows on the line, or the indented lines below."""
    found, title = {}, ""
    for line in compare(a, b)[2:]:
        if line.startswith("  "):
            found[title].append(line.strip())
        elif line:
            title, _, rest = line.partition(":")
            found[title] = [rest.strip()] if rest else []
    return found


def scores(**changes):
    return pd.DataFrame({"index": [3, 5, 8], "label": [0, 1, 1], "memorisation": [0.25, 0.5, None]} | changes)


def tables(folder, a, b, name="x.csv"):
    """Two tables with their records."""
    for side, table in (("a", a), ("b", b)):
        (write_csv if name.endswith("csv") else write_parquet)(folder / side / name, table)
        write(folder / side, [name])
    return folder / "a" / name, folder / "b" / name


def test_a_figure_is_the_same_as_its_copy_and_its_numbers_are_those_of_its_table(folders):
    a, b = (folder / f"{FIGURE}.png" for folder in folders)
    for path in (a, b):
        write_csv(path.with_suffix(".csv"), scores())
    assert sections(a, b) == {
        "Identity": ["the same"],
        "Numbers (3 rows, matched by index of the tables beside the figures)": ["the same"],
        "Circumstance": ["the same, but for the time"],
        "In neither": ["nothing, every byte is the same"],
    }


def test_each_difference_stands_under_what_it_is_one_of(tmp_path):
    for side, epochs, threads, version, value in (("a", 2, 1, "2.0", 1), ("b", 3, 4, "2.1", 4)):
        write_npz(tmp_path / side / BLOCK, {"losses": [[7.0, 7.0], [7.0, value]]})
        definition = {"stage": "runs", "recipe": {"epochs": epochs}, "teacher": {"code": side}}
        conditions = {"threads": threads}
        write(tmp_path / side, [BLOCK], definition=definition, conditions=conditions, packages={"numpy": version})
    assert sections(tmp_path / "a" / BLOCK, tmp_path / "b" / BLOCK) == {
        "Identity": ["recipe.epochs: 2 in A, 3 in B", "the code of its teacher"],
        "Numbers (1 arrays)": ["losses: 1 of 4 elements, by up to 3 (at [1, 1]: 1 in A and 4 in B)"],
        "Circumstance": ["packages.numpy: '2.0' in A, '2.1' in B", "threads: 1 in A, 4 in B"],
    }


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_rows_are_matched_by_what_they_are_of_in_whatever_order(tmp_path, name):
    other = scores(memorisation=[0.25, 0.75, 1.0], type=["constant", "rising", "rising"])[::-1]
    paths = tables(tmp_path, scores(type=["constant"] * 3), other, name)
    assert sections(*paths)["Numbers (3 rows, matched by index)"] == [
        "memorisation: 2 of 3 rows, by up to 0.25 (index 5: 0.5 in A and 0.75 in B)",
        "type: 2 of 3 rows (index 5: constant in A and rising in B)",
    ]


def test_the_order_of_rows_is_no_difference_in_numbers_but_in_bytes(tmp_path):
    found = sections(*tables(tmp_path, scores(), scores()[::-1]))
    assert found["Numbers (3 rows, matched by index)"] == ["the same"]
    assert found["In neither"] == ["the bytes, such as the order of rows or what is written beside them"]


def test_rows_and_columns_of_one_side_are_counted_and_named(tmp_path):
    found = sections(*tables(tmp_path, scores(), scores(se=[0.1, 0.1, 0.1])[1:]))
    assert found["Numbers (2 rows, matched by index)"] == ["1 rows are only in A", "columns only in B: se"]


def test_as_many_keys_are_taken_as_tell_the_rows_apart(tmp_path):
    rows = {"examples": ["all", "all", "clean"], "quantity": ["mean", "share", "mean"]}
    both = (pd.DataFrame({**rows, "value": [1.0, 2.0, value]}) for value in (3.0, 3.5))
    assert sections(*tables(tmp_path, *both))["Numbers (3 rows, matched by examples, quantity)"] == [
        "value: 1 of 3 rows, by up to 0.5 (examples clean, quantity mean: 3 in A and 3.5 in B)"
    ]


def test_rows_that_no_key_tells_apart_are_matched_one_by_one(tmp_path):
    both = (pd.DataFrame({"index": [1, 1, 2], "value": values}) for values in ([1, 2, 3], [1, 5, 3]))
    assert sections(*tables(tmp_path, *both))["Numbers (3 rows, matched by index)"] == [
        "value: 1 of 3 rows, by up to 3 (index 1: 2 in A and 5 in B)"
    ]


def test_a_table_without_rows_is_compared_with_one_that_has_some(tmp_path):
    found = sections(*tables(tmp_path, scores()[:0], scores()))
    assert found["Numbers (0 rows, matched by index)"] == ["3 rows are only in B"]


def test_arrays_of_other_shapes_packed_bits_and_missing_arrays_are_told_apart(tmp_path):
    shared = {"log_odds": [1.0, float("nan")]}
    for side, bits, further in (
        ("a", 0b11110000, {"seeds": [1, 2], "x": [1]}),
        ("b", 0b11110011, {"seeds": [1, 2, 3]}),
    ):
        packed = {"train_correct": pd.array([bits], dtype="uint8").to_numpy()}
        write_npz(tmp_path / side / BLOCK, shared | packed | further)
    assert sections(tmp_path / "a" / BLOCK, tmp_path / "b" / BLOCK)["Numbers (3 arrays)"] == [
        "arrays only in A: x",
        "train_correct: 2 of 8 predictions differ",
        "seeds: int64[2] in A, int64[3] in B",
    ]


def test_other_files_are_compared_by_their_bytes(tmp_path):
    for side, text in (("a", "one"), ("b", "once")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "x.html").write_text(text)
    lines = compare(tmp_path / "a/x.html", tmp_path / "b/x.html")
    assert "  3 bytes in A, 4 in B; the first that differs is byte 2" in lines
    assert "Identity: not recorded" in lines
    assert sum("has no readable record" in line for line in lines) == 2


def test_an_edited_file_is_not_believed(tmp_path):
    a, b = tables(tmp_path, scores(), scores())
    write_csv(b, scores()[1:])
    warnings = [line for line in compare(a, b) if line.startswith("warning")]
    assert warnings == ["warning: B is not the file that its record describes: edited, truncated or swapped"]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("a", f"a/{BLOCK}", "is a folder and .* is a file; compare two files"),
        ("a", "nothing", "is neither a file, nor a folder of results, nor a commit"),
        ("a", "empty", "holds no results with a record"),
        (f"a/{BLOCK}", f"a/{FIGURE}.csv", "files of different kinds"),
        (f"a/{BLOCK}", f"a/{BLOCK}", "cannot be read .*; delete it and run again"),
        ("by-index.csv", "by-quantity.csv", "different kinds of table: rows by index, and by quantity"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(folders, tmp_path, a, b, message):
    (tmp_path / "empty").mkdir()
    write_csv(tmp_path / "by-index.csv", scores())
    write_csv(tmp_path / "by-quantity.csv", pd.DataFrame({"quantity": ["mean"], "value": [1]}))
    with pytest.raises(InputError, match=message):
        compare(tmp_path / a, tmp_path / b)


def test_two_folders_are_compared_stage_by_stage(folders):
    a, b = folders
    assert compare(a, b)[-1] == "All files are the same, in identity and in every byte."
    write(a, ["data/digits.npz"], definition={"stage": "data"})
    (b / BLOCK).write_bytes(b"other bits")
    write(b, [BLOCK], ["data/digits.npz"], definition={"stage": "runs", "seeds": [0, 4]}, conditions={"threads": 2})
    write(b, ["data/digits.npz"], definition={"stage": "data", "dataset": {"source": "arrays"}})
    write(b, ["claims.csv"], definition={"stage": "claims"})
    (b / f"{FIGURE}.png").unlink()
    lines = compare(a, b)
    rows = {line.split()[0]: line.split()[1:] for line in lines[3 : lines.index("", 4)]}
    assert rows["stage"] == ["same", "identity", "bytes", "both", "only", "A", "only", "B"]
    assert (rows["runs"], rows["claims"], rows["data"]) == (["1", "1"], ["1"], ["1"])
    data = lines.index("data, another identity, the same bytes: data/digits.npz")
    assert lines[data + 1] == "  dataset: missing in A, {'source': 'arrays'} in B"
    runs = lines.index(f"runs, the same identity, other bytes: {BLOCK}")
    assert "  threads: missing in A, 2 in B" in lines[runs + 1 :]
    assert f"other, only in A: {FIGURE}.png" in lines
    assert "claims, only in B: claims.csv" in lines


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The project in git: as it is, with a comment, with another function and another tau, without what it needs."""
    root = tmp_path_factory.mktemp("checkout").resolve()
    for folder in ("src", "workflow", "studies"):
        shutil.copytree(PROJECT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))

    def commit(name):
        for words in (["add", "."], ["commit", "-qm", name], ["tag", name]):
            subprocess.run(["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=b", *words], check=True)

    subprocess.run(["git", "init", "-q", str(root)], check=True)
    commit("first")
    edit(root / "src/memflow/trajectories.py", "def run(", "# a comment\ndef run(")
    commit("comment")
    edit(root / "src/memflow/scores.py", "def run(", "def unused() -> None: ...\n\n\ndef run(")
    study = yaml.safe_load((root / "studies/tiny.yaml").read_text())
    (root / "studies/tiny.yaml").write_text(yaml.safe_dump(study | {"tau": 0.2}))
    commit("second")
    (root / "src/memflow/outputs.py").unlink()
    commit("without-outputs")
    return root


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def at_checkout(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    monkeypatch.setattr(provenance, "ROOT", checkout)
    monkeypatch.setattr(code, "ROOT", checkout)
    forget()
    yield checkout
    forget()


def forget():
    provenance.commit.cache_clear()
    code.source_at.cache_clear()


def between(a, b, at):
    return diff.describe(a, b, at / "studies/tiny.yaml").splitlines()


def test_two_commits_differ_in_the_outputs_that_a_key_or_a_function_decides(at_checkout):
    lines = between("first", "second", at_checkout)
    trajectories = lines.index("another identity: trajectories/digits-noisy/networks/one-hot.parquet")
    assert lines[trajectories + 1] == "  tau: 0.15 in A, 0.2 in B"
    of_scores = next(number for number, line in enumerate(lines) if "scores/digits-noisy/" in line)
    assert lines[of_scores + 1] == "  code: memflow.scores (unused)"
    assert not any("runs/" in line or "counts/" in line for line in lines)


def test_a_comment_makes_no_difference_between_commits(at_checkout):
    assert between("first", "comment", at_checkout)[-1] == "37 of 37 outputs are the same at both commits"


def test_a_commit_that_cannot_list_outputs_is_too_old(at_checkout):
    with pytest.raises(InputError, match=r"without-ou is too old: .*compare later commits"):
        between("without-outputs", "first", at_checkout)


def test_a_config_that_a_commit_cannot_read_is_named(at_checkout, tmp_path):
    (tmp_path / "mine.yaml").write_text("study: mine\nseedz: 3\n")
    with pytest.raises(InputError, match=r"mine\.yaml cannot be read at commit first: (?s:.*)seedz"):
        diff.describe("first", "second", tmp_path / "mine.yaml")


def test_an_unknown_commit_and_a_project_without_git_are_refused(at_checkout, monkeypatch):
    with pytest.raises(InputError, match=r"third is neither a file, .*nor a commit of this project$"):
        between("first", "third", at_checkout)
    monkeypatch.setenv("PATH", "")
    forget()
    with pytest.raises(InputError, match="this is no git checkout"):
        between("first", "second", at_checkout)


def test_code_that_made_two_files_is_told_by_function_where_their_commits_are_at_hand(at_checkout, tmp_path):
    at_hand = [
        subprocess.run(["git", "rev-parse", name], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("first", "second")
    ]
    for commits, dirty, expected in (
        (at_hand, False, "code: memflow.scores (unused)"),
        (at_hand, True, "code: memflow.scores"),  # whatever it was, it is not what the commit holds
        ((COMMIT, COMMIT), False, "code: memflow.scores"),
    ):
        for side, commit in zip("ab", commits, strict=True):
            definition = {"stage": "scores", "code": side}
            modules = {"memflow.scores": side, "memflow.counts": "0"}
            write(tmp_path / side, ["x.json"], definition=definition, commit=commit, dirty=dirty, code=modules)
        assert sections(tmp_path / "a/x.json", tmp_path / "b/x.json")["Identity"] == [expected]


def test_neither_torch_nor_snakemake_is_imported(folders):
    program = (
        "import sys, json; from memflow import cli; cli.main(sys.argv[1:]);"
        "print(json.dumps([name for name in ('torch', 'snakemake') if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "audit", "diff", *map(str, folders)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == []
