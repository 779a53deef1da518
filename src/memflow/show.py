"""One training example of a study: its picture, its labels, and what every architecture and family says about it."""

import csv
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from memflow import provenance
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.files import write_atomically
from memflow.methods import ARMS, FULL_DATA, ONE_HOT, removal_method
from memflow.provenance import ProvenanceError
from memflow.text import aligned
from memflow.validation import closest

RAMP = np.array(list(" .:-=+*#%@"))  # dark to light
BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)
SAVED_PIXELS = 512  # at most, along a saved picture's longer side, unless the image has more
LISTED_COPIES = 8
LISTED_NEIGHBOURS = 5
NO_SIZES = {
    "index",
    "label",
    "label_noise",
    "input_noise",
    "type",
    "descriptive",
    "delta",
    "p_value",
    "q_value",
    "q_value_by",
}
WIDTH = 80
Row = dict[str, Any]
Section = tuple[str, list[str]]  # heading and lines


@dataclass(frozen=True)
class Example:
    """One training example, and its row in every table of a study.

    Attributes
    ----------
    folder : Path
        ``results/<study>``.
    name : str
        Of the dataset.
    dataset : Dataset
    position : int
        In the training set.
    scores : list of dict
        Rows of the score tables, with ``name`` (architecture), ``method``, ``parameters``, ``runs``,
        ``confidence`` and ``teacher_data``.
    trajectories : list of dict
        Rows of the trajectory tables, with ``name`` (family) and ``method``.
    neighbours : list of dict
        Rows of the influence tables: the test examples that this one helps most, with ``name`` (architecture),
        ``method`` and ``tests`` (how many they are the most influenced of).
    missing : list of str
        What is not there, or not to be trusted, in sentences.
    """

    folder: Path
    name: str
    dataset: Dataset
    position: int
    scores: list[Row]
    trajectories: list[Row]
    neighbours: list[Row]
    missing: list[str]

    @property
    def index(self) -> int:
        """Index in the official order."""
        return int(self.dataset.train.index[self.position])

    @property
    def image(self) -> np.ndarray:
        """uint8[height, width, 3]; an image without three channels is shown as the grey of their mean."""
        image = self.dataset.train.images[self.position]
        return image if image.shape[2] == 3 else image.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)


def find(folder: Path, name: str, index: int) -> Example:
    """What a study has on one training example, finished or not.

    Parameters
    ----------
    folder : Path
        ``results/<study>``.
    name : str
        Of the dataset.
    index : int
        In the official order.

    Raises
    ------
    InputError
        If there is no such folder, dataset or training example.
    """
    dataset = _dataset(folder, name)
    position = _position(dataset, name, index)
    scores, no_scores = _collect(folder / "scores" / name, partial(_score, dataset, position))
    trajectories, no_trajectories = _collect(folder / "trajectories" / name, partial(_row, dataset, position))
    neighbours, no_neighbours = _collect_neighbours(folder / "influence" / name, dataset, position)
    missing = [f"Scores of {architecture}: not yet made." for architecture in _unscored(folder, name)]
    if not scores + no_scores + missing:
        missing.append("Scores: no model has been trained on subsets of this dataset yet.")
    if not trajectories + no_trajectories:
        missing.append("Trajectories: not yet made, or the study has no families.")
    order = [name for row in trajectories for name in row if name not in NO_SIZES]
    scores.sort(key=lambda row: (order.index(row["name"]) if row["name"] in order else len(order), _by_size(row)))
    missing += no_scores + no_trajectories + no_neighbours
    return Example(folder, name, dataset, position, scores, trajectories, neighbours, missing)


def describe(example: Example, colour: bool) -> str:
    """All that is known about an example, for a terminal of 80 columns or more.

    Parameters
    ----------
    example : Example
    colour : bool
        Draw the picture with 24-bit colours instead of characters.
    """
    title = f"{example.name}, training example {example.index} of study {example.folder.resolve().name}"
    sections = [
        (title, ["", *picture(example.image, colour), "", *_facts(example)]),
        *(_scores(method, rows) for method, rows in _by_method(example.scores)),
        *(_trajectories(method, rows) for method, rows in _by_method(example.trajectories)),
        *(_neighbours(example, method, rows) for method, rows in _by_method(example.neighbours)),
    ]
    if example.missing:
        sections.append(_missing(example))
    return "\n\n".join("\n".join([heading, *(f"  {line}".rstrip() for line in lines)]) for heading, lines in sections)


