"""Whole studies by simulation: runs with seed and subset variance, whose true accuracies are known exactly."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from memflow import epochs, proxies, subsets, transitions
from memflow.claims.evidence import Evidence
from memflow.claims.proxy import NAMED
from memflow.counts import Counts
from memflow.proxies import Measure
from memflow.removal import compare
from memflow.statistics import agreement
from memflow.summary import populations

N, TEST, GROUPS, SIZE = 240, 120, 8, 10  # examples, test examples, groups of runs, runs in one
RULE = {"memorised_at": 0.25, "confidence": 0.95}
JUDGED = {"tau": 0.15, **RULE}
NAMES = ["small", "medium", "large"]
OF_SIZES = {2: [NAMES[0], NAMES[-1]], 3: NAMES, 4: ["tiny", *NAMES]}
EPOCHS = np.array([1, 2, 3, 4], dtype=np.int32)
SUBSET, RUN = 0.3, 0.1  # share of the variance that a group's subsets and an example have in common, and a run has
SURE = 0.9995  # in-sample accuracy of what is fitted
PROXY_RUNS = 6
Accuracies = tuple[np.ndarray | float, np.ndarray]  # in-sample and out-of-sample, of every example

MASKS = subsets.masks("balanced", Fraction(7, 10), range(GROUPS * SIZE), np.arange(N))
ORDER = np.arange(N, dtype=np.int32)
LABEL = (ORDER % 3).astype(np.int32)
FLIPPED = ORDER % 6 == 5
NATURAL = ~FLIPPED
UNFITTED = NATURAL & (ORDER % 5 == 3)  # what the smallest size of an underfitting family cannot fit


class Simulation:
    """Counts of runs.

    A run is right where a standard normal variable is below the quantile of the true accuracy, which is therefore
    exact. The variable has three parts: one of an example and a group of runs, the same at every size and for every
    method, since these share their subsets; one of a run, the same for all examples; and one of its own.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.subset = np.repeat(np.sqrt(SUBSET) * self.random.normal(size=(GROUPS, N + TEST)), SIZE, axis=0)
        self.part = self.random.integers(0, 3, N)  # of the two parts of each label, one has a third of its examples

    def counts(
        self,
        accuracies: Accuracies,
        earlier: Sequence[Accuracies] = (),
        test: float = 0.8,
        parameters: int = 0,
    ) -> tuple[Counts, list[epochs.Tally]]:
        """Of a network with true accuracies at the last and at earlier epochs; and of its natural examples by group."""
        runs = GROUPS * SIZE
        shared = self.subset + np.sqrt(RUN) * self.random.normal(size=(runs, 1))
        inside, outside, right, of_test = [], [], [], np.empty(0)
        for acc_in, acc_out in [*earlier, accuracies]:
            own = self.random.standard_normal((runs, N + TEST)) * np.sqrt(1 - SUBSET - RUN)
            limit = np.where(MASKS, ndtri(acc_in), ndtri(acc_out))
            correct = shared[:, :N] + own[:, :N] < limit
            of_test = shared[:, N:] + own[:, N:] < ndtri(test)
            inside.append(_by_group(correct & MASKS))
            outside.append(_by_group(correct & ~MASKS))
            right.append(of_test.mean(axis=1))
        correct_in, correct_out, accuracy = np.array(inside), np.array(outside), np.array(right)
        n_in, n_out = _by_group(MASKS), _by_group(~MASKS)
        nothing = np.zeros(N, dtype=bool)
        made = Counts(
            correct_in=correct_in[-1],
            correct_out=correct_out[-1],
            n_in=n_in,
            n_out=n_out,
            correct_test=_by_group(of_test),
            group_size=SIZE,
            epochs=EPOCHS[-len(accuracy) :],
            epoch_correct_in=_by_half(correct_in),
            epoch_correct_out=_by_half(correct_out),
            accuracy=np.repeat(accuracy.T[..., None], 3, axis=2),
            losses=np.full((runs, len(accuracy), 3), np.nan),
            converged=np.ones(runs, dtype=bool),
            parameters=parameters,
            index=ORDER,
            label=LABEL,
            duplicate_group=ORDER,
            near_duplicate_group=ORDER,
            conflicting_label=nothing,
            in_test=nothing,
            label_noise=FLIPPED,
            input_noise=nothing,
            subpopulation=(3 + 2 * LABEL + (self.part == 0)).astype(np.int32),
        )
        tallies = []
        for group in range(GROUPS):
            one = np.arange(GROUPS) == group
            natural = np.outer(one, NATURAL)
            sums = (_by_half((correct * natural)[..., NATURAL]) for correct in (correct_in, correct_out))
            of_runs = (_by_half((n * natural)[None, :, NATURAL])[0] for n in (n_in, n_out))
            total = accuracy[:, group * SIZE : (group + 1) * SIZE].sum(axis=1)
            tallies.append(epochs.Tally(*sums, *of_runs, test=total, runs=SIZE))
        return made, tallies

    def sizes(self, accuracies: Sequence[Accuracies], test: float = 0.8) -> dict[str, Counts]:
        """A family, smallest first; each with more parameters than the last."""
        names = OF_SIZES[len(accuracies)]
        return {
            name: self.counts(of, test=test, parameters=1000 * number)[0]
            for number, (name, of) in enumerate(zip(names, accuracies, strict=True), 1)
        }

    def by_epoch(self, *accuracies: Accuracies) -> tuple[Counts, pd.DataFrame]:
        """Counts of the largest size with what the stage epochs says of its natural examples."""
        made, sets = self.counts(accuracies[-1], accuracies[:-1], parameters=1000 * len(NAMES))
        of = made.select(NATURAL)
        table = epochs.statistics(epochs.total(of), sets, of.epochs, populations(of), **RULE)
        return made, table.assign(examples="clean label")

    def proxy(self, name: str, truth: np.ndarray) -> Measure:
        """A proxy from some runs, given its true values; those of one run are all off by the same besides."""
        own, shared = self.random.normal(size=(PROXY_RUNS, N)), self.random.normal(size=(PROXY_RUNS, 1))
        return proxies.from_runs(name, (truth + truth.std() * (0.3 * own + 0.03 * shared)).astype(np.float32))

    def removal(self, loss: float) -> pd.DataFrame:
        """Test accuracies with nothing, memorised and random examples removed, whose seeds share weights."""
        seeds = self.random.normal(0, 0.3, (10, TEST))
        arms = {
            arm: seeds + self.random.normal(0, np.sqrt(1 - 0.3**2), (10, TEST)) < ndtri(accuracy)
            for arm, accuracy in (("none", 0.8), ("memorised", 0.8 - loss), ("random", 0.8))
        }
        return compare(arms, np.zeros(TEST, dtype=bool), RULE["confidence"])


