"""Stage report: one self-contained HTML page of a study, with its findings in sentences and its figures.

Snakemake's own report (``snakemake --report``) shows the same figures and captions beside the graph of jobs and their
run times. It has no place for findings with numbers, is no tracked target, and needs Snakemake's own records.
"""

import base64
import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import yaml

from memflow import findings, provenance, sensitivity
from memflow.claims import card
from memflow.figures.hazards import describe as describe_hazards
from memflow.files import sha256, write_bytes
from memflow.methods import ONE_HOT
from memflow.results import Results


def run(spec: dict[str, Any], folder: Path, template: Path, captions: list[Path], output: Path) -> None:
    """Write the report.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.report_spec`.
    folder : Path
        ``results/<study>``, with everything else finished.
    template : Path
        Jinja2 template of the page.
    captions : list of Path
        The text of each figure, in a file of its name.
    output : Path
    """
    started = provenance.now()
    results, config = Results(folder), yaml.safe_load(spec["config"])
    audit = json.loads(results.path("audit.json").read_text(encoding="utf-8"))
    texts = {path.stem: path.read_text(encoding="utf-8").strip() for path in captions}
    datasets = [
        {
            "name": name,
            "hazards": describe_hazards(
                results.table(f"data/{name}.hazards.csv"), config["datasets"][name]["near_duplicates"]
            ),
            "distillation": _distillation(results, config, name, part["distilled"]),
            "proxies": _proxies(results, name, part["tracked"]),
            "findings": _findings(results, config, name, part["families"]),
            "removal": findings.of_removal(
                {of: results.table(f"removal/{name}/{of}.csv") for of in part["removal"]}, config["memorised_at"]
            ),
            "sensitivity": [
                {
                    "title": config["families"][family]["title"],
                    "sentences": sensitivity.sentences(results.table(f"sensitivity/{name}/{family}.csv")),
                }
                for family in part["families"]
            ],
            "runs": [_runs(results, name, *run) for run in part["scored"]],
            "figures": [
                {
                    "name": figure,
                    "caption": texts[figure],
                    "origin": audit["figures"][f"{name}/{figure}"],
                    "png": _picture(results.path(f"figures/{name}/{figure}.png")),
                }
                for figure in part["figures"]
            ],
        }
        for name in config["datasets"]
        for part in [spec["datasets"][name]]
    ]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.undefined = jinja2.StrictUndefined
    page = environment.from_string(template.read_text(encoding="utf-8")).render(
        config=config,
        config_text=spec["config"],
        datasets=datasets,
        cards=_cards(results, spec["datasets"]),
        made=_made(results, config, spec["datasets"]),
        audit=audit,
        folder=folder,
    )
    write_bytes(output, page.encode())
    texts_read = {path: sha256(path) for path in (template, *captions)}
    provenance.write([output], spec, inputs=results.read | texts_read, started=started)


