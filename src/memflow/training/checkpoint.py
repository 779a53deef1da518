"""Checkpoints inside a unit: what a network that trains for hours has reached, so that a killed job goes on from there.

Every random number is keyed by seed and epoch, so parameters, momentum and the epoch are all the state there is: a unit
that continues gives the bits of one that was never interrupted.
"""

import logging
import time
from pathlib import Path

import numpy as np

from memflow.files import read_npz, write_npz

log = logging.getLogger(__name__)

State = dict[str, np.ndarray]


class Checkpoint:
    """The checkpoint of one unit.

    Parameters
    ----------
    path : Path
        File to keep it in.
    seconds : float
        Write no more often than this.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.last = time.monotonic()

    def load(self) -> State | None:
        """The state that an earlier job reached, or None if there is none or it cannot be read whole."""
        state = read_npz(self.path)
        if state:
            log.info("%s: goes on from where an earlier job was stopped", self.path.name)
        return state

    def is_due(self) -> bool:
        """Whether the last state was kept long enough ago."""
        return time.monotonic() - self.last >= self.seconds

    def save(self, state: State) -> None:
        """Keep a state in place of the last one."""
        write_npz(self.path, state)
        self.last = time.monotonic()

    def remove(self) -> None:
        """Forget the state, once the unit is finished."""
        self.path.unlink(missing_ok=True)
