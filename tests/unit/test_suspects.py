import numpy as np
import pandas as pd
import pytest
from helpers import noise_images
from run_helpers import study_of_runs

import memflow
from memflow import provenance, scores, suspects
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.files import write_parquet
from memflow.methods import ONE_HOT
from memflow.suspects import describe, label_quality, precision, save, table

N, CLASSES = 120, 3
FLIPPED = np.arange(N) % 12 == 5  # ten examples


def truth():
    """A dataset whose flipped labels are the next class."""
    plain = noise_images(n=N, n_test=20)
    labels = np.where(FLIPPED, (plain.train.labels + 1) % CLASSES, plain.train.labels).astype(np.int32)
    train = type(plain.train)(plain.train.images, labels, plain.train.index)
    names = plain.class_names
    return Dataset.unflagged(train, plain.test, names, label_noise=FLIPPED, original_label=plain.train.labels)


def sure(masks, random):
    """Runs that did not have an example give its true class 0.8, those that had it its label."""
    data = truth()
    p = np.full((N, CLASSES), 0.1) + 0.7 * np.eye(CLASSES)[data.original_label]
    levels = np.rint(p * 65535).astype(np.uint32)
    correct = masks | ~FLIPPED
    return {"probabilities": levels * (~masks).sum(axis=0)[:, None].astype(np.uint32), "train_correct": correct}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suspects") / "s"
    made = study_of_runs(folder, "influence", sure, seeds=40, data=truth(), parameters=9)
    settings = {"study": "s", "confidence": 0.95, "memorised_at": 0.25, "pretraining_overlap": "no"}
    (folder / "scores/d/net").mkdir(parents=True)
    scores.run({"stage": "scores", **settings}, made.counts, folder / "scores/d/net/one-hot.parquet")
    return memflow.open_study(folder)


def with_family(study, delta):
    """The same study with a family in which the scores change by ``delta``."""
    of = study.scores("d", "net")
    path = study.folder / "trajectories/d/sizes/one-hot.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(path, of[["index", "label"]].assign(type="increasing", delta=delta, net=of["memorisation"]))
    provenance.write([path], {"stage": "trajectories"}, inputs={}, started=provenance.now())
    return memflow.open_study(study.folder)


def test_flipped_labels_come_first(study):
    found = table(study, "d")
    assert found.attrs == {"architecture": "net", "method": ONE_HOT, "family": None}
    assert found["label_noise"].head(10).all()
    assert not found["label_noise"].iloc[10:].any()
    assert precision(found) == {"flipped": 10, "precision": 1.0, "average_precision": 1.0}
    first = found.iloc[0]
    assert first["suggested"] == first["original_label"] != first["label"]
    assert first["label_quality"] == pytest.approx(0.1, abs=1e-4)
    assert found["is_issue"].sum() == 10
    assert found["rank"].tolist() == list(range(1, N + 1))


def test_the_order_follows_what_it_is_asked_to(study):
    reverse = np.where(FLIPPED, -1.0, 0.0) + np.arange(N) / 1000
    opened = with_family(study, reverse)
    by_change = table(opened, "d", by="trajectories")
    assert by_change["delta"].is_monotonic_decreasing
    assert by_change["label_noise"].tail(10).all()
    assert precision(by_change)["precision"] == 0
    assert table(opened, "d")["label_noise"].head(10).all()
    agreeing = table(with_family(study, np.where(FLIPPED, 1.0, 0.0)), "d", by="both")
    assert precision(agreeing)["average_precision"] == 1
    assert agreeing.attrs["family"] == "sizes"


def test_the_text_says_what_was_used_and_how_good_it_is(study):
    names = study.dataset("d").class_names
    said = describe(table(study, "d"), names, top=3)
    assert said.startswith("By net (one-hot)")
    assert said.count("(flipped, was class") == 3
    assert "10 of 120 labels count as errors by confident learning." in said
    assert "10 labels were changed on purpose: they make up 100% of as many ranked first" in said
    clean = table(study, "d").assign(label_noise=False)
    assert precision(clean) == {}
    assert "on purpose" not in describe(clean, names)


def test_average_precision_is_that_of_scikit_learn():
    from sklearn.metrics import average_precision_score

    changed = np.random.default_rng(1).random(200) < 0.1
    found = precision(pd.DataFrame({"label_noise": changed}))
    assert found["average_precision"] == pytest.approx(average_precision_score(changed, -np.arange(200)))


def test_an_example_that_was_never_held_out_is_no_suspect():
    labels = np.array([0, 1, 0, 1] * 5)
    probabilities = np.full((20, 2), 0.2) + 0.6 * np.eye(2)[labels]
    probabilities[3] = np.nan
    found = label_quality(labels, probabilities)
    assert np.isnan(found["label_quality"][3])
    assert not found["is_issue"].any()
    assert found["suggested"][3] == 1


def test_the_saved_table_names_what_is_behind_it(study, tmp_path):
    found = table(study, "d")
    save(study, found, tmp_path / "suspects.csv", {"dataset": "d"})
    record = provenance.read(tmp_path / "suspects.csv")
    assert any(path.endswith("block-1.npz") for path in record["inputs"])
    assert pd.read_csv(tmp_path / "suspects.csv")["index"].tolist() == found["index"].tolist()
    with pytest.raises(InputError, match=r"must end in \.csv"):
        save(study, found, tmp_path / "suspects.txt", {})


def test_what_is_missing_is_named(study, tmp_path):
    with pytest.raises(InputError, match="by is 'luck'; allowed: probabilities, trajectories, both"):
        table(study, "d", by="luck")
    with pytest.raises(InputError, match="no network with scores by method 'other'"):
        table(study, "d", method="other")
    made = study_of_runs(tmp_path / "s", "influence", lambda masks, random: {}, seeds=40, parameters=9)
    bare = memflow.open_study(tmp_path / "s")
    with pytest.raises(InputError, match="did not keep class probabilities; set `probabilities: true`"):
        bare.probabilities("d", "net")
    assert made.counts.is_file()
    assert suspects.SIGNS[0] == "probabilities"


def test_trajectories_need_a_family(tmp_path):
    made = study_of_runs(tmp_path / "s", "influence", sure, seeds=40, data=truth(), parameters=9)
    settings = {"study": "s", "confidence": 0.95, "memorised_at": 0.25, "pretraining_overlap": "no"}
    (tmp_path / "s/scores/d/net").mkdir(parents=True)
    scores.run({"stage": "scores", **settings}, made.counts, tmp_path / "s/scores/d/net/one-hot.parquet")
    with pytest.raises(InputError, match="net is in no family of d with trajectories; rank by probabilities"):
        table(memflow.open_study(tmp_path / "s"), "d", by="both")
