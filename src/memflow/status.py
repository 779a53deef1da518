"""How far a study is: blocks done, running, queued, failed and missing, from its files and SLURM's queue.

Without Snakemake: on a study of thousands of jobs the answer must not wait for the graph of all of them.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from memflow import costs, slurm
from memflow.config import Study
from memflow.costs import Cost
from memflow.errors import InputError
from memflow.slurm import Job
from memflow.text import aligned, duration

STATES = ("done", "running", "queued", "failed", "missing")
SLURM_LOGS = Path(".snakemake/slurm_logs")
RULES = ("rule_train", "rule_train_teacher")
PROGRESS = re.compile(r"(\d+)/(\d+) models")


@dataclass(frozen=True)
class Block:
    """One block of runs.

    Attributes
    ----------
    run : tuple of str
        Dataset, architecture, method.
    index : int
    state : str
        One of STATES.
    jobs : list of Job
        In the queue for it; more than one after a crash of Snakemake.
    models : int
        Finished models, where it is not done.
    log : Path or None
        What SLURM kept of the last failed job.
    """

    run: tuple[str, str, str]
    index: int
    state: str
    jobs: list[Job] = field(default_factory=list)
    models: int = 0
    log: Path | None = None

    @property
    def name(self) -> str:
        return f"{'/'.join(self.run)}/block-{self.index}"


def describe(study: Study, root: Path, ask_queue: bool = True) -> str:
    """One screen: a line for each dataset, architecture and method, then what runs and what failed.

    Parameters
    ----------
    study : Study
    root : Path
        Where Snakemake is started; holds ``results/<study>``.
    ask_queue : bool
        Whether to ask ``squeue``; without SLURM it makes no difference.
    """
    queue = slurm.jobs(root) if ask_queue else []
    blocks, table = find(study, root, queue), costs.read(root / costs.TABLE)
    lines = [f"Study {study.name}: {sum(b.state == 'done' for b in blocks)} of {len(blocks)} training jobs done", ""]
    rows = [["dataset", "architecture", "method", *STATES, "left"]]
    for run in dict.fromkeys(block.run for block in blocks):
        of_run = [block for block in blocks if block.run == run]
        counts = Counter(block.state for block in of_run)
        rows.append([*run, *(str(counts[state]) for state in STATES), _left(study, table, of_run)])
    lines += aligned(rows, text_columns=3)
    lines += [line for state in ("running", "queued", "failed") for line in _section(state, blocks, study)]
    others = [job for job in queue if not job.comment.startswith(tuple(f"{rule}_wildcards" for rule in RULES))]
    if others:
        lines += ["", f"Other jobs of the study: {', '.join(f'{job.id} ({job.comment[5:]})' for job in others)}"]
    return "\n".join(lines)


def orphans(root: Path) -> list[str]:
    """What to say when Snakemake starts and jobs of an earlier one are still in the queue."""
    try:
        left = slurm.jobs(root)
    except InputError as error:
        return [f"memflow: {error}"]
    if not left:
        return []
    return [
        f"memflow: {len(left)} jobs of an earlier Snakemake are still in the queue: "
        + ", ".join(f"{job.id} ({job.comment[5:]}, {job.state.lower()})" for job in left),
        "memflow: they do no harm, since equal files are written; to save their time: scancel "
        + " ".join(job.id for job in left),
    ]


def find(study: Study, root: Path, queue: list[Job]) -> list[Block]:
    """Every block of a study and its state."""
    of_comment: dict[str, list[Job]] = {}
    for job in queue:
        of_comment.setdefault(job.comment, []).append(job)
    return [_block(study, root, run, index, of_comment) for run in study.runs for index in study.methods[run[2]].blocks]


def _block(study: Study, root: Path, run: tuple[str, str, str], index: int, of_comment: dict[str, list[Job]]) -> Block:
    wildcards = "_".join([*run, str(index)])
    output = root / "results" / study.name / "runs" / Path(*run) / f"block-{index}.npz"
    jobs = [job for rule in RULES for job in of_comment.get(f"{rule}_wildcards_{wildcards}", [])]
    if output.exists() and output.with_name(f"{output.name}.prov.json").exists():
        return Block(run, index, "done")
    kept = [log for rule in RULES for log in (root / SLURM_LOGS / rule / wildcards).glob("*.log")]
    logs = sorted(kept, key=lambda path: path.stat().st_mtime)
    state = "missing"
    if jobs:
        state = "running" if any(job.is_running for job in jobs) else "queued"
    elif logs:
        state = "failed"
    return Block(run, index, state, jobs, _models(root, study, run, index), logs[-1] if logs else None)


def _models(root: Path, study: Study, run: tuple[str, str, str], index: int) -> int:
    """Finished models of an unfinished block, as its log says last; 0 if it says nothing."""
    log = root / "results" / study.name / "logs/runs" / Path(*run) / f"block-{index}.log"
    try:
        found = PROGRESS.findall(log.read_text(errors="replace"))
    except OSError:
        return 0
    return int(found[-1][0]) if found else 0


def _left(study: Study, table: list[Cost], blocks: list[Block]) -> str:
    """Time that the unfinished models of one run take, one after the other, by the cost table."""
    size = study.methods[blocks[0].run[2]].block_size
    models = sum(size - block.models for block in blocks if block.state != "done")
    if not models:
        return ""
    cost = costs.expected(table, study, *blocks[0].run)
    return duration(models * cost.seconds_per_model) if cost else "not measured"


def _section(state: str, blocks: list[Block], study: Study) -> list[str]:
    shown = [block for block in blocks if block.state == state]
    if not shown:
        return []
    lines = ["", f"{state.capitalize()}:"]
    for block in shown:
        size = study.methods[block.run[2]].block_size
        jobs = ", ".join(
            f"job {job.id}" + (f" on {job.node}, {job.elapsed} of {job.limit}" if job.is_running else "")
            for job in block.jobs
        )
        models = f"{block.models}/{size} models" if block.models else ""
        log = f"SLURM job {block.log.stem}, log {block.log}" if state == "failed" and block.log else ""
        lines.append("  " + ": ".join([block.name, ", ".join(part for part in (jobs, models, log) if part)]))
    return lines
