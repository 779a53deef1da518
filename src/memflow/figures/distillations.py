"""What the figures of distillation share: methods and what their teacher has seen, and a sheet measured in inches."""

import textwrap
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from memflow.figures import style
from memflow.figures.families import heading, panels

LEAK = "teacher trained on all data: leaks the held-out labels"
LINE, SMALL = 0.115, 0.1  # inches of a line of text of a title, and of a smaller one
BOLD_WIDTH, WIDTH = 46, 58  # letters of a title, and of a smaller line
IDENTITY = ["dataset", "family", "method", "teacher", "teacher_data"]


def methods(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Methods of distillation (entries of the spec) by title of their family; only families that have any."""
    found = {title: [of for of in spec["distillations"] if of["family"] == title] for title in panels(spec)}
    return {title: entries for title, entries in found.items() if entries}


def students(spec: dict[str, Any], family: str) -> list[str]:
    """Members of a family that some method trains as a student, smallest first."""
    taught = {name for entry in methods(spec)[family] for name in entry["students"]}
    return [name for name in panels(spec)[family] if name in taught]


def title(spec: dict[str, Any], entry: dict[str, Any]) -> str:
    """A method and its teacher, in lines that fit across a figure; it says what the teacher may have leaked."""
    teacher = "same size" if entry["teacher"] == "self" else entry["teacher"]
    smoothed = ", smoothed targets" if entry["targets"] == "smoothed" else ""
    lines = [f"{entry['method']} (teacher: {teacher}{smoothed})"]
    if entry["teacher_data"] == "full":
        lines.append(LEAK)
    seen = spec["pretraining_overlap"].get(entry["teacher"], "no")
    if seen != "no":
        lines.append(f"teacher pretrained; held-out images seen: {seen}")
    return wrap("\n".join(lines), WIDTH)


def family_title(spec: dict[str, Any], family: str) -> str:
    """Title of a family, in lines that fit across a figure."""
    return wrap(heading(spec, family), BOLD_WIDTH)


def identify(spec: dict[str, Any], entry: dict[str, Any], rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of one method, led by the columns of :data:`IDENTITY`."""
    known = {"dataset": spec["dataset"], **{name: entry[name] for name in IDENTITY[1:]}}
    return pd.DataFrame(known, index=rows.index).join(rows.drop(columns=IDENTITY, errors="ignore"))


def select(rows: pd.DataFrame, entry: dict[str, Any]) -> pd.DataFrame:
    """The rows of one method along one family."""
    return rows[(rows["family"] == entry["family"]) & (rows["method"] == entry["method"])]


def wrap(text: str, width: int) -> str:
    """A text in lines of no more than some letters."""
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def n_lines(text: str) -> int:
    """Lines of a text."""
    return text.count("\n") + 1


@dataclass
class Sheet:
    """A figure in which everything has its place, in inches from its left and upper edge."""

    height: float
    figure: Figure = field(init=False)

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(style.ONE_COLUMN, self.height))
        self.figure.set_layout_engine("none")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes whose frame has this place and size."""
        width, left = width / style.ONE_COLUMN, left / style.ONE_COLUMN
        return self.figure.add_axes((left, 1 - (top + height) / self.height, width, height / self.height))

    def write(self, left: float, top: float, text: str, **look: Any) -> Text:
        """A text below ``top``."""
        place: dict[str, Any] = {"va": "top", "fontsize": 7, "linespacing": 1.1, **look}
        return self.figure.text(left / style.ONE_COLUMN, 1 - top / self.height, text, **place)
