import os
import pty
import re
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memflow import cli, provenance, scores, show, trajectories
from memflow.counts import MARKS
from memflow.data import prepared
from memflow.data.prepared import Split
from memflow.errors import InputError
from memflow.files import write_npz

POSITION = 13  # its label is flipped
NOISE_IMAGE = 16
INDEX = 2 * POSITION
COUNTS = {  # parameters, and true accuracies in- and out-of-sample
    "narrow": (90, 0.6, 0.3),
    "wide": (4000, 1.0, 0.2),
    "nearest": (0, 1.0, 0.0),
}


@pytest.fixture
def dataset(make_dataset):
    """Training examples have even indices, test examples odd ones."""
    made = make_dataset()
    train, test = (
        Split(split.images, split.labels, 2 * np.arange(len(split), dtype=np.int32) + odd)
        for split, odd in ((made.train, 0), (made.test, 1))
    )
    return replace(made, train=train, test=test)


@pytest.fixture
def study(dataset, tmp_path):
    """Folder of a study that has a prepared dataset and nothing else."""
    prepared.save(dataset, tmp_path / "results" / "small" / "data" / "toy.npz")
    return tmp_path / "results" / "small"


@pytest.fixture
def add_scores(simulate, dataset, study):
    """Writes the scores of one architecture, as the rules do; returns the score table."""

    def add(architecture, method="one-hot", marks=None, **changes):
        parameters, acc_in, acc_out = COUNTS[architecture]
        of_dataset = {name: getattr(dataset, name) for name in MARKS}
        counts = replace(
            simulate(np.full(len(dataset.train), acc_in), acc_out),
            **of_dataset | {"index": dataset.train.index, "label": dataset.train.labels, "parameters": parameters},
            **changes,
        )
        path = study / "counts" / "toy" / architecture / f"{method}.npz"
        write_npz(path, {field.name: np.asarray(getattr(counts, field.name)) for field in fields(counts)})
        runs = {"ratio": "7/10", "design": "balanced"}
        definition = {"seeds": 100, "runs": runs, "fingerprint": dataset.fingerprint}
        provenance.write([path], definition, inputs={}, started=provenance.now())
        output = study / "scores" / "toy" / architecture / f"{method}.parquet"
        spec = {"study": "small", "pretraining_overlap": "no", "confidence": 0.9, "memorised_at": 0.25}
        scores.run(spec | (marks or {}), path, output)
        return pd.read_parquet(output)

    return add


@pytest.fixture
def add_trajectories(dataset, study):
    """Writes the trajectory table of one family."""

    def add(family, architectures, **row):
        n = len(dataset.train)
        test = {"type": "increasing", "descriptive": "other", "delta": 0.5, "p_value": 0.01, "q_value": 0.02} | row
        columns = {"index": dataset.train.index, "label": dataset.train.labels}
        columns |= {name: getattr(dataset, name) for name in ("label_noise", "input_noise")}
        columns |= {name: np.where(np.arange(n) == POSITION, value, None) for name, value in test.items()}
        columns |= {"q_value_by": np.full(n, 0.1)} | {name: np.zeros(n) for name in architectures}
        path = study / "trajectories" / "toy" / family / "one-hot.parquet"
        path.parent.mkdir(parents=True)
        pd.DataFrame(columns).to_parquet(path)
        definition = {"counts": [{"fingerprint": dataset.fingerprint} for _ in architectures]}
        provenance.write([path], definition, inputs={}, started=provenance.now())

    return add


@pytest.fixture
def add_influence(dataset, study):
    """Writes the neighbours of the example, seven of all classes and one of its own, as the stage does."""

    def add(architecture, method="one-hot", **changes):
        n, test = 8, dataset.test
        train = dataset.train
        rows = {"scope": ["all"] * 7 + ["same-class"], "train_index": INDEX, "train_label": train.labels[POSITION]}
        rows |= {"test_index": test.index[:n], "test_label": test.labels[:n]}
        rows |= {"rank": [*range(1, 8), 1], "influence": np.linspace(0.9, 0.2, n), "p_value": np.linspace(0, 0.7, n)}
        path = study / "influence" / "toy" / architecture / f"{method}.by_train.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        summary = path.with_name(f"{method}.summary.csv")
        pd.DataFrame(rows | changes).to_parquet(path)
        pd.DataFrame({"selected_on": ["all"], "tests_informative": [250]}).to_csv(summary, index=False)
        definition = {"stage": "influence", "fingerprint": dataset.fingerprint}
        provenance.write([path, summary], definition, inputs={}, started=provenance.now())
        return path

    return add


