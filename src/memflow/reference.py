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
KINDS = {"string": "text", "boolean": "`true` or `false`"}
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
    for form in _alternatives(schema):
        selector = next(key for key, entry in form["properties"].items() if "const" in entry)
        yield f"{level}# `{selector}: {form['title']}`\n"
        yield f"{_text(form['description'])}\n"
        yield from _table(form, defs, path)
    if "properties" in schema:
        yield from _table(schema, defs, path)
        yield from _nested(schema, defs, path)


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
        return " or ".join(f"`{name}`" for name in schema.get("enum") or [schema["const"]])
    if "oneOf" in schema:
        return "; or ".join(_value(form, defs, path) for form in schema["oneOf"])
    if schema["type"] == "array":
        item = _value(_resolve(schema["items"], defs), defs, path)
        return "; ".join([f"list, each: {item}", *_limits(schema)])
    kind = str(schema["type"])
    return ", ".join([KINDS.get(kind, kind), *_limits(schema)])


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
