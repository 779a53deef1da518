"""The reference of the config file, docs/config.md, made from the schema that configs are checked against."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from memflow.validation import SCHEMA

EXAMPLE = SCHEMA.parents[2] / "studies" / "tiny.yaml"
INTRODUCTION = """\
# The config file

A study is one YAML file. `config.yaml` is the default study; this one, `studies/tiny.yaml`, is small and
complete:

```yaml
{example}
```

`memflow config FILE` checks a file and prints it with every default filled in; unknown keys are refused. Below,
`<name>` stands for a name of your choice that matches `{names}`. Under Default, *required* marks a key that
must be there, and a dash one that may be absent.

This page is made from [workflow/schemas/config.schema.yaml](../workflow/schemas/config.schema.yaml) by `make docs`;
edit the schema, not the page.
"""
KINDS = {"string": "text", "boolean": "`true` or `false`", "object": "mapping"}
LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "pattern": "matching `{}`",
    "minItems": "at least {} of them",
    "minProperties": "at least {} of them",
    "uniqueItems": "no two the same",
}
Schema = dict[str, Any]


def markdown() -> str:
    """The reference: an example, then a table of keys for every object of the schema."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    example = EXAMPLE.read_text(encoding="utf-8").strip()
    defs = schema["$defs"]
    introduction = INTRODUCTION.format(example=example, names=defs["name"]["pattern"])
    sections = ["## Top level\n", *_table(schema, defs, ""), *_nested(schema, defs, "")]
    return "\n".join([introduction, *sections]).rstrip() + "\n"


def _nested(schema: Schema, defs: Schema, path: str) -> Iterator[str]:
    """A section for every key of an object whose value has keys of its own."""
    for key, entry in _properties(schema, defs):
        place, entry = _place(f"{path}.{key}".lstrip("."), entry)
        if "properties" in entry or _alternatives(entry):
            yield from _section(entry, defs, place)


def _section(schema: Schema, defs: Schema, path: str) -> Iterator[str]:
    level = "#" * (2 + path.replace(".<name>", "").count("."))
    yield f"{level} `{path}`\n"
    if "description" in schema:
        yield f"{_text(schema['description'])}\n"
    forms = _alternatives(schema)
    shared = _shared(forms)
    for form in forms:
        yield f"{level}# `{next(iter(form['properties']))}: {form['title']}`\n"
        yield f"{_text(form['description'])}\n"
        yield from _table(_without(form, shared), defs, path)
    if shared:
        yield f"{level}# Every `{path}` also has\n"
        yield from _table({"properties": shared}, defs, path)
        yield from _nested({"properties": shared}, defs, path)
    if "properties" in schema:
        yield from _table(schema, defs, path)
        yield from _nested(schema, defs, path)


def _shared(forms: list[Schema]) -> Schema:
    """Keys that all forms of an object have alike."""
    first = forms[0]["properties"] if forms else {}
    return {key: entry for key, entry in first.items() if all(form["properties"].get(key) == entry for form in forms)}


def _without(form: Schema, keys: Schema) -> Schema:
    return {**form, "properties": {key: entry for key, entry in form["properties"].items() if key not in keys}}


def _table(schema: Schema, defs: Schema, path: str) -> Iterator[str]:
    yield "| Key | Value | Default | Meaning |\n|---|---|---|---|"
    for key, entry in _properties(schema, defs):
        default = "*required*" if key in schema.get("required", []) else _default(entry)
        value = _value(entry, defs, f"{path}.{key}".lstrip("."))
        yield f"| `{key}` | {value} | {default} | {_text(entry['description'])} |"
    yield ""


def _value(schema: Schema, defs: Schema, path: str) -> str:
    """What a key may hold, in words."""
    place, inner = _place(path, schema)
    if "properties" in inner or _alternatives(inner):
        relation = "by name" if place != path else "one of" if _alternatives(inner) else "keys"
        return "; ".join([f"{relation}: [`{place}`](#{_anchor(place)})", *_limits(schema)])
    if "const" in schema or "enum" in schema:
        names = [name for name in schema.get("enum") or [schema["const"]] if not isinstance(name, bool)]
        return " or ".join(f"`{name}`" for name in names)  # true: yes, as YAML reads it
    if "oneOf" in schema:
        return "; or ".join(_value(form, defs, path) for form in schema["oneOf"])
    if "array" in schema["type"] and "items" in schema:
        item = _value(_resolve(schema["items"], defs), defs, path)
        single = "" if schema["type"] == "array" else f"{item}, or a "
        return "; ".join([f"{single}list, each: {item}", *_limits(schema)])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return ", ".join([" or ".join(KINDS.get(str(kind), str(kind)) for kind in kinds), *_limits(schema)])


def _limits(schema: Schema) -> list[str]:
    return [_cell(words.format(schema[keyword])) for keyword, words in LIMITS.items() if keyword in schema]


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return "–"
    default = schema["default"]
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _properties(schema: Schema, defs: Schema) -> list[tuple[str, Schema]]:
    return [(key, _resolve(entry, defs)) for key, entry in schema["properties"].items()]


def _resolve(schema: Schema, defs: Schema) -> Schema:
    """A schema with its ``$ref`` filled in; what stands beside the reference wins."""
    return {**defs[schema["$ref"].rpartition("/")[2]], **schema} if "$ref" in schema else schema


def _place(path: str, schema: Schema) -> tuple[str, Schema]:
    """Where the keys of a value are described: of a mapping by name, under its entries."""
    entries = schema.get("additionalProperties")
    return (f"{path}.<name>", {"description": schema["description"], **entries}) if entries else (path, schema)


def _alternatives(schema: Schema) -> list[Schema]:
    """The forms of a value that is one of several objects."""
    return [form for form in schema.get("oneOf", []) if "properties" in form]


def _anchor(heading: str) -> str:
    """The link target that Markdown viewers give to a heading."""
    return heading.translate(str.maketrans("", "", ".<>")).lower()


def _text(description: str) -> str:
    return _cell(description).replace("<", r"\<")


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
