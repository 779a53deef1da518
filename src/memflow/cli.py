"""The command ``memflow``: the verbs that the rules call, and the ones for people."""

import argparse
import json
import os
import sys
from pathlib import Path

from memflow import config, log
from memflow.audit import commands as audit
from memflow.commandline import add_verb
from memflow.export import commands as export
from memflow.methods import ARMS, ONE_HOT
from memflow.validate import commands as validate

DESCRIPTION = """\
memflow measures which training examples an image classifier memorises.

A study is one config file. Snakemake runs it:
  snakemake --cores all                                   the default study, config.yaml
  snakemake --cores all --configfile studies/tiny.yaml    another study
  snakemake results/digits/figures/digits/score_distribution.pdf   one figure and what it needs

Verbs for you: config, plan, status, summary, claims, show, suspects, export, validate, audit, clean. Verbs that the
rules call, each making one output from its inputs: prepare, train, count, score, classify, distil, proxies, epochs,
transitions, sensitivity, influence, privacy, select, removal, judge, browse, report.
`memflow VERB --help` explains each.
"""

EXPLAIN_RULE_VERB = """\
The rules of the workflow call this with --spec, the document of all that determines the output. To see such a call:
  snakemake --dry-run --forceall --printshellcmds
"""

EXPLAIN_STATUS = """\
Call it where Snakemake runs: it reads results/<study>, the logs that SLURM kept, and squeue. `failed` blocks name the
SLURM job and its log; `left` is the training time of what is not done, by profiles/costs.csv, one job after the other.
"""

EXPLAIN_PLAN = """\
`time` is what training takes one core (or one GPU); on N of them it is done in about an N-th. `done` counts the blocks
in results/<study> that were made by exactly this study and code; snakemake trains the others, which takes what is left.

Times come from profiles/costs.csv, one row for each dataset, architecture and device. They hold for exactly the recipe
that was measured: after a change of it, or on another machine, --probe trains each architecture for half a minute (less
if the data are small), on a part of the data if need be, says what the whole recipe takes, and replaces its rows in the
table. Where nothing was measured, a time with ~ is estimated from throughputs that others documented for a GPU
(profiles/throughputs.csv); the plan says how.

How many seeds? The error of a score falls with their square root. The worst case is an example that is a toss-up both
in- and out-of-sample; a network that fits its training set has in-sample accuracy 1, and a smaller error.
  memflow plan my-study.yaml --half-width 0.05            seeds for scores known to +-0.05
"""


EXPLAIN_SUSPECTS = """\
Needs runs that kept class probabilities (`probabilities: true` in the config). An example is suspect if runs that were
not trained on it give its label little probability (cleanlab's self-confidence), or if its memorisation score rises
with size; --by says which of the two the order follows. The second helps only in a family whose largest network fits
wrong labels; elsewhere it misleads (docs/results.md). A suspect is a label to look at, not a proven error:
  memflow show DATASET INDEX        the image, and what every network says about it
"""

EXPLAIN_CLAIMS = """\
supported: the number lies beyond the smallest effect that counts; contradicted: it has the wrong sign, or is too small
to count; undetermined: the runs do not tell, or the study lacks what the row names. The rules: docs/claims.md.
"""


