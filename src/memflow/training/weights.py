"""Weights of trained networks as arrays: kept by the runs that others learn from."""

import numpy as np
import torch
from torch import nn

State = dict[str, np.ndarray]


def of(network: nn.Module, fuse: int) -> State:
    """Parameters and buffers by name, each [M, ...], of M networks side by side."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    return {
        name: np.stack(np.split(array, fuse)) if array.ndim else np.repeat(array, fuse)
        for name, array in arrays.items()
    }


def put(network: nn.Module, state: State) -> None:
    """The reverse of :func:`of`."""
    fused = network.state_dict()
    tensors = {
        name: torch.from_numpy(array).flatten(0, 1) if fused[name].ndim else torch.from_numpy(array)[0]
        for name, array in state.items()
    }
    network.load_state_dict(tensors)


def named(epoch: int, state: State) -> State:
    """A state as arrays of a file that may hold several epochs."""
    return {f"weights {epoch} {name}": array for name, array in state.items()}


def at(epoch: int, arrays: State) -> State:
    """The state after one epoch, from arrays named by :func:`named`; empty if it was not kept."""
    prefix = f"weights {epoch} "
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
