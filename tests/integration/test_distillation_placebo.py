"""Placebos of distillation: students that learned nothing else than their one-hot twins, and one that did.

Simulated runs of equal true scores, many times over, for how often intervals hold; and the nearest-neighbour learner on
digits, with other seeds in the place of the distilled student and of the sizes.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import test_trajectories_placebo as neighbours

from memflow.distillation import MEMORISED, pair_table, summarise, transfer
from memflow.statistics.trajectory_types import TESTED
from memflow.trajectories import halves_table

STUDIES, GROUPS = 60, 10  # K = 100 each
TYPES = {"tau": 0.15, "fdr": 0.05, "confidence": 0.95}
RULE = {"confidence": 0.95, "memorised_at": 0.25}
NAMES = ["small", "medium", "large"]
EASY, MIDDLE, RISING = np.split(np.arange(300), 3)
EFFECT = 0.15  # by which a student's rising examples are lowered where something is planted

images = neighbours.images  # a fixture


def true_scores():
    """Easy examples, examples between 0 and .6, and examples that rise by .25 at each size."""
    medium = np.concatenate([np.zeros(100), np.linspace(0, 0.6, 100), np.full(100, 0.3)])
    rise = 0.25 * np.isin(np.arange(300), RISING)
    return np.stack([medium - rise, medium, medium + rise])


def study(simulate_family, number, effect=0.0):
    """One-hot twin, distilled student, teacher and pairs of the medium size of a simulated family."""
    scores = true_scores()
    distilled = scores[1] - effect * np.isin(np.arange(300), RISING)
    *sizes, student = (
        replace(counts, label_noise=np.zeros(300, dtype=bool))
        for counts in simulate_family(np.vstack([scores, distilled]), groups=GROUPS, seed=1000 + number)
    )
    family = dict(zip(NAMES, sizes, strict=True))
    pairs = pair_table(halves_table(family, **TYPES), "medium", family["medium"], student, family["large"])
    return family["medium"], student, family["large"], pairs


@pytest.fixture(scope="module")
def placebos(simulate_family):
    return [study(simulate_family, number) for number in range(STUDIES)]


def on_the_same_runs(pairs):
    """Naive pairs: each half selects what it measures itself."""
    return pairs.loc[np.roll(pairs.index, len(pairs) // 2)].reset_index(drop=True)


def changes(one_hot, student, pairs):
    table = summarise(one_hot, student, pairs, **RULE)
    return table[table["quantity"].str.contains("change|difference")].set_index(["quantity", "type"])


def holds(rows, truth=0.0):
    return (rows["low"] <= truth) & (truth <= rows["high"])


def coverage(rows):
    """Share of intervals that hold 0, per quantity and of all, and four standard errors of the latter."""
    held = holds(rows)
    by_quantity = held.groupby(level=list(held.index.names[1:]))
    assert (by_quantity.size() == STUDIES).all()
    by_study = held.groupby(level="study").mean()  # quantities of one study share their runs, studies share nothing
    return by_quantity.mean(), by_study.mean(), 4 * by_study.std() / STUDIES**0.5


ALWAYS = [("change", kind) for kind in ("constant", "increasing", "undetermined", *MEMORISED)]
ALWAYS += [("difference_increasing_constant", "")]
TOLERANCE = 4 * (0.95 * 0.05 / STUDIES) ** 0.5


def joined(tables):
    return pd.concat(dict(enumerate(tables)), names=["study"])


def test_a_student_that_learned_nothing_else_shows_no_change(placebos):
    rows = joined(changes(one_hot, student, pairs) for one_hot, student, _, pairs in placebos)
    overall = [(name, "") for name in ("mean_change", "acc_out_change", "acc_test_change", "memorised_change")]
    rows = rows[rows.index.droplevel("study").isin(ALWAYS + overall)]
    by_quantity, of_all, errors = coverage(rows)
    print(f"\n{by_quantity.round(3).to_string()}\n{of_all:.3f} ± {errors:.3f} of all intervals hold 0")
    assert (by_quantity >= 0.95 - TOLERANCE).all()
    assert abs(of_all - 0.95) < errors
    for key in ALWAYS:
        value = rows.loc[(slice(None), *key), "value"]
        assert abs(value.mean()) < 4 * value.std() / STUDIES**0.5, key
    p_values = rows.dropna(subset="p_value")
    rejected = p_values["p_value"].le(0.05).groupby(level="study").mean()
    print(f"p <= .05 in {rejected.mean():.3f}, adjusted in {p_values['p_holm'].le(0.05).mean():.3f}")
    assert rejected.mean() < 0.05 + 4 * rejected.std() / STUDIES**0.5
    any_type = p_values["p_holm"].le(0.05).groupby(level="study").any()
    assert any_type.mean() < 0.1 + 4 * (0.1 * 0.9 / STUDIES) ** 0.5  # two families of tests


def test_measured_on_the_runs_that_selected_the_same_students_seem_to_change(placebos):
    naive = joined(changes(one_hot, student, on_the_same_runs(pairs)) for one_hot, student, _, pairs in placebos)
    fair = joined(changes(one_hot, student, pairs) for one_hot, student, _, pairs in placebos)
    for key, sign in ((("change", "memorised"), -1), (("change", "not memorised"), 1)):
        values, others = naive.loc[(slice(None), *key)], fair.loc[(slice(None), *key)]
        held = holds(values).mean()
        print(f"\n{key[1]}: {values['value'].mean():+.3f} where selected, {others['value'].mean():+.4f} by halves")
        print(f"0 is in {held:.2f} of the naive intervals, p <= .05 in {(values['p_value'] <= 0.05).mean():.2f}")
        assert sign * values["value"].mean() > 0.015
        assert held < 0.6
        assert (values["p_value"] <= 0.05).mean() > 0.4
        assert abs(others["value"].mean()) < abs(values["value"].mean()) / 5


def test_nothing_is_transferred_where_teacher_and_student_are_unrelated(placebos):
    tables, naive = [], []
    for one_hot, student, teacher, pairs in placebos:
        for of, chosen in ((tables, pairs), (naive, on_the_same_runs(pairs))):
            table = transfer(one_hot, student, teacher, chosen, **RULE)
            table = table[table["quantity"] == "change"]
            of.append(table.set_index(["teacher_memorises", "one_hot_memorises"]))
    by_cell, of_all, errors = coverage(joined(tables))
    print(f"\n{by_cell.round(3).to_string()}\n{of_all:.3f} ± {errors:.3f} of all intervals hold 0")
    assert len(by_cell) == 4
    assert (by_cell >= 0.95 - TOLERANCE).all()
    assert abs(of_all - 0.95) < errors
    wrongly, _, _ = coverage(joined(naive))
    print(f"naive: {wrongly.round(3).to_string()}")
    assert (wrongly < 0.7).all()


def test_a_planted_effect_is_recovered_within_its_interval(simulate_family):
    held, tables = [], []
    is_rising = np.isin(np.arange(300), RISING)
    for number in range(STUDIES):
        one_hot, student, _, pairs = study(simulate_family, 100 + number, EFFECT)
        table = changes(one_hot, student, pairs)
        lowered = -EFFECT * np.tile(is_rising, 2)
        parts = {kind: (pairs["type"] == kind).to_numpy() for kind in TESTED}
        parts["memorised"] = (pairs["one_hot_selecting"] >= 0.25 - 1e-9).to_numpy()
        halves = np.arange(600) < 300
        truth = {
            kind: np.mean([lowered[where & half].mean() for half in (halves, ~halves)])
            for kind, where in parts.items()
            if kind in ("constant", "increasing", "undetermined", "memorised")
        }
        truth = {("change", kind): value for kind, value in truth.items()}
        truth["difference_increasing_constant", ""] = truth["change", "increasing"] - truth["change", "constant"]
        truth["mean_change", ""] = lowered.mean()
        rows = table.loc[list(truth)]
        true = pd.Series(truth)
        held.append(holds(rows, true))
        tables.append(rows.assign(truth=true))
    held, rows = pd.DataFrame(held), joined(tables)
    mean = rows.groupby(level=["quantity", "type"])[["value", "truth"]].mean()
    print(f"\n{mean.assign(held=held.mean()).round(3).to_string()}")
    assert (held.mean() >= 0.95 - TOLERANCE).all()
    assert abs(held.mean(axis=1).mean() - 0.95) < 4 * held.mean(axis=1).std() / STUDIES**0.5
    rising = rows.loc[(slice(None), "change", "increasing")]
    assert rising["truth"].max() < -0.12
    assert (rising["high"] < 0).mean() > 0.95
    assert (rising["p_holm"] <= 0.05).mean() > 0.9
    assert (rows.loc[(slice(None), "difference_increasing_constant", ""), "p_value"] <= 0.05).mean() > 0.9


# The real learner.


@pytest.fixture(scope="module")
def studies(images):
    """Three placebo studies: three sizes and a distilled student on seeds of their own."""
    runs = [neighbours.counts_of(images, range(start, start + 100)) for start in range(0, 1200, 100)]
    return [runs[first : first + 4] for first in range(0, len(runs), 4)]


def test_the_nearest_neighbours_of_other_seeds_change_only_where_they_were_selected(studies):
    rows, naive = [], []
    for *sizes, student in studies:
        family = dict(zip(NAMES, sizes, strict=True))
        halves = halves_table(family, **TYPES)
        halves["type"] = halves["descriptive"].replace("other", "undetermined")  # tested, hardly any example changes
        pairs = pair_table(halves, "medium", family["medium"], student, family["large"])
        rows.append(changes(family["medium"], student, pairs).query("examples == 'all'"))
        naive.append(changes(family["medium"], student, on_the_same_runs(pairs)).query("examples == 'all'"))
    fair, wrong = joined(rows), joined(naive)
    fair = fair[fair["n_examples"] > 0]
    print(f"\n{fair[['value', 'low', 'high', 'p_value', 'n_examples']].round(4).to_string()}")
    held = holds(fair.drop(index="acc_in_change", level="quantity"))  # always right in-sample
    # Some 35 intervals, about a third as many independent ones: four binomial errors.
    assert held.mean() > 0.95 - 4 * (0.95 * 0.05 / (len(held) / 3)) ** 0.5
    # By the label of estimates: scores that noise made stand out at the student's size fall.
    caps, naive_caps = (of.loc[(slice(None), "change", "cap-shaped")] for of in (fair, wrong))
    print(naive_caps[["value", "low", "high"]].round(3).to_string())
    assert naive_caps["value"].max() < -0.1
    assert not holds(naive_caps).any()
    assert abs(caps["value"].mean()) < abs(naive_caps["value"].mean()) / 3
