"""A copy of the project, the cluster's view of its jobs, and waiting for one of them to get somewhere."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
STATE = Path("/var/lib/memflow-slurm-test")  # of slurm-up
STUDY = "tests/slurm/study.yaml"
RESULTS = Path("results/slurm")
BLOCKS = [RESULTS / f"runs/digits-noisy/resnet8-w1/one-hot/block-{index}.npz" for index in (0, 1)]
COUNTS = (
    "results/slurm/counts/digits-noisy/resnet8-w1/one-hot.npz"  # all that most cases run: two blocks and their merge
)
PATIENCE = 600  # seconds until a case is given up

Job = dict[str, str]
T = TypeVar("T")


class Run:
    """One call of Snakemake, in the background, writing to a file."""

    def __init__(self, command: list[str], root: Path, environment: dict[str, str]) -> None:
        self.output = root / f"snakemake-{len(list(root.glob('snakemake-*.out')))}.out"
        with open(self.output, "w") as file:
            self.process = subprocess.Popen(command, cwd=root, env=environment, stdout=file, stderr=subprocess.STDOUT)

    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self) -> int:
        """Exit status; a run that takes too long is interrupted, which cancels its jobs."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"Snakemake did not end within {PATIENCE} s:\n{self.text()}") from None

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        return self.output.read_text(errors="replace")


class Clone:
    """A copy of the project whose own src/ is what runs in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs: list[Run] = []

    def snakemake(self, *arguments: str) -> Run:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
        }
        self.runs.append(Run(["snakemake", *arguments], self.root, environment))
        return self.runs[-1]

    def submit(self, *targets: str, retries: int = 2, **train: object) -> Run:
        """``snakemake --profile slurm`` as users type it, with what is particular to this cluster and to tests."""
        resources = {"slurm_partition": "gpu", "checkpoint_minutes": 0} | train
        return self.snakemake(
            *targets, "--profile", "slurm", "--configfile", STUDY,
            "--slurm-init-seconds-before-status-checks", "12", "--slurm-keep-successful-logs",
            "--retries", str(retries),
            "--set-resources",
            *(f"{rule}:{key}={value}" for rule in ("train", "train_teacher") for key, value in resources.items()),
        )  # fmt: skip

    def jobs(self, *rules: str) -> list[Job]:
        """What SLURM knows of this copy's jobs, of all rules or some, ended ones too, in the order of submission."""
        lines = command("scontrol", "show", "job", "--oneliner").splitlines()
        known = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]
        mine = [job for job in known if job.get("WorkDir") == str(self.root)]
        return [
            job
            for job in mine
            if not rules or job["Comment"].startswith(tuple(f"rule_{rule}_wildcards" for rule in rules))
        ]

    def active(self) -> list[Job]:
        """Jobs that wait or run."""
        return [job for job in self.jobs() if job["JobState"] in ("PENDING", "RUNNING", "COMPLETING")]

    def trainings(self) -> dict[int, dict[str, str]]:
        """Process id and environment of every ``memflow train`` of this copy that runs now."""
        return {pid: environment for pid, (_, environment) in self._trainings().items()}

    def training(self, block: int = 0) -> int | None:
        """Process that trains one of BLOCKS, once it has finished one unit and kept a checkpoint in the second."""
        if list(self.root.glob(f"{BLOCKS[block]}.partial/*/seed-{4 * block + 2}.checkpoint.npz")):
            for pid, (words, _) in self._trainings().items():
                if str(BLOCKS[block]) in words:
                    return pid
        return None

    def logs(self) -> str:
        """Everything that jobs of this copy have said."""
        files = sorted((self.root / ".snakemake/slurm_logs").rglob("*.log"))
        return "\n".join(file.read_text(errors="replace") for file in files)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def tables(self) -> dict[str, bytes]:
        """Bytes of counts, scores, trajectories, and of the numbers behind figures."""
        results = self.root / RESULTS
        kinds = ("counts", "scores", "trajectories", "distillation", "figures")
        files = [file for kind in kinds for file in (results / kind).rglob("*")]
        tables = [file for file in files if file.suffix in (".npz", ".parquet", ".csv")]
        return {str(file.relative_to(results)): file.read_bytes() for file in tables}

    def _trainings(self) -> dict[int, tuple[list[str], dict[str, str]]]:
        mine = {}
        for pid, (words, environment) in processes().items():
            training = len(words) > 2 and words[1].endswith("/memflow") and words[2] == "train"
            if training and environment.get("PYTHONPATH") == str(self.root / "src"):
                mine[pid] = words, environment
        return mine

    def close(self) -> None:
        """Leave nothing behind that runs."""
        for run in self.runs:
            if run.running():
                run.stop()
        for job in self.active():
            subprocess.run(["scancel", "--full", job["JobId"]], check=False)


def clone_project(root: Path) -> Clone:
    names = command("git", "-C", str(PROJECT), "ls-files", "--cached", "--others", "--exclude-standard")
    for name in names.splitlines():
        source, copy = PROJECT / name, root / name
        if source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    return Clone(root)


def command(*words: str) -> str:
    """Output of a command that must succeed."""
    return subprocess.run(words, check=True, text=True, capture_output=True).stdout


def until(condition: Callable[[], T], clone: Clone) -> T:
    """Wait until a condition holds; its value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            said = "\n".join(run.text() for run in clone.runs)
            raise AssertionError(f"waited {PATIENCE} s in vain. Snakemake said:\n{said}\nJobs said:\n{clone.logs()}")
        time.sleep(0.02)
    return value


def processes() -> dict[int, tuple[list[str], dict[str, str]]]:
    """Command line and environment of every process."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            entries = (process / "environ").read_text(errors="replace").split("\0")
        except OSError:  # it has just ended
            continue
        found[int(process.name)] = words, dict(entry.split("=", 1) for entry in entries if "=" in entry)
    return found


def lose_node(name: str, clone: Clone) -> None:
    """Kill a node's daemon, and everything that runs there for some copy, at once: a loss of power."""
    pids = [int((STATE / f"run/slurmd.{name}.pid").read_text())]
    jobs = [job["JobId"] for job in clone.active() if job.get("NodeList") == name]
    for pid, (words, environment) in processes().items():
        if environment.get("SLURM_JOB_ID") in jobs or any(words[0].startswith(f"slurmstepd: [{job}.") for job in jobs):
            pids.append(pid)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def restart_node(name: str) -> None:
    """Start a node's daemon, in place of the one that runs, if any; its jobs run on."""
    pid_file = STATE / f"run/slurmd.{name}.pid"
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        while pid_file.exists():
            time.sleep(0.1)
    command("slurmd", "-N", name)


def start_now(clone: Clone) -> None:
    """Let requeued jobs start without the two minutes that SLURM makes them wait."""
    for job in clone.active():
        if job["JobState"] == "PENDING":
            command("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now")
