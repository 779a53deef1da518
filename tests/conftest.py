"""What several tests need: small datasets, simulated counts, and the size of the oracle test."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from memflow.counts import Counts
from memflow.data.prepared import Dataset, Split, duplicate_groups

# The same examples every time, and no limit on the time that one takes: the machine may be busy.
settings.register_profile("memflow", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("memflow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--oracle-sets",
        type=int,
        default=200,
        help="sets of 400 masks per design in the oracle test; its tolerances are for 200 or more",
    )


@pytest.fixture
def figure_style() -> Iterator[None]:
    """The look of all figures; for tests that draw."""
    from matplotlib import pyplot as plt

    from memflow.figures import style

    with plt.rc_context():
        style.apply()
        yield
    plt.close("all")


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    return _dataset


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Counts]:
    return _counts


@pytest.fixture(scope="session")
def simulate_family() -> Callable[..., list[Counts]]:
    return _family


def _dataset(n_train: int = 40, n_test: int = 12, n_classes: int = 3, levels: int = 3, seed: int = 0) -> Dataset:
    """Random images of 2 x 1 x 1 pixels: few grey levels make ties and duplicates."""
    random = np.random.default_rng(seed)

    def split(n: int, first: int) -> Split:
        images = random.integers(0, levels, (n, 2, 1, 1), dtype=np.uint8)
        labels = random.integers(0, n_classes, n, dtype=np.int32)
        return Split(images, labels, np.arange(first, first + n, dtype=np.int32))

    train = split(n_train, 0)
    place = np.arange(n_train)
    noise = place % 10 == 3
    return Dataset.unflagged(
        train,
        split(n_test, n_train),
        [f"class {c}" for c in range(n_classes)],
        label_noise=noise,
        original_label=np.where(noise, (train.labels + 1) % n_classes, train.labels).astype(np.int32),
        input_noise=place % 10 == 6,
        duplicate_group=duplicate_groups(train.images),
        near_duplicate_group=duplicate_groups(train.images // 2),
        conflicting_label=place % 8 == 5,
        in_test=place % 9 == 7,
    )


def _counts(acc_in: Any, acc_out: Any, groups: int = 10, ratio: tuple[int, int] = (7, 10), seed: int = 0) -> Counts:
    """Binomial counts of balanced groups, given the true accuracies of every example; two evaluated epochs."""
    random = np.random.default_rng(seed)
    acc_in, acc_out = np.broadcast_arrays(acc_in, acc_out)
    n, a, b = acc_in.size, ratio[0], ratio[1]
    correct_in, correct_out = random.binomial(a, acc_in, (groups, n)), random.binomial(b - a, acc_out, (groups, n))

    def by_epoch(last: np.ndarray) -> np.ndarray:
        first = random.binomial(last, 0.5)
        halves = [[correct[half::2].sum(axis=0) for half in (0, 1)] for correct in (first, last)]
        return np.array(halves, dtype=np.uint32)

    runs = groups * b
    return Counts(
        correct_in=correct_in.astype(np.uint8),
        correct_out=correct_out.astype(np.uint8),
        n_in=np.full((groups, n), a, dtype=np.uint8),
        n_out=np.full((groups, n), b - a, dtype=np.uint8),
        correct_test=random.binomial(b, 0.8, (groups, 50)).astype(np.uint8),
        group_size=b,
        epochs=np.array([3, 6], dtype=np.int32),
        epoch_correct_in=by_epoch(correct_in),
        epoch_correct_out=by_epoch(correct_out),
        accuracy=random.random((runs, 2, 3)).astype(np.float32),
        losses=np.full((runs, 2, 3), np.nan, dtype=np.float32),
        converged=np.arange(runs) % 20 != 7,
        parameters=123,
        index=np.arange(n, dtype=np.int32),
        label=(np.arange(n) % 3).astype(np.int32),
        duplicate_group=np.arange(n, dtype=np.int32),
        near_duplicate_group=np.arange(n, dtype=np.int32),
        conflicting_label=np.zeros(n, dtype=bool),
        in_test=np.arange(n) % 7 == 3,
        label_noise=np.arange(n) % 5 == 4,
        input_noise=np.zeros(n, dtype=bool),
        subpopulation=(np.arange(n) % 3).astype(np.int32),
    )


def _family(scores: Any, acc_in: Any = 1.0, groups: int = 10, ratio: tuple[int, int] = (7, 10), seed: int = 0) -> list:
    """Binomial counts of every size of a family, independent of each other, given the true scores (S, n)."""
    acc_in = np.broadcast_to(acc_in, np.shape(scores))
    sizes = enumerate(zip(acc_in, acc_in - scores, strict=True))
    return [_counts(*accuracies, groups=groups, ratio=ratio, seed=100 * seed + size) for size, accuracies in sizes]
