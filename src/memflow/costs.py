"""The cost table: how long a model trains and what memory it takes, as measured on some device.

Also read while the Snakefile is parsed, hence quick: nothing here imports numpy or torch.
"""

import csv
import io
import math
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

from memflow.config import Study, short_hash
from memflow.errors import InputError
from memflow.methods import ONE_HOT

TABLE = Path("profiles/costs.csv")
FREE = (
    "code",
    "method",
    "removal",
    "design",
    "subset_unit",
    "near_duplicates",
    "duplicates",
    "probabilities",  # one more evaluation
)  # entries of a spec that training time hardly depends on, if at all
FORWARD = 1 / 3  # of a step: the backward pass takes about twice as long as the forward pass
TIME_MARGIN, MEMORY_MARGIN = 2.0, 1.5
SHORTEST_MINUTES, SMALLEST_MB = 10, 2000
UNKNOWN_MINUTES, UNKNOWN_MEMORY_MB = 120, 4000  # where nothing was measured


class CostsError(InputError):
    """The cost table is damaged, or is none."""


@dataclass(frozen=True, order=True)
class Cost:
    """One row of the table; a row is identified by its definition and device.

    Attributes
    ----------
    dataset, architecture : str
        Names in the study that was probed, for people who read the table.
    definition : str
        From :func:`definition`.
    device : str
        From :func:`device`.
    seconds_per_model : float
        Of one core's time, or one GPU's.
    seconds_fixed : float
        Of one core's time, what a training job takes besides: start, imports, reading the dataset.
    memory_mb : int
        Peak of a training job.
    measured : str
        Date, ISO 8601.
    """

    dataset: str
    architecture: str
    definition: str
    device: str
    seconds_per_model: float
    seconds_fixed: float
    memory_mb: int
    measured: str

    def seconds(self, models: int) -> float:
        """How long a job that trains some models takes."""
        return self.seconds_fixed + models * self.seconds_per_model


COLUMNS = [field.name for field in fields(Cost)]


def definition(runs_spec: dict[str, Any]) -> str:
    """Short hash of what the cost of a run depends on.

    Parameters
    ----------
    runs_spec : dict
        From :meth:`memflow.config.Study.runs_spec`.

    Returns
    -------
    str
        12 hex digits.
    """
    paid = {key: value for key, value in runs_spec.items() if key not in FREE}
    return short_hash(paid)


def device(runs_spec: dict[str, Any]) -> str:
    """What would train the runs of a spec here: ``cuda: <model of the GPU>`` or ``cpu: <model of the processor>``."""
    if "network" in runs_spec and any(Path("/dev").glob("nvidia[0-9]*")):  # else torch is not needed: 3 s to import
        import torch

        if torch.cuda.is_available():
            return f"cuda: {torch.cuda.get_device_name()}"
    return f"cpu: {_processor()}"


def find(table: list[Cost], wanted: str, preferred: str | None = None) -> Cost | None:
    """The row of a definition: of the preferred device, or else of the slowest that was measured; None if none was."""
    rows = [row for row in table if row.definition == wanted]
    return max(rows, key=lambda row: (row.device == preferred, row.seconds_per_model), default=None)


def expected(
    table: list[Cost], study: Study, dataset: str, architecture: str, method: str, preferred: str | None = None
) -> Cost | None:
    """Cost of a run of any method, from what was measured of one-hot runs; None if that was not.

    Time is taken to grow with the ratio, and a teacher that sees augmented images to take a forward pass more per step:
    a third of a step. What tracking takes besides is in the margin of the limits.
    """
    row = find(table, definition(study.runs_spec(dataset, architecture, ONE_HOT)), preferred)
    spec = study.runs_spec(dataset, architecture, method)
    if row is None or method == ONE_HOT:
        return row
    seconds = row.seconds_per_model * float(Fraction(spec["ratio"]) / Fraction(study.config["ratio"]))
    if "teacher" in spec and any(spec["recipe"]["augment"].values()):
        teacher = expected(table, study, dataset, study.teacher(architecture, method), ONE_HOT, preferred)
        seconds += teacher.seconds_per_model * FORWARD if teacher else 0
    return replace(row, seconds_per_model=seconds)


def minutes(cost: Cost | None, models: int, attempt: int) -> int:
    """Time limit of a job that trains some models: with a margin, doubled on every further attempt.

    The margin covers start-up on a slow file system, neighbours on the node, and a device slower than the measured one.
    """
    expected = UNKNOWN_MINUTES if cost is None else cost.seconds(models) / 60
    return math.ceil(max(SHORTEST_MINUTES, TIME_MARGIN * expected)) * 2 ** (attempt - 1)


def memory_mb(cost: Cost | None, attempt: int) -> int:
    """Memory limit of a training job, in MB: with a margin, and as much again on every further attempt."""
    return math.ceil(UNKNOWN_MEMORY_MB if cost is None else max(SMALLEST_MB, MEMORY_MARGIN * cost.memory_mb)) * attempt


def read(path: Path = TABLE) -> list[Cost]:
    """The rows of a table; none if there is no such file.

    Raises
    ------
    CostsError
        Naming the line and the column that is not as it must be.
    """
    if not path.exists():
        return []
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
        header = next(reader, [])
        if header != COLUMNS:
            raise CostsError(
                f"{path}, line 1: the columns are {', '.join(header) or 'missing'}; they must be {', '.join(COLUMNS)}. "
                "Restore the file, or delete it and probe again"
            )
        return [_row(cells, f"{path}, line {reader.line_num}") for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CostsError(
            f"{path} is not a readable table ({error}); restore it, or delete it and probe again"
        ) from None


def record(path: Path, new: Cost) -> None:
    """Put a row into a table in place of that of the same definition and device; all others are kept, in one order."""
    from memflow.files import write_bytes

    kept = [row for row in read(path) if (row.definition, row.device) != (new.definition, new.device)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(asdict(row).values() for row in sorted([*kept, new]))
    write_bytes(path, text.getvalue().encode())


def _row(cells: list[str], where: str) -> Cost:
    if len(cells) != len(COLUMNS):
        raise CostsError(f"{where}: {len(cells)} columns instead of {len(COLUMNS)}; mend or delete the line")
    values: dict[str, Any] = {}
    for column, cell in zip(COLUMNS, cells, strict=True):
        parse, allowed = KINDS[column]
        try:
            values[column] = parse(cell)
        except ValueError:
            raise CostsError(
                f"{where}, column {column} is {cell!r}; it must be {allowed}. Mend or delete the line"
            ) from None
    return Cost(**values)


def _text(cell: str) -> str:
    if not cell:
        raise ValueError
    return cell


def _seconds(cell: str) -> float:
    seconds = float(cell)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError
    return seconds


def _megabytes(cell: str) -> int:
    if int(cell) < 0:
        raise ValueError
    return int(cell)


def _date(cell: str) -> str:
    return date.fromisoformat(cell).isoformat()


KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    **dict.fromkeys(("dataset", "architecture", "definition", "device"), (_text, "some text")),
    **dict.fromkeys(("seconds_per_model", "seconds_fixed"), (_seconds, "a number of seconds, 0 or more")),
    "memory_mb": (_megabytes, "a whole number, 0 or more"),
    "measured": (_date, "a date such as 2026-01-31"),
}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return " ".join(names[0].split()) if names else platform.processor() or platform.machine()
