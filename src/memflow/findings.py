"""What a finished study found: lines for the terminal, and sentences for the report."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from memflow import proxy_names
from memflow.errors import InputError
from memflow.methods import ONE_HOT, SELF
from memflow.results import read_numbers
from memflow.statistics.trajectory_types import CHANGES

SIGNIFICANT = 0.05  # below it a change has an asterisk
SELECTED = ("memorised", "not memorised", "constant", *CHANGES)  # of whose change sentences speak
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
    browser, report = folder / "browser/index.html", folder / "report/report.html"
    lines += [f"Look at examples: {browser}"] if browser.exists() else []
    lines += [f"Start with: {report if report.exists() else tables[0].with_suffix('.png')}"]
    return "\n".join(lines)


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


def of_distillation(summary: pd.DataFrame, method: str, entry: dict[str, Any], overlaps: dict[str, str]) -> list[str]:
    """Sentences about what a method of distillation changes in one family's students.

    Parameters
    ----------
    summary : DataFrame
        From :func:`memflow.distillation.summarise`, of all students.
    method : str
    entry : dict
        Of the method in the config.
    overlaps : dict of str to str
        Of the family's architectures: whether their initial weights have seen the held-out images.
    """
    lead, sentences = method, []
    if entry["teacher_data"] == "full":
        lead = f"{method} (ablation)"
        sentences.append(
            f"{method} is an ablation: its teachers saw the labels that the students hold out. What a student gets "
            "right it may know from its teacher, so its scores are no measure of memorisation."
        )
    taught = [*summary["student"].unique(), entry["teacher"]]
    if seen := [name for name in taught if overlaps.get(name, "no") != "no"]:
        sentences.append(
            f"{lead}: initial weights of {', '.join(dict.fromkeys(seen))} may have seen the held-out images with their "
            "labels (pretraining_overlap)."
        )
    for group in _groups(summary):
        of_group = {
            str(student): rows.set_index(["quantity", "type"])
            for student, rows in summary[summary["examples"] == group].groupby("student", sort=False)
            if rows["value"].notna().any()
        }
        if of_group:
            sentences.append(f"{lead}: the mean memorisation of the {_plural(group)} {_by_verb(of_group)}.")
        if by_type := [f"{name} {text}" for name, rows in of_group.items() if (text := _by_selection(rows))]:
            contrasts = [f"{name} {text}" for name, rows in of_group.items() if (text := _contrast(rows))]
            sentences.append(
                f"{lead}, change of the {_plural(group)} by what they are under one-hot labels: {'; '.join(by_type)}."
                + (f" Increasing minus constant: {'; '.join(contrasts)}." if contrasts else "")
            )
    return sentences


def side_by_side(summaries: dict[str, pd.DataFrame], entries: dict[str, dict[str, Any]]) -> list[str]:
    """Sentences that set the mean changes of several methods beside each other, for the students that they share.

    A teacher of the student's own size has no more capacity, and smoothed labels no knowledge: what these change, too,
    is not the larger teacher's doing.

    Parameters
    ----------
    summaries : dict of str to DataFrame
        From :func:`memflow.distillation.summarise`, by method, all along one family.
    entries : dict of str to dict
        Of the methods in the config.
    """
    sentences = []
    for group in dict.fromkeys(group for summary in summaries.values() for group in _groups(summary)):
        of_group = {
            method: summary[(summary["examples"] == group) & (summary["quantity"] == "mean_change")]
            .dropna(subset="value")
            .set_index("student")["value"]
            for method, summary in summaries.items()
        }
        number = Counter(student for values in of_group.values() for student in values.index)
        shared = [student for student, methods in number.items() if methods > 1]
        beside = {method: values for method, values in of_group.items() if set(shared) & set(values.index)}
        parts = []
        for student in shared:
            found = (values.get(student) for values in beside.values())
            parts.append(f"{student} {' / '.join('–' if value is None else _rounded(value, '+') for value in found)}")
        if parts:
            names = " / ".join(_taught(method, entries[method]) for method in beside)
            sentences.append(f"Side by side, mean change of the {_plural(group)} by {names}: {'; '.join(parts)}.")
    return sentences


def of_proxies(agreements: dict[str, pd.DataFrame]) -> list[str]:
    """A sentence per group of examples about which proxies rank them as the score does.

    Parameters
    ----------
    agreements : dict of str to DataFrame
        From :func:`memflow.proxies.agreement_table`, by architecture.
    """
    sentences = []
    for group in proxy_groups(agreements):
        table = _rank_correlations(agreements, group)
        middle: Any = table.groupby("proxy", sort=False)["value"].median().sort_values(ascending=False, kind="stable")
        said = {
            name: f"{proxy_names.name(str(name))} {_range(table.loc[table['proxy'] == name, 'value'])}"
            for name in middle.index
        }
        first, last = list(said)[:3], list(said)[3:][-1:]
        lowest = "".join(f"; lowest {said[name]}" for name in last)
        known = table["ceiling"].dropna()
        sentences.append(
            f"Rank correlation with the scores of the {_plural(group)}: highest "
            f"{', '.join(said[name] for name in first)}{lowest}."
            + (f" The scores' own noise allows {_range(known)}." if len(known) else "")
        )
    overlaps = {name: table["pretraining_overlap"].iloc[0] for name, table in agreements.items()}
    if seen := [name for name, overlap in overlaps.items() if overlap != "no"]:
        sentences.append(
            f"Initial weights of {', '.join(seen)} may have seen the held-out images with their labels "
            "(pretraining_overlap)."
        )
    return sentences


def of_removal(tables: dict[str, pd.DataFrame], memorised_at: float) -> list[str]:
    """Sentences about what the test accuracy loses without the memorised examples.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From :mod:`memflow.removal`, by architecture.
    memorised_at : float
    """
    sentences = []
    for name, table in tables.items():
        rows: Any = table.set_index(["examples", "quantity"])
        about = table.iloc[0]
        accuracies = ", ".join(
            f"{words} {_interval(*_of(rows.loc[('all', arm)]))}"
            for arm, words in (
                ("none", "all"),
                ("memorised", "without the memorised"),
                ("random", "without as many others"),
            )
        )
        sentences.append(
            f"{name}: {about['n_removed']:,.0f} of {about['n_train']:,.0f} training examples are natural and score "
            f"{memorised_at:g} or more, or are their copies. Test accuracy of {about['runs']:.0f} runs each, "
            f"trained on {accuracies}."
        )
        for examples in table["examples"].unique():
            costs = _interval(*_of(rows.loc[(examples, "random - memorised")]), sign="+")
            where = (
                ""
                if examples == "all"
                else f" on the {rows.loc[(examples, 'none'), 'n_examples']:,.0f} test examples with no copy in training"
            )
            sentences.append(f"{name}: without random minus without memorised examples{where} {costs}, paired by seed.")
        flags = []
        if about["runs_not_converged"]:
            flags.append(
                f"{about['runs_not_converged']:.0f} of {3 * about['runs']:.0f} runs are below the in-sample target"
            )
        if not about["weight_decay"]:
            flags.append("the recipe has no weight decay")
        if about["pretraining_overlap"] != "no":
            flags.append("initial weights may have seen the images with their labels (pretraining_overlap)")
        if flags:
            sentences.append(f"{name}: read this with care: {'; '.join(flags)}.")
    return sentences


def proxy_groups(agreements: dict[str, pd.DataFrame]) -> list[str]:
    """Groups of examples in which some architecture's proxies can be compared with its scores."""
    groups = dict.fromkeys(group for table in agreements.values() for group in _groups(table))
    return [group for group in groups if len(_rank_correlations(agreements, group))]


