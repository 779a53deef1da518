"""How a claim is judged: docs/claims.md says it in words.

A claim is one or several statements that a number lies in a region, such as "above 0.01". The region leaves out what is
too small to count, so that the claim is refuted by numbers of the wrong sign and by numbers near zero alike.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
from scipy.special import stdtr, stdtrit

from memflow.statistics.rounding import ROUNDING
from memflow.statistics.signflip import holm

SUPPORTED, CONTRADICTED, UNDETERMINED = "supported", "contradicted", "undetermined"
DEFINITIONAL = "definitional"
SWAPPED = 1.2  # variance of a mean of swapped halves, relative to independent ones: they correlate by up to .20


@dataclass(frozen=True)
class Part:
    """A number that a claim speaks of, and where it says that it lies.

    Attributes
    ----------
    name : str
        What the number is.
    value, se : float
        Estimate and standard error.
    df : float
        Degrees of freedom of the error (Student's t).
    above, below : float
        The claim: the true number lies between the two.
    n_examples : float
        Examples that the number is of.
    runs : float
        Runs that it is from, of each architecture; NaN for the study's one-hot runs.
    """

    name: str
    value: float
    se: float
    df: float
    above: float = -inf
    below: float = inf
    n_examples: float = np.nan
    runs: float = np.nan

    @property
    def is_tested(self) -> bool:
        """Whether there is an error to judge by. Zero, but for rounding, says that nothing varied: no evidence."""
        return bool(np.isfinite(self.value) and self.se > ROUNDING and self.df >= 1)

    @property
    def p_for(self) -> float:
        """Of the number lying outside the region or on its edge: small where it lies inside (intersection–union)."""
        return max(self._tail(self.value - self.above), self._tail(self.below - self.value))

    @property
    def p_against(self) -> float:
        """Of the number lying inside: small where it lies outside; doubled where there are two sides to fall out at."""
        edges = [self.above - self.value, self.value - self.below]
        tails = [self._tail(edge) for edge in edges if edge > -inf]
        return min(1.0, len(tails) * min(tails))

    def limits(self, confidence: float) -> tuple[float, float]:
        """Limits of the interval."""
        margin = float(stdtrit(self.df, (1 + confidence) / 2)) * self.se if self.is_tested else np.nan
        return self.value - margin, self.value + margin

    @property
    def region(self) -> str:
        """Where the claim says that the number lies, in words."""
        if self.above > -inf and self.below < inf:
            return f"between {self.above:g} and {self.below:g}"
        return f"above {self.above:g}" if self.above > -inf else f"below {self.below:g}"

    def _tail(self, distance: float) -> float:
        """One-sided p-value of an estimate this far beyond an edge."""
        return 0.0 if distance == inf else float(stdtr(self.df, -distance / self.se))


def mean_of(name: str, values: np.ndarray, n_examples: float, above: float = -inf, below: float = inf) -> Part:
    """A part whose number is the mean of independent values float64[m], such as those of groups or runs."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return Part(name, float(values.mean()), float(error), len(values) - 1, above, below, n_examples)


def mean_of_halves(name: str, values: np.ndarray, n_examples: float, above: float = -inf, below: float = inf) -> Part:
    """The same of values at even and odd positions, whose means may differ: each half measured another selection.

    The noise by which a half selects an example is in what it measures there when the roles are swapped, which
    correlates the halves by at most .20 (:func:`memflow.distillation.summarise`). So much is allowed for.
    """
    halves = [values[0::2], values[1::2]]
    variance = SWAPPED * sum(half.var(ddof=1) / len(half) for half in halves) / len(halves) ** 2
    return Part(name, float(values.mean()), float(np.sqrt(variance)), len(values) - 2, above, below, n_examples)


def p_value(parts: list[Part]) -> tuple[float, str]:
    """Two-sided p-value of a claim, and the verdict that it would bring; NaN where there is no error to judge by.

    A claim of several parts is supported by all of them together, and contradicted by any one (Bonferroni over all).
    """
    tested = [part for part in parts if part.is_tested]
    if not tested:
        return np.nan, UNDETERMINED
    supported = max(part.p_for for part in tested) if len(tested) == len(parts) else 1.0
    contradicted = min(1.0, len(parts) * min(part.p_against for part in tested))
    verdict = SUPPORTED if supported < contradicted else CONTRADICTED
    return min(1.0, 2 * min(supported, contradicted)), verdict


def deciding(parts: list[Part]) -> Part:
    """The part that a claim depends on most: the one that is farthest from being supported."""
    return max(parts, key=lambda part: part.p_for if part.is_tested else inf)


def verdicts(claims: list[list[Part]], confidence: float) -> list[tuple[str, float, float]]:
    """Verdict, p-value and p-value adjusted by Holm's method of each claim; empty parts are no test."""
    judged = [p_value(parts) if parts else (np.nan, UNDETERMINED) for parts in claims]
    adjusted = holm(np.array([p for p, _ in judged]))
    level = 1 - confidence
    return [
        (verdict if q <= level else UNDETERMINED, p, float(q)) for (p, verdict), q in zip(judged, adjusted, strict=True)
    ]
