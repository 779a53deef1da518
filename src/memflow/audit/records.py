"""The sidecars of a study's results, read as one graph: which file was made from which.

Only the records are read here, and no file is believed or doubted: :mod:`memflow.audit.states` and
:mod:`memflow.audit.verify` hold them against the files.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from memflow import provenance
from memflow.errors import InputError
from memflow.files import sha256

SUFFIX = ".prov.json"
SMALL = 2**20  # bytes; larger files are read again only if they changed after their record was written


class Records:
    """The results of a study, wherever their folder lies now.

    A file is named by its path from there, such as ``counts/digits/mlp-16/one-hot.npz``, whatever the folder was
    called when the record was written; a file outside of the results starts with ``./`` or ``/``.

    Parameters
    ----------
    results : Path
        ``results/<study>``, perhaps renamed or moved.
    root : Path
        The project, from which files outside of the results are named.

    Raises
    ------
    InputError
        If there is no such folder.
    """

    def __init__(self, results: Path, root: Path = Path()) -> None:
        if not results.is_dir():
            raise InputError(f"no results in {results}; run snakemake first, or name the folder with --results")
        self.results, self.root = results, root
        self._records: dict[str, dict[str, Any] | None] = {}
        self._hashes: dict[str, str | None] = {}

    def names(self) -> list[str]:
        """All files that have a sidecar, or that a sidecar describes, in order."""
        found = set()
        for path in self.results.rglob(f"*{SUFFIX}"):
            if not any(part.endswith(".partial") for part in path.parts):
                name = self.name(path).removesuffix(SUFFIX)
                found |= {name, *self.siblings(name)}
        return sorted(found)

    def of(self, name: str) -> dict[str, Any] | None:
        """The record of a file; None if it has no sidecar, or one that is unreadable or describes other files."""
        if name not in self._records:
            try:
                self._records[name] = provenance.read_sidecar(self.path(name))
            except (InputError, OSError):
                self._records[name] = None
        return self._records[name]

    def siblings(self, name: str) -> list[str]:
        """All files that the job of a file made, by its record; the file alone if it has none."""
        record = self.of(name)
        return [str(PurePosixPath(name).with_name(other)) for other in record["outputs"]] if record else [name]

    def inputs(self, name: str) -> dict[str, str]:
        """Names of the files that a file was made from, and their SHA-256 as its job read them."""
        record = self.of(name)
        return {_from_results(path): digest for path, digest in record["inputs"].items()} if record else {}

    def recorded(self, name: str) -> str | None:
        """SHA-256 of a file by its own record."""
        record = self.of(name)
        return record["outputs"][PurePosixPath(name).name] if record else None

    def assets(self, name: str) -> dict[str, str]:
        """Names and SHA-256 of what a page loads besides itself: files without records of their own."""
        assets = (self.of(name) or {}).get("assets", {})
        return {str(PurePosixPath(name).parent / asset): digest for asset, digest in assets.items()}

    def ancestry(self, *names: str) -> list[str]:
        """Some files and all that they were made from, each once, after its own inputs."""
        ordered: dict[str, None] = {}
        pending = [(name, False) for name in reversed(names)]
        seen: set[str] = set()
        while pending:
            name, done = pending.pop()
            if done:
                ordered[name] = None
            elif name not in seen:
                seen.add(name)
                pending.append((name, True))
                pending += [(other, False) for other in reversed(self.inputs(name))]
        return list(ordered)

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return (self.root if name.startswith(("./", "/")) else self.results) / name

    def name(self, path: Path) -> str:
        """Name of a file, from its path as one would type it.

        Raises
        ------
        InputError
            If it is not in the results.
        """
        try:
            return path.absolute().relative_to(self.results.absolute()).as_posix()
        except ValueError:
            raise InputError(f"{path} is not in {self.results}; to audit another study, name its config") from None

    def actual(self, name: str) -> str | None:
        """SHA-256 of a file as it is now, read once; None if it is missing."""
        if name not in self._hashes:
            path = self.path(name)
            self._hashes[name] = sha256(path) if path.is_file() else None
        return self._hashes[name]

    def probable(self, name: str) -> str | None:
        """As :meth:`actual`, but a large file that did not change after its record was written is not read.

        An edit moves a file's inode change time, also where its modification time was set back.
        """
        path = self.path(name)
        try:
            file, sidecar = path.stat(), provenance.sidecar(path).stat()
        except OSError:
            return self.actual(name)
        untouched = file.st_size > SMALL and file.st_ctime_ns <= sidecar.st_ctime_ns
        return self.recorded(name) if untouched else self.actual(name)

    def blocks(self, names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The blocks of runs among some files, also those of which only the weights are, each with its record."""
        in_runs = (name for name in names if name.startswith("runs/"))
        for name in dict.fromkeys(name.replace(".weights.npz", ".npz") for name in in_runs):
            if record := self.of(name):
                yield name, record


def run_of(name: str) -> tuple[str, str, str]:
    """Dataset, architecture and method of a block or of what is merged from them."""
    _, dataset, architecture, method = PurePosixPath(name).with_suffix("").parts[:4]
    return dataset, architecture, method


def _from_results(recorded: str) -> str:
    """Name of a file whose path a job recorded: what follows ``results/<study>/``, or the path itself."""
    parts = PurePosixPath(recorded).parts
    if "results" in parts:
        last = len(parts) - 1 - parts[::-1].index("results")
        return "/".join(parts[last + 2 :])
    return recorded if recorded.startswith("/") else f"./{recorded}"
