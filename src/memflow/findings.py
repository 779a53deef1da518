"""What a finished study found: lines for the terminal, and sentences for the report."""

from pathlib import Path
from typing import Any

import pandas as pd

from memflow.errors import InputError

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
    """The table of the figure ``mean_memorisation``; the family is the empty text where there is none."""
    return pd.read_csv(path, dtype={"family": "str"}).fillna({"family": ""})


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
    values: Any = numbers.set_index(["architecture", "examples", "quantity"])  # pandas-stubs lose track of the rows
    first, last = numbers["architecture"].iloc[0], numbers["architecture"].iloc[-1]
    sentences = []
    for group in _groups(numbers):
        ends = [values.loc[(name, group, "memorisation")] for name in (first, last)]
        change = _limits(changes, group, "mean_change")
        sentences.append(
            f"The mean memorisation of {_plural(group)} {_verb(change)} from {_interval(*_of(ends[0]))} at "
            f"{ends[0]['parameters']:,.0f} parameters to {_interval(*_of(ends[1]))} at {ends[1]['parameters']:,.0f} "
            f"(paired change {_interval(*change, sign='+')})."
        )
        counts = [values.loc[(name, group, "memorised"), "value"] for name in (first, last)]
        change = _limits(changes, group, "memorised_change")
        sentences.append(
            f"Of {_plural(group, ends[0]['n_examples'])}, {counts[0]:,.0f} score {memorised_at:g} or more at the "
            f"smallest size and {counts[1]:,.0f} at the largest (change {_interval(*change, sign='+', digits=0)})."
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
            f"{row.type} {100 * row.value:.1f} % [{100 * max(row.low, 0):.1f}, {100 * min(row.high, 1):.1f}]"
            for row in shares.itertuples()
        ]
        sentences.append(f"Types of {_plural(group)}, at a false discovery rate of {fdr:g}: {', '.join(parts)}.")
    rising = power[power["planted"] == "increasing"].set_index("effect")["recognised"]
    seen = rising[rising >= 0.8]
    least = f"when it is {seen.index.min():g} or more" if len(seen) else "at no size up to 0.9"
    sentences.append(
        f"With these runs a planted rise of the score is recognised in at least 80 % of cases {least}; a rise of 0.2 "
        f"in {100 * rising.loc[0.2]:.0f} %. What is not recognised is undetermined, not flat."
    )
    return sentences


def _groups(table: pd.DataFrame) -> list[str]:
    """Groups of examples to speak of: clean and flipped labels apart, all where none was flipped."""
    return [group for group in table["examples"].unique() if group != "all"] or ["all"]


def _plural(group: str, number: float | None = None) -> str:
    """``all examples``, ``clean labels``; with their number, ``all 1,078 examples``, ``1,025 clean labels``."""
    counted = "" if number is None else f"{number:,.0f} "
    return f"all {counted}examples" if group == "all" else f"{counted}{group}s"


def _limits(changes: pd.DataFrame, group: str, quantity: str) -> Limits:
    return _of(changes[(changes["examples"] == group) & (changes["quantity"] == quantity)].iloc[0])


def _of(row: Any) -> Limits:
    return float(row["value"]), float(row["low"]), float(row["high"])


def _verb(change: Limits) -> str:
    _, low, high = change
    return "rises" if low > 0 else "falls" if high < 0 else "shows no clear change,"


def _interval(value: float, low: float, high: float, sign: str = "", digits: int = 3) -> str:
    value, low, high = (round(number, digits) + 0.0 for number in (value, low, high))  # no "-0"
    return f"{value:{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]".replace("-", "−")


def _dataset(numbers: pd.DataFrame) -> list[str]:
    runs = numbers["runs"].max()
    lines = [f"{numbers['dataset'].iloc[0]}: mean memorisation, and examples memorised, over {runs} runs each"]
    for family, members in numbers.groupby("family", sort=False):
        lines += [f"  {family!s}"] if family else []
        for architecture, rows in members.groupby("architecture", sort=False):
            lines += _architecture(str(architecture), rows)
    return lines


def _architecture(name: str, rows: pd.DataFrame) -> list[str]:
    """One line for each group of examples, and one for what the reader must be warned of."""
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
    if undefined:
        lines.append(f"{'':23}{undefined} examples were never held out, or never trained on, and have no score")
    return lines
