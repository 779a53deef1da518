"""What a study found, in lines and in sentences: every number in a sentence is read back and compared."""

import re

import numpy as np
import pandas as pd
import pytest

from memflow.errors import InputError
from memflow.findings import along_family, describe, of_types, read_numbers
from memflow.statistics.trajectory_types import TESTED

VALUES = {"memorisation": (0.123, 0.1, 0.15), "memorised": (42, 40, 44), "acc_in": (0.99, 0.98, 1)}


def rows(family, architecture, examples="all", flagged=0, undefined=0):
    common = {"dataset": "digits", "family": family, "architecture": architecture, "parameters": 10}
    common |= {"examples": examples, "n_examples": 200, "runs": 20, "pretraining_overlap": "no"}
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


NUMBER = r"[+−]?\d[\d,]*(?:\.\d+)?"
INTERVAL = rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]"


def parsed(texts):
    """Numbers as a reader takes them."""
    return [float(text.replace(",", "").replace("−", "-")) for text in texts]


def limits(random, low=0.0, high=1.0):
    """A value between its limits, all between low and high."""
    lower, value, upper = sorted(random.uniform(low, high, 3))
    return {"value": value, "low": lower, "high": upper}


def family_tables(groups=("all",), sizes=("s", "m", "l"), seed=0, **chosen):
    """Random tables of one family; ``chosen`` are the limits of the changes of every group, by quantity."""
    random = np.random.default_rng(seed)
    numbers, changes = [], []
    for parameters, name in enumerate(sizes, start=1):
        for group in groups:
            common = {"architecture": name, "parameters": 1234 * parameters, "examples": group, "n_examples": 4000}
            common |= {"pretraining_overlap": "no"}
            numbers.append(common | {"quantity": "memorisation"} | limits(random))
            numbers.append(common | {"quantity": "memorised", "value": float(random.integers(4000))})
    for group in groups:
        for kind in TESTED:
            changes.append({"examples": group, "quantity": "share", "type": kind} | limits(random))
        changes.append({"examples": group, "quantity": "mean_change", "type": ""} | limits(random, -1))
        changes.append({"examples": group, "quantity": "memorised_change", "type": ""} | limits(random, -4000, 4000))
    numbers, changes = pd.DataFrame(numbers), pd.DataFrame(changes)
    for quantity, three in chosen.items():
        changes.loc[changes["quantity"] == quantity, ["value", "low", "high"]] = np.array(three, dtype=float)
    return numbers, changes


def powers(*recognised):
    """Power table whose planted rises of 0.1, 0.2, ... are recognised so often."""
    effects = np.round(0.1 * np.arange(1, 10), 9)
    rises = [{"planted": "increasing", "effect": e, "recognised": r} for e, r in zip(effects, recognised, strict=True)]
    return pd.DataFrame([*rises, {"planted": "constant", "effect": 0.0, "recognised": 1.0}])


SEEN = (0.1, 0.3, 0.6, 0.8, 0.9, 1, 1, 1, 1)


def row(table, **keys):
    """The only row of a table with these entries."""
    (found,) = table[np.all([table[name] == value for name, value in keys.items()], axis=0)].to_dict("records")
    return found


def three(record):
    return [record["value"], record["low"], record["high"]]


def verb(record):
    return "rises" if record["low"] > 0 else "falls" if record["high"] < 0 else "shows no clear change,"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [("s", "l"), ("s", "m", "l")])
@pytest.mark.parametrize("groups", [("all",), ("all", "clean label", "flipped label")])
def test_sentences_say_the_numbers_of_the_tables_and_whether_they_change(groups, sizes, seed):
    numbers, changes = family_tables(groups, sizes, seed)
    sentences = iter(along_family(numbers, changes, 0.25))
    for group in groups[1:] or groups:
        first, last = (row(numbers, architecture=n, examples=group, quantity="memorisation") for n in ("s", "l"))
        change = row(changes, examples=group, quantity="mean_change")
        name = "examples" if group == "all" else f"{group}s"
        text = (
            rf"The mean memorisation of the {name} (\D+) from {INTERVAL} at ({NUMBER}) parameters to {INTERVAL} at "
            rf"({NUMBER}) \(paired change {INTERVAL}\)\."
        )
        said, *values = re.fullmatch(text, next(sentences).replace("\u00a0", " ")).groups()
        assert said == verb(change)
        expected = [*three(first), 1234, *three(last), 1234 * len(sizes), *three(change)]
        assert parsed(values) == pytest.approx(expected, abs=5.01e-4)
        first, last = (row(numbers, architecture=n, examples=group, quantity="memorised") for n in ("s", "l"))
        change = row(changes, examples=group, quantity="memorised_change")
        text = (
            rf"The number of memorised {name} \(score 0.25 or more\) (\D+) from ({NUMBER}) of ({NUMBER}) at the "
            rf"smallest size to ({NUMBER}) at the largest \(paired change {INTERVAL}\)\."
        )
        said, *values = re.fullmatch(text, next(sentences).replace("\u00a0", " ")).groups()
        assert said == verb(change)
        assert parsed(values) == pytest.approx([first["value"], 4000, last["value"], *three(change)], abs=0.501)
    assert list(sentences) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((0.1, 0.05, 0.15), "rises from .* change \\+0.100 \\[\\+0.050, \\+0.150\\]"),
        ((-0.1, -0.15, -0.05), "falls from .* change −0.100 \\[−0.150, −0.050\\]"),
        ((0.1, -0.01, 0.2), "shows no clear change, from .* change \\+0.100 \\[−0.010, \\+0.200\\]"),
        ((0.1, 0, 0.2), "shows no clear change, from .* change \\+0.100 \\[\\+0.000, \\+0.200\\]"),
        ((0, 0, 0), "shows no clear change, from .* change \\+0.000 \\[\\+0.000, \\+0.000\\]"),
        ((1e-17, 1e-18, 1e-16), "shows no clear change, from .* change \\+0.000 \\[\\+0.000, \\+0.000\\]"),
        ((-0.002, -0.004, -0.0004), "falls from .* change −0.0020 \\[−0.0040, −0.0004\\]"),
        ((-0.002, -0.004, 0.0004), "shows no clear change, from .* change −0.0020 \\[−0.0040, \\+0.0004\\]"),
    ],
)
def test_the_verb_follows_the_interval_and_the_digits_show_why(change, sentence):
    first = along_family(*family_tables(mean_change=change), 0.25)[0].replace("\u00a0", " ")
    assert re.search(sentence, first)


