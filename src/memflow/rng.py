"""Random numbers that depend on a purpose and a key, and on nothing else.

Only the raw 64-bit output of the counter-based Philox generator is used: NumPy guarantees that stream for ever (NEP
19), while the methods of ``numpy.random.Generator`` may change between versions, and with them every subset.
"""

import hashlib

import numpy as np


def raw(purpose: str, key: tuple[int | str, ...], size: int | tuple[int, ...]) -> np.ndarray:
    """Raw random integers for one purpose and key.

    Parameters
    ----------
    purpose : str
        What the numbers are for, such as ``"subset"``: two purposes never share a stream.
    key : tuple of int or str
        What distinguishes this stream from the others of its purpose, such as the seed and the epoch.
    size : int or tuple of int
        Shape of the result.

    Returns
    -------
    uint64[size]
        Uniform over all 64-bit integers.

    Raises
    ------
    TypeError
        If a part of the key is neither int nor str.
    """
    if not all(type(part) in (int, str) for part in key):  # the repr of a NumPy integer would be another stream
        raise TypeError(f"key is {key!r}; its parts must be int or str")
    philox_key = int.from_bytes(hashlib.sha256(repr((purpose, *key)).encode()).digest()[:16], "little")
    count = int(np.prod(size, dtype=np.int64))
    return np.asarray(np.random.Philox(key=philox_key).random_raw(count), dtype=np.uint64).reshape(size)


def permutation(purpose: str, key: tuple[int | str, ...], n: int) -> np.ndarray:
    """A uniform random permutation of ``range(n)``, int64[n]; parameters as in :func:`raw`."""
    values = raw(purpose, key, n)
    order = np.argsort(values)  # several times as fast as a stable sort, and the same unless two values are equal
    distinct = (np.diff(values[order]) != 0).all()
    return order if distinct else np.argsort(values, kind="stable")


def integers(purpose: str, key: tuple[int | str, ...], size: int | tuple[int, ...], high: int) -> np.ndarray:
    """Uniform integers in ``[0, high)``, int64[size]; other parameters as in :func:`raw`.

    Taken modulo ``high``: the bias is below ``high / 2**64``.
    """
    return (raw(purpose, key, size) % np.uint64(high)).astype(np.int64)


def uniform(purpose: str, key: tuple[int | str, ...], size: int | tuple[int, ...]) -> np.ndarray:
    """Uniform numbers in ``[0, 1)``, float64[size]; other parameters as in :func:`raw`."""
    return (raw(purpose, key, size) >> np.uint64(11)) * 2.0**-53


def torch_seed(purpose: str, key: tuple[int | str, ...]) -> int:
    """A seed for ``torch.manual_seed``, in ``[0, 2**63)``; parameters as in :func:`raw`."""
    return int(raw(purpose, key, 1)[0] >> np.uint64(1))
