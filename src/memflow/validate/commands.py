"""The verb ``memflow validate``."""

import argparse
from fractions import Fraction
from pathlib import Path

from memflow.commandline import add_verb
from memflow.errors import InputError

EXPLAIN = """\
formats, found by the file unless --format names one:
  feldman-zhang  .npz with tr_mem, tr_labels (such as cifar100_infl_matrix.npz)
  c-score        .npz with labels, scores (such as cifar10-cscores-orig-order.npz); compared with out-of-sample accuracy
  npz            arrays named by --score, --label
  csv, parquet   columns index (in the official order), label and score, or as --index, --label and --score name them

Labels are compared first: where they differ, the rows are not the study's examples, and the error says what the order
seems to be. Correlations come with intervals, with the ceiling that noise sets, and with the value without that noise.
Written to results/<study>/validation/<dataset>/<architecture>/<method>-vs-<name>.*: docs/export.md. An example:
  memflow validate --reference cifar100_infl_matrix.npz --reference-runs 4000 --reference-ratio 7/10 \\
      --results results/cifar100 --dataset cifar100 --architecture resnet50
"""


def add(verbs) -> None:  # type: ignore[no-untyped-def]
    """Add the verb to the command."""
    verb = add_verb(verbs, "validate", _validate, "compare a study's scores with published or other scores", EXPLAIN)
    verb.add_argument("--reference", type=Path, required=True, metavar="FILE", help="scores to compare with")
    verb.add_argument("--format", help="one of those below")
    verb.add_argument("--results", type=Path, default=Path("results/digits"), help="default: results/digits")
    verb.add_argument("--dataset", required=True, help="name of a dataset of the study")
    verb.add_argument("--architecture", required=True, help="name of an architecture of the study")
    verb.add_argument("--method", help="default: one-hot")
    verb.add_argument("--measure", help="memorisation or c-score; default: what the format holds, else memorisation")
    for name in ("score", "label", "index"):
        verb.add_argument(f"--{name}", default=name, metavar="NAME", help=f"what the {name} is called; default: {name}")
    verb.add_argument(
        "--halves", nargs=2, metavar="NAME", help="scores from two halves of the reference's runs, for its reliability"
    )
    verb.add_argument("--reference-runs", type=int, metavar="K", help="runs behind the reference, for its reliability")
    verb.add_argument("--reference-ratio", type=Fraction, metavar="R", help="and their ratio, such as 7/10")
    verb.add_argument("--trust-order", action="store_true", help="take a reference without labels")
    verb.add_argument("--name", help="of the reference, in names of files; default: that of the file")
    verb.add_argument("--confidence", type=float, default=0.95, help="of the intervals; default: 0.95")


def _validate(arguments: argparse.Namespace) -> None:
    from memflow import open_study
    from memflow.validate import job
    from memflow.validate.reference import Names

    if not 0 < arguments.confidence < 1:
        raise InputError(f"--confidence is {arguments.confidence:g}; it must lie between 0 and 1, such as 0.95")
    halves = tuple(arguments.halves) if arguments.halves else None
    choices = job.Choices(
        kind=arguments.format,
        names=Names(arguments.score, arguments.label, arguments.index, halves),
        measure=arguments.measure,
        runs=_runs(arguments),
        trust_order=arguments.trust_order,
        name=arguments.name,
        confidence=arguments.confidence,
    )
    of_study = open_study(arguments.results), arguments.dataset, arguments.architecture, arguments.method
    print(job.run(*of_study, arguments.reference, choices))


def _runs(arguments: argparse.Namespace):  # type: ignore[no-untyped-def]
    from memflow.validate.agreement import Runs

    number, ratio = arguments.reference_runs, arguments.reference_ratio
    if (number is None) != (ratio is None):
        raise InputError("--reference-runs and --reference-ratio belong together; give both")
    if number is None:
        return None
    if not (number >= 2 and 0 < ratio < 1):
        raise InputError(
            f"--reference-runs is {number} and --reference-ratio {ratio}; needed: 2 or more, and between 0 and 1"
        )
    return Runs(number, ratio)
