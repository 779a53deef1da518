import json
import os
import sys
from pathlib import Path

import memflow
from memflow import costs, outputs
from memflow.config import ConfigError, Study, as_text, local_files
from memflow.methods import ARMS, FULL_DATA, ONE_HOT, SELF, removal_method

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
PAGE = "workflow/browser"

TRAIN = (
    "memflow train --spec {params.spec:q} --dataset {input.dataset:q} --teachers {input.teachers:q}"
    " --removed {input.removed:q} --output {output.block:q} --log {log:q} --checkpoint-minutes {resources.checkpoint_minutes}"
    " --keep-weights {resources.keep_weights}"
)


wildcard_constraints:
    dataset="|".join(study.datasets),
    architecture="|".join(study.architectures),
    method="|".join(study.methods),
    family="|".join(study.families) or "none",
    block=r"\d+",


def prepare_spec(wildcards):
    return as_text(study.prepare_spec(wildcards.dataset))


def files_of_users(wildcards):
    """Files of the user's own that a dataset is made from."""
    return local_files(study.datasets[wildcards.dataset])


def block_spec(wildcards):
    planned = os.environ.get("MEMFLOW_PLAN")  # in a cluster job: see onstart
    try:
        if planned:
            study.check_plan(planned, wildcards.dataset, wildcards.architecture, wildcards.method)
    except ConfigError as error:
        sys.exit(f"memflow: {error}")
    return as_text(study.block_spec(wildcards.dataset, wildcards.architecture, wildcards.method, int(wildcards.block)))


def unless_stale(files):
    """Inputs that make no block stale by being made again; plain ones of a block that is stale already.

    Of a job that has only ancient inputs made again, Snakemake looks at no other reason to run it, such as its params.
    """
    return lambda wildcards: list(files(wildcards)) if is_stale(wildcards) else [ancient(f) for f in files(wildcards)]


def is_stale(wildcards):
    """Whether a block is there, and was made by another spec than this one."""
    path = f"{RESULTS}/runs/{{dataset}}/{{architecture}}/{{method}}/block-{{block}}.npz.prov.json"
    try:
        definition = json.loads(Path(path.format(**wildcards)).read_text())["definition"]
    except (OSError, ValueError, KeyError):
        return False
    return {**definition, **json.loads(block_spec(wildcards))} != definition


def dataset_of(wildcards):
    return [f"{RESULTS}/data/{wildcards.dataset}.npz"]


def taught_blocks():
    """Patterns of the datasets of the blocks that others learn from: of full-data runs it is the first one."""
    last = {ONE_HOT: "", FULL_DATA: r"block-0\."}
    return [
        f"{dataset}(?=/{architecture}/{method}/{last[method]})" for dataset, architecture, method in study.taught_by
    ]


def of_teachers(wildcards, blocks, kind):
    """Files of one kind of the weights that the students of some blocks learn from; none for other methods."""
    if study.methods[wildcards.method].kind != "distilled":
        return []
    method = study.teachers_method(wildcards.method)
    return collect(
        f"{RESULTS}/runs/{{dataset}}/{{teacher}}/{{of}}/block-{{block}}.{kind}",
        dataset=wildcards.dataset,
        teacher=study.teacher(wildcards.architecture, wildcards.method),
        of=method,
        block=blocks if method == ONE_HOT else [0],
    )


def teachers(wildcards):
    return of_teachers(wildcards, [wildcards.block], "weights.npz")


def teachers_sidecars(wildcards):
    return of_teachers(wildcards, study.methods[wildcards.method].blocks, "weights.npz.prov.json")


def removed(wildcards):
    """Which examples the runs without some leave out; nothing for other methods."""
    if wildcards.method not in (removal_method("memorised"), removal_method("random")):
        return []
    return [f"{RESULTS}/removal/{wildcards.dataset}/{wildcards.architecture}.removed.npz"]


def keep_weights(wildcards):
    """Epochs after which a teacher's weights are kept, such as 50,100; a resource, since it changes no run."""
    epochs = study.teacher_epochs(wildcards.architecture, wildcards.method)
    return ",".join(map(str, epochs))


