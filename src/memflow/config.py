"""A study: its validated config, and for each job the small document (spec) of exactly what determines it.

Read inside every cluster job, hence quick: nothing here imports numpy or torch.
"""

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from glob import glob
from pathlib import Path
from typing import Any

import yaml

from memflow import accepted, methods, registry
from memflow.digest import digest
from memflow.methods import ARMS, FULL_DATA, ONE_HOT, SELF, Method, removal_method
from memflow.validation import ConfigError, is_users_own, validate

STAGES = {
    "data": ["memflow.data.prepare"],
    "runs": ["memflow.training.blocks"],
    "counts": ["memflow.counts"],
    "scores": ["memflow.scores"],
    "trajectories": ["memflow.trajectories"],
    "distillation": ["memflow.distillation"],
    "proxies": ["memflow.proxies"],
    "selection": ["memflow.selection"],
    "removal": ["memflow.removal"],
    "epochs": ["memflow.epochs"],
    "transitions": ["memflow.transitions"],
    "sensitivity": ["memflow.sensitivity"],
    "influence": ["memflow.influence"],
    "privacy": ["memflow.privacy"],
    "claims": ["memflow.claims.card"],
    "figures": [],
    "browser": ["memflow.browser.stage"],
    "audit": ["memflow.audit.stage"],
    "report": ["memflow.report"],
}
# Keys of a dataset that say where it lies, or what to look for in it, not what it is: its fingerprint tells that.
NOT_OF_IMAGES = {"root", "download", "train", "test", "file", "near_duplicates"}
NOT_OF_IMAGES |= {f"{split}_{part}" for split in ("train", "test") for part in ("images", "labels")}
NOT_OF_RUNS = ("datasets", "pretraining_overlap")  # keys of an architecture that its runs do not depend on
NOT_OF_CLAIMS = (*NOT_OF_RUNS, "recipe")
Spec = dict[str, Any]


