"""The files of a finished study, each checked against its sidecar when it is read."""

from pathlib import Path
from typing import Any

import pandas as pd

from memflow import provenance

NUMBERS = (
    *("value", "low", "high", "se", "df", "p_value", "p_holm", "ceiling", "reliability_score", "reliability_proxy"),
    *("predicted", "n_examples", "epoch", "runs"),
)


class Results:
    """Files of a study.

    Parameters
    ----------
    folder : Path
        ``results/<study>``.

    Attributes
    ----------
    read : dict of Path to str
        SHA-256 of every file read so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[Path, str] = {}

    def record(self, name: str) -> dict[str, Any]:
        """The sidecar of a file, or :class:`~memflow.provenance.ProvenanceError` if the file is not what it says."""
        path = self.folder / name
        record = provenance.read(path)
        self.read[path] = record["outputs"][path.name]
        return record

    def path(self, name: str) -> Path:
        """Where a file lies, after that check."""
        self.record(name)
        return self.folder / name

    def table(self, name: str) -> pd.DataFrame:
        """A CSV table."""
        return read_numbers(self.path(name))


def read_numbers(path: Path) -> pd.DataFrame:
    """A table of numbers. Texts stay what they are: the family of an architecture without one is the empty text."""
    names = dict.fromkeys(("family", "architecture", "method", "student", "proxy", "start", "stop"), "str")
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=dict.fromkeys(NUMBERS, ""))
