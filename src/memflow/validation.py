"""Validation of a config: against the schema, and for what a schema cannot say, with errors that help."""

import copy
import difflib
import math
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from memflow import registry
from memflow.errors import InputError

SCHEMA = Path(__file__).resolve().parents[2] / "workflow" / "schemas" / "config.schema.yaml"
NOISE = ("label_noise", "input_noise")
TAKEN = {"model", "image_shape", "n_classes", "fuse"}
USERS_OWN = "module:function"  # title of the form of a user's own architecture
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first is ten times as fast, where PyYAML has it


class ConfigError(InputError):
    """The config is wrong; the message says which key, which value, what is allowed."""


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """Check a config and fill in the defaults.

    Parameters
    ----------
    config : dict
        As read from YAML; left as it is.

    Returns
    -------
    dict
        A copy with a value for every key that has a default, and shares as fractions in lowest terms, such as "7/10".

    Raises
    ------
    ConfigError
        Naming, for each problem, the key, the value, and what is allowed.
    """
    schema = yaml.load(SCHEMA.read_text(encoding="utf-8"), LOADER)
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    _refuse([*map(_explain, errors), *_not_finite(config, "")])
    filled = _fill(config, schema, schema)
    _refuse(list(_inconsistencies(filled)))
    filled["ratio"] = str(Fraction(str(filled["ratio"])))
    if "proxies" in filled:
        filled["proxies"]["ratios"] = [str(Fraction(str(ratio))) for ratio in filled["proxies"]["ratios"]]
    for entry in filled["datasets"].values():
        for option in (entry[kind] for kind in NOISE if "fraction" in entry.get(kind, {})):
            option["fraction"] = str(Fraction(str(option["fraction"])))
    for entry in filled["datasets"].values():
        if option := entry.get("superclasses"):
            option["classes"] = {
                str(name): {str(label): str(Fraction(str(share))) for label, share in classes.items()}
                for name, classes in option["classes"].items()
            }
    for entry in filled["architectures"].values():
        if isinstance(entry.get("pretraining_overlap"), bool):  # yes and no, as YAML reads them
            entry["pretraining_overlap"] = "yes" if entry["pretraining_overlap"] else "no"
    return filled


def _refuse(problems: list[str]) -> None:
    if problems:
        distinct = dict.fromkeys(problems)  # the schema finds several missing keys once for each
        raise ConfigError("the config is wrong:\n" + "\n".join(f"  - {problem}" for problem in distinct))


def _fill(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """A copy of a valid value in which every missing key has its default."""
    schema = _dereference(schema, root)
    if isinstance(value, dict):
        if "oneOf" in schema:
            schema = _form_of(value, schema["oneOf"])
        properties = schema.get("properties", {})
        value = {**{k: s["default"] for k, s in _defaults(properties, root)}, **value}
        other = schema.get("additionalProperties", {})
        return {key: _fill(item, properties.get(key, other) or {}, root) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, schema.get("items", {}), root) for item in value]
    if "enum" in schema:
        return schema["enum"][schema["enum"].index(value)]
    number = {"integer": int, "number": float}.get(str(schema.get("type")))  # 8.0 is the integer 8
    return number(value) if number else copy.deepcopy(value)


def _form_of(value: Any, forms: list[dict[str, Any]]) -> dict[str, Any]:
    """The form, one of several, that a value chooses by the key that names it."""
    return next(form for form in forms if form["title"] == _title(value.get(_selector(forms))))


def _selector(forms: list[dict[str, Any]]) -> str:
    """The key that tells several forms of an object apart: ``source``, ``model`` or ``shape``."""
    return next(key for key, entry in forms[0]["properties"].items() if "const" in entry)


def is_users_own(model: object) -> bool:
    """Whether a model is named as ``module:function``."""
    return isinstance(model, str) and ":" in model


def _title(chosen: object) -> object:
    """Title of the form that a value of the selector chooses."""
    return USERS_OWN if is_users_own(chosen) else chosen


