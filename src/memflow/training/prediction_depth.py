"""Prediction depth (Baldock et al. 2021): the layer from which on an example's neighbours vote as the network does.

Probes are votes of the 30 nearest training examples on the input image, on what enters each of the architecture's
``probed_layers``, and on the softmax output, all in evaluation mode on images without augmentation. An example is never
its own neighbour.

Ours, to bound memory: a feature map is averaged to at most 4x4 positions per channel, and to fewer where that leaves
more than 16,384 numbers per example; so is an image that has more (73x73 pixels in colour); others are taken as they
are. Tokens of a transformer are averaged.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from memflow.errors import InputError
from memflow.training import sgd
from memflow.training.batches import Images
from memflow.training.device import autocast

NEIGHBOURS = 30
SIDE = 4
NUMBERS = 2**14  # per example and layer
DISTANCES = 2**25  # at a time: 0.5 GB with their keys
EMBEDDINGS = 2**29  # numbers of layers held at a time: 2 GB, or a single layer
ROWS = 1024


def depths(
    embeddings: Iterable[torch.Tensor], labels: torch.Tensor, predictions: torch.Tensor, neighbours: int = NEIGHBOURS
) -> torch.Tensor:
    """Prediction depth of every example.

    Parameters
    ----------
    embeddings : iterable of float32[n, d_l]
        From the first layer to the last.
    labels : int64[n]
    predictions : int64[n]
        Of the network.
    neighbours : int
        All others where there are fewer.

    Returns
    -------
    int64[n]
        The first layer, counted from 0, from which on the votes of all layers are the network's prediction; the last
        layer where not even its vote is.
    """
    return from_votes([vote(layer, labels, neighbours) for layer in embeddings], predictions)


def from_votes(votes: Sequence[torch.Tensor], predictions: torch.Tensor) -> torch.Tensor:
    """:func:`depths` from the votes of each layer, int64[...] as the predictions."""
    depth = torch.zeros_like(predictions)
    for layer, of_layer in enumerate(votes):
        depth = torch.where(of_layer == predictions, depth, layer + 1)
    return depth.clamp_max(len(votes) - 1)


def vote(embedding: torch.Tensor, labels: torch.Tensor, neighbours: int = NEIGHBOURS) -> torch.Tensor:
    """The label that most of an example's nearest neighbours have, int64[n].

    Of labels with equally many, the one whose neighbours are nearer on average. Of neighbours at the same distance, the
    one that comes first is nearer.

    Parameters
    ----------
    embedding : float32[n, d]
    labels : int64[n]
    neighbours : int
    """
    n, n_classes = len(labels), int(labels.max()) + 1
    centred = embedding - embedding.mean(0)  # distances stay, and lose fewer digits
    norms = centred.square().sum(1)
    rows = max(1, min(ROWS, DISTANCES // n))
    votes = [
        _vote(start, centred[start : start + rows], centred, norms, labels, min(neighbours, n - 1), n_classes)
        for start in range(0, n, rows)
    ]
    return torch.cat(votes)


def _vote(
    start: int,
    queries: torch.Tensor,
    centred: torch.Tensor,
    norms: torch.Tensor,
    labels: torch.Tensor,
    neighbours: int,
    n_classes: int,
) -> torch.Tensor:
    """Votes of some rows, the first of them at ``start``."""
    own = torch.arange(len(queries), device=labels.device)
    squares = torch.addmm(norms, queries, centred.T, alpha=-2).add_(norms[start + own, None]).clamp_min_(0)
    # Floats from 0 up are ordered as their bits: distance and position in one integer leave no ties.
    keys = squares.view(torch.int32).long().bitwise_left_shift_(32)
    keys |= torch.arange(len(labels), device=labels.device)
    keys[own, start + own] = torch.iinfo(torch.int64).max
    nearest = keys.topk(neighbours, largest=False).values
    distances = nearest.bitwise_right_shift(32).int().view(torch.float32).sqrt()
    of_class = labels[nearest & 0xFFFFFFFF][..., None] == torch.arange(n_classes, device=labels.device)
    counts = of_class.sum(1)
    totals = (of_class * distances[..., None]).sum(1)
    return totals.masked_fill_(counts < counts.amax(1, keepdim=True), torch.inf).argmin(1)


@torch.inference_mode()
def measure(
    network: nn.Module, train: Images, names: Sequence[str], logits: torch.Tensor, precision: str
) -> np.ndarray:
    """Prediction depth of every training example in M networks side by side, int64[M, n].

    Parameters
    ----------
    network : nn.Module
        Its features hold the channels network by network, as in :mod:`memflow.models.fused`.
    train : Images
    names : sequence of str
        Modules, from the first to the last, whose inputs are probed.
    logits : float32[M, n, classes]
        What the network says of the same images.
    precision : str
        In which they were taken.
    """
    fuse = len(logits)
    of_image = vote(_images(train), train.labels)
    votes = [of_image.expand(fuse, -1)]
    for layer in _embeddings(network, train, names, fuse, precision):
        votes.append(torch.stack([vote(of_network, train.labels) for of_network in layer]))
    votes.append(torch.stack([vote(p, train.labels) for p in logits.softmax(-1)]))
    return from_votes(votes, logits.argmax(-1)).cpu().numpy()


def check(network: nn.Module, names: Sequence[str]) -> None:
    """Refuse names that are no modules of the network.

    Raises
    ------
    InputError
        If there is such a name.
    """
    known = dict(network.named_modules())
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"probed_layers names {', '.join(map(repr, unknown))}, no modules of the network")


def pooled(features: torch.Tensor, fuse: int) -> torch.Tensor:
    """Features of M networks side by side as float32[M, batch, d], small enough to search among.

    Parameters
    ----------
    features : float[batch, M * channels, height, width] or [batch, M, d] or [batch, M * d] or [batch, tokens, d]
        Tokens are those of a single network.
    fuse : int
        M.
    """
    features = features.float()
    if features.ndim == 4:
        features = _averaged(features, SIDE, features.shape[1] // fuse)
    elif features.ndim == 3 and features.shape[1] != fuse:
        features = features.mean(1)
    return features.reshape(len(features), fuse, -1).transpose(0, 1)


def _averaged(images: torch.Tensor, side: int, channels: int) -> torch.Tensor:
    """Images averaged to at most side x side positions, so that ``channels`` of them have at most NUMBERS."""
    side = min(side, max(1, math.isqrt(NUMBERS // channels)))
    height, width = images.shape[2:]
    if max(height, width) <= side:
        return images
    return F.adaptive_avg_pool2d(images, (min(height, side), min(width, side)))


def _images(train: Images) -> torch.Tensor:
    """The normalised images without augmentation, float32[n, d]."""
    parts = []
    for start in range(0, len(train.labels), ROWS):
        images = train.plain(slice(start, start + ROWS))
        parts.append(_averaged(images, max(images.shape[2:]), images.shape[1]).flatten(1))
    return torch.cat(parts)


def _embeddings(
    network: nn.Module, train: Images, names: Sequence[str], fuse: int, precision: str
) -> Iterator[torch.Tensor]:
    """What enters each of some modules, float32[M, n, d] one by one; as many in one pass as memory allows."""
    one = train.plain(slice(0, 1)).repeat(1, fuse, 1, 1)
    with _captured(network, names, fuse, 1) as captured, autocast(train.device, precision):
        network.eval()(one.contiguous(memory_format=torch.channels_last))
    sizes = {name: features.numel() * len(train.labels) for name, features in captured.items()}
    for together in _groups(names, sizes):
        with _captured(network, together, fuse, len(train.labels)) as captured:
            sgd.logits_of(network.eval(), train, fuse, precision)
        for name in together:
            yield captured.pop(name)


def _groups(names: Sequence[str], sizes: dict[str, int]) -> list[list[str]]:
    """Names in their order, in groups of at most EMBEDDINGS numbers or a single name."""
    groups: list[list[str]] = []
    for name in names:
        if groups and sum(sizes[other] for other in [*groups[-1], name]) <= EMBEDDINGS:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


@contextlib.contextmanager
def _captured(network: nn.Module, names: Sequence[str], fuse: int, n: int) -> Iterator[dict[str, torch.Tensor]]:
    """While open, keeps what enters some modules as float32[M, n, d], filled example by example."""
    captured: dict[str, torch.Tensor] = {}
    filled = dict.fromkeys(names, 0)

    def keep(name: str, features: torch.Tensor) -> None:
        batch = pooled(features, fuse)
        if name not in captured:
            captured[name] = batch.new_empty(fuse, n, batch.shape[2])
        captured[name][:, filled[name] : filled[name] + batch.shape[1]] = batch
        filled[name] += batch.shape[1]

    hooks = [
        network.get_submodule(name).register_forward_pre_hook(lambda _, inputs, name=name: keep(name, inputs[0]))
        for name in names
    ]
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()
