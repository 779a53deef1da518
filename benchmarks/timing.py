"""Measuring on a shared machine: CPU seconds of single-threaded processes, and interleaved rounds."""

import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
LIMIT = 300  # CPU seconds after which a process is stopped, far beyond every target


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, on which terms, in each round, and the target if there is one."""

    name: str
    terms: str
    unit: str
    values: list[float]
    target: float | None
    more_is_better: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        if self.target is None:
            return "no target"
        met = self.median >= self.target if self.more_is_better else self.median <= self.target
        return "met" if met else "missed"


def run_process(*command: str, folder: Path = PROJECT) -> tuple[float, float]:
    """Run a command to its end (or to LIMIT) in a fresh process with one thread and the code in ``folder``.

    Returns
    -------
    cpu : float
        User and system CPU seconds, with those of children.
    memory : float
        Largest resident set in MB.

    Raises
    ------
    RuntimeError
        If the command fails; the message ends with what it wrote.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | ONE_THREAD | {"PATH": path, "PYTHONPATH": str(folder / "src")}
    with tempfile.TemporaryFile() as written:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=written, stderr=subprocess.STDOUT)
        resource.prlimit(child.pid, resource.RLIMIT_CPU, (LIMIT, LIMIT + 1))
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait for it again
        if child.returncode == -signal.SIGXCPU:
            progress(f"  stopped after {LIMIT} CPU seconds")
        elif child.returncode:
            written.seek(0)
            raise RuntimeError(f"{' '.join(command)[:200]} failed:\n{written.read().decode()[-3000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def interleave(first: Callable[[], float], second: Callable[[], float], rounds: int) -> list[tuple[float, float]]:
    """Measure two things in turn, A B, B A, A B, ..., so that a machine that gets slower favours neither."""
    pairs = []
    for i in range(rounds):
        progress(f"  round {i + 1} of {rounds}")
        if i % 2:
            b, a = second(), first()
        else:
            a, b = first(), second()
        pairs.append((a, b))
    return pairs


def progress(text: str) -> None:
    """Say what is being measured: on stderr, for the table alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)
