"""Our own source files, as text."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("adapters", "commands", "domain", "migrations", "projections", "read_api", "write_api")


def files(*folders: str) -> list[Path]:
    """Return the Python files in these folders, relative to the root."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_of(file: Path) -> str:
    """Return the name under which a file is imported."""
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(file: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imports_of(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports from outside the standard library; of ours with the names in them."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] not in sys.stdlib_module_names)
