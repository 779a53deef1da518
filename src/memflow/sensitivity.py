"""Stage sensitivity: how the results of one family depend on what could have been chosen otherwise.

On the number of runs (sub-samples of those at hand; nothing is trained again), on the threshold, on the ratio of the
subsets, on how the subsets are drawn, and on runs that did not converge.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from memflow import counts, methods, provenance, rng
from memflow.counts import Counts
from memflow.files import write_csv
from memflow.scores import split_half
from memflow.statistics import agreement, mixture
from memflow.statistics.bimodality import HIGH, LOW
from memflow.statistics.paired import paired_tests
from memflow.statistics.precision import (
    expected_reliability,
    expected_share,
    half_widths,
    needed_runs,
    unit_variance,
)
from memflow.statistics.proportions import newcombe
from memflow.statistics.resampling import bootstrap, jackknife
from memflow.statistics.rounding import ROUNDING
from memflow.statistics.trajectory_types import DESCRIPTIVE, TESTED, classify, critical_p_value, describe
from memflow.summary import populations, thresholds
from memflow.trajectories import Sizes, check_same_subsets

DRAWS = 10  # of the groups in a sub-sample
COSTLY_DRAWS = 3  # of those, for what takes a fit
FEWEST_RUNS = 10  # in a sub-sample
BEYOND = (2, 4, 10)  # times the runs at hand: what more of them are expected to show
HALF_WIDTHS = (0.1, 0.05)  # of an example's interval, for which the runs needed are given
RELIABILITIES = (0.9, 0.95)
CHUNK = 4096  # examples at a time, which bounds the memory of the variances
LEAST_VARIANCE = 0.25  # of groups, relative to independent runs, that a correction for it may assume
SHARES = ("memorised", "share_low", "share_high")
IN_WORDS = ("memorised", f"scores ≤ {LOW:g}", f"scores ≥ {HIGH:g}")
FROM_RUNS = ("memorisation", *SHARES, "distance", "half_width", "half_width_worst")
COLUMNS = [
    "what",
    "architecture",
    "examples",
    "setting",
    "quantity",
    "value",
    "low",
    "high",
    "predicted",
    "n_examples",
]
NAN = float("nan")
Row = dict[str, Any]
TypeShares = dict[tuple[str, str], tuple[float, int]]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Part:
    """One group of examples of one architecture, at one ratio.

    Attributes
    ----------
    architecture, examples : str
        Names; see :func:`memflow.summary.populations`.
    ratio : Fraction
    counts : Counts
        Of these examples.
    weights : float64[2501]
        Their noise-corrected distribution, from all runs: see :func:`memflow.statistics.mixture.fit`.
    """

    architecture: str
    examples: str
    ratio: Fraction
    counts: Counts
    weights: np.ndarray

    @property
    def runs(self) -> int:
        return len(self.counts.converged)

    def row(
        self, what: str, setting: Any, quantity: str, limits: Sequence[float] = (NAN, NAN, NAN), predicted: float = NAN
    ) -> Row:
        """A row of the table; ``limits`` are value, lower and upper limit."""
        given = (what, self.architecture, self.examples, str(setting), quantity, *limits, predicted)
        return dict(zip(COLUMNS, (*given, self.counts.n_examples), strict=True))


def run(spec: dict[str, Any], counts_paths: list[Path], output: Path) -> None:
    """Write the sensitivity of one family.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.sensitivity_spec`.
    counts_paths : list of Path
        Counts of the family's architectures, smallest first, at the study's ratio; then those at each further ratio.
    output : Path
        CSV file: :func:`sensitivity_table`, with constant columns ``runs``, ``ratio``, ``confidence``,
        ``memorised_at`` and ``pretraining_overlap`` (of rows along the family: the strongest of its members').

    Raises
    ------
    ProvenanceError
        If the counts of a ratio are not of the same subsets, or those of several ratios not of the same dataset.
    """
    started = provenance.now()
    records = [provenance.read(path) for path in counts_paths]
    definitions = [record["definition"] for record in records]
    names, ratios = spec["architectures"], spec["ratios"]
    method = definitions[0]["runs"]["method"]
    expected = [
        (ratio, method if ratio == ratios[0] else methods.ratio_method(ratio)) for ratio in ratios for _ in names
    ]
    for path, definition, (ratio, of_ratio) in zip(counts_paths, definitions, expected, strict=True):
        first = {**definitions[0], "runs": {**definitions[0]["runs"], "ratio": ratio}}
        check_same_subsets(path, definition, first, method=of_ratio)
    loaded = [counts.load_last(path) for path in counts_paths]
    by_ratio = {
        ratio: dict(zip(names, loaded[start : start + len(names)], strict=True))
        for ratio, start in zip(ratios, range(0, len(loaded), len(names)), strict=True)
    }
    rule = {key: spec[key] for key in ("tau", "fdr", "confidence", "memorised_at")}
    table = sensitivity_table(by_ratio, **rule)
    overlaps = spec["pretraining_overlap"]
    strongest = next(overlap for overlap in ("yes", "unknown", "no") if overlap in overlaps.values())
    write_csv(
        output,
        table.assign(
            runs=len(loaded[0].converged),
            ratio=ratios[0],
            confidence=spec["confidence"],
            memorised_at=spec["memorised_at"],
            pretraining_overlap=table["architecture"].map(overlaps).fillna(strongest),
        ),
    )
    provenance.write(
        [output],
        {**spec, "counts": definitions},
        inputs={path: record["outputs"][path.name] for path, record in zip(counts_paths, records, strict=True)},
        started=started,
    )


def sensitivity_table(
    by_ratio: dict[str, Sizes], tau: float, fdr: float, confidence: float, memorised_at: float
) -> pd.DataFrame:
    """How the results depend on runs, threshold, ratio, design and convergence.

    Parameters
    ----------
    by_ratio : dict of str to dict of str to Counts
        By ratio, the study's first, and architecture, smallest first.
    tau, fdr, confidence, memorised_at : float
        As for :func:`memflow.trajectories.summarise`.

    Returns
    -------
    DataFrame
        ``what``, ``architecture`` (empty for what is along the family), ``examples`` (see
        :func:`memflow.summary.populations`), ``setting`` (text), ``quantity``, ``value`` with ``low`` and ``high``,
        ``predicted`` (by the noise-corrected distribution from all runs and independent binomial runs) and
        ``n_examples``. Of the study's ratio, but for ``what`` = ``ratio``:

        - ``K``, per number of runs (``setting``), averaged over draws of the groups, nested in each draw: mean score
          ``memorisation``; shares ``memorised``, ``share_low`` (≤ 0.1) and ``share_high`` (≥ 0.9), as estimated and
          under ``…_corrected`` noise-corrected (sub-samples: only of natural examples); ``distance`` (mean absolute
          difference from the score of all runs); ``half_width`` and ``half_width_worst`` of the examples' intervals
          (mean and widest; predicted at worst: of any example); along the family the shares of types ``type …`` and
          ``descriptive …``. ``low`` and ``high``: lowest and highest of the draws, no interval; none for all runs.
          Rows beyond the runs at hand are predicted only, as are ``runs_for_half_width`` and
          ``runs_for_half_width_worst``: the runs needed until the half-width (``setting``) is reached on average, or
          by every example.
        - ``reliability``: ``split_half`` (Pearson, of disjoint halves of ``setting`` runs each) and ``reliability``
          (of ``setting`` runs: that of their halves by Spearman and Brown), averaged over draws, and the lowest and
          highest; ``runs_for_reliability``, predicted.
        - ``threshold``: share ``memorised`` at each; jackknife over groups.
        - ``design``: ``variance_ratio`` of scores and ``variance_ratio_out`` of out-of-sample accuracies, what the
          groups show relative to independent runs (as under ``iid``); and the shares ``memorised``, ``share_low`` and
          ``share_high`` that the groups show, with as ``predicted`` what as many independent runs would be expected to
          show: the distribution behind the groups' scores, given ``variance_ratio``, with the noise of independent
          runs, as many of them held out as are expected. Jackknife over groups; ``predicted`` has no limits, and is as
          uncertain as ``variance_ratio``. Shares of types are not predicted: an example's type rests on its
          scores at all sizes together, with noise that the sizes share as they share subsets, and the distributions of
          the single sizes do not tell either.
        - ``ratio``, where there are several: ``memorisation`` (group bootstrap), the three shares as estimated
          (jackknife) and ``…_corrected`` at each, and along the family those of types (without limits, as all runs
          show them); between two, ``pearson`` (predicted: if the true scores were equal) and ``spearman`` over the
          examples. They estimate different things and are never pooled.
        - ``converged``: ``not_converged``, the share of runs below the recipe's target, and ``groups_converged``, that
          of groups without such runs; where there are two of these and not all are, ``memorisation`` and the three
          shares of ``all runs`` and of ``converged groups``.
    """
    parts = {ratio: list(_parts(sizes, Fraction(ratio))) for ratio, sizes in by_ratio.items()}
    sizes, (study, *_) = next(iter(by_ratio.values())), parts.values()
    rows = [row for part in study for row in _of_runs(part, memorised_at, confidence, part.examples == _natural(study))]
    rows += _of_types(sizes, tau, fdr, confidence)
    rows += [row for part in study for row in _of_reliability(part)]
    rows += [row for name, size in sizes.items() for row in _of_thresholds(name, size, confidence)]
    rows += [row for part in study for row in _of_design(part, memorised_at, confidence)]
    if len(by_ratio) > 1:
        rows += _of_ratios(parts, memorised_at, confidence)
        for ratio, of_ratio in by_ratio.items():
            rows += _type_rows("ratio", ratio, [_type_shares(of_ratio, tau, fdr, confidence)])
    rows += [row for part in study for row in _of_convergence(part, memorised_at, confidence)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _parts(sizes: Sizes, ratio: Fraction) -> Iterator[Part]:
    for architecture, size in sizes.items():
        for examples, where in populations(size).items():
            if where.any():
                part = size.select(where)
                yield Part(architecture, examples, ratio, part, mixture.fit(mixture.observe(*part.totals())))


def _natural(parts: list[Part]) -> str:
    """Name of the examples that are as they were found."""
    return "clean label" if any(part.examples == "clean label" for part in parts) else "all"


# The number of runs.


def numbers_of_groups(groups: int, group_size: int) -> list[int]:
    """Groups in each sub-sample: powers of two with at least :data:`FEWEST_RUNS` runs; and all of them last."""
    powers = [2**power for power in range(1, groups.bit_length()) if 2**power * group_size >= FEWEST_RUNS]
    return [*(number for number in powers if number < groups), groups]


def draws(groups: int, number: int, most: int = DRAWS) -> Iterator[np.ndarray]:
    """Which groups are in a sub-sample, bool[groups], in each of some draws; those of smaller numbers are nested."""
    for draw in range(most if number < groups else 1):
        yield rng.permutation("sensitivity", (groups, draw), groups).argsort() < number


def _of_runs(part: Part, memorised_at: float, confidence: float, is_natural: bool) -> Iterator[Row]:
    final, size = part.counts.scores(), part.counts.group_size
    for number in numbers_of_groups(part.counts.n_groups, size):
        chosen = list(draws(part.counts.n_groups, number))
        found = _over_draws([_from_runs(part.counts.only(used), final, memorised_at, confidence) for used in chosen])
        for quantity, predicted in _predicted(part, number * size, memorised_at, confidence).items():
            yield part.row("K", number * size, quantity, found[quantity], predicted)
        if is_natural or len(chosen) == 1:
            fits = [_corrected(part, used, memorised_at) for used in chosen[:COSTLY_DRAWS]]
            for quantity, limits in _over_draws(fits).items():
                yield part.row("K", number * size, quantity, limits)
    for times in BEYOND:
        expected = _predicted(part, times * part.runs, memorised_at, confidence)
        yield from (
            part.row("K", times * part.runs, name, predicted=expected[name]) for name in (*SHARES, "half_width")
        )
    for half_width in HALF_WIDTHS:
        for quantity, needed in _needed(part, half_width, confidence).items():
            yield part.row("K", half_width, quantity, predicted=needed)


def _from_runs(runs: Counts, final: np.ndarray, memorised_at: float, confidence: float) -> dict[str, float]:
    """What some of the runs show; of the examples that have a score in them. ``final``: the scores of all runs."""
    scores = runs.scores()
    has = np.isfinite(scores)
    if not has.any():
        return dict.fromkeys(FROM_RUNS, NAN)
    correct_in, n_in, correct_out, n_out = (values[has] for values in runs.totals())
    low, high = newcombe(correct_in, n_in, correct_out, n_out, confidence)
    distance, widths = abs(scores - final)[has].mean(), (high - low) / 2
    found = (scores[has].mean(), *_shares(scores[has], memorised_at), distance, widths.mean(), widths.max())
    return dict(zip(FROM_RUNS, found, strict=True))


def _predicted(part: Part, runs: int, memorised_at: float, confidence: float) -> dict[str, float]:
    """What so many independent runs would show; the difference from all runs counts the runs that both have."""
    memorised, above_low, high = (
        expected_share(part.weights, runs, part.ratio, limit) for limit in (memorised_at, LOW + 2 * ROUNDING, HIGH)
    )
    widths = half_widths(runs, part.ratio, confidence)
    spread = np.sqrt(2 / np.pi) * part.weights @ np.sqrt(unit_variance(part.ratio))  # mean size of a normal deviate
    distance = spread * np.sqrt(max(0.0, 1 / runs - 1 / part.runs))
    mean, shares = part.weights @ mixture.SCORES, (memorised, 1 - above_low, high)
    return dict(zip(FROM_RUNS, (mean, *shares, distance, part.weights @ widths, widths.max()), strict=True))


def _needed(part: Part, half_width: float, confidence: float) -> dict[str, float]:
    """Runs until the examples' intervals reach a half-width on average, and until each does, whatever the example."""

    def until(summary: Callable[[np.ndarray], float]) -> float:
        def reached(runs: int) -> bool:
            return summary(half_widths(runs, part.ratio, confidence)) <= half_width

        return needed_runs(reached, part.counts.group_size)

    on_average = until(lambda widths: float(part.weights @ widths))
    return {"runs_for_half_width": on_average, "runs_for_half_width_worst": until(np.max)}


def _shares(scores: np.ndarray, memorised_at: float, weights: np.ndarray | None = None) -> list[float]:
    """Shares of scores, or of weights, that :data:`SHARES` names."""
    reached = (scores >= memorised_at - ROUNDING, scores <= LOW + ROUNDING, scores >= HIGH - ROUNDING)
    return [float(np.average(where, weights=weights)) for where in reached]


def _corrected(part: Part, used: np.ndarray, memorised_at: float) -> dict[str, float]:
    weights = part.weights
    if not used.all():
        seen = part.counts.only(used)
        observed = mixture.observe(*seen.select(np.isfinite(seen.scores())).totals())
        weights = mixture.fit(observed, start=part.weights)
    return {
        f"{name}_corrected": share
        for name, share in zip(SHARES, _shares(mixture.SCORES, memorised_at, weights), strict=True)
    }


def _over_draws(found: list[dict[Key, float]]) -> dict[Key, tuple[float, float, float]]:
    """Mean, lowest and highest of the draws that have a number; of a single one the value alone."""
    limits = {}
    for name in dict.fromkeys(name for draw in found for name in draw):
        values = np.array([draw.get(name, NAN) for draw in found])
        values = values[np.isfinite(values)]
        ends = (values.min(), values.max()) if len(values) > 1 else (NAN, NAN)
        limits[name] = (values.mean() if len(values) else NAN, *ends)
    return limits


def _of_types(sizes: Sizes, tau: float, fdr: float, confidence: float) -> Iterator[Row]:
    first = next(iter(sizes.values()))
    for number in numbers_of_groups(first.n_groups, first.group_size):
        found = [
            _type_shares({name: size.only(used) for name, size in sizes.items()}, tau, fdr, confidence)
            for used in draws(first.n_groups, number, COSTLY_DRAWS)
        ]
        yield from _type_rows("K", str(number * first.group_size), found)


def _type_rows(what: str, setting: str, found: list[TypeShares]) -> Iterator[Row]:
    """Shares along the family and numbers of examples, averaged over the draws that have such examples."""
    numbers = _over_draws([{name: n for name, (_, n) in of_draw.items()} for of_draw in found])
    shares = _over_draws([{name: share for name, (share, _) in of_draw.items()} for of_draw in found])
    for (examples, kind), limits in shares.items():
        given = (what, "", examples, setting, kind, *limits, NAN, round(numbers[examples, kind][0]))
        yield dict(zip(COLUMNS, given, strict=True))


def _type_shares(sizes: Sizes, tau: float, fdr: float, confidence: float) -> TypeShares:
    """By group of examples and type: its share, and the number of examples; of those with a score at every size."""
    where = np.all([np.isfinite(size.scores()) for size in sizes.values()], axis=0)
    if not where.any():
        return {}
    scored = [size.select(where) for size in sizes.values()]
    tests = paired_tests(scored, tau, confidence)
    given = {"type": classify(tests, tau, critical_p_value(tests, fdr)), "descriptive": describe(tests.scores, tau)}
    return {
        (examples, f"{basis} {kind}"): (float((given[basis][chosen] == kind).mean()), int(chosen.sum()))
        for examples, chosen in populations(scored[0]).items()
        if chosen.any()
        for basis, kinds in (("type", TESTED), ("descriptive", DESCRIPTIVE))
        for kind in kinds
    }


# Reliability.


def _of_reliability(part: Part) -> Iterator[Row]:
    groups, size = part.counts.n_groups, part.counts.group_size
    for number in numbers_of_groups(groups // 2, size):
        found = [_split_half(part.counts, draw, number) for draw in range(DRAWS)]
        for quantity, limits in _over_draws(found).items():
            runs = number * size * (2 if quantity == "reliability" else 1)
            predicted = expected_reliability(part.weights, runs, part.ratio)
            yield part.row("reliability", runs, quantity, limits, predicted)
    for times in BEYOND:
        predicted = expected_reliability(part.weights, times * part.runs, part.ratio)
        yield part.row("reliability", times * part.runs, "reliability", predicted=predicted)
    for reliability in RELIABILITIES:

        def reached(runs: int, least: float = reliability) -> bool:
            return expected_reliability(part.weights, runs, part.ratio) >= least

        yield part.row("reliability", reliability, "runs_for_reliability", predicted=needed_runs(reached, size))


def _split_half(counts: Counts, draw: int, number: int) -> dict[str, float]:
    """Agreement of two disjoint halves, of so many groups each."""
    place = rng.permutation("sensitivity halves", (counts.n_groups, draw), counts.n_groups).argsort()
    halves = (counts.only((place >= start) & (place < start + number)).scores() for start in (0, number))
    return {name: NAN if value is None else value for name, value in split_half(*halves).items()}


# Threshold, design, ratio, convergence.


def _of_thresholds(architecture: str, size: Counts, confidence: float) -> Iterator[Row]:
    for examples, threshold, value, low, high, n_examples in thresholds(size, confidence).itertuples(index=False):
        if n_examples:
            shares = (limit / n_examples for limit in (value, low, high))
            given = ("threshold", architecture, examples, f"{threshold:g}", "memorised", *shares, NAN, n_examples)
            yield dict(zip(COLUMNS, given, strict=True))


def _of_design(part: Part, memorised_at: float, confidence: float) -> Iterator[Row]:
    names, n = ("variance_ratio", "variance_ratio_out"), part.counts.n_examples
    chunks = [part.counts.select(np.arange(start, min(start + CHUNK, n))) for start in range(0, n, CHUNK)]

    def statistic(used: np.ndarray) -> np.ndarray:
        shown, independent = np.sum([variances(chunk.only(used > 0)) for chunk in chunks], axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(shown / independent)

    limits = jackknife(part.counts.n_groups, statistic, confidence)
    for name, of in zip(names, limits.T, strict=True):
        yield part.row("design", "groups", name, of.tolist(), 1.0)
    # the weights under binomial noise would predict of as many runs just what the groups show, however these vary
    independent = replace(part, weights=given_variance(part.counts, float(limits[0, 0])))
    yield from _share_rows(independent, part.counts, "design", "groups", memorised_at, confidence)


def given_variance(counts: Counts, ratio: float) -> np.ndarray:
    """Noise-corrected distribution behind groups that vary more or less than independent runs.

    The variance of the noise is taken as the same multiple of the binomial for every example: as if the runs were
    ``1 / ratio`` times as many.

    Parameters
    ----------
    counts : Counts
    ratio : float
        Variance of the scores relative to independent runs; NaN where there is none.

    Returns
    -------
    float64[2501]
        As from :func:`memflow.statistics.mixture.fit`.
    """
    observed = mixture.observe(*counts.totals())
    power = 1 / max(ratio, LEAST_VARIANCE) if np.isfinite(ratio) else 1.0
    return mixture.fit(
        replace(observed, likelihood_in=observed.likelihood_in**power, likelihood_out=observed.likelihood_out**power)
    )


def variances(counts: Counts) -> np.ndarray:
    """Variances, added over the examples that have them: as the groups show, and as independent runs would have.

    Returns
    -------
    float64[2, 2]
        Shown and independent; of the score and of the out-of-sample accuracy.
    """
    correct_in, n_in, correct_out, n_out = counts.totals()
    groups = counts.n_groups
    with np.errstate(invalid="ignore", divide="ignore"):
        acc_in, acc_out = correct_in / n_in, correct_out / n_out
        inside = groups * (counts.correct_in - acc_in * counts.n_in) / n_in  # deviation of each group, of mean zero
        outside = groups * (counts.correct_out - acc_out * counts.n_out) / n_out
        of_in, of_out, of_score = (
            (deviation**2).sum(axis=0) / (groups * (groups - 1)) for deviation in (inside, outside, inside - outside)
        )
        # p(1 - p) of an estimated p is too small by the variance of the estimate
        alone_in = (acc_in * (1 - acc_in) + of_in) / n_in
        alone_out = (acc_out * (1 - acc_out) + of_out) / n_out
    by_example = np.array([[of_score, of_out], [alone_in + alone_out, alone_out]])
    return by_example[..., np.isfinite(by_example).all(axis=(0, 1))].sum(axis=-1)


def _of_ratios(parts: dict[str, list[Part]], memorised_at: float, confidence: float) -> Iterator[Row]:
    for ratio, of_ratio in parts.items():
        for part in of_ratio:
            yield from _level(part, part.counts, "ratio", ratio, memorised_at, confidence)
            for name, share in _corrected(part, np.ones(part.counts.n_groups, dtype=bool), memorised_at).items():
                yield part.row("ratio", ratio, name, (share, NAN, NAN))
    for (one, ones), (other, others) in combinations(parts.items(), 2):
        by_key = {(part.architecture, part.examples): part for part in others}
        for part in ones:
            if counterpart := by_key.get((part.architecture, part.examples)):
                yield from _between(part, counterpart, f"{one} and {other}", confidence)


def _between(part: Part, other: Part, setting: str, confidence: float) -> Iterator[Row]:
    """Correlations over the examples that have a score at both ratios."""
    _, mine, theirs = np.intersect1d(part.counts.index, other.counts.index, return_indices=True)
    here, there = part.counts.select(mine), other.counts.select(theirs)

    def statistic(used: agreement.Used) -> np.ndarray:
        return agreement.correlations(here.only(used[0]).scores(), there.only(used[1]).scores())

    limits = agreement.interval(statistic, [here.n_groups, there.n_groups], confidence)
    ceiling = np.sqrt(np.prod([expected_reliability(of.weights, of.runs, of.ratio) for of in (part, other)]))
    for name, of, predicted in zip(agreement.NAMES, limits.T, (ceiling, NAN), strict=True):
        yield part.row("ratio", setting, name, of.tolist(), predicted) | {"n_examples": len(mine)}


def _level(part: Part, runs: Counts, what: str, setting: str, memorised_at: float, confidence: float) -> Iterator[Row]:
    """Mean score and shares of some runs, with intervals over their groups."""
    mean = bootstrap(runs.n_groups, lambda weights: runs.means(weights)[:, :1], confidence)
    yield part.row(what, setting, "memorisation", mean[:, 0].tolist())
    yield from _share_rows(part, runs, what, setting, memorised_at, confidence)


def _share_rows(
    part: Part, runs: Counts, what: str, setting: str, memorised_at: float, confidence: float
) -> Iterator[Row]:
    """Shares that some runs show, beside what the part's distribution predicts of as many."""

    def shares(used: np.ndarray) -> np.ndarray:
        scores = runs.only(used > 0).scores()
        return np.array(_shares(scores[np.isfinite(scores)], memorised_at))

    limits = jackknife(runs.n_groups, shares, confidence)
    predicted = _predicted(part, len(runs.converged), memorised_at, confidence)
    for name, of in zip(SHARES, limits.T, strict=True):
        yield part.row(what, setting, name, of.tolist(), predicted[name])


def _of_convergence(part: Part, memorised_at: float, confidence: float) -> Iterator[Row]:
    flagged = ~part.counts.converged
    free = np.asarray(~flagged.reshape(part.counts.n_groups, part.counts.group_size).any(axis=1))
    for setting, quantity, share in (("runs", "not_converged", flagged), ("groups", "groups_converged", free)):
        yield part.row("converged", setting, quantity, (float(share.mean()), NAN, NAN))
    if flagged.any() and free.sum() > 1:
        for setting, runs in (("all runs", part.counts), ("converged groups", part.counts.only(free))):
            yield from _level(part, runs, "converged", setting, memorised_at, confidence)


# In words.


def sentences(table: pd.DataFrame) -> list[str]:
    """What the natural examples of one family show, for the report.

    Parameters
    ----------
    table : DataFrame
        As :func:`run` writes it, in memory or read from its file.

    Returns
    -------
    list of str
        About the runs that a precision takes, reliability, the number of runs, the threshold, types, the design, other
        ratios and convergence, in this order. Ranges are over the architectures.
    """
    natural = "clean label" if (table["examples"] == "clean label").any() else "all"
    rows = table[table["examples"] == natural].assign(setting=table["setting"].astype(str))
    said = Said(rows, name=f"{natural}s" if natural != "all" else "examples", runs=int(table["runs"].iloc[0]))
    parts = (_say_precision, _say_reliability, _say_memorised, _say_types, _say_design, _say_ratios, _say_convergence)
    return [sentence for part in parts for sentence in part(said)]


@dataclass(frozen=True)
class Said:
    """Rows of natural examples, what to call these, and the study's number of runs."""

    rows: pd.DataFrame
    name: str
    runs: int

    def of(self, what: str, quantity: str, setting: Any, column: str = "value") -> pd.Series:
        """A column of the architectures' rows that have a number there."""
        rows = self.rows
        chosen = (rows["what"] == what) & (rows["quantity"] == quantity) & (rows["setting"] == str(setting))
        return rows.loc[chosen].set_index("architecture")[column].dropna()

    def settings(self, what: str, quantity: str) -> list[str]:
        """Settings with a value, in the order of the table."""
        rows = self.rows
        chosen = (rows["what"] == what) & (rows["quantity"] == quantity) & rows["value"].notna()
        return list(rows.loc[chosen, "setting"].unique())


def _say_precision(said: Said) -> Iterator[str]:
    width, worst = (said.of("K", name, said.runs) for name in ("half_width", "half_width_worst"))
    confidence, finest = said.rows["confidence"].iloc[0], HALF_WIDTHS[-1]
    needed, always = (said.of("K", f"runs_for_half_width{which}", finest, "predicted") for which in ("", "_worst"))
    yield (
        f"{said.runs:,} runs give the score of one of the {said.name} to ±{_range(width, '.2f')} on average and "
        f"±{worst.max():.2f} at worst ({100 * confidence:g}\u00a0% intervals). For ±{finest:g} on average it would "
        f"need K\u00a0=\u00a0{_range(needed, ',.0f')}; for ±{finest:g} whatever the example, {always.max():,.0f}."
    )


def _say_reliability(said: Said) -> Iterator[str]:
    runs = said.settings("reliability", "reliability")[-1:]  # of two halves of whole groups
    for number in runs:
        found, predicted = (said.of("reliability", "reliability", number, column) for column in ("value", "predicted"))
        least = RELIABILITIES[-1]
        needed = said.of("reliability", "runs_for_reliability", least, "predicted")
        takes = (
            f"{least:g} takes K\u00a0=\u00a0{_range(needed, ',.0f')}" if len(needed) else f"{least:g} is out of reach"
        )
        yield (
            f"The reliability of the scores from {int(number):,} runs is {_range(found, '.2f')} (by halves of them; "
            f"{_range(predicted, '.2f')} is what independent runs predict); {takes}."
        )


def _say_memorised(said: Said) -> Iterator[str]:
    fewest, most = said.settings("K", "memorised")[0], BEYOND[-1] * said.runs
    counted = [
        f"{_percent(said.of('K', 'memorised', number))} as estimated from {int(number):,}"
        for number in dict.fromkeys((fewest, str(said.runs)))
    ]
    yield (
        f"The share of the {said.name} that counts as memorised depends on the number of runs, since noise carries "
        f"scores over the threshold: {', '.join(counted)}, {_percent(said.of('K', 'memorised', most, 'predicted'))} "
        f"expected from {most:,}; noise-corrected {_percent(said.of('K', 'memorised_corrected', said.runs))}. Mean "
        f"scores do not: {_range(said.of('K', 'memorisation', fewest), '.3f')} and "
        f"{_range(said.of('K', 'memorisation', said.runs), '.3f')}."
    )
    thresholds = said.settings("threshold", "memorised")
    ends = [f"{_percent(said.of('threshold', 'memorised', end))} at {end}" for end in (thresholds[0], thresholds[-1])]
    yield f"With the threshold it falls from {' to '.join(ends)}."


def _say_types(said: Said) -> Iterator[str]:
    kinds = [kind for kind in TESTED if said.settings("K", f"type {kind}")]
    numbers = said.settings("K", f"type {kinds[0]}") if kinds else []
    if len(numbers) > 1:
        ends = (numbers[0], numbers[-1])
        moved = [f"{kind} {' → '.join(_percent(said.of('K', f'type {kind}', end)) for end in ends)}" for kind in kinds]
        yield f"Types of the {said.name} from {int(ends[0]):,} and from {int(ends[1]):,} runs: {', '.join(moved)}."


def _say_design(said: Said) -> Iterator[str]:
    ratio = said.of("design", "variance_ratio", "groups")
    if len(ratio):
        low, high = (said.of("design", "variance_ratio", "groups", end) for end in ("low", "high"))
        yield (
            f"Between the groups of runs, scores vary {_range(ratio, '.2f')} times as much as they would between "
            f"independent runs (intervals from {low.min():.2f} to {high.max():.2f})."
        )
    predicted = (said.of("design", name, "groups", "predicted") for name in SHARES)
    yield (
        f"Shares of the {said.name} as the groups show them (in brackets: expected of as many independent runs): "
        f"{_list_shares(said, 'design', 'groups', predicted)}."
    )


def _say_ratios(said: Said) -> Iterator[str]:
    ratios = said.settings("ratio", "memorisation")
    if not ratios:
        return
    means = [f"{_range(said.of('ratio', 'memorisation', ratio), '.3f')} at {ratio}" for ratio in ratios]
    yield (
        "Scores at other ratios are of other learning problems, and are not pooled. "
        f"Mean score of the {said.name}: {', '.join(means)}."
    )
    kinds = [kind for kind in TESTED if said.settings("ratio", f"type {kind}")]
    for ratio in ratios:
        corrected = (said.of("ratio", f"{name}_corrected", ratio) for name in SHARES)
        types = [f"{kind} {_percent(share)}" for kind in kinds if len(share := said.of("ratio", f"type {kind}", ratio))]
        yield (
            f"Shares of the {said.name} at {ratio} (in brackets: noise-corrected): "
            f"{_list_shares(said, 'ratio', ratio, corrected)}"
            f"{'; types: ' if types else ''}{', '.join(types)}."
        )
    for pair in said.settings("ratio", "pearson"):
        found, ceiling = (said.of("ratio", "pearson", pair, column) for column in ("value", "predicted"))
        yield (
            f"Between the ratios {pair} the scores correlate at {_range(found, '.2f')}, where noise allows "
            f"{_range(ceiling, '.2f')}; their ranks at {_range(said.of('ratio', 'spearman', pair), '.2f')}."
        )


def _say_convergence(said: Said) -> Iterator[str]:
    for architecture, share in said.of("converged", "not_converged", "runs").items():
        if not share:
            continue
        means = [
            said.of("converged", "memorisation", setting).get(architecture)
            for setting in ("all runs", "converged groups")
        ]
        found = " and ".join(f"{mean:.3f}" for mean in means if mean is not None)
        compared = (
            f"mean score of all runs and of the groups without them: {found}" if found else "no two groups without"
        )
        yield f"{architecture}: {_percent(pd.Series([share]))} of the runs missed the in-sample target ({compared})."


def _list_shares(said: Said, what: str, setting: str, beside: Iterator[pd.Series]) -> str:
    """The memorised share and the tails, each with another number in brackets."""
    found = (said.of(what, name, setting) for name in SHARES)
    listed = zip(IN_WORDS, found, beside, strict=True)
    return ", ".join(f"{words} {_percent(share)} ({_percent(other)})" for words, share, other in listed)


def _range(values: pd.Series, form: str, unit: str = "") -> str:
    """The smallest to the largest."""
    low, high = (f"{value:{form}}" for value in (values.min(), values.max()))
    return f"{low}{unit}" if low == high else f"{low}–{high}{unit}"


def _percent(shares: pd.Series) -> str:
    return _range(100 * shares, ".1f", "\u00a0%")
