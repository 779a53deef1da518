"""Where a file came from, in facts, a sentence, a tree and a graph."""

import json

import pytest
from audit_helpers import COMMIT, small, write

from memflow.audit import trace, tree
from memflow.audit.records import Records


@pytest.fixture
def traced(tmp_path):
    """What is said of the figure of a small study, made with some circumstance."""

    def find(**how):
        figure, _ = small(tmp_path / "small", **how)
        return trace.find(Records(tmp_path / "small"), [figure])

    return find


def test_the_sentence_says_of_what_by_whom_and_when(traced):
    sentence = traced()["sentence"]
    assert sentence.startswith("mean_memorisation.pdf: 1 architecture x 8 runs, seeds 0-7 without gap or repeat, ")
    assert f"one commit ({COMMIT[:10]}), clean, digits sha256 " in sentence
    assert sentence.endswith("on cpu (AVX2), trained 3 November 2026, 1 core-hours")


def test_runs_are_counted_with_their_seeds_and_those_that_missed_their_target(traced):
    (of,) = traced()["runs"]
    assert (of["dataset"], of["architecture"], of["method"]) == ("digits", "mlp-8", "one-hot")
    assert (of["blocks"], of["runs"], of["seeds"], of["missing"], of["repeated"]) == (2, 8, [0, 7], [], [])
    assert of["not_converged"] == 1
    assert of["hours"] == {"core": 1.0}


@pytest.mark.parametrize(
    ("how", "warning"),
    [
        ({"seeds": ((0, 4), (6, 10))}, "digits/mlp-8/one-hot: 2 seeds are missing: 4, 5"),
        ({"seeds": ((0, 4), (2, 6))}, "digits/mlp-8/one-hot: 2 seeds are repeated: 2, 3"),
        ({"seeds": ((4, 8), (8, 12))}, "digits/mlp-8/one-hot: 4 seeds are missing: 0, 1, 2, 3"),
        ({}, "digits/mlp-8/one-hot: 1 of 8 runs missed their in-sample target"),
        ({"dirty": True}, "2 of 6 jobs ran uncommitted code"),
        ({"commit": "f" * 40}, f"made by more than one commit: {COMMIT[:10]} (4 jobs), ffffffffff (2 jobs)"),
    ],
)
def test_what_a_reader_should_know_is_a_warning(traced, how, warning):
    assert warning in traced(**how)["warnings"]


def test_runs_on_different_devices_are_a_warning(tmp_path):
    figure, blocks = small(tmp_path / "small")
    gpu = {"device": "cuda", "device_name": "H100", "torch": "2.14.1"}
    write(tmp_path / "small", blocks[1:], definition={"stage": "runs", "seeds": [4, 8]}, conditions=gpu)
    found = trace.find(Records(tmp_path / "small"), [figure])
    assert "runs were made under 2 kinds of device: cpu (AVX2), cuda (H100)" in found["warnings"]
    assert found["sentence"].endswith("2 kinds of device, trained 3 November 2026, 0.5 GPU-hours and 0.5 core-hours")


def test_an_ancestor_without_a_record_or_with_another_one_is_a_warning(tmp_path):
    figure, blocks = small(tmp_path / "small")
    (tmp_path / "small" / f"{blocks[0]}.prov.json").unlink()
    (tmp_path / "small/scores/digits/mlp-8/one-hot.summary.csv").write_text("another")
    write(tmp_path / "small", ["scores/digits/mlp-8/one-hot.summary.csv"])
    warnings = trace.find(Records(tmp_path / "small"), [figure])["warnings"]
    assert any(warning.startswith(f"{figure} was made from another scores/") for warning in warnings)
    blocks_only = trace.find(Records(tmp_path / "small"), ["counts/digits/mlp-8/one-hot.npz"])["warnings"]
    assert f"{blocks[0]} has no readable record, so that nothing is known of it" in blocks_only


def test_what_no_run_stands_behind_says_so(tmp_path):
    write(tmp_path / "small", ["data/digits.npz"])
    sentence = trace.find(Records(tmp_path / "small"), ["data/digits.npz"])["sentence"]
    assert sentence.startswith("digits.npz: no runs, one commit")


def test_students_count_the_runs_of_their_teachers(tmp_path):
    results = tmp_path / "small"
    _, blocks = small(results)
    weights = blocks[0].replace(".npz", ".weights.npz")
    write(results, [blocks[0], weights], definition={"stage": "runs", "seeds": [0, 4]})
    student = "runs/digits/mlp-4/distilled-from-mlp-8/block-0.npz"
    write(results, [student], [weights], definition={"stage": "runs", "seeds": [0, 4]})
    found = trace.find(Records(results), [student])
    assert [(of["architecture"], of["runs"]) for of in found["runs"]] == [("mlp-8", 4), ("mlp-4", 4)]


def test_the_tree_shows_blocks_together_and_nothing_twice(traced):
    lines = tree.describe(traced()).splitlines()
    start = lines.index("figures/digits/mean_memorisation.pdf")
    assert lines[start + 1].startswith("└─ scores/digits/mlp-8/one-hot.summary.csv  ")
    assert "      └─ runs/digits/mlp-8/one-hot/block-*.npz  2 blocks" in lines
    assert sum("block-" in line for line in lines) == 1


@pytest.mark.parametrize(("language", "start", "arrow"), [("mermaid", "graph LR", "-->"), ("dot", "digraph {", "->")])
def test_the_graph_joins_jobs_by_their_first_files(traced, language, start, arrow):
    lines = tree.as_graph(traced(), language).splitlines()
    assert lines[0] == start
    nodes = [line for line in lines if "block-*" in line]
    assert len(nodes) == 1
    assert (
        sum(f" {arrow} " in line for line in lines) == 5
    )  # data to blocks and counts, and on to counts, scores, figure


def test_the_json_has_every_job_with_its_hashes(traced):
    found = json.loads(tree.as_json(traced()))
    assert len(found["jobs"]) == 6
    outputs = {name: digest for job in found["jobs"] for name, digest in job["outputs"].items()}
    for job in found["jobs"]:
        assert all(outputs[name] == digest for name, digest in job["inputs"].items())
