"""Claims about distillation (Lukasik et al. 2024): students against the same architecture trained on labels."""

import numpy as np

from memflow.claims.evidence import Evidence
from memflow.claims.rules import Part, mean_of, mean_of_halves
from memflow.claims.size import FEWEST, SMALLEST_CHANGE, Found, count, types
from memflow.counts import Counts
from memflow.distillation import by_group, group_changes
from memflow.methods import SELF
from memflow.trajectories import Sizes

LARGER_FALL = 0.02  # of the mean score of increasing examples, beyond that of others
SMALLEST_GAIN = 0.002  # of test accuracy
NO_STUDENTS = "students of a larger network of the study (distillation), in the family"


def lowers(evidence: Evidence) -> Found:
    """Distillation lowers the mean score of its students."""
    students = _students(evidence)
    if not students:
        return NO_STUDENTS
    where = evidence.natural
    change = np.mean([_change(evidence, name, counts, where) for name, counts in students.items()], axis=0)
    return [mean_of("change of the mean score, mean of the students", change, where.sum(), below=-SMALLEST_CHANGE)]


def smaller_students(evidence: Evidence) -> Found:
    """It lowers that of the smallest student, farthest from the teacher, more than that of the largest."""
    students = _students(evidence)
    if len(students) < 2:
        return "two students of one larger teacher (distillation), in the family"
    where = evidence.natural
    changes = [_change(evidence, name, counts, where) for name, counts in students.items()]
    name = "change of the smallest student's mean score minus the largest student's"
    return [mean_of(name, changes[0] - changes[-1], where.sum(), below=-SMALLEST_CHANGE)]


def larger_teacher(evidence: Evidence) -> Found:
    """The larger of two teachers lowers the mean score of the same student more."""
    for student, counts in reversed(evidence.sizes.items()):
        teachers = {
            method: counts.parameters if teacher == SELF else evidence.teacher_sizes[teacher]
            for method, teacher in evidence.teachers.items()
            if student in evidence.distilled[method]
        }
        small, large = (
            min(teachers, key=teachers.__getitem__, default=""),
            max(teachers, key=teachers.__getitem__, default=""),
        )
        if small != large and teachers[small] < teachers[large]:
            where = evidence.natural
            changes = [_change(evidence, student, evidence.distilled[m][student], where) for m in (large, small)]
            name = f"change of the mean score of {student} by {large} minus by {small}"
            return [mean_of(name, changes[0] - changes[1], where.sum(), below=-SMALLEST_CHANGE)]
    return "one student that learns from two teachers of different size (distillation), in the family"


def increasing_most(evidence: Evidence) -> Found:
    """It lowers the score of increasing examples more than that of any other type."""
    students = _students(evidence)
    if not students:
        return NO_STUDENTS
    by_type = {}
    for kind in ("increasing", "constant", "decreasing", "cap-shaped"):
        selected = types(evidence, kind)
        if min(where.sum() for where in selected) >= FEWEST:
            changes = [group_changes(evidence.sizes[name], counts, selected) for name, counts in students.items()]
            by_type[kind] = np.mean(changes, axis=0), count(selected)
    if "increasing" not in by_type or len(by_type) < 2:
        return f"{FEWEST} examples that each half of the runs calls increasing, and as many of another type"
    change, n_examples = by_type.pop("increasing")
    return [
        mean_of_halves(f"change of increasing minus of {kind} examples", change - other, n_examples, below=-LARGER_FALL)
        for kind, (other, _) in by_type.items()
    ]


def improves(evidence: Evidence) -> Found:
    """It improves the students' test accuracy."""
    students = _students(evidence)
    if not students:
        return NO_STUDENTS
    gains = []
    for name, counts in students.items():
        after, before = (of.correct_test.mean(axis=1) / of.group_size for of in (counts, evidence.sizes[name]))
        gains.append(after - before)
    n_test = evidence.first.correct_test.shape[1]
    return [mean_of("change of the test accuracy, mean of the students", np.mean(gains, axis=0), n_test, SMALLEST_GAIN)]


def removal_costs(evidence: Evidence) -> Found:
    """Test accuracy falls more without the memorised examples than without as many others."""
    parts: list[Part] = []
    for name, table in evidence.removal.items():
        examples = "no copy in training" if (table["examples"] == "no copy in training").any() else "all"
        row = evidence.row(table, examples=examples, quantity="random - memorised")
        if row is not None and name in evidence.sizes:
            label = f"test accuracy of {name} without random minus without memorised examples"
            parts.append(
                Part(
                    label,
                    row["value"],
                    row["se"],
                    row["df"],
                    SMALLEST_GAIN,
                    n_examples=row["n_examples"],
                    runs=row["runs"],
                )
            )
    return parts or "runs without memorised examples (removal), of the family"


def _students(evidence: Evidence) -> Sizes:
    """Students of the first method whose teacher is larger than all of them."""
    for method, students in evidence.distilled.items():
        teacher = evidence.teacher_sizes.get(evidence.teachers[method], 0)
        if students and all(counts.parameters < teacher for counts in students.values()):
            return students
    return {}


def _change(evidence: Evidence, student: str, distilled: Counts, where: np.ndarray) -> np.ndarray:
    return by_group(distilled, where) - by_group(evidence.sizes[student], where)