def agreement_of(merged: Counts, measures: list[Measure]) -> pd.DataFrame:
    """Spearman's correlations as the stage proxies has them, without the ceilings, which take mixture fits."""
    rows = []
    for measure in measures:
        limits = agreement.interval(_spearman(merged, measure), (GROUPS, PROXY_RUNS), RULE["confidence"])[:, 0]
        rows.append((measure.name, "spearman", "clean label", *limits, NATURAL.sum(), PROXY_RUNS))
    names = ["proxy", "statistic", "examples", "value", "low", "high", "n_examples", "runs"]
    return pd.DataFrame(rows, columns=names)


def without_effect(seed: int) -> dict[tuple[str, str], Evidence]:
    """Nothing has an effect: all sizes, students, epochs, arms and parts are alike; flags stand on random examples.

    Proxies are unrelated to the score and distributed like it. In a second family no size fits some of the examples.
    """
    simulated = Simulation(seed)
    acc_out = spread(simulated)
    truth = {name: 1 - simulated.random.permutation(acc_out) for name in NAMED}
    same = (SURE, acc_out)
    unfitted = (np.where(UNFITTED, 0.15, SURE), np.where(UNFITTED, 0.1, acc_out))
    return _study(
        simulated,
        sizes=[same] * 3,
        by_epoch=[same] * 4,
        steady=[same] * 4,
        students=[same] * 3,
        other_student=same,
        gain=0.0,
        proxies_of=[truth] * 2,
        loss=0.0,
        underfitting=[unfitted] * 2,
    )


def at_the_edge(seed: int) -> dict[tuple[str, str], Evidence]:
    """What the claims about means speak of is as large as it must at least be to count, and not larger."""
    simulated = Simulation(seed)
    acc_out = np.clip(spread(simulated), 0.05, 0.95)
    sizes = [(SURE, acc_out + rise) for rise in (0.0, 0.005, 0.01)]
    # Students change by −.015, −.01, −.005; by another, smaller teacher the largest changes by .005.
    students = [(SURE, of + rise) for (_, of), rise in zip(sizes, (0.015, 0.01, 0.005), strict=True)]
    truth = {name: simulated.random.normal(size=N) for name in NAMED}
    risen = {name: of + 0.1 * of.std() for name, of in truth.items()}
    return _study(
        simulated,
        sizes=sizes,
        by_epoch=[],
        steady=[],
        students=students,
        other_student=(SURE, sizes[-1][1] - 0.005),
        gain=0.002,
        proxies_of=[truth, risen],
        loss=0.002,
        underfitting=[],
    )


