"""Verbs of the command line, each with a help that teaches."""

import argparse


def add_verb(verbs, name: str, run, explanation: str, epilog: str = "") -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
    """Add a verb to a command: what runs it, one sentence that explains it, and what ``--help`` says below."""
    verb = verbs.add_parser(
        name,
        help=explanation,
        description=f"{explanation[0].upper()}{explanation[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run, log=None)
    return verb
