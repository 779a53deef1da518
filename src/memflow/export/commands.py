"""The verb ``memflow export``."""

import argparse
from pathlib import Path

from memflow.commandline import add_verb
from memflow.export.formats import FORMATS

LISTED = "\n".join(
    f"  {name:20} {'file' if form.suffix else 'folder':7} {form.content}" for name, form in FORMATS.items()
)
EXPLAIN = f"""\
formats:
{LISTED}

Rows are in the official order of the dataset. Beside a file lies its sidecar; a folder holds memflow.json with the
SHA-256 of each file. What each format holds, and how to read it: docs/export.md. An example:
  memflow export hugging-face --dataset digits --architecture resnet8-w8 --output digits.parquet

lira has scores and no logits/, since runs keep the log-odds of the label and no full logits. datamodels and cleanlab
need `probabilities: true` in the config; data-map and aum need `proxies`.
"""


def add(verbs) -> None:  # type: ignore[no-untyped-def]
    """Add the verb to the command."""
    verb = add_verb(verbs, "export", _export, "write a study's results as files that other tools read", EXPLAIN)
    verb.add_argument("format", metavar="FORMAT", help="one of those below")
    verb.add_argument("--results", type=Path, default=Path("results/digits"), help="default: results/digits")
    verb.add_argument("--dataset", required=True, help="name of a dataset of the study")
    verb.add_argument("--architecture", required=True, help="name of an architecture of the study")
    verb.add_argument("--method", help="default: one-hot")
    verb.add_argument("--output", type=Path, required=True, help="file or folder to write")
    verb.add_argument(
        "--force", action="store_true", help="replace an output that no export wrote, or that was changed"
    )
    for option, explanation in (("influence", "influence of a pair"), ("memorised", "memorisation of its example")):
        verb.add_argument(f"--{option}-at", type=float, metavar="X", help=f"feldman-zhang-pairs: least {explanation}")


def _export(arguments: argparse.Namespace) -> None:
    from memflow import open_study
    from memflow.export import formats, job

    formats.find(arguments.format)
    chosen = {name: getattr(arguments, name) for name in ("influence_at", "memorised_at")}
    study = open_study(arguments.results)
    print(
        job.run(
            arguments.format, study, arguments.dataset, arguments.architecture, arguments.method, arguments.output,
            options={name: value for name, value in chosen.items() if value is not None}, force=arguments.force,
        )
    )  # fmt: skip
