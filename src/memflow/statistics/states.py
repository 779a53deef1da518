"""States of an example at one size or epoch: not fitted, memorised, or generalised."""

import numpy as np

from memflow.statistics.rounding import ROUNDING

STATES = ("not fitted", "memorised", "generalised")
NOT_FITTED, MEMORISED, GENERALISED = range(len(STATES))
FITTED = 0.5  # out-of-sample accuracy from which an example that is not memorised counts as generalised


def states(scores: np.ndarray, acc_out: np.ndarray, memorised_at: float) -> np.ndarray:
    """State of every example.

    Parameters
    ----------
    scores, acc_out : float64[...]
        Memorisation score and out-of-sample accuracy.
    memorised_at : float
        Smallest score that counts as memorised.

    Returns
    -------
    int8[...]
        Position in :data:`STATES`. ``memorised``: the score is at least ``memorised_at``. ``generalised``: it is not,
        and at least half of the runs without the example classify it correctly. ``not fitted``: neither. -1 where the
        score is NaN.
    """
    memorised = scores >= memorised_at - ROUNDING
    state = np.where(memorised, MEMORISED, np.where(acc_out >= FITTED, GENERALISED, NOT_FITTED))
    return np.where(np.isnan(scores), -1, state).astype(np.int8)
