"""The verbs of ``memflow audit``; none of those that only read imports torch or Snakemake."""

import argparse
import sys
from pathlib import Path

from memflow.commandline import add_verb

EXPLAIN = """\
Where did this number come from, is it still true, can it be made again? Beside each output of a study lies a sidecar
(<output>.prov.json) that says what it was made from. The audit reads these, and holds them against the files, the
config and the code as they are now. A walk-through: docs/audit.md.

  memflow audit status                                    the default study: what is true of what the config says now
  memflow audit trace results/digits/figures/digits/mean_memorisation.pdf
  memflow audit verify --all --results results/digits
"""

EXPLAIN_STATUS = """\
fresh         made from what config, code and inputs are now
stale-code    made by code that has changed since; the reason names the functions where the old commit is at hand
stale-config  made with another value of a key of the config
stale-input   made from another file than the one that lies there now, or from one that is itself not fresh
tampered      not the file that its sidecar describes: edited, truncated or swapped
no-record     without a readable sidecar: nothing is known of it
missing       not there

Exit status 1 unless all are fresh. Files over 1 MB are read again only if they changed after their sidecar was written;
`memflow audit verify` reads everything.
"""

EXPLAIN_VERIFY = """\
Reads every file again and compares it with its sidecar and with what was made from it; derives the subsets anew from
the seeds; counts blocks again, and turns counts into scores again. Exit status 1 if anything does not agree.
"""

EXPLAIN_RERUN = """\
A run is named by its block and its seed:
  memflow audit rerun results/digits/runs/digits/resnet8-w4/one-hot/block-0.npz --seed 17

Nothing in the results is touched. A student is trained after its teacher, from the weights that this gives. Exit
status 1 unless the run has the bits that were recorded (or, with --tolerance, lies within it).
"""

EXPLAIN_ACCEPT = """\
After a change of code that should change no result, such as a tidied training loop. Runs that the old code made are
trained again with the new one, at least one of every kind that it concerns, and the cheap stages are made anew, in a
scratch folder. If all bits are the same, accepted.json says from then on that the two versions are one, and nothing is
stale any more. Commit that file with the change.
"""

EXPLAIN_DIFF = """\
A and B are both files of results, folders results/<study>, or commits (then --configfile names the study).
"""

EXPLAIN_EXPORT = """\
Writes a Workflow Run RO-Crate: workflow, config, code version, every job with its inputs and outputs, figures, tables
and licences, as one zip. --bundle adds the files themselves, with which `memflow audit verify` works in a fresh clone.
"""


def add(verb: argparse.ArgumentParser) -> None:
    """Give ``memflow audit`` its verbs."""
    verbs = verb.add_subparsers(dest="audit_verb", required=True, metavar="VERB")

    status = add_verb(
        verbs, "status", _status, "say which figures and tables are still true, and why not", EXPLAIN_STATUS
    )
    _targets(status)
    status.add_argument("--all", action="store_true", help="list the fresh ones, too")

    trace = add_verb(verbs, "trace", _trace, "say where a file came from, as a sentence and a tree")
    trace.add_argument("target", type=Path, metavar="TARGET", help="a file of results/<study>")
    trace.add_argument("--results", type=Path, help="folder of the study's results, if not results/<study>")
    form = trace.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print all of it as JSON")
    form.add_argument("--graph", choices=("mermaid", "dot"), help="print the graph of jobs instead")

    verify = add_verb(verbs, "verify", _verify, "read everything again, derive it again, compare", EXPLAIN_VERIFY)
    _targets(verify)
    verify.add_argument("--all", action="store_true", help="everything in the results (the default without TARGET)")
    verify.add_argument(
        "--sample", type=_sample, default=3, metavar="N|all", help="blocks to count again, of each merge; default: 3"
    )
    verify.add_argument("--workers", type=int, metavar="N", help="files read at once; default: number of processors")

    rerun = add_verb(verbs, "rerun", _rerun, "train one recorded run again, and compare the bits", EXPLAIN_RERUN)
    rerun.add_argument("block", type=Path, metavar="BLOCK", help="block of the run")
    rerun.add_argument("--seed", type=int, help="of the run; default: the first of the block")
    rerun.add_argument("--results", type=Path, help="folder of the study's results, if not results/<study>")
    rerun.add_argument(
        "--tolerance", type=float, default=0.0, metavar="X",
        help="share of an example's predictions, and log-odds, that may differ; default: 0, every bit",
    )  # fmt: skip

    accept = add_verb(
        verbs, "accept", _accept, "show that changed code gives the same bits, and record it", EXPLAIN_ACCEPT
    )
    _study(accept)
    accept.add_argument("--sample", type=int, default=3, metavar="N", help="runs to train again; default: 3")

    diff = add_verb(verbs, "diff", _diff, "say what differs between two results, studies or commits", EXPLAIN_DIFF)
    diff.add_argument("a", metavar="A")
    diff.add_argument("b", metavar="B")
    diff.add_argument(
        "--configfile", type=Path, metavar="FILE", help="study, to compare two commits; default: config.yaml"
    )

    export = add_verb(verbs, "export", _export, "write a study, or what a file came from, as RO-Crate", EXPLAIN_EXPORT)
    _targets(export)
    export.add_argument("--ro-crate", type=Path, required=True, metavar="OUT.zip", help="file to write")
    export.add_argument("--bundle", action="store_true", help="with the files that are needed to verify it offline")

    make = add_verb(verbs, "make", _make, "write results/<study>/audit.json; a rule of the workflow calls it")
    make.add_argument("--spec", type=str, required=True, help="what determines the output, as JSON")
    make.add_argument("--results", type=Path, required=True, help="folder of the study's results")
    make.add_argument("--output", type=Path, required=True, help="file to write (.json)")
    make.add_argument("--log", type=Path, help="also write progress and errors to this file")