def blocks_of(kind):
    """Files of one kind of all blocks of an architecture and method."""
    path = f"{RESULTS}/runs/{{dataset}}/{{architecture}}/{{method}}/block-{{block}}.{kind}"
    return lambda wildcards: collect(path, block=study.methods[wildcards.method].blocks, **wildcards)


def train_gpus(wildcards):
    """One for a network; the reference learners do without."""
    return int(wildcards.architecture not in study.references)


def train_minutes(wildcards, attempt):
    """Time limit of a block: twice what the cost table says, and more on every retry."""
    return costs.minutes(cost(wildcards), study.methods[wildcards.method].block_size, attempt)


def train_memory(wildcards, attempt):
    """Memory of a block in MB, with a margin, and more on every retry."""
    return costs.memory_mb(cost(wildcards), attempt)


def cost(wildcards):
    """What the cost table says of a run, or None."""
    return costs.expected(COSTS, study, wildcards.dataset, wildcards.architecture, wildcards.method)


def counts_spec(wildcards):
    return as_text(study.counts_spec(wildcards.dataset, wildcards.architecture, wildcards.method))


def scores_spec(wildcards):
    return as_text(study.scores_spec(wildcards.dataset, wildcards.architecture, wildcards.method))


def trajectories_spec(wildcards):
    return as_text(study.trajectories_spec(wildcards.dataset, wildcards.family))