def test_a_change_in_numbers_that_barely_excludes_zero_is_not_rounded_to_zero():
    sentence = along_family(*family_tables(memorised_change=(-11, -21.6, -0.4)), 0.25)[1].replace("\u00a0", " ")
    assert "falls from" in sentence
    assert "−11.0 [−21.6, −0.4]" in sentence


@pytest.mark.parametrize(("memorised_at", "shown"), [(0.25, "0.25"), (0.5, "0.5"), (1, "1"), (0.125, "0.125")])
def test_the_threshold_is_the_studys(memorised_at, shown):
    assert f"(score {shown} or more)" in along_family(*family_tables(), memorised_at)[1]


@pytest.mark.parametrize("overlap", ["yes", "unknown"])
def test_of_weights_that_may_have_seen_held_out_images_nothing_is_claimed(overlap):
    numbers, changes = family_tables(("all", "clean label", "flipped label"), mean_change=(0.1, 0.05, 0.15))
    numbers.loc[numbers["architecture"].isin(["m", "l"]), "pretraining_overlap"] = overlap
    (sentence,) = along_family(numbers, changes, 0.25)
    assert sentence.startswith("No claim about size: initial weights of m, l may have seen the held-out images")
    assert "rises" not in sentence


def test_a_group_of_which_no_example_has_a_score_is_not_spoken_of():
    numbers, changes = family_tables(("all", "clean label", "flipped label"))
    numbers.loc[numbers["examples"] == "flipped label", ["value", "low", "high"]] = np.nan
    sentences = along_family(numbers, changes[changes["examples"] != "flipped label"], 0.25)
    assert len(sentences) == 2
    assert all("clean labels" in sentence and "nan" not in sentence for sentence in sentences)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("groups", [("all",), ("all", "clean label", "flipped label")])
def test_shares_of_types_are_those_of_the_table_within_0_and_100_per_cent(groups, seed):
    _, changes = family_tables(groups, seed=seed)
    changes.loc[changes["quantity"] == "share", ["low", "high"]] += [-0.2, 0.2]  # symmetric intervals exceed 0 and 1
    *sentences, _ = of_types(changes, powers(*SEEN), 0.1)
    for group, sentence in zip(groups[1:] or groups, sentences, strict=True):
        name = "examples" if group == "all" else f"{group}s"
        assert sentence.startswith(f"Types of the {name}, at a false discovery rate of 0.1: constant ")
        found = re.findall(rf"([a-z-]+) ({NUMBER}) % \[({NUMBER}), ({NUMBER})\]", sentence.replace("\u00a0", " "))
        assert [kind for kind, *_ in found] == list(TESTED)
        for kind, *values in found:
            share = row(changes, examples=group, quantity="share", type=kind)
            expected = [share["value"], max(share["low"], 0), min(share["high"], 1)]
            assert parsed(values) == pytest.approx(100 * np.array(expected), abs=0.0501)


@pytest.mark.parametrize(
    ("recognised", "said"),
    [
        (SEEN, "when it is 0.4 or more; a rise of 0.2 in 30 %."),
        ((0.9, 1, 1, 1, 1, 1, 1, 1, 1), "when it is 0.1 or more; a rise of 0.2 in 100 %."),
        ((0, 0, 0, 0, 0, 0, 0, 0, 0.8), "when it is 0.9 or more; a rise of 0.2 in 0 %."),
        ((0, 0, 0, 0, 0, 0, 0, 0, 0.795), "at no size up to 0.9; a rise of 0.2 in 0 %."),
        ((0.1, 0.85, 0.7, 0.9, 1, 1, 1, 1, 1), "when it is 0.4 or more; a rise of 0.2 in 85 %."),
        ((1, 1, 1, 1, 1, 1, 1, 1, 0.1), "at no size up to 0.9; a rise of 0.2 in 100 %."),
    ],
)
def test_the_smallest_recognised_rise_is_that_from_which_on_all_are(recognised, said):
    sentence = of_types(family_tables()[1], powers(*recognised), 0.05)[-1].replace("\u00a0", " ")
    assert f"in at least 80 % of cases {said}" in sentence


@pytest.mark.parametrize("title", ["NA", "", "8", "null", "1e3", "a, b"])
def test_a_family_title_is_read_back_as_it_was_written(write, title):
    folder = write(rows(title, "007"))
    numbers = read_numbers(folder / "figures/digits/mean_memorisation.csv")
    assert set(numbers["family"]) == {title}
    assert set(numbers["architecture"]) == {"007"}
