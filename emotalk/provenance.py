"""What a result was made from: digests of files and settings, and the versions of the libraries."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from emotalk.files import files_below, size_and_time

_PACKAGE = __name__.partition(".")[0]
_LIBRARIES = ("torch", "transformers", "numpy", "scipy", "pyarrow", "safetensors")


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_listing(*paths: str | Path, suffixes: tuple[str, ...] = ("",)) -> str:
    """Digest of the names, sizes and times of files; changes when a file comes, goes or changes.

    Parameters
    ----------
    *paths
        Files, and folders of which everything below counts; what does not exist counts as empty.
    suffixes
        How the names of the files in folders end that count, in small letters.
    """
    entries: list[tuple[str, int, int]] = []
    for path in dict.fromkeys(map(Path, paths)):  # Sound and motion may lie in one folder; a million files take time.
        if path.is_file():
            entries.append((str(path), *size_and_time(path)))
        else:
            found = (entry for entry in files_below(path) if entry.name.lower().endswith(suffixes))
            entries += [(entry.path, *size_and_time(entry)) for entry in found]
    return hashlib.sha256(repr(sorted(entries)).encode(errors="surrogateescape")).hexdigest()[:16]


def canonical(settings: Mapping[str, Any]) -> str:
    """Settings as one JSON line that does not depend on the order of the keys."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Short digest of settings, the same for any order of the keys."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:12]


def library_versions() -> dict[str, str]:
    """Versions of this package and of the libraries that decide a result."""
    return {name: _version(name) for name in (_PACKAGE, *_LIBRARIES)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
