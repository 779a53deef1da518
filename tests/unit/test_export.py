"""Every export is read by a reader that knows the format only, and compared with the outcomes of the runs."""

import io
import json
import shutil

import export_readers as readers
import numpy as np
import pandas as pd
import pytest
from helpers import noise_images
from PIL import Image
from run_helpers import study_of_runs

import memflow
from memflow import provenance, scores
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.export import formats, job
from memflow.files import sha256, write_parquet
from memflow.methods import ONE_HOT

N, TESTS, CLASSES, EPOCHS = 60, 30, 3, 8
PROXIES = {"cumulative_confidence": 0.5, "data_map_variability": 0.2, "cumulative_accuracy": 0.75, "aum": 1.5}


def learnt(masks, random):
    """Runs that had an example are right about it and about the test at the same place; with log-odds of everything."""
    correct = masks | (random.random(masks.shape) < 0.4)
    test = random.random((len(masks), TESTS)) < 0.3
    test |= masks[:, :TESTS] & (random.random((len(masks), TESTS)) < 0.8)
    levels = random.integers(1, 60000, (masks.shape[1], CLASSES)).astype(np.uint32)
    return {
        "train_correct": correct,
        "test_correct": test,
        "log_odds": random.normal(size=masks.shape).astype(np.float16),
        "test_log_odds": random.normal(size=test.shape).astype(np.float16),
        "probabilities": levels,
    }


def data():
    """Training and test image at the same place have one label; indices are not positions."""
    plain = noise_images(n=N, n_test=TESTS)
    train = type(plain.train)(plain.train.images, plain.train.labels, 2 * plain.train.index + 5)
    test = type(plain.test)(plain.test.images, plain.train.labels[:TESTS], 3 * plain.test.index)
    return Dataset.unflagged(train, test, [f"class {c}" for c in range(CLASSES)])


