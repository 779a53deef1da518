"""A small study with tables and images for the tests of the figures, and what is drawn in a figure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from helpers import noise_images, tiny_config
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from memflow.config import Study
from memflow.data.prepared import Dataset
from memflow.figures import mean_memorisation, most_memorised, score_distribution, trajectories, trajectory_examples
from memflow.statistics import bimodality
from memflow.statistics.trajectory_types import DESCRIPTIVE, TESTED
from memflow.summary import BINS

SIZES = {"mlp": 100, "wide": 400, "resnet": 250, "neighbour": 0}
ARCHITECTURES = tiny_config()["architectures"] | {"wide": {"model": "mlp", "hidden": [32], "recipe": "short"}}
FAMILIES = {
    "mlps": {"title": "MLPs", "architectures": ["mlp", "wide"]},
    "all": {"title": "All networks", "architectures": ["mlp", "wide", "resnet"]},
}
STUDY = Study(tiny_config(architectures=ARCHITECTURES, families=FAMILIES))
METHODS = {
    "distilled-from-resnet": {"teacher": "resnet"},
    "self-distilled": {"teacher": "self", "students": ["mlp", "wide", "resnet"]},
    "smoothed": {"teacher": "resnet", "targets": "smoothed", "students": ["mlp"]},
    "leaky": {"teacher": "resnet", "teacher_data": "full", "students": ["mlp", "resnet"]},
}
DISTILLED = Study(
    tiny_config(
        architectures=ARCHITECTURES, families=FAMILIES, distillation=METHODS, proxies={"runs": 4, "block_size": 4}
    )
)
NO_FAMILIES = Study(tiny_config(architectures=ARCHITECTURES))
NOISY = {"all": 200, "clean label": 190, "flipped label": 10}
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
N = 60  # training examples
TYPES = {  # examples of each type in the even half; the remaining ones have none
    "MLPs": {"constant": 20, "increasing": 14, "cap-shaped": 2, "undetermined": 21},
    "All networks": {"constant": 15, "increasing": 5, "decreasing": 13, "cap-shaped": 13, "undetermined": 14},
}
MODULES = {
    "mean_memorisation": mean_memorisation,
    "score_distribution": score_distribution,
    "most_memorised": most_memorised,
    "trajectories": trajectories,
    "trajectory_examples": trajectory_examples,
}
PICTURES = ("most_memorised", "trajectories", "trajectory_examples")  # figures that take the dataset
ALONG_FAMILIES = ("trajectories", "trajectory_examples")
TEXT = {"family": str, "label_name": str, "original_name": str}


def images(channels: int = 3, class_names: list[str] = CIFAR) -> Dataset:
    """Training images whose index is not their position; the label of every seventh is flipped."""
    made = noise_images(N, shape=(4, 4, channels), n_classes=len(class_names))
    flipped, labels = np.arange(N) % 7 == 3, made.train.labels
    return replace(
        made,
        train=replace(made.train, index=(5 + 3 * np.arange(N)).astype(np.int32)),
        class_names=class_names,
        label_noise=flipped,
        original_label=np.where(flipped, (labels + 1) % len(class_names), labels).astype(np.int32),
    )


DATASET = images()


def image_of(dataset: Dataset, index: int) -> np.ndarray:
    """The training image with an official index, as colours."""
    (image,) = dataset.train.images[dataset.train.index == index]
    return np.repeat(image, 3 // image.shape[2], axis=2)


def tables(name: str, study: Study = STUDY, sizes: dict[str, int] = SIZES, dataset: Dataset = DATASET) -> Any:
    """The tables that a figure takes, in which all numbers differ."""
    families = list(study.families.values())
    if name == "mean_memorisation":
        return {"summary": of_methods(study, summary(NOISY, sizes))}
    if name in ALONG_FAMILIES:
        made = {"halves": trajectory_halves(families, dataset), "curves": curves(families, sizes)}
        made |= {"summary": trajectory_summary(families)}
        return {kind: made[kind] for kind in (made if name == "trajectories" else ["halves"])}
    if name == "most_memorised":
        return {"halves": score_halves(study.largest("digits"), dataset)}
    return {"summary": summary(NOISY, sizes), "histogram": histogram(sizes)}


def spec_of(name: str, study: Study = STUDY) -> dict[str, Any]:
    """Spec of a figure."""
    return study.mean_memorisation_spec("digits") if name == "mean_memorisation" else study.figure_spec(name, "digits")


def of_methods(study: Study, one_hot: pd.DataFrame) -> pd.DataFrame:
    """One-hot rows with those of the other methods after them, all of whose numbers differ."""
    parts = []
    for number, entry in enumerate(study.drawn_methods("digits")):
        rows = one_hot[one_hot["architecture"] == entry["architecture"]].assign(**entry)
        if entry["method"] != "one-hot":
            rows = rows.assign(**{name: (1 - 0.02 * number) * rows[name] for name in ("value", "low", "high")})
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def make(
    name: str, given: Any = None, study: Study = STUDY, dataset: Dataset = DATASET, **sizes: Any
) -> tuple[pd.DataFrame, Figure]:
    """Table and drawing of a figure."""
    spec, pictured = spec_of(name, study), [dataset] if name in PICTURES else []
    numbers = MODULES[name].table(spec, given or tables(name, study, dataset=dataset, **sizes), *pictured)
    return numbers, MODULES[name].draw(spec, numbers, *pictured)


def summary(groups: dict[str, int], sizes: dict[str, int] = SIZES) -> pd.DataFrame:
    corrected = [f"{name}_corrected" for name in ("memorised", *bimodality.NAMES)]
    quantities = ["memorisation", "acc_in", "acc_out", "memorised", *bimodality.NAMES, *corrected]
    rows = []
    for architecture, parameters in sizes.items():
        keys = [("all", "acc_test"), *((group, quantity) for group in groups for quantity in quantities)]
        for examples, quantity in keys:
            value = (0.3 + 0.001 * len(rows)) * (groups[examples] if quantity.startswith("memorised") else 1)
            row = {"architecture": architecture, "examples": examples, "quantity": quantity, "value": value}
            row |= {"low": 0.9 * value, "high": 1.1 * value, "n_examples": groups[examples], "parameters": parameters}
            rows.append(
                row | {"runs": 20, "runs_not_converged": 0, "examples_without_score": 0, "pretraining_overlap": "no"}
            )
    return pd.DataFrame(rows)


def histogram(sizes: dict[str, int] = SIZES) -> pd.DataFrame:
    parts = []
    for number, (architecture, parameters) in enumerate(sizes.items()):
        weights = 1.0 + np.arange(len(BINS) - 1) + number
        series = {"raw": weights / weights.sum(), "corrected": weights[::-1] / weights.sum()}
        columns = {"architecture": architecture, "bin_low": BINS[:-1], "bin_high": BINS[1:], **series}
        parts.append(pd.DataFrame(columns).assign(parameters=parameters, runs=20, runs_not_converged=0))
    return pd.concat(parts, ignore_index=True)


def score_halves(architectures: list[str], dataset: Dataset = DATASET) -> pd.DataFrame:
    """Scores of the largest architectures, unrelated in the two halves; intervals reach to both sides of zero."""
    random, parts = np.random.default_rng(1), []
    for architecture in architectures:
        for half in ("even", "odd"):
            columns = {"architecture": architecture, "half": half, "index": dataset.train.index}
            scores = pd.DataFrame(columns | {"label": dataset.train.labels, "memorisation": random.random(N)})
            limits = {"ci_low": scores["memorisation"] - random.random(N), "ci_high": scores["memorisation"] + 0.1}
            parts.append(scores.assign(**limits))
    return pd.concat(parts, ignore_index=True)


def trajectory_halves(families: list[dict[str, Any]], dataset: Dataset = DATASET) -> pd.DataFrame:
    """Types and scores, unrelated in the two halves."""
    random, parts = np.random.default_rng(2), []
    for family in families:
        for half in ("even", "odd"):
            of_half = TYPES.get(family["title"], TYPES["MLPs"]) if half == "even" else dict.fromkeys(TESTED, 12)
            types = np.repeat([*of_half, None], [*of_half.values(), N - sum(of_half.values())])
            columns = {"family": family["title"], "selected_on": half, "index": dataset.train.index}
            columns |= {"label": dataset.train.labels, "label_noise": dataset.label_noise}
            columns |= {"type": random.permutation(types), "descriptive": random.choice(DESCRIPTIVE, N)}
            parts.append(pd.DataFrame(columns | {name: random.random(N) for name in family["architectures"]}))
    return pd.concat(parts, ignore_index=True)


def trajectory_summary(families: list[dict[str, Any]]) -> pd.DataFrame:
    keys = [("share", kind) for kind in TESTED] + [("share_descriptive", kind) for kind in DESCRIPTIVE]
    keys += [("memorised_change", ""), ("mean_change", "")]
    rows = []
    for family in families:
        for examples, n in NOISY.items():
            for quantity, kind in keys:
                value = 0.02 + 0.005 * len(rows)
                row = {"family": family["title"], "examples": examples, "quantity": quantity, "type": kind}
                rows.append(row | {"value": value, "low": value - 0.03, "high": value + 0.02, "n_examples": n})
    return pd.DataFrame(rows)


def curves(families: list[dict[str, Any]], sizes: dict[str, int] = SIZES) -> pd.DataFrame:
    """Mean curves of the types that have examples, by both ways of telling the types."""
    rows = []
    for family in families:
        for basis in ("type", "descriptive"):
            for kind in TYPES.get(family["title"], TYPES["MLPs"]):
                for architecture in family["architectures"]:
                    value = 0.1 + 0.8 * (0.618 * len(rows) % 1)
                    row = {"family": family["title"], "basis": basis, "type": kind, "architecture": architecture}
                    row |= {"parameters": sizes[architecture], "value": value, "low": value - 0.06}
                    rows.append(row | {"high": value + 0.04, "n_examples": 10.5 + len(rows)})
    return pd.DataFrame(rows)


def grid(figure: Figure) -> list[list[Axes]]:
    """Visible axes by row."""
    rows: dict[int, list[Axes]] = {}
    for axes in figure.axes:
        if axes.axison:
            rows.setdefault(axes.get_subplotspec().rowspan.start, []).append(axes)
    return [rows[row] for row in sorted(rows)]


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def select(numbers: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """Rows of a table, by the values of some columns."""
    for column, values in where.items():
        numbers = numbers[numbers[column].isin(np.atleast_1d(values))]
    return numbers


def drawn_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is really drawn (ticks beyond the axes are not), and the pixels that it covers."""
    found, draw = {}, Text.draw

    def record(text: Text, renderer: Any, *arguments: Any, **options: Any) -> None:
        if text.get_visible() and text.get_text().strip():
            found[text] = (text.get_text(), text.get_window_extent(renderer))
        draw(text, renderer, *arguments, **options)

    Text.draw = record  # type: ignore[method-assign]
    try:
        figure.draw_without_rendering()
    finally:
        Text.draw = draw  # type: ignore[method-assign]
    return list(found.values())


def collisions(boxes: list[tuple[str, Bbox]]) -> Iterator[tuple[str, str]]:
    """Texts that cover each other by more than a hair."""
    for number, (text, box) in enumerate(boxes):
        for other, other_box in boxes[number + 1 :]:
            common = Bbox.intersection(box, other_box)
            if common is not None and min(common.width, common.height) > 0.5:
                yield text, other


def outside(figure: Figure, boxes: list[tuple[str, Bbox]]) -> list[str]:
    """Texts that leave the figure."""
    (left, lower), (right, upper) = figure.bbox.min - 0.5, figure.bbox.max + 0.5
    return [text for text, box in boxes if box.x0 < left or box.y0 < lower or box.x1 > right or box.y1 > upper]
