import hashlib
import json
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from memflow import files


def interrupted(file):
    file.write(b"half of the new con")
    raise KeyboardInterrupt


def test_a_writer_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(path, interrupted)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_makes_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "out.bin", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_the_name_appears_only_when_the_content_is_whole(tmp_path):
    path = tmp_path / "out.bin"
    seen = []

    def write(file):
        file.write(b"first")
        file.flush()
        seen.append(path.exists())
        file.write(b" second")

    files.write_atomically(path, write)
    assert seen == [False]
    assert path.read_bytes() == b"first second"


def test_missing_folders_are_made_and_old_content_is_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "out.bin"
    files.write_bytes(path, b"a longer first content")
    files.write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_the_mode_of_a_file_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "out.bin", b"")
        assert os.umask(0o027) == 0o027  # asking for the umask has not changed it
    finally:
        os.umask(before)
    assert (tmp_path / "out.bin").stat().st_mode & 0o777 == 0o640


def test_the_same_arrays_give_the_same_npz_bytes(tmp_path, monkeypatch):
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.array(["x", "yz"]), "scalar": np.int64(3)}
    files.write_npz(tmp_path / "one.npz", arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)  # another day
    files.write_npz(tmp_path / "two.npz", {name: array.copy() for name, array in arrays.items()})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as file:
        assert all(np.array_equal(file[name], array) for name, array in arrays.items())


def test_an_npz_never_holds_pickles(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        files.write_npz(tmp_path / "out.npz", {"a": np.array([{}], dtype=object)})
    assert list(tmp_path.iterdir()) == []


def test_a_csv_has_unix_line_ends_and_no_row_numbers(tmp_path):
    files.write_csv(tmp_path / "out.csv", pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]}))
    assert (tmp_path / "out.csv").read_bytes() == b"a,b\n1,0.5\n2,\n"


TABLE = pd.DataFrame({"kind": ["a", None, "b"], "value": [0.5, np.nan, 2.0], "n": np.array([1, 2, 3], dtype=np.int32)})


def test_a_parquet_file_holds_the_table_with_nulls_and_metadata(tmp_path):
    files.write_parquet(tmp_path / "out.parquet", TABLE, {"runs": 100, "study": "tiny"})
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["kind"].to_pylist() == ["a", None, "b"]
    assert table["value"].to_pylist() == [0.5, None, 2.0]
    assert table.schema.field("n").type == "int32"
    assert table.column_names == ["kind", "value", "n"]  # no row numbers
    assert {key: json.loads(value) for key, value in table.schema.metadata.items()} == {
        b"memflow": {"runs": 100, "study": "tiny"}
    }
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), TABLE)


def test_the_same_table_gives_the_same_parquet_bytes(tmp_path, monkeypatch):
    files.write_parquet(tmp_path / "one.parquet", TABLE, {"a": 1, "b": 2})
    monkeypatch.setattr("time.time", lambda: 2e9)  # another day
    files.write_parquet(tmp_path / "two.parquet", TABLE.copy().set_index(np.array([7, 8, 9])), {"b": 2, "a": 1})
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_parquet_file_needs_no_metadata_and_leaves_no_temporary_file(tmp_path):
    files.write_parquet(tmp_path / "a" / "out.parquet", TABLE)
    assert pq.read_schema(tmp_path / "a" / "out.parquet").metadata == {b"memflow": b"{}"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out.parquet"]


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()
