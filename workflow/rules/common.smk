import os
import sys
from pathlib import Path

import memflow
from memflow import costs
from memflow.config import ConfigError, Study, as_text

if not Path(memflow.__file__).is_relative_to(workflow.basedir):
    sys.exit(
        f"memflow: this environment runs the code in {Path(memflow.__file__).parent}, not that of {workflow.basedir}; "
        "activate the environment of this clone (make env, then . .venv/bin/activate)"
    )

try:
    study = Study(config)
except ConfigError as error:
    sys.exit(f"memflow: {error}")

COSTS = costs.read(Path(workflow.basedir) / costs.TABLE)
RESULTS = f"results/{study.name}"
ENVIRONMENT = "../../envs/memflow.yaml"
FIGURES = ["mean_memorisation", "score_distribution", "most_memorised", "hazards"]
ALONG_FAMILIES = ["trajectories", "trajectory_examples"]


wildcard_constraints:
    dataset="|".join(study.datasets),
    architecture="|".join(study.architectures),
    method="|".join(study.methods),
    family="|".join(study.families) or "none",
    block=r"\d+",


def prepare_spec(wildcards):
    return as_text(study.prepare_spec(wildcards.dataset))


def local_files(wildcards):
    """Files of the user's own that a dataset is made from."""
    return study.local_files(wildcards.dataset)


def block_spec(wildcards):
    planned = os.environ.get("MEMFLOW_PLAN")  # in a cluster job: see onstart
    try:
        if planned:
            study.check_plan(planned, wildcards.dataset, wildcards.architecture, wildcards.method)
    except ConfigError as error:
        sys.exit(f"memflow: {error}")
    return as_text(study.block_spec(wildcards.dataset, wildcards.architecture, wildcards.method, int(wildcards.block)))


def train_gpus(wildcards):
    """One for a network; the reference learners do without."""
    return int(wildcards.architecture not in study.references)


def train_minutes(wildcards, attempt):
    """Time limit of a block: twice what the cost table says, and more on every retry."""
    return costs.minutes(cost(wildcards), study.config["block_size"], attempt)


def train_memory(wildcards, attempt):
    """Memory of a block in MB, with a margin, and more on every retry."""
    return costs.memory_mb(cost(wildcards), attempt)


def cost(wildcards):
    """What the cost table says of a run, or None."""
    spec = study.runs_spec(wildcards.dataset, wildcards.architecture, wildcards.method)
    return costs.find(COSTS, costs.definition(spec))


def counts_spec(wildcards):
    return as_text(study.counts_spec(wildcards.dataset, wildcards.architecture, wildcards.method))


def scores_spec(wildcards):
    return as_text(study.scores_spec(wildcards.dataset, wildcards.architecture))


def trajectories_spec(wildcards):
    return as_text(study.trajectories_spec(wildcards.dataset, wildcards.family))


def family_counts(wildcards):
    """Counts of a family's architectures, smallest first."""
    members = study.families[wildcards.family]["architectures"]
    return collect(f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz", architecture=members, **wildcards)


def family_counts_sidecars(wildcards):
    return [f"{path}.prov.json" for path in family_counts(wildcards)]


def report_spec(wildcards):
    return as_text(study.report_spec({dataset: figures_on(dataset) for dataset in study.datasets}))


def figure_spec(figure):
    return lambda wildcards: as_text(study.figure_spec(figure, wildcards.dataset))


def hazards_spec(wildcards):
    return as_text(study.hazards_spec(wildcards.dataset))


def drawn(kind, architectures=study.drawn):
    """Files of one kind of the scores, one for each architecture in a figure."""
    path = f"{RESULTS}/scores/{{dataset}}/{{architecture}}/one-hot.{kind}"
    return lambda wildcards: collect(path, architecture=architectures(wildcards.dataset), **wildcards)


def along_families(kind):
    """Files of one kind of the trajectories, one for each family."""
    path = f"{RESULTS}/trajectories/{{dataset}}/{{family}}/one-hot.{kind}"
    return lambda wildcards: collect(path, family=study.families_on(wildcards.dataset), **wildcards)


def figures_on(dataset):
    """Names of the figures of a dataset."""
    return FIGURES + (ALONG_FAMILIES if study.families_on(dataset) else [])


def figure(name):
    """Outputs of a figure's rule; the PNG goes into Snakemake's report."""
    path = f"{RESULTS}/figures/{{dataset}}/{name}"
    outputs = with_sidecars(pdf=f"{path}.pdf", png=f"{path}.png", csv=f"{path}.csv")
    shown = report(outputs["png"], caption=f"../report/{name}.rst", category="{dataset}", labels={"figure": name})
    return outputs | {"png": shown}


def all_figures():
    return [f"{RESULTS}/figures/{dataset}/{name}.pdf" for dataset in study.datasets for name in figures_on(dataset)]


def all_scores():
    return [f"{RESULTS}/scores/{'/'.join(run)}.parquet" for run in study.runs]


def all_trajectories():
    return [
        f"{RESULTS}/trajectories/{dataset}/{family}/{method}.parquet"
        for dataset in study.datasets
        for family in study.families_on(dataset)
        for method in study.methods
    ]


def with_sidecars(**outputs):
    """Outputs of a rule, each with its sidecar."""
    return outputs | {f"{name}_provenance": f"{path}.prov.json" for name, path in outputs.items()}