def _study(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--configfile", type=Path, metavar="FILE", help="of the study; default: config.yaml")
    verb.add_argument("--results", type=Path, help="folder of the study's results, if not results/<study>")


def _targets(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("targets", type=Path, nargs="*", metavar="TARGET", help="files of results/<study>; default: all")
    _study(verb)


def _sample(text: str) -> int | None:
    return None if text == "all" else int(text)


def _status(arguments: argparse.Namespace) -> None:
    from memflow.audit import audited, states

    of = audited.find(arguments.targets, arguments.configfile, arguments.results)
    found = states.of_targets(of, arguments.targets)
    print(states.describe(of, found, everything=arguments.all))
    sys.exit(0 if all(state.is_fresh for state in found) else 1)


def _trace(arguments: argparse.Namespace) -> None:
    from memflow.audit import audited, trace, tree

    records = audited.records([arguments.target], arguments.results)
    found = trace.find(records, [records.name(arguments.target)])
    if arguments.json:
        print(tree.as_json(found))
    elif arguments.graph:
        print(tree.as_graph(found, arguments.graph))
    else:
        print(tree.describe(found))


def _verify(arguments: argparse.Namespace) -> None:
    from memflow.audit import audited, verify

    records = audited.records(arguments.targets, arguments.results, arguments.configfile)
    names = [records.name(target) for target in arguments.targets] or records.names()
    found = verify.run(records, names, sample=arguments.sample, workers=arguments.workers)
    print(verify.describe(found))
    sys.exit(1 if found.problems else 0)


def _rerun(arguments: argparse.Namespace) -> None:
    from memflow.audit import audited, rerun

    records = audited.records([arguments.block], arguments.results)
    found = rerun.run(records, records.name(arguments.block), arguments.seed)
    print(rerun.describe(found, arguments.tolerance))
    sys.exit(0 if found.within(arguments.tolerance) else 1)


def _accept(arguments: argparse.Namespace) -> None:
    from memflow.audit import accept, audited

    of = audited.find([], arguments.configfile, arguments.results)
    found = accept.run(of, arguments.sample)
    print(accept.describe(found))
    sys.exit(0 if found.is_accepted else 1)


def _diff(arguments: argparse.Namespace) -> None:
    from memflow.audit import diff

    print(diff.describe(arguments.a, arguments.b, arguments.configfile))


def _export(arguments: argparse.Namespace) -> None:
    from memflow.audit import audited, crate

    of = audited.find(arguments.targets, arguments.configfile, arguments.results)
    print(crate.write(of, arguments.targets, arguments.ro_crate, bundle=arguments.bundle))


def _make(arguments: argparse.Namespace) -> None:
    import json

    from memflow import config
    from memflow.audit import stage

    spec = json.loads(arguments.spec)
    config.check_code(spec)
    stage.run(spec, arguments.results, arguments.output)
