"""Tiny-ImageNet-200, from its zip archive (read in place) or the folder unpacked from it."""

import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from memflow.data import images, labels
from memflow.data.official import AbsentError, DamagedError, OfficialFile, Publication, data_root, obtain, verified
from memflow.data.prepared import DatasetError, Split

FOLDER = "tiny-imagenet-200"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
# Its authors publish no checksum. This one is what many independent public projects check their download against; one
# of them gives the size too, 248,100,043 bytes.
ARCHIVE = OfficialFile(f"{FOLDER}.zip", "90528d7ca1a48142e341f4ef8d21d0de", (URL,))


@dataclass(frozen=True)
class _Tree:
    """Files of the dataset by their path inside its folder."""

    place: Path
    names: frozenset[str]
    read: Callable[[str], bytes]

    def lines(self, name: str) -> list[list[str]]:
        """Lines of a text file, split at tabs."""
        return [line.split("\t") for line in self.read(name).decode().splitlines() if line.strip()]


@dataclass(frozen=True)
class _Listing:
    """Paths and labels of a split, in official order."""

    paths: list[str]
    labels: list[int]


def load(*, root: str | None = None, download: bool = True) -> tuple[Split, Split, list[str]]:
    """Tiny-ImageNet-200: 100,000 training and 10,000 validation images of 64x64x3 in 200 classes.

    The labels are the positions in ``wnids.txt``, which is not sorted. The official order of the training images is
    that of the classes in ``wnids.txt``, and within a class that of the numbers in the file names (``_2`` before
    ``_10``); that of the validation images is that of the numbers in theirs. The validation images are the test
    split, because the official test images have no labels. Grey images are given three equal channels.

    Parameters
    ----------
    root : str, optional
        Folder with ``tiny-imagenet-200/`` or ``tiny-imagenet-200.zip``, or the unpacked folder itself, which may have
        fewer classes; see :func:`memflow.data.official.data_root`.
    download : bool
        Fetch the archive if neither is there.

    Returns
    -------
    train, test : Split
    class_names : list of str
        As ``words.txt`` has them, else the WordNet ids.

    Raises
    ------
    DatasetError
        If the files are missing and cannot be downloaded, are damaged or incomplete, or an image cannot be read.
    """
    folder = data_root(root)
    publication = Publication("Tiny-ImageNet", URL, f"{ARCHIVE.path} or the folder {FOLDER}/ unpacked from it")
    readers = [partial(_from_folder, folder / FOLDER), partial(_from_folder, folder), partial(_from_zip, folder)]
    return obtain(publication, folder, readers, download=ARCHIVE if download else None)


def _from_folder(folder: Path) -> tuple[Split, Split, list[str]]:
    if not (folder / "wnids.txt").is_file():
        if folder.name == FOLDER and folder.is_dir():
            raise DamagedError(f"{folder} has no wnids.txt")
        raise AbsentError(folder / "wnids.txt")
    names = frozenset(
        Path(place, file).relative_to(folder).as_posix()
        for part in ("train", "val")
        for place, _, files in os.walk(folder / part)
        for file in files
    )
    texts = frozenset(name for name in ("wnids.txt", "words.txt") if (folder / name).is_file())
    return _read(_Tree(folder, names | texts, lambda name: (folder / name).read_bytes()))


def _from_zip(root: Path) -> tuple[Split, Split, list[str]]:
    with _opened(verified(root / ARCHIVE.path, ARCHIVE.md5)) as archive:
        prefix = f"{FOLDER}/"
        names = frozenset(name.removeprefix(prefix) for name in archive.namelist() if name.startswith(prefix))
        return _read(_Tree(root / ARCHIVE.path, names, lambda name: archive.read(prefix + name)))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise DamagedError(f"{path} cannot be unpacked ({error})") from error


def _read(tree: _Tree) -> tuple[Split, Split, list[str]]:
    try:
        wnids = [line[0] for line in tree.lines("wnids.txt")]
        listings = _train(tree, wnids), _validation(tree, wnids)
        words = {line[0]: line[-1] for line in tree.lines("words.txt")} if "words.txt" in tree.names else {}
    except (OSError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise DamagedError(f"{tree.place} is incomplete or damaged ({error})") from error
    train, test = (_split(tree, listing, what) for listing, what in zip(listings, ("train", "val"), strict=True))
    return train, test, [words.get(wnid, wnid) for wnid in wnids]


def _train(tree: _Tree, wnids: list[str]) -> _Listing:
    found: dict[str, list[str]] = {wnid: [] for wnid in wnids}
    for name in tree.names:
        if match := re.fullmatch(r"train/([^/]+)/images/[^/]+\.JPEG", name):
            found.setdefault(match[1], []).append(name)
    if unknown := sorted(set(found) - set(wnids)):
        raise DamagedError(f"{tree.place}: train has images of {', '.join(unknown[:5])}, which wnids.txt does not list")
    for wnid in wnids:
        _check_complete(tree, wnid, found[wnid])
    paths = [path for wnid in wnids for path in sorted(found[wnid], key=_number)]
    return _Listing(paths, [label for label, wnid in enumerate(wnids) for _ in found[wnid]])


def _check_complete(tree: _Tree, wnid: str, paths: list[str]) -> None:
    """Every class comes with a table of its images, which tells whether the folder was unpacked to the end."""
    listed = {f"train/{wnid}/images/{line[0]}" for line in tree.lines(f"train/{wnid}/{wnid}_boxes.txt")}
    if not paths or (missing := sorted(listed.symmetric_difference(paths))):
        example = f", for example {missing[0]}" if paths else ""
        raise DamagedError(
            f"{tree.place}: class {wnid} has {len(paths)} training images, its table lists {len(listed)}{example}"
        )


def _validation(tree: _Tree, wnids: list[str]) -> _Listing:
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    rows = [(f"val/images/{line[0]}", line[1]) for line in tree.lines("val/val_annotations.txt")]
    if unknown := sorted({wnid for _, wnid in rows} - set(label_of)):
        raise DamagedError(f"{tree.place}: val has images of {', '.join(unknown[:5])}, which wnids.txt does not list")
    present = {name for name in tree.names if name.startswith("val/images/") and name.endswith(".JPEG")}
    if not rows or (missing := sorted(present.symmetric_difference(path for path, _ in rows))):
        example = f", for example {missing[0]}" if rows else ""
        raise DamagedError(f"{tree.place}: val has {len(present)} images, its table lists {len(rows)}{example}")
    rows.sort(key=lambda row: _number(row[0]))
    return _Listing([path for path, _ in rows], [label_of[wnid] for _, wnid in rows])


def _number(path: str) -> int:
    match = re.search(r"_(\d+)\.JPEG$", path)
    if not match:
        raise DamagedError(f"{path} has no number at its end")
    return int(match[1])


def _split(tree: _Tree, listing: _Listing, what: str) -> Split:
    items = ((f"{tree.place}: {path}", tree.read(path)) for path in listing.paths)
    try:
        pixels = images.decode(items, len(listing.paths), what=f"Tiny-ImageNet {what}")
    except DatasetError as error:
        raise DamagedError(str(error)) from error
    return labels.split(images.in_colour(pixels), np.array(listing.labels))
