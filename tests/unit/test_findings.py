"""What a study found, in lines and in sentences: every number in a sentence is read back and compared."""

import re

import numpy as np
import pandas as pd
import pytest

from memflow.errors import InputError
from memflow.findings import (
    along_family,
    describe,
    of_distillation,
    of_proxies,
    of_removal,
    of_types,
    proxy_groups,
    proxy_rows,
    read_numbers,
    side_by_side,
)
from memflow.methods import ARMS
from memflow.removal import CONTRASTS
from memflow.statistics.trajectory_types import TESTED

VALUES = {"memorisation": (0.123, 0.1, 0.15), "memorised": (42, 40, 44), "acc_in": (0.99, 0.98, 1)}


def rows(family, architecture, examples="all", flagged=0, undefined=0, method="one-hot", **marks):
    common = {"dataset": "digits", "family": family, "architecture": architecture, "method": method, "parameters": 10}
    common |= marks
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


def test_methods_stand_indented_below_their_architecture_in_the_same_columns(write):
    long = "distilled-from-a-large-network"
    numbers = rows("MLPs", "small") + rows("MLPs", "small", method=long) + rows("MLPs", "large")
    lines = describe(write(numbers)).splitlines()[4:7]
    assert [line.split()[0] for line in lines] == ["small", long, "large"]
    assert [len(line) - len(line.lstrip()) for line in lines] == [4, 6, 4]
    assert len({line.index("0.123") for line in lines}) == 1


def test_an_ablation_is_named_below_the_method_that_it_is(write):
    marks = {"method": "leaky", "teacher_data": "full"}
    numbers = rows("MLPs", "m") + rows("MLPs", "m", **marks) + rows("MLPs", "n", method="fair", teacher_data="subset")
    text = describe(write(numbers))
    assert [words[0] for words in entries(text)][3:8] == ["m", "leaky", "ablation:", "fair", "figures:"]


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


KINDS = ("memorised", "not memorised", *TESTED)
LARGER = {"teacher": "large", "teacher_data": "subset", "targets": "teacher"}
OWN_SIZE = LARGER | {"teacher": "self"}
SMOOTHED = LARGER | {"targets": "smoothed"}
LEAKY = LARGER | {"teacher_data": "full"}
GROUPS = [("all",), ("all", "clean label", "flipped label")]


def distilled(groups=("all",), students=("s", "m"), seed=0):
    """A random summary of the students of one method."""
    random = np.random.default_rng(seed)
    records = []
    for student, group in ((student, group) for student in students for group in groups):
        common = {"student": student, "examples": group, "n_examples": 20.5}
        for quantity in ("mean_one_hot", "mean_distilled", "mean_change", "memorised_change"):
            low = -1.0 if "change" in quantity else 0.0
            records.append(common | {"quantity": quantity, "type": ""} | limits(random, low))
        for kind in KINDS:
            p = {"p_value": random.random() / 10, "p_holm": random.random() / 10}
            records.append(common | {"quantity": "change", "type": kind} | limits(random, -1) | p)
        difference = {"quantity": "difference_increasing_constant", "type": "", "p_value": random.random() / 10}
        records.append(common | difference | limits(random, -1))
    return pd.DataFrame(records)


def of_method(summary, entry=LARGER, overlaps=None):
    return [text.replace("\u00a0", " ") for text in of_distillation(summary, "taught", entry, overlaps or {})]


def plural(group):
    return "examples" if group == "all" else f"{group}s"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("groups", GROUPS)
