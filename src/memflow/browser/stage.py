"""Stage browser: write the page and what it loads."""

import json
import logging
from html import escape
from pathlib import Path
from typing import Any

from scipy.special import ndtri

from memflow import provenance
from memflow.browser import sheets
from memflow.browser.assets import Assets
from memflow.browser.columns import FLAGS, NEIGHBOURS, SCOPES, Columns, Tables, examples
from memflow.data import prepared
from memflow.data.prepared import Dataset
from memflow.files import sha256, write_bytes
from memflow.methods import ONE_HOT
from memflow.proxy_names import name as proxy_name
from memflow.results import Results
from memflow.uncommitted import STAMP

log = logging.getLogger(__name__)

SCRIPTS = ("data", "view", "gallery", "controls", "detail", "numbers", "charts")
VENDORED = ("d3", "plot")  # in the order in which they are loaded
CHUNK = 4096  # examples to a file of what only a detail view needs


def run(spec: dict[str, Any], results: Path, page: Path, output: Path) -> None:
    """Write the browser of a study.

    Parameters
    ----------
    spec : dict
        ``study``, ``confidence``, ``memorised_at``, ``tau``, and ``datasets``: of each its ``scored`` architectures and
        methods, ``families``, ``tracked`` architectures, and architectures and methods with ``influence``.
    results : Path
        ``results/<study>``, with all tables finished.
    page : Path
        Folder of the page's sources.
    output : Path
        ``index.html``. Beside it are written ``data/``, ``images/`` and ``vendor/``.

    Raises
    ------
    ProvenanceError
        If a table is not what its sidecar says, or is not of the dataset's examples; the message names the file.
    """
    started = provenance.now()
    reader, assets = Results(results), Assets(output.parent)
    sources = {path: sha256(path) for path in sorted(page.rglob("*")) if path.is_file()}
    datasets = [_dataset(reader, assets, spec, name) for name in spec["datasets"]]
    inputs = reader.read | sources
    study = {
        **{key: spec[key] for key in ("study", "confidence", "memorised_at", "tau")},
        "z": float(ndtri((1 + spec["confidence"]) / 2)),
        "flags": FLAGS,
        "sheet": {"across": sheets.ACROSS, "count": sheets.PER_SHEET},
        "chunk": CHUNK,
        "scopes": SCOPES,
        "neighbours": NEIGHBOURS,
        "stamp": STAMP if provenance.dirty_ancestry(inputs) else "",
        "vendor": [_library(assets, page / "vendor", name) for name in VENDORED],
        "datasets": datasets,
    }
    write_bytes(output, _filled(page, study))
    log.info("%s: %d files beside it", output, len(assets.written))
    assets.remove_stale()
    provenance.write([output], spec, inputs=inputs, started=started, details={"assets": assets.written})


def _dataset(results: Results, assets: Assets, spec: dict[str, Any], name: str) -> dict[str, Any]:
    """Write one dataset's files; what the page must know to load them."""
    entry = spec["datasets"][name]
    dataset = prepared.load(results.path(f"data/{name}.npz"))
    tables = Tables(results, name, dataset)
    copies = tables.copies_in_test()
    columns = examples(dataset) | copies
    families = []
    for key, family in _families(entry):
        types, codes, numbers = tables.trajectories(f"trajectories/{name}/{key}/{ONE_HOT}.parquet")
        columns[f"type:{key}"] = codes
        families.append({"key": key, **family, **types, "file": assets.add_columns(f"{name}.{key}", numbers)})
    return {
        "name": name,
        "fingerprint": dataset.fingerprint,
        "count": len(dataset.train),
        "classes": dataset.class_names,
        "images": _images(assets, name, dataset, bool(entry["influence"]) or len(copies["copy_test"]) > 0),
        "examples": assets.add_columns(f"{name}.examples", columns),
        "families": families,
        "networks": [_network(tables, assets, spec, *scored) for scored in entry["scored"]],
        "first": _first(entry),
        "proxies": {of: _proxies(tables, assets, of) for of in entry["tracked"]},
        "influence": [_influence(tables, assets, *of) for of in entry["influence"]],
    }


def _images(assets: Assets, name: str, dataset: Dataset, tested: bool) -> dict[str, Any]:
    """Write the sheets; those of the test split where something names test examples."""
    height, width = dataset.train.images.shape[1:3]
    labels = {"index": dataset.test.index, "label": dataset.test.labels}
    return {
        "size": [height, width],
        "shown": sheets.size(height, width),
        "train": sheets.add(assets, f"{name}.train", dataset.train.images),
        "test": sheets.add(assets, f"{name}.test", dataset.test.images) if tested else [],
        "test_count": len(dataset.test),
        "test_file": assets.add_columns(f"{name}.test", labels) if tested else "",
    }


