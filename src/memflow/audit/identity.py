"""How the identities of two results differ: what they are a function of, in words."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from memflow import provenance
from memflow.audit import code

LONGEST = 160  # letters of a difference


def differences(a: Mapping[str, Any], b: Mapping[str, Any], changed_code: list[str]) -> list[str]:
    """Where two definitions differ.

    Parameters
    ----------
    a, b : mapping
        Specs, or the definitions of records.
    changed_code : list of str
        From :func:`changed_code`, said in place of the digests if it is not empty.

    Returns
    -------
    list of str
        Such as ``"recipe.epochs: 2 in A, 3 in B"``.
    """
    lines = []
    for difference in provenance.differences(_plain(a), _plain(b)):
        key = difference.partition(" is ")[0]
        if key == "code" and changed_code:
            lines.append(f"code: {'; '.join(changed_code)}")
        elif key.endswith(".code"):
            lines.append(f"the code of its {key.removesuffix('.code')}")
        else:
            lines.append(sided(difference))
    return lines


def sided(difference: str) -> str:
    """A difference between A and B, from :func:`memflow.provenance.differences`."""
    key, _, values = difference.partition(" is ")
    here, _, there = values.partition(", expected ")
    text = f"{key}: {here} in A, {there} in B".replace("'missing' in", "missing in")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def changed_code(
    a: Mapping[str, str], b: Mapping[str, str], commit_a: str | None = None, commit_b: str | None = None
) -> list[str]:
    """Modules that are not the same, with their functions where both commits are at hand.

    Parameters
    ----------
    a, b : mapping of str to str
        By module the hash of its syntax tree, from :func:`memflow.digest.modules`.
    commit_a, commit_b : str, optional
        That hold this code.

    Returns
    -------
    list of str
        Such as ``"memflow.scores (split_half, score_table)"``; empty if the modules are not known of both.
    """
    if not a or not b:
        return []
    lines = []
    for module in sorted(a.keys() | b.keys()):
        if module not in a or module not in b:
            lines.append(f"{module} (only in {'A' if module in a else 'B'})")
        elif a[module] != b[module]:
            functions = _functions(module, commit_a, commit_b)
            lines.append(f"{module} ({', '.join(functions)})" if functions else module)
    return lines


def _functions(module: str, commit_a: str | None, commit_b: str | None) -> list[str]:
    then, now = (_source(module, commit) if commit else None for commit in (commit_a, commit_b))
    return [] if then is None or now is None else code.changed_functions(then, now)


def _source(module: str, commit: str) -> str | None:
    """A module, or a script, as it was at a commit."""
    if module.endswith(".py"):
        return code.source_at(commit, module)
    base = f"src/{module.replace('.', '/')}"
    found = (code.source_at(commit, file) for file in (f"{base}.py", f"{base}/__init__.py"))
    return next((source for source in found if source is not None), None)


def _plain(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition as it comes back from JSON; the report's config, which is text, key by key."""
    plain: dict[str, Any] = json.loads(json.dumps(definition))
    return {**plain, "config": yaml.safe_load(plain["config"])} if isinstance(plain.get("config"), str) else plain
