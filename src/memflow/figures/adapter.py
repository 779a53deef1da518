"""What the scripts in workflow/scripts/ share: command line in, files and sidecars out."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from memflow import config, log, provenance, uncommitted
from memflow.data import prepared
from memflow.figures import style
from memflow.files import write_csv

Tables = dict[str, pd.DataFrame]


def main(
    description: str,
    inputs: dict[str, str],
    table: Callable[..., pd.DataFrame],
    draw: Callable[..., Figure],
    pictures: bool = False,
) -> None:
    """Make one figure of one dataset.

    Parameters
    ----------
    description : str
        For ``--help``.
    inputs : dict of str to str
        Kinds of table that the figure needs, such as ``summary``; each is an option that takes one file for each entry
        of a list of the spec: ``architectures``, ``families``, ``largest``, ``drawn``, ``distillations``,
        ``proxied`` or ``attacked``; or a single one, for ``dataset``.
    table : callable
        Takes the spec (from :meth:`memflow.config.Study.figure_spec`, and others there) and the tables by kind, each
        with the files' rows one after the other and what their entry names in columns ``architecture``, ``family``,
        ``method`` or ``dataset``; returns the tidy table that holds every number of the figure.
    draw : callable
        Takes the spec and that table.
    pictures : bool
        Whether the figure shows images of the dataset: there is then an option ``--dataset``, and both functions
        take the :class:`~memflow.data.prepared.Dataset` as third argument.
    """
    arguments = _parse(description, [*inputs, *(["dataset"] if pictures else [])])
    with log.job(arguments.log):
        started, spec = provenance.now(), arguments.spec
        config.check_code(spec)
        files = {kind: getattr(arguments, kind) for kind in inputs}
        datasets = arguments.dataset if pictures else []
        read = [path for paths in (*files.values(), datasets) for path in paths]
        hashes = {path: provenance.read(path)["outputs"][path.name] for path in read}
        tables = {kind: _read(paths, inputs[kind], spec) for kind, paths in files.items()}
        dataset = [prepared.load(path) for path in datasets]
        numbers = table(spec, tables, *dataset)
        write_csv(arguments.csv, numbers)
        style.apply()
        stamp = uncommitted.STAMP if provenance.dirty_ancestry(read) else ""
        style.save(draw(spec, numbers, *dataset), arguments.pdf, arguments.png, stamp)
        outputs = [arguments.pdf, arguments.png, arguments.csv]
        provenance.write(outputs, spec, inputs=hashes, started=started)


def _parse(description: str, inputs: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--spec", type=json.loads, required=True, help="what determines the figure, as JSON")
    for kind in inputs:
        parser.add_argument(f"--{kind}", type=Path, nargs="+", required=True, help="files in the order of the spec")
    for kind in ("pdf", "png", "csv", "log"):
        parser.add_argument(f"--{kind}", type=Path, required=True, help=f"{kind} file to write")
    return parser.parse_args()


def _read(paths: list[Path], names: str, spec: dict[str, Any]) -> pd.DataFrame:
    entries = [spec["dataset"]] if names == "dataset" else spec[names]
    tables = [
        (pd.read_parquet if path.suffix == ".parquet" else pd.read_csv)(path).assign(**_columns(names, entry))
        for path, entry in zip(paths, entries, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _columns(names: str, entry: Any) -> dict[str, str]:
    """What the rows of an entry's file are of."""
    if names == "families":
        return {"family": entry["title"]}
    if isinstance(entry, dict):
        return {key: entry[key] for key in ("family", "architecture", "method") if key in entry}
    return {"dataset" if names == "dataset" else "architecture": entry}
