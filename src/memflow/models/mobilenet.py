"""MobileNet-V3 (Howard et al. 2019) of any width, by torchvision.

Published parameter counts at width 1 and 1000 classes: small 2,542,856; large 5,483,032. Torchvision's own settings
stay: its initial weights; dropout of 0.2 before the last layer, drawn from torch's global generator; batch norm with
eps 0.001 and **momentum 0.01**: the statistics that evaluation uses reach back over hundreds of steps, so a training of
few steps is evaluated with stale ones.

Pooling to 1x1 is a mean in torch, so every operation has a deterministic backward pass on GPUs too.
"""

from torch import nn
from torchvision.models import mobilenetv3

from memflow.models.arguments import choose

SIZES = {"small": mobilenetv3.mobilenet_v3_small, "large": mobilenetv3.mobilenet_v3_large}


def build(image_shape: tuple[int, int, int], n_classes: int, *, size: str, width: float) -> nn.Module:
    """A MobileNet-V3 ``[batch, channels, height, width] -> logits [batch, classes]``.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width of the images. The image is divided by 32 on the way: one of 32x32 ends as a single
        position. With other than 3 channels, the first convolution has that many.
    n_classes : int
    size : {"small", "large"}
    width : float
        Factor on all channel counts, which are then rounded to multiples of 8; 1 is the published network.

    Raises
    ------
    ValueError
        If there is no such size, or the width is not above 0.
    """
    if not width > 0:
        raise ValueError(f"width is {width}; a factor on the channel counts must be above 0")
    network = choose(SIZES, size, "size")(num_classes=n_classes, width_mult=width)
    if image_shape[0] != 3:
        network.features[0][0] = _stem(image_shape[0], network.features[0][0])
    return network


def _stem(channels: int, of_colour: nn.Conv2d) -> nn.Conv2d:
    """The first convolution for images of other than 3 channels, initialised as torchvision does."""
    stem = nn.Conv2d(channels, of_colour.out_channels, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    return stem