def test_the_test_examples_that_it_helps_most_are_shown(study, dataset, add_influence):
    add_influence("wide")
    text = describe(study)
    assert "Test examples that runs get right more often with this one in training (one-hot)" in text
    shown = [words.split() for words in text.splitlines() if words.strip().startswith("wide ")]
    assert [row[1] for row in shown] == [str(index) for index in dataset.test.index[:5]]
    assert shown[0][-3:] == ["+0.90", "<", "0.001"]
    assert shown[1][-2:] == ["+0.80", "0.100"]
    assert "by chance the smallest is about 0.004 of 250 (wide)." in " ".join(text.split())
    assert "Test examples" not in describe(study, index=INDEX + 2)  # another example has no rows


def test_neighbours_of_another_version_of_the_dataset_are_not_shown(study, add_influence):
    path = add_influence("wide")
    provenance.write([path], {"fingerprint": "other"}, inputs={}, started=provenance.now())
    text = " ".join(describe(study).split())
    assert "Test examples" not in text
    assert "one-hot.by_train.parquet was made from another version of the dataset" in text


def describe(study, index=INDEX, name="toy"):
    return show.describe(show.find(study, name, index), colour=False)


def line(text, start):
    """Words of the first line that starts so."""
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_every_architecture_has_a_line_with_its_row_of_the_score_table(study, add_scores):
    tables = {name: add_scores(name) for name in COUNTS}
    text = describe(study)
    for name, table in tables.items():
        row = table.iloc[POSITION]
        assert line(text, f"{name} ") == [
            name,
            {"narrow": "90", "wide": "4,000", "nearest": "–"}[name],
            f"{row.memorisation:.2f}",
            f"[{row.ci_low:.2f},",
            f"{row.ci_high:.2f}]",
            f"{row.acc_in:.2f}",
            "of",
            "70",
            f"{row.acc_out:.2f}",
            "of",
            "30",
        ]
    assert "score [90 %]" in text
    assert "small" in text.splitlines()[0]


def test_architectures_stand_in_the_order_of_the_families_and_the_others_after(study, add_scores, add_trajectories):
    for name in COUNTS:
        add_scores(name)
    assert [row["name"] for row in show.find(study, "toy", INDEX).scores] == ["narrow", "wide", "nearest"]
    add_trajectories("networks", ["wide", "narrow"])
    assert [row["name"] for row in show.find(study, "toy", INDEX).scores] == ["wide", "narrow", "nearest"]
    add_trajectories("earlier", ["nearest"])
    assert [row["name"] for row in show.find(study, "toy", INDEX).scores] == ["nearest", "wide", "narrow"]


def test_runs_that_missed_their_target_are_told(study, add_scores):
    add_scores("narrow")
    add_scores("wide", converged=np.ones(100, dtype=bool))
    assert "Runs below the in-sample target: narrow 5 of 100." in describe(study)


def test_methods_have_a_section_each(study, add_scores):
    add_scores("narrow")
    add_scores("narrow", method="distilled")
    text = describe(study)
    assert text.index("Memorisation (one-hot)") < text.index("Memorisation (distilled)")
    assert len(re.findall("^  narrow ", text, flags=re.MULTILINE)) == 2


def test_students_whose_teachers_saw_all_labels_are_called_an_ablation(study, add_scores):
    add_scores("narrow")
    add_scores("narrow", method="distilled", marks={"teacher_data": "subset"})
    assert "ablation" not in describe(study)
    add_scores("narrow", method="leaky", marks={"teacher_data": "full"})
    before, after = describe(study).split("Memorisation (leaky)")
    assert "ablation" not in before
    assert "An ablation: the teachers saw the labels that their students hold out." in after


