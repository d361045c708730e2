"""Import graph and module table of docs/architecture.md: `python -m tests.imports_graph --write` renews them."""

import argparse
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/architecture.md"
_COMMAND_LINE = {"__main__", "cli", "commands"}
_MERMAID = re.compile(r"```mermaid\n.*?```", re.DOTALL)
_MODULES = "<!-- modules -->\n"


def package_of(path: Path) -> str:
    """Return the node of a file in the graph: its package, or a group of top-level modules."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "workflow":
        return "workflow"
    if len(parts) > 2:
        return parts[1]
    return "cli" if parts[-1] in _COMMAND_LINE else "foundations"


def imported_files(path: Path) -> Iterator[Path]:
    """Yield the files of the package that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            file = (ROOT / name.replace(".", "/")).with_suffix(".py")
            if name.startswith("emotalk.") and file.exists():
                yield file


def package_imports() -> dict[str, set[str]]:
    """Return the packages that each package imports."""
    imports: dict[str, set[str]] = defaultdict(set)
    for pattern in ("emotalk/**/*.py", "workflow/scripts/*.py"):
        for path in sorted(ROOT.glob(pattern)):
            imports[package_of(path)] |= {package_of(file) for file in imported_files(path)}
    return {package: imported - {package} for package, imported in imports.items()}


def reachable(imports: Mapping[str, set[str]], start: str) -> set[str]:
    """Return the packages that a package imports directly or indirectly, including itself if there is a cycle."""
    result: set[str] = set()
    pending = list(imports[start])
    while pending:
        package = pending.pop()
        if package not in result:
            result.add(package)
            pending += imports[package]
    return result


def graph() -> str:
    """Return a Mermaid graph of the imports; arrows that follow from other arrows are left out."""
    imports = package_imports()
    lines = ["```mermaid", "flowchart TD"]
    for package in sorted(imports):
        indirect: set[str] = set().union(*(reachable(imports, other) for other in imports[package]))
        lines += [f"    {package} --> {other}" for other in sorted(imports[package] - indirect)]
    return "\n".join([*lines, "```"])


def modules() -> str:
    """Return a Markdown table of all modules with the first line of their docstrings."""
    lines = ["| module | task |", "| --- | --- |"]
    for path in sorted(ROOT.glob("emotalk/**/*.py"), key=lambda path: (len(path.parts), path)):
        summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        if path.name not in ("__init__.py", "__main__.py"):
            name = path.relative_to(ROOT).as_posix()
            lines.append(f"| `{name}` | {summary.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def updated(text: str) -> str:
    """Return the document with current graph and table."""
    with_picture = _MERMAID.sub(lambda _: graph(), text, count=1)
    return with_picture.partition(_MODULES)[0] + _MODULES + "\n" + modules()


def main() -> None:
    """Print the graph, or update the document."""
    parser = argparse.ArgumentParser(description="Import graph and module table of the package.")
    parser.add_argument("--write", action="store_true", help=f"update {DOCUMENT.relative_to(ROOT)}")
    if parser.parse_args().write:
        DOCUMENT.write_text(updated(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(graph() + "\n")


if __name__ == "__main__":
    main()