def make(folder, outcome=learnt, **changes):
    made = study_of_runs(folder, "influence", outcome, data=data(), **changes)
    settings = {"study": "s", "confidence": 0.95, "memorised_at": 0.25, "pretraining_overlap": "no"}
    (folder / "scores/d/net").mkdir(parents=True)
    scores.run({"stage": "scores", **settings}, made.counts, folder / "scores/d/net/one-hot.parquet")
    return memflow.open_study(folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "s"
    study = make(folder)
    with_proxies(folder, study.dataset("d").train)
    return study


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A study of a learner without logits."""
    return make(tmp_path_factory.mktemp("bare") / "s", lambda masks, random: {})


def with_proxies(folder, train, but=None):
    """A table of proxies in another order than the dataset's, as nothing promises theirs."""
    parts = []
    for name, start in ((name, start) for name, start in PROXIES.items() if name != but):
        original = (start + np.arange(N) / 1000).astype(np.float32)
        table = pd.DataFrame({"proxy": name, "index": train.index, "label": train.labels, "original": original})
        parts.append(table[::-1])
    path = folder / "proxies/d/net.parquet"
    write_parquet(path, pd.concat(parts, ignore_index=True))
    runs = {"recipe": {"epochs": EPOCHS}}
    provenance.write([path], {"runs": runs, "n_runs": 4}, inputs={}, started=provenance.now())


def export(study, name, path, **options):
    return job.run(name, study, "d", "net", None, path, **options)


def by_hand(found, train, test):
    had, right = found.masks[:, train], found.test_correct[:, test]
    return right[had].mean() - right[~had].mean()


def test_influence_and_memorisation_are_those_of_the_runs_class_by_class(study, tmp_path):
    export(study, "feldman-zhang", tmp_path / "x.npz")
    memorisation, train, test, matrix = readers.feldman_zhang(tmp_path / "x.npz")
    found, dataset = study.outcomes("d", "net"), study.dataset("d")
    assert np.array_equal(memorisation, study.scores("d", "net")["memorisation"])
    assert np.array_equal(train, dataset.train.labels)
    assert np.array_equal(test, dataset.test.labels)
    same = train[:, None] == test
    assert np.array_equal(np.isfinite(matrix), same)
    expected = [by_hand(found, *pair) for pair in np.argwhere(same)]
    np.testing.assert_allclose(matrix[same], expected, rtol=0, atol=1e-7)
    with np.load(tmp_path / "x.npz") as file:
        assert file["infl_matrix_class0"].dtype == np.float32
        assert np.array_equal(file["tr_index"], dataset.train.index)
        assert np.array_equal(file["tt_index"], dataset.test.index)


@pytest.mark.parametrize("thresholds", [{}, {"influence_at": 0.3, "memorised_at": 0.5}])
def test_pairs_are_those_of_one_class_that_reach_both_thresholds(study, tmp_path, thresholds):
    export(study, "feldman-zhang-pairs", tmp_path / "x.npz", options=thresholds)
    pairs = readers.feldman_zhang_pairs(tmp_path / "x.npz")
    found, dataset = study.outcomes("d", "net"), study.dataset("d")
    memorisation = study.scores("d", "net")["memorisation"].to_numpy()
    at, least = thresholds.get("influence_at", 0.15), thresholds.get("memorised_at", 0.25)
    expected = {
        (i, j): (by_hand(found, i, j), memorisation[i])
        for i in range(N)
        for j in range(TESTS)
        if dataset.train.labels[i] == dataset.test.labels[j]
        and memorisation[i] >= least - 1e-9
        and by_hand(found, i, j) >= at - 1e-9
    }
    assert len(expected) > 5
    assert list(pairs) == list(expected)
    np.testing.assert_allclose(list(pairs.values()), list(expected.values()), rtol=0, atol=1e-12)
    with np.load(tmp_path / "x.npz") as file:
        assert np.array_equal(file["tr_index"], dataset.train.index[file["tr_idx"]])
        assert np.array_equal(file["tt_index"], dataset.test.index[file["tt_idx"]])


def test_a_pair_on_the_threshold_is_in(tmp_path):
    """Though rounding puts 49/70 - 14/30 below 7/30."""

    def outcome(masks, random):
        test = np.zeros((len(masks), TESTS), dtype=bool)
        inside, outside = np.flatnonzero(masks[:, 0]), np.flatnonzero(~masks[:, 0])
        test[inside[:49], 0] = test[outside[:14], 0] = True
        return {"train_correct": masks, "test_correct": test}

    study = make(tmp_path / "s", outcome, seeds=100, block_size=100)
    export(study, "feldman-zhang-pairs", tmp_path / "x.npz", options={"influence_at": 7 / 30})
    assert (0, 0) in readers.feldman_zhang_pairs(tmp_path / "x.npz")


def test_the_c_score_is_the_out_of_sample_accuracy_and_the_ratio_is_said(study, tmp_path):
    line = export(study, "c-score", tmp_path / "x.npz")
    labels, values = readers.c_score(tmp_path / "x.npz")
    table = study.scores("d", "net")
    assert np.array_equal(labels, table["label"])
    assert np.array_equal(values, table["acc_out"])
    assert "at ratio 7/10" in line


def test_lira_reads_the_subset_and_the_log_odds_of_every_run(study, tmp_path):
    export(study, "lira", tmp_path / "lira")
    values, keep, labels = readers.lira(tmp_path / "lira")
    found = study.outcomes("d", "net")
    assert values.shape == (40, N, 1)
    assert values.dtype == np.float32
    assert np.array_equal(values[..., 0], found.log_odds.astype(np.float32))
    assert np.array_equal(keep, found.masks)
    assert keep.dtype == bool
    assert np.array_equal(labels, study.dataset("d").train.labels)
    assert (tmp_path / "lira/experiment-39_40/scores/0000000003.npy").is_file()
    assert "no `logits/`" in (tmp_path / "lira/README.md").read_text()
    assert not list(tmp_path.rglob("logits"))


def test_datamodels_reads_masks_and_margins_of_all_runs(study, tmp_path):
    export(study, "datamodels", tmp_path / "dm")
    masks, margins = readers.datamodels(tmp_path / "dm")
    found = study.outcomes("d", "net")
    assert np.array_equal(masks, found.masks)
    assert masks.dtype == bool
    assert np.array_equal(margins, found.test_log_odds.astype(np.float32))


def test_a_data_map_joins_proxies_by_index_and_counts_correct_epochs(study, tmp_path):
    line = export(study, "data-map", tmp_path / "x.jsonl")
    found, index = readers.data_map(tmp_path / "x.jsonl"), study.dataset("d").train.index
    assert list(found) == index.tolist()
    assert list(found[int(index[0])]) == ["guid", "index", "confidence", "variability", "correctness"]
    for row, guid in enumerate(index):
        numbers = [found[int(guid)][name] for name in ("confidence", "variability", "correctness")]
        expected = [0.5 + row / 1000, 0.2 + row / 1000, EPOCHS * (0.75 + row / 1000)]
        np.testing.assert_allclose(numbers, expected, rtol=1e-6)
    assert "8 epochs; mean of 4 tracked runs" in line


def test_the_aum_is_by_index_highest_first(study, tmp_path):
    export(study, "aum", tmp_path / "x.csv")
    found, index = readers.aum(tmp_path / "x.csv"), study.dataset("d").train.index
    assert list(found) == index[::-1].tolist()
    np.testing.assert_allclose([found[int(i)] for i in index], 1.5 + np.arange(N) / 1000, rtol=1e-6)


def test_class_probabilities_add_to_one_and_go_through_cleanlab(study, tmp_path):
    from cleanlab.filter import find_label_issues

    export(study, "cleanlab", tmp_path / "x.npz")
    labels, probabilities, index = readers.cleanlab(tmp_path / "x.npz")
    expected = study.probabilities("d", "net")
    np.testing.assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert np.array_equal(labels, study.dataset("d").train.labels)
    assert np.array_equal(index, study.dataset("d").train.index)
    issues = find_label_issues(labels, probabilities, n_jobs=1)
    assert issues.dtype == bool
    assert issues.shape == (N,)


def test_images_labels_and_scores_are_in_one_table(study, tmp_path):
    export(study, "hugging-face", tmp_path / "x.parquet")
    table, features = readers.hugging_face(tmp_path / "x.parquet")
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": ["class 0", "class 1", "class 2"], "_type": "ClassLabel"}
    assert list(features) == table.column_names
    frame, expected = table.to_pandas(), study.scores("d", "net")
    pd.testing.assert_frame_equal(frame.drop(columns="image"), expected.astype({"label": "int64"}), check_exact=True)
    for picture, image in zip(frame["image"], study.images("d"), strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture["bytes"]))), image)
    assert frame["image"][0]["path"] == "5.png"


