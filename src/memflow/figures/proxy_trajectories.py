"""Figure proxy_trajectories: do proxies change with size as the score does?

Each proxy is brought to the score's scale by one map, fitted at one size of the family and applied unchanged at all of
them, and read by the same classifier of descriptive types as the score.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from memflow.counts import HALVES
from memflow.figures import proxy_rows, style
from memflow.proxy_names import SCORE
from memflow.statistics import isotonic_map
from memflow.statistics.trajectory_types import DESCRIPTIVE, describe

KINDS = {"share": "Share", "mean": "Mean"}
SIZES = 5  # rows are as high as of this many at least: there is room for two bars
NARROW = (0.28, 0.16, 0.6)
BARS = {  # place in the row, height, opacity
    "share": (-0.1, 0.5, 1.0),
    "share_at_own_noise": NARROW,  # of the score
    "share_at_study_tau": NARROW,  # of proxies
}
COLUMNS = ["family", "proxy", "series", "type", "architecture", "parameters", "value", "tau", "reference", "n_examples"]


def table(spec: dict[str, Any], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every number of the figure.

    Parameters
    ----------
    spec : dict
    tables : dict of str to DataFrame
        ``proxies``, ``halves`` (scores), and ``summary`` of the proxies for the ``parameters``.

    Returns
    -------
    DataFrame
        Per family of two or more sizes and proxy (first ``memorisation``, the score), of the ``n_examples`` with a
        score and a value at every size: ``share`` of each descriptive ``type`` when a difference counts from ``tau``,
        which for the score is the study's and for a proxy the range that its noise alone stays within in 95 % of
        examples; the same with the other tau, which is ``share_at_own_noise`` of the score and ``share_at_study_tau``
        of a proxy; and the ``mean`` at each architecture, in order of size. ``reference`` names the one where the proxy
        was mapped. A proxy that an architecture lacks is left out.
    """
    parts = [pd.DataFrame(columns=COLUMNS)]
    parameters = tables["summary"].groupby("architecture")["parameters"].first()
    for family, members in proxy_rows.along(tables["summary"], spec).items():
        if len(members) > 1:
            rows = pd.concat(_rows(spec["tau"], tables, members), ignore_index=True)
            parts.append(rows.assign(family=family, parameters=rows["architecture"].map(parameters)))
    numbers = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return numbers[COLUMNS].assign(dataset=spec["dataset"])[["dataset", *COLUMNS]]


def draw(spec: dict[str, Any], numbers: pd.DataFrame) -> Figure:
    """A row per proxy, below that of the score: a bar of the shares of the types, and the mean at each size."""
    numbers = numbers.assign(family=numbers["family"].fillna(""))
    proxies = proxy_rows.ordered(numbers["proxy"])
    members = proxy_rows.along(numbers, spec)
    most = max(map(len, members.values()))
    figure, axes = proxy_rows.grid(spec, numbers, list(KINDS), proxies, proxy_rows.row_height(max(most, SIZES)))
    for (family, kind), axis in axes.items():
        chosen = numbers[numbers["family"] == family]
        axis.set_xlabel(KINDS[kind])
        if chosen.empty:
            axis.set_axis_off()
            axis.text(0.5, 0.5, "a single size", transform=axis.transAxes, ha="center", va="center", fontsize=6)
        elif kind == "share":
            _draw_shares(axis, chosen, proxies)
        else:
            _draw_means(axis, chosen[chosen["series"] == "mean"], proxies, members[family])
    handles = {**proxy_rows.size_handles(most), **{kind: Patch(color=_colour(kind)) for kind in DESCRIPTIVE}}
    look: dict[str, Any] = {"ncols": 4, "handlelength": 1, "handletextpad": 0.5, "columnspacing": 1.2}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", **look)
    return proxy_rows.settle(figure)


def _rows(tau: float, tables: dict[str, pd.DataFrame], members: list[str]) -> list[pd.DataFrame]:
    """Rows of one family: of the score, and of every proxy that all its members have."""
    halves, proxies = tables["halves"], tables["proxies"]
    even, odd = (_by_size(halves[halves["half"] == half], "memorisation", members) for half in HALVES)
    score = ((even + odd) / 2).dropna()
    even, odd = even.loc[score.index], odd.loc[score.index]
    noise = isotonic_map.range_of_noise(even.to_numpy().T, odd.to_numpy().T)
    taus = {"share": tau, "share_at_own_noise": noise}
    parts = [_described(score.to_numpy().T, taus, members).assign(proxy=SCORE, reference="")]
    reference = (len(members) - 1) // 2
    for proxy in proxy_rows.ordered(proxies["proxy"]):
        rows = proxies[proxies["proxy"] == proxy]
        if set(members) <= set(rows["architecture"]):
            mapped = _mapped(rows, odd, members, reference)
            noise = isotonic_map.range_of_noise(mapped["value_even"], mapped["value_odd"])
            described = _described(mapped["value"], {"share": noise, "share_at_study_tau": tau}, members)
            parts.append(described.assign(proxy=proxy, reference=members[reference]))
    return parts


