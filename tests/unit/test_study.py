import subprocess
import sys

import numpy as np
import pytest
from run_helpers import study_of_runs

import memflow
from memflow import scores
from memflow.errors import InputError
from memflow.files import write_npz
from memflow.provenance import ProvenanceError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "small"

    def outcome(masks, random):
        return {"log_odds": random.normal(size=masks.shape).astype(np.float16)}

    made = study_of_runs(folder, "influence", outcome, seeds=110, block_size=10)
    settings = {"study": "s", "confidence": 0.95, "memorised_at": 0.25, "pretraining_overlap": "no"}
    (folder / "scores/d/net").mkdir(parents=True)
    scores.run({"stage": "scores", **settings}, made.counts, folder / "scores/d/net/one-hot.parquet")
    return folder


@pytest.fixture
def study(folder):
    return memflow.open_study(str(folder))


def test_it_says_what_it_holds(study):
    assert study.datasets == ["d"]
    assert study.runs == [("d", "net", "one-hot")]
    assert study.families("d") == []
    assert repr(study) == "<study small: 1 datasets, scores of 1 architectures and methods>"


def test_scores_follow_from_the_outcomes_of_the_runs(study):
    found = study.outcomes("d", "net")
    expected = [
        found.train_correct[found.masks[:, i], i].mean() - found.train_correct[~found.masks[:, i], i].mean()
        for i in range(found.masks.shape[1])
    ]
    assert np.array_equal(study.scores("d", "net")["memorisation"], expected)
    assert np.array_equal(study.counts("d", "net").scores(), expected)
    assert found.log_odds.dtype == np.float16
    assert len(study.scores("d", "net", of="halves")) == 2 * len(expected)
    assert set(study.scores("d", "net", of="epochs")["epoch"]) == {3}
    assert study.summary("d", "net")["runs"].eq(110).all()


def test_blocks_are_read_in_the_order_of_their_seeds(study):
    """By name, block-10 comes before block-2."""
    assert [path.name for path in study.read if path.name.startswith("block")] == []
    study.outcomes("d", "net")
    read = [path.name for path in study.read if path.name.startswith("block")]
    assert read == [f"block-{number}.npz" for number in range(11)]


def test_images_are_in_the_order_of_the_tables(study):
    assert study.images("d").shape == (60, 6, 6, 3)
    assert study.images("d", "test").shape == (20, 6, 6, 3)
    assert np.array_equal(study.dataset("d").train.index, study.scores("d", "net")["index"])
    assert study.dataset("d") is study.dataset("d")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s: s.scores("e", "net"), r"has no dataset 'e' \(.*allowed: d\)"),
        (lambda s: s.scores("d", "nett"), r"no scores of architecture 'nett' \(did you mean 'net'\? allowed: net\)"),
        (lambda s: s.scores("d", "net", "two-hot"), r"no scores by method 'two-hot' \(did you mean 'one-hot'\?"),
        (lambda s: s.scores("d", "net", of="most"), "of is 'most'; allowed: all, halves, epochs"),
        (lambda s: s.influence("d", "net", of="most"), "of is 'most'; allowed: pairs, train, test"),
        (lambda s: s.influence("d", "net"), "the study has no influence. snakemake makes what is missing"),
        (lambda s: s.trajectories("d", "sizes"), "d has no trajectories of family 'sizes'"),
        (lambda s: s.images("d", "validation"), "split is 'validation'; allowed: train, test"),
        (lambda s: s.probabilities("d", "net"), "did not keep class probabilities"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(study, ask, message):
    with pytest.raises(InputError, match=message):
        ask(study)


def test_no_study_is_an_error_that_names_the_nearest(folder):
    with pytest.raises(InputError, match=r"smal holds no study .*did you mean 'small'\?"):
        memflow.open_study(folder.with_name("smal"))


def test_a_changed_file_is_refused(study, folder):
    path = folder / "scores/d/net/one-hot.halves.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    try:
        with pytest.raises(ProvenanceError, match="is not the file that its sidecar describes"):
            study.scores("d", "net", of="halves")
        assert len(study.scores("d", "net")) == 60
    finally:
        path.write_bytes(content)


def test_blocks_that_the_counts_were_not_merged_from_are_refused(tmp_path):
    made = study_of_runs(tmp_path / "s", "influence", lambda masks, random: {}, seeds=40)
    other = study_of_runs(
        tmp_path / "t", "influence", lambda masks, random: {"train_correct": random.random(masks.shape) < 0.9}, seeds=40
    )
    for name in ("block-1.npz", "block-1.npz.prov.json"):
        (made.blocks[1].parent / name).write_bytes((other.blocks[1].parent / name).read_bytes())
    with pytest.raises(ProvenanceError, match=r"block-1\.npz is not the block that the counts were merged from"):
        memflow.open_study(tmp_path / "s").outcomes("d", "net")
    write_npz(made.blocks[1], {"seeds": np.arange(20)})
    with pytest.raises(ProvenanceError, match=r"block-1\.npz is not the file"):
        memflow.open_study(tmp_path / "s").outcomes("d", "net")


def test_torch_is_not_imported(folder):
    code = (
        f"import sys, memflow; memflow.open_study({str(folder)!r}).outcomes('d', 'net'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
