"""Stage distillation: what learning from a teacher changes in a student's memorisation.

A *change* is the distilled student's score minus the score of the same architecture trained on the labels (one-hot),
and always paired: both were trained on the same subsets. Which examples change is asked of examples that were selected
on one half of the groups and measured on the other, the halves swapped and averaged. Measured on the runs that selected
them, examples that the one-hot student memorises would seem to fall though nothing changed (regression to the mean).
"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memflow import counts, provenance
from memflow.counts import HALVES, Counts
from memflow.errors import InputError
from memflow.files import write_csv, write_parquet
from memflow.methods import ONE_HOT, SELF
from memflow.provenance import ProvenanceError
from memflow.statistics.resampling import Statistic, bootstrap, jackknife
from memflow.statistics.rounding import ROUNDING
from memflow.statistics.signflip import holm, sign_flip_p_value
from memflow.statistics.trajectory_types import TESTED
from memflow.summary import populations
from memflow.trajectories import BASES, IDENTITY, check_same_subsets, halves_table, mean_scores

MEMORISED = ("memorised", "not memorised")
MEANS = ("mean_one_hot", "mean_distilled", "mean_change", "acc_in_change", "acc_out_change")
MEASURED = ("teacher", "one_hot", "distilled", "change")
SHARES = ("memorised_one_hot", "memorised_distilled")
LIMITS = ("value", "low", "high")
TAUGHT = ("teacher_data", "targets")  # of the spec, and of the students' runs
SUMMARY = ["examples", "quantity", "type", *LIMITS, "p_value", "p_holm", "n_examples"]
TRANSFER = ["teacher_memorises", "one_hot_memorises", "quantity", *LIMITS, "n_examples"]
Selected = list[np.ndarray]  # bool[n] twice: what the even groups select, and what the odd groups select


def run(
    spec: dict[str, Any],
    counts_paths: list[Path],
    distilled_paths: list[Path],
    teacher_path: Path | None,
    output: Path,
) -> None:
    """Compare the distilled students of one family with their one-hot twins.

    Parameters
    ----------
    spec : dict
        From :meth:`memflow.config.Study.distillation_spec`.
    counts_paths : list of Path
        One-hot counts of all architectures of the family, smallest first.
    distilled_paths : list of Path
        Counts of the students, smallest first, under the method of the spec.
    teacher_path : Path or None
        One-hot counts of the teacher; None where it is the student itself, or was trained on the whole training set.
    output : Path
        ``<method>.parquet``, with the columns of :func:`pair_table` for each student. Beside it are written
        ``<method>.summary.csv`` (:func:`summarise`) and ``<method>.transfer.csv`` (:func:`transfer`). All say by
        ``teacher_data`` whether teachers were trained on their students' subsets, or on everything (``full``).

    Raises
    ------
    ProvenanceError
        If the counts are not of the same subsets of the same dataset, or a student's not of its architecture or not of
        the teaching that the spec says: ``teacher_data``, ``targets``, and where counts are the teacher's, these runs.
    InputError
        If there are fewer than four groups of runs, two per half.
    """
    started = provenance.now()
    one_hot_paths = [*counts_paths, *([teacher_path] if teacher_path else [])]
    records = {path: provenance.read(path) for path in [*one_hot_paths, *distilled_paths]}
    definitions = {path: record["definition"] for path, record in records.items()}
    for path, definition in definitions.items():
        method = spec["method"] if path in distilled_paths else ONE_HOT
        check_same_subsets(path, definition, definitions[counts_paths[0]], method)
    path_of = dict(zip(spec["architectures"], counts_paths, strict=True))
    pupils = dict(zip(spec["students"], distilled_paths, strict=True))
    for student, path in pupils.items():
        _check_same_architecture(path, definitions[path], path_of[student], definitions[path_of[student]])
        own = spec["teacher"] == SELF and spec["teacher_data"] == "subset"
        taught_by = path_of[student] if own else teacher_path
        _check_teaching(path, definitions[path]["runs"], spec, definitions[taught_by] if taught_by else None)
    family = {name: counts.load_last(path) for name, path in path_of.items()}
    teacher = counts.load_last(teacher_path) if teacher_path else None
    groups = family[spec["architectures"][0]].n_groups
    if groups < 4:
        raise InputError(f"{counts_paths[0]} has {groups} groups of runs; distillation needs four: raise `seeds`")
    halves = halves_table(family, **{key: spec[key] for key in ("tau", "fdr", "confidence")})
    rule = {key: spec[key] for key in ("confidence", "memorised_at")}
    parts: dict[str, list[pd.DataFrame]] = {".parquet": [], ".summary.csv": [], ".transfer.csv": []}
    for student, path in pupils.items():
        one_hot, distilled = family[student], counts.load_last(path)
        pairs = pair_table(halves, student, one_hot, distilled, teacher)
        of_student = [pairs, summarise(one_hot, distilled, pairs, **rule)]
        of_student.append(transfer(one_hot, distilled, teacher, pairs, **rule))
        for tables, table in zip(parts.values(), of_student, strict=True):
            tables.append(_of(student, one_hot, table))
    for suffix, tables in parts.items():
        table = pd.concat(tables, ignore_index=True).assign(teacher_data=spec["teacher_data"])
        if suffix.endswith("csv"):
            write_csv(output.with_suffix(suffix), table)
        else:
            write_parquet(output, table, {"pretraining_overlap": spec["pretraining_overlap"]})
    provenance.write(
        [output.with_suffix(suffix) for suffix in parts],
        {
            **spec,
            "counts": [definitions[path] for path in counts_paths],
            "distilled_counts": [definitions[path] for path in distilled_paths],
            "teacher_counts": definitions[teacher_path] if teacher_path else None,
        },
        inputs={path: record["outputs"][path.name] for path, record in records.items()},
        started=started,
    )


def pair_table(
    halves: pd.DataFrame, student: str, one_hot: Counts, distilled: Counts, teacher: Counts | None
) -> pd.DataFrame:
    """What one half of the groups says of every example, beside the scores that the other half measures.

    Parameters
    ----------
    halves : DataFrame
        Of the family's one-hot runs, from :func:`memflow.trajectories.halves_table`.
    student : str
    one_hot, distilled, teacher : Counts
        Of the same subsets.

    Returns
    -------
    DataFrame
        Two rows per training example: ``selected_on`` (``even`` or ``odd`` groups), ``index``, ``label``,
        ``label_noise``, ``input_noise``; from that half ``type`` and ``descriptive`` (of the one-hot trajectory along
        the family), ``one_hot_selecting`` and ``teacher_selecting`` (scores); from the other half the scores
        ``one_hot``, ``distilled`` and ``teacher``. The teacher's are null where there is none.
    """
    table = halves[["selected_on", *IDENTITY, *BASES]].copy()
    (even, odd), learned = _by_half(one_hot), _by_half(distilled)
    taught = _by_half(teacher) if teacher else np.full((2, one_hot.n_examples), np.nan)
    table["one_hot_selecting"] = np.concatenate([even, odd])
    table["teacher_selecting"] = np.concatenate([taught[0], taught[1]])
    table["one_hot"] = np.concatenate([odd, even])
    table["distilled"] = np.concatenate([learned[1], learned[0]])
    table["teacher"] = np.concatenate([taught[1], taught[0]])
    return table


def summarise(
    one_hot: Counts, distilled: Counts, pairs: pd.DataFrame, confidence: float, memorised_at: float
) -> pd.DataFrame:
    """Changes of one student, over all examples and by what its one-hot runs say of them.

    Parameters
    ----------
    one_hot, distilled : Counts
        Of the same subsets, in at least four groups.
    pairs : DataFrame
        From :func:`pair_table`.
    confidence, memorised_at : float

    Returns
    -------
    DataFrame
        Per group of examples (``examples``: see :func:`memflow.summary.populations`), ``quantity`` and ``type``:
        ``value``, ``low``, ``high``, ``p_value``, ``p_holm``, ``n_examples``.

        All groups of runs: ``mean_one_hot``, ``mean_distilled`` and ``mean_change`` of the score, ``acc_in_change``,
        ``acc_out_change`` and, for all examples, ``acc_test_change`` (group bootstrap); ``memorised_change`` in the
        number of examples with a score from ``memorised_at`` (jackknife).

        Selected on one half and measured on the other: ``change``, whose ``type`` is a tested type of trajectory, or
        ``memorised`` or ``not memorised`` by the one-hot student; and ``difference_increasing_constant``, the change of
        the increasing minus that of the constant. Group bootstrap within the halves, given what was selected; p-value
        by sign flips of the groups' changes (:func:`memflow.statistics.signflip.sign_flip_p_value`, which says how
        small it can get with few groups); ``p_holm`` of ``change`` is adjusted over the types, and apart from them over
        memorised and not. ``n_examples`` is the mean of the halves; without an example in each there is no value.

        The halves are independent of each other but for one thing: the noise by which one half selects an example is in
        what it measures there when the roles are swapped. At worst, where true scores are all equal and runs share no
        noise, this correlates the two measurements by .20, and the interval should be 10 % wider.
    """
    rows = [("all", "acc_test_change", "", _test_change(one_hot, distilled, confidence), one_hot.correct_test.shape[1])]
    parts = []
    for examples, where in populations(one_hot).items():
        size = int(where.sum())
        means, memorised = np.full((3, len(MEANS)), np.nan), np.full((3, 1), np.nan)
        if size:
            chosen = one_hot.select(where), distilled.select(where)
            means = bootstrap(one_hot.n_groups, _means(*chosen), confidence)
            memorised = jackknife(one_hot.n_groups, _memorised_change(*chosen, memorised_at), confidence)
        limits = np.concatenate([means, memorised], axis=1).T
        rows += [(examples, name, "", of, size) for name, of in zip([*MEANS, "memorised_change"], limits, strict=True)]
        selections = _selections(pairs, where, memorised_at)
        parts.append(_changes(one_hot, distilled, selections, confidence).assign(examples=examples))
    overall = pd.DataFrame(
        [(examples, quantity, kind, *limits, size) for examples, quantity, kind, limits, size in rows],
        columns=["examples", "quantity", "type", *LIMITS, "n_examples"],
    )
    return pd.concat([overall.assign(p_value=np.nan, p_holm=np.nan), *parts], ignore_index=True)[SUMMARY]


def transfer(
    one_hot: Counts,
    distilled: Counts,
    teacher: Counts | None,
    pairs: pd.DataFrame,
    confidence: float,
    memorised_at: float,
) -> pd.DataFrame:
    """How much of what the teacher memorises its student memorises too, and would have without it.

    Parameters
    ----------
    one_hot, distilled, teacher : Counts
        Of the same subsets, in at least four groups; without a teacher the table is empty.
    pairs : DataFrame
        From :func:`pair_table`.
    confidence, memorised_at : float

    Returns
    -------
    DataFrame
        Per ``teacher_memorises`` and ``one_hot_memorises`` (scores from ``memorised_at`` on one half of the groups) and
        ``quantity``: ``value``, ``low``, ``high``, ``n_examples``. ``share_of_examples`` (of those with a score in both
        halves) is that of the selecting half. Measured on the other: the mean scores ``teacher``, ``one_hot`` and
        ``distilled``, and ``change`` (group bootstrap within the halves), and the shares ``memorised_one_hot`` and
        ``memorised_distilled`` (jackknife). Halves are swapped and averaged, ``n_examples`` too; without an example in
        each there is no value but the share.
    """
    if teacher is None:
        return pd.DataFrame(columns=TRANSFER)
    scored = np.all(_split(pairs[["one_hot_selecting", "one_hot"]].notna().all(axis=1)), axis=0)
    teacher, one_hot, distilled = (of.select(scored) for of in (teacher, one_hot, distilled))
    memorised = {name: _split(pairs[f"{name}_selecting"] >= memorised_at - ROUNDING) for name in ("teacher", "one_hot")}
    tables = []
    for by_teacher, by_one_hot in product((True, False), repeat=2):
        selected = [
            ((taught == by_teacher) & (own == by_one_hot))[scored]
            for taught, own in zip(memorised["teacher"], memorised["one_hot"], strict=True)
        ]
        share = _cell_share(teacher, one_hot, (by_teacher, by_one_hot), memorised_at)
        limits = [jackknife(one_hot.n_groups, share, confidence)]
        if all(where.any() for where in selected):
            sizes = {"teacher": teacher, "one_hot": one_hot, "distilled": distilled}
            means = _with_change(mean_scores(sizes, selected))
            limits.append(bootstrap(one_hot.n_groups, means, confidence, strata=2))
            shares = _memorised_shares(one_hot, distilled, selected, memorised_at)
            limits.append(jackknife(one_hot.n_groups, shares, confidence))
        else:
            limits.append(np.full((3, len(MEASURED) + len(SHARES)), np.nan))
        table = pd.DataFrame({"quantity": ["share_of_examples", *MEASURED, *SHARES]})
        table[list(LIMITS)] = np.concatenate(limits, axis=1).T
        cell = {"teacher_memorises": by_teacher, "one_hot_memorises": by_one_hot}
        tables.append(table.assign(**cell, n_examples=_size(selected)))
    return pd.concat(tables, ignore_index=True)[TRANSFER]


def by_group(of: Counts, where: np.ndarray) -> np.ndarray:
    """Mean score of some examples (bool[n]) in each group, float64[groups]; see :meth:`Counts.contributions`."""
    chosen = of.select(where)
    return chosen.scores().mean() + chosen.contributions().mean(axis=1)


def group_changes(one_hot: Counts, distilled: Counts, selected: Selected) -> np.ndarray:
    """Each group's mean change over the examples that the other half selected, float64[groups].

    A group's score of an example is the half's, plus what the group adds to it (:meth:`Counts.contributions`): its own
    score where groups are balanced, and defined where they are not. Weighted so that the mean over all groups is the
    mean of the halves, also where one has a group more.
    """
    changes = np.empty(one_hot.n_groups)
    for half, where in zip((1, 0), selected, strict=True):  # what the even groups select, the odd groups measure
        of_half = np.arange(one_hot.n_groups) % 2 == half
        after, before = (by_group(of.only(of_half), where) for of in (distilled, one_hot))
        changes[of_half] = (after - before) * one_hot.n_groups / (2 * of_half.sum())
    return changes


def _changes(one_hot: Counts, distilled: Counts, selections: dict[str, Selected], confidence: float) -> pd.DataFrame:
    """Rows of ``change`` by type, and of ``difference_increasing_constant``."""
    groups, sizes = one_hot.n_groups, {"one_hot": one_hot, "distilled": distilled}
    statistics: dict[str, Statistic] = {}
    flipped: dict[str, np.ndarray] = {}
    for kind, selected in selections.items():
        if all(where.any() for where in selected):
            statistics[kind] = _last_minus_first(mean_scores(sizes, selected))
            flipped[kind] = group_changes(one_hot, distilled, selected)
    contrast = ("increasing", "constant")
    if all(kind in statistics for kind in contrast):
        statistics[""] = _difference(*(statistics[kind] for kind in contrast))
        flipped[""] = flipped["increasing"] - flipped["constant"]
    rows = []
    for kind in [*selections, ""]:
        limits, p_value = np.full(3, np.nan), np.nan
        if kind in statistics:
            limits = bootstrap(groups, statistics[kind], confidence, strata=2)[:, 0]
            p_value = sign_flip_p_value(flipped[kind] / groups)
        size = _size(selections[kind]) if kind else sum(_size(selections[name]) for name in contrast)
        rows.append(("change" if kind else "difference_increasing_constant", kind, *limits, p_value, size))
    columns = ["quantity", "type", *LIMITS, "p_value", "n_examples"]
    table = pd.DataFrame(rows, columns=columns).assign(p_holm=np.nan)
    for family in (TESTED, MEMORISED):
        adjusted = table["type"].isin(family)
        table.loc[adjusted, "p_holm"] = holm(table.loc[adjusted, "p_value"].to_numpy())
    return table


def _selections(pairs: pd.DataFrame, population: np.ndarray, memorised_at: float) -> dict[str, Selected]:
    """Examples of a population by what each half says of them; with a score in the other half, too."""
    scored = pairs[["one_hot_selecting", "one_hot"]].notna().all(axis=1)
    memorised = pairs["one_hot_selecting"] >= memorised_at - ROUNDING
    parts = {kind: pairs["type"] == kind for kind in TESTED} | dict(
        zip(MEMORISED, (memorised, ~memorised), strict=True)
    )
    return {kind: [where & population for where in _split(part & scored)] for kind, part in parts.items()}


def _means(one_hot: Counts, distilled: Counts) -> Statistic:
    """As named by :data:`MEANS`."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        before, after = one_hot.means(weights), distilled.means(weights)
        return np.column_stack([before[:, 0], after[:, 0], after - before])

    return statistic


