"""Reading of settings from files and from the command line."""

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from emotalk.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML loader with the numbers of YAML 1.2: `1e-4` is a number, and `010`, the name of a subject, is text.

    PyYAML follows YAML 1.1, which reads `1e-4` as text and `010` as 8.
    """


_NUMBER, _INTEGER, _TIMESTAMP = (f"tag:yaml.org,2002:{kind}" for kind in ("float", "int", "timestamp"))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag not in (_NUMBER, _INTEGER, _TIMESTAMP)]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_DIGITS = list("-+0123456789.")
_Loader.add_implicit_resolver(_INTEGER, re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), _DIGITS)
_Loader.add_implicit_resolver(
    _NUMBER, re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), _DIGITS
)


def read_file(path: str | Path) -> dict[str, Any]:
    """Read the settings in a YAML or JSON file.

    Raises
    ------
    ConfigError
        If it cannot be read or contains no settings.
    """
    try:
        content = _load(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path} must contain settings as 'name: value'.")
    return content or {}


def read_arguments(arguments: Iterable[str]) -> dict[str, Any]:
    """Parse settings on the command line, each `name=value` with a value in YAML.

    Raises
    ------
    ConfigError
        If a value is not valid YAML.
    """
    parsed: dict[str, Any] = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        try:
            parsed = merge(parsed, {name.strip(): _load(value)})
        except yaml.YAMLError:
            raise ConfigError(f"{name}: the value {value!r} on the command line is not valid YAML.") from None
    return parsed


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge settings recursively; later layers override earlier ones. Sections are merged, lists are replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            previous = merged.get(name)
            are_sections = isinstance(previous, Mapping) and isinstance(value, Mapping)
            merged[name] = merge(previous, value) if are_sections else deepcopy(value)  # type: ignore[arg-type]
    return merged


def _load(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506  (derived from the safe loader)
