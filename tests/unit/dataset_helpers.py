"""Small files in the official formats, and where tests find real data."""

import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def real_data(folder: str) -> pytest.MarkDecorator:
    """Skip, by name, where MEMFLOW_DATA names no folder with this data."""
    root = os.environ.get("MEMFLOW_DATA", "")
    there = bool(root) and Path(root, folder).exists()
    return pytest.mark.skipif(not there, reason=f"needs {folder} in the folder that MEMFLOW_DATA names")


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def random_pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def image_bytes(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels.squeeze())
    (image.convert(mode) if mode else image).save(file, kind)
    return file.getvalue()


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder with its size and time of change, to see that nothing was written."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


class _Python2Pickler(pickle._Pickler):  # the one written in Python, whose methods can be replaced
    """Writes str and bytes as Python 2 wrote its str, as in CIFAR's files."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_python2_str(self, content):
        content = content.encode("latin1") if isinstance(content, str) else content
        if len(content) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(content)]) + content)
        else:
            self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)

    dispatch[str] = dispatch[bytes] = save_python2_str


def python2_pickle(content: object) -> bytes:
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()