def test_runs_on_the_whole_training_set_have_no_scores_and_none_are_awaited(study, add_scores, add_trajectories):
    runs = study / "runs" / "toy"
    (runs / "narrow" / "full-data").mkdir(parents=True)
    text = describe(study)
    assert "Scores of narrow" not in text
    assert "no model has been trained on subsets of this dataset yet" in text
    add_scores("narrow")
    add_trajectories("networks", ["narrow"])
    (runs / "narrow" / "one-hot").mkdir()
    assert "Missing" not in describe(study)


def test_methods_without_scores_are_named_with_their_architecture(study, add_scores):
    add_scores("wide")
    for method in ("one-hot", "distilled-from-wide", "ratio-1-2", "full-data", "removal-none", "removal-random"):
        (study / "runs" / "toy" / "wide" / method).mkdir(parents=True)
    said = [text for text in show.find(study, "toy", INDEX).missing if text.startswith("Scores")]
    expected = ["Scores of wide (distilled-from-wide): not yet made.", "Scores of wide (ratio-1-2): not yet made."]
    assert said == expected
    add_scores("wide", method="ratio-1-2")
    said = [text for text in show.find(study, "toy", INDEX).missing if text.startswith("Scores")]
    assert said == expected[:1]


def test_an_example_without_a_score_is_shown_as_such(study, add_scores, add_trajectories, simulate, dataset):
    counts = simulate(np.full(len(dataset.train), 1.0), 0.0)
    never_out = np.where(np.arange(len(dataset.train)) == POSITION, 0, counts.n_out).astype(np.uint8)
    zeros = {name: getattr(counts, name) for name in ("correct_out", "epoch_correct_out")}
    add_scores("wide", n_out=never_out, **zeros)
    assert line(describe(study), "wide") == ["wide", "4,000", "–", "1.00", "of", "70", "–", "of", "0"]
    add_trajectories("networks", ["wide"], type=None, descriptive=None, delta=None, q_value=None)
    assert line(describe(study), "networks") == ["networks", "no", "score", "–", "–", "–"]


def test_every_family_has_a_line_with_both_labels(study, add_scores, add_trajectories):
    add_trajectories("networks", ["narrow", "wide"], type="cap-shaped", descriptive="decreasing", delta=-0.3)
    add_trajectories("others", ["wide"], q_value=0.0002)
    text = describe(study)
    assert line(text, "networks") == ["networks", "cap-shaped", "decreasing", "-0.30", "0.020"]
    add_trajectories("flat", ["wide"], type="constant", descriptive="constant", delta=-0.001, q_value=1.0)
    text = describe(study)
    assert line(text, "flat") == ["flat", "constant", "constant", "+0.00", "1.000"]
    assert line(text, "others") == ["others", "increasing", "other", "+0.50", "<", "0.001"]


def test_an_example_that_could_not_change_has_no_q_value_and_the_reason(study, add_trajectories):
    add_trajectories("networks", ["narrow", "wide"], type="constant", descriptive="constant", delta=0.0)
    assert "No q-value" not in describe(study)
    add_trajectories("others", ["wide"], type="constant", descriptive="constant", delta=0.0, q_value=None)
    text = describe(study)
    assert line(text, "others") == ["others", "constant", "constant", "+0.00", "–"]
    assert "No q-value: the accuracies leave no room for a change beyond tau" in text


def test_the_columns_that_are_no_sizes_are_those_of_the_trajectory_table(simulate):
    sizes = {name: simulate(np.full(20, 0.9), 0.4, seed=seed) for seed, name in enumerate(COUNTS)}
    columns = trajectories.example_table(sizes, tau=0.15, fdr=0.05, confidence=0.95).columns
    assert [name for name in columns if name not in show.NO_SIZES] == list(COUNTS)
    assert {*columns} > show.NO_SIZES


def test_a_flipped_label_stands_beside_the_original_one(study, dataset):
    given, original = dataset.train.labels[POSITION], dataset.original_label[POSITION]
    label = f"label   class {given} (class {given}), flipped: the original label is class {original} (class {original})"
    assert label in describe(study)
    assert "flipped" not in describe(study, index=INDEX + 2)


