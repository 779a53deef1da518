"""What training costs, from trials on a part of the data that is as large as time allows.

A trial trains on the first examples of a dataset. The first is tiny; each says how much data the next can have. Small
data are used whole. From less, the rest follows by rule:

- Networks. Training costs as much for every image, evaluation too. A step of the full batch may take too long; then the
  batch is smaller.
- Learners without epochs compare every example with every other and sort (n^2 log n), and look at each example in each
  run (n).
- Memory. What a trial takes beyond what was there before grows with the batch (of networks) or with the examples (of
  other learners); besides, each example that a network had not has its padded image and its outcomes.
"""

import math
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memflow import workload
from memflow.workload import Workload

if TYPE_CHECKING:
    from memflow.data.prepared import Dataset, Split

Learner = Callable[..., object]

EPOCHS = 3  # of a trial: the first also warms up, the second only trains, the third trains and evaluates
SMALLEST_BATCH, FEWEST_EXAMPLES = 8, 2000  # of the first trial: of a network, of another learner
BUDGET = 12.0  # seconds that the last and longest trial may take, about
ENOUGH = 2.0  # seconds; a trial that is quicker is made again, and the median counts


@dataclass(frozen=True)
class Trial:
    """A trial and what it took.

    Attributes
    ----------
    examples : int
        Training examples; the test split is cut in the same proportion.
    marks : list of float
        Seconds at the start, after each epoch (as the learner reports), and at the end.
    resident, peak : int
        MB of the process before the trial, and at most during it.
    """

    examples: int
    marks: list[float]
    resident: int
    peak: int

    @property
    def seconds(self) -> float:
        return self.marks[-1] - self.marks[0]


def measure(learn: Learner, spec: dict[str, Any], dataset: "Dataset", seeds: range) -> tuple[float, int]:
    """Seconds and peak memory (MB) of one unit of a spec.

    Parameters
    ----------
    learn : callable
        As :func:`memflow.training.sgd.learn`.
    spec : dict
        From :meth:`memflow.config.Study.runs_spec`.
    dataset : Dataset
    seeds : range
        The unit.
    """
    law = _network if "epochs" in spec["recipe"] else _comparing
    return law(learn, spec, dataset, seeds)


def _network(learn: Learner, spec: dict[str, Any], dataset: "Dataset", seeds: range) -> tuple[float, int]:
    from memflow.training.sgd import steps_per_epoch

    recipe, ratio, n = spec["recipe"], Fraction(spec["ratio"]), len(dataset.train)
    steps_per_epoch(recipe, ratio, n)  # refuses a batch that the whole study could not fill
    whole = workload.of(recipe, ratio, n, len(dataset.test))

    def attempt(examples: int) -> Trial:
        return run(learn, {**spec, "recipe": shortened(recipe, ratio, examples)}, part(dataset, examples), seeds)

    def work(trial: Trial) -> Workload:
        recipe_of_trial = shortened(recipe, ratio, trial.examples)
        return workload.of(recipe_of_trial, ratio, trial.examples, test_share(dataset, trial.examples))

    first = min(n, math.ceil(SMALLEST_BATCH / ratio))
    trials = growing(attempt, lambda trial: affordable(trial, work(trial), whole, n), first, n)
    last = trials[-1]
    return (
        statistics.median(extrapolate(whole, work(trial), trial.marks) for trial in alike(trials)),
        peak_of_all(trials, whole.batch_size / work(last).batch_size)
        + missing_mb(recipe, dataset, last.examples, len(seeds)),
    )


def _comparing(learn: Learner, spec: dict[str, Any], dataset: "Dataset", seeds: range) -> tuple[float, int]:
    n = len(dataset.train)
    trials = growing(
        lambda examples: run(learn, spec, part(dataset, examples), seeds),
        lambda trial: int(trial.examples * math.sqrt(BUDGET / max(trial.seconds, 1e-9))),
        min(n, FEWEST_EXAMPLES),
        n,
    )
    last, seconds = trials[-1], statistics.median(trial.seconds for trial in alike(trials))
    earlier = [trial for trial in trials if trial.examples < last.examples]
    smaller = (earlier[-1].examples, earlier[-1].seconds) if earlier else (0, 0.0)
    return comparing_seconds(smaller, (last.examples, seconds), n), peak_of_all(trials, n / last.examples)


def growing(attempt: Callable[[int], Trial], next_size: Callable[[Trial], int], first: int, n: int) -> list[Trial]:
    """Trials of growing size, until time allows no more or all n examples are used; the last again, if it was quick."""
    trials = [attempt(first)]
    while trials[-1].examples < n:
        size = min(n, next_size(trials[-1]))
        if size < min(n, 2 * trials[-1].examples):
            break  # a little more would tell little more
        trials.append(attempt(size))
    again = trials[-1].seconds
    while again < ENOUGH:
        began = time.monotonic()
        trials.append(attempt(trials[-1].examples))
        again += max(time.monotonic() - began, 0.01)
    return trials


def alike(trials: list[Trial]) -> list[Trial]:
    """The trials of the last one's size."""
    return [trial for trial in trials if trial.examples == trials[-1].examples]


