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
        lines += [
            *_dataset(pd.read_csv(path, dtype={"family": "str"}).fillna({"family": ""})),
            f"  figures: {path.parent}/",
            "",
        ]
    lines += [f"Scores of every example, with intervals: {folder}/scores/<dataset>/<architecture>/<method>.parquet"]
    lines += [f"Start with: {tables[0].with_suffix('.png')}"]
    return "\n".join(lines)


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
    groups = [group for group in rows["examples"].unique() if group != "all"] or ["all"]
    values = rows.set_index(["examples", "quantity"])
    lines = []
    for group in groups:
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
