"""The scorecard: every claim, judged on every dataset and family of a study."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import counts, provenance
from memflow.claims import proxy, size, teaching, time
from memflow.claims.evidence import Evidence
from memflow.claims.rules import DEFINITIONAL, Part, deciding, verdicts
from memflow.claims.size import Found
from memflow.errors import InputError
from memflow.files import write_csv
from memflow.methods import ONE_HOT
from memflow.results import Results, read_numbers
from memflow.training.schedules import factor
from memflow.trajectories import scored_everywhere

LUKASIK, FUNDAMENTALS, FELDMAN = "Lukasik et al. 2024", "Fundamentals 2025", "Feldman & Zhang 2020"
DECAYED = 0.1  # of its peak: a learning rate that ends below it has decayed
COLUMNS = ["dataset", "family", "claim", "verdict", "statistic", "value", "low", "high", "claimed", "p_value", "p_holm"]
COLUMNS += ["n_examples", "runs", "missing", "statement", "source"]
PARTS = ["dataset", "family", "claim", "statistic", "value", "low", "high", "se", "df", "claimed", "n_examples"]


@dataclass(frozen=True)
class Claim:
    """A finding of the literature.

    Attributes
    ----------
    name, statement, source : str
    find : callable
        Takes the evidence; returns the claim's parts, or what the study lacks for them.
    is_definitional : bool
        Whether it holds by how the numbers are defined, so that there is nothing to judge.
    """

    name: str
    statement: str
    source: str
    find: Callable[[Evidence], Found]
    is_definitional: bool = False


CLAIMS = [
    Claim("mean falls", "The mean score falls with size once models fit their training set", LUKASIK, size.falls),
    Claim("tails grow", "More scores are near 0, and more near 1, in larger models", LUKASIK, size.tails),
    Claim("constant", "Some examples' scores do not change with size", LUKASIK, size.constant),
    Claim("increasing", "Some examples' scores rise with size", LUKASIK, size.increasing),
    Claim("decreasing", "Some examples' scores fall with size", LUKASIK, size.decreasing),
    Claim("cap-shaped", "Some examples' scores rise and fall with size", LUKASIK, size.cap_shaped),
    Claim("wrong labels", "Wrong labels are frequent among examples whose score rises", LUKASIK, size.wrong_labels),
    Claim("students fall", "Distillation lowers the mean score", LUKASIK, teaching.lowers),
    Claim("small students", "It lowers that of small students more", LUKASIK, teaching.smaller_students),
    Claim("large teachers", "A larger teacher lowers it more", LUKASIK, teaching.larger_teacher),
    Claim("most increasing", "It lowers most what increases with size", LUKASIK, teaching.increasing_most),
    Claim("students gain", "It improves test accuracy", LUKASIK, teaching.improves),
    Claim("proxies rank", "Proxies correlate with the score", LUKASIK, proxy.correlate),
    Claim("proxies' modes", "Proxies lack the score's two modes", LUKASIK, proxy.not_bimodal),
    Claim("proxies' trend", "Proxies lack a trend with size", LUKASIK, proxy.no_trend),
    Claim(
        "natural falls",
        "Larger models memorise fewer natural examples, and not fewer artificial ones",
        FUNDAMENTALS,
        size.natural_falls,
    ),
    Claim("three stages", "What is memorised rises and falls during training", FUNDAMENTALS, time.three_stages),
    Claim("schedule", "It falls because the learning rate decays", FUNDAMENTALS, time.follows_schedule),
    Claim("transient in size", "Some examples are memorised by smaller models only", FUNDAMENTALS, size.transient),
    Claim("transient in time", "Some examples are memorised for a time only", FUNDAMENTALS, time.transient),
    Claim("small groups", "These are of small parts of their classes", FUNDAMENTALS, size.subpopulations),
    Claim(
        "gap", "Memorisation follows the gap between training and test", FUNDAMENTALS, time.gap, is_definitional=True
    ),
    Claim(
        "not fitted", "Larger models memorise or generalise what small ones cannot fit", FUNDAMENTALS, size.not_fitted
    ),
    Claim("removal", "Without memorised examples the test accuracy falls", FELDMAN, teaching.removal_costs),
]


def run(spec: dict[str, Any], folder: Path, output: Path) -> None:
    """Judge all claims of a study.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.claims_spec`.
    folder : Path
        ``results/<study>``, with the stages that claims need finished.
    output : Path
        ``claims.csv``, with the columns of :func:`judge`; beside it ``claims.parts.csv``, every part of every claim.
    """
    started = provenance.now()
    results = Results(folder)
    evidence = dict(_evidence(spec, results))
    table, parts = judge(evidence, spec["confidence"])
    listed = output.with_suffix(".parts.csv")
    write_csv(output, table)
    write_csv(listed, parts)
    provenance.write([output, listed], spec, inputs=results.read, started=started)


def judge(
    evidence: dict[tuple[str, str], Evidence | str], confidence: float, claims: list[Claim] = CLAIMS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The card.

    Parameters
    ----------
    evidence : dict of (str, str) to (Evidence or str)
        By dataset and title of the family; or why no claim about it is allowed.
    confidence : float
        1 − it bounds the chance of any wrong verdict on the whole card (Holm 1979).
    claims : list of Claim

    Returns
    -------
    card : DataFrame
        A row per dataset, ``family`` and ``claim``: the ``verdict`` (:mod:`memflow.claims.rules`); of the part that
        decides it the ``statistic``, ``value``, ``low``, ``high`` (not adjusted for the number of claims), where it is
        ``claimed`` to lie, ``n_examples`` and ``runs`` (of each architecture); ``p_value`` and ``p_holm`` of the claim,
        what is ``missing``, ``statement`` and ``source``.
    parts : DataFrame
        A row for each part.
    """
    found = [(*key, claim, _find(claim, of)) for key, of in evidence.items() for claim in claims]
    testable = [parts if isinstance(parts, list) and not claim.is_definitional else [] for *_, claim, parts in found]
    rows, listed = [], []
    for (dataset, family, claim, parts), (verdict, p, q) in zip(found, verdicts(testable, confidence), strict=True):
        of = evidence[dataset, family]
        row: dict[str, Any] = {"dataset": dataset, "family": family, "claim": claim.name, "verdict": verdict}
        row |= {"p_value": p, "p_holm": q, "statement": claim.statement, "source": claim.source}
        row["runs"] = len(of.first.converged) if isinstance(of, Evidence) else np.nan
        if isinstance(parts, str):
            rows.append(row | {"missing": parts})
            continue
        if claim.is_definitional:
            row["verdict"] = DEFINITIONAL
        listed += [{**_described(part, confidence), **row} for part in parts]
        shown = _described(deciding(parts), confidence)
        row["runs"] = row["runs"] if np.isnan(shown["runs"]) else shown["runs"]
        rows.append({**shown, **row, "missing": ""})
    return pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(listed, columns=PARTS)


def read(folder: Path) -> pd.DataFrame:
    """The card of a finished study.

    Raises
    ------
    InputError
        If there is none.
    """
    path = folder / "claims.csv"
    if not path.is_file():
        raise InputError(f"{folder} holds no claims.csv; run snakemake first (claims are about families of sizes)")
    return read_numbers(path)


def describe(card: pd.DataFrame) -> str:
    """The card as lines for a terminal."""
    lines = []
    for (dataset, family), rows in card.groupby(["dataset", "family"], sort=False):
        lines += [f"{dataset}, {family}" if family else str(dataset)]
        for row in rows.to_dict("records"):
            lines.append(f"  {row['verdict']:<12}  {row['statement']} ({row['source']})")
            lines.append(f"  {'':<12}  {finding(row)}")
        lines.append("")
    return "\n".join(lines)


def finding(row: Mapping[Any, Any]) -> str:
    """What a row of the card found, in words."""
    if row["missing"]:
        return f"needs {row['missing']}"
    if row["verdict"] == DEFINITIONAL:
        return f"{row['statistic']}: {row['value']:.3f}"
    if not np.isfinite(row["low"]):
        return f"{row['statistic']}: {row['value']:.3f}, without variation between the runs"
    found = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}], claimed {row['claimed']}"
    return f"{row['statistic']}: {found.replace('-', '−')}"


def _find(claim: Claim, evidence: Evidence | str) -> Found:
    return evidence if isinstance(evidence, str) else claim.find(evidence)


def _described(part: Part, confidence: float) -> dict[str, Any]:
    low, high = part.limits(confidence)
    numbers = {"value": part.value, "low": low, "high": high, "se": part.se, "df": part.df}
    return {"statistic": part.name, **numbers, "claimed": part.region, "n_examples": part.n_examples, "runs": part.runs}


def _evidence(spec: dict[str, Any], results: Results) -> Iterator[tuple[tuple[str, str], Evidence | str]]:
    for dataset, part in spec["datasets"].items():
        for name, family in part["families"].items():
            seen = [member for member, overlap in family["pretraining_overlap"].items() if overlap != "no"]
            yield (
                (dataset, family["title"]),
                f"weights that have not seen the held-out images (pretraining_overlap of {', '.join(seen)})"
                if seen
                else _of_family(spec, part, results, dataset, name),
            )


def _of_family(spec: dict[str, Any], part: dict[str, Any], results: Results, dataset: str, name: str) -> Evidence:
    members = part["families"][name]["architectures"]

    def merged(architecture: str, method: str = ONE_HOT) -> counts.Counts:
        return counts.load_last(results.path(f"counts/{dataset}/{architecture}/{method}.npz"))

    one_hot = {member: merged(member) for member in members}
    sizes = scored_everywhere(one_hot)
    where = np.isin(next(iter(one_hot.values())).index, next(iter(sizes.values())).index)
    distilled = {
        method: {student: merged(student, method).select(where) for student in students}
        for family, method, students in part["distilled"]
        if family == name
    }
    teachers = {method: part["teachers"][method] for method in distilled}
    named = [teacher for teacher in teachers.values() if teacher in part["architectures"]]
    tables: Any = {
        kind: {member: results.table(path.format(member=member)) for member in members if member in part[known]}
        for kind, known, path in (
            ("agreement", "tracked", f"proxies/{dataset}/{{member}}.agreement.csv"),
            ("proxies", "tracked", f"proxies/{dataset}/{{member}}.summary.csv"),
            ("removal", "removal", f"removal/{dataset}/{{member}}.csv"),
        )
    }
    return Evidence(
        sizes,
        **{key: spec[key] for key in ("tau", "memorised_at", "confidence")},
        distilled=distilled,
        teachers=teachers,
        teacher_sizes={teacher: (one_hot.get(teacher) or merged(teacher)).parameters for teacher in named},
        epochs={of: results.table(f"epochs/{dataset}/{of}/{ONE_HOT}.csv") for of in part["schedules"]},
        schedules={of: _schedule(**entry) for of, entry in part["schedules"].items()},
        flows=results.table(f"transitions/{dataset}/{name}/{ONE_HOT}.csv"),
        transient=results.table(f"transitions/{dataset}/{name}/{ONE_HOT}.transient.csv"),
        **tables,
    )


def _schedule(architecture: dict[str, Any], recipe: dict[str, Any]) -> dict[str, object]:
    others = {key: value for key, value in recipe.items() if key != "schedule"}
    left = factor(recipe["schedule"], recipe["epochs"], recipe["epochs"])
    return {"alike": json.dumps([architecture, others], sort_keys=True), "decays": left < DECAYED}
