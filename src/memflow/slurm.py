"""The jobs that Snakemake has in SLURM's queue, as ``squeue`` tells them."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from memflow.errors import InputError

FIELDS = {"id": "%i", "state": "%T", "elapsed": "%M", "limit": "%l", "node": "%N", "folder": "%Z", "comment": "%k"}
SEPARATOR = "\x1f"  # in no folder name
RUNNING = ("RUNNING", "COMPLETING", "STAGE_OUT")
TIMEOUT = 30  # seconds


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    id : str
    state : str
        SLURM's name for it, such as ``RUNNING`` or ``PENDING``.
    elapsed, limit : str
        As ``squeue`` writes times: ``1:23``, ``2:00:00``, ``1-00:00:00``.
    node : str
        Empty while it waits.
    folder : str
        Where Snakemake was started.
    comment : str
        ``rule_<rule>_wildcards_<wildcards, joined by underscores>``, set by Snakemake's SLURM plugin.
    """

    id: str
    state: str
    elapsed: str
    limit: str
    node: str
    folder: str
    comment: str

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING


def jobs(folder: Path) -> list[Job]:
    """This user's jobs that a Snakemake in ``folder`` submitted; none where there is no SLURM.

    Raises
    ------
    InputError
        If ``squeue`` exists and fails.
    """
    if not shutil.which("squeue"):
        return []
    command = ["squeue", "--me", "--noheader", "--states=all", f"--format={SEPARATOR.join(FIELDS.values())}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        raise InputError(f"squeue does not answer ({said}); is SLURM up?") from error
    found = [Job(*line.split(SEPARATOR)) for line in done.stdout.splitlines()]
    here = str(folder.resolve())
    return [job for job in found if job.folder == here and job.comment.startswith("rule_") and _is_alive(job)]


def _is_alive(job: Job) -> bool:
    return job.is_running or job.state in ("PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD")
