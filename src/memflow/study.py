"""A study's results from Python: scores, trajectories, counts, influence and images as pandas and NumPy, without torch.

Every file is checked against its sidecar as it is read, so that what arrives is what the pipeline wrote.
"""

import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from memflow import counts, outcomes
from memflow.counts import Counts
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.methods import ONE_HOT
from memflow.outcomes import NAMES, Outcomes
from memflow.results import Results
from memflow.validation import closest

BLOCK = re.compile(r"block-(\d+)\.npz")
INFLUENCE = {"pairs": "", "train": ".by_train", "test": ".by_test"}


class OpenStudy:
    """The results of a study, read as they are asked for.

    Parameters
    ----------
    folder : Path
        ``results/<study>``.

    Attributes
    ----------
    folder : Path
    name : str
        Of the study.

    Raises
    ------
    InputError
        If the folder holds no prepared dataset; and by every method, if the study has no such dataset, architecture,
        method or file, with the names there are.
    ProvenanceError
        By every method, if a file is not what its sidecar says.

    Examples
    --------
    >>> study = memflow.open_study("results/digits")
    >>> study.scores("digits", "resnet8-w8").nlargest(5, "memorisation")[["index", "label", "memorisation"]]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.resolve().name
        self._results = Results(folder)
        self._datasets: dict[str, Dataset] = {}
        if not self.datasets:
            studies = sorted(path.parent.name for path in folder.parent.glob("*/data"))
            raise InputError(
                f"{folder} holds no study with a prepared dataset{closest(self.name, studies) if studies else ''}; run "
                "snakemake first, or name another folder (results/<study>)"
            )

    def __repr__(self) -> str:
        return (
            f"<study {self.name}: {len(self.datasets)} datasets, scores of {len(self.runs)} architectures and methods>"
        )

    @property
    def read(self) -> dict[Path, str]:
        """SHA-256 of every file read so far: the inputs of what is made from them."""
        return self._results.read

    @cached_property
    def datasets(self) -> list[str]:
        """Names of the datasets that are prepared."""
        return sorted(path.stem for path in self.folder.glob("data/*.npz"))

    @cached_property
    def runs(self) -> list[tuple[str, str, str]]:
        """Dataset, architecture and method of all counts that are there."""
        found = sorted(self.folder.glob("counts/*/*/*.npz"))
        return [(path.parent.parent.name, path.parent.name, path.stem) for path in found]

    def families(self, dataset: str) -> list[str]:
        """Families that have trajectories on a dataset."""
        return sorted(path.name for path in self.folder.glob(f"trajectories/{self._known(dataset)}/*"))

    def dataset(self, name: str) -> Dataset:
        """Images, labels and what is known of each example: see :class:`memflow.data.prepared.Dataset`."""
        if name not in self._datasets:
            self._datasets[name] = prepared.load(self._results.path(f"data/{self._known(name)}.npz"))
        return self._datasets[name]

    def images(self, dataset: str, split: str = "train") -> np.ndarray:
        """Images of a split (``train`` or ``test``), uint8[n, height, width, channels], in the order of the tables."""
        if split not in ("train", "test"):
            raise InputError(f"split is {split!r}; allowed: train, test")
        images: np.ndarray = getattr(self.dataset(dataset), split).images
        return images

    def scores(self, dataset: str, architecture: str, method: str = ONE_HOT, *, of: str = "all") -> pd.DataFrame:
        """Scores, one row per training example.

        Parameters
        ----------
        dataset, architecture, method : str
        of : {"all", "halves", "epochs"}
            After the last epoch from all runs (:func:`memflow.scores.score_table`); from each half of the groups, with
            column ``half`` (:func:`memflow.scores.halves_table`); after every evaluated epoch, with column ``epoch``
            (:func:`memflow.scores.epoch_table`).
        """
        kinds = {"all": "", "halves": ".halves", "epochs": ".epochs"}
        if of not in kinds:
            raise InputError(f"of is {of!r}; allowed: {', '.join(kinds)}")
        return self._parquet("scores", f"{self._run(dataset, architecture, method)}{kinds[of]}.parquet")

    def summary(self, dataset: str, architecture: str, method: str = ONE_HOT) -> pd.DataFrame:
        """Means, shares and their intervals, with the size of the network (:func:`memflow.summary.summarise`)."""
        return self._results.table(f"scores/{self._run(dataset, architecture, method)}.summary.csv")

    def counts(self, dataset: str, architecture: str, method: str = ONE_HOT) -> Counts:
        """Correct predictions in- and out-of-sample, group by group: see :class:`memflow.counts.Counts`."""
        return counts.load(self._results.path(f"counts/{self._run(dataset, architecture, method)}.npz"))

    def trajectories(self, dataset: str, family: str) -> pd.DataFrame:
        """Type, change and score at each size of every training example along a family.

        Columns: see :func:`memflow.trajectories.example_table`.
        """
        names = self.families(dataset)
        if family not in names:
            raise InputError(f"{dataset} has no trajectories of family {family!r}{closest(family, names)}")
        return self._parquet("trajectories", f"{dataset}/{family}/{ONE_HOT}.parquet")

    def sizes(self, dataset: str, family: str) -> list[str]:
        """Architectures of a family with trajectories, smallest first."""
        columns = map(str, self.trajectories(dataset, family))
        return [name for name in columns if (dataset, name, ONE_HOT) in self.runs]

    def distillation(self, dataset: str, family: str, method: str) -> pd.DataFrame:
        """One-hot, distilled and teacher's scores along a family (:func:`memflow.distillation.pair_table`)."""
        return self._parquet("distillation", f"{self._known(dataset)}/{family}/{method}.parquet")

    def proxies(self, dataset: str, architecture: str) -> pd.DataFrame:
        """Proxies, one row per proxy and training example (:func:`memflow.proxies.example_table`)."""
        return self._parquet("proxies", f"{self._known(dataset)}/{architecture}.parquet")

    def influence(self, dataset: str, architecture: str, method: str = ONE_HOT, *, of: str = "pairs") -> pd.DataFrame:
        """Influence of training on test examples.

        Parameters
        ----------
        dataset, architecture, method : str
        of : {"pairs", "train", "test"}
            Pairs above the threshold (:func:`memflow.influence.pair_table`), or the most influential pairs of each
            training or of each test example (:func:`memflow.influence.neighbour_table`).
        """
        if of not in INFLUENCE:
            raise InputError(f"of is {of!r}; allowed: {', '.join(INFLUENCE)}")
        return self._parquet("influence", f"{self._run(dataset, architecture, method)}{INFLUENCE[of]}.parquet")

    def outcomes(self, dataset: str, architecture: str, method: str = ONE_HOT) -> Outcomes:
        """Masks, correctness, log-odds and probabilities of all runs, from their blocks: see :class:`Outcomes`.

        Raises
        ------
        ProvenanceError
            Also if the blocks are not those that the counts were merged from.
        """
        return self._outcomes(dataset, architecture, method, NAMES)

    def probabilities(self, dataset: str, architecture: str, method: str = ONE_HOT) -> np.ndarray:
        """Mean probability of each class, over the runs that did not have the example, float64[n, C].

        Raises
        ------
        InputError
            Also if the study did not ask for ``probabilities``.
        """
        found = self._outcomes(dataset, architecture, method, ("probabilities",)).probabilities
        if found is None:
            raise InputError(
                f"the runs of {architecture}, {method}, on {dataset} did not keep class probabilities; set "
                "`probabilities: true` in the config and run again (the runs are trained anew)"
            )
        return found

    def _outcomes(self, dataset: str, architecture: str, method: str, names: tuple[str, ...]) -> Outcomes:
        run = self._run(dataset, architecture, method)
        record = self._results.record(f"counts/{run}.npz")
        folder = self.folder / "runs" / run
        blocks = sorted((path for path in folder.glob("block-*.npz") if BLOCK.fullmatch(path.name)), key=_number)
        found = outcomes.read(record["definition"], self.dataset(dataset), blocks, self._results.read, names)
        outcomes.check_merged(record, {path: self.read[path] for path in blocks})
        return found

    def _parquet(self, stage: str, name: str) -> pd.DataFrame:
        path = self.folder / stage / name
        if not path.is_file():
            made = sorted(
                str(other.relative_to(self.folder / stage)) for other in path.parent.parent.glob("*/*.parquet")
            )
            hint = f"; there are {', '.join(made[:8])}" if made else f"; the study has no {stage}"
            raise InputError(f"no {path}{hint}. snakemake makes what is missing, where the config asks for it")
        return pd.read_parquet(self._results.path(f"{stage}/{name}"))

    def _known(self, dataset: str) -> str:
        if dataset not in self.datasets:
            raise InputError(f"{self.folder} has no dataset {dataset!r}{closest(dataset, self.datasets)}")
        return dataset

    def _run(self, dataset: str, architecture: str, method: str) -> str:
        """Where the files of an architecture and method lie in each stage, if the study has them."""
        trained = sorted({run[1] for run in self.runs if run[0] == self._known(dataset)})
        if architecture not in trained:
            raise InputError(
                f"{dataset} has no scores of architecture {architecture!r}{closest(architecture, trained)}"
            )
        methods = [run[2] for run in self.runs if run[:2] == (dataset, architecture)]
        if method not in methods:
            raise InputError(
                f"{architecture} on {dataset} has no scores by method {method!r}{closest(method, methods)}"
            )
        return f"{dataset}/{architecture}/{method}"


def _number(block: Path) -> int:
    return int(block.stem.removeprefix("block-"))