def proxy_rows(agreements: dict[str, pd.DataFrame], group: str) -> dict[str, list[str]]:
    """Rank correlations with the score: by name of a proxy, a cell for each architecture.

    Parameters
    ----------
    agreements : dict of str to DataFrame
        From :func:`memflow.proxies.agreement_table`, by architecture.
    group : str
        Of examples.
    """
    table = _rank_correlations(agreements, group)
    known: Any = table.set_index(["proxy", "architecture"])
    return {
        proxy_names.name(str(proxy)): [
            _interval(*_of(known.loc[(proxy, name)]), digits=2) if (proxy, name) in known.index else "–"
            for name in agreements
        ]
        for proxy in dict.fromkeys(table["proxy"])
    }


def _by_verb(of_group: dict[str, Any]) -> str:
    """What the mean score does, students of which it does the same together."""
    said: dict[str, list[str]] = {}
    for student, rows in of_group.items():
        before, after, change = (
            _of(rows.loc[(name, "")]) for name in ("mean_one_hot", "mean_distilled", "mean_change")
        )
        numbers = f"{_rounded(before[0])} to {_rounded(after[0])}, change {_interval(*change, sign='+')}"
        said.setdefault(_verb(change).rstrip(","), []).append(f"{student} ({numbers})")
    return "; ".join(f"{verb} in {_listed(students)}" for verb, students in said.items())


