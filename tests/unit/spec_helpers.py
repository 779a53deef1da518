"""A config that uses every part of the schema but the methods, and which specs differ between two configs."""

import copy

from helpers import ARCHITECTURES, RECIPE, tiny_config

from memflow.config import Study, as_text

FAMILIES = {"sizes": {"title": "Sizes", "architectures": ["mlp", "resnet"]}}
RECIPES = {"short": RECIPE, "long": RECIPE | {"epochs": 20}, "alone": RECIPE | {"fuse": 1}}
NOISE = {"source": "digits", "label_noise": {"fraction": "1/20"}}


def full_config():
    """A config that uses every part of the schema."""
    architectures = ARCHITECTURES | {"wide": {"model": "mlp", "hidden": [32], "recipe": "long"}}
    datasets = {"digits": {"source": "digits"}, "noisy": NOISE, "plain": {"source": "digits", "augment": False}}
    config = tiny_config(datasets=datasets, recipes=RECIPES, architectures=architectures, families=FAMILIES)
    return copy.deepcopy(config)


def changed(key, value):
    """The full config with one value set at a dotted key."""
    result = full_config()
    *folders, last = key.split(".")
    entry = result
    for name in folders:
        entry = entry.setdefault(name, {})
    entry[last] = value
    return result


def without(key):
    """The full config without a dotted key."""
    result = full_config()
    *folders, last = key.split(".")
    entry = result
    for name in folders:
        entry = entry[name]
    del entry[last]
    return result


def specs(study):
    """Every spec of a study as text, but those of its report, browser and scorecard, which depend on all of it."""
    found = {("runs", *run): study.runs_spec(*run) for run in study.runs}
    for run in study.runs:
        found |= {("block", *run, block): study.block_spec(*run, block) for block in study.methods[run[2]].blocks}
    for run in study.scored:
        found["counts", *run] = study.counts_spec(*run)
        found["scores", *run] = study.scores_spec(*run)
    for dataset in study.datasets:
        for architecture in study.architectures_on(dataset):
            found["epochs", dataset, architecture] = study.epochs_spec(dataset, architecture)
        for architecture in study.removal_on(dataset):
            found["selection", dataset, architecture] = study.selection_spec(dataset, architecture)
            found["removal", dataset, architecture] = study.removal_spec(dataset, architecture)
        for name in study.families:
            found["transitions", dataset, name] = study.transitions_spec(dataset, name)
            found["sensitivity", dataset, name] = study.sensitivity_spec(dataset, name)
        for run in study.influence_on(dataset):
            found["influence", dataset, *run] = study.influence_spec(dataset, *run)
        for run in study.privacy_on(dataset):
            found["privacy", dataset, *run] = study.privacy_spec(dataset, *run)
        found["prepare", dataset] = study.prepare_spec(dataset)
        found |= {("trajectories", dataset, name): study.trajectories_spec(dataset, name) for name in study.families}
        for family, method in study.distilled_along(dataset):
            found["distillation", dataset, family, method] = study.distillation_spec(dataset, family, method)
        for architecture in study.tracked(dataset):
            found["proxies", dataset, architecture] = study.proxies_spec(dataset, architecture)
        found |= {(name, dataset): spec for name, spec in figure_specs(study, dataset).items()}
    return {key: as_text(spec) for key, spec in found.items()}


def figure_specs(study, dataset):
    """By kind of figure: each kind has its own spec."""
    found = {
        "figure": study.figure_spec("most_memorised", dataset),
        "schedules figure": study.schedule_figure_spec(dataset),
        "sizes figure": study.mean_memorisation_spec(dataset),
        "hazards": study.hazards_spec(dataset),
    }
    if study.privacy_on(dataset):
        found["privacy figure"] = study.privacy_figure_spec(dataset)
    if study.distilled_along(dataset):
        found["distillation figure"] = study.distillation_figure_spec("distillation_joint", dataset)
    if study.tracked(dataset):
        found["proxies figure"] = study.proxy_figure_spec("proxy_agreement", dataset)
    return found


def changed_specs(before, after):
    """Keys of the specs that differ between two configs, or that only one of them has."""
    old, new = specs(Study(before)), specs(Study(after))
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def kept_but_changed(before, after):
    """Keys of the specs that both configs have, and that differ."""
    old, new = specs(Study(before)), specs(Study(after))
    return {key for key in old.keys() & new.keys() if old[key] != new[key]}