def _test_change(one_hot: Counts, distilled: Counts, confidence: float) -> np.ndarray:
    after, before = (of.correct_test.mean(axis=1) / of.group_size for of in (distilled, one_hot))
    limits = bootstrap(len(after), lambda weights: (weights @ (after - before) / len(after))[:, None], confidence)
    return limits[:, 0]


def _memorised_change(one_hot: Counts, distilled: Counts, memorised_at: float) -> Statistic:
    def statistic(used: np.ndarray) -> np.ndarray:
        before, after = (_memorised(of, used > 0, memorised_at).sum() for of in (one_hot, distilled))
        return np.array([float(after) - float(before)])

    return statistic


def _cell_share(teacher: Counts, one_hot: Counts, cell: tuple[bool, bool], memorised_at: float) -> Statistic:
    """Share of the examples that a half puts into a cell of teacher × one-hot student, mean of the halves."""

    def statistic(used: np.ndarray) -> np.ndarray:
        shares = []
        for half in (0, 1):
            groups = (used > 0) & (np.arange(len(used)) % 2 == half)
            taught, own = (_memorised(of, groups, memorised_at) for of in (teacher, one_hot))
            shares.append(((taught == cell[0]) & (own == cell[1])).mean())
        return np.array([np.mean(shares)])

    return statistic


