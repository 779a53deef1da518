"""A placebo of trajectories: the nearest-neighbour learner on digits, with other seeds in the place of sizes.

The learner, the images and the masks are real; nothing but the subsets differs between the "sizes", whose scores are
equal. Unlike in a study, the sizes do not share their subsets, which only makes the noise between them larger.
"""

from fractions import Fraction

import numpy as np
import pytest

from memflow import counts, subsets
from memflow.counts import Counts
from memflow.data import digits
from memflow.models.neighbour import neighbour_order
from memflow.statistics.paired import paired_tests
from memflow.statistics.trajectory_types import CHANGES, TESTED, classify, critical_p_value, describe
from memflow.training.outcomes import pack
from memflow.trajectories import example_table, halves_table, mean_curves

RATIO = Fraction(7, 10)
SIZES, NEIGHBOURS = 4, 64  # no run is without an in-sample one among 64 neighbours: .3 ** 64
TAU, FDR, CONFIDENCE = 0.15, 0.05, 0.95
RULE = {"tau": TAU, "fdr": FDR, "confidence": CONFIDENCE}
FLIPPED = 0.1  # share of wrong labels: their scores are high, and those of their neighbours in the middle


@pytest.fixture(scope="module")
def images():
    """Labels, a tenth of them wrong, which labels those are, and the nearest others of every example."""
    train, _, class_names = digits.load()
    random, n = np.random.default_rng(0), len(train)
    flipped = random.random(n) < FLIPPED
    labels = np.where(
        flipped, (train.labels + random.integers(1, len(class_names), n)) % len(class_names), train.labels
    )
    order = neighbour_order(train.images, train.images)
    others = order[order != np.arange(n)[:, None]].reshape(n, n - 1)[:, :NEIGHBOURS]
    return labels.astype(np.int32), flipped, others


def outcomes(images, seeds):
    """Correctness of every run, bool[runs, 1, n], and its mask; in-sample, an example is its own neighbour."""
    labels, _, others = images
    masks = subsets.masks("balanced", RATIO, seeds, np.arange(len(labels)))
    correct = np.empty_like(masks)
    for run, mask in enumerate(masks):
        in_sample = mask[others]
        assert in_sample.any(axis=1).all()
        nearest = others[np.arange(len(labels)), in_sample.argmax(axis=1)]
        correct[run] = mask | (labels[nearest] == labels)
    return correct[:, None], masks


def counts_of(images, seeds):
    labels, flipped, _ = images
    correct, masks = outcomes(images, seeds)
    outcome = {"epochs": np.array([1], dtype=np.int32), "train_correct": correct, "test_correct": correct[:, :, :1]}
    index = np.arange(len(labels), dtype=np.int32)
    nothing = np.zeros(len(labels), dtype=bool)
    identity = {"index": index, "label": labels, "label_noise": flipped, "input_noise": nothing}
    identity |= {"duplicate_group": index, "near_duplicate_group": index}
    identity |= {"conflicting_label": nothing, "in_test": nothing, "subpopulation": labels}
    counted = counts.count(pack(outcome, masks), masks, 1, subsets.group_size("balanced", RATIO), first_group=0)
    converged = np.ones(len(masks), dtype=bool)
    return Counts(**counted | {"parameters": 0}, **identity, converged=converged, group_size=10)


@pytest.fixture(scope="module")
def studies(images):
    """Six placebo studies of four sizes, K = 100 each, on seeds of their own."""
    runs = [counts_of(images, range(start, start + 100)) for start in range(0, 2400, 100)]
    return [runs[first : first + SIZES] for first in range(0, len(runs), SIZES)]


def test_the_placebo_has_something_to_test(studies):
    # Without noise in its scores nothing could ever be called a change, whatever the test.
    for sizes in studies:
        testable = paired_tests(sizes, TAU, CONFIDENCE).testable
        assert testable.sum() > 300
        described = describe(np.stack([size.scores() for size in sizes]), TAU)
        assert np.isin(described, CHANGES).sum() > 20


def test_nothing_is_called_a_change_though_scores_differ_by_more_than_tau(studies):
    called, described = [], []
    for sizes in studies:
        tests = paired_tests(sizes, TAU, CONFIDENCE)
        types = classify(tests, TAU, critical_p_value(tests, FDR))
        assert set(types) <= set(TESTED)
        called.append(np.isin(types, CHANGES).sum())
        described.append(np.isin(describe(tests.scores, TAU), CHANGES).sum())
    print(
        f"\ncalled a change in {len(studies)} placebo studies: {called}, by the label of estimates: {described}"
    )  # decision 4
    # With nothing to find, each study finds something at a rate of 5 %: in 3 of 6 with a chance of .002.
    assert np.count_nonzero(called) <= 2
    assert sum(called) <= 0.01 * sum(described)


def test_p_values_of_the_placebo_are_uniform(studies):
    p = np.concatenate([tests.p_trend[tests.testable] for tests in (paired_tests(s, TAU, CONFIDENCE) for s in studies)])
    for level in (0.01, 0.05, 0.2):
        # Examples of one study share their runs, neighbours most: a tenth as many independent ones, four errors.
        error = (level * (1 - level) / (len(p) / 10)) ** 0.5
        share = (p <= level).mean()
        print(f"\nplacebo: p <= {level} in {share:.4f}")
        assert share <= level + 4 * error
        assert share >= level / 4


def test_margins_hold_the_placebos_differences(studies):
    tests = [paired_tests(sizes, TAU, CONFIDENCE) for sizes in studies]
    covered = np.concatenate([(np.ptp(t.scores, axis=0) <= t.margin + 1e-9)[t.testable] for t in tests])
    print(f"\nplacebo: {covered.mean():.4f} of the simultaneous intervals hold")
    assert 0.93 < covered.mean() < 0.99


def test_curves_of_the_placebo_are_flat_where_naive_ones_are_not(studies):
    names = [f"seeds {size}" for size in range(SIZES)]
    naive, measured = [], []
    for study in studies[:3]:
        sizes = dict(zip(names, study, strict=True))
        table = example_table(sizes, **RULE)
        naive.append(table.loc[table["descriptive"] == "increasing", "delta"].mean())
        curves = mean_curves(sizes, halves_table(sizes, **RULE), CONFIDENCE)
        rising = curves.query("basis == 'descriptive' and type == 'increasing'")["value"].to_numpy()
        measured.append(rising[-1] - rising[0])
    print(f"\nrise of the increasing: {np.round(naive, 3)} where selected, {np.round(measured, 3)} by halves")
    assert min(naive) > TAU
    assert abs(np.mean(measured)) < 0.05