def test_a_noise_image_is_called_so_beside_the_class_that_it_was_of(study, dataset):
    original = dataset.original_label[NOISE_IMAGE]
    said = f"of an image that was replaced by noise (it was class {original} (class {original}))"
    assert said in " ".join(describe(study, index=2 * NOISE_IMAGE).split())
    assert "replaced by noise" not in describe(study)


def test_a_class_that_is_named_by_its_number_is_named_once(study, dataset):
    digits = replace(dataset, class_names=["0", "1", "2"])
    prepared.save(digits, study / "data" / "toy.npz")
    assert line(describe(study, index=0), "label") == ["label", str(digits.train.labels[0])]


def save_groups(study, dataset, groups, near=None, in_test=False):
    """The dataset with other groups of exact and near copies, all or none of its images in the test split."""
    n = len(dataset.train)
    flags = {"duplicate_group": groups, "near_duplicate_group": groups if near is None else near}
    prepared.save(replace(dataset, **flags, in_test=np.full(n, in_test)), study / "data" / "toy.npz")


def test_near_copies_and_copies_in_the_test_split_are_named(study, dataset):
    alone = np.arange(len(dataset.train), dtype=np.int32)
    near = np.where(alone == 3, 1, alone).astype(np.int32)
    save_groups(study, dataset, alone, near, in_test=True)
    said = " ".join(describe(study, index=2).split())
    assert "copies nearly the same pixels: training example 6" in said
    assert "copies there is an exact or near copy in the test split" in said


def test_copies_are_named_by_index_and_by_label_where_it_differs(study, dataset):
    save_groups(study, dataset, dataset.duplicate_group)
    labels, groups = dataset.train.labels, dataset.duplicate_group
    copies = [np.flatnonzero((groups == group) & (np.arange(len(groups)) != i)) for i, group in enumerate(groups)]
    i = next(i for i, others in enumerate(copies) if len(set(labels[others] == labels[i])) == 2)
    said = " ".join(describe(study, index=2 * i).partition("training examples ")[2].partition("\n\n")[0].split())
    assert said == ", ".join(
        f"{2 * j}" + ("" if labels[j] == labels[i] else f" (label class {labels[j]} (class {labels[j]}))")
        for j in copies[i]
    )


def test_many_copies_are_counted(study, dataset):
    black = np.zeros_like(dataset.train.images)
    train = replace(dataset.train, images=black, labels=np.zeros_like(dataset.train.labels))
    save_groups(study, replace(dataset, train=train), prepared.duplicate_groups(black))
    assert "training examples 0, 2, 4, 6, 8, 10, 12, 14 and 31 more" in " ".join(describe(study).split())


def test_an_image_without_copies_says_so(study, dataset):
    images = np.arange(2 * len(dataset.train), dtype=np.uint8).reshape(dataset.train.images.shape)
    train = replace(dataset.train, images=images)
    save_groups(study, replace(dataset, train=train), prepared.duplicate_groups(images))
    assert line(describe(study), "copies")[1] == "none:"


def test_what_a_study_that_is_not_finished_lacks_is_said(study, add_scores):
    text = describe(study)
    assert "Scores: no model has been trained on subsets of this dataset yet." in text
    add_scores("narrow")
    (study / "runs" / "toy" / "wide" / "one-hot").mkdir(parents=True)
    text = describe(study)
    assert "Scores of wide: not yet made." in text
    assert "Scores of narrow" not in text
    assert "Trajectories: not yet made, or the study has no families." in text
    assert "snakemake --cores all" in text


def test_nothing_is_missing_in_a_finished_study(study, add_scores, add_trajectories):
    add_scores("narrow")
    add_trajectories("networks", ["narrow"])
    assert "Missing" not in describe(study)


def test_a_table_that_was_changed_is_not_shown_and_the_reason_is(study, add_scores):
    add_scores("narrow")
    add_scores("wide")
    with open(study / "scores" / "toy" / "wide" / "one-hot.parquet", "ab") as file:
        file.write(b"x")
    text = describe(study)
    assert "wide/one-hot.parquet is not the file that its sidecar describes" in " ".join(text.split())
    assert [row["name"] for row in show.find(study, "toy", INDEX).scores] == ["narrow"]
    assert "Scores of wide: not yet made" not in text