def _defaults(properties: dict[str, Any], root: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    resolved = [(key, {**_dereference(schema, root), **schema}) for key, schema in properties.items()]
    return [(key, schema) for key, schema in resolved if "default" in schema]


def _dereference(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    return root["$defs"][schema["$ref"].rpartition("/")[2]] if isinstance(schema, dict) and "$ref" in schema else schema


def _explain(error: ValidationError) -> str:
    """One line: the key, the value, what is allowed, and the closest valid name."""
    key = ".".join(map(str, error.absolute_path)) or "the config"
    expected: Any = error.validator_value
    given: Any = error.instance
    schema: Any = error.schema
    if error.validator == "oneOf":
        return _explain_choice(error, key)
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        unknown = [name for name in given if name not in known]
        return "; ".join(f"{key}: unknown key {name!r}{closest(name, known)}" for name in unknown)
    if error.validator == "required":
        missing = [name for name in expected if name not in given]
        return f"{key}: missing {', '.join(map(repr, missing))}"
    allowed = {
        "enum": "one of {}",
        "type": "of type {}",
        "minimum": "at least {}",
        "maximum": "at most {}",
        "exclusiveMinimum": "above {}",
        "exclusiveMaximum": "below {}",
        "minItems": "a list of at least {}",
        "pattern": "a name that matches {}",
        "const": "{}",
    }.get(str(error.validator))
    if allowed is None:
        return f"{key}: {error.message}"
    if error.validator == "enum":
        expected = [name for name in expected if not isinstance(name, bool)]  # yes and no, as YAML reads them
    hint = closest(given, expected) if error.validator == "enum" else ""
    if error.validator == "type" and isinstance(given, str) and re.fullmatch(r"[-+\d.]+[eE][-+]?\d+", given):
        hint = " (YAML takes it for text: write a point before the e and a sign after it, such as 1.0e-1)"
    return f"{key} is {given!r}; it must be {allowed.format(expected)}{hint}"


def _explain_choice(error: ValidationError, key: str) -> str:
    """A value that fits none of several forms: explain it by the form that it names."""
    branches: Any = error.validator_value
    forms = [branch for branch in branches if "title" in branch]
    if not forms:
        return f"{key} is {error.instance!r}; it must be a fraction such as 7/10, or a number between 0 and 1"
    names, selector = [form["title"] for form in forms], _selector(forms)
    if isinstance(error.instance, dict) and selector not in error.instance:
        return f"{key}: missing {selector!r}; it must be one of {names}"
    chosen = _title(error.instance.get(selector)) if isinstance(error.instance, dict) else None
    if chosen not in names:
        given = error.instance[selector] if isinstance(error.instance, dict) else error.instance
        return f"{key}.{selector} is {given!r}{closest(chosen, names)}"
    inner = [sub for sub in error.context or [] if sub.schema_path[0] == names.index(chosen)]
    return "; ".join(dict.fromkeys(_explain(sub) for sub in inner))


def closest(name: object, known: Iterable[object]) -> str:
    """`` (did you mean …? allowed: …)`` for a name that is not among the known ones."""
    names = list(map(str, known))
    match = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
    guess = f"did you mean {match[0]!r}? " if match else ""
    return f" ({guess}allowed: {', '.join(names)})"


def _not_finite(value: Any, key: str) -> Iterator[str]:
    """Numbers that YAML can hold and a schema lets pass: .nan and .inf."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _not_finite(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _not_finite(item, f"{key}.{position}")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{key} is {value}; it must be a finite number"


def _inconsistencies(config: dict[str, Any]) -> Iterator[str]:
    """What a schema cannot say: names that must exist, numbers that must fit together."""
    shares = {"ratio": config["ratio"]}
    for name, entry in config["datasets"].items():
        for kind in NOISE:
            if "fraction" in entry.get(kind, {}):
                shares[f"datasets.{name}.{kind}.fraction"] = entry[kind]["fraction"]
    for number, ratio in enumerate(config.get("proxies", {}).get("ratios", [])):
        shares[f"proxies.ratios.{number}"] = ratio
    outside = [key for key, share in shares.items() if not 0 < Fraction(str(share)) < 1]
    yield from (f"{key} is {shares[key]}; it must lie strictly between 0 and 1" for key in outside)
    if "ratio" not in outside:
        yield from _seed_problems(config, Fraction(str(config["ratio"])))
    for name, entry in config["datasets"].items():
        yield from _dataset_problems(f"datasets.{name}", entry)
    for name, recipe in config["recipes"].items():
        yield from _recipe_problems(f"recipes.{name}", recipe, config["block_size"])
    for name, entry in config["architectures"].items():
        yield from _architecture_problems(f"architectures.{name}", entry, config)
    for dataset in config["datasets"]:
        if not any(dataset in entry.get("datasets", [dataset]) for entry in config["architectures"].values()):
            yield f"datasets.{dataset}: no architecture is trained on it; see their key `datasets`"
    yield from _family_problems(config)
    for stage in ("influence", "privacy"):
        yield from _chosen_problems(stage, config)


def _chosen_problems(stage: str, config: dict[str, Any]) -> Iterator[str]:
    """Of the architectures that a stage is asked for."""
    known = [
        name
        for name, entry in config["architectures"].items()
        if stage == "influence" or entry["model"] not in registry.LEARNERS
    ]
    for name in config.get(stage, {}).get("architectures", []):
        if name not in known:
            yield f"{stage}.architectures names {name!r}{closest(name, known)}"
    if stage in config and not known:
        yield f"{stage}: the study has no network, and without logits membership cannot be inferred; remove the key"


def _dataset_problems(key: str, entry: dict[str, Any]) -> Iterator[str]:
    yield from _superclass_problems(key, entry)
    option = entry.get("label_noise", {})
    if not option:
        return
    needed = ("file", "key") if option["kind"] == "file" else ("fraction",)
    unused = {"fraction", "file", "key"} & option.keys() - set(needed)
    for name in needed:
        if name not in option:
            yield f"{key}.label_noise: missing {name!r}, which kind {option['kind']!r} needs"
    for name in sorted(unused):
        yield f"{key}.label_noise.{name} has no meaning with kind {option['kind']!r}; remove it"
    if option["kind"] == "file" and "classes" in entry.get("subset", {}):
        yield f"{key}.label_noise: labels of a file are among all classes, but subset.classes keeps some; remove one"


def _superclass_problems(key: str, entry: dict[str, Any]) -> Iterator[str]:
    kept, used = entry.get("subset", {}).get("classes"), dict[str, str]()
    for name, classes in entry.get("superclasses", {}).get("classes", {}).items():
        for label, share in classes.items():
            where = f"{key}.superclasses.classes.{name}"
            if not 0 < Fraction(str(share)) <= 1:
                yield f"{where}.{label} is {share!r}; it must be a share above 0 and at most 1, such as 1/4"
            if str(label) in used:
                yield f"{where} names {label!r}, which is in {used[str(label)]!r} already"
            used[str(label)] = str(name)
            if kept and str(label) not in map(str, kept):
                yield f"{where} names {label!r}{closest(label, kept)}"
    if used and entry.get("label_noise", {}).get("kind") == "file":
        yield f"{key}.label_noise: labels of a file are among all classes, but superclasses merges some; remove one"


def _architecture_problems(key: str, entry: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    recipes, datasets = config["recipes"], list(config["datasets"])
    for name in entry.get("datasets", []):
        if name not in datasets:
            yield f"{key}.datasets names {name!r}{closest(name, datasets)}"
    recipe = recipes.get(entry.get("recipe"), {"fuse": 1})
    if "recipe" in entry and entry["recipe"] not in recipes:
        yield f"{key}.recipe is {entry['recipe']!r}{closest(entry['recipe'], list(recipes))}"
    if entry["model"] == "cifar-resnet" and (entry["depth"] - 2) % 6:
        yield f"{key}.depth is {entry['depth']}; it must be 6n + 2: 8, 14, 20, 32, 44, 56, 110, ..."
    if entry["model"] not in registry.FUSED and recipe["fuse"] > 1:
        yield (
            f"{key}: recipe {entry['recipe']!r} has fuse {recipe['fuse']}, but only {', '.join(registry.FUSED)} can be "
            "trained side by side; give this architecture a recipe with fuse: 1"
        )
    if entry.get("pretrained", "timm") != "timm" and "pretrained_sha256" not in entry:
        yield (
            f"{key}: missing 'pretrained_sha256', so that every run starts from the same file; sha256sum "
            f"{entry['pretrained']} prints it"
        )
    for name in TAKEN & entry.get("arguments", {}).keys():
        yield f"{key}.arguments names {name!r}, which is taken; rename the argument"


def _seed_problems(config: dict[str, Any], ratio: Fraction) -> Iterator[str]:
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
    elif seeds < 4 * group and config["families"]:
        yield f"seeds is {seeds}; trajectories along families need at least four groups of {group} runs, two per half"


def _family_problems(config: dict[str, Any]) -> Iterator[str]:
    titles: dict[str, str] = {}
    for name, family in config["families"].items():
        for member in family["architectures"]:
            if member not in config["architectures"]:
                yield f"families.{name}.architectures names {member!r}{closest(member, list(config['architectures']))}"
            elif config["architectures"][member]["model"] in registry.LEARNERS:
                yield (
                    f"families.{name}.architectures names {member!r}, which is no network and has no size; it is drawn "
                    "beside every family as it is"
                )
        entries = [config["architectures"].get(member, {}) for member in family["architectures"]]
        trained = [set(entry.get("datasets", config["datasets"])) for entry in entries]
        if any(datasets != trained[0] for datasets in trained):
            yield f"families.{name}.architectures are not all trained on the same datasets (their key `datasets`)"
        if family["title"] == "reference":
            yield f"families.{name}.title is 'reference', which stands for what is drawn beside every family"
        other = titles.setdefault(family["title"], name)
        if other != name:
            yield f"families.{name}.title is {family['title']!r}, as is that of {other}; titles must differ"


def _recipe_problems(key: str, recipe: dict[str, Any], block: int) -> Iterator[str]:
    if block % recipe["fuse"]:
        yield f"{key}.fuse is {recipe['fuse']}; block_size ({block}) must be a multiple of it"
    if recipe["augment"]["crop"] and recipe["augment"]["translate"]:
        yield f"{key}.augment has both crop and translate; they are two forms of a random shift: choose one"
    late = [milestone for milestone in recipe["schedule"].get("milestones", []) if milestone >= recipe["epochs"]]
    if late:
        yield f"{key}.schedule.milestones has {late[0]:g}, but training ends after {recipe['epochs']} epochs"
    warmup, epochs = recipe["schedule"].get("warmup_epochs", 0), recipe["epochs"]
    if warmup >= epochs:
        yield f"{key}.schedule.warmup_epochs is {warmup}; it must be below epochs ({epochs})"
