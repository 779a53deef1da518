"""A study: its validated config, and for each job the small document (spec) of exactly what determines it.

Read inside every cluster job, hence quick: nothing here imports numpy or torch.
"""

import copy
import difflib
import json
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from memflow.errors import InputError
from memflow import registry
from memflow.digest import digest

SCHEMA = Path(__file__).resolve().parents[2] / "workflow" / "schemas" / "config.schema.yaml"
STAGES = {
    "data": ["memflow.data.prepare"],
    "runs": ["memflow.training.blocks"],
    "counts": ["memflow.counts"],
    "scores": ["memflow.scores"],
    "figures": [],
}
Spec = dict[str, Any]


class ConfigError(InputError):
    """The config is wrong; the message says which key, which value, what is allowed."""


class Study:
    """A validated config with every default filled in.

    Parameters
    ----------
    config : dict
        As read from YAML.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, or a value is not allowed.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = validate(config)
        self.name: str = self.config["study"]
        self.datasets: dict[str, Spec] = self.config["datasets"]
        self.architectures: dict[str, Spec] = self.config["architectures"]
        self.families: dict[str, Spec] = self.config["families"]
        self.methods = ["one-hot"]

    @cached_property
    def blocks(self) -> range:
        """Indices of the blocks of seeds."""
        return range(self.config["seeds"] // self.config["block_size"])

    def prepare_spec(self, dataset: str) -> Spec:
        """What determines a prepared dataset."""
        entry = self._dataset_entry(dataset)
        return _with_code({"stage": "data", "dataset": entry, "load": registry.DATASETS[entry["source"]]})

    def runs_spec(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines the runs of one dataset, architecture and method, whatever their seed."""
        entry = dict(self.architectures[architecture])
        model, recipe_name = entry["model"], entry.pop("recipe", None)
        learner = registry.LEARNERS.get(model, registry.SGD)
        spec = {
            "stage": "runs",
            "dataset": self._dataset_entry(dataset),
            "architecture": entry,
            "method": method,
            "learner": learner,
            **{key: self.config[key] for key in ("design", "ratio", "subset_unit")},
        }
        if recipe_name is None:
            spec["recipe"] = {"fuse": self.config["block_size"]}
        else:
            spec["recipe"] = self._recipe(recipe_name, self.datasets[dataset]["augment"])
            spec["network"] = registry.NETWORKS[model]
        return _with_code(spec)

    def block_spec(self, dataset: str, architecture: str, method: str, block: int) -> Spec:
        """What determines one block of runs."""
        size = self.config["block_size"]
        return {**self.runs_spec(dataset, architecture, method), "seeds": [block * size, (block + 1) * size]}

    def counts_spec(self, dataset: str, architecture: str, method: str) -> Spec:
        """What determines the counts of one dataset, architecture and method."""
        recipe = self.config["recipes"].get(self.architectures[architecture].get("recipe"), {})
        return _with_code(
            {
                "stage": "counts",
                "runs": self.runs_spec(dataset, architecture, method),
                "target_accuracy": recipe.get("target_accuracy", 0),
                **{key: self.config[key] for key in ("seeds", "block_size", "require_uniform_device")},
            }
        )

    def scores_spec(self) -> Spec:
        """What determines a score table, besides the counts."""
        settings = {key: self.config[key] for key in ("confidence", "memorised_at")}
        return _with_code({"stage": "scores", "study": self.name, **settings})

    def figure_spec(self, figure: str, dataset: str) -> Spec:
        """What determines a figure, besides the scores."""
        return _with_code(
            {
                "stage": "figures",
                "script": f"workflow/scripts/{figure}.py",
                "dataset": dataset,
                "architectures": self.drawn(),
                "families": self.families,
                "references": self.references,
                "memorised_at": self.config["memorised_at"],
            }
        )

    @property
    def references(self) -> list[str]:
        """Architectures that are no networks, drawn beside every family for comparison."""
        return [name for name, entry in self.architectures.items() if entry["model"] in registry.LEARNERS]

    def drawn(self) -> list[str]:
        """Architectures that stand in a figure: members of a family, and references."""
        members = [name for family in self.families.values() for name in family["architectures"]]
        return list(dict.fromkeys(members + self.references))

    def _dataset_entry(self, dataset: str) -> Spec:
        return {key: value for key, value in self.datasets[dataset].items() if key != "augment"}

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
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} holds no mapping; a study starts with `study: <name>`")
    return config