def _memorised_shares(one_hot: Counts, distilled: Counts, selected: Selected, memorised_at: float) -> Statistic:
    """As named by :data:`SHARES`: of what one half selected, the share memorised in the other; mean of halves."""
    chosen = [[of.select(where) for of in (one_hot, distilled)] for where in selected]

    def statistic(used: np.ndarray) -> np.ndarray:
        odd = np.arange(len(used)) % 2 == 1
        shares = [
            [_memorised(of, (used > 0) & of_half, memorised_at).mean() for of in both]
            for both, of_half in zip(chosen, (odd, ~odd), strict=True)
        ]
        return np.mean(shares, axis=0)

    return statistic


def _last_minus_first(scores: Statistic) -> Statistic:
    return lambda weights: np.diff(scores(weights)[:, [0, -1]], axis=1)


def _difference(one: Statistic, other: Statistic) -> Statistic:
    return lambda weights: one(weights) - other(weights)


def _with_change(scores: Statistic) -> Statistic:
    """Teacher, one-hot and distilled student, and the last minus the second."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        means = scores(weights)
        return np.column_stack([means, means[:, 2] - means[:, 1]])

    return statistic


def _memorised(of: Counts, groups: np.ndarray, memorised_at: float) -> np.ndarray:
    return of.only(groups).scores() >= memorised_at - ROUNDING


def _by_half(of: Counts) -> np.ndarray:
    return np.stack([half.scores() for half in of.halves()])


def _split(column: pd.Series) -> Selected:
    """A column of :func:`pair_table`, bool[n] of the even and of the odd groups' rows."""
    even, odd = np.split(column.to_numpy(dtype=bool), len(HALVES))
    return [even, odd]