def affordable(trial: Trial, work: Workload, whole: Workload, n: int) -> int:
    """How many of n examples a trial could have within the budget, by an earlier trial."""
    epoch, evaluation, _ = _parts(trial.marks)
    seconds = EPOCHS * epoch * whole.trained / work.trained + evaluation * whole.evaluated / work.evaluated
    return int(n * BUDGET / max(seconds, 1e-9))


def shortened(recipe: dict[str, Any], ratio: Fraction, n: int) -> dict[str, Any]:
    """A recipe of three epochs with one evaluation, under a schedule that any number of epochs allows."""
    return {
        **recipe,
        "epochs": EPOCHS,
        "evaluate_every": EPOCHS,
        "batch_size": max(1, min(recipe["batch_size"], int(ratio * n))),
        "schedule": {"shape": "triangular", "peak": 0.5},
    }


def extrapolate(whole: Workload, work: Workload, marks: list[float]) -> float:
    """Seconds of a whole recipe from the marks of a trial (with its own, smaller workload)."""
    epoch, evaluation, besides = _parts(marks)
    return (
        besides
        + whole.epochs * epoch * whole.trained / work.trained
        + whole.evaluations * evaluation * whole.evaluated / work.evaluated
    )


def comparing_seconds(smaller: tuple[int, float], larger: tuple[int, float], n: int) -> float:
    """Seconds for n examples of a learner that takes ``a n + b n^2 log n``, from two trials (examples, seconds)."""
    (n1, t1), (n2, t2) = smaller, larger
    most = t2 / _comparisons(n2)  # neither term is negative, whatever the clock says
    slope = (t2 / n2 - t1 / n1) / (_comparisons(n2) / n2 - _comparisons(n1) / n1) if n1 else most
    b = min(max(slope, 0.0), most)
    return (t2 - b * _comparisons(n2)) * n / n2 + b * _comparisons(n)


def peak_of_all(trials: list[Trial], factor: float) -> int:
    """MB of the real thing, whose batch or data are larger than the last trial's by a factor."""
    last = trials[-1]
    before = trials[1].resident if len(trials) > 1 else last.resident  # after the first, all code is loaded
    return last.peak + math.ceil(max(0, last.peak - before) * (factor - 1))


def missing_mb(recipe: dict[str, Any], dataset: "Dataset", examples: int, fuse: int) -> int:
    """MB of what a trial had not: the other examples' padded images and logits, the other evaluations' outcomes.

    Logits are held four times: as they are, where they are joined, and twice on the way to the log-odds. Of every
    evaluation, an example keeps its correctness (in two copies) and its log-odds in half precision.
    """
    channels, height, width = dataset.image_shape
    border = 2 * max(recipe["augment"]["crop"], recipe["augment"]["translate"])
    padded, logits, outcome = (height + border) * (width + border) * channels, 4 * 4 * dataset.n_classes, 4
    everything, had = len(dataset.train) + len(dataset.test), examples + test_share(dataset, examples)
    outcomes = everything * workload.evaluations(recipe) - had
    return math.ceil(((everything - had) * (padded + fuse * logits) + outcomes * fuse * outcome) / 1e6)


def run(learn: Learner, spec: dict[str, Any], dataset: "Dataset", seeds: range) -> Trial:
    """Train one unit, in this process."""
    from memflow.training.outcomes import block_masks

    masks = block_masks(spec, dataset, seeds)
    resident = _status("VmRSS")
    with suppress(OSError):  # where the kernel refuses, the peak so far stands for this one: more, never less
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    marks = [_now()]
    learn(spec, dataset, masks, seeds, lambda share: marks.append(_now()))
    marks.append(_now())
    return Trial(len(dataset.train), marks, resident, _status("VmHWM"))


def part(dataset: "Dataset", n: int) -> "Dataset":
    """The first n training examples of a dataset, and as large a share of its test examples, as a dataset."""
    from memflow.data.prepared import FLAGS

    flags = {name: getattr(dataset, name)[:n] for name in FLAGS}
    test = _first(dataset.test, test_share(dataset, n))
    return replace(dataset, train=_first(dataset.train, n), test=test, **flags)


def test_share(dataset: "Dataset", n: int) -> int:
    """Test examples of a part with n training examples."""
    return max(1, round(len(dataset.test) * n / len(dataset.train)))


def peak_mb() -> int:
    """Of this process; not by getrusage, which starts at the memory of the process that started this one."""
    return _status("VmHWM")


def _first(split: "Split", n: int) -> "Split":
    return replace(split, images=split.images[:n], labels=split.labels[:n], index=split.index[:n])


def _parts(marks: list[float]) -> tuple[float, float, float]:
    """Seconds of one epoch, of one evaluation, and besides, from the marks of a trial."""
    start, first, second, third, end = marks
    epoch = second - first
    evaluation = max(0.0, third - second - epoch)
    return epoch, evaluation, max(0.0, end - start - EPOCHS * epoch - evaluation)


def _comparisons(n: int) -> float:
    return n**2 * math.log(n)


def _status(field: str) -> int:
    """MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition(f"{field}:")[2].split()[0]) // 1024


def _now() -> float:
    """Seconds of a core's time, which other processes on this machine take no part of; of a GPU, wall time."""
    import torch

    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()  # a GPU is asked to work and does it later
    return time.monotonic()
