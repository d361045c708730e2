"""The reference of all settings, made from the schema: `python -m emotalk.config_reference > config/README.md`."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emotalk.config import read_schema, resolved

_SCHEMA = Path(__file__).parents[1] / "workflow/schemas/config.schema.yaml"
_HEAD = """# Settings

`config.yaml` is complete and runs the demo. `3d-etf.yaml`, the paper's recipe on both halves of 3D-ETF, and
`report.yaml`, that of the public training report, lie over it. For your own data name a recipe and then a file with
what differs, `--configfile config/3d-etf.yaml my.yaml`: alone, your file would lie over the demo's encoders, splits,
smoothing and required improvement. Single values also go on the command line, `--config data=/path/to/3D-ETF`. Unknown
settings are refused.

This table is made from `workflow/schemas/config.schema.yaml` by `python -m emotalk.config_reference`.

| setting | default | values | meaning |
| --- | --- | --- | --- |
"""
_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "multipleOf": "multiple of",
}


def reference(schema: Mapping[str, Any]) -> str:
    """Markdown table of every setting: its name, default, values and meaning."""
    lines = [
        f"| `{name}` | {_default(told)} | {_values(told)} | {told['description']} |"
        for name, told in _walk(schema, schema)
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _walk(
    section: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted name and description of every setting below a section."""
    for name, described in section.get("properties", {}).items():
        told = resolved(described, schema)
        yield prefix + name, told
        yield from _walk(told, schema, f"{prefix}{name}.")
    if others := section.get("additionalProperties"):
        yield from _walk(resolved(others, schema), schema, f"{prefix}<corpus>.")


def _default(described: Mapping[str, Any]) -> str:
    if "default" not in described:
        return "required"
    return "" if described.get("type") == "object" else f"`{json.dumps(described['default'])}`"


def _values(described: Mapping[str, Any]) -> str:
    if described.get("type") == "object":
        return "section"
    if "anyOf" in described:
        return " or ".join(_values(choice) for choice in described["anyOf"])
    if "enum" in described:
        return ", ".join(f"`{value}`" for value in described["enum"])
    kind = described["type"]
    bounds = [f"{sign} {described[key]}" for key, sign in _BOUNDS.items() if key in described]
    if kind == "array":
        return f"list of {_values(described['items'])}"
    return " ".join([" or ".join(kind) if isinstance(kind, list) else kind, ", ".join(bounds)]).strip()


if __name__ == "__main__":
    sys.stdout.write(reference(read_schema(_SCHEMA)))
