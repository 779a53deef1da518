"""Digest of the code that a stage runs, so that an edit makes its outputs stale and a comment does not.

Snakemake does not look inside an imported package. The digest covers the syntax trees, without docstrings, of a
module and of everything in memflow that it imports, directly or not, at the top or inside functions.
"""

import ast
import contextlib
import functools
import hashlib
from pathlib import Path

from memflow import registry
from memflow.errors import InputError

ROOT = Path(__file__).parent
PACKAGE = ROOT.name

# How a result is asked for, found, written down and talked about; none of it can change a result's content.
OUTSIDE = "accepted cli config digest errors files log methods progress provenance registry uncommitted validation"
BOUNDARY = frozenset({PACKAGE, *(f"{PACKAGE}.{name}" for name in OUTSIDE.split())})


class DigestError(InputError):
    """The imports of a module cannot be followed."""


def digest(*targets: str) -> str:
    """Digest of the import closure of some modules.

    Parameters
    ----------
    *targets : str
        ``"package.module"``, ``"package.module:function"``, or a script as a path from the root of the project. Of a
        module outside memflow (a user's own architecture) its own file is covered, not what else it imports.

    Returns
    -------
    str
        16 hex digits.

    Raises
    ------
    DigestError
        If a module cannot be found, or imports something inside memflow dynamically.
    """
    combined = hashlib.sha256()
    for module in closure(*targets):
        combined.update(f"{module} {_module(module)[0]}\n".encode())
    return combined.hexdigest()[:16]


def modules(*targets: str) -> dict[str, str]:
    """First 8 hex digits of the hash of each module that a digest covers, to tell later which of them changed."""
    return {module: _module(module)[0][:8] for module in closure(*targets)}


def closure(*targets: str) -> list[str]:
    """Sorted names of the modules that a digest covers."""
    pending = [target.partition(":")[0] for target in targets]
    found: set[str] = set()
    while pending:
        module = pending.pop()
        if module not in found and module not in BOUNDARY:
            found.add(module)
            pending.extend(_module(module)[1])
    return sorted(found)


def check_imports() -> None:
    """Look through every module for what the digest could not follow.

    Raises
    ------
    DigestError
        Naming the first dynamic import, and its line.
    """
    for file in sorted(ROOT.rglob("*.py")):
        name = ".".join((PACKAGE, *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        if name not in BOUNDARY:
            _module(name)


@functools.cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """Hash of one module's syntax tree, and the memflow modules it imports."""
    source = path(name)
    tree = ast.parse(source.read_text(encoding="utf-8"), filename=str(source))
    imports = tuple(sorted(_imports(tree, name, is_package=source.name == "__init__.py")))
    return hashlib.sha256(ast.dump(without_docstrings(tree)).encode()).hexdigest(), imports


def path(name: str) -> Path:
    """File of a module or script.

    Raises
    ------
    DigestError
        If there is none.
    """
    if name.endswith(".py"):
        if (ROOT.parents[1] / name).is_file():
            return ROOT.parents[1] / name
        raise DigestError(f"no script {name}")
    if name == PACKAGE or name.startswith(f"{PACKAGE}."):
        base = ROOT.parent.joinpath(*name.split("."))
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return file
    else:
        import importlib.util

        registry.find_users_modules()
        spec = None
        with contextlib.suppress(ModuleNotFoundError):  # of a parent package
            spec = importlib.util.find_spec(name)
        if spec and spec.origin and Path(spec.origin).is_file():
            return Path(spec.origin)
    raise DigestError(f"no module {name!r}: check the name, and that its folder is on PYTHONPATH")


def _imports(tree: ast.Module, name: str, is_package: bool) -> set[str]:
    """Memflow modules that a syntax tree imports, wherever the statement stands."""
    package = name if is_package else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            raise DigestError(
                f"{name}, line {node.lineno}: a dynamic import hides code from the digest; use the registry"
            )
    inside = {module for module in found if module == PACKAGE or module.startswith(f"{PACKAGE}.")}
    parents = {".".join(module.split(".")[:depth]) for module in inside for depth in range(1, module.count(".") + 1)}
    return {module for module in inside | parents if _is_module(module)}


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parent = package.split(".")
    parent = parent[: len(parent) - node.level + 1]
    return ".".join([*parent, node.module] if node.module else parent)


def _is_module(name: str) -> bool:
    base = ROOT.parent.joinpath(*name.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def without_docstrings(tree: ast.Module) -> ast.Module:
    """A syntax tree, changed in place, of which no docstring is left."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree
