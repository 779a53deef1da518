"""docs/config.md is what the generator writes, and leaves out nothing of the schema; the glossary lacks no column."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator

from memflow import cli, reference, scores, summary, trajectories
from memflow.config import Study
from memflow.validation import SCHEMA

PAGE = SCHEMA.parents[2] / "docs" / "config.md"
GLOSSARY = PAGE.with_name("glossary.md")
SHOWN = {"type", "title", "description", "default", "enum", "const", "required", "properties", "additionalProperties"}
SHOWN |= {"propertyNames", "items", "oneOf", "$ref", *reference.LIMITS}


def schemas(schema):
    """A schema and every schema inside it."""
    yield schema
    inner = [schema.get("items"), schema.get("additionalProperties"), schema.get("propertyNames")]
    inner += [*schema.get("oneOf", []), *schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    for part in inner:
        if isinstance(part, dict):
            yield from schemas(part)


def shared(forms):
    """Keys that all forms of an object have alike."""
    first, *others = [form.get("properties", {}) for form in forms]
    return [key for key, entry in first.items() if all(form.get(key) == entry for form in others)]


def resolve(schema, defs):
    return {**defs[schema["$ref"].removeprefix("#/$defs/")], **schema} if "$ref" in schema else schema


def rows(text):
    """The tables' rows, each with the heading it stands under."""
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| `"):
            yield heading, [cell.strip() for cell in line.strip("| ").split(" | ")]


ROOT = yaml.safe_load(SCHEMA.read_text())
PARTS = {id(schema): schema for schema in schemas(ROOT)}.values()  # an alias stands for the same part
OBJECTS = [schema for schema in PARTS if "properties" in schema]
KEYS = [(key, resolve(entry, ROOT["$defs"]), o) for o in OBJECTS for key, entry in o["properties"].items()]


def test_the_page_is_what_the_generator_writes():
    assert PAGE.read_text() == reference.markdown(), "the schema changed: make docs"


def test_the_verb_prints_the_page(capsys):
    cli.main(["config", "--reference"])
    assert capsys.readouterr().out == reference.markdown()


def test_there_is_one_row_per_key_of_the_schema_and_one_of_what_all_forms_share():
    expected = Counter(f"`{key}`" for key, _, _ in KEYS)
    for forms in [schema["oneOf"] for schema in PARTS if "oneOf" in schema]:
        expected.subtract({f"`{key}`": len(forms) - 1 for key in shared(forms)})
    assert Counter(cells[0] for _, cells in rows(reference.markdown())) == expected


@pytest.mark.parametrize(("key", "entry", "parent"), KEYS, ids=[key for key, _, _ in KEYS])
def test_every_key_has_its_default_and_its_description(key, entry, parent):
    if key in parent.get("required", []):
        default = "*required*"
    elif "default" in entry:
        default = str(entry["default"]).replace("False", "false").replace("True", "true")
    else:
        default = "–"
    described = [
        (cells[2].strip("`"), cells[3].replace("\\", ""))
        for _, cells in rows(reference.markdown())
        if cells[0] == f"`{key}`"
    ]
    assert (default, entry["description"]) in described


@pytest.mark.parametrize(
    ("heading", "key", "value"),
    [
        ("Top level", "memorised_at", "number, above 0, at most 1"),
        ("Top level", "design", "`balanced` or `iid`"),
        ("Top level", "ratio", "text, matching `^[0-9]+/[1-9][0-9]*$`; or number, above 0, below 1"),
        ("Top level", "datasets", "by name: [`datasets.<name>`](#datasetsname); at least 1 of them"),
        ("Every `datasets.<name>` also has", "augment", "`true` or `false`"),
        (
            "Every `datasets.<name>` also has",
            "label_noise",
            "keys: [`datasets.<name>.label_noise`](#datasetsnamelabel_noise)",
        ),
        ("`source: parquet`", "train", "text, or a list, each: text"),
        ("`datasets.<name>.subset`", "classes", "list, each: text or integer; at least 2 of them; no two the same"),
        ("`model: vit`", "pretraining_overlap", "`yes` or `unknown` or `no`"),
        ("`recipes.<name>`", "schedule", "one of: [`recipes.<name>.schedule`](#recipesnameschedule)"),
        ("`shape: step`", "milestones", "list, each: number, at least 0"),
        ("`shape: cosine`", "warmup_epochs", "number, at least 0"),
        ("`model: mlp`", "model", "`mlp`"),
        ("`families.<name>`", "architectures", "list, each: text; at least 2 of them; no two the same"),
    ],
)
def test_values_are_said_in_words(heading, key, value):
    assert {(under, *cells[:2]) for under, cells in rows(reference.markdown())} >= {(heading, f"`{key}`", value)}


def test_every_form_of_a_choice_has_its_section():
    titles = [schema["title"] for schema in schemas(ROOT) if "const" in str(schema) and "title" in schema]
    headings = [line for line in reference.markdown().splitlines() if line.startswith("###")]
    forms = [title for title in titles if title != ROOT["title"]]
    assert len(forms) >= 6
    assert [form for form in forms if not any(line.endswith(f": {form}`") for line in headings)] == []


def test_every_link_has_its_heading():
    text = reference.markdown()
    headings = {line.lstrip("# ").strip("`") for line in text.splitlines() if line.startswith("#")}
    targets = {part.partition("`")[0] for part in text.split("[`")[1:]}
    assert targets <= headings
    assert len(targets) >= 7


def test_the_schema_uses_no_keyword_that_the_page_leaves_out():
    Draft202012Validator.check_schema(ROOT)
    used = {keyword for schema in schemas(ROOT) for keyword in schema} - {"$schema", "$defs"}
    assert used <= SHOWN


def test_the_example_is_a_valid_study():
    block = reference.markdown().partition("```yaml\n")[2].partition("```")[0]
    assert Study(yaml.safe_load(block)).name == "tiny"


def test_the_pages_relative_links_exist():
    assert "](../workflow/schemas/config.schema.yaml)" in reference.markdown()
    assert Path(PAGE.parent / "../workflow/schemas/config.schema.yaml").is_file()


def test_the_glossary_is_in_alphabetical_order():
    terms = re.findall(r"^- \*\*(.+?)\*\*: ", GLOSSARY.read_text(), flags=re.MULTILINE)
    assert len(terms) == len(re.findall("^- ", GLOSSARY.read_text(), flags=re.MULTILINE)) > 60
    assert terms == sorted(terms, key=str.lower)


def test_the_glossary_knows_every_column_and_every_statistic(simulate):
    sizes = {"small": simulate(np.full(20, 0.9), 0.4, seed=1), "large": simulate(np.full(20, 1.0), 0.4, seed=2)}
    names = {*scores.score_table(sizes["small"], 0.95)}
    names |= {*trajectories.example_table(sizes, tau=0.15, fdr=0.05, confidence=0.95)} - {*sizes}
    names |= {*summary.MEANS, *summary.THRESHOLDED, "acc_test", "_corrected"}
    assert sorted(name for name in names if f"`{name}`" not in GLOSSARY.read_text()) == []


def test_the_glossarys_links_exist():
    links = re.findall(r"\]\((.+?)\)", GLOSSARY.read_text())
    assert len(links) >= 2
    assert [link for link in links if not (GLOSSARY.parent / link).is_file()] == []