def test_what_distillation_changes_is_said_of_every_student_in_one_sentence(groups, seed):
    summary = distilled(groups, ("s", "m", "l"), seed)
    means = of_method(summary)[::2]
    for group, sentence in zip(groups[1:] or groups, means, strict=True):
        assert sentence.startswith(f"taught: the mean memorisation of the {plural(group)} ")
        assert len(sentence.split(";")) == len(re.findall(r"(?:rises|falls|change) in", sentence))
        said = {}
        for part in sentence.split(";"):
            does = re.search("rises|falls|shows no clear change", part)[0]
            for student, *values in re.findall(rf"(\w) \(({NUMBER}) to ({NUMBER}), change {INTERVAL}\)", part):
                said[student] = (does, parsed(values))
        assert set(said) == {"s", "m", "l"}
        for student, (does, values) in said.items():
            before, after, change = (
                row(summary, student=student, examples=group, quantity=name)
                for name in ("mean_one_hot", "mean_distilled", "mean_change")
            )
            assert does == verb(change).rstrip(",")
            assert values == pytest.approx([before["value"], after["value"], *three(change)], abs=5.01e-4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("groups", GROUPS)
def test_changes_by_type_are_those_of_the_table_with_an_asterisk_where_they_are_significant(groups, seed):
    summary = distilled(groups, seed=seed)
    by_type = of_method(summary)[1::2]
    for group, sentence in zip(groups[1:] or groups, by_type, strict=True):
        changes, contrasts = sentence.split(" Increasing minus constant: ")
        assert changes.startswith(f"taught, change of the {plural(group)} by what they are under one-hot labels: ")
        for student, part in zip(("s", "m"), changes.rpartition(": ")[2].split("; "), strict=True):
            assert part.startswith(f"{student} memorised ")
            found = re.findall(rf"([a-z][a-z -]+) ({NUMBER})(\*?)", part.removeprefix(f"{student} "))
            assert [kind.strip() for kind, *_ in found] == [kind for kind in KINDS if kind != "undetermined"]
            for kind, value, star in found:
                change = row(summary, student=student, examples=group, quantity="change", type=kind.strip())
                assert parsed([value]) == pytest.approx([change["value"]], abs=5.01e-4)
                assert (star == "*") == (change["p_holm"] < 0.05)
        for student, part in zip(("s", "m"), contrasts.split("; "), strict=True):
            name, *values, star = re.fullmatch(rf"(\w) {INTERVAL}(\*?)\.?", part).groups()
            keys = {"student": student, "examples": group, "quantity": "difference_increasing_constant"}
            assert name == student
            assert parsed(values) == pytest.approx(three(row(summary, **keys)), abs=5.01e-4)
            assert (star == "*") == (row(summary, **keys)["p_value"] < 0.05)


def test_types_without_an_example_in_both_halves_are_not_spoken_of():
    summary = distilled()
    absent = summary["type"].isin(["decreasing", "constant"]) | (
        summary["quantity"] == "difference_increasing_constant"
    )
    summary.loc[absent, ["value", "low", "high", "p_value", "p_holm"]] = np.nan
    means, types = of_method(summary)
    assert "s memorised " in types
    assert not re.search("nan|decreasing|constant", means + types)
    summary.loc[summary["quantity"] == "change", "value"] = np.nan
    assert of_method(summary) == [means]


def test_a_group_of_which_no_student_has_a_score_is_not_spoken_of():
    summary = distilled(GROUPS[1])
    summary.loc[summary["examples"] == "flipped label", ["value", "low", "high", "p_value", "p_holm"]] = np.nan
    assert [text for text in of_method(summary) if "flipped" in text or "nan" in text] == []
    assert len(of_method(summary)) == 2
    assert side_by_side({"one": summary, "two": summary}, {"one": LARGER, "two": OWN_SIZE})[1:] == []


def test_an_ablation_is_called_one_in_every_sentence_and_explained_first():
    sentences = of_method(distilled(), LEAKY)
    assert sentences[0].startswith("taught is an ablation: its teachers saw the labels that the students hold out.")
    assert len(sentences) == 3
    assert all(text.startswith("taught (ablation)") for text in sentences[1:])
    assert "ablation" not in " ".join(of_method(distilled()))


@pytest.mark.parametrize("name", ["m", "large"])
def test_of_weights_that_may_have_seen_held_out_images_it_is_said_whose_they_are(name):
    first, *others = of_method(distilled(), overlaps={"s": "no", name: "unknown"})
    assert first.startswith(f"taught: initial weights of {name} may have seen the held-out images")
    assert others == of_method(distilled(), overlaps={"other": "yes"})


@pytest.mark.parametrize("groups", GROUPS)
def test_methods_with_the_same_students_are_set_side_by_side(groups):
    entries = {"larger": LARGER, "own": OWN_SIZE, "soft": SMOOTHED, "leaky": LEAKY, "apart": LARGER}
    students = {"larger": "sm", "own": "sml", "soft": "sm", "leaky": "m", "apart": "x"}
    summaries = {name: distilled(groups, students[name], seed) for seed, name in enumerate(entries)}
    sentences = side_by_side(summaries, entries)
    for group, sentence in zip(groups[1:] or groups, sentences, strict=True):
        names = (
            "larger (teacher large) / own (teachers of the same size) / soft (labels smoothed evenly) / "
            "leaky (teacher large, ablation)"
        )
        assert sentence.startswith(f"Side by side, mean change of the {plural(group)} by {names}: ")
        said = sentence.rpartition(": ")[2].removesuffix(".").split("; ")
        assert [part[0] for part in said] == ["s", "m"]  # of l and x there is nothing to compare
        for part in said:
            student, _, values = part.partition(" ")
            for name, value in zip(("larger", "own", "soft", "leaky"), values.split(" / "), strict=True):
                if student in students[name]:
                    change = row(summaries[name], student=student, examples=group, quantity="mean_change")
                    assert parsed([value]) == pytest.approx([change["value"]], abs=5.01e-4)
                else:
                    assert value == "–"


def test_of_methods_that_share_no_student_nothing_is_set_side_by_side():
    assert side_by_side({"one": distilled()}, {"one": LARGER}) == []
    assert side_by_side({"one": distilled(), "two": distilled(students=["l"])}, {"one": LARGER, "two": LARGER}) == []


PROXIES = ("cumulative_accuracy", "aum", "el2n", "final_loss", "c_score", "c_score_1-2", "c_score_mean")
CALLED = (
    "cumulative accuracy",
    "AUM",
    "EL2N",
    "final loss",
    "C-score",
    "C-score at ratio 1/2",
    "C-score of all ratios",
)


def agreements(groups=("all",), architectures=("s", "m", "l"), proxies=PROXIES):
    """Random agreement, by architecture."""
    random = np.random.default_rng(0)
    keys = [(proxy, group, kind) for proxy in proxies for group in groups for kind in ("pearson", "spearman")]
    return {
        name: pd.DataFrame(
            {
                "proxy": proxy,
                "examples": group,
                "statistic": kind,
                "ceiling": random.random(),
                "pretraining_overlap": "no",
            }
            | limits(random, -1)
            for proxy, group, kind in keys
        )
        for name in architectures
    }


def ranked(tables, group):
    """By proxy, its rank correlations in all architectures."""
    rows = pd.concat(tables.values())
    rows = rows[(rows["statistic"] == "spearman") & (rows["examples"] == group)]
    return rows, {name: rows.loc[rows["proxy"] == proxy, "value"] for proxy, name in zip(PROXIES, CALLED, strict=True)}


@pytest.mark.parametrize("groups", GROUPS)
def test_the_proxies_nearest_to_and_furthest_from_the_score_are_named_with_their_range(groups):
    tables = agreements(groups)
    for group, sentence in zip(groups[1:] or groups, of_proxies(tables), strict=True):
        rows, values = ranked(tables, group)
        order = sorted(CALLED, key=lambda name: -values[name].median())
        first, ceilings = sentence.removesuffix(".").split(". The scores' own noise allows ")
        start = f"Rank correlation with the scores of the {plural(group)}: highest "
        assert first.startswith(start)
        found = re.findall(rf"([A-Za-z][\w/ -]*?) ({NUMBER}) to ({NUMBER})", first.removeprefix(start))
        assert [name.removeprefix("lowest ") for name, *_ in found] == [*order[:3], order[-1]]
        for name, *said in found:
            of_proxy = values[name.removeprefix("lowest ")]
            assert parsed(said) == pytest.approx([of_proxy.min(), of_proxy.max()], abs=5.01e-3)
        assert parsed(ceilings.split(" to ")) == pytest.approx(
            [rows["ceiling"].min(), rows["ceiling"].max()], abs=5.01e-3
        )


def test_a_single_proxy_of_a_single_architecture_has_no_range_and_no_lowest():
    tables = agreements(architectures=["s"], proxies=["aum"])
    value = row(tables["s"], statistic="spearman")["value"]
    tables["s"]["ceiling"] = np.nan
    said = f"{value:.2f}".replace("-", "−")
    assert of_proxies(tables) == [f"Rank correlation with the scores of the examples: highest AUM {said}."]


def test_proxies_of_weights_that_may_have_seen_held_out_images_are_flagged():
    tables = agreements()
    tables["m"]["pretraining_overlap"] = "yes"
    assert of_proxies(tables)[-1].startswith("Initial weights of m may have seen the held-out images")


@pytest.mark.parametrize("groups", GROUPS)
def test_the_table_of_proxies_has_a_cell_for_each_architecture(groups):
    tables = agreements(groups)
    tables["m"] = tables["m"][tables["m"]["proxy"] != "final_loss"]
    tables["l"].loc[tables["l"]["proxy"] == "aum", ["value", "low", "high"]] = np.nan
    assert proxy_groups(tables) == list(groups[1:] or groups)
    for group in proxy_groups(tables):
        cells = proxy_rows(tables, group)
        assert set(cells) == set(CALLED)
        for proxy, name in zip(PROXIES, CALLED, strict=True):
            for architecture, cell in zip(tables, cells[name], strict=True):
                if (architecture, proxy) in (("m", "final_loss"), ("l", "aum")):
                    assert cell == "–"
                    continue
                keys = {"proxy": proxy, "examples": group, "statistic": "spearman"}
                said = re.fullmatch(INTERVAL, cell.replace("\u00a0", " ")).groups()
                assert parsed(said) == pytest.approx(three(row(tables[architecture], **keys)), abs=5.01e-3)


def test_a_group_without_scores_has_neither_sentence_nor_table():
    tables = agreements(GROUPS[1])
    for table in tables.values():
        table.loc[table["examples"] == "flipped label", ["value", "low", "high", "ceiling"]] = np.nan
    assert proxy_groups(tables) == ["clean label"]
    assert len(of_proxies(tables)) == 1


@pytest.mark.parametrize("column", ["student", "method", "proxy", "architecture"])
def test_names_that_look_like_numbers_are_read_back_as_they_were_written(tmp_path, column):
    missing = {name: [0.5, None] for name in ("value", "p_holm", "ceiling", "reliability_score", "predicted")}
    pd.DataFrame({column: ["007", "1e3"], **missing}).to_csv(tmp_path / "t.csv", index=False)
    numbers = read_numbers(tmp_path / "t.csv")
    assert numbers[column].tolist() == ["007", "1e3"]
    assert [name for name in missing if numbers[name].dtype != float] == []


# --- removal ---------------------------------------------------------------------------------------------------------

WHERE = {"all": 719, "no copy in training": 1700}


def removed(groups=("all",), missed=0, decay=5e-4, seed=0):
    """A random table of the three arms."""
    random = np.random.default_rng(seed)
    common = {"runs": 10, "runs_not_converged": missed, "n_removed": 1234, "n_train": 50_000, "weight_decay": decay}
    keys = [(group, quantity) for group in groups for quantity in (*ARMS, *CONTRASTS)]
    table = pd.DataFrame(
        common
        | {"examples": group, "quantity": quantity, "n_examples": WHERE[group]}
        | limits(random, -1 if quantity in CONTRASTS else 0)
        for group, quantity in keys
    )
    return table.assign(pretraining_overlap="no")


def said_of_removal(*tables):
    made = of_removal({f"net-{number}": table for number, table in enumerate(tables)}, 0.25)
    return [text.replace("\u00a0", " ") for text in made]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("groups", [("all",), tuple(WHERE)])
def test_what_the_memorised_examples_are_worth_is_said_with_the_numbers_of_the_table(groups, seed):
    table = removed(groups, seed=seed)
    first, *costs = said_of_removal(table)
    assert first.startswith(
        "net-0: 1,234 of 50,000 training examples are natural and score 0.25 or more, or are their copies. "
        "Test accuracy of 10 runs each, trained on "
    )
    arms = re.findall(rf"([a-z][a-z ]+) {INTERVAL}", first.partition("trained on ")[2])
    assert [arm[0] for arm in arms] == ["all", "without the memorised", "without as many others"]
    for (_, *numbers), quantity in zip(arms, ARMS, strict=True):
        assert parsed(numbers) == pytest.approx(three(row(table, examples="all", quantity=quantity)), abs=5.01e-4)
    assert len(costs) == len(groups)
    for sentence, group in zip(costs, groups, strict=True):
        start = "net-0: without random minus without memorised examples"
        shared = " on the 1,700 test examples with no copy in training" if group != "all" else ""
        found = re.fullmatch(rf"{start}{shared} {INTERVAL}, paired by seed\.", sentence)
        expected = three(row(table, examples=group, quantity="random - memorised"))
        assert parsed(found.groups()) == pytest.approx(expected, abs=5.01e-4)


@pytest.mark.parametrize(
    ("missed", "decay", "flags"),
    [
        (3, 5e-4, "3 of 30 runs are below the in-sample target"),
        (0, 0.0, "the recipe has no weight decay"),
        (30, 0.0, "30 of 30 runs are below the in-sample target; the recipe has no weight decay"),
    ],
)
def test_runs_that_were_trained_too_little_or_without_weight_decay_are_flagged(missed, decay, flags):
    assert said_of_removal(removed(missed=missed, decay=decay))[2:] == [f"net-0: read this with care: {flags}."]


def test_weights_that_may_have_seen_the_images_are_flagged_of_their_network():
    said = said_of_removal(removed(), removed().assign(pretraining_overlap="unknown"))
    assert [text for text in said if "may have seen the images" in text] == said[-1:]
    assert said[-1].startswith("net-1: read this with care: ")


def test_every_network_without_memorised_examples_has_its_own_sentences():
    said = said_of_removal(removed(), removed(missed=1), removed(tuple(WHERE)))
    assert [text.partition(":")[0] for text in said] == ["net-0"] * 2 + ["net-1"] * 3 + ["net-2"] * 3
    assert said_of_removal() == []