def code_digest(spec: Spec) -> str:
    """Digest of the code that makes a spec's outputs, as it is on disk now."""
    return digest(*(spec[key] for key in ("script", "load", "learner", "network") if key in spec), *STAGES[spec["stage"]])


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


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """Check a config and fill in the defaults; see :class:`Study`."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    if errors:
        raise ConfigError("the config is wrong:\n" + "\n".join(f"  - {_explain(error)}" for error in errors))
    filled = _fill(config, schema, schema)
    problems = list(_inconsistencies(filled))
    if problems:
        raise ConfigError("the config is wrong:\n" + "\n".join(f"  - {problem}" for problem in problems))
    filled["ratio"] = str(Fraction(str(filled["ratio"])))
    for entry in filled["datasets"].values():
        if "label_noise" in entry:
            entry["label_noise"]["fraction"] = str(Fraction(str(entry["label_noise"]["fraction"])))
    return filled


def _with_code(spec: Spec) -> Spec:
    return {**spec, "code": code_digest(spec)}


def _fill(value: Any, schema: Spec, root: Spec) -> Any:
    """A copy of a valid value in which every missing key has its default."""
    schema = _dereference(schema, root)
    if isinstance(value, dict):
        if "oneOf" in schema:
            schema = next(s for s in schema["oneOf"] if Draft202012Validator({**s, "$defs": root["$defs"]}).is_valid(value))
        properties = schema.get("properties", {})
        value = {**{k: s["default"] for k, s in _defaults(properties, root)}, **value}
        other = schema.get("additionalProperties", {})
        return {key: _fill(item, properties.get(key, other) or {}, root) for key, item in value.items()}
    return copy.deepcopy(value)


def _defaults(properties: Spec, root: Spec) -> list[tuple[str, Spec]]:
    resolved = [(key, {**_dereference(schema, root), **schema}) for key, schema in properties.items()]
    return [(key, schema) for key, schema in resolved if "default" in schema]


def _dereference(schema: Spec, root: Spec) -> Spec:
    return root["$defs"][schema["$ref"].rpartition("/")[2]] if isinstance(schema, dict) and "$ref" in schema else schema


def _explain(error: ValidationError) -> str:
    """One line: the key, the value, what is allowed, and the closest valid name."""
    key = ".".join(map(str, error.absolute_path)) or "the config"
    if error.validator == "oneOf":
        return _explain_choice(error, key)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [name for name in error.instance if name not in known]
        return "; ".join(f"{key}: unknown key {name!r}{closest(name, known)}" for name in unknown)
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{key}: missing {', '.join(map(repr, missing))}"
    allowed = {
        "enum": "one of {}",
        "type": "of type {}",
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "above {}",
        "exclusiveMaximum": "below {}",
        "pattern": "a name that matches {}",
        "const": "{}",
    }.get(str(error.validator))
    if allowed is None:
        return f"{key}: {error.message}"
    hint = closest(error.instance, error.validator_value) if error.validator == "enum" else ""
    return f"{key} is {error.instance!r}; it must be {allowed.format(error.validator_value)}{hint}"


def _explain_choice(error: ValidationError, key: str) -> str:
    """A value that fits none of several forms: explain it by the form that its ``model`` or ``shape`` names."""
    forms = [branch for branch in error.validator_value if "title" in branch]
    if not forms:
        return f"{key} is {error.instance!r}; it must be a fraction such as 7/10, or a number between 0 and 1"
    names = [branch["title"] for branch in forms]
    selector = "model" if "model" in forms[0]["properties"] else "shape"
    chosen = error.instance.get(selector) if isinstance(error.instance, dict) else None
    if chosen not in names:
        return f"{key}.{selector} is {chosen!r}; it must be one of {names}{closest(chosen, names)}"
    inner = [sub for sub in error.context or [] if sub.schema_path[0] == names.index(chosen)]
    return "; ".join(_explain(sub) for sub in inner)


def closest(name: object, known: list[str]) -> str:
    """`` (did you mean …? allowed: …)`` for a name that is not among the known ones."""
    match = difflib.get_close_matches(str(name), known, n=1)
    guess = f"did you mean {match[0]!r}? " if match else ""
    return f" ({guess}allowed: {', '.join(known)})"


def _inconsistencies(config: dict[str, Any]) -> Any:
    """What a schema cannot say: names that must exist, numbers that must fit together."""
    ratio = Fraction(str(config["ratio"]))
    if not 0 < ratio < 1:
        yield f"ratio is {config['ratio']}; it must lie strictly between 0 and 1"
        return
    seeds, block = config["seeds"], config["block_size"]
    group = ratio.denominator if config["design"] == "balanced" else 1
    if block % group:
        yield (
            f"block_size is {block}; with ratio {ratio} a balanced group has {group} runs, so it must be a multiple of "
            f"{group}"
        )
    if seeds % block:
        yield f"seeds is {seeds}; it must be a multiple of block_size ({block})"
    if seeds < 2 * group:
        yield f"seeds is {seeds}; intervals need at least two groups of {group} runs"
    for name, entry in config["datasets"].items():
        if entry["source"] not in registry.DATASETS:
            yield f"datasets.{name}.source is {entry['source']!r}{closest(entry['source'], list(registry.DATASETS))}"
    for name, recipe in config["recipes"].items():
        yield from _recipe_problems(f"recipes.{name}", recipe, block)
    for name, entry in config["architectures"].items():
        if "recipe" in entry and entry["recipe"] not in config["recipes"]:
            yield f"architectures.{name}.recipe is {entry['recipe']!r}{closest(entry['recipe'], list(config['recipes']))}"
        if entry["model"] == "cifar-resnet" and (entry["depth"] - 2) % 6:
            yield f"architectures.{name}.depth is {entry['depth']}; it must be 6n + 2: 8, 14, 20, 32, 44, 56, 110, ..."
    for name, family in config["families"].items():
        for member in family["architectures"]:
            if member not in config["architectures"]:
                yield f"families.{name}.architectures names {member!r}{closest(member, list(config['architectures']))}"


def _recipe_problems(key: str, recipe: Spec, block: int) -> Any:
    if block % recipe["fuse"]:
        yield f"{key}.fuse is {recipe['fuse']}; block_size ({block}) must be a multiple of it"
    if recipe["augment"]["crop"] and recipe["augment"]["translate"]:
        yield f"{key}.augment has both crop and translate; they are two forms of a random shift: choose one"
    if recipe["schedule"].get("warmup_epochs", 0) >= recipe["epochs"]:
        yield f"{key}.schedule.warmup_epochs is {recipe['schedule']['warmup_epochs']}; it must be below epochs ({recipe['epochs']})"
