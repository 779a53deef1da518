import json
from datetime import datetime

import pytest

from memflow import provenance
from memflow.files import sha256
from memflow.provenance import ProvenanceError, differences

STARTED = "2024-05-06T07:08:09+00:00"


@pytest.fixture
def output(tmp_path):
    """An output with its sidecar."""
    path = tmp_path / "block.npz"
    path.write_bytes(b"content")
    provenance.write(
        [path],
        {"ratio": "7/10"},
        inputs={tmp_path / "data.npz": "abc"},
        started=STARTED,
        bit_conditions={"threads": 1},
        details={"masks": ["m0", "m1"]},
    )
    return path


def test_a_sidecar_keeps_definition_bit_conditions_and_circumstance_apart(output):
    record = json.loads((output.parent / "block.npz.prov.json").read_text())
    assert record["definition"] == {"ratio": "7/10"}
    assert record["bit_conditions"] == {"threads": 1}
    assert record["masks"] == ["m0", "m1"]
    circumstance = record["circumstance"]
    assert circumstance["started"] == STARTED < circumstance["finished"]
    assert {"commit", "dirty", "host", "slurm_job_id", "python", "packages"} <= circumstance.keys()
    assert circumstance["packages"]["torch"] is not None


def test_a_sidecar_holds_the_sha256_of_inputs_and_outputs(output):
    record = provenance.read(output)
    assert record["inputs"] == {str(output.parent / "data.npz"): "abc"}
    assert record["outputs"] == {"block.npz": sha256(output)}


def test_every_output_of_a_job_has_a_sidecar_that_lists_them_all(tmp_path):
    outputs = [tmp_path / "table.csv", tmp_path / "figure.pdf"]
    for path in outputs:
        path.write_text(path.name)
    provenance.write(outputs, {}, inputs={}, started=provenance.now())
    records = [provenance.read(path) for path in outputs]
    assert records[0] == records[1]
    assert records[0]["outputs"].keys() == {"table.csv", "figure.pdf"}


def test_the_slurm_job_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    path = tmp_path / "x"
    path.write_text("")
    provenance.write([path], {}, inputs={}, started=provenance.now())
    assert provenance.read(path)["circumstance"]["slurm_job_id"] == "4711"


def test_times_are_in_utc():
    assert datetime.fromisoformat(provenance.now()).utcoffset().total_seconds() == 0


def test_a_tampered_output_is_refused_by_name(output):
    output.write_bytes(b"Content")
    with pytest.raises(ProvenanceError, match=r"block\.npz is not the file that its sidecar describes"):
        provenance.read(output)


def test_an_output_without_sidecar_is_refused_by_name(output):
    provenance.sidecar(output).unlink()
    with pytest.raises(ProvenanceError, match=r"block\.npz has no sidecar"):
        provenance.read(output)


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b"[]", b"3", b"{}", b'{"outputs": 3}'])
def test_a_garbled_sidecar_is_refused_by_name(output, garbage):
    provenance.sidecar(output).write_bytes(garbage)
    with pytest.raises(ProvenanceError, match=r"block\.npz\.prov\.json is not a readable sidecar"):
        provenance.read(output)


def test_a_sidecar_of_another_file_is_refused_by_name(output):
    provenance.sidecar(output).write_text('{"outputs": {"block-1.npz": "0"}}')
    with pytest.raises(ProvenanceError, match=r"describes block-1\.npz, not block\.npz: files were swapped"):
        provenance.read(output)


def test_a_missing_output_is_refused_by_name(output):
    output.unlink()
    with pytest.raises(ProvenanceError, match=r"block\.npz is missing"):
        provenance.read(output)


def test_differences_name_dotted_keys_with_both_values():
    found = {"recipe": {"epochs": 3, "fuse": 1}, "ratio": "7/10", "old": 1}
    expected = {"recipe": {"epochs": 4, "fuse": 1}, "ratio": "7/10", "seeds": [0, 2]}
    assert differences(found, expected) == [
        "old is 1, expected 'missing'",
        "recipe.epochs is 3, expected 4",
        "seeds is 'missing', expected [0, 2]",
    ]


def test_equal_definitions_have_no_differences():
    assert differences({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2]}}) == []
