import pandas as pd
import pytest

from memflow.errors import InputError
from memflow.findings import describe

VALUES = {"memorisation": (0.123, 0.1, 0.15), "memorised": (42, 40, 44), "acc_in": (0.99, 0.98, 1)}


def rows(family, architecture, examples="all", flagged=0, undefined=0):
    common = {"dataset": "digits", "family": family, "architecture": architecture, "parameters": 10}
    common |= {"examples": examples, "n_examples": 200, "runs": 20}
    common |= {"runs_not_converged": flagged, "examples_without_score": undefined}
    return [common | {"quantity": q, "value": v, "low": low, "high": high} for q, (v, low, high) in VALUES.items()]


@pytest.fixture
def write(tmp_path):
    """Writes the table of one dataset of a study."""

    def write_table(numbers, dataset="digits"):
        path = tmp_path / "results" / "small" / "figures" / dataset / "mean_memorisation.csv"
        path.parent.mkdir(parents=True)
        pd.DataFrame(numbers).to_csv(path, index=False)
        return tmp_path / "results" / "small"

    return write_table


def entries(text):
    """The lines of a description, as words."""
    return [line.split() for line in text.splitlines() if line]


def test_each_architecture_is_a_line_below_its_family_with_score_interval_and_count(write):
    text = describe(write(rows("ResNets", "resnet8") + rows("MLPs", "mlp-8") + rows("reference", "nn")))
    lines = entries(text)
    assert text.splitlines()[0] == "What study 'small' found"
    assert [words[0] for words in lines[1:8]] == ["digits:", "ResNets", "resnet8", "MLPs", "mlp-8", "reference", "nn"]
    assert lines[3] == ["resnet8", "0.123", "[0.100,", "0.150]", "42", "of", "200"]


def test_the_heading_says_what_the_numbers_are_and_of_how_many_runs(write):
    assert "digits: mean memorisation, and examples memorised, over 20 runs each" in describe(write(rows("MLPs", "m")))


def test_flipped_and_clean_labels_are_told_apart(write):
    numbers = rows("MLPs", "m") + rows("MLPs", "m", "clean label") + rows("MLPs", "m", "flipped label")
    text = describe(write(numbers))
    assert ["m", "clean", "labels", "0.123", "[0.100,", "0.150]", "42", "of", "200"] in entries(text)
    assert ["flipped", "labels", "0.123", "[0.100,", "0.150]", "42", "of", "200"] in entries(text)
    assert text.count("42 of 200") == 2  # all examples together are not repeated


def test_a_warning_stands_below_the_architecture_that_it_concerns_and_only_there(write):
    text = describe(write(rows("MLPs", "good") + rows("MLPs", "poor", flagged=3) + rows("MLPs", "new", undefined=7)))
    first = [words[0] for words in entries(text)]
    assert first[3:8] == ["good", "poor", "flagged:", "new", "7"]
    assert "3 of 20 runs are below the in-sample target" in text
    assert "7 examples were never held out, or never trained on" in text


def test_every_dataset_is_described_and_the_files_to_open_are_named(write):
    write(rows("MLPs", "m"), "digits")
    folder = write([row | {"dataset": "letters"} for row in rows("MLPs", "m")], "letters")
    text = describe(folder)
    assert "\ndigits: " in text
    assert "\nletters: " in text
    assert f"{folder}/figures/letters/" in text
    assert text.splitlines()[-1] == f"Start with: {folder}/figures/digits/mean_memorisation.png"


def test_a_folder_without_results_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path} holds no finished study"):
        describe(tmp_path)


def test_a_study_without_families_is_described_too(write):
    assert ["mlp-8", "0.123", "[0.100,", "0.150]", "42", "of", "200"] in entries(describe(write(rows("", "mlp-8"))))