def moving(seed: int, *changes: float) -> dict[tuple[str, str], Evidence]:
    """Every example's score is changed by some amounts at the sizes."""
    simulated = Simulation(seed)
    acc_out = np.clip(spread(simulated), 0.1, 0.9)
    sizes = simulated.sizes([(SURE, acc_out - change) for change in changes])
    sets = _transient(sizes) if changes[-1] < 0 else pd.DataFrame()
    return {("simulated", "moving"): Evidence(sizes, transient=sets, **JUDGED)}


def other_accuracies(seed: int) -> dict[tuple[str, str], Evidence]:
    """No size of four has an effect, but the accuracies of wrong labels lie in the middle, those of others above it."""
    simulated = Simulation(seed)
    wrong = ORDER % 3 == 2
    same = (SURE, np.where(wrong, simulated.random.uniform(0.3, 0.7, N), ndtr(simulated.random.normal(1.6, 0.7, N))))
    sizes = {name: replace(of, label_noise=wrong) for name, of in simulated.sizes([same] * 4).items()}
    return {("simulated", "wrong labels"): Evidence(sizes, transient=_transient(sizes), **JUDGED)}


def only_rising(seed: int) -> dict[tuple[str, str], Evidence]:
    """The share of memorised examples rises from epoch to epoch, and does not fall."""
    simulated = Simulation(seed)
    acc_out = np.clip(spread(simulated), 0.3, 0.95)
    course = [(SURE, acc_out + (1 - acc_out) * easier) for easier in (0.9, 0.7, 0.5, 0.0)]
    largest, curve = simulated.by_epoch(*course)
    family = {"small": replace(largest, parameters=1), "large": largest}
    return {("simulated", "only rising"): Evidence(family, epochs={"large": curve}, **JUDGED)}


def borderline(seed: int) -> dict[tuple[str, str], Evidence]:
    """No size has an effect, but many examples are between fitted and not: one half of the runs often disagrees."""
    simulated = Simulation(seed)
    is_between = ORDER % 2 == 0
    same = (np.where(is_between, 0.63, SURE), np.where(is_between, 0.46, spread(simulated)))
    sizes = simulated.sizes([same] * 2)
    return {("simulated", "borderline"): Evidence(sizes, flows=transitions.flows(sizes, **RULE), **JUDGED)}


def with_effects(seed: int) -> dict[tuple[str, str], Evidence]:
    """Every claim holds, by far."""
    simulated = Simulation(seed)
    random = simulated.random
    kind = np.where(NATURAL, random.choice(5, N, p=[0.4, 0.25, 0.15, 0.1, 0.1]), 5)
    is_falling, is_rising = kind == 1, kind == 2
    # Out-of-sample accuracies of what is easy, falls, rises, rises and falls, is hard; and of wrong labels.
    small = np.array([0.97, 0.3, 0.9, 0.9, 0.05, 0.8])[kind]
    medium = np.array([0.97, 0.6, 0.5, 0.4, 0.05, 0.5])[kind]
    large = np.array([0.98, 0.97, 0.1, 0.9, 0.05, 0.05])[kind]
    simulated.part = np.where(random.random(N) < np.where(is_falling | (kind == 3), 0.95, 0.05), 0, 1)
    for_a_time = np.where((kind == 0) & (ORDER % 2 == 0), 0.3, large)
    course = [(0.5, np.full(N, 0.5)), (SURE, for_a_time), (SURE, for_a_time)]
    score = np.empty(N)
    score[np.lexsort((random.random(N), -large))] = ndtri((ORDER + 0.5) / N)  # normal, in the order of the scores
    students = [small + 0.55 * is_falling + 0.05 * is_rising]
    students += [medium + 0.4 * is_rising - 0.05 * is_falling, large + 0.6 * is_rising - 0.05 * is_falling]
    fitted = np.where(ORDER % 3 < 2, SURE, 0.15)  # of what the smallest size does not fit, the largest fits two thirds
    return _study(
        simulated,
        sizes=[(SURE, small), (SURE, medium), (SURE, large)],
        by_epoch=[*course, (SURE, large)],
        steady=[*course, course[-1]],
        students=[(SURE, of) for of in students],
        other_student=(SURE, large + 0.1 * is_rising),
        gain=0.08,
        proxies_of=[dict(zip(NAMED, (-score, score), strict=True))] * 2,
        loss=0.08,
        underfitting=[(np.where(UNFITTED, of, SURE), np.where(UNFITTED, 0.1, large)) for of in (0.15, fitted)],
    )


