"""Figure transitions: flows between not fitted, memorised and generalised, along the sizes and over the epochs."""

import itertools
import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from memflow.figures import style
from memflow.figures.families import heading
from memflow.statistics.states import STATES

COLOURS = {"not fitted": style.PALETTE[7], "memorised": style.PALETTE[5], "generalised": style.PALETTE[0]}
WIDEST = 11  # points, of a flow of all examples; widths follow the square root, or small flows could not be seen
LONGEST = 18  # letters of a name; the sizes of a family differ in their last ones
MOST_NAMED = 8  # sizes or epochs whose shares fit side by side across the figure
OUTCOMES = ("memorised", "generalised")  # of examples that are not fitted
PANEL = 0.75  # inches
NOTE, LINE = 5, 0.085  # points of the notes, and inches of their lines
BETWEEN = 0.25  # of the step to the next size or epoch, where a flow leaves its lane and enters another
SELECTED = ["dataset", "family", "along", "architecture", "start", "stop", "from_state", "to_state", "examples"]


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure: rows of :func:`memflow.transitions.flows` per family.

    Shares of the flows between neighbouring sizes, and between neighbouring epochs of the largest; and what the
    examples that the smallest does not fit are ``later``. Artificial examples stand apart, where there are any.
    """
    parts = []
    flows = tables["flows"].astype({"start": str, "stop": str})  # epochs may have been read as numbers
    for family in spec["families"]:
        rows = flows[flows["family"] == family["title"]].fillna({"architecture": ""})
        stops = [(family["architectures"], rows["along"] == "size")]
        largest = (rows["along"] == "epoch") & (rows["architecture"] == family["architectures"][-1])
        epochs = np.unique(rows.loc[largest, ["start", "stop"]].astype(int))
        stops.append((epochs.astype(str).tolist(), largest))
        for names, where in stops:
            follows = rows["start"].map(dict(itertools.pairwise(names)))
            parts.append(rows[where & (rows["quantity"] == "share") & (rows["stop"] == follows)])
        parts.append(rows[(rows["quantity"] == "later") & rows["to_state"].isin(OUTCOMES)])
    numbers = pd.concat(parts, ignore_index=True).assign(dataset=spec["dataset"])
    shown = _populations(numbers)
    return numbers.loc[numbers["examples"].isin(shown), ["quantity", *SELECTED, "value", "low", "high", "n_examples"]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """One column per family; upper rows along the sizes, lower ones over the epochs, populations apart."""
    families, populations = spec["families"], _populations(numbers)
    rows = [(along, examples) for along in ("size", "epoch") for examples in populations]
    shown = {
        (family["title"], *row): numbers[
            (numbers[["family", "along", "examples"]] == [family["title"], *row]).all(axis=1)
        ]
        for family in families
        for row in rows
    }
    notes = {place: _note(place[-1], part[part["quantity"] == "later"], len(families)) for place, part in shown.items()}
    heights = [PANEL + LINE * max(notes[family["title"], *row].count("\n") for family in families) for row in rows]
    size = (style.ONE_COLUMN, 1.1 + sum(heights))
    figure, axes = plt.subplots(len(rows), len(families), figsize=size, squeeze=False)
    for column, family in enumerate(families):
        for axis, (along, examples) in zip(axes[:, column], rows, strict=True):
            key = (family["title"], along, examples)
            part = shown[key]
            _draw_flows(axis, part[part["quantity"] == "share"], len(families), rotated=along == "size")
            axis.tick_params(labelleft=column == 0, labelbottom=examples == populations[-1])
            axis.set_title(notes[key], fontsize=NOTE, loc="left", pad=2)
        title = style.wrapped(heading(spec, family["title"]), len(families))
        above = 72 * LINE * (notes[family["title"], *rows[0]].count("\n") + 1) + 5
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
        axes[0, column].annotate(title, (0.5, 1), (0, above), fontsize=7, **place)
        axes[-1, column].set_xlabel(style.wrapped(f"Epochs of {family['architectures'][-1]}", len(families)))
    return figure


def _populations(numbers: pd.DataFrame) -> list[str]:
    names: list[str] = numbers["examples"].unique().tolist()
    return [name for name in names if name != "all"] or names


def _draw_flows(axes: Axes, flows: pd.DataFrame, n_panels: int, rotated: bool) -> None:
    """Lanes of the states, and flows between them; widest first, so that no flow hides another."""
    names = list(dict.fromkeys([*flows["start"], *flows["stop"]]))
    axes.set(xlim=(-0.45, max(len(names), 2) - 0.55), ylim=(-0.45, len(STATES) - 0.5))
    axes.set_yticks(range(len(STATES)), [state.capitalize() for state in STATES])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not names:
        axes.text(0.5, 1, "one evaluated epoch", ha="center", va="center", fontsize=6, color="0.4")
        axes.set_xticks([])
        return
    there = flows[flows["value"] > 0].sort_values("value", ascending=False, kind="stable")
    for flow in there.to_dict("records"):
        start, low, high = names.index(flow["start"]), *(STATES.index(flow[f"{end}_state"]) for end in ("from", "to"))
        steps = [(start, low), (start + BETWEEN, low), (start + 0.5, low), (start + 0.5, high)]
        steps += [(start + 1 - BETWEEN, high), (start + 1, high)]
        codes = [Path.MOVETO, Path.LINETO, *[Path.CURVE4] * 3, Path.LINETO]
        look: dict[str, Any] = {"linewidth": WIDEST * flow["value"] ** 0.5, "edgecolor": COLOURS[flow["from_state"]]}
        axes.add_patch(PathPatch(Path(steps, codes), facecolor="none", alpha=0.55, capstyle="butt", **look))
    named = _spread(len(names), MOST_NAMED // n_panels)
    _write_shares(axes, flows, names, named)
    labels = [names[place] if len(names[place]) <= LONGEST else f"…{names[place][1 - LONGEST :]}" for place in named]
    axes.set_xticks(named, labels, rotation=90 if rotated else 0, fontsize=5)


def _write_shares(axes: Axes, flows: pd.DataFrame, names: list[str], named: list[int]) -> None:
    """Percentage of the examples in each state, at some sizes or epochs."""
    before = flows.groupby(["start", "from_state"])["value"].sum()
    after = flows[flows["stop"] == names[-1]].groupby(["stop", "to_state"])["value"].sum()
    shares = pd.concat([before, after])
    box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    for place in named:
        for lane, state in enumerate(STATES):
            axes.text(
                place, lane, _percent(shares[names[place], state]), ha="center", va="center", fontsize=5, bbox=box
            )


def _spread(n: int, most: int) -> list[int]:
    """Positions of some of n, with the first and the last."""
    return sorted(set(np.linspace(0, n - 1, min(n, max(most, 2))).round().astype(int).tolist()))


def _note(examples: str, later: pd.DataFrame, n_panels: int) -> str:
    """Which examples a panel shows, and what becomes of those that the smallest size does not fit."""
    lines = ["all examples" if examples == "all" else f"{examples}s"]
    found = later.dropna(subset=["value"]).to_dict("records")
    if found:
        lines.append(f"{found[0]['n_examples']:g} not fitted; in the end")
    for row in found:
        limits = f" [{_percent(row['low'])}, {_percent(row['high'])}]" if np.isfinite(row["low"]) else ""
        lines.append(f"{row['to_state']} {_percent(row['value'])} %{limits}")
    return "\n".join(textwrap.fill(line, style.WIDTH // n_panels + 4) for line in lines)


def _percent(share: float) -> str:
    """A share in percent: whole numbers, below 10 with a decimal. Limits that leave 0 to 1 are cut there."""
    percent = 100 * min(max(share, 0.0), 1.0)
    return f"{percent:.0f}" if percent >= 9.95 or abs(percent) < 0.05 else f"{percent:.1f}"
