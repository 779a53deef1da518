"""Which functions changed between a commit and the code as it is now, by their syntax trees.

Where git or the commit is not at hand (an unpacked archive, a shallow clone), nothing is said rather than guessed.
"""

import ast
import functools
import subprocess

from memflow import digest

ROOT = digest.ROOT.parents[1]
TOP = "module level"


def explain(commit: str | None, targets: list[str]) -> list[str]:
    """What changed in the code that some targets run, since a commit.

    Parameters
    ----------
    commit : str or None
    targets : list of str
        As for :func:`memflow.digest.digest`.

    Returns
    -------
    list of str
        Such as ``"src/memflow/scores.py: split_half, score_table"``; empty where that cannot be told.
    """
    changed = []
    for path in map(digest.path, digest.closure(*targets)):
        if not path.is_relative_to(ROOT):
            continue  # a user's own module, installed elsewhere
        name = path.relative_to(ROOT).as_posix()
        then = source_at(commit, name) if commit else None
        if then is not None and (functions := changed_functions(then, path.read_text(encoding="utf-8"))):
            changed.append(f"{name}: {', '.join(functions)}")
    return changed


@functools.cache
def source_at(commit: str, name: str) -> str | None:
    """A file of the project (its path from the root) as it was at a commit; None if it was not, or nobody knows."""
    try:
        shown = subprocess.run(["git", "-C", str(ROOT), "show", f"{commit}:{name}"], capture_output=True, check=False)
    except OSError:
        return None
    return shown.stdout.decode() if shown.returncode == 0 else None


@functools.cache
def changed_functions(old: str, new: str) -> list[str]:
    """Functions, methods, and ``module level`` that differ between two sources, whatever their comments and docstrings.

    Those that only one of them has differ, too.
    """
    then, now = _parts(old), _parts(new)
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def _parts(source: str) -> dict[str, str]:
    """Syntax trees by name of function or method; all that stands outside of them as one."""
    parts: dict[str, str] = {}
    outside = []
    for node in digest.without_docstrings(ast.parse(source)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts[node.name] = ast.dump(node)
        elif isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            parts |= {f"{node.name}.{method.name}": ast.dump(method) for method in methods}
            node.body = [part for part in node.body if part not in methods]
            parts[node.name] = ast.dump(node)
        else:
            outside.append(ast.dump(node))
    return parts | {TOP: "\n".join(outside)}
