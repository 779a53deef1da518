"""The standard residual networks of depth 18 to 101 (He et al. 2016, section 4.1), by torchvision.

Four stages of width 64 to 512; shortcuts that change shape are 1x1 convolutions (option B); torchvision's initial
weights; no dropout. Published parameter counts:

- ``imagenet`` form, 1000 classes: depth 18: 11,689,512; 34: 21,797,672; 50: 25,557,032; 101: 44,549,160.
- ``small`` form, 10 classes: 11,173,962; 21,282,122; 23,520,842; 42,512,970.

Pooling to 1x1 is a mean in torch, so every operation has a deterministic backward pass on GPUs too.
"""

from torch import nn
from torchvision.models import resnet

from memflow.models.arguments import choose

DEPTHS = {18: resnet.resnet18, 34: resnet.resnet34, 50: resnet.resnet50, 101: resnet.resnet101}
STEMS = {"small": (3, 1, 1), "imagenet": (7, 2, 3)}  # kernel size, stride and padding of the first convolution


def build(image_shape: tuple[int, int, int], n_classes: int, *, depth: int, form: str) -> nn.Module:
    """A ResNet ``[batch, channels, height, width] -> logits [batch, classes]``.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width of the images. With other than 3 channels, the first convolution has that many.
    n_classes : int
    depth : {18, 34, 50, 101}
        34 and below have basic blocks, the others bottlenecks.
    form : {"small", "imagenet"}
        "small", the usual for 32x32: the first convolution is 3x3 without stride, and no pooling follows it.
        "imagenet": torchvision's own, which divides the image by 4 before the first block.

    Raises
    ------
    ValueError
        If there is no such depth or form.
    """
    kernel_size, stride, padding = choose(STEMS, form, "form")
    network = choose(DEPTHS, depth, "depth")(num_classes=n_classes)
    if form == "small":
        network.maxpool = nn.Identity()
    if form == "small" or image_shape[0] != 3:
        network.conv1 = nn.Conv2d(image_shape[0], 64, kernel_size, stride, padding, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    return network