def test_the_datasets_library_sees_an_image_and_a_class(study, tmp_path):
    datasets = pytest.importorskip("datasets")
    export(study, "hugging-face", tmp_path / "x.parquet")
    files = {"train": str(tmp_path / "x.parquet")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
    assert isinstance(loaded.features["image"], datasets.Image)
    assert isinstance(loaded.features["label"], datasets.ClassLabel)
    dataset, table = study.dataset("d"), study.scores("d", "net")
    assert len(loaded) == N
    for row in (0, 7, N - 1):
        example = loaded[row]
        assert np.array_equal(np.asarray(example["image"]), dataset.train.images[row])
        assert loaded.features["label"].int2str(example["label"]) == f"class {dataset.train.labels[row]}"
        assert {name: example[name] for name in ("index", "memorisation", "acc_out")} == {
            name: table[name][row] for name in ("index", "memorisation", "acc_out")
        }


def test_one_line_says_what_was_written_of_how_many_runs_and_in_which_order(study, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "was_dirty", lambda path: True)
    order = f"official order of d, fingerprint {study.dataset('d').fingerprint[:12]}"
    for name in formats.FORMATS:
        path = tmp_path / f"x{formats.FORMATS[name].suffix}"
        warning, line = export(study, name, path).splitlines()
        assert warning == "warning: made from uncommitted code"
        assert line.startswith(f"{path} ({name}): ")
        assert line.endswith(order)
        assert ("K = 40 runs at ratio 7/10" in line) != formats.FORMATS[name].tracked
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(("name", "record"), [("c-score", "x.npz"), ("lira", "x/memflow.json")])
def test_the_record_names_what_it_was_made_from_and_uncommitted_code_is_said(
    study, tmp_path, monkeypatch, name, record
):
    monkeypatch.setattr(provenance, "uncommitted", lambda: ["src/memflow/scores.py"])
    line = export(study, name, tmp_path / (record if name == "c-score" else "x"))
    assert line.startswith("warning: made from uncommitted code\n")
    written = provenance.read(tmp_path / record)
    expected = {"export": name, "study": "s", "dataset": "d", "architecture": "net", "method": ONE_HOT}
    assert written["definition"] == expected | {"fingerprint": study.dataset("d").fingerprint}
    assert str(study.folder / "counts/d/net/one-hot.npz") in written["inputs"]


def test_the_list_in_a_folder_has_the_digest_of_every_file(study, tmp_path):
    export(study, "datamodels", tmp_path / "dm")
    listed = json.loads((tmp_path / "dm/memflow.json").read_text())["files"]
    assert sorted(listed) == ["README.md", "_completed.npy", "margins.npy", "masks.npy"]
    assert all(sha256(tmp_path / "dm" / name) == digest for name, digest in listed.items())


def test_an_export_is_byte_for_byte_the_same_again_and_replaces_itself(study, tmp_path):
    for name in ("feldman-zhang", "hugging-face", "datamodels"):
        path = tmp_path / f"x{formats.FORMATS[name].suffix}"
        export(study, name, path)
        files = [path] if path.is_file() else sorted(path.glob("*.npy"))
        before = [file.read_bytes() for file in files]
        export(study, name, path)
        assert [file.read_bytes() for file in files] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "x", "x.npz", "x.npz.prov.json", "x.parquet", "x.parquet.prov.json",
    ]  # fmt: skip


