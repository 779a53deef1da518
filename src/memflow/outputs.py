"""Every output of a study, upstream first: where it lies in its results, and the spec that it is to be made from.

The rules in workflow/ say the same to Snakemake, job by job; this is for whoever must answer without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from memflow.config import Spec, Study
from memflow.methods import ONE_HOT

FIGURES = ["mean_memorisation", "score_distribution", "most_memorised", "memorised_vs_size", "hazards"]
OVER_TIME = ["memorised_vs_epoch", "score_distribution_by_epoch", "train_test_gap"]
ALONG_FAMILIES = ["trajectories", "trajectory_examples", "transitions", "transient", "sensitivity"]
OF_NOISE = ["artificial_vs_natural"]
OF_DISTILLATION = ["distillation_joint", "distillation_by_trajectory", "teacher_transfer"]
OF_PROXIES = ["proxy_agreement", "proxy_bimodality", "proxy_trajectories", "proxy_disagreement"]
OF_PRIVACY = ["memorisation_vs_vulnerability"]
ALL_FIGURES = FIGURES + OVER_TIME + ALONG_FAMILIES + OF_NOISE + OF_DISTILLATION + OF_PROXIES + OF_PRIVACY


@dataclass(frozen=True)
class Job:
    """What makes one file, and perhaps others beside it.

    Attributes
    ----------
    stage : str
        As in :data:`memflow.config.STAGES`.
    output : str
        Its first file, from ``results/<study>``.
    spec : dict
    """

    stage: str
    output: str
    spec: Spec


def jobs(study: Study) -> Iterator[Job]:
    """All jobs of a study; each comes after those whose outputs it reads."""
    for dataset in study.datasets:
        yield Job("data", f"data/{dataset}.npz", study.prepare_spec(dataset))
    for run in study.runs:
        if study.methods[run[2]].kind != "removal":  # they need a selection, which needs counts
            yield from _blocks(study, run)
    for run in study.scored:
        yield Job("counts", f"counts/{'/'.join(run)}.npz", study.counts_spec(*run))
        yield Job("scores", f"scores/{'/'.join(run)}.parquet", study.scores_spec(*run))
    for dataset in study.datasets:
        yield from _tables(study, dataset)
    if any(map(study.families_on, study.datasets)):
        yield Job("claims", "claims.csv", study.claims_spec())
    for dataset in study.datasets:
        for figure in figures_on(study, dataset):
            yield Job("figures", f"figures/{dataset}/{figure}.pdf", figure_spec(study, figure, dataset))
    yield Job("browser", "browser/index.html", study.browser_spec())
    yield Job("audit", "audit.json", study.audit_spec())
    yield Job("report", "report/report.html", report_spec(study))


def figures_on(study: Study, dataset: str) -> list[str]:
    """Names of the figures of a dataset."""
    figures = FIGURES + OVER_TIME + (ALONG_FAMILIES if study.families_on(dataset) else [])
    figures += OF_NOISE if study.has_artificial(dataset) else []
    figures += OF_DISTILLATION if study.distilled_along(dataset) else []
    figures += OF_PROXIES if study.tracked(dataset) else []
    return figures + (OF_PRIVACY if study.privacy_on(dataset) else [])


def figure_spec(study: Study, figure: str, dataset: str) -> Spec:
    """What determines a figure, besides its tables."""
    if figure in OF_DISTILLATION:
        return study.distillation_figure_spec(figure, dataset)
    if figure in OF_PROXIES:
        return study.proxy_figure_spec(figure, dataset)
    special = {
        "mean_memorisation": study.mean_memorisation_spec,
        "memorised_vs_epoch": study.schedule_figure_spec,
        "hazards": study.hazards_spec,
        "memorisation_vs_vulnerability": study.privacy_figure_spec,
    }
    return special[figure](dataset) if figure in special else study.figure_spec(figure, dataset)


def report_spec(study: Study) -> Spec:
    """What determines the report, besides what it shows."""
    return study.report_spec({dataset: figures_on(study, dataset) for dataset in study.datasets})


def _blocks(study: Study, run: tuple[str, str, str]) -> Iterator[Job]:
    of_run, method = study.runs_spec(*run), study.methods[run[2]]
    for block in method.blocks:
        yield Job("runs", f"runs/{'/'.join(run)}/block-{block}.npz", {**of_run, "seeds": method.seeds_of(block)})


def _tables(study: Study, dataset: str) -> Iterator[Job]:
    """Of the stages between scores and figures, on one dataset."""
    for name in study.architectures_on(dataset):
        yield Job("epochs", f"epochs/{dataset}/{name}/{ONE_HOT}.csv", study.epochs_spec(dataset, name))
    for family in study.families_on(dataset):
        of_family = f"{dataset}/{family}/{ONE_HOT}"
        yield Job("trajectories", f"trajectories/{of_family}.parquet", study.trajectories_spec(dataset, family))
        yield Job("transitions", f"transitions/{of_family}.csv", study.transitions_spec(dataset, family))
        yield Job("sensitivity", f"sensitivity/{dataset}/{family}.csv", study.sensitivity_spec(dataset, family))
    for family, method in study.distilled_along(dataset):
        path = f"distillation/{dataset}/{family}/{method}.parquet"
        yield Job("distillation", path, study.distillation_spec(dataset, family, method))
    for name in study.tracked(dataset):
        yield Job("proxies", f"proxies/{dataset}/{name}.parquet", study.proxies_spec(dataset, name))
    for name, method in study.influence_on(dataset):
        path = f"influence/{dataset}/{name}/{method}.parquet"
        yield Job("influence", path, study.influence_spec(dataset, name, method))
    for name, method in study.privacy_on(dataset):
        yield Job("privacy", f"privacy/{dataset}/{name}/{method}.parquet", study.privacy_spec(dataset, name, method))
    for name in study.removal_on(dataset):
        yield Job("selection", f"removal/{dataset}/{name}.removed.npz", study.selection_spec(dataset, name))
        for run in study.runs:
            if run[:2] == (dataset, name) and study.methods[run[2]].kind == "removal":
                yield from _blocks(study, run)
        yield Job("removal", f"removal/{dataset}/{name}.csv", study.removal_spec(dataset, name))
