import io
import logging

import numpy as np
import pytest
from dataset_helpers import image_bytes, random_pixels
from PIL import Image
from torchvision import transforms

from memflow.data import images
from memflow.data.prepared import DatasetError


def decode(*contents, size=None):
    return images.decode(((f"image {i}", c) for i, c in enumerate(contents)), len(contents), what="them", size=size)


def test_lossless_files_come_back_exactly():
    colour = random_pixels(3, 5, 7, 3)
    assert np.array_equal(decode(*map(image_bytes, colour)), colour)
    grey = random_pixels(3, 5, 7, 1)
    assert np.array_equal(decode(*map(image_bytes, grey)), grey)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_grey_among_colour_has_three_equal_channels(order):
    grey, colour = random_pixels(4, 4), random_pixels(4, 4, 3)
    expected = [np.repeat(grey[..., None], 3, axis=2), colour]
    contents = [image_bytes(grey), image_bytes(colour)]
    assert np.array_equal(decode(*(contents[i] for i in order)), [expected[i] for i in order])


@pytest.mark.parametrize(
    ("mode", "kind", "channels"),
    [("1", "PNG", 1), ("LA", "PNG", 1), ("P", "PNG", 3), ("RGBA", "PNG", 3), ("CMYK", "JPEG", 3)],
)
def test_other_modes_of_eight_bits_become_grey_or_colour(mode, kind, channels):
    content = image_bytes(random_pixels(6, 6, 3), kind, mode)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("L" if channels == 1 else "RGB"))
    assert np.array_equal(decode(content)[0].squeeze(), expected)
    assert decode(content).shape == (1, 6, 6, channels)


def test_more_than_eight_bits_are_refused_by_name():
    with pytest.raises(DatasetError, match="image 0 has Pillow's mode I;16"):
        decode(image_bytes(np.arange(16, dtype=np.uint16).reshape(4, 4) * 1000))


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_broken_image_is_refused_by_name(keep):
    good = image_bytes(random_pixels(4, 4, 3))
    with pytest.raises(DatasetError, match="image 1 cannot be read as an image"):
        decode(good, good[:keep])


def test_images_of_several_sizes_need_a_size():
    with pytest.raises(DatasetError, match="image 1 has 5x4 pixels, but image 0 has 4x4: give `size`"):
        decode(image_bytes(random_pixels(4, 4)), image_bytes(random_pixels(4, 5)))


@pytest.mark.parametrize("shape", [(40, 40), (40, 57), (57, 40), (8, 9), (16, 16), (16, 31)])
def test_resizing_is_that_of_torchvision(shape):
    pixels = random_pixels(*shape, 3)
    bicubic = transforms.InterpolationMode.BICUBIC
    reference = transforms.Compose([transforms.Resize(16, bicubic), transforms.CenterCrop(16)])
    assert np.array_equal(decode(image_bytes(pixels), size=16)[0], np.asarray(reference(Image.fromarray(pixels))))


def test_splits_get_the_same_channels():
    grey, colour = random_pixels(2, 3, 3, 1), random_pixels(2, 3, 3, 3)
    assert [part.shape[3] for part in images.same_channels(grey, grey)] == [1, 1]
    for pair in ((grey, colour), (colour, grey), (colour, colour)):
        assert [part.shape[3] for part in images.same_channels(*pair)] == [3, 3]


def test_long_work_is_logged(caplog, monkeypatch):
    monkeypatch.setattr(images, "INTERVAL", 0)
    caplog.set_level(logging.INFO, "memflow")
    decode(*[image_bytes(random_pixels(2, 2))] * 2)
    assert caplog.messages == ["them: 1 of 2 images read", "them: 2 of 2 images read"]
