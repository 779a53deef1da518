"""What a finished study found, in a few lines for the terminal."""

from pathlib import Path

import pandas as pd

from memflow.errors import InputError


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
        lines += [*_dataset(pd.read_csv(path)), f"  figures: {path.parent}/", ""]
    lines += [f"Scores of every example, with intervals: {folder}/scores/<dataset>/<architecture>/<method>.parquet"]
    lines += [f"Start with: {tables[0].with_suffix('.png')}"]
    return "\n".join(lines)


def _dataset(numbers: pd.DataFrame) -> list[str]:
    lines = [f"{numbers['dataset'].iloc[0]}:"]
    for family, members in numbers.groupby("family", sort=False):
        lines.append(f"  {family}")
        for architecture, rows in members.groupby("architecture", sort=False):
            lines += [f"    {architecture:<20} {_examples(rows)}{_flagged(rows)}"]
    return lines


def _examples(rows: pd.DataFrame) -> str:
    groups = [name for name in rows["examples"].unique() if name != "all"] or ["all"]
    values = rows.set_index(["examples", "quantity"])
    parts = []
    for group in groups:
        mean, memorised = values.loc[(group, "memorisation")], values.loc[(group, "memorised")]
        name = "" if group == "all" else f"{group}s: "
        parts.append(
            f"{name}mean memorisation {mean['value']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}], "
            f"{memorised['value']:.0f} of {memorised['n_examples']:.0f} memorised"
        )
    return "; ".join(parts)


def _flagged(rows: pd.DataFrame) -> str:
    flagged, runs = rows["runs_not_converged"].iloc[0], rows["runs"].iloc[0]
    return f" ({flagged} of {runs} runs below the in-sample target)" if flagged else ""
