"""Formats of training dynamics: data maps (Swayamdipta et al. 2020) and the AUM (Pleiss et al. 2020).

Both come from the runs on the whole training set that the proxies come from, and are means over these runs.
"""

import json
from pathlib import Path

import pandas as pd

from memflow.errors import InputError
from memflow.export.source import Source
from memflow.files import write_bytes, write_csv

DATA_MAP = {
    "confidence": "cumulative_confidence",
    "variability": "data_map_variability",
    "correctness": "cumulative_accuracy",
}


def write_data_map(source: Source, path: Path) -> str:
    """Write a line per example with its place on the data map; return what, in words.

    ``guid`` is the index in the official order and ``index`` the row, as in the published code. ``correctness`` is
    there the number of epochs in which the example was classified correctly; here its mean over the runs.
    """
    table, epochs = _originals(source, list(DATA_MAP.values())), source.tracked["runs"]["recipe"]["epochs"]
    table = table.rename(columns={proxy: name for name, proxy in DATA_MAP.items()})
    table["correctness"] *= epochs
    lines = [
        json.dumps({"guid": int(guid), "index": row, **{name: float(values[name]) for name in DATA_MAP}})
        for row, (guid, values) in enumerate(zip(table.index, table.to_dict("records"), strict=True))
    ]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
    return f"data map of {len(lines):,} training examples over {epochs} epochs; {_tracked_runs(source)}"


def write_aum(source: Source, path: Path) -> str:
    """Write ``sample_id`` (index in the official order) and ``aum``, highest first; return what, in words."""
    table = _originals(source, ["aum"]).rename_axis("sample_id").sort_values("aum", ascending=False, kind="stable")
    write_csv(path, table.reset_index())
    return f"area under the margin of {len(table):,} training examples; {_tracked_runs(source)}"


def _originals(source: Source, names: list[str]) -> pd.DataFrame:
    """Proxies in the direction of their sources, by index of the example, in official order."""
    proxies = source.study.proxies(source.name, source.architecture)
    if missing := sorted(set(names) - set(proxies["proxy"])):
        raise InputError(
            f"the proxies of {source.architecture} on {source.name} hold no {', '.join(missing)}; there are "
            f"{', '.join(proxies['proxy'].unique())}"
        )
    by_name = {name: proxies[proxies["proxy"] == name].set_index("index")["original"] for name in names}
    return pd.DataFrame(by_name, index=source.dataset.train.index, dtype="float64")


def _tracked_runs(source: Source) -> str:
    return f"mean of {source.tracked['n_runs']} tracked runs on the whole training set"
