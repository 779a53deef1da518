"""Files beside the page, each named by its content, and scripts that carry arrays.

A page opened from disk may not read other files, but it may run scripts: each file of data is a script that hands its
columns to one function of the page.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from memflow.files import write_bytes

FOLDERS = ("data", "images", "vendor")
OURS = re.compile(r".+\.[0-9a-f]{12}\.(js|png)")
KINDS = {"b": "u", "u": "u", "i": "i", "f": "f"}  # of NumPy, and as the page calls them; booleans are 0 and 1


class Assets:
    """What a page loads besides itself.

    Parameters
    ----------
    folder : Path
        Of the page.

    Attributes
    ----------
    written : dict of str to str
        SHA-256 of each asset, by its path relative to the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: dict[str, str] = {}

    def add(self, name: str, suffix: str, content: bytes) -> str:
        """Write a file; its path, which names the content.

        Parameters
        ----------
        name : str
            Such as ``data/digits.examples``.
        suffix : str
            ``js`` or ``png``.
        content : bytes
        """
        digest = hashlib.sha256(content).hexdigest()
        path = f"{name}.{digest[:12]}.{suffix}"
        write_bytes(self.folder / path, content)
        self.written[path] = digest
        return path

    def add_columns(self, name: str, columns: Mapping[str, np.ndarray]) -> str:
        """Write a script that hands over some arrays; its path."""
        return self.add(f"data/{name}", "js", script(name, columns))

    def remove_stale(self) -> None:
        """Remove the assets of earlier builds; files that are not named as assets are somebody else's."""
        for folder in FOLDERS:
            for path in sorted((self.folder / folder).glob("*")):
                if OURS.fullmatch(path.name) and f"{folder}/{path.name}" not in self.written:
                    path.unlink()


def script(name: str, columns: Mapping[str, np.ndarray]) -> bytes:
    """A script that hands arrays to the page under a name."""
    packed = {key: pack(array) for key, array in columns.items()}
    return f"memflow.receive({json.dumps(name)}, {json.dumps(packed, separators=(',', ':'))});\n".encode()


def pack(array: np.ndarray) -> list[str]:
    """An array as its type and its little-endian bytes in base64; no value changes, floats stay as wide as they are."""
    kind = f"{KINDS[array.dtype.kind]}{array.dtype.itemsize}"
    content = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return [kind, base64.b64encode(content).decode()]


def smallest(array: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 on, in the smallest type that holds them: 1, 2 or 4 bytes."""
    largest = int(array.max(initial=0))
    return array.astype(next(kind for kind in (np.uint8, np.uint16, np.uint32) if largest <= np.iinfo(kind).max))
