"""Whether the records of a study agree with each other, so that whoever changes one must change all that follow."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from memflow import provenance
from memflow.audit.records import Records

ADDED = ("seeds", "fingerprint")  # by a job to its spec
CLOCKS_DIFFER = timedelta(days=1)
SHOWN = 3  # differences

Record = dict[str, Any]


def problems(name: str, records: Records) -> Iterator[str]:
    """What the record of a file says that those of its inputs deny.

    Parameters
    ----------
    name : str
        Of a file with a record.
    records : Records
    """
    record: Any = records.of(name)
    inputs = {other: of for other in records.inputs(name) if (of := records.of(other))}
    yield from _definitions(record, inputs)
    yield from _conditions(record, inputs)
    yield from _uncommitted(record, inputs)
    yield from _dates(record, inputs)


def _definitions(record: Record, inputs: dict[str, Record]) -> Iterator[str]:
    """Inputs with another definition than the one by which they were to be made, where a record repeats that."""
    planned = [spec for part in record["definition"].values() for spec in _specs(part)]
    for name, of in inputs.items():
        definition = of["definition"]
        of_stage = [spec for spec in planned if spec["stage"] == definition.get("stage")]
        found = [_differences(definition, spec) for spec in of_stage]
        if found and all(found):
            nearest = min(found, key=len)
            more = " …" if len(nearest) > SHOWN else ""
            yield (
                f"{name} does not belong to what this was made from: {'; '.join(nearest[:SHOWN])}{more}. One of the "
                "two records was changed, or the file is of elsewhere: delete both and run snakemake"
            )


def _specs(value: Any, within: frozenset[str] = frozenset()) -> Iterator[Record]:
    """The specs inside a part of a definition, but for those inside one of the same stage, such as a teacher's."""
    if isinstance(value, dict):
        stage = value.get("stage")
        if isinstance(stage, str) and stage not in within:
            yield value
            within |= {stage}
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _specs(part, within)


def _differences(definition: Record, spec: Record) -> list[str]:
    found = {key: value for key, value in definition.items() if key in spec or key not in ADDED}
    return provenance.differences(found, spec)


def _conditions(record: Record, inputs: dict[str, Record]) -> Iterator[str]:
    """Whether runs were made under the conditions that the record of what was merged from them repeats."""
    if "runs_made_under" not in record:
        return
    recorded = record["runs_made_under"]
    found = [of["bit_conditions"] for name, of in inputs.items() if name.startswith("runs/")]
    if not isinstance(recorded, list) or any(one not in found for one in recorded):
        yield "says that runs were made under conditions that none of their records names; delete it and run snakemake"
    elif any(one not in recorded for one in found):
        yield "does not name all conditions under which its runs were made, say their records; delete it and run again"


def _uncommitted(record: Record, inputs: dict[str, Record]) -> Iterator[str]:
    """Whether uncommitted code, once used, is still admitted by all that came after, and by what came before."""
    circumstance = record["circumstance"]
    if "dirty_ancestry" not in circumstance:
        return
    marked = [name for name, of in inputs.items() if _is_dirty(of)]
    if marked and not circumstance["dirty_ancestry"]:
        yield f"does not say that {marked[0]}, of which it was made, is from uncommitted code; delete it and run again"
    if circumstance["dirty_ancestry"] and not marked and not circumstance.get("dirty"):
        yield (
            "says that it was made from uncommitted code, but neither it nor any of its inputs admits to be that; "
            "their records were changed, or they were made again: delete it and run snakemake"
        )


def _is_dirty(record: Record) -> bool:
    return bool(record["circumstance"].get("dirty") or record["circumstance"].get("dirty_ancestry"))


def _dates(record: Record, inputs: dict[str, Record]) -> Iterator[str]:
    try:
        started, finished = _time(record, "started"), _time(record, "finished")
        before = [_time(of, "finished") for of in inputs.values()]
    except (KeyError, TypeError, ValueError):
        yield "has a record, or is made from a file with one, without readable times; delete it and run snakemake"
        return
    wrong = []
    if finished < started:
        wrong.append(f"was finished ({finished}) before it was started ({started})")
    if finished > datetime.now(UTC) + CLOCKS_DIFFER:
        wrong.append(f"is from the future ({finished})")
    if before and finished < max(before) - CLOCKS_DIFFER:
        wrong.append(f"was finished ({finished}) before what it was made from ({max(before)})")
    yield from (f"{what}, say the records; delete it and run snakemake" for what in wrong)


def _time(record: Record, key: str) -> datetime:
    time = datetime.fromisoformat(record["circumstance"][key])
    if time.tzinfo is None:
        raise ValueError(f"{time} names no zone")
    return time
