"""VGG networks for small images: five stages of 3x3 convolutions, each halved by max-pooling, and one linear layer.

A convolution is followed by batch norm and ReLU. Sizes "small", "medium" and "large" have one convolution per stage;
their published parameter counts (0.414 M, 0.967 M and 7.384 M at 10 classes) hold exactly only if convolutions have no
bias: 413,898; 967,242; 7,383,882. Size 19 is the usual VGG-19 of CIFAR-10: torchvision's configuration E, whose
convolutions have biases, without the two hidden linear layers: 20,040,522. Initial weights as in torchvision; no
dropout.

What is left of an image larger than 32x32 is averaged over its positions, which unlike torchvision's adaptive pooling
to 7x7 has a deterministic backward pass on GPUs; that of max-pooling is deterministic as it is.
"""

import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from memflow.models.arguments import choose

STAGES = {"small": (64, 64, 64, 64, 512), "medium": (64, 128, 128, 128, 512), "large": (64, 512, 512, 512, 512)}
LAYERS: dict[str | int, list[str | int]] = {
    size: [layer for width in widths for layer in (width, "M")] for size, widths in STAGES.items()
}
LAYERS[19] = cfgs["E"]
SMALLEST = 32  # halved five times, one position is left


class VGG(nn.Module):
    """``[batch, channels, height, width] -> logits [batch, classes]``."""

    def __init__(self, features: nn.Sequential, n_classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(512, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).mean(dim=(2, 3)))


def build(image_shape: tuple[int, int, int], n_classes: int, *, size: str | int) -> VGG:
    """A VGG ``[batch, channels, height, width] -> logits [batch, classes]``.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width of the images, at least 32x32. With other than 3 channels, the first convolution has
        that many.
    n_classes : int
    size : {"small", "medium", "large", 19}

    Raises
    ------
    ValueError
        If there is no such size, or the images are smaller than 32x32.
    """
    channels, height, width = image_shape
    layers = choose(LAYERS, size, "size")
    if min(height, width) < SMALLEST:
        raise ValueError(f"images are {height}x{width}; a VGG halves them five times and needs at least 32x32")
    features = make_layers(layers, batch_norm=True)
    if channels != 3:
        features[0] = nn.Conv2d(channels, features[0].out_channels, 3, padding=1)
    if size in STAGES:
        _remove_biases(features)
    network = VGG(features, n_classes)
    network.apply(_initialise)
    return network


def _remove_biases(features: nn.Sequential) -> None:
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            layer.bias = None  # batch norm subtracts it anyway


def _initialise(layer: nn.Module) -> None:
    """As torchvision's VGG; its batch norms already are."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, 0, 0.01)
        nn.init.zeros_(layer.bias)
