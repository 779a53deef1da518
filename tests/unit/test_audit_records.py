"""The records of a results folder as one graph."""

import os
import shutil

import pytest
from audit_helpers import digest, small, write

from memflow.audit.records import SMALL, Records
from memflow.errors import InputError


@pytest.fixture
def results(tmp_path):
    small(tmp_path / "small")
    return tmp_path / "small"


def test_the_ancestry_of_a_file_has_everything_once_and_inputs_first(results):
    records = Records(results)
    order = records.ancestry("figures/digits/mean_memorisation.pdf")
    assert order == [
        "data/digits.npz",
        "runs/digits/mlp-8/one-hot/block-0.npz",
        "runs/digits/mlp-8/one-hot/block-1.npz",
        "counts/digits/mlp-8/one-hot.npz",
        "scores/digits/mlp-8/one-hot.summary.csv",
        "figures/digits/mean_memorisation.pdf",
    ]


def test_a_long_ancestry_needs_no_deep_stack(tmp_path):
    write(tmp_path / "small", ["0"])
    for number in range(1, 3000):
        write(tmp_path / "small", [str(number)], [str(number - 1)])
    assert Records(tmp_path / "small").ancestry("2999") == [str(number) for number in range(3000)]


def test_a_moved_or_renamed_folder_has_the_same_graph(results, tmp_path):
    before = Records(results).ancestry("figures/digits/mean_memorisation.pdf")
    moved = shutil.move(results, tmp_path / "archive of 2025")
    assert Records(moved).ancestry("figures/digits/mean_memorisation.pdf") == before


@pytest.mark.parametrize("recorded_as", ["results/other", "/home/someone/results/results/small"])
def test_inputs_are_found_wherever_the_results_lay_when_they_were_recorded(tmp_path, recorded_as):
    write(tmp_path / "small", ["a.csv"])
    write(tmp_path / "small", ["b.csv"], ["a.csv"], recorded_as=recorded_as)
    assert Records(tmp_path / "small").inputs("b.csv") == {"a.csv": digest(tmp_path / "small/a.csv")}


def test_inputs_outside_of_the_results_are_named_from_the_project(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project/labels.npy").write_bytes(b"labels")
    write(tmp_path / "small", ["a.npz"])
    record = (tmp_path / "small/a.npz.prov.json").read_text().replace('"inputs": {', '"inputs": {"labels.npy": "0"')
    (tmp_path / "small/a.npz.prov.json").write_text(record)
    records = Records(tmp_path / "small", tmp_path / "project")
    assert records.inputs("a.npz") == {"./labels.npy": "0"}
    assert records.actual("./labels.npy") == digest(tmp_path / "project/labels.npy")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"outputs": {"another.csv": "0"}}', '{"outputs": 3}'])
def test_an_unreadable_record_or_one_of_another_file_is_none(results, content):
    (results / "scores/digits/mlp-8/one-hot.parquet.prov.json").write_text(content)
    assert Records(results).of("scores/digits/mlp-8/one-hot.parquet") is None


def test_a_large_file_is_read_again_only_if_it_changed_after_its_record_was_written(tmp_path):
    path = tmp_path / "small/large.npz"
    path.parent.mkdir()
    path.write_bytes(bytes(SMALL + 1))
    write(tmp_path / "small", ["large.npz"])
    records = Records(tmp_path / "small")
    assert records.probable("large.npz") == digest(path)
    assert records._hashes == {}  # without having read it
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(bytes(SMALL) + b"1")
    os.utime(path, ns=times)  # as somebody would who does not want it to be seen
    assert Records(tmp_path / "small").probable("large.npz") != records.recorded("large.npz")


def test_a_path_outside_of_the_results_is_refused(results):
    with pytest.raises(InputError, match="is not in"):
        Records(results).name(results.parent / "other/claims.csv")


def test_a_folder_that_is_not_there_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match="run snakemake first"):
        Records(tmp_path / "nothing")
