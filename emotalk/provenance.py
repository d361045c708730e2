"""What a result was made from: digests of code, files and settings, and the versions of the libraries."""

import ast
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from emotalk.files import files_below, size_and_time

_PACKAGE = __name__.partition(".")[0]
_ROOT = Path(__file__).parent
_LIBRARIES = ("torch", "transformers", "numpy", "scipy", "pyarrow", "safetensors")


@cache
def code_digest(*modules: str) -> str:
    """Digest of the named modules of this package and of every package module that they import.

    Comments, docstrings and formatting do not count, so that only a change of behaviour makes a stage stale.
    Nothing is imported: a workflow engine may call this in every job.

    Parameters
    ----------
    *modules
        Dotted names, `emotalk.corpus.slicing` for example.
    """
    files = sorted({path for module in modules for path in _closure(module)})
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(_ROOT)).encode())
        digest.update(_read(path).behaviour)
    return digest.hexdigest()[:16]


def _closure(module: str) -> set[Path]:
    """Source files of a module and of all package modules that it reaches by imports."""
    found: set[Path] = set()
    pending = [module]
    while pending:
        path = _source(pending.pop())
        if path is None or path in found:
            continue
        found.add(path)
        pending.extend(_read(path).imports)
    return found


def _source(module: str) -> Path | None:
    """Source file of a dotted name, or None where the name is no module (an imported function, say)."""
    base = _ROOT.joinpath(*module.split(".")[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


class _Source(NamedTuple):
    """A source file, as far as it counts."""

    behaviour: bytes
    """Syntax tree without docstrings, as text."""
    imports: list[str]
    """Dotted names of this package that it imports, at its top or inside its functions."""


@cache
def _read(path: Path) -> _Source:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    imports = [name for name in names if name.partition(".")[0] == _PACKAGE]
    return _Source(ast.dump(tree).encode(), imports)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


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
