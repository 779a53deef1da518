"""The trainer that memflow is compared with: what a competent user writes first, in PyTorch and torchvision.

A dataset of PIL images, torchvision's transforms image by image, a DataLoader, an ordinary ``nn.Module`` and
``torch.optim.SGD``, in fp32.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

EVALUATION_BATCH = 512


class Images(Dataset):
    """Images as torchvision's CIFAR datasets give them: PIL images through a transform."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[i])), int(self.labels[i])


class Block(nn.Module):
    """A residual block with an option-A shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride, self.padding = stride, (out_channels - in_channels) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(residual + x)


class ResNet8(nn.Module):
    """Three blocks of 16, 32 and 64 channels."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.fc = nn.Linear(64, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.fc(x.mean(dim=(2, 3)))


class Trainer:
    """Trains a ResNet-8 on a subset of the training images and evaluates it on all images.

    Parameters
    ----------
    train, test : tuple of uint8[n, 32, 32, 3] and int[n]
        Images and labels.
    subset : int[k]
        Training examples to use.
    n_classes, batch_size : int
    learning_rate : float

    Evaluates in larger batches, as most do, since no gradients take memory.
    """

    def __init__(self, train, test, subset: np.ndarray, n_classes: int, batch_size: int, learning_rate: float) -> None:
        mean, std = train[0].mean(axis=(0, 1, 2)) / 255, train[0].std(axis=(0, 1, 2)) / 255
        plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
        augment = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        augmented = Images(*train, transforms.Compose([*augment, plain]))
        self.loader = DataLoader(Subset(augmented, subset.tolist()), batch_size, shuffle=True, drop_last=True)
        self.plain = [DataLoader(Images(*split, plain), EVALUATION_BATCH) for split in (train, test)]
        torch.manual_seed(0)
        self.network = ResNet8(n_classes)
        self.optimiser = torch.optim.SGD(
            self.network.parameters(), learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=True
        )

    def train_epoch(self) -> int:
        """One pass over the subset; the number of steps."""
        self.network.train()
        for images, labels in self.loader:
            self.optimiser.zero_grad()
            loss = F.cross_entropy(self.network(images), labels)
            loss.backward()
            self.optimiser.step()
        return len(self.loader)

    @torch.no_grad()
    def evaluate(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Correctness and loss of every example, of the training and of the test split."""
        self.network.eval()
        outcomes = []
        for loader in self.plain:
            correct, losses = [], []
            for images, labels in loader:
                logits = self.network(images)
                correct.append(logits.argmax(dim=1) == labels)
                losses.append(F.cross_entropy(logits, labels, reduction="none"))
            outcomes.append((torch.cat(correct).numpy(), torch.cat(losses).numpy()))
        return outcomes