def _by_selection(rows: Any) -> str:
    """The change by what the examples do under one-hot labels, where there are such examples in both halves."""
    found = {kind: rows.loc[("change", kind)] for kind in SELECTED}
    return ", ".join(
        f"{kind} {_rounded(float(row['value']), '+')}{'*' if row['p_holm'] < SIGNIFICANT else ''}"
        for kind, row in found.items()
        if not math.isnan(row["value"])
    )


def _contrast(rows: Any) -> str:
    """How much more the increasing change than the constant, where there are both."""
    row = rows.loc[("difference_increasing_constant", "")]
    if math.isnan(row["value"]):
        return ""
    return f"{_interval(*_of(row), sign='+')}{'*' if row['p_value'] < SIGNIFICANT else ''}"


def _taught(method: str, entry: dict[str, Any]) -> str:
    """A method, and what its students learn from."""
    teacher = "teachers of the same size" if entry["teacher"] == SELF else f"teacher {entry['teacher']}"
    parts = ["labels smoothed evenly" if entry["targets"] == "smoothed" else teacher]
    parts += ["ablation"] * (entry["teacher_data"] == "full")
    return f"{method} ({', '.join(parts)})"


def _rank_correlations(agreements: dict[str, pd.DataFrame], group: str) -> pd.DataFrame:
    """Rows of all architectures that have a value."""
    parts = [
        table[(table["examples"] == group) & (table["statistic"] == "spearman")].assign(architecture=name)
        for name, table in agreements.items()
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset="value")


def _range(values: pd.Series) -> str:
    """The smallest to the largest, to two digits."""
    low, high = (_rounded(value, digits=2) for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _rounded(value: float, sign: str = "", digits: int = 3) -> str:
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}".replace("-", "−")  # no "-0"


def _listed(parts: list[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


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
    names = [_indented(*pair) for pair in zip(numbers["architecture"], numbers["method"], strict=True)]
    width = max(18, *map(len, names))
    for family, members in numbers.groupby("family", sort=False):
        lines += [f"  {family!s}"] if family else []
        for (architecture, method), rows in members.groupby(["architecture", "method"], sort=False):
            lines += _architecture(_indented(str(architecture), str(method)), rows, width)
    return lines


def _indented(architecture: str, method: str) -> str:
    """The name of an architecture, and below it those of its further methods."""
    return architecture if method == ONE_HOT else f"  {method}"


def _architecture(name: str, rows: pd.DataFrame, width: int) -> list[str]:
    """One line for each group of examples, and one for what the reader must be warned of."""
    values: Any = rows.set_index(["examples", "quantity"])
    lines = []
    for group in _groups(rows):
        mean, memorised = values.loc[(group, "memorisation")], values.loc[(group, "memorised")]
        lines.append(
            f"    {name:<{width}} {'' if group == 'all' else group + 's':<15} {mean['value']:.3f} "
            f"[{mean['low']:.3f}, {mean['high']:.3f}]   {memorised['value']:4.0f} of {memorised['n_examples']:.0f}"
        )
        name = ""
    flagged, undefined = rows["runs_not_converged"].iloc[0], rows["examples_without_score"].iloc[0]
    warnings = []
    if flagged:
        warnings.append(f"flagged: {flagged} of {rows['runs'].iloc[0]} runs are below the in-sample target")
    if rows["pretraining_overlap"].iloc[0] != "no":
        warnings.append(f"pretrained: held-out images seen before: {rows['pretraining_overlap'].iloc[0]}")
    if "teacher_data" in rows and rows["teacher_data"].iloc[0] == "full":
        warnings.append("ablation: the teachers saw the labels that their students hold out")
    if undefined:
        warnings.append(f"{undefined} examples were never held out, or never trained on, and have no score")
    return lines + [f"{'':{5 + width}}{warning}" for warning in warnings]
