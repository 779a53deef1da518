"""Which training examples each run sees: one mask per seed, shared by every architecture and method.

Two designs. ``iid``: independent uniform subsets without replacement (Feldman & Zhang 2020). ``balanced``: groups of b
runs for a ratio a/b, in which every example is in-sample in exactly a runs and out-of-sample in the other b - a.
"""

import hashlib
from fractions import Fraction

import numpy as np

from memflow import rng

DESIGNS = ("balanced", "iid")


def group_size(design: str, ratio: Fraction) -> int:
    """Number of runs that are drawn together: b for a balanced design of ratio a/b, 1 for ``iid``."""
    return ratio.denominator if design == "balanced" else 1


def masks(design: str, ratio: Fraction, seeds: range, units: np.ndarray) -> np.ndarray:
    """Masks of a range of seeds.

    Parameters
    ----------
    design : {"balanced", "iid"}
    ratio : Fraction
        Share of the training set in each subset, strictly between 0 and 1.
    seeds : range
        Seeds of the runs. A mask depends on its own seed only, so that adding seeds changes no earlier mask.
    units : int[n]
        What enters and leaves a subset together: ``arange(n)`` for single examples, or the duplicate group of each
        example.

    Returns
    -------
    bool[len(seeds), n]
        True where the example is in-sample.

    Raises
    ------
    ValueError
        If the design is unknown, the ratio is outside (0, 1), or the seeds are not consecutive.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; it must lie strictly between 0 and 1")
    if design not in DESIGNS:
        raise ValueError(f"design is {design!r}; allowed: {', '.join(DESIGNS)}")
    if seeds.step != 1 or not seeds:
        raise ValueError(f"seeds is {seeds}; it must be a range of consecutive seeds")
    size = group_size(design, ratio)
    draw = _balanced_group if design == "balanced" else _iid_run
    unit_ids, unit_of_example = np.unique(units, return_inverse=True)
    groups = range(seeds.start // size, -(-seeds.stop // size))
    drawn = np.concatenate([draw(len(unit_ids), ratio, group) for group in groups])
    first = seeds.start - groups.start * size
    return drawn[first : first + len(seeds)][:, unit_of_example]


def _iid_run(n: int, ratio: Fraction, seed: int) -> np.ndarray:
    """bool[1, n]: a uniform subset of ``round(ratio * n)`` units."""
    mask = np.zeros((1, n), dtype=bool)
    mask[0, rng.permutation("subset iid", (str(ratio), n, seed), n)[: round(ratio * n)]] = True
    return mask


def _balanced_group(n: int, ratio: Fraction, group: int) -> np.ndarray:
    """bool[b, n]: the b runs of one balanced group.

    The units are permuted and cut into mini-groups of b. A mini-group draws a random (b - a)-subset D of Z_b, and its
    element e is dropped in the runs (D + e) mod b. The obvious alternative, dropping consecutive folds of one
    permutation, correlates the runs and raises the variance above that of ``iid``:
    docs/decisions/0001-balanced-design.md.
    """
    a, b = ratio.numerator, ratio.denominator
    minigroups = -(-n // b)
    order = rng.permutation("subset order", (str(ratio), n, group), n)
    keys = rng.raw("subset drops", (str(ratio), n, group), (minigroups, b))
    drops = np.argsort(keys, axis=1, kind="stable")[:, : b - a]
    position = np.arange(n)
    dropped_runs = (drops[position // b] + (position % b)[:, None]) % b
    mask = np.ones((b, n), dtype=bool)
    mask[dropped_runs, order[:, None]] = False
    return mask


def mask_hash(mask: np.ndarray) -> str:
    """Identity of one mask (bool[n]): the first 16 hex digits of the SHA-256 of its packed bits and length."""
    return hashlib.sha256(len(mask).to_bytes(8, "little") + np.packbits(mask).tobytes()).hexdigest()[:16]