def _cards(results: Results, datasets: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows of the scorecard by dataset and family, each with its finding in words; none without a family."""
    if not any(part["families"] for part in datasets.values()):
        return {}
    cards: dict[tuple[str, str], list[dict[str, Any]]] = {}
    rows: list[Any] = results.table("claims.csv").to_dict("records")
    for row in rows:
        cards.setdefault((row["dataset"], row["family"]), []).append({**row, "finding": card.finding(row)})
    return cards


def _picture(path: Path) -> str:
    """A PNG as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _findings(results: Results, config: dict[str, Any], dataset: str, families: list[str]) -> list[dict[str, Any]]:
    """Sentences by family."""
    numbers = results.table(f"figures/{dataset}/mean_memorisation.csv")
    parts = []
    for name in families:
        title = config["families"][name]["title"]
        changes, power = (
            results.table(f"trajectories/{dataset}/{name}/{ONE_HOT}.{kind}.csv") for kind in ("summary", "power")
        )
        rows = numbers[(numbers["family"] == title) & (numbers["method"] == ONE_HOT)]
        sentences = findings.along_family(rows, changes, config["memorised_at"])
        if (rows["pretraining_overlap"] == "no").all():
            sentences += findings.of_types(changes, power, config["fdr"])
        parts.append({"title": title, "sentences": sentences})
    return parts


def _distillation(
    results: Results, config: dict[str, Any], dataset: str, distilled: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Sentences by family: of each method, and where methods share students, of all side by side."""
    parts = []
    for family in dict.fromkeys(family for family, _ in distilled):
        summaries, sentences = {}, []
        for method in (method for of, method in distilled if of == family):
            name, entry = f"distillation/{dataset}/{family}/{method}.summary.csv", config["distillation"][method]
            summaries[method] = results.table(name)
            overlaps = results.record(name)["definition"]["pretraining_overlap"]
            sentences += findings.of_distillation(summaries[method], method, entry, overlaps)
        sentences += findings.side_by_side(summaries, config["distillation"])
        parts.append({"title": config["families"][family]["title"], "sentences": sentences})
    return parts


def _proxies(results: Results, dataset: str, tracked: list[str]) -> dict[str, Any]:
    """Sentences, and a table for each group of examples; nothing where no runs were tracked."""
    if not tracked:
        return {}
    agreements = {name: results.table(f"proxies/{dataset}/{name}.agreement.csv") for name in tracked}
    groups = findings.proxy_groups(agreements)
    return {
        "sentences": findings.of_proxies(agreements),
        "architectures": tracked,
        "tables": {group: findings.proxy_rows(agreements, group) for group in groups},
    }


def _runs(results: Results, dataset: str, architecture: str, method: str) -> dict[str, Any]:
    """One line of the table of runs: what they reached, and what is flagged."""
    scores = f"scores/{dataset}/{architecture}/{method}"
    summary = results.table(f"{scores}.summary.csv")
    of_all: Any = summary[summary["examples"] == "all"].set_index("quantity")
    return {
        "name": architecture if method == ONE_HOT else f"{architecture}, {method}",
        "teacher_data": of_all["teacher_data"].iloc[0] if "teacher_data" in summary else None,
        "values": {name: of_all.loc[name, "value"] for name in ("acc_in", "acc_out", "acc_test", "memorisation")},
        "reliability": results.record(f"{scores}.parquet")["summary"]["reliability"],
        **of_all.iloc[0][["parameters", "runs", "runs_not_converged", "examples_without_score"]].to_dict(),
    }


def _made(results: Results, config: dict[str, Any], datasets: dict[str, Any]) -> dict[str, Any]:
    """Where, when and with which code the study's runs were made, and what of that is not the same for all."""
    records = [
        results.record(f"runs/{dataset}/{architecture}/{method}/block-{number}.npz")
        for dataset, part in datasets.items()
        for architecture, method, blocks in part["blocks"]
        for number in range(blocks)
    ]
    conditions = [record["bit_conditions"] for record in records]
    circumstances = sorted((record["circumstance"] for record in records), key=lambda of: of["finished"])
    used = {
        "devices": Counter(f"{of['device']} ({of['device_name']})" for of in conditions),
        "versions of PyTorch": Counter(of["torch"] for of in conditions),
        "commits": Counter(_commit(of) for of in circumstances),
    }
    times = [[datetime.fromisoformat(of[key]) for key in ("started", "finished")] for of in circumstances]
    return {
        "jobs": len(records),
        "used": used,
        "mixed": {kind: counts for kind, counts in used.items() if len(counts) > 1},
        "last": circumstances[-1],
        "days": sorted({min(times)[0].date(), times[-1][1].date()}),
        "duration": sum((finish - start for start, finish in times), timedelta()),
    }


def _commit(circumstance: dict[str, Any]) -> str:
    commit = circumstance["commit"] or "no commit"
    return f"{commit} with uncommitted changes" if circumstance["dirty"] else commit
