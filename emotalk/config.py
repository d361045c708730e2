"""Checking of a configuration against its schema: sentences instead of validator output, defaults filled in."""

import difflib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator, ValidationError

from emotalk.corpus.splits import named_subjects
from emotalk.errors import ConfigError

_BY_CORPUS = ("sources", "split")
"""Sections that have an entry for each corpus."""


def read_schema(path: str | Path) -> dict[str, Any]:
    """Schema of the configuration, the only home of types, units, ranges and meanings."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def checked_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration with all defaults filled in.

    Raises
    ------
    ConfigError
        If a setting is unknown, of the wrong type or out of its range; all faults are listed.
    """
    complete = deepcopy(dict(config))
    for section in _BY_CORPUS:
        given = complete.setdefault(section, {})
        if isinstance(given, dict) and isinstance(complete.get("corpora"), list):
            complete[section] = {str(corpus): {} for corpus in complete["corpora"]} | given
    _fill_defaults(complete, schema, schema)
    faults = sorted({_sentence(error) for error in Draft202012Validator(schema).iter_errors(complete)})
    faults = faults or list(_contradictions(complete))
    if faults:
        raise ConfigError("The configuration cannot be used:\n  " + "\n  ".join(faults))
    return complete


def resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """A property's schema with its reference followed."""
    reference = schema.get("$ref")
    return {**root["$defs"][reference.rpartition("/")[2]], **schema} if reference else dict(schema)


def _fill_defaults(section: dict[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    others = schema.get("additionalProperties") or {}
    described_by = schema.get("properties", {}) | dict.fromkeys(section.keys() - schema.get("properties", {}), others)
    for name, described in described_by.items():
        told = resolved(described, root)
        if name not in section and "default" in told:
            section[name] = deepcopy(told["default"])
        if isinstance(section.get(name), dict):
            _fill_defaults(section[name], told, root)


def _sentence(error: ValidationError) -> str:
    """One sentence about one fault."""
    where = ".".join(str(part) for part in error.absolute_path)
    schema = cast(dict[str, Any], error.schema)
    if error.validator == "additionalProperties":
        known = list(schema["properties"])
        unknown = [name for name in cast(dict[str, Any], error.instance) if name not in known]
        return "; ".join(_unknown(f"{where}.{name}" if where else name, name, known) for name in unknown)
    if error.validator == "type" and _is_number(error.instance):
        return f"{where}: YAML reads {error.instance} as text; write {float(str(error.instance)):g}"
    meaning = f" ({schema['description']})" if "description" in schema else ""
    return f"{where or 'the file'}: {error.message}{meaning}"


def _is_number(value: object) -> bool:
    """Whether a text is a number: YAML takes 1e-4 for text, and so it is with quoted numbers."""
    try:
        float(str(value))
    except ValueError:
        return False
    return isinstance(value, str)


def _unknown(path: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"{path}: there is no such setting; " + (
        f"did you mean {nearest[0]}?" if nearest else f"known here are {', '.join(known)}"
    )


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Faults between settings that a schema cannot express."""
    smooth = config["smooth"]
    if smooth["window"] % 2 == 0:
        yield f"smooth.window: {smooth['window']} is even; a fit has a frame in its middle, so the window is odd"
    if smooth["clip_negatives"] and not smooth["enabled"]:
        yield "smooth.clip_negatives: works only with smooth.enabled, which is off"
    if smooth["order"] >= smooth["window"]:
        yield f"smooth.order: {smooth['order']} must be below smooth.window, which is {smooth['window']}"
    for corpus in config["sources"].keys() - set(config["corpora"]):
        yield f"sources.{corpus}: there is no such corpus; 'corpora' names {', '.join(config['corpora'])}"
    for corpus, split in config["split"].items():
        named = [named_subjects(split[part]) for part in split if isinstance(split[part], list)]
        both = set.intersection(*named) if len(named) == 2 else set()
        if both:
            yield f"split.{corpus}: {', '.join(sorted(both))} cannot both validate and test"