def family_counts(wildcards):
    """Counts of a family's architectures, smallest first."""
    members = study.families[wildcards.family]["architectures"]
    return collect(f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz", architecture=members, **wildcards)


def distillation_spec(wildcards):
    return as_text(study.distillation_spec(wildcards.dataset, wildcards.family, wildcards.method))


def one_hot_counts(wildcards):
    """One-hot counts of a family's architectures, smallest first."""
    path = f"{RESULTS}/counts/{wildcards.dataset}/{{architecture}}/{ONE_HOT}.npz"
    return collect(path, architecture=study.families[wildcards.family]["architectures"])


def distilled_counts(wildcards):
    """Counts of a family's architectures that learn with a method of distillation, smallest first."""
    students = study.students_along(wildcards.dataset, wildcards.family, wildcards.method)
    return collect(f"{RESULTS}/counts/{wildcards.dataset}/{{student}}/{wildcards.method}.npz", student=students)


def teacher_counts(wildcards):
    """One-hot counts of the teacher; none where each student has its own, or teachers saw the whole training set."""
    entry = study.config["distillation"][wildcards.method]
    if entry["teacher"] == SELF or entry["teacher_data"] == "full":
        return []
    return [f"{RESULTS}/counts/{wildcards.dataset}/{entry['teacher']}/{ONE_HOT}.npz"]


def proxies_spec(wildcards):
    return as_text(study.proxies_spec(wildcards.dataset, wildcards.architecture))


def full_data_blocks(kind):
    """Files of one kind of the runs on the whole training set."""
    path = f"{RESULTS}/runs/{{dataset}}/{{architecture}}/{FULL_DATA}/block-{{block}}.{kind}"
    return lambda wildcards: collect(path, block=study.methods[FULL_DATA].blocks, **wildcards)


def counts_at_all_ratios(wildcards):
    """One-hot counts at the study's ratio, then at the further ones."""
    path = f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz"
    return collect(path, method=study.one_hot_methods, **wildcards)


def selection_spec(wildcards):
    return as_text(study.selection_spec(wildcards.dataset, wildcards.architecture))


def removal_spec(wildcards):
    return as_text(study.removal_spec(wildcards.dataset, wildcards.architecture))


def arm(name, kind="npz"):
    """Files of one kind of the blocks of runs without some examples."""
    method = removal_method(name)
    path = f"{RESULTS}/runs/{{dataset}}/{{architecture}}/{method}/block-{{block}}.{kind}"
    return lambda wildcards: collect(path, block=study.methods[method].blocks, **wildcards)


def all_arms(kind):
    return lambda wildcards: [path for name in ARMS for path in arm(name, kind)(wildcards)]


def sidecars_of(files):
    """The sidecars of some files, which are read too."""
    return lambda wildcards: [f"{path}.prov.json" for path in files(wildcards)]


def epochs_spec(wildcards):
    return as_text(study.epochs_spec(wildcards.dataset, wildcards.architecture))


def one_hot(kind):
    """File of one kind of the one-hot counts."""
    return f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{ONE_HOT}.{kind}"


def one_hot_blocks(kind):
    """Files of one kind of all one-hot blocks of an architecture."""
    path = f"{RESULTS}/runs/{{dataset}}/{{architecture}}/{ONE_HOT}/block-{{block}}.{kind}"
    return lambda wildcards: collect(path, block=study.methods[ONE_HOT].blocks, **wildcards)


def transitions_spec(wildcards):
    return as_text(study.transitions_spec(wildcards.dataset, wildcards.family))


def influence_spec(wildcards):
    return as_text(study.influence_spec(wildcards.dataset, wildcards.architecture, wildcards.method))


def privacy_spec(wildcards):
    return as_text(study.privacy_spec(wildcards.dataset, wildcards.architecture, wildcards.method))


def of_privacy(kind):
    """Files of one kind of the membership inference, one for each architecture and method that is attacked."""
    return lambda wildcards: [
        f"{RESULTS}/privacy/{wildcards.dataset}/{architecture}/{method}.{kind}"
        for architecture, method in study.privacy_on(wildcards.dataset)
    ]


def browser_spec(wildcards):
    return as_text(study.browser_spec())


def sources_of_page():
    """Files that the page of the browser is made of."""
    return sorted(str(path) for path in Path(PAGE).rglob("*") if path.is_file())


def sensitivity_spec(wildcards):
    return as_text(study.sensitivity_spec(wildcards.dataset, wildcards.family))


def family_counts_at_all_ratios(wildcards):
    """One-hot counts of a family, smallest first, at the study's ratio, then at the further ones."""
    return [
        f"{RESULTS}/counts/{wildcards.dataset}/{architecture}/{method}.npz"
        for method in study.methods_along(wildcards.dataset, wildcards.family)
        for architecture in study.families[wildcards.family]["architectures"]
    ]


def claims_spec(wildcards):
    return as_text(study.claims_spec())


def claimed_counts():
    """Counts of every method that gives scores, on datasets with families."""
    return [f"{RESULTS}/counts/{'/'.join(run)}.npz" for run in study.scored if study.families_on(run[0])]


def audit_spec(wildcards):
    return as_text(study.audit_spec())


def report_spec(wildcards):
    return as_text(outputs.report_spec(study))


def figure_spec(figure):
    return lambda wildcards: as_text(outputs.figure_spec(study, figure, wildcards.dataset))


def drawn(kind, architectures=study.drawn):
    """Files of one kind of the scores, one for each architecture in a figure."""
    path = f"{RESULTS}/scores/{{dataset}}/{{architecture}}/{ONE_HOT}.{kind}"
    return lambda wildcards: collect(path, architecture=architectures(wildcards.dataset), **wildcards)


def all_methods(kind):
    """Files of one kind of the scores of all methods that are drawn against size, in the order of the figure's spec."""
    path = f"{RESULTS}/scores/{{dataset}}/{{architecture}}/{{method}}.{kind}"
    return lambda wildcards: [path.format(**wildcards, **entry) for entry in study.drawn_methods(wildcards.dataset)]


def over_time(kind, architectures=study.drawn):
    """Files of one kind of what scores do during training, one for each architecture in a figure."""
    path = f"{RESULTS}/epochs/{{dataset}}/{{architecture}}/{ONE_HOT}.{kind}"
    return lambda wildcards: collect(path, architecture=architectures(wildcards.dataset), **wildcards)


def along_families(kind, stage="trajectories"):
    """Files of one kind of a stage, one for each family."""
    path = f"{RESULTS}/{stage}/{{dataset}}/{{family}}/{ONE_HOT}.{kind}"
    return lambda wildcards: collect(path, family=study.families_on(wildcards.dataset), **wildcards)


def sensitivity(wildcards):
    """Tables of what results depend on, one for each family."""
    path = f"{RESULTS}/sensitivity/{wildcards.dataset}/{{family}}.csv"
    return collect(path, family=study.families_on(wildcards.dataset))


def of_distillation(kind):
    """Files of one kind of the distillation, one for each family and method."""
    path = f"{RESULTS}/distillation/{{dataset}}/{{family}}/{{method}}.{kind}"
    return lambda wildcards: [
        path.format(dataset=wildcards.dataset, family=family, method=method)
        for family, method in study.distilled_along(wildcards.dataset)
    ]


def of_proxies(kind):
    """Files of one kind of the proxies, one for each architecture that has them."""
    path = f"{RESULTS}/proxies/{{dataset}}/{{architecture}}.{kind}"
    return lambda wildcards: collect(path, architecture=study.tracked(wildcards.dataset), **wildcards)


def figure(name):
    """Outputs of a figure's rule; the PNG goes into Snakemake's report."""
    path = f"{RESULTS}/figures/{{dataset}}/{name}"
    outputs = with_sidecars(pdf=f"{path}.pdf", png=f"{path}.png", csv=f"{path}.csv")
    shown = report(outputs["png"], caption=f"../report/{name}.rst", category="{dataset}", labels={"figure": name})
    return outputs | {"png": shown}


def all_figures():
    return [
        f"{RESULTS}/figures/{dataset}/{name}.pdf"
        for dataset in study.datasets
        for name in outputs.figures_on(study, dataset)
    ]


def all_scores():
    return [f"{RESULTS}/scores/{'/'.join(run)}.parquet" for run in study.scored]


def all_trajectories():
    return along_all_families(f"{RESULTS}/trajectories/{{dataset}}/{{family}}/{ONE_HOT}.parquet")


def all_distillation():
    return [
        f"{RESULTS}/distillation/{dataset}/{family}/{method}.parquet"
        for dataset in study.datasets
        for family, method in study.distilled_along(dataset)
    ]


def all_proxies():
    return [
        f"{RESULTS}/proxies/{dataset}/{name}.parquet" for dataset in study.datasets for name in study.tracked(dataset)
    ]


def all_removal():
    return [
        f"{RESULTS}/removal/{dataset}/{name}.csv" for dataset in study.datasets for name in study.removal_on(dataset)
    ]


def all_epochs():
    return [
        f"{RESULTS}/epochs/{dataset}/{name}/{ONE_HOT}.csv"
        for dataset in study.datasets
        for name in study.architectures_on(dataset)
    ]


def along_all_families(path):
    """A file for each dataset and family."""
    return [
        path.format(dataset=dataset, family=family)
        for dataset in study.datasets
        for family in study.families_on(dataset)
    ]


def all_transitions():
    return along_all_families(f"{RESULTS}/transitions/{{dataset}}/{{family}}/{ONE_HOT}.csv")


def all_sensitivity():
    return along_all_families(f"{RESULTS}/sensitivity/{{dataset}}/{{family}}.csv")


def all_influence():
    return [
        f"{RESULTS}/influence/{dataset}/{architecture}/{method}.parquet"
        for dataset in study.datasets
        for architecture, method in study.influence_on(dataset)
    ]


def all_privacy():
    return [
        f"{RESULTS}/privacy/{dataset}/{architecture}/{method}.parquet"
        for dataset in study.datasets
        for architecture, method in study.privacy_on(dataset)
    ]


def all_claims():
    """The scorecard, where there is a family to judge."""
    return [f"{RESULTS}/claims.csv"] if any(map(study.families_on, study.datasets)) else []


def with_sidecars(**outputs):
    """Outputs of a rule, each with its sidecar."""
    return outputs | {f"{name}_provenance": f"{path}.prov.json" for name, path in outputs.items()}
