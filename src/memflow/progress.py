"""Progress of long work, as log lines that also read well when several jobs write to one terminal."""

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

INTERVAL = 10.0  # seconds between two lines about the same thing

T = TypeVar("T")
log = logging.getLogger(__name__)


class Progress:
    """Counts finished models of one block and says how fast they come.

    Parameters
    ----------
    label : str
        What is trained.
    total : int
        Number of models in the block.
    kept : int
        Models that an earlier, interrupted job had already finished.
    """

    def __init__(self, label: str, total: int, kept: int) -> None:
        self.label, self.total, self.done, self.kept = label, total, kept, kept
        self.started = self.last_line = time.monotonic()
        if kept:
            log.info("%s: %d of %d models were finished by an earlier job and are kept", label, kept, total)

    def within_unit(self, models: int, share: float) -> None:
        """Say, at most every INTERVAL seconds, that a unit of some models is trained to a share of its epochs."""
        if time.monotonic() - self.last_line >= INTERVAL:
            self._line(self.done + models * share, f"{share:.0%} of the next {models} trained")

    def unit_done(self, models: int, accuracy: float) -> None:
        """Count a finished unit; ``accuracy`` is the mean in-sample accuracy of its models."""
        self.done += models
        self._line(self.done, f"in-sample accuracy {accuracy:.3f}")

    def _line(self, done: float, remark: str) -> None:
        self.last_line = time.monotonic()
        rate = (done - self.kept) / max(self.last_line - self.started, 1e-9)
        left = (self.total - done) / rate if rate else float("inf")
        log.info(
            "%s: %d/%d models, %s, %s left, %s",
            self.label, self.done, self.total, _rate(rate), _duration(left), remark,
        )  # fmt: skip


def _rate(per_second: float) -> str:
    return f"{per_second:.1f} models/s" if per_second >= 1 else f"{per_second * 3600:.0f} models/h"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def steadily(items: Iterable[T], what: str, total: int = 0) -> Iterator[T]:
    """The items, and from time to time a line in the log that says how many of them are done."""
    if isinstance(items, Sized):
        total = len(items)
    last = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last >= INTERVAL:
            last = time.monotonic()
            log.info("%s of %s %s", f"{done:,}", f"{total:,}", what)
        yield item
