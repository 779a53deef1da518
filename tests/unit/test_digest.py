import sys
import textwrap

import pytest

from memflow import digest as module
from memflow import registry
from memflow.config import Study
from memflow.digest import BOUNDARY, DigestError, closure, digest
from memflow.errors import InputError

RUNS = ("memflow.training.blocks", registry.SGD)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes files of a package ``fake`` that stands in the place of memflow."""
    monkeypatch.setattr(module, "ROOT", tmp_path / "src" / "fake")
    monkeypatch.setattr(module, "PACKAGE", "fake")
    monkeypatch.setattr(module, "BOUNDARY", frozenset({"fake", "fake.cli"}))

    def write_files(files):
        for name, content in files.items():
            path = tmp_path / "src" / "fake" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(content))
        module._module.cache_clear()

    write_files({"__init__.py": ""})
    yield write_files
    module._module.cache_clear()


BODY = '''
def double(x):
    """Twice."""
    return 2 * x
'''


@pytest.mark.parametrize(
    "edited",
    [
        BODY.replace("return", "# a remark\n    return"),
        BODY.replace('"""Twice."""', '"""Two times,\n    as a number."""'),
        BODY.replace('    """Twice."""\n', ""),
        '"""A module."""\n' + BODY,
        BODY.replace("    return", "\n\n    return"),
        BODY.replace("2 * x", "(2  *  x)"),
    ],
    ids=["comment", "docstring", "no docstring", "module docstring", "blank lines", "layout"],
)
def test_an_edit_that_changes_no_result_leaves_the_digest(write, edited):
    write({"a.py": BODY})
    before = digest("fake.a")
    write({"a.py": edited})
    assert digest("fake.a") == before


@pytest.mark.parametrize("edited", [BODY.replace("2 * x", "3 * x"), BODY.replace("(x)", "(x=1)"), BODY + "\nY = 1\n"])
def test_an_edit_of_the_code_changes_the_digest(write, edited):
    write({"a.py": BODY})
    before = digest("fake.a")
    write({"a.py": edited})
    assert digest("fake.a") != before


@pytest.mark.parametrize(
    "statement",
    [
        "import fake.deep.b",
        "import fake.deep.b as short",
        "from fake.deep import b",
        "from fake.deep.b import value",
        "from .deep import b",
        "from .deep.b import value",
        "from . import deep\nfrom .deep import b",
        "def later():\n    from fake.deep import b\n    return b",
        "class Lazy:\n    def method(self):\n        import fake.deep.b",
        "if False:\n    import fake.deep.b",
    ],
)
def test_the_closure_follows_every_form_of_import_and_the_packages_above(write, statement):
    write({"a.py": statement, "deep/__init__.py": "", "deep/b.py": "value = 1"})
    assert closure("fake.a") == ["fake.a", "fake.deep", "fake.deep.b"]
    before = digest("fake.a")
    write({"deep/b.py": "value = 2"})
    after = digest("fake.a")
    write({"deep/__init__.py": "import os"})
    assert len({before, after, digest("fake.a")}) == 3


def test_relative_imports_climb_from_modules_and_packages(write):
    write(
        {
            "deep/__init__.py": "from .inside import x",
            "deep/inside.py": "from ..above import x",
            "above.py": "from .deep.er import y",
            "deep/er/__init__.py": "from ..beside import z",
            "deep/beside.py": "",
        }
    )
    assert closure("fake.deep") == ["fake.above", "fake.deep", "fake.deep.beside", "fake.deep.er", "fake.deep.inside"]


def test_imports_in_a_circle_end(write):
    write({"a.py": "from fake import b", "b.py": "def f():\n    from fake import a"})
    assert closure("fake.a") == closure("fake.b") == ["fake.a", "fake.b"]


def test_names_imported_from_a_module_are_no_modules(write):
    write({"a.py": "from fake.b import b", "b.py": "def b(): pass"})
    assert closure("fake.a") == ["fake.a", "fake.b"]


@pytest.mark.parametrize(
    "statement", ["importlib.import_module('fake.b')", "import_module(name)", "x = __import__('fake.b')"]
)
def test_a_dynamic_import_is_refused_with_module_and_line(write, statement):
    write({"a.py": f"import importlib\n{statement}", "b.py": ""})
    with pytest.raises(DigestError, match=r"fake\.a, line 2: a dynamic import"):
        digest("fake.a")


def test_a_boundary_module_and_what_only_it_imports_are_outside(write):
    write({"a.py": "from fake import cli", "cli.py": "from fake import b", "b.py": "x = 1"})
    assert closure("fake.a") == ["fake.a"]
    before = digest("fake.a")
    write({"cli.py": "from fake import b\nx = 1", "b.py": "x = 2", "__init__.py": "x = 3"})
    assert digest("fake.a") == before


def test_a_new_module_that_nobody_imports_changes_no_digest(write):
    write({"a.py": "import fake.models", "models/__init__.py": ""})
    before = digest("fake.a")
    write({"models/new.py": "x = 1"})
    assert digest("fake.a") == before


def test_a_script_is_covered_with_what_it_imports(write, tmp_path):
    script = tmp_path / "workflow" / "draw.py"
    script.parent.mkdir()
    script.write_text("from fake import a")
    write({"a.py": "x = 1"})
    assert closure("workflow/draw.py") == ["fake.a", "workflow/draw.py"]
    before = digest("workflow/draw.py")
    write({"a.py": "x = 2"})
    assert digest("workflow/draw.py") != before


def test_a_users_own_module_is_covered_with_what_it_imports_from_the_package(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    mine = tmp_path / "my_networks.py"
    mine.write_text("from fake import a\nwidth = 1")
    write({"a.py": ""})
    assert closure("my_networks:build") == ["fake.a", "my_networks"]
    before = digest("my_networks:build")
    mine.write_text("from fake import a\nwidth = 2")
    module._module.cache_clear()
    assert digest("my_networks:build") != before


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    """A working folder that is not on Python's path, as where the installed command ``memflow`` is called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    loaded = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def test_a_users_module_in_the_working_folder_is_found_and_covered(working_folder):
    nets = working_folder / "nets_in_the_folder.py"
    nets.write_text("def build(shape, n):\n    return 'built', shape, n")
    assert registry.resolve("nets_in_the_folder:build")((1, 2, 3), 4) == ("built", (1, 2, 3), 4)
    before = digest("nets_in_the_folder:build")
    nets.write_text("def build(shape, n):\n    return 'other', shape, n")
    module._module.cache_clear()
    assert digest("nets_in_the_folder:build") != before


