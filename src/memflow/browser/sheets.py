"""Thumbnails of images, many to a sheet."""

from io import BytesIO

import numpy as np
from PIL import Image

from memflow.browser.assets import Assets

ACROSS = 16  # thumbnails side by side
PER_SHEET = ACROSS**2
LONGEST = 64  # pixels along a thumbnail's longer side, at most


def add(assets: Assets, name: str, images: np.ndarray) -> list[str]:
    """Write the sheets of some images; their paths.

    Parameters
    ----------
    assets : Assets
    name : str
        Of the dataset and split.
    images : uint8[n, height, width, channels]
    """
    starts = range(0, len(images), PER_SHEET)
    parts = (images[start : start + PER_SHEET] for start in starts)
    return [assets.add(f"images/{name}-{number}", "png", png(sheet(part))) for number, part in enumerate(parts)]


def size(height: int, width: int) -> tuple[int, int]:
    """Height and width of an image's thumbnail: its own pixels, or if it is too large, as many as allowed."""
    longest = max(height, width)
    if longest <= LONGEST:
        return height, width
    return max(1, round(height * LONGEST / longest)), max(1, round(width * LONGEST / longest))


def sheet(images: np.ndarray) -> np.ndarray:
    """At most :data:`PER_SHEET` images side by side, row by row, uint8[height, width] or uint8[height, width, 3]."""
    thumbnails = _reduced(_shown(images))
    n, height, width = thumbnails.shape[:3]
    rows = -(-n // ACROSS)
    tiles = np.zeros((rows * ACROSS, *thumbnails.shape[1:]), dtype=np.uint8)
    tiles[:n] = thumbnails
    laid = tiles.reshape(rows, ACROSS, height, width, -1).swapaxes(1, 2)
    pixels = laid.reshape(rows * height, ACROSS * width, -1)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def png(pixels: np.ndarray) -> bytes:
    """Pixels as PNG, the same bytes for the same pixels."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def _shown(images: np.ndarray) -> np.ndarray:
    """Grey, or red, green and blue; images of other channels become the grey of their mean."""
    if images.shape[3] in (1, 3):
        return images
    return images.mean(axis=3, keepdims=True).astype(np.uint8)


def _reduced(images: np.ndarray) -> np.ndarray:
    height, width = size(*images.shape[1:3])
    if (height, width) == images.shape[1:3]:
        return images
    reduced = [Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.BOX) for image in images]
    return np.stack([np.asarray(image) for image in reduced]).reshape(len(images), height, width, images.shape[3])
