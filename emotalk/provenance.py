"""Provenance of results: digests of files and settings, and versions of libraries."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from emotalk.files import iter_files, size_and_mtime

_PACKAGE = __name__.partition(".")[0]
_LIBRARIES = ("torch", "transformers", "numpy", "scipy", "pyarrow", "safetensors")


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def metadata_digest(*paths: str | Path, suffixes: tuple[str, ...] = ("",)) -> str:
    """Return a digest of names, sizes and modification times, which changes if a file is added, removed or changed.

    Parameters
    ----------
    *paths
        Files and folders; folders are listed recursively, and missing paths count as empty.
    suffixes
        Suffixes, in lower case, of the files that are counted in folders.
    """
    entries: list[tuple[str, int, int]] = []
    for path in dict.fromkeys(
        map(Path, paths)
    ):  # Audio and motion may be in one folder, and listing a million files is slow.
        if path.is_file():
            entries.append((str(path), *size_and_mtime(path)))
        else:
            files = (entry for entry in iter_files(path) if entry.name.lower().endswith(suffixes))
            entries += [(entry.path, *size_and_mtime(entry)) for entry in files]
    return hashlib.sha256(repr(sorted(entries)).encode(errors="surrogateescape")).hexdigest()[:16]


def canonical(settings: Mapping[str, Any]) -> str:
    """Return settings as one line of JSON that does not depend on the order of the keys."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return a short digest of settings that does not depend on the order of the keys."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:12]


def library_versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries that affect results."""
    return {name: _version(name) for name in (_PACKAGE, *_LIBRARIES)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