def picture(image: np.ndarray, colour: bool) -> list[str]:
    """An image as lines of at most 64 characters.

    Parameters
    ----------
    image : uint8[height, width, 3]
    colour : bool
        True: half blocks, each two pixels, one above the other, in 24-bit colours. False: two characters per pixel, the
        denser the lighter.
    """
    if not colour:
        brightness = np.rint(_resize(image, small=16, large=32) @ BRIGHTNESS).astype(int)
        characters = RAMP[brightness * len(RAMP) // 256]
        return ["".join(row) for row in characters.repeat(2, axis=1)]
    rows = _resize(image, small=32, large=64).tolist()
    lines = []
    for upper, lower in zip(rows[::2], [*rows[1::2], None], strict=False):
        background = [f"48;2;{r};{g};{b}" for r, g, b in lower] if lower else ["49"] * len(upper)
        cells = [f"\x1b[38;2;{r};{g};{b};{below}m▀" for (r, g, b), below in zip(upper, background, strict=True)]
        lines.append("".join(cells) + "\x1b[0m")
    return lines


def save(example: Example, path: Path) -> None:
    """Write the picture as PNG, enlarged without smoothing.

    Raises
    ------
    InputError
        If the name of the file does not end in ``.png``.
    """
    from PIL import Image

    if path.suffix.lower() != ".png":
        raise InputError(f"--save is {path}; the picture is written as PNG, so the name must end in .png")
    pixels = _resize(example.image, small=SAVED_PIXELS, large=max(example.image.shape))
    write_atomically(path, lambda file: Image.fromarray(pixels).save(file, format="PNG"))


def _dataset(folder: Path, name: str) -> Dataset:
    known = sorted(path.stem for path in folder.glob("data/*.npz"))
    if not known:
        studies = sorted(path.parent.name for path in folder.parent.glob("*/data"))
        hint = closest(folder.name, studies) if studies else ""
        raise InputError(
            f"{folder} holds no study with a prepared dataset{hint}; run snakemake first, or name another folder "
            "(--results results/<study>)"
        )
    if name not in known:
        raise InputError(f"{folder} has no dataset {name!r}{closest(name, known)}")
    return prepared.load(folder / "data" / f"{name}.npz")


def _position(dataset: Dataset, name: str, index: int) -> int:
    known = dataset.train.index
    found = np.flatnonzero(known == index)
    if len(found):
        return int(found[0])
    nearest = sorted(known[np.argsort(abs(known.astype(int) - index), kind="stable")[:2]].tolist())
    reason = (
        f"a test image of {name}, and only training examples have a score"
        if index in dataset.test.index
        else f"not in {name}, whose {len(known):,} training examples lie between {known.min()} and {known.max()}"
    )
    raise InputError(f"index {index} is {reason}; the nearest training examples: {', '.join(map(str, nearest))}")


def _collect(folder: Path, read: Callable[[Path], Row]) -> tuple[list[Row], list[str]]:
    """A row from every table ``<name>/<method>.parquet``, and why there is none from some."""
    rows, refused = [], []
    for path in sorted(folder.glob("*/*.parquet")):
        if "." in path.stem:
            continue  # a companion of a table, such as one-hot.epochs.parquet
        try:
            rows.append({**read(path), "name": path.parent.name, "method": path.stem})
        except ProvenanceError as error:
            refused.append(f"Not shown: {error}.")
    return rows, refused


def _row(dataset: Dataset, position: int, path: Path) -> Row:
    """The example's row of a table that is what its sidecar says and belongs to the dataset."""
    _check(path, dataset)
    table = pq.ParquetFile(path).read()  # read_table imports pandas, which takes longer than all the rest
    row = table["index"].to_pylist().index(dataset.train.index[position])
    return dict(table.slice(row, 1).to_pylist()[0])


def _check(path: Path, dataset: Dataset) -> None:
    record = provenance.read(path)
    if set(_fingerprints(record["definition"])) != {dataset.fingerprint}:
        raise ProvenanceError(f"{path} was made from another version of the dataset; run snakemake again")


def _score(dataset: Dataset, position: int, path: Path) -> Row:
    summary = path.with_suffix(".summary.csv")
    record = provenance.read(summary)
    with open(summary, encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    of_runs = {key: int(first[key]) for key in ("parameters", "runs")}
    marks = {"confidence": record["definition"]["confidence"], "teacher_data": first.get("teacher_data")}
    return {**_row(dataset, position, path), **of_runs, **marks}


def _collect_neighbours(folder: Path, dataset: Dataset, position: int) -> tuple[list[Row], list[str]]:
    """The test examples that a training example helps most, from every architecture and method; and refused tables."""
    rows: list[Row] = []
    refused = []
    for path in sorted(folder.glob("*/*.by_train.parquet")):
        summary = path.with_name(path.name.replace(".by_train.parquet", ".summary.csv"))
        of_table = {"name": path.parent.name, "method": summary.name.removesuffix(".summary.csv")}
        try:
            _check(path, dataset)
            provenance.read(summary)
            with open(summary, encoding="utf-8", newline="") as file:
                of_table["tests"] = next(csv.DictReader(file))["tests_informative"]
            is_ours = (pc.field("train_index") == int(dataset.train.index[position])) & (pc.field("scope") == "all")
            found = pq.ParquetFile(path).read().filter(is_ours).slice(0, LISTED_NEIGHBOURS).to_pylist()
            rows += [{**row, **of_table} for row in found]
        except ProvenanceError as error:
            refused.append(f"Not shown: {error}.")
    return rows, refused


def _fingerprints(definition: Any) -> Iterator[str]:
    """Every dataset that a definition names, however deep."""
    if isinstance(definition, dict):
        for key, value in definition.items():
            if key == "fingerprint":
                yield value
            else:
                yield from _fingerprints(value)
    elif isinstance(definition, list):
        for value in definition:
            yield from _fingerprints(value)


def _unscored(folder: Path, name: str) -> list[str]:
    """Architectures, with their method unless it is one-hot, that have runs or counts, and no scores.

    Runs on the whole training set, or without some of it, hold nothing out at random, and never have any.
    """
    made = {
        stage: {(path.parent.name, path.name.partition(".")[0]) for path in (folder / stage / name).glob("*/*")}
        for stage in ("runs", "counts", "scores")
    }
    unscored = sorted((made["runs"] | made["counts"]) - made["scores"])
    return [
        architecture if method == ONE_HOT else f"{architecture} ({method})"
        for architecture, method in unscored
        if method not in (FULL_DATA, *map(removal_method, ARMS))
    ]


def _by_size(row: Row) -> tuple[bool, int, str]:
    """Sorts networks by size, and what is no network after them."""
    return row["parameters"] == 0, row["parameters"], row["name"]


def _by_method(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    methods = sorted({row["method"] for row in rows}, key=lambda method: (method != ONE_HOT, method))
    return [(method, [row for row in rows if row["method"] == method]) for method in methods]


def _facts(example: Example) -> list[str]:
    dataset, position = example.dataset, example.position
    label = _class(dataset, dataset.train.labels[position])
    if dataset.label_noise[position]:
        label += f", flipped: the original label is {_class(dataset, dataset.original_label[position])}"
    if dataset.input_noise[position]:
        label += (
            f", of an image that was replaced by noise (it was {_class(dataset, dataset.original_label[position])})"
        )
    height, width, channels = dataset.train.images.shape[1:]
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    facts = [f"label   {label}", f"image   {height} x {width} pixels, {kind}"]
    facts += [f"copies  {line}" for line in _copies(dataset, position)]
    return [line for fact in facts for line in _wrapped(fact, indent=8)]


def _class(dataset: Dataset, label: int) -> str:
    name = dataset.class_names[label]
    return name if name == str(label) else f"{name} (class {label})"


def _copies(dataset: Dataset, position: int) -> list[str]:
    """Exact and near duplicates, and whether there is one in the test split."""
    near = dataset.near_duplicate_group == dataset.near_duplicate_group[position]
    exact = dataset.duplicate_group == dataset.duplicate_group[position]
    near[position] = exact[position] = False
    lines = [
        f"{kind}: training example{'s' if found.sum() > 1 else ''} {_listed(dataset, position, np.flatnonzero(found))}"
        for kind, found in (("exactly the same pixels", exact), ("nearly the same pixels", near & ~exact))
        if found.any()
    ]
    if dataset.in_test[position]:
        lines.append("there is an exact or near copy in the test split")
    return lines or ["none: no other training image, and no test image, has nearly the same pixels"]


def _listed(dataset: Dataset, position: int, copies: np.ndarray) -> str:
    """Indices of some copies, with their labels where those differ."""
    index, labels = dataset.train.index, dataset.train.labels
    listed = [
        f"{index[i]}" if labels[i] == labels[position] else f"{index[i]} (label {_class(dataset, labels[i])})"
        for i in copies[:LISTED_COPIES]
    ]
    more = f" and {len(copies) - LISTED_COPIES} more" if len(copies) > LISTED_COPIES else ""
    return f"{', '.join(listed)}{more}"


def _scores(method: str, rows: list[Row]) -> Section:
    levels = " or ".join(f"{100 * level:g} %" for level in sorted({row["confidence"] for row in rows}))
    table = [["", "parameters", f"score [{levels}]", "in-sample", "out-of-sample"]]
    for row in rows:
        interval = "" if row["ci_low"] is None else f"[{_number(row['ci_low'])}, {_number(row['ci_high'])}]"
        table.append(
            [
                row["name"],
                f"{row['parameters']:,}" if row["parameters"] else "–",
                f"{_number(row['memorisation'])} {interval:>13}",
                f"{_number(row['acc_in'])} of {row['n_in']}",
                f"{_number(row['acc_out'])} of {row['n_out']}",
            ]
        )
    flagged = [
        f"{row['name']} {row['runs_not_converged']} of {row['runs']}" for row in rows if row["runs_not_converged"]
    ]
    notes = [f"Runs below the in-sample target: {', '.join(flagged)}."] if flagged else []
    if any(row["teacher_data"] == "full" for row in rows):
        notes.append("An ablation: the teachers saw the labels that their students hold out.")
    return f"Memorisation ({method}): score, and share of runs that get it right", [
        *aligned(table, text_columns=1),
        *(line for note in notes for line in _wrapped(note)),
    ]


def _trajectories(method: str, rows: list[Row]) -> Section:
    table = [["", "tested type", "descriptive", "change", "q-value"]]
    for row in rows:
        change = "–" if row["delta"] is None else f"{row['delta']:+z.2f}"
        table.append([row["name"], row["type"] or "no score", row["descriptive"] or "–", change, _p(row["q_value"])])
    untested = any(row["type"] and row["q_value"] is None for row in rows)
    note = ["No q-value: the accuracies leave no room for a change beyond tau, so there is nothing to test."] * untested
    return f"From the smallest to the largest of each family ({method})", [*aligned(table, text_columns=3), *note]


def _neighbours(example: Example, method: str, rows: list[Row]) -> Section:
    names = example.dataset.class_names
    table = [["", "test example", "class", "influence", "p-value"]]
    table += [
        [
            row["name"],
            str(row["test_index"]),
            names[row["test_label"]],
            f"{row['influence']:+z.2f}",
            _p(row["p_value"]),
        ]
        for row in rows
    ]
    tests = {row["name"]: int(row["tests"]) for row in rows}
    chance = ", ".join(f"{_p(1 / of)} of {of:,} ({name})" for name, of in tests.items())
    note = f"p-value of no influence, of this test example alone; by chance the smallest is about {chance}."
    return f"Test examples that runs get right more often with this one in training ({method})", [
        *aligned(table, text_columns=3),
        *_wrapped(note),
    ]


def _missing(example: Example) -> Section:
    lines = [line for text in example.missing for line in _wrapped(text)]
    command = "To make what is missing: snakemake --cores all"
    return "Missing", [*lines, command, "(for a study other than config.yaml, with --configfile and its file)"]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:z.2f}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _resize(image: np.ndarray, small: int, large: int) -> np.ndarray:
    """An image enlarged until its longer side is about ``small`` pixels, or thinned out to at most ``large``."""
    longest = max(image.shape[:2])
    step, factor = -(-longest // large), max(1, small // longest)
    return image[::step, ::step].repeat(factor, axis=0).repeat(factor, axis=1)
