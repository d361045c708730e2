"""Identity of a run: what must not change when it is continued."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Keys in which two identities differ, dotted, each with both values: `learning_rate: 0.0001 there, 0.001 here`."""
    there, here = dict(_flat(theirs)), dict(_flat(ours))
    return [
        f"{key}: {_told(there, key)} there, {_told(here, key)} here"
        for key in sorted(there.keys() | here.keys())
        if _told(there, key) != _told(here, key)
    ]


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _told(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "not set"
