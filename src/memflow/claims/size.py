"""Claims about what model size does (Lukasik et al. 2024; Fundamentals, ICLR 2025 submission)."""

import numpy as np

from memflow.claims.evidence import Evidence, Selected, part_of
from memflow.claims.rules import Part, mean_of, mean_of_halves
from memflow.counts import Counts
from memflow.distillation import by_group, group_changes
from memflow.statistics import mixture
from memflow.statistics.bimodality import HIGH, LOW
from memflow.statistics.resampling import degrees, jackknife_errors
from memflow.statistics.rounding import ROUNDING
from memflow.statistics.states import NOT_FITTED, states
from memflow.statistics.trajectory_types import describe

INTERPOLATES = 0.99  # mean in-sample accuracy of the natural examples
SMALLEST_CHANGE = 0.01  # of a mean score, or of a share of the examples
SMALLEST_MOVE = 0.05  # of the mean score of examples that were selected as moving
FEWEST = 10  # examples that each half must select
FEW_ARTIFICIAL = 0.05  # share of the artificial examples: of 50, one is .02
ENRICHED = 0.05  # difference between two shares
Found = list[Part] | str  # parts of a claim, or what the study lacks for it


def falls(evidence: Evidence) -> Found:
    """The mean score falls with size, among the sizes that fit their subsets."""
    where = evidence.natural
    fitting = [counts for counts in evidence.sizes.values() if accuracy_in(counts, where) >= INTERPOLATES]
    if len(fitting) < 2:
        return f"two sizes with a mean in-sample accuracy of {INTERPOLATES} or more; there are {len(fitting)}"
    change = by_group(fitting[-1], where) - by_group(fitting[0], where)
    return [mean_of("change of the mean score", change, where.sum(), below=-SMALLEST_CHANGE)]


def tails(evidence: Evidence) -> Found:
    """More examples have scores near 0 and more near 1, in the noise-corrected distribution."""
    where = evidence.natural
    ends = [counts.select(where) for counts in (evidence.first, evidence.last)]
    starts: list[np.ndarray | None] = [None, None]

    def statistic(used: np.ndarray) -> np.ndarray:
        shares = []
        for number, counts in enumerate(ends):
            weights = mixture.fit(mixture.observe(*counts.only(used > 0).totals()), start=starts[number])
            if starts[number] is None:
                starts[number] = weights
            low, high = mixture.SCORES <= LOW + ROUNDING, mixture.SCORES >= HIGH - ROUNDING
            shares.append([weights[low].sum(), weights[high].sum()])
        return np.diff(shares, axis=0)[0]

    groups = evidence.first.n_groups
    value, error = jackknife_errors(groups, statistic)
    names = (f"change of the share with scores up to {LOW}", f"change of the share with scores from {HIGH}")
    return [
        Part(name, v, se, degrees(groups), above=SMALLEST_CHANGE, n_examples=where.sum())
        for name, v, se in zip(names, value, error, strict=True)
    ]


def constant(evidence: Evidence) -> Found:
    """Examples whose score keeps still: as one half of the groups says, the other half measures no trend."""
    return _moving(evidence, "constant", below=SMALLEST_MOVE, above=-SMALLEST_MOVE)


def increasing(evidence: Evidence) -> Found:
    """Examples whose score rises with size, by one half of the groups, rise in the other."""
    return _moving(evidence, "increasing", above=SMALLEST_MOVE)


def decreasing(evidence: Evidence) -> Found:
    """Examples whose score falls with size, by one half of the groups, fall in the other."""
    return _moving(evidence, "decreasing", below=-SMALLEST_MOVE)


def cap_shaped(evidence: Evidence) -> Found:
    """Examples whose score rises and falls, by one half of the groups, do so in the other at the same size."""
    if len(evidence.sizes) < 3:
        return "a family of three sizes or more"
    sizes = list(evidence.sizes.values())
    selected, middles = [], []
    for where, scores in zip(
        types(evidence, "cap-shaped"), _scores_of_halves(evidence, _all_groups(evidence)), strict=True
    ):
        peak = np.argmax(scores, axis=0)
        middles.append(int(np.argmax(np.bincount(peak[where], minlength=1))))  # where most peak; others are left out
        selected.append(where & (peak == middles[-1]))
    if missing := too_few(selected, "cap-shaped"):
        return missing
    parts = []
    for name, end in (("smallest", evidence.first), ("largest", evidence.last)):
        by_selector = [group_changes(end, sizes[middle], selected) for middle in middles]
        # what the even groups chose, the odd ones measure
        drops = np.where(np.arange(evidence.first.n_groups) % 2, *by_selector)
        parts.append(
            mean_of_halves(f"score at the peak minus at the {name} size", drops, count(selected), above=SMALLEST_MOVE)
        )
    return parts


