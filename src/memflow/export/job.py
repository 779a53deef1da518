"""One export from start to end: checks, the files, and what they were made from."""

from pathlib import Path
from typing import Any

from memflow import provenance, registry, uncommitted
from memflow.errors import InputError
from memflow.export import destination, formats
from memflow.export.formats import Format
from memflow.export.source import Options, Source
from memflow.methods import FULL_DATA, ONE_HOT
from memflow.study import OpenStudy


def run(
    name: str,
    study: OpenStudy,
    dataset: str,
    architecture: str,
    method: str | None,
    output: Path,
    *,
    options: dict[str, float] | None = None,
    force: bool = False,
) -> str:
    """Write one dataset, architecture and method of a study in another tool's format.

    Parameters
    ----------
    name : str
        Of the format: a key of :data:`memflow.export.formats.FORMATS`.
    study : OpenStudy
    dataset, architecture : str
    method : str, optional
        One-hot without.
    output : Path
        File or folder to write; a file gets a sidecar, a folder a list of its files.
    options : dict of str to float, optional
        Attributes of :class:`Options` that were chosen.
    force : bool
        Replace an output that no export wrote.

    Returns
    -------
    str
        What was written, in one line; a second one warns if anything was made from uncommitted code.

    Raises
    ------
    InputError
        If there is no such format, dataset, architecture or method, if the study lacks what the format holds, or if the
        output must not be replaced.
    """
    chosen = formats.find(name)
    started = provenance.now()
    _check_choices(name, chosen, method, options or {})
    destination.check(output, chosen.suffix, force)
    source = Source(study, dataset, architecture, method or ONE_HOT, Options(**(options or {})))
    definition = {
        "export": name,
        "study": study.name,
        "dataset": dataset,
        "fingerprint": source.dataset.fingerprint,
        "architecture": architecture,
        "method": FULL_DATA if chosen.tracked else source.method,
        **{option: getattr(source.options, option) for option in chosen.options},
    }
    written = (_write_file if chosen.suffix else _write_folder)(chosen, source, output, definition, started)
    described = output if chosen.suffix else output / destination.LISTING
    return uncommitted.marked(f"{output} ({name}): {written}; {source.order}", described)


def _check_choices(name: str, chosen: Format, method: str | None, options: dict[str, float]) -> None:
    for option in options.keys() - set(chosen.options):
        heeding = [other for other, form in formats.FORMATS.items() if option in form.options]
        raise InputError(f"--{option.replace('_', '-')} has no meaning for {name}; it is for {', '.join(heeding)}")
    if chosen.tracked and method not in (None, FULL_DATA):
        raise InputError(
            f"{name} comes from the tracked runs on the whole training set, and not from --method {method}; leave "
            "--method out"
        )


def _write_file(chosen: Format, source: Source, output: Path, definition: dict[str, Any], started: str) -> str:
    written = registry.resolve(chosen.write)(source, output)
    provenance.write([output], definition, inputs=source.study.read, started=started)
    return str(written)


def _write_folder(chosen: Format, source: Source, output: Path, definition: dict[str, Any], started: str) -> str:
    with destination.new_folder(output) as folder:
        written = registry.resolve(chosen.write)(source, folder)
        about = {**definition, "written": written, "order": source.order}
        listing = destination.list_files(folder, about)
        provenance.write([listing], definition, inputs=source.study.read, started=started)
    return str(written)
