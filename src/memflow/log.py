"""Logging of a job: to the terminal and to the rule's log file."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def to(path: Path | None) -> Iterator[None]:
    """Log to stderr and, if given, to a file; an exception is logged with its traceback in the file, then raised."""
    root = logging.getLogger("memflow")  # other packages' chatter is not progress
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root.setLevel(logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    except Exception:
        if path:
            record = logging.LogRecord(__name__, logging.ERROR, __file__, 0, "failed", None, sys.exc_info())
            handlers[-1].emit(record)
        raise
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
