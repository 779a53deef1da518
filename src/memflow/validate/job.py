"""One validation from start to end: read, check the order, compare, draw, and record what it was made from."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import provenance, uncommitted
from memflow.counts import Counts
from memflow.errors import InputError
from memflow.files import sha256, write_csv
from memflow.methods import ONE_HOT
from memflow.study import OpenStudy
from memflow.text import aligned
from memflow.validate import agreement, order
from memflow.validate import reference as references
from memflow.validate.agreement import Measure, Runs
from memflow.validate.reference import MEASURES, Names, Reference
from memflow.validation import closest


@dataclass(frozen=True)
class Choices:
    """How a reference is read and compared.

    Attributes
    ----------
    kind : str, optional
        Format of the file.
    names : Names, optional
        Of its columns.
    measure : str, optional
        What of the study it is compared with; without, the C-score for C-scores, and memorisation for all else.
    runs : Runs, optional
        Behind the reference.
    trust_order : bool
        Take a reference without labels.
    name : str, optional
        Of the reference, in the names of the files; that of its file without.
    confidence : float
    """

    kind: str | None = None
    names: Names | None = None
    measure: str | None = None
    runs: Runs | None = None
    trust_order: bool = False
    name: str | None = None
    confidence: float = 0.95


def run(
    study: OpenStudy, dataset: str, architecture: str, method: str | None, file: Path, choices: Choices | None = None
) -> str:
    """Compare a study's scores with those of a file, and write tables and figures of it into the study's results.

    Parameters
    ----------
    study : OpenStudy
    dataset, architecture : str
    method : str, optional
        One-hot without.
    file : Path
        Of reference scores.
    choices : Choices, optional

    Returns
    -------
    str
        A summary for a terminal.

    Raises
    ------
    InputError
        If the file cannot be read, or its rows are not the study's examples.
    """
    started, choices, method = provenance.now(), choices or Choices(), method or ONE_HOT
    merged = study.counts(dataset, architecture, method)
    reference = references.read(file, choices.kind, choices.names)
    rows, checked = order.rows(study, dataset, reference, choices.trust_order)
    scores, halves = _in_order(reference.scores, rows), None
    if reference.halves is not None:
        halves = np.stack([_in_order(half, rows) for half in reference.halves])
    measure = _measure(choices, reference, merged, scores)
    table = agreement.table(merged, measure, scores, confidence=choices.confidence, halves=halves, runs=choices.runs)
    numbers = pd.DataFrame(
        {"index": merged.index, "label": merged.label, "study": measure.of(merged), "reference": scores}
    )
    stem = _stem(study, dataset, architecture, method, choices.name or file.stem)
    titles = f"{choices.name or file.stem}: {measure.name}", f"{architecture}, {method}: {measure.name}"
    inputs = {**study.read, file: sha256(file)}
    paths = _write(stem, table, numbers, merged, measure, study, dataset, titles, inputs)
    definition = {
        "validate": reference.kind,
        **{"study": study.name, "dataset": dataset, "fingerprint": study.dataset(dataset).fingerprint},
        **{"architecture": architecture, "method": method, "reference": inputs[file], **_recorded(choices, measure)},
    }
    provenance.write(paths, definition, inputs={**study.read, file: inputs[file]}, started=started)
    first = f"{architecture}, {method}, on {dataset} against {file} ({reference.kind}): {measure.name}"
    said = [
        first,
        checked + ".",
        "",
        *_lines(table),
        "",
        *_notes(table, measure, reference, choices),
        f"Written: {stem}.*",
    ]
    return uncommitted.marked("\n".join(said), *paths)


def _measure(choices: Choices, reference: Reference, merged: Counts, scores: np.ndarray) -> Measure:
    name = choices.measure or ("c-score" if reference.kind == "c-score" else "memorisation")
    if name not in MEASURES:
        raise InputError(f"--measure is {name!r}{closest(name, MEASURES)}")
    has_negatives = bool((merged.scores() < 0).any())
    return Measure(name, clip=name == "memorisation" and has_negatives and not (scores < 0).any())


def _in_order(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)


def _stem(study: OpenStudy, dataset: str, architecture: str, method: str, name: str) -> Path:
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise InputError(f"the reference is called {name!r}; give it a name of letters, digits and - with --name")
    return study.folder / "validation" / dataset / architecture / f"{method}-vs-{name}"


def _write(
    stem: Path,
    table: pd.DataFrame,
    numbers: pd.DataFrame,
    merged: Counts,
    measure: Measure,
    study: OpenStudy,
    dataset: str,
    titles: tuple[str, str],
    inputs: dict[Path, str],
) -> list[Path]:
    """Tables and figures; the paths of all."""
    from memflow.figures import style
    from memflow.validate import figures

    data = study.dataset(dataset)
    shown = figures.disagreements(numbers, merged, measure, data)
    names = (".csv", ".examples.csv", ".disagreements.csv", ".pdf", ".png", ".disagreements.pdf", ".disagreements.png")
    paths = [stem.with_name(stem.name + name) for name in names]
    for path, content in zip(paths, (table, numbers, shown), strict=False):
        write_csv(path, content)
    style.apply()
    stamp = uncommitted.STAMP if provenance.dirty_ancestry(inputs) else ""
    style.save(figures.scatter(numbers, table, titles), paths[3], paths[4], stamp)
    title = "Under each image: score of the study (odd groups) | of the reference"
    style.save(figures.draw_disagreements(shown, data, title), paths[5], paths[6], stamp)
    return paths


def _recorded(choices: Choices, measure: Measure) -> dict[str, Any]:
    runs = choices.runs
    return {
        "measure": measure.name,
        "clipped": measure.clip,
        "confidence": choices.confidence,
        "order_trusted": choices.trust_order,
        "names": vars(choices.names) if choices.names else None,
        "reference_runs": {"number": runs.number, "ratio": str(runs.ratio)} if runs else None,
    }


def _lines(table: pd.DataFrame) -> list[str]:
    """The table for a terminal."""
    heads = ["examples", "statistic", "n", "value", "interval", "ceiling", "disattenuated", "interval"]
    lines = [heads]
    for row in table.itertuples():
        lines.append(
            [
                str(row.examples),
                str(row.statistic),
                f"{row.n_examples:,}",
                f"{row.value:.3f}",
                f"[{row.low:.3f}, {row.high:.3f}]",
                f"{row.ceiling:.3f}",
                f"{row.disattenuated:.3f}",
                f"[{row.disattenuated_low:.3f}, {row.disattenuated_high:.3f}]",
            ]
        )
    return aligned(lines, text_columns=2)


def _notes(table: pd.DataFrame, measure: Measure, reference: Reference, choices: Choices) -> list[str]:
    """What must be known to read the table."""
    first = table.iloc[0]
    notes = [
        f"Intervals ({choices.confidence:.0%}): over the study's {first['groups']:,} groups ({first['runs']:,} runs); "
        "the reference is taken as it is.",
    ]
    if np.isnan(first["ceiling_reference"]):
        notes.append(
            "Ceiling: of the study's side only; how reliable the reference is, is not known (--reference-runs and "
            "--reference-ratio, or --halves, tell it), so that the disattenuated value is too low."
        )
    elif reference.halves is not None:
        notes.append("Ceiling: of both sides; the reference's from its two halves.")
    else:
        fitted = ", if they fit what they are trained on" if measure.name == "memorisation" else ""
        notes.append(f"Ceiling: of both sides; the reference's from the number of its runs{fitted}.")
    if (table["low"] > table["ceiling"]).any():
        notes.append(
            "A value above its ceiling has noise in common with the reference: do the two share runs or subsets?"
        )
    if measure.clip:
        notes.append("Scores of the study below 0 count as 0, for the reference has none.")
    return notes
