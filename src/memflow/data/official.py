"""Official files of public datasets: where they lie, whether they are unharmed, and how they are fetched."""

import hashlib
import http.client
import logging
import os
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from memflow.data.prepared import DatasetError
from memflow.files import write_atomically
from memflow.progress import INTERVAL

ROOT_VARIABLE = "MEMFLOW_DATA"
DEFAULT_ROOT = "downloads"  # in the working directory
TIMEOUT = 20.0  # seconds without an answer after which a server counts as out of reach
CHUNK = 1 << 20  # bytes

log = logging.getLogger(__name__)
T = TypeVar("T")


class AbsentError(Exception):
    """A file or folder is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing")
        self.path = path


class DamagedError(Exception):
    """A file is there, but it is not the official one."""


class DownloadError(Exception):
    """None of the addresses of a file gave it."""


@dataclass(frozen=True)
class OfficialFile:
    """A file as its authors publish it.

    Attributes
    ----------
    path : str
        Where it belongs, relative to the data root.
    md5 : str
    urls : tuple of str
        Addresses, tried in this order.
    """

    path: str
    md5: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Publication:
    """What a message about a missing or damaged dataset has to say.

    Attributes
    ----------
    name : str
    page : str
        The official page from which it can be downloaded by hand.
    belongs : str
        What a user has to put into the data root.
    """

    name: str
    page: str
    belongs: str


def data_root(root: str | None) -> Path:
    """The folder of downloaded datasets: ``root``, else what MEMFLOW_DATA names, else ``downloads``."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT).expanduser()


def md5_digest(content: bytes = b"") -> Any:
    """MD5 as a checksum, which hardened systems allow only if it is said to be no more than that."""
    return hashlib.md5(content, usedforsecurity=False)


def verified(path: Path, md5: str) -> Path:
    """The path of a file whose MD5 has been checked.

    Raises
    ------
    AbsentError, DamagedError
        With a message that names the file, and both checksums if they differ.
    """
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, md5_digest).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        raise AbsentError(path) from None
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from error
    if found != md5:
        raise DamagedError(f"{path} ({path.stat().st_size} bytes) has md5 {found}, but the official file has {md5}")
    return path


def obtain(
    publication: Publication,
    root: Path,
    readers: Sequence[Callable[[], T]],
    *,
    download: OfficialFile | None,
) -> T:
    """What the first reader that finds intact files returns; if none finds any file, after a download.

    Damaged files are never replaced: they may be somebody's work, or another job may be reading them.

    Parameters
    ----------
    readers : functions without arguments
        Each reads one form of the data, and raises AbsentError or DamagedError where it cannot.
    download : OfficialFile, optional
        What to fetch if nothing is there.

    Raises
    ------
    DatasetError
        That says what was expected and found, where to put the files, and where to get them.
    """
    absent, damaged = [], []
    for read in readers:
        try:
            content = read()
        except AbsentError as error:
            absent.append(str(error.path.relative_to(root)))
        except DamagedError as error:
            damaged.append(str(error))
        except OSError as error:  # a folder that nobody may look into
            damaged.append(f"{error.filename} cannot be read ({error.strerror})")
        else:
            if damaged:
                log.warning("%s: %s; another, intact form is used", publication.name, "; ".join(damaged))
            return content
    if damaged:
        raise _complaint(publication, root, "; ".join(damaged), "Delete what is damaged, then run again or put")
    missing = f"there is no {' and no '.join(absent)}"
    if download is None:
        raise _complaint(publication, root, missing, "Put")
    try:
        _fetch(download, root)
    except DownloadError as error:
        raise _complaint(publication, root, f"{missing}, and {error}", "Put") from error
    return obtain(publication, root, readers, download=None)


def _complaint(publication: Publication, root: Path, found: str, advice: str) -> DatasetError:
    return DatasetError(
        f"{publication.name} in {root}: {found}. {advice} {publication.belongs} there, or name the folder that has it "
        f"by the dataset's `root` or the environment variable {ROOT_VARIABLE}. Official download: {publication.page}"
    )


def _fetch(file: OfficialFile, root: Path) -> None:
    """Download a file, which appears in the root only when it is complete and has the right checksum."""
    failures = []
    for url in file.urls:
        log.info("downloading %s to %s", url, root / file.path)
        # Some servers refuse the name that Python gives itself.
        request = urllib.request.Request(url, headers={"User-Agent": "memflow"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return write_atomically(root / file.path, partial(_transfer, response, url, file.md5))
        except (OSError, http.client.HTTPException, DownloadError) as error:
            failures.append(f"{url}: {error}")
    raise DownloadError(f"the download failed ({'; '.join(failures)})")


def _transfer(response: Any, url: str, md5: str, target: IO[bytes]) -> None:
    digest, done, last_line = md5_digest(), 0, time.monotonic()
    total = f"{response.length / 1e6:.0f} MB" if response.length else "an unknown size"
    while chunk := response.read(CHUNK):
        target.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        if time.monotonic() - last_line >= INTERVAL:
            last_line = time.monotonic()
            log.info("%s: %.0f MB of %s", url, done / 1e6, total)
    if digest.hexdigest() != md5:
        raise DownloadError(f"{done} bytes with md5 {digest.hexdigest()} came, but the official file has {md5}")