def test_a_table_of_another_version_of_the_dataset_is_not_shown(study, add_scores, add_trajectories, dataset):
    add_scores("narrow")
    add_trajectories("networks", ["narrow"])
    relabelled = replace(dataset.train, labels=dataset.original_label)
    prepared.save(replace(dataset, train=relabelled), study / "data" / "toy.npz")
    example = show.find(study, "toy", INDEX)
    assert example.scores == example.trajectories == []
    assert len(re.findall("another version of the dataset", " ".join(describe(study).split()))) == 2


def test_an_unknown_dataset_is_refused_with_the_closest_name(study):
    with pytest.raises(InputError, match=r"has no dataset 'tox' \(did you mean 'toy'\? allowed: toy\)"):
        show.find(study, "tox", INDEX)


def test_the_index_of_a_test_image_is_refused_as_such(study):
    with pytest.raises(InputError, match=r"index 7 is a test image of toy.* nearest training examples: 6, 8$"):
        show.find(study, "toy", 7)


@pytest.mark.parametrize(("index", "nearest"), [(-5, "0, 2"), (1_000_000, "76, 78")])
def test_an_index_that_the_dataset_does_not_have_is_refused_with_the_range(study, index, nearest):
    message = rf"index {index} is not in toy, whose 40 training examples lie between 0 and 78; .*: {nearest}$"
    with pytest.raises(InputError, match=message):
        show.find(study, "toy", index)


def test_a_folder_without_a_study_is_refused_with_the_closest_name(study, tmp_path):
    with pytest.raises(InputError, match=r"smal holds no study .*did you mean 'small'\?.*--results"):
        show.find(study.with_name("smal"), "toy", INDEX)
    with pytest.raises(InputError, match=r"elsewhere holds no study with a prepared dataset; run snakemake"):
        show.find(tmp_path / "absent" / "elsewhere", "toy", INDEX)


def test_no_line_is_wider_than_the_terminal(study, add_scores, add_trajectories):
    for name in COUNTS:
        add_scores(name)
    add_trajectories("networks", ["narrow", "wide"])
    (study / "runs" / "toy" / "absent" / "one-hot").mkdir(parents=True)
    assert max(map(len, describe(study).splitlines())) <= 82


RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (9, 9, 9)


def image(*rows):
    return np.array(rows, dtype=np.uint8)


def enlarged(*rows):
    """An image of 32 x 32 pixels, which half blocks draw as it is, whose corner holds these rows."""
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[: len(rows), : len(rows[0])] = rows
    return pixels


def test_a_half_block_has_the_colour_of_the_upper_pixel_on_that_of_the_lower():
    lines = show.picture(enlarged([RED, GREY], [BLUE, RED]), colour=True)
    assert lines[0].startswith("\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[38;2;9;9;9;48;2;255;0;0m▀\x1b[38;2;0;0;0;")
    assert len(lines) == 16
    assert {line.count("▀") for line in lines} == {32}
    assert all(line.endswith("m▀\x1b[0m") for line in lines)


def test_below_the_last_row_of_an_odd_image_is_the_background_of_the_terminal():
    lines = show.picture(enlarged([RED])[:31], colour=True)
    assert len(lines) == 16
    assert "49m▀" not in "".join(lines[:-1])
    assert lines[-1] == "\x1b[38;2;0;0;0;49m▀" * 32 + "\x1b[0m"


