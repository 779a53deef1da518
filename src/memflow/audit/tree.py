"""An ancestry as text: the sentence with a tree, a graph for Mermaid or DOT, JSON."""

import json
from collections.abc import Iterator

from memflow.audit.trace import Found


def describe(found: Found) -> str:
    """The sentence, the warnings and the tree, for a terminal."""
    lines = [found["sentence"], *(f"warning: {warning}" for warning in found["warnings"]), ""]
    jobs = {name: job for job in found["jobs"] for name in job["outputs"]}
    shown: set[str] = set()
    for target in found["target"]:
        lines += [target, *_branches(target, jobs, shown, "")]
    return "\n".join(lines)


def as_json(found: Found) -> str:
    """All of it."""
    return json.dumps(found, indent=1, sort_keys=True)


def as_graph(found: Found, language: str) -> str:
    """The graph of jobs for Mermaid or DOT, the blocks of one architecture and method as one node."""
    made_by = {name: _node(min(job["outputs"], key=len)) for job in found["jobs"] for name in job["outputs"]}
    edges = dict.fromkeys(
        (made_by.get(path, path), made_by[min(job["outputs"], key=len)])
        for job in found["jobs"]
        for path in job["inputs"]
    )
    number = {name: f"n{at}" for at, name in enumerate(dict.fromkeys(name for edge in edges for name in edge))}
    if language == "dot":
        nodes = [f'  {at} [label="{name}", shape=box];' for name, at in number.items()]
        arrows = [f"  {number[start]} -> {number[end]};" for start, end in edges]
        return "\n".join(["digraph {", "  rankdir=LR;", *nodes, *arrows, "}"])
    nodes = [f'  {at}["{name}"]' for name, at in number.items()]
    return "\n".join(["graph LR", *nodes, *(f"  {number[start]} --> {number[end]}" for start, end in edges)])


def _branches(name: str, jobs: dict[str, Found], shown: set[str], indent: str) -> Iterator[str]:
    """Lines of the tree below a file; what was shown before is not shown again."""
    inputs = jobs[name]["inputs"] if name in jobs else {}
    together: dict[str, list[str]] = {}
    for path in inputs:
        together.setdefault(_node(path), []).append(path)
    for at, (node, paths) in enumerate(together.items(), 1):
        last = at == len(together)
        known = node in shown
        shown.add(node)
        below = any(path in jobs and jobs[path]["inputs"] for path in paths)
        yield f"{indent}{'└─' if last else '├─'} {_label(node, paths, jobs)}{' (above)' if known and below else ''}"
        if not known:
            yield from _branches(paths[0], jobs, shown, indent + ("   " if last else "│  "))


def _node(path: str) -> str:
    """Blocks of one architecture and method, and their teachers' weights, stand together."""
    if not path.startswith("runs/"):
        return path
    folder, _, file = path.rpartition("/")
    return f"{folder}/block-*{file[file.index('.') :]}"


def _label(node: str, paths: list[str], jobs: dict[str, Found]) -> str:
    if len(paths) == 1:
        digest = next((job["outputs"][paths[0]] for job in [jobs.get(paths[0])] if job), None)
        return f"{paths[0]}  {digest[:12] if digest else 'no record'}"
    return f"{node}  {len(paths):,} blocks"
