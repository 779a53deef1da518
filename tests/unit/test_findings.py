import pandas as pd
import pytest

from memflow.errors import InputError
from memflow.findings import describe

VALUES = {"memorisation": (0.123, 0.1, 0.15), "memorised": (42, 40, 44), "acc_in": (0.99, 0.98, 1)}


def rows(family, architecture, examples="all", flagged=0):
    common = {"dataset": "digits", "family": family, "architecture": architecture, "parameters": 10}
    common |= {"examples": examples, "n_examples": 200, "runs": 20, "runs_not_converged": flagged}
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


def test_each_architecture_is_a_line_below_its_family_with_score_interval_and_count(write):
    lines = describe(write(rows("ResNets", "resnet8") + rows("MLPs", "mlp-8") + rows("reference", "nn"))).splitlines()
    assert lines[0] == "What study 'small' found"
    names = [line.split()[0] for line in lines[2:9]]
    assert names == ["digits:", "ResNets", "resnet8", "MLPs", "mlp-8", "reference", "nn"]
    assert lines[4].split(maxsplit=1)[1] == "mean memorisation 0.123 [0.100, 0.150], 42 of 200 memorised"


def test_flipped_and_clean_labels_are_told_apart(write):
    numbers = rows("MLPs", "m") + rows("MLPs", "m", "clean label") + rows("MLPs", "m", "flipped label")
    line = next(line for line in describe(write(numbers)).splitlines() if line.split()[:1] == ["m"])
    assert "clean labels: mean memorisation 0.123" in line
    assert "; flipped labels: mean memorisation 0.123" in line
    assert line.count("42 of 200 memorised") == 2


def test_runs_below_the_target_are_mentioned_where_there_are_any(write):
    text = describe(write(rows("MLPs", "good") + rows("MLPs", "bad", flagged=3)))
    flagged = [line.split()[0] for line in text.splitlines() if "below the in-sample target" in line]
    assert flagged == ["bad"]
    assert "(3 of 20 runs below the in-sample target)" in text


def test_every_dataset_is_described_and_the_files_to_open_are_named(write):
    write(rows("MLPs", "m"), "digits")
    folder = write([row | {"dataset": "letters"} for row in rows("MLPs", "m")], "letters")
    text = describe(folder)
    assert "\ndigits:\n" in text
    assert "\nletters:\n" in text
    assert f"{folder}/figures/letters/" in text
    assert text.splitlines()[-1] == f"Start with: {folder}/figures/digits/mean_memorisation.png"


def test_a_folder_without_results_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path} holds no finished study"):
        describe(tmp_path)


def test_a_study_without_families_is_described_too(write):
    assert "mean memorisation 0.123" in describe(write(rows("", "mlp-8")))
