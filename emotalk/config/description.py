"""Descriptions of settings, from the types of their sections: paths, JSON schemas, allowed values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "multipleOf": "multiple of",
}


BY_CORPUS, CORPUS = ("sources", "split"), "<corpus>"
"""Sections that have an entry for each corpus, and what stands for its name."""


class Setting(NamedTuple):
    """A setting: its dotted path, and its part of the JSON schema."""

    path: str
    schema: dict[str, Any]


def settings(model: type[BaseModel]) -> list[Setting]:
    """All settings of a configuration, sections before what is in them."""
    schema = model.model_json_schema()
    return list(_walk(schema, schema.get("$defs", {}), ""))


def allowed_values(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, str]:
    """Path and allowed values of the setting that a location of pydantic's, which goes into its parts, is about."""
    by_path = {setting.path: setting for setting in settings(model)}
    names = [str(part) for part in location]
    for depth in range(len(names), 0, -1):
        path = general_path(names[:depth])
        if (setting := by_path.get(path)) is not None:
            return ".".join(names[:depth]), format_values(setting.schema)
        if path.endswith(f".{CORPUS}"):
            return ".".join(names[:depth]), "a section"
    return "the configuration", "settings as 'name: value'"


def general_path(names: Sequence[str]) -> str:
    """Path of a setting with `<corpus>` in place of a corpus's name."""
    is_by_corpus = len(names) > 1 and names[0] in BY_CORPUS
    return ".".join([names[0], CORPUS, *names[2:]] if is_by_corpus else names)


def _walk(section: Mapping[str, Any], defs: Mapping[str, Any], prefix: str) -> Iterator[Setting]:
    for name, schema in section.get("properties", {}).items():
        whole = {**defs[schema["$ref"].rpartition("/")[2]], **schema} if "$ref" in schema else schema
        yield Setting(prefix + name, whole)
        yield from _walk(whole, defs, f"{prefix}{name}.")
        others = whole.get("additionalProperties")
        if isinstance(others, dict) and "$ref" in others:
            yield from _walk(defs[others["$ref"].rpartition("/")[2]], defs, f"{prefix}{name}.{CORPUS}.")


def format_values(schema: Mapping[str, Any]) -> str:
    """Allowed values of a setting, for readers."""
    if "anyOf" in schema:
        return " or ".join(format_values(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema["type"]
    if kind == "object":
        return "section"
    if kind == "array":
        return f"list of {format_values(schema['items'])}"
    bounds = ", ".join(f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema)
    return f"{_KINDS[kind]} {bounds}".strip()


_KINDS = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true` or `false`", "null": "`null`"}
