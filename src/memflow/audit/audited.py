"""Which study an audit is of: its config as it is now, and the records of its results."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memflow import config
from memflow.audit.records import Records
from memflow.config import Study
from memflow.errors import InputError
from memflow.validation import ConfigError

DEFAULT = Path("config.yaml")


@dataclass(frozen=True)
class Audited:
    """A study and its results.

    Attributes
    ----------
    study : Study
        As its config and the code say now.
    records : Records
        What was recorded when the results were made.
    """

    study: Study
    records: Records


def find(targets: list[Path], configfile: Path | None = None, results: Path | None = None) -> Audited:
    """The study that some files belong to.

    Parameters
    ----------
    targets : list of Path
        Files of one study's results; none for all of them.
    configfile : Path, optional
        Of the study. Otherwise the one whose results the first target lies in is looked for in ``config.yaml`` and
        ``studies/``, and without targets it is ``config.yaml``.
    results : Path, optional
        Folder of the results, if it is not ``results/<study>``.

    Raises
    ------
    InputError
        If there is no such config, or it has no results.
    """
    folder = results or next(map(_results_of, targets), None)
    if configfile is None:
        configfile = _config_of(folder.name) if folder else DEFAULT
    study = Study(config.read(configfile))
    return Audited(study, Records(folder or Path("results", study.name)))


def records(targets: list[Path], results: Path | None = None, configfile: Path | None = None) -> Records:
    """What was recorded in the results that some files lie in, whatever the config says now; arguments as of `find`."""
    folder = results or next(map(_results_of, targets), None)
    return Records(folder) if folder else find(targets, configfile).records


def _results_of(target: Path) -> Path:
    """The folder ``results/<study>`` that a path lies in."""
    for folder in (target, *target.parents):
        if folder.parent.name == "results":
            return folder
    raise InputError(f"{target} is not in results/<study>; name the folder of the study's results with --results")


def _config_of(study: str) -> Path:
    names = dict(_configs())
    if study not in names:
        raise InputError(
            f"no config of a study {study!r} in config.yaml and studies/ (there are: {', '.join(sorted(names))}); "
            "name its file with --configfile"
        )
    return names[study]


def _configs() -> Iterator[tuple[str, Path]]:
    for path in (DEFAULT, *sorted(Path("studies").glob("*.yaml"))):
        try:
            yield str(config.read(path).get("study")), path
        except ConfigError:  # another study's trouble
            continue