def wrong_labels(evidence: Evidence) -> Found:
    """Wrong labels increase more often than natural examples do: of both, those that both halves of the groups name.

    Noise alone names more of the examples whose accuracies lie in the middle, as those of wrong labels may do. So the
    wrong labels that one half names must also rise in the other.
    """
    flipped = evidence.first.label_noise
    if not flipped.any():
        return "wrong labels that are known (label_noise of a dataset)"

    def statistic(used: np.ndarray) -> np.ndarray:
        agreed = np.all(_described(evidence, used, "increasing"), axis=0)
        return np.array([agreed[flipped].mean() - agreed[evidence.natural].mean(), agreed.mean()])

    groups = evidence.first.n_groups
    (value, share), (error, _) = jackknife_errors(groups, statistic)
    # Which examples are wrong is a draw, too: what they have in common may be chance.
    sampling = share * (1 - share) * (1 / flipped.sum() + 1 / evidence.natural.sum())
    se = float(np.hypot(error, np.sqrt(sampling)))
    name = "share that increases among wrong labels minus among natural examples"
    enriched = Part(name, value, se, degrees(groups), ENRICHED, n_examples=flipped.sum())
    named = [where & flipped for where in _described(evidence, _all_groups(evidence), "increasing")]
    if missing := too_few(named, "increasing among the wrong labels"):
        return missing if value > ENRICHED else [enriched]  # few cannot support the claim, but refute it
    change = group_changes(evidence.first, evidence.last, named)
    return [
        enriched,
        mean_of_halves(
            "change of the score of these wrong labels from the smallest to the largest size",
            *(change, count(named)),
            above=SMALLEST_MOVE,
        ),
    ]


def natural_falls(evidence: Evidence) -> Found:
    """Fewer natural examples are memorised by larger models, but not fewer artificial ones."""
    artificial = evidence.first.is_artificial
    if not artificial.any():
        return "wrong labels or noise images (label_noise or input_noise of a dataset)"
    populations = {"natural": evidence.natural, "artificial": artificial}

    def statistic(used: np.ndarray) -> np.ndarray:
        first, last = (
            of.only(used > 0).scores() >= evidence.memorised_at - ROUNDING for of in (evidence.first, evidence.last)
        )
        return np.array([last[where].mean() - first[where].mean() for where in populations.values()])

    groups = evidence.first.n_groups
    value, error = jackknife_errors(groups, statistic)
    names = [f"change of the share memorised among {name} examples" for name in populations]
    natural, other = (
        {"name": name, "value": v, "se": of_a_share(se, where.sum()), "df": degrees(groups), "n_examples": where.sum()}
        for name, v, se, where in zip(names, value, error, populations.values(), strict=True)
    )
    return [Part(**natural, below=-SMALLEST_CHANGE), Part(**other, above=-FEW_ARTIFICIAL)]


def not_fitted(evidence: Evidence) -> Found:
    """Most of what the smallest model cannot fit is memorised or generalised by the largest."""
    keys = {"quantity": "later", "from_state": "not fitted", "to_state": "memorised or generalised"}
    row = evidence.row(evidence.flows, examples=evidence.examples, **keys)
    if row is None or row["n_examples"] < FEWEST:
        return f"{FEWEST} natural examples that the smallest model does not fit"
    groups = evidence.first.n_groups
    (gain,), (error,) = jackknife_errors(groups, lambda used: np.array([_gain_of_unfitted(evidence, used)]))
    row = row.copy()
    row["se"] = of_a_share(row["se"], row["n_examples"])
    return [
        part_of(row, "share of what is not fitted that the largest memorises or generalises", above=0.5),
        # What is close to the threshold is often fitted by other runs of the smallest model, too.
        Part(
            "that share minus what other runs of the smallest fit",
            float(gain),
            of_a_share(float(error), row["n_examples"]),
            degrees(groups),
            above=SMALLEST_MOVE,
            n_examples=row["n_examples"],
        ),
    ]