def test_an_installed_module_wins_over_one_of_its_name_in_the_working_folder(working_folder):
    (working_folder / "textwrap.py").write_text("")
    (working_folder / "memflow").mkdir()
    assert registry.resolve("textwrap:dedent") is textwrap.dedent
    assert registry.resolve("memflow.digest:digest") is digest


def test_a_function_that_a_users_module_lacks_is_named_with_the_file(working_folder):
    (working_folder / "nets_without_build.py").write_text("")
    with pytest.raises(InputError, match=r"'nets_without_build', .*/nets_without_build\.py, has no function 'build'"):
        registry.resolve("nets_without_build:build")


@pytest.mark.parametrize(
    "target",
    ["memflow.no_such_module", "no_such_module:build", "no_such_package.module:build"],
)
def test_a_module_that_does_not_exist_is_named(target):
    with pytest.raises(DigestError, match=target.partition(":")[0]):
        digest(target)


def test_a_script_that_does_not_exist_is_named():
    with pytest.raises(DigestError, match="no_such_script"):
        digest("workflow/scripts/no_such_script.py")


def test_no_import_of_the_project_hides_code_from_the_digest():
    module.check_imports()


def test_a_dynamic_import_anywhere_is_found(tmp_path, monkeypatch):
    (tmp_path / "memflow").mkdir()
    (tmp_path / "memflow/hidden.py").write_text("import importlib\nimportlib.import_module('memflow.rng')\n")
    monkeypatch.setattr(module, "ROOT", tmp_path / "memflow")
    with pytest.raises(DigestError, match=r"memflow\.hidden, line 2: a dynamic import hides code"):
        module.check_imports()


def test_the_boundary_is_exactly_the_modules_that_cannot_change_a_result():
    names = {"cli", "config", "digest", "errors", "files", "log", "methods", "progress", "provenance", "registry"}
    names |= {"accepted", "uncommitted", "validation"}
    assert {"memflow", *(f"memflow.{name}" for name in names)} == BOUNDARY
    assert all(module._is_module(name) for name in BOUNDARY)


def test_the_code_of_a_run_is_its_training_and_nothing_that_comes_after():
    covered = set(closure(*RUNS, "memflow.models.resnet:build"))
    training = {f"memflow.training.{name}" for name in ("blocks", "sgd", "batches", "schedules", "device", "outcomes")}
    assert training | {"memflow.subsets", "memflow.rng", "memflow.data.prepared", "memflow.models.fused"} <= covered
    later = (
        "memflow.counts",
        "memflow.scores",
        "memflow.summary",
        "memflow.figures",
        "memflow.statistics",
        "memflow.cli",
    )
    assert [name for name in covered if name.startswith(later)] == []


@pytest.mark.parametrize("target", registry.NETWORKS.values())
def test_a_network_is_in_nobody_elses_code(target):
    own = target.partition(":")[0]
    others = [other for other in registry.NETWORKS.values() if other != target]
    others += registry.LEARNERS.values()
    assert all(own not in closure(*RUNS, other) for other in others)
    assert own in closure(*RUNS, target)


def test_the_code_of_the_scores_contains_no_training_loop_and_no_figure():
    covered = closure("memflow.scores")
    assert "memflow.counts" in covered
    assert "memflow.statistics.proportions" in covered
    assert registry.SGD.partition(":")[0] not in covered
    assert not any(name.startswith("memflow.figures") for name in covered)


def test_each_spec_carries_the_digest_of_the_code_that_its_entry_names(tmp_path):
    from helpers import tiny_config

    study = Study(tiny_config())
    codes = {name: study.runs_spec("digits", name, "one-hot")["code"] for name in study.architectures}
    assert len(set(codes.values())) == 3
    assert codes["mlp"] == digest("memflow.training.blocks", registry.SGD, registry.NETWORKS["mlp"])
