"""What a finished study found: lines for the terminal, and sentences for the report."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from memflow.errors import InputError
from memflow.methods import ONE_HOT
from memflow.statistics.trajectory_types import CHANGES

Limits = tuple[float, float, float]  # value, lower and upper limit


def describe(folder: Path) -> str:
    """The main numbers of a study's ``mean_memorisation`` tables, and the files to open.

    Parameters
    ----------
    folder : Path
        ``results/<study>``.

    Raises
    ------
    InputError
        If the folder holds no such table.
    """
    tables = sorted(folder.glob("figures/*/mean_memorisation.csv"))
    if not tables:
        raise InputError(f"{folder} holds no finished study (no figures/*/mean_memorisation.csv); run snakemake first")
    lines = [f"What study {folder.name!r} found", ""]
    for path in tables:
        lines += [*_dataset(read_numbers(path)), f"  figures: {path.parent}/", ""]
    lines += [f"Scores of every example, with intervals: {folder}/scores/<dataset>/<architecture>/<method>.parquet"]
    report = folder / "report/report.html"
    lines += [f"Start with: {report if report.exists() else tables[0].with_suffix('.png')}"]
    return "\n".join(lines)


def read_numbers(path: Path) -> pd.DataFrame:
    """A table of numbers. Texts stay what they are: the family of an architecture without one is the empty text."""
    missing = dict.fromkeys(("value", "low", "high", "p_value", "p_holm", "ceiling"), "")
    names = {"family": "str", "architecture": "str"}
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=missing)


def along_family(numbers: pd.DataFrame, changes: pd.DataFrame, memorised_at: float) -> list[str]:
    """Sentences about the scores at the ends of one family.

    Parameters
    ----------
    numbers : DataFrame
        Rows of the family in the table of the figure ``mean_memorisation``.
    changes : DataFrame
        From :func:`memflow.trajectories.summarise`, of the same family.
    memorised_at : float
    """
    pretrained = numbers.loc[numbers["pretraining_overlap"] != "no", "architecture"].unique()
    if len(pretrained):
        return [
            f"No claim about size: initial weights of {', '.join(pretrained)} may have seen the held-out images with "
            "their labels (pretraining_overlap), so that what looks generalised may have been memorised before."
        ]
    values: Any = numbers.set_index(["architecture", "examples", "quantity"])  # pandas-stubs lose track of the rows
    ends = numbers["architecture"].iloc[[0, -1]]
    sentences = []
    for group in _groups(changes):
        first, last = (values.loc[(name, group, "memorisation")] for name in ends)
        change = _limits(changes, group, "mean_change")
        sentences.append(
            f"The mean memorisation of the {_plural(group)} {_verb(change)} from {_interval(*_of(first))} at "
            f"{first['parameters']:,.0f} parameters to {_interval(*_of(last))} at {last['parameters']:,.0f} "
            f"(paired change {_interval(*change, sign='+')})."
        )
        first, last = (values.loc[(name, group, "memorised")] for name in ends)
        change = _limits(changes, group, "memorised_change")
        sentences.append(
            f"The number of memorised {_plural(group)} (score {memorised_at:g} or more) {_verb(change)} from "
            f"{first['value']:,.0f} of {first['n_examples']:,.0f} at the smallest size to {last['value']:,.0f} at the "
            f"largest (paired change {_interval(*change, sign='+', digits=0)})."
        )
    return sentences


def of_types(changes: pd.DataFrame, power: pd.DataFrame, fdr: float) -> list[str]:
    """Sentences about the types of one family's trajectories, and how much the runs could have shown.

    Parameters
    ----------
    changes : DataFrame
        From :func:`memflow.trajectories.summarise`.
    power : DataFrame
        From :func:`memflow.statistics.power.power`.
    fdr : float
    """
    sentences = []
    for group in _groups(changes):
        shares: Any = changes[(changes["examples"] == group) & (changes["quantity"] == "share")]
        parts = [
            f"{row.type} {100 * row.value:.1f}\u00a0% [{100 * max(row.low, 0):.1f},\u00a0{100 * min(row.high, 1):.1f}]"
            for row in shares.itertuples()
        ]
        sentences.append(f"Types of the {_plural(group)}, at a false discovery rate of {fdr:g}: {', '.join(parts)}.")
    rising = power[power["planted"] == "increasing"].set_index("effect")["recognised"]
    enough = rising[::-1].cummin() >= 0.8  # also every larger rise
    least = f"when it is {enough[enough].index.min():g} or more" if enough.any() else "at no size up to 0.9"
    sentences.append(
        f"With these runs a planted rise of the score is recognised in at least 80\u00a0% of cases {least}; a rise "
        f"of 0.2 in {100 * rising.loc[0.2]:.0f}\u00a0%. What is not recognised is undetermined, not flat."
    )
    return sentences


def of_distillation(summary: pd.DataFrame, family: str, method: str, entry: dict[str, Any]) -> list[str]:
    """Sentences about what a method of distillation changes in one family's students.

    Parameters
    ----------
    summary : DataFrame
        From :func:`memflow.distillation.summarise`, of all students.
    family : str
        Title.
    method : str
    entry : dict
        Of the method in the config.
    """
    ablation = ""
    if entry["teacher_data"] == "full":
        ablation = " (an ablation: its teachers saw the labels that the students hold out, so this is no memorisation)"
    sentences = []
    for student, rows in summary.groupby("student", sort=False):
        for group in _groups(rows):
            of_group: Any = rows[rows["examples"] == group].set_index(["quantity", "type"])
            before, after, change = (
                _of(of_group.loc[(name, "")]) for name in ("mean_one_hot", "mean_distilled", "mean_change")
            )
            sentences.append(
                f"{method}{ablation}, {student} ({family}): the mean memorisation of the {_plural(group)} "
                f"{_verb(change)} from {_interval(*before)} with one-hot labels to {_interval(*after)} "
                f"(paired change {_interval(*change, sign='+')}). {_by_selection(of_group)}"
            )
    return sentences


def _by_selection(of_group: Any) -> str:
    """The change by what the examples do under one-hot labels, where there are such examples."""
    kinds = ("memorised", "not memorised", *CHANGES)
    rows = {kind: of_group.loc[("change", kind)] for kind in kinds}
    parts = [
        f"{kind} {_interval(*_of(row), sign='+')}{'*' if row['p_holm'] < 0.05 else ''}"
        for kind, row in rows.items()
        if row["n_examples"] and not math.isnan(row["value"])
    ]
    return f"Of examples that are, under one-hot labels in the other half of the runs: {', '.join(parts)}."


def of_proxies(agreement: pd.DataFrame, architecture: str) -> list[str]:
    """A sentence about how well proxies rank the examples of one architecture as the score does.

    Parameters
    ----------
    agreement : DataFrame
        From :func:`memflow.proxies.agreement_table`.
    architecture : str
    """
    sentences = []
    for group in _groups(agreement):
        rows = agreement[(agreement["examples"] == group) & (agreement["statistic"] == "spearman")].dropna(
            subset="value"
        )
        if rows.empty:
            continue
        ordered: Any = rows.sort_values("value", ascending=False, kind="stable")
        *others, last = [
            f"{row.proxy.replace('_', ' ')} {_interval(row.value, row.low, row.high, digits=2)}"
            for row in ordered.itertuples()
        ]
        ceiling = rows["ceiling"].max()
        sentences.append(
            f"{architecture}: rank correlation of proxies with the scores of the {_plural(group)} (at most "
            f"{ceiling:.2f}, by the scores' own noise): highest {', '.join(others[:3]) or last}; lowest {last}."
        )
    return sentences


def _groups(table: pd.DataFrame) -> list[str]:
    """Groups of examples to speak of: clean and flipped labels apart, all where none was flipped."""
    return [group for group in table["examples"].unique() if group != "all"] or ["all"]


def _plural(group: str) -> str:
    return "examples" if group == "all" else f"{group}s"


def _limits(changes: pd.DataFrame, group: str, quantity: str) -> Limits:
    return _of(changes[(changes["examples"] == group) & (changes["quantity"] == quantity)].iloc[0])


def _of(row: Any) -> Limits:
    value, low, high = (round(float(row[name]), 9) + 0.0 for name in ("value", "low", "high"))  # 1e-17 is no change
    return value, low, high


def _verb(change: Limits) -> str:
    _, low, high = change
    return "rises" if low > 0 else "falls" if high < 0 else "shows no clear change,"


def _interval(value: float, low: float, high: float, sign: str = "", digits: int = 3) -> str:
    """A value with its limits, to as many digits as it takes for no limit to look like zero that is not."""
    while any(limit and not round(limit, digits) for limit in (low, high)):
        digits += 1
    value, low, high = (round(number, digits) + 0.0 for number in (value, low, high))  # no "-0"
    return f"{value:{sign}.{digits}f} [{low:{sign}.{digits}f},\u00a0{high:{sign}.{digits}f}]".replace("-", "−")


def _dataset(numbers: pd.DataFrame) -> list[str]:
    runs = numbers["runs"].max()
    lines = [f"{numbers['dataset'].iloc[0]}: mean memorisation, and examples memorised, over {runs} runs each"]
    for family, members in numbers.groupby("family", sort=False):
        lines += [f"  {family!s}"] if family else []
        for (architecture, method), rows in members.groupby(["architecture", "method"], sort=False):
            lines += _architecture(str(architecture), str(method), rows)
    return lines


def _architecture(name: str, method: str, rows: pd.DataFrame) -> list[str]:
    """One line for each group of examples, and one for what the reader must be warned of."""
    name = name if method == ONE_HOT else f"  {method}"
    values: Any = rows.set_index(["examples", "quantity"])
    lines = []
    for group in _groups(rows):
        mean, memorised = values.loc[(group, "memorisation")], values.loc[(group, "memorised")]
        lines.append(
            f"    {name:<18} {'' if group == 'all' else group + 's':<15} {mean['value']:.3f} "
            f"[{mean['low']:.3f}, {mean['high']:.3f}]   {memorised['value']:4.0f} of {memorised['n_examples']:.0f}"
        )
        name = ""
    flagged, undefined = rows["runs_not_converged"].iloc[0], rows["examples_without_score"].iloc[0]
    if flagged:
        lines.append(f"{'':23}flagged: {flagged} of {rows['runs'].iloc[0]} runs are below the in-sample target")
    if rows["pretraining_overlap"].iloc[0] != "no":
        lines.append(f"{'':23}pretrained: held-out images seen before: {rows['pretraining_overlap'].iloc[0]}")
    if "teacher_data" in rows and rows["teacher_data"].iloc[0] == "full":
        lines.append(f"{'':23}ablation: the teachers saw the labels that their students hold out")
    if undefined:
        lines.append(f"{'':23}{undefined} examples were never held out, or never trained on, and have no score")
    return lines
