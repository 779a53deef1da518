"""Logging of a job: to the terminal and to the rule's log file."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memflow.errors import InputError

log = logging.getLogger("memflow")  # other packages' chatter is not progress


class _LogFile(logging.FileHandler):
    """A log file that on a full disk keeps quiet, so that the terminal can say that the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def job(path: Path | None) -> Iterator[None]:
    """Log what happens inside to stderr and, if given, to a file.

    An error ends the process with status 1: an :class:`InputError` with its message, any other with its traceback.
    """
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(_LogFile(path, mode="w"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.INFO)
    for handler in handlers:
        log.addHandler(handler)
    try:
        yield
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except InputError as error:
        log.error("memflow: %s%s", error, _where(path))
        sys.exit(1)
    except Exception:
        log.exception("memflow failed%s", _where(path))
        sys.exit(1)
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def _where(path: Path | None) -> str:
    """For the end of a message: the log file, and the SLURM job if there is one."""
    where = [f"log: {path}"] if path else []
    if job := os.environ.get("SLURM_JOB_ID"):
        where.append(f"SLURM job {job} on {os.environ.get('SLURMD_NODENAME', 'its node')}")
    return f" ({', '.join(where)})" if where else ""