def _size(selected: Selected) -> float:
    return float(np.mean([where.sum() for where in selected]))


def _of(student: str, one_hot: Counts, table: pd.DataFrame) -> pd.DataFrame:
    table.insert(0, "student", student)
    table.insert(1, "parameters", one_hot.parameters)
    return table


def _check_same_architecture(path: Path, definition: dict[str, Any], twin: Path, of_twin: dict[str, Any]) -> None:
    found, expected = ({"architecture": of["runs"]["architecture"]} for of in (definition, of_twin))
    if differences := provenance.differences(found, expected):
        raise ProvenanceError(f"{path} is not of the architecture of {twin}: {'; '.join(differences)}")


def _check_teaching(path: Path, runs: dict[str, Any], spec: dict[str, Any], teacher: dict[str, Any] | None) -> None:
    """Refuse students who learned from something else than the spec says, or from others than the teacher's counts."""
    teaching = runs.get("distillation", {})
    found: dict[str, Any] = {"distillation": {key: teaching.get(key, "missing") for key in TAUGHT}}
    expected: dict[str, Any] = {"distillation": {key: spec[key] for key in TAUGHT}}
    if teacher:
        found["teacher"], expected["teacher"] = runs.get("teacher", "missing"), teacher["runs"]
    if differences := provenance.differences(found, expected, "runs"):
        raise ProvenanceError(f"{path} is not of students of this method: {'; '.join(differences)}")
