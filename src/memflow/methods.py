"""Methods of a study: one-hot, distilled students, runs on the whole training set or without some of it, other ratios.

Read inside every cluster job, hence quick: nothing here imports numpy or torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from memflow import registry
from memflow.validation import ConfigError, closest

ONE_HOT, FULL_DATA, SELF = "one-hot", "full-data", "self"
DISTILLED_FROM = "distilled-from-"
ARMS = ("none", "memorised", "random")  # what is removed from the training set


@dataclass(frozen=True)
class Method:
    """One way to train the networks of a study.

    Attributes
    ----------
    name : str
    kind : str
        ``one-hot``, ``distilled``, ``full-data``, ``ratio`` or ``removal``.
    seeds, block_size : int
        Runs per dataset and architecture, and how many of them one job trains.
    ratio : str
        Share of the training set in each subset, such as "7/10"; "1" for the whole.
    architectures : tuple of str
        Those that are trained with it.
    """

    name: str
    kind: str
    seeds: int
    block_size: int
    ratio: str
    architectures: tuple[str, ...]

    @property
    def is_scored(self) -> bool:
        """Whether its runs are on random subsets, and so give scores."""
        return self.kind in (ONE_HOT, "distilled", "ratio")

    @property
    def blocks(self) -> range:
        """Indices of the blocks of seeds."""
        return range(self.seeds // self.block_size)

    def seeds_of(self, block: int) -> list[int]:
        """First seed of a block, and the first one after it."""
        return [block * self.block_size, (block + 1) * self.block_size]


def of(config: dict[str, Any]) -> dict[str, Method]:
    """Methods by name, ``one-hot`` first.

    Parameters
    ----------
    config : dict
        Validated, with its defaults.

    Raises
    ------
    ConfigError
        If methods name what does not exist, or do not fit together.
    """
    if problems := list(_problems(config)):
        raise ConfigError("the config is wrong:\n" + "\n".join(f"  - {problem}" for problem in problems))
    seeds, block_size, ratio = config["seeds"], config["block_size"], config["ratio"]
    methods = [Method(ONE_HOT, ONE_HOT, seeds, block_size, ratio, tuple(config["architectures"]))]
    for name in config["distillation"]:
        methods.append(Method(name, "distilled", seeds, block_size, ratio, tuple(students(config, name))))
    if proxies := config.get("proxies"):
        tracked = tuple(tracked_architectures(config))
        methods.append(Method(FULL_DATA, FULL_DATA, proxies["runs"], proxies["block_size"], "1", tracked))
        for other in proxies["ratios"]:
            methods.append(Method(ratio_method(other), "ratio", seeds, block_size, other, tracked))
    if removal := config.get("removal"):
        runs, trained = removal["runs"], tuple(removal_architectures(config))
        methods += [Method(removal_method(arm), "removal", runs, removal["block_size"], "1", trained) for arm in ARMS]
    return {method.name: method for method in methods}


def ratio_method(ratio: str) -> str:
    """Name of the method that trains at a further ratio: ``ratio-1-2``."""
    return f"ratio-{ratio.replace('/', '-')}"


def removal_method(arm: str) -> str:
    """Name of the method that trains on the whole training set without some examples: ``removal-memorised``."""
    return f"removal-{arm}"


def removal_architectures(config: dict[str, Any]) -> list[str]:
    """Architectures that are trained without memorised examples, in the order of the config."""
    largest = {family["architectures"][-1] for family in config["families"].values()}
    chosen = set(config["removal"].get("architectures") or largest or networks(config)[-1:])
    return [architecture for architecture in config["architectures"] if architecture in chosen]


def students(config: dict[str, Any], name: str) -> list[str]:
    """Architectures that learn from a teacher, in the order of the config."""
    entry = config["distillation"][name]
    if "students" in entry:
        chosen = set(entry["students"])
    else:
        families = [family["architectures"] for family in config["families"].values()]
        chosen = {member for family in families if entry["teacher"] in [SELF, *family] for member in family}
        chosen -= {entry["teacher"]}
    return [architecture for architecture in config["architectures"] if architecture in chosen]


def tracked_architectures(config: dict[str, Any]) -> list[str]:
    """Architectures that are trained on the whole training set, in the order of the config."""
    named = config["proxies"].get("architectures")
    members = {member for family in config["families"].values() for member in family["architectures"]}
    chosen = set(named or members or networks(config))
    return [architecture for architecture in config["architectures"] if architecture in chosen]


def networks(config: dict[str, Any]) -> list[str]:
    """Architectures that are networks, and no reference learners."""
    return [name for name, entry in config["architectures"].items() if entry["model"] not in registry.LEARNERS]


def _problems(config: dict[str, Any]) -> Iterator[str]:
    for name in config["distillation"]:
        yield from _distillation_problems(f"distillation.{name}", name, config)
    if "proxies" in config:
        yield from _proxies_problems(config["proxies"], config)
    if "removal" in config:
        yield from _whole_set_problems("removal", config["removal"], config)


def _distillation_problems(key: str, name: str, config: dict[str, Any]) -> Iterator[str]:
    entry, known = config["distillation"][name], networks(config)
    if name in (ONE_HOT, FULL_DATA) or name.startswith(("ratio-", "removal-")):
        yield f"{key}: the name {name!r} is taken; choose another, such as {DISTILLED_FROM}{entry['teacher']}"
    if name.startswith(DISTILLED_FROM) and (name, "subset", "teacher") != (
        DISTILLED_FROM + entry["teacher"],
        entry["teacher_data"],
        entry["targets"],
    ):
        yield (
            f"{key}: a method of this name learns from the outputs of {name.removeprefix(DISTILLED_FROM)!r} as trained "
            "on the student's subset, but the entry says otherwise; rename it"
        )
    if entry["teacher"] not in [SELF, *known]:
        yield f"{key}.teacher is {entry['teacher']!r}{closest(entry['teacher'], [SELF, *known])}"
        return
    for student in entry.get("students", []):
        if student not in known:
            yield f"{key}.students names {student!r}{closest(student, known)}"
    chosen = [student for student in students(config, name) if student in known]
    if not chosen and "students" not in entry:
        yield f"{key}: nothing learns from {entry['teacher']!r}, which is in no family; name its students (students)"
    for student in chosen if entry["teacher"] != SELF else []:
        if not _datasets(config, student) & _datasets(config, entry["teacher"]):
            yield f"{key}: {student!r} and its teacher {entry['teacher']!r} are trained on no dataset in common"
    if entry["teacher_weight"] == entry["label_weight"] == 0:
        yield f"{key}: teacher_weight and label_weight are both 0, so that there is nothing to learn; raise one"
    for teacher in chosen if entry["teacher"] == SELF else [entry["teacher"]]:
        epochs = config["recipes"][config["architectures"][teacher]["recipe"]]["epochs"]
        if entry.get("teacher_epoch", 1) > epochs:
            yield f"{key}.teacher_epoch is {entry['teacher_epoch']}, but {teacher!r} trains for {epochs} epochs"
        if entry["teacher_data"] == "full" and (
            "proxies" not in config or teacher not in tracked_architectures(config)
        ):
            yield (
                f"{key}.teacher_data is 'full', but {teacher!r} has no runs on the whole training set; add `proxies`, "
                "with it among the architectures"
            )


def _datasets(config: dict[str, Any], architecture: str) -> set[str]:
    """Those that an architecture is trained on."""
    return set(config["architectures"][architecture].get("datasets", config["datasets"]))


def _whole_set_problems(key: str, entry: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    known = networks(config)
    if not known:
        yield f"{key}: the study has no network to train on the whole training set; remove the key, or add one"
    for name in entry.get("architectures", []):
        if name not in known:
            yield f"{key}.architectures names {name!r}{closest(name, known)}"
    if entry["runs"] % entry["block_size"]:
        yield f"{key}.runs is {entry['runs']}; it must be a multiple of {key}.block_size ({entry['block_size']})"


def _proxies_problems(entry: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    yield from _whole_set_problems("proxies", entry, config)
    for ratio in entry["ratios"]:
        group = Fraction(ratio).denominator if config["design"] == "balanced" else 1
        if ratio == config["ratio"]:
            yield f"proxies.ratios has {ratio}, which is the study's ratio and need not be named"
        if config["block_size"] % group or config["seeds"] < 2 * group:
            yield (
                f"proxies.ratios has {ratio}, whose balanced group has {group} runs: block_size "
                f"({config['block_size']}) must be a multiple of it, and seeds ({config['seeds']}) {2 * group} or more"
            )
    if len(set(entry["ratios"])) < len(entry["ratios"]):
        yield "proxies.ratios names a ratio twice"
