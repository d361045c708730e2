"""Descriptions of settings from the types of their sections: paths, JSON schemas, allowed values."""

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
"""Sections with an entry per corpus, and the placeholder for its name."""


class Setting(NamedTuple):
    """A setting: its dotted path, and its part of the JSON schema."""

    path: str
    schema: dict[str, Any]


def settings(model: type[BaseModel]) -> list[Setting]:
    """List all settings of a configuration, each section before its settings."""
    schema = model.model_json_schema()
    return list(_walk(schema, schema.get("$defs", {}), ""))


def allowed_values(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, str]:
    """Return path and allowed values of the setting at a location of pydantic, which may be a part of its value."""
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
    """Return the path of a setting, with the name of a corpus replaced by `<corpus>`."""
    is_by_corpus = len(names) > 1 and names[0] in BY_CORPUS
    return ".".join([names[0], CORPUS, *names[2:]] if is_by_corpus else names)


def _walk(section: Mapping[str, Any], defs: Mapping[str, Any], prefix: str) -> Iterator[Setting]:
    for name, schema in section.get("properties", {}).items():
        resolved = {**defs[schema["$ref"].rpartition("/")[2]], **schema} if "$ref" in schema else schema
        yield Setting(prefix + name, resolved)
        yield from _walk(resolved, defs, f"{prefix}{name}.")
        entry = resolved.get("additionalProperties")
        if isinstance(entry, dict) and "$ref" in entry:
            yield from _walk(defs[entry["$ref"].rpartition("/")[2]], defs, f"{prefix}{name}.{CORPUS}.")


def format_values(schema: Mapping[str, Any]) -> str:
    """Format the allowed values of a setting for messages and documents."""
    if "anyOf" in schema:
        return " or ".join(format_values(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    json_type = schema["type"]
    if json_type == "object":
        return "section"
    if json_type == "array":
        return f"list of {format_values(schema['items'])}"
    bounds = ", ".join(f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema)
    return f"{_TYPES[json_type]} {bounds}".strip()


_TYPES = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "`null`",
}
