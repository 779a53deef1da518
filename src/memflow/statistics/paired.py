"""Paired tests of scores along a family of sizes, with a null that the runs themselves provide.

All architectures of a study share their subsets, so differences between sizes are paired by group of runs. Flipping the
signs of one example's G group differences cannot speak at G = 10 (its p-value is at least 1/1,024, and nothing survives
the correction for 1,000 of them). So the null is pooled over examples of similar accuracies, whose noise is alike.
"""

from dataclasses import dataclass

import numpy as np

from memflow import rng
from memflow.counts import Counts

EXAMPLES_PER_BIN = 150  # at least: the examples of a bin share one null
MOST_BINS = 20
DRAWS = 20_000  # of the null, at least, per bin
FEWEST_FLIPS = 50


@dataclass(frozen=True)
class PairedTests:
    """Tests of n examples along S sizes, smallest first.

    Attributes
    ----------
    scores : float64[S, n]
    testable : bool[n]
        Whether the errors of all sizes together would allow a change beyond tau. It depends on their total only, of
        which a test of how they are spread over the sizes is independent, so that the others need not be corrected for
        (Tarone 1990; Gilbert 2005 for the false discovery rate).
    p_trend : float64[n]
        Two-sided, of no difference between the first and the last size.
    p_cap : float64[n]
        One-sided, of no interior size above both ends: at each interior size the larger p-value of its two drops
        (intersection–union), over the interior sizes the smallest times their number (Bonferroni). 1 without any.
    p_value : float64[n]
        Of no change: the smaller of the two, times the number of tests (two, or one without interior sizes).
    margin : float64[n]
        Half-width of the simultaneous interval of all pairwise differences between sizes.
    """

    scores: np.ndarray
    testable: np.ndarray
    p_trend: np.ndarray
    p_cap: np.ndarray
    margin: np.ndarray

    @property
    def n_tests(self) -> int:
        return 2 if len(self.scores) > 2 else 1

    @property
    def p_value(self) -> np.ndarray:
        return np.minimum(1, self.n_tests * np.minimum(self.p_trend, self.p_cap))


def paired_tests(sizes: list[Counts], tau: float, confidence: float, guests: int = 0) -> PairedTests:
    """Test every example.

    Parameters
    ----------
    sizes : list of Counts
        Of the same runs' subsets, smallest size first; at least two groups, and every example with a score.
    tau : float
        Smallest difference that counts.
    confidence : float
        Of the simultaneous intervals.
    guests : int
        The last so many examples are tested against the null of the others, and are no part of it.
    """
    scores = np.stack([counts.scores() for counts in sizes])
    p_trend, p_cap, margin = np.empty((3, scores.shape[1]))
    accuracies = np.array([counts.accuracies(np.ones(counts.n_groups, dtype=np.int64)) for counts in sizes])
    testable = largest_change(accuracies) > tau
    is_guest = np.arange(len(testable)) >= len(testable) - guests
    bins = bins_of(predicted_variance(sizes, accuracies), testable, is_guest)
    for number in range(bins.max() + 1):
        members = bins == number
        pooled = members & ~is_guest if (members & ~is_guest).any() else members
        flipped = _flipped_means([counts.select(pooled) for counts in sizes], number)
        margin[members] = np.quantile(np.ptp(flipped, axis=0), confidence)
        p_trend[members] = _p_value(abs(flipped[-1] - flipped[0]), abs(scores[-1] - scores[0])[members])
        p_cap[members] = _cap(flipped, scores[:, members])
    return PairedTests(scores, testable, p_trend, p_cap, margin)


def largest_change(accuracies: np.ndarray) -> np.ndarray:
    """Largest range of scores, float64[n], that the errors (or successes) of all sizes together would allow.

    ``accuracies``: float64[S, 2, n], in- and out-of-sample.
    """
    return np.minimum((1 - accuracies).sum(axis=(0, 1)), accuracies.sum(axis=(0, 1)))


def predicted_variance(sizes: list[Counts], accuracies: np.ndarray) -> np.ndarray:
    """Binomial variance of the score, averaged over the sizes, float64[n]."""
    variances = []
    for counts, (acc_in, acc_out) in zip(sizes, accuracies, strict=True):
        _, n_in, _, n_out = counts.totals()
        variances.append(acc_in * (1 - acc_in) / n_in + acc_out * (1 - acc_out) / n_out)
    return np.mean(variances, axis=0)


def bins_of(variance: np.ndarray, testable: np.ndarray, is_guest: np.ndarray) -> np.ndarray:
    """Bins along the variance, numbered from 0, int64[n].

    They part the examples that are no guests about equally; equal variances share a bin, so that the order of the
    examples does not matter. No bin mixes testable examples with others.
    """
    bins = np.empty(len(variance), dtype=np.int64)
    for number, where in enumerate((testable, ~testable)):
        pooled = variance[where & ~is_guest]
        count = int(np.clip(len(pooled) // EXAMPLES_PER_BIN, 1, MOST_BINS))
        edges = np.sort(pooled)[np.arange(1, count) * len(pooled) // count]
        bins[where] = number * MOST_BINS + np.searchsorted(edges, variance[where], side="right")
    return np.unique(bins, return_inverse=True)[1]


def _flipped_means(sizes: list[Counts], number: int) -> np.ndarray:
    """Scores where nothing but noise is left: float64[S, draws], pooled over the members of a bin.

    What the groups contribute, centred, with random signs. The signs are the same for every size, which keeps the
    pairing. Centring takes (G − 1)/G of the variance, given back here.
    """
    groups, members = sizes[0].correct_in.shape
    flips = max(FEWEST_FLIPS, -(-DRAWS // members))
    signs = 1.0 - 2.0 * rng.integers("sign flips", (number, groups), (flips, groups), 2)
    scale = np.sqrt(groups / (groups - 1)) / groups
    return np.stack([np.ravel(scale * signs @ counts.contributions()) for counts in sizes])


def _cap(flipped: np.ndarray, scores: np.ndarray) -> np.ndarray:
    interior = range(1, len(scores) - 1)
    if not interior:
        return np.ones(scores.shape[1])
    p_values = [
        np.maximum(*(_p_value(flipped[size] - flipped[end], scores[size] - scores[end]) for end in (0, -1)))
        for size in interior
    ]
    return np.minimum(1, len(interior) * np.min(p_values, axis=0))


def _p_value(null: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Share of the draws at or above each observed value, which counts as one of them.

    1e-9 keeps equal fractions equal that were computed in another order.
    """
    below = np.searchsorted(np.sort(null), observed - 1e-9, side="left")
    return (1 + len(null) - below) / (1 + len(null))
