"""References in every format against a made-up study: read, checked for their order, compared and drawn."""

import json
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from helpers import noise_images
from PIL import Image
from run_helpers import study_of_runs

import memflow
from memflow import provenance
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.export import job as export
from memflow.files import sha256
from memflow.validate import job, order, reference
from memflow.validate.agreement import Runs
from memflow.validate.job import Choices
from memflow.validate.reference import Names

N, CLASSES = 120, 3
FLIPPED = np.arange(N) % 12 == 5
HARD = np.linspace(0, 1, N)  # how likely a run without the example is wrong about it


def outcome(masks, random):
    return {"train_correct": masks | (random.random(masks.shape) > HARD)}


def make(folder, noise=False, classes=CLASSES):
    plain = noise_images(n=N, n_test=40, n_classes=classes)
    index = 3 * plain.train.index + 4  # is no position
    original = plain.train.labels
    labels = np.where(FLIPPED & noise, (original + 1) % classes, original).astype(np.int32)
    train = type(plain.train)(plain.train.images, labels, index)
    data = Dataset.unflagged(
        train, plain.test, plain.class_names, label_noise=labels != original, original_label=original
    )
    study_of_runs(folder, "influence", outcome, data=data)
    other = Dataset.unflagged(type(train)(train.images, labels[::-1].copy() * 0, index), plain.test, plain.class_names)
    prepared.save(other, folder / "data/other.npz")
    provenance.write([folder / "data/other.npz"], {"dataset": "other"}, inputs={}, started=provenance.now())
    return memflow.open_study(folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make(tmp_path_factory.mktemp("validated") / "s")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return make(tmp_path_factory.mktemp("validated-noisy") / "s", noise=True)


@pytest.fixture
def frame(study):
    """A user's table, in another order than the study's."""
    train = study.dataset("d").train
    table = pd.DataFrame({"index": train.index, "label": train.labels, "score": HARD, "even": HARD, "odd": HARD**2})
    return table.sample(frac=1, random_state=0)


def validate(study, path, **choices):
    return job.run(study, "d", "net", None, path, Choices(**choices))


def numbers(study, name):
    return pd.read_csv(study.folder / f"validation/d/net/one-hot-vs-{name}.csv")


def as_npz(path, labels, scores, score="tr_mem", label="tr_labels"):
    np.savez(path, **{score: scores, label: labels})
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_matched_by_official_index(study, frame, tmp_path, suffix):
    path = tmp_path / f"mine.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    said = validate(study, path, name=f"mine-{suffix}")
    assert "120 of 120 examples in common, by official index; order checked by the labels" in said
    examples = pd.read_csv(study.folder / f"validation/d/net/one-hot-vs-mine-{suffix}.examples.csv")
    assert np.array_equal(examples["reference"], HARD)
    assert np.array_equal(examples["index"], study.dataset("d").train.index)


def test_published_formats_are_known_by_their_arrays(study, tmp_path):
    labels = study.dataset("d").train.labels
    assert reference.read(as_npz(tmp_path / "a.npz", labels, HARD)).kind == "feldman-zhang"
    path = as_npz(tmp_path / "b.npz", labels, 1 - HARD, "scores", "labels")
    assert reference.read(path).kind == "c-score"
    assert "(c-score): c-score\n" in validate(study, path)
    examples = pd.read_csv(study.folder / "validation/d/net/one-hot-vs-b.examples.csv")
    merged = study.counts("d", "net")
    _, _, correct, n = merged.totals()
    np.testing.assert_allclose(examples["study"], correct / n)
    as_memorisation = validate(study, path, measure="memorisation", name="b2")
    assert "(c-score): memorisation" in as_memorisation


def test_arrays_of_ones_own_are_named(study, tmp_path):
    path = as_npz(tmp_path / "mine.npz", study.dataset("d").train.labels, HARD, "mem", "y")
    found = reference.read(path, names=Names(score="mem", label="y"))
    assert found.kind == "npz"
    assert np.array_equal(found.scores, HARD)
    with pytest.raises(InputError, match=r"no 'score' \(.*allowed: mem, y\).*--score, --label"):
        reference.read(path)


def test_arrays_of_objects_in_a_file_are_passed_over(study, tmp_path):
    names = np.array(["a.png", None], dtype=object)
    np.savez(tmp_path / "x.npz", scores=HARD, labels=study.dataset("d").train.labels, filenames=names)
    assert np.array_equal(reference.read(tmp_path / "x.npz").scores, HARD)


def test_what_memflow_exports_it_reads(study, tmp_path):
    merged = study.counts("d", "net")
    for name, expected in (("feldman-zhang", merged.scores()), ("c-score", 1 - HARD)):
        export.run(name, study, "d", "net", None, tmp_path / f"{name}.npz")
        found = reference.read(tmp_path / f"{name}.npz")
        assert found.kind == name
        assert np.corrcoef(found.scores, expected)[0, 1] > 0.9
        assert order.rows(study, "d", found)[0].tolist() == list(range(N))


def test_a_reference_of_the_whole_dataset_is_matched_to_a_part_of_it_by_index(study, tmp_path):
    train = study.dataset("d").train
    labels, scores = np.zeros(400, dtype=int), np.zeros(400)
    labels[train.index], scores[train.index] = train.labels, HARD
    found, said = order.rows(study, "d", reference.read(as_npz(tmp_path / "x.npz", labels, scores)))
    assert np.array_equal(scores[found], HARD)
    assert said.startswith("the study's 120 examples among 400, by official index")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda y: y[::-1],
            r"differ at \d+ of 120 examples: the rows of the reference are those of the study in reverse",
        ),
        (np.sort, "sorted by class, within each class probably in the study's order"),
        (lambda y: (y + 1) % 3, r"the classes are numbered differently \(0 is 1 there, 1 is 2 there, 2 is 0 there\)"),
        (lambda y: np.roll(y, 5), "the same examples, it seems, in another order; give their index"),
        (lambda y: np.where(np.arange(N) == 7, (y + 1) % 3, y), "the order seems right, and 1 labels were changed"),
        (lambda y: y * 0, "these are the labels of the training examples of other"),
        (lambda y: np.arange(N) % 2, "no simple reordering explains it"),
        (
            lambda y: np.zeros(40, dtype=int),
            "has 40 rows, and d 120 training examples: it is of another dataset, split",
        ),
    ],
)
def test_rows_that_are_not_the_studys_are_refused_with_the_likely_reason(study, tmp_path, change, message):
    labels = change(study.dataset("d").train.labels)
    path = as_npz(tmp_path / "x.npz", labels, np.linspace(0, 1, len(labels)))
    with pytest.raises(InputError, match=message):
        validate(study, path)