def _mapped(rows: pd.DataFrame, scores: pd.DataFrame, members: list[str], reference: int) -> dict[str, np.ndarray]:
    """A proxy on the score's scale at each size: float64[S, n], of all runs and of both halves.

    The map is fitted at the reference, crossed: with the proxy of the even halves and the ``scores`` of the odd ones,
    which name the examples. C-scores are from the score's own runs: of one half they would share its noise, too.
    """
    values = {name: _by_size(rows, name, members).loc[scores.index] for name in ("value", "value_even", "value_odd")}
    column = members[reference]
    fitted = isotonic_map.fit(values["value_even"][column].to_numpy(), scores[column].to_numpy())
    return {name: isotonic_map.apply(fitted, value.to_numpy().T) for name, value in values.items()}


def _by_size(rows: pd.DataFrame, name: str, members: list[str]) -> pd.DataFrame:
    """One column of a table, by example and architecture."""
    return proxy_rows.cross(rows, "index", "architecture", name).reindex(columns=members)


def _described(values: np.ndarray, taus: dict[str, float], members: list[str]) -> pd.DataFrame:
    """Means, and by series shares of the types at a tau, of examples (columns) with a value at every size (rows)."""
    values = values[:, np.isfinite(values).all(axis=0)]
    parts = [pd.DataFrame({"series": "mean", "architecture": members, "value": _mean(values)})]
    for series, tau in taus.items():
        types = describe(values, tau)
        shares = [_mean((types == kind)[None])[0] for kind in DESCRIPTIVE]
        parts.append(pd.DataFrame({"series": series, "type": DESCRIPTIVE, "value": shares, "tau": tau}))
    return pd.concat(parts, ignore_index=True).assign(n_examples=values.shape[1])


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each row; NaN of none."""
    return values.mean(axis=1) if values.shape[1] else np.full(len(values), np.nan)


def _draw_shares(axes: Axes, numbers: pd.DataFrame, proxies: list[str]) -> None:
    """Two bars per row, the narrow one below; beside them the tau of the upper, and of the score's lower."""
    rows: dict[Any, int] = {proxy: row for row, proxy in enumerate(proxies)}
    beside = axes.get_yaxis_transform()
    note: dict[str, Any] = {"va": "center", "color": "0.3", "transform": beside}
    for series, (place, height, alpha) in BARS.items():
        chosen = numbers[numbers["series"] == series]
        for proxy, shares in proxy_rows.cross(chosen, "proxy", "type", "value").iterrows():
            widths = shares.reindex(DESCRIPTIVE).to_numpy(dtype=float, na_value=0)
            lefts, colours = np.cumsum(widths) - widths, [_colour(kind) for kind in DESCRIPTIVE]
            axes.barh(rows[proxy] + place, widths, height, lefts, color=colours, alpha=alpha, linewidth=0)
    taus = numbers.groupby(["series", "proxy"])["tau"].first()
    for proxy, row in rows.items():
        tau, lower = (taus.get((series, proxy), np.nan) for series in ("share", "share_at_own_noise"))
        if np.isfinite(lower):
            axes.text(1.03, row + 0.3, f"{lower:.2f}", fontsize=5, **note)
        if np.isfinite(tau):
            axes.text(1.03, row - 0.22 * np.isfinite(lower), f"{tau:.2f}", fontsize=5, **note)
        else:
            proxy_rows.say(axes, row, "not at every size")
    axes.text(1.03, -0.9, "τ", fontsize=6, **note)
    axes.set_title(axes.get_title(), pad=12)  # above the τ
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "50 %", "100 %"])


def _draw_means(axes: Axes, numbers: pd.DataFrame, proxies: list[str], members: list[str]) -> None:
    """Sizes from the top of a row to its bottom, and behind each proxy the mean score in grey."""
    means = proxy_rows.by_member(numbers, "value", proxies, members)
    offsets = proxy_rows.offsets(len(members))
    for row, proxy in enumerate(proxies):
        axes.plot(means.loc[SCORE], row + offsets, color="0.75", linewidth=2, solid_capstyle="round", zorder=1)
        axes.plot(means.loc[proxy], row + offsets, color="0.35", linewidth=0.6, zorder=2)
    proxy_rows.draw_dots(axes, numbers.assign(low=np.nan, high=np.nan), proxies, members)
    low, high = axes.get_xlim()
    ticks = [tick for tick in MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
    ends = list(dict.fromkeys([*ticks[:1], *ticks[-1:]]))
    axes.set_xticks(ends, [f"{tick:g}" for tick in ends])


def _colour(kind: str) -> str:
    return style.COLOURS["undetermined" if kind == "other" else kind]