def main(arguments: list[str] | None = None) -> None:
    """Run one verb; a wrong input ends with status 1 and its message."""
    parsed = _parser().parse_args(arguments)
    with log.job(parsed.log):
        parsed.run(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memflow", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    verb = add_verb(verbs, "config", _config, "check a config file and print it with every default filled in")
    verb.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"), help="default: config.yaml")
    verb.add_argument("--reference", action="store_true", help="print what every key means instead, as Markdown")

    verb = add_verb(
        verbs, "plan", _plan, "say what a study would run: jobs, hours, disk, and how precise it is", EXPLAIN_PLAN
    )
    which = verb.add_mutually_exclusive_group()
    which.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"), help="default: config.yaml")
    which.add_argument("--configfile", type=Path, metavar="FILE", help="the same, as snakemake has it")
    verb.add_argument("--probe", action="store_true", help="measure here what training costs, and record it")
    verb.add_argument("--half-width", type=float, default=0.1, metavar="W", help="of a score's interval; default: 0.1")

    verb = add_verb(
        verbs, "status", _status, "say how far a study is: blocks done, running, queued, failed", EXPLAIN_STATUS
    )
    verb.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"), help="default: config.yaml")
    verb.add_argument("--no-queue", action="store_true", help="do not ask squeue")

    verb = add_verb(verbs, "clean", _clean, "delete the weights of teachers from which every student has learnt")
    verb.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"), help="default: config.yaml")
    verb.add_argument("--weights", action="store_true", required=True, help="delete weights; nothing else is deleted")
    verb.add_argument("--dry-run", action="store_true", help="only say what would be deleted")

    verb = add_verb(verbs, "summary", _summary, "say what a finished study found, and which files to open")
    verb.add_argument("folder", type=Path, nargs="?", default=Path("results/digits"), help="default: results/digits")

    verb = add_verb(
        verbs, "claims", _claims, "say which of the literature's claims a finished study supports", EXPLAIN_CLAIMS
    )
    verb.add_argument("folder", type=Path, nargs="?", default=Path("results/digits"), help="default: results/digits")

    verb = add_verb(
        verbs, "suspects", _suspects, "rank training examples by how likely their label is wrong", EXPLAIN_SUSPECTS
    )
    verb.add_argument("dataset", help="name of a dataset of the study")
    verb.add_argument("--results", type=Path, default=Path("results/digits"), help="default: results/digits")
    verb.add_argument("--architecture", help="whose probabilities to use; default: what is right most often")
    verb.add_argument("--method", default=ONE_HOT, help=f"default: {ONE_HOT}")
    verb.add_argument("--family", help="whose trajectories to use; default: the first with it")
    verb.add_argument(
        "--by",
        choices=("probabilities", "trajectories", "both"),
        default="probabilities",
        help="default: probabilities",
    )
    verb.add_argument("--top", type=int, default=20, help="how many to list; default: 20")
    verb.add_argument("--save", type=Path, metavar="FILE.csv", help="also write all of them as a table")

    verb = add_verb(
        verbs, "show", _show, "show one training example and what every architecture and family says about it"
    )
    verb.add_argument("dataset", help="name of a dataset of the study")
    verb.add_argument("index", type=int, help="the example's index, as in the tables")
    verb.add_argument("--results", type=Path, default=Path("results/digits"), help="default: results/digits")
    verb.add_argument("--save", type=Path, metavar="FILE.png", help="also write the picture, enlarged")

    export.add(verbs)
    validate.add(verbs)

    verb = add_verb(
        verbs,
        "audit",
        None,
        "say where results come from, whether they are still true, and make them again",
        audit.EXPLAIN,
    )
    audit.add(verb)

    verb = _rule_verb(verbs, "prepare", _prepare, "load a dataset and write its prepared file")
    verb.add_argument("--output", type=Path, required=True, help="prepared dataset to write (.npz)")

    verb = _rule_verb(verbs, "train", _train, "train one block of seeds; continues an interrupted block")
    verb.add_argument("--dataset", type=Path, required=True, help="prepared dataset")
    verb.add_argument("--output", type=Path, required=True, help="block file to write (.npz)")
    verb.add_argument(
        "--checkpoint-minutes", type=float, default=10, metavar="M",
        help="keep what a unit that takes long has reached after every so many minutes; default: 10",
    )  # fmt: skip
    verb.add_argument(
        "--teachers", type=Path, nargs="*", default=[], help="weights of the networks that students learn from (.npz)"
    )
    verb.add_argument(
        "--removed", type=Path, nargs="*", default=[], help="which examples are left out (.npz), of runs without some"
    )
    verb.add_argument(
        "--keep-weights", type=_epoch_list, default=[], metavar="EPOCHS",
        help="epochs, such as 50,100, after which weights are kept, in <output>.weights.npz; or none",
    )  # fmt: skip

    verb = _rule_verb(verbs, "count", _count, "merge blocks into counts; refuses a block that does not belong")
    verb.add_argument("--dataset", type=Path, required=True, help="prepared dataset")
    verb.add_argument("--blocks", type=Path, nargs="+", required=True, help="block files, in the order of their seeds")
    verb.add_argument("--output", type=Path, required=True, help="counts file to write (.npz)")
    verb.add_argument(
        "--teachers", type=Path, nargs="*", default=[], help="sidecars of the weights that students learnt from"
    )

    verb = _rule_verb(verbs, "score", _score, "turn counts into score tables and statistics with intervals")
    verb.add_argument("--counts", type=Path, required=True, help="counts file")
    verb.add_argument("--output", type=Path, required=True, help="score table to write (.parquet); others go beside it")

    verb = _rule_verb(verbs, "classify", _classify, "tell how every example's score changes along a family of sizes")
    verb.add_argument("--counts", type=Path, nargs="+", required=True, help="counts files, smallest size first")
    verb.add_argument("--output", type=Path, required=True, help="table to write (.parquet); others go beside it")

    verb = _rule_verb(verbs, "distil", _distil, "tell how learning from a teacher changes the students' scores")
    verb.add_argument(
        "--counts", type=Path, nargs="+", required=True, help="one-hot counts of a family, smallest first"
    )
    verb.add_argument("--distilled", type=Path, nargs="+", required=True, help="counts of its students, smallest first")
    verb.add_argument(
        "--teacher", type=Path, nargs="*", default=[], help="one-hot counts of the teacher, if it has any"
    )
    verb.add_argument("--output", type=Path, required=True, help="table to write (.parquet); others go beside it")

    verb = _rule_verb(verbs, "proxies", _proxies, "merge what tracked runs tell of every example, and compare it")
    verb.add_argument("--dataset", type=Path, required=True, help="prepared dataset")
    verb.add_argument("--blocks", type=Path, nargs="+", required=True, help="blocks of runs on the whole training set")
    verb.add_argument(
        "--counts", type=Path, nargs="+", required=True, help="one-hot counts, at the study's ratio first"
    )
    verb.add_argument("--output", type=Path, required=True, help="table to write (.parquet); others go beside it")

    verb = _rule_verb(verbs, "epochs", _epochs, "tell how scores change during training, with intervals")
    verb.add_argument("--dataset", type=Path, required=True, help="prepared dataset")
    verb.add_argument("--counts", type=Path, required=True, help="one-hot counts file")
    verb.add_argument(
        "--blocks", type=Path, nargs="+", required=True, help="its block files, in the order of their seeds"
    )
    verb.add_argument("--output", type=Path, required=True, help="table to write (.csv); another goes beside it")

    verb = _rule_verb(verbs, "transitions", _transitions, "tell which examples change from memorised to generalised")
    verb.add_argument("--counts", type=Path, nargs="+", required=True, help="counts files, smallest size first")
    verb.add_argument("--output", type=Path, required=True, help="table to write (.csv); others go beside it")

    verb = _rule_verb(
        verbs, "sensitivity", _sensitivity, "tell how results depend on runs, design, threshold and ratio"
    )
    verb.add_argument(
        "--counts", type=Path, nargs="+", required=True, help="counts files, smallest size first, ratio by ratio"
    )
    verb.add_argument("--output", type=Path, required=True, help="table to write (.csv)")

    verb = _rule_verb(verbs, "influence", _influence, "tell which training examples help with which test examples")
    _of_runs(verb)
    verb.add_argument("--threads", type=int, default=1, help="blocks in work at a time; they change no number")

    verb = _rule_verb(verbs, "privacy", _privacy, "tell how well membership in the training set can be inferred")
    _of_runs(verb)

    verb = _rule_verb(verbs, "judge", _judge, "judge the claims of the literature on a finished study")
    verb.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    verb.add_argument("--output", type=Path, required=True, help="card to write (.csv); its parts go beside it")

    verb = _rule_verb(verbs, "select", _select, "choose the memorised examples that further runs leave out")
    verb.add_argument("--dataset", type=Path, required=True, help="prepared dataset")
    verb.add_argument("--counts", type=Path, required=True, help="one-hot counts file")
    verb.add_argument("--output", type=Path, required=True, help="selection to write (.npz)")

    verb = _rule_verb(
        verbs, "removal", _removal, "compare the test accuracy without memorised and without other examples"
    )
    verb.add_argument("--dataset", type=Path, required=True, help="prepared dataset")
    verb.add_argument("--hazards", type=Path, required=True, help="its table of duplicates")
    verb.add_argument("--removed", type=Path, required=True, help="which examples were left out (.npz)")
    for arm in ARMS:
        verb.add_argument(
            f"--{arm}", type=Path, nargs="+", required=True, help="blocks of the arm, in the order of seeds"
        )
    verb.add_argument("--output", type=Path, required=True, help="table to write (.csv)")

    verb = _rule_verb(verbs, "browse", _browse, "write the browser of all examples, a page that opens from disk")
    verb.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    verb.add_argument("--page", type=Path, required=True, help="index.html of the sources, beside the others")
    verb.add_argument("--output", type=Path, required=True, help="page to write (.html); what it loads goes beside it")

    verb = _rule_verb(verbs, "report", _report, "write the report of a finished study, one HTML file")
    verb.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    verb.add_argument("--template", type=Path, required=True, help="Jinja2 template of the page")
    verb.add_argument("--captions", type=Path, nargs="+", required=True, help="one text file per figure of the spec")
    verb.add_argument("--output", type=Path, required=True, help="HTML file to write")
    return parser


def _rule_verb(verbs, name: str, run, explanation: str) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
    verb = add_verb(verbs, name, run, explanation, EXPLAIN_RULE_VERB)
    verb.add_argument("--spec", type=json.loads, required=True, help="what determines the output, as JSON")
    verb.add_argument("--log", type=Path, help="also write progress and errors to this file")
    return verb


def _of_runs(verb: argparse.ArgumentParser) -> None:
    """Options of a stage that reads blocks beside the counts that were merged from them."""
    verb.add_argument("--dataset", type=Path, required=True, help="prepared dataset")
    verb.add_argument("--counts", type=Path, required=True, help="counts file")
    verb.add_argument("--blocks", type=Path, nargs="+", required=True, help="its blocks, in the order of their seeds")
    verb.add_argument("--output", type=Path, required=True, help="table to write (.parquet); others go beside it")


def _config(arguments: argparse.Namespace) -> None:
    if arguments.reference:
        from memflow import reference

        print(reference.markdown(), end="")
        return
    study = config.Study(config.read(arguments.file))
    print(config.as_yaml(study.config), end="")


def _plan(arguments: argparse.Namespace) -> None:
    from memflow import costs, plan

    study = config.Study(config.read(arguments.configfile or arguments.file))
    print(plan.run(study, Path("results", study.name), costs.TABLE, arguments.half_width, arguments.probe))


def _status(arguments: argparse.Namespace) -> None:
    from memflow import status

    study = config.Study(config.read(arguments.file))
    print(status.describe(study, Path.cwd(), ask_queue=not arguments.no_queue))


def _clean(arguments: argparse.Namespace) -> None:
    from memflow import clean

    study = config.Study(config.read(arguments.file))
    print(clean.weights(study, Path("results", study.name), arguments.dry_run))


def _summary(arguments: argparse.Namespace) -> None:
    from memflow import findings, uncommitted

    tables = arguments.folder.glob("figures/*/mean_memorisation.csv")
    print(uncommitted.marked(findings.describe(arguments.folder), *tables))


def _claims(arguments: argparse.Namespace) -> None:
    from memflow import uncommitted
    from memflow.claims import card

    print(uncommitted.marked(card.describe(card.read(arguments.folder)), arguments.folder / "claims.csv"))


def _show(arguments: argparse.Namespace) -> None:
    from memflow import show

    example = show.find(arguments.results, arguments.dataset, arguments.index)
    if arguments.save:
        show.save(example, arguments.save)
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    print(show.describe(example, colour=not plain))


def _suspects(arguments: argparse.Namespace) -> None:
    from memflow import open_study, suspects, uncommitted

    study = open_study(arguments.results)
    chosen = {key: getattr(arguments, key) for key in ("architecture", "method", "family", "by")}
    found = suspects.table(study, arguments.dataset, **chosen)
    if arguments.save:
        suspects.save(study, found, arguments.save, {"dataset": arguments.dataset, **chosen})
    names = study.dataset(arguments.dataset).class_names
    print(uncommitted.marked(suspects.describe(found, names, arguments.top), *study.read))


def _prepare(arguments: argparse.Namespace) -> None:
    from memflow.data import prepare

    config.check_code(arguments.spec)
    prepare.run(arguments.spec, arguments.output)


def _train(arguments: argparse.Namespace) -> None:
    from memflow.training import blocks

    config.check_code(arguments.spec)
    blocks.run(
        arguments.spec,
        arguments.dataset,
        arguments.output,
        arguments.checkpoint_minutes,
        teachers=arguments.teachers,
        removed=arguments.removed[0] if arguments.removed else None,
        keep=arguments.keep_weights,
    )


def _epoch_list(text: str) -> list[int]:
    return [] if text == "none" else [int(epoch) for epoch in text.split(",")]


def _count(arguments: argparse.Namespace) -> None:
    from memflow import counts, provenance

    config.check_code(arguments.spec)
    weights = [provenance.described_by(sidecar) for sidecar in arguments.teachers]
    counts.run(arguments.spec, arguments.dataset, arguments.blocks, arguments.output, weights)


def _score(arguments: argparse.Namespace) -> None:
    from memflow import scores

    config.check_code(arguments.spec)
    scores.run(arguments.spec, arguments.counts, arguments.output)


def _classify(arguments: argparse.Namespace) -> None:
    from memflow import trajectories

    config.check_code(arguments.spec)
    trajectories.run(arguments.spec, arguments.counts, arguments.output)


def _distil(arguments: argparse.Namespace) -> None:
    from memflow import distillation

    config.check_code(arguments.spec)
    teacher = arguments.teacher[0] if arguments.teacher else None
    distillation.run(arguments.spec, arguments.counts, arguments.distilled, teacher, arguments.output)


def _proxies(arguments: argparse.Namespace) -> None:
    from memflow import proxies

    config.check_code(arguments.spec)
    proxies.run(arguments.spec, arguments.dataset, arguments.blocks, arguments.counts, arguments.output)


def _epochs(arguments: argparse.Namespace) -> None:
    from memflow import epochs

    config.check_code(arguments.spec)
    epochs.run(arguments.spec, arguments.dataset, arguments.counts, arguments.blocks, arguments.output)


def _transitions(arguments: argparse.Namespace) -> None:
    from memflow import transitions

    config.check_code(arguments.spec)
    transitions.run(arguments.spec, arguments.counts, arguments.output)


def _sensitivity(arguments: argparse.Namespace) -> None:
    from memflow import sensitivity

    config.check_code(arguments.spec)
    sensitivity.run(arguments.spec, arguments.counts, arguments.output)


def _influence(arguments: argparse.Namespace) -> None:
    from memflow import influence

    config.check_code(arguments.spec)
    inputs = arguments.dataset, arguments.counts, arguments.blocks
    influence.run(arguments.spec, *inputs, arguments.output, arguments.threads)


def _privacy(arguments: argparse.Namespace) -> None:
    from memflow import privacy

    config.check_code(arguments.spec)
    privacy.run(arguments.spec, arguments.dataset, arguments.counts, arguments.blocks, arguments.output)


def _browse(arguments: argparse.Namespace) -> None:
    from memflow.browser import stage

    config.check_code(arguments.spec)
    stage.run(arguments.spec, arguments.results, arguments.page.parent, arguments.output)


def _judge(arguments: argparse.Namespace) -> None:
    from memflow.claims import card

    config.check_code(arguments.spec)
    card.run(arguments.spec, arguments.results, arguments.output)


def _select(arguments: argparse.Namespace) -> None:
    from memflow import selection

    config.check_code(arguments.spec)
    selection.run(arguments.spec, arguments.dataset, arguments.counts, arguments.output)


def _removal(arguments: argparse.Namespace) -> None:
    from memflow import removal

    config.check_code(arguments.spec)
    blocks = {arm: getattr(arguments, arm) for arm in ARMS}
    removal.run(arguments.spec, arguments.dataset, arguments.hazards, arguments.removed, blocks, arguments.output)


def _report(arguments: argparse.Namespace) -> None:
    from memflow import report

    config.check_code(arguments.spec)
    report.run(arguments.spec, arguments.results, arguments.template, arguments.captions, arguments.output)
