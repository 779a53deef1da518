"""Learning-rate schedules, as factors of the peak learning rate."""

import math
from typing import Any


def factor(schedule: dict[str, Any], epoch: float, epochs: int) -> float:
    """Learning rate at a (fractional) epoch, relative to its peak.

    Parameters
    ----------
    schedule : dict
        ``shape`` and its own keys: ``triangular`` (``peak``: share of training before the maximum; linear from and to
        zero), ``step`` (``warmup_epochs``, ``milestones`` in epochs, ``factor``), ``cosine`` (``warmup_epochs``).
    epoch : float
        Epochs trained so far, in ``[0, epochs]``.
    epochs : int

    Returns
    -------
    float
        In ``[0, 1]``.
    """
    return SHAPES[schedule["shape"]](schedule, epoch, epochs)


def _triangular(schedule: dict[str, Any], epoch: float, epochs: int) -> float:
    progress, peak = epoch / epochs, schedule["peak"]
    return progress / peak if progress < peak else (1 - progress) / (1 - peak)


def _step(schedule: dict[str, Any], epoch: float, epochs: int) -> float:
    passed = sum(epoch >= milestone for milestone in schedule["milestones"])
    return _warmup(schedule, epoch) * schedule["factor"] ** passed


def _cosine(schedule: dict[str, Any], epoch: float, epochs: int) -> float:
    warmup = schedule["warmup_epochs"]
    progress = max(0.0, epoch - warmup) / (epochs - warmup)
    return _warmup(schedule, epoch) * (1 + math.cos(math.pi * progress)) / 2


def _warmup(schedule: dict[str, Any], epoch: float) -> float:
    """Linear from zero over the warm-up epochs."""
    return min(1.0, epoch / schedule["warmup_epochs"]) if schedule["warmup_epochs"] else 1.0


SHAPES = {"triangular": _triangular, "step": _step, "cosine": _cosine}