def test_an_image_folders_order_is_recognised(tmp_path):
    """By name, class 10 comes before class 2."""
    study = make(tmp_path / "s", classes=12)
    labels = study.dataset("d").train.labels
    names = np.array(study.dataset("d").class_names)[labels]
    path = as_npz(tmp_path / "x.npz", labels[np.argsort(names, kind="stable")], HARD)
    with pytest.raises(InputError, match="sorted by the name of the class, as an image folder is"):
        validate(study, path)


def test_the_labels_of_the_test_split_are_recognised(study, tmp_path):
    path = as_npz(tmp_path / "x.npz", study.dataset("d").test.labels, HARD[:40])
    with pytest.raises(InputError, match="these are the labels of the test split of d"):
        validate(study, path)


def test_labels_from_before_the_noise_are_recognised_in_order_and_reversed(noisy, tmp_path):
    original = noisy.dataset("d").original_label
    with pytest.raises(
        InputError, match="differ at 10 of 120 examples: they are the labels before the study's label noise"
    ):
        validate(noisy, as_npz(tmp_path / "x.npz", original, HARD))
    with pytest.raises(InputError, match="in reverse, with the labels before the study's label noise"):
        validate(noisy, as_npz(tmp_path / "x.npz", original[::-1], HARD))


def test_flipped_labels_are_compared_apart(noisy, tmp_path):
    validate(noisy, as_npz(tmp_path / "x.npz", noisy.dataset("d").train.labels, HARD))
    found = numbers(noisy, "x").set_index(["examples", "statistic"])["n_examples"]
    assert found["all", "pearson"] == N
    assert (found["clean label", "pearson"], found["flipped label", "spearman"]) == (N - 10, 10)


def test_a_reference_without_labels_needs_trust(study, frame, tmp_path):
    frame.drop(columns="label").to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError, match=r"no labels.*--label names the column.*--trust-order"):
        validate(study, tmp_path / "x.csv")
    assert "order not checked" in validate(study, tmp_path / "x.csv", trust_order=True)