def _network(tables: Tables, assets: Assets, spec: dict[str, Any], architecture: str, method: str) -> dict[str, Any]:
    """Write the scores of one architecture and method, after the last epoch and at each."""
    table = f"scores/{tables.name}/{architecture}/{method}"
    file = f"{tables.name}.{architecture}.{method}"
    counts, record = tables.scores(f"{table}.parquet", spec["confidence"])
    epochs, by_epoch = tables.epochs(f"{table}.epochs.parquet", spec["confidence"])
    of_runs = tables.results.table(f"{table}.summary.csv").iloc[0]
    return {
        "architecture": architecture,
        "method": method,
        **{key: int(of_runs[key]) for key in ("parameters", "runs", "runs_not_converged")},
        "ratio": record["summary"]["ratio"],
        "notes": _notes(record["summary"]),
        "tables": {
            kind: {"table": f"{table}{suffix}", "sha256": record["outputs"][f"{method}{suffix}"]}
            for kind, suffix in (("last", ".parquet"), ("epochs", ".epochs.parquet"))
        },
        "file": assets.add_columns(file, counts),
        "epochs": epochs,
        "chunks": _chunks(assets, f"{file}.epochs", by_epoch),
    }


def _notes(summary: dict[str, Any]) -> list[str]:
    """What may have told a network labels that it must not know."""
    notes = []
    if summary.get("pretraining_overlap", "no") != "no":
        notes.append("its pretraining may have seen these images")
    if summary.get("teacher_data") == "full":
        notes.append("its teachers saw all labels (an ablation)")
    return notes


def _proxies(tables: Tables, assets: Assets, architecture: str) -> dict[str, Any]:
    table = f"proxies/{tables.name}/{architecture}.parquet"
    rising, values = tables.proxies(table)
    names = [{"key": key, "name": proxy_name(key), "rising": rises} for key, rises in rising.items()]
    return {
        "names": names,
        "file": assets.add_columns(f"{tables.name}.{architecture}.proxies", values),
        "table": table,
    }


def _influence(tables: Tables, assets: Assets, architecture: str, method: str) -> dict[str, Any]:
    table = f"influence/{tables.name}/{architecture}/{method}.by_train.parquet"
    chunks = _chunks(assets, f"{tables.name}.{architecture}.{method}.influence", tables.neighbours(table))
    return {"architecture": architecture, "method": method, "table": table, "chunks": chunks}


def _chunks(assets: Assets, name: str, columns: Columns) -> list[str]:
    """Files of some examples each."""
    starts = range(0, len(next(iter(columns.values()))), CHUNK)
    return [
        assets.add_columns(f"{name}-{number}", {key: column[start : start + CHUNK] for key, column in columns.items()})
        for number, start in enumerate(starts)
    ]


def _families(entry: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Families in the order of their architectures; that of their names may be any, since specs are sorted."""
    order = [architecture for architecture, _ in entry["scored"]]
    return sorted(entry["families"].items(), key=lambda item: order.index(item[1]["architectures"][0]))


def _first(entry: dict[str, Any]) -> int:
    """Which of the scored networks is shown first: the largest of the first family, or else the last one-hot one."""
    scored = [tuple(of) for of in entry["scored"]]
    largest = [(family["architectures"][-1], ONE_HOT) for _, family in _families(entry)]
    one_hot = [of for of in scored if of[1] == ONE_HOT]
    return scored.index(next(of for of in [*largest, *reversed(one_hot), *scored] if of in scored))


def _library(assets: Assets, folder: Path, name: str) -> str:
    """A library with its licence before it."""
    licence, code = ((folder / f"{name}.{suffix}").read_bytes() for suffix in ("LICENSE", "min.js"))
    return assets.add(f"vendor/{name}", "js", b"/*!\n" + licence + b"*/\n" + code)


def _filled(page: Path, study: dict[str, Any]) -> bytes:
    """The page with its style, its scripts and what they must know."""
    text = (page / "index.html").read_text(encoding="utf-8")
    about = json.dumps(study, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    parts = {
        "title": escape(study["study"]),
        "style": (page / "browser.css").read_text(encoding="utf-8"),
        "study": about,
        "script": "\n".join((page / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS),
    }
    for key, content in parts.items():
        text = text.replace(f"<!-- {key} -->", content)
    return text.encode()
