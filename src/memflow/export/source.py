"""What is exported: one dataset, architecture and method of a study."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from memflow import provenance
from memflow.counts import Counts
from memflow.data.prepared import Dataset
from memflow.methods import ONE_HOT
from memflow.outcomes import Outcomes
from memflow.study import OpenStudy


@dataclass(frozen=True)
class Options:
    """What some formats let one choose.

    Attributes
    ----------
    influence_at, memorised_at : float
        Smallest influence and memorisation of an exported pair; the defaults are those of Feldman & Zhang (2020).
    """

    influence_at: float = 0.15
    memorised_at: float = 0.25


@dataclass(frozen=True)
class Source:
    """One dataset, architecture and method of a study; everything is read when it is first asked for.

    Attributes
    ----------
    study : OpenStudy
    name : str
        Of the dataset.
    architecture, method : str
    options : Options
    """

    study: OpenStudy
    name: str
    architecture: str
    method: str = ONE_HOT
    options: Options = field(default_factory=Options)

    @cached_property
    def dataset(self) -> Dataset:
        """Images, labels and what is known of each example."""
        return self.study.dataset(self.name)

    @cached_property
    def counts(self) -> Counts:
        """Correct predictions, merged over all runs."""
        return self.study.counts(self.name, self.architecture, self.method)

    @cached_property
    def outcomes(self) -> Outcomes:
        """Outcomes of every run, from its block."""
        return self.study.outcomes(self.name, self.architecture, self.method)

    @property
    def definition(self) -> dict[str, Any]:
        """Of the counts: with the number of runs (``seeds``), and what each run is a function of (``runs``)."""
        return self._record(f"counts/{self.name}/{self.architecture}/{self.method}.npz")

    @property
    def ratio(self) -> str:
        """Share of the training set in each subset, such as ``7/10``."""
        return str(self.definition["runs"]["ratio"])

    @property
    def runs(self) -> str:
        """How many runs there are, and of which kind, in words."""
        return (
            f"K = {self.definition['seeds']:,} runs at ratio {self.ratio} ({self.definition['runs']['design']} design)"
        )

    @property
    def tracked(self) -> dict[str, Any]:
        """Definition of the proxies, with the number of tracked runs (``n_runs``) and their recipe (in ``runs``)."""
        return self._record(f"proxies/{self.name}/{self.architecture}.parquet")

    @property
    def order(self) -> str:
        """Which example a row is, in words."""
        return f"official order of {self.name}, fingerprint {self.dataset.fingerprint[:12]}"

    def _record(self, name: str) -> dict[str, Any]:
        return provenance.read(self.study.folder / name)["definition"]
