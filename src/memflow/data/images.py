"""Image files to one array: decoding, one size for all, grey or colour."""

import logging
import time
from collections.abc import Iterable
from io import BytesIO

import numpy as np
from PIL import Image

from memflow.data.prepared import DatasetError
from memflow.progress import INTERVAL

GREY, COLOUR = ("1", "L", "LA", "La"), ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB")

log = logging.getLogger(__name__)


def decode(items: Iterable[tuple[str, bytes]], n: int, *, what: str, size: int | None = None) -> np.ndarray:
    """Decode n image files into one array.

    Parameters
    ----------
    items : iterable of (str, bytes)
        Name, for messages, and encoded content of each image.
    n : int
        How many there are.
    what : str
        What they are, for messages and progress.
    size : int, optional
        Side of the squares to which all are resized and cropped. If not given, all must have one size.

    Returns
    -------
    uint8[n, height, width, channels]
        One channel if every image is grey, else three. Transparency is dropped.

    Raises
    ------
    DatasetError
        That names the image that cannot be decoded, has more than 8 bits per channel, or another size than the first.
    """
    images: np.ndarray = np.empty(0, dtype=np.uint8)
    first, last_line = "", time.monotonic()
    for position, (name, content) in enumerate(items):
        image = _decode(name, content, size)
        if position == 0:
            first = name
            images = np.empty((n, *image.shape), dtype=np.uint8)
        if image.shape[:2] != images.shape[1:3]:
            raise DatasetError(
                f"{name} has {image.shape[1]}x{image.shape[0]} pixels, but {first} has {images.shape[2]}x"
                f"{images.shape[1]}: give `size`, the side to which all images are resized and cropped"
            )
        if image.shape[2] > images.shape[3]:
            images = in_colour(images)
        images[position] = image  # a grey image fills all three channels
        if time.monotonic() - last_line >= INTERVAL:
            last_line = time.monotonic()
            log.info("%s: %d of %d images read", what, position + 1, n)
    return images


def in_colour(images: np.ndarray) -> np.ndarray:
    """Images uint8[n, h, w, 1 or 3] with three channels, grey ones with three equal ones."""
    return images if images.shape[3] == 3 else np.repeat(images, 3, axis=3)


def same_channels(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both splits grey, or both in colour."""
    if train.shape[3] == test.shape[3]:
        return train, test
    return in_colour(train), in_colour(test)


def _decode(name: str, content: bytes, size: int | None) -> np.ndarray:
    """An image as uint8[height, width, 1 or 3]."""
    try:
        with Image.open(BytesIO(content)) as file:
            mode = file.mode
            image = _resized(_plain(file), size) if mode in GREY + COLOUR else None
    except Exception as error:  # Pillow raises many kinds for broken files
        raise DatasetError(f"{name} cannot be read as an image ({error})") from error
    if image is None:
        raise DatasetError(f"{name} has Pillow's mode {mode}; only images of 8 bits per channel can be used")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _plain(image: Image.Image) -> Image.Image:
    return image.convert("L" if image.mode in GREY else "RGB")


def _resized(image: Image.Image, size: int | None) -> Image.Image:
    """Shorter side to ``size``, then the centre: rounded as torchvision's Resize and CenterCrop do."""
    if size is None or image.size == (size, size):
        return image
    shorter = min(image.size)
    width, height = (int(size * side / shorter) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
