"""The formats, and what writes each: a table of strings, so that a help text imports nothing."""

from dataclasses import dataclass

from memflow.errors import InputError
from memflow.validation import closest


@dataclass(frozen=True)
class Format:
    """One format of export.

    Attributes
    ----------
    write : str
        ``module:function`` that takes a :class:`memflow.export.source.Source` and the path to write, and returns what
        it wrote, in words.
    suffix : str
        Of the file; empty for a folder.
    content : str
        In one line.
    options : tuple of str
        Attributes of :class:`memflow.export.source.Options` that it heeds.
    tracked : bool
        Whether it comes from the proxies, hence from tracked runs on the whole training set.
    """

    write: str
    suffix: str
    content: str
    options: tuple[str, ...] = ()
    tracked: bool = False


PACKAGE = "memflow.export"
FORMATS = {
    "feldman-zhang": Format(
        f"{PACKAGE}.feldman_zhang:write", ".npz", "memorisation, and influence of each class on its test examples"
    ),
    "feldman-zhang-pairs": Format(
        f"{PACKAGE}.feldman_zhang:write_pairs",
        ".npz",
        "pairs of high influence, from memorised examples",
        options=("influence_at", "memorised_at"),
    ),
    "c-score": Format(f"{PACKAGE}.c_score:write", ".npz", "out-of-sample accuracy, at the study's ratio"),
    "lira": Format(f"{PACKAGE}.run_folders:write_lira", "", "per run: subset, and log-odds of the label; no logits"),
    "datamodels": Format(
        f"{PACKAGE}.run_folders:write_datamodels", "", "subsets, and log-odds of the test labels, of all runs"
    ),
    "data-map": Format(
        f"{PACKAGE}.training_dynamics:write_data_map", ".jsonl", "confidence, variability, correctness", tracked=True
    ),
    "aum": Format(f"{PACKAGE}.training_dynamics:write_aum", ".csv", "area under the margin", tracked=True),
    "cleanlab": Format(f"{PACKAGE}.cleanlab:write", ".npz", "labels and out-of-sample class probabilities"),
    "hugging-face": Format(
        f"{PACKAGE}.hugging_face:write", ".parquet", "images, labels and scores, as a dataset of its own"
    ),
}


def find(name: str) -> Format:
    """The format of a name.

    Raises
    ------
    InputError
        If there is none, with those there are.
    """
    if name not in FORMATS:
        raise InputError(f"format is {name!r}{closest(name, FORMATS)}")
    return FORMATS[name]
