"""How large the files of a study are, from the sizes of the arrays in them."""

import math

DIGEST = 64 * 4  # bytes of a SHA-256 as text
MEMBER = 230  # bytes of one array in an .npz besides its values
STATISTICS = 15_000  # bytes of the statistics and sidecars beside a score table
TRACKED, PROXIES = 10, 13  # of an example: those that each run gives, and these with C-scores
SCORE_ROW = 25  # bytes of one example in a score table, compressed; 14 to 57 were measured (K = 100 to 2,000)


def data_bytes(n_train: int, n_test: int, pixels: int) -> int:
    """A prepared dataset; see :func:`memflow.data.prepared.save`. ``pixels`` are those of one image, times channels."""
    images, labels_and_index, flags = pixels, 2 * 4, 4 * 1 + 4 * 4
    return (n_train + n_test) * (images + labels_and_index) + n_train * flags + 18 * MEMBER + 2 * DIGEST


def block_bytes(runs: int, epochs: int, n_train: int, n_test: int, network: bool) -> int:
    """A block file; see :func:`memflow.training.blocks.run`.

    Parameters
    ----------
    runs : int
    epochs : int
        How often every example is evaluated.
    n_train, n_test : int
    network : bool
        Whether the runs have losses and log-odds.
    """
    correct = math.ceil(n_train / 8) + math.ceil(n_test / 8)
    losses, log_odds = network * epochs * 3 * 4, network * n_train * 2
    return runs * (epochs * (correct + 3 * 4) + losses + log_odds + 8) + (9 if network else 6) * MEMBER


def other_tools_bytes(runs: int, n_train: int, n_test: int, n_classes: int) -> int:
    """What ``probabilities`` of the config adds to a block: class probabilities, and log-odds on the test split."""
    return n_train * n_classes * 4 + runs * n_test * 2 + 2 * MEMBER


def counts_bytes(runs: int, group_size: int, epochs: int, n_train: int, n_test: int) -> int:
    """A counts file; see :class:`memflow.counts.Counts`."""
    by_group = runs // group_size * (4 * n_train + n_test) * (1 if group_size < 256 else 2)
    by_epoch = epochs * 2 * 2 * n_train * 4
    by_run = runs * (epochs * 2 * 3 * 4 + 1)
    by_example = n_train * (4 * 4 + 4)
    return by_group + by_epoch + by_run + by_example + 21 * MEMBER


def scores_bytes(epochs: int, n_train: int) -> int:
    """The score tables of the last and of every evaluated epoch, about."""
    return (1 + epochs) * n_train * SCORE_ROW + STATISTICS


def proxies_bytes(runs: int, n_train: int) -> int:
    """What tracked runs give of every example, and the table of the proxies, about."""
    return runs * n_train * TRACKED * 4 + n_train * PROXIES * SCORE_ROW + STATISTICS