def transient(evidence: Evidence) -> Found:
    """Examples that a smaller model memorises and the largest generalises, by one half, differ in the other half."""
    row = evidence.row(evidence.transient, kind="model-wise", examples=evidence.examples, quantity="drop")
    if row is None or row["n_examples"] < FEWEST:
        return f"{FEWEST} natural examples that a smaller model memorises and the largest generalises"
    return [part_of(row, "score at the smaller minus at the largest size", above=SMALLEST_MOVE)]


def subpopulations(evidence: Evidence) -> Found:
    """Transient examples come from small parts of their classes."""
    row = evidence.row(evidence.transient, kind="model-wise", examples=evidence.examples, quantity="log2_size")
    if row is None or row["n_examples"] < FEWEST:
        return f"sub-populations of unequal size that are known (superclasses), and {FEWEST} transient examples"
    return [part_of(row, "log2 of the relative size of their part of the class, transient minus all", below=-0.25)]


def of_a_share(se: float, n_examples: float) -> float:
    """Error of a share of some examples: where no group of runs changes it, one example more or less."""
    return se if se > ROUNDING else 1 / n_examples


def accuracy_in(counts: Counts, where: np.ndarray) -> float:
    """Mean in-sample accuracy of some examples."""
    correct, n, _, _ = counts.select(where).totals()
    return float((correct / n).mean())


def types(evidence: Evidence, kind: str) -> Selected:
    """Natural examples of a descriptive type by the even groups, and by the odd groups."""
    return [where & evidence.natural for where in _described(evidence, _all_groups(evidence), kind)]


def too_few(selected: Selected, kind: str) -> str:
    """What a study lacks to judge a type; nothing if both halves select enough examples."""
    fewest = min(int(where.sum()) for where in selected)
    return "" if fewest >= FEWEST else f"{FEWEST} examples that each half of the runs calls {kind}; there are {fewest}"


def count(selected: Selected) -> float:
    """Examples that a half selects, on average."""
    return float(np.mean([where.sum() for where in selected]))


def _moving(evidence: Evidence, kind: str, above: float = -np.inf, below: float = np.inf) -> Found:
    selected = types(evidence, kind)
    if missing := too_few(selected, kind):
        return missing
    change = group_changes(evidence.first, evidence.last, selected)
    return [
        mean_of_halves(
            "change of the score from the smallest to the largest size", change, count(selected), above, below
        )
    ]


def _gain_of_unfitted(evidence: Evidence, used: np.ndarray) -> float:
    """Share that the largest fits minus share that the smallest fits, of what its other half does not fit."""
    parity = np.arange(len(used)) % 2
    gains = []
    for half in (0, 1):
        selecting, measuring = ((used > 0) & (parity == of) for of in (half, 1 - half))
        chosen = evidence.natural & (_states(evidence, evidence.first, selecting) == NOT_FITTED)
        small, large = (_states(evidence, of, measuring)[chosen] for of in (evidence.first, evidence.last))
        gains.append((small == NOT_FITTED).mean() - (large == NOT_FITTED).mean() if chosen.any() else np.nan)
    return float(np.mean(gains))


def _states(evidence: Evidence, counts: Counts, groups: np.ndarray) -> np.ndarray:
    acc_in, acc_out = counts.accuracies(groups.astype(np.int64))
    return states(acc_in - acc_out, acc_out, evidence.memorised_at)


def _described(evidence: Evidence, used: np.ndarray, kind: str) -> Selected:
    return [describe(scores, evidence.tau) == kind for scores in _scores_of_halves(evidence, used)]


def _scores_of_halves(evidence: Evidence, used: np.ndarray) -> list[np.ndarray]:
    """Scores float64[S, n] from the even groups, and from the odd ones, of those that count."""
    parity = np.arange(len(used)) % 2
    return [
        np.stack([counts.only((used > 0) & (parity == half)).scores() for counts in evidence.sizes.values()])
        for half in (0, 1)
    ]


def _all_groups(evidence: Evidence) -> np.ndarray:
    return np.ones(evidence.first.n_groups, dtype=np.int64)
