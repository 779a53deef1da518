"""Families as panels: which architectures stand in a panel, and which are drawn in every one for reference."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from memflow.figures import style


def panels(spec: dict[str, Any]) -> dict[str, list[str]]:
    """Titles of the families and their architectures, smallest first; one untitled panel where there is no family."""
    if not spec["families"]:
        return {"": [name for name in spec["architectures"] if name not in spec["references"]]}
    return {family["title"]: family["architectures"] for family in spec["families"]}


def heading(spec: dict[str, Any], family: str) -> str:
    """Title of a family's panel; it says where initial weights may have seen the held-out images."""
    overlaps = {spec["pretraining_overlap"][name] for name in panels(spec)[family]} - {"no"}
    note = f"pretrained; held-out images seen: {', '.join(sorted(overlaps))}"
    return "\n".join(filter(None, [family, note if overlaps else ""]))


def add_families(numbers: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    """Rows once per family that their architecture is in, in drawing order, with columns ``dataset`` and ``family``.

    References come last, with the family ``reference``.
    """
    order = [(title, name) for title, members in panels(spec).items() for name in members]
    order += [("reference", name) for name in spec["references"]]
    members = pd.DataFrame(order, columns=["family", "architecture"])
    return members.merge(numbers, on="architecture", how="inner").assign(dataset=spec["dataset"])


def size_axis(axes: Axes, parameters: list[float]) -> None:
    """A logarithmic axis of parameters with ticks at the ends, and at the size between them that leaves most room."""
    sizes = sorted({size for size in parameters if size > 0})
    shown = [*sizes[:1], *_central(sizes), *sizes[-1:]] if len(sizes) > 1 else sizes
    axes.set(xscale="log", xlabel="Parameters")
    axes.set_xticks(shown, [style.count(size) for size in shown])
    axes.xaxis.set_minor_locator(NullLocator())


def _central(sizes: list[float]) -> list[float]:
    """The size next to the centre of a logarithmic axis, if its label clears those of the ends."""
    _, low, centre, high, _ = np.geomspace(sizes[0], sizes[-1], 5)
    central = min(sizes, key=lambda size: abs(np.log(size / centre)))
    return [central] if low < central < high else []
