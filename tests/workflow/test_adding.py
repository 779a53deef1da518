"""docs/adding.md, applied to a clone as it stands on the page, and run."""

import re
import textwrap

import pandas as pd
import pytest
from clones import PROJECT

SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (PROJECT / "docs/adding.md").read_text(), re.M | re.S))
RESULTS = "results/tiny"
LAST = dict.fromkeys(("claims", "browser", "audit", "report"), 1)


@pytest.fixture
def page(clone):
    """The code of a section, block by block, as it would be typed; and the clone to type it into."""

    def blocks(section):
        found = re.findall(r"^ *```\w+\n(.*?)^ *```$", SECTIONS[section], re.M | re.S)
        return [textwrap.dedent(block) for block in found]

    return clone, blocks


def test_a_network_of_your_own(page):
    clone, blocks = page
    module, entry, recipe = blocks("A network of your own, without touching memflow")
    (clone.root / "my_nets.py").write_text(module)
    clone.edit("studies/tiny.yaml", "architectures:\n", f"architectures:\n{indented(entry, 2)}")
    clone.edit("studies/tiny.yaml", "recipes:\n", f"recipes:\n{indented(recipe, 2)}")
    assert clone.planned() == {"train": 2, "count": 1, "score": 1, "epochs": 1} | LAST
    table = scores_of(clone, "digits-noisy/mine")
    assert table["memorisation"].notna().all()
    made = f"{RESULTS}/scores/digits-noisy/mine/one-hot.parquet"
    clone.edit("my_nets.py", "Networks of my own.", "My networks.")
    assert clone.planned("--", made) == {}
    clone.edit("my_nets.py", "nn.Dropout(0.5)", "nn.Dropout(0.4)")
    assert clone.planned("--", made) == {"train": 2, "count": 1, "score": 1}


def test_a_dataset(page):
    clone, blocks = page
    module, entry, schema, config = blocks("A dataset")
    (clone.root / "src/memflow/data/stripes.py").write_text(module)
    add_line(clone, "src/memflow/registry.py", "DATASETS = {", entry)
    add_form(clone, "digits", schema)
    clone.edit("studies/tiny.yaml", "datasets:\n", f"datasets:\n{indented(config, 2)}")
    assert clone.planned() == {
        "prepare": 1, "train": 6, "count": 3, "score": 3, "epochs": 3, "classify": 1, "transitions": 1,
        "sensitivity": 1, **LAST, **dict.fromkeys(figures(clone), 1),
    }  # fmt: skip
    table = scores_of(clone, "stripes/nearest-neighbour")
    assert len(table) == 200


def test_an_architecture(page):
    clone, blocks = page
    module, entry, schema, config = blocks("An architecture")
    (clone.root / "src/memflow/models/pooled.py").write_text(module)
    add_line(clone, "src/memflow/registry.py", "FUSED = {", entry)
    add_form(clone, "cifar-resnet", schema)
    clone.edit("studies/tiny.yaml", "architectures:\n", f"architectures:\n{indented(config, 2)}")
    assert clone.planned() == {"train": 2, "count": 1, "score": 1, "epochs": 1} | LAST
    table = scores_of(clone, "digits-noisy/pooled")
    assert table["memorisation"].notna().all()
    probed = clone.run("memflow", "plan", "studies/tiny.yaml", "--probe")
    assert re.search(r"pooled +8 .* s ", probed.stdout), probed.stdout + probed.stderr


def test_a_figure(page):
    clone, blocks = page
    module, script, rule = blocks("A figure")
    (clone.root / "src/memflow/figures/test_accuracy.py").write_text(module)
    (clone.root / "workflow/scripts/test_accuracy.py").write_text(script)
    (clone.root / "workflow/report/test_accuracy.rst").write_text("Accuracy on the test split.")
    rules = clone.root / "workflow/rules/figures.smk"
    rules.write_text(f"{rules.read_text()}\n\n{rule}")
    clone.edit("src/memflow/outputs.py", '"score_distribution", ', '"score_distribution", "test_accuracy", ')
    assert clone.planned() == {"test_accuracy": 1, "audit": 1, "report": 1}
    done = clone.snakemake()
    assert done.returncode == 0, done.stderr
    assert (clone.root / RESULTS / "figures/digits-noisy/test_accuracy.pdf").stat().st_size > 1000
    assert "Accuracy on the test split." in (clone.root / RESULTS / "report/report.html").read_text()


def add_line(clone, file, after, line):
    text = (clone.root / file).read_text()
    start = re.search(re.escape(after), text)
    assert start, after
    clone.edit(file, after, f"{after}\n    {line.strip()}\n   ")


def add_form(clone, first, schema):
    """Put a form before the first one of the schema's choice."""
    start = f"      oneOf:\n        - type: object\n          title: {first}\n"
    text = start.replace("oneOf:\n", f"oneOf:\n{indented(schema, 8)}")
    clone.edit("workflow/schemas/config.schema.yaml", start, text)


def indented(text, spaces):
    return textwrap.indent(textwrap.dedent(text), " " * spaces)


def figures(clone):
    """Rules of those of a dataset without noise, students, proxies and membership inference."""
    names = [path.stem for path in (clone.root / "workflow/scripts").glob("*.py")]
    others = ("distillation_", "teacher_", "proxy_", "artificial_", "memorisation_vs_")
    as_rules = {name: f"{name}_figure" for name in ("transitions", "sensitivity")}  # the stages have the plain names
    return sorted(as_rules.get(name, name) for name in names if not name.startswith(others))


def scores_of(clone, name):
    path = f"{RESULTS}/scores/{name}/one-hot.parquet"
    done = clone.snakemake("--quiet", "all", "--", path)
    assert done.returncode == 0, done.stderr
    return pd.read_parquet(clone.root / path)