def test_characters_go_from_dark_to_light_two_per_pixel():
    levels = [[(level,) * 3 for level in range(0, 256, 8)]]
    (drawn,) = show.picture(image(*levels), colour=False)
    assert drawn[::2] == drawn[1::2]
    assert len(drawn) == 64
    assert [show.RAMP.tolist().index(character) for character in drawn[::2]] == [8 * i * 10 // 256 for i in range(32)]
    assert (drawn[0], drawn[-1]) == (" ", "@")


def test_green_is_brighter_than_red_and_red_than_blue():
    (drawn,) = show.picture(image([RED, (0, 255, 0), BLUE, (255, 255, 255)] * 8), colour=False)
    assert drawn[:8:2] == ":+.@"


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (32, 32), (64, 64), (65, 3), (3, 100), (224, 160), (1, 1)])
def test_pictures_of_every_size_fit_and_keep_their_shape(shape, colour):
    lines = show.picture(np.zeros((*shape, 3), dtype=np.uint8), colour)
    widths = {line.count("▀") if colour else len(line) for line in lines}
    assert len(widths) == 1
    width, height = widths.pop(), 2 * len(lines)
    assert max(width, height) <= 64
    assert max(width, height) > 16
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.6)


def test_small_images_are_enlarged_by_whole_pixels():
    lines = show.picture(image([RED, BLUE], [BLUE, RED]), colour=True)
    assert len(lines) == 16
    red, blue = "\x1b[38;2;255;0;0;48;2;255;0;0m▀", "\x1b[38;2;0;0;255;48;2;0;0;255m▀"
    assert lines[:8] == [red * 16 + blue * 16 + "\x1b[0m"] * 8
    assert lines[8:] == [blue * 16 + red * 16 + "\x1b[0m"] * 8


def test_a_grey_image_is_drawn_in_grey_and_a_coloured_one_in_its_colours(study, dataset):
    grey = show.find(study, "toy", INDEX).image
    assert (grey == dataset.train.images[POSITION]).all()
    assert grey.shape == (2, 1, 3)
    colours = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    splits = {"train": replace(dataset.train, images=colours), "test": replace(dataset.test, images=colours[:12])}
    prepared.save(replace(dataset, **splits), study / "data" / "toy.npz")
    assert (show.find(study, "toy", INDEX).image == colours[POSITION]).all()


def test_the_saved_picture_is_the_image_with_every_pixel_enlarged(study, tmp_path, dataset, capsys):
    path = tmp_path / "pictures" / "one.png"
    cli.main(["show", "toy", str(INDEX), "--results", str(study), "--save", str(path)])
    saved = np.asarray(Image.open(path))
    assert saved.shape == (512, 256, 3)
    assert (saved[128::256, 128::256] == dataset.train.images[POSITION]).all()
    assert len(np.unique(saved.reshape(-1, 3), axis=0)) == len(np.unique(dataset.train.images[POSITION]))
    assert "training example 26" in capsys.readouterr().out


def test_a_picture_is_saved_as_png_only(study, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["show", "toy", str(INDEX), "--results", str(study), "--save", str(tmp_path / "one.jpg")])
    assert "the name must end in .png" in capsys.readouterr().err
    assert not (tmp_path / "one.jpg").exists()


def run(study, **environment):
    """Standard output of the verb on a real terminal."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "memflow.cli", "show", "toy", str(INDEX), "--results", str(study)]
    command[1:3] = ["-c", "from memflow.cli import main; main()"]
    inherited = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    with subprocess.Popen(command, stdout=slave, env=inherited | {"TERM": "xterm"} | environment) as process:
        os.close(slave)
        said = b""
        try:
            while part := os.read(master, 4096):
                said += part
        except OSError:  # the terminal was closed from the other end
            pass
    os.close(master)
    assert process.returncode == 0
    return said.decode()


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": ""}])
def test_a_terminal_gets_colours(study, environment):
    assert run(study, **environment).count("▀") == 16 * 16


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_gets_characters(study, environment):
    said = run(study, **environment)
    assert "▀" not in said
    assert "\x1b" not in said


def test_what_is_no_terminal_gets_characters(study, capsys):
    cli.main(["show", "toy", str(INDEX), "--results", str(study)])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said == describe(study) + "\n"


def test_it_answers_without_heavy_libraries(study, add_scores, add_trajectories):
    add_scores("narrow")
    add_trajectories("networks", ["narrow"])
    code = f"import sys; from memflow.cli import main; main(['show', 'toy', '{INDEX}', '--results', {str(study)!r}]); "
    code += "sys.exit(str({'torch', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'PIL'} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    assert "narrow" in done.stdout
