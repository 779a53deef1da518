"""Every export of the default study, read back and compared value by value with its tables and the bits of its blocks.

Needs the finished default study (`make demo`) in results/digits, or in the folder that MEMFLOW_FINISHED names; skipped
without one.
"""

import os
from pathlib import Path

import export_readers as readers
import numpy as np
import pandas as pd
import pytest

from memflow import cli

PROJECT = Path(__file__).parents[2]
RESULTS = Path(os.environ.get("MEMFLOW_FINISHED", PROJECT / "results/digits"))
RUN = "digits-noisy/resnet8-w8/one-hot"
BLOCK = RESULTS / "runs" / RUN / "block-0.npz"


def is_finished():
    if not (RESULTS / "report/report.html").exists():
        return False
    with np.load(BLOCK) as block:
        return "probabilities" in block.files


pytestmark = pytest.mark.skipif(not is_finished(), reason=f"no finished default study in {RESULTS} (make demo)")


@pytest.fixture(scope="module")
def block():
    """Plain arrays: masks and correctness of the 100 runs, log-odds, and what else the block holds."""
    with np.load(BLOCK) as file, np.load(RESULTS / "data/digits-noisy.npz") as data:
        arrays = {name: file[name] for name in file.files}
        labels, tests, images = data["train_labels"], data["test_labels"], data["train_images"]
    for name, n in (("train_correct", len(labels)), ("test_correct", len(tests))):
        arrays[name] = np.unpackbits(arrays[name][:, -1], axis=-1, count=n).astype(bool)
    return arrays | {"labels": labels, "tests": tests, "images": images}


@pytest.fixture(scope="module")
def scores():
    return pd.read_parquet(RESULTS / f"scores/{RUN}.parquet")


@pytest.fixture(scope="module")
def keep(exported):
    return readers.lira(exported("lira", ""))[1]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")

    def run(form, suffix):
        path = folder / f"{form}{suffix}"
        if not path.exists():
            of = ["--results", str(RESULTS), "--dataset", "digits-noisy", "--architecture", "resnet8-w8"]
            cli.main(["export", form, *of, "--output", str(path)])
        return path

    return run


def influence(keep, correct):
    """All pairs, from plain sums."""
    inside, n = keep.T.astype(int) @ correct.astype(int), keep.sum(axis=0)[:, None]
    return inside / n - (correct.sum(axis=0) - inside) / (len(keep) - n)


def test_lira(exported, block, scores, keep):
    log_odds, _, labels = readers.lira(exported("lira", ""))
    assert np.array_equal(log_odds[..., 0], block["log_odds"].astype(np.float32))
    assert np.array_equal(labels, block["labels"])
    assert np.array_equal(keep.sum(axis=0), scores["n_in"])
    right = (block["train_correct"] & keep).sum(axis=0) / keep.sum(axis=0)
    assert np.array_equal(right, scores["acc_in"])


def test_feldman_zhang(exported, block, scores, keep):
    mem, train, test, matrix = readers.feldman_zhang(exported("feldman-zhang", ".npz"))
    assert np.array_equal(mem, scores["memorisation"])
    assert np.array_equal(train, block["labels"])
    assert np.array_equal(test, block["tests"])
    same = train[:, None] == test
    expected = influence(keep, block["test_correct"])
    assert np.array_equal(np.isfinite(matrix), same)
    assert np.abs(matrix[same] - expected[same]).max() < 1e-6
    pairs = readers.feldman_zhang_pairs(exported("feldman-zhang-pairs", ".npz"))
    memorised = scores["memorisation"].to_numpy()[:, None] >= 0.25 - 1e-9
    rows, columns = np.nonzero(same & memorised & (expected >= 0.15 - 1e-9))
    assert set(pairs) == set(zip(rows.tolist(), columns.tolist(), strict=True))
    for (row, column), (infl, of_train) in pairs.items():
        assert infl == pytest.approx(expected[row, column], abs=1e-6)
        assert of_train == pytest.approx(mem[row], abs=1e-6)


def test_c_score(exported, block, scores):
    labels, values = readers.c_score(exported("c-score", ".npz"))
    assert np.array_equal(labels, block["labels"])
    assert np.array_equal(values, scores["acc_out"])


def test_datamodels(exported, block, keep):
    masks, margins = readers.datamodels(exported("datamodels", ""))
    assert np.array_equal(masks, keep)
    assert np.array_equal(margins, block["test_log_odds"].astype(np.float32))


def test_cleanlab(exported, block, keep):
    labels, probabilities = readers.cleanlab(exported("cleanlab", ".npz"))[:2]
    assert np.array_equal(labels, block["labels"])
    expected = block["probabilities"] / block["probabilities"].sum(axis=1, keepdims=True)
    assert np.allclose(probabilities, expected, rtol=0, atol=1e-6)


def test_proxies(exported, scores):
    proxies = pd.read_parquet(RESULTS / "proxies/digits-noisy/resnet8-w8.parquet")
    original = proxies.pivot_table(index="index", columns="proxy", values="original")
    lines = readers.data_map(exported("data-map", ".jsonl"))
    aum = readers.aum(exported("aum", ".csv"))
    assert len(lines) == len(aum) == len(scores)
    for index, row in original.iterrows():
        line = lines[index]
        assert line["confidence"] == pytest.approx(row["cumulative_confidence"], abs=1e-6)
        assert line["variability"] == pytest.approx(row["data_map_variability"], abs=1e-6)
        assert aum[index] == pytest.approx(row["aum"], rel=1e-6)


def test_hugging_face(exported, block, scores):
    from datasets import load_dataset

    path = exported("hugging-face", ".parquet")
    rows = load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))
    assert len(rows) == len(scores)
    for number in (0, 17, len(scores) - 1):
        assert np.array_equal(np.asarray(rows[number]["image"]), block["images"][number].squeeze())
    assert np.array_equal(rows["label"], block["labels"])
    assert np.array_equal(rows["memorisation"], scores["memorisation"])