def test_what_no_export_wrote_is_not_replaced_unless_forced(study, tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    for name, path in (("c-score", tmp_path / "mine.npz"), ("lira", tmp_path / "mine")):
        with pytest.raises(InputError, match=r"mine.* was not written by `memflow export`.*--force"):
            export(study, name, path)
        export(study, name, path, force=True)
    assert not (tmp_path / "mine/notes.txt").exists()


def test_an_export_that_was_changed_or_added_to_is_not_replaced(study, tmp_path):
    export(study, "aum", tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("sample_id,aum\n")
    with pytest.raises(InputError, match="was changed since"):
        export(study, "aum", tmp_path / "x.csv")
    export(study, "lira", tmp_path / "lira")
    (tmp_path / "lira/mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"also holds mine.txt"):
        export(study, "lira", tmp_path / "lira")
    (tmp_path / "lira/mine.txt").unlink()
    np.save(tmp_path / "lira/experiment-3_40/keep.npy", np.zeros(N, dtype=bool))
    with pytest.raises(InputError, match=r"was changed since it was exported \(experiment-3_40/keep.npy\)"):
        export(study, "lira", tmp_path / "lira")


def test_a_results_file_is_no_export(study):
    with pytest.raises(InputError, match="is no export"):
        export(study, "hugging-face", study.folder / "scores/d/net/one-hot.parquet")


def test_a_failed_export_leaves_nothing(bare, tmp_path):
    with pytest.raises(InputError):
        export(bare, "lira", tmp_path / "lira")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("feldman", "x.npz", r"format is 'feldman' \(did you mean 'feldman-zhang'"),
        ("c-score", "x.csv", r"x.csv; this format is one file, whose name must end in \.npz"),
        ("lira", "x.npz", "no logits.*choose a network"),
        ("datamodels", "x", "no logits.*choose a network"),
        ("cleanlab", "x.npz", "did not keep class probabilities; set `probabilities: true`"),
        ("aum", "x.csv", "the study has no proxies"),
        ("data-map", "x.jsonl", "the study has no proxies"),
    ],
)
def test_what_a_study_does_not_have_is_refused_with_what_to_do(bare, tmp_path, name, path, message):
    with pytest.raises(InputError, match=message):
        export(bare, name, tmp_path / path)


def test_runs_without_log_odds_of_the_tests_say_how_to_get_them(tmp_path):
    def outcome(masks, random):
        return {"log_odds": random.normal(size=masks.shape).astype(np.float16)}

    with pytest.raises(InputError, match="did not keep log-odds of the test labels; set `probabilities: true`"):
        export(make(tmp_path / "s", outcome), "datamodels", tmp_path / "x")


def test_a_missing_proxy_is_named(bare, tmp_path):
    folder = tmp_path / "s"
    shutil.copytree(bare.folder, folder)
    with_proxies(folder, bare.dataset("d").train, but="aum")
    with pytest.raises(InputError, match="the proxies of net on d hold no aum; there are cumulative_confidence"):
        export(memflow.open_study(folder), "aum", tmp_path / "x.csv")


def test_choices_that_a_format_does_not_heed_are_refused(study, tmp_path):
    with pytest.raises(InputError, match="--influence-at has no meaning for lira; it is for feldman-zhang-pairs"):
        export(study, "lira", tmp_path / "x", options={"influence_at": 0.3})
    with pytest.raises(InputError, match=r"aum comes from the tracked runs.*leave --method out"):
        job.run("aum", study, "d", "net", "smoothed", tmp_path / "x.csv")


def test_a_folder_is_not_replaced_by_a_file_nor_a_file_by_a_folder(study, tmp_path):
    (tmp_path / "x.npz").mkdir()
    (tmp_path / "y").write_text("mine")
    with pytest.raises(InputError, match="is a folder, and this format is one file"):
        export(study, "c-score", tmp_path / "x.npz", force=True)
    with pytest.raises(InputError, match="is a file, and this format is a folder"):
        export(study, "lira", tmp_path / "y", force=True)
