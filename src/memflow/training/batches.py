"""Batches for M networks side by side: one gather picks, crops and flips, on images that live on the device."""

from typing import Any

import numpy as np
import torch

from memflow import rng
from memflow.data.prepared import Dataset, Split, channel_moments


class Images:
    """One split, padded, resident on a device as uint8 and normalised batch by batch.

    Parameters
    ----------
    dataset : Dataset
        Gives the channel means and standard deviations (of the training images).
    split : Split
    augment : dict
        ``crop`` (pixels of black padding around a random crop), ``translate`` (the same with padding in the mean
        colour), ``flip`` (horizontal, one half of the time).
    device : torch.device
    """

    def __init__(self, dataset: Dataset, split: Split, augment: dict[str, Any], device: torch.device) -> None:
        mean, std = channel_moments(dataset.train.images)
        std[std == 0] = 1
        self.mean, self.std = (torch.tensor(v, dtype=torch.float32, device=device) for v in (mean, std))
        self.shift = max(augment["crop"], augment["translate"])
        self.flip = augment["flip"]
        self.height, self.width = split.images.shape[1:3]
        fill = mean.round().astype(np.uint8) if augment["translate"] else np.uint8(0)
        n, height, width, channels = split.images.shape
        padded = np.empty((n, height + 2 * self.shift, width + 2 * self.shift, channels), dtype=np.uint8)
        padded[:] = fill
        padded[:, self.shift : self.shift + height, self.shift : self.shift + width] = split.images
        self.padded = torch.from_numpy(padded).to(device)
        self.labels = torch.from_numpy(split.labels).long().to(device)
        self.n_classes = dataset.n_classes
        self.device = device

    def batch(self, index: np.ndarray, draws: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented images and their labels.

        Parameters
        ----------
        index : int64[M, batch]
            Examples for each of the M networks.
        draws : uint64[M, batch]
            One random number per image decides its crop and its flip.

        Returns
        -------
        images : float32[batch, M * channels, height, width], channels_last
        labels : int64[batch, M]
        """
        span = np.uint64(2 * self.shift + 1)
        dy, dx = (draws % span).astype(np.int64), (draws // span % span).astype(np.int64)
        columns = np.broadcast_to(np.arange(self.width), (*index.shape, self.width))
        if self.flip:
            mirrored = (draws >> np.uint64(63)).astype(bool)[..., None]
            columns = np.where(mirrored, self.width - 1 - columns, columns)
        rows = np.arange(self.height) + dy[..., None]
        columns = columns + dx[..., None]
        # [batch, height, width, M] so that the gathered channels lie innermost: channels_last without a copy
        picked = self.padded[
            self._to_device(index.T[:, None, None, :]),
            self._to_device(rows.transpose(1, 2, 0)[:, :, None, :]),
            self._to_device(columns.transpose(1, 2, 0)[:, None, :, :]),
        ]
        images = self._normalise(picked).flatten(3).permute(0, 3, 1, 2)
        return images, self.labels[self._to_device(index.T)]

    def plain(self, rows: slice) -> torch.Tensor:
        """Images without augmentation, float32[batch, channels, height, width], channels_last."""
        inner = self.padded[rows, self.shift : self.shift + self.height, self.shift : self.shift + self.width]
        return self._normalise(inner).permute(0, 3, 1, 2)

    def _normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() - self.mean) / self.std

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, non_blocking=True)


def epoch_order(mask: np.ndarray, seed: int, epoch: int, length: int) -> np.ndarray:
    """The in-sample examples that one run sees in one epoch, int64[length], shuffled.

    Every run sees the same number: what a subset has in excess is left out, another part in each epoch; a subset that
    is a few examples short repeats its first ones.
    """
    examples = np.flatnonzero(mask)
    return np.resize(examples[rng.permutation("order", (seed, epoch), len(examples))], length)
