"""The domain is a function of what it is given: time, ids and chance come from outside."""

import ast

import pytest

from tests.layout.sources import ROOT, files, tree_of

IMPURE_MODULES = {
    "asyncio",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
}
IMPURE_NAMES = {"uuid1", "uuid3", "uuid4", "uuid5", "getrandom", "urandom"}
IMPURE_CALLS = {"open", "input", "print", "eval", "exec", "breakpoint", "__import__"}
CLOCKS = {"now", "utcnow", "today"}
# A clock that measures how long something took tells nobody what time it is.
STOPWATCHES = {"monotonic", "perf_counter", "process_time", "thread_time"}


def names_in(node: ast.AST) -> set[str]:
    match node:
        case ast.Import(names=names):
            return {part for alias in names for part in alias.name.split(".")}
        case ast.ImportFrom(module=module, names=names):
            return {*(module or "").split("."), *(alias.name for alias in names)}
        case ast.Attribute(value=ast.Name(id="datetime" | "date") | ast.Attribute(attr="datetime" | "date"), attr=attr):
            return {attr}
        case _:
            return set()


@pytest.mark.parametrize("file", files("domain"), ids=str)
def test_the_domain_asks_nothing_of_the_world(file):
    for node in ast.walk(tree_of(file)):
        at = f"{file}:{getattr(node, 'lineno', 0)}"
        found = names_in(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not found & IMPURE_MODULES, at
        assert not found & (IMPURE_NAMES | CLOCKS), at
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_CALLS, at


@pytest.mark.parametrize("file", files("domain", "commands"), ids=str)
def test_money_is_never_a_float(file):
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "float", f"{file}:{node.lineno}"
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and file.parts[0] == "domain":
            pytest.fail(f"{file}:{node.lineno} holds the float {node.value}")


@pytest.mark.parametrize("file", files("commands", "projections", "read_api", "write_api"), ids=str)
def test_only_adapters_read_a_clock(file):
    for node in ast.walk(tree_of(file)):
        found = names_in(node)
        assert not found & CLOCKS, f"{file}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            assert found <= {"time", *STOPWATCHES}, f"{file}:{node.lineno}"


def seconds_since(node: ast.AST) -> bool:
    """Return whether an expression is a clock's time less another one."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub)
        and isinstance(node.left, ast.Call)
        and isinstance(node.left.func, ast.Attribute | ast.Name)
        and (node.left.func.attr if isinstance(node.left.func, ast.Attribute) else node.left.func.id)
        in {"time", *STOPWATCHES}
    )


@pytest.mark.parametrize("file", sorted(ROOT.glob("tests/**/test_*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_test_fails_because_a_machine_is_slow(file):
    for assertion in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Assert)):
        for node in ast.walk(assertion):
            if isinstance(node, ast.Compare):
                pairs = zip([node.left, *node.comparators], node.ops, strict=False)
                at_most = any(seconds_since(left) and isinstance(op, ast.Lt | ast.LtE) for left, op in pairs)
                assert not at_most, f"{file}:{node.lineno}: make bench shows how fast something is"
