"""CIFAR-style residual networks of depth 6n + 2 (He et al. 2016, section 4.2), of any base width.

Three stages of n blocks; width w, 2w and 4w; the image is halved between stages; shortcuts have no parameters
(option A: subsampling and zero padding). Published parameter counts at width 16 and 10 classes: depth 8: 75,290;
20: 269,722; 56: 853,018; 110: 1,727,962.
"""

import torch
import torch.nn.functional as F
from torch import nn

from memflow.models.fused import FusedLinear, conv3x3


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around an option-A shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, fuse: int) -> None:
        super().__init__()
        self.fuse, self.stride, self.padding = fuse, stride, out_channels - in_channels
        self.conv1 = conv3x3(in_channels, out_channels, stride, fuse)
        self.bn1 = nn.BatchNorm2d(fuse * out_channels)
        self.conv2 = conv3x3(out_channels, out_channels, 1, fuse)
        self.bn2 = nn.BatchNorm2d(fuse * out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(residual.add_(self._shortcut(x)), inplace=True)

    def _shortcut(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride == 1 and self.padding == 0:
            return x
        x = x.permute(0, 2, 3, 1)[:, :: self.stride, :: self.stride].unflatten(3, (self.fuse, -1))
        x = F.pad(x, (self.padding // 2, self.padding - self.padding // 2))  # channels innermost: stays channels_last
        return x.flatten(3).permute(0, 3, 1, 2)


class CifarResNet(nn.Module):
    """``[batch, M * channels, height, width] -> logits [batch, M, classes]``."""

    def __init__(self, in_channels: int, n_classes: int, depth: int, width: int, fuse: int) -> None:
        super().__init__()
        self.stem = conv3x3(in_channels, width, 1, fuse)
        self.stem_bn = nn.BatchNorm2d(fuse * width)
        blocks, channels = [], width
        for stage in range(3):
            for block in range((depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(BasicBlock(channels, width * 2**stage, stride, fuse))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.head = FusedLinear(channels, n_classes, fuse)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.blocks(F.relu(self.stem_bn(self.stem(images)), inplace=True))
        return self.head(features.permute(0, 2, 3, 1).mean(dim=(1, 2)))


def build(image_shape: tuple[int, int, int], n_classes: int, *, depth: int, width: int, fuse: int = 1) -> CifarResNet:
    """A ResNet for images of shape ``(channels, height, width)``.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width of the images; any size from 4x4 up.
    n_classes : int
    fuse : int
        Number of independent networks held side by side.
    depth : int
        6n + 2 for a whole n >= 1: 8, 14, 20, ...
    width : int
        Channels of the first stage; 16 is the published network.

    Raises
    ------
    ValueError
        If the depth is not of the form 6n + 2.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth is {depth}; a CIFAR ResNet has depth 6n + 2: 8, 14, 20, 32, 44, 56, 110, ...")
    return CifarResNet(image_shape[0], n_classes, depth, width, fuse)
