"""Estimated against exact scores: the nearest-neighbour learner on digits, whose scores have a closed form.

Every set of masks is an independent study of K runs. Only examples whose exact out-of-sample accuracy is between 0.05
and 0.95 are looked at (a proportion near 0 or 1 tells nothing about its variance), all sets pooled.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from oracle import held_out_sizes, out_of_sample_accuracy
from scipy.stats import norm

from memflow import counts, rng, subsets
from memflow.data import digits
from memflow.data.prepared import Dataset, duplicate_groups
from memflow.models.neighbour import learn, neighbour_order
from memflow.statistics.proportions import newcombe
from memflow.training.outcomes import pack

RATIO = Fraction(7, 10)
RUNS = 400  # per set; a set of K = 400 is also four of K = 100
NEIGHBOURS = 64  # no run is without an in-sample one among them: .3 ** 64


@pytest.fixture(scope="module")
def dataset():
    train, test, class_names = digits.load()
    return Dataset.unflagged(train, test, class_names, duplicate_group=duplicate_groups(train.images))


@pytest.fixture(scope="module")
def neighbours(dataset):
    """The nearest of the other training examples, int[n, 64]; ties by position, as in the learner."""
    images, n = dataset.train.images, len(dataset.train)
    order = neighbour_order(images, images)
    return order[order != np.arange(n)[:, None]].reshape(n, n - 1)[:, :NEIGHBOURS]


@dataclass
class Simulated:
    """Sets of runs, on the selected examples only: outcomes bool[sets * RUNS, examples] and exact accuracies."""

    correct: np.ndarray
    held_out: np.ndarray
    exact: np.ndarray

    def estimates(self, k):
        """Out-of-sample counts of correct and of all runs, int[sets, examples], for sets of k runs."""
        correct, held_out = (x.reshape(-1, k, len(self.exact)) for x in (self.correct, self.held_out))
        return (correct & held_out).sum(axis=1), held_out.sum(axis=1)


def exact_accuracy(design, dataset, neighbours):
    labels = dataset.train.labels
    same_class = labels[neighbours] == labels[:, None]
    accuracy, missed = out_of_sample_accuracy(same_class, len(labels), *held_out_sizes(design, RATIO, len(labels)))
    assert missed < 1e-12
    return accuracy


def nearest(masks, neighbours):
    """The nearest in-sample neighbour of every example, as if it were held out: int[runs, examples]."""
    in_sample = masks[:, neighbours]
    assert in_sample.any(axis=2).all()
    return neighbours[np.arange(len(neighbours)), in_sample.argmax(axis=2)]


def cyclic_folds(group, n):
    """The design that was rejected: one permutation, cut into b folds; run t drops b - a consecutive ones."""
    a, b = RATIO.numerator, RATIO.denominator
    fold = np.empty(n, dtype=int)
    fold[rng.permutation("cyclic folds", (group,), n)] = np.arange(n) % b
    return np.stack([(fold - run) % b >= b - a for run in range(b)])


def masks_of_set(design, number, n):
    if design == "cyclic":
        groups = range(number * RUNS // 10, (number + 1) * RUNS // 10)
        return np.concatenate([cyclic_folds(group, n) for group in groups])
    return subsets.masks(design, RATIO, range(number * RUNS, (number + 1) * RUNS), np.arange(n))


def simulate(design, sets, dataset, neighbours):
    labels, n = dataset.train.labels, len(dataset.train)
    exact = exact_accuracy("iid" if design == "cyclic" else design, dataset, neighbours)
    selected = np.flatnonzero((exact >= 0.05) & (exact <= 0.95))
    correct, held_out = [], []
    for number in range(sets):
        masks = masks_of_set(design, number, n)
        correct.append(labels[nearest(masks, neighbours[selected])] == labels[selected])
        held_out.append(~masks[:, selected])
    return Simulated(np.concatenate(correct), np.concatenate(held_out), exact[selected])


@pytest.fixture(scope="module")
def simulated(request, dataset, neighbours):
    sets = request.config.getoption("--oracle-sets")
    studies = {design: simulate(design, sets, dataset, neighbours) for design in subsets.DESIGNS}
    for design, runs in studies.items():
        report(design, runs)
    return studies


def report(design, runs):
    """Shown by `make oracle`, which is where the documents have their numbers from."""
    for k in (100, 400):
        print(
            f"\n{design}, K = {k}: coverage {coverage(runs, k):.3f}, relative variance {relative_variance(runs, k):.3f}"
        )


def coverage(runs, k):
    """Share of the 95 % intervals that hold the exact score; in-sample accuracy is exactly 1 without duplicates."""
    correct, held_out = runs.estimates(k)
    low, high = newcombe(k - held_out, k - held_out, correct, held_out, 0.95)
    return ((low <= 1 - runs.exact) & (1 - runs.exact <= high)).mean()


def relative_variance(runs, k):
    """Variance of the out-of-sample accuracy around the exact one, in units of the binomial; mean over examples."""
    correct, held_out = runs.estimates(k)
    binomial = runs.exact * (1 - runs.exact) / held_out
    return ((correct / held_out - runs.exact) ** 2 / binomial).mean()


def test_the_closed_form_is_the_mean_over_all_subsets():
    # n = 7 examples at 3/5: every held-out set, weighted by its probability under the design.
    n, same_class = 7, np.random.default_rng(0).random((7, 6)) < 0.5
    others = [[j for j in np.random.default_rng(i).permutation(n) if j != i] for i in range(n)]
    for design in subsets.DESIGNS:
        sizes, probabilities = held_out_sizes(design, Fraction(3, 5), n)
        assert probabilities.sum() == pytest.approx(1)
        right, out = np.zeros(n), np.zeros(n)
        for m, probability in zip(sizes.tolist(), probabilities, strict=True):
            held_out_sets = list(combinations(range(n), m))
            for held_out in held_out_sets:
                for i in held_out:
                    rank = next(rank for rank, j in enumerate(others[i]) if j not in held_out)
                    out[i] += probability / len(held_out_sets)
                    right[i] += probability / len(held_out_sets) * same_class[i, rank]
        accuracy, missed = out_of_sample_accuracy(same_class, n, sizes, probabilities)
        assert np.allclose(accuracy, right / out)
        assert missed == pytest.approx(0)


def test_sizes_of_drawn_subsets_are_those_of_the_closed_form(dataset):
    n = len(dataset.train)
    for design in subsets.DESIGNS:
        sizes, probabilities = held_out_sizes(design, RATIO, n)
        drawn = (~subsets.masks(design, RATIO, range(2000), np.arange(n))).sum(axis=1)
        assert set(drawn) == set(sizes)
        share = (drawn[:, None] == sizes).mean(axis=0)
        # Four binomial standard errors; the runs of a balanced group hold out a fixed total, which lowers the error.
        assert (abs(share - probabilities) <= 4 * (probabilities * (1 - probabilities) / 2000) ** 0.5).all()


@pytest.mark.parametrize("design", subsets.DESIGNS)
def test_the_learner_is_the_shortcut_used_here_and_so_are_its_counts(design, dataset, neighbours):
    labels, n = dataset.train.labels, len(dataset.train)
    masks = subsets.masks(design, RATIO, range(20), np.arange(n))
    outcome = learn({}, dataset, masks, range(20), lambda share: None)
    shortcut = np.where(masks, True, labels[nearest(masks, neighbours)] == labels)  # in-sample: its own neighbour
    assert np.array_equal(outcome["train_correct"][:, 0], shortcut)
    group_size = subsets.group_size(design, RATIO)
    counted = counts.count(pack(outcome, masks), masks, len(dataset.test), group_size, first_group=0)
    assert np.array_equal(counted["correct_out"].sum(axis=0), (shortcut & ~masks).sum(axis=0))
    assert np.array_equal(counted["n_out"].sum(axis=0), (~masks).sum(axis=0))
    assert np.array_equal(counted["correct_in"].sum(axis=0), masks.sum(axis=0))


def test_no_image_of_digits_has_a_duplicate(dataset):
    assert np.array_equal(dataset.duplicate_group, np.arange(len(dataset.train)))  # hence in-sample accuracy 1


def test_each_size_of_study_is_checked_on_200_sets_of_some_examples(simulated, request):
    for runs in simulated.values():
        assert len(runs.exact) >= 30
        assert len(runs.estimates(400)[0]) == request.config.getoption("--oracle-sets")


@pytest.mark.parametrize("k", [100, 400])
def test_95_percent_intervals_cover_the_exact_score_under_iid(simulated, k):
    assert 0.93 <= coverage(simulated["iid"], k) <= 0.98


@pytest.mark.parametrize("k", [100, 400])
def test_95_percent_intervals_cover_the_exact_score_under_balanced(simulated, k):
    assert coverage(simulated["balanced"], k) >= 0.94


@pytest.mark.parametrize("k", [100, 400])
def test_the_variance_is_binomial_under_iid(simulated, k):
    assert 0.9 <= relative_variance(simulated["iid"], k) <= 1.1


@pytest.mark.parametrize("k", [100, 400])
def test_the_variance_is_below_the_binomial_under_balanced(simulated, k):
    assert relative_variance(simulated["balanced"], k) <= 0.9


@pytest.mark.parametrize("k", [100, 400])
@pytest.mark.parametrize("design", subsets.DESIGNS)
def test_the_out_of_sample_accuracy_is_unbiased(simulated, design, k):
    correct, held_out = simulated[design].estimates(k)
    error = correct / held_out - simulated[design].exact
    sets, examples = error.shape
    of_set = error.mean(axis=1)  # sets are independent, the examples of one set are not
    assert abs(of_set.mean()) < 3.3 * of_set.std(ddof=1) / sets**0.5  # two-sided p = .001
    z = error.mean(axis=0) / (error.std(axis=0, ddof=1) / sets**0.5)
    assert abs(z).max() < norm.ppf(1 - 0.001 / 2 / examples)  # p = .001 over all examples (Bonferroni)


def test_cyclic_folds_are_worse_than_independent_subsets(simulated, dataset, neighbours):
    cyclic = simulate("cyclic", 50, dataset, neighbours)
    report("cyclic folds", cyclic)
    for k in (100, 400):
        assert relative_variance(cyclic, k) > 1.3
        assert coverage(cyclic, k) < coverage(simulated["iid"], k)