def test_some_examples_may_be_missing_but_not_all_nor_doubled(study, frame, tmp_path):
    frame.head(50).to_csv(tmp_path / "some.csv", index=False)
    assert "50 of 120 examples in common" in validate(study, tmp_path / "some.csv")
    assert (numbers(study, "some")["n_examples"] == 50).all()
    frame.assign(index=frame["index"] + 1).to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(
        InputError, match="has 0 of the 120 training examples of d, whose indices lie between 4 and 361"
    ):
        validate(study, tmp_path / "none.csv")
    pd.concat([frame, frame]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(InputError, match="more than one row for some index"):
        validate(study, tmp_path / "twice.csv")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("index,label,score\n1,2,x\n2,2,y\n"), "'score' must hold numbers"),
        (lambda path: path.write_text("index,label,score\n1.5,2,1\n2,2,1\n"), "'index' must hold numbers.*whole"),
        (lambda path: path.write_text("number,label,score\n1,2,1\n"), "no 'index'.*did you mean"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "cannot be read as csv"),
    ],
)
def test_a_file_that_is_no_reference_is_refused(tmp_path, write, message):
    write(tmp_path / "x.csv")
    message = message.replace(".*did you mean", "")
    with pytest.raises(InputError, match=message):
        reference.read(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"kind": "cscore"}, r"--format is 'cscore' \(did you mean 'c-score'"),
        ({"measure": "influence"}, r"--measure is 'influence' \(.*allowed: memorisation, c-score"),
        ({"name": "../x"}, "give it a name of letters"),
    ],
)
def test_unknown_choices_are_refused(study, tmp_path, choices, message):
    path = as_npz(tmp_path / "x.npz", study.dataset("d").train.labels, HARD)
    with pytest.raises(InputError, match=message):
        validate(study, path, **choices)


def test_negative_scores_are_clipped_where_the_reference_has_none_and_it_is_said(study, tmp_path):
    labels = study.dataset("d").train.labels
    scores = study.counts("d", "net").scores()
    assert scores.min() == 0  # every run fits
    said = validate(study, as_npz(tmp_path / "x.npz", labels, HARD))
    assert "below 0" not in said
    merged = study.counts("d", "net")
    object.__setattr__(merged, "correct_in", np.minimum(merged.correct_in, 5))
    assert merged.scores().min() < 0
    found = reference.read(tmp_path / "x.npz")
    assert job._measure(Choices(), found, merged, HARD).of(merged).min() == 0
    assert job._measure(Choices(), found, merged, HARD - 0.1).of(merged).min() < 0


def test_every_file_is_recorded_with_what_it_was_made_from(study, tmp_path):
    path = as_npz(tmp_path / "x.npz", study.dataset("d").train.labels, HARD)
    validate(study, path, runs=Runs(400, Fraction(7, 10)), name="recorded")
    made = sorted((study.folder / "validation/d/net").glob("one-hot-vs-recorded*"))
    outputs = [file for file in made if not file.name.endswith(".prov.json")]
    suffixes = {file.name.removeprefix("one-hot-vs-recorded") for file in outputs}
    assert suffixes == {
        ".csv", ".examples.csv", ".disagreements.csv", ".pdf", ".png", ".disagreements.pdf", ".disagreements.png",
    }  # fmt: skip
    for file in outputs:
        record = provenance.read(file)
        assert record["inputs"][str(path)] == record["definition"]["reference"] == sha256(path)
        assert record["definition"]["reference_runs"] == {"number": 400, "ratio": "7/10"}
        assert str(study.folder / "counts/d/net/one-hot.npz") in record["inputs"]
    json.dumps(record["definition"])


def test_figures_are_the_same_bytes_again_and_no_empty_pictures(study, tmp_path):
    path = as_npz(tmp_path / "x.npz", study.dataset("d").train.labels, HARD)
    files = [study.folder / f"validation/d/net/one-hot-vs-again{end}" for end in (".pdf", ".png", ".disagreements.png")]
    validate(study, path, name="again")
    before = [file.read_bytes() for file in files]
    validate(study, path, name="again")
    assert [file.read_bytes() for file in files] == before
    assert np.asarray(Image.open(files[1]).convert("L")).std() > 10


def test_disagreements_are_chosen_by_even_groups_and_measured_on_odd_ones(study, tmp_path):
    scores = HARD.copy()
    scores[[3, 110]] = 1, 0  # easy by the study, hard by the reference, and the other way round
    validate(study, as_npz(tmp_path / "x.npz", study.dataset("d").train.labels, scores), name="odd")
    found = pd.read_csv(study.folder / "validation/d/net/one-hot-vs-odd.disagreements.csv")
    index, odd = study.dataset("d").train.index, study.counts("d", "net").halves()[1].scores()
    first = found[found["rank"] == 1].set_index("end")
    assert (first.loc["reference", "index"], first.loc["study", "index"]) == (index[3], index[110])
    assert first.loc["study", "study"] == pytest.approx(odd[110])
    assert first.loc["study", "reference"] == 0
    assert (found.groupby("end")["rank"].max() == 14).all()


def test_the_summary_says_what_the_ceiling_knows(study, frame, tmp_path):
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert "of the study's side only" in validate(study, tmp_path / "x.csv")
    assert np.isnan(numbers(study, "x")["ceiling_reference"]).all()
    assert "from its two halves" in validate(study, tmp_path / "x.csv", names=Names(halves=("even", "odd")))
    said = validate(study, tmp_path / "x.csv", runs=Runs(40, Fraction(7, 10)))
    assert "from the number of its runs, if they fit what they are trained on" in said
    assert "4 groups (40 runs)" in said
