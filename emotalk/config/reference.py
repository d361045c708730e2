"""The reference of all settings and their JSON schema, for readers and editors.

`python -m emotalk.config.reference config` writes `config/README.md` and `config/schema.json`.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from emotalk.config.config import Config, Recipe
from emotalk.config.reading import read_file

_HEAD = """# Settings

Values come from, in this order: the defaults, the recipe's file `config/recipes/<recipe>.yaml`, `config/config.yaml`,
your own file (`--configfile my.yaml`), the command line (`--config recipe=paper 'train={epochs: 40}'`, values in YAML).
Unknown settings are refused. Your own file needs only what differs:

```yaml
recipe: paper
data: /path/to/3D-ETF
```

Made by `python -m emotalk.config.reference config`, from `emotalk/config`.

| setting | default | recipes | values | meaning |
| --- | --- | --- | --- | --- |
"""
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
            return ".".join(names[:depth]), _values(setting.schema)
        if path.endswith(f".{CORPUS}"):
            return ".".join(names[:depth]), "a section"
    return "the configuration", "settings as 'name: value'"


def general_path(names: Sequence[str]) -> str:
    """Path of a setting with `<corpus>` in place of a corpus's name."""
    is_by_corpus = len(names) > 1 and names[0] in BY_CORPUS
    return ".".join([names[0], CORPUS, *names[2:]] if is_by_corpus else names)


def json_schema() -> dict[str, Any]:
    """JSON schema of a user's file, in which nothing is required: recipes and defaults set the rest."""
    schema = Config.model_json_schema()
    for section in [schema, *schema["$defs"].values()]:
        section.pop("required", None)
    return schema


def reference(recipes: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown table of every setting: its name, default, values in recipes, allowed values and meaning."""
    lines = [
        f"| `{path}` | {_default(schema)} | {_differing(path, recipes)} | {_values(schema)} | {schema['description']} |"
        for path, schema in settings(Config)
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _walk(section: Mapping[str, Any], defs: Mapping[str, Any], prefix: str) -> Iterator[Setting]:
    for name, schema in section.get("properties", {}).items():
        whole = {**defs[schema["$ref"].rpartition("/")[2]], **schema} if "$ref" in schema else schema
        yield Setting(prefix + name, whole)
        yield from _walk(whole, defs, f"{prefix}{name}.")
        others = whole.get("additionalProperties")
        if isinstance(others, dict) and "$ref" in others:
            yield from _walk(defs[others["$ref"].rpartition("/")[2]], defs, f"{prefix}{name}.{CORPUS}.")


def _default(schema: Mapping[str, Any]) -> str:
    if schema.get("type") == "object":
        return ""
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _differing(path: str, recipes: Mapping[str, Mapping[str, Any]]) -> str:
    found = {name: value for name, recipe in recipes.items() if (value := _value(recipe, path)) is not None}
    return "<br>".join(f"{name}: `{json.dumps(value)}`" for name, value in found.items())


def _value(recipe: Mapping[str, Any], path: str) -> Any:
    """A recipe's own value of a setting; None for sections."""
    value: Any = recipe
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return None if isinstance(value, Mapping) and path not in ("split", "model.content_encoder.sizes") else value


def _values(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_values(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema["type"]
    if kind == "object":
        return "section"
    if kind == "array":
        return f"list of {_values(schema['items'])}"
    bounds = ", ".join(f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema)
    return f"{_KINDS[kind]} {bounds}".strip()


_KINDS = {"integer": "integer", "number": "number", "string": "text", "boolean": "`true` or `false`", "null": "`null`"}


def _write(folder: Path) -> None:
    recipes = {name: read_file(folder / f"recipes/{name}.yaml") for name in get_args(Recipe)}
    (folder / "README.md").write_text(reference(recipes), encoding="utf-8")
    schema = json.dumps(json_schema(), indent=1, ensure_ascii=False)
    (folder / "schema.json").write_text(schema + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