class Study:
    """A validated config with every default filled in.

    Parameters
    ----------
    config : dict
        As read from YAML.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, or a value is not allowed; or if the file of accepted code is damaged.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        accepted.check()
        self.config = validate(config)
        self.name: str = self.config["study"]
        self.datasets: dict[str, Spec] = self.config["datasets"]
        self.architectures: dict[str, Spec] = self.config["architectures"]
        self.families: dict[str, Spec] = self.config["families"]
        self.methods: dict[str, Method] = methods.of(self.config)
        self.runs = [
            (dataset, architecture, method)
            for dataset in self.datasets
            for architecture in self.architectures_on(dataset)
            for method in self.methods_of(dataset, architecture)
        ]

    @cached_property
    def scored(self) -> list[tuple[str, str, str]]:
        """Dataset, architecture and method of all runs on subsets, which have scores."""
        return [run for run in self.runs if self.methods[run[2]].is_scored]

    def methods_of(self, dataset: str, architecture: str) -> list[str]:
        """Methods that an architecture is trained with on a dataset; students only where their teacher is trained."""
        trained = self.architectures_on(dataset)
        return [
            name
            for name, method in self.methods.items()
            if architecture in method.architectures
            and (method.kind != "distilled" or self.teacher(architecture, name) in trained)
        ]

    def teacher(self, architecture: str, method: str) -> str:
        """Architecture of the teacher of a distilled student."""
        named: str = self.config["distillation"][method]["teacher"]
        return architecture if named == SELF else named

    def students(self, dataset: str, method: str) -> list[str]:
        """Architectures that learn with a method of distillation on a dataset."""
        trained = self.architectures_on(dataset)
        return [name for name in trained if method in self.methods_of(dataset, name)]

    def teachers_method(self, method: str) -> str:
        """The method by which the teachers of a method of distillation are trained."""
        return FULL_DATA if self.config["distillation"][method]["teacher_data"] == "full" else ONE_HOT

    @cached_property
    def taught_by(self) -> list[tuple[str, str, str]]:
        """Dataset, architecture and method of the runs that others learn from."""
        wanted = {
            (dataset, self.teacher(student, name), self.teachers_method(name))
            for dataset in self.datasets
            for name in self.config["distillation"]
            for student in self.students(dataset, name)
        }
        return [run for run in self.runs if run in wanted]

    def teacher_epochs(self, architecture: str, method: str) -> list[int]:
        """Epochs from which others learn of an architecture's runs, in order: after these its weights are kept."""
        epochs = set()
        for name, entry in self.config["distillation"].items():
            students = self.methods[name].architectures
            teaches = entry["teacher"] == architecture or (entry["teacher"] == SELF and architecture in students)
            if teaches and self.teachers_method(name) == method:
                epochs.add(self._teacher_epoch(architecture, name))
        return sorted(epochs)

    def _teacher_epoch(self, teacher: str, method: str) -> int:
        last: int = self.config["recipes"][self.architectures[teacher]["recipe"]]["epochs"]
        epoch: int = self.config["distillation"][method].get("teacher_epoch", last)
        return epoch

    def prepare_spec(self, dataset: str) -> Spec:
        """What determines a prepared dataset."""
        entry = {key: value for key, value in self.datasets[dataset].items() if key != "augment"}
        return _with_code({"stage": "data", "dataset": entry, "load": registry.DATASETS[entry["source"]]})

    def runs_spec(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines the runs of one dataset, architecture and method, whatever their seed."""
        entry = {key: value for key, value in self.architectures[architecture].items() if key not in NOT_OF_RUNS}
        of_method = self.methods[method]
        model, recipe_name = entry["model"], entry.pop("recipe", None)
        entry |= entry.pop("arguments", {})  # of the user's own architecture
        learner = registry.LEARNERS.get(model, registry.SGD)
        spec = {
            "stage": "runs",
            "dataset": _identity(self.prepare_spec(dataset)["dataset"]),
            "architecture": entry,
            "method": method,
            "learner": learner,
            **{key: self.config[key] for key in ("design", "subset_unit")},
            "ratio": of_method.ratio,
        }
        if recipe_name is None:
            spec["recipe"] = {"fuse": self.config["block_size"]}
        else:
            spec["recipe"] = self._recipe(recipe_name, self.datasets[dataset]["augment"])
            spec["network"] = registry.NETWORKS.get(model, model)
        if self.config["probabilities"] and of_method.is_scored and recipe_name is not None:
            spec["probabilities"] = True
        if of_method.kind == FULL_DATA:
            block_size, epochs = of_method.block_size, spec["recipe"]["epochs"]
            spec["recipe"] |= {"evaluate_every": epochs, "fuse": math.gcd(spec["recipe"]["fuse"], block_size)}
            spec |= {"learner": registry.TRACKED, "design": "whole", "early": self.config["proxies"]["early"]}
        if of_method.kind == "removal":
            spec |= self._removal(dataset, architecture, method)
            epochs = spec["recipe"]["epochs"]
            spec["recipe"] |= {"evaluate_every": epochs, "fuse": math.gcd(spec["recipe"]["fuse"], of_method.block_size)}
        if of_method.kind == "distilled":
            spec |= {"learner": registry.DISTILLED, **self._teaching(dataset, architecture, method)}
        if self.config["subset_unit"] == "group":  # what is a copy decides what enters a subset together
            spec |= {"near_duplicates": self.datasets[dataset]["near_duplicates"], "duplicates": "memflow.data.hazards"}
        return _with_code(spec)

    def _teaching(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines what a student learns from."""
        teacher, of_teacher = self.teacher(architecture, method), self.teachers_method(method)
        entry = self.config["distillation"][method]
        parts = {key: value for key, value in entry.items() if key not in ("teacher", "students")}
        if of_teacher == FULL_DATA:  # of the first block, so that more runs change no student
            parts["teacher_runs"] = self.methods[FULL_DATA].block_size
        return {
            "distillation": {**parts, "teacher_epoch": self._teacher_epoch(teacher, method)},
            "teacher": self.runs_spec(dataset, teacher, of_teacher),
        }

    def _removal(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines which examples are left out."""
        arm = next(arm for arm in ARMS if removal_method(arm) == method)
        if arm == "none":
            return {"design": "whole"}
        return {
            "design": f"without {arm}",
            "removal": {"arm": arm, "selection": self.selection_spec(dataset, architecture)},
        }

    def selection_spec(self, dataset: str, architecture: str) -> Spec:
        """What determines which examples are removed as memorised, besides the counts."""
        return _with_code(
            {
                "stage": "selection",
                "runs": self.runs_spec(dataset, architecture, ONE_HOT),
                "seeds": self.methods[ONE_HOT].seeds,
                "memorised_at": self.config["memorised_at"],
                "near_duplicates": self.datasets[dataset]["near_duplicates"],  # copies leave together
                "duplicates": "memflow.data.hazards",
            }
        )

    def removal_spec(self, dataset: str, architecture: str) -> Spec:
        """What determines the comparison of the runs without memorised examples, besides their selection."""
        recipe, method = self.config["recipes"][self.architectures[architecture]["recipe"]], removal_method("none")
        return _with_code(
            {
                "stage": "removal",
                "study": self.name,
                "runs": {arm: self.runs_spec(dataset, architecture, removal_method(arm)) for arm in ARMS},
                "n_runs": self.methods[method].seeds,
                "block_size": self.methods[method].block_size,
                "target_accuracy": recipe["target_accuracy"],
                "pretraining_overlap": self.pretraining_overlap(dataset, architecture),
                "confidence": self.config["confidence"],
            }
        )

    def removal_on(self, dataset: str) -> list[str]:
        """Architectures that are trained without memorised examples of a dataset."""
        trained, method = self.architectures_on(dataset), self.methods.get(removal_method("memorised"))
        return [name for name in trained if method and name in method.architectures]

    def block_spec(self, dataset: str, architecture: str, method: str, block: int) -> Spec:
        """What determines one block of runs."""
        return {**self.runs_spec(dataset, architecture, method), "seeds": self.methods[method].seeds_of(block)}

    def plan(self) -> str:
        """Short hashes of what determines each dataset's, architecture's and method's runs, as one line of JSON."""
        return as_text({"/".join(run): short_hash(self.runs_spec(*run)) for run in self.runs})

    def check_plan(self, plan: str, dataset: str, architecture: str, method: str) -> None:
        """Refuse runs that are no longer what they were when their job was submitted.

        Raises
        ------
        ConfigError
            If config or code have changed what the runs are, since ``plan`` (from :meth:`plan`) was made.
        """
        run = f"{dataset}/{architecture}/{method}"
        planned = json.loads(plan).get(run)
        if planned != short_hash(self.runs_spec(dataset, architecture, method)):
            raise ConfigError(
                f"the config or the code of {run} changed after this job was submitted; start snakemake again, so that "
                "all blocks are trained alike"
            )

    def counts_spec(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines the counts of one dataset, architecture and method."""
        recipe = self.config["recipes"].get(self.architectures[architecture].get("recipe"), {})
        return _with_code(
            {
                "stage": "counts",
                "runs": self.runs_spec(dataset, architecture, method),
                "target_accuracy": recipe.get("target_accuracy", 0),
                "seeds": self.methods[method].seeds,
                "block_size": self.methods[method].block_size,
                "require_uniform_device": self.config["require_uniform_device"],
            }
        )

    def scores_spec(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines a score table, besides the counts."""
        settings = {key: self.config[key] for key in ("confidence", "memorised_at")}
        marks: Spec = {"pretraining_overlap": self.pretraining_overlap(dataset, architecture, method)}
        if self.methods[method].kind == "distilled":
            marks["teacher_data"] = self.config["distillation"][method]["teacher_data"]
        return _with_code({"stage": "scores", "study": self.name, **marks, **settings})

    def trajectories_spec(self, dataset: str, family: str) -> Spec:
        """What determines the trajectories along a family, besides the counts."""
        settings = self._settings("tau", "fdr", "confidence", "memorised_at")
        return _with_code({"stage": "trajectories", **self._of_family(dataset, family), **settings})

    def epochs_spec(self, dataset: str, architecture: str) -> Spec:
        """What determines how the scores of an architecture change during training, besides runs and counts."""
        parts = {"study": self.name, "counts": self.counts_spec(dataset, architecture, ONE_HOT)}
        parts["pretraining_overlap"] = self.pretraining_overlap(dataset, architecture)
        return _with_code({"stage": "epochs", **parts, **self._settings("confidence", "memorised_at")})

    def transitions_spec(self, dataset: str, family: str) -> Spec:
        """What determines how examples change state along a family, besides the counts."""
        parts = self._of_family(dataset, family)
        return _with_code({"stage": "transitions", **parts, **self._settings("confidence", "memorised_at")})

    def sensitivity_spec(self, dataset: str, family: str) -> Spec:
        """What determines how results along a family depend on the study's choices, besides the counts."""
        ratios = [self.methods[name].ratio for name in self.methods_along(dataset, family)]
        parts = {**self._of_family(dataset, family), "ratios": ratios}
        return _with_code(
            {"stage": "sensitivity", **parts, **self._settings("tau", "fdr", "confidence", "memorised_at")}
        )

    def methods_along(self, dataset: str, family: str) -> list[str]:
        """Methods that train all of a family on labels: at the study's ratio, then at the further ones."""
        members = self.families[family]["architectures"]
        return [
            name for name in self.one_hot_methods if all(name in self.methods_of(dataset, member) for member in members)
        ]

    def _of_family(self, dataset: str, family: str) -> Spec:
        members = self.families[family]["architectures"]
        overlaps = {name: self.pretraining_overlap(dataset, name) for name in members}
        return {"study": self.name, "architectures": members, "pretraining_overlap": overlaps}

    def _settings(self, *keys: str) -> Spec:
        return {key: self.config[key] for key in keys}

    def influence_on(self, dataset: str) -> list[tuple[str, str]]:
        """Architectures and methods whose influence on test examples is measured on a dataset."""
        return self._asked_for("influence", dataset)

    def privacy_on(self, dataset: str) -> list[tuple[str, str]]:
        """Architectures and methods whose runs are attacked on a dataset: networks, which have log-odds."""
        return [run for run in self._asked_for("privacy", dataset) if run[0] not in self.references]

    def _asked_for(self, stage: str, dataset: str) -> list[tuple[str, str]]:
        """Architectures and methods with scores that a stage of the config asks for; other ratios are left out."""
        if stage not in self.config:
            return []
        chosen = self.config[stage].get("architectures", list(self.architectures))
        runs = [run for run in self.scored if run[0] == dataset and run[1] in chosen]
        return [run[1:] for run in runs if self.methods[run[2]].kind != "ratio"]

    def influence_spec(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines the influence of training on test examples, besides runs and counts."""
        entry, parts = self.config["influence"], self._of_runs(dataset, architecture, method)
        settings = {"threshold": entry["threshold"], "top": entry["top"], **self._settings("fdr")}
        return _with_code({"stage": "influence", **parts, **settings})

    def privacy_spec(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines how well membership is inferred, besides runs and counts."""
        parts = self._of_runs(dataset, architecture, method)
        return _with_code({"stage": "privacy", **parts, **self._settings("confidence")})

    def _of_runs(self, dataset: str, architecture: str, method: str) -> Spec:
        """What a stage that reads blocks beside their counts must know of them."""
        marks: Spec = {"pretraining_overlap": self.pretraining_overlap(dataset, architecture, method)}
        if self.methods[method].kind == "distilled":
            marks["teacher_data"] = self.config["distillation"][method]["teacher_data"]
        return {"study": self.name, "counts": self.counts_spec(dataset, architecture, method), **marks}

    def privacy_figure_spec(self, dataset: str) -> Spec:
        """What determines the figure of vulnerability, besides its tables."""
        attacked = [{"architecture": name, "method": method} for name, method in self.privacy_on(dataset)]
        names = list(dict.fromkeys(entry["architecture"] for entry in attacked))
        return {
            **self._figure_spec("memorisation_vs_vulnerability", dataset, []),
            "attacked": attacked,
            "proxied": names,
        }

    def browser_spec(self) -> Spec:
        """What determines the browser, besides the tables that it shows."""
        parts = {
            name: {
                "scored": [run[1:] for run in self.scored if run[0] == name],
                "families": self.families_on(name),
                "distilled": self.distilled_along(name),
                "tracked": self.tracked(name),
                "influence": self.influence_on(name),
            }
            for name in self.datasets
        }
        settings = self._settings("confidence", "memorised_at", "tau")
        return _with_code({"stage": "browser", "study": self.name, "datasets": parts, **settings})

    def claims_spec(self) -> Spec:
        """What determines the verdicts on the claims of the literature, besides tables and counts."""
        datasets = {
            dataset: {
                "families": {
                    name: {"title": family["title"], **self._of_family(dataset, name)}
                    for name, family in self.families_on(dataset).items()
                },
                "architectures": self.architectures_on(dataset),
                "distilled": [
                    (family, method, self.students_along(dataset, family, method))
                    for family, method in self.distilled_along(dataset)
                    if self._teaches_by_outputs(method)
                ],
                "teachers": {name: entry["teacher"] for name, entry in self.config["distillation"].items()},
                "tracked": self.tracked(dataset),
                "removal": self.removal_on(dataset),
                "schedules": self.schedules(dataset),
            }
            for dataset in self.datasets
            if self.families_on(dataset)
        }
        return _with_code(
            {"stage": "claims", "study": self.name, "datasets": datasets}
            | self._settings("tau", "confidence", "memorised_at")
        )

    def _teaches_by_outputs(self, method: str) -> bool:
        entry = self.config["distillation"][method]
        return bool(entry["targets"] == "teacher" and entry["teacher_data"] == "subset")

    def schedules(self, dataset: str) -> Spec:
        """Each network that is trained on a dataset, beside its recipe."""
        return {
            name: {
                "architecture": {
                    key: value for key, value in self.architectures[name].items() if key not in NOT_OF_CLAIMS
                },
                "recipe": self.config["recipes"][self.architectures[name]["recipe"]],
            }
            for name in self.networks_on(dataset)
        }

    def distillation_spec(self, dataset: str, family: str, method: str) -> Spec:
        """What determines what distillation changes along a family, besides the counts."""
        settings = {key: self.config[key] for key in ("tau", "fdr", "confidence", "memorised_at")}
        members, entry = self.families[family]["architectures"], self.config["distillation"][method]
        parts = {key: entry[key] for key in ("teacher", "teacher_data", "targets")}
        parts |= {"study": self.name, "method": method, "architectures": members}
        parts["students"] = self.students_along(dataset, family, method)
        involved = dict.fromkeys([*members, *(self.teacher(student, method) for student in parts["students"])])
        parts["pretraining_overlap"] = {name: self.pretraining_overlap(dataset, name) for name in involved}
        return _with_code({"stage": "distillation", **parts, **settings})

    def distilled_along(self, dataset: str) -> list[tuple[str, str]]:
        """Family and method of all students on a dataset that are in a family."""
        return [
            (family, name)
            for family in self.families_on(dataset)
            for name in self.config["distillation"]
            if self.students_along(dataset, family, name)
        ]

    def students_along(self, dataset: str, family: str, method: str) -> list[str]:
        """Members of a family that learn with a method of distillation on a dataset, smallest first."""
        students = self.students(dataset, method)
        return [name for name in self.families[family]["architectures"] if name in students]

    @property
    def one_hot_methods(self) -> list[str]:
        """Methods that train on labels only: at the study's ratio, then at the further ones."""
        return [name for name, method in self.methods.items() if method.kind in (ONE_HOT, "ratio")]

    def tracked(self, dataset: str) -> list[str]:
        """Architectures with runs on the whole training set of a dataset, and so with proxies."""
        return [name for name in self.architectures_on(dataset) if FULL_DATA in self.methods_of(dataset, name)]

    def proxies_spec(self, dataset: str, architecture: str) -> Spec:
        """What determines the proxies of an architecture, besides runs and counts."""
        method = self.methods[FULL_DATA]
        return _with_code(
            {
                "stage": "proxies",
                "study": self.name,
                "runs": self.runs_spec(dataset, architecture, FULL_DATA),
                "n_runs": method.seeds,
                "block_size": method.block_size,
                "counts": [self.counts_spec(dataset, architecture, name) for name in self.one_hot_methods],
                "pretraining_overlap": self.pretraining_overlap(dataset, architecture),
                **{key: self.config[key] for key in ("confidence", "memorised_at")},
            }
        )

    def distillation_figure_spec(self, figure: str, dataset: str) -> Spec:
        """What determines a figure of distillation, besides its tables."""
        distillations = [
            {
                "family": self.families[family]["title"],
                "method": method,
                "students": self.students_along(dataset, family, method),
                **{key: self.config["distillation"][method][key] for key in ("teacher", "teacher_data", "targets")},
            }
            for family, method in self.distilled_along(dataset)
        ]
        titles = [entry["family"] for entry in distillations]
        families = [family for family in self.families_on(dataset).values() if family["title"] in titles]
        return self._figure_spec(figure, dataset, families, distillations=distillations)

    def proxy_figure_spec(self, figure: str, dataset: str) -> Spec:
        """What determines a figure of proxies, besides its tables."""
        proxied = self.tracked(dataset)
        families = [family for family in self.families_on(dataset).values() if {*family["architectures"]} <= {*proxied}]
        names = {"architectures": proxied, "proxied": proxied, "references": []}
        return self._figure_spec(figure, dataset, families, **names)

    def _figure_spec(self, figure: str, dataset: str, families: list[Spec], **parts: Any) -> Spec:
        members = [*parts.get("proxied", []), *(name for family in families for name in family["architectures"])]
        members += [entry["teacher"] for entry in parts.get("distillations", []) if entry["teacher"] != SELF]
        overlaps = {name: self.pretraining_overlap(dataset, name) for name in dict.fromkeys(members)}
        settings = {key: self.config[key] for key in ("memorised_at", "tau")}
        spec = {"stage": "figures", "script": f"workflow/scripts/{figure}.py", "dataset": dataset, "families": families}
        return _with_code({**spec, "pretraining_overlap": overlaps, **parts, **settings})

    def figure_spec(self, figure: str, dataset: str) -> Spec:
        """What determines a figure, besides the scores."""
        return _with_code(
            {
                "stage": "figures",
                "script": f"workflow/scripts/{figure}.py",
                "dataset": dataset,
                "architectures": self.drawn(dataset),
                "families": list(self.families_on(dataset).values()),  # in the order of the config
                "largest": self.largest(dataset),
                "pretraining_overlap": {name: self.pretraining_overlap(dataset, name) for name in self.drawn(dataset)},
                "references": [name for name in self.architectures_on(dataset) if name in self.references],
                "memorised_at": self.config["memorised_at"],
            }
        )

    def schedule_figure_spec(self, dataset: str) -> Spec:
        """What determines the figure that draws the learning rate below it, besides the tables."""
        recipes = {
            name: part["recipe"] for name, part in self.schedules(dataset).items() if name in self.drawn(dataset)
        }
        schedules = {
            name: {**recipe["schedule"], **{key: recipe[key] for key in ("epochs", "learning_rate")}}
            for name, recipe in recipes.items()
        }
        return {**self.figure_spec("memorised_vs_epoch", dataset), "schedules": schedules}

    def mean_memorisation_spec(self, dataset: str) -> Spec:
        """What determines the figure that draws all methods against size, besides the scores."""
        return {**self.figure_spec("mean_memorisation", dataset), "drawn": self.drawn_methods(dataset)}

    def drawn_methods(self, dataset: str) -> list[Spec]:
        """Architectures and methods of the curves against size, one-hot first."""
        entries: list[Spec] = [{"architecture": name, "method": ONE_HOT} for name in self.drawn(dataset)]
        for name, entry in self.config["distillation"].items():
            students = [student for student in self.students(dataset, name) if student in self.drawn(dataset)]
            entries += [
                {"architecture": student, "method": name, "teacher_data": entry["teacher_data"]} for student in students
            ]
        return entries

    def hazards_spec(self, dataset: str) -> Spec:
        """What determines the figure of a dataset's hazards, besides the dataset."""
        near = self.datasets[dataset]["near_duplicates"]
        script = "workflow/scripts/hazards.py"
        return _with_code({"stage": "figures", "script": script, "dataset": dataset, "near_duplicates": near})

    def audit_spec(self) -> Spec:
        """What determines the audit, besides what it is of."""
        return _with_code({"stage": "audit", "study": self.name, "config": self.text})

    @property
    def text(self) -> str:
        """The config as YAML, without what changes no result."""
        return as_yaml({key: value for key, value in self.config.items() if key != "allow_dirty"})

    def report_spec(self, figures: Mapping[str, list[str]]) -> Spec:
        """What determines the report, besides tables and figures; ``figures`` has names by dataset."""
        parts = {
            name: {
                "families": list(self.families_on(name)),
                "scored": [run[1:] for run in self.scored if run[0] == name],
                "blocks": [[*run[1:], len(self.methods[run[2]].blocks)] for run in self.runs if run[0] == name],
                "distilled": self.distilled_along(name),
                "tracked": self.tracked(name),
                "removal": self.removal_on(name),
                "figures": figures[name],
            }
            for name in self.datasets
        }
        return _with_code({"stage": "report", "config": self.text, "datasets": parts})

    def architectures_on(self, dataset: str) -> list[str]:
        """Architectures that are trained on a dataset."""
        return [name for name, entry in self.architectures.items() if dataset in entry.get("datasets", [dataset])]

    def networks_on(self, dataset: str) -> list[str]:
        """Architectures that are trained on a dataset, without the reference learners."""
        return [name for name in self.architectures_on(dataset) if name not in self.references]

    def families_on(self, dataset: str) -> dict[str, Spec]:
        """Families whose architectures are trained on a dataset."""
        trained = self.architectures_on(dataset)
        return {name: family for name, family in self.families.items() if family["architectures"][0] in trained}

    def has_artificial(self, dataset: str) -> bool:
        """Whether some training examples have a wrong label, or noise for an image, on purpose."""
        return not {"label_noise", "input_noise"}.isdisjoint(self.datasets[dataset])

    def largest(self, dataset: str) -> list[str]:
        """The largest architecture of each family; where there is none, the last network of the config."""
        members = [family["architectures"][-1] for family in self.families_on(dataset).values()]
        if members:
            return members
        trained = self.architectures_on(dataset)
        networks = [name for name in trained if name not in self.references]
        return (networks or trained)[-1:]

    @property
    def references(self) -> list[str]:
        """Architectures that are no networks, drawn beside every family for comparison."""
        return [name for name, entry in self.architectures.items() if entry["model"] in registry.LEARNERS]

    def pretraining_overlap(self, dataset: str, architecture: str, method: str = ONE_HOT) -> str:
        """Whether initial weights, a student's or its teacher's, have seen held-out images: yes, unknown or no."""
        if self.methods[method].kind == "distilled":
            both = {
                self.pretraining_overlap(dataset, name) for name in (architecture, self.teacher(architecture, method))
            }
            return next(overlap for overlap in ("yes", "unknown", "no") if overlap in both)
        entry, source = self.architectures[architecture], self.datasets[dataset]["source"]
        if "pretraining_overlap" in entry:
            return str(entry["pretraining_overlap"])
        if (entry.get("pretrained"), source) == ("timm", "tiny-imagenet"):
            return "yes"
        return "unknown" if "pretrained" in entry or is_users_own(entry["model"]) else "no"

    def drawn(self, dataset: str) -> list[str]:
        """Architectures that stand in a figure: members of a family (all where there is none), and references."""
        trained = self.architectures_on(dataset)
        members = [name for family in self.families_on(dataset).values() for name in family["architectures"]]
        return list(dict.fromkeys((members or trained) + [name for name in trained if name in self.references]))

    def _recipe(self, name: str, augment: bool) -> Spec:
        recipe = copy.deepcopy(self.config["recipes"][name])
        del recipe["target_accuracy"]  # judges the runs, does not make them
        if not augment:
            recipe["augment"] = {"crop": 0, "translate": 0, "flip": False}
        return recipe


def read(path: Path) -> dict[str, Any]:
    """A config file as a dict, not validated.

    Raises
    ------
    ConfigError
        If the file is missing or is no YAML mapping.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no config file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} as a config: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} holds no mapping; a study starts with `study: <name>`")
    return config


def local_files(entry: Spec) -> list[str]:
    """Files of the user's own that a dataset is made from, if they are there; folders of images are not watched."""
    named = [entry.get("label_noise", {}).get("file", "")]
    if entry["source"] == "arrays":
        named += [name.partition(":")[0] for key, name in entry.items() if key.endswith(("_images", "_labels"))]
    if entry["source"] == "parquet":
        for files in (entry["train"], entry["test"]):
            patterns = [files] if isinstance(files, str) else files
            named += [path for pattern in patterns for path in sorted(glob(pattern))]
    return [path for path in named if Path(path).is_file()]


def code_digest(spec: Spec) -> str:
    """Digest of the code that makes a spec's outputs, as it is now, or of an older one accepted as equal."""
    return accepted.canonical(digest(*code_targets(spec)))


def code_targets(spec: Spec) -> list[str]:
    """Modules and functions that make a spec's outputs, as :func:`memflow.digest.digest` takes them."""
    named = [spec[key] for key in ("script", "load", "learner", "network", "duplicates") if key in spec]
    if spec["stage"] == "runs" and "teacher" in spec:
        named += [spec["teacher"]["network"], registry.TEACHERS]
    if "removal" in spec:
        named.append(registry.REMOVED)
    return [*named, *STAGES[spec["stage"]]]


def check_code(spec: Spec) -> None:
    """Refuse to run code other than the code that the job was planned with.

    Raises
    ------
    ConfigError
        If the code has changed since the spec was made.
    """
    actual = code_digest(spec)
    if actual != spec["code"]:
        raise ConfigError(
            f"the code of stage {spec['stage']!r} changed between planning and running (digest {spec['code']}, now "
            f"{actual}); start snakemake again so that the plan and the code agree"
        )


def as_text(spec: Spec) -> str:
    """A spec as one canonical line of JSON."""
    return json.dumps(spec, sort_keys=True)


def as_yaml(config: Spec) -> str:
    """A config as YAML, in its own order."""
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def short_hash(spec: Spec) -> str:
    """12 hex digits that stand for a spec."""
    return hashlib.sha256(as_text(spec).encode()).hexdigest()[:12]


def _identity(entry: Spec) -> Spec:
    """What of a dataset's entry decides its images and labels."""
    return {
        key: _identity(value) if isinstance(value, dict) and key != "superclasses" else value  # "train" is a class, too
        for key, value in entry.items()
        if key not in NOT_OF_IMAGES
    }


def _with_code(spec: Spec) -> Spec:
    return {**spec, "code": code_digest(spec)}
