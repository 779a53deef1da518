"""What a study found along one family on one dataset, in the form that claims are judged by."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from memflow.claims.rules import Part
from memflow.counts import Counts
from memflow.statistics.resampling import degrees
from memflow.trajectories import Sizes

Selected = list[np.ndarray]  # bool[n] twice: what the even groups select, and what the odd groups select


@dataclass(frozen=True)
class Evidence:
    """Of one dataset and family.

    Attributes
    ----------
    sizes : dict of str to Counts
        One-hot, smallest first; examples with a score at every size.
    tau, memorised_at, confidence : float
    distilled : dict of str to (dict of str to Counts)
        By method, by student, smallest first: of methods whose teachers saw the same subset and teach by their outputs.
    teachers : dict of str to str
        Architecture of each such method's teacher, or ``self``.
    teacher_sizes : dict of str to int
        Parameters of teachers.
    epochs : dict of str to DataFrame
        From :mod:`memflow.epochs`, by architecture.
    schedules : dict of str to dict
        Architectures beside their recipe: those that differ in the schedule only share ``alike``; ``decays`` tells
        whether the learning rate ends below a tenth of its peak.
    flows, transient : DataFrame
        From :mod:`memflow.transitions`.
    agreement, proxies : dict of str to DataFrame
        From :mod:`memflow.proxies`: agreement and summary, by architecture.
    removal : dict of str to DataFrame
        From :mod:`memflow.removal`, by architecture.
    """

    sizes: Sizes
    tau: float
    memorised_at: float
    confidence: float
    distilled: dict[str, Sizes] = field(default_factory=dict)
    teachers: dict[str, str] = field(default_factory=dict)
    teacher_sizes: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, pd.DataFrame] = field(default_factory=dict)
    schedules: dict[str, dict[str, object]] = field(default_factory=dict)
    flows: pd.DataFrame = field(default_factory=pd.DataFrame)
    transient: pd.DataFrame = field(default_factory=pd.DataFrame)
    agreement: dict[str, pd.DataFrame] = field(default_factory=dict)
    proxies: dict[str, pd.DataFrame] = field(default_factory=dict)
    removal: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def first(self) -> Counts:
        return next(iter(self.sizes.values()))

    @property
    def last(self) -> Counts:
        return list(self.sizes.values())[-1]

    @property
    def largest(self) -> str:
        return list(self.sizes)[-1]

    @property
    def natural(self) -> np.ndarray:
        """Examples whose image and label are as they were, bool[n]."""
        return ~self.first.is_artificial

    @property
    def examples(self) -> str:
        """What tables call the natural examples."""
        return "clean label" if self.first.is_artificial.any() else "all"

    def row(self, table: pd.DataFrame, **keys: str) -> "pd.Series | None":
        """The only row of a table with some values, and an estimate; None without one."""
        for column, value in keys.items():
            if column not in table:
                return None
            table = table[table[column] == value]
        return table.iloc[0] if len(table) == 1 and np.isfinite(table["value"].iloc[0]) else None


def part_of(row: "pd.Series", name: str, above: float = -np.inf, below: float = np.inf) -> Part:
    """A part from a table's row with ``value``, ``se``, ``df`` and ``n_examples``."""
    return Part(name, row["value"], row["se"], row["df"], above, below, row["n_examples"])


def part_of_interval(
    row: "pd.Series", name: str, units: int, confidence: float, above: float = -np.inf, below: float = np.inf
) -> Part:
    """A part from a row with ``value`` and the limits of a jackknife interval over some units."""
    df = degrees(units)
    reach = max(row["high"] - row["value"], row["value"] - row["low"])  # one side may have been cut off
    se = reach / stdtrit(df, (1 + confidence) / 2)
    return Part(name, row["value"], se, df, above, below, row["n_examples"], row["runs"])
