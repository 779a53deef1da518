"""What the scripts in workflow/scripts/ share: command line in, files and sidecars out."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from memflow import config, log, provenance
from memflow.figures import style
from memflow.files import write_csv

Tables = dict[str, pd.DataFrame]


def main(
    description: str,
    inputs: list[str],
    table: Callable[[dict[str, Any], Tables], pd.DataFrame],
    draw: Callable[[dict[str, Any], pd.DataFrame], Figure],
) -> None:
    """Make one figure of one dataset.

    Parameters
    ----------
    description : str
        For ``--help``.
    inputs : list of str
        Kinds of CSV that the figure needs, such as ``summary``; each is an option that takes one file per architecture.
    table : callable
        Takes the spec (from :meth:`memflow.config.Study.figure_spec`) and, for each kind, the files of all
        architectures as one table with a column ``architecture``; returns the tidy table that holds every
        number of the figure.
    draw : callable
        Takes the spec and that table.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--spec", type=json.loads, required=True, help="what determines the figure, as JSON")
    for kind in inputs:
        parser.add_argument(
            f"--{kind}", type=Path, nargs="+", required=True, help="one file per architecture of the spec"
        )
    for kind in ("pdf", "png", "csv", "log"):
        parser.add_argument(f"--{kind}", type=Path, required=True)
    arguments = parser.parse_args()
    with log.job(arguments.log):
        started = provenance.now()
        config.check_code(arguments.spec)
        files = {kind: getattr(arguments, kind) for kind in inputs}
        hashes = {path: provenance.read(path)["outputs"][path.name] for paths in files.values() for path in paths}
        tables = {kind: _read(paths, arguments.spec["architectures"]) for kind, paths in files.items()}
        numbers = table(arguments.spec, tables)
        write_csv(arguments.csv, numbers)
        style.apply()
        style.save(draw(arguments.spec, numbers), arguments.pdf, arguments.png)
        provenance.write(
            [arguments.pdf, arguments.png, arguments.csv],
            arguments.spec,
            inputs=hashes,
            started=started,
        )


def _read(paths: list[Path], architectures: list[str]) -> pd.DataFrame:
    tables = [
        pd.read_csv(path).assign(architecture=architecture)
        for path, architecture in zip(paths, architectures, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)
