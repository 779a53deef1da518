"""Weights of trained networks in a file: kept by the runs that others learn from, after one epoch or several."""

import hashlib

import numpy as np

State = dict[str, np.ndarray]
PREFIX = "weights "


def named(epoch: int, state: State) -> State:
    """A state as arrays of a file that may hold several epochs."""
    return {f"{PREFIX}{epoch} {name}": array for name, array in state.items()}


def at(epoch: int, arrays: State) -> State:
    """The state after one epoch, from arrays named by :func:`named`; empty if it was not kept."""
    prefix = f"{PREFIX}{epoch} "
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def digest(state: State) -> str:
    """16 hex digits that stand for a state, whatever file it is in."""
    whole = hashlib.sha256()
    for name in sorted(state):
        whole.update(f"{name} {state[name].shape} {state[name].dtype}\n".encode())
        whole.update(np.ascontiguousarray(state[name]).tobytes())
    return whole.hexdigest()[:16]