def _study(
    simulated: Simulation,
    *,
    sizes: Sequence[Accuracies],
    by_epoch: Sequence[Accuracies],
    steady: Sequence[Accuracies],
    students: Sequence[Accuracies],
    other_student: Accuracies,
    gain: float,
    proxies_of: Sequence[dict[str, np.ndarray]],
    loss: float,
    underfitting: Sequence[Accuracies],
) -> dict[tuple[str, str], Evidence]:
    """Evidence of one simulated study: true accuracies, true values of the proxies, and what removal loses."""
    family = simulated.sizes(sizes)
    curves: dict[str, pd.DataFrame] = {}
    if by_epoch:
        family["large"], curves["large"] = simulated.by_epoch(*by_epoch)
        _, curves["steady"] = simulated.by_epoch(*steady)
    taught = simulated.sizes(students, test=0.8 + gain)
    measured = {
        size: [simulated.proxy(name, truth) for name, truth in of.items()]
        for size, of in zip(("small", "large"), proxies_of, strict=True)
    }
    evidence = Evidence(
        family,
        **JUDGED,
        distilled={
            "by teacher": taught,
            "by assistant": {"large": simulated.counts(other_student, parameters=3000)[0]},
        },
        teachers={"by teacher": "teacher", "by assistant": "assistant"},
        teacher_sizes={"teacher": 9000, "assistant": 5000},
        epochs=curves,
        schedules={"large": {"alike": "", "decays": True}, "steady": {"alike": "", "decays": False}},
        transient=_transient(family) if by_epoch else pd.DataFrame(),
        agreement={"large": agreement_of(family["large"], measured["large"])},
        proxies={size: _summary(family[size], of) for size, of in measured.items()},
        removal={"large": simulated.removal(loss)},
    )
    found = {("simulated", "fitting"): evidence}
    if underfitting:
        # Natural examples only: the other family tells of the artificial ones.
        others = {name: of.select(NATURAL) for name, of in simulated.sizes(underfitting).items()}
        found["simulated", "underfitting"] = Evidence(others, flows=transitions.flows(others, **RULE), **JUDGED)
    return found


def _transient(sizes: dict[str, Counts]) -> pd.DataFrame:
    """What the stage transitions says of the natural examples in the sets."""
    natural = {name: of.select(~of.is_artificial) for name, of in sizes.items()}
    return transitions.summarise(natural, **RULE).assign(examples="clean label")


def _summary(merged: Counts, measures: list[Measure]) -> pd.DataFrame:
    """The summary of the stage proxies, of the natural examples."""
    made = proxies.summarise(merged.select(NATURAL), [_part(of) for of in measures], RULE["confidence"])
    return made.assign(examples="clean label")


def _part(measure: Measure) -> Measure:
    return replace(measure, original=lambda used: measure.original(used)[NATURAL])


def spread(simulated: Simulation) -> np.ndarray:
    """Out-of-sample accuracies of all kinds, many of them high; of artificial examples as of natural ones."""
    return ndtr(simulated.random.normal(0.9, 1.0, N))


def _spearman(merged: Counts, measure: Measure) -> Any:
    def statistic(used: Sequence[np.ndarray]) -> np.ndarray:
        value, score = measure.value([used[1]]), merged.only(used[0]).scores()
        return agreement.correlations(value[NATURAL], score[NATURAL])[1:]

    return statistic


def _by_group(values: np.ndarray) -> np.ndarray:
    """Sums over the runs of each group, uint8[GROUPS, n]."""
    return values.view(np.uint8).reshape(GROUPS, SIZE, -1).sum(axis=1, dtype=np.uint8)


def _by_half(by_group: np.ndarray) -> np.ndarray:
    """Sums over the even and over the odd groups, uint32[E, 2, n]."""
    return np.stack([by_group[:, half::2].sum(axis=1, dtype=np.int64) for half in (0, 1)], axis=1)
